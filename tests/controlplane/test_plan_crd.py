"""RemediationPlans on a real API server: what may be written into one, and what may be changed of it."""

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from tests.api.accounts import PLAN_CRD, Cluster
from tests.api.plans import ACCEPTED_PLANS, FLATTEN, REFUSED_PLANS, SPEC, RefusedPlan, plan
from tests.support.controlplane import ControlPlane, ControlPlaneError

from accountsync.api import caps
from accountsync.api.v1alpha1 import RemediationPlan
from accountsync.controller.planning_objects import plan_of, plan_spec, plan_status
from accountsync.domain.account import PositionSide, Side
from accountsync.domain.intents import Intent, IntentState
from accountsync.domain.plan import Action, ActionKind, Phase, Plan, Repair, RepairKind

pytestmark = pytest.mark.cluster

ETCD_LIMIT = 1_500_000
AS_OPERATOR = ("--as=system:serviceaccount:accountsync:accountsync", "--as-group=system:masters")
"""Where the admission policy is installed, nobody else makes plans."""


class Plans(Cluster):
    """RemediationPlans in a namespace of a real API server."""

    def propose(self, name: str, spec: dict[str, Any] | None = None, *options: str) -> dict[str, Any]:
        body = plan(name, spec, self.namespace)
        return dict(json.loads(self.kubectl("create", *AS_OPERATOR, *options, "-o", "json", "-f", "-", stdin=body)))

    def read(self, name: str, *options: str) -> dict[str, Any]:
        return dict(json.loads(self.kubectl("get", "rp", name, "-o", "json", *options)))

    def change(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        patch = json.dumps({"spec": spec})
        return dict(json.loads(self.kubectl("patch", "rp", name, "--type=merge", "-o", "json", "-p", patch)))

    def replace(self, body: dict[str, Any]) -> None:
        self.kubectl("replace", "-f", "-", stdin=body)

    def tell(self, name: str, status: dict[str, Any]) -> None:
        body = plan(name, namespace=self.namespace)
        del body["spec"]
        self.kubectl(
            "apply",
            "--server-side",
            "--subresource=status",
            "--field-manager=accountsync",
            "-f",
            "-",
            stdin=body | {"status": status},
        )


@pytest.fixture(scope="module")
def plans(control_plane: ControlPlane) -> Plans:
    return Plans(control_plane, "plan-rules")


def test_the_crd_is_established_and_its_schema_is_structural(plans: Plans) -> None:
    conditions = json.loads(plans.kubectl("get", "crd", PLAN_CRD, "-o", "json"))["status"]["conditions"]
    states = {condition["type"]: condition["status"] for condition in conditions}
    assert states["Established"] == states["NamesAccepted"] == "True"
    assert states.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("case", REFUSED_PLANS, ids=str)
def test_a_wrong_plan_is_refused_with_words_that_help(plans: Plans, case: RefusedPlan) -> None:
    with pytest.raises(ControlPlaneError) as refusal:
        plans.propose("refused", SPEC | case.fields, "--dry-run=server")
    assert f"spec.{next(iter(case.fields))}" in str(refusal.value)
    assert case.says in str(refusal.value)
    assert "no such overload" not in str(refusal.value)
    assert "evaluation" not in str(refusal.value)


@pytest.mark.parametrize("fields", ACCEPTED_PLANS, ids=lambda fields: json.dumps(fields)[:120])
def test_the_models_fill_in_what_the_api_server_does(plans: Plans, fields: dict[str, Any]) -> None:
    spec = SPEC | fields
    stored = plans.propose("same", spec, "--dry-run=server")
    assert RemediationPlan.parse(plan("same", spec)).spec.dump() == stored["spec"]


def test_a_person_approves_by_one_field(plans: Plans) -> None:
    plans.propose("approved")
    before = plans.read("approved")
    after = plans.change("approved", {"approved": True})
    assert (before["spec"]["approved"], after["spec"]["approved"]) == (False, True)
    assert before["spec"] | {"approved": True} == after["spec"]
    assert plan_of(after).approved


@pytest.mark.parametrize("value", [False, None])
def test_an_approval_is_never_taken_back(plans: Plans, value: bool | None) -> None:
    name = f"back-{value}".lower()
    plans.propose(name)
    plans.change(name, {"approved": True})
    with pytest.raises(ControlPlaneError, match=r"spec\.approved: .*set the account's remediation\.mode to Pause"):
        plans.change(name, {"approved": value})
    assert plans.read(name)["spec"]["approved"] is True


CHANGES: list[dict[str, Any]] = [
    {"account": {"name": "other"}},
    {"account": {"uid": "other"}},
    {"approval": ""},
    {"dryRun": True},
    {"expires": "2027-11-21T12:15:00Z"},
    {"summary": "something else"},
    {"reason": "something else"},
    {"notional": "1"},
    {"findings": []},
    {"actions": SPEC["actions"][:2]},
    {"actions": [*SPEC["actions"], FLATTEN]},
    {"actions": [SPEC["actions"][0], FLATTEN | {"quantity": "0.6"}, SPEC["actions"][2]]},
    {"actions": [SPEC["actions"][0], {k: v for k, v in FLATTEN.items() if k != "price"}, SPEC["actions"][2]]},
    {"actions": [{**SPEC["actions"][0], "conditional": True}, *SPEC["actions"][1:]]},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: json.dumps(change)[:120])
def test_nothing_else_of_a_plan_can_be_changed_not_even_while_approving(plans: Plans, change: dict[str, Any]) -> None:
    name = f"fixed-{CHANGES.index(change)}"
    before = plans.propose(name)
    for also in ({}, {"approved": True}):
        with pytest.raises(ControlPlaneError) as refusal:
            plans.change(name, change | also)
        assert f"spec.{next(iter(change))}" in str(refusal.value)
        assert "a person approves exactly what a plan says" in str(refusal.value)
    assert plans.read(name)["spec"] == before["spec"]


@pytest.mark.parametrize("field", ["approval", "dryRun", "summary", "reason", "notional", "findings"])
def test_a_field_that_is_taken_out_is_a_change_too(plans: Plans, field: str) -> None:
    name = f"out-{field.lower()}"
    body = plans.propose(name, SPEC | {"dryRun": True})
    del body["spec"][field]
    with pytest.raises(ControlPlaneError, match=rf"spec\.{field}: .*cannot be changed"):
        plans.replace(body)


def test_columns_show_what_why_and_until_when(plans: Plans) -> None:
    plans.propose("columns")
    plans.tell("columns", {"phase": "Pending", "message": "waits for a person"})
    head, row = plans.kubectl("get", "rp", "columns").splitlines()
    assert head.split() == ["NAME", "ACCOUNT", "WHAT", "PHASE", "WHY", "NOTIONAL", "APPROVED", "EXPIRES", "AGE"]
    cells = [cell.strip() for cell in row.split("   ") if cell.strip()]
    assert cells[:-1] == [
        "columns",
        "grid",
        "flatten BTC/USDT:USDT net",
        "Pending",
        "the bot expects none",
        "29850.05",
        "false",
        "2026-11-21T12:15:00Z",
    ]
    wide_head, wide_row = plans.kubectl("get", "rp", "columns", "-o", "wide").splitlines()
    assert wide_head.split()[-2:] == ["APPROVAL", "MESSAGE"]
    assert "closes everything" in wide_row
    assert wide_row.endswith("waits for a person")


def test_accounts_and_plans_are_listed_together(plans: Plans) -> None:
    plans.create("listed")
    plans.propose("listed")
    names = plans.kubectl("get", "trading", "-o", "name").split()
    assert {"tradingaccount.accountsync.dev/listed", "remediationplan.accountsync.dev/listed"} <= set(names)


def test_plans_are_selected_by_account_and_by_phase(plans: Plans) -> None:
    plans.propose("selected", SPEC | {"account": {"name": "chosen", "uid": "u"}})
    plans.propose("other")
    plans.tell("selected", {"phase": "Unknown"})

    def names(selector: str) -> str:
        return plans.kubectl("get", "rp", "--field-selector", selector, "-o", "name").strip()

    assert names("spec.account.name=chosen") == "remediationplan.accountsync.dev/selected"
    assert names("status.phase=Unknown") == "remediationplan.accountsync.dev/selected"


def test_who_may_write_the_status_approves_nothing_by_it(plans: Plans) -> None:
    plans.propose("apart")
    patch = json.dumps({"spec": {"approved": True}, "status": {"phase": "Running"}})
    plans.kubectl("patch", "rp", "apart", "--subresource=status", "--type=merge", "-p", patch)
    stored = plans.read("apart")
    assert (stored["spec"]["approved"], stored["status"]) == (False, {"phase": "Running"})
    plans.kubectl("patch", "rp", "apart", "--type=merge", "-p", json.dumps({"status": {"phase": "Done"}}))
    assert plans.read("apart")["status"] == {"phase": "Running"}


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Sideways"},
        {"phase": "Running", "intents": [{"state": "Sent"}]},
        {"phase": "Running", "intents": [{}]},
    ],
    ids=json.dumps,
)
def test_a_status_that_nobody_could_read_again_is_not_stored(plans: Plans, status: dict[str, Any]) -> None:
    name = f"status-{len(json.dumps(status))}"
    plans.propose(name)
    with pytest.raises(ControlPlaneError, match=r"status\."):
        plans.tell(name, status)


def test_an_intent_is_read_back_as_it_was_written(plans: Plans) -> None:
    stored = plan_of(plans.propose("intents"))
    intents = tuple(
        Intent(
            state, "acsync-1", 1_795_262_400_123, 4_321, "pod-a", 3, "77", Decimal("0.25"), "taken", 1_795_262_400_456
        )
        for state in (IntentState.DONE, IntentState.SENDING, IntentState.PLANNED)
    )
    plans.tell("intents", plan_status(Plan(stored.name, stored.actions, 0, 0, intents=intents, phase=Phase.RUNNING)))
    read = plan_of(plans.read("intents"))
    assert (read.intents, read.phase, read.actions) == (intents, Phase.RUNNING, stored.actions)
    assert read.version != stored.version


LONG = "🚀" * 5000
WIDE = "é" * 500
LARGEST = Decimal("9" * 41 + "." + "9" * 79)


def largest_plan() -> Plan:
    """Every list full, every text far over its cap, every id as long as it may be."""
    order_id, symbol = "é" * caps.ORDER_ID_CAP, "é" * 64
    repair = Repair(
        RepairKind.POSITION,
        symbol,
        order_id,
        "é" * caps.REPAIR_VALUE_CAP,
        order_id,
        order_id,
        "sell",
        LARGEST,
        LARGEST,
        LARGEST,
    )
    findings = tuple(f"{number:03d}{'é' * 62}" for number in range(caps.PLAN_FINDINGS_CAP))
    flatten = Action(
        ActionKind.FLATTEN,
        symbol,
        order_id,
        order_id,
        leg=PositionSide.NET,
        side=Side.SELL,
        quantity=LARGEST,
        price=LARGEST,
        notional=Decimal(10) ** 16,
        findings=findings,
        why=LONG,
    )
    repairing = Action(
        ActionKind.REPAIR, symbol, repairs=(repair,) * caps.PLAN_REPAIRS_CAP, findings=findings, after=0, why=LONG
    )
    intent = Intent(
        IntentState.UNKNOWN, "é" * 64, 2**63 - 1, 2**31 - 1, WIDE, 2**63 - 1, WIDE, LARGEST, LONG, 2**63 - 1
    )
    actions = (*[flatten] * (caps.PLAN_ACTIONS_CAP - 1), repairing)
    return Plan(
        "largest",
        actions,
        0,
        4_000_000_000_000,
        approval=LONG,
        intents=(intent,) * len(actions),
        phase=Phase.UNKNOWN,
        executed=2**63 - 1,
        message=LONG,
    )


def test_the_largest_plan_fits_is_approved_and_carries_the_largest_status(plans: Plans) -> None:
    largest = largest_plan()
    spec = plan_spec(largest, "g" * 253, "u" * 64, LONG, LONG)
    plans.propose("largest", copy.deepcopy(spec))
    plans.change("largest", {"approved": True})
    plans.tell("largest", plan_status(largest))
    stored = plans.read("largest", "--show-managed-fields")
    assert stored["spec"] == spec | {"approved": True}
    assert stored["status"] == plan_status(largest)
    assert len(json.dumps(stored, ensure_ascii=False).encode()) < ETCD_LIMIT
    del stored["spec"]["actions"][-1]
    with pytest.raises(ControlPlaneError, match="cannot be changed"):
        plans.replace(stored)

"""The CustomResourceDefinition on a real API server: every rule refuses what it should, and says what to do."""

import copy
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.api.accounts import ACCEPTED, CRD, FULL, REFUSED, ROOT, Cluster, Refused, changed
from tests.support.controlplane import ControlPlane, ControlPlaneError

from accountsync.api.crd import ACCOUNTS, definition
from accountsync.api.v1alpha1 import (
    Condition,
    Finding,
    Findings,
    FindingState,
    Hold,
    HoldSource,
    Severity,
    Sync,
    TradingAccount,
    TradingAccountStatus,
)

pytestmark = pytest.mark.cluster

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Cluster:
    return Cluster(control_plane, "crd-rules")


def until(condition: Callable[[], bool]) -> None:
    """The API server takes up a changed CRD a moment after it has accepted it."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "the API server did not take up the changed CRD"
        time.sleep(0.05)


def ready(message: str = "", status: str = "True") -> Condition:
    return Condition(
        type="Ready", status=status, reason="Synced", message=message, observed_generation=1, last_transition_time=NOW
    )


def test_the_crd_is_established_and_its_schema_is_structural(cluster: Cluster) -> None:
    conditions = json.loads(cluster.kubectl("get", "crd", CRD, "-o", "json"))["status"]["conditions"]
    states = {condition["type"]: condition["status"] for condition in conditions}
    assert states["Established"] == states["NamesAccepted"] == "True"
    assert states.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_wrong_spec_is_refused_with_words_that_help(cluster: Cluster, case: Refused) -> None:
    with pytest.raises(ControlPlaneError) as refusal:
        cluster.create("refused", changed(case.changes), "--dry-run=server")
    assert case.path in str(refusal.value)
    assert case.says in str(refusal.value)
    assert "no such overload" not in str(refusal.value)
    assert "evaluation" not in str(refusal.value)


@pytest.mark.parametrize("changes", ACCEPTED, ids=json.dumps)
def test_a_right_spec_is_accepted(cluster: Cluster, changes: dict[str, Any]) -> None:
    cluster.create("accepted", changed(changes), "--dry-run=server")


@pytest.mark.parametrize(
    ("path", "values", "says"),
    [
        ("exchange.symbols", ["A", "B", "A"], "spec.exchange.symbols[2]: Duplicate value"),
        (
            "tolerances.balances",
            [{"asset": "USDT", "tolerance": "1"}, {"asset": "USDT", "tolerance": "2"}],
            "spec.tolerances.balances[1]: Duplicate value",
        ),
        ("remediation.orderIdPrefixes", ["a", "a"], "spec.remediation.orderIdPrefixes[1]: Duplicate value"),
        (
            "remediation.thresholds",
            [{"rule": "MissingOrder", "count": 1}, {"rule": "MissingOrder", "count": 2}],
            "spec.remediation.thresholds[1]: Duplicate value",
        ),
    ],
)
def test_a_list_names_nothing_twice(cluster: Cluster, path: str, values: list[Any], says: str) -> None:
    with pytest.raises(ControlPlaneError) as refusal:
        cluster.create("twice", changed({path: values}), "--dry-run=server")
    assert says in str(refusal.value)


def test_a_field_that_no_release_knows_is_refused_by_strict_clients(cluster: Cluster) -> None:
    with pytest.raises(ControlPlaneError, match="unknown field"):
        cluster.create("unknown", changed({"swarm": {}}), "--dry-run=server", "--validate=strict")


def test_the_exchange_cannot_be_changed(cluster: Cluster) -> None:
    cluster.create("fixed")
    with pytest.raises(ControlPlaneError) as refusal:
        cluster.patch("fixed", {"spec": {"exchange": {"id": "bybit"}}})
    assert "spec.exchange.id" in str(refusal.value)
    assert "cannot be changed: delete this TradingAccount" in str(refusal.value)
    cluster.patch("fixed", {"spec": {"exchange": {"sandbox": True}}})
    assert cluster.get("fixed")["spec"]["exchange"] == {
        "id": "binanceusdm",
        "sandbox": True,
        "endpoint": "",
        "symbols": [],
        "sharedAccount": "",
    }


def test_defaults_arrive_also_below_parents_that_were_left_out(cluster: Cluster) -> None:
    cluster.create("defaults")
    assert cluster.get("defaults")["spec"] == {
        "exchange": {"id": "binanceusdm", "sandbox": False, "endpoint": "", "symbols": [], "sharedAccount": ""},
        "credentials": {"read": {"secretRef": {"name": "key"}}, "excessRights": "Warn"},
        "interval": "15s",
        "staleAfter": "300s",
        "suspend": False,
        "paused": False,
        "pauseReason": "",
        "pauseLevel": "ReduceOnly",
        "bot": {
            "state": {"configMap": {"name": "state", "key": "state.json"}},
            "orderIdPrefix": "",
            "staleAfter": "60s",
            "pauseAllowance": "10s",
        },
        "tolerances": {"position": "0", "orderGrace": "5s", "confirmations": 2, "balances": []},
        "ignore": [],
        "remediation": {
            "mode": "Observe",
            "pauseAt": "high",
            "dryRun": False,
            "repairBotState": True,
            "unexpectedOrders": "Never",
            "unexpectedPositions": "Never",
            "orderIdPrefixes": [],
            "flattenBy": "Limit",
            "maxSlippage": "0.005",
            "planExpiry": "15m",
            "limits": {"actionsPerHour": 10},
            "thresholds": [],
        },
        "evidence": False,
    }


def test_a_spec_that_sets_every_field_is_accepted_as_it_is(cluster: Cluster) -> None:
    cluster.create("full", FULL)
    assert cluster.get("full")["spec"] == FULL
    assert TradingAccount.parse(cluster.get("full")).spec.dump() == FULL


@pytest.mark.parametrize("changes", ACCEPTED, ids=json.dumps)
def test_the_models_fill_in_what_the_api_server_does(cluster: Cluster, changes: dict[str, Any]) -> None:
    spec = changed(changes)
    stored = json.loads(cluster.create("same", spec, "--dry-run=server", "-o", "json"))
    assert TradingAccount.parse(cluster.body("same", spec)).spec.dump() == stored["spec"]
    assert TradingAccount.parse(stored).spec.dump() == stored["spec"]


def test_a_stored_account_is_read_with_its_metadata(cluster: Cluster) -> None:
    cluster.create("stored")
    account = TradingAccount.parse(cluster.get("stored"))
    assert account.metadata.name == "stored"
    assert account.metadata.namespace == cluster.namespace
    assert account.metadata.generation == 1
    assert account.metadata.uid
    assert account.metadata.resource_version
    assert account.metadata.creation_timestamp is not None
    assert account.status == TradingAccountStatus()


def test_columns_show_the_state_at_a_glance(cluster: Cluster) -> None:
    cluster.create("columns")
    status = TradingAccountStatus(
        paused=True,
        paused_by="User,Policy",
        sync=Sync.OUT_OF_SYNC,
        last_report_time=NOW,
        findings=Findings(total=3, confirmed=1),
        conditions=(ready("reads the account and the bot"),),
    )
    cluster.apply_status("columns", status.dump())
    head, row = cluster.kubectl("get", "ta", "columns").splitlines()
    assert head.split() == ["NAME", "EXCHANGE", "READY", "SYNC", "FINDINGS", "PAUSED", "BY", "AGE"]
    assert row.split()[:-1] == ["columns", "binanceusdm", "True", "OutOfSync", "3", "true", "User,Policy"]
    wide_head, wide_row = cluster.kubectl("get", "ta", "columns", "-o", "wide").splitlines()
    assert wide_head.endswith("MESSAGE")
    assert "LAST REPORT" in wide_head
    assert "reads the account and the bot" in wide_row


def test_accounts_are_selected_by_sync_and_by_exchange(cluster: Cluster) -> None:
    cluster.create("selected", changed({"exchange.id": "bybit"}))
    cluster.create("other", changed({"exchange.id": "okx"}))
    cluster.apply_status("selected", TradingAccountStatus(sync=Sync.UNKNOWN).dump())

    def names(selector: str) -> str:
        return cluster.kubectl("get", "ta", "--field-selector", selector, "-o", "name").strip()

    assert names("status.sync=Unknown") == "tradingaccount.accountsync.dev/selected"
    assert names("spec.exchange.id=okx") == "tradingaccount.accountsync.dev/other"


def test_the_status_is_a_resource_of_its_own(cluster: Cluster) -> None:
    cluster.create("apart")
    before = cluster.get("apart")
    cluster.patch(
        "apart",
        {
            "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}},
            "spec": {"paused": True},
            "status": {"sync": "InSync"},
        },
        "--subresource=status",
    )
    after = cluster.get("apart")
    assert after["spec"] == before["spec"]
    assert after["metadata"].get("labels") is None
    assert after["metadata"].get("annotations") is None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["status"] == {"sync": "InSync"}
    cluster.patch("apart", {"spec": {"suspend": True}, "status": {"sync": "Unknown"}})
    assert cluster.get("apart")["status"] == {"sync": "InSync"}
    assert cluster.get("apart")["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_nothing_is_filled_into_a_status(cluster: Cluster) -> None:
    cluster.create("empty")
    cluster.apply_status("empty", {"findings": {"total": 0}, "watermarks": {}})
    assert cluster.get("empty")["status"] == {"findings": {"total": 0}, "watermarks": {}}


def test_an_apply_of_the_whole_status_takes_away_what_it_leaves_out(cluster: Cluster) -> None:
    cluster.create("whole")
    hold = Hold(source=HoldSource.POLICY, reason="Drift", message="m", since=NOW, digest="d", keys=("a",))
    finding = Finding(
        rule="PositionMismatch",
        severity=Severity.HIGH,
        state=FindingState.CONFIRMED,
        first_seen=NOW,
        last_seen=NOW,
    )
    drifted = TradingAccountStatus(
        paused=True,
        holds=(hold, hold.model_copy(update={"source": "User"})),
        findings=Findings(total=1, by_rule={"PositionMismatch": 1}, items=(finding,)),
        conditions=(ready(), ready().model_copy(update={"type": "Stalled"})),
    )
    cluster.apply_status("whole", drifted.dump())
    assert TradingAccount.parse(cluster.get("whole")).status == drifted
    calm = TradingAccountStatus(findings=Findings(), conditions=(ready(),))
    cluster.apply_status("whole", calm.dump())
    assert cluster.get("whole")["status"] == calm.dump()


def test_a_hold_of_each_source_stands_once(cluster: Cluster) -> None:
    cluster.create("holds")
    hold = Hold(source=HoldSource.USER, reason="Paused", message="m", since=NOW).dump()
    with pytest.raises(ControlPlaneError, match="duplicate"):
        cluster.apply_status("holds", {"holds": [hold, hold]})
    with pytest.raises(ControlPlaneError, match="Unsupported value"):
        cluster.apply_status("holds", {"holds": [hold | {"source": "Nobody"}]})


def test_the_example_applies(cluster: Cluster) -> None:
    example = str(ROOT / "examples" / "account.yaml")
    cluster.control_plane.kubectl("apply", "-f", example)
    stored = json.loads(cluster.control_plane.kubectl("get", "ta", "grid-btc", "--namespace", "trading", "-o", "json"))
    account = TradingAccount.parse(stored)
    assert account.spec.remediation.mode == "Pause"
    cluster.control_plane.kubectl("apply", "-f", example)


def test_explain_says_what_a_field_is_for(cluster: Cluster) -> None:
    text = " ".join(cluster.kubectl("explain", "tradingaccount.spec.timeout").split())
    assert "10s or two thirds of the interval" in text


def test_an_edit_elsewhere_survives_a_rule_that_became_stricter(cluster: Cluster) -> None:
    """Ratcheting, on a copy of the CRD: what an older one let in may stay while other fields change."""
    group = "older.accountsync.dev"
    strict = definition(ACCOUNTS)
    strict["metadata"]["name"] = f"tradingaccounts.{group}"
    strict["spec"]["group"] = group
    strict["spec"]["names"] |= {"shortNames": [], "categories": []}
    lenient = copy.deepcopy(strict)
    spec_schema = lenient["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec_schema["exchange"]["properties"]["endpoint"]["x-kubernetes-validations"]
    del spec_schema["bot"]["properties"]["orderIdPrefix"]["x-kubernetes-validations"]
    del spec_schema["bot"]["properties"]["orderIdPrefix"]["pattern"]
    wrong = cluster.body(
        "older", changed({"exchange.endpoint": "http://example.com/path", "bot.orderIdPrefix": "a b"})
    ) | {"apiVersion": f"{group}/v1alpha1"}

    def refused() -> bool:
        try:
            cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=wrong | {"metadata": {"name": "try"}})
        except ControlPlaneError:
            return True
        return False

    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=lenient)
    until(lambda: not refused())
    cluster.kubectl("create", "-f", "-", stdin=wrong)
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=strict)
    until(refused)

    def patch(spec: dict[str, Any]) -> str:
        body = json.dumps({"spec": spec})
        return cluster.kubectl("patch", f"tradingaccounts.{group}", "older", "--type=merge", "-p", body)

    assert "patched" in patch({"paused": True})
    with pytest.raises(ControlPlaneError, match="at most 36 letters"):
        patch({"bot": {"orderIdPrefix": "c d"}})

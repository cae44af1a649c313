"""Who may do what, on a real API server with the chart's policy and roles: people and machines with their tokens."""

import copy
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.people import Person, allowed, people, who
from tests.support.running import until
from tests.support.stage import GROUP, Body, Stage

pytestmark = [pytest.mark.cluster]

NUMBERS = itertools.count(1)
WRITERS = {"writer", "editor", "admin"}
RESUMERS = {"editor", "admin"}
RESUME, BY = "accountsync.dev/resume", "accountsync.dev/resumed-by"
LIMITS = {"actionsPerHour": 10, "notionalPerAction": "999.5", "notionalPerHour": "999999999999999999"}
MERGE = "application/merge-patch+json"
BASE: Body = {
    "exchange": {"id": "binanceusdm"},
    "credentials": {"read": {"secretRef": {"name": "read"}}, "trade": {"secretRef": {"name": "trade"}}},
    "bot": {"state": {"configMap": {"name": "state"}}, "orderIdPrefix": "grinder_"},
}


def merged(into: Mapping[str, Any], patch: Mapping[str, Any]) -> Body:
    """A merge patch done: None takes away."""
    result = copy.deepcopy(dict(into))
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key) or {}, value) if isinstance(value, Mapping) else value
    return result


@dataclass(frozen=True)
class Change:
    """Of spec.remediation, or, with `top`, of the spec."""

    name: str
    before: Body
    after: Body
    top: bool = field(default=False)

    @property
    def specs(self) -> tuple[Body, Body]:
        before = merged(BASE, {"remediation": {} if self.top else self.before})
        if self.top:
            before = merged(before, self.before)
        return before, merged(before, self.after if self.top else {"remediation": self.after})


ENFORCED: Body = {
    "remediation": {"mode": "Enforce", "thresholds": [{"rule": "UnexpectedOrder", "count": 2}]},
    "exchange": {"symbols": ["BTCUSDT", "ETHUSDT"]},
    "tolerances": {"balances": [{"asset": "USDT", "tolerance": "1"}, {"asset": "BTC", "tolerance": "1"}]},
    "ignore": [{"rule": "UnexpectedOrder", "until": "2099-01-01T00:00:00Z", "reason": "known"}],
}
"""Of an account in mode Enforce in which all is set that says what is judged."""
JUDGING: dict[str, tuple[str, Body]] = {
    # what, the field that the refusal names, the change
    "the test network": ("spec.exchange", {"exchange": {"sandbox": True}}),
    "another address": ("spec.exchange", {"exchange": {"endpoint": "https://elsewhere.example"}}),
    "fewer symbols": ("spec.exchange", {"exchange": {"symbols": ["BTCUSDT"]}}),
    "all symbols": ("spec.exchange", {"exchange": {"symbols": None}}),
    "a shared account": ("spec.exchange", {"exchange": {"sharedAccount": "desk"}}),
    "another read key": ("spec.credentials.read", {"credentials": {"read": {"secretRef": {"name": "mine"}}}}),
    "another prefix": ("spec.bot", {"bot": {"orderIdPrefix": "g"}}),
    "another belief": ("spec.bot", {"bot": {"state": {"configMap": {"name": "mine"}}}}),
    "another entry of the ConfigMap": ("spec.bot", {"bot": {"state": {"configMap": {"key": "mine"}}}}),
    "an older belief": ("spec.bot", {"bot": {"staleAfter": "24h"}}),
    "no tolerance": ("spec.tolerances", {"tolerances": {"balances": None}}),
    "less grace": ("spec.tolerances", {"tolerances": {"orderGrace": "0s"}}),
    "something ignored no more": ("spec.ignore", {"ignore": None}),
    "no thresholds": ("spec.remediation.thresholds", {"remediation": {"thresholds": None}}),
    "later to pause": ("spec.remediation.pauseAt", {"remediation": {"pauseAt": "critical"}}),
    "sooner to pause": ("spec.remediation.pauseAt", {"remediation": {"pauseAt": "medium"}}),
}
WIDENING = [
    Change("setting Pause", {"mode": "Observe"}, {"mode": "Pause"}),
    Change("setting Enforce", {"mode": "Pause"}, {"mode": "Enforce"}),
    Change("leaving Enforce", {"mode": "Enforce"}, {"mode": "Pause"}),
    Change("leaving Pause by taking the field away", {"mode": "Pause"}, {"mode": None}),
    Change("Plan to Cancel", {"unexpectedOrders": "Plan", "limits": LIMITS}, {"unexpectedOrders": "Cancel"}),
    Change("Never to Cancel", {"limits": LIMITS}, {"unexpectedOrders": "Cancel"}),
    Change("Plan to Flatten", {"unexpectedPositions": "Plan", "limits": LIMITS}, {"unexpectedPositions": "Flatten"}),
    Change("more actions", {"limits": LIMITS}, {"limits": {"actionsPerHour": 11}}),
    Change("more actions by the default", {"limits": {"actionsPerHour": 3}}, {"limits": {"actionsPerHour": None}}),
    Change("more for each action", {"limits": LIMITS}, {"limits": {"notionalPerAction": "1000"}}),
    Change("more an hour", {"limits": LIMITS}, {"limits": {"notionalPerHour": "999999999999999999.5"}}),
    Change("no limit an hour", {"limits": LIMITS}, {"limits": {"notionalPerHour": None}}),
    Change("no limits", {"limits": LIMITS}, {"limits": None}),
    Change("more slippage", {"maxSlippage": "0.009"}, {"maxSlippage": "0.01"}),
    Change("more slippage by the default", {"maxSlippage": "0.001"}, {"maxSlippage": None}),
    Change("a further prefix", {"orderIdPrefixes": ["a_"]}, {"orderIdPrefixes": ["a_", "b_"]}),
    Change("at the market", {}, {"flattenBy": "Market"}),
    Change("in earnest", {"dryRun": True}, {"dryRun": False}),
    Change("later to pause, in Pause", {"mode": "Pause"}, {"pauseAt": "critical"}),
    Change("never to pause, in Pause", {"mode": "Pause", "pauseAt": "critical"}, {"pauseAt": "never"}),
    Change("later by the default, in Pause", {"mode": "Pause", "pauseAt": "medium"}, {"pauseAt": None}),
    *(Change(f"{what}, in Enforce", ENFORCED, change, top=True) for what, (_, change) in JUDGING.items()),
    Change("another trade key", {}, {"credentials": {"trade": {"secretRef": {"name": "other"}}}}, top=True),
    Change("no trade key", {}, {"credentials": {"trade": None}}, top=True),
]
NARROWING = [
    Change("as it was, in Enforce", {"mode": "Enforce"}, {}),
    Change("Cancel to Plan", {"unexpectedOrders": "Cancel", "limits": LIMITS}, {"unexpectedOrders": "Plan"}),
    Change("Never to Plan", {}, {"unexpectedOrders": "Plan", "unexpectedPositions": "Plan"}),
    Change("Flatten to Never", {"unexpectedPositions": "Flatten", "limits": LIMITS}, {"unexpectedPositions": "Never"}),
    Change("fewer actions", {"limits": LIMITS}, {"limits": {"actionsPerHour": 9}}),
    Change("less for each action", {"limits": LIMITS}, {"limits": {"notionalPerAction": "99.75"}}),
    Change("the same, written otherwise", {"limits": LIMITS}, {"limits": {"notionalPerAction": "0999.50"}}),
    Change("a limit where there was none", {}, {"limits": {"notionalPerHour": "5"}}),
    Change("less slippage", {"maxSlippage": "0.01"}, {"maxSlippage": "0.009"}),
    Change("one prefix less", {"orderIdPrefixes": ["a_", "b_"]}, {"orderIdPrefixes": ["b_"]}),
    Change("by limit order", {"flattenBy": "Market"}, {"flattenBy": "Limit"}),
    Change("a dry run", {}, {"dryRun": True}),
    Change("as it was, in Enforce with all of it", ENFORCED, {}, top=True),
    Change("sooner to pause, in Pause", {"mode": "Pause"}, {"pauseAt": "medium"}),
    Change("to pause, in Pause", {"mode": "Pause", "pauseAt": "never"}, {"pauseAt": "critical"}),
    Change("never to pause, in Observe", {}, {"pauseAt": "never"}),
    Change("the kill switch", {"remediation": {"mode": "Enforce"}}, {"paused": True}, top=True),
    *(
        Change(f"{what}, in Pause", {**ENFORCED, "remediation": {"mode": "Pause"}}, change, top=True)
        for what, (_, change) in JUDGING.items()
        if what != "later to pause"
    ),
    Change("another interval", {"remediation": {"mode": "Enforce"}}, {"interval": "20s"}, top=True),
]
NEW: list[tuple[str, Body, Body, set[str]]] = [
    # what, spec.remediation, other fields of the spec, who may create it
    ("Observe", {}, {"credentials": {"trade": None}}, WRITERS),
    ("Observe with limits, dry", {"dryRun": True, "limits": LIMITS}, {"credentials": {"trade": None}}, WRITERS),
    ("Pause", {"mode": "Pause"}, {"credentials": {"trade": None}}, {"admin"}),
    ("Cancel", {"unexpectedOrders": "Cancel", "limits": LIMITS}, {"credentials": {"trade": None}}, {"admin"}),
    ("Market", {"flattenBy": "Market"}, {"credentials": {"trade": None}}, {"admin"}),
    ("much slippage", {"maxSlippage": "0.1"}, {"credentials": {"trade": None}}, {"admin"}),
    ("many actions", {"limits": {"actionsPerHour": 100}}, {"credentials": {"trade": None}}, {"admin"}),
    ("further prefixes", {"orderIdPrefixes": ["a_"]}, {"credentials": {"trade": None}}, {"admin"}),
    ("a trade key", {}, {}, {"admin"}),
]


@pytest.fixture(scope="module")
def stage(cluster: ControlPlane) -> Stage:
    return Stage(cluster, "desk", "http://127.0.0.1:1")


@pytest.fixture(scope="module")
def crowd(stage: Stage) -> dict[str, Person]:
    return people(stage)


def plans(stage: Stage) -> str:
    return f"{GROUP}/namespaces/{stage.namespace}/remediationplans"


def account(spec: Body, name: str = "", **annotations: str) -> Body:
    head = {"apiVersion": "accountsync.dev/v1alpha1", "kind": "TradingAccount"}
    return {**head, "metadata": {"name": name or f"a{next(NUMBERS)}", "annotations": annotations}, "spec": spec}


def planned(stage: Stage, *, approved: bool = False) -> Body:
    return {
        "apiVersion": "accountsync.dev/v1alpha1",
        "kind": "RemediationPlan",
        "metadata": {"name": f"p{next(NUMBERS)}", "namespace": stage.namespace},
        "spec": {
            "account": {"name": "one", "uid": "u"},
            "approved": approved,
            "approval": "it would cancel everything",
            "expires": "2099-01-01T00:00:00Z",
            "actions": [{"type": "Cancel", "symbol": "BTCUSDT", "orderId": "1"}],
        },
    }


def stored(stage: Stage, body: Body) -> str:
    """Its path, after an administrator of the cluster applied it."""
    path = f"{stage.accounts}/{body['metadata']['name']}"
    stage.api.apply(path, body)
    return path


@pytest.mark.parametrize("way", ["merge", "apply", "replace"])
@pytest.mark.parametrize(
    ("change", "able"),
    [*((change, {"admin"}) for change in WIDENING), *((change, WRITERS) for change in NARROWING)],
    ids=lambda each: each.name if isinstance(each, Change) else "",
)
def test_an_update_that_widens_takes_the_verb_enforce_and_no_other_does(
    stage: Stage, crowd: dict[str, Person], change: Change, able: set[str], way: str
) -> None:
    before, after = change.specs
    body = account(before)
    path = stored(stage, body)
    if way == "merge":
        patch = {"spec": change.after if change.top else {"remediation": change.after}}
        found = who(crowd, "PATCH", path, patch, MERGE)
    elif way == "apply":
        found = who(crowd, "PATCH", f"{path}?fieldManager=test&force=true", {**body, "spec": after}, "apply")
    else:
        metadata = {**body["metadata"], "resourceVersion": stage.api("GET", path)["metadata"]["resourceVersion"]}
        found = who(crowd, "PUT", path, {**body, "metadata": metadata, "spec": after})
    assert found == able


@pytest.mark.parametrize("way", ["create", "apply"])
@pytest.mark.parametrize(("remediation", "rest", "able"), [each[1:] for each in NEW], ids=[each[0] for each in NEW])
def test_a_new_account_is_measured_against_the_defaults(
    stage: Stage, crowd: dict[str, Person], remediation: Body, rest: Body, able: set[str], way: str
) -> None:
    body = account(merged(BASE, {**rest, "remediation": remediation}))
    if way == "create":
        assert who(crowd, "POST", stage.accounts, body) == able
    else:
        path = f"{stage.accounts}/{body['metadata']['name']}?fieldManager=gitops&force=true"
        assert who(crowd, "PATCH", path, body, "apply") == able


def test_an_account_of_before_there_were_such_fields_can_be_edited(stage: Stage, crowd: dict[str, Person]) -> None:
    bare = {**BASE, "credentials": {"read": BASE["credentials"]["read"]}}
    path = stored(stage, account(bare))
    patch = {"metadata": {"labels": {"team": "desk"}, "annotations": None}}
    assert who(crowd, "PATCH", path, patch, MERGE) == WRITERS


def resumed(by: str | None = None, digest: str | None = "d1") -> Body:
    return {"metadata": {"annotations": {RESUME: digest, BY: by}}}


def test_resuming_takes_the_verb_resume_and_ones_own_name(stage: Stage, crowd: dict[str, Person]) -> None:
    path = stored(stage, account(BASE))

    def able(patch: Body, *, own: bool = False) -> set[str]:
        found = set()
        for name, person in crowd.items():
            change = json.loads(json.dumps(patch).replace("SELF", person.user)) if own else patch
            found |= who({name: person}, "PATCH", path, change, MERGE)
        return found

    assert able(resumed("SELF"), own=True) == RESUMERS
    assert able(resumed("SELF", "d2"), own=True) == RESUMERS
    assert able(resumed("alice")) == set(), "whoever writes it has to be who it names"
    assert able(resumed()) == set()
    assert able({"metadata": {"annotations": {BY: "alice"}}}) == set()
    assert able({"metadata": {"annotations": {BY: "SELF"}}}, own=True) == RESUMERS
    crowd["editor"].merge(path, resumed(crowd["editor"].user))
    assert able({"spec": {"paused": True}}) == WRITERS, "what stands is no resuming"
    assert able(resumed("SELF"), own=True) == RESUMERS, "the same digest again, by another"
    assert able({"metadata": {"annotations": {BY: None}}}) == set(), "a digest keeps its name"
    assert able({"metadata": {"annotations": {RESUME: None, BY: None}}}) == WRITERS


def test_lifting_a_pause_takes_the_verb_resume(stage: Stage, crowd: dict[str, Person]) -> None:
    for body in ({"spec": {"paused": False}}, {"spec": {"paused": None}}):
        path = stored(stage, account({**BASE, "paused": True}))
        assert who(crowd, "PATCH", path, body, MERGE) == RESUMERS


def test_an_account_out_of_a_backup_brings_its_resume_by_whoever_may_resume(
    stage: Stage, crowd: dict[str, Person]
) -> None:
    bare = merged(BASE, {"credentials": {"trade": None}})
    assert who(crowd, "POST", stage.accounts, account(bare, **{RESUME: "d", BY: "alice"})) == RESUMERS
    assert who(crowd, "POST", stage.accounts, account(bare, **{RESUME: "d"})) == RESUMERS


def test_a_right_for_one_account_is_for_that_one(stage: Stage, crowd: dict[str, Person]) -> None:
    plane, where = stage.plane, f"--namespace={stage.namespace}"
    mine, other = account(BASE), account(BASE)
    name = mine["metadata"]["name"]
    plane.kubectl(
        "create", "role", "one", where, "--verb=enforce", "--resource=tradingaccounts", f"--resource-name={name}"
    )
    plane.kubectl("create", "rolebinding", "one", where, "--role=one", f"--user={crowd['writer'].user}")
    patch = {"spec": {"remediation": {"mode": "Enforce"}}}
    paths = [stored(stage, body) for body in (mine, other)]
    until(lambda: "writer" in who(crowd, "PATCH", paths[0], patch, MERGE), "new right")
    assert who(crowd, "PATCH", paths[1], patch, MERGE) == {"admin"}


def test_a_refusal_says_which_verb_is_missing_and_how_to_grant_it(stage: Stage, crowd: dict[str, Person]) -> None:
    path = stored(stage, account({**BASE, "paused": True}))
    patch = {"spec": {"remediation": {"mode": "Enforce", "limits": {"actionsPerHour": 20}}}}
    said = allowed(crowd["editor"], "PATCH", path, patch, MERGE)
    grant = f"kubectl create rolebinding NAME -n desk --user={crowd['editor'].user} --clusterrole=accountsync-admin"
    assert "spec.remediation.mode Observe to Enforce, spec.remediation.limits.actionsPerHour raised: " in said
    assert "this takes the verb enforce on tradingaccounts.accountsync.dev in namespace desk" in said
    assert grant in said
    said = allowed(crowd["writer"], "PATCH", path, {"spec": {"paused": False}}, MERGE)
    assert "takes the verb resume on tradingaccounts.accountsync.dev in namespace desk" in said
    assert "--clusterrole=accountsync-edit" in said


@pytest.mark.parametrize(("field", "change"), JUDGING.values(), ids=JUDGING)
def test_a_refusal_names_the_field_that_says_what_is_judged(
    stage: Stage, crowd: dict[str, Person], field: str, change: Body
) -> None:
    path = stored(stage, account(Change("", ENFORCED, {}, top=True).specs[0]))
    said = allowed(crowd["editor"], "PATCH", path, {"spec": change}, MERGE)
    assert f" {field} changed in mode Enforce: this takes the verb enforce on " in said


def test_a_refusal_names_all_that_changes_what_is_judged(stage: Stage, crowd: dict[str, Person]) -> None:
    path = stored(stage, account(Change("", ENFORCED, {}, top=True).specs[0]))
    patch = {"spec": {"ignore": None, "remediation": {"pauseAt": "never"}}}
    said = allowed(crowd["editor"], "PATCH", path, patch, MERGE)
    assert "spec.ignore changed in mode Enforce, spec.remediation.pauseAt changed in mode Enforce: " in said
    path = stored(stage, account(merged(BASE, {"remediation": {"mode": "Pause"}})))
    said = allowed(crowd["editor"], "PATCH", path, {"spec": {"remediation": {"pauseAt": "never"}}}, MERGE)
    assert "spec.remediation.pauseAt milder in mode Pause: " in said


def test_only_the_operator_makes_plans_and_nobody_makes_an_approved_one(stage: Stage, crowd: dict[str, Person]) -> None:
    everybody = {**crowd, "system:masters": stage.api}
    assert who(everybody, "POST", plans(stage), planned(stage)) == {"operator"}
    assert who(everybody, "POST", plans(stage), planned(stage, approved=True)) == set()
    body = planned(stage)
    path = f"{plans(stage)}/{body['metadata']['name']}?fieldManager=gitops&force=true"
    assert who(everybody, "PATCH", path, body, "apply") == set(), "the operator does not patch plans"


def test_approving_is_an_update_and_the_operator_may_not(stage: Stage, crowd: dict[str, Person]) -> None:
    body = planned(stage)
    crowd["operator"]("POST", plans(stage), body)
    path = f"{plans(stage)}/{body['metadata']['name']}"
    assert who(crowd, "PATCH", path, {"spec": {"approved": True}}, MERGE) == {"approver", "admin"}
    whole = {**body, "spec": {**body["spec"], "approved": True}}
    assert who(crowd, "PATCH", f"{path}?fieldManager=gitops&force=true", whole, "apply") == {"approver", "admin"}
    assert who(crowd, "PATCH", f"{path}/status", {"status": {"phase": "Done"}}, MERGE) == {"operator"}
    assert who(crowd, "GET", path, None) == {"viewer", "editor", "admin", "approver", "operator"}
    assert who(crowd, "DELETE", path, None) == {"operator"}


def test_nobody_but_the_operator_writes_the_status_of_an_account(stage: Stage, crowd: dict[str, Person]) -> None:
    path = stored(stage, account(BASE))
    patch = {"status": {"paused": False}}
    assert who(crowd, "PATCH", f"{path}/status", patch, MERGE) == {"operator"}
    assert who(crowd, "PATCH", path, {"spec": {"interval": "30s"}}, MERGE) == WRITERS


def test_the_audit_log_says_who_did_what(stage: Stage, crowd: dict[str, Person]) -> None:
    admin, editor, approver = crowd["admin"], crowd["editor"], crowd["approver"]
    path = stored(stage, account(BASE))
    name = path.rpartition("/")[2]
    admin.merge(path, {"spec": {"paused": True, "remediation": {"mode": "Enforce"}}})
    editor.merge(path, resumed(editor.user, "0123abcd"))
    editor.merge(path, {"spec": {"paused": False}})
    editor.merge(path, {"spec": {"interval": "30s"}})
    plan = planned(stage)
    crowd["operator"]("POST", plans(stage), plan)
    planned_at = f"{plans(stage)}/{plan['metadata']['name']}"
    approver.merge(planned_at, {"spec": {"approved": True}})

    def told() -> list[tuple[str, dict[str, str]]]:
        return [
            (
                event["user"]["username"],
                {
                    key.removeprefix("accountsync/"): value
                    for key, value in event.get("annotations", {}).items()
                    if key.startswith("accountsync/")
                },
            )
            for event in stage.plane.audit_events()
            if event.get("objectRef", {}).get("name") in {name, plan["metadata"]["name"]}
            and event["verb"] == "patch"
            and event["user"]["username"] in {admin.user, editor.user, approver.user}
        ]

    until(lambda: len(told()) == 5, "audit log")
    enforced = "spec.remediation.mode Observe to Enforce"
    assert told() == [
        (admin.user, {"user": admin.user, "mode": "Observe to Enforce", "widened": enforced}),
        (editor.user, {"user": editor.user, "resumed": "0123abcd"}),
        (editor.user, {"user": editor.user, "resumed": "spec.paused"}),
        (editor.user, {}),
        (approver.user, {"user": approver.user, "approved": plan["metadata"]["name"]}),
    ]


def test_a_refusal_is_in_the_audit_log_with_whom_it_refused(stage: Stage, crowd: dict[str, Person]) -> None:
    editor, path = crowd["editor"], stored(stage, account(BASE))
    assert allowed(editor, "PATCH", path, {"spec": {"remediation": {"mode": "Enforce"}}}, MERGE)
    events = until(
        lambda: [
            event
            for event in stage.plane.audit_events()
            if event.get("objectRef", {}).get("name") == path.rpartition("/")[2]
            and event["verb"] == "patch"
            and event["user"]["username"] == editor.user
        ],
        "audit log",
    )
    (notes,) = (event["annotations"] for event in events)
    assert notes["accountsync/user"] == editor.user
    assert notes["accountsync/mode"] == "Observe to Enforce"
    assert "takes the verb enforce" in notes["validation.policy.admission.k8s.io/validation_failure"]

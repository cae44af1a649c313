"""Plans are shown as they stand, and what is approved is what was shown."""

import contextlib
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.cli.conftest import MakePerson, Person
from tests.cli.test_resume import at_a_terminal, read_until
from tests.support.people import Person as Operator
from tests.support.running import until
from tests.support.stage import GROUP, ApiError, Body, Stage

pytestmark = pytest.mark.cluster

SOON = datetime.now(UTC) + timedelta(hours=1)


def path(stage: Stage, name: str) -> str:
    return f"{GROUP}/namespaces/{stage.namespace}/remediationplans/{name}".rstrip("/")


def plan(stage: Stage, name: str, *, phase: str | None = "Pending", message: str = "", **spec: Any) -> Body:
    """A plan as the operator would have made it; of no `phase` yet: it has just been created."""
    head = {"apiVersion": "accountsync.dev/v1alpha1", "kind": "RemediationPlan", "metadata": {"name": name}}
    action = {
        "type": "Flatten",
        "symbol": "BTCUSDT",
        "positionSide": "net",
        "side": "sell",
        "quantity": "0.5",
        "price": "59700",
        "notional": "30000",
        "why": "the bot expects none",
    }
    cancel = {"type": "Cancel", "symbol": "BTCUSDT", "orderId": "77", "conditional": True, "after": 0}
    body = {
        **head,
        "spec": {
            "account": {"name": "grid-btc", "uid": "u"},
            "approval": "it closes every position of the account",
            "expires": SOON.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "summary": "close 1 position\x1b[2J",
            "reason": "PositionMismatch BTCUSDT",
            "notional": "30000",
            "actions": [action, cancel],
            **spec,
        },
    }
    operator = Operator(stage.plane)
    with contextlib.suppress(ApiError):
        operator("POST", path(stage, ""), body)
    if phase is None:
        return stage.api("GET", path(stage, name))
    return operator.apply(f"{path(stage, name)}/status", {**head, "status": {"phase": phase, "message": message}})


def approved(stage: Stage, name: str = "p1") -> bool:
    found: bool = stage.api("GET", path(stage, name))["spec"]["approved"]
    return found


def approver(stage: Stage, person: MakePerson) -> Person:
    """Somebody whose only role is that of the chart."""
    somebody = person([])
    where, plane = f"--namespace={stage.namespace}", stage.plane
    role = "--clusterrole=accountsync-approver"
    plane.kubectl("create", "rolebinding", "approver", where, role, f"--user={somebody.name}")
    asked = ("auth", "can-i", "patch", "remediationplans.accountsync.dev", where)
    until(lambda: plane.kubectl(*asked, check=False, kubeconfig=somebody.kubeconfig).strip() == "yes", "new right")
    return somebody


def test_plans_tell_what_why_how_much_and_until_when(stage: Stage, admin: Person) -> None:
    plan(stage, "p0", phase="Done", message="all of it is done")
    plan(stage, "p1")
    plan(stage, "p2", account={"name": "other", "uid": "v"}, approval="")
    text = admin.types("plans", "-n", stage.namespace).stdout
    for words in (
        f"{stage.namespace}/p1  Pending, waits for approval, expires in 5",  # of 60 minutes
        "  account   grid-btc",
        "  what      close 1 position?[2J",
        "  why       PositionMismatch BTCUSDT",
        "  notional  30000",
        "  approval  it closes every position of the account",
        f"  approve it: accountsync approve p1 -n {stage.namespace}",
        f"{stage.namespace}/p2  Pending, goes on alone, expires in 5",
        f"{stage.namespace}/p0  Done",
        "  status    all of it is done",
    ):
        assert words in text
    assert text.count("approve it") == 1
    assert text.index("/p0") > max(text.index("/p1"), text.index("/p2")), "what is open comes first"
    of_one = admin.types("plans", "other", "-n", stage.namespace).stdout
    assert "/p2" in of_one
    assert "/p1" not in of_one
    assert f"{stage.namespace}/p1" in admin.types("plans", "-A").stdout
    assert admin.types("plans", "nobody", "-n", stage.namespace).stdout == (
        f"no plans of nobody in namespace {stage.namespace}\n"
    )


def test_an_approver_sees_the_steps_and_approves_them(stage: Stage, person: MakePerson) -> None:
    plan(stage, "p1")
    somebody = approver(stage, person)
    done = somebody.types("approve", "p1", "-n", stage.namespace, "--yes")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "1. Flatten BTCUSDT net position: sell 0.5 at 59700, 30000: the bot expects none" in done.stdout
    assert "2. Cancel BTCUSDT conditional order 77 once step 1 has closed its position" in done.stdout
    assert approved(stage)
    (manager,) = (each["manager"] for each in stage.api("GET", path(stage, "p1"))["metadata"]["managedFields"][-1:])
    assert manager == f"accountsync-cli {somebody.name}"[:128]
    again = somebody.types("approve", "p1", "-n", stage.namespace, "--yes")
    assert (again.exit_code, again.stderr) == (1, "NOT approved: it is approved already\n")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (
            {"phase": "Expired", "message": "what it was for has changed"},
            "no longer Pending but Expired: what it was for",
        ),
        ({"expires": "2026-01-01T00:00:00Z"}, "it expired "),
        ({"dryRun": True}, "it is a dry run"),
        ({"approval": ""}, "it needs nobody's approval"),
    ],
)
def test_what_no_approval_would_help_is_not_approved(
    stage: Stage, admin: Person, made: dict[str, Any], why: str
) -> None:
    plan(stage, "p1", **made)
    done = admin.types("approve", "p1", "-n", stage.namespace, "--yes")
    assert done.exit_code == 1
    assert done.stderr.startswith("NOT approved: ")
    assert why in done.stderr
    assert not approved(stage)


def test_without_a_terminal_it_takes_a_yes(stage: Stage, admin: Person) -> None:
    plan(stage, "p1")
    done = admin.types("approve", "p1", "-n", stage.namespace, answer="y\n")
    assert (done.exit_code, done.stderr) == (1, "NOT approved: nobody to ask here; give --yes\n")
    assert not approved(stage)


def test_what_changed_after_it_was_shown_is_not_approved(stage: Stage, admin: Person) -> None:
    plan(stage, "p1")
    with at_a_terminal(stage, admin, "approve", "p1") as (asking, terminal):
        read_until(terminal, "[y/N]")
        plan(stage, "p1", message="something new")
        os.write(terminal, b"y\n")
        read_until(terminal, "NOT approved: it has changed since it was shown: look again")
        assert asking.wait(20) == 1
    assert not approved(stage)


def test_without_the_right_it_says_which_one_is_missing(stage: Stage, person: MakePerson) -> None:
    plan(stage, "p1")
    somebody = person(["get"])
    done = somebody.types("approve", "p1", "-n", stage.namespace, "--yes")
    assert done.exit_code == 1
    assert f"not allowed: get remediationplans.accountsync.dev in namespace {stage.namespace}" in done.stderr
    done = somebody.types("plans", "-n", stage.namespace)
    assert f"not allowed: list remediationplans.accountsync.dev in namespace {stage.namespace}" in done.stderr


def test_a_plan_that_is_not_there_is_named(stage: Stage, admin: Person) -> None:
    done = admin.types("approve", "nothing", "-n", stage.namespace)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"there is no RemediationPlan nothing in namespace {stage.namespace}" in done.stderr

"""A full reset from the terminal: what it refuses, what it says, and from where it goes on."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import click
import pytest
from tests.cli.conftest import STATE, MakePerson, Person, told
from tests.cli.test_plans import approved, plan
from tests.support.stage import ApiError, Body, Stage

from accountsync.cli import doing, resetting
from accountsync.domain.reset import reset_key

pytestmark = pytest.mark.cluster

POLICY_HOLD = {"source": "Policy", "reason": "Drift", "message": "drift", "since": "2026-09-21T13:33:20Z"}
RESET, REQUESTED = "accountsync.dev/reset", "accountsync.dev/requestedAt"
KEYS = {role: {"secretRef": {"name": role}} for role in ("read", "trade")}
FREQTRADE = {"freqtrade": {"url": "http://127.0.0.1:1", "secretRef": {"name": "bot"}}}
Say = Callable[[str], tuple[str, str] | None]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks more often than it would for a person."""
    for module in (doing, resetting):
        monkeypatch.setattr(module, "LOOK_EVERY", 0.05)


def account(stage: Stage, name: str = "one", **spec: Any) -> Body:
    """One in mode Enforce."""
    return stage.account(name, state=STATE, mode="Enforce", **{"credentials": KEYS, **spec})


def asked(stage: Stage, name: str = "one") -> str:
    return str(stage.get(name)["metadata"].get("annotations", {}).get(RESET, ""))


@contextmanager
def followed(
    stage: Stage, say: Say, *, holds: Callable[[str], list[Body]] = lambda _: [], **status: Any
) -> Iterator[None]:
    """What an operator writes of the account `one`: it holds what is paused, and of a reset it says what `say` does.

    `say`: of the reset's id: reason and text of the condition; None: nothing. `holds`: of the same, further holds.
    """
    over = threading.Event()

    def write() -> None:
        body = stage.get("one")
        notes, spec = body["metadata"].get("annotations", {}), body["spec"]
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        hold = {"source": "User", "reason": "Paused", "message": "by a person", "since": now}
        held = [*([hold] if spec.get("paused") else []), *holds(notes.get(RESET, ""))]
        said = say(notes[RESET]) if RESET in notes else None
        row = {"type": "Reset", "status": "False", "observedGeneration": 1, "lastTransitionTime": now}
        told(
            stage,
            "one",
            {
                "observedGeneration": body["metadata"]["generation"],
                "paused": bool(held),
                "holds": held,
                "sync": "InSync",
                "conditions": [{**row, "reason": said[0], "message": f"{notes[RESET]}: {said[1]}"}] if said else [],
                **({"lastHandledReconcileAt": notes[REQUESTED]} if REQUESTED in notes else {}),
                **status,
            },
        )

    def follow() -> None:
        while not over.wait(0.05):
            try:
                write()
            except ApiError as error:
                if error.status != 409:
                    raise

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def planned(stage: Stage, name: str, reset: str, **made: Any) -> None:
    uid = stage.get("one")["metadata"]["uid"]
    action = {"type": "Cancel", "symbol": "BTCUSDT", "orderId": "77", "findings": [reset_key(reset)]}
    about = {"account": {"name": "one", "uid": uid}, "findings": [reset_key(reset)], "actions": [action]}
    plan(stage, name, **{**about, **made})


# --- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"remediation": {"mode": "Pause"}}, "spec.remediation.mode of {} is Pause"),
        ({"remediation": {"mode": "Enforce", "dryRun": True}}, "spec.remediation.dryRun of {} is true"),
        ({"suspend": True}, "spec.suspend of {} is true"),
        (
            {"pauseLevel": "Halt", "bot": {"state": FREQTRADE}},
            "spec.pauseLevel of {} is Halt: a freqtrade that is halted tells nothing",
        ),
    ],
)
def test_what_can_not_come_to_an_end_is_not_begun(stage: Stage, admin: Person, spec: Body, why: str) -> None:
    before = account(stage, **{"remediation": {"mode": "Enforce"}, **spec})
    done = admin.types("reset", "one", "-n", stage.namespace, "--yes")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"FAILED: {why.format(f'{stage.namespace}/one')}" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert stage.get("one")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_an_account_that_is_not_there_is_named_with_one_that_is(stage: Stage, admin: Person) -> None:
    account(stage, "grid-btc")
    done = admin.types("reset", "grid-bt", "-n", stage.namespace)
    assert done.exit_code == 1
    assert f"there is no TradingAccount grid-bt in namespace {stage.namespace}; did you mean grid-btc?" in done.stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["one", "--abandon", "--yes"], "--abandon goes alone"),
        (["one", "--dry-run", "--resume"], "--dry-run changes nothing"),
        (["One"], "can't be a name"),
        ([], "Missing argument"),
        (["one", "two"], "unexpected extra argument"),
        (["one", "--wait", "-1"], "--wait"),
    ],
)
def test_options_that_contradict_each_other_are_refused(admin: Person, options: list[str], why: str) -> None:
    done = admin.types("reset", *options)
    assert done.exit_code == 2
    assert why in done.stderr


def test_a_dry_run_shows_all_steps_and_changes_nothing(stage: Stage, admin: Person) -> None:
    before = account(stage)
    done = admin.types("reset", "one", "-n", stage.namespace, "--dry-run")
    assert (done.exit_code, done.stderr) == (0, "")
    for step in ("1/6 pause", "2/6 ask", "3/6 cancel and flatten", "4/6 clear belief", "5/6 verify", "6/6 resume"):
        assert step in done.stdout
    assert "restart the bot" in done.stdout
    assert stage.get("one")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


# --- how it stops ----------------------------------------------------------------------------------------------------


def test_without_an_operator_the_bot_is_paused_and_no_more(stage: Stage, admin: Person) -> None:
    account(stage)
    done = admin.types("reset", "one", "-n", stage.namespace, "--yes", "--wait", "0.1")
    assert done.exit_code == 1
    assert "the operator has not said in 0.1 s that it holds the bot: is it running?" in done.stderr
    where = f"accountsync reset one -n {stage.namespace}"
    assert f"{stage.namespace}/one stays paused. To go on from here: {where}" in done.stderr
    spec = stage.get("one")["spec"]
    assert (spec["paused"], spec["pauseReason"]) == (True, "a full reset is under way (accountsync reset)")
    assert asked(stage) == ""


def test_what_the_operator_refuses_is_told_and_the_words_of_an_earlier_pause_stay(stage: Stage, admin: Person) -> None:
    account(stage, paused=True, pauseReason="an incident")
    with followed(stage, lambda _: ("Refused", "spec.remediation.limits.actionsPerHour is 2")):
        done = admin.types("reset", "one", "-n", stage.namespace, "--yes", "--wait", "20")
    assert done.exit_code == 1
    assert '  it was paused already: "an incident"' in done.stdout
    assert "the operator makes no plan: spec.remediation.limits.actionsPerHour is 2" in done.stderr
    assert stage.get("one")["spec"]["pauseReason"] == "an incident"
    assert asked(stage), "a person raises the limit, and goes on"


def test_an_unknown_outcome_stops_it_and_it_says_what_to_do(stage: Stage, admin: Person) -> None:
    account(stage, paused=True)
    stage.annotate("one", "reset", "r1")
    planned(stage, "p1", "r1", phase="Unknown")
    with followed(stage, lambda _: None):
        done = admin.types("reset", "one", "-n", stage.namespace, "--yes", "--wait", "20")
    assert done.exit_code == 1
    assert "goes on with reset r1" in done.stdout
    assert f"accountsync resume one -n {stage.namespace} --seen" in done.stderr


def test_it_approves_only_the_plan_of_its_own_reset(stage: Stage, admin: Person) -> None:
    account(stage, paused=True)
    stage.annotate("one", "reset", "r1")
    planned(stage, "other", "r0")
    planned(stage, "foreign", "r1", account={"name": "one", "uid": "of an account that was deleted"})
    with followed(stage, lambda _: None):
        done = admin.types("reset", "one", "-n", stage.namespace, "--yes", "--wait", "0.3")
    assert done.exit_code == 1
    assert "there is no plan after 0.3 s" in done.stderr
    assert not approved(stage, "other")
    assert not approved(stage, "foreign")


def test_without_the_right_to_approve_it_names_who_can_go_on(stage: Stage, person: MakePerson) -> None:
    account(stage, paused=True)
    stage.annotate("one", "reset", "r1")
    planned(stage, "p1", "r1")
    somebody = person(["get", "patch"])
    where, plane = f"--namespace={stage.namespace}", stage.plane
    plane.kubectl("create", "role", "plans", where, "--verb=get,list", "--resource=remediationplans")
    plane.kubectl("create", "rolebinding", "plans", where, "--role=plans", f"--user={somebody.name}")
    with followed(stage, lambda _: None):
        end = time.monotonic() + 20
        while True:  # the new right takes a moment
            done = somebody.types("reset", "one", "-n", stage.namespace, "--yes", "--wait", "20")
            if "list remediationplans" not in done.stderr or time.monotonic() > end:
                break
    assert done.exit_code == 1
    assert "1. Cancel BTCUSDT order 77" in done.stdout
    assert "NOT approved: not allowed: patch remediationplans" in done.stderr
    assert f"Somebody who may: accountsync approve p1 -n {stage.namespace}" in done.stderr
    assert not approved(stage)


def test_who_says_no_or_breaks_off_leaves_the_bot_paused(
    stage: Stage, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    account(stage, paused=True)
    stage.annotate("one", "reset", "r1")
    planned(stage, "p1", "r1")
    with followed(stage, lambda _: None):
        monkeypatch.setattr(resetting, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
        done = admin.types("reset", "one", "-n", stage.namespace, answer="n\n")
        assert done.exit_code == 1
        assert "NOT approved: left as it is" in done.stderr
        monkeypatch.setattr(click, "confirm", lambda _: signal.raise_signal(signal.SIGINT))
        done = admin.types("reset", "one", "-n", stage.namespace)
        assert done.exit_code == 1
        assert "broken off. " in done.stderr
        assert "stays paused. To go on from here" in done.stderr
    assert not approved(stage)
    assert stage.get("one")["spec"]["paused"]
    assert asked(stage) == "r1"


# --- from where it goes on -------------------------------------------------------------------------------------------


def test_what_the_last_one_left_takes_a_new_reset(stage: Stage, admin: Person) -> None:
    account(stage, paused=True)
    stage.annotate("one", "reset", "r1")
    planned(stage, "p1", "r1", phase="Expired", message="nobody approved it in time")
    left = ("Left", "still there: 1 open order")
    with followed(stage, lambda reset: left if reset == "r1" else ("Clean", "nothing is left")):
        done = admin.types("reset", "one", "-n", stage.namespace, "--yes", "--wait", "20")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "the last one left something" in done.stdout
    assert asked(stage) == "", "what is done is forgotten"


def test_nothing_to_do_is_an_end_too_and_with_resume_the_bot_is_let_go(stage: Stage, admin: Person) -> None:
    account(stage)
    with followed(stage, lambda _: ("Clean", "nothing is left")):
        done = admin.types("reset", "one", "-n", stage.namespace, "--resume", "--wait", "20")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "nothing is left to cancel or to close" in done.stdout
    assert done.stdout.rstrip().endswith("the bot runs")
    assert stage.get("one")["spec"]["paused"] is False
    assert stage.get("one")["spec"].get("pauseReason", "") == ""


def test_without_resume_it_prints_how_and_the_bot_stays_paused(stage: Stage, admin: Person) -> None:
    account(stage)
    with followed(stage, lambda _: ("Clean", "nothing is left")):
        done = admin.types("reset", "one", "-n", stage.namespace, "--wait", "20")
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"lift the pause:   accountsync resume one -n {stage.namespace}" in done.stdout
    assert stage.get("one")["spec"]["paused"] is True


def test_what_was_not_read_since_it_was_asked_is_not_taken_for_clean(stage: Stage, admin: Person) -> None:
    account(stage, paused=True)
    with followed(stage, lambda _: ("Unread", "the account could not be read whole since")):
        done = admin.types("reset", "one", "-n", stage.namespace, "--yes", "--resume", "--wait", "0.3")
    assert done.exit_code == 1
    assert "the account could not be read whole since" in done.stderr
    assert stage.get("one")["spec"]["paused"] is True


def test_a_plan_that_the_operator_still_writes_is_not_shown_yet(stage: Stage, admin: Person) -> None:
    account(stage, paused=True)
    stage.annotate("one", "reset", "r1")
    planned(stage, "p1", "r1", phase=None)
    with followed(stage, lambda _: ("Planned", "plan p1")):
        done = admin.types("reset", "one", "-n", stage.namespace, "--yes", "--wait", "0.3")
    assert "there is no plan after 0.3 s: plan p1" in done.stderr
    assert not approved(stage)


@pytest.mark.parametrize("late", [{"source": "UnknownOutcome", "reason": "OutcomeUnknown"}, None])
def test_what_holds_the_bot_only_after_all_was_clean_is_lifted_by_nobody(
    stage: Stage, admin: Person, late: Body | None
) -> None:
    account(stage, paused=True)
    stage.annotate("one", "reset", "r1")
    clean, dirty = ({**POLICY_HOLD, "digest": digest * 10, "keys": [digest * 4]} for digest in "ab")
    new = {**POLICY_HOLD, **(late or {}), "digest": "c" * 10}

    def holds(reset: str) -> list[Body]:
        return ([clean] if late is None else [new]) if reset else [dirty if late is None else new]

    with followed(stage, lambda _: ("Clean", "nothing is left"), holds=holds):
        done = admin.types("reset", "one", "-n", stage.namespace, "--yes", "--resume", "--wait", "0.4")
    assert done.exit_code == 1
    quoted = stage.get("one")["metadata"]["annotations"].get("accountsync.dev/resume")
    assert quoted == (clean["digest"] if late is None else None)


def test_it_waits_for_a_bot_that_still_believes_and_for_both_sides_to_agree(stage: Stage, admin: Person) -> None:
    account(stage, paused=True)
    where = ("one", "-n", stage.namespace, "--yes", "--wait", "0.3")
    with followed(stage, lambda _: ("Flat", "the bot still believes in 1 open order")):
        done = admin.types("reset", *where)
    assert done.exit_code == 1
    assert "4/6 clear belief: restart the bot now" in done.stdout
    assert "not so after 0.3 s: the bot still believes in 1 open order" in done.stderr
    before = asked(stage)
    with followed(stage, lambda _: ("Clean", "nothing is left"), sync="Unknown"):
        done = admin.types("reset", *where)
    assert done.exit_code == 1
    assert "both sides do not agree after 0.3 s: Unknown" in done.stderr
    assert asked(stage) == before


def test_an_abandoned_one_is_forgotten_and_leaves_the_pause(stage: Stage, admin: Person) -> None:
    account(stage, paused=True)
    none = admin.types("reset", "one", "-n", stage.namespace, "--abandon")
    assert (none.exit_code, none.stdout) == (
        0,
        f"no reset of {stage.namespace}/one is under way; nothing was changed\n",
    )
    stage.annotate("one", "reset", "r1")
    alone = admin.types("reset", "one", "-n", stage.namespace, "--abandon", "--wait", "0.1")
    assert alone.exit_code == 1
    assert "the operator has not said in 0.1 s that it knows" in alone.stderr
    assert "nothing more of its plan" not in alone.output
    assert asked(stage) == "", "all that a person can do is done"
    stage.annotate("one", "reset", "r2")
    with followed(stage, lambda _: None):
        done = admin.types("reset", "one", "-n", stage.namespace, "--abandon", "--wait", "20")
    assert done.exit_code == 0
    assert "nothing more of its plan is begun" in done.stdout
    assert f"let it trade again: accountsync resume one -n {stage.namespace}" in done.stdout
    assert asked(stage) == ""
    assert stage.get("one")["spec"]["paused"] is True

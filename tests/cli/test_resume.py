"""Resuming quotes what a person has seen, and says what holds the bot after that."""

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from tests.cli.conftest import STATE, MakePerson, Person, told
from tests.support.running import accountsync
from tests.support.stage import Body, Stage

from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Signal, Source, begun, fingerprint

pytestmark = pytest.mark.cluster

SINCE = "2026-11-21T12:00:00Z"
FIRST = Finding(Rule.POSITION_MISMATCH, "BTCUSDT", "both", expected="0.5", observed="1")
SECOND = Finding(Rule.UNEXPECTED_ORDER, "ETHUSDT", "77")
HOLD = begun(Source.POLICY, Signal.DRIFT, "drift", 0).gather([fingerprint(FIRST.key)])
WIDER = HOLD.gather([fingerprint(SECOND.key)])


def held(*findings: Finding, handled: str = "", generation: int = 1) -> Body:
    """A status with a Policy hold over `findings`."""
    hold = WIDER if SECOND in findings else HOLD
    items = [
        {
            "rule": each.rule,
            "severity": "high",
            "symbol": each.symbol,
            "id": each.id,
            "state": "Confirmed",
            "expected": each.expected,
            "observed": each.observed,
            "notional": "1234.50",
            "firstSeen": SINCE,
            "lastSeen": SINCE,
        }
        for each in findings
    ]
    return {
        "paused": True,
        "observedGeneration": generation,
        "sync": "OutOfSync",
        "holds": [
            {
                "source": "Policy",
                "reason": "DriftConfirmed",
                "message": "drift",
                "since": SINCE,
                "digest": hold.digest,
                "base": hold.base,
                "keys": list(hold.keys),
            }
        ],
        "findings": {"total": len(items), "confirmed": len(items), "items": items},
        **({"lastHandledResume": handled} if handled else {}),
    }


def quoted(stage: Stage, name: str) -> str | None:
    found: str | None = stage.get(name)["metadata"].get("annotations", {}).get("accountsync.dev/resume")
    return found


def test_it_lifts_the_pause_and_its_reason_and_says_what_still_holds(stage: Stage, person: MakePerson) -> None:
    stage.account("one", state=STATE, paused=True, pauseReason="maintenance")
    told(stage, "one", held(FIRST, generation=2))
    done = person(["get", "patch", "resume"]).types("resume", "one", "-n", stage.namespace)
    assert done.exit_code == 0
    assert "lifted the pause" in done.stdout
    assert '"maintenance"' in done.stdout
    assert (
        f"STILL HELD by Policy since 2026-11-21 12:00:00Z: drift; accountsync resume one -n {stage.namespace} --seen"
        in (done.stdout)
    )
    assert HOLD.digest not in done.stdout, "a digest is shown beside what it stands for, or not at all"
    assert stage.get("one")["spec"]["paused"] is False
    assert stage.get("one")["spec"].get("pauseReason", "") == ""
    assert quoted(stage, "one") is None


def test_the_rights_to_patch_and_to_resume_are_enough(stage: Stage, person: MakePerson) -> None:
    stage.account("one", state=STATE, paused=True)
    done = person(["patch", "resume"]).types("resume", "one", "-n", stage.namespace)
    assert done.exit_code == 0
    assert "can't be seen: not allowed: get tradingaccounts" in done.stdout
    assert not stage.get("one")["spec"]["paused"]


def test_many_are_lifted_and_no_hold_of_the_operators_is(stage: Stage, admin: Person) -> None:
    for name in ("a", "b"):
        stage.account(name, state=STATE, paused=True)
        told(stage, name, held(FIRST, generation=2))
    done = admin.types("resume", "--all", "-n", stage.namespace, "--wait", "5")
    assert done.exit_code == 0
    assert done.stdout.count("STILL HELD by Policy") == 2
    assert [quoted(stage, name) for name in ("a", "b")] == [None, None]


def test_seen_shows_what_the_hold_stands_for_and_writes_nothing_where_nobody_can_be_asked(
    stage: Stage, admin: Person
) -> None:
    stage.account("one", state=STATE)
    told(stage, "one", held(FIRST))
    done = admin.types("resume", "one", "-n", stage.namespace, "--seen", answer="y\n")
    assert done.exit_code == 1
    assert "PositionMismatch BTCUSDT both: the bot has 0.5, the exchange 1, 1234.5 at risk" in done.stdout
    assert f"[digest {HOLD.digest}]" in done.stdout
    assert "nobody to ask" in done.stdout
    assert quoted(stage, "one") is None


def test_seen_with_yes_shows_first_and_then_quotes_what_it_showed(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE)
    told(stage, "one", held(FIRST))
    done = admin.types("resume", "one", "-n", stage.namespace, "--seen", "--yes", "--wait", "0.1")
    assert done.exit_code == 1, "no operator answers"
    assert done.stdout.index("PositionMismatch") < done.stdout.index(f"wrote the digest {HOLD.digest}")
    assert quoted(stage, "one") == HOLD.digest


@pytest.mark.parametrize(("answer", "written"), [("n", None), ("y", HOLD.digest)])
def test_on_a_terminal_it_asks(stage: Stage, admin: Person, answer: str, written: str | None) -> None:
    stage.account("one", state=STATE)
    told(stage, "one", held(FIRST))
    with at_a_terminal(stage, admin, "resume", "one", "--seen", "--wait=0") as (asking, terminal):
        assert "PositionMismatch" in read_until(terminal, "[y/N]")
        assert quoted(stage, "one") is None
        os.write(terminal, f"{answer}\n".encode())
        read_until(terminal, f"FAILED: 1 of 1 account: {stage.namespace}/one")
        assert asking.wait(20) == 1
    assert quoted(stage, "one") == written


def test_an_interrupt_at_the_question_ends_it_for_all(stage: Stage, admin: Person) -> None:
    for name in ("one", "two"):
        stage.account(name, state=STATE)
        told(stage, name, held(FIRST))
    with at_a_terminal(stage, admin, "resume", "one", "two", "--seen") as (asking, terminal):
        read_until(terminal, "[y/N]")
        asking.send_signal(signal.SIGINT)
        while not select.select([terminal], [], [], 2)[0]:
            asking.send_signal(signal.SIGINT)  # the one before came just before it waited for input
        assert "[y/N]" not in read_until(terminal, "Aborted!")
        assert asking.wait(20) == 1
    assert [quoted(stage, name) for name in ("one", "two")] == [None, None]


@contextmanager
def at_a_terminal(stage: Stage, person: Person, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = pty.openpty()
    command = accountsync(*arguments, "-n", stage.namespace, f"--kubeconfig={person.kubeconfig}")
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


def read_until(terminal: int, text: str) -> str:
    seen = ""
    deadline = time.monotonic() + 30
    while text not in seen:
        assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], seen
        seen += os.read(terminal, 4096).decode()
    return seen


def test_a_digest_of_before_a_finding_is_refused_and_the_finding_is_named(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE)
    told(stage, "one", held(FIRST, SECOND, handled=HOLD.digest))
    done = admin.types("resume", "one", "-n", stage.namespace, "--digest", HOLD.digest)
    assert done.exit_code == 1
    refusal = done.stdout[done.stdout.index("REFUSED") :]
    assert f"the Policy hold stands for more than {HOLD.digest} does" in refusal
    assert "UnexpectedOrder ETHUSDT 77" in refusal
    assert "PositionMismatch" not in refusal, "that one was seen"


def test_a_digest_of_nothing_is_refused(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE)
    told(stage, "one", held(FIRST, handled="0123456789"))
    done = admin.types("resume", "one", "-n", stage.namespace, "--digest", "0123456789")
    assert done.exit_code == 1
    assert "REFUSED: 0123456789 is of no hold that stands" in done.stdout


def test_a_digest_is_not_written_where_it_could_only_lift_a_hold_of_tomorrow(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE)
    done = admin.types("resume", "one", "-n", stage.namespace, "--digest", HOLD.digest)
    assert done.exit_code == 0
    assert "no hold that a digest lifts; the bot runs" in done.stdout
    assert quoted(stage, "one") is None


def test_status_says_what_an_on_call_person_needs(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE, paused=True, pauseReason="main\x1b[2Jtenance")
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    snapshot = {"timestamp": now, "positions": 1, "openOrders": 2, "pendingNotional": "4000"}
    told(stage, "one", {**held(FIRST, SECOND), "snapshot": snapshot, "lastReportTime": now})
    text = admin.types("status", "one", "-n", stage.namespace).stdout
    for words in (
        "bot        PAUSED",
        "sync       OutOfSync, 2 findings",
        "Policy since 2026-11-21 12:00:00Z: drift (",
        f"[digest {WIDER.digest}]",
        "spec.paused, which the operator has not seen yet; the bot obeys it all the same",
        ': "main?[2Jtenance"',
        "high      PositionMismatch BTCUSDT both: the bot has 0.5, the exchange 1, 1234.5 at risk, for ",
        "1 position, 2 open orders of 4000",
        f"accountsync resume one -n {stage.namespace} --digest {WIDER.digest}",
    ):
        assert words in text


def test_status_is_a_document_for_programs(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE)
    told(stage, "one", held(FIRST))
    document = json.loads(admin.types("status", "one", "-n", stage.namespace, "-o", "json").stdout)
    assert document["stopped"] is True
    assert document["paused"] == {"spec": False, "status": True, "reason": ""}
    assert document["holds"][0]["digest"] == HOLD.digest
    assert document["findings"]["items"][0]["notional"] == "1234.5"


def test_status_of_nobody_names_who_is_like_it(stage: Stage, admin: Person) -> None:
    stage.account("grid-btc", state=STATE)
    done = admin.types("status", "grid-bt", "-n", stage.namespace)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "did you mean grid-btc?" in done.stderr


def test_a_cycle_is_asked_for_and_its_echo_awaited(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE)
    first, second = (admin.types("reconcile", "one", "-n", stage.namespace) for _ in range(2))
    assert first.exit_code == 0
    assert first.stdout != second.stdout
    asked = stage.get("one")["metadata"]["annotations"]["accountsync.dev/requestedAt"]
    assert datetime.fromisoformat(asked).tzinfo == UTC
    done = admin.types("reconcile", "one", "-n", stage.namespace, "--wait", "0.1")
    assert done.exit_code == 1
    assert "is the operator running?" in done.stdout

"""What of a TradingAccount decides."""

from typing import Any

import pytest

from accountsync.domain.policy import PauseLevel
from accountsync.gate.account import read_account, seconds


def body(status: Any = None, /, **spec: Any) -> dict[str, Any]:
    written = {"bot": {"gate": {"failClosedAfter": "60s"}}, "remediation": {"mode": "Pause"}, **spec}
    return {"metadata": {}, "spec": written, "status": status}


@pytest.mark.parametrize(
    ("text", "span"), [("60s", 60), ("1m30s", 90), ("1.5h", 5400), ("250ms", 0.25), ("1h0m0s", 3600), ("1us", 1e-6)]
)
def test_durations_are_gos(text: str, span: float) -> None:
    assert seconds(text) == pytest.approx(span)


@pytest.mark.parametrize("text", ["", "60", "s", "-5s", "1 m", "5d", "1e3s", "60s;"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        seconds(text)


def test_either_pause_counts_and_the_farther_level_does() -> None:
    assert not read_account(body()).paused
    by_spec = read_account(body(paused=True, pauseLevel="ReduceOnly", pauseReason="incident 42"))
    assert by_spec.paused
    assert [(hold.source, hold.reason, hold.message) for hold in by_spec.holds] == [
        ("User", "PausedBySpec", "incident 42")
    ]
    by_status = read_account(body({"paused": True, "pauseLevel": "Halt"}, paused=True, pauseLevel="ReduceOnly"))
    assert by_status.level is PauseLevel.HALT
    assert read_account(body({"paused": False}, paused=True, pauseLevel="Halt")).level is PauseLevel.HALT


def test_a_level_that_stands_without_a_pause_is_none() -> None:
    account = read_account(body({"paused": True, "pauseLevel": "ReduceOnly"}, pauseLevel="Halt"))
    assert account.level is PauseLevel.REDUCE_ONLY  # the operator has not written the other one yet


def test_the_hold_of_a_user_is_told_once() -> None:
    hold = {"source": "User", "reason": "PausedBySpec", "message": "incident 42", "since": "2026-11-21T11:00:00Z"}
    account = read_account(body({"paused": True, "holds": [hold]}, paused=True))
    assert [each.since for each in account.holds] == ["2026-11-21T11:00:00Z"]


def test_no_gate_is_not_a_gate_with_defaults() -> None:
    assert read_account(body(bot={})).fail_closed_after is None
    assert read_account(body(bot={"gate": {}})).fail_closed_after == 60
    assert read_account(body(bot={"gate": {"failClosedAfter": "5s"}})).fail_closed_after == 5


@pytest.mark.parametrize(
    "wrong",
    [
        body(paused="yes"),
        body({"paused": 1}),
        body(bot={"gate": {"failClosedAfter": "soon"}}),
        body(bot=None),
        body({"paused": True, "holds": [{"source": "User"}]}),
        {"metadata": {}},
        {"metadata": {}, "spec": []},
    ],
)
def test_what_cannot_be_read_is_said_and_not_guessed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_account(wrong)

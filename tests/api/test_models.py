"""`TradingAccount` in Python: reading it, and saying what is wrong with it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.api.accounts import ACCEPTED, FULL, REFUSED, ROOT, Refused, account, changed

from accountsync.api import caps
from accountsync.api.v1alpha1 import (
    Condition,
    Finding,
    Findings,
    FindingState,
    Hold,
    HoldSource,
    Mode,
    PauseLevel,
    Severity,
    TradingAccount,
    TradingAccountStatus,
    Transition,
    Watermarks,
    parse_status,
)
from accountsync.errors import ConfigurationError, Reason

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
HOLD = {"source": "Policy", "reason": "Drift", "message": "m", "since": "2026-11-21T12:00:00Z"}


def parse(changes: dict[str, Any] | None = None, **body: Any) -> TradingAccount:
    return TradingAccount.parse(account("grid", changed(changes or {})) | body)


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_wrong_spec_is_a_configuration_error_that_names_the_field(case: Refused) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse(case.changes)
    assert refusal.value.reason is Reason.SPEC_INVALID
    assert case.path in refusal.value.message
    assert (case.ours or case.says) in refusal.value.message


@pytest.mark.parametrize("changes", ACCEPTED, ids=str)
def test_a_right_spec_is_read_and_written_the_same(changes: dict[str, Any]) -> None:
    spec = parse(changes).spec
    assert TradingAccount.parse(account("again", spec.dump())).spec == spec


def test_a_spec_that_sets_every_field_is_written_as_it_was() -> None:
    assert TradingAccount.parse(account("full", FULL)).spec.dump() == FULL


def test_a_watchdog_pauses_for_a_quarter_of_an_hour_and_half_an_hour_apart_unless_told_otherwise() -> None:
    watchdog = parse({"watchdog": {"allocatedCapital": "10000", "currency": "USDT"}}).spec.watchdog
    assert watchdog is not None
    assert watchdog.max_mismatch_ratio == Decimal("0.5")
    terms = watchdog.auto_resume
    assert (terms.enabled, terms.min_pause, terms.clean_cycles, terms.cooldown) == (True, "15m", 2, "30m")


def test_without_a_watchdog_there_is_none_and_a_held_bot_goes_on_to_reduce() -> None:
    spec = parse().spec
    assert (spec.watchdog, spec.pause_level) == (None, PauseLevel.REDUCE_ONLY)


def test_the_sources_of_all_holds_together_fit_into_their_column() -> None:
    assert TradingAccountStatus(paused_by=",".join(sorted(HoldSource))).paused_by.endswith("Watchdog")


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse({"interval": "soon", "exchange.id": "?", "credentials.read": None})
    assert refusal.value.message.count("; ") == 2


def test_a_refusal_never_repeats_what_it_found() -> None:
    for path in ("exchange.endpoint", "interval", "tolerances.position", "remediation.mode"):
        with pytest.raises(ConfigurationError) as refusal:
            parse({path: "http://user:hunter2@example.com"})
        assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 10),
        ({"interval": "6s"}, 4),
        ({"interval": "15s"}, 10),
        ({"interval": "5m", "staleAfter": "20m"}, 10),
        ({"timeout": "12s"}, 12),
    ],
)
def test_the_timeout_follows_the_interval(changes: dict[str, Any], seconds: float) -> None:
    assert parse(changes).spec.effective_timeout() == seconds


@given(interval=st.integers(1000, 86_400_000), timeout=st.none() | st.integers(1, 86_400_000))
def test_the_stale_after_that_a_refusal_names_is_accepted(interval: int, timeout: int | None) -> None:
    times: dict[str, Any] = {"interval": f"{interval / 1000}s", "staleAfter": "0s"}
    if timeout is not None:
        times["timeout"] = f"{min(timeout, interval) / 1000}s"
    with pytest.raises(ConfigurationError, match=r"spec\.staleAfter") as refusal:
        parse(times)
    least = refusal.value.message.split("set spec.staleAfter to ")[1].split(" or more")[0]
    spec = parse(times | {"staleAfter": least}).spec
    assert spec.stale_after.seconds - 1 <= 2 * spec.interval.seconds + spec.effective_timeout()
    assert spec.stale_after.seconds >= 2 * spec.interval.seconds + spec.effective_timeout()


def test_fields_of_another_release_are_left_out() -> None:
    account = parse({"swarm": {"size": 5}}, status={"swarm": {"size": 3}, "paused": True})
    assert "swarm" not in account.spec.dump()
    assert account.status == TradingAccountStatus(paused=True)


def test_a_status_of_another_release_is_read_as_far_as_it_can_be() -> None:
    status = parse(
        status={
            "sync": "Sideways",
            "holds": [HOLD | {"source": "Watchdog", "level": "Halt"}],
            "findings": {"total": "many"},
            "conditions": [{"type": "Ready"}],
            "history": "none",
            "pausedBy": "Watchdog",
        }
    ).status
    assert status.sync == "Sideways"
    assert [hold.source for hold in status.holds] == ["Watchdog"]
    assert status.findings is None
    assert status.conditions == ()
    assert status.history == ()
    assert status.paused_by == "Watchdog"


def test_a_hold_that_cannot_be_read_is_never_forgotten() -> None:
    with pytest.raises(ConfigurationError, match=r"status\.holds\.0\.since: is required"):
        parse(status={"holds": [{"source": "User", "reason": "r", "message": "m"}]})


def test_the_status_can_be_read_when_the_spec_is_wrong() -> None:
    body = account("grid", changed({"interval": "soon"})) | {"status": {"paused": True, "holds": [HOLD]}}
    status = parse_status(body)
    assert status.paused
    assert status.holds[0].source == HoldSource.POLICY
    assert parse_status(account("new")) == TradingAccountStatus()
    with pytest.raises(ConfigurationError, match=r"status\.holds"):
        parse_status({"status": {"holds": 3}})


def test_a_status_leaves_out_what_it_has_not() -> None:
    assert TradingAccountStatus().dump() == {"paused": False, "pausedBy": ""}
    hold = Hold(source=HoldSource.USER, reason="Paused", message="", since=NOW)
    assert hold.dump() == {
        "source": "User",
        "reason": "Paused",
        "message": "",
        "since": "2026-11-21T12:00:00Z",
    }


def test_long_texts_are_cut_and_compare_the_same_when_read_again() -> None:
    finding = Finding(
        rule="PositionMismatch",
        severity=Severity.HIGH,
        symbol="BTC/USDT:USDT",
        state=FindingState.OPEN,
        message="long " * 100,
        first_seen=NOW,
        last_seen=NOW,
    )
    assert len(finding.message.encode()) <= caps.MESSAGE_CAP
    assert finding.message.endswith("…")
    assert Finding.model_validate(finding.dump()) == finding


def test_more_findings_than_fit_are_a_mistake_of_the_writer() -> None:
    finding = Finding(rule="r", severity=Severity.HIGH, state=FindingState.OPEN, first_seen=NOW, last_seen=NOW)
    with pytest.raises(ValidationError):
        Findings(items=(finding,) * (caps.FINDINGS_CAP + 1))


def test_a_writer_learns_of_its_mistakes() -> None:
    entry = Transition(time=NOW, who="alice", what="Resumed")
    with pytest.raises(ValidationError):
        TradingAccountStatus(history=(entry,) * (caps.HISTORY_CAP + 1))
    with pytest.raises(ValidationError):
        Hold(source=HoldSource.POLICY, reason="r", message="m", since=NOW, digest="d" * (caps.DIGEST_CAP + 1))


def test_a_condition_has_the_standard_fields() -> None:
    condition = Condition(
        type="Ready", status="True", reason="Synced", message="", observed_generation=2, last_transition_time=NOW
    )
    assert condition.dump() == {
        "type": "Ready",
        "status": "True",
        "reason": "Synced",
        "message": "",
        "observedGeneration": 2,
        "lastTransitionTime": "2026-11-21T12:00:00Z",
    }


@given(st.text(max_size=400), st.integers(4, 100))
def test_clipped_text_fits_and_stays_clipped(text: str, cap: int) -> None:
    clipped = caps.clip(text, cap)
    assert len(clipped.encode()) <= cap
    assert caps.clip(clipped, cap) == clipped


@given(st.text(max_size=200))
def test_a_token_fits_and_stays_the_same(text: str) -> None:
    assert len(caps.token(text).encode()) <= caps.TOKEN_CAP
    assert caps.token(caps.token(text)) == caps.token(text)


def test_long_tokens_that_differ_at_the_end_stay_different() -> None:
    long = "x" * 500
    assert Watermarks(boot_id=long + "1").boot_id == caps.token(long + "1") != caps.token(long + "2")


def test_the_example_is_right() -> None:
    documents = list(yaml.safe_load_all((ROOT / "examples" / "account.yaml").read_text()))
    assert [document["kind"] for document in documents] == ["Namespace", "Secret", "ConfigMap", "TradingAccount"]
    spec = TradingAccount.parse(documents[-1]).spec
    assert spec.remediation.mode is Mode.PAUSE
    assert spec.credentials.read.secret_ref.name == documents[1]["metadata"]["name"]
    assert spec.bot.state.config_map is not None
    assert spec.bot.state.config_map.name == documents[2]["metadata"]["name"]
    assert spec.bot.state.config_map.key in documents[2]["data"]


def test_a_history_says_who_did_what() -> None:
    entry = Transition(time=NOW, who="alice", what="Resumed", why="checked by hand")
    assert Transition.model_validate(entry.dump()) == entry

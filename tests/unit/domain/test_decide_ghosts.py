"""The ghosts of a ledger stop the bot by the watchdog alone, and keep no hold of ignorance standing."""

from dataclasses import replace
from decimal import Decimal

import pytest

from accountsync.domain.catalogue import Rule
from accountsync.domain.confirm import Track
from accountsync.domain.decide import Acknowledged, Decision, Situation, Wishes, decide
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Holds, Source
from accountsync.domain.policy import Mode, Parity, Policy, Watchdog

NOW = 1_790_000_000_000
BTC = "BTC/USDT:USDT"
LEDGER = Policy(mode=Mode.PAUSE, parity=Parity(), watchdog=Watchdog(Decimal(1000), "USDT"))
COMPLETE = Situation(complete=True, whole=True)


def track(
    observed: str = "0", notional: str = "100", rule: Rule = Rule.POSITION_MISMATCH, *, confirmed: bool = True
) -> Track:
    finding = Finding(rule, BTC, "net", expected="1", observed=observed, notional=Decimal(notional))
    return Track(finding, NOW, NOW, 0.0, 0, confirmed=confirmed)


def decided(
    *tracks: Track, policy: Policy = LEDGER, situation: Situation = COMPLETE, holds: Holds | None = None
) -> Decision:
    nobody: Acknowledged = {}
    keyed = {each.finding.key: each for each in tracks}
    return decide(keyed, holds or {}, nobody, policy, Wishes(), situation, now_ms=NOW)


def test_a_ghost_raises_no_hold_of_the_policy() -> None:
    assert not decided(track()).holds


def test_a_ghost_raises_the_watchdogs_hold() -> None:
    assert set(decided(track(notional="501")).holds) == {Source.WATCHDOG}


@pytest.mark.parametrize("observed", ["0.5", "-1", "2"])
def test_a_position_that_is_there_in_part_is_no_ghost(observed: str) -> None:
    assert set(decided(track(observed)).holds) == {Source.POLICY}


def test_without_a_ledger_it_is_a_mismatch_like_any_other() -> None:
    assert set(decided(track(), policy=replace(LEDGER, parity=None)).holds) == {Source.POLICY}


def test_other_findings_beside_it_stop_the_bot() -> None:
    assert set(decided(track(), track(rule=Rule.MISSING_ORDER)).holds) == {Source.POLICY}


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("why", [Situation(created=True), Situation(stale_for=400.0)], ids=["Startup", "Stale"])
def test_a_ghost_alone_keeps_no_hold_of_ignorance(why: Situation, confirmed: bool) -> None:
    ignorant = decided(policy=LEDGER, situation=why).holds
    assert len(ignorant) == 1
    assert not decided(track(confirmed=confirmed), holds=ignorant).holds
    assert decided(track(confirmed=confirmed), policy=replace(LEDGER, parity=None), holds=ignorant).holds


def test_a_large_ghost_hands_a_hold_of_ignorance_over_to_the_watchdog() -> None:
    ignorant = decided(policy=LEDGER, situation=Situation(created=True)).holds
    assert set(decided(track(notional="501"), holds=ignorant).holds) == {Source.WATCHDOG}


def test_a_ghost_that_may_not_be_acted_on_still_stops_the_bot() -> None:
    ghost = track()
    refused = replace(COMPLETE, refused=frozenset({ghost.finding.key}))
    assert set(decided(ghost, situation=refused).holds) == {Source.POLICY}

"""The watchdog among the other holds: what raises its hold, what lifts it, and what never does."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.rows import BTC, ETH, NOW

from accountsync.domain.catalogue import Rule
from accountsync.domain.confirm import Track
from accountsync.domain.decide import Acknowledged, Decision, Situation, Wishes, decide
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Holds, Signal, Source, fingerprint
from accountsync.domain.policy import AutoResume, Mode, Policy, Watchdog
from accountsync.domain.watchdog import Vigil

PAUSE = Policy(mode=Mode.PAUSE, pause_at=None, watchdog=Watchdog(Decimal(1000), "USDT"))
"""Nothing but the watchdog stops this one, at more than 500 USDT."""
COMPLETE = Situation(complete=True, whole=True)
NOTHING = Wishes()
MINUTE = 60.0


def track(
    notional: str = "600",
    id_: str = "net",
    rule: Rule = Rule.POSITION_MISMATCH,
    *,
    symbol: str = BTC,
    confirmed: bool = True,
    priced: bool = True,
) -> Track:
    found = Finding(rule, symbol, id_, expected="1", observed="7", notional=Decimal(notional), priced=priced)
    return Track(found, NOW, NOW, 0.0, 0, confirmed=confirmed)


def keyed(*tracks: Track) -> dict[str, Track]:
    return {each.finding.key: each for each in tracks}


class Account:
    """An account whose decisions follow one another, a minute apart on both clocks."""

    def __init__(self, policy: Policy = PAUSE) -> None:
        self.policy = policy
        self.holds: Holds = {}
        self.acknowledged: Acknowledged = {}
        self.vigil = Vigil()
        self.now, self.monotonic = NOW, 1000.0

    def decide(self, *tracks: Track, wishes: Wishes = NOTHING, situation: Situation = COMPLETE) -> Decision:
        self.now += 60_000
        self.monotonic += MINUTE
        decision = decide(
            keyed(*tracks),
            self.holds,
            self.acknowledged,
            self.policy,
            wishes,
            situation,
            now_ms=self.now,
            monotonic=self.monotonic,
            vigil=self.vigil,
        )
        self.holds, self.acknowledged, self.vigil = decision.holds, decision.acknowledged, decision.vigil
        return decision

    def minutes(self, count: int, *tracks: Track, situation: Situation = COMPLETE) -> Decision:
        for _ in range(count):
            decision = self.decide(*tracks, situation=situation)
        return decision

    def resume(self, source: Source, *tracks: Track) -> Decision:
        return self.decide(*tracks, wishes=Wishes(resume=self.holds[source].digest))

    @property
    def held(self) -> set[Source]:
        return set(self.holds)


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def stopped() -> Account:
    """An account that the watchdog stopped just now."""
    account = Account()
    account.decide(track())
    assert account.held == {Source.WATCHDOG}
    return account


def strict(account: Account) -> Account:
    """The same, with a policy that pauses for what is found as well."""
    account.policy = Policy(mode=Mode.PAUSE, watchdog=account.policy.watchdog)
    return account


def without_auto_resume(policy: Policy = PAUSE) -> Policy:
    assert policy.watchdog is not None
    return replace(policy, watchdog=replace(policy.watchdog, auto_resume=AutoResume(enabled=False)))


# --- what raises it --------------------------------------------------------------------------------------------------


def test_too_much_at_risk_stops_the_bot_and_says_how_much(account: Account) -> None:
    (raised,) = account.decide(track()).transitions
    assert (raised.source, raised.raised, raised.why) == (Source.WATCHDOG, True, Signal.MISMATCH_LARGE)
    assert raised.message == "mismatch notional 600 USDT, more than 0.5 of 1000 USDT"


@pytest.mark.parametrize(
    "tracks",
    [(), (track("500"),), (track(confirmed=False),), (track("300"), track("300", "1", Rule.MISSING_ORDER))],
    ids=["nothing", "the limit", "not confirmed", "one missed fill"],
)
def test_what_is_not_too_much_does_not(account: Account, tracks: tuple[Track, ...]) -> None:
    account.decide(*tracks)
    assert account.held == set()


def test_without_a_watchdog_nothing_is_too_much(account: Account) -> None:
    account.policy = replace(PAUSE, watchdog=None)
    account.decide(track("1000000"))
    assert account.held == set()


def test_a_mismatch_without_a_price_stops_the_bot_and_says_so(account: Account) -> None:
    (raised,) = account.decide(track("0", priced=False)).transitions
    assert raised.message.startswith("there is no price for PositionMismatch BTC/USDT:USDT")


def test_a_watchdog_that_is_added_looks_at_what_stands_already(account: Account) -> None:
    account.policy = replace(PAUSE, watchdog=None)
    account.decide(track())
    account.policy = PAUSE
    account.decide(track(), situation=Situation(idle=True))
    assert account.held == {Source.WATCHDOG}


def test_observe_stops_nothing_and_says_what_it_would_have_done(account: Account) -> None:
    account.policy = replace(PAUSE, mode=Mode.OBSERVE)
    decision = account.decide(track())
    assert (account.held, decision.transitions) == (set(), ())
    assert decision.withheld == "mismatch notional 600 USDT, more than 0.5 of 1000 USDT"
    assert account.decide(track("1")).withheld == ""


def test_nothing_is_withheld_where_the_hold_stands_already(stopped: Account) -> None:
    stopped.policy = replace(PAUSE, mode=Mode.OBSERVE)
    assert stopped.decide(track()).withheld == ""
    assert stopped.held == {Source.WATCHDOG}


def test_it_stops_the_bot_beside_the_policy(account: Account) -> None:
    strict(account).decide(track())
    assert account.held == {Source.POLICY, Source.WATCHDOG}


# --- what lifts it ---------------------------------------------------------------------------------------------------


def test_it_lets_the_bot_go_by_itself(stopped: Account) -> None:
    stopped.minutes(14)
    assert stopped.held == {Source.WATCHDOG}
    (lifted,) = stopped.decide().transitions
    assert (lifted.source, lifted.raised, lifted.why) == (Source.WATCHDOG, False, Signal.RECOVERED)
    assert (stopped.vigil.raised_at, stopped.vigil.resumed_ms) == (None, stopped.now)


@pytest.mark.parametrize(
    "situation", [Situation(), Situation(complete=True), Situation(whole=True)], ids=["unread", "in part", "not newer"]
)
def test_a_cycle_that_did_not_judge_everything_is_not_clean(stopped: Account, situation: Situation) -> None:
    stopped.minutes(30, situation=situation)
    stopped.decide()
    stopped.decide(situation=situation)
    stopped.decide()
    assert stopped.held == {Source.WATCHDOG}
    stopped.decide()
    assert stopped.held == set()


def test_a_cycle_that_read_nothing_neither_counts_nor_interrupts(stopped: Account) -> None:
    stopped.minutes(30, situation=Situation(idle=True))
    stopped.decide()
    stopped.minutes(3, situation=Situation(idle=True))
    assert stopped.held == {Source.WATCHDOG}
    stopped.decide()
    assert stopped.held == set()


@pytest.mark.parametrize("left", [track("1"), track("600"), track("0", priced=False), track("1", confirmed=False)])
def test_below_the_limit_is_not_clean(stopped: Account, left: Track) -> None:
    """The runbook asks for a reconciliation that stays clean."""
    stopped.minutes(60, left)
    assert stopped.held == {Source.WATCHDOG}


def test_a_balance_that_differs_does_not_keep_it(stopped: Account) -> None:
    stopped.minutes(15, track("0", "wallet", Rule.BALANCE_MISMATCH, symbol="USDT"))
    assert stopped.held == set()


def test_it_lets_go_only_once_in_a_cooldown(stopped: Account) -> None:
    stopped.minutes(15)
    stopped.decide(track())
    stopped.minutes(28)
    assert stopped.held == {Source.WATCHDOG}
    stopped.decide()
    assert stopped.held == set()


def test_it_lifts_nothing_but_its_own(stopped: Account) -> None:
    strict(stopped)
    stopped.decide(track(), wishes=Wishes(paused=True), situation=Situation(stale_for=301, booted=True))
    assert stopped.held == {Source.WATCHDOG, Source.POLICY, Source.USER, Source.STALE, Source.STARTUP}
    stopped.vigil = replace(stopped.vigil, clean=2, raised_at=0.0)
    decision = stopped.decide(wishes=Wishes(paused=True), situation=Situation(idle=True, stale_for=301))
    assert [each.source for each in decision.transitions] == [Source.WATCHDOG]
    assert stopped.held == {Source.POLICY, Source.USER, Source.STALE, Source.STARTUP}


def test_a_wall_clock_that_jumps_ends_nothing_early(stopped: Account) -> None:
    stopped.now += 86_400_000
    stopped.minutes(13)
    stopped.now -= 2 * 86_400_000
    stopped.decide()
    assert stopped.held == {Source.WATCHDOG}
    stopped.decide()
    assert stopped.held == set()


def test_a_hold_that_nobody_knows_the_age_of_stands_for_its_whole_time(stopped: Account) -> None:
    stopped.vigil = Vigil()
    stopped.minutes(15)
    assert stopped.held == {Source.WATCHDOG}
    stopped.decide()
    assert stopped.held == set()


def test_a_watchdog_that_is_taken_out_leaves_its_hold_to_a_person(stopped: Account) -> None:
    stopped.policy = replace(PAUSE, watchdog=None)
    stopped.minutes(99)
    assert stopped.held == {Source.WATCHDOG}
    stopped.resume(Source.WATCHDOG)
    assert stopped.held == set()


def test_changing_the_mode_lifts_nothing_and_keeps_nothing(stopped: Account) -> None:
    stopped.policy = replace(PAUSE, mode=Mode.OBSERVE)
    stopped.minutes(14)
    assert stopped.held == {Source.WATCHDOG}
    stopped.decide()
    assert stopped.held == set()


# --- people ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [PAUSE, without_auto_resume()], ids=["auto-resume", "none"])
def test_a_person_lifts_it_by_its_digest_and_the_transition_says_so(policy: Policy) -> None:
    account = Account(policy)
    account.decide(track())
    (lifted,) = account.resume(Source.WATCHDOG, track()).transitions
    assert (lifted.source, lifted.why) == (Source.WATCHDOG, Signal.WATCHDOG_RESUMED)
    assert lifted.message == "a person resumed over 1 finding still there"
    assert account.vigil.resumed_ms is None


def test_without_auto_resume_it_waits_for_a_person() -> None:
    account = Account(without_auto_resume())
    account.decide(track())
    account.minutes(99)
    assert account.held == {Source.WATCHDOG}


@pytest.mark.parametrize(("notional", "stops"), [("600", False), ("750", False), ("750.01", True), ("1", False)])
def test_what_a_person_resumed_over_stops_the_bot_again_when_it_grew_by_a_quarter(
    stopped: Account, notional: str, stops: bool
) -> None:
    stopped.resume(Source.WATCHDOG, track())
    stopped.decide(track(notional))
    assert (Source.WATCHDOG in stopped.holds) is stops


def test_what_a_person_resumed_over_stops_the_bot_again_when_it_resolved_and_returned(stopped: Account) -> None:
    stopped.resume(Source.WATCHDOG, track())
    stopped.decide()
    stopped.decide(track())
    assert stopped.held == {Source.WATCHDOG}


def test_what_was_resumed_over_does_not_count_beside_another(stopped: Account) -> None:
    stopped.resume(Source.WATCHDOG, track())
    stopped.decide(track(), track("400", symbol=ETH))
    assert stopped.held == set()
    stopped.decide(track(), track("501", symbol=ETH))
    assert stopped.held == {Source.WATCHDOG}


def test_a_digest_of_before_a_finding_that_stands_now_is_refused(stopped: Account) -> None:
    digest = stopped.holds[Source.WATCHDOG].digest
    stopped.decide(track(), track("5", symbol=ETH))
    decision = stopped.decide(track(), track("5", symbol=ETH), wishes=Wishes(resume=digest))
    assert decision.refusal.startswith("since that digest there is new: PositionMismatch ETH/USDT:USDT net; look")
    assert stopped.holds[Source.WATCHDOG].digest in decision.refusal
    assert stopped.held == {Source.WATCHDOG}


def test_resuming_from_the_policy_lifts_no_watchdog(stopped: Account) -> None:
    strict(stopped).decide(track())
    (lifted,) = stopped.resume(Source.POLICY, track()).transitions
    assert (lifted.source, stopped.held) == (Source.POLICY, {Source.WATCHDOG})


def test_resuming_from_the_policy_makes_nothing_clean_that_the_watchdog_holds_for(stopped: Account) -> None:
    strict(stopped).decide(track())
    stopped.resume(Source.POLICY, track())
    stopped.minutes(99, track())
    assert stopped.held == {Source.WATCHDOG}


def test_what_was_accepted_before_the_hold_keeps_it_from_nothing(account: Account) -> None:
    old = track("20", symbol=ETH)
    strict(account).decide(old)
    account.resume(Source.POLICY, old)
    account.decide(old, track())
    account.resume(Source.POLICY, old, track())
    account.minutes(15, old)
    assert account.held == set()


def test_resuming_from_the_watchdog_lifts_no_policy_hold(stopped: Account) -> None:
    strict(stopped).decide(track())
    stopped.resume(Source.WATCHDOG, track())
    assert stopped.held == {Source.POLICY}


def test_a_digest_of_no_hold_is_told_the_right_ones(stopped: Account) -> None:
    strict(stopped).decide(track())
    refusal = stopped.decide(track(), wishes=Wishes(resume="0123456789")).refusal
    for source in (Source.POLICY, Source.WATCHDOG):
        assert f"{stopped.holds[source].digest} ({source})" in refusal


def test_the_spec_lifts_no_watchdog(stopped: Account) -> None:
    stopped.decide(track(), wishes=Wishes(paused=True))
    stopped.decide(track())
    assert stopped.held == {Source.WATCHDOG}


@pytest.mark.parametrize("raised", [Situation(created=True), Situation(booted=True), Situation(stale_for=301)])
def test_a_hold_of_ignorance_is_handed_over_to_the_watchdog(account: Account, raised: Situation) -> None:
    account.decide(situation=raised)
    account.decide(track("600"), track("1", "1", Rule.MISSING_ORDER))
    assert account.held == {Source.WATCHDOG}


# --- actions, which nothing does yet ---------------------------------------------------------------------------------


def test_an_unknown_outcome_is_accepted_by_its_digest_and_by_that_alone(stopped: Account) -> None:
    held = replace(stopped.holds[Source.WATCHDOG], source=Source.UNKNOWN_OUTCOME, base="abc", keys=())
    stopped.holds = {**stopped.holds, Source.UNKNOWN_OUTCOME: held}
    assert stopped.decide(track(), wishes=Wishes(resume="abd")).refusal
    (lifted,) = stopped.decide(track(), wishes=Wishes(resume="abc")).transitions
    assert (lifted.source, lifted.why) == (Source.UNKNOWN_OUTCOME, Signal.OUTCOME_ACCEPTED)
    assert stopped.held == {Source.WATCHDOG}


def test_a_decision_leaves_what_it_was_given_alone() -> None:
    acknowledged: Mapping[str, Decimal] = {fingerprint(track().finding.key): Decimal(1)}
    before = dict(acknowledged)
    decide(keyed(track()), {}, acknowledged, PAUSE, NOTHING, COMPLETE, now_ms=NOW)
    assert acknowledged == before

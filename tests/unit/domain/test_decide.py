"""What follows from the findings: holds, acknowledgements, and resumes that are refused."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest

from accountsync.domain.catalogue import Rule, Severity
from accountsync.domain.confirm import Track
from accountsync.domain.decide import Acknowledged, Decision, Situation, Wishes, decide
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Holds, Source, fingerprint
from accountsync.domain.policy import Mode, Policy

NOW = 1_790_000_000_000
PAUSE = Policy(mode=Mode.PAUSE)
OBSERVE = Policy(mode=Mode.OBSERVE)
COMPLETE = Situation(complete=True, whole=True)
NOTHING = Wishes()


OF_SEVERITY = {
    Severity.WARNING: (Rule.UNEXPECTED_ORDER, False),
    Severity.MEDIUM: (Rule.ORDER_DIVERGENCE, True),
    Severity.HIGH: (Rule.MISSING_ORDER, True),
    Severity.CRITICAL: (Rule.DUPLICATE_KEY, True),
}


def track(
    id_: str = "1",
    rule: Rule = Rule.MISSING_ORDER,
    *,
    notional: str = "100",
    confirmed: bool = True,
    severity: Severity | None = None,
) -> Track:
    rule, own = (rule, True) if severity is None else OF_SEVERITY[severity]
    finding = Finding(rule, "BTC/USDT:USDT", id_, observed="canceled", notional=Decimal(notional), own=own)
    return Track(finding, NOW, NOW, 0.0, 0, confirmed=confirmed)


def keyed(*tracks: Track) -> dict[str, Track]:
    return {each.finding.key: each for each in tracks}


def key_of(each: Track) -> str:
    return fingerprint(each.finding.key)


class Account:
    """An account whose decisions follow one another."""

    def __init__(self, policy: Policy = PAUSE) -> None:
        self.policy = policy
        self.holds: Holds = {}
        self.acknowledged: Acknowledged = {}
        self.now = NOW

    def decide(self, *tracks: Track, wishes: Wishes = NOTHING, situation: Situation = COMPLETE) -> Decision:
        self.now += 1000
        decision = decide(
            keyed(*tracks), self.holds, self.acknowledged, self.policy, wishes, situation, now_ms=self.now
        )
        self.holds, self.acknowledged = decision.holds, decision.acknowledged
        return decision

    def resume(self, *tracks: Track, digest: str = "", situation: Situation = COMPLETE) -> Decision:
        return self.decide(*tracks, wishes=Wishes(resume=digest or self.digest), situation=situation)

    @property
    def digest(self) -> str:
        return self.holds[Source.POLICY].digest

    @property
    def held(self) -> set[Source]:
        return set(self.holds)


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def resumed() -> Account:
    """An account whose person resumed over track(), of 100."""
    account = Account()
    account.decide(track())
    assert account.resume(track()).refusal == ""
    return account


# --- what pauses ---------------------------------------------------------------------------------------------------


def test_a_confirmed_finding_pauses(account: Account) -> None:
    decision = account.decide(track())
    assert account.held == {Source.POLICY}
    assert account.holds[Source.POLICY].keys == (key_of(track()),)
    assert [(t.source, t.raised) for t in decision.transitions] == [(Source.POLICY, True)]
    assert decision.transitions[0].message == (
        "MissingOrder: the bot tracks order 1 of BTC/USDT:USDT as open; on the exchange it is canceled"
    )


def test_an_open_finding_does_not_pause(account: Account) -> None:
    account.decide(track(confirmed=False))
    assert account.held == set()


def test_observe_pauses_for_no_finding() -> None:
    account = Account(OBSERVE)
    account.decide(track(), situation=Situation(created=True, booted=True, stale_for=999))
    assert account.held == set()


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("level", [None, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL])
def test_findings_pause_from_pause_at_on(severity: Severity, level: Severity | None) -> None:
    account = Account(replace(PAUSE, pause_at=level))
    account.decide(track(severity=severity))
    assert (Source.POLICY in account.holds) == (level is not None and severity >= level)


def test_warnings_pause_at_no_level_that_can_be_asked_for() -> None:
    for level in (None, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL):
        account = Account(replace(PAUSE, pause_at=level))
        account.decide(track("snapshot", Rule.TIMESTAMP_REGRESSION), track("2", severity=Severity.WARNING))
        assert account.held == set()


def test_the_hold_names_the_worst_and_counts_the_rest(account: Account) -> None:
    decision = account.decide(
        track("1", notional="999"), track("2", Rule.DUPLICATE_KEY, notional="1"), track("3", notional="5")
    )
    assert decision.transitions[0].message == "DuplicateKey: 2 of BTC/USDT:USDT is listed twice, and 2 more"


def test_a_finding_that_resolves_lifts_no_policy_hold(account: Account) -> None:
    account.decide(track())
    decision = account.decide()
    assert account.held == {Source.POLICY}
    assert decision.transitions == ()


def test_a_standing_hold_gathers_what_is_confirmed_later(account: Account) -> None:
    account.decide(track("1"))
    before = account.digest
    account.decide(track("1"), track("2"))
    assert account.holds[Source.POLICY].keys == (key_of(track("1")), key_of(track("2")))
    assert account.digest != before


def test_a_standing_hold_gathers_no_warning_and_nothing_open(account: Account) -> None:
    account.decide(track("1"))
    before = account.digest
    account.decide(track("1"), track("2", confirmed=False), track("3", severity=Severity.WARNING))
    assert account.digest == before


# --- acknowledgement -----------------------------------------------------------------------------------------------


def test_a_resume_lifts_the_hold_and_remembers_each_notional(account: Account) -> None:
    account.decide(track("1", notional="100"), track("2", notional="7"))
    decision = account.resume(track("1", notional="101"), track("2", notional="7"))
    assert account.held == set()
    assert decision.acknowledged == {key_of(track("1")): Decimal(101), key_of(track("2")): Decimal(7)}
    assert decision.transitions[0].message == "a person resumed over 2 findings still there"


def test_an_acknowledged_finding_pauses_no_more(resumed: Account) -> None:
    for _ in range(3):
        resumed.decide(track())
        assert resumed.held == set()


def test_an_acknowledged_finding_does_not_hide_another(resumed: Account) -> None:
    resumed.decide(track("1"), track("2"))
    assert resumed.holds[Source.POLICY].keys == (key_of(track("2")),)


@pytest.mark.parametrize(("notional", "pauses"), [("1", False), ("124.99", False), ("125.01", True), ("500", True)])
def test_an_acknowledged_finding_pauses_again_when_it_grew_by_a_quarter(
    resumed: Account, notional: str, pauses: bool
) -> None:
    resumed.decide(track(notional=notional))
    assert (Source.POLICY in resumed.holds) is pauses


def test_growth_is_measured_from_what_was_acknowledged_not_from_the_last_cycle(resumed: Account) -> None:
    resumed.decide(track(notional="110"))
    resumed.decide(track(notional="120"))
    assert resumed.held == set()
    resumed.decide(track(notional="130"))
    assert resumed.held == {Source.POLICY}


def test_resuming_over_a_grown_finding_acknowledges_its_new_size(resumed: Account) -> None:
    resumed.decide(track(notional="200"))
    resumed.resume(track(notional="200"))
    resumed.decide(track(notional="249"))
    assert resumed.held == set()


def test_a_finding_of_no_notional_stays_acknowledged(account: Account) -> None:
    account.decide(track(notional="0"))
    account.resume(track(notional="0"))
    account.decide(track(notional="0"))
    assert account.held == set()


def test_an_acknowledged_finding_that_resolved_and_returned_pauses_again(resumed: Account) -> None:
    resumed.decide()
    assert resumed.acknowledged == {}
    resumed.decide(track(confirmed=False))
    resumed.decide(track())
    assert resumed.held == {Source.POLICY}


def test_a_new_hold_has_a_new_digest_for_the_same_finding(account: Account) -> None:
    account.decide(track())
    first = account.digest
    account.resume(track())
    account.decide()
    account.decide(track())
    assert account.digest != first
    assert account.resume(track(), digest=first).refusal != ""


# --- resumes -------------------------------------------------------------------------------------------------------


def test_a_resume_of_no_hold_is_refused(account: Account) -> None:
    assert account.resume(digest="0123456789").refusal == "there is no hold to resume from"


def test_a_resume_lifts_no_hold_of_another(account: Account) -> None:
    account.decide(situation=Situation(created=True))
    assert account.resume(digest="0123456789", situation=Situation()).refusal != ""
    assert account.held == {Source.STARTUP}


def test_a_foreign_digest_is_refused_and_told_the_right_one(account: Account) -> None:
    account.decide(track())
    decision = account.resume(track(), digest="0123456789")
    assert account.held == {Source.POLICY}
    assert decision.acknowledged == {}
    assert decision.refusal == f"the digest is not of this hold: read status.holds and quote {account.digest}"


def test_a_resume_that_misses_a_finding_is_refused_by_its_name(account: Account) -> None:
    account.decide(track("1"))
    seen = account.digest
    account.decide(track("1"), track("2"))
    decision = account.resume(track("1"), track("2"), digest=seen)
    assert account.held == {Source.POLICY}
    assert decision.acknowledged == {}
    assert decision.refusal == (
        f"since that digest there is new: MissingOrder BTC/USDT:USDT 2; look at it, then quote {account.digest}"
    )


def test_a_refusal_names_three_and_counts_the_rest(account: Account) -> None:
    account.decide(track("0"))
    seen = account.digest
    many = [track(str(number)) for number in range(6)]
    account.decide(*many)
    assert " and 2 more; look at it" in account.resume(*many, digest=seen).refusal


def test_an_older_digest_is_accepted_when_all_that_is_newer_has_resolved(account: Account) -> None:
    account.decide(track("1"))
    seen = account.digest
    account.decide(track("1"), track("2"))
    assert account.resume(track("1"), digest=seen).refusal == ""
    assert account.held == set()


def test_an_older_digest_is_refused_while_one_of_several_newer_ones_stands(account: Account) -> None:
    account.decide(track("1"))
    seen = account.digest
    account.decide(track("1"), track("2"), track("3"))
    refusal = account.resume(track("1"), track("3"), digest=seen).refusal
    assert "BTC/USDT:USDT 3;" in refusal
    assert "BTC/USDT:USDT 2" not in refusal


def test_a_resume_over_what_has_all_resolved_is_followed(account: Account) -> None:
    account.decide(track())
    decision = account.resume()
    assert account.held == set()
    assert decision.transitions[0].message == "a person resumed over 0 findings still there"


def test_a_resume_is_followed_while_nothing_can_be_read(account: Account) -> None:
    account.decide(track())
    assert account.resume(track(), situation=Situation()).refusal == ""
    assert account.held == set()


def test_a_finding_confirmed_in_the_moment_of_the_resume_is_not_resumed_over(account: Account) -> None:
    account.decide(track("1"))
    decision = account.resume(track("1"), track("2", Rule.DUPLICATE_KEY), digest=account.digest)
    assert account.held == {Source.POLICY}
    assert key_of(track("2", Rule.DUPLICATE_KEY)) not in decision.acknowledged


# --- people, boots and readings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [PAUSE, OBSERVE])
def test_a_person_pauses_and_resumes_by_the_spec_in_either_mode(policy: Policy) -> None:
    account = Account(policy)
    account.decide(wishes=Wishes(paused=True, pause_reason="maintenance"))
    assert account.holds[Source.USER].message == "maintenance"
    account.decide()
    assert account.held == set()


def test_a_pause_without_a_reason_says_where_it_comes_from(account: Account) -> None:
    account.decide(wishes=Wishes(paused=True))
    assert account.holds[Source.USER].message == "spec.paused is true"


def test_several_holds_stand_at_once(account: Account) -> None:
    account.decide(track(), wishes=Wishes(paused=True), situation=Situation(booted=True, stale_for=301))
    assert account.held == {Source.USER, Source.POLICY, Source.STARTUP, Source.STALE}
    account.decide(track(), situation=Situation())
    assert account.held == {Source.POLICY, Source.STARTUP, Source.STALE}


def test_a_startup_hold_is_lifted_by_a_clean_complete_cycle(account: Account) -> None:
    account.decide(situation=Situation(created=True))
    assert account.held == {Source.STARTUP}
    account.decide()
    assert account.held == set()


@pytest.mark.parametrize("situation", [Situation(), Situation(whole=True), Situation(complete=True)])
@pytest.mark.parametrize(
    ("source", "raised"),
    [
        (Source.STARTUP, Situation(created=True)),
        (Source.STARTUP, Situation(booted=True)),
        (Source.STALE, Situation(stale_for=301)),
    ],
)
def test_a_cycle_that_is_incomplete_or_left_something_unknown_lifts_nothing(
    account: Account, source: Source, raised: Situation, situation: Situation
) -> None:
    account.decide(situation=raised)
    account.decide(situation=situation)
    assert account.held == {source}


def test_a_startup_hold_waits_for_an_open_finding_that_may_pause(account: Account) -> None:
    account.decide(situation=Situation(created=True))
    account.decide(track(confirmed=False))
    assert account.held == {Source.STARTUP}
    account.decide()
    assert account.held == set()


def test_a_startup_hold_does_not_wait_for_what_never_pauses(account: Account) -> None:
    account.decide(situation=Situation(created=True))
    account.decide(track(severity=Severity.WARNING), track("2", severity=Severity.MEDIUM))
    assert account.held == set()


def test_a_startup_hold_does_not_wait_for_what_was_acknowledged(resumed: Account) -> None:
    resumed.decide(track(), situation=Situation(booted=True))
    assert resumed.held == {Source.STARTUP}
    resumed.decide(track())
    assert resumed.held == set()


def test_where_nothing_pauses_a_cycle_need_not_know_everything_to_be_clean() -> None:
    account = Account(replace(PAUSE, pause_at=None))
    account.decide(situation=Situation(created=True))
    account.decide(track(), situation=Situation(complete=True))
    assert account.held == set()


def test_a_startup_hold_is_handed_over_to_a_policy_hold(account: Account) -> None:
    account.decide(situation=Situation(created=True))
    account.decide(track())
    assert account.held == {Source.POLICY}


def test_a_resume_does_not_lift_a_startup_hold_before_a_clean_cycle(account: Account) -> None:
    account.decide(track())
    account.decide(track(), situation=Situation(booted=True))
    assert account.held == {Source.POLICY, Source.STARTUP}
    account.resume(track(), track("2", confirmed=False), situation=Situation(complete=True))
    assert account.held == {Source.STARTUP}


def test_a_boot_that_is_judged_clean_in_the_same_cycle_holds_nothing(account: Account) -> None:
    account.decide(situation=replace(COMPLETE, booted=True))
    assert account.held == set()


def test_a_stale_hold_says_for_how_long_nothing_was_read(account: Account) -> None:
    account.decide(situation=Situation(stale_for=301.4))
    assert account.holds[Source.STALE].message == "no good snapshot for 301 s (spec.staleAfter)"


def test_changing_the_mode_lifts_nothing(account: Account) -> None:
    account.decide(track(), wishes=Wishes(paused=True), situation=Situation(booted=True, stale_for=301))
    before = account.held
    account.policy = OBSERVE
    account.decide(track(), wishes=Wishes(paused=True), situation=Situation())
    assert account.held == before


def test_a_decision_leaves_what_it_was_given_alone() -> None:
    acknowledged: Mapping[str, Decimal] = {key_of(track()): Decimal(100)}
    before = dict(acknowledged)
    decide({}, {}, acknowledged, PAUSE, NOTHING, COMPLETE, now_ms=NOW)
    assert acknowledged == before

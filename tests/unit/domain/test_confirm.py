"""A difference is told only when it has stood long enough, seen anew from both sides."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.confirm import Moment, Outcome, Track, Tracks, confirm, would_confirm
from accountsync.domain.finding import ANY, Detection, Finding

BTC = "BTC/USDT:USDT"
GRACE_MS = 5_000
START = 1_790_000_000_000
AT_ONCE = [rule for rule, row in CATALOGUE.items() if row.at_once]
BY_ID = [Rule.UNEXPECTED_ORDER, Rule.MISSING_ORDER, Rule.ORDER_DIVERGENCE, Rule.UNATTRIBUTED_FILL]
BY_LOOKING = [Rule.POSITION_MISMATCH, Rule.BALANCE_MISMATCH]


def a(rule: Rule, observed: str = "1", *, changed: int | None = None, notional: int = 0, id_: str = "x") -> Finding:
    return Finding(rule, BTC, id_, observed=observed, changed=changed, notional=Decimal(notional))


ORPHAN = a(Rule.UNEXPECTED_ORDER)
MISMATCH = a(Rule.POSITION_MISMATCH)


@dataclass
class Passes:
    """Passes over one account. `at` is seconds since the start, on every clock that is not set otherwise."""

    confirmations: int = 2
    tracks: Tracks = field(default_factory=dict)

    def look(
        self,
        at: float,
        findings: Sequence[Finding] | Finding = (),
        *,
        as_of: float | None = None,
        snapshot: float | None = None,
        took: float = 0.0,
        wall: float | None = None,
        monotonic: float | None = None,
        belief: bool = True,
        detection: Detection | None = None,
    ) -> Outcome:
        rows = (findings,) if isinstance(findings, Finding) else tuple(findings)
        timestamp = ms(at if snapshot is None else snapshot)
        moment = Moment(
            timestamp,
            timestamp + round(took * 1000),
            ms(at if as_of is None else as_of) if belief else None,
            ms(at if wall is None else wall),
            at if monotonic is None else monotonic,
        )
        outcome = confirm(
            self.tracks,
            detection or Detection(rows),
            moment,
            grace_ms=GRACE_MS,
            confirmations=self.confirmations,
        )
        self.tracks = outcome.tracks
        return outcome

    def track(self, finding: Finding) -> Track:
        return self.tracks[finding.key]


def ms(seconds: float) -> int:
    return START + round(seconds * 1000)


# --- how a difference is confirmed ----------------------------------------------------------------------------------


def test_a_first_sight_is_open_and_tells_nobody() -> None:
    outcome = Passes().look(0, ORPHAN)
    assert (outcome.confirmed, outcome.resolved, outcome.shown) == ((), (), ())
    assert not outcome.tracks[ORPHAN.key].confirmed


@pytest.mark.parametrize("rule", BY_ID)
def test_an_order_is_confirmed_after_the_grace_and_so_many_looks(rule: Rule) -> None:
    passes, finding = Passes(), a(rule)
    passes.look(0, finding)
    assert not passes.look(5, finding).confirmed
    assert passes.look(10, finding).confirmed == (finding,)


@pytest.mark.parametrize("rule", BY_LOOKING)
def test_anything_else_must_also_be_seen_the_grace_after_a_belief_that_counted(rule: Rule) -> None:
    passes, finding = Passes(confirmations=1), a(rule)
    passes.look(0, finding)
    assert not passes.look(5, finding).confirmed
    assert not passes.look(9.999, finding).confirmed
    assert passes.look(10, finding).confirmed == (finding,)


def test_what_is_confirmed_is_told_once_and_shown_while_it_stands() -> None:
    passes = Passes(confirmations=1)
    passes.look(0, ORPHAN)
    first, second = passes.look(5, ORPHAN), passes.look(10, ORPHAN)
    assert (first.confirmed, first.shown) == ((ORPHAN,), (ORPHAN,))
    assert (second.confirmed, second.shown) == ((), (ORPHAN,))


@pytest.mark.parametrize("rule", AT_ONCE)
@pytest.mark.parametrize("belief", [True, False])
def test_some_rules_need_neither_grace_nor_a_second_look_nor_a_belief(rule: Rule, belief: bool) -> None:
    assert Passes(confirmations=3).look(0, a(rule), belief=belief).confirmed == (a(rule),)


def test_the_catalogue_says_which_rules_those_are() -> None:
    assert {Rule.DUPLICATE_KEY, Rule.NEGATIVE_QUANTITY, Rule.TIMESTAMP_REGRESSION} == set(AT_ONCE)
    assert set(Rule) == {*AT_ONCE, *BY_ID, *BY_LOOKING}


# --- what counts as a look -------------------------------------------------------------------------------------------


def test_the_same_belief_does_not_count_twice() -> None:
    passes = Passes()
    passes.look(0, ORPHAN)
    for at in (5, 10, 15, 100):
        assert not passes.look(at, ORPHAN, as_of=5).confirmed
    assert passes.look(105, ORPHAN, as_of=5.001).confirmed


def test_the_same_snapshot_does_not_count_twice() -> None:
    passes = Passes()
    passes.look(0, ORPHAN)
    for at in (5, 10, 15, 100):
        assert not passes.look(at, ORPHAN, snapshot=5).confirmed
    assert passes.look(105, ORPHAN, snapshot=5.001).confirmed


def test_an_older_belief_does_not_count_though_the_snapshot_is_newer() -> None:
    passes = Passes()
    passes.look(0, ORPHAN)
    passes.look(6, ORPHAN)
    assert not passes.look(10, ORPHAN, as_of=5.5).confirmed
    assert passes.track(ORPHAN).count == 1


def test_without_a_belief_no_look_counts() -> None:
    passes = Passes(confirmations=1)
    for at in (0, 10, 20):
        assert not passes.look(at, ORPHAN, belief=False).confirmed
    assert passes.track(ORPHAN).count == 0


@pytest.mark.parametrize("confirmations", [1, 2, 5])
def test_as_many_looks_are_needed_as_the_policy_says(confirmations: int) -> None:
    passes = Passes(confirmations=confirmations)
    passes.look(0, ORPHAN)
    told = [bool(passes.look(5 + at, ORPHAN).confirmed) for at in range(confirmations)]
    assert told == [False] * (confirmations - 1) + [True]


# --- settling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("as_of", "counts"), [(4.999, 0), (5, 1)])
def test_the_belief_must_be_the_grace_younger_than_the_exchanges_change(as_of: float, counts: int) -> None:
    passes, finding = Passes(), a(Rule.UNEXPECTED_ORDER, changed=ms(0))
    passes.look(100, finding, as_of=as_of)
    assert passes.track(finding).count == counts


def test_an_old_change_lets_the_first_sight_count() -> None:
    passes, finding = Passes(), a(Rule.UNEXPECTED_ORDER, changed=ms(-60))
    passes.look(0, finding)
    assert passes.track(finding).count == 1


def test_an_old_change_still_leaves_the_grace_since_first_sight() -> None:
    passes, finding = Passes(confirmations=1), a(Rule.UNEXPECTED_ORDER, changed=ms(-60))
    passes.look(0, finding)
    assert not passes.look(4.999, finding).confirmed
    assert passes.look(5, finding).confirmed


def test_without_a_time_of_change_it_settles_from_the_end_of_the_reading_that_first_saw_it() -> None:
    passes = Passes()
    passes.look(0, ORPHAN, took=2)
    passes.look(6.999, ORPHAN)
    assert passes.track(ORPHAN).count == 0
    passes.look(7, ORPHAN)
    assert passes.track(ORPHAN).count == 1


def test_a_change_of_what_is_observed_settles_anew() -> None:
    passes = Passes()
    passes.look(0, ORPHAN)
    passes.look(6, ORPHAN)
    other = replace(ORPHAN, observed="2")
    passes.look(7, other)
    assert not passes.look(11.999, other).confirmed
    assert passes.look(12, other).confirmed == (other,)


def test_a_change_that_the_exchange_dates_settles_from_its_date() -> None:
    passes = Passes()
    passes.look(0, a(Rule.UNEXPECTED_ORDER, changed=ms(-60)))
    moved = a(Rule.UNEXPECTED_ORDER, "2", changed=ms(9))
    assert not passes.look(10, moved).confirmed
    assert not passes.look(13.999, moved).confirmed
    assert passes.look(14, moved).confirmed


def test_what_keeps_changing_is_never_confirmed_by_looking() -> None:
    passes = Passes(confirmations=1)
    for at in range(0, 200, 4):
        assert not passes.look(at, replace(MISMATCH, observed=str(at))).confirmed


def test_a_position_that_moved_loses_its_witness() -> None:
    passes = Passes(confirmations=1)
    passes.look(0, MISMATCH)
    passes.look(6, MISMATCH)
    assert passes.track(MISMATCH).witness == ms(6)
    moved = replace(MISMATCH, observed="2")
    passes.look(11, moved)
    assert passes.track(MISMATCH).witness is None
    assert not passes.look(20, moved).confirmed
    assert passes.look(25, moved).confirmed


def test_a_belief_ahead_of_the_snapshot_confirms_no_position() -> None:
    """The bot knows of a fill that the lagging list does not show yet; each look's belief is newer than the list."""
    passes = Passes(confirmations=1)
    passes.look(0, MISMATCH)
    assert not passes.look(10, MISMATCH, as_of=10, snapshot=6).confirmed
    assert not passes.look(14, MISMATCH, as_of=14, snapshot=14.999).confirmed
    assert passes.look(15, MISMATCH, as_of=15, snapshot=15).confirmed


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_jump_of_the_wall_clock_neither_hastens_nor_delays(jump: float) -> None:
    passes, finding = Passes(confirmations=1), a(Rule.UNEXPECTED_ORDER, changed=ms(-60))
    passes.look(0, finding)
    assert not passes.look(4, finding, wall=jump).confirmed
    outcome = passes.look(5, finding, wall=jump)
    assert outcome.confirmed
    track = outcome.tracks[finding.key]
    assert (track.first_seen, track.last_seen) == (START, ms(jump))


def test_the_grace_is_measured_on_the_monotonic_clock() -> None:
    passes, finding = Passes(confirmations=1), a(Rule.UNEXPECTED_ORDER, changed=ms(-60))
    passes.look(0, finding)
    assert not passes.look(3600, finding, monotonic=4.999).confirmed
    assert passes.look(3601, finding, monotonic=5).confirmed


# --- resolving --------------------------------------------------------------------------------------------------------


def confirmed(finding: Finding) -> Passes:
    passes = Passes(confirmations=1)
    for at in (0, 5, 10):
        passes.look(at, finding)
    assert passes.track(finding).confirmed
    return passes


@pytest.mark.parametrize("finding", [ORPHAN, MISMATCH, a(Rule.DUPLICATE_KEY)])
def test_what_a_pass_could_judge_and_no_longer_shows_is_resolved(finding: Finding) -> None:
    outcome = confirmed(finding).look(15)
    assert (outcome.resolved, outcome.tracks) == ((finding,), {})


def test_what_was_never_confirmed_goes_without_a_word() -> None:
    passes = Passes()
    passes.look(0, ORPHAN)
    outcome = passes.look(5)
    assert (outcome.resolved, outcome.tracks) == ((), {})


@pytest.mark.parametrize(
    "detection",
    [
        Detection(unknown=frozenset({(BTC, "x")})),
        Detection(unknown=frozenset({(BTC, ANY)})),
        Detection(unknown=frozenset({(ANY, ANY)})),
        Detection(unjudged=frozenset({Rule.UNEXPECTED_ORDER})),
        Detection(blind=True),
    ],
)
def test_what_a_pass_could_not_judge_keeps_its_track(detection: Detection) -> None:
    passes = confirmed(ORPHAN)
    before = passes.track(ORPHAN)
    outcome = passes.look(15, detection=detection)
    assert outcome.tracks == {ORPHAN.key: before}
    assert (outcome.confirmed, outcome.resolved, outcome.shown) == ((), (), ())


def test_an_unknown_pass_does_not_forget_what_was_counted() -> None:
    passes = Passes()
    passes.look(0, ORPHAN)
    passes.look(6, ORPHAN)
    passes.look(8, detection=Detection(unknown=frozenset({(ANY, ANY)})))
    assert passes.look(10, ORPHAN).confirmed == (ORPHAN,)


def test_what_an_unknown_neighbour_hides_resolves_nothing_else() -> None:
    passes = confirmed(ORPHAN)
    assert passes.look(15, detection=Detection(unknown=frozenset({(BTC, "y")}))).resolved == (ORPHAN,)


def test_what_returns_begins_anew() -> None:
    passes = confirmed(ORPHAN)
    passes.look(15)
    assert not passes.look(20, ORPHAN).confirmed
    assert passes.look(25, ORPHAN).confirmed == (ORPHAN,)


def test_what_is_confirmed_stays_so_while_it_changes() -> None:
    passes = confirmed(ORPHAN)
    grown = replace(ORPHAN, observed="2", notional=Decimal(900))
    outcome = passes.look(11, grown)
    assert (outcome.confirmed, outcome.shown) == ((), (grown,))
    assert outcome.tracks[ORPHAN.key].finding is grown


def test_each_finding_has_a_time_of_its_own() -> None:
    passes, other = Passes(confirmations=1), a(Rule.UNEXPECTED_ORDER, id_="y")
    passes.look(0, ORPHAN)
    passes.look(4, [ORPHAN, other])
    assert passes.look(5, [ORPHAN, other]).confirmed == (ORPHAN,)
    assert passes.look(9, [ORPHAN, other]).confirmed == (other,)


def test_the_tracks_handed_in_are_left_as_they_were() -> None:
    passes = confirmed(ORPHAN)
    before, copy = passes.tracks, dict(passes.tracks)
    passes.look(15)
    assert before == copy


# --- one look away ----------------------------------------------------------------------------------------------------


def test_what_the_next_look_would_confirm_is_known_beforehand() -> None:
    passes = Passes()
    assert not one_look_away(None, 0)
    passes.look(0, ORPHAN)
    passes.look(5, ORPHAN)
    assert not one_look_away(passes.track(ORPHAN), 5)
    assert one_look_away(passes.track(ORPHAN), 6)
    passes.look(6, ORPHAN)
    assert not one_look_away(passes.track(ORPHAN), 7)


def one_look_away(track: Track | None, at: float) -> bool:
    moment = Moment(ms(at), ms(at), ms(at), ms(at), at)
    return would_confirm(track, ORPHAN, moment, grace_ms=GRACE_MS, confirmations=2)

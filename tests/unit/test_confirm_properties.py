"""No sequence of passes confirms a difference that was not proven."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.confirm import Moment, Outcome, Tracks, confirm
from accountsync.domain.finding import Detection, Finding

GRACE = 5_000
T0 = 1_000_000


def finding(
    rule: Rule = Rule.POSITION_MISMATCH, *, observed: str = "2", changed: int | None = 0, id_: str = "net"
) -> Finding:
    return Finding(rule, "BTC", id_, "1", observed, Decimal(1), changed)


@dataclass
class Watch:
    """Passes over one account, `at` seconds after the start; belief and snapshot are of then, if not told."""

    confirmations: int = 2
    tracks: Tracks = field(default_factory=dict)

    def see(
        self,
        at: float,
        *findings: Finding,
        as_of: float | None = None,
        timestamp: float | None = None,
        took: float = 0,
        monotonic: float | None = None,
        wall: float | None = None,
        unknown: Sequence[tuple[str, str]] = (),
        blind: bool = False,
        believed: bool = True,
    ) -> Outcome:
        stamp = T0 + round(1000 * (at if timestamp is None else timestamp))
        belief = T0 + round(1000 * (at if as_of is None else as_of)) if believed else None
        moment = Moment(
            stamp,
            stamp + round(1000 * took),
            belief,
            T0 + round(1000 * (at if wall is None else wall)),
            at if monotonic is None else monotonic,
        )
        detection = Detection(findings, unknown=frozenset(unknown), blind=blind)
        outcome = confirm(self.tracks, detection, moment, grace_ms=GRACE, confirmations=self.confirmations)
        self.tracks = outcome.tracks
        return outcome


rules = st.sampled_from([rule for rule in Rule if not CATALOGUE[rule].at_once])
spans = st.lists(st.floats(0.1, 60, allow_nan=False), min_size=1, max_size=20)


@given(rules, spans, st.sampled_from(["belief", "snapshot"]), st.integers(1, 3), st.none() | st.integers(0, T0))
def test_one_belief_or_one_snapshot_alone_never_confirms_twice(
    rule: Rule, gaps: list[float], frozen: str, confirmations: int, changed: int | None
) -> None:
    watch = Watch(confirmations=max(2, confirmations))
    at = 100.0
    for gap in gaps:
        at += gap
        pinned = {"as_of": 100.0} if frozen == "belief" else {"timestamp": 100.0}
        assert not watch.see(at, finding(rule, changed=changed), **pinned).confirmed  # type: ignore[arg-type]


@given(spans, st.none() | st.integers(0, T0))
def test_a_position_is_never_confirmed_from_one_snapshot_however_few_confirmations(
    gaps: list[float], changed: int | None
) -> None:
    watch = Watch(confirmations=1)
    at = 0.0
    for gap in gaps:
        at += gap
        assert not watch.see(at, finding(changed=changed), timestamp=0, as_of=at).confirmed


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.1, 30, allow_nan=False)), min_size=1, max_size=20),
    st.integers(1, 3),
)
def test_what_is_confirmed_and_what_is_resolved_take_turns(
    passes: list[tuple[bool, float]], confirmations: int
) -> None:
    watch, standing, at = Watch(confirmations=confirmations), False, 0.0
    for shown, gap in passes:
        at += gap
        outcome = watch.see(at, *([finding()] if shown else []))
        assert len(outcome.confirmed) <= (0 if standing else 1)
        assert len(outcome.resolved) == (standing and not shown)
        standing = any(track.confirmed for track in outcome.tracks.values())
        assert bool(outcome.shown) == (standing and shown)


@given(spans, st.sampled_from([0.0, 0.3, 4.0]), st.data())
def test_a_bot_that_tells_its_state_of_a_moment_is_never_accused(
    gaps: list[float], lag: float, data: st.DataObject
) -> None:
    """A position that changes at any time, seen at other times, by an exchange that dates the change."""
    changes = sorted(data.draw(st.lists(st.floats(0, 200, allow_nan=False), max_size=20)))

    def state(at: float) -> tuple[int, float]:
        before = [change for change in changes if change <= at]
        return len(before) % 3, before[-1] if before else 0.0

    watch, at = Watch(confirmations=1), 0.0
    for gap in gaps:
        at += gap
        told_at = max(0.0, at + data.draw(st.floats(-lag, lag, allow_nan=False)))
        (held, changed), (told, _) = state(at), state(told_at)
        shown = [replace(finding(observed=str(held), changed=T0 + round(1000 * changed)), expected=str(told))]
        assert not watch.see(at, *(shown if held != told else []), as_of=told_at).confirmed


def test_what_was_counted_against_an_old_list_does_not_confirm_another_difference() -> None:
    watch = Watch(confirmations=1)
    watch.see(0, finding(Rule.ORDER_DIVERGENCE, observed="price 103", changed=T0 - 60_000))
    fresh = finding(Rule.ORDER_DIVERGENCE, observed="filled 1", changed=T0 + 9_000)
    assert not watch.see(10, fresh).confirmed
    assert watch.see(20, fresh).confirmed


FINDINGS = st.builds(
    finding,
    st.sampled_from(Rule),
    observed=st.sampled_from(["2", "3"]),
    changed=st.none() | st.integers(T0 - 10_000, T0 + 200_000),
    id_=st.sampled_from(["a", "b"]),
).flatmap(lambda row: st.sampled_from([row, replace(row, proven=True), replace(row, proven=False)]))
PASSES = st.lists(
    st.tuples(
        st.floats(0, 20, allow_nan=False),
        st.lists(FINDINGS, max_size=4, unique_by=lambda row: row.key),
        st.floats(-6, 6, allow_nan=False),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@given(PASSES, st.integers(1, 3))
def test_the_same_moment_twice_advances_nothing(
    passes: list[tuple[float, list[Finding], float, bool]], confirmations: int
) -> None:
    watch, at = Watch(confirmations=confirmations), 0.0
    for gap, findings, lag, believed in passes:
        at += gap
        once = watch.see(at, *findings, as_of=at + lag, believed=believed)
        again = watch.see(at, *findings, as_of=at + lag, believed=believed)
        assert (again.confirmed, again.resolved, again.shown) == ((), (), once.shown)
        for key, track in again.tracks.items():
            at_once = CATALOGUE[track.finding.rule].at_once
            assert track == (replace(once.tracks[key], count=track.count) if at_once else once.tracks[key])
        watch.tracks = once.tracks


@given(PASSES, st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_order_of_findings_does_not_matter(
    passes: list[tuple[float, list[Finding], float, bool]], confirmations: int, chance: Random
) -> None:
    one, other, at = Watch(confirmations=confirmations), Watch(confirmations=confirmations), 0.0
    for gap, findings, lag, believed in passes:
        at += gap
        mixed = chance.sample(findings, len(findings))
        first = one.see(at, *findings, as_of=at + lag, believed=believed)
        second = other.see(at, *mixed, as_of=at + lag, believed=believed)
        assert first.tracks == second.tracks
        assert set(first.confirmed) == set(second.confirmed)
        assert set(first.resolved) == set(second.resolved)


@given(PASSES, st.integers(1, 3))
def test_what_the_exchange_could_prove_and_was_not_asked_for_is_never_confirmed(
    passes: list[tuple[float, list[Finding], float, bool]], confirmations: int
) -> None:
    watch, at = Watch(confirmations=confirmations), 0.0
    for gap, findings, lag, believed in passes:
        at += gap
        rows = [replace(row, proven=False) for row in findings if not CATALOGUE[row.rule].at_once]
        assert not watch.see(at, *rows, as_of=at + lag, believed=believed).confirmed


@given(PASSES, st.integers(1, 3))
def test_without_a_belief_nothing_that_is_compared_is_confirmed_or_resolved(
    passes: list[tuple[float, list[Finding], float, bool]], confirmations: int
) -> None:
    watch, at = Watch(confirmations=confirmations), 0.0
    for gap, findings, lag, believed in passes:
        at += gap
        outcome = watch.see(at, *findings, as_of=at + lag, believed=believed, unknown=[] if believed else [("*", "*")])
        if not believed:
            told = (*outcome.confirmed, *outcome.resolved)
            assert [row for row in told if not CATALOGUE[row.rule].at_once] == []

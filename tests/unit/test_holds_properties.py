"""Holds and digests, under any sequence of signals and findings."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from accountsync.domain.holds import KEYS_KEPT, TABLE, Hold, Holds, Signal, Source, fingerprint, step
from accountsync.domain.policy import Mode

signals = st.frozensets(st.sampled_from(Signal)).map(lambda chosen: {signal: signal.value for signal in chosen})
keys = st.frozensets(st.integers(0, 200).map(lambda number: fingerprint(str(number))), max_size=60)
LIFTED_BY = {  # written down a second time, so that a row that says more is noticed
    Source.USER: {Signal.USER_RESUMED},
    Source.POLICY: {Signal.RESUMED},
    Source.WATCHDOG: {Signal.RECOVERED, Signal.WATCHDOG_RESUMED},
    Source.ACTION: {Signal.ACTION_VERIFIED},
    Source.UNKNOWN_OUTCOME: {Signal.OUTCOME_KNOWN, Signal.OUTCOME_ACCEPTED},
    Source.STARTUP: {Signal.CLEAN, Signal.HANDED_OVER},
    Source.STALE: {Signal.CLEAN, Signal.HANDED_OVER},
}
HANDED_OVER = {Source.STARTUP, Source.STALE}
BEGUN = Hold(Source.POLICY, Signal.DRIFT, "", 1, "base")


@given(st.lists(st.tuples(signals, keys), max_size=12))
def test_observe_raises_nothing_but_what_a_person_asked_for(moments: list[tuple[dict[Signal, str], set[str]]]) -> None:
    holds: Holds = {}
    for now, (signal, found) in enumerate(moments):
        holds, transitions = step(holds, signal, Mode.OBSERVE, now_ms=now, keys=dict.fromkeys(Source, found))
        assert holds.keys() <= {Source.USER}
        assert {change.source for change in transitions} <= {Source.USER}


@given(st.lists(st.tuples(signals, st.sampled_from(Mode), keys), max_size=12))
def test_each_step_changes_holds_by_the_table_alone(moments: list[tuple[dict[Signal, str], Mode, set[str]]]) -> None:
    rows = {row.source: row for row in TABLE}
    holds: Holds = {}
    for now, (signal, mode, found) in enumerate(moments):
        before = dict(holds)
        holds, transitions = step(before, signal, mode, now_ms=now, keys=dict.fromkeys(Source, found))
        assert {change.source for change in transitions} == before.keys() ^ holds.keys()
        for change in transitions:
            row = rows[change.source]
            assert change.why in (row.raised_by if change.raised else row.lifts)
            assert change.raised == (change.source in holds)


@given(st.lists(st.tuples(signals, st.sampled_from(Mode)), max_size=12))
def test_no_hold_ends_without_a_signal_of_its_own_row(moments: list[tuple[dict[Signal, str], Mode]]) -> None:
    holds: Holds = {}
    for now, (signal, mode) in enumerate(moments):
        before = holds
        holds, _ = step(before, signal, mode, now_ms=now)
        for source in before.keys() - holds.keys():
            assert signal.keys() & LIFTED_BY[source] or (source in HANDED_OVER and Signal.JUDGED in signal)


@given(st.lists(st.tuples(signals, st.sampled_from(Mode)), max_size=12))
def test_a_persons_stop_ends_by_that_persons_word_alone(moments: list[tuple[dict[Signal, str], Mode]]) -> None:
    holds, _ = step({}, {Signal.USER_PAUSED: ""}, Mode.PAUSE, now_ms=0)
    for now, (signal, mode) in enumerate(moments):
        kept: dict[Signal, str] = {each: text for each, text in signal.items() if each is not Signal.USER_RESUMED}
        holds, _ = step(holds, kept, mode, now_ms=now)
        assert Source.USER in holds


@given(st.lists(keys, max_size=8))
def test_gathering_twice_is_gathering_once(found: list[set[str]]) -> None:
    hold = BEGUN
    for some in found:
        hold = hold.gather(some)
        assert hold.gather(some) == hold
        assert len(hold.keys) <= KEYS_KEPT


@given(st.lists(keys, max_size=8))
def test_a_digest_tells_exactly_what_was_gathered_after_it(found: list[set[str]]) -> None:
    hold, seen = BEGUN, []
    for some in found:
        before = set(hold.keys) | hold.folded
        hold = hold.gather(some)
        seen.append((hold.digest, before | some))
    everything = set(hold.keys) | hold.folded
    for digest, covered in seen:
        unseen = hold.unseen_by(digest)
        assert unseen is None or set(unseen) == everything - covered
    assert hold.unseen_by(hold.digest) == ()
    assert hold.unseen_by("of another hold") is None


@given(keys, keys)
def test_a_hold_goes_on_after_a_restart_where_it_was(first: set[str], second: set[str]) -> None:
    hold = BEGUN.gather(first)
    restored = replace(hold, folded=frozenset())
    assert restored.gather(second) == hold.gather(second)

"""Holds: what raises each and what lifts it, and the digest by which a person says what was seen."""

import itertools
from collections.abc import Mapping
from dataclasses import replace

import pytest

from accountsync.domain.holds import (
    BY_PERSON,
    HEIRS,
    KEYS_KEPT,
    TABLE,
    Hold,
    Holds,
    Signal,
    Source,
    Transition,
    fingerprint,
    step,
)
from accountsync.domain.policy import Mode

NOW = 1_790_000_000_000

# Each hold by itself, and each signal by itself. Whatever is not listed neither raises nor lifts.
RAISES = {
    (Source.STARTUP, Signal.CREATED),
    (Source.STARTUP, Signal.BOOTED),
    (Source.USER, Signal.USER_PAUSED),
    (Source.POLICY, Signal.DRIFT),
    (Source.POLICY, Signal.REFUSED_TO_ACT),
    (Source.STALE, Signal.SNAPSHOT_STALE),
    (Source.WATCHDOG, Signal.MISMATCH_LARGE),
    (Source.ACTION, Signal.ACTION_STARTED),
    (Source.UNKNOWN_OUTCOME, Signal.OUTCOME_UNKNOWN),
}
LIFTS = {
    (Source.STARTUP, Signal.CLEAN),
    (Source.STARTUP, Signal.HANDED_OVER),
    (Source.USER, Signal.USER_RESUMED),
    (Source.POLICY, Signal.RESUMED),
    (Source.STALE, Signal.CLEAN),
    (Source.STALE, Signal.HANDED_OVER),
    (Source.WATCHDOG, Signal.RECOVERED),
    (Source.WATCHDOG, Signal.WATCHDOG_RESUMED),
    (Source.ACTION, Signal.ACTION_VERIFIED),
    (Source.UNKNOWN_OUTCOME, Signal.OUTCOME_KNOWN),
    (Source.UNKNOWN_OUTCOME, Signal.OUTCOME_ACCEPTED),
}
EVERYTHING = list(itertools.product(Source, Signal, Mode))


def hold(source: Source, *keys: str, since: int = NOW) -> Hold:
    reason = next(row.raised_by[0] for row in TABLE if row.source is source)
    after, _ = step({}, {reason: "as it began"}, Mode.PAUSE, now_ms=since, keys={source: keys})
    return after[source]


def standing(*sources: Source) -> dict[Source, Hold]:
    return {source: hold(source) for source in sources}


def signalled(holds: Holds, *signals: Signal, mode: Mode = Mode.PAUSE) -> tuple[Holds, tuple[Transition, ...]]:
    return step(holds, dict.fromkeys(signals, "why"), mode, now_ms=NOW + 1000)


def said(signals: Mapping[Signal, str], holds: Holds | None = None) -> list[tuple[Source, bool]]:
    _, transitions = step(holds or {}, signals, Mode.PAUSE, now_ms=NOW)
    return [(transition.source, transition.raised) for transition in transitions]


def test_every_source_has_one_row() -> None:
    assert sorted(row.source for row in TABLE) == sorted(Source)


@pytest.mark.parametrize(("source", "signal", "mode"), EVERYTHING)
def test_a_hold_is_raised_by_its_own_signals_only(source: Source, signal: Signal, mode: Mode) -> None:
    after, transitions = signalled({}, signal, mode=mode)
    expected = (source, signal) in RAISES and (mode is not Mode.OBSERVE or source is Source.USER)
    assert (source in after) is expected
    assert (Transition(source, raised=True, why=signal, message="why") in transitions) is expected


@pytest.mark.parametrize(("source", "signal", "mode"), EVERYTHING)
def test_a_hold_is_lifted_by_its_owner_only_in_either_mode(source: Source, signal: Signal, mode: Mode) -> None:
    # A judged account with a standing Policy hold is itself a hand-over; that is another test.
    after, transitions = signalled(standing(source), signal, mode=mode)
    expected = (source, signal) in LIFTS
    assert (source not in after) is expected
    assert (Transition(source, raised=False, why=signal, message="why") in transitions) is expected


@pytest.mark.parametrize(("source", "signal", "mode"), EVERYTHING)
def test_what_does_not_lift_a_hold_leaves_it_as_it_is(source: Source, signal: Signal, mode: Mode) -> None:
    before = standing(source)
    after, transitions = signalled(before, signal, mode=mode)
    if (source, signal) not in LIFTS:
        assert after[source] == before[source]
        assert source not in [transition.source for transition in transitions]


@pytest.mark.parametrize("mode", Mode)
def test_changing_the_mode_lifts_nothing(mode: Mode) -> None:
    before = standing(*Source)
    assert signalled(before, mode=mode) == (before, ())


@pytest.mark.parametrize("heir", HEIRS)
@pytest.mark.parametrize("source", [Source.STARTUP, Source.STALE])
def test_a_judged_account_hands_over_to_a_standing_hold_for_what_was_found(source: Source, heir: Source) -> None:
    after, transitions = signalled(standing(source, heir), Signal.JUDGED)
    assert set(after) == {heir}
    assert [(t.source, t.raised, t.why) for t in transitions] == [(source, False, Signal.HANDED_OVER)]
    assert transitions[0].message == f"the {heir} hold stands for what was found"


@pytest.mark.parametrize(("found", "heir"), [(Signal.DRIFT, Source.POLICY), (Signal.MISMATCH_LARGE, Source.WATCHDOG)])
@pytest.mark.parametrize("source", [Source.STARTUP, Source.STALE])
def test_a_hold_raised_by_the_same_judgement_takes_over(source: Source, found: Signal, heir: Source) -> None:
    after, _ = signalled(standing(source), Signal.JUDGED, found)
    assert set(after) == {heir}


@pytest.mark.parametrize("other", [Source.ACTION, Source.UNKNOWN_OUTCOME])
def test_nothing_is_handed_over_to_a_hold_of_an_action(other: Source) -> None:
    after, _ = signalled(standing(Source.STARTUP, Source.STALE, other), Signal.JUDGED)
    assert set(after) == {Source.STARTUP, Source.STALE, other}


@pytest.mark.parametrize("source", [Source.STARTUP, Source.STALE])
def test_a_judgement_in_observe_mode_hands_over_to_nothing(source: Source) -> None:
    after, _ = signalled(standing(source), Signal.JUDGED, Signal.DRIFT, mode=Mode.OBSERVE)
    assert set(after) == {source}


@pytest.mark.parametrize(
    ("heir", "lifts"),
    [
        (Source.POLICY, Signal.RESUMED),
        (Source.WATCHDOG, Signal.WATCHDOG_RESUMED),
        (Source.WATCHDOG, Signal.RECOVERED),
    ],
)
@pytest.mark.parametrize("source", [Source.STARTUP, Source.STALE])
def test_nothing_is_handed_over_to_a_hold_that_is_being_lifted(source: Source, heir: Source, lifts: Signal) -> None:
    after, _ = signalled(standing(source, heir), Signal.JUDGED, lifts)
    assert set(after) == {source}


@pytest.mark.parametrize(("source", "by_person"), BY_PERSON.items())
def test_a_persons_resume_lifts_the_one_hold_that_it_speaks_of(source: Source, by_person: Signal) -> None:
    after, _ = signalled(standing(*Source), by_person)
    assert set(after) == set(Source) - {source}


def test_no_two_resumes_of_a_person_are_the_same_signal() -> None:
    assert len(set(BY_PERSON.values())) == len(BY_PERSON)
    assert not set(BY_PERSON.values()) & {signal for row in TABLE for signal in (*row.raised_by, *row.lifted_by)}


def test_a_machines_hold_that_ends_by_itself_takes_no_other_along() -> None:
    for signal, source in ((Signal.RECOVERED, Source.WATCHDOG), (Signal.ACTION_VERIFIED, Source.ACTION)):
        after, _ = signalled(standing(*Source), signal)
        assert set(after) == set(Source) - {source}


def test_a_user_hold_is_never_handed_over() -> None:
    after, _ = signalled(standing(Source.USER, Source.POLICY), Signal.JUDGED)
    assert set(after) == {Source.USER, Source.POLICY}


def test_no_hold_but_the_persons_own_is_lifted_by_the_spec() -> None:
    after, _ = signalled(standing(*Source), Signal.USER_RESUMED)
    assert set(after) == set(Source) - {Source.USER}


def test_what_is_lifted_in_this_moment_is_not_raised() -> None:
    assert said({Signal.CREATED: "", Signal.CLEAN: ""}) == []
    assert said({Signal.BOOTED: "", Signal.CLEAN: ""}, standing(Source.STARTUP)) == [(Source.STARTUP, False)]
    assert said({Signal.DRIFT: "", Signal.RESUMED: ""}, standing(Source.POLICY)) == [(Source.POLICY, False)]


def test_several_holds_stand_at_once_and_each_is_said() -> None:
    signals = {row.raised_by[-1]: "why" for row in TABLE}
    assert sorted(said(signals)) == sorted((source, True) for source in Source)


def test_a_standing_hold_is_not_raised_again() -> None:
    before = standing(Source.STARTUP)
    after, transitions = signalled(before, Signal.BOOTED)
    assert after == before
    assert transitions == ()


def test_a_hold_tells_why_and_since_when_it_stands() -> None:
    after, _ = step({}, {Signal.BOOTED: "the bot booted"}, Mode.PAUSE, now_ms=NOW)
    raised = after[Source.STARTUP]
    assert (raised.reason, raised.message, raised.since) == (Signal.BOOTED, "the bot booted", NOW)


def test_a_step_leaves_the_holds_that_it_was_given_alone() -> None:
    before = standing(Source.POLICY)
    copy = dict(before)
    step(before, {Signal.RESUMED: ""}, Mode.PAUSE, now_ms=NOW)
    step(before, {}, Mode.PAUSE, now_ms=NOW, keys={Source.POLICY: {"new"}})
    assert before == copy


# --- the digest ----------------------------------------------------------------------------------------------------


def keys(number: int, start: int = 0) -> list[str]:
    return [f"k{index:05}" for index in range(start, start + number)]


@pytest.mark.parametrize("source", Source)
def test_only_a_hold_that_a_person_may_lift_has_a_digest(source: Source) -> None:
    digested = {Source.POLICY, Source.WATCHDOG, Source.UNKNOWN_OUTCOME}
    assert bool(hold(source).digest) is (source in digested)


def test_two_holds_raised_in_one_moment_have_different_digests() -> None:
    assert len({hold(source, "a").digest for source in BY_PERSON}) == len(BY_PERSON)


def test_the_digest_covers_since() -> None:
    assert hold(Source.POLICY, "a").digest != hold(Source.POLICY, "a", since=NOW + 1).digest


def test_the_digest_covers_the_keys_in_order() -> None:
    empty = hold(Source.POLICY)
    assert empty.gather(["a"]).gather(["b"]).digest != empty.gather(["b"]).gather(["a"]).digest
    assert empty.gather(["a", "b"]).digest == empty.gather({"b", "a"}).digest


def test_a_new_key_changes_the_digest() -> None:
    before = hold(Source.POLICY, "a")
    assert before.gather(["a", "b"]).digest != before.digest


def test_a_key_that_is_covered_changes_nothing() -> None:
    before = hold(Source.POLICY, "a", "b")
    assert before.gather(["b"]) == before


def test_resolving_removes_no_key() -> None:
    before = hold(Source.POLICY, "a", "b")
    after, _ = step({Source.POLICY: before}, {}, Mode.PAUSE, now_ms=NOW + 1, keys={Source.POLICY: ()})
    assert after[Source.POLICY] == before


def test_a_hold_gathers_in_observe_mode_too() -> None:
    after, _ = step({Source.POLICY: hold(Source.POLICY)}, {}, Mode.OBSERVE, now_ms=NOW + 1, keys={Source.POLICY: ["a"]})
    assert after[Source.POLICY].keys == ("a",)


def test_each_hold_gathers_what_it_is_for_and_only_one_with_a_digest_does() -> None:
    after, _ = step(standing(*Source), {}, Mode.PAUSE, now_ms=NOW, keys={source: [source] for source in Source})
    assert {source: held.keys for source, held in after.items() if held.keys} == {
        source: (source,) for source in BY_PERSON
    }


def test_each_earlier_digest_tells_which_keys_it_did_not_cover() -> None:
    first = hold(Source.POLICY, "a")
    second = first.gather(["b"])
    third = second.gather(["c"])
    assert third.unseen_by(first.digest) == ("b", "c")
    assert third.unseen_by(second.digest) == ("c",)
    assert third.unseen_by(third.digest) == ()


@pytest.mark.parametrize("digest", ["", "0123456789", "latest"])
def test_an_unknown_digest_is_not_of_this_hold(digest: str) -> None:
    assert hold(Source.POLICY, "a").unseen_by(digest) is None


def test_the_digest_of_an_earlier_hold_is_not_of_this_one() -> None:
    earlier = hold(Source.POLICY, "a")
    assert hold(Source.POLICY, "a", since=NOW + 1).unseen_by(earlier.digest) is None


def test_a_hold_without_a_digest_knows_the_digest_of_no_other() -> None:
    assert hold(Source.STARTUP).unseen_by(hold(Source.POLICY).digest) is None


def test_the_oldest_keys_are_folded_and_the_digest_goes_on() -> None:
    one_by_one = hold(Source.POLICY)
    for key in keys(KEYS_KEPT + 20):
        one_by_one = one_by_one.gather([key])
    at_once = hold(Source.POLICY).gather(keys(KEYS_KEPT + 20))
    assert one_by_one.digest == at_once.digest
    assert one_by_one.keys == tuple(keys(KEYS_KEPT, start=20))


def test_folding_keeps_later_digests_valid_and_forgets_older_ones() -> None:
    full = hold(Source.POLICY).gather(keys(KEYS_KEPT))
    folded = full.gather(keys(30, start=KEYS_KEPT))
    assert folded.unseen_by(full.digest) == tuple(keys(30, start=KEYS_KEPT))
    assert [folded.unseen_by(digest) for digest in full.digests[:30]] == [None] * 30
    assert folded.unseen_by(full.digests[30]) == tuple(keys(KEYS_KEPT, start=30))


def test_a_key_that_was_folded_is_still_covered() -> None:
    folded = hold(Source.POLICY).gather(keys(KEYS_KEPT + 5))
    assert folded.gather(keys(KEYS_KEPT + 5)) == folded


def test_a_hold_that_was_written_and_read_goes_on_with_the_same_digest() -> None:
    before = hold(Source.POLICY).gather(keys(KEYS_KEPT + 5))
    read = Hold(before.source, before.reason, before.message, before.since, before.base, before.keys)
    assert read.digest == before.digest
    assert read.gather(["new"]).digest == before.gather(["new"]).digest


def test_what_this_process_knows_of_folded_keys_does_not_tell_holds_apart() -> None:
    before = hold(Source.POLICY).gather(keys(KEYS_KEPT + 5))
    assert replace(before, folded=frozenset()) == before


def test_fingerprints_are_short_and_stable() -> None:
    assert fingerprint("MissingOrder|BTC/USDT:USDT|1") == fingerprint("MissingOrder|BTC/USDT:USDT|1")
    assert len(fingerprint("x" * 500)) == len(fingerprint("")) == 8
    assert len({fingerprint(f"MissingOrder|BTC/USDT:USDT|{n}") for n in range(5000)}) == 5000

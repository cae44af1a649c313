"""Which call stops a bot, and which one lets it go on: the table, and what holds of every story."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountsync.domain.holds import Source
from accountsync.domain.policy import PauseLevel
from accountsync.domain.stopping import Activity, Step, Stopped, next_step, wanted

RUNNING, PAUSED, STOPPED = Activity
REDUCE, HALT = PauseLevel
PAUSED_BY_US, HALTED = Stopped(RUNNING, REDUCE, REDUCE), Stopped(RUNNING, HALT, HALT)
UNTOLD, PAUSED_SO_FAR = Stopped(RUNNING, HALT), Stopped(RUNNING, HALT, REDUCE)
LEVELS = st.sampled_from([None, REDUCE, HALT])


def test_without_a_hold_a_bot_may_go_on() -> None:
    assert wanted((), HALT) is None


@pytest.mark.parametrize("source", Source)
def test_a_hold_stops_it_as_far_as_the_account_says_unless_it_waits_for_news(source: Source) -> None:
    assert wanted([source], REDUCE) is REDUCE
    expected = REDUCE if source in {Source.STARTUP, Source.STALE} else HALT
    assert wanted([source], HALT) is expected
    assert wanted([source, Source.USER], HALT) is HALT


@pytest.mark.parametrize(
    ("level", "now", "memory", "step"),
    [
        # stopping: told counts only after the call
        (REDUCE, RUNNING, None, Step(Stopped(RUNNING, REDUCE), pause=REDUCE, then=Stopped(RUNNING, REDUCE, REDUCE))),
        (HALT, RUNNING, None, Step(Stopped(RUNNING, HALT), pause=HALT, then=Stopped(RUNNING, HALT, HALT))),
        (HALT, PAUSED, None, Step(Stopped(PAUSED, HALT), pause=HALT, then=Stopped(PAUSED, HALT, HALT))),
        # already as far as asked: by a person, who is not remembered
        (REDUCE, PAUSED, None, Step()),
        (REDUCE, STOPPED, None, Step()),
        (HALT, STOPPED, None, Step()),
        # another level
        (HALT, PAUSED, PAUSED_BY_US, Step(PAUSED_SO_FAR, pause=HALT, then=HALTED)),
        (REDUCE, STOPPED, HALTED, Step(HALTED, pause=REDUCE, then=PAUSED_BY_US)),
        (REDUCE, PAUSED, HALTED, Step(HALTED, then=PAUSED_BY_US)),
        # a person stopped it further than we did
        (REDUCE, STOPPED, PAUSED_BY_US, Step(PAUSED_BY_US, then=PAUSED_BY_US)),
        (HALT, STOPPED, PAUSED_BY_US, Step(PAUSED_BY_US, then=PAUSED_BY_US)),
        (None, STOPPED, PAUSED_BY_US, Step()),
        # asked for, and not known to have been told: a person may have done it
        (REDUCE, STOPPED, UNTOLD, Step(UNTOLD, then=Stopped(RUNNING, REDUCE), left=True)),
        (REDUCE, STOPPED, PAUSED_SO_FAR, Step(PAUSED_SO_FAR, then=PAUSED_BY_US, left=True)),
        (None, STOPPED, UNTOLD, Step(left=True)),
        (None, STOPPED, PAUSED_SO_FAR, Step(left=True)),
        (None, PAUSED, UNTOLD, Step(left=True)),
        (None, PAUSED, Stopped(RUNNING, REDUCE), Step(left=True)),
        (None, RUNNING, UNTOLD, Step()),
        # a restart: what it was told before is over
        (
            REDUCE,
            RUNNING,
            Stopped(PAUSED, HALT, HALT),
            Step(Stopped(PAUSED, REDUCE), REDUCE, then=Stopped(PAUSED, REDUCE, REDUCE)),
        ),
        (HALT, PAUSED, HALTED, Step(PAUSED_SO_FAR, pause=HALT, then=HALTED)),
        # going on
        (None, PAUSED, PAUSED_BY_US, Step(PAUSED_BY_US, resume=RUNNING)),
        (None, PAUSED, PAUSED_SO_FAR, Step(PAUSED_SO_FAR, resume=RUNNING)),
        (None, STOPPED, HALTED, Step(HALTED, resume=RUNNING)),
        (None, STOPPED, Stopped(PAUSED, HALT, HALT), Step(Stopped(PAUSED, HALT, HALT), resume=PAUSED)),
        (None, PAUSED, Stopped(PAUSED, HALT, HALT), Step()),
        (None, RUNNING, Stopped(PAUSED, HALT, HALT), Step()),
        (None, RUNNING, HALTED, Step()),
    ],
)
def test_the_next_step(level: PauseLevel | None, now: Activity, memory: Stopped | None, step: Step) -> None:
    assert next_step(level, now, memory) == step


@pytest.mark.parametrize("now", Activity)
@pytest.mark.parametrize("memory", [None, Stopped(RUNNING, REDUCE), Stopped(PAUSED, HALT)])
def test_a_bot_that_must_add_no_exposure_does_not_run_afterwards(now: Activity, memory: Stopped | None) -> None:
    step = next_step(REDUCE, now, memory)
    assert now is not RUNNING or step.pause is REDUCE


def done(step: Step, now: Activity) -> Activity:
    if step.pause is not None:
        return STOPPED if step.pause is HALT else PAUSED
    return step.resume or now


@given(before=st.sampled_from(Activity), levels=st.lists(LEVELS, max_size=8), lost=st.lists(st.booleans()))
def test_whatever_levels_come_and_calls_are_lost_it_ends_as_it_began(
    before: Activity, levels: list[PauseLevel | None], lost: list[bool]
) -> None:
    """What is remembered is written before each call; a lost call did nothing, and comes again."""
    now, memory, losses = before, None, iter(lost)
    for level in levels:
        step = next_step(level, now, memory)
        if step.calls:
            memory = step.first
            if next(losses, False):
                continue
        now, memory = done(step, now), step.then
    for _ in range(2):
        step = next_step(None, now, memory)
        now, memory = done(step, now), step.then
    assert (now, memory) == (before, None)


@given(st.sampled_from(Activity), st.lists(LEVELS, max_size=8))
def test_nobody_is_let_do_more_than_before(before: Activity, levels: list[PauseLevel | None]) -> None:
    order = [RUNNING, PAUSED, STOPPED]
    now, memory = before, None
    for level in levels:
        step = next_step(level, now, memory)
        now, memory = done(step, now), step.then
        assert order.index(now) >= order.index(before)


@given(st.sampled_from(Activity), st.lists(LEVELS.filter(bool), min_size=2, max_size=8))
def test_being_told_twice_changes_nothing(before: Activity, levels: list[PauseLevel]) -> None:
    now, memory = before, None
    for level in levels:
        step = next_step(level, now, memory)
        now, memory = done(step, now), step.then
        again = next_step(level, now, memory)
        assert not again.calls
        assert again.then == memory


@given(
    before=st.sampled_from(Activity),
    levels=st.lists(st.tuples(LEVELS, st.booleans(), st.none() | st.sampled_from([PAUSED, STOPPED])), max_size=8),
)
def test_a_bot_goes_on_only_from_where_it_was_told_to_stop(
    before: Activity, levels: list[tuple[PauseLevel | None, bool, Activity | None]]
) -> None:
    """Calls are lost, and people stop it by hand meanwhile; whatever they stopped since we last told it, stays so."""
    order = [RUNNING, PAUSED, STOPPED]
    now, memory, by_hand = before, None, before
    for level, lost, hand in levels:
        step = next_step(level, now, memory)
        if step.calls:
            memory = step.first
        if not step.calls or not lost:
            if step.resume is not None or (step.pause is REDUCE and now is STOPPED):
                assert by_hand is not now, "what a person did last is not undone"
            now, memory = done(step, now), step.then
            by_hand = RUNNING if step.calls else by_hand
        if hand is not None and order.index(hand) > order.index(now):
            now = by_hand = hand

"""Which call stops a bot, and which one lets it go on: the table, and what holds of every story."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountsync.domain.holds import Source
from accountsync.domain.policy import PauseLevel
from accountsync.domain.stopping import Activity, Step, Stopped, next_step, wanted

RUNNING, PAUSED, STOPPED = Activity
REDUCE, HALT = PauseLevel
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
        # stopping
        (REDUCE, RUNNING, None, Step(Stopped(RUNNING, REDUCE), pause=REDUCE, then=Stopped(RUNNING, REDUCE))),
        (HALT, RUNNING, None, Step(Stopped(RUNNING, HALT), pause=HALT, then=Stopped(RUNNING, HALT))),
        (HALT, PAUSED, None, Step(Stopped(PAUSED, HALT), pause=HALT, then=Stopped(PAUSED, HALT))),
        # already as far as asked: by a person, who is not remembered
        (REDUCE, PAUSED, None, Step()),
        (REDUCE, STOPPED, None, Step()),
        (HALT, STOPPED, None, Step()),
        # another level
        (
            HALT,
            PAUSED,
            Stopped(RUNNING, REDUCE),
            Step(Stopped(RUNNING, HALT), pause=HALT, then=Stopped(RUNNING, HALT)),
        ),
        (
            REDUCE,
            STOPPED,
            Stopped(RUNNING, HALT),
            Step(Stopped(RUNNING, HALT), pause=REDUCE, then=Stopped(RUNNING, REDUCE)),
        ),
        (REDUCE, PAUSED, Stopped(RUNNING, HALT), Step(Stopped(RUNNING, HALT), then=Stopped(RUNNING, REDUCE))),
        # a person stopped it further than we did
        (REDUCE, STOPPED, Stopped(RUNNING, REDUCE), Step(Stopped(RUNNING, REDUCE), then=Stopped(RUNNING, REDUCE))),
        (HALT, STOPPED, Stopped(RUNNING, REDUCE), Step(Stopped(RUNNING, REDUCE), then=Stopped(RUNNING, REDUCE))),
        (None, STOPPED, Stopped(RUNNING, REDUCE), Step()),
        # a restart
        (REDUCE, RUNNING, Stopped(PAUSED, HALT), Step(Stopped(PAUSED, REDUCE), REDUCE, then=Stopped(PAUSED, REDUCE))),
        # going on
        (None, PAUSED, Stopped(RUNNING, REDUCE), Step(Stopped(RUNNING, REDUCE), resume=RUNNING)),
        (None, STOPPED, Stopped(RUNNING, HALT), Step(Stopped(RUNNING, HALT), resume=RUNNING)),
        (None, STOPPED, Stopped(PAUSED, HALT), Step(Stopped(PAUSED, HALT), resume=PAUSED)),
        (None, PAUSED, Stopped(PAUSED, HALT), Step()),
        (None, RUNNING, Stopped(PAUSED, HALT), Step()),
        (None, RUNNING, Stopped(RUNNING, HALT), Step()),
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

"""The grace is a span: no clock that people or daemons set ends it early, or keeps it from ending."""

import pytest
from tests.false_mismatches.desk import PREFIX, Desk
from tests.support.fakes import FakeExchange, ManualClock

from accountsync.domain.catalogue import Rule
from accountsync.errors import ExchangeUnobserved, Reason

HOUR = 3600.0


async def test_a_machine_that_slept_an_hour_has_not_waited_the_grace() -> None:
    """nautilus_trader #4366: the grace was measured on a clock that need not tick at the rate of real time.

    Here the machine sleeps for an hour with an order on its way: every wall clock is far ahead, and not a second of
    the bot's time to learn of the order has passed.
    """
    desk = Desk()
    for nap in range(10):
        desk.overlook(desk.order(f"{PREFIX}{nap}"))
        await desk.stays_quiet(2, every=0.5)
        desk.clock.wall += round(HOUR * 1000)
        made = await desk.stays_quiet(4, every=1.0)
        assert all(cycle.complete for cycle in made)
        assert [track.count >= desk.policy.confirmations for track in made[-1].state.tracks.values()] == [True]
        desk.belief = desk.truth
        await desk.stays_quiet(2, every=1.0)
        assert dict(desk.state.tracks) == {}

    lost = desk.order(f"{PREFIX}lost")
    desk.overlook(lost)
    (finding,) = await desk.finds(Rule.UNEXPECTED_ORDER, every=1.0, cycles=20)
    assert finding.id == lost.id


@pytest.mark.parametrize("step", [45.0, -4.0])
async def test_a_step_of_our_own_clock_does_not_end_the_grace(step: float) -> None:
    """nautilus_trader #4366: a clock that jumps makes the grace as long as it likes."""
    ours = ManualClock()
    desk = Desk()
    desk.watching = ours
    for turn in range(10):
        desk.overlook(desk.order(f"{PREFIX}{turn}"))
        for second in range(4):
            ours.advance(1.0)
            await desk.stays_quiet(1, every=1.0)
            ours.wall += round(step * 1000) if second == 1 else 0
        desk.belief = desk.truth
        ours.advance(1.0)
        await desk.stays_quiet(1, every=1.0)
        ours.wall = desk.clock.wall

    desk.overlook(desk.order(f"{PREFIX}lost"))
    await desk.finds(Rule.UNEXPECTED_ORDER, before=lambda: ours.advance(6.0))


async def test_a_clock_that_was_set_back_does_not_prolong_the_grace() -> None:
    """nautilus_trader #4366: on a clock that stands still or goes back the grace never ends.

    Ours is fifty seconds ahead when it first sees the difference, and is then put right.
    """
    ours = ManualClock()
    desk = Desk(FakeExchange(ManualClock()))
    desk.watching = ours
    ours.wall += 50_000
    desk.exchange.hold("BTC/USDT:USDT", "2")
    desk.believe(positions=())

    def pass_time() -> None:
        ours.advance(6.0)

    pass_time()
    await desk.cycle()
    (track,) = desk.state.tracks.values()
    assert not track.confirmed
    ours.wall -= 50_000
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH, before=pass_time, cycles=4)
    assert track.first_seen > ours.wall
    assert (finding.expected, finding.observed) == ("0", "2")

    desk.belief = desk.truth
    pass_time()
    await desk.stays_quiet(before=pass_time)
    assert desk.standing == []


async def test_a_snapshot_does_not_grow_stale_by_a_step_of_the_clock() -> None:
    """nautilus_trader #4366, for the age of a snapshot: an hour's step is no hour without an answer."""
    desk = Desk()
    desk.order()
    await desk.stays_quiet(3)
    desk.clock.wall += round(HOUR * 1000)
    (made,) = await desk.stays_quiet(1)
    assert dict(made.state.holds) == {}

    silent = Desk()
    await silent.stays_quiet(3)
    silent.exchange.script.extend([_unreachable()] * 2)
    (made,) = await silent.stays_quiet(1, every=HOUR)
    assert [hold.source.value for hold in made.state.holds.values()] == ["Stale"]


def _unreachable() -> ExchangeUnobserved:
    return ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, "no route")

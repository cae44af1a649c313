"""A process ends between any two calls of its ports: another goes on from what is stored, and sends nothing twice."""

from collections.abc import Awaitable, Callable

import pytest
from tests.support.acting import Killed, Rig

from accountsync.domain.account import Side
from accountsync.domain.holds import Source
from accountsync.errors import OutcomeUnknown

STEP = 5.0
TURNS = 60
Story = Callable[[Rig], Awaitable[None]]


async def lost_orders(rig: Rig) -> None:
    await rig.lose("bot_a")
    rig.exchange.place("BTC/USDT:USDT", client_id="bot_b")


async def position(rig: Rig) -> None:
    await rig.strand()
    rig.exchange.place("BTC/USDT:USDT", client_id="bot_stop", side=Side.SELL, quantity="5", price="300")


async def answer_lost(rig: Rig) -> None:
    await rig.strand()
    rig.trading.script.append(OutcomeUnknown("the answer was lost"))


async def order_lost(rig: Rig) -> None:
    await answer_lost(rig)
    rig.trading.loses = True


async def wrong_belief(rig: Rig) -> None:
    await rig.settle()
    rig.exchange.hold("ETH/USDT:USDT", "4")


def over(rig: Rig) -> bool:
    """Whether nothing differs, no plan is open, and the bot hears so."""
    waiting = not rig.stored or any(plan.open for plan in rig.stored)
    return not waiting and not rig.state.tracks and not {Source.ACTION, Source.UNKNOWN_OUTCOME} & rig.state.holds.keys()


async def told(story: Story, blows_at: int | None = None) -> tuple[Rig, int]:
    """`story` until it is over, people approving what they are asked for; and how many calls its last process made."""
    rig = Rig(repairs=story is wrong_belief)
    await story(rig)
    rig.fuse.passed, rig.fuse.blows_at = 0, blows_at
    for _ in range(TURNS):
        try:
            await rig.cycle(STEP)
        except* Killed:
            rig.restart()
        rig.approve()
        if over(rig):
            break
    return rig, rig.fuse.passed


@pytest.mark.parametrize("story", [lost_orders, position, answer_lost, order_lost, wrong_belief])
async def test_wherever_a_process_ends_nothing_is_sent_twice_and_no_plan_is_left_open(story: Story) -> None:
    _, calls = await told(story)
    assert calls > 20
    for point in range(1, calls + 1):
        rig, _ = await told(story, point)
        assert rig.fuse.blows_at is None, "the process ended"
        assert rig.sent_once(), (point, rig.shown, rig.trading.sent)
        assert over(rig), (point, rig.shown, rig.state.tracks.keys(), rig.now.blocked)
        assert rig.held == 0, (point, rig.shown)

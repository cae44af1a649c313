"""What is truly wrong is confirmed in a bounded number of clean cycles, named by its rule, and resolved in as many."""

import asyncio
import math
import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.simulation.virtual import run_virtually
from tests.simulation.world import PREFIX, World
from tests.support.fakes import BTC, ETH

from accountsync.domain.account import PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.holds import Source

SEEDS = int(os.environ.get("ACCOUNTSYNC_SEEDS", "200")) // 8
FIRST = int(os.environ.get("ACCOUNTSYNC_FIRST_SEED", "0"))

Inject = Callable[[World], Callable[[], None]]
"""Makes a drift in BTC; gives what ends it."""


def a_manual_order(world: World) -> Callable[[], None]:
    order = world.exchange.place(BTC, client_id="web_1", price="50")
    world.bot.drift.orders.add((BTC, order.id))
    return world.bot.drift.orders.clear


def an_order_that_the_bot_lost(world: World) -> Callable[[], None]:
    order = world.exchange.place(BTC, client_id=f"{PREFIX}lost")
    world.bot.drift.orders.add((BTC, order.id))
    return world.bot.drift.orders.clear


def a_silent_position_change(world: World) -> Callable[[], None]:
    leg = PositionSide.LONG if world.nature.hedged else PositionSide.NET
    held = world.exchange.positions.get((BTC, leg))
    before = held.quantity if held else Decimal(0)
    world.bot.drift.positions[BTC, leg] = before
    world.exchange.hold(BTC, before + 3, leg)
    return world.bot.drift.positions.clear


def a_liquidation(world: World) -> Callable[[], None]:
    leg = PositionSide.LONG if world.nature.hedged else PositionSide.NET
    world.exchange.hold(BTC, "7", leg)
    world.bot.drift.positions[BTC, leg] = Decimal(7)
    world.exchange.hold(BTC, "0", leg)
    return world.bot.drift.positions.clear


def a_cancel_that_the_bot_missed(world: World) -> Callable[[], None]:
    order = world.exchange.place(BTC, client_id=f"{PREFIX}gone")
    world.exchange.end(order)
    world.bot.drift.invented.append(order)
    return world.bot.drift.invented.clear


def a_partial_fill_that_the_bot_missed(world: World) -> Callable[[], None]:
    order = world.exchange.place(BTC, side=Side.SELL, quantity="4", client_id=f"{PREFIX}part")
    world.exchange.orders[BTC, order.id] = replace(order, filled=Decimal(1), updated=world.exchange.clock.now_ms())
    world.bot.drift.orders.add((BTC, order.id))
    world.bot.drift.invented.append(order)

    def end() -> None:
        world.bot.drift.invented.clear()
        world.bot.drift.orders.clear()

    return end


DRIFTS: dict[Inject, Rule] = {
    a_manual_order: Rule.UNEXPECTED_ORDER,
    an_order_that_the_bot_lost: Rule.UNEXPECTED_ORDER,
    a_silent_position_change: Rule.POSITION_MISMATCH,
    a_liquidation: Rule.POSITION_MISMATCH,
    a_cancel_that_the_bot_missed: Rule.MISSING_ORDER,
    a_partial_fill_that_the_bot_missed: Rule.ORDER_DIVERGENCE,
}
PAUSING = set(DRIFTS) - {a_manual_order, a_partial_fill_that_the_bot_missed}


def bound(world: World) -> int:
    """Cycles: a belief of the grace after the change, a snapshot of the grace after that belief, and the looks."""
    reach = world.nature.policy.order_grace_ms / 1000 + 2
    return 2 * math.ceil(reach / world.nature.interval) + world.nature.policy.confirmations + 1


async def find(seed: int, inject: Inject) -> str:
    async with World(seed) as world:
        for _ in range(20):
            await world.observer.turn()
        world.calm_down()
        world.trader.symbols = [ETH]
        await asyncio.sleep(500)  # the last misfortune of the bot is over
        if not await until(world, lambda: not world.observer.state.holds, cycles=60):  # while the bot goes on trading
            return f"seed {seed}: not clean before the drift: {world.observer.state.holds}"
        end = inject(world)
        found = await until(world, lambda: bool(world.observer.confirmed))
        rules = {track.finding.rule for track in world.observer.state.tracks.values() if track.confirmed}
        if not found or rules != {DRIFTS[inject]}:
            return f"seed {seed}, {world.nature}: found {rules or 'nothing'} in {bound(world)} cycles"
        if (Source.POLICY in world.observer.state.holds) != (inject in PAUSING):
            return f"seed {seed}: holds {world.observer.state.holds}"
        end()
        resolved = await until(world, lambda: not world.observer.confirmed)
        return "" if resolved else f"seed {seed}: not resolved: {world.observer.confirmed}"


async def until(world: World, condition: Callable[[], bool], cycles: int = 0) -> bool:
    for _ in range(cycles or bound(world)):
        await world.observer.turn()
        if condition():
            return True
    return False


@pytest.mark.parametrize("inject", DRIFTS, ids=lambda inject: inject.__name__)
def test_drift_is_found_and_resolved(inject: Inject) -> None:
    failed = [failure for seed in range(FIRST, FIRST + SEEDS) if (failure := run_virtually(find(seed, inject)))]
    if failed:
        pytest.fail(f"{len(failed)} of {SEEDS} seeds\n" + "\n".join(failed[:10]))

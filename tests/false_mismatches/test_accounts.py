"""Ids are an account's and a symbol's own: what is true of one says nothing of another."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest
from tests.false_mismatches.desk import PREFIX, Desk, Watch, lines, simulated
from tests.support.fakes import BTC, ETH, tracked

from accountsync.domain.account import PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedOrder
from accountsync.simulator import Account, World


@pytest.fixture
def pair() -> tuple[Desk, Desk]:
    """Two accounts whose orders have the same ids and client ids, with opposite positions."""
    long, short = Desk(), Desk()
    for desk, quantity in ((long, "3"), (short, "-3")):
        desk.exchange.hold(BTC, quantity)
        desk.order(f"{PREFIX}1")
        desk.order(f"{PREFIX}2")
    return long, short


async def together(*desks: Watch, cycles: int = 10) -> None:
    """Their cycles side by side, and nothing is found."""
    for _ in range(cycles):
        await asyncio.gather(*(desk.stays_quiet(1) for desk in desks))


async def test_two_accounts_with_the_same_order_ids_are_judged_by_their_own(pair: tuple[Desk, Desk]) -> None:
    """nautilus_trader #4029: reports of one symbol on two accounts overwrote each other, and positions were summed.

    The one account's order 2 ends while the other's lives on; the bots know it, each of its own.
    """
    long, short = pair
    await together(long, short)
    ended = short.exchange.orders[BTC, "2"]
    short.exchange.fill(ended)
    await together(long, short)

    long.overlook(long.exchange.orders[BTC, "3"])
    found, nothing = await asyncio.gather(long.finds(Rule.UNEXPECTED_ORDER), short.stays_quiet())
    assert [finding.id for finding in found] == ["3"]
    assert nothing[-1].outcome.shown == ()
    short.stick_to(replace(short.truth(), positions=(long.truth().positions or ())))
    found = await short.finds(Rule.POSITION_MISMATCH)
    assert [(finding.expected, finding.observed) for finding in found] == [("3", "-2")]
    await long.stays_quiet()


async def test_one_id_in_two_symbols_is_two_orders() -> None:
    """nautilus_trader #4029, within an account: exchanges count order ids up symbol by symbol."""
    desk = Desk()
    twin = replace(desk.anchor, symbol=BTC, client_id=f"{PREFIX}twin")
    desk.exchange.orders[BTC, twin.id] = twin
    assert {row.id for row in desk.truth().orders or ()} == {desk.anchor.id}
    await desk.stays_quiet()

    desk.exchange.end(twin)
    await desk.stays_quiet()

    believed = tracked(twin)
    desk.believe(orders=(tracked(desk.anchor), believed))
    (missing,) = await desk.finds(Rule.MISSING_ORDER)
    assert (missing.symbol, missing.id, missing.observed) == (BTC, twin.id, "canceled, filled 0 of 1")
    desk.belief = desk.truth
    await desk.settles()

    desk.exchange.orders[BTC, twin.id] = twin
    desk.believe(orders=(tracked(twin),))
    (lost,) = await desk.finds(Rule.UNEXPECTED_ORDER)
    assert (lost.symbol, lost.id) == (ETH, desk.anchor.id)


async def test_one_client_id_in_two_symbols_is_two_orders() -> None:
    """nautilus_trader #4029, for the bot's own ids: the same client id in another symbol is another order."""
    desk = Desk()
    btc = desk.order(f"{PREFIX}same")
    eth = desk.order(f"{PREFIX}same", symbol=ETH, price="7")

    def by_client_id(*symbols: str) -> tuple[ExpectedOrder, ...]:
        rows = [replace(tracked(order), id="") for order in (btc, eth) if order.symbol in symbols]
        return (tracked(desk.anchor), *rows)

    desk.believe(orders=by_client_id(BTC, ETH))
    await desk.stays_quiet()
    desk.exchange.end(btc)
    desk.believe(orders=by_client_id(ETH))
    await desk.stays_quiet()
    desk.believe(orders=by_client_id(BTC))
    found = await desk.finds(Rule.MISSING_ORDER, Rule.UNEXPECTED_ORDER)
    assert [(finding.symbol, finding.id) for finding in found] == [(BTC, f"{PREFIX}same"), (ETH, eth.id)]


async def test_both_legs_of_a_hedged_account_are_their_own(pair: tuple[Desk, Desk]) -> None:
    """nautilus_trader #4029: a long and a short of one symbol are no sum, on one account as little as on two."""
    desk, _ = pair
    del desk.exchange.positions[BTC, PositionSide.NET]
    desk.exchange.hold(BTC, "3", PositionSide.LONG)
    desk.exchange.hold(BTC, "3", PositionSide.SHORT)
    await desk.stays_quiet()
    rows = desk.truth().positions or ()
    desk.believe(positions=tuple(replace(row, quantity=row.quantity + Decimal(1)) for row in rows))
    found = await desk.finds(Rule.POSITION_MISMATCH, Rule.POSITION_MISMATCH)
    assert {(finding.id, finding.expected, finding.observed) for finding in found} == {
        ("long", "4", "3"),
        ("short", "4", "3"),
    }


def set_btc(amount: Decimal, world: World, account: Account) -> None:
    world.set_position(account, "BTCUSDT", amount)


async def test_two_accounts_over_one_venue_are_read_with_their_own_keys() -> None:
    """nautilus_trader #4029: two accounts share a venue, its connections and markets, and nothing that they hold."""
    with simulated("long", "short") as running:
        async with lines(running, "long", "short") as (long, short):
            for line, amount in ((long, Decimal("0.5")), (short, Decimal("-0.5"))):
                line.act(partial(set_btc, amount))
                line.order(f"{PREFIX}1")
            await together(long, short)
            assert {row.account for row in running.call(lambda sim: sim.requests.select())} == {"", "long", "short"}

            long.act(lambda world, account: world.cancel(next(iter(account.open_orders.values()))))
            lost = long.order(f"{PREFIX}lost")
            long.overlook(f"{PREFIX}lost")
            found, _ = await asyncio.gather(long.finds(Rule.UNEXPECTED_ORDER, cycles=30), short.stays_quiet(30))
            assert [finding.id for finding in found] == [lost]

            short.stick_to(replace(short.truth(), positions=long.truth().positions))
            found, _ = await asyncio.gather(short.finds(Rule.POSITION_MISMATCH, cycles=30), long.stays_quiet(30))
            assert [(finding.expected, finding.observed) for finding in found] == [("0.5", "-0.5")]

"""What others offer around the mark price, and what is left of it after somebody took some."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulator.support import StillClock, Wire

from accountsync.simulator import Depth, Offer, Side, World, WorldError
from accountsync.simulator.book import takeable

BTC = "BTCUSDT"
THIN = Depth(levels=3, quantity=Decimal("0.5"), spacing=Decimal(10))


@pytest.fixture
def world() -> World:
    made = World(seed=1, clock=StillClock())
    made.books.set_depth(BTC, THIN)
    return made


def offers(world: World, side: Side) -> list[tuple[str, str]]:
    return [(f"{one.price:.0f}", str(one.quantity)) for one in world.books.offers(BTC, side)]


def test_levels_lie_around_the_mark(world: World) -> None:
    assert offers(world, Side.BUY) == [("65010", "0.5"), ("65020", "0.5"), ("65030", "0.5")]
    assert offers(world, Side.SELL) == [("64990", "0.5"), ("64980", "0.5"), ("64970", "0.5")]


def test_prices_are_on_ticks_wherever_the_mark_is(world: World) -> None:
    world.set_mark_price(BTC, Decimal("65000.04"))
    best = {side: world.books.offers(BTC, side)[0].price for side in Side}
    assert best == {Side.BUY: Decimal("65010.1"), Side.SELL: Decimal("64990.0")}


def test_no_bid_is_at_or_below_zero(world: World) -> None:
    world.set_mark_price(BTC, Decimal(25))
    assert [offer.price for offer in world.books.offers(BTC, Side.SELL)] == [15, 5]


def test_what_is_taken_is_there_again_at_once(world: World) -> None:
    world.books.take(BTC, Side.BUY, Offer(Decimal(65_010), Decimal("0.5")))
    assert len(offers(world, Side.BUY)) == 3


def test_or_only_after_the_next_mark(world: World) -> None:
    world.books.set_depth(BTC, Depth(levels=2, quantity=Decimal(1), spacing=Decimal(10), refills=False))
    world.books.take(BTC, Side.BUY, Offer(Decimal(65_010), Decimal("0.4")))
    assert offers(world, Side.BUY) == [("65010", "0.6"), ("65020", "1")]
    world.books.take(BTC, Side.BUY, Offer(Decimal(65_010), Decimal("0.6")))
    assert offers(world, Side.BUY) == [("65020", "1")]
    assert len(offers(world, Side.SELL)) == 2
    world.set_mark_price("ETHUSDT", Decimal(3000))
    assert len(offers(world, Side.BUY)) == 1
    world.set_mark_price(BTC, Decimal(65_000))
    assert offers(world, Side.BUY) == [("65010", "1"), ("65020", "1")]


@pytest.mark.parametrize(
    "wrong",
    [{"levels": -1}, {"quantity": Decimal(0)}, {"spacing": Decimal("0.05")}, {"quantity": Decimal("0.0001")}],
)
def test_a_book_that_cannot_be(world: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(WorldError):
        world.books.set_depth(BTC, replace(THIN, **wrong))
    with pytest.raises(WorldError):
        world.books.set_depth("NOPEUSDT", THIN)
    assert world.books.depth(BTC) == THIN


amounts = st.decimals("0.001", "2", places=3)


@given(st.sampled_from(Side), amounts, st.decimals("64960", "65040", places=1))
def test_nothing_is_taken_beyond_the_limit_or_the_quantity(side: Side, quantity: Decimal, limit: Decimal) -> None:
    world = World(seed=1, clock=StillClock())
    world.books.set_depth(BTC, THIN)
    offered = world.books.offers(BTC, side)
    taken = takeable(offered, side, quantity, limit)
    within = [one for one in offered if (one.price - limit) * side.sign <= 0]
    assert sum(one.quantity for one in taken) == min(quantity, sum(one.quantity for one in within))
    assert [one.price for one in taken] == [one.price for one in within][: len(taken)]


async def test_asking_for_the_book(wire: Wire) -> None:
    wire.sim.world.books.set_depth(BTC, THIN)
    told = (await wire.get("/fapi/v1/depth", "symbol=BTCUSDT&limit=5")).json
    assert told["asks"] == [["65010.00", "0.500"], ["65020.00", "0.500"], ["65030.00", "0.500"]]
    assert told["bids"][0] == ["64990.00", "0.500"]
    assert (await wire.get("/fapi/v1/depth", "symbol=BTCUSDT&limit=7")).code == -4021
    (row,) = [one for one in (await wire.get("/fapi/v1/ticker/bookTicker")).json if one["symbol"] == BTC]
    assert (row["bidPrice"], row["askPrice"], row["askQty"]) == ("64990.00", "65010.00", "0.500")
    wire.sim.world.books.set_depth(BTC, Depth(levels=0, quantity=Decimal(1), spacing=Decimal(1)))
    row = (await wire.get("/fapi/v1/ticker/bookTicker", "symbol=BTCUSDT")).json
    assert (row["bidPrice"], row["askQty"]) == ("0.00", "0.000")

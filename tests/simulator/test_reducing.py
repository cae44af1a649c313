"""What can only reduce never makes a position larger and never turns it round."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulator.support import START_MS, StillClock, Wire

from accountsync.simulator import Account, Depth, OrderStatus, World, WorldError
from accountsync.simulator.call import Call
from accountsync.simulator.calls_trade import place
from accountsync.simulator.limits import Limits
from accountsync.simulator.refusals import Refusal

BTC = "BTCUSDT"
D = Decimal


@pytest.fixture
def long(wire: Wire, wire_account: Account) -> Account:
    """Holds 1 BTC."""
    wire.sim.world.set_position(wire_account, BTC, D(1), entry_price=D(65_000))
    return wire_account


async def test_more_than_is_held_is_cut_to_it(wire: Wire, long: Account) -> None:
    resting = await wire.order(side="SELL", quantity="0.7", price="66000", reduceOnly="true")
    assert resting.json["origQty"] == "0.700"
    closing = await wire.order(side="SELL", quantity="50", reduceOnly="true", newOrderRespType="RESULT")
    assert (closing.json["origQty"], closing.json["status"]) == ("1.000", "FILLED")
    assert long.position(BTC).amount == 0


async def test_once_nothing_is_held_a_resting_one_expires(wire: Wire, long: Account) -> None:
    resting = await wire.order(side="SELL", quantity="0.7", price="66000", reduceOnly="true")
    plain = await wire.order(side="SELL", quantity="0.1", price="66000")
    await wire.order(side="SELL", quantity="1")
    order, other = (long.orders[BTC, one.json["orderId"]] for one in (resting, plain))
    assert (order.status, other.status) == (OrderStatus.EXPIRED, OrderStatus.NEW)


async def test_what_is_promised_already_counts(wire: Wire, long: Account) -> None:
    """Orders at the same or a better price are filled before; what they leave may be asked for, and no more."""
    for price, quantity, expected in (
        ("66000", "0.6", "0.600"),
        ("66000", "0.6", "0.400"),
        ("65500", "0.3", "0.300"),
        ("66500", "0.1", None),
        ("66000", "0.1", None),
    ):
        answer = await wire.order(side="SELL", quantity=quantity, price=price, reduceOnly="true")
        assert (answer.json["origQty"] if answer.status == 200 else None) == expected
        assert answer.status == 200 or answer.code == -2022
    assert long.position(BTC).amount == 1


async def test_a_small_rest_may_be_closed_below_the_least_notional(wire: Wire, wire_account: Account) -> None:
    wire.sim.world.set_position(wire_account, BTC, D("-0.001"))
    assert (await wire.order(quantity="0.001")).code == -4164
    assert (await wire.order(quantity="0.001", reduceOnly="true")).status == 200
    assert wire_account.position(BTC).amount == 0


async def test_an_ioc_reduces_as_far_as_the_book_goes(wire: Wire, long: Account) -> None:
    wire.sim.world.books.set_depth(BTC, Depth(levels=1, quantity=D("0.4"), spacing=D(10)))
    answer = await wire.order(
        side="SELL", quantity="2", price="64000", timeInForce="IOC", reduceOnly="true", newOrderRespType="RESULT"
    )
    assert (answer.json["status"], answer.json["origQty"], answer.json["executedQty"]) == ("EXPIRED", "1.000", "0.400")
    assert long.position(BTC).amount == D("0.6")


async def test_both_legs_of_hedge_mode_are_closed_on_their_own(wire: Wire) -> None:
    world = wire.sim.world
    account = world.create_account("hedged", wallet={"USDT": D(50_000)}, hedge_mode=True)
    trader = Wire(wire.sim, wire.session, world.create_key(account, permissions={"trade"}))
    for leg, side in (("LONG", "BUY"), ("SHORT", "SELL")):
        assert (await trader.order(side=side, positionSide=leg, quantity="0.5")).status == 200
    assert [account.position(BTC, leg).amount for leg in account.position_sides] == [D("0.5"), D("-0.5")]
    assert (await trader.order(side="SELL", positionSide="LONG", quantity="0.501")).code == -2022
    for leg, side in (("LONG", "SELL"), ("SHORT", "BUY")):
        assert (await trader.order(side=side, positionSide=leg, quantity="0.5")).status == 200
        assert account.position(BTC, leg).amount == 0  # type: ignore[arg-type]


async def test_the_world_fills_no_more_than_there_is(wire: Wire, long: Account) -> None:
    world = wire.sim.world
    order = world.place_order(long, symbol=BTC, side="SELL", price=D(66_000), quantity=D(3), reduce_only=True)
    with pytest.raises(WorldError, match="1 can be"):
        world.fill(order, quantity=D(2))
    assert world.fill(order).status is OrderStatus.EXPIRED
    assert long.position(BTC).amount == 0
    with pytest.raises(WorldError):
        world.fill(world.place_order(long, symbol=BTC, side="SELL", price=D(66_000), quantity=D(3), reduce_only=True))


quantities = st.decimals("0.001", "3", places=3).map(str)
prices = st.decimals("64900", "65100", places=1).map(str)
kinds = st.one_of(
    st.just({"type": "MARKET"}),
    st.builds(
        lambda price, force: {"type": "LIMIT", "price": price, "timeInForce": force},
        prices,
        st.sampled_from(["GTC", "IOC", "FOK", "GTX"]),
    ),
)
asked = st.builds(
    lambda kind, side, quantity: {**kind, "symbol": BTC, "side": side, "quantity": quantity},
    kinds,
    st.sampled_from(["BUY", "SELL"]),
    quantities,
)
steps = st.lists(st.one_of(asked, st.integers(0, 3), st.decimals("64950", "65050", places=1)), max_size=14)
Step = dict[str, str] | int | Decimal


def take_step(world: World, account: Account, step: Step, more: dict[str, str]) -> None:
    """Place an order, let the world fill one that rests, or move the mark."""
    if isinstance(step, dict):
        try:
            place(Call(world, Limits(), step | more, START_MS, account))
        except Refusal:
            return
    elif isinstance(step, int):
        for order in list(account.open_orders.values())[step : step + 1]:
            world.fill(order)
    else:
        world.set_mark_price(BTC, step)


def a_world(held: Decimal, *, hedge_mode: bool = False, leg: str = "BOTH") -> tuple[World, Account]:
    world = World(seed=1, clock=StillClock())
    world.books.set_depth(BTC, Depth(levels=4, quantity=D("0.3"), spacing=D(5), refills=False))
    account = world.create_account("a", wallet={"USDT": D(1_000_000)}, hedge_mode=hedge_mode)
    world.set_position(account, BTC, held, entry_price=D(65_000), position_side=leg)
    return world, account


def check_books(account: Account, held: Decimal, leg: str) -> None:
    """Position and wallet are what the fills make of them."""
    signed = sum(fill.quantity * fill.side.sign for fill in account.fills)
    assert account.position(BTC, leg).amount == held + signed  # type: ignore[arg-type]
    profit = sum((fill.realized_pnl - fill.commission for fill in account.fills), D(0))
    assert account.balances["USDT"].wallet == 1_000_000 + profit
    assert sum(row.amount for row in account.incomes) == profit
    for order in account.orders.values():
        own = [fill for fill in account.fills if fill.order == order.ref]
        assert sum(fill.quantity for fill in own) == order.executed_qty <= order.orig_qty
        assert sum(fill.quantity * fill.price for fill in own) == order.cum_quote


@settings(deadline=None)
@given(st.decimals("-2", "2", places=3), steps)
def test_reduce_only_orders_only_reduce(held: Decimal, story: list[Step]) -> None:
    world, account = a_world(held)
    for step in story:
        before = account.position(BTC).amount
        take_step(world, account, step, {"reduceOnly": "true"})
        after = account.position(BTC).amount
        assert abs(after) <= abs(before)
        assert after * before >= 0
        check_books(account, held, "BOTH")


@settings(deadline=None)
@given(st.decimals("0", "2", places=3), st.sampled_from(["LONG", "SHORT"]), steps)
def test_no_order_turns_a_hedge_leg_round(size: Decimal, leg: str, story: list[Step]) -> None:
    sign = 1 if leg == "LONG" else -1
    world, account = a_world(sign * size, hedge_mode=True, leg=leg)
    for step in story:
        take_step(world, account, step, {"positionSide": leg})
        assert account.position(BTC, leg).amount * sign >= 0  # type: ignore[arg-type]
        check_books(account, sign * size, leg)


@settings(deadline=None)
@given(st.decimals("-2", "2", places=3), steps)
def test_any_trading_adds_up(held: Decimal, story: list[Step]) -> None:
    world, account = a_world(held)
    extra: dict[str, Any] = {}
    for step in story:
        take_step(world, account, step, extra)
        check_books(account, held, "BOTH")

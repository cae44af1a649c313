"""Positions that the exchange closes by force: when, by which orders, and what it does to the wallet."""

from decimal import Decimal
from typing import Any

import pytest
from tests.simulator.support import StillClock

from accountsync.simulator import Account, Order, OrderStatus, World, WorldError
from accountsync.simulator.model import AutoClose

BTC, ETH = "BTCUSDT", "ETHUSDT"


@pytest.fixture
def world() -> World:
    return World(seed=1, clock=StillClock())


@pytest.fixture
def account(world: World) -> Account:
    """Long 1 BTC from 65000 with 6500 USDT: maintenance is 260 at the mark, liquidation a little below 58735."""
    account = world.create_account("grid-btc", wallet={"USDT": Decimal(6500)})
    world.set_position(account, BTC, Decimal(1))
    return account


def forced(account: Account) -> list[Order]:
    return [account.orders[ref] for ref in account.auto_closed]


def amounts(account: Account) -> dict[str, Decimal]:
    return {row.type.value: row.amount for row in account.incomes}


def rest(world: World, account: Account, symbol: str = BTC, **more: Any) -> Order:
    return world.place_order(account, symbol=symbol, side="BUY", price=Decimal(1000), quantity=Decimal(1), **more)


def test_a_mark_price_that_takes_the_margin_away_liquidates(world: World, account: Account) -> None:
    world.set_mark_price(BTC, Decimal(58_740))
    assert account.position(BTC).amount == 1
    world.set_mark_price(BTC, Decimal("58730.05"))
    assert account.position(BTC).amount == 0
    (order,) = forced(account)
    assert order.client_order_id.startswith("autoclose-")
    assert order.client_order_id.removeprefix("autoclose-").isdigit()
    assert (order.type, order.time_in_force, order.side, order.status) == ("LIMIT", "IOC", "SELL", OrderStatus.FILLED)
    assert order.average_price == order.price == Decimal("58730.0")
    assert world.find_order(account, BTC, order_id=order.order_id) == order
    (fill,) = account.fills
    assert (fill.order, fill.realized_pnl, fill.maker) == (order.ref, Decimal(-6270), False)


def test_the_insurance_fund_takes_its_fee_of_what_is_left(world: World, account: Account) -> None:
    world.set_mark_price(BTC, Decimal(58_730))
    left = 6500 - 6270 - Decimal("29.365")
    assert amounts(account) == {
        "REALIZED_PNL": Decimal(-6270),
        "COMMISSION": Decimal("-29.365"),
        "INSURANCE_CLEAR": -left,  # 1.25 percent of the value would be more
    }
    assert account.balances["USDT"].wallet == 0


def test_the_insurance_fund_makes_good_what_is_missing(world: World, account: Account) -> None:
    world.set_mark_price(BTC, Decimal(50_000))
    assert amounts(account)["INSURANCE_CLEAR"] == 15_000 + 25 - 6500
    assert account.balances["USDT"].wallet == 0


def test_what_shares_the_money_expires(world: World, account: Account) -> None:
    first, second = rest(world, account), rest(world, account, ETH)
    stop = world.algos.place(
        account, symbol=BTC, side="SELL", order_type="STOP_MARKET", trigger_price=Decimal(40_000), quantity=Decimal(1)
    )
    world.set_mark_price(BTC, Decimal(58_000))
    assert {world.current(order).status for order in (first, second)} == {OrderStatus.EXPIRED}
    assert world.algos.current(stop).status == "EXPIRED"


def test_under_cross_margin_the_neediest_position_goes_first(world: World) -> None:
    account = world.create_account("two", wallet={"USDT": Decimal(10_000)})
    world.set_position(account, BTC, Decimal(1))
    world.set_position(account, ETH, Decimal(1))
    world.set_mark_price(ETH, Decimal(3000))
    assert not account.auto_closed
    world.set_mark_price(BTC, Decimal(55_300))
    assert [order.symbol for order in forced(account)] == [BTC]
    assert account.position(ETH).amount == 1
    assert account.balances["USDT"].wallet == 200 + 12  # the fee leaves ETH its loss and its maintenance margin


def test_an_isolated_position_falls_alone(world: World, account: Account) -> None:
    world.set_margin_type(account, ETH, "isolated")
    world.set_position(account, ETH, Decimal(10), isolated_wallet=Decimal(3200))
    kept, gone = rest(world, account), rest(world, account, ETH)
    world.set_mark_price(ETH, Decimal(2800))
    assert [order.symbol for order in forced(account)] == [ETH]
    assert account.position(BTC).amount == 1
    assert world.current(kept).status is OrderStatus.NEW
    assert world.current(gone).status is OrderStatus.EXPIRED
    assert account.balances["USDT"].wallet == 6500 - 3200  # no more than its own margin


def test_of_two_isolated_legs_one_falls(world: World) -> None:
    account = world.create_account("hedged", wallet={"USDT": Decimal(50_000)}, hedge_mode=True)
    world.set_margin_type(account, BTC, "isolated")
    for leg, amount in (("LONG", 1), ("SHORT", -1)):
        world.set_position(account, BTC, Decimal(amount), position_side=leg, isolated_wallet=Decimal(6500))
    world.set_mark_price(BTC, Decimal(75_000))
    (order,) = forced(account)
    assert (order.position_side, order.side) == ("SHORT", "BUY")
    assert {position.position_side: position.amount for position in account.positions.values()} == {
        "LONG": 1,
        "SHORT": 0,
    }


def test_by_hand_whatever_the_margin(world: World) -> None:
    account = world.create_account("rich", wallet={"USDT": Decimal(1_000_000)}, hedge_mode=True)
    for leg, amount in (("LONG", 2), ("SHORT", -3)):
        world.set_position(account, BTC, Decimal(amount), position_side=leg)
    order = world.liquidate(account, BTC, "SHORT", price=Decimal(66_000))
    assert (order.side, order.executed_qty, order.average_price) == ("BUY", Decimal(3), Decimal(66_000))
    assert amounts(account) == {
        "REALIZED_PNL": Decimal(-3000),
        "COMMISSION": Decimal(-99),
        "INSURANCE_CLEAR": Decimal(-2475),
    }
    assert account.position(BTC, order.position_side).amount == 0
    assert [leg for (_, leg), position in account.positions.items() if position.amount] == ["LONG"]


def test_deleveraging_takes_a_part_and_no_fee(world: World, account: Account) -> None:
    mine, other = rest(world, account), rest(world, account, ETH)
    order = world.deleverage(account, BTC, "BOTH", Decimal("0.4"), price=Decimal(66_000))
    assert (order.client_order_id, order.time_in_force, order.side) == ("adl_autoclose", "GTC", "SELL")
    assert account.auto_closed == {order.ref: AutoClose.ADL}
    assert account.position(BTC).amount == Decimal("0.6")
    assert amounts(account) == {"REALIZED_PNL": Decimal(400)}
    assert (world.current(mine).status, world.current(other).status) == (OrderStatus.EXPIRED, OrderStatus.NEW)
    second = world.deleverage(account, BTC, "BOTH", Decimal("0.6"))
    assert second.average_price == 65_000
    assert world.find_order(account, BTC, client_order_id="adl_autoclose") == second


def test_funding_can_take_the_margin_away(world: World, account: Account) -> None:
    world.pay_funding(BTC, Decimal("0.097"))
    assert len(forced(account)) == 1


def test_a_position_put_there_without_margin_stays(world: World) -> None:
    account = world.create_account("poor")
    world.set_position(account, BTC, Decimal(1))
    world.set_mark_price(BTC, Decimal(60_000))
    assert account.position(BTC).amount == 1


@pytest.mark.parametrize(
    "action",
    [
        lambda world, account: world.liquidate(account, ETH),
        lambda world, account: world.liquidate(account, "NOPEUSDT"),
        lambda world, account: world.liquidate(account, BTC, "LONG"),
        lambda world, account: world.deleverage(account, BTC, "BOTH", Decimal(2)),
        lambda world, account: world.deleverage(account, BTC, "BOTH", Decimal(0)),
        lambda world, _: world.pay_funding("NOPEUSDT", Decimal("0.0001")),
    ],
)
def test_what_cannot_be_done_is_said(world: World, account: Account, action: Any) -> None:
    with pytest.raises(WorldError):
        action(world, account)

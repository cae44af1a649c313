"""What the world does to accounts: fills, positions, wallets and margins stay coherent."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulator.support import StillClock

from accountsync.simulator import Account, Order, OrderStatus, World, WorldError
from accountsync.simulator.views_account import account_v2, account_v3, balance, position_risk_v2, position_risk_v3

FEE, ZERO = Decimal("0.0002"), Decimal(0)


@pytest.fixture
def world() -> World:
    return World(seed=1, clock=StillClock())


@pytest.fixture
def account(world: World) -> Account:
    return world.create_account("grid-btc", wallet={"USDT": Decimal(100_000)})


def order(world: World, account: Account, side: str, quantity: str, price: str, **more: Any) -> Order:
    return world.place_order(
        account, symbol="BTCUSDT", side=side, quantity=Decimal(quantity), price=Decimal(price), **more
    )


def trade(world: World, account: Account, side: str, quantity: str, price: str) -> Order:
    return world.fill(order(world, account, side, quantity, price))


def test_adding_averages_the_entry_price(world: World, account: Account) -> None:
    trade(world, account, "BUY", "1", "60000")
    trade(world, account, "BUY", "3", "64000")
    position = account.position("BTCUSDT")
    assert (position.amount, position.entry_price) == (Decimal(4), Decimal(63_000))
    assert position.realized_profit == 0


def test_reducing_realises_profit_and_keeps_the_entry_price(world: World, account: Account) -> None:
    trade(world, account, "SELL", "2", "64000")
    trade(world, account, "BUY", "0.5", "60000")
    position = account.position("BTCUSDT")
    assert (position.amount, position.entry_price, position.realized_profit) == tuple(
        map(Decimal, ("-1.5", "64000", "2000"))
    )
    assert account.balances["USDT"].wallet == 100_000 + 2000 - FEE * (128_000 + 30_000)


def test_closing_leaves_nothing(world: World, account: Account) -> None:
    trade(world, account, "BUY", "1", "60000")
    trade(world, account, "SELL", "1", "59000")
    position = account.position("BTCUSDT")
    assert (position.amount, position.entry_price, position.carried_cost) == (ZERO, ZERO, ZERO)
    assert position.realized_profit == -1000


def test_crossing_zero_realises_one_side_and_opens_the_other(world: World, account: Account) -> None:
    trade(world, account, "BUY", "1", "60000")
    trade(world, account, "SELL", "3", "61000")
    position = account.position("BTCUSDT")
    assert (position.amount, position.entry_price, position.realized_profit) == tuple(
        map(Decimal, ("-2", "61000", "1000"))
    )


def test_filling_in_parts(world: World, account: Account) -> None:
    whole = order(world, account, "BUY", "1", "60000")
    part = world.fill(whole, quantity=Decimal("0.25"), price=Decimal(59_000))
    assert (part.status, part.remaining) == (OrderStatus.PARTIALLY_FILLED, Decimal("0.75"))
    done = world.fill(part)
    assert (done.status, done.remaining, done.average_price) == (OrderStatus.FILLED, ZERO, Decimal(59_750))
    assert account.position("BTCUSDT").entry_price == 59_750
    assert not account.open_orders
    assert [fill.quantity for fill in account.fills] == [Decimal("0.25"), Decimal("0.75")]


def test_breaking_even_pays_the_fees(world: World, account: Account) -> None:
    trade(world, account, "BUY", "1", "60000")
    (row,) = [row for row in world.margin(account).positions if row.position.amount]
    assert row.break_even_price == 60_000 * (1 + FEE)


def test_an_isolated_position_has_its_own_wallet(world: World, account: Account) -> None:
    world.set_margin_type(account, "BTCUSDT", "isolated")
    world.set_leverage(account, "BTCUSDT", 10)
    trade(world, account, "BUY", "1", "60000")
    assert account.position("BTCUSDT").isolated_wallet == 6000
    trade(world, account, "SELL", "0.5", "60000")
    assert account.position("BTCUSDT").isolated_wallet == 3000
    world.set_mark_price("BTCUSDT", Decimal(60_000))
    usdt = world.margin(account).assets["USDT"]
    assert usdt.cross_wallet == usdt.balance.wallet - 3000
    trade(world, account, "SELL", "0.5", "60000")
    assert account.position("BTCUSDT").isolated_wallet == 0


def test_at_the_liquidation_price_the_margin_is_used_up(world: World, account: Account) -> None:
    """The definition: margin balance equals maintenance margin."""
    for amount in ("2.5", "-2.5"):
        world.set_mark_price("BTCUSDT", Decimal(65_000))
        world.set_position(account, "ETHUSDT", Decimal(3), entry_price=Decimal(3100))
        world.set_position(account, "BTCUSDT", Decimal(amount), entry_price=Decimal(65_000))
        margin = world.margin(account)
        row = next(row for row in margin.positions if row.spec.symbol == "BTCUSDT")
        liquidation = margin.liquidation_price(row)
        bracket = row.spec.bracket(row.notional)
        assert row.spec.bracket(row.position.amount * liquidation) == bracket
        world.set_mark_price("BTCUSDT", liquidation)
        usdt = world.margin(account).assets["USDT"]
        assert abs(usdt.margin_balance - usdt.maintenance) < Decimal("1e-6")


def test_open_orders_bind_margin_for_the_worse_side(world: World, account: Account) -> None:
    order(world, account, "BUY", "1", "60000")
    order(world, account, "SELL", "1", "70000")
    usdt = world.margin(account).assets["USDT"]
    assert usdt.open_order_initial == Decimal(70_000) / 20
    assert usdt.available == 100_000 - usdt.open_order_initial


def test_what_closes_binds_no_margin(world: World, account: Account) -> None:
    order(world, account, "BUY", "1", "60000", reduce_only=True)
    assert world.margin(account).assets["USDT"].initial == 0


def test_client_ids_may_be_used_again_once_free(world: World, account: Account) -> None:
    first = order(world, account, "BUY", "1", "60000", client_order_id="web_1")
    with pytest.raises(WorldError, match="web_1"):
        order(world, account, "BUY", "1", "60000", client_order_id="web_1")
    world.cancel(first)
    second = order(world, account, "BUY", "1", "60000", client_order_id="web_1")
    found = world.find_order(account, "BTCUSDT", client_order_id="web_1")
    assert found == second


def test_order_ids_rise_within_a_symbol(world: World, account: Account) -> None:
    ids = [order(world, account, "BUY", "1", "60000").order_id for _ in range(3)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    "action",
    [
        lambda world, account: world.create_account(account.name),
        lambda world, _: world.account("nobody"),
        lambda world, account: order(world, account, "BUY", "1", "60000", position_side="LONG"),
        lambda world, account: order(world, account, "BUY", "-1", "60000"),
        lambda world, account: world.fill(order(world, account, "BUY", "1", "60000"), quantity=Decimal(2)),
        lambda world, account: world.cancel(world.cancel(order(world, account, "BUY", "1", "60000"))),
        lambda world, account: world.set_leverage(account, "BTCUSDT", 126),
        lambda world, _: world.set_mark_price("NOPEUSDT", Decimal(1)),
        lambda world, _: world.revoke_key("never made"),
        lambda world, _: world.advance_clock(-1),
    ],
)
def test_what_cannot_be_done_is_said(world: World, account: Account, action: Any) -> None:
    with pytest.raises(WorldError):
        action(world, account)


fills = st.lists(
    st.tuples(
        st.sampled_from(["BUY", "SELL"]),
        st.decimals("0.001", "5", places=3),
        st.decimals("50000", "80000", places=1),
    ),
    min_size=1,
    max_size=12,
)


@given(fills, st.decimals("50000", "80000", places=1))
def test_no_money_is_made_or_lost_by_averaging(trades: list[tuple[str, Decimal, Decimal]], mark: Decimal) -> None:
    """Margin balance = deposits + cash flow of the fills - fees + what is held, at the mark."""
    world = World(seed=1, clock=StillClock())
    cash, held = Decimal(10_000_000), Decimal(0)
    account = world.create_account("a", wallet={"USDT": cash})
    for side, quantity, price in trades:
        placed = world.place_order(account, symbol="BTCUSDT", side=side, price=price, quantity=quantity)
        world.fill(placed)
        sign = 1 if side == "BUY" else -1
        held += sign * quantity
        cash -= sign * quantity * price + quantity * price * FEE
    world.set_mark_price("BTCUSDT", mark)
    usdt = world.margin(account).assets["USDT"]
    assert account.position("BTCUSDT").amount == held
    assert abs(usdt.margin_balance - (cash + held * mark)) < Decimal("1e-8")


@given(fills, st.decimals("50000", "80000", places=1))
def test_all_answers_tell_the_same_story(trades: list[tuple[str, Decimal, Decimal]], mark: Decimal) -> None:
    world = World(seed=1, clock=StillClock())
    account = world.create_account("a", wallet={"USDT": Decimal(10_000_000)})
    for side, quantity, price in trades:
        world.fill(world.place_order(account, symbol="BTCUSDT", side=side, price=price, quantity=quantity))
    world.set_mark_price("BTCUSDT", mark)
    margin = world.margin(account)
    row = margin.positions[0]
    risk_2, risk_3 = position_risk_v2(row, margin), position_risk_v3(row, margin)
    common = set(risk_2) & set(risk_3) - {"isolatedMargin"}
    assert {name: risk_2[name] for name in common} == {name: risk_3[name] for name in common}
    version_2, version_3 = account_v2(margin), account_v3(margin)
    totals = set(version_3) - {"assets", "positions"}
    assert {name: version_2[name] for name in totals} == {name: version_3[name] for name in totals}
    for position in version_3["positions"]:
        assert position["unrealizedProfit"] == risk_3["unRealizedProfit"] == version_3["totalUnrealizedProfit"]
        assert position["notional"] == risk_3["notional"]
        assert position["maintMargin"] == risk_3["maintMargin"] == version_3["totalMaintMargin"]
    held = {one["asset"]: one for one in version_3["assets"]}["USDT"]
    listed = balance(margin.assets["USDT"], account.alias)
    assert held["walletBalance"] == listed["balance"] == version_3["totalWalletBalance"]
    assert held["availableBalance"] == listed["availableBalance"] == version_3["availableBalance"]
    assert Decimal(held["marginBalance"]) == Decimal(held["walletBalance"]) + Decimal(held["unrealizedProfit"])

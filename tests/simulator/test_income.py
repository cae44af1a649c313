"""Every change of a wallet writes its row, and funding is paid by the mark price."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulator.support import StillClock

from accountsync.simulator import Account, World
from accountsync.simulator.income import IncomeType

BTC, WALLET = "BTCUSDT", Decimal(100_000)


@pytest.fixture
def world() -> World:
    return World(seed=1, clock=StillClock())


@pytest.fixture
def account(world: World) -> Account:
    return world.create_account("grid-btc", wallet={"USDT": WALLET})


def trade(world: World, account: Account, side: str, quantity: str, price: str) -> None:
    world.fill(
        world.place_order(account, symbol=BTC, side=side, quantity=Decimal(quantity), price=Decimal(price)),
    )


def rows(account: Account) -> list[tuple[str, Decimal]]:
    return [(row.type.value, row.amount) for row in account.incomes]


def test_an_account_starts_without_a_row(account: Account) -> None:
    assert account.incomes == []


def test_a_trade_writes_its_commission_and_what_it_realises(world: World, account: Account) -> None:
    trade(world, account, "BUY", "1", "60000")
    assert rows(account) == [("COMMISSION", Decimal(-12))]
    trade(world, account, "SELL", "0.5", "64000")
    assert rows(account)[1:] == [("REALIZED_PNL", Decimal(2000)), ("COMMISSION", Decimal("-6.4"))]
    profit, commission = account.incomes[1:]
    assert profit.tran_id == commission.tran_id  # unique within a type only
    assert profit.trade_id == commission.trade_id == account.fills[1].trade_id


def test_money_that_comes_and_goes_is_a_transfer(world: World, account: Account) -> None:
    world.deposit(account, "USDT", Decimal(5))
    world.withdraw(account, "BNB", Decimal(1))
    assert [(row.asset, row.amount, row.symbol) for row in account.incomes] == [
        ("USDT", Decimal(5), ""),
        ("BNB", Decimal(-1), ""),
    ]
    assert {row.type for row in account.incomes} == {IncomeType.TRANSFER}
    first, second = (row.tran_id for row in account.incomes)
    assert 2**53 < first < second


def test_what_changes_nothing_writes_nothing(world: World, account: Account) -> None:
    world.deposit(account, "USDT", Decimal(0))
    world.pay_funding(BTC, Decimal("0.01"))
    assert account.incomes == []


@pytest.mark.parametrize(("rate", "received"), [("0.0001", -13), ("-0.0002", 26)])
def test_longs_pay_a_positive_rate_to_shorts(world: World, account: Account, rate: str, received: int) -> None:
    short = world.create_account("short", wallet={"USDT": WALLET})
    world.set_position(account, BTC, Decimal(2), entry_price=Decimal(60_000))
    world.set_position(short, BTC, Decimal(-2))
    paid = world.pay_funding(BTC, Decimal(rate))
    assert [(one.name, row.type, row.symbol, row.amount) for one, row in paid] == [
        ("grid-btc", IncomeType.FUNDING_FEE, BTC, Decimal(received)),
        ("short", IncomeType.FUNDING_FEE, BTC, Decimal(-received)),
    ]
    assert account.balances["USDT"].wallet == WALLET + received
    assert short.balances["USDT"].wallet == WALLET - received


def test_each_hedge_leg_pays_for_itself(world: World) -> None:
    account = world.create_account("hedged", wallet={"USDT": WALLET}, hedge_mode=True)
    world.set_position(account, BTC, Decimal(2), position_side="LONG")
    world.set_position(account, BTC, Decimal(-1), position_side="SHORT")
    world.pay_funding(BTC, Decimal("0.0001"))
    assert rows(account) == [("FUNDING_FEE", Decimal(-13)), ("FUNDING_FEE", Decimal("6.5"))]


def test_an_isolated_position_pays_from_its_own_margin(world: World, account: Account) -> None:
    world.set_margin_type(account, BTC, "isolated")
    world.set_position(account, BTC, Decimal(1), isolated_wallet=Decimal(6500))
    before = world.margin(account).assets["USDT"].cross_wallet
    world.pay_funding(BTC, Decimal("0.0001"))
    assert account.position(BTC).isolated_wallet == Decimal("6493.5")
    assert world.margin(account).assets["USDT"].cross_wallet == before


def test_time_alone_pays_nothing(world: World, account: Account) -> None:
    world.set_position(account, BTC, Decimal(1))
    world.advance_clock(86_400_000)
    assert account.incomes == []


Step = Callable[[World, Account], object]
sizes = st.decimals("0.001", "3", places=3)
prices = st.decimals("40000", "90000", places=1)
legs = st.sampled_from(["LONG", "SHORT"])


def trading(side: str, quantity: Decimal, price: Decimal, leg: str) -> Step:
    """Fills half of an order, or as much of it as its leg can give."""

    def step(world: World, account: Account) -> None:
        placed = world.place_order(account, symbol=BTC, side=side, quantity=quantity, price=price, position_side=leg)
        closes = (leg, side) in (("LONG", "SELL"), ("SHORT", "BUY"))
        held = abs(account.position(BTC, leg).amount)  # type: ignore[arg-type]
        if held or not closes:
            world.fill(placed, quantity=min(quantity / 2, held) if closes else quantity / 2)

    return step


def forcing(leg: str, share: Decimal, price: Decimal) -> Step:
    """Liquidates, or deleverages a share of what is there."""

    def step(world: World, account: Account) -> None:
        held = abs(account.position(BTC, leg).amount)  # type: ignore[arg-type]
        if held and share == 1:
            world.liquidate(account, BTC, leg, price=price)
        elif held:
            world.deleverage(account, BTC, leg, held * share, price=price)

    return step


steps = st.one_of(
    st.builds(trading, st.sampled_from(["BUY", "SELL"]), sizes, prices, legs),
    st.builds(forcing, legs, st.sampled_from([Decimal(1), Decimal("0.5")]), prices),
    st.builds(lambda price: lambda world, _: world.set_mark_price(BTC, price), prices),
    st.builds(lambda rate: lambda world, _: world.pay_funding(BTC, rate), st.decimals("-0.02", "0.02", places=4)),
    st.builds(
        lambda amount: lambda world, account: world.deposit(account, "USDT", amount),
        st.decimals("-3000", "3000", places=2),
    ),
)


@given(st.lists(steps, max_size=15), st.booleans(), st.integers(0, 20_000))
def test_the_rows_add_up_to_what_the_wallet_gained(story: list[Step], isolated: bool, opening: int) -> None:
    world = World(seed=1, clock=StillClock())
    account = world.create_account("a", wallet={"USDT": Decimal(opening)}, hedge_mode=True)
    if isolated:
        world.set_margin_type(account, BTC, "isolated")
    for step in story:
        step(world, account)
        gained = account.balances["USDT"].wallet - opening
        assert sum(row.amount for row in account.incomes) == gained
    ids = [(row.type, row.tran_id) for row in account.incomes]
    assert len(ids) == len(set(ids))

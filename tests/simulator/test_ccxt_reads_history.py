"""What unmodified ccxt makes of trades, income, forced orders and a key's permissions."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from accountsync.simulator import Account, ApiKey, Simulator

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
Connect = Callable[..., Any]


@pytest.fixture
def exchange(connect: Connect, key: ApiKey) -> Any:
    return connect(key, number=Decimal)


def trade(sim: Simulator, account: Account, side: str, price: str, **more: Any) -> None:
    world = sim.world
    order = world.place_order(
        account, symbol="BTCUSDT", side=side, price=Decimal(price), quantity=Decimal("0.5"), **more
    )
    world.fill(order, maker=False)


async def test_trades(exchange: Any, sim: Simulator, account: Account) -> None:
    trade(sim, account, "BUY", "64000.1")
    trade(sim, account, "SELL", "65000")
    parsed = await exchange.fetch_my_trades(BTC)
    for row, fill in zip(parsed, account.fills, strict=True):
        assert row["id"] == str(fill.trade_id)
        assert row["order"] == str(fill.order[1])
        assert (row["symbol"], row["side"], row["takerOrMaker"]) == (BTC, fill.side.lower(), "taker")
        assert (row["price"], row["amount"], row["cost"]) == (fill.price, fill.quantity, fill.price * fill.quantity)
        assert row["timestamp"] == fill.time
    assert [row["info"]["realizedPnl"] for row in parsed] == ["0.00000000", "499.95000000"]
    assert await exchange.fetch_my_trades(BTC, since=account.fills[0].time - 1, limit=1) == parsed[:1]
    assert await exchange.fetch_my_trades(ETH) == []


async def test_trades_of_hedge_legs(connect: Connect, sim: Simulator) -> None:
    account = sim.world.create_account("hedged", wallet={"USDT": Decimal(100_000)}, hedge_mode=True)
    exchange = connect(sim.world.create_key(account), number=Decimal)
    trade(sim, account, "BUY", "65000", position_side="LONG")
    trade(sim, account, "SELL", "65000", position_side="SHORT")
    parsed = await exchange.fetch_my_trades(BTC)
    assert [(row["side"], row["info"]["positionSide"]) for row in parsed] == [("buy", "LONG"), ("sell", "SHORT")]


async def test_fees(connect: Connect, sim: Simulator, account: Account, key: ApiKey) -> None:
    trade(sim, account, "BUY", "64000.1")
    (parsed,) = await connect(key).fetch_my_trades(BTC)  # ccxt loses the fee where numbers are Decimals
    assert parsed["fee"] == {"cost": 16.000025, "currency": "USDT"}


async def test_the_ledger_is_the_income(connect: Connect, sim: Simulator, account: Account, key: ApiKey) -> None:
    trade(sim, account, "BUY", "64000")
    trade(sim, account, "SELL", "65000")
    sim.world.withdraw(account, "USDT", Decimal(5))
    parsed = await connect(key).fetch_ledger()  # ccxt loses amounts where numbers are Decimals
    signs = {"in": 1, "out": -1}
    told = sum(row["amount"] * signs[row["direction"]] for row in parsed)
    assert told == float(account.balances["USDT"].wallet) - 10_000
    assert [row["type"] for row in parsed] == ["commission", "trade", "commission", "transfer"]
    assert [row["id"] for row in parsed] == [str(row.tran_id) for row in account.incomes]


async def test_funding(exchange: Any, sim: Simulator, account: Account) -> None:
    sim.world.set_position(account, "BTCUSDT", Decimal(1))
    sim.world.set_position(account, "ETHUSDT", Decimal(-1))
    sim.world.pay_funding("BTCUSDT", Decimal("0.0001"))
    sim.world.pay_funding("ETHUSDT", Decimal("0.0001"))
    sim.world.deposit(account, "USDT", Decimal(1))
    parsed = {row["symbol"]: row for row in await exchange.fetch_funding_history()}
    assert {symbol: row["amount"] for symbol, row in parsed.items()} == {BTC: Decimal("-6.5"), ETH: Decimal("0.32")}
    (row,) = await exchange.fetch_funding_history(ETH, since=parsed[ETH]["timestamp"])
    assert (row["code"], row["id"]) == ("USDT", str(account.incomes[1].tran_id))


async def test_liquidations(connect: Connect, exchange: Any, sim: Simulator, account: Account, key: ApiKey) -> None:
    sim.world.set_position(account, "BTCUSDT", Decimal(1))
    sim.world.set_position(account, "ETHUSDT", Decimal(1))
    sim.world.deleverage(account, "ETHUSDT", "BOTH", Decimal(1))
    sim.world.set_mark_price("BTCUSDT", Decimal(50_000))
    (order,) = [order for order in account.orders.values() if order.symbol == "BTCUSDT"]
    assert order.client_order_id.startswith("autoclose-")
    for wanted in (None, BTC):
        (parsed,) = await connect(key).fetch_my_liquidations(wanted)  # ccxt multiplies by a float here
        assert (parsed["symbol"], parsed["side"], parsed["price"]) == (BTC, "sell", 50_000)
        assert (parsed["contracts"], parsed["timestamp"]) == (1, order.update_time)
    found = await exchange.fetch_order(str(order.order_id), BTC)
    assert (found["status"], found["timeInForce"], found["average"]) == ("closed", "IOC", Decimal(50_000))
    (trade,) = await exchange.fetch_my_trades(BTC)
    assert trade["order"] == str(order.order_id)
    assert await exchange.fetch_positions() == []


@pytest.mark.parametrize("trades", [True, False])
async def test_what_the_key_may_do(connect: Connect, key: ApiKey, trading_key: ApiKey, trades: bool) -> None:
    answer = await connect(trading_key if trades else key).sapiGetAccountApiRestrictions()
    assert (answer["enableReading"], answer["enableFutures"]) == (True, trades)

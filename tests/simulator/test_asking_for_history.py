"""Trades, income and forced orders: which rows the exchange answers, and what it will not answer."""

from decimal import Decimal
from typing import Any

import pytest
from tests.simulator.support import START_MS, StillClock, Wire

from accountsync.simulator import Account, Order, Simulator

TRADES, INCOME, FORCED = "/fapi/v1/userTrades", "/fapi/v1/income", "/fapi/v1/forceOrders"
BTC, DAY = "symbol=BTCUSDT", 86_400_000


def buy(wire: Wire, symbol: str = "BTCUSDT", parts: int = 1, **more: Any) -> Order:
    world = wire.sim.world
    account = world.account(more.pop("account", "grid-btc"))
    order = world.place_order(
        account, symbol=symbol, side="BUY", price=Decimal(60_000), quantity=Decimal(parts), **more
    )
    for _ in range(parts):
        order = world.fill(order, quantity=Decimal(1))
    return order


async def ids(wire: Wire, params: str) -> list[int]:
    return [row["id"] for row in (await wire.get(TRADES, params)).json]


async def test_a_trade(wire: Wire) -> None:
    order = buy(wire)
    (row,) = (await wire.get(TRADES, BTC)).json
    assert row == {
        "symbol": "BTCUSDT",
        "id": 1,
        "orderId": order.order_id,
        "side": "BUY",
        "price": "60000.00",
        "qty": "1.000",
        "realizedPnl": "0.00000000",
        "quoteQty": "60000.00000",
        "commission": "12.00000000",
        "commissionAsset": "USDT",
        "time": START_MS,
        "positionSide": "BOTH",
        "buyer": True,
        "maker": True,
    }


async def test_trades_are_those_of_the_symbol_and_the_account(wire: Wire) -> None:
    wire.sim.world.create_account("other")
    buy(wire, "ETHUSDT")
    buy(wire, account="other")
    assert await ids(wire, BTC) == []
    assert await ids(wire, "symbol=ETHUSDT") == [1]


async def test_trades_of_one_order(wire: Wire) -> None:
    buy(wire)
    order = buy(wire, parts=3)
    assert await ids(wire, f"{BTC}&orderId={order.order_id}") == [2, 3, 4]


async def test_trades_from_an_id_or_the_newest(wire: Wire, clock: StillClock) -> None:
    buy(wire)
    clock.now += 30 * DAY
    buy(wire, parts=4)
    assert await ids(wire, f"{BTC}&limit=2") == [4, 5]
    assert await ids(wire, f"{BTC}&limit=2&fromId=1") == [1, 2]
    assert await ids(wire, f"{BTC}&fromId=4") == [4, 5]


async def test_spans_of_trades(wire: Wire, clock: StillClock) -> None:
    for _ in range(10):
        buy(wire)
        clock.now += DAY
    assert await ids(wire, BTC) == [4, 5, 6, 7, 8, 9, 10]
    assert await ids(wire, f"{BTC}&startTime={START_MS}") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert await ids(wire, f"{BTC}&startTime={START_MS}&limit=2") == [1, 2]
    assert await ids(wire, f"{BTC}&endTime={START_MS + DAY}") == [1, 2]
    assert await ids(wire, f"{BTC}&startTime={START_MS + DAY}&endTime={START_MS + 2 * DAY}") == [2, 3]
    week = await wire.get(TRADES, f"{BTC}&startTime={START_MS}&endTime={START_MS + 7 * DAY}")
    assert week.status == 200
    longer = await wire.get(TRADES, f"{BTC}&startTime={START_MS}&endTime={START_MS + 7 * DAY + 1}")
    assert (longer.status, longer.code) == (400, -4165)


async def test_trades_are_forgotten_after_90_days(wire: Wire, clock: StillClock) -> None:
    buy(wire)
    clock.now += 90 * DAY
    assert await ids(wire, f"{BTC}&startTime={START_MS}") == [1]
    assert await ids(wire, f"{BTC}&fromId=1") == [1]
    clock.now += 1
    assert (await wire.get(TRADES, f"{BTC}&startTime={START_MS}")).code == -4166
    assert await ids(wire, f"{BTC}&fromId=1") == []


async def incomes(wire: Wire, params: str = "") -> list[tuple[str, str]]:
    return [(row["incomeType"], row["income"]) for row in (await wire.get(INCOME, params)).json]


async def test_income(wire: Wire, still_sim: Simulator, wire_account: Account) -> None:
    buy(wire)
    still_sim.world.deposit(wire_account, "USDT", Decimal(-5))
    commission, transfer = (await wire.get(INCOME)).json
    assert commission == {
        "symbol": "BTCUSDT",
        "incomeType": "COMMISSION",
        "income": "-12.00000000",
        "asset": "USDT",
        "time": START_MS,
        "info": "COMMISSION",
        "tranId": 1,
        "tradeId": "1",
    }
    assert (transfer["symbol"], transfer["income"], transfer["tradeId"]) == ("", "-5.00000000", "")


async def test_income_of_a_kind_or_a_symbol(wire: Wire, still_sim: Simulator, wire_account: Account) -> None:
    buy(wire)
    still_sim.world.pay_funding("BTCUSDT", Decimal("0.0001"))
    still_sim.world.deposit(wire_account, "USDT", Decimal(7))
    assert await incomes(wire, "incomeType=FUNDING_FEE") == [("FUNDING_FEE", "-6.50000000")]
    assert [kind for kind, _ in await incomes(wire, BTC)] == ["COMMISSION", "FUNDING_FEE"]
    assert await incomes(wire, "symbol=ETHUSDT") == []
    assert await incomes(wire, "incomeType=WELCOME_BONUS") == []


async def test_spans_and_pages_of_income(wire: Wire, clock: StillClock, wire_account: Account) -> None:
    for day in range(10):
        wire.sim.world.deposit(wire_account, "USDT", Decimal(day + 1))
        clock.now += DAY

    async def days(params: str) -> list[int]:
        return [int(Decimal(amount)) for _, amount in await incomes(wire, params)]

    assert await days("") == [4, 5, 6, 7, 8, 9, 10]
    assert await days("limit=2") == [9, 10]
    assert await days(f"startTime={START_MS}") == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert await days(f"startTime={START_MS}&limit=3") == [1, 2, 3]
    assert await days(f"startTime={START_MS}&limit=3&page=2") == [4, 5, 6]
    assert await days(f"startTime={START_MS}&limit=3&page=4") == [10]
    assert await days(f"startTime={START_MS}&limit=3&page=5") == []
    assert await days(f"endTime={START_MS + DAY}") == [1, 2]
    clock.now = START_MS + 91 * DAY
    assert await days(f"startTime={START_MS}") == [2, 3, 4, 5, 6, 7, 8, 9, 10]


async def test_forced_orders(wire: Wire, clock: StillClock, wire_account: Account) -> None:
    world = wire.sim.world
    world.set_position(wire_account, "BTCUSDT", Decimal(1))
    world.set_position(wire_account, "ETHUSDT", Decimal(-2))
    adl = world.deleverage(wire_account, "BTCUSDT", "BOTH", Decimal("0.5"))
    clock.now += DAY
    liquidated = world.liquidate(wire_account, "ETHUSDT")
    buy(wire)

    async def found(params: str = "") -> list[int]:
        return [row["orderId"] for row in (await wire.get(FORCED, params)).json]

    assert await found() == [adl.order_id, liquidated.order_id]
    assert await found("autoCloseType=ADL") == [adl.order_id]
    assert await found("autoCloseType=LIQUIDATION") == [liquidated.order_id]
    assert await found("symbol=ETHUSDT") == [liquidated.order_id]
    assert await found("limit=1") == [liquidated.order_id]
    assert await found(f"startTime={START_MS}&limit=1") == [adl.order_id]
    assert await found(f"endTime={START_MS}") == [adl.order_id]
    clock.now += 6 * DAY + 1
    assert await found() == [liquidated.order_id]


async def test_a_forced_order_is_an_order_with_trades(wire: Wire, wire_account: Account) -> None:
    world = wire.sim.world
    world.set_position(wire_account, "BTCUSDT", Decimal(-1))
    order = world.liquidate(wire_account, "BTCUSDT", price=Decimal(70_000))
    (row,) = (await wire.get(FORCED)).json
    assert row == {
        "orderId": order.order_id,
        "symbol": "BTCUSDT",
        "status": "FILLED",
        "clientOrderId": f"autoclose-{START_MS}000001",
        "price": "70000.00",
        "avgPrice": "70000.00",
        "origQty": "1.000",
        "executedQty": "1.000",
        "cumQuote": "70000.00000",
        "timeInForce": "IOC",
        "type": "LIMIT",
        "reduceOnly": False,
        "closePosition": False,
        "side": "BUY",
        "positionSide": "BOTH",
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "origType": "LIMIT",
        "time": START_MS,
        "updateTime": START_MS,
    }
    queried = (await wire.get("/fapi/v1/order", f"{BTC}&orderId={order.order_id}")).json
    assert row.items() <= queried.items()
    (listed,) = (await wire.get("/fapi/v1/allOrders", BTC)).json
    assert row.items() <= listed.items()
    (trade,) = (await wire.get(TRADES, f"{BTC}&orderId={order.order_id}")).json
    assert trade["realizedPnl"] == "-5000.00000000"


async def test_hedge_legs_in_trades(wire: Wire, still_sim: Simulator) -> None:
    world = still_sim.world
    account = world.create_account("hedged", wallet={"USDT": Decimal(100_000)}, hedge_mode=True)
    asker = Wire(still_sim, wire.session, world.create_key(account))
    for leg, side in (("LONG", "BUY"), ("SHORT", "SELL")):
        world.fill(
            world.place_order(
                account,
                symbol="BTCUSDT",
                side=side,
                price=Decimal(65_000),
                quantity=Decimal(1),
                position_side=leg,
            )
        )
    world.liquidate(account, "BTCUSDT", "LONG")
    rows = (await asker.get(TRADES, BTC)).json
    assert [(row["positionSide"], row["side"], row["buyer"]) for row in rows] == [
        ("LONG", "BUY", True),
        ("SHORT", "SELL", False),
        ("LONG", "SELL", False),
    ]
    assert [row["positionSide"] for row in (await asker.get("/fapi/v3/positionRisk")).json] == ["SHORT"]


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        (TRADES, "", -1102),
        (TRADES, "symbol=NOPE", -1121),
        (TRADES, f"{BTC}&fromId=first", -1102),
        (TRADES, f"{BTC}&orderId=-1", -1102),
        (TRADES, f"{BTC}&limit=0", -1130),
        (TRADES, f"{BTC}&limit=1001", -1130),
        (TRADES, f"{BTC}&fromId=1&startTime={START_MS}", -1106),
        (TRADES, f"{BTC}&fromId=1&endTime={START_MS}", -1106),
        (TRADES, f"{BTC}&startTime=2&endTime=1", -1023),
        (TRADES, f"{BTC}&startTime=1", -4166),
        (INCOME, "symbol=NOPE", -1121),
        (INCOME, "incomeType=LUCK", -1130),
        (INCOME, "limit=1001", -1130),
        (INCOME, "page=0", -1130),
        (INCOME, "page=last", -1102),
        (INCOME, "startTime=2&endTime=1", -1023),
        (FORCED, "symbol=NOPE", -1121),
        (FORCED, "autoCloseType=FATE", -1130),
        (FORCED, "limit=101", -1130),
        (FORCED, "startTime=yesterday", -1102),
    ],
)
async def test_what_cannot_be_asked(wire: Wire, path: str, params: str, code: int) -> None:
    answer = await wire.get(path, params)
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [(TRADES, BTC, 5), (INCOME, "", 30), (FORCED, "", 50), (FORCED, BTC, 20)],
)
async def test_weights(wire: Wire, path: str, params: str, weight: int) -> None:
    assert (await wire.get(path, params)).used_weight == weight


@pytest.mark.parametrize("trades", [True, False])
async def test_what_a_key_may_do(wire: Wire, wire_account: Account, clock: StillClock, trades: bool) -> None:
    clock.now += 5
    key = wire.sim.world.create_key(wire_account, permissions={"read", "trade"} if trades else {"read"})
    clock.now += 5
    answer = await Wire(wire.sim, wire.session, key).get("/sapi/v1/account/apiRestrictions")
    assert answer.json["createTime"] == START_MS + 5
    granted = {name for name, value in answer.json.items() if value is True}
    assert granted == ({"enableReading", "enableFutures"} if trades else {"enableReading"})
    assert answer.headers["X-SAPI-USED-IP-WEIGHT-1M"] == "1"

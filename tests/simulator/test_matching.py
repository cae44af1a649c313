"""What becomes of an order that the exchange takes: filled against the book, resting, or expired."""

from decimal import Decimal
from typing import Any

import pytest
from tests.simulator.support import Wire

from accountsync.simulator import Account, Depth, Order, OrderStatus

BTC = "BTCUSDT"
TAKER = Decimal("0.0005")


@pytest.fixture
def thin(wire: Wire) -> Wire:
    """Asks of 0.5 at 65010, 65020 and 65030; bids of 0.5 at 64990, 64980 and 64970."""
    wire.sim.world.books.set_depth(BTC, Depth(levels=3, quantity=Decimal("0.5"), spacing=Decimal(10)))
    wire.sim.world.deposit(wire.sim.world.account("grid-btc"), "USDT", Decimal(90_000))
    return wire


def last(account: Account) -> Order:
    return list(account.orders.values())[-1]


def fills(account: Account) -> list[tuple[Decimal, Decimal]]:
    return [(fill.price, fill.quantity) for fill in account.fills]


def outcome(account: Account) -> tuple[str, Decimal, Decimal]:
    order = last(account)
    return order.status.value, order.executed_qty, order.average_price


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quantity": "0.4"}, ("FILLED", "0.4", "65010")),
        ({"quantity": "1"}, ("FILLED", "1", "65015")),
        ({"quantity": "2"}, ("EXPIRED", "1.5", "65020")),
        ({"quantity": "1", "side": "SELL"}, ("FILLED", "1", "64985")),
        ({"quantity": "1", "price": "65010", "timeInForce": "IOC"}, ("EXPIRED", "0.5", "65010")),
        ({"quantity": "1", "price": "65020", "timeInForce": "IOC"}, ("FILLED", "1", "65015")),
        ({"quantity": "1", "price": "65009.9", "timeInForce": "IOC"}, ("EXPIRED", "0", "0")),
        ({"quantity": "1", "price": "65020", "timeInForce": "FOK"}, ("FILLED", "1", "65015")),
        ({"quantity": "1", "price": "65010", "timeInForce": "GTC"}, ("PARTIALLY_FILLED", "0.5", "65010")),
        ({"quantity": "1", "price": "65030", "timeInForce": "GTC"}, ("FILLED", "1", "65015")),
        ({"quantity": "1", "price": "65009.9", "timeInForce": "GTC"}, ("NEW", "0", "0")),
        ({"quantity": "1", "price": "65009.9", "timeInForce": "GTX"}, ("NEW", "0", "0")),
        ({"quantity": "1", "price": "64990", "timeInForce": "IOC", "side": "SELL"}, ("EXPIRED", "0.5", "64990")),
    ],
)
async def test_what_an_order_takes(
    thin: Wire, wire_account: Account, changes: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert (await thin.order(**changes)).status == 200
    status, executed, average = outcome(wire_account)
    assert (status, executed, average) == (expected[0], Decimal(expected[1]), Decimal(expected[2]))
    sign = -1 if changes.get("side") == "SELL" else 1
    assert wire_account.position(BTC).amount == sign * executed
    assert bool(wire_account.open_orders) == (status in ("NEW", "PARTIALLY_FILLED"))


async def test_a_killed_order_takes_nothing(thin: Wire, wire_account: Account) -> None:
    answer = await thin.order(price="65010", timeInForce="FOK", quantity="0.501")
    assert answer.code == -5021
    assert (wire_account.fills, dict(wire_account.orders)) == ([], {})


async def test_a_market_order_stops_at_five_percent(wire: Wire, wire_account: Account) -> None:
    wire.sim.world.books.set_depth(BTC, Depth(levels=9, quantity=Decimal("0.1"), spacing=Decimal(1000)))
    await wire.order(quantity="0.9")
    assert outcome(wire_account) == ("EXPIRED", Decimal("0.3"), Decimal(67_000))


async def test_a_book_that_does_not_refill_runs_dry(wire: Wire, wire_account: Account) -> None:
    depth = Depth(levels=1, quantity=Decimal("0.1"), spacing=Decimal(10), refills=False)
    wire.sim.world.books.set_depth(BTC, depth)
    ioc = {"price": "65010", "timeInForce": "IOC"}
    filled = []
    for _ in range(2):
        await wire.order(**ioc)
        filled.append(last(wire_account).executed_qty)
    wire.sim.world.set_mark_price(BTC, Decimal(65_000))
    await wire.order(**ioc)
    assert [*filled, last(wire_account).executed_qty] == [Decimal("0.1"), 0, Decimal("0.1")]


async def test_trades_fees_and_income(thin: Wire, wire_account: Account) -> None:
    """Long at 65015, half of it closed at 64990: each fill is a trade, and the wallet is what they leave."""
    before = wire_account.balances["USDT"].wallet
    await thin.order(quantity="1")
    await thin.order(quantity="0.5", side="SELL")
    assert fills(wire_account) == [
        (Decimal(65_010), Decimal("0.5")),
        (Decimal(65_020), Decimal("0.5")),
        (Decimal(64_990), Decimal("0.5")),
    ]
    trades = (await thin.get("/fapi/v1/userTrades", "symbol=BTCUSDT")).json
    assert [(row["price"], row["maker"], row["realizedPnl"]) for row in trades] == [
        ("65010.00", False, "0.00000000"),
        ("65020.00", False, "0.00000000"),
        ("64990.00", False, "-12.50000000"),
    ]
    fees = sum(price * quantity * TAKER for price, quantity in fills(wire_account))
    assert wire_account.balances["USDT"].wallet == before - fees - Decimal("12.5")
    rows = (await thin.get("/fapi/v1/income", "limit=1000")).json
    assert sum(Decimal(row["income"]) for row in rows if row["incomeType"] == "COMMISSION") == -fees
    assert [row["income"] for row in rows if row["incomeType"] == "REALIZED_PNL"] == ["-12.50000000"]
    position = wire_account.position(BTC)
    assert (position.amount, position.entry_price) == (Decimal("0.5"), Decimal(65_015))


async def test_what_rests_pays_the_makers_fee(thin: Wire, wire_account: Account) -> None:
    await thin.order(quantity="1", price="65010")
    thin.sim.world.fill(last(wire_account))
    assert [(fill.maker, fill.commission / fill.quantity / fill.price) for fill in wire_account.fills] == [
        (False, TAKER),
        (True, Decimal("0.0002")),
    ]


@pytest.mark.parametrize(
    ("changes", "told", "expected"),
    [
        ({}, None, ("NEW", "0.000", "0.00")),
        ({}, "ACK", ("NEW", "0.000", "0.00")),
        ({}, "RESULT", ("FILLED", "0.100", "65010.00")),
        ({"quantity": "2"}, "RESULT", ("EXPIRED", "1.500", "65020.00")),
        ({"price": "65010", "timeInForce": "IOC", "quantity": "1"}, "RESULT", ("EXPIRED", "0.500", "65010.00")),
        ({"price": "65010", "timeInForce": "FOK"}, "RESULT", ("FILLED", "0.100", "65010.00")),
        ({"price": "65010"}, "RESULT", ("NEW", "0.000", "0.00")),
        ({"price": "64000"}, "RESULT", ("NEW", "0.000", "0.00")),
    ],
)
async def test_what_the_answer_tells(
    thin: Wire, changes: dict[str, Any], told: str | None, expected: tuple[str, str, str]
) -> None:
    answer = (await thin.order(newOrderRespType=told, **changes)).json
    assert (answer["status"], answer["executedQty"], answer["avgPrice"]) == expected
    assert answer["cumQty"] == answer["executedQty"]


async def test_a_crossing_order_is_open_with_what_remains(thin: Wire) -> None:
    await thin.order(quantity="1", price="65010", newClientOrderId="mine")
    (row,) = (await thin.get("/fapi/v1/openOrders")).json
    assert (row["status"], row["executedQty"], row["origQty"]) == ("PARTIALLY_FILLED", "0.500", "1.000")


async def test_closing_needs_no_margin(wire: Wire, wire_account: Account) -> None:
    """All of the wallet is bound by the position: the opposite side frees it, the same side is refused."""
    wire.sim.world.set_position(wire_account, BTC, Decimal(3))
    assert (await wire.order(quantity="0.5")).code == -2019
    assert (await wire.order(quantity="3", side="SELL")).status == 200
    assert wire_account.position(BTC).amount == 0


async def test_margin_is_checked_for_what_a_market_order_takes(wire: Wire, wire_account: Account) -> None:
    wire.sim.world.books.set_depth(BTC, Depth(levels=1, quantity=Decimal(1), spacing=Decimal(10)))
    assert (await wire.order(quantity="4")).status == 200
    assert last(wire_account).status is OrderStatus.EXPIRED
    assert wire_account.position(BTC).amount == 1


async def test_an_order_good_till_a_date_expires_then(wire: Wire, wire_account: Account) -> None:
    world = wire.sim.world
    date = world.now_ms() // 1000 * 1000 + 700_000
    answer = await wire.order(price="60000", timeInForce="GTD", goodTillDate=date + 999)
    assert answer.json["goodTillDate"] == date
    world.advance_clock(date - world.now_ms() - 1)
    assert len((await wire.get("/fapi/v1/openOrders")).json) == 1
    world.advance_clock(5000)
    assert (await wire.get("/fapi/v1/openOrders")).json == []
    assert (last(wire_account).status, last(wire_account).update_time) == (OrderStatus.EXPIRED, date)

"""The rows of Binance's documentation become ours, and no row that is unlike them does."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from accountsync.domain.account import Balance, Fill, Income, Order, OrderStatus, Position, PositionSide, Side
from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.exchange.binance_rows import (
    disputed,
    read_algo_order,
    read_balances,
    read_fill,
    read_income,
    read_order,
    read_position,
    read_rows,
)

BNB, BTC = "BNB/USDT:USDT", "BTC/USDT:USDT"
NUMBERS_THAT_ARE_NONE: list[Any] = ["abc", "", "NaN", "-Infinity", "1e999", "0.0.1", "1_000", "٣", None, True, [], {}]


class Listing:
    """As much of a ccxt instance as the rows need."""

    markets_by_id = {"BNBUSDT": [{"symbol": BNB}], "BTCUSDT": [{"symbol": BTC}]}  # noqa: RUF012 - never changed


CLIENT = Listing()

POSITION = {
    "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "0.002", "entryPrice": "62000.1",
    "breakEvenPrice": "62001.2", "markPrice": "62500.00000000", "unRealizedProfit": "0.99", "liquidationPrice": "0",
    "isolatedMargin": "0", "notional": "125", "marginAsset": "USDT", "isolatedWallet": "0", "initialMargin": "6",
    "maintMargin": "0.5", "positionInitialMargin": "6", "openOrderInitialMargin": "0", "adl": 2, "bidNotional": "0",
    "askNotional": "0", "updateTime": 1720736417660,
}  # fmt: skip
ORDER = {
    "avgPrice": "0.00000", "clientOrderId": "abc", "cumQuote": "0", "executedQty": "0.25", "orderId": 1917641,
    "origQty": "0.40", "origType": "LIMIT", "price": "9300", "reduceOnly": False, "side": "BUY",
    "positionSide": "SHORT", "status": "PARTIALLY_FILLED", "stopPrice": "0", "closePosition": False,
    "symbol": "BTCUSDT", "time": 1579276756075, "timeInForce": "GTC", "type": "LIMIT", "updateTime": 1579276756076,
    "workingType": "CONTRACT_PRICE", "priceProtect": False, "priceMatch": "NONE", "selfTradePreventionMode": "NONE",
    "goodTillDate": 0,
}  # fmt: skip
ALGO = {
    "algoId": 2148627, "clientAlgoId": "MRumok0dkhrP4kCm12AHaB", "algoType": "CONDITIONAL", "orderType": "TAKE_PROFIT",
    "symbol": "BNBUSDT", "side": "SELL", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "0.01",
    "algoStatus": "NEW", "actualOrderId": "", "actualPrice": "0.00000", "triggerPrice": "750.000", "price": "751.000",
    "icebergQuantity": None, "tpTriggerPrice": "0.000", "tpPrice": "0.000", "slTriggerPrice": "0.000",
    "slPrice": "0.000", "tpOrderType": "", "selfTradePreventionMode": "EXPIRE_MAKER", "workingType": "CONTRACT_PRICE",
    "priceMatch": "NONE", "closePosition": False, "priceProtect": False, "reduceOnly": False,
    "createTime": 1750514941540, "updateTime": 1750514941541, "triggerTime": 0, "goodTillDate": 0,
}  # fmt: skip
TRADE = {
    "buyer": False, "commission": "-0.07819010", "commissionAsset": "USDT", "id": 698759, "maker": False,
    "orderId": 25851813, "price": "7819.01", "qty": "0.002", "quoteQty": "15.63802", "realizedPnl": "-0.91539999",
    "side": "SELL", "positionSide": "SHORT", "symbol": "BTCUSDT", "time": 1569514978020,
}  # fmt: skip
INCOME = {
    "symbol": "", "incomeType": "TRANSFER", "income": "-0.37500000", "asset": "USDT", "info": "TRANSFER",
    "time": 1570608000000, "tranId": 9689322392, "tradeId": "",
}  # fmt: skip


def test_a_position() -> None:
    assert read_position(CLIENT, POSITION) == Position(
        symbol=BTC,
        side=PositionSide.NET,
        quantity=Decimal("0.002"),
        margin_mode="cross",
        entry_price=Decimal("62000.1"),
        mark_price=Decimal(62500),
        updated=1720736417660,
    )


def test_an_order() -> None:
    assert read_order(CLIENT, ORDER) == Order(
        id="1917641",
        client_id="abc",
        symbol=BTC,
        side=Side.BUY,
        quantity=Decimal("0.40"),
        filled=Decimal("0.25"),
        price=Decimal(9300),
        created=1579276756075,
        updated=1579276756076,
    )


def test_a_conditional_order() -> None:
    order = read_algo_order(CLIENT, ALGO)
    assert order == Order(
        id="2148627",
        client_id="MRumok0dkhrP4kCm12AHaB",
        symbol=BNB,
        side=Side.SELL,
        quantity=Decimal("0.01"),
        filled=Decimal(0),
        price=Decimal(751),
        type="take_profit",
        created=1750514941540,
        updated=1750514941541,
        conditional=True,
        trigger_price=Decimal(750),
    )
    assert order.ref == "trigger:2148627"


def test_a_fill() -> None:
    fill = read_fill(CLIENT, TRADE)
    assert fill == Fill(
        id="698759",
        order_id="25851813",
        symbol=BTC,
        side=Side.SELL,
        leg=PositionSide.SHORT,
        quantity=Decimal("0.002"),
        price=Decimal("7819.01"),
        time=1569514978020,
    )
    assert fill.change == Decimal("0.002"), "a sale adds to a short"


@pytest.mark.parametrize(
    ("named", "leg"), [("BOTH", PositionSide.NET), ("LONG", PositionSide.LONG), ("SHORT", PositionSide.SHORT)]
)
def test_a_fill_is_of_its_leg(named: str, leg: PositionSide) -> None:
    assert read_fill(CLIENT, {**TRADE, "positionSide": named}).leg is leg


def test_income() -> None:
    assert read_income(INCOME) == Income("USDT", Decimal("-0.375"), 1570608000000, "TRANSFER")


def test_both_legs_of_one_symbol() -> None:
    legs = [
        read_position(CLIENT, {**POSITION, "positionSide": "LONG", "positionAmt": "2"}),
        read_position(CLIENT, {**POSITION, "positionSide": "SHORT", "positionAmt": "-3"}),
    ]
    assert [(row.symbol, row.side, row.quantity) for row in legs] == [
        (BTC, PositionSide.LONG, Decimal(2)),
        (BTC, PositionSide.SHORT, Decimal(3)),
    ]


@pytest.mark.parametrize("side", ["BOTH", "LONG", "SHORT"])
@pytest.mark.parametrize("zero", ["0", "-0", "0.000", "-0.0", "0E-8"])
def test_zero_is_flat_however_it_is_written(side: str, zero: str) -> None:
    position = read_position(CLIENT, {**POSITION, "positionSide": side, "positionAmt": zero})
    assert position.quantity == 0
    assert not position.quantity
    assert disputed(CLIENT, [{**POSITION, "positionSide": side, "positionAmt": zero}], []) == set()


def test_dust_is_not_flat() -> None:
    dust = {**POSITION, "positionAmt": "0.00000001"}
    assert read_position(CLIENT, dust).quantity == Decimal("0.00000001")
    assert disputed(CLIENT, [dust], []) == {BTC}


@pytest.mark.parametrize(
    ("client_id", "why"),
    [
        ("autoclose-1596107620040000020", "liquidation"),
        ("adl_autoclose", "auto-deleveraging"),
        ("adl_autoclose_1", "auto-deleveraging"),
        ("settlement_autoclose-1", "settlement"),
        ("grinder_autoclose-1", ""),
        ("", ""),
    ],
)
def test_binance_names_its_own_orders(client_id: str, why: str) -> None:
    order = read_order(CLIENT, {**ORDER, "clientOrderId": client_id})
    assert (order.client_id, order.forced) == (client_id, why)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("NEW", OrderStatus.OPEN),
        ("PARTIALLY_FILLED", OrderStatus.OPEN),
        ("FILLED", OrderStatus.FILLED),
        ("CANCELED", OrderStatus.CANCELED),
        ("REJECTED", OrderStatus.REJECTED),
        ("EXPIRED", OrderStatus.EXPIRED),
        ("EXPIRED_IN_MATCH", OrderStatus.EXPIRED),
    ],
)
def test_statuses_of_orders(status: str, expected: OrderStatus) -> None:
    assert read_order(CLIENT, {**ORDER, "status": status}).status is expected


@pytest.mark.parametrize(
    ("status", "child", "expected"),
    [
        ("NEW", "", (OrderStatus.OPEN, "")),
        ("TRIGGERING", "", (OrderStatus.OPEN, "")),
        ("TRIGGERED", "4711", (OrderStatus.TRIGGERED, "4711")),
        ("FINISHED", 4711, (OrderStatus.TRIGGERED, "4711")),
        ("FINISHED", None, (OrderStatus.TRIGGERED, "")),
        ("FINISHED", 0, (OrderStatus.TRIGGERED, "")),
        ("CANCELED", "", (OrderStatus.CANCELED, "")),
        ("REJECTED", "0", (OrderStatus.REJECTED, "")),
        ("EXPIRED", "", (OrderStatus.EXPIRED, "")),
    ],
)
def test_statuses_of_conditional_orders(status: str, child: object, expected: tuple[OrderStatus, str]) -> None:
    order = read_algo_order(CLIENT, {**ALGO, "algoStatus": status, "actualOrderId": child})
    assert (order.status, order.successor) == expected


@pytest.mark.parametrize("kind", ["STOP_MARKET", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"])
def test_what_becomes_a_market_order_has_no_price(kind: str) -> None:
    order = read_algo_order(CLIENT, {**ALGO, "orderType": kind})
    assert (order.price, order.trigger_price, order.type) == (None, Decimal(750), kind.lower())


@pytest.mark.parametrize("quantity", ["0", "", None])
def test_what_closes_a_position_has_no_quantity_of_its_own(quantity: object) -> None:
    order = read_algo_order(CLIENT, {**ALGO, "closePosition": True, "quantity": quantity})
    assert (order.quantity, order.reduce_only) == (Decimal(0), True)


Reading = Callable[[Any, Any], object]
READINGS: dict[str, tuple[Reading, dict[str, Any]]] = {
    "position": (read_position, POSITION),
    "order": (read_order, ORDER),
    "conditional order": (read_algo_order, ALGO),
    "fill": (read_fill, TRADE),
    "income": (lambda _, row: read_income(row), INCOME),
    "balance": (lambda _, row: read_balances([row]), {"asset": "USDT", "walletBalance": "1"}),
}


def refused(kind: str, field: str, value: object) -> None:
    read, row = READINGS[kind]
    with pytest.raises(ExchangeUnobserved) as caught:
        read(CLIENT, {**row, field: value})
    assert caught.value.reason is Reason.EXCHANGE_MALFORMED


@pytest.mark.parametrize("value", NUMBERS_THAT_ARE_NONE)
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("position", "positionAmt"),
        ("order", "origQty"),
        ("order", "executedQty"),
        ("conditional order", "quantity"),
        ("fill", "qty"),
        ("fill", "price"),
        ("fill", "time"),
        ("income", "income"),
        ("income", "time"),
        ("balance", "walletBalance"),
    ],
)
def test_a_number_that_is_none_is_refused(kind: str, field: str, value: object) -> None:
    refused(kind, field, value)


@pytest.mark.parametrize("value", ["cheap", "NaN", True, [], {}])
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("position", "entryPrice"),
        ("position", "markPrice"),
        ("position", "isolatedMargin"),
        ("position", "updateTime"),
        ("order", "price"),
        ("order", "time"),
        ("order", "updateTime"),
        ("conditional order", "price"),
        ("conditional order", "triggerPrice"),
        ("conditional order", "createTime"),
        ("conditional order", "updateTime"),
    ],
)
def test_what_may_be_absent_must_not_be_nonsense(kind: str, field: str, value: object) -> None:
    refused(kind, field, value)


@pytest.mark.parametrize("value", ["", None, 7.5, True, [], {}])
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("position", "symbol"),
        ("position", "positionSide"),
        ("order", "orderId"),
        ("order", "symbol"),
        ("order", "type"),
        ("conditional order", "algoId"),
        ("conditional order", "symbol"),
        ("conditional order", "orderType"),
        ("fill", "id"),
        ("fill", "orderId"),
        ("fill", "symbol"),
        ("income", "incomeType"),
        ("income", "asset"),
        ("balance", "asset"),
    ],
)
def test_a_name_that_is_none_is_refused(kind: str, field: str, value: object) -> None:
    refused(kind, field, value)


@pytest.mark.parametrize("value", ["", "HOLD", "buy", None, 1, [], {}])
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("position", "positionSide"),
        ("order", "side"),
        ("order", "status"),
        ("conditional order", "side"),
        ("conditional order", "algoStatus"),
        ("fill", "side"),
        ("fill", "positionSide"),
    ],
)
def test_a_word_that_is_not_known_is_refused(kind: str, field: str, value: object) -> None:
    refused(kind, field, value)


@pytest.mark.parametrize("answer", [None, {}, "html", [1], [None], [[]]])
def test_a_list_that_is_none_is_refused(answer: object) -> None:
    with pytest.raises(ExchangeUnobserved):
        read_rows(answer, "the list")


def test_balances_that_are_zero_are_left_out() -> None:
    rows = [{"asset": "USDT", "walletBalance": "-0.00000000"}, {"asset": "BNB", "walletBalance": "0.00000001"}]
    assert read_balances(rows) == (Balance("BNB", Decimal("0.00000001")),)

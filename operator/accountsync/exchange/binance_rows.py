"""The rows of Binance USD-M futures, as ours. What is not as documented raises ExchangeUnobserved (ExchangeMalformed).

Source: "Position Information V3", "Account Information V3", "Query Order", "Current All Algo Open Orders", "Query Algo
Order", "Event: Algo Order Update" (its statuses), "Account Trade List", "Get Income History", "Mark Price" and "Event:
Order Update" (the client ids of forced orders) of Binance's USD-M futures documentation. Quantities are in the base
asset: no contract of USD-M has a size but 1.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from accountsync.domain.account import Balance, Fill, Income, Order, OrderStatus, Position, PositionSide, Side
from accountsync.domain.finding import sanitize
from accountsync.domain.marks import Mark
from accountsync.exchange.numbers import decimal, malformed, milliseconds, moment, optional_decimal, text

Row = Mapping[str, Any]

STATUSES = {
    "NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "PENDING_CANCEL": OrderStatus.OPEN,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
ALGO_STATUSES = {
    "NEW": OrderStatus.OPEN,
    "TRIGGERING": OrderStatus.OPEN,
    "TRIGGERED": OrderStatus.TRIGGERED,
    "FINISHED": OrderStatus.TRIGGERED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
}
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
POSITION_SIDES = {"BOTH": PositionSide.NET, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}
FORCED = {
    "autoclose-": "liquidation",
    "adl_autoclose": "auto-deleveraging",
    "settlement_autoclose-": "settlement",
}
"""How the client ids begin that Binance gives to orders of its own."""
NO_CHILD = ("", "0", "None")


def read_rows(rows: Any, what: str) -> list[Row]:
    """A list of objects."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise malformed(f"{what} is none")
    return rows


def read_position(client: Any, row: Row) -> Position:
    """One row of positionRisk. A short leg's amount is below zero; a leg with the wrong sign comes out negative."""
    symbol = _symbol(client, row, "a position")
    name = f"the position of {sanitize(symbol)}"
    side = _position_side(row, name)
    amount = decimal(row.get("positionAmt"), f"{name}: positionAmt")
    return Position(
        symbol=symbol,
        side=side,
        quantity=amount.copy_negate() if side is PositionSide.SHORT else amount,
        margin_mode=_margin_mode(row, name),
        entry_price=optional_decimal(row.get("entryPrice"), f"{name}: entryPrice"),
        mark_price=optional_decimal(row.get("markPrice"), f"{name}: markPrice"),
        updated=milliseconds(row.get("updateTime"), f"{name}: updateTime"),
    )


def read_mark(client: Any, symbol: str, row: Any) -> Mark | None:
    """The answer of premiumIndex about `symbol`."""
    name = f"the mark price of {symbol}"
    if not isinstance(row, dict) or _symbol(client, row, name) != symbol:
        raise malformed(f"{name} is none, or of another symbol")
    price = optional_decimal(row.get("markPrice"), f"{name}: markPrice")
    return None if price is None else (price, moment(row.get("time"), f"{name}: time"))


def read_order(client: Any, row: Row) -> Order:
    """One row of openOrders, or the answer of order."""
    order_id, symbol, name = _named(client, row, "orderId", "order")
    client_id = str(row.get("clientOrderId") or "")
    return Order(
        id=order_id,
        client_id=client_id,
        symbol=symbol,
        side=_side(row, name),
        quantity=decimal(row.get("origQty"), f"{name}: origQty"),
        filled=decimal(row.get("executedQty"), f"{name}: executedQty"),
        price=optional_decimal(row.get("price"), f"{name}: price"),
        status=_status(row, "status", STATUSES, name),
        type=sanitize(text(row, "type", name)).lower(),
        reduce_only=row.get("reduceOnly") is True,
        created=milliseconds(row.get("time"), f"{name}: time"),
        updated=milliseconds(row.get("updateTime"), f"{name}: updateTime"),
        forced=next((why for start, why in FORCED.items() if client_id.startswith(start)), ""),
    )


def read_algo_order(client: Any, row: Row) -> Order:
    """One row of openAlgoOrders, or the answer of algoOrder. What closes a whole position has no quantity of its own.

    `filled` is 0: what is filled is its successor's.
    """
    algo_id, symbol, name = _named(client, row, "algoId", "conditional order")
    kind = sanitize(text(row, "orderType", name)).lower()
    closes = row.get("closePosition") is True
    quantity = row.get("quantity")
    child = str(row.get("actualOrderId"))
    return Order(
        id=algo_id,
        client_id=str(row.get("clientAlgoId") or ""),
        symbol=symbol,
        side=_side(row, name),
        quantity=Decimal(0) if closes and quantity in (None, "") else decimal(quantity, f"{name}: quantity"),
        filled=Decimal(0),
        price=None if kind.endswith("market") else optional_decimal(row.get("price"), f"{name}: price"),
        status=_status(row, "algoStatus", ALGO_STATUSES, name),
        type=kind,
        reduce_only=closes or row.get("reduceOnly") is True,
        created=milliseconds(row.get("createTime"), f"{name}: createTime"),
        updated=milliseconds(row.get("updateTime"), f"{name}: updateTime"),
        conditional=True,
        trigger_price=optional_decimal(row.get("triggerPrice"), f"{name}: triggerPrice"),
        successor="" if child in NO_CHILD else child,
    )


def read_fill(client: Any, row: Row) -> Fill:
    """One row of userTrades."""
    fill_id, symbol, name = _named(client, row, "id", "fill")
    return Fill(
        id=fill_id,
        order_id=text(row, "orderId", name),
        symbol=symbol,
        side=_side(row, name),
        leg=_position_side(row, name),
        quantity=decimal(row.get("qty"), f"{name}: qty"),
        price=decimal(row.get("price"), f"{name}: price"),
        time=moment(row.get("time"), f"{name}: time"),
    )


def read_income(row: Row) -> Income:
    """One row of income; positive is what came in."""
    kind = sanitize(text(row, "incomeType", "a row of income"))
    name = f"a row of income ({kind})"
    return Income(
        asset=sanitize(text(row, "asset", name)),
        amount=decimal(row.get("income"), f"{name}: income"),
        time=moment(row.get("time"), f"{name}: time"),
        kind=kind,
    )


def read_balances(rows: Sequence[Row]) -> tuple[Balance, ...]:
    """The account's assets that are not zero."""
    found: dict[str, Decimal] = {}
    for row in rows:
        asset = sanitize(text(row, "asset", "a balance"))
        if asset in found:
            raise malformed(f"the {asset} balance is listed twice")
        found[asset] = decimal(row.get("walletBalance"), f"the {asset} balance: walletBalance")
    return tuple(Balance(asset, wallet) for asset, wallet in found.items() if wallet)


def disputed(client: Any, risks: Sequence[Row], mirror: Sequence[Row]) -> set[str]:
    """Symbols of which positionRisk and account, two independent calls, tell different amounts."""
    told: tuple[dict[tuple[str, str], set[Decimal]], ...] = ({}, {})
    for side, rows in zip(told, (risks, mirror), strict=True):
        for row in rows:
            symbol = _symbol(client, row, "a position")
            name = f"the position of {sanitize(symbol)}"
            amount = decimal(row.get("positionAmt"), f"{name}: positionAmt")
            if amount:
                side.setdefault((symbol, _position_side(row, name)), set()).add(amount)
    return {key[0] for key in told[0].keys() | told[1].keys() if told[0].get(key) != told[1].get(key)}


def _named(client: Any, row: Row, key: str, what: str) -> tuple[str, str, str]:
    """Id and symbol of `row`, and what to call it."""
    id_ = text(row, key, f"a {what}")
    symbol = _symbol(client, row, f"{what} {sanitize(id_)}")
    return id_, symbol, f"{what} {sanitize(id_)} of {sanitize(symbol)}"


def _side(row: Row, name: str) -> Side:
    side = SIDES.get(str(row.get("side")))
    if side is None:
        raise malformed(f"{name} is neither a buy nor a sell")
    return side


def _status(row: Row, key: str, known: Mapping[str, OrderStatus], name: str) -> OrderStatus:
    status = known.get(str(row.get(key)))
    if status is None:
        raise malformed(f"{name} has a status that is not known")
    return status


def _position_side(row: Row, name: str) -> PositionSide:
    side = POSITION_SIDES.get(str(row.get("positionSide")))
    if side is None:
        raise malformed(f"{name} has a positionSide that is not known")
    return side


def _margin_mode(row: Row, name: str) -> str:
    """Version 3 has no marginType; an isolated position has a margin of its own."""
    return "isolated" if optional_decimal(row.get("isolatedMargin"), f"{name}: isolatedMargin") else "cross"


def _symbol(client: Any, row: Row, what: str) -> str:
    """The unified symbol; a contract that is too new, or too old, for the list of markets keeps its own name."""
    native = text(row, "symbol", what)
    listed = client.markets_by_id.get(native)
    return str(listed[0]["symbol"]) if listed else sanitize(native)

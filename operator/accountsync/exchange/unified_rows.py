"""ccxt's unified structures, as ours. Whatever is not of that form raises ExchangeUnobserved (ExchangeMalformed).

Units: ccxt counts derivatives in contracts; a contract's size turns them into units of the base asset. (An inverse
contract is worth a fixed amount of the quote currency instead, so its positions, orders and fills are in that.)
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from accountsync.domain.account import Fill, Order, OrderStatus, Position, PositionSide, Side
from accountsync.domain.finding import sanitize
from accountsync.domain.marks import Mark
from accountsync.exchange.numbers import decimal, malformed, milliseconds, moment, optional_decimal, text

Row = Mapping[str, Any]
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
STATUSES = {
    "open": OrderStatus.OPEN,
    "canceling": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
STATUSES_OF_CONDITIONAL = {**STATUSES, "closed": OrderStatus.TRIGGERED}
"""A conditional order is never filled itself."""
NATIVE_LEGS = ("positionSide", "posSide")
"""Where exchanges say which leg a fill changed: ccxt's trades lack it."""
TICK_SIZE = 4
"""ccxt's word for a precision that is a step; the other two are numbers of digits."""


def read_rows(rows: Any, what: str) -> list[Row]:
    """A list of objects."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise malformed(f"the list of {what} is none")
    return rows


def read_position(client: Any, row: Row, with_both_sides: frozenset[str]) -> Position:
    """One unified position. A count of contracts below zero, which the format rules out, stays below zero."""
    symbol = text(row, "symbol", "a position")
    if symbol not in client.markets:
        symbol = sanitize(symbol)
    name = f"the position of {sanitize(symbol)}"
    contracts = decimal(row.get("contracts"), f"{name}: its number of contracts")
    quantity = contracts * _contract_size(client, symbol, row.get("contractSize"), name)
    side = row.get("side")
    if side not in ("long", "short"):
        if quantity:
            raise malformed(f"{name} is neither long nor short")
        side = "long"
    hedged = row.get("hedged")
    if hedged or contracts < 0 or (hedged is None and symbol in with_both_sides):
        position_side = PositionSide.LONG if side == "long" else PositionSide.SHORT
    else:
        position_side = PositionSide.NET
        quantity = quantity if side == "long" else quantity.copy_negate()
    return Position(
        symbol=symbol,
        side=position_side,
        quantity=quantity,
        margin_mode=sanitize(str(row.get("marginMode") or "")),
        entry_price=optional_decimal(row.get("entryPrice"), f"{name}: its entry price"),
        mark_price=optional_decimal(row.get("markPrice"), f"{name}: its mark price"),
        updated=milliseconds(row.get("lastUpdateTimestamp") or row.get("timestamp"), f"{name}: its time"),
    )


def read_mark(symbol: str, row: Any, now_ms: int) -> Mark | None:
    """What one unified ticker says a `symbol` is worth: its mark price, or else what was traded last."""
    name = f"the price of {symbol}"
    if not isinstance(row, dict) or row.get("symbol") != symbol:
        raise malformed(f"{name} is none, or of another symbol")
    price = optional_decimal(row.get("markPrice"), name) or optional_decimal(row.get("last"), name)
    return None if price is None else (price, milliseconds(row.get("timestamp"), f"{name}: its time") or now_ms)


def symbols_with_both_sides(rows: Sequence[Row]) -> frozenset[str]:
    """Where ccxt doesn't say whether an account is hedged, a long beside a short proves it."""
    seen = {(row.get("symbol"), row.get("side")) for row in rows}
    return frozenset(
        symbol for symbol, side in seen if isinstance(symbol, str) and side == "long" and (symbol, "short") in seen
    )


def read_order(client: Any, row: Row, *, listed: bool = True, conditional: bool = False) -> Order:
    """One unified order; without a status it is open if it was `listed` among the open ones.

    `conditional`: it was told by the calls for such orders, and need not say that nothing of it is filled.
    """
    order_id = text(row, "id", "an order")
    symbol = text(row, "symbol", f"order {sanitize(order_id)}")
    name = f"order {sanitize(order_id)} of {sanitize(symbol)}"
    size = _contract_size(client, symbol, None, name)
    kind = sanitize(str(row.get("type") or "limit"))
    known = STATUSES_OF_CONDITIONAL if conditional else STATUSES
    status = known.get(str(row.get("status") or ("open" if listed else None)))
    filled, native = row.get("filled"), _native(row)
    if status is None:
        raise malformed(f"{name} has a status that is not known")
    return Order(
        id=order_id,
        client_id=str(row.get("clientOrderId") or ""),
        symbol=symbol,
        side=_side(row, name),
        quantity=decimal(row.get("amount"), f"{name}: its quantity") * size,
        filled=decimal(0 if conditional and filled is None else filled, f"{name}: its filled quantity") * size,
        price=None if kind == "market" else optional_decimal(row.get("price"), f"{name}: its price"),
        status=status,
        type=kind,
        reduce_only=row.get("reduceOnly") is True,
        created=milliseconds(row.get("timestamp"), f"{name}: its time"),
        updated=milliseconds(
            row.get("lastUpdateTimestamp") or row.get("lastTradeTimestamp"), f"{name}: the time of its last change"
        ),
        conditional=conditional,
        # ccxt loses a trigger price that it has made a Decimal of before
        trigger_price=optional_decimal(
            row.get("triggerPrice") or native.get("triggerPrice"), f"{name}: its trigger price"
        ),
        successor=str(native.get("actualOrderId") or "") if conditional else "",
    )


def read_fill(client: Any, row: Row) -> Fill:
    """One unified trade of the account. Its leg is NET where the exchange's own row names none."""
    fill_id = text(row, "id", "a fill")
    symbol = text(row, "symbol", f"fill {sanitize(fill_id)}")
    name = f"fill {sanitize(fill_id)} of {sanitize(symbol)}"
    size = _contract_size(client, symbol, None, name)
    return Fill(
        id=fill_id,
        order_id=text(row, "order", name),
        symbol=symbol,
        side=_side(row, name),
        leg=_leg(_native(row)),
        quantity=decimal(row.get("amount"), f"{name}: its quantity") * size,
        price=decimal(row.get("price"), f"{name}: its price"),
        time=moment(row.get("timestamp"), f"{name}: its time"),
    )


def steps(client: Any) -> Mapping[str, Decimal]:
    """Symbol → the smallest quantity that can be traded, where ccxt knows it as such."""
    if client.precisionMode != TICK_SIZE:
        return MappingProxyType({})
    found = {}
    for symbol, market in client.markets.items():
        step = (market.get("precision") or {}).get("amount")
        size = market.get("contractSize") if market.get("contract") else None
        if isinstance(step, Decimal) and step > 0:
            found[symbol] = step * size if isinstance(size, Decimal) else step
    return MappingProxyType(found)


def changed_since(timestamp: int, positions: Sequence[Position], orders: Sequence[Order]) -> frozenset[str]:
    """Symbols of which something changed after the reading began."""
    rows: list[Position | Order] = [*positions, *orders]
    return frozenset(row.symbol for row in rows if row.updated is not None and row.updated > timestamp)


def _native(row: Row) -> Row:
    """The exchange's own row, which ccxt keeps beside what it made of it."""
    native = row.get("info")
    return native if isinstance(native, dict) else {}


def _side(row: Row, name: str) -> Side:
    side = SIDES.get(str(row.get("side")))
    if side is None:
        raise malformed(f"{name} is neither a buy nor a sell")
    return side


def _leg(native: Row) -> PositionSide:
    words = [str(native.get(name)).lower() for name in NATIVE_LEGS]
    return next((side for side in (PositionSide.LONG, PositionSide.SHORT) if side.value in words), PositionSide.NET)


def _contract_size(client: Any, symbol: str, given: Any, name: str) -> Decimal:
    market = client.markets.get(symbol)
    if market is not None and not market.get("contract"):
        return Decimal(1)
    size = given if given is not None else (market or {}).get("contractSize")
    if size is None and market is None:
        raise malformed(f"{name} is of a market that {client.id} does not list")
    return Decimal(1) if size is None else decimal(size, f"{name}: its contract size")

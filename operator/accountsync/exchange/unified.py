"""Any exchange, through ccxt's unified calls: what it returns, as ours.

Units: ccxt counts derivatives in contracts; a contract's size turns them into units of the base asset. (An inverse
contract is worth a fixed amount of the quote currency instead, so its positions and orders are in that.)

What ccxt's unified calls cannot promise, for every exchange: that an account has nothing outside the market type that
the exchange class reads by default (name `symbols` to choose another), that conditional orders are among the open
ones, and that a wallet balance leaves unrealised profit out. Where the length of a page of open orders is known, a
full page is refused; an exchange that cuts its lists without ccxt knowing would go unnoticed.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from accountsync.domain.account import AccountSnapshot, Balance, Order, OrderStatus, Position, PositionSide, Side
from accountsync.domain.detect import sanitize
from accountsync.errors import ConfigurationError, Reason
from accountsync.exchange.failures import failure, side_by_side, understood
from accountsync.exchange.numbers import decimal, malformed, milliseconds, optional_decimal, text

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
SPOT_ONLY = frozenset({"binance", "binanceus"})
"""Their unified positions are of another product, with other keys, than the spot orders that they list."""


class Unified:
    """How an exchange without a module of its own is read."""

    default_limit: int | None = None

    def prepare(self, client: Any) -> None:
        """Set options on a client that has no markets yet."""
        client.options["warnOnFetchOpenOrdersWithoutSymbol"] = False  # the warning is an exception

    def use_sandbox(self, client: Any) -> None:
        """Point `client` at the exchange's sandbox."""
        client.set_sandbox_mode(True)

    def weight_limit(self, payload: Any) -> int | None:  # noqa: ARG002
        """Request weight a minute, if `payload` tells it."""
        return None

    def refuse(self, status: int, payload: Any) -> bool:  # noqa: ARG002
        """Leave it to ccxt, which knows the exchange's error bodies."""
        return False

    def snapshot_weight(self, symbols: Sequence[str]) -> int:  # noqa: ARG002
        """Request weight of a snapshot; 0 where the exchange has no such thing."""
        return 0

    def order_weight(self) -> int:
        """Request weight of asking for one order."""
        return 0

    async def snapshot(self, client: Any, symbols: Sequence[str], now_ms: int) -> AccountSnapshot:
        """Read the account; `now_ms` is the exchange's time where it doesn't tell it itself."""
        name = client.id
        _choose_market_type(client, symbols)
        timestamp = now_ms
        if client.has.get("fetchTime") is True:
            stamp = await understood(name, "asking for its time", client.fetch_time())
            timestamp = milliseconds(stamp, f"the time of {name}") or now_ms
        positions, orders, balances = await side_by_side(
            understood(name, "reading the positions", self.positions(client, symbols)),
            understood(name, "reading the open orders", self.orders(client, symbols)),
            understood(name, "reading the balances", self.balances(client)),
        )
        return AccountSnapshot(
            timestamp=timestamp,
            positions=tuple(positions),
            orders=tuple(orders),
            balances=tuple(balances),
            unsettled=changed_since(timestamp, positions, orders),
            marks=MappingProxyType({row.symbol: row.mark_price for row in positions if row.mark_price is not None}),
        )

    async def positions(self, client: Any, symbols: Sequence[str]) -> list[Position]:
        """The positions that are not flat."""
        if client.id in SPOT_ONLY:
            return []
        if client.has.get("fetchPositions"):
            rows = await client.fetch_positions(list(symbols) or None)
        elif client.has.get("fetchPosition") and symbols:
            rows = [await client.fetch_position(symbol) for symbol in symbols if client.market(symbol)["contract"]]
        else:
            return []
        rows = [row for row in _rows(rows, "positions") if not symbols or row.get("symbol") in symbols]
        legs = _symbols_with_both_sides(rows)
        return [position for row in rows if (position := read_position(client, row, legs)).quantity]

    async def orders(self, client: Any, symbols: Sequence[str]) -> list[Order]:
        """The open orders. Raises where the list may go on."""
        if not client.has.get("fetchOpenOrders"):
            raise ConfigurationError(Reason.SPEC_INVALID, f"ccxt cannot list the open orders of {client.id}")
        scopes: Sequence[str | None] = list(symbols) or [None]
        orders: list[Order] = []
        for symbol in scopes:
            page = _page_length(client, symbol)
            rows = _rows(await client.fetch_open_orders(symbol, None, page), "open orders")
            if page is not None and len(rows) >= page:
                raise malformed(
                    f"{client.id} lists {len(rows)} open orders, as many as fit on a page: there may be more"
                )
            orders += [read_order(client, row) for row in rows]
        return orders

    async def balances(self, client: Any) -> list[Balance]:
        """The balances that are not zero."""
        answer = await client.fetch_balance()
        totals = answer.get("total") if isinstance(answer, dict) else None
        if not isinstance(totals, dict):
            raise malformed(f"{client.id} answered no balances")
        rows = [
            Balance(sanitize(asset), decimal(total, f"the {sanitize(asset)} balance"))
            for asset, total in totals.items()
        ]
        return [row for row in rows if row.wallet]

    async def find_order(self, client: Any, symbol: str, order_id: str, client_id: str) -> Order:
        """The order, by id or client id; raises ccxt's OrderNotFound."""
        if client.has.get("fetchOrder") is not True:  # 'emulated' would look through a list
            raise failure(Reason.SPEC_INVALID, f"ccxt cannot ask {client.id} for one order")
        row = await client.fetch_order(order_id or None, symbol, {} if order_id else {"clientOrderId": client_id})
        order = read_order(client, row, listed=False)
        if (order_id and order.id != order_id) or (not order_id and order.client_id != client_id):
            raise malformed(f"{client.id} answered with another order than was asked for")
        return order


def changed_since(timestamp: int, positions: Sequence[Position], orders: Sequence[Order]) -> frozenset[str]:
    """Symbols of which something changed after the reading began."""
    rows: list[Position | Order] = [*positions, *orders]
    return frozenset(row.symbol for row in rows if row.updated is not None and row.updated > timestamp)


def read_position(client: Any, row: Row, with_both_sides: frozenset[str]) -> Position:
    """One unified position. A count of contracts below zero, which the format rules out, stays below zero."""
    symbol = text(row, "symbol", "a position")
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
        quantity = quantity if side == "long" else -quantity
    return Position(
        symbol=symbol,
        side=position_side,
        quantity=quantity,
        margin_mode=sanitize(str(row.get("marginMode") or "")),
        entry_price=optional_decimal(row.get("entryPrice"), f"{name}: its entry price"),
        mark_price=optional_decimal(row.get("markPrice"), f"{name}: its mark price"),
        updated=milliseconds(row.get("lastUpdateTimestamp") or row.get("timestamp"), f"{name}: its time"),
    )


def read_order(client: Any, row: Row, *, listed: bool = True) -> Order:
    """One unified order; without a status it is open if it was `listed` among the open ones."""
    order_id = text(row, "id", "an order")
    symbol = text(row, "symbol", f"order {sanitize(order_id)}")
    name = f"order {sanitize(order_id)} of {sanitize(symbol)}"
    size = _contract_size(client, symbol, None, name)
    kind = sanitize(str(row.get("type") or "limit"))
    status = row.get("status") or ("open" if listed else None)
    if row.get("side") not in SIDES:
        raise malformed(f"{name} is neither a buy nor a sell")
    if status not in STATUSES:
        raise malformed(f"{name} has a status that is not known")
    return Order(
        id=order_id,
        client_id=str(row.get("clientOrderId") or ""),
        symbol=symbol,
        side=SIDES[row["side"]],
        quantity=decimal(row.get("amount"), f"{name}: its quantity") * size,
        filled=decimal(row.get("filled"), f"{name}: its filled quantity") * size,
        price=None if kind == "market" else optional_decimal(row.get("price"), f"{name}: its price"),
        status=STATUSES[status],
        type=kind,
        reduce_only=row.get("reduceOnly") is True,
        created=milliseconds(row.get("timestamp"), f"{name}: its time"),
        updated=milliseconds(
            row.get("lastUpdateTimestamp") or row.get("lastTradeTimestamp"), f"{name}: the time of its last change"
        ),
    )


def _choose_market_type(client: Any, symbols: Sequence[str]) -> None:
    """Read the market type that all `symbols` are of, where it isn't what ccxt reads by default."""
    kinds = {client.market(symbol)["type"] for symbol in symbols}
    if len(kinds) == 1 and "defaultType" in client.options:
        client.options["defaultType"] = kinds.pop()


def _contract_size(client: Any, symbol: str, given: Any, name: str) -> Decimal:
    market = client.markets.get(symbol)
    if market is not None and not market.get("contract"):
        return Decimal(1)
    size = given if given is not None else (market or {}).get("contractSize")
    if size is None and market is None:
        raise malformed(f"{name} is of a market that {client.id} does not list")
    return Decimal(1) if size is None else decimal(size, f"{name}: its contract size")


def _symbols_with_both_sides(rows: Sequence[Row]) -> frozenset[str]:
    """Where ccxt doesn't say whether an account is hedged, a long beside a short proves it."""
    seen = {(row.get("symbol"), row.get("side")) for row in rows}
    return frozenset(
        symbol for symbol, side in seen if isinstance(symbol, str) and side == "long" and (symbol, "short") in seen
    )


def _page_length(client: Any, symbol: str | None) -> int | None:
    """How many open orders one answer may hold at most, where ccxt knows it."""
    kind, subkind = client.options.get("defaultType", "spot"), client.options.get("defaultSubType", "linear")
    if symbol is not None:
        market = client.market(symbol)
        kind, subkind = market["type"], "linear" if market.get("linear") else "inverse"
    features = (client.features or {}).get(kind) or {}
    if kind not in ("spot", "margin"):
        features = features.get(subkind) or {}
    limit = (features.get("fetchOpenOrders") or {}).get("limit")
    return limit if isinstance(limit, int) else None


def _rows(rows: Any, what: str) -> list[Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise malformed(f"the list of {what} is none")
    return rows

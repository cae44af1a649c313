"""Binance USD-M futures, read from its raw answers.

ccxt's unified calls hide what this product must see: they take the sign off a position's amount and ask for leverage
brackets at every turn. Its signing and its list of markets are used; the rows are read here.

Source: "Account Information V3", "Position Information V3", "Current All Open Orders", "Query Order" and "Error Codes"
of Binance's USD-M futures documentation. Quantities are in the base asset: no contract of USD-M has a size but 1.
Conditional orders of the algo service are not among the open orders.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from accountsync.domain.account import AccountSnapshot, Balance, Order, OrderStatus, Position, PositionSide, Side
from accountsync.domain.detect import sanitize
from accountsync.errors import Reason
from accountsync.exchange.failures import OrderUnknownError, failure, side_by_side, understood
from accountsync.exchange.numbers import decimal, malformed, milliseconds, optional_decimal, text
from accountsync.exchange.unified import Unified, changed_since

Row = Mapping[str, Any]

TIME_WEIGHT = 1
OPEN_ORDERS_WEIGHT = 1
ALL_OPEN_ORDERS_WEIGHT = 40
POSITION_RISK_WEIGHT = 5
ACCOUNT_WEIGHT = 5
ORDER_WEIGHT = 1
DEFAULT_WEIGHT_LIMIT = 2400
RECEIVE_WINDOW_MS = 5000

NO_SUCH_ORDER = -2013
CODES = {
    -1000: Reason.EXCHANGE_UNAVAILABLE,  # unknown error
    -1001: Reason.EXCHANGE_UNAVAILABLE,  # disconnected
    -1002: Reason.CREDENTIALS_REJECTED,
    -1003: Reason.RATE_LIMITED,
    -1006: Reason.EXCHANGE_UNAVAILABLE,  # unexpected response from the message bus
    -1007: Reason.EXCHANGE_TIMEOUT,
    -1008: Reason.EXCHANGE_UNAVAILABLE,  # overloaded
    -1016: Reason.EXCHANGE_UNAVAILABLE,  # shutting down
    -1021: Reason.EXCHANGE_CLOCK_SKEW,
    -1022: Reason.CREDENTIALS_REJECTED,  # signature
    -2014: Reason.CREDENTIALS_REJECTED,  # key format
    -2015: Reason.CREDENTIALS_REJECTED,  # key, IP or permission
    -2017: Reason.CREDENTIALS_REJECTED,  # locked
}
WORDS = {
    Reason.EXCHANGE_UNAVAILABLE: "was not available",
    Reason.CREDENTIALS_REJECTED: "rejected the credentials: check key, permissions and IP list",
    Reason.RATE_LIMITED: "limited our rate",
    Reason.EXCHANGE_TIMEOUT: "timed out behind its gateway",
    Reason.EXCHANGE_CLOCK_SKEW: "refused our clock: the clocks are too far apart",
    Reason.EXCHANGE_REFUSED: "refused",
}
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
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
POSITION_SIDES = {"BOTH": PositionSide.NET, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}


class BinanceUsdm(Unified):
    """How `binanceusdm` is read."""

    default_limit: int | None = DEFAULT_WEIGHT_LIMIT

    def prepare(self, client: Any) -> None:
        """No currencies (they are asked for with keys, elsewhere), and requests that expire as soon as usual."""
        super().prepare(client)
        client.options["fetchCurrencies"] = False
        client.options["recvWindow"] = RECEIVE_WINDOW_MS
        client.enableRateLimit = False  # the budget does it, for all accounts together

    def use_sandbox(self, client: Any) -> None:
        """The testnet for futures is gone; demo trading took its place."""
        client.enable_demo_trading(True)

    def weight_limit(self, payload: Any) -> int | None:
        """REQUEST_WEIGHT of one minute, from exchangeInfo."""
        limits = payload.get("rateLimits") if isinstance(payload, dict) else None
        for row in limits if isinstance(limits, list) else ():
            if [row.get(key) for key in ("rateLimitType", "interval", "intervalNum")] == [
                "REQUEST_WEIGHT",
                "MINUTE",
                1,
            ]:
                limit = row.get("limit")
                return limit if isinstance(limit, int) and limit > 0 else None
        return None

    def refuse(self, status: int, payload: Any) -> bool:
        """Binance's refusals are an object with a negative code, mostly beside HTTP 4xx."""
        code = payload.get("code") if isinstance(payload, dict) else None
        if not isinstance(code, int) or code >= 0:
            return True
        if code == NO_SUCH_ORDER and status == HTTPStatus.BAD_REQUEST:
            raise OrderUnknownError
        reason = CODES.get(code, Reason.EXCHANGE_REFUSED)
        raise failure(reason, f"binanceusdm {WORDS[reason]} (HTTP {status}, code {code})")

    def snapshot_weight(self, symbols: Sequence[str]) -> int:
        """Weight of the calls that `snapshot` makes."""
        return TIME_WEIGHT + _orders_weight(symbols) + POSITION_RISK_WEIGHT + ACCOUNT_WEIGHT

    def order_weight(self) -> int:
        """Weight of asking for one order."""
        return ORDER_WEIGHT

    async def snapshot(self, client: Any, symbols: Sequence[str], now_ms: int) -> AccountSnapshot:  # noqa: ARG002
        """Read the account: its time first, then positions, orders and balances side by side."""
        name = client.id
        clock = await understood(name, "asking for its time", client.fapiPublicGetTime())
        timestamp = milliseconds(clock.get("serverTime"), "the exchange's time")
        if timestamp is None:
            raise malformed(f"{name} did not tell its time")
        risks, account, *pages = await side_by_side(
            understood(name, "reading the positions", client.fapiPrivateV3GetPositionRisk()),
            understood(name, "reading the account", client.fapiPrivateV3GetAccount()),
            *(
                understood(name, "reading the open orders", client.fapiPrivateGetOpenOrders(scope))
                for scope in _order_scopes(client, symbols)
            ),
        )
        return self.assemble(client, timestamp, symbols, risks, account, pages)

    def assemble(
        self, client: Any, timestamp: int, symbols: Sequence[str], risks: Any, account: Any, pages: list[Any]
    ) -> AccountSnapshot:
        """One snapshot from the raw answers."""
        if not isinstance(account, dict):
            raise malformed("the account is no object")
        rows = _rows(risks, "the list of positions")
        mirror = _rows(account.get("positions"), "the account's list of positions")
        wanted = frozenset(symbols)
        positions = [position for row in rows if _within(wanted, (position := read_position(client, row)).symbol)]
        orders = [
            order
            for page in pages
            for row in _rows(page, "the list of open orders")
            if _within(wanted, (order := read_order(client, row)).symbol)
        ]
        disputed = {symbol for symbol in _disputed(client, rows, mirror) if _within(wanted, symbol)}
        return AccountSnapshot(
            timestamp=timestamp,
            positions=tuple(position for position in positions if position.quantity),
            orders=tuple(orders),
            balances=tuple(_balances(_rows(account.get("assets"), "the account's list of assets"))),
            unsettled=changed_since(timestamp, positions, orders) | disputed,
            marks=MappingProxyType({row.symbol: row.mark_price for row in positions if row.mark_price is not None}),
        )

    async def find_order(self, client: Any, symbol: str, order_id: str, client_id: str) -> Order:
        """The order, by id or client id. Raises OrderUnknownError when Binance answers -2013."""
        named = {"orderId": order_id} if order_id else {"origClientOrderId": client_id}
        row = await client.fapiPrivateGetOrder({"symbol": client.market_id(symbol), **named})
        order = read_order(client, row)
        if order.symbol != symbol or (order.id != order_id if order_id else order.client_id != client_id):
            raise malformed("binanceusdm answered with another order than was asked for")
        return order


def read_position(client: Any, row: Row) -> Position:
    """One row of positionRisk. A short leg's amount is below zero; a leg with the wrong sign comes out negative."""
    symbol = _symbol(client, row, "a position")
    name = f"the position of {sanitize(symbol)}"
    side = _position_side(row, name)
    amount = decimal(row.get("positionAmt"), f"{name}: positionAmt")
    return Position(
        symbol=symbol,
        side=side,
        quantity=-amount if side is PositionSide.SHORT else amount,
        margin_mode=_margin_mode(row, name),
        entry_price=optional_decimal(row.get("entryPrice"), f"{name}: entryPrice"),
        mark_price=optional_decimal(row.get("markPrice"), f"{name}: markPrice"),
        updated=milliseconds(row.get("updateTime"), f"{name}: updateTime"),
    )


def read_order(client: Any, row: Row) -> Order:
    """One row of openOrders, or the answer of order."""
    order_id = text(row, "orderId", "an order")
    symbol = _symbol(client, row, f"order {sanitize(order_id)}")
    name = f"order {sanitize(order_id)} of {sanitize(symbol)}"
    kind = sanitize(text(row, "type", name)).lower()
    side, status = row.get("side"), row.get("status")
    if side not in SIDES:
        raise malformed(f"{name} is neither a buy nor a sell")
    if status not in STATUSES:
        raise malformed(f"{name} has a status that is not known")
    return Order(
        id=order_id,
        client_id=str(row.get("clientOrderId") or ""),
        symbol=symbol,
        side=SIDES[side],
        quantity=decimal(row.get("origQty"), f"{name}: origQty"),
        filled=decimal(row.get("executedQty"), f"{name}: executedQty"),
        price=optional_decimal(row.get("price"), f"{name}: price"),
        status=STATUSES[status],
        type=kind,
        reduce_only=row.get("reduceOnly") is True,
        created=milliseconds(row.get("time"), f"{name}: time"),
        updated=milliseconds(row.get("updateTime"), f"{name}: updateTime"),
    )


def _balances(rows: Sequence[Row]) -> list[Balance]:
    found: dict[str, Decimal] = {}
    for row in rows:
        asset = sanitize(text(row, "asset", "a balance"))
        if asset in found:
            raise malformed(f"the {asset} balance is listed twice")
        found[asset] = decimal(row.get("walletBalance"), f"the {asset} balance: walletBalance")
    return [Balance(asset, wallet) for asset, wallet in found.items() if wallet]


def _disputed(client: Any, risks: Sequence[Row], mirror: Sequence[Row]) -> set[str]:
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


def _position_side(row: Row, name: str) -> PositionSide:
    side = row.get("positionSide")
    if side not in POSITION_SIDES:
        raise malformed(f"{name} has a positionSide that is not known")
    return POSITION_SIDES[side]


def _margin_mode(row: Row, name: str) -> str:
    """Version 3 has no marginType; an isolated position has a margin of its own."""
    return "isolated" if optional_decimal(row.get("isolatedMargin"), f"{name}: isolatedMargin") else "cross"


def _symbol(client: Any, row: Row, what: str) -> str:
    """The unified symbol; a contract that is too new, or too old, for the list of markets keeps its own name."""
    native = text(row, "symbol", what)
    listed = client.markets_by_id.get(native)
    return str(listed[0]["symbol"]) if listed else sanitize(native)


def _orders_weight(symbols: Sequence[str]) -> int:
    return min(len(symbols) * OPEN_ORDERS_WEIGHT or ALL_OPEN_ORDERS_WEIGHT, ALL_OPEN_ORDERS_WEIGHT)


def _order_scopes(client: Any, symbols: Sequence[str]) -> list[dict[str, str]]:
    """One call for each symbol as long as that is lighter than one for all."""
    if symbols and len(symbols) * OPEN_ORDERS_WEIGHT < ALL_OPEN_ORDERS_WEIGHT:
        return [{"symbol": client.market_id(symbol)} for symbol in symbols]
    return [{}]


def _within(wanted: frozenset[str], symbol: str) -> bool:
    return not wanted or symbol in wanted


def _rows(rows: Any, what: str) -> list[Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise malformed(f"{what} is none")
    return rows

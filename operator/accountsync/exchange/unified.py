"""Any exchange, through ccxt's unified calls; what they return is read in unified_rows.py.

Conditional orders are listed with `trigger` where ccxt says that the market type needs it, and are among the ordinary
ones elsewhere. Where ccxt can list them but not ask for one, an order that is no ordinary one stays unanswered for.

What ccxt's unified calls cannot promise, for every exchange: that an account has nothing outside the market type that
the exchange class reads by default (name `symbols` to choose another), that `trigger` lists every kind of conditional
order, and that a wallet balance leaves unrealised profit out. Where the length of a page of open orders is known, a
full page is told of as one that may go on; an exchange that cuts its lists without ccxt knowing would go unnoticed.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from accountsync.domain.account import AccountSnapshot, Balance, Fill, Income, Order, Part, Position
from accountsync.domain.finding import sanitize
from accountsync.domain.marks import Mark
from accountsync.errors import ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import library, unified_rows, unified_trading
from accountsync.exchange.failures import OrderUnknownError, failure, side_by_side, understood, unless_needed
from accountsync.exchange.history import DAY_MS, Reserve, Row, in_order, require_kept, whole
from accountsync.exchange.numbers import decimal, malformed, milliseconds, moment, skew
from accountsync.exchange.unified_rows import (
    changed_since,
    read_fill,
    read_mark,
    read_order,
    read_position,
    read_rows,
    symbols_with_both_sides,
)
from accountsync.exchange.unified_trading import Denial
from accountsync.ports import NewOrder, Stamp

SPOT_ONLY = frozenset({"binance", "binanceus"})
"""Their unified positions are of another product, with other keys, than the spot orders that they list."""
SMALLEST_PAGE = 50
"""Trades asked for at a time where ccxt does not know how many an exchange tells."""


class Unified:
    """How an exchange without a module of its own is read."""

    default_limit: int | None = None
    forgets_after_ms: int | None = None
    tells_income: bool = False
    mark_weight: int = 0
    held_weight: int = 0
    cancel_weight: int = 0
    expires_requests: bool = False

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

    def steps(self, client: Any) -> Mapping[str, Decimal]:
        """Symbol → the smallest quantity that can be traded, of a client with markets."""
        return unified_rows.steps(client)

    def snapshot_weight(self, symbols: Sequence[str]) -> int:  # noqa: ARG002
        """Request weight of a snapshot; 0 where the exchange has no such thing."""
        return 0

    def order_weight(self, conditional: bool | None) -> int:  # noqa: ARG002, FBT001
        """Request weight of asking for one order."""
        return 0

    async def snapshot(self, client: Any, symbols: Sequence[str], now_ms: int) -> AccountSnapshot:
        """Read the account; `now_ms` is the exchange's time where it doesn't tell it itself."""
        name = client.id
        _choose_market_type(client, symbols)
        timestamp, skew_ms = now_ms, 0
        if client.has.get("fetchTime") is True:
            before = client.milliseconds()
            stamp = await understood(name, "asking for its time", client.fetch_time())
            told = milliseconds(stamp, f"the time of {name}")
            if told is not None:
                timestamp, skew_ms = told, skew(told, before, client.milliseconds())
        positions, (orders, cut), conditional, balances = await side_by_side(
            understood(name, "reading the positions", self.positions(client, symbols)),
            understood(name, "reading the open orders", self.orders(client, symbols)),
            unless_needed(
                understood(name, "reading the conditional orders", self.conditional_orders(client, symbols)),
                client.timeout / 2000,  # in ms; half of the time, so that the rest is not lost with this part
            ),
            understood(name, "reading the balances", self.balances(client)),
        )
        apart, some = conditional or ([], True)
        twice = {(order.symbol, order.id) for order in apart}
        orders = [*(order for order in orders if (order.symbol, order.id) not in twice), *apart]
        return AccountSnapshot(
            timestamp=timestamp,
            positions=tuple(positions),
            orders=tuple(orders),
            balances=tuple(balances),
            unsettled=changed_since(timestamp, positions, orders),
            missing=frozenset(part for part, lacks in ((Part.ORDERS, cut), (Part.CONDITIONAL, some)) if lacks),
            skew_ms=skew_ms,
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
        rows = [row for row in read_rows(rows, "positions") if not symbols or row.get("symbol") in symbols]
        legs = symbols_with_both_sides(rows)
        return [position for row in rows if (position := read_position(client, row, legs)).quantity]

    async def held(self, client: Any, symbol: str) -> list[Position]:
        """The positions of one symbol, for whoever is about to close one."""
        return await self.positions(client, [symbol])

    async def orders(self, client: Any, symbols: Sequence[str]) -> tuple[list[Order], bool]:
        """The open orders, and whether there may be more."""
        if not client.has.get("fetchOpenOrders"):
            raise ConfigurationError(Reason.SPEC_INVALID, f"ccxt cannot list the open orders of {client.id}")
        return await _open_orders(client, list(symbols) or [None], conditional=False)

    async def conditional_orders(self, client: Any, symbols: Sequence[str]) -> tuple[list[Order], bool]:
        """Those that are not among the open orders, and whether there may be more."""
        scopes: list[str | None] = list(symbols) or [None]
        return await _open_orders(client, [scope for scope in scopes if _are_apart(client, scope)], conditional=True)

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

    async def rights(self, client: Any) -> frozenset[str] | None:  # noqa: ARG002
        """What the key may do besides reading, of "trade" and "withdraw". None: ccxt has no unified call for it."""
        return None

    async def place(self, client: Any, order: NewOrder, stamp: Stamp) -> Order:  # noqa: ARG002
        """Place an order that closes, of a symbol, quantity and price that fit; one request."""
        return await unified_trading.place(client, order)

    async def cancel(
        self,
        client: Any,
        symbol: str,
        order_id: str,
        conditional: bool,  # noqa: FBT001
        stamp: Stamp,  # noqa: ARG002
    ) -> None:
        """Cancel one order by its id; one request."""
        await unified_trading.cancel(client, symbol, order_id, trigger=conditional and _are_apart(client, symbol))

    def denied(self, status: int, payload: Any, error: Exception) -> Denial | None:  # noqa: ARG002
        """Why nothing came of a request that was answered, in the end by `error`; None: that is not certain."""
        uncertain = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT
        return None if uncertain else unified_trading.denied(error)

    async def find_order(
        self,
        client: Any,
        symbol: str,
        order_id: str,
        client_id: str,
        conditional: bool | None,  # noqa: FBT001
    ) -> Order:
        """The order, by id or client id; raises OrderUnknownError, or ccxt's OrderNotFound."""
        if client.has.get("fetchOrder") is not True:  # 'emulated' would look through a list
            raise failure(Reason.SPEC_INVALID, f"ccxt cannot ask {client.id} for one order")
        apart = _are_apart(client, symbol)
        if not (apart and conditional):
            try:
                return await _find(client, symbol, order_id, client_id, conditional=False)
            except (OrderUnknownError, library.errors().OrderNotFound):
                if not apart or conditional is False:
                    raise
        if not _feature(client, symbol, "fetchOrder", "trigger"):
            raise ExchangeUnobserved(Reason.EXCHANGE_REFUSED, f"ccxt cannot ask {client.id} for a conditional order")
        return await _find(client, symbol, order_id, client_id, conditional=True)

    def tells_fills(self, client: Any) -> bool:
        """Whether ccxt can list the account's own trades."""
        return client.has.get("fetchMyTrades") is True

    async def fills(
        self,
        client: Any,
        symbol: str,
        since: int,
        now_ms: int,
        reserve: Reserve,  # noqa: ARG002
    ) -> tuple[Fill, ...]:
        """Every fill of `symbol` from `since` on; `now_ms`: about the exchange's present."""
        if not self.tells_fills(client):
            raise failure(Reason.SPEC_INVALID, f"ccxt cannot list the fills of {client.id}")
        what = f"the fills of {symbol}"
        require_kept(since, now_ms, _feature(client, symbol, "fetchMyTrades", "daysBack"), what)
        rows_at_a_time = _feature(client, symbol, "fetchMyTrades", "limit") or SMALLEST_PAGE
        days = _feature(client, symbol, "fetchMyTrades", "untilDays")

        async def ask(start: int, end: int | None) -> list[Row]:
            params = {} if end is None else {"until": end}
            return read_rows(await client.fetch_my_trades(symbol, start, rows_at_a_time, params), "fills")

        span_ms = days * DAY_MS if days else None
        rows = await whole(ask, _time, since, now_ms, rows=rows_at_a_time, span_ms=span_ms, what=what)
        told = in_order((read_fill(client, row) for row in rows), since)
        if any(fill.symbol != symbol for fill in told):
            raise malformed(f"{what} are of another symbol")
        return told

    async def income(self, client: Any, since: int, now_ms: int, reserve: Reserve) -> tuple[Income, ...]:  # noqa: ARG002
        """Refused: ccxt's ledgers differ too much between exchanges to be whole."""
        raise failure(Reason.SPEC_INVALID, f"the income of {client.id} is not read")

    async def mark(self, client: Any, symbol: str, now_ms: int) -> Mark | None:
        """The mark price, or where there is none the last one traded; of `now_ms` where it tells no time."""
        if client.has.get("fetchMarkPrice") is True and client.market(symbol)["contract"]:
            row = await client.fetch_mark_price(symbol)
        elif client.has.get("fetchTicker") is True:
            row = await client.fetch_ticker(symbol)
        else:
            return None
        return read_mark(symbol, row, now_ms)


def _time(row: Row) -> int:
    return moment(row.get("timestamp"), "the time of a fill")


async def _open_orders(client: Any, scopes: Sequence[str | None], *, conditional: bool) -> tuple[list[Order], bool]:
    orders: list[Order] = []
    cut = False
    for symbol in scopes:
        page = _feature(client, symbol, "fetchOpenOrders", "limit")
        answer = await client.fetch_open_orders(symbol, None, page, {"trigger": True} if conditional else {})
        rows = read_rows(answer, "open orders")
        cut = cut or (page is not None and len(rows) >= page)
        orders += [read_order(client, row, conditional=conditional) for row in rows]
    return orders, cut


async def _find(client: Any, symbol: str, order_id: str, client_id: str, *, conditional: bool) -> Order:
    params: dict[str, Any] = {} if order_id else {"clientOrderId": client_id}
    row = await client.fetch_order(order_id or None, symbol, params | ({"trigger": True} if conditional else {}))
    order = read_order(client, row, listed=False, conditional=conditional)
    if (order_id and order.id != order_id) or (not order_id and order.client_id != client_id):
        raise malformed(f"{client.id} answered with another order than was asked for")
    return order


def _choose_market_type(client: Any, symbols: Sequence[str]) -> None:
    """Read the market type that all `symbols` are of, where it isn't what ccxt reads by default."""
    kinds = {client.market(symbol)["type"] for symbol in symbols}
    if len(kinds) == 1 and "defaultType" in client.options:
        client.options["defaultType"] = kinds.pop()


def _are_apart(client: Any, symbol: str | None) -> bool:
    """Whether conditional orders are listed by themselves."""
    return bool(_feature(client, symbol, "fetchOpenOrders", "trigger"))


def _feature(client: Any, symbol: str | None, method: str, name: str) -> int | None:
    """What ccxt knows of a method for the market type of `symbol`, None: of the type that is read by default."""
    kind, subkind = client.options.get("defaultType", "spot"), client.options.get("defaultSubType", "linear")
    if symbol is not None:
        market = client.market(symbol)
        kind, subkind = market["type"], "linear" if market.get("linear") else "inverse"
    features = (client.features or {}).get(kind) or {}
    if kind not in ("spot", "margin"):
        features = features.get(subkind) or {}
    value = (features.get(method) or {}).get(name)
    return value if isinstance(value, int) else None

"""Binance USD-M futures, read from its raw answers.

ccxt's unified calls hide what this product must see: they take the sign off a position's amount and ask for leverage
brackets at every turn. Its signing and its list of markets are used; the rows are read in binance_rows.py.

Conditional orders belong to a service of their own, with ids of their own, and are part of the account. Where that
service alone does not answer, the snapshot says that they are missing.

Source: the weights of the calls, "Query Order", "Query Algo Order" and "Error Codes" of Binance's USD-M futures
documentation. An order that is found no more: cancelled or expired without a fill 3 days ago, or made 90 days ago.
"""

from collections.abc import Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from accountsync.domain.account import AccountSnapshot, Fill, Income, Order, Part, Position
from accountsync.domain.marks import Mark
from accountsync.errors import Reason
from accountsync.exchange import binance_history, binance_trading
from accountsync.exchange.binance_rows import (
    disputed,
    read_algo_order,
    read_balances,
    read_mark,
    read_order,
    read_position,
    read_rows,
)
from accountsync.exchange.failures import OrderUnknownError, failure, side_by_side, understood, unless_needed
from accountsync.exchange.history import DAY_MS, Reserve
from accountsync.exchange.numbers import malformed, moment, skew
from accountsync.exchange.unified import Unified
from accountsync.exchange.unified_rows import changed_since
from accountsync.exchange.unified_trading import Denial
from accountsync.ports import NewOrder, Stamp

TIME_WEIGHT = 1
OPEN_ORDERS_WEIGHT = 1
ALL_OPEN_ORDERS_WEIGHT = 40
POSITION_RISK_WEIGHT = 5
ACCOUNT_WEIGHT = 5
ORDER_WEIGHT = 1
MARK_WEIGHT = 1
DEFAULT_WEIGHT_LIMIT = 2400
RECEIVE_WINDOW_MS = 5000
KINDS_OF_ORDERS = 2
"""Ordinary and conditional ones; the calls for both weigh the same."""

RIGHTS = {
    "trade": (
        *("enableFutures", "enableSpotAndMarginTrading", "enableMargin", "enableVanillaOptions"),
        "enablePortfolioMarginTrading",
    ),
    "withdraw": ("enableWithdrawals", "enableInternalTransfer"),
}
"""What lets a key do it."""
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


class BinanceUsdm(Unified):
    """How `binanceusdm` is read."""

    default_limit: int | None = DEFAULT_WEIGHT_LIMIT
    forgets_after_ms: int | None = 90 * DAY_MS
    tells_income: bool = True
    mark_weight: int = MARK_WEIGHT
    held_weight: int = POSITION_RISK_WEIGHT
    cancel_weight: int = binance_trading.CANCEL_WEIGHT
    expires_requests: bool = True

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
        return TIME_WEIGHT + KINDS_OF_ORDERS * _orders_weight(symbols) + POSITION_RISK_WEIGHT + ACCOUNT_WEIGHT

    def order_weight(self, conditional: bool | None) -> int:  # noqa: FBT001
        """Weight of asking for one order."""
        return KINDS_OF_ORDERS * ORDER_WEIGHT if conditional is None else ORDER_WEIGHT

    async def snapshot(self, client: Any, symbols: Sequence[str], now_ms: int) -> AccountSnapshot:  # noqa: ARG002
        """Read the account: its time first, then positions, balances and both kinds of orders side by side."""
        name = client.id
        before = client.milliseconds()
        clock = await understood(name, "asking for its time", client.fapiPublicGetTime())
        after = client.milliseconds()
        timestamp = moment(clock.get("serverTime"), "the exchange's time")
        risks, account, conditional, *pages = await side_by_side(
            understood(name, "reading the positions", client.fapiPrivateV3GetPositionRisk()),
            understood(name, "reading the account", client.fapiPrivateV3GetAccount()),
            unless_needed(
                understood(name, "reading the conditional orders", _conditional_orders(client, symbols)),
                client.timeout / 2000,  # in ms; half of the time, so that the rest is not lost with this part
            ),
            *(
                understood(name, "reading the open orders", client.fapiPrivateGetOpenOrders(scope))
                for scope in _order_scopes(client, symbols)
            ),
        )
        return self.assemble(
            client, timestamp, skew(timestamp, before, after), symbols, risks, account, pages, conditional
        )

    def assemble(
        self,
        client: Any,
        timestamp: int,
        skew_ms: int,
        symbols: Sequence[str],
        risks: Any,
        account: Any,
        pages: list[Any],
        conditional: list[Order] | None,
    ) -> AccountSnapshot:
        """One snapshot from the raw answers; `conditional` None: those orders could not be read."""
        if not isinstance(account, dict):
            raise malformed("the account is no object")
        rows = read_rows(risks, "the list of positions")
        mirror = read_rows(account.get("positions"), "the account's list of positions")
        wanted = frozenset(symbols)
        positions = [position for row in rows if _within(wanted, (position := read_position(client, row)).symbol)]
        listed = [read_order(client, row) for page in pages for row in read_rows(page, "the list of open orders")]
        orders = [order for order in (*listed, *(conditional or ())) if _within(wanted, order.symbol)]
        unsettled = changed_since(timestamp, positions, orders) | disputed(client, rows, mirror)
        return AccountSnapshot(
            timestamp=timestamp,
            positions=tuple(positions),
            orders=tuple(orders),
            balances=read_balances(read_rows(account.get("assets"), "the account's list of assets")),
            unsettled=frozenset(symbol for symbol in unsettled if _within(wanted, symbol)),
            missing=frozenset() if conditional is not None else frozenset({Part.CONDITIONAL}),
            skew_ms=skew_ms,
            marks=MappingProxyType({row.symbol: row.mark_price for row in positions if row.mark_price is not None}),
        )

    async def rights(self, client: Any) -> frozenset[str] | None:
        """By "Get API Key Permission", for all of Binance's products; the wallet's budget is another one."""
        row = await client.sapiGetAccountApiRestrictions()
        if not isinstance(row, dict) or not isinstance(row.get("enableFutures"), bool):
            return None
        return frozenset(right for right, names in RIGHTS.items() if any(row.get(name) is True for name in names))

    async def place(self, client: Any, order: NewOrder, stamp: Stamp) -> Order:
        """By "New Order"."""
        return await binance_trading.place(client, order, stamp)

    async def cancel(self, client: Any, symbol: str, order_id: str, conditional: bool, stamp: Stamp) -> None:  # noqa: FBT001
        """By "Cancel Order" or "Cancel Algo Order"."""
        await binance_trading.cancel(client, symbol, order_id, conditional, stamp)

    def denied(self, status: int, payload: Any, error: Exception) -> Denial | None:  # noqa: ARG002
        """By the answer's code: ccxt's exceptions depend on the address that was called."""
        return binance_trading.denied(status, payload)

    async def find_order(
        self,
        client: Any,
        symbol: str,
        order_id: str,
        client_id: str,
        conditional: bool | None,  # noqa: FBT001
    ) -> Order:
        """The order, by id or client id. Raises OrderUnknownError when Binance answers -2013."""
        if not conditional:
            try:
                return await _find_ordinary(client, symbol, order_id, client_id)
            except OrderUnknownError:
                if conditional is False:
                    raise
        return await _find_conditional(client, symbol, order_id, client_id)

    def tells_fills(self, client: Any) -> bool:  # noqa: ARG002
        """Always."""
        return True

    async def fills(self, client: Any, symbol: str, since: int, now_ms: int, reserve: Reserve) -> tuple[Fill, ...]:
        """Every fill of `symbol` from `since` on."""
        return await binance_history.fills(client, symbol, since, now_ms, reserve)

    async def income(self, client: Any, since: int, now_ms: int, reserve: Reserve) -> tuple[Income, ...]:
        """Every change of the wallet from `since` on."""
        return await binance_history.income(client, since, now_ms, reserve)

    async def held(self, client: Any, symbol: str) -> list[Position]:
        """The positions of one symbol, by "Position Information V3"."""
        rows = await client.fapiPrivateV3GetPositionRisk({"symbol": client.market_id(symbol)})
        return [read_position(client, row) for row in read_rows(rows, "the list of positions")]

    async def mark(self, client: Any, symbol: str, now_ms: int) -> Mark | None:  # noqa: ARG002
        """By "Mark Price", which names its time."""
        return read_mark(client, symbol, await client.fapiPublicGetPremiumIndex({"symbol": client.market_id(symbol)}))


async def _conditional_orders(client: Any, symbols: Sequence[str]) -> list[Order]:
    pages = await side_by_side(
        *(
            understood(client.id, "reading the conditional orders", client.fapiPrivateGetOpenAlgoOrders(scope))
            for scope in _order_scopes(client, symbols)
        )
    )
    return [read_algo_order(client, row) for page in pages for row in read_rows(page, "the list of conditional orders")]


async def _find_ordinary(client: Any, symbol: str, order_id: str, client_id: str) -> Order:
    named = {"orderId": order_id} if order_id else {"origClientOrderId": client_id}
    order = read_order(client, await client.fapiPrivateGetOrder({"symbol": client.market_id(symbol), **named}))
    _require_named(order, order_id, client_id)
    if order.symbol != symbol:
        raise malformed("binanceusdm answered with an order of another symbol than was asked for")
    return order


async def _find_conditional(client: Any, symbol: str, order_id: str, client_id: str) -> Order:
    """The question takes no symbol: who is told of the id's order on another one knows that there is none on this."""
    named = {"algoId": order_id} if order_id else {"clientAlgoId": client_id}
    order = read_algo_order(client, await client.fapiPrivateGetAlgoOrder(named))
    _require_named(order, order_id, client_id)
    if order.symbol != symbol:
        raise OrderUnknownError
    return order


def _require_named(order: Order, order_id: str, client_id: str) -> None:
    if order.id != order_id if order_id else order.client_id != client_id:
        raise malformed("binanceusdm answered with another order than was asked for")


def _orders_weight(symbols: Sequence[str]) -> int:
    return min(len(symbols) * OPEN_ORDERS_WEIGHT or ALL_OPEN_ORDERS_WEIGHT, ALL_OPEN_ORDERS_WEIGHT)


def _order_scopes(client: Any, symbols: Sequence[str]) -> list[dict[str, str]]:
    """One call for each symbol as long as that is lighter than one for all."""
    if symbols and len(symbols) * OPEN_ORDERS_WEIGHT < ALL_OPEN_ORDERS_WEIGHT:
        return [{"symbol": client.market_id(symbol)} for symbol in symbols]
    return [{}]


def _within(wanted: frozenset[str], symbol: str) -> bool:
    return not wanted or symbol in wanted

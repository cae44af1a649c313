"""Placing and cancelling through ccxt's unified calls, and what its exceptions say of an answer.

Only what ccxt says that the exchange can do is sent: a reduce-only order of a contract, immediate-or-cancel, with a
client id. An exchange whose call takes more than one request gets no further than the first.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

from accountsync.domain.account import Order, PositionSide, Side
from accountsync.errors import NotSent, Reason
from accountsync.exchange import library
from accountsync.exchange.unified_rows import TICK_SIZE, read_order
from accountsync.ports import NewOrder


class Denial(NamedTuple):
    """The exchange said no, and nothing happened. `words`: for a person, ours."""

    reason: Reason
    words: str


def denied(error: Exception) -> Denial | None:
    """Why nothing happened, by ccxt's reading of the answer; None where that does not prove it."""
    ccxt = library.errors()
    if isinstance(error, ccxt.DuplicateOrderId):
        return None  # it may well be this one
    return next((denial for kind, denial in _denials() if isinstance(error, kind)), None)


def _denials() -> tuple[tuple[type[Exception], Denial], ...]:
    ccxt = library.errors()
    no = Reason.EXCHANGE_REFUSED
    return (
        (ccxt.AuthenticationError, Denial(Reason.CREDENTIALS_REJECTED, "the trade key was rejected, or may not trade")),
        (ccxt.OrderNotFound, Denial(no, "no such order is open: only asking for it tells what became of it")),
        (ccxt.InsufficientFunds, Denial(no, "the margin does not suffice")),
        (ccxt.BadSymbol, Denial(Reason.UNKNOWN_SYMBOL, "the symbol is not traded any more")),
        (ccxt.InvalidOrder, Denial(no, "the order was rejected")),
        (ccxt.InvalidNonce, Denial(Reason.EXCHANGE_CLOCK_SKEW, "the clocks are too far apart")),
        (ccxt.RateLimitExceeded, Denial(Reason.RATE_LIMITED, "our rate is limited")),
    )


def bounded(client: Any, symbol: str, side: Side, price: Decimal) -> Decimal:
    """`price`, the worst that is taken, on the symbol's tick: a buy never above it, a sale never below it.

    Raises NotSent where the tick is not known, or nothing is left of the price.
    """
    tick = (client.market(symbol).get("precision") or {}).get("price")
    if client.precisionMode != TICK_SIZE or not isinstance(tick, Decimal) or tick <= 0:
        raise NotSent(f"ccxt knows no tick size of {symbol}")
    ticks = (price / tick).to_integral_value(ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)
    if ticks <= 0:
        raise NotSent(f"a price below the tick of {symbol} cannot be asked for")
    return ticks * tick


async def place(client: Any, order: NewOrder) -> Order:
    """Place it. Raises NotSent for what ccxt does not say that the exchange can do."""
    market = client.market(order.symbol)
    can = _features(client, market).get("createOrder") or {}
    if not market.get("contract") or client.has.get("createReduceOnlyOrder") is not True:
        raise NotSent(f"ccxt knows no reduce-only orders of {order.symbol} on {client.id}")
    if order.price is not None and not (can.get("timeInForce") or {}).get("IOC"):
        raise NotSent(f"ccxt knows no immediate-or-cancel orders of {client.id}: spec.remediation.flattenBy")
    params: dict[str, Any] = {"reduceOnly": True, "clientOrderId": order.client_id}
    if order.leg is not PositionSide.NET:
        if not can.get("hedged"):
            raise NotSent(f"ccxt cannot close a leg of hedge mode on {client.id}")
        params["hedged"] = True
    if order.price is not None:
        params["timeInForce"] = "IOC"
    contracts = order.quantity / (market.get("contractSize") or 1)
    kind = "market" if order.price is None else "limit"
    row = await client.create_order(order.symbol, kind, order.side.value, contracts, order.price, params)
    return read_order(client, row, listed=False, conditional=False)


async def cancel(client: Any, symbol: str, order_id: str, *, trigger: bool) -> None:
    """Cancel one order; `trigger`: of those that the exchange keeps apart."""
    if client.has.get("cancelOrder") is not True:
        raise NotSent(f"ccxt cannot cancel an order on {client.id}")
    await client.cancel_order(order_id, symbol, {"trigger": True} if trigger else {})


def _features(client: Any, market: Any) -> Any:
    features = (client.features or {}).get(market["type"]) or {}
    return features.get("linear" if market.get("linear") else "inverse") or {}

"""Placing and cancelling on Binance USD-M futures, and what its answers to that mean.

Source: "New Order", "Cancel Order", "Cancel Algo Order", "General Info" (the three kinds of HTTP 503, -1008) and "Error
Codes" of Binance's USD-M futures documentation. In hedge mode reduceOnly cannot be sent: an order for a leg, on the
side that closes it, can do no more than close it.

An answer is a denial only where the documentation leaves no doubt: HTTP 4xx with a code that is not about a lost
answer, and of HTTP 503 the two that are documented as failed. -1001 "Internal error" is documented as failed, too, but
stands for a lost connection on other pages, so it counts as unknown.
"""

from decimal import Decimal
from http import HTTPStatus
from typing import Any

from accountsync.domain.account import Order, OrderStatus, PositionSide
from accountsync.errors import Reason
from accountsync.exchange.binance_rows import read_order
from accountsync.exchange.numbers import malformed
from accountsync.exchange.unified_trading import Denial
from accountsync.ports import NewOrder, Stamp

CANCEL_WEIGHT = 1
OVERLOADED = -1008
SERVICE_UNAVAILABLE = "Service Unavailable."
UNTOLD = frozenset(
    {
        *(-1000, -1001, -1004, -1006, -1007, -1010, -1016),
        -4116,  # an open order has this client id: it may well be this one
    }
)
"""Codes that do not say that nothing happened."""

KEY = Denial(
    Reason.CREDENTIALS_REJECTED,
    "the trade key was rejected: it must be enabled for futures, not expired, and its IP list must name our address",
)
GONE = Denial(
    Reason.EXCHANGE_REFUSED, "no such order is open: it ended before, and only asking for it tells what became of it"
)
FUNDS = Denial(Reason.EXCHANGE_REFUSED, "the margin does not suffice")
NOTHING_LEFT = Denial(
    Reason.EXCHANGE_REFUSED, "there is nothing left to reduce, or open orders of that side already close all of it"
)
QUANTITY = Denial(Reason.EXCHANGE_REFUSED, "the quantity is not within what the symbol allows")
PRICE = Denial(Reason.EXCHANGE_REFUSED, "the price is too far from the market, or not one that the symbol allows")
SYMBOL = Denial(Reason.UNKNOWN_SYMBOL, "the symbol is not traded any more, or not at present")
MODE = Denial(Reason.EXCHANGE_REFUSED, "the account's position mode (one-way or hedge) is not the one it was read in")
RATE = Denial(Reason.RATE_LIMITED, "our rate is limited")
OVERLOAD = Denial(Reason.EXCHANGE_UNAVAILABLE, "it is overloaded, and takes no such request for a moment")
MAINTENANCE = Denial(Reason.EXCHANGE_UNAVAILABLE, "it was not available, perhaps for maintenance")

DENIALS = {
    **dict.fromkeys((-1002, -1022, -2014, -2015, -2017), KEY),
    **dict.fromkeys((-1003, -1015), RATE),
    **dict.fromkeys((-2011, -2013), GONE),
    **dict.fromkeys((-2018, -2019), FUNDS),
    **dict.fromkeys((-1111, -4003, -4004, -4005, -4023), QUANTITY),
    **dict.fromkeys((-4001, -4002, -4013, -4014, -4016, -4024, -4131), PRICE),
    **dict.fromkeys((-1121, -4108, -4140, -4141), SYMBOL),
    **dict.fromkeys((-1106, -4061), MODE),
    OVERLOADED: OVERLOAD,
    -1021: Denial(
        Reason.EXCHANGE_CLOCK_SKEW,
        "it arrived outside of the time in which it was allowed to: it was held up, or the clocks are too far apart",
    ),
    -2010: Denial(Reason.EXCHANGE_REFUSED, "the order was rejected"),
    -2021: Denial(Reason.EXCHANGE_REFUSED, "the order would trigger at once"),
    -2022: NOTHING_LEFT,
    -4164: Denial(Reason.EXCHANGE_REFUSED, "its notional is below the symbol's minimum, and it is not reduce-only"),
}


def denied(status: int, payload: Any) -> Denial | None:
    """Why nothing happened; None where this answer does not prove it."""
    code = payload.get("code") if isinstance(payload, dict) else None
    if not isinstance(code, int) or code >= 0:
        return None
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        if payload.get("msg") == SERVICE_UNAVAILABLE:
            return MAINTENANCE
        return OVERLOAD if code == OVERLOADED else None
    refuses = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if not refuses or status == HTTPStatus.REQUEST_TIMEOUT or code in UNTOLD:
        return None
    known = DENIALS.get(code, Denial(Reason.EXCHANGE_REFUSED, "the request was refused"))
    return Denial(known.reason, f"{known.words} (HTTP {status}, code {code})")


async def place(client: Any, order: NewOrder, stamp: Stamp) -> Order:
    """Place it: the answer tells how it ended (RESULT), which it does at once, being IOC or market."""
    limit = {} if order.price is None else {"price": _plain(order.price), "timeInForce": "IOC"}
    closing = {"reduceOnly": "true"} if order.leg is PositionSide.NET else {"positionSide": order.leg.upper()}
    answer = await client.fapiPrivatePostOrder(
        {
            "symbol": client.market_id(order.symbol),
            "side": order.side.upper(),
            "type": "LIMIT" if limit else "MARKET",
            "quantity": _plain(order.quantity),
            **limit,
            **closing,
            "newClientOrderId": order.client_id,
            "newOrderRespType": "RESULT",
            **_fence(stamp),
        }
    )
    placed = _order(client, answer)
    if (placed.client_id, placed.symbol, placed.side) != (order.client_id, order.symbol, order.side):
        raise malformed("binanceusdm answered with another order than was placed")
    return placed


async def cancel(client: Any, symbol: str, order_id: str, conditional: bool, stamp: Stamp) -> None:  # noqa: FBT001
    """Cancel one order by its id, ordinary or conditional: each kind has ids of its own."""
    if conditional:
        answer = await client.fapiPrivateDeleteAlgoOrder({"algoId": order_id, **_fence(stamp)})
        told = answer if isinstance(answer, dict) else {}
        done = (str(told.get("algoId")), str(told.get("code"))) == (order_id, "200")
    else:
        named = {"symbol": client.market_id(symbol), "orderId": order_id}
        order = _order(client, await client.fapiPrivateDeleteOrder({**named, **_fence(stamp)}))
        done = (order.id, order.symbol, order.status) == (order_id, symbol, OrderStatus.CANCELED)
    if not done:
        raise malformed("binanceusdm did not answer that this order is cancelled")


def _order(client: Any, answer: Any) -> Order:
    if not isinstance(answer, dict):
        raise malformed("binanceusdm answered with no order")
    return read_order(client, answer)


def _plain(number: Decimal) -> str:
    """Without an exponent, and without zeros behind that could count as decimals that the symbol lacks."""
    return format(number.normalize(), "f")


def _fence(stamp: Stamp) -> dict[str, int]:
    """In the parameters they override what ccxt would sign with."""
    return {"timestamp": stamp.timestamp, "recvWindow": stamp.recv_window}

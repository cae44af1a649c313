"""Calls of keys that may trade: placing, cancelling one, several or all, and the countdown that cancels by itself."""

from typing import Any

import orjson

from accountsync.simulator import refusals
from accountsync.simulator.call import Call
from accountsync.simulator.calls_order import find
from accountsync.simulator.matching import match
from accountsync.simulator.model import Order
from accountsync.simulator.placing import asked_order
from accountsync.simulator.refusals import Refusal
from accountsync.simulator.views_order import acknowledged_order

ALL_CANCELLED = {"code": 200, "msg": "The operation of cancel all open order is done."}
MOST_CANCELLED = 10


def place(call: Call) -> object:
    """The order as it entered the book.

    With newOrderRespType=RESULT as it ended, if it is one that ends at once: MARKET, IOC or FOK.
    """
    told = call.text("newOrderRespType") or "ACK"
    if told not in ("ACK", "RESULT"):
        raise Refusal(-1136, "Invalid newOrderRespType.")
    placed = match(call.world, asked_order(call))
    return _shown(call, placed.final if placed.immediate and told == "RESULT" else placed.entered)


def cancel(call: Call) -> object:
    """Take one order off the book: Refusal -2011 if it is not there."""
    return _cancelled(call, find(call))


def cancel_all(call: Call) -> object:
    """Take all of a symbol's orders off the book; conditional orders stay."""
    for order in call.account.open_orders_of(call.required_symbol.symbol):
        call.world.cancel(order)
    return ALL_CANCELLED


def cancel_several(call: Call) -> object:
    """A row for each id: the order, or the refusal."""
    spec = call.required_symbol
    order_ids, client_ids = _order_ids(call), _listed(call, "origClientOrderIdList")
    if not order_ids and not client_ids:
        raise refusals.missing_both("orderIdList", "origClientOrderIdList")
    if max(len(order_ids), len(client_ids)) > MOST_CANCELLED:
        raise Refusal(-4032, "Exceed maximum cancel order size.")
    find_order = call.world.find_order
    if order_ids:
        found = [find_order(call.account, spec.symbol, order_id=one) for one in order_ids]
    else:
        found = [find_order(call.account, spec.symbol, client_order_id=str(one)) for one in client_ids]
    return [_cancelled_or_not(call, order) for order in found]


def count_down(call: Call) -> object:
    """Cancel all of a symbol's orders after `countdownTime` ms, unless it is asked for again; 0 stops it."""
    spec, milliseconds = call.required_symbol, call.integer("countdownTime")
    if milliseconds is None:
        raise refusals.missing("countdownTime")
    call.world.deadlines.count_down(call.account, spec.symbol, milliseconds)
    return {"symbol": spec.symbol, "countdownTime": str(milliseconds)}


def not_yet(_call: Call) -> object:
    """Signature and permission were checked; there is no more to this call so far."""
    raise refusals.not_supported()


def _shown(call: Call, order: Order) -> dict[str, Any]:
    return acknowledged_order(order, call.world.spec(order.symbol))


def _cancelled(call: Call, order: Order | None) -> dict[str, Any]:
    if order is None or not call.world.current(order).status.is_open:
        raise refusals.unknown_order()
    return _shown(call, call.world.cancel(order))


def _cancelled_or_not(call: Call, order: Order | None) -> dict[str, Any]:
    try:
        return _cancelled(call, order)
    except Refusal as refusal:
        return refusal.payload


def _order_ids(call: Call) -> list[int]:
    """A JSON list of numbers, which clients write as text, too: Refusal -1102 for anything else."""
    try:
        return [int(one) for one in _listed(call, "orderIdList")]
    except (ValueError, TypeError):
        raise refusals.missing("orderIdList") from None


def _listed(call: Call, name: str) -> list[Any]:
    text = call.text(name)
    if text is None:
        return []
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise refusals.missing(name) from None
    if not isinstance(given, list):
        raise refusals.missing(name)
    return given

"""Amending a limit order through the API: the checks of the exchange, and what is told of past amendments.

Sources: "Modify Order" and "Get Order Modify History" in Binance's USD-M futures documentation, and its error-code
page. Price and quantity must both be sent; an order that is not open is one that does not exist.
"""

from dataclasses import replace
from decimal import Decimal

from accountsync.simulator import refusals
from accountsync.simulator.affording import check_margin
from accountsync.simulator.asked import asked_decimal, asked_side
from accountsync.simulator.call import Call
from accountsync.simulator.calls_order import asked_ids, find
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Order
from accountsync.simulator.placing import check_amended
from accountsync.simulator.reducing import only_reduces
from accountsync.simulator.refusals import Refusal
from accountsync.simulator.span import DAY_MS, KEPT_DAYS, asked_span
from accountsync.simulator.views_algo import amendment_row
from accountsync.simulator.views_order import acknowledged_order

MOST_AMENDMENTS = 10_000


def amend(call: Call) -> object:
    """The order as it is afterwards: amended, or cancelled if no more is wanted than is filled already.

    Raises Refusal: -2013 for an order that is not open, -5025 for one without a price, -1117 for a side that is not its
    own, -5027 if nothing would change, -5029 for too small a notional, -2019 for too little margin, -5026 for one
    amendment too many, and as placing does for a price or quantity that breaks a filter.
    """
    spec = call.required_symbol
    current = find(call)
    if current is None or not current.status.is_open:
        raise refusals.no_such_order()
    if asked_side(call) is not current.side:
        raise Refusal(-1117, "Invalid side.")
    if current.type != "LIMIT":
        raise Refusal(-5025, "Only limit order is supported.")
    if call.text("priceMatch"):
        raise refusals.not_supported()
    quantity, price, modify_id = asked_decimal(call, "quantity"), asked_decimal(call, "price"), call.integer("modifyId")
    check_amended(spec, replace(current, price=price, orig_qty=quantity), call.world.marks[spec.symbol])
    _check_change(call, spec, current, price, quantity)
    amended = call.world.amend(current, price=price, quantity=quantity, modify_id=modify_id)
    told = {} if modify_id is None else {"modifyId": modify_id}
    return {**acknowledged_order(amended, spec), "pair": spec.symbol, **told}


def history(call: Call) -> object:
    """What was changed about one order in the last three months, newest first; nothing of an order never amended."""
    spec = call.required_symbol
    order_id, client_order_id = asked_ids(call)
    if order_id is None:
        order_id = call.account.client_ids.get((spec.symbol, client_order_id or ""), 0)
    span = asked_span(call, default_limit=50, max_limit=100)
    if call.integer("startTime") is None:
        span = replace(span, start=call.now_ms - KEPT_DAYS * DAY_MS)
    found = call.world.amendments.of(call.account.name, (spec.symbol, order_id))
    return [amendment_row(one, spec) for one in reversed(span.choose(found, lambda one: one.time))]


def _check_change(call: Call, spec: SymbolSpec, current: Order, price: Decimal, quantity: Decimal) -> None:
    if (price, quantity) == (current.price, current.orig_qty):
        raise Refusal(-5027, "No need to modify the order.")
    if not only_reduces(current) and price * quantity < spec.min_notional:
        raise Refusal(-5029, f"Order's notional must be no smaller than {spec.min_notional}")
    if len(call.world.amendments.of(current.account, current.ref)) >= MOST_AMENDMENTS:
        raise Refusal(-5026, "Exceed maximum modify order limit.")
    more = price * (quantity - current.executed_qty) - current.price * current.remaining
    if not only_reduces(current) and more > 0:
        check_margin(call, spec, current.side, current.position_side, more)

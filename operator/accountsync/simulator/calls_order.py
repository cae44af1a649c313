"""Calls that ask about orders."""

from accountsync.simulator import refusals
from accountsync.simulator.call import Call
from accountsync.simulator.model import Order
from accountsync.simulator.span import week_span
from accountsync.simulator.views_order import listed_order, queried_order


def open_orders(call: Call) -> object:
    """Open orders of one symbol, or of all."""
    wanted = {spec.symbol for spec in call.symbols}
    orders = (order for order in call.account.open_orders.values() if order.symbol in wanted)
    return [queried_order(order, call.world.spec(order.symbol)) for order in orders]


def order(call: Call) -> object:
    """One order by orderId, or else by origClientOrderId: Refusal -2013 if there is none."""
    found = find(call)
    if found is None:
        raise refusals.no_such_order()
    return queried_order(found, call.world.spec(found.symbol))


def open_order(call: Call) -> object:
    """As `order`, but one that is not open 'does not exist' either."""
    found = find(call)
    if found is None or not found.status.is_open:
        raise refusals.no_such_order()
    return queried_order(found, call.world.spec(found.symbol))


def all_orders(call: Call) -> object:
    """All of one symbol by rising id, whatever became of them: of a span, or from `orderId` on."""
    spec, first = call.required_symbol, call.integer("orderId")
    span = week_span(call, first)
    found = (
        order for order in call.world.remembered_orders(call.account, spec.symbol) if order.order_id >= (first or 0)
    )
    return [listed_order(order, spec) for order in span.choose(found, lambda order: order.time)]


def asked_ids(call: Call) -> tuple[int | None, str | None]:
    """(orderId, origClientOrderId), of which one must be sent: Refusal -1102."""
    order_id, client_order_id = call.integer("orderId"), call.text("origClientOrderId")
    if order_id is None and client_order_id is None:
        raise refusals.missing_both("origClientOrderId", "orderId")
    return order_id, client_order_id


def find(call: Call) -> Order | None:
    """The order asked for, if the exchange still knows it."""
    spec = call.required_symbol
    order_id, client_order_id = asked_ids(call)
    return call.world.find_order(call.account, spec.symbol, order_id=order_id, client_order_id=client_order_id)

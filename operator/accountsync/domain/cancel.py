"""Which orders are to be cancelled, and when a person has to be asked first.

In:  a `Scene`. Out: Cancel actions.

Invariants: only orders of the bot's own, or of prefixes that people named, and never another bot's; an order that
guards an open position is cancelled alone only after a Flatten of the same plan closed that position.
"""

from collections.abc import Collection

from accountsync.domain.account import AccountSnapshot, Order, Position, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import ZERO, Finding, sanitize
from accountsync.domain.plan import Action, ActionKind
from accountsync.domain.policy import UnexpectedOrders, UnexpectedPositions
from accountsync.domain.scene import Scene, Sketch


def cancel_unexpected(scene: Scene, sketch: Sketch, leftovers: Collection[Order]) -> None:
    """Cancel what the bot does not track, as far as the policy says so. `leftovers` are cancelled in another place."""
    wish = scene.policy.remedies.orders
    for finding in scene.findings(Rule.UNEXPECTED_ORDER):
        order = scene.order(finding)
        if order is None or order in leftovers or scene.tracks_order(order) or not scene.may_cancel(order):
            continue
        if wish is UnexpectedOrders.NEVER and not _is_left_over(order, scene):
            continue
        action = cancelling(order, scene, sketch, finding)
        if action is None:
            continue
        sketch.actions.append(action)
        if wish is UnexpectedOrders.PLAN:
            sketch.approvals.append("spec.remediation.unexpectedOrders is Plan")
        if guards(order, scene.snapshot):
            sketch.approvals.append(f"order {order.id} of {order.symbol} guards an open position")


def cancelling(order: Order, scene: Scene, sketch: Sketch, finding: Finding, after: int | None = None) -> Action | None:
    """The action that cancels `order`; None, and a refusal, where nobody knows what it is worth.

    `after`: index of the Flatten whose leftover it is; `finding` is then what that Flatten is for.
    """
    price, limits = order.price or order.trigger_price or scene.mark(order.symbol), scene.policy.remedies.limits
    limited = limits.notional_per_action is not None or limits.notional_per_hour is not None
    if limited and order.remaining and not price:
        sketch.refuse(
            f"there is no price for order {order.id} of {order.symbol}: the limits on notional can't be held",
            finding,
        )
        return None
    keys = {finding.key}
    unexpected = unexpected_finding(order).key
    if unexpected in scene.tracks:
        keys.add(unexpected)
    return Action(
        ActionKind.CANCEL,
        symbol=order.symbol,
        order_id=order.id,
        client_id=order.client_id,
        conditional=order.conditional,
        notional=abs(order.remaining * (price or ZERO)),
        findings=tuple(sorted(keys)),
        after=after,
        why=finding.message if after is None else "it would outlive the position that it was to close",
    )


def _is_left_over(order: Order, scene: Scene) -> bool:
    """Whether we closed the position that it was to close, and could not cancel it then."""
    key = Action(ActionKind.CANCEL, symbol=order.symbol, order_id=order.id).key
    return scene.policy.remedies.positions is not UnexpectedPositions.NEVER and key in scene.past.leftovers


def unexpected_finding(order: Order) -> Finding:
    """The finding that the bot does not track `order`, as far as its key goes."""
    return Finding(Rule.UNEXPECTED_ORDER, order.symbol, sanitize(order.ref))


def guards(order: Order, snapshot: AccountSnapshot) -> bool:
    """Whether `order` may be what closes an open position: reduce-only, or waiting to trade against it."""
    legs = [row for row in snapshot.positions if row.symbol == order.symbol and row.quantity]
    return any(order.reduce_only or (order.conditional and order.side is closing_side(row)) for row in legs)


def closing_side(row: Position) -> Side:
    """The side of an order that makes the position smaller."""
    is_short = row.side is PositionSide.SHORT or (row.side is PositionSide.NET and row.quantity < ZERO)
    return Side.BUY if is_short else Side.SELL

"""An action of a stored plan, as it is sent: never more than the plan says, nor than there is now.

In:  the stored action, what would be done now, the snapshot of now. Out: the action to send.
"""

from dataclasses import replace
from decimal import Decimal

from accountsync.domain.account import AccountSnapshot, Position
from accountsync.domain.cancel import closing_side
from accountsync.domain.finding import EXACT, ZERO
from accountsync.domain.flatten import floored
from accountsync.domain.plan import Action, ActionKind, Proposal
from accountsync.domain.propose import still_due, still_wanted


def fresh_action(planned: Action, proposal: Proposal, snapshot: AccountSnapshot) -> Action:
    """`planned` with the quantity, price and repairs of now; a Cancel has nothing that could grow old.

    What is wanted is judged for a plan as a whole, but for a full reset: there each action stands for itself.

    Raises LookupError where it is not wanted any more: `still_wanted` tells that before.
    """
    cancels = planned.kind is ActionKind.CANCEL
    if cancels and not planned.reset:
        return planned
    lost = still_wanted([planned], proposal)
    now = next((action for action in proposal.actions if action.key == planned.key), None)
    if lost or now is None:
        raise LookupError(lost)
    if cancels:
        return planned
    if planned.kind is ActionKind.REPAIR:
        due = still_due(planned, now)
        assert due is not None, "or it was not wanted"
        return due
    quantity = min(planned.quantity or ZERO, now.quantity or ZERO, closable(planned, snapshot))
    if not quantity:
        raise LookupError(f"what it was for has changed: nothing is left to {planned.title}")
    worth = EXACT.divide(EXACT.multiply(now.notional, quantity), now.quantity or quantity)
    return replace(planned, quantity=quantity, price=now.price, notional=worth)


def legs(action: Action, snapshot: AccountSnapshot) -> list[Position]:
    """The rows of the position that a Flatten is about."""
    return [row for row in snapshot.positions if (row.symbol, row.side) == (action.symbol, action.leg)]


def closable(action: Action, snapshot: AccountSnapshot) -> Decimal:
    """How much of its position a Flatten may still close, in whole steps."""
    step, rows = snapshot.steps.get(action.symbol), legs(action, snapshot)
    if not step or len(rows) != 1 or closing_side(rows[0]) is not action.side:
        return ZERO  # a leg that is listed twice is none that anybody knows the size of
    return floored(rows[0].quantity, step)

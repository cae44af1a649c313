"""Whether the exchange shows what the intents of a plan say that was done.

In:  a plan and a snapshot of after `Plan.executed`. Out: what is not yet so.

Invariant: what was not read shows nothing.
"""

from decimal import Decimal

from accountsync.domain.account import AccountSnapshot, OrderStatus, Part
from accountsync.domain.cancel import closing_side
from accountsync.domain.finding import EXACT, ZERO, plain
from accountsync.domain.fresh import legs
from accountsync.domain.intents import Intent, IntentState
from accountsync.domain.plan import Action, ActionKind, Plan


def verified(plan: Plan, snapshot: AccountSnapshot) -> str:
    """What `snapshot` does not show yet of what is done; empty: it shows all of it."""
    if plan.executed is not None and snapshot.timestamp <= plan.executed:
        return "no snapshot of after it was read yet"
    for action, intent in zip(plan.actions, plan.intents, strict=True):
        if intent.state is IntentState.DONE:
            lacking = _lacking(action, intent, plan.executed, snapshot)
            if lacking:
                return lacking
    return ""


def closed(plan: Plan, index: int, snapshot: AccountSnapshot) -> bool:
    """Whether the Flatten at `index` is done, and left of its position no more than what is below the step.

    In a full reset the position may also have been closed by something else before.
    """
    over = {IntentState.DONE, IntentState.EXPIRED} if plan.reset else {IntentState.DONE}
    if plan.intents[index].state not in over or Part.POSITIONS in snapshot.missing:
        return False
    if plan.executed is not None and snapshot.timestamp <= plan.executed:
        return False
    action = plan.actions[index]
    step = snapshot.steps.get(action.symbol, ZERO)
    return all(not row.quantity or abs(row.quantity) < step for row in legs(action, snapshot))


def _lacking(action: Action, intent: Intent, executed: int | None, snapshot: AccountSnapshot) -> str:
    match action.kind:
        case ActionKind.CANCEL:
            part = Part.CONDITIONAL if action.conditional else Part.ORDERS
            if part in snapshot.missing:
                return f"the exchange did not tell the {part}"
            listed = any(
                (row.symbol, row.id, row.conditional) == (action.symbol, action.order_id, action.conditional)
                and row.status is OrderStatus.OPEN
                for row in snapshot.orders
            )
            return f"order {action.order_id} of {action.symbol} is still listed as open" if listed else ""
        case ActionKind.FLATTEN:
            if Part.POSITIONS in snapshot.missing:
                return "the exchange did not tell the positions"
            return _unreduced(action, intent, executed, snapshot)
        case _:
            return ""


def _unreduced(action: Action, intent: Intent, executed: int | None, snapshot: AccountSnapshot) -> str:
    """Nobody wrote down how large the leg was: a step more, at most, than the plan closes.

    What changed again since then is no longer our doing.
    """
    step = snapshot.steps.get(action.symbol, ZERO)
    most = max(EXACT.subtract(action.quantity or ZERO, intent.filled or ZERO), ZERO)
    rows = [row for row in legs(action, snapshot) if row.quantity and closing_side(row) is action.side]
    left: Decimal = sum((abs(row.quantity) for row in rows), ZERO)
    moved = executed is not None and any((row.updated or 0) > executed for row in rows)
    if moved or left <= most or left < EXACT.add(most, step):
        return ""
    return (
        f"{plain(left)} of the {action.leg} position of {action.symbol} is still open,"
        f" of which {plain(intent.filled or ZERO)} was closed"
    )

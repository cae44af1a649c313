"""What our own plans did lately: what counts for the limits, what failed, and which orders are our doing.

In:  the stored plans of an account. Out: `Past`.

Invariants: what may have left counts as if it had; what never left counts for no limit. Repairs change nothing on the
exchange, and count for none either.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal

from accountsync.domain.finding import ZERO
from accountsync.domain.intents import UNSETTLED, Intent, IntentState
from accountsync.domain.plan import Action, ActionKind, Plan

HOUR_MS = 3_600_000
FAILED = frozenset({IntentState.REFUSED, IntentState.EXPIRED})
MAY_HAVE_HAPPENED = UNSETTLED | {IntentState.DONE}


@dataclass(frozen=True, slots=True)
class Past:
    """`left`: Unix ms and notional (quote currency) of each action that was sent, or may have been, within the hour.

    `failed`: keys of the actions that came to nothing, or not to all, within the hour. `acted`: what our own orders
    are known by, and those that we cancelled (`placed`, `cancelled`, client ids), of all plans. `leftovers`: keys of
    the Cancels that were to follow a Flatten which was done, and came to nothing.
    """

    left: tuple[tuple[int, Decimal], ...] = ()
    failed: frozenset[str] = frozenset()
    acted: frozenset[str] = frozenset()
    leftovers: frozenset[str] = frozenset()


def placed(symbol: str, order_id: str) -> str:
    """What names, in `Past.acted`, an order that we placed; exchanges count ids up per symbol."""
    return f"placed {symbol} {order_id}"


def cancelled(symbol: str, ref: str) -> str:
    """What names, in `Past.acted`, an order that we cancelled."""
    return f"cancelled {symbol} {ref}"


def past(plans: Collection[Plan], now_ms: int) -> Past:
    """What `plans` did until `now_ms`, by our clock."""
    sent = [
        (action, intent)
        for plan in plans
        for action, intent in zip(plan.actions, plan.intents, strict=False)
        if _was_sent(intent)
    ]
    since = now_ms - HOUR_MS
    return Past(
        left=tuple(
            sorted(
                (_at(intent, now_ms), action.notional)
                for action, intent in sent
                if _at(intent, now_ms) > since and action.trades
            )
        ),
        failed=frozenset(
            action.key
            for plan in plans
            for action, intent in zip(plan.actions, plan.intents, strict=False)
            if _at(intent, now_ms) > since and _fell_short(plan, action, intent)
        ),
        acted=frozenset(name for action, intent in sent for name in _names(action, intent)),
        leftovers=frozenset(
            action.key
            for plan in plans
            for action, intent in zip(plan.actions, plan.intents, strict=False)
            if action.after is not None
            and intent.state in FAILED
            and plan.intents[action.after].state is IntentState.DONE
        ),
    )


def _was_sent(intent: Intent) -> bool:
    """Whether it may have left: an intent is dated only when it becomes Sending."""
    return intent.state in MAY_HAVE_HAPPENED or intent.state is IntentState.REFUSED or intent.timestamp is not None


def _fell_short(plan: Plan, action: Action, intent: Intent) -> bool:
    """Whether it was tried, and left what it was for. A person decides whether to go on with that."""
    if intent.state in FAILED or intent.state is IntentState.UNKNOWN or plan.unverified:
        return True
    if action.kind is not ActionKind.FLATTEN or intent.state is not IntentState.DONE:
        return False
    return (intent.filled or ZERO) < (action.quantity or ZERO)


def _at(intent: Intent, now_ms: int) -> int:
    """The latest time at which it can have left; without any it may have been just now."""
    return now_ms if intent.at is None else intent.at


def _names(action: Action, intent: Intent) -> Iterable[str]:
    """What it is known by. A full reset cancels what the bot tracks: that the bot has to learn, or be told."""
    if action.kind is ActionKind.FLATTEN:
        if intent.client_id:
            yield intent.client_id
        if intent.order_id:
            yield placed(action.symbol, intent.order_id)
    elif action.kind is ActionKind.CANCEL and not action.reset and intent.state in MAY_HAVE_HAPPENED:
        yield cancelled(action.symbol, f"trigger:{action.order_id}" if action.conditional else action.order_id)

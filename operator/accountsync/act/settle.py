"""What became of what was sent: asked for where it is not known, verified where it is, and then the plan is over."""

from accountsync.act.work import Work
from accountsync.domain.account import Order, OrderStatus
from accountsync.domain.intents import SETTLED, UNSETTLED, IntentState
from accountsync.domain.plan import NOT_VERIFIED, ActionKind, Phase, Plan
from accountsync.domain.policy import Mode
from accountsync.domain.verify import closed, verified
from accountsync.errors import AccountSyncError

SOON_MS = 10_000
"""For so long after the last action the account is read every second, to see what came of it."""
UNASKED_MS = 60_000
"""An action that could not be asked for in so long after its time is of unknown outcome."""
VERIFIED_WITHIN_MS = 120_000
"""A plan that no snapshot has confirmed for so long ends as one that did not come to what it was for."""


async def settle(work: Work, plan: Plan) -> Plan | None:
    """What is not known of a plan is asked for, and what can't follow any more is given up.

    The plan, if there is more of it to be sent.
    """
    for index, intent in enumerate(plan.intents):
        if intent.state in UNSETTLED:
            plan = await _asked(work, plan, index)
    if plan.unsettled and work.now.course.accepted:
        await work.end(plan, Phase.EXPIRED, "a person resumed without knowing what became of it")
        return None
    if plan.unsettled:
        due = max(intent.settles_at for intent in plan.intents if intent.state in UNSETTLED) - work.exchange_now()
        if due > 0 and work.cycle.state.timestamp_at is not None:  # else the exchange's time stands still
            work.wait(max(1.0, due / 1000))
        return None
    over = _over_in_the_middle(work, plan)
    for index, (action, intent) in enumerate(zip(plan.actions, plan.intents, strict=True)):
        hopeless = action.after is not None and _never_closes(work, plan, action.after)
        if intent.state is IntentState.PLANNED and (over or hopeless):
            why = over or "its position is still there"
            plan = await work.turn(plan, index, IntentState.EXPIRED, why, left=False)
    if not plan.settled:
        return plan
    await close_up(work, plan)
    return None


def _over_in_the_middle(work: Work, plan: Plan) -> str:
    """Why the rest of a plan is not to be sent."""
    if work.policy.mode is not Mode.ENFORCE and plan.trades:
        return f"spec.remediation.mode is {work.policy.mode}"
    if not plan.may_run:
        return "it was removed and stored again, and nobody approved the rest"
    if plan.executed is not None and work.exchange_now() > plan.executed + VERIFIED_WITHIN_MS:
        return "; ".join(filter(None, ["it could not go on in time", work.blocked_before]))
    return work.lost(plan)


def _never_closes(work: Work, plan: Plan, index: int) -> bool:
    """Whether the Flatten at `index` is over, and a fresh snapshot shows that its leg is not closed."""
    if plan.intents[index].state not in SETTLED or work.seen is None or plan.executed is None:
        return False
    return work.seen.timestamp > plan.executed and not closed(plan, index, work.seen)


async def _asked(work: Work, plan: Plan, index: int) -> Plan:
    """Ask the exchange what became of an action, once its word is final."""
    action, intent = plan.actions[index], plan.intents[index]
    if work.exchange_now() < intent.settles_at:
        late = intent.state is IntentState.SENDING and work.desk.clock.now_ms() > (intent.at or 0) + UNASKED_MS
        why = "the exchange could not be asked since"
        return await work.turn(plan, index, IntentState.UNKNOWN, why) if late else plan
    if action.kind is ActionKind.REPAIR:
        return await work.turn(plan, index, IntentState.EXPIRED, "the bot did not say; it is judged anew")
    cancels = action.kind is ActionKind.CANCEL
    try:
        order = await work.desk.exchange.find_order(
            symbol=action.symbol,
            order_id=action.order_id if cancels else "",
            client_id="" if cancels else intent.client_id,
            conditional=action.conditional if cancels else False,
        )
    except AccountSyncError as error:
        again = intent.state is IntentState.UNKNOWN
        return plan if again else await work.turn(plan, index, IntentState.UNKNOWN, error.message)
    return await (_cancelled if cancels else _placed)(work, plan, index, order)


async def _cancelled(work: Work, plan: Plan, index: int, order: Order | None) -> Plan:
    if order is None:
        return await work.turn(plan, index, IntentState.DONE, "the exchange does not know the order any more")
    if order.status is OrderStatus.OPEN:
        why = "; ".join(filter(None, ["the order is still open", plan.intents[index].message]))
        return await work.turn(plan, index, IntentState.EXPIRED, why)
    return await work.turn(plan, index, IntentState.DONE, f"the order is {order.status}", order=order)


async def _placed(work: Work, plan: Plan, index: int, order: Order | None) -> Plan:
    if order is None:
        return await work.turn(plan, index, IntentState.EXPIRED, "it never arrived at the exchange")
    return await filled(work, plan, index, order)


async def filled(work: Work, plan: Plan, index: int, order: Order) -> Plan:
    """The exchange has our order: what was filled of it."""
    if order.status is OrderStatus.OPEN:  # it lives for a moment at most
        return await work.noted(plan, index, "the exchange has not said yet what was filled")
    message = f"{order.status}: {order.filled:f} of {order.quantity:f}"
    return await work.turn(plan, index, IntentState.DONE, message, order=order)


async def close_up(work: Work, plan: Plan) -> None:
    """End a plan whose actions are all known, once a snapshot of after them shows what came of it."""
    if not plan.settled:
        return
    if any(intent.state is not IntentState.DONE for intent in plan.intents):
        messages = dict.fromkeys(i.message for i in plan.intents if i.state is not IntentState.DONE)
        phase, message = Phase.REFUSED, "; ".join(messages)
    else:
        phase, message = Phase.DONE, "verified by a fresh snapshot" if plan.trades else "told to the bot"
    if plan.trades and work.proposal is not None:
        message = "; ".join([message, *work.proposal.residue])
    done = any(intent.state is IntentState.DONE for intent in plan.intents)
    if plan.trades and done and plan.executed is not None:
        lacking = "the account could not be read since" if work.seen is None else verified(plan, work.seen)
        since = work.exchange_now() - plan.executed
        if lacking and since <= VERIFIED_WITHIN_MS:
            work.block(lacking)
            if since <= SOON_MS:
                work.wait(1.0)
            return
        if lacking:
            phase, message = Phase.REFUSED, f"{NOT_VERIFIED}: {lacking}"
    await work.end(plan, phase, message)

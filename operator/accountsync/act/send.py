"""Sending: each action once, written ahead, from the owner, in the time for which that is certain."""

from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from accountsync.act.settle import close_up, filled
from accountsync.act.work import Work, phased, with_intent
from accountsync.domain.finding import ZERO, plain
from accountsync.domain.fresh import fresh_action, legs
from accountsync.domain.intents import MAX_RECV_WINDOW_MS, UNSETTLED, IntentState, sending
from accountsync.domain.plan import Action, ActionKind, Plan, client_id
from accountsync.domain.verify import closed
from accountsync.errors import AccountSyncError, NotSent, OutcomeUnknown, Refused
from accountsync.ports import NewOrder, Ownership, Stamp, Trading

SNAPSHOT_COUNTS_MS = 10_000
"""What is sent later than that after the snapshot needs a newer one."""
AGAIN = 5.0
"""Seconds after which another renewal of the Lease is looked for."""
LEAST_WINDOW_MS = 500
"""Less is not worth sending: it would arrive too late."""


async def execute(work: Work, plan: Plan) -> None:
    """Send what may be sent now, one after the other, and nothing more once the outcome of one is not known."""
    if work.proposal is None or work.snapshot is None:
        return
    if plan.trades and work.desk.guarded:
        work.block(work.desk.guarded)
        return
    async with AsyncExitStack() as stack:
        trading: Trading | None = None
        for index, action in enumerate(plan.actions):
            if plan.intents[index].state is not IntentState.PLANNED or not _is_next(work, plan, action):
                continue
            if not _window(work, plan):
                break
            if action.trades and trading is None:
                try:
                    trading = await work.desk.trading()
                except AccountSyncError as error:
                    plan = await work.turn(plan, index, IntentState.EXPIRED, f"not sent: {error.message}", left=False)
                    break
                stack.push_async_callback(trading.close)
            if not await _sees(work, action, trading) or not (window := _window(work, plan)):
                break  # as it is now: the key and the position took their time
            plan = await _sent(work, plan, index, trading, window)
            if plan.intents[index].state in UNSETTLED:
                break
    await close_up(work, plan)


def _window(work: Work, plan: Plan) -> int:
    """Milliseconds for which the exchange may take a request that is made now; 0: none is to be made."""
    assert work.snapshot is not None
    age = work.exchange_now() - work.snapshot.timestamp
    if age > SNAPSHOT_COUNTS_MS:
        work.wait(0.0)
        if (plan.executed or 0) < work.snapshot.timestamp:  # else a newer reading is all that it takes
            work.block(
                f"nothing was sent: by then the account had been read {age / 1000:.0f} s before, and more than"
                f" {SNAPSHOT_COUNTS_MS / 1000:.0f} s is too long: the exchange, the bot or the API server is slow"
            )
        return 0
    window = min(MAX_RECV_WINDOW_MS, int(work.desk.owner.left() * 1000))
    if window < LEAST_WINDOW_MS:
        work.wait(AGAIN)
        work.block("it is not certain yet that nobody else acts on the account")
        return 0
    return window


def _is_next(work: Work, plan: Plan, action: Action) -> bool:
    """Whether what has to come before `action` has."""
    assert work.snapshot is not None
    return action.after is None or (plan.executed is not None and closed(plan, action.after, work.snapshot))


async def _sees(work: Work, action: Action, trading: Trading | None) -> bool:
    """Whether the trade key sees the very position that is to be closed: it may be of another account."""
    assert work.snapshot is not None
    if trading is None or action.leg is None:
        return True  # a repair; and an order of another account can't be cancelled: ids are the exchange's
    told = sum((row.quantity for row in legs(action, work.snapshot)), ZERO)
    try:
        held = await trading.held(action.symbol, action.leg)
    except NotSent as error:
        work.block(error.message)
        return False
    if held != told:
        sees = f"the trade key sees {plain(held)} of {action.symbol} {action.leg}, and the read key {plain(told)}"
        work.block(f"{sees}: is it the key of another account?")
    return held == told


async def _sent(work: Work, plan: Plan, index: int, trading: Trading | None, window: int) -> Plan:
    """Write the intent ahead, send it once, and write what is known of it."""
    assert work.proposal is not None
    assert work.snapshot is not None
    desk = work.desk
    try:
        action = fresh_action(plan.actions[index], work.proposal, work.snapshot)
    except LookupError as lost:
        return await work.turn(plan, index, IntentState.EXPIRED, str(lost), left=False)
    timestamp = work.exchange_now()
    intent = sending(
        replace(plan.intents[index], client_id=client_id(desk.uid, f"{plan.name} {plan.created}", index)),
        timestamp=timestamp,
        recv_window=window,
        holder=desk.owner.holder,
        epoch=desk.owner.epoch,
        at=desk.clock.now_ms(),
    )
    plan = await work.write(phased(with_intent(plan, index, intent)))
    try:
        return await _left(
            work, plan, index, action, trading, Stamp(timestamp, window, partial(_require_owned, desk.owner))
        )
    except NotSent as error:
        return await work.turn(plan, index, IntentState.EXPIRED, f"not sent: {error.message}", left=False)
    except OutcomeUnknown as error:
        return await work.noted(plan, index, error.message)
    except Refused as error:
        if action.kind is ActionKind.CANCEL:
            return await work.noted(plan, index, error.message)  # what became of the order, it will say
        return await work.turn(plan, index, IntentState.REFUSED, error.message)


async def _left(work: Work, plan: Plan, index: int, action: Action, trading: Trading | None, stamp: Stamp) -> Plan:
    """Send `action`, and write what the answer says."""
    client = plan.intents[index].client_id
    if action.kind is ActionKind.REPAIR:
        believed = work.cycle.state.believed
        assert work.desk.repairs is not None
        assert believed is not None
        stamp.check()
        await work.desk.repairs.repair(client, believed, action.repairs)
        return await work.turn(plan, index, IntentState.DONE)
    assert trading is not None
    if action.kind is ActionKind.CANCEL:
        await trading.cancel(
            symbol=action.symbol, order_id=action.order_id, conditional=action.conditional, stamp=stamp
        )
        return await work.turn(plan, index, IntentState.DONE, order_id=action.order_id)
    return await filled(work, plan, index, await trading.place(_closing(action, client), stamp))


def _require_owned(owner: Ownership) -> None:
    """Raise NotSent where the account may be somebody else's by now."""
    if owner.left() <= 0:
        raise NotSent("this process may no longer act on the account")


def _closing(action: Action, client: str) -> NewOrder:
    assert action.side is not None
    assert action.leg is not None
    assert action.quantity is not None
    return NewOrder(action.symbol, action.side, action.leg, action.quantity, action.price, client)

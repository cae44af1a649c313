"""Somebody who doubts what is done: looks at each request as it leaves, and at what is stored and stands then.

What must hold and does not is in `wrong`. Times are seconds of the loop: the true ones, whatever clocks say.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tests.simulation.exchange import ZERO, Account
from tests.simulation.faults import MARKS
from tests.simulation.nature import Nature
from tests.simulation.process import Process
from tests.simulation.shelf import Shelf
from tests.simulation.till import Till
from tests.support.fakes import START_MS

from accountsync.cycle import Cycle, State
from accountsync.domain.account import AccountSnapshot, Order, PositionSide, Side
from accountsync.domain.expected import ExpectedState
from accountsync.domain.holds import Signal, Source
from accountsync.domain.intents import SETTLED, IntentState
from accountsync.domain.plan import Action, ActionKind, Plan
from accountsync.domain.policy import FlattenBy, Mode, Policy, UnexpectedOrders, UnexpectedPositions
from accountsync.ports import NewOrder, Stamp

HOUR = 3600.0
COUNTS_MS = 10_000
"""So long after a snapshot something may be sent that follows from it."""
CUT_OFF = 1.0
"""A status tells times to the second, so that a new process takes a hold for so much older."""
Request = NewOrder | tuple[str, str]
"""An order to place, or symbol and ref of one to cancel."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands around an action: what the process was told, knows, and wrote for the bot to see.

    `held_since`: since when the written status has had the Action hold; None: it has none. `beliefs`: of all bots of
    the account.
    """

    policy: Policy
    state: State
    cycle: Cycle | None
    held_since: float | None
    number: int
    beliefs: tuple[ExpectedState | None, ...]


@dataclass(frozen=True, slots=True)
class Deed:
    """One request that left."""

    at: float
    process: str
    plan: str
    index: int
    kind: ActionKind
    notional: Decimal


class Auditor:
    """`deeds`: all requests that ever left. `counted`: what was done, for people."""

    def __init__(self, account: Account, shelf: Shelf, till: Till, nature: Nature) -> None:
        self.account, self.shelf, self.till, self.nature = account, shelf, till, nature
        self.deeds: list[Deed] = []
        self.wrong: list[str] = []
        self.counted: Counter[str] = Counter()
        self._since: dict[str, float] = {}

    # --- a request leaves ---------------------------------------------------------------------------------------------

    def sent(self, process: Process, what: Request, stamp: Stamp, standing: Standing) -> None:
        """To be called when nothing can hold it up any more."""
        now = asyncio.get_running_loop().time()
        name = what.client_id if isinstance(what, NewOrder) else " ".join(what)
        self.shelf.say(f"{process.name} sends {what}")
        faults = [*self._of_fencing(process, stamp, now)]
        written = self._written(what, stamp, process)
        if written is None:
            faults.append("no stored intent says so")
        else:
            plan, index = written
            action = plan.actions[index]
            size = what.quantity * MARKS[what.symbol] if isinstance(what, NewOrder) else ZERO
            if any((deed.plan, deed.index) == (plan.name, index) for deed in self.deeds):
                faults.append("it was sent before")
            self.deeds.append(Deed(now, process.name, plan.name, index, action.kind, size))
            self.counted[f"{action.kind} sent"] += 1
            faults += self._of_standing(plan, action, stamp, standing, now)
            faults += self._of_limits(standing.policy, now)
            if isinstance(what, NewOrder):
                faults += self._of_flatten(plan, what, standing)
            else:
                faults += self._of_cancel(plan, action, what, standing)
        self.wrong += [f"{process.name} sent {name}: {fault}" for fault in faults]

    def _of_fencing(self, process: Process, stamp: Stamp, now: float) -> Iterator[str]:
        if process.owns <= 0 or process.lost.done():
            yield f"it may not act on the account, not before {process.alone_from:.1f} nor after {process.expiry:.1f}"
        last = (stamp.timestamp + stamp.recv_window - START_MS) / 1000
        if last > max(process.expiry, now):
            yield f"the exchange would take it until {last:.1f}, and the lease ends at {process.expiry:.1f}"

    def _written(self, what: Request, stamp: Stamp, process: Process) -> tuple[Plan, int] | None:
        for plan in self.shelf.plans.values():
            for index, (action, intent) in enumerate(zip(plan.actions, plan.intents, strict=True)):
                if isinstance(what, NewOrder):
                    meant = action.kind is ActionKind.FLATTEN and intent.client_id == what.client_id
                else:
                    ref = f"trigger:{action.order_id}" if action.conditional else action.order_id
                    meant = action.kind is ActionKind.CANCEL and (action.symbol, ref) == what
                fenced = (intent.timestamp, intent.recv_window, intent.holder, intent.epoch)
                same = fenced == (stamp.timestamp, stamp.recv_window, process.name, process.epoch)
                if meant and same and intent.state is IntentState.SENDING:
                    return plan, index
        return None

    def _of_standing(self, plan: Plan, action: Action, stamp: Stamp, standing: Standing, now: float) -> Iterator[str]:
        policy = standing.policy
        if policy.mode is not Mode.ENFORCE:
            yield f"the mode is {policy.mode}"
        if policy.remedies.dry_run or plan.dry_run:
            yield "it is a dry run"
        if plan.approval and plan.name not in self.shelf.approved:
            yield f"nobody approved it: {plan.approval}"
        if self.nature.unguarded:
            yield "nothing protects approvals"
        if not self.nature.expires_requests and plan.name not in self.shelf.approved:
            yield "the exchange takes late requests, and nobody approved it"
        yield from self._of_judgement(action, stamp, standing)
        grace = policy.order_grace_ms / 1000
        if standing.held_since is None:
            yield "no Action hold stands where the bot sees it"
        elif now - standing.held_since < grace - CUT_OFF:
            yield f"the Action hold has stood for {now - standing.held_since:.1f} s only"

    def _of_judgement(self, action: Action, stamp: Stamp, standing: Standing) -> Iterator[str]:
        state = standing.state
        confirmed = [key for key in action.findings if key in state.tracks and state.tracks[key].confirmed]
        if not confirmed and action.after is None:
            yield f"none of {action.findings} is confirmed"
        if standing.cycle is None or not standing.cycle.complete:
            yield "the last cycle was not complete"
        elif state.timestamp is not None and stamp.timestamp - state.timestamp > COUNTS_MS:
            yield f"the snapshot is {stamp.timestamp - state.timestamp} ms old"

    def _of_limits(self, policy: Policy, now: float) -> Iterator[str]:
        limits = policy.remedies.limits
        recent = [deed for deed in self.deeds if deed.at > now - HOUR]
        total = sum((deed.notional for deed in recent), ZERO)
        if len(recent) > limits.actions_per_hour:
            yield f"it is number {len(recent)} within an hour"
        if limits.notional_per_hour is not None and total > limits.notional_per_hour:
            yield f"{total} within an hour"
        if limits.notional_per_action is not None and recent[-1].notional > limits.notional_per_action:
            yield f"{recent[-1].notional} at once"

    def _of_cancel(self, plan: Plan, action: Action, what: tuple[str, str], standing: Standing) -> Iterator[str]:
        order, remedies = self.account.versions[what][-1], standing.policy.remedies
        prefixes = (standing.policy.order_id_prefix, *remedies.prefixes)
        if not order.client_id.startswith(prefixes) or self.account.owners[what] not in (-1, standing.number):
            yield f"{order.client_id} is not the bot's"
        approved = plan.name in self.shelf.approved
        leftover = action.after is not None
        if action.after is not None:
            closing = plan.actions[action.after]
            held = self.account.positions.get((closing.symbol, closing.leg or PositionSide.NET))
            if held is not None and held.quantity and plan.intents[action.after].state is not IntentState.DONE:
                yield "the position that it may guard is still open"
        wanted = remedies.orders is not UnexpectedOrders.NEVER or leftover
        alone = remedies.orders is UnexpectedOrders.CANCEL or leftover
        if not wanted or not (alone or approved):
            yield f"unexpectedOrders is {remedies.orders}"
        snapshot = standing.state.snapshot
        if approved or snapshot is None:
            return
        if not leftover and self._guards(order, what, snapshot):
            yield "it guards a position, and nobody was asked"
        cancelled = {(row.symbol, row.order_id) for row in plan.actions if row.kind is ActionKind.CANCEL}
        if cancelled >= {(row.symbol, row.id) for row in snapshot.orders}:
            yield "no order would be left, and nobody was asked"

    def _of_ends(self, plan: Plan) -> Iterator[str]:
        """Whether what is stored as known is so: there is nothing more that could still arrive."""
        for action, intent in zip(plan.actions, plan.intents, strict=True):
            if intent.state not in SETTLED or action.kind is ActionKind.REPAIR or intent.timestamp is None:
                continue
            ref = f"trigger:{action.order_id}" if action.conditional else action.order_id
            placed = action.kind is ActionKind.FLATTEN
            happened = self.till.ours[intent.client_id] > 0
            if not placed:
                happened = self.till.cancelled.get((action.symbol, ref)) == intent.timestamp
            if happened and intent.state is not IntentState.DONE:
                yield f"{action.title} of {plan.name} is said to be {intent.state} ({intent.message}), and was done"
            if not placed and intent.state is IntentState.DONE and (action.symbol, ref) in self.account.orders:
                yield f"{action.title} of {plan.name} is said to be done ({intent.message}), and the order is open"
            if placed and not happened and intent.state is IntentState.DONE:
                yield f"{action.title} of {plan.name} is said to be done, and was not"
            if placed and happened and intent.filled != self.till.filled.get(intent.client_id, ZERO):
                yield f"{action.title} of {plan.name} is said to have filled {intent.filled}"

    def _guards(self, order: Order, key: tuple[str, str], snapshot: AccountSnapshot) -> bool:
        leg = self.account.legs[key]
        if not order.conditional:
            return False
        for row in snapshot.positions:
            if row.symbol == order.symbol and row.side is leg and row.quantity:
                long = row.quantity > 0 and leg is not PositionSide.SHORT
                return (order.side is Side.SELL) is long
        return False

    def _of_flatten(self, plan: Plan, what: NewOrder, standing: Standing) -> Iterator[str]:
        remedies, state = standing.policy.remedies, standing.state
        if self.till.other:
            yield "the key that trades is of another account"
        if remedies.positions is UnexpectedPositions.NEVER:
            yield "unexpectedPositions is Never"
        if remedies.positions is UnexpectedPositions.PLAN and plan.name not in self.shelf.approved:
            yield "unexpectedPositions is Plan, and nobody approved it"
        believed = [row for belief in standing.beliefs for row in (belief.positions if belief else None) or ()]
        wanted = sum((row.quantity for row in believed if (row.symbol, row.side) == (what.symbol, what.leg)), ZERO)
        if wanted or state.believed is None:
            yield f"the bot believes {believed}"
        rows = state.snapshot.positions if state.snapshot else ()
        held = sum((row.quantity for row in rows if (row.symbol, row.side) == (what.symbol, what.leg)), ZERO)
        long = held > 0 and what.leg is not PositionSide.SHORT
        if not held or (what.side is Side.SELL) is not long or what.quantity > abs(held):
            yield f"{what.side} {what.quantity} of {held} would add to it"
        if plan.name not in self.shelf.approved:
            yield from self._of_fills(what, standing.number)
        mark = MARKS[what.symbol]
        if what.price is None and remedies.flatten_by is not FlattenBy.MARKET:
            yield "it has no limit"
        if what.price is not None and abs(what.price - mark) > mark * remedies.max_slippage:
            yield f"{what.price} is too far from {mark}"

    def _of_fills(self, what: NewOrder, number: int) -> Iterator[str]:
        """Whether all that the position is made of is the bot's own doing."""
        held = self.account.positions[what.symbol, what.leg].quantity
        for fill in reversed(self.account.traded[what.symbol]):
            if not held:
                return
            if fill.leg is what.leg:
                held -= fill.change
                known = self.account.owners[fill.symbol, fill.order_id] == number or fill.id in self.till.fills
                if not known:
                    yield f"fill {fill.id} is not the bot's, and nobody was asked"

    # --- after each step ----------------------------------------------------------------------------------------------

    def check(self, before: State, cycle: Cycle) -> Iterator[str]:
        """What is wrong with what is stored, and with the holds, after a cycle of this account."""
        wrong = (self.wrong, self.shelf.wrong, self.till.grown)
        for texts in wrong:
            yield from texts
            texts.clear()
        twice = [name for name, count in self.till.ours.items() if count > 1]
        if twice:
            yield f"placed more than once: {twice}"
        for plan in self.shelf.plans.values():
            yield from self._of_ends(plan)
        ours = {f"fill:{fill}" for fill in self.till.fills}
        for key, track in cycle.state.tracks.items():
            if track.confirmed and (track.finding.id in ours or track.finding.client_id in self.till.ours):
                yield f"our own doing is a finding: {key}"
        lifted = {row.source: row.why for row in cycle.decision.transitions if not row.raised}
        doubtful = [row.name for row in self.shelf.plans.values() if row.open and row.trades and row.unsettled]
        if doubtful and lifted.get(Source.ACTION) is not None:
            yield f"the Action hold was lifted, and nobody knows what became of {doubtful}"
        if lifted.get(Source.UNKNOWN_OUTCOME) is Signal.OUTCOME_KNOWN and any(
            intent.state is IntentState.UNKNOWN
            for plan in self.shelf.plans.values()
            if plan.open and plan.trades
            for intent in plan.intents
        ):
            yield f"the UnknownOutcome hold was lifted, and it is not known what became of {doubtful}"
        if doubtful and Source.ACTION not in cycle.state.holds and Source.ACTION not in before.holds:
            yield f"no Action hold stands, and {doubtful} is under way"

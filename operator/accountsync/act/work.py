"""One step of one account in the making: what it is made of, and the only writes to stored plans.

Invariant: an intent turns only here, and is stored with the turn; what has turned is told.
"""

from dataclasses import replace

from accountsync.act.desk import Desk, Remediation, Told
from accountsync.cycle import Cycle
from accountsync.domain.account import AccountSnapshot, Order
from accountsync.domain.holds import Source
from accountsync.domain.intents import Intent, IntentState, turned
from accountsync.domain.plan import Action, Phase, Plan, Proposal
from accountsync.domain.policy import Mode, Policy
from accountsync.domain.propose import propose, still_wanted
from accountsync.domain.reset import Sight, due
from accountsync.domain.sharing import Sharing
from accountsync.domain.standing import NO_RESET, Asked, lost

KEPT, KEPT_MS, KEPT_EXCESS_MS = 20, 24 * 3_600_000, 2 * 3_600_000
"""How many plans that ended are kept, for a day; more of them for two hours."""

CUT = "…"
"""How a text that was too long for the stored plan ends."""
DETAIL = "own: "


def seen(cycle: Cycle) -> AccountSnapshot | None:
    """The account as `cycle` read it, whatever is known of the belief; None: it was not read, or not whole."""
    state = cycle.state
    whole = state.snapshot is not None and state.snapshot.timestamp == state.timestamp
    return state.snapshot if cycle.accepted and whole else None


class Work:
    """A step. `now`: what is remembered after it. `proposal` and `snapshot`: of a complete cycle; None: it was none.

    Under a full reset they are of whatever was read whole, and of what its plan has left.

    `seen`: the account as this cycle read it, whatever is known of the belief; None: it was not read, or not whole.
    `held_for`: seconds since the bot can see the Action hold; None: it can't. `blocked_before`: why nothing went on in
    the step before.
    """

    def __init__(
        self,
        before: Remediation,
        cycle: Cycle,
        policy: Policy,
        desk: Desk,
        held_for: float | None,
        sharing: Sharing,
        reset: Asked = NO_RESET,
    ) -> None:
        self.reset = reset
        self.sharing = sharing
        self.now = replace(before, blocked="")
        self.blocked_before = before.blocked
        self.held_for = held_for
        self.cycle = cycle
        self.policy = policy
        self.desk = desk
        state = cycle.state
        self.seen = seen(cycle)
        self.snapshot: AccountSnapshot | None = self.seen if cycle.complete else None
        self.proposal: Proposal | None = None
        if before.plan is not None and before.plan.reset:
            self.snapshot = self.seen
            self.proposal = self.reset_due(before.plan)
        elif self.snapshot is not None and state.believed is not None:
            self.proposal = propose(
                state.tracks,
                self.snapshot,
                state.believed,
                policy,
                before.past,
                fills=state.fills,
                acknowledged=state.acknowledged,
                now_ms=desk.clock.now_ms(),
                writable=desk.repairs is not None,
                adopts=desk.repairs is not None and desk.repairs.adopts,
                sharing=sharing,
            )

    @property
    def held(self) -> bool:
        """Whether the hold of a person stands."""
        return Source.USER in self.cycle.state.holds

    @property
    def resets(self) -> bool:
        """Whether a full reset is asked for that has no plan yet, and may have one."""
        remedies, mode = self.policy.remedies, self.policy.mode
        may = self.held and mode is Mode.ENFORCE and not remedies.dry_run
        known = self.reset.acted or any(plan.reset == self.reset.id for plan in self.now.kept)
        return bool(self.reset.id) and may and not known

    def reset_due(self, plan: Plan | None = None) -> Proposal | None:
        """What the reset cancels and closes; of a `plan` of it, what was not begun. None: the account is not known."""
        if self.seen is None:
            return None
        sight = Sight(self.seen, self.cycle.state.believed, self.policy, self.sharing)
        asked, only = (self.reset.id, None) if plan is None else (plan.reset, unbegun(plan).keys())
        return due(asked, sight, self.now.past, now_ms=self.desk.clock.now_ms(), only=only)

    def lost(self, plan: Plan) -> str:
        """Why what is left of a plan is no longer what would be done now; empty where that is not known either.

        What only follows a Flatten of the plan is judged when its turn comes.
        """
        proposal = self.proposal
        if plan.reset:
            return lost(plan, self.reset, proposal, unbegun(plan), held=self.held)
        left = [
            action
            for action, intent in zip(plan.actions, plan.intents, strict=True)
            if intent.state is IntentState.PLANNED and action.after is None
        ]
        if proposal is None or not left:
            return ""
        unseen = [why for why in reasons(proposal.approval) if why not in reasons(plan.approval)]
        if plan.trades and unseen and not plan.approval.endswith(CUT):
            return f"what it was for has changed: {'; '.join(unseen)}"
        return proposal.refusal or still_wanted(left, proposal)

    def wait(self, seconds: float) -> None:
        """There is more to do after so long."""
        self.now = replace(self.now, again=max(0.0, seconds))

    def block(self, why: str) -> None:
        """Nothing goes on now, and people are to know why."""
        self.now = replace(self.now, blocked=why)

    async def turn(
        self,
        plan: Plan,
        index: int,
        to: IntentState,
        message: str = "",
        *,
        order: Order | None = None,
        order_id: str = "",
        left: bool = True,
    ) -> Plan:
        """An intent turned: write it, and tell of it. `left`: whether it may have left at all."""
        intent = turned(
            plan.intents[index],
            to,
            at=self.desk.clock.now_ms(),
            message=message,
            order_id=order.id if order else order_id,
            filled=order.filled if order else None,
        )
        changed = phased(with_intent(plan, index, intent))
        if to is not IntentState.UNKNOWN:
            changed = replace(changed, executed=max(plan.executed or 0, self.exchange_now()))
        changed = await self.write(changed)
        self.tell(Told(changed.name, plan.actions[index], to, message, left))
        return changed

    async def noted(self, plan: Plan, index: int, message: str) -> Plan:
        """An intent stands where it stood; `message` says why."""
        noted = replace(plan.intents[index], message=message)
        return await self.write(with_intent(plan, index, noted))

    async def end(self, plan: Plan, phase: Phase, message: str) -> None:
        """A plan is over: the holds hear of it at once."""
        await self.write(replace(plan, phase=phase, message=message))
        self.now = replace(self.now, again=0.0, blocked="")

    async def write(self, plan: Plan) -> Plan:
        """Store it. Raises PlanChanged or PlansUnavailable."""
        written = await self.desk.plans.write(plan)
        self.take(written)
        return written

    def take(self, plan: Plan) -> None:
        """It is stored like this."""
        others = tuple(kept for kept in self.now.kept if kept.name != plan.name)
        self.now = self.now.with_plans((*others, plan), self.desk.clock.now_ms())

    def tell(self, told: Told) -> None:
        """People are to hear of it."""
        self.now = replace(self.now, told=(*self.now.told, told))

    def exchange_now(self) -> int:
        """The exchange's clock, never ahead of it: that of the newest snapshot, and what passed since it was read.

        Of a process that has read none yet, the time of the last one that was ever read.
        """
        state = self.cycle.state
        passed = 0.0 if state.timestamp_at is None else self.desk.clock.monotonic() - state.timestamp_at
        return (state.timestamp or 0) + int(passed * 1000)

    async def forget_old(self) -> None:
        """Remove plans that ended long ago; those of the last hour count for the limits."""
        now = self.desk.clock.now_ms()
        ended = sorted((plan for plan in self.now.kept if not plan.open), key=lambda plan: plan.created)
        excess = len(ended) - KEPT
        for number, plan in enumerate(ended):
            at = max([plan.created, *(intent.at or 0 for intent in plan.intents)])
            if now - at > (KEPT_EXCESS_MS if number < excess else KEPT_MS):
                await self.desk.plans.delete(plan)
                kept = tuple(other for other in self.now.kept if other.name != plan.name)
                self.now = replace(self.now, kept=kept)


def reasons(approval: str) -> list[str]:
    """What a person is asked to approve for, without what may read differently in each cycle."""
    return [why.partition(DETAIL)[0] for why in approval.split("; ") if why]


def unbegun(plan: Plan) -> dict[str, Action]:
    """The actions that were not begun, by their keys."""
    rows = zip(plan.actions, plan.intents, strict=True)
    return {action.key: action for action, intent in rows if intent.state is IntentState.PLANNED}


def with_intent(plan: Plan, index: int, intent: Intent) -> Plan:
    """The plan with another intent at `index`."""
    return replace(plan, intents=(*plan.intents[:index], intent, *plan.intents[index + 1 :]))


def phased(plan: Plan) -> Plan:
    """The plan, under way, with the phase that its intents say."""
    unknown = any(intent.state is IntentState.UNKNOWN for intent in plan.intents)
    return replace(plan, phase=Phase.UNKNOWN if unknown else Phase.RUNNING)

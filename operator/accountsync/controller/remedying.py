"""The remediation of one account between its loop and `act`: its desk, what is remembered, and what people are told.

Invariants: nothing is acted on unless the report before it was written, so that the bot can see the hold; a key that
may trade is read for the actions of one plan, and forgotten after them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from accountsync.act import Desk, Remediation, Told, act, concerned, recall, stands
from accountsync.api.v1alpha1 import TradingAccount, TradingAccountStatus
from accountsync.controller.plan_store import KubePlans
from accountsync.controller.tools import Tools
from accountsync.cycle import Cycle
from accountsync.domain.course import Course
from accountsync.domain.holds import Holds, Signal, Source, Transition
from accountsync.domain.intents import IntentState
from accountsync.domain.past import Past
from accountsync.domain.plan import ActionKind, Phase, Plan
from accountsync.domain.policy import Mode, Policy
from accountsync.domain.sharing import Sharing
from accountsync.domain.standing import ACTED, CONDITION, NO_RESET, Asked, Standing
from accountsync.ports import BotState, Exchange, Ownership
from accountsync.report.lines import repaired
from accountsync.report.series import AccountSeries

log = structlog.get_logger()
OUTCOMES = {
    IntentState.PLANNED: "dry_run",
    IntentState.DONE: "done",
    IntentState.REFUSED: "refused",
    IntentState.EXPIRED: "expired",
    IntentState.UNKNOWN: "unknown",
}


class Remedying:
    """The remediation of one account. `unprotected`: why approvals are not protected, where that matters.

    `reset`: where the full reset stands that a person asked for; None: nobody did, or nobody has looked yet.
    """

    def __init__(self, tools: Tools, owner: Ownership, namespace: str, name: str, uid: str) -> None:
        self._tools = tools
        self._owner = owner
        self._namespace, self._name, self._uid = namespace, name, uid
        self._plans = KubePlans(tools.kube, tools.rights, namespace, name, uid)
        self._now = Remediation()
        self._desk: Desk | None = None
        self._held_at: float | None = None
        self._log = log.bind(namespace=namespace, account=name)
        self.unprotected = ""
        self.reset: Standing | None = None
        self._asked = NO_RESET

    @property
    def course(self) -> Course:
        """How far it is, for the holds."""
        return self._now.course

    @property
    def blocked(self) -> str:
        """Why nothing is done although something is due; empty: there is no such thing."""
        return self._now.blocked

    @property
    def again(self) -> float | None:
        """Seconds until there is more to do; None: with the next cycle."""
        return self._now.again

    @property
    def resetting(self) -> bool:
        """Whether the plan of a full reset is open: that goes before what the bot has to be told."""
        return self._now.resetting

    @property
    def patience(self) -> float:
        """For how many seconds the next cycle waits at most for the belief once it has read the account."""
        return self._now.patience

    def awaits(self, name: str, version: str) -> bool:
        """Whether the plan `name` is the open one, and was another version when it was read, or one not known yet."""
        plan = self._now.plan
        if plan is not None and plan.name == name:
            return plan.version != version
        return name.rpartition("-")[0] == self._name[:200] and all(kept.name != name for kept in self._now.kept)

    def forget(self) -> None:
        """A stored plan changed: read them anew."""
        self._now = replace(self._now, course=replace(self._now.course, known=False))

    async def recall(
        self, account: TradingAccount, policy: Policy, sides: tuple[Exchange, BotState], holds: Holds
    ) -> Policy:
        """Take the desk and read what is stored. The policy, with what our own actions did."""
        exchange, bot = sides
        tools = self._tools
        repairs = tools.sides.repairs(account, exchange, bot)
        self.unprotected = ""
        if self._now.plan is None and not concerned(policy, holds.keys(), writable=repairs is not None):
            self._desk, self._now = None, Remediation(past=Past(acted=self._now.past.acted))
            return replace(policy, acted=tools.shares.did(self._uid, self._now.past.acted))
        if policy.mode is Mode.ENFORCE:
            self.unprotected = await tools.approvals.protected(self._namespace)
        self._desk = Desk(
            account=self._name,
            uid=self._uid,
            plans=self._plans,
            exchange=exchange,
            owner=self._owner,
            clock=tools.clock,
            trading=partial(tools.sides.trading, account),
            repairs=repairs,
            guarded=self.unprotected,
            expires_requests=tools.sides.expires_requests(account),
        )
        self._now = await recall(self._now, self._desk)
        return replace(policy, acted=tools.shares.did(self._uid, self._now.past.acted))

    def heard(self, transitions: Sequence[Transition]) -> None:
        """What the holds did: a person may have resumed without knowing what became of an action."""
        if any(turn.why is Signal.OUTCOME_ACCEPTED for turn in transitions):
            self._now = replace(self._now, course=replace(self._now.course, accepted=True))

    def restore(self, status: TradingAccountStatus) -> None:
        """Remember what the status says, of before a restart."""
        row = next((row for row in status.conditions if row.type == CONDITION), None)
        self.reset = Standing.of(row.reason, row.message) if row else None

    def judge_reset(self, asked: str, cycle: Cycle, policy: Policy, sharing: Sharing) -> None:
        """Where the reset `asked` stands after `cycle`; an empty one: nobody asks."""
        before = self.reset if self.reset is not None and self.reset.id == asked else None
        acted = before is not None and before.stage in ACTED
        self._asked = Asked(asked, acted=acted)
        now = self._tools.clock.now_ms()
        self.reset = stands(self._now, self._asked, cycle, policy, sharing, now_ms=now)

    def reported(self, holds: Holds, *, written: bool) -> None:
        """A report was written, or could not be: since when the bot can see that it is held for an action."""
        if Source.ACTION not in holds:
            self._held_at = None
        elif written and self._held_at is None:
            self._held_at = self._tools.clock.monotonic()

    async def act(
        self, cycle: Cycle, policy: Policy, sharing: Sharing, series: AccountSeries, about: Mapping[str, Any]
    ) -> None:
        """Take the next step, and tell of it. `about`: the account's body."""
        if self._desk is None:
            series.planned(0, 0)
            return
        held_for = None if self._held_at is None else self._tools.clock.monotonic() - self._held_at
        self._now = await act(
            self._now, cycle, policy, self._desk, held_for=held_for, sharing=sharing, reset=self._asked
        )
        self._tools.shares.did(self._uid, self._now.past.acted)
        plan = self._now.plan
        waiting = plan is not None and plan.phase is Phase.PENDING and not plan.may_run
        unknown = sum(intent.state is IntentState.UNKNOWN for intent in plan.intents) if plan is not None else 0
        series.planned(int(waiting), unknown)
        if self._now.made is not None:
            await self._tell_made(self._now.made, about)
        for told in self._now.told:
            unsent = told.state is IntentState.EXPIRED and not told.left
            series.acted(told.action.kind, "not_sent" if unsent else OUTCOMES[told.state])
            if told.action.kind is ActionKind.REPAIR and told.state is IntentState.DONE:
                series.repaired([repair.kind for repair in told.action.repairs])
                for event, fields in repaired(told.action.repairs, cycle.state.believed):
                    self._log.info(event, **fields)
            await self._tell(told, about)

    async def _tell_made(self, plan: Plan, about: Mapping[str, Any]) -> None:
        self._log.warning("plan made", plan=plan.name, what=plan.summary, approval=plan.approval, dry_run=plan.dry_run)
        note = f"plan {plan.name}: {plan.summary}"
        if plan.dry_run:
            note = f"{note}; a dry run: nothing is done"
        elif plan.approval:
            command = f"kubectl patch rp -n {self._namespace} {plan.name} --type=merge"
            note = f'{note}; it waits for a person ({plan.approval}): {command} -p \'{{"spec":{{"approved":true}}}}\''
        await self._tools.events.tell(about, reason="PlanMade", note=note, warning=True, action="Remediate")

    async def _tell(self, told: Told, about: Mapping[str, Any]) -> None:
        state = "DryRun" if told.state is IntentState.PLANNED else told.state.value
        self._log.warning("action", plan=told.plan, what=told.action.title, state=state, detail=told.message)
        await self._tools.events.tell(
            about,
            reason=f"Action{state}",
            note=f"plan {told.plan}: {told.action.title}: {told.message or state}",
            warning=told.state is not IntentState.DONE,
            action="Remediate",
        )

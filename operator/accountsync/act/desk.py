"""What acting on one account takes, and what is remembered of it between two steps."""

import math
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace

from accountsync.domain.course import Course
from accountsync.domain.holds import Source
from accountsync.domain.intents import IntentState
from accountsync.domain.past import Past, past
from accountsync.domain.plan import Action, Plan
from accountsync.domain.policy import Mode, Policy
from accountsync.ports import Clock, Exchange, Ownership, Plans, Repairs, Trading

BELIEF_WAITS = 2.0
"""Seconds; a bot that hangs is the very one that a full reset is for."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that acting on one account takes. `trading` opens the account with the key that may trade, now.

    `repairs` None: the bot's state can't be written to. `guarded`: why approvals are not protected; empty: they are.
    `expires_requests`: whether the exchange refuses a late request.
    """

    account: str
    uid: str
    plans: Plans
    exchange: Exchange
    owner: Ownership
    clock: Clock
    trading: Callable[[], Awaitable[Trading]]
    repairs: Repairs | None = None
    guarded: str = ""
    expires_requests: bool = True


@dataclass(frozen=True, slots=True)
class Told:
    """One action that came to an end, or to none, for logs, Events and metrics.

    `plan` names its plan. `left`: whether it may have left this process at all.
    """

    plan: str
    action: Action
    state: IntentState
    message: str
    left: bool = True


@dataclass(frozen=True, slots=True)
class Remediation:
    """How far an account's remediation is.

    `course`: for the holds. `past`: what was done lately. `kept`: the stored plans. `told`: actions that turned in this
    step. `made`: a plan that was made in it. `blocked`: why nothing goes on, for people. `again`: seconds until there
    is more to do; None: with the next cycle.
    """

    course: Course = field(default_factory=Course)
    past: Past = field(default_factory=Past)
    kept: tuple[Plan, ...] = ()
    told: tuple[Told, ...] = ()
    made: Plan | None = None
    blocked: str = ""
    again: float | None = None

    @property
    def plan(self) -> Plan | None:
        """The open plan."""
        return self.course.plan

    @property
    def resetting(self) -> bool:
        """Whether the open plan is that of a full reset: it goes by a new reading, whatever the bot says."""
        return self.plan is not None and bool(self.plan.reset)

    @property
    def patience(self) -> float:
        """For how many seconds the next cycle waits at most for the belief once it has read the account."""
        return BELIEF_WAITS if self.resetting else math.inf

    def with_plans(self, kept: tuple[Plan, ...], now_ms: int) -> "Remediation":
        """The same, with the plans as they are stored now."""
        opened = [plan for plan in kept if plan.open]
        plan = opened[-1] if opened else None
        same = plan is not None and self.plan is not None and plan.name == self.plan.name
        course = replace(self.course, plan=plan, accepted=self.course.accepted and same)
        return replace(self, course=course, kept=kept, past=past(kept, now_ms))


def concerned(policy: Policy, holds: Collection[Source], *, writable: bool) -> bool:
    """Whether an account's plans matter at all."""
    repairs = policy.mode is Mode.PAUSE and policy.remedies.repair and writable
    return policy.mode is Mode.ENFORCE or repairs or bool({Source.ACTION, Source.UNKNOWN_OUTCOME} & set(holds))

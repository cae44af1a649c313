"""The stored plans of an account: versions, writes that are lost or come too late, and a person who approves some."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.simulation.process import Process

from accountsync.domain.intents import TABLE, Intent
from accountsync.domain.plan import FINAL, Plan
from accountsync.errors import PlanChanged, PlansUnavailable


@dataclass(slots=True)
class Shelf:
    """What is stored, whoever's process lives. `wrong`: what no store should have been given, in words.

    `unknown_is_accepted`: a person resumed over what is not known. `trouble`: the chance of a fault a call; `served`
    counts the faults. `made` is called with each new plan.
    """

    dice: random.Random
    served: Counter[str]
    trouble: float = 0.0
    plans: dict[str, Plan] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    say: Callable[[str], None] = lambda _: None
    made: Callable[[Plan], None] = lambda _: None
    created: int = 0
    approved: set[str] = field(default_factory=set)
    unknown_is_accepted: bool = False
    _versions: int = 0

    def put(self, plan: Plan) -> Plan:
        self._versions += 1
        stored = replace(plan, version=str(self._versions))
        self.plans[plan.name] = stored
        return stored

    def create(self, plan: Plan) -> Plan:
        if plan.name in self.plans:
            return self.plans[plan.name]
        if plan.approved:
            self.wrong.append(f"plan {plan.name} was born approved")
        self.created += 1
        self.say(f"plan {plan.name} {plan.phase}: {plan.summary}; approval: {plan.approval or 'none needed'}")
        self.made(plan)
        return self.put(replace(plan, approved=False))

    def write(self, plan: Plan) -> Plan:
        """As the API server does it: only the status, and only by who knows the newest version."""
        stored = self.plans.get(plan.name)
        if stored is None or stored.version != plan.version:
            raise PlanChanged("another version is stored")
        self._check(stored, plan)
        self.say(f"plan {plan.name} {plan.phase}: {', '.join(_told(row) for row in plan.intents)} {plan.message}")
        return self.put(
            replace(stored, phase=plan.phase, intents=plan.intents, executed=plan.executed, message=plan.message)
        )

    def approve(self, name: str) -> None:
        """A person says yes, whatever became of it meanwhile."""
        plan = self.plans[name]
        self.say(f"a person approves plan {name}, which is {plan.phase}")
        self.approved.add(name)
        self.put(replace(plan, approved=True))

    def _check(self, stored: Plan, plan: Plan) -> None:
        if stored.phase in FINAL and plan.phase is not stored.phase:
            self.wrong.append(f"plan {plan.name} was {stored.phase}, and becomes {plan.phase}")
        if plan.actions != stored.actions:
            self.wrong.append(f"plan {plan.name} has other actions now")
        if plan.phase in FINAL and plan.unsettled and not self.unknown_is_accepted:
            self.wrong.append(f"plan {plan.name} ends {plan.phase}, and nobody knows what became of all that it sent")
        for before, after in zip(stored.intents, plan.intents, strict=False):
            if before.state is not after.state and after.state not in TABLE[before.state]:
                self.wrong.append(f"plan {plan.name}: an intent goes from {before.state} to {after.state}")
            if before.timestamp is not None and (before.timestamp, before.client_id) != (
                after.timestamp,
                after.client_id,
            ):
                self.wrong.append(f"plan {plan.name}: an intent that was sent has another time or id now")


class ShelfPort:
    """The `Plans` port of a process. A write may be done, and its answer lost."""

    def __init__(self, shelf: Shelf, process: Process) -> None:
        self.shelf, self.process = shelf, process

    async def all(self) -> tuple[Plan, ...]:
        await self._before("all")
        plans = tuple(self.shelf.plans.values())
        await self.process.point("plans.all, answered")
        return plans

    async def create(self, plan: Plan) -> Plan:
        await self._before("create")
        stored = self.shelf.create(plan)
        await self._after("create")
        return stored

    async def write(self, plan: Plan) -> Plan:
        await self._before("write")
        stored = self.shelf.write(plan)
        await self._after("write")
        return stored

    async def delete(self, plan: Plan) -> None:
        await self._before("delete")
        stored = self.shelf.plans.get(plan.name)
        if stored is not None:
            if stored.open or stored.unsettled:
                self.shelf.wrong.append(f"plan {plan.name} was deleted, and is {stored.phase}")
            del self.shelf.plans[plan.name]
        await self._after("delete")

    async def _before(self, call: str) -> None:
        await self.process.point(f"plans.{call}")
        if self.shelf.dice.random() < self.shelf.trouble:
            self.shelf.served["plans not stored"] += 1
            raise PlansUnavailable("no answer")

    async def _after(self, call: str) -> None:
        await self.process.point(f"plans.{call}, stored")
        if self.shelf.dice.random() < self.shelf.trouble:
            self.shelf.served["plans stored, and the answer lost"] += 1
            raise PlansUnavailable("no answer")


def _told(intent: Intent) -> str:
    return f"{intent.state} {intent.message}".strip()

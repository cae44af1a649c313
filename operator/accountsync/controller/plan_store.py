"""The RemediationPlans of one account, behind the port that acting on it goes through.

Invariants: a status is written only over the version that it was decided from; a plan that can't be read is one that
nobody may act past: it is told of, and nothing new is begun.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from accountsync.api.v1alpha1 import API_VERSION, GROUP, PLAN_KIND, PLAN_PLURAL
from accountsync.controller.kube import CONFLICT, FORBIDDEN, NOT_FOUND, Kube, KubeError
from accountsync.controller.planning_objects import plan_of, plan_spec, plan_status
from accountsync.controller.rights import Rights
from accountsync.domain.intents import Intent
from accountsync.domain.plan import Plan
from accountsync.errors import ConfigurationError, PlanChanged, PlansError, PlansUnavailable

LABEL = f"{GROUP}/account-uid"


class KubePlans:
    """The plans of the account `name` with `uid`, in its namespace."""

    def __init__(self, kube: Kube, rights: Rights, namespace: str, name: str, uid: str) -> None:
        self._kube = kube
        self._rights = rights
        self._namespace = namespace
        self._name = name
        self._uid = uid

    async def all(self) -> tuple[Plan, ...]:
        """All that are kept, oldest first."""
        with self._reaching("list"):
            bodies = await self._kube.plans(self._namespace, f"{LABEL}={self._uid}")
            plans = [_read(body) for body in bodies if body["spec"]["account"]["uid"] == self._uid]
        return tuple(sorted(plans, key=lambda plan: (plan.created, plan.name)))

    async def create(self, plan: Plan) -> Plan:
        """Store a new plan, or the stored one of that name."""
        with self._reaching("create"):
            body = {
                "apiVersion": API_VERSION,
                "kind": PLAN_KIND,
                "metadata": {"name": plan.name, "namespace": self._namespace, "labels": {LABEL: self._uid}},
                "spec": plan_spec(plan, self._name, self._uid, plan.summary, plan.actions[0].why),
            }
            try:
                return _read(await self._kube.create_plan(self._namespace, body))
            except KubeError as error:
                if error.status != CONFLICT:
                    raise
        with self._reaching("get"):
            return _read(await self._kube.plan(self._namespace, plan.name))

    async def write(self, plan: Plan) -> Plan:
        """Write its status over the version that it was read in. Raises PlanChanged, also where it is gone."""
        with self._reaching("patch", f"{PLAN_PLURAL}/status"):
            status = plan_status(plan)
            return _read(await self._kube.apply_plan_status(self._namespace, plan.name, plan.version, status))

    async def delete(self, plan: Plan) -> None:
        """Remove one; no error where it is gone, or where that has to wait."""
        with suppress(PlansError), self._reaching("delete"):
            await self._kube.delete_plan(self._namespace, plan.name)

    async def retire(self) -> None:
        """The account is gone: remove its plans, but for those of which nobody knows what came of them."""
        with suppress(PlansError):
            for plan in await self.all():
                if not plan.unsettled:
                    await self.delete(plan)

    @contextmanager
    def _reaching(self, verb: str, resource: str = PLAN_PLURAL) -> Iterator[None]:
        """What goes wrong becomes one of the port's errors; what is forbidden is told of."""
        try:
            yield
        except KubeError as error:
            if error.status == FORBIDDEN:
                self._rights.refused(verb, resource, self._namespace)
            if error.status in (CONFLICT, NOT_FOUND):
                raise PlanChanged(f"a plan of account {self._name} changed meanwhile") from None
            raise PlansUnavailable(f"the plans of account {self._name} are out of reach: {error}") from None
        except ConfigurationError as error:
            raise PlansUnavailable(f"a plan of account {self._name} has no form: {error.message}") from None
        self._rights.granted(verb, resource, self._namespace)


def _read(body: Mapping[str, Any]) -> Plan:
    """The stored plan; one whose status was never written has an intent for each action all the same."""
    plan = plan_of(body)
    lacking = len(plan.actions) - len(plan.intents)
    return replace(plan, intents=(*plan.intents, *(Intent() for _ in range(lacking))))

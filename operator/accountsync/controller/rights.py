"""What the operator may not do though it would: made sure of, told, and asked again until it is granted.

A refusal (403) may be a moment's: a RoleBinding takes a while to reach every API server. So a right counts as missing
only when the API server says so again, in a SelfSubjectAccessReview, which every account of a cluster may ask for.
Where it may not, the refusal itself counts, until a call that needs the right succeeds.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import structlog

from accountsync.api.v1alpha1 import GROUP, PLAN_PLURAL, PLURAL
from accountsync.controller.kube import FORBIDDEN, KubeError

SURE_AFTER, ASK_AGAIN, ASK_RARELY = 2.0, 30.0, 600.0
AT_ONCE = 4
"""Questions in flight: a right that many namespaces lack must not keep the API server busy."""
EVENTS, STATUS, LEASES = "events", f"{PLURAL}/status", "leases"
HEARTBEATS = "leases.coordination.k8s.io"
"""Leases of accounts that have a gate, spelled otherwise than those of replicas: another role grants them."""
GROUPS = {
    EVENTS: "events.k8s.io",
    LEASES: "coordination.k8s.io",
    HEARTBEATS: "coordination.k8s.io",
    **dict.fromkeys((PLURAL, STATUS, PLAN_PLURAL, f"{PLAN_PLURAL}/status"), GROUP),
}
WATCH = "watch"
log = structlog.get_logger()


class Right(NamedTuple):
    """A verb on a resource of a namespace; `namespace` empty: of the whole cluster."""

    verb: str
    resource: str
    namespace: str

    @property
    def group(self) -> str:
        """The API group of the resource."""
        return GROUPS.get(self.resource, "")

    @property
    def plain(self) -> str:
        """The resource as rules name it."""
        return self.resource.partition(".")[0]

    @property
    def only_late(self) -> bool:
        """Whether what it is for works without it, only later."""
        return self.verb == WATCH and self.resource != PLURAL

    @property
    def advice(self) -> str:
        """What to do where it is missing."""
        if self.resource == LEASES:
            return "bind Role accountsync-leases"
        if self.resource in GROUPS and self.resource != HEARTBEATS:
            return "bind ClusterRole accountsync"
        hint = ", or switch the watch off" if self.verb == WATCH else ""
        return f"bind ClusterRole accountsync-tenant{hint}"


class Asked(Protocol):
    """Asks the API server what the operator may do."""

    async def may(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Raises KubeError where it does not answer."""
        ...


def sentence(rights: Iterable[Right]) -> str:
    """What is missing in one place, and what to do; empty for nothing."""
    missing = sorted(rights)
    if not missing:
        return ""
    what = ", ".join(f"{right.verb} {right.plain}" for right in missing)
    advice = "; ".join(dict.fromkeys(right.advice for right in missing))
    namespace = missing[0].namespace
    where = f'namespace "{namespace}"' if namespace else "the cluster"
    return f"the operator may not {what} in {where}: {advice}"


class Rights:
    """The rights that are missing now. `changed` is called with the namespace in which one is or no longer is."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._tasks: dict[Right, asyncio.Task[None]] = {}
        self._missing: set[Right] = set()
        self._asking = asyncio.Semaphore(AT_ONCE)
        self.changed: Callable[[str], None] = lambda _: None

    def missing(self, namespace: str) -> str:
        """What is missing in a namespace, in a sentence; empty: nothing."""
        return sentence(right for right in self._missing if right.namespace == namespace)

    def missing_for(self, namespace: str, resource: str) -> str:
        """The same for one resource."""
        return sentence(right for right in self._missing if right[1:] == (resource, namespace))

    def only_late(self, namespace: str) -> bool:
        """Whether something is missing there, and all of it costs promptness only."""
        missing = [right for right in self._missing if right.namespace == namespace]
        return bool(missing) and all(right.only_late for right in missing)

    def refused(self, verb: str, resource: str, namespace: str) -> None:
        """The API server just said no."""
        right = Right(verb, resource, namespace)
        if right not in self._tasks:
            self._tasks[right] = asyncio.create_task(self._follow(right), name=f"right to {verb} {resource}")

    def granted(self, verb: str, resource: str, namespace: str) -> None:
        """A call that needs it just succeeded."""
        right = Right(verb, resource, namespace)
        task = self._tasks.pop(right, None)
        if task is not None:
            task.cancel()
            self._found(right)

    def unneeded(self, resource: str, namespace: str) -> None:
        """Nobody there needs this resource any more."""
        for right in [right for right in self._tasks if right[1:] == (resource, namespace)]:
            self.granted(*right)

    def forget(self, namespace: str) -> None:
        """Nobody there needs anything any more."""
        for right in [right for right in self._tasks if right.namespace == namespace]:
            self._tasks.pop(right).cancel()
            self._missing.discard(right)

    async def close(self) -> None:
        """Ask no more."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, right: Right) -> None:
        pause = ASK_AGAIN
        await asyncio.sleep(SURE_AFTER)
        while (may := await self._may(right)) is not True:
            if may is False and right not in self._missing:
                self._missing.add(right)
                log.warning(sentence([right]), verb=right.verb, resource=right.plain, namespace=right.namespace)
                self.changed(right.namespace)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            pause = min(2 * pause, ASK_RARELY)
        self._tasks.pop(right, None)
        self._found(right)

    async def _may(self, right: Right) -> bool | None:
        """None: the API server did not answer."""
        try:
            async with self._asking:
                return await self._asked.may(right.verb, right.group, right.plain, right.namespace)
        except KubeError as error:
            return False if error.status == FORBIDDEN else None

    def _found(self, right: Right) -> None:
        if right in self._missing:
            self._missing.discard(right)
            log.info("the operator has the right again", verb=right.verb, resource=right.plain)
            self.changed(right.namespace)

"""All accounts: which there are, which of them are this replica's, and which of them an event concerns."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from accountsync.controller.account import AccountLoop, Trigger
from accountsync.controller.kube import NOT_FOUND, KubeError
from accountsync.controller.ownership import Owner, Replica
from accountsync.controller.plan_store import KubePlans
from accountsync.controller.tools import Tools
from accountsync.controller.watches import CONFIGMAPS, PLANS, SECRETS, Place, Watches

ENDING = 3.0
"""Seconds that loops may take to finish their reports."""
SILENT = 60.0
"""Seconds without a word of an account of another replica, after which it is looked up: a watch may miss its end."""


class Manager:
    """Holds all TradingAccounts, and a loop for each that this replica owns.

    Its own store: events of objects come in, tasks come and go. An account that another replica took stays that one's
    until the next renewal of the Lease: only then is it known again who is alive.
    """

    def __init__(self, tools: Tools, replica: Replica) -> None:
        self._tools = tools
        self._replica = replica
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._loops: dict[str, AccountLoop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._yielded: set[str] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._heard: dict[str, float] = {}
        """When something was last heard of each account, monotonic seconds."""
        self._looking_up: asyncio.Task[None] | None = None
        self.resting = False
        """Whether it begins no loops: what tells of accounts is ending."""
        tools.rights.changed = self.rights
        tools.metrics.unowned = self.unowned
        replica.moved = self.moved
        told = {SECRETS: self.secret, CONFIGMAPS: self.configmap, PLANS: self.plan}
        self._watches = Watches(tools.kube, tools.rights, told)

    def account(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """A TradingAccount was listed (None), added, modified or deleted."""
        uid = body["metadata"]["uid"]
        if kind == "DELETED":
            self._drop(uid)
            task = self._tasks.get(uid)
            if task is not None:
                task.cancel()
                if self._loops[uid].has_plans:
                    self._retire(body["metadata"])
            return
        self._bodies[uid] = body
        self._heard[uid] = self._tools.clock.monotonic()
        self._tools.shares.announce(body)
        loop = self._loops.get(uid)
        if loop is not None:
            loop.update(body)
            self._watches.follow(uid, self._concerns(loop))
        self._settle(uid)

    def moved(self) -> None:
        """It is known anew which replicas are alive: begin with accounts that are ours now, and end with others."""
        self._yielded.clear()
        for uid in list(self._bodies):
            self._settle(uid)
        silent = min((uid for uid in self._bodies if uid not in self._loops), key=self._heard.__getitem__, default=None)
        idle = self._looking_up is None or self._looking_up.done()
        if silent is not None and idle and self._tools.clock.monotonic() - self._heard[silent] > SILENT:
            self._looking_up = asyncio.create_task(self._look_up(silent), name="whether an account is still there")

    def secret(self, namespace: str, name: str, version: str) -> None:
        """A Secret is of this version now: if another was read, that is dropped and the accounts that name it run."""
        if not self._tools.sides.outdated_secret(namespace, name, version):
            return
        for loop in self._loops.values():
            if loop.namespace == namespace and loop.uses_secret(name):
                loop.wake(Trigger.SECRET)

    def configmap(self, namespace: str, name: str, _version: str) -> None:
        """A ConfigMap with a bot's state changed."""
        for loop in self._loops.values():
            if loop.namespace == namespace and loop.uses_configmap(name):
                loop.wake(Trigger.BELIEF)

    def plan(self, namespace: str, name: str, version: str) -> None:
        """A RemediationPlan is of this version now: whoever waits for it looks at it."""
        for loop in self._loops.values():
            if loop.namespace == namespace and loop.awaits_plan(name, version):
                loop.wake(Trigger.PLAN)

    def rights(self, namespace: str) -> None:
        """What the operator may do in a namespace changed: its accounts say so."""
        for loop in self._loops.values():
            if loop.namespace == namespace:
                loop.wake(Trigger.RIGHTS)

    def unowned(self) -> Iterator[tuple[str, str]]:
        """Namespace and name of each account that is known here and looked after elsewhere, or nowhere."""
        for uid, body in list(self._bodies.items()):
            if uid not in self._loops:
                yield body["metadata"]["namespace"], body["metadata"]["name"]

    def _owns(self, uid: str) -> bool:
        body = self._bodies.get(uid)
        return body is not None and self._replica.owns(self._tools.shares.key(uid), body["metadata"]["namespace"])

    def _settle(self, uid: str) -> None:
        """Begin or end a loop where that is due."""
        loop = self._loops.get(uid)
        owned = self._owns(uid)
        if loop is None and owned and not self.resting and uid not in self._yielded:
            self._begin(uid)
        elif loop is not None and not owned:
            loop.end()

    def _begin(self, uid: str) -> None:
        body = self._bodies[uid]
        # An account that was never reported on is judged at once; the others wait for their phase.
        fresh = "observedGeneration" not in (body.get("status") or {})
        owner = Owner(self._replica, body, lambda: self._owns(uid))
        loop = self._loops[uid] = AccountLoop(body, self._tools, owner, fresh=fresh)
        task = self._tasks[uid] = asyncio.create_task(loop.run(), name=f"account {loop.namespace}/{loop.name}")
        task.add_done_callback(lambda task: self._ended(uid, cancelled=task.cancelled()))
        self._watches.follow(uid, self._concerns(loop))

    async def _look_up(self, uid: str) -> None:
        metadata = self._bodies[uid]["metadata"]
        self._heard[uid] = self._tools.clock.monotonic()
        try:
            found = await self._tools.kube.account(metadata["namespace"], metadata["name"])
            gone = found["metadata"]["uid"] != uid
        except KubeError as error:
            gone = error.status == NOT_FOUND
        if gone and uid not in self._loops:
            self._drop(uid)

    def _ended(self, uid: str, *, cancelled: bool) -> None:
        del self._tasks[uid]
        ended = self._loops.pop(uid)
        if all(loop.namespace != ended.namespace for loop in self._loops.values()):
            self._tools.rights.forget(ended.namespace)
        self._watches.leave(uid)
        if ended.gone:
            self._drop(uid)
        if uid not in self._bodies:
            return
        self._bodies[uid] = ended.body  # at least as new as what was told of
        if ended.owner.overtaken:
            self._yielded.add(uid)
        if not cancelled:
            self._settle(uid)

    def _retire(self, metadata: Mapping[str, Any]) -> None:
        """What an account that is gone leaves behind."""
        tools = self._tools
        plans = KubePlans(tools.kube, tools.rights, metadata["namespace"], metadata["name"], metadata["uid"])
        task = asyncio.create_task(plans.retire(), name=f"plans of {metadata['namespace']}/{metadata['name']}")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _drop(self, uid: str) -> None:
        self._bodies.pop(uid, None)
        self._yielded.discard(uid)
        self._heard.pop(uid, None)
        self._tools.shares.withdraw(uid)

    def _concerns(self, loop: AccountLoop) -> frozenset[Place]:
        settings = self._tools.settings
        places = set()
        if settings.watch_secrets:
            places.add(Place(SECRETS, loop.namespace))
        if settings.watch_configmaps and loop.reads_configmap:
            places.add(Place(CONFIGMAPS, loop.namespace))
        if loop.makes_plans:
            places.add(Place(PLANS, loop.namespace))
        return frozenset(places)

    async def rest(self) -> None:
        """End all loops: those that write a report may finish it."""
        self.resting = True
        tasks = list(self._tasks.values())
        for loop in self._loops.values():
            loop.end()
        if tasks:
            await asyncio.wait(tasks, timeout=ENDING)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """End everything."""
        await self.rest()
        if self._looking_up is not None:
            self._looking_up.cancel()
        await self._watches.close()

"""All accounts: which there are, and which of them an event concerns."""

import asyncio
from collections.abc import Mapping
from typing import Any

from accountsync.controller.account import AccountLoop, Tools, Trigger
from accountsync.controller.watches import CONFIGMAPS, SECRETS, Place, Watches


class Manager:
    """Holds a loop for each TradingAccount. Its own store: events of objects come in, tasks come and go."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._loops: dict[str, AccountLoop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        tools.rights.changed = self.rights
        self._watches = Watches(tools.kube, tools.rights, {SECRETS: self.secret, CONFIGMAPS: self.configmap})

    def account(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """A TradingAccount was listed (None), added, modified or deleted."""
        uid = body["metadata"]["uid"]
        if kind == "DELETED":
            self._tools.shares.withdraw(uid)
            task = self._tasks.get(uid)
            if task is not None:
                task.cancel()
            return
        self._tools.shares.announce(body)
        loop = self._loops.get(uid)
        if loop is not None:
            loop.update(body)
            self._watches.follow(uid, self._concerns(loop))
            return
        # An account that was never reported on is judged at once; the others wait for their phase.
        fresh = "observedGeneration" not in (body.get("status") or {})
        loop = self._loops[uid] = AccountLoop(body, self._tools, fresh=fresh)
        task = self._tasks[uid] = asyncio.create_task(loop.run(), name=f"account {loop.namespace}/{loop.name}")
        task.add_done_callback(lambda _: self._ended(uid))
        self._watches.follow(uid, self._concerns(loop))

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

    def rights(self, namespace: str) -> None:
        """What the operator may do in a namespace changed: its accounts say so."""
        for loop in self._loops.values():
            if loop.namespace == namespace:
                loop.wake(Trigger.RIGHTS)

    def _ended(self, uid: str) -> None:
        self._tasks.pop(uid, None)
        ended = self._loops.pop(uid, None)
        if ended is not None and all(loop.namespace != ended.namespace for loop in self._loops.values()):
            self._tools.rights.forget(ended.namespace)
        self._watches.leave(uid)
        self._tools.shares.withdraw(uid)

    def _concerns(self, loop: AccountLoop) -> frozenset[Place]:
        settings = self._tools.settings
        places = set()
        if settings.watch_secrets:
            places.add(Place(SECRETS, loop.namespace))
        if settings.watch_configmaps and loop.reads_configmap:
            places.add(Place(CONFIGMAPS, loop.namespace))
        return frozenset(places)

    async def close(self) -> None:
        """End all loops."""
        await self._watches.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""Changes of Secrets, of ConfigMaps with bots' states, and of plans: one watch for each namespace that has accounts.

Tenants let the operator in one namespace at a time. kopf watches a kind in the whole cluster or in none of it, and
ends the operator where it may not; so kopf watches the accounts, and this module what they name.

Invariants:
1. A watch that is forbidden or breaks costs promptness and nothing else: what accounts need is read by name anyway.
2. Only labelled objects are watched, never a trade key, and only their metadata is asked for.
3. There is a watch for just as long as an account wants it.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from accountsync.api.v1alpha1 import GROUP, PLAN_PLURAL
from accountsync.controller.kube import FORBIDDEN, GONE, Kube, KubeError
from accountsync.controller.rights import WATCH, Rights
from accountsync.controller.trouble import place_of

SECRETS, CONFIGMAPS, PLANS = "secrets", "configmaps", PLAN_PLURAL
USE_LABEL = f"{GROUP}/use"
SELECTORS = {
    SECRETS: f"{USE_LABEL} in (exchange-read, bot)",
    CONFIGMAPS: f"{USE_LABEL}=bot-state",
    PLANS: f"{GROUP}/account-uid",
}
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
log = structlog.get_logger()

Told = Callable[[str, str, str], None]
"""Takes namespace, name and version of an object that is there, changed, or is gone."""


class Place(NamedTuple):
    """What one watch covers."""

    plural: str
    namespace: str


@dataclass(slots=True)
class _Watch:
    task: asyncio.Task[None]
    wanted_by: set[str]


class Watches:
    """Keeps a watch for each place that somebody follows. `told` has a function for each plural."""

    def __init__(self, kube: Kube, rights: Rights, told: Mapping[str, Told]) -> None:
        self._kube = kube
        self._rights = rights
        self._told = told
        self._watches: dict[Place, _Watch] = {}
        self._places: dict[str, frozenset[Place]] = {}

    def follow(self, uid: str, places: frozenset[Place]) -> None:
        """From now on the account `uid` wants to hear of these places, and of no others."""
        before = self._places.get(uid, frozenset())
        self._places[uid] = places
        for place in places - before:
            if place not in self._watches:
                task = asyncio.create_task(self._run(place), name=f"watch {place.plural} of {place.namespace}")
                self._watches[place] = _Watch(task, set())
            self._watches[place].wanted_by.add(uid)
        for place in before - places:
            watch = self._watches[place]
            watch.wanted_by.discard(uid)
            if not watch.wanted_by:
                del self._watches[place]
                watch.task.cancel()

    def leave(self, uid: str) -> None:
        """The account is gone."""
        self.follow(uid, frozenset())
        del self._places[uid]

    async def close(self) -> None:
        """End all watches."""
        tasks = [watch.task for watch in self._watches.values()]
        self._watches.clear()
        self._places.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, place: Place) -> None:
        since, pause = "", FIRST_PAUSE
        while True:
            try:
                async with aclosing(self._kube.changes(*place, SELECTORS[place.plural], since)) as changes:
                    async for change in changes:
                        if not change.name and change.version == since:
                            self._rights.granted(WATCH, *place)
                            continue
                        since, pause = change.version, FIRST_PAUSE
                        if change.name:
                            self._told[place.plural](place.namespace, change.name, change.version)
            except KubeError as error:
                if error.status == GONE:
                    since = ""
                if error.status == FORBIDDEN:
                    pause = LONGEST_PAUSE
                    self._rights.refused(WATCH, *place)
            except Exception as error:  # noqa: BLE001 - a bug over one object must not end a watch for good
                fields = place._asdict() | {"error": type(error).__name__, "at": place_of(error)}
                log.error("watch broke off", **fields)  # noqa: TRY400 - its text may hold what must not be logged
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

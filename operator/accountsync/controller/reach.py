"""Whose accounts the operator can follow now: asked of the API server beside kopf, which only tries again and again.

A namespace that it may not follow is told of and left out, so that the others go on, and is taken in when its Role is
there. An answer is one of three: open, closed, or none. None changes nothing: an API server that is away neither opens
what was closed nor closes what was open.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import structlog

from accountsync.api.v1alpha1 import PLURAL
from accountsync.controller.kube import FORBIDDEN, NOT_FOUND, KubeError
from accountsync.controller.rights import WATCH, Right, sentence

CLUSTER = ""
"""Stands for all namespaces."""
TRIES, PAUSE = 4, 2.0
"""A refusal counts when it is repeated: a new RoleBinding, and an API server that starts, take a moment."""
ASK_SOON, ASK_AGAIN, REMIND = 3.0, 30.0, 60.0
NO_CRD = (
    f"the API server knows no {PLURAL}: install the CustomResourceDefinitions (crds/, or crds.enabled of the chart)"
)
log = structlog.get_logger()


class Follows(Protocol):
    """The two calls that follow accounts; namespace empty: of the whole cluster. They raise KubeError."""

    async def list_accounts(self, namespace: str) -> str:
        """List; returns the version of the list."""
        ...

    async def watch_accounts(self, namespace: str, since: str) -> None:
        """Watch from a version on."""
        ...


class Verdict(NamedTuple):
    """Whether the accounts of a namespace can be followed, None: nobody knows; and why not."""

    open: bool | None
    problem: str = ""


class Reach:
    """Keeps asking for each of `namespaces`. `changed` takes one, and whether it is open from now on."""

    def __init__(
        self, kube: Follows, namespaces: Iterable[str], changed: Callable[[str, bool], Awaitable[None]]
    ) -> None:
        self._kube = kube
        self._changed = changed
        self._known = dict.fromkeys(namespaces, Verdict(None, "the API server was not asked yet"))
        self._some, self._none = asyncio.Event(), asyncio.Event()

    @property
    def followed(self) -> Mapping[str, bool]:
        """Each namespace, and whether it is known to be open."""
        return {namespace: verdict.open is True for namespace, verdict in self._known.items()}

    @property
    def reason(self) -> str:
        """Why no namespace at all is followed; empty while one is."""
        if self._some.is_set():
            return ""
        return "; ".join(dict.fromkeys(verdict.problem for verdict in self._known.values()))

    async def some(self) -> None:
        """Wait until a namespace is open."""
        await self._some.wait()

    async def none(self) -> None:
        """Wait until no namespace is open."""
        await self._none.wait()

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            for namespace in self._known:
                group.create_task(self._look_after(namespace))
            group.create_task(self._remind())

    async def _look_after(self, namespace: str) -> None:
        while True:
            await self._take(namespace, await self._sure(namespace))
            pause = ASK_SOON if self._known[namespace].open is None else ASK_AGAIN
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(REMIND)
            if self.reason:
                text = f"no accounts are followed: {self.reason}"
                log.error(text)

    async def _sure(self, namespace: str) -> Verdict:
        """The answer; one that closes a namespace is asked for again before it counts."""
        verdict = await ask(self._kube, namespace)
        for _ in range(TRIES - 1):
            if verdict.open is not False or verdict == self._known[namespace]:
                break
            await asyncio.sleep(PAUSE)
            verdict = await ask(self._kube, namespace)
        return verdict

    async def _take(self, namespace: str, verdict: Verdict) -> None:
        before = self._known[namespace]
        if verdict == before or (verdict.open is None and before.open is not None):
            return
        self._known[namespace] = verdict
        if any(self.followed.values()):
            self._some.set()
            self._none.clear()
        else:
            self._some.clear()
            self._none.set()
        where = {"namespace": namespace or "*"}
        if not verdict.open:
            text = f"{verdict.problem}; accounts are left out until then"
            log.error(text, **where)
        elif before.open is False:
            log.info("the accounts of a namespace can be followed now", **where)
        if verdict.open or before.open:
            await self._changed(namespace, bool(verdict.open))


async def ask(kube: Follows, namespace: str) -> Verdict:
    """Ask once."""
    missing = []
    version = ""
    try:
        version = await kube.list_accounts(namespace)
    except KubeError as error:
        if error.status != FORBIDDEN:
            return _other(error)
        missing.append(Right("list", PLURAL, namespace))
    try:
        await kube.watch_accounts(namespace, version)
    except KubeError as error:
        if error.status != FORBIDDEN:
            return _other(error)
        missing.append(Right(WATCH, PLURAL, namespace))
    return Verdict(not missing, sentence(missing))


def _other(error: KubeError) -> Verdict:
    return Verdict(False, NO_CRD) if error.status == NOT_FOUND else Verdict(None, str(error))

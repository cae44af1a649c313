"""Whose accounts the operator may follow: asked before kopf does, which would end the operator where it may not.

A namespace that it may not follow is told of and left out, so that the others go on, and is asked for again until its
Role is there. Without a single one there is nothing to do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

import structlog

from accountsync.api.v1alpha1 import PLURAL
from accountsync.controller.kube import FORBIDDEN, NOT_FOUND, KubeError
from accountsync.controller.operator import StartError
from accountsync.controller.rights import WATCH, Right, sentence

TRIES, PAUSE = 4, 2.0
ASK_AGAIN = 30.0
NO_CRD = (
    f"the API server knows no {PLURAL}: install the CustomResourceDefinitions (crds/, or crds.enabled of the chart)"
)
log = structlog.get_logger()


class Follows(Protocol):
    """The two calls that follow accounts; namespace empty: of the whole cluster. They raise KubeError."""

    async def list_accounts(self, namespace: str) -> None:
        """List."""
        ...

    async def watch_accounts(self, namespace: str) -> None:
        """Watch."""
        ...


async def closed(kube: Follows, namespaces: Iterable[str], *, tries: int = TRIES) -> dict[str, str]:
    """Of `namespaces` those whose accounts can't be followed, and why; a new RoleBinding gets some time to count.

    Raises StartError where the API server has no such resource.
    """
    left = dict.fromkeys(namespaces, "")
    for number in range(tries):
        if number:
            await asyncio.sleep(PAUSE)
        found = await asyncio.gather(*(_problem(kube, namespace) for namespace in left))
        left = {namespace: problem for namespace, problem in zip(left, found, strict=True) if problem}
        if not left:
            break
    if NO_CRD in left.values():
        raise StartError(NO_CRD)
    return left


async def _problem(kube: Follows, namespace: str) -> str:
    calls = (("list", kube.list_accounts), (WATCH, kube.watch_accounts))
    missing = []
    for verb, call in calls:
        try:
            await call(namespace)
        except KubeError as error:
            if error.status == NOT_FOUND:
                return NO_CRD
            if error.status != FORBIDDEN:
                break  # kopf waits for an API server that does not answer
            missing.append(Right(verb, PLURAL, namespace))
    return sentence(missing)


def told(closed: Mapping[str, str]) -> None:
    """Log what is left out."""
    for namespace, problem in closed.items():
        text = f"{problem}; its accounts are left out until then"
        log.error(text, namespace=namespace)


async def await_opening(kube: Follows, closed: Mapping[str, str], opened: Callable[[str], Awaitable[None]]) -> None:
    """Ask for those namespaces again until all are open."""
    left = dict(closed)
    while left:
        await asyncio.sleep(ASK_AGAIN)
        for namespace in list(left):
            if not await _problem(kube, namespace):
                del left[namespace]
                log.info("the accounts of a namespace can be followed now", namespace=namespace)
                await opened(namespace)

"""kopf's calls, translated into ours, and when kopf runs at all; the only module that imports kopf.

`kopf run -m accountsync.controller` registers through the package; `accountsync operator` calls `serve`.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import kopf
import structlog
from kopf._cogs.clients.errors import APIError  # kopf has no public names for these four
from kopf._cogs.clients.watching import WatchingError
from kopf._cogs.structs.references import Insights, NamespaceName

from accountsync.api.v1alpha1 import GROUP, PLURAL, VERSION
from accountsync.controller.operator import Operator, StartError
from accountsync.controller.reach import CLUSTER, Reach
from accountsync.controller.settings import Settings

ENDS = (APIError, WatchingError)
"""What ends kopf: an answer of the API server that it does not try again after."""
NONE_YET = ("*",)
"""kopf wants a namespace or takes the whole cluster: a pattern, which matches nothing as long as it may not scan."""
AGAIN = 2.0
log = structlog.get_logger()


class Backoffs:
    """Seconds between two tries of a request, without end: kopf ends the operator after the last.

    kopf iterates over it anew for each request, those of its scan at start-up included.
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8, 13, 21), itertools.repeat(30))


def register(registry: kopf.OperatorRegistry, settings: Settings, *, alone: bool) -> Operator:
    """Register all handlers of one operator in `registry`. `alone`: nobody else starts and stops it."""
    operator = Operator(settings)

    @kopf.on.startup(registry=registry)
    async def begin(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)

    (_register_life if alone else _register_rest)(registry, operator)

    @kopf.on.login(registry=registry, id="service-account", errors=kopf.ErrorsMode.IGNORED)
    def login_in_cluster(**kwargs: Any) -> kopf.ConnectionInfo | None:
        found = kopf.login_with_service_account(**kwargs)
        return found and replace(found, server=in_cluster_server(os.environ) or found.server)

    @kopf.on.login(registry=registry, id="kubeconfig", errors=kopf.ErrorsMode.IGNORED)
    def login_outside(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.probe(registry=registry, id="ready")
    def ready(**_: Any) -> bool:
        return not operator.unready

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def account(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        if operator.manager is not None:
            operator.manager.account(type, dict(body))

    return operator


def _register_rest(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    """The loops end with kopf: it waits for their tasks, and for its own that waits for its flag, and cancels them."""

    @kopf.on.startup(registry=registry)
    async def go_on(**_: Any) -> None:
        if operator.manager is not None:
            operator.manager.resting = False

    @kopf.on.cleanup(registry=registry)
    async def rest(**_: Any) -> None:
        operator.kopf_stops.set()
        if operator.manager is not None:
            await operator.manager.rest()


def _register_life(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    """The operator starts and stops with kopf."""

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        try:
            await operator.start()
        except StartError as error:
            raise kopf.PermanentError(str(error)) from None

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await operator.stop()


def in_cluster_server(env: Mapping[str, str]) -> str:
    """The API server by its address, as the client finds it: kopf's own guess needs the cluster's DNS."""
    host, port = env.get("KUBERNETES_SERVICE_HOST", ""), env.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        return ""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def configure(settings: kopf.OperatorSettings) -> None:
    """Let kopf do no more than watch: post nothing, keep nothing in objects, peer with nobody."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    settings.networking.error_backoffs = Backoffs()
    settings.watching.server_timeout = 300
    settings.watching.inactivity_timeout = 330


def prepared(settings: Settings) -> tuple[kopf.OperatorRegistry, Operator]:
    """An operator and its handlers. Raises ValueError for settings that can't be."""
    registry = kopf.OperatorRegistry()
    return registry, register(registry, settings, alone=False)


def _no_refusal(record: logging.LogRecord) -> bool:
    """Leave out kopf's tracebacks of what the API server refused: that is said in one line."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, ENDS)


async def serve(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    """Run the operator until it is told to stop. Raises StartError where it can't start."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_no_refusal)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(operator.stop)
        following = Following(registry, operator)
        await operator.start()
        while await following.run():
            await asyncio.sleep(AGAIN)
            following = Following(registry, operator)


class Following:
    """One run of kopf: begins when there is something to follow, and ends when there is nothing any more."""

    def __init__(self, registry: kopf.OperatorRegistry, operator: Operator) -> None:
        self._registry = registry
        self._namespaces = operator.settings.namespaces
        self._insights = Insights()
        self._operator = operator
        self._reach = operator.reach = Reach(operator.kube, self._namespaces or (CLUSTER,), self._changed)

    async def run(self) -> bool:
        """Whether to go on with another one; False: the operator is told to stop."""
        async with contextlib.AsyncExitStack() as stack:
            asking = asyncio.create_task(self._reach.run(), name="what can be followed")
            stack.callback(asking.cancel)
            if not await self._opened():
                return False
            closed, self._operator.kopf_stops = asyncio.Event(), asyncio.Event()
            closing = asyncio.create_task(self._close(closed), name="whether nothing can be followed")
            stack.callback(closing.cancel)
            try:
                await kopf.operator(
                    registry=self._registry,
                    clusterwide=not self._namespaces,
                    namespaces=NONE_YET if self._namespaces else (),
                    insights=self._insights,
                    standalone=True,
                    stop_flag=self._operator.kopf_stops,
                )
            except ENDS as error:
                status = getattr(error, "status", None)
                log.warning("following accounts broke off; it begins anew", error=type(error).__name__, status=status)
                return True
            return closed.is_set()

    async def _opened(self) -> bool:
        """Wait for something to follow; False: the operator is told to stop first, which kopf does not see to yet."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        awaited = [asyncio.create_task(self._reach.some()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in awaited:
                task.cancel()
        return not stop.is_set()

    async def _close(self, closed: asyncio.Event) -> None:
        await self._reach.none()
        closed.set()
        self._operator.kopf_stops.set()

    async def _changed(self, namespace: str, is_open: bool) -> None:  # noqa: FBT001 - Reach calls it
        """Let kopf begin or end with a namespace."""
        if namespace == CLUSTER:
            return  # as a whole: `run`
        async with self._insights.revised:
            if is_open:
                self._insights.namespaces.add(NamespaceName(namespace))
            else:
                self._insights.namespaces.discard(NamespaceName(namespace))
            self._insights.revised.notify_all()


def register_default() -> None:
    """Register in kopf's default registry, with the settings of the environment."""
    register(kopf.get_default_registry(), Settings.from_env(), alone=True)

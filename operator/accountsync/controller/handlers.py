"""kopf's calls, translated into ours; the only module that imports kopf. No logic here.

`kopf run -m accountsync.controller` registers through the package; `accountsync operator` calls `serve`.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import kopf
from kopf._cogs.structs.references import Insights, NamespaceName  # kopf.operator takes them; kopf has no name for them

from accountsync.api.v1alpha1 import GROUP, PLURAL, VERSION
from accountsync.controller import reach
from accountsync.controller.kube import FORBIDDEN, Kube, NoClusterError
from accountsync.controller.operator import Operator, StartError
from accountsync.controller.settings import Settings


def register(registry: kopf.OperatorRegistry, settings: Settings) -> Operator:
    """Register all handlers of one operator in `registry`."""
    operator = Operator(settings)

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        try:
            await operator.start()
        except StartError as error:
            raise kopf.PermanentError(str(error)) from None

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await operator.stop()

    @kopf.on.login(registry=registry, id="service-account", errors=kopf.ErrorsMode.IGNORED)
    def login_in_cluster(**kwargs: Any) -> kopf.ConnectionInfo | None:
        found = kopf.login_with_service_account(**kwargs)
        return found and replace(found, server=in_cluster_server(os.environ) or found.server)

    @kopf.on.login(registry=registry, id="kubeconfig", errors=kopf.ErrorsMode.IGNORED)
    def login_outside(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.probe(registry=registry, id="ready")
    def ready(**_: Any) -> bool:
        return operator.ready

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def account(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        if operator.manager is not None:
            operator.manager.account(type, dict(body))

    return operator


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
    settings.watching.server_timeout = 300
    settings.watching.inactivity_timeout = 330


def prepared(settings: Settings) -> tuple[kopf.OperatorRegistry, Operator]:
    """An operator and its handlers. Raises ValueError for settings that can't be."""
    registry = kopf.OperatorRegistry()
    return registry, register(registry, settings)


def _no_refusal(record: logging.LogRecord) -> bool:
    """Leave out kopf's tracebacks of a refusal: what ends the operator is said in one line."""
    error = record.exc_info[1] if record.exc_info else None
    return getattr(error, "status", None) != FORBIDDEN


async def serve(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    """Run the operator until it is told to stop. Raises StartError where it can't start."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_no_refusal)
    wanted = operator.settings.namespaces or ("",)
    insights = Insights()

    async def opened(namespace: str) -> None:
        async with insights.revised:
            insights.namespaces.add(NamespaceName(namespace))
            insights.revised.notify_all()

    try:
        async with operator.kube as kube, contextlib.AsyncExitStack() as stack:
            closed = await reach.closed(kube, wanted)
            if len(closed) == len(set(wanted)):
                raise StartError("; ".join(closed.values()))
            reach.told(closed)
            opening = asyncio.create_task(reach.await_opening(kube, closed, opened), name="closed namespaces")
            stack.callback(opening.cancel)
            try:
                await kopf.operator(
                    registry=registry,
                    clusterwide=not operator.settings.namespaces,
                    namespaces=[namespace for namespace in operator.settings.namespaces if namespace not in closed],
                    insights=insights,
                    standalone=True,
                )
            except Exception as error:
                if operator.problem:
                    raise StartError(operator.problem) from None
                if getattr(error, "status", None) != FORBIDDEN:
                    raise
                async with Kube() as again:  # the operator closed its own
                    lost = await reach.closed(again, wanted, tries=1)
                raise StartError("; ".join(lost.values()) or "the API server refused to tell of accounts") from None
    except NoClusterError as error:
        raise StartError(str(error)) from None


def register_default() -> None:
    """Register in kopf's default registry, with the settings of the environment."""
    register(kopf.get_default_registry(), Settings.from_env())

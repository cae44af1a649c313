"""kopf's calls, translated into ours; the only module that imports kopf. No logic here.

`kopf run -m accountsync.controller` registers through the package; `accountsync operator` calls `serve`.
"""

import logging
from typing import Any

import kopf

from accountsync.api.v1alpha1 import GROUP, PLURAL, VERSION
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
        return kopf.login_with_service_account(**kwargs)

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


async def serve(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    """Run the operator until it is told to stop. Raises StartError where it can't start."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    namespaces = operator.settings.namespaces
    try:
        await kopf.operator(registry=registry, clusterwide=not namespaces, namespaces=namespaces, standalone=True)
    except Exception:
        if operator.problem:
            raise StartError(operator.problem) from None
        raise


def register_default() -> None:
    """Register in kopf's default registry, with the settings of the environment."""
    register(kopf.get_default_registry(), Settings.from_env())

"""The few calls that the operator makes to the API server, each bounded in time.

Raises `KubeError` with the HTTP status (0: not reached). Bodies of answers never go into its text.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
from kubernetes.aio import client, config

from accountsync.api.v1alpha1 import API_VERSION, GROUP, KIND, PLURAL, VERSION

CALL_TIMEOUT = 10.0
WATCH_SECONDS = 300
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
FIELD_MANAGER = "accountsync"
NOT_FOUND, CONFLICT, FORBIDDEN, GONE = 404, 409, 403, 410


class NoClusterError(Exception):
    """Nothing says where the API server is."""

    def __init__(self) -> None:
        super().__init__(
            "no cluster: this is no pod with a service account, and neither KUBECONFIG nor ~/.kube/config names one:"
            " set KUBECONFIG"
        )


class KubeError(Exception):
    """A call to the API server failed. `status`: its HTTP status, 0 where there was no answer."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(f"{what}: {f'HTTP {status}' if status else 'no answer'} from the API server")
        self.status = status


@dataclass(frozen=True, slots=True)
class Secret:
    """A Secret's content. Its repr shows no value. `version`: its resourceVersion."""

    use: str
    data: Mapping[str, str]
    version: str = ""

    def __repr__(self) -> str:
        return f"Secret(use={self.use!r}, keys={sorted(self.data)})"


@dataclass(frozen=True, slots=True)
class Change:
    """An object was added, modified or deleted, or `name` is empty: the watch has merely come to `version`."""

    name: str
    version: str


class Kube:
    """A client of the API server, from the pod's service account or the kubeconfig."""

    def __init__(self) -> None:
        self._client: Any = None
        self._watching: Any = None

    async def __aenter__(self) -> Self:
        self._client = await _connected(100)
        self._watching = await _connected(0)  # each watch holds a connection, so there can be no limit
        self._core = client.CoreV1Api(self._client)
        self._custom = client.CustomObjectsApi(self._client)
        self._events = client.EventsV1Api(self._client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()
        await self._watching.close()

    async def secret(self, namespace: str, name: str) -> Secret:
        """A Secret, decoded. Values that are no text are left out."""
        found = await _call(f"read Secret {namespace}/{name}", self._core.read_namespaced_secret, name, namespace)
        labels = found.metadata.labels or {}
        return Secret(
            labels.get("accountsync.dev/use", ""), _decoded(found.data or {}), found.metadata.resource_version
        )

    async def configmap(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a ConfigMap."""
        what = f"read ConfigMap {namespace}/{name}"
        found = await _call(what, self._core.read_namespaced_config_map, name, namespace)
        return found.data or {}

    async def account(self, namespace: str, name: str) -> dict[str, Any]:
        """A TradingAccount as it is now."""
        what = f"read {KIND} {namespace}/{name}"
        found: dict[str, Any] = await _call(
            what, self._custom.get_namespaced_custom_object, GROUP, VERSION, namespace, PLURAL, name
        )
        return found

    async def apply_status(
        self, namespace: str, name: str, resource_version: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Server-side apply of a whole status, decided from `resource_version`; 409 where that is not current."""
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": resource_version},
            "status": status,
        }
        applied: dict[str, Any] = await _call(
            f"apply status of {KIND} {namespace}/{name}",
            self._custom.patch_namespaced_custom_object_status,
            GROUP,
            VERSION,
            namespace,
            PLURAL,
            name,
            body,
            field_manager=FIELD_MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
        )
        return applied

    async def create_event(self, namespace: str, body: Mapping[str, Any]) -> str:
        """Create an events.k8s.io Event and return its name."""
        created = await _call("create Event", self._events.create_namespaced_event, namespace, body)
        return str(created.metadata.name)

    async def patch_event(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Advance an Event's series."""
        await _call(
            "patch Event",
            self._events.patch_namespaced_event,
            name,
            namespace,
            body,
            _content_type="application/merge-patch+json",
        )

    async def changes(self, plural: str, namespace: str, selector: str, since: str) -> AsyncGenerator[Change, None]:
        """Watch the metadata of `plural` (secrets or configmaps) that `selector` selects, until the server ends it.

        `since`: a version to go on from; empty: all that there are come first. It may be too old: KubeError 410.
        """
        core = client.CoreV1Api(self._watching)
        methods = {
            "secrets": core.list_namespaced_secret_without_preload_content,
            "configmaps": core.list_namespaced_config_map_without_preload_content,
        }
        what = f"watch {plural} of namespace {namespace}"
        response = await _call(
            what,
            methods[plural],
            namespace,
            label_selector=selector,
            watch=True,
            allow_watch_bookmarks=True,
            resource_version=since or None,
            timeout_seconds=WATCH_SECONDS,
            _headers={"Accept": METADATA_ONLY},
            _request_timeout=WATCH_SECONDS + CALL_TIMEOUT,
        )
        try:
            if response.status != HTTPStatus.OK:
                raise KubeError(response.status, what)
            async for line in response.content:
                yield _change(json.loads(line), what)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError):
            raise KubeError(0, what) from None  # it broke off, or sent what is no event
        finally:
            response.close()


async def _connected(connections: int) -> Any:
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        try:
            await config.load_kube_config(client_configuration=configuration)
        except config.ConfigException:
            raise NoClusterError from None
    configuration.connection_pool_maxsize = connections
    return client.ApiClient(configuration)


def _change(event: Mapping[str, Any], what: str) -> Change:
    if event["type"] == "ERROR":
        raise KubeError(int(event["object"].get("code", 0)), what)
    metadata = event["object"]["metadata"]
    return Change("" if event["type"] == "BOOKMARK" else metadata["name"], metadata["resourceVersion"])


async def _call(what: str, method: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            return await method(*args, **kwargs)
    except client.ApiException as error:
        raise KubeError(error.status or 0, what) from None
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise KubeError(0, what) from None


def _decoded(data: Mapping[str, str]) -> dict[str, str]:
    decoded = {}
    for key, value in data.items():
        try:
            decoded[key] = base64.b64decode(value).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return decoded

"""The few calls that the operator makes to the API server, each bounded in time.

Raises `KubeError` with the HTTP status (0: not reached). Bodies of answers never go into its text.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config

from accountsync.api.v1alpha1 import API_VERSION, GROUP, KIND, PLAN_KIND, PLAN_PLURAL, PLURAL, VERSION

CALL_TIMEOUT = 10.0
WATCH_SECONDS = 300
GRANTED_AFTER = 1.0
REFUSED_CAP = 1000
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
FIELD_MANAGER = "accountsync"
CORE, EVENTS, REVIEWS = "/api/v1", "/apis/events.k8s.io/v1", "/apis/authorization.k8s.io/v1"
COORDINATION = "/apis/coordination.k8s.io/v1"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
ACCOUNTS = f"/apis/{GROUP}/{VERSION}"
ROOTS = {PLAN_PLURAL: ACCOUNTS}
NOTHING: Mapping[str, str] = MappingProxyType({})
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
    """An object was added, modified or deleted, or `name` is empty: the watch has merely come to `version`.

    The first one says that the watch is open, and gives the version that it began from.
    """

    name: str
    version: str


class Kube:
    """A client of the API server, from the pod's service account or the kubeconfig; it may be entered twice.

    Paths and JSON, and not the client's API classes: those load the model of every kind there is, which takes a second
    and 25 MB.
    """

    def __init__(self) -> None:
        self._client: Any = None
        self._watching: Any = None
        self._refused: dict[str, None] = {}
        """What was refused last, the newest last: a set that keeps its order."""

    async def __aenter__(self) -> Self:
        if self._client is None:
            self._client = await _connected(100)
            self._watching = await _connected(0)  # each watch holds a connection, so there can be no limit
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._client, self._watching):
            if each is not None:
                await each.close()
        self._client = self._watching = None

    async def secret(self, namespace: str, name: str) -> Secret:
        """A Secret, decoded. Values that are no text are left out."""
        found = await self._read(f"read Secret {namespace}/{name}", _named(CORE, "secrets", namespace, name))
        metadata = found["metadata"]
        use = (metadata.get("labels") or {}).get("accountsync.dev/use", "")
        return Secret(use, _decoded(found.get("data") or {}), metadata["resourceVersion"])

    async def configmap(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a ConfigMap."""
        found = await self._read(f"read ConfigMap {namespace}/{name}", _named(CORE, "configmaps", namespace, name))
        return found.get("data") or {}

    async def account(self, namespace: str, name: str) -> dict[str, Any]:
        """A TradingAccount as it is now."""
        return await self._call(f"read {KIND} {namespace}/{name}", "GET", _named(ACCOUNTS, PLURAL, namespace, name))

    async def apply_status(
        self, namespace: str, name: str, resource_version: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Server-side apply of a whole status, decided from `resource_version`; 409 where that is not current."""
        return await self._applied_status(KIND, PLURAL, namespace, name, resource_version, status)

    async def _applied_status(
        self, kind: str, plural: str, namespace: str, name: str, resource_version: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        body = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": resource_version},
            "status": status,
        }
        return await self._call(
            f"apply status of {kind} {namespace}/{name}",
            "PATCH",
            f"{_named(ACCOUNTS, plural, namespace, name)}/status",
            {"fieldManager": FIELD_MANAGER, "force": "true"},
            body,
            "application/apply-patch+yaml",
        )

    async def plans(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The RemediationPlans that `selector` selects."""
        query = {"labelSelector": selector}
        answer = await self._call(f"list {PLAN_PLURAL}", "GET", _listed(ACCOUNTS, PLAN_PLURAL, namespace), query)
        return list(answer.get("items") or ())

    async def plan(self, namespace: str, name: str) -> dict[str, Any]:
        """A RemediationPlan as it is now."""
        path = _named(ACCOUNTS, PLAN_PLURAL, namespace, name)
        return await self._call(f"read {PLAN_KIND} {namespace}/{name}", "GET", path)

    async def create_plan(self, namespace: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a RemediationPlan; 409 where there is one of that name."""
        path = _listed(ACCOUNTS, PLAN_PLURAL, namespace)
        return await self._call(f"create {PLAN_KIND} in {namespace}", "POST", path, {}, body)

    async def apply_plan_status(
        self, namespace: str, name: str, resource_version: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Server-side apply of a plan's whole status; 409 where `resource_version` is not current."""
        return await self._applied_status(PLAN_KIND, PLAN_PLURAL, namespace, name, resource_version, status)

    async def delete_plan(self, namespace: str, name: str) -> None:
        """Delete a RemediationPlan."""
        path = _named(ACCOUNTS, PLAN_PLURAL, namespace, name)
        await self._call(f"delete {PLAN_KIND} {namespace}/{name}", "DELETE", path)

    async def create_event(self, namespace: str, body: Mapping[str, Any]) -> str:
        """Create an events.k8s.io Event and return its name."""
        created = await self._call("create Event", "POST", _listed(EVENTS, "events", namespace), {}, body)
        return str(created["metadata"]["name"])

    async def patch_event(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Advance an Event's series."""
        path = _named(EVENTS, "events", namespace, name)
        await self._call("patch Event", "PATCH", path, {}, body, "application/merge-patch+json")

    async def may(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Whether the operator has this right, by the API server's word; `namespace` empty: in the whole cluster."""
        name, _, subresource = resource.partition("/")
        about = {"verb": verb, "group": group, "resource": name, "subresource": subresource, "namespace": namespace}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": about},
        }
        review = await self._call("ask for a right", "POST", f"{REVIEWS}/selfsubjectaccessreviews", {}, body)
        return bool(review["status"]["allowed"])

    async def refuses_plan(self, namespace: str, plan: Mapping[str, Any], sentence: str) -> bool:
        """Whether a ValidatingAdmissionPolicy would refuse to have `plan` created, and with `sentence`; nothing is.

        Raises KubeError where it is refused, but not so.
        """
        what = f"try to create a {PLAN_KIND} in namespace {namespace}"
        path = _listed(ACCOUNTS, PLAN_PLURAL, namespace)
        status, content = await self._answered(what, "POST", path, {"dryRun": "All"}, plan)
        if _good(status):
            return False
        if not _by_policy(content, sentence):
            raise KubeError(status, what)
        return True

    async def list_accounts(self, namespace: str) -> str:
        """List the first account of a namespace, or, where that is empty, of the cluster; the list's version."""
        path = _listed(ACCOUNTS, PLURAL, namespace)
        answer = await self._call(f"list {PLURAL}", "GET", path, {"limit": "1"})
        return str((answer.get("metadata") or {}).get("resourceVersion", ""))

    async def watch_accounts(self, namespace: str, since: str) -> None:
        """Open a watch of the accounts of a namespace, or of the cluster, and close it; `since`: as for `changes`."""
        query = {"watch": "true", "timeoutSeconds": "1", **({"resourceVersion": since} if since else {})}
        (await self._opened(f"watch {PLURAL}", _listed(ACCOUNTS, PLURAL, namespace), query)).close()

    async def changes(self, plural: str, namespace: str, selector: str, since: str) -> AsyncGenerator[Change, None]:
        """Watch the metadata of `plural` (see ROOTS; else of core) that `selector` selects, until the server ends it.

        `since`: a version to go on from; empty: all that there are come first. It may be too old: KubeError 410.
        """
        what = f"watch {plural} of namespace {namespace}"
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "labelSelector": selector,
            "timeoutSeconds": str(WATCH_SECONDS),
            **({"resourceVersion": since} if since else {}),
        }
        response = await self._opened(what, _listed(ROOTS.get(plural, CORE), plural, namespace), query)
        try:
            yield Change("", since)
            async for line in response.content:
                yield _change(json.loads(line), what)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError):
            raise KubeError(0, what) from None  # it broke off, or sent what is no event
        finally:
            response.close()

    async def _opened(self, what: str, path: str, query: Mapping[str, str]) -> aiohttp.ClientResponse:
        """A watch that goes on until it is closed."""
        with _answering(what):
            async with asyncio.timeout(CALL_TIMEOUT):
                sent = await _sent(self._watching, "GET", path, query, accept=METADATA_ONLY, timeout=WATCH_SECONDS)
        response: aiohttp.ClientResponse = sent.response
        if response.status != HTTPStatus.OK:
            response.close()
            raise KubeError(response.status, what)
        return response

    async def _read(self, what: str, path: str) -> dict[str, Any]:
        """The answer; the first refusal of all is asked again, since a new RoleBinding takes a moment to count."""
        try:
            found = await self._call(what, "GET", path)
        except KubeError as error:
            if error.status != FORBIDDEN or what in self._refused:
                raise
            self._refused[what] = None
            while len(self._refused) > REFUSED_CAP:
                del self._refused[next(iter(self._refused))]
            await asyncio.sleep(GRANTED_AFTER)
            found = await self._call(what, "GET", path)
        self._refused.pop(what, None)
        return found

    async def _call(
        self,
        what: str,
        method: str,
        path: str,
        query: Mapping[str, str] = NOTHING,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """The JSON of the answer."""
        status, content = await self._answered(what, method, path, query, body, content_type)
        if not _good(status):
            raise KubeError(status, what)
        try:
            answer: dict[str, Any] = json.loads(content)
        except ValueError:
            raise KubeError(0, what) from None
        return answer

    async def _answered(
        self,
        what: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        """The HTTP status and the content of the answer, good or bad."""
        with _answering(what):
            async with asyncio.timeout(CALL_TIMEOUT):
                sent = await _sent(self._client, method, path, query, body, content_type=content_type)
                return sent.status, await sent.read()

    async def namespace(self) -> str:
        """The namespace of the pod, or of the kubeconfig's context."""
        try:
            return (await asyncio.to_thread(NAMESPACE_FILE.read_text)).strip()
        except OSError:
            pass
        try:
            _, context = await asyncio.to_thread(config.list_kube_config_contexts)
        except config.ConfigException:
            return "default"
        return (context or {}).get("context", {}).get("namespace") or "default"

    async def lease(self, namespace: str, name: str) -> dict[str, Any]:
        """A Lease as it is now."""
        what = f"read Lease {namespace}/{name}"
        return await self._call(what, "GET", _named(COORDINATION, "leases", namespace, name))

    async def leases(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The Leases that `selector` selects, as they are now."""
        path = _listed(COORDINATION, "leases", namespace)
        answer = await self._call("list Leases", "GET", path, {"labelSelector": selector})
        return list(answer.get("items") or ())

    async def write_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Lease or, where `body` has a resourceVersion, replace that version of it: else 409."""
        what = f"write Lease {namespace}/{name}"
        if "resourceVersion" in body["metadata"]:
            return await self._call(what, "PUT", _named(COORDINATION, "leases", namespace, name), {}, body)
        return await self._call(what, "POST", _listed(COORDINATION, "leases", namespace), {}, body)

    async def patch_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `body` into a Lease; 404 where there is none, 409 where `body` has another resourceVersion than it."""
        what, path = f"patch Lease {namespace}/{name}", _named(COORDINATION, "leases", namespace, name)
        return await self._call(what, "PATCH", path, {}, body, "application/merge-patch+json")

    async def delete_lease(self, namespace: str, name: str, version: str) -> None:
        """Delete a Lease if it is still of this version: else 409."""
        path = _named(COORDINATION, "leases", namespace, name)
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": version}}
        await self._call(f"delete Lease {namespace}/{name}", "DELETE", path, {}, body)


def _good(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _by_policy(content: bytes, sentence: str) -> bool:
    """Whether a refusal is a ValidatingAdmissionPolicy's, for the reason that `sentence` gives."""
    try:
        message = str(json.loads(content)["message"])
    except (ValueError, LookupError, TypeError):
        return False
    _, by_policy, reason = message.partition("denied request: ")
    return "ValidatingAdmissionPolicy '" in message and bool(by_policy) and reason.startswith(sentence)


def _listed(root: str, plural: str, namespace: str) -> str:
    """The path of a list; `namespace` empty: of the cluster's."""
    return f"{root}/namespaces/{quote(namespace, safe='')}/{plural}" if namespace else f"{root}/{plural}"


def _named(root: str, plural: str, namespace: str, name: str) -> str:
    return f"{_listed(root, plural, namespace)}/{quote(name, safe='')}"


async def _sent(
    to: Any,
    method: str,
    path: str,
    query: Mapping[str, str],
    body: Mapping[str, Any] | None = None,
    *,
    content_type: str = "application/json",
    accept: str = "application/json",
    timeout: float = 0,  # noqa: ASYNC109 - of the connection, beyond which the caller's holds
) -> Any:
    """The client's answer, of which nothing is read yet."""
    headers = {"Accept": accept, "Content-Type": content_type}
    request = await to.param_serialize(
        method, path, query_params=list(query.items()), header_params=headers, body=body, auth_settings=["BearerToken"]
    )
    return await to.call_api(*request, _request_timeout=timeout + CALL_TIMEOUT)


@contextmanager
def _answering(what: str) -> Iterator[None]:
    """Failures to get an answer become ours."""
    try:
        yield
    except client.ApiException as error:
        raise KubeError(error.status or 0, what) from None
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise KubeError(0, what) from None


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


def _decoded(data: Mapping[str, str]) -> dict[str, str]:
    decoded = {}
    for key, value in data.items():
        try:
            decoded[key] = base64.b64decode(value).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return decoded

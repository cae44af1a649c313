"""What the command line asks of the API server: TradingAccounts and RemediationPlans, with the person's own rights.

Raises `ClusterError`, whose text is for that person. The controller's client is not used: with it comes kopf, and a
kill switch shall not wait for that.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from accountsync.api.v1alpha1 import GROUP, KIND, PLAN_KIND, PLAN_PLURAL, PLURAL, VERSION
from accountsync.cli.connection import ClusterError, Place, connected
from accountsync.cli.texts import printable

Body = dict[str, Any]
Bodies = list[Body]
CALL_TIMEOUT = 10.0
GLANCE_TIMEOUT = 2.0
FIRST_RETRY = 0.25
TRIES = 4
PAGE = 500
MESSAGE_CAP = 600
MANAGER, MANAGER_CAP = "accountsync-cli", 128
PASSING = {0, 409, 429, 500, 502, 503, 504}
"""Statuses after which the same call may go well; 0: no answer."""
MERGE = "application/merge-patch+json"
ROOT = f"/apis/{GROUP}/{VERSION}"
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class Cluster:
    """A client of the API server; enter it before use."""

    namespace: str
    """What the kubeconfig's context, or the pod, has for a namespace."""
    user: str
    """Who this person is to the API server, once introduced; empty: it did not say."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._client: Any = None
        self._manager = MANAGER
        self.user = ""

    async def __aenter__(self) -> Self:
        self._client, self.namespace = await connected(self._place)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def introduce(self) -> None:
        """Learn who this person is, so that what is patched bears the name; without an answer it bears none."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        with contextlib.suppress(ClusterError, KeyError, TypeError):
            review = await self._call("create", "", "POST", REVIEW, {}, body, timeout=GLANCE_TIMEOUT, tries=1)
            self.user = str(review["status"]["userInfo"]["username"])
            who = printable(f"{MANAGER} {self.user}")
            self._manager = who.encode("ascii", "replace").decode()[:MANAGER_CAP]

    async def get(self, namespace: str, name: str) -> Body:
        """One TradingAccount."""
        return await self._call("get", namespace, "GET", _path(namespace, name))

    async def glance(self, namespace: str, name: str) -> Body | None:
        """The same, if it can be had quickly; None: not. Raises ClusterError only where there is no such account."""
        try:
            return await self._call("get", namespace, "GET", _path(namespace, name), timeout=GLANCE_TIMEOUT, tries=1)
        except ClusterError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise
            return None

    async def list(self, namespace: str, selector: str = "") -> Bodies:
        """The TradingAccounts of a namespace, or, where that is empty, of the cluster."""
        return await self._listed(namespace, PLURAL, {"labelSelector": selector} if selector else {})

    async def plans(self, namespace: str) -> Bodies:
        """The RemediationPlans of a namespace, or, where that is empty, of the cluster."""
        return await self._listed(namespace, PLAN_PLURAL, {})

    async def plan(self, namespace: str, name: str) -> Body:
        """One RemediationPlan."""
        return await self._call("get", namespace, "GET", _path(namespace, name, PLAN_PLURAL), plural=PLAN_PLURAL)

    async def approve(self, namespace: str, name: str, version: str) -> Body:
        """Approve a RemediationPlan as it was at `version`, and return what it became; 409: it is another by now."""
        path, query = _path(namespace, name, PLAN_PLURAL), {"fieldManager": self._manager}
        change = {"metadata": {"resourceVersion": version}, "spec": {"approved": True}}
        return await self._call("patch", namespace, "PATCH", path, query, change, MERGE, tries=1, plural=PLAN_PLURAL)

    async def patch(self, namespace: str, name: str, change: Mapping[str, Any]) -> Body:
        """Merge `change` into a TradingAccount, whatever it is by now, and return what it became."""
        query = {"fieldManager": self._manager}
        return await self._call("patch", namespace, "PATCH", _path(namespace, name), query, change, MERGE)

    async def annotate(self, namespace: str, name: str, version: str, notes: Mapping[str, str]) -> Body:
        """Annotate a TradingAccount as it was at `version`, and return what it became; 409: it is another by now."""
        query, change = (
            {"fieldManager": self._manager},
            {"metadata": {"resourceVersion": version, "annotations": notes}},
        )
        return await self._call("patch", namespace, "PATCH", _path(namespace, name), query, change, MERGE, tries=1)

    async def _listed(self, namespace: str, plural: str, selection: Mapping[str, str]) -> Bodies:
        found: Bodies = []
        query = {"limit": str(PAGE), **selection}
        while True:
            page = await self._call("list", namespace, "GET", _path(namespace, "", plural), query, plural=plural)
            found += page["items"]
            if not (going_on := page["metadata"].get("continue")):
                return found
            query["continue"] = going_on

    async def _call(
        self,
        verb: str,
        namespace: str,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        *,
        timeout: float = CALL_TIMEOUT,  # noqa: ASYNC109 - of each try
        tries: int = TRIES,
        plural: str = PLURAL,
    ) -> Body:
        began = time.monotonic()
        for attempt in range(1, tries + 1):
            status, answer = await self._sent(method, path, query or {}, body, content_type, timeout)
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return answer
            if status not in PASSING or attempt == tries or time.monotonic() - began > timeout:
                break
            await asyncio.sleep(FIRST_RETRY * 2 ** (attempt - 1))
        raise ClusterError(status, _sentence(status, f"{verb} {plural}", namespace, answer))

    async def _sent(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content_type: str,
        timeout: float,  # noqa: ASYNC109 - of the whole call, which the caller knows
    ) -> tuple[int, Body]:
        """The status and the JSON of the answer; 0 and a `message` where there was none."""
        import aiohttp  # noqa: PLC0415 - these take half a second to import
        from kubernetes.aio.client import ApiException  # noqa: PLC0415

        host = self._client.configuration.host
        try:
            async with asyncio.timeout(timeout):
                request = await self._client.param_serialize(
                    method,
                    path,
                    query_params=list(query.items()),
                    header_params={"Accept": "application/json", "Content-Type": content_type},
                    body=body,
                    auth_settings=["BearerToken"],
                )
                sent = await self._client.call_api(*request, _request_timeout=timeout)
                content = await sent.read()
        except TimeoutError:
            return 0, {"message": f"{host} did not answer in {timeout:.0f} s"}
        except (ApiException, aiohttp.ClientError, OSError, ValueError) as error:
            return 0, {"message": f"{host}: {error}"}
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        return sent.status, answer if isinstance(answer, dict) else {}


def _path(namespace: str, name: str = "", plural: str = PLURAL) -> str:
    within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{ROOT}{within}/{plural}" + (f"/{quote(name, safe='')}" if name else "")


def _sentence(status: int, act: str, namespace: str, answer: Body) -> str:
    said = printable(" ".join(str(answer.get("message", "")).split()))[:MESSAGE_CAP]
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    if status == 0:
        return f"no answer from the API server: {said}"
    if status == HTTPStatus.UNAUTHORIZED:
        return "the API server does not accept these credentials (HTTP 401): log in again, or see --context"
    if status == HTTPStatus.FORBIDDEN:
        _, policy, why = said.partition("denied request: ")  # of a ValidatingAdmissionPolicy, which names what it takes
        return f"not allowed: {why if policy else f'{act}.{GROUP} {where} (HTTP 403): {said}'}"
    if status == HTTPStatus.NOT_FOUND:
        plural = act.rpartition(" ")[2]
        kind = PLAN_KIND if plural == PLAN_PLURAL else KIND
        named = (answer.get("details") or {}).get("name")
        if named:
            return f"there is no {kind} {printable(str(named))} {where}"
        return f"this cluster knows no {kind}s: apply crds/ first, or see --context"
    return f"HTTP {status} from the API server: {said or HTTPStatus(status).phrase}"

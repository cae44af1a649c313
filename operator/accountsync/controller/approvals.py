"""Whether the ValidatingAdmissionPolicy of the chart is in force: without it, whoever may edit may have orders sent.

That an object of that name exists proves nothing: it may not compile, its binding may be gone or be for other
namespaces. So the operator tries what the policy has to refuse. All of its rules are one object: one proves the others.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

import structlog

from accountsync.api.v1alpha1 import API_VERSION, PLAN_KIND
from accountsync.controller.kube import KubeError
from accountsync.ports import Clock

SENTENCE = "a RemediationPlan is not born approved"
"""How the policy's refusal begins: see admissionpolicy.yaml of the chart."""
PROVEN_SECONDS, UNPROVEN_SECONDS = 300.0, 30.0
TRIAL: Mapping[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": PLAN_KIND,
    "metadata": {"generateName": "accountsync-trial-"},
    "spec": {
        "account": {"name": "accountsync-trial", "uid": "none"},
        "approved": True,
        "dryRun": True,
        "expires": "2000-01-01T00:00:00Z",
        "summary": "Nothing: it tries whether plans can be born approved",
        "actions": [{"type": "Cancel", "symbol": "NONE", "orderId": "0"}],
    },
}
"""A plan that would be valid, but for being approved. Were it ever stored, it would do nothing."""
log = structlog.get_logger()


class Tried(Protocol):
    """Asks the API server without changing anything."""

    async def refuses_plan(self, namespace: str, plan: Mapping[str, Any], sentence: str) -> bool:
        """Whether a policy refuses `plan` with `sentence`. Raises KubeError where something else does."""
        ...


class Approvals:
    """What is known of each namespace; a namespace is tried again when that is too old."""

    def __init__(self, kube: Tried, clock: Clock) -> None:
        self._kube, self._clock = kube, clock
        self._known: dict[str, tuple[float, str]] = {}
        self._trying: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def protected(self, namespace: str) -> str:
        """Empty: the policy was seen to refuse there. Else why that isn't known, for people. Raises nothing."""
        async with self._trying[namespace]:
            until, why = self._known.get(namespace, (0.0, ""))
            now = self._clock.monotonic()
            if namespace not in self._known or now >= until:
                why = await self._tried(namespace)
                self._known[namespace] = (now + (UNPROVEN_SECONDS if why else PROVEN_SECONDS), why)
            return why

    async def _tried(self, namespace: str) -> str:
        try:
            refused = await self._kube.refuses_plan(namespace, TRIAL, SENTENCE)
        except KubeError as error:
            return _unknown(error.status, namespace)
        except Exception:  # whatever it is, nothing is proven
            log.exception("the admission policy could not be tried", namespace=namespace)
            return _unproven(namespace, "an unexpected error, which is in the operator's log")
        if refused:
            return ""
        return (
            f"a plan that is born approved would be accepted in namespace {namespace}: install the"
            " ValidatingAdmissionPolicy of the chart (admissionPolicy.enabled), bound where it covers the namespace"
        )


def _unknown(status: int, namespace: str) -> str:
    """Why a trial proved nothing, by the HTTP status."""
    match status:
        case HTTPStatus.FORBIDDEN:
            why = (
                "a trial was refused (HTTP 403), and not by it: bind ClusterRole accountsync, so that the operator may"
                " create remediationplans, or see which other admission refuses them"
            )
        case HTTPStatus.NOT_FOUND:
            why = "the API server knows no remediationplans there (HTTP 404): apply the crds/ of this version"
        case HTTPStatus.UNPROCESSABLE_ENTITY | HTTPStatus.BAD_REQUEST:
            why = f"a trial was refused (HTTP {status}), and not by it: apply crds/ and the chart of this version"
        case 0:
            why = "the API server did not answer"
        case _:
            why = f"the API server answered with HTTP {status}"
    return _unproven(namespace, why)


def _unproven(namespace: str, why: str) -> str:
    return f"whether the admission policy is in force in namespace {namespace} is unknown: {why}"

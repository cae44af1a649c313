"""Events through events.k8s.io, with series: the same thing said again advances a count instead of a new Event.

An Event that can't be written is logged and dropped: the status says the same, and the loop must go on. A verb that is
refused is a right that is missing (`rights`).
"""

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from accountsync.api.caps import clip
from accountsync.api.v1alpha1 import API_VERSION, KIND
from accountsync.controller.kube import FORBIDDEN, NOT_FOUND, Kube, KubeError
from accountsync.controller.rights import EVENTS, Rights
from accountsync.ports import Clock

SERIES_SECONDS = 360.0
NOTE_CAP = 1000
log = structlog.get_logger()


@dataclass(slots=True)
class _Series:
    name: str
    count: int
    at: float


class Events:
    """Tells people of an account what happened, once."""

    def __init__(self, kube: Kube, rights: Rights, clock: Clock) -> None:
        self._kube = kube
        self._rights = rights
        self._clock = clock
        self._series: dict[tuple[str, str, str], _Series] = {}

    async def tell(self, about: Mapping[str, Any], *, warning: bool, reason: str, action: str, note: str) -> None:
        """Write one Event about the object whose body is `about`. `note` is for a person."""
        metadata = about["metadata"]
        key = (metadata["uid"], reason, note)
        log.info("told", reason=reason, namespace=metadata["namespace"], account=metadata["name"], note=note)
        verb = "patch"
        try:
            if not await self._advance(key, metadata["namespace"]):
                verb = "create"
                body = _event(metadata, warning=warning, reason=reason, action=action, note=note)
                name = await self._kube.create_event(metadata["namespace"], body)
                self._remember(key, _Series(name, 1, self._clock.monotonic()))
            self._rights.granted(verb, EVENTS, metadata["namespace"])
        except KubeError as error:
            if error.status == FORBIDDEN:
                self._rights.refused(verb, EVENTS, metadata["namespace"])
            log.warning("event not written", reason=reason, account=metadata["name"], status=error.status)

    async def _advance(self, key: tuple[str, str, str], namespace: str) -> bool:
        """Count it once more in the Event that said it not long ago; False where there is none."""
        series = self._series.get(key)
        if series is None or self._clock.monotonic() - series.at >= SERIES_SECONDS:
            return False
        body = {"series": {"count": series.count + 1, "lastObservedTime": _stamp()}}
        try:
            await self._kube.patch_event(namespace, series.name, body)
        except KubeError as error:
            if error.status != NOT_FOUND:
                raise
            del self._series[key]  # somebody deleted it
            return False
        series.count += 1
        series.at = self._clock.monotonic()
        return True

    def _remember(self, key: tuple[str, str, str], series: _Series) -> None:
        now = self._clock.monotonic()
        self._series = {k: s for k, s in self._series.items() if now - s.at < SERIES_SECONDS}
        self._series[key] = series


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _event(metadata: Mapping[str, Any], *, warning: bool, reason: str, action: str, note: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{metadata['name'][:200].rstrip('.-')}.{secrets.token_hex(8)}",
            "namespace": metadata["namespace"],
        },
        "eventTime": _stamp(),
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "action": action,
        "note": clip(note, NOTE_CAP),
        "reportingController": "accountsync.dev/operator",
        "reportingInstance": os.environ.get("POD_NAME") or socket.gethostname(),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }

"""Which accounts this process looks after, and whether it alone may act on one.

Each replica renews a Lease of its own and then lists all of them; both must succeed. Who is alive and who owns what,
`domain/owning.py` says. A Lease decides who looks after an account; what fences is the account's own status, where
each takeover is written with a higher epoch, and which is only ever written over what was read.

Invariants:
1. `left` runs out, counted from the start of the last renewal that succeeded, before another replica can take that
   Lease for dead: the other counts from when it saw the renewal.
2. After a takeover nothing is sent until a Lease that was valid then has run out, and what was sent under it has too.
3. A process that saw a takeover with a higher epoch never again writes under its own.
"""

import asyncio
import hashlib
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any, Protocol, TypeVar

import structlog

from accountsync.api.v1alpha1 import GROUP
from accountsync.controller.kube import CONFLICT, FORBIDDEN, NOT_FOUND, KubeError
from accountsync.controller.rights import LEASES, Rights
from accountsync.domain.owning import Lease, Sighting, observed, owner

NAME_LABEL, REPLICA_LABEL = "app.kubernetes.io/name", f"{GROUP}/replica"
SELECTOR = f"{NAME_LABEL}=accountsync,{REPLICA_LABEL}=true"
NAMESPACES, PROCESS = f"{GROUP}/namespaces", f"{GROUP}/process"
"""Annotations of a Lease: whose accounts the replica looks after, and which of its starts this is."""
RENEWALS = 3
"""In one duration."""
MARGIN = 0.1
"""Share of the duration that is kept back from `left`: clocks do not run alike."""
RECV_WINDOW = 5.0
"""Seconds for which an exchange may still take what an earlier owner sent."""
AGAIN = 1.0
PARTING = 3.0
"""Seconds that are given to the last call."""
LEASE = "accountsync-"
IDENTITY_CAP = 63
T = TypeVar("T")
log = structlog.get_logger()


class Leases(Protocol):
    """The calls that Leases need. All raise KubeError."""

    async def lease(self, namespace: str, name: str) -> Mapping[str, Any]:
        """One Lease."""
        ...

    async def leases(self, namespace: str, selector: str) -> Collection[Mapping[str, Any]]:
        """All that are there now."""
        ...

    async def write_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create one or, where `body` has a resourceVersion, replace that version of it; as it is stored now."""
        ...

    async def delete_lease(self, namespace: str, name: str, version: str) -> None:
        """Delete that version of one."""
        ...


class UsurpedError(Exception):
    """Another process renews the Lease of this identity."""


@dataclass(frozen=True, slots=True)
class Own:
    """Who this process is: as `identified` says, the namespace of its Lease, and whose accounts it follows.

    `duration`: seconds. `follows`: namespaces; empty: all.
    """

    identity: str
    namespace: str
    duration: float
    follows: frozenset[str] = frozenset()


class Replica:
    """One process among all replicas. `now`: seconds that count suspend. `moved` is called after each renewal."""

    def __init__(self, own: Own, leases: Leases, rights: Rights, now: Callable[[], float]) -> None:
        self.own = own
        self.now = now
        self.moved: Callable[[], None] = lambda: None
        self._leases = leases
        self._rights = rights
        self._name = LEASE + own.identity
        self._process = secrets.token_hex(8)
        self._version = ""
        self._started = False
        self._sightings: dict[str, Sighting] = {}
        self._alive = frozenset[str]()
        self._renewed_at: float | None = None
        self._usurped = False
        self._failing = False

    @property
    def reason(self) -> str:
        """Why it looks after nothing; empty: it does."""
        if self._renewed_at is not None:
            return ""
        if self._usurped:
            return f"another process renews the Lease {self._name}: each replica needs an identity of its own"
        waiting = f"waiting for its Lease {self._name} in namespace {self.own.namespace}"
        return self._rights.missing_for(self.own.namespace, LEASES) or waiting

    @property
    def alive(self) -> frozenset[str]:
        """The identities of all replicas that are alive, this one among them; none before the first renewal."""
        return self._alive

    def left(self) -> float:
        """Seconds for which no other replica can take this one for dead; 0: one may have."""
        if self._renewed_at is None:
            return 0.0
        return max(0.0, self._renewed_at + self.own.duration * (1 - MARGIN) - self.now())

    def quarantine(self) -> float:
        """Seconds after a takeover in which an earlier owner could still act, or what it sent arrive."""
        durations = (sighting.lease.duration for sighting in self._sightings.values())
        return max((self.own.duration, *durations)) + RECV_WINDOW

    def owns(self, key: str, namespace: str) -> bool:
        """Whether what hashes by `key` is this replica's, among those that follow `namespace`."""
        if self._renewed_at is None:
            return False
        covering = {
            sighting.lease.identity for sighting in self._sightings.values() if sighting.lease.covers(namespace)
        }
        return owner(key, (self._alive & covering) | {self.own.identity}) == self.own.identity

    async def run(self) -> None:
        """Renew until cancelled."""
        pause = self.own.duration / RENEWALS
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self.renew()
            except UsurpedError:
                self._lose()
            except (KubeError, TimeoutError) as error:
                self._tell_failing(str(error) or "no answer from the API server in time")
            await asyncio.sleep(min(AGAIN, pause) if self._failing else pause)

    async def renew(self) -> None:
        """Renew once. Raises KubeError, or UsurpedError, and then nothing counts as renewed."""
        began = self.now()
        await self._write()
        listed = await self._may("list", self._leases.leases(self.own.namespace, SELECTOR))
        now = self.now()
        self._sightings = observed(self._sightings, [each for each in map(lease_of, listed) if each is not None], now)
        self._renewed_at, self._usurped, self._started = began, False, True
        if self._failing:
            self._failing = False
            log.info("its Lease is renewed again", lease=self._name)
        before = self._alive
        seen = {sighting.lease.identity for sighting in self._sightings.values() if sighting.alive(now)}
        self._alive = frozenset(seen | {self.own.identity})
        if self._alive != before:
            log.info("replicas that are alive", replicas=sorted(self._alive), identity=self.own.identity)
        self.moved()
        await self._tidy(now)

    async def release(self) -> None:
        """Delete the Lease, so that the others need not wait for its end."""
        try:
            async with asyncio.timeout(PARTING):
                found = await self._find()
                if found is not None and _process(found) == self._process:
                    version = found["metadata"]["resourceVersion"]
                    await self._leases.delete_lease(self.own.namespace, self._name, version)
        except (KubeError, TimeoutError) as error:
            log.info("its Lease stays until it ends", lease=self._name, why=str(error))

    async def _write(self) -> None:
        """Renew the Lease; at the start, take over what an earlier process of this identity left."""
        if not self._version:
            found = await self._find()
            self._version = "" if found is None else str(found["metadata"]["resourceVersion"])
            if found is not None and self._started and _process(found) != self._process:
                self._wait_for_its_end(found)
        verb = "update" if self._version else "create"
        version, self._version = self._version, ""  # where the answer is lost, it is not known any more
        body = self._body(version)
        stored = await self._may(verb, self._leases.write_lease(self.own.namespace, self._name, body))
        self._version = str(stored["metadata"]["resourceVersion"])

    def _wait_for_its_end(self, found: Mapping[str, Any]) -> None:
        lease = lease_of(found)
        if lease is None:
            return
        self._sightings |= observed(self._sightings, [lease], self.now())
        if self._sightings[lease.name].alive(self.now()):
            self._version = ""
            raise UsurpedError

    def _lose(self) -> None:
        """Begin anew, as if it had never had a Lease."""
        if not self._usurped:
            log.error("another process renews the Lease of this identity", lease=self._name)
        self._usurped, self._failing = True, True
        self._renewed_at = None
        self._alive = frozenset()
        self.moved()

    def _tell_failing(self, why: str) -> None:
        if not self._failing:
            log.warning("its Lease could not be renewed", lease=self._name, why=why)
        self._failing = True

    async def _find(self) -> Mapping[str, Any] | None:
        try:
            return await self._may("get", self._leases.lease(self.own.namespace, self._name))
        except KubeError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def _tidy(self, now: float) -> None:
        """Delete what replicas left behind that are long gone. What fails is tried again after the next renewal."""
        for sighting in self._sightings.values():
            if sighting.forgotten(now) and sighting.lease.identity != self.own.identity:
                lease = sighting.lease
                try:
                    await self._leases.delete_lease(self.own.namespace, lease.name, lease.version)
                except KubeError as error:
                    if error.status not in {NOT_FOUND, CONFLICT}:
                        log.info("an old Lease is still there", lease=lease.name, status=error.status)

    async def _may(self, verb: str, call: Awaitable[T]) -> T:
        """Make a call, and tell what right it lacks."""
        try:
            answer = await call
        except KubeError as error:
            if error.status == FORBIDDEN:
                self._rights.refused(verb, LEASES, self.own.namespace)
            raise
        self._rights.granted(verb, LEASES, self.own.namespace)
        return answer

    def _body(self, version: str) -> dict[str, Any]:
        follows = ",".join(sorted(self.own.follows))
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "namespace": self.own.namespace,
                "labels": {NAME_LABEL: "accountsync", REPLICA_LABEL: "true"},
                "annotations": {NAMESPACES: follows, PROCESS: self._process},
                **({"resourceVersion": version} if version else {}),
            },
            "spec": {
                "holderIdentity": self.own.identity,
                "leaseDurationSeconds": ceil(self.own.duration),
                "renewTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            },
        }


class Owner:
    """The claim of this process on one account: `ports.Ownership`. It counts from when its takeover was written."""

    def __init__(self, replica: Replica, body: Mapping[str, Any], owns: Callable[[], bool]) -> None:
        self._replica = replica
        self._owns = owns
        self._found = body.get("status")
        self.holder = replica.own.identity
        self.seen, self._seen_epoch = _owner_of(body)
        """Who was seen to own it last; empty: nobody."""
        self.epoch = self._seen_epoch + 1
        self._acts_from: float | None = None
        self.lost = False
        """Whether it must not be written to any more: it is another's, or not what this claim was made from."""

    @property
    def overtaken(self) -> bool:
        """Whether another took it, instead of this one or from it."""
        return self.lost and self._seen_epoch >= self.epoch

    def see(self, body: Mapping[str, Any]) -> None:
        """The account as the API server shows it now."""
        self.seen, self._seen_epoch = _owner_of(body)
        if (self.seen, self._seen_epoch) == (self.holder, self.epoch):
            return
        if self._acts_from is None:  # what another wrote meanwhile, say a hold, this process would write over
            self.lost = self.lost or body.get("status") != self._found
        else:
            self.lost = self.lost or self._seen_epoch > self.epoch

    @property
    def stands(self) -> bool:
        """Whether the account is this process's now, and no other can take it for dead."""
        return not self.lost and self._owns() and self._replica.left() > 0

    def written(self) -> None:
        """The status was written, and this claim with it."""
        if self._acts_from is None:
            first = self.epoch == 1
            self._acts_from = self._replica.now() + (0.0 if first else self._replica.quarantine())
            self.seen = self.holder

    def left(self) -> float:
        """As `ports.Ownership` says."""
        if self.lost or self._acts_from is None or self._replica.now() < self._acts_from or not self._owns():
            return 0.0
        return self._replica.left()


def identified(text: str) -> str:
    """The identity that `text` gives, fit for the name of a Lease, and another one for each text; empty: any."""
    text = text or f"{socket.gethostname()}_{secrets.token_hex(4)}"
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain == text and len(plain) <= IDENTITY_CAP:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{plain[: IDENTITY_CAP - 9]}-{digest}".strip("-")


def lease_of(body: Mapping[str, Any]) -> Lease | None:
    """A Lease as the API server shows it; None for one that says nothing."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    identity, duration = spec.get("holderIdentity"), spec.get("leaseDurationSeconds")
    if not identity or not duration:
        return None
    follows = (metadata.get("annotations") or {}).get(NAMESPACES, "")
    return Lease(
        name=metadata["name"],
        identity=identity,
        version=metadata["resourceVersion"],
        duration=float(duration),
        namespaces=frozenset(follows.split(",")) - {""},
    )


def _process(body: Mapping[str, Any]) -> str:
    return str((body["metadata"].get("annotations") or {}).get(PROCESS, ""))


def _owner_of(body: Mapping[str, Any]) -> tuple[str, int]:
    """Holder and epoch that a status names; "" and 0: none."""
    owned = (body.get("status") or {}).get("owner") or {}
    epoch = owned.get("epoch")
    return str(owned.get("holder", "")), epoch if isinstance(epoch, int) else 0

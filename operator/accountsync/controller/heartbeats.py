"""The heartbeats of accounts that have a gate: a Lease each, renewed while their loops do what a gate relies on.

In:  a `Pulse` for each account's loop. Out: its Lease, `accountsync/gate/heartbeat.py` says of what form.

Invariants:
1. A beat says that this replica owns the account, that its loop works in time, and that its last report was written:
   a hold that nobody can see is no hold. Where one of them fails, there is silence, and the gate closes.
2. A beat that tells of cycles replaces a version of the Lease that an answer named before the beat was composed, and no
   other: whatever became of an earlier write, none that is late is stored over a newer one, and who waits for a cycle
   that began after a moment counts from the second beat that was stored after it. A beat that can't name the version,
   the first one and the one after a failure, shows life and tells of no cycle.
3. No account has two writes in flight; of all that are due, the one goes first whose gate closes first.
4. One account's failure delays no other's beat, and no beat waits for a cycle, nor a cycle for a beat.
"""

import asyncio
import heapq
import itertools
import secrets
from collections import Counter
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil, inf
from typing import Any, Protocol

import structlog

from accountsync.api.v1alpha1 import API_VERSION, KIND
from accountsync.controller.kube import FORBIDDEN, NOT_FOUND, KubeError
from accountsync.controller.rights import HEARTBEATS, Rights
from accountsync.controller.trouble import place_of
from accountsync.gate.heartbeat import LABELS, Beat, heartbeat_name
from accountsync.ports import Clock

RENEWALS = 3
"""In the time after which the gate closes."""
EARLY = 0.25
"""Share of the time between two beats after which a cycle that judged everything brings the next one forward."""
AGAIN = 0.25
"""The same, after which it is tried again where there could be no beat."""
AT_ONCE = 64
"""Writes in flight: a new operator has one to make for each account, and cycles write too."""
ANSWER = 1 / 8
"""Share of the time after which the gate closes that one write may take."""
ANSWER_LEAST = 1.0
"""Seconds of it; what is more than a call to the API server may take is cut by that."""
log = structlog.get_logger()


class Leases(Protocol):
    """The calls that heartbeats need. Both give the Lease as it is then, and raise KubeError."""

    async def patch_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge `body` into a Lease; 404 where there is none, 409 where `body` names another version than there is."""
        ...

    async def write_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create one; 409 where there is one."""
        ...


class Claim(Protocol):
    """Whose the account is."""

    @property
    def holder(self) -> str:
        """The identity of this replica."""
        ...

    @property
    def stands(self) -> bool:
        """Whether it is this replica's now."""
        ...


@dataclass(slots=True, eq=False)
class Pulse:
    """What the loop of one account tells of itself.

    `fail_closed_after`: seconds; None: the account has no gate. `begun` and `judged` as in `Beat`, of the cycles since
    this `boot`. `due`: monotonic seconds at which the next cycle is to begin, or the present one began, and `patience`:
    how much later it is overdue. `reported`: the last report was written. `judged_until`: monotonic seconds after which
    too little was judged for too long, since the spec is not valid.
    """

    namespace: str
    name: str
    uid: str
    claim: Claim
    fail_closed_after: float | None = None
    boot: str = field(default_factory=lambda: secrets.token_hex(8))
    begun: int = 0
    judged: int = 0
    due: float = inf
    patience: float = 0.0
    reported: bool = True
    judged_until: float = inf
    version: str = ""
    """The Lease's resourceVersion, which the last answer named; empty: it is not known."""
    written_at: float = -inf
    silent: str = ""
    """Why there is no beat; empty: there is."""

    @property
    def period(self) -> float:
        """Seconds between two beats."""
        return (self.fail_closed_after or 0.0) / RENEWALS

    def trouble(self, now: float) -> str:
        """Why it must not beat at `now`, monotonic seconds; empty: it may."""
        if not self.claim.stands:
            return "the account is not this replica's now"
        if not self.reported:
            return "the last report of the account could not be written"
        if now > self.due + self.patience:
            return "the account's cycle is overdue"
        if now > self.judged_until:
            return "the spec is not valid: nothing is judged"
        return ""

    def beat(self) -> Beat:
        """What is to be told now; of cycles nothing, where the write can't name the version that it replaces."""
        return Beat(self.boot, self.begun, self.judged) if self.version else Beat()


class Heartbeats:
    """The beats of all accounts: one task that sleeps until the next is due, and a few writes side by side."""

    def __init__(self, leases: Leases, rights: Rights, clock: Clock) -> None:
        self._leases = leases
        self._rights = rights
        self._clock = clock
        self._due: dict[Pulse, float] = {}
        """When each beats next, monotonic seconds; infinity while it is due or being written."""
        self._heap: list[tuple[float, int, Pulse]] = []
        """The same, and what was so once."""
        self._ready: list[tuple[float, int, Pulse]] = []
        """Those that are due, by when their gates close."""
        self._taken: set[Pulse] = set()
        """Those that are due or being written."""
        self._places: Counter[str] = Counter()
        """In how many accounts of each namespace there is a gate."""
        self._numbers = itertools.count()
        self._woken = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._writing: set[asyncio.Task[None]] = set()

    def follow(self, pulse: Pulse) -> None:
        """Its loop runs: it beats from now on, or no longer if it has no gate any more, or in another rhythm."""
        if pulse.fail_closed_after is None:
            self.leave(pulse)
        elif pulse not in self._due:
            self._places[pulse.namespace] += 1
            if pulse in self._taken:  # it left a moment ago: what is under way says when the next is due
                self._due[pulse] = inf
            else:
                self._schedule(pulse, self._clock.monotonic())
        elif self._due[pulse] != inf:
            self._schedule(pulse, min(self._due[pulse], pulse.written_at + pulse.period))

    def leave(self, pulse: Pulse) -> None:
        """It beats no longer. Its Lease stays, for as long as the account does."""
        if self._due.pop(pulse, None) is None:
            return
        self._places[pulse.namespace] -= 1
        if not self._places[pulse.namespace]:
            del self._places[pulse.namespace]
            self._rights.unneeded(HEARTBEATS, pulse.namespace)

    def hasten(self, pulse: Pulse) -> None:
        """A cycle judged all of it: that is worth a beat, but for one that was just made."""
        now = self._clock.monotonic()
        if now < self._due.get(pulse, now) < inf and now - pulse.written_at > EARLY * pulse.period:
            self._schedule(pulse, now)

    async def run(self) -> None:
        """Beat until cancelled."""
        try:
            while True:
                await self._slots.acquire()  # before it is chosen: while it waited, another one may become more urgent
                pulse = await self._next()
                task = asyncio.create_task(self._beat(pulse), name=f"heartbeat of {pulse.namespace}/{pulse.name}")
                self._writing.add(task)
                task.add_done_callback(self._written)
        finally:
            for task in self._writing:
                task.cancel()
            await asyncio.gather(*self._writing, return_exceptions=True)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        self._slots.release()

    def _schedule(self, pulse: Pulse, when: float) -> None:
        self._due[pulse] = when
        entry = (when, next(self._numbers), pulse)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._woken.set()

    async def _next(self) -> Pulse:
        """Of all that are due, the one whose gate closes first; it is not due again until it is written."""
        while True:
            now = self._clock.monotonic()
            while self._heap and (self._heap[0][0] <= now or self._due.get(self._heap[0][2]) != self._heap[0][0]):
                when, number, pulse = heapq.heappop(self._heap)
                if self._due.get(pulse) == when:
                    self._due[pulse] = inf
                    self._taken.add(pulse)
                    heapq.heappush(self._ready, (_closes(pulse, when), number, pulse))
            if self._ready:
                return heapq.heappop(self._ready)[2]
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._heap[0][0] - now if self._heap else None):
                    await self._woken.wait()

    async def _beat(self, pulse: Pulse) -> None:
        """Write one, if there is to be one, and say when the next is due."""
        if pulse not in self._due:
            self._taken.discard(pulse)
            return  # it left while it waited for its turn
        now = self._clock.monotonic()
        why = pulse.trouble(now)
        if not why:
            try:
                async with asyncio.timeout(max(ANSWER_LEAST, (pulse.fail_closed_after or 0.0) * ANSWER)):
                    await self._write(pulse)
            except (KubeError, TimeoutError) as error:
                why = str(error) or "no answer from the API server in time"
            except Exception as error:  # noqa: BLE001 - a bug must not end the heartbeats of all accounts
                why = f"{type(error).__name__} at {place_of(error)}"
        if bool(why) != bool(pulse.silent):
            about = log.bind(namespace=pulse.namespace, account=pulse.name)
            if why:
                about.warning("no heartbeat for the gate", why=why)
            else:
                about.info("the gate has its heartbeat again")
        pulse.silent = why
        if not why:
            pulse.written_at = now
        self._taken.discard(pulse)
        if pulse in self._due:
            pause = pulse.period * AGAIN if why else pulse.period
            self._schedule(pulse, max(now + pause, self._clock.monotonic()))

    async def _write(self, pulse: Pulse) -> None:
        namespace, name = pulse.namespace, heartbeat_name(pulse.name)
        body, pulse.version = lease(pulse), ""
        try:
            stored = await self._may("patch", namespace, self._leases.patch_lease(namespace, name, body))
        except KubeError as error:
            if error.status != NOT_FOUND:
                raise
            body = lease(pulse)
            body["metadata"]["name"] = name
            stored = await self._may("create", namespace, self._leases.write_lease(namespace, name, body))
        pulse.version = str(stored["metadata"]["resourceVersion"])

    async def _may(self, verb: str, namespace: str, call: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Make a call, and tell what right it lacks."""
        try:
            stored = await call
        except KubeError as error:
            if error.status == FORBIDDEN:
                self._rights.refused(verb, HEARTBEATS, namespace)
            elif error.status == NOT_FOUND:
                self._rights.granted(verb, HEARTBEATS, namespace)
            raise
        self._rights.granted(verb, HEARTBEATS, namespace)
        return stored


def _closes(pulse: Pulse, due: float) -> float:
    """When its gate is to be believed to close, monotonic seconds, where it is `due`.

    One that can't be written for long is no more urgent than others: it would take all their turns.
    """
    after = pulse.fail_closed_after or 0.0
    return max(pulse.written_at, due - pulse.period * (1 if pulse.written_at > -inf else RENEWALS - 1)) + after


def lease(pulse: Pulse) -> dict[str, Any]:
    """The Lease that tells the next beat, but for its name. With the account it is collected."""
    renewed = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    metadata = {
        "labels": dict(LABELS),
        "annotations": pulse.beat().annotations(),
        "ownerReferences": [{"apiVersion": API_VERSION, "kind": KIND, "name": pulse.name, "uid": pulse.uid}],
    }
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata | ({"resourceVersion": pulse.version} if pulse.version else {}),
        "spec": {
            "holderIdentity": pulse.claim.holder,
            "leaseDurationSeconds": ceil(pulse.fail_closed_after or 1),
            "renewTime": renewed,
        },
    }

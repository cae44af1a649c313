"""Which of several replicas looks after an account, and which of them are alive: in, what was observed; out, an answer.

Invariants:
1. Replicas that know of the same others agree on the owner, without asking each other.
2. Where a replica comes or goes, only accounts move that it gets or had.
3. A replica is alive for one duration of its Lease since its Lease was last *seen to change*, by the observer's own
   clock: what time another machine thinks it is plays no part.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FORGOTTEN_AFTER = 10
"""Durations after which a Lease that nobody renews is nobody's any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a replica says of itself. `version` changes with each renewal; `duration`: seconds.

    `namespaces`: those whose accounts it looks after; empty: all.
    """

    name: str
    identity: str
    version: str
    duration: float
    namespaces: frozenset[str] = frozenset()

    def covers(self, namespace: str) -> bool:
        """Whether it looks after accounts of `namespace`."""
        return not self.namespaces or namespace in self.namespaces


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Lease, and the seconds by the observer's clock at which it was first seen as it is."""

    lease: Lease
    at: float

    def alive(self, now: float) -> bool:
        """Whether its replica may still act."""
        return now - self.at < self.lease.duration

    def forgotten(self, now: float) -> bool:
        """Whether it is only litter."""
        return now - self.at > FORGOTTEN_AFTER * self.lease.duration


def observed(before: Mapping[str, Sighting], leases: Iterable[Lease], now: float) -> dict[str, Sighting]:
    """What is known by name after `leases` were listed: one that did not change keeps the time of its change."""
    known = {}
    for lease in leases:
        seen = before.get(lease.name)
        same = seen is not None and seen.lease.version == lease.version
        known[lease.name] = seen if same and seen is not None else Sighting(lease, now)
    return known


def owner(key: str, identities: Iterable[str]) -> str:
    """The identity with the highest hash of itself and `key` (rendezvous hashing); empty where there is none."""
    return max(identities, key=lambda identity: (_weight(identity, key), identity), default="")


def _weight(identity: str, key: str) -> bytes:
    return hashlib.sha256(f"{identity}|{key}".encode()).digest()

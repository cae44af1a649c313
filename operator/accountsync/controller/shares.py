"""Which TradingAccounts trade on one exchange account, what their bots believed last, and what was done for each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from accountsync.domain.expected import ExpectedState
from accountsync.domain.sharing import ALONE, Sharing, Sibling
from accountsync.ports import Clock

Place = tuple[str, ...]
"""Namespace, the shared name, and which exchange it is on; by whatever address, since one account may have several."""


@dataclass(frozen=True, slots=True)
class _Member:
    place: Place
    name: str
    prefix: str
    active: bool
    belief: ExpectedState | None = None
    fresh_until: int = 0
    acted: frozenset[str] = frozenset()


class Shares:
    """All accounts that share one, by UID. A belief counts as long as it does for its own account."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._members: dict[str, _Member] = {}

    def announce(self, body: Mapping[str, Any]) -> None:
        """An account is there, or changed."""
        metadata, spec = body["metadata"], body.get("spec", {})
        exchange = spec.get("exchange", {})
        uid = metadata["uid"]
        if not exchange.get("sharedAccount"):
            self.withdraw(uid)
            return
        where = (exchange.get(field) for field in ("sharedAccount", "id", "sandbox"))
        before = self._members.get(uid)
        self._members[uid] = _Member(
            place=(metadata["namespace"], *(str(part or "") for part in where)),
            name=metadata["name"],
            prefix=spec.get("bot", {}).get("orderIdPrefix", ""),
            active=not spec.get("suspend"),
            belief=before.belief if before else None,
            fresh_until=before.fresh_until if before else 0,
            acted=before.acted if before else frozenset(),
        )

    def withdraw(self, uid: str) -> None:
        """An account is gone, or alone on its exchange account."""
        self._members.pop(uid, None)

    def key(self, uid: str) -> str:
        """By which its owner is chosen: the same for all accounts that share one, so that one process has them all."""
        member = self._members.get(uid)
        return "/".join(member.place) if member else uid

    def believe(self, uid: str, belief: ExpectedState | None, stale_after_ms: int) -> None:
        """What the bot of an account believes, as its own cycle accepted it; None: Unknown."""
        member = self._members.get(uid)
        if member is not None:
            until = belief.as_of + stale_after_ms if belief else 0
            self._members[uid] = replace(member, belief=belief, fresh_until=until)

    def did(self, uid: str, acted: frozenset[str]) -> frozenset[str]:
        """What our own actions for an account are known by (`Past.acted`); with those for the others on its account."""
        own = self._members.get(uid)
        if own is None:
            return acted
        self._members[uid] = replace(own, acted=acted)
        return acted.union(*(member.acted for member in self._members.values() if member.place == own.place))

    def of(self, uid: str) -> Sharing:
        """The others on the exchange account of `uid`; the first name among those that run tells what is nobody's."""
        own = self._members.get(uid)
        if own is None:
            return ALONE
        others = [member for key, member in self._members.items() if member.place == own.place and key != uid]
        now = self._clock.now_ms()
        return Sharing(
            siblings=tuple(
                Sibling(member.name, member.prefix, member.belief if now <= member.fresh_until else None)
                for member in sorted(others, key=lambda member: member.name)
            ),
            leads=all(own.name < member.name for member in others if member.active),
        )

"""What the steps of a full reset ask of the API server, and how they wait for it.

In:  an account and the reset that its annotation names. Out: its plan, where it stands, and the account once it fits.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from accountsync.api.v1alpha1 import GROUP
from accountsync.cli.account import REQUESTED_AT, Account
from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import ClusterError
from accountsync.cli.doing import settled
from accountsync.cli.planned import StoredPlan
from accountsync.cli.selection import Target
from accountsync.cli.texts import printable
from accountsync.domain.reset import reset_key
from accountsync.domain.standing import CONDITION, Stage, Standing

RESET = f"{GROUP}/reset"
CONFLICT = 409
TRIES = 5
TOLD = ("ApprovalsUnprotected", "RemediationBlocked", "Ready")
"""Conditions that may say why nothing goes on."""


class Stopped(Exception):  # noqa: N818 - no error: somebody has to do something first
    """A step can't go on; the text says why, and what to do."""


def standing_of(account: Account, asked: str) -> Standing | None:
    """Where the reset `asked` stands, as the operator last said; None: it has not said yet."""
    row = next((row for row in account.status.conditions if row.type == CONDITION), None)
    found = Standing.of(row.reason, printable(row.message)) if row else None
    return found if found is not None and found.id == asked else None


def stage_of(account: Account, asked: str) -> Stage | None:
    """The same in a word."""
    said = standing_of(account, asked)
    return said.stage if said else None


def told(account: Account, said: Standing | None) -> str:
    """What the operator says of it, for somebody who waited in vain."""
    rows = [row for row in account.status.conditions if row.type in TOLD]
    words = [said.text] if said is not None else []
    words += [printable(row.message) for row in rows if (row.status == "True") is (row.type != "Ready")]
    return "; ".join(words) or "the operator has not said why: is it running?"


class Errand:
    """`seen`: the account as it was read last; `asked`: the reset that is under way; `wait`: seconds at most."""

    def __init__(self, cluster: Cluster, target: Target, seen: Account, wait: float) -> None:
        self._cluster, self._target = cluster, target
        self.seen, self.wait = seen, wait
        self.asked = seen.annotation(RESET)

    async def now(self) -> Account:
        """The account as it is now."""
        self.seen = Account.of(await self._cluster.get(self._target.namespace, self._target.name))
        return self.seen

    async def until(self, fits: Callable[[Account], bool]) -> Account | None:
        """The account once it fits; None: it did not in time."""
        found = await settled(self._cluster, self._target, fits, self.wait)
        self.seen = found or self.seen
        return found

    async def patch(self, change: dict[str, Any]) -> Account:
        """Merge `change` into the account."""
        self.seen = Account.of(await self._cluster.patch(self._target.namespace, self._target.name, change))
        return self.seen

    async def plan(self) -> StoredPlan | None:
        """The plan of the reset that is asked for, once the operator has written what it waits for: its last change."""
        if not self.asked:
            return None
        key, uid = reset_key(self.asked), self.seen.metadata.get("uid")
        plans = [StoredPlan.of(body) for body in await self._cluster.plans(self._target.namespace)]
        own = (plan for plan in plans if plan.spec["account"].get("uid") == uid)
        return next((p for p in own if key in (p.spec.get("findings") or ()) and p.status.get("phase")), None)

    async def again(self, plan: StoredPlan) -> StoredPlan:
        """The plan as it is now."""
        return StoredPlan.of(await self._cluster.plan(self._target.namespace, plan.metadata["name"]))

    async def look(self) -> str:
        """Ask for a cycle; what the status will echo."""
        echo = _now()
        await self.patch({"metadata": {"annotations": {REQUESTED_AT: echo}}})
        return echo

    async def abandon(self) -> bool:
        """Forget the reset. Whether the operator has followed in time: from then on it begins nothing of it."""
        echo = _now()
        await self.patch({"metadata": {"annotations": {REQUESTED_AT: echo, RESET: None}}})
        self.asked = ""
        return await self.until(lambda account: account.status.last_handled_reconcile_at == echo) is not None

    async def ask(self) -> str:
        """Ask for a new reset; the same. Of two who do so at once, the second goes on with what the first asked for."""
        before = self.asked
        for _ in range(TRIES):
            asked, echo = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}", _now()
            version, notes = self.seen.metadata["resourceVersion"], {REQUESTED_AT: echo, RESET: asked}
            try:
                body = await self._cluster.annotate(self._target.namespace, self._target.name, version, notes)
            except ClusterError as error:
                if error.status != CONFLICT:
                    raise
                others = (await self.now()).annotation(RESET)
                if others not in {"", before}:
                    self.asked = others
                    return await self.look()
                continue
            self.seen, self.asked = Account.of(body), asked
            return echo
        raise Stopped("the account changes all the time: could not ask for a reset")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

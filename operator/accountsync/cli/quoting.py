"""Lifting a hold by the digest of what a person has seen, and telling what the operator made of it."""

from accountsync.api.v1alpha1 import Hold, HoldSource
from accountsync.cli.account import RESUME, RESUMED_BY, Account, said, unseen
from accountsync.cli.cluster import Cluster
from accountsync.cli.doing import GLANCE, Outcome, settled
from accountsync.cli.screen import line_of
from accountsync.cli.selection import Target


class Quote:
    """Lifts a hold by the digest that a person quotes."""

    def __init__(self, cluster: Cluster, wait: float | None) -> None:
        self._cluster, self._wait = cluster, wait

    async def quote(self, target: Target, digest: str) -> Outcome:
        """Write the digest and who quotes it, and tell what the operator made of it."""
        body = await self._cluster.glance(target.namespace, target.name)
        before = Account.of(body) if body else None
        if before is not None and not before.resumable() and not before.unreadable:
            return Outcome(target, f"no hold that a digest lifts; {left(before)}")
        change = {"metadata": {"annotations": {RESUME: digest, RESUMED_BY: self._cluster.user or None}}}
        after = Account.of(await self._cluster.patch(target.namespace, target.name, change))
        if before is None:
            text = f"wrote the digest {digest}; whether the operator followed can't be seen without the right to get"
            return Outcome(target, text, failed=self._wait is not None)

        def answered(account: Account) -> bool:
            return account.status.last_handled_resume == digest

        seconds = 2 * GLANCE if self._wait is None else self._wait
        seen = await settled(self._cluster, target, answered, seconds)
        if seen is None:
            text = f"wrote the digest {digest}; {unanswered(seconds)}; {left(after)}"
            return Outcome(target, text, failed=self._wait is not None)
        return _judged(target, digest, before, seen)


def _judged(target: Target, digest: str, before: Account, after: Account) -> Outcome:
    """Lifted or refused: the status tells by the holds that stand."""
    meant = next((h for h in before.resumable() if unseen(h, digest, ()) is not None), None)
    if meant is None:
        where = f"{target.name} -n {target.namespace}"
        text = f"REFUSED: {digest} is of no hold that stands: accountsync resume {where} --seen  shows those and asks"
        return Outcome(target, text, failed=True)
    stands = after.hold(meant.source)
    if stands is None or stands.since != meant.since:
        return Outcome(target, f"lifted the {meant.source} hold; {left(after)}")
    return Outcome(target, _refused(target, digest, stands, after), failed=True)


def _refused(target: Target, digest: str, hold: Hold, account: Account) -> str:
    found = account.status.findings
    new = unseen(hold, digest, found.items if found else ()) or []
    lines = "".join(f"\n  {line_of(each)}" for each in new)
    return (
        f"REFUSED: the {hold.source} hold stands for more than {digest} does. New since then:{lines or ' see status'}"
        f"\n  accountsync resume {target.name} -n {target.namespace} --seen  shows all of it and asks"
    )


def unanswered(seconds: float) -> str:
    """That a wait was in vain."""
    return f"the operator has not answered in {seconds:g} s"


def left(account: Account) -> str:
    """What holds the bot, and what to do about it."""
    if account.unreadable:
        return f"its status can't be read: {account.unreadable}"
    holds = "; ".join(said(hold) for hold in account.status.holds)
    if not holds and not account.paused:
        return "the bot runs"
    pause = "" if not account.paused or account.hold(HoldSource.USER) else f"spec.paused {account.reason}".strip()
    how = ""
    if account.resumable():
        how = f"; accountsync resume {account.name} -n {account.namespace} --seen"
    elif account.paused:
        how = f"; accountsync resume {account.name} -n {account.namespace}"
    return f"STILL HELD by {'; '.join(filter(None, [pause, holds]))}{how}"

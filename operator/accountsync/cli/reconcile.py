"""`accountsync reconcile`: have a cycle run now."""

from datetime import UTC, datetime

import click

from accountsync.cli.account import REQUESTED_AT, Account
from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import Place
from accountsync.cli.doing import Outcome, Waits, carry_out, concluded, for_each, settled, waiting
from accountsync.cli.screen import finding_lines, verdict
from accountsync.cli.selection import Selection, Target, selecting


@click.command(cls=Waits)
@selecting
@waiting("the operator says that its cycle is done, and show what it found")
def reconcile(selection: Selection, place: Place, wait: float | None) -> None:
    """Have the exchange and the bot compared now, and not only when the next cycle is due.

    Needs the right to patch tradingaccounts, to get them for --wait, and to list them for --all and -l.
    Exit code 1: at least one was not asked for or, with --wait, not done. What was found does not count.
    """

    async def work(cluster: Cluster) -> int:
        targets = await selection.targets(cluster)
        asked = await for_each(cluster, targets, _Request(cluster).ask)
        code = concluded(asked, "asked for")
        put = {outcome.target: outcome.after for outcome in asked if outcome.after is not None}
        if wait is None or not put:
            return code
        answer = _Answer(cluster, put, wait)
        return concluded(await for_each(cluster, list(put), answer.await_echo, at_once=len(put)), "done") or code

    carry_out(place, work)


class _Request:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def ask(self, target: Target) -> Outcome:
        """Ask for a cycle; the time is unique to the microsecond."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        change = {"metadata": {"annotations": {REQUESTED_AT: now}}}
        after = Account.of(await self._cluster.patch(target.namespace, target.name, change))
        return Outcome(target, f"asked for at {now}", after=after)


class _Answer:
    def __init__(self, cluster: Cluster, asked: dict[Target, Account], wait: float) -> None:
        self._cluster, self._asked, self._wait = cluster, asked, wait

    async def await_echo(self, target: Target) -> Outcome:
        """Wait until the status echoes this request, or one that came after it, and tell what it found."""
        own = self._asked[target].annotation(REQUESTED_AT)

        def echoed(account: Account) -> bool:
            return account.status.last_handled_reconcile_at in {own, account.annotation(REQUESTED_AT)}

        done = await settled(self._cluster, target, echoed, self._wait, len(self._asked))
        if done is None:
            text = f"no cycle in {self._wait:g} s: is the operator running?"
            return Outcome(target, text, failed=True)
        return Outcome(target, "\n".join([verdict(done), *finding_lines(done)]))

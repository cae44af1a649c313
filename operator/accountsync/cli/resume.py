"""`accountsync resume`: lift a person's pause, or a hold over findings that the person has seen."""

import asyncio
import sys
from datetime import UTC, datetime

import click

from accountsync.api.caps import DIGEST_CAP
from accountsync.api.v1alpha1 import HoldSource
from accountsync.cli.account import Account
from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import ClusterError, Place
from accountsync.cli.doing import GLANCE, Outcome, Waits, carry_out, concluded, confirmed, for_each, settled, waiting
from accountsync.cli.quoting import Quote, left, unanswered
from accountsync.cli.screen import screen
from accountsync.cli.selection import Selection, Target, selecting
from accountsync.cli.status import shown


@click.command(cls=Waits)
@selecting
@click.option("--digest", default="", help="Lift the hold that has this digest: you have seen what it stands for.")
@click.option("--seen", is_flag=True, help="Show what the holds stand for, ask, and lift those with a digest.")
@click.option("--yes", is_flag=True, help="With --seen: do not ask.")
@waiting("the operator has followed, and fail if it has not")
def resume(selection: Selection, place: Place, *, digest: str, seen: bool, yes: bool, wait: float | None) -> None:
    """Let bots trade again.

    Without --digest or --seen it lifts what `pause` did: spec.paused and its reason. With one of them it lifts a hold
    of the operator's, which takes a digest that stands for what you have seen, and leaves spec.paused alone. What
    holds a bot after that is printed.

    Needs the right to patch tradingaccounts, and the verb resume on them where the chart's admission policy is
    installed; to get them for --seen, and to list them for --all and -l. Exit code 1: at least one was not lifted.
    """
    if digest and (seen or len(selection.names) != 1):
        raise click.UsageError("--digest is for one NAME, and not with --seen: it says what you saw of that account")
    if digest and not (digest.isascii() and digest.isalnum() and len(digest) <= DIGEST_CAP):
        raise click.UsageError("--digest is of letters and digits, as `accountsync status NAME` shows it")
    if yes and not seen:
        raise click.UsageError("--yes goes with --seen")

    async def work(cluster: Cluster) -> int:
        targets, _ = await asyncio.gather(selection.targets(cluster), cluster.introduce())
        if seen:
            return await _one_by_one(cluster, targets, wait, yes=yes)
        if digest:
            quote = Quote(cluster, wait)
            return concluded(await for_each(cluster, targets, lambda target: quote.quote(target, digest)), "resumed")
        switch = _Switch(cluster, wait)
        code = concluded(await for_each(cluster, targets, switch.lift), "resumed")
        if not switch.lifted:
            return code
        looks = await for_each(cluster, list(switch.lifted), switch.look, at_once=len(switch.lifted))
        return 1 if any(outcome.failed for outcome in looks) else code

    carry_out(place, work)


async def _one_by_one(cluster: Cluster, targets: list[Target], wait: float | None, *, yes: bool) -> int:
    """Show each account, ask, and quote what was shown."""
    quote = Quote(cluster, wait)

    async def one(target: Target) -> Outcome:
        account = await shown(cluster, target)
        click.echo(screen(account, datetime.now(UTC)))
        holds = account.resumable()
        if not holds:
            return Outcome(target, f"no hold that a digest lifts; {left(account)}")
        if not yes:
            if not sys.stdin.isatty():
                return Outcome(target, "not resumed: nobody to ask here; give --digest, or --yes", failed=True)
            if not confirmed(f"Let {target} trade over what is listed above?"):
                return Outcome(target, "not resumed: left as it is", failed=True)
        for hold in holds:
            outcome = await quote.quote(target, hold.digest or "")
            if outcome.failed:
                break
        return outcome

    return concluded(await for_each(cluster, targets, one, at_once=1), "resumed")


class _Switch:
    """Lifts what `pause` did."""

    def __init__(self, cluster: Cluster, wait: float | None) -> None:
        self._cluster, self._wait = cluster, wait
        self.lifted: dict[Target, Account] = {}

    async def lift(self, target: Target) -> Outcome:
        """Lift spec.paused; its reason goes with it, or a later pause without a reason would have that one."""
        before = target.seen
        if before is None:
            body = await self._cluster.glance(target.namespace, target.name)
            before = Account.of(body) if body else None
        change = {"spec": {"paused": False, "pauseReason": None}}
        self.lifted[target] = Account.of(await self._cluster.patch(target.namespace, target.name, change))
        return Outcome(target, _lifted(before))

    async def look(self, target: Target) -> Outcome:
        """Tell what holds the bot, once the operator has followed."""
        after = self.lifted[target]
        seconds = GLANCE if self._wait is None else self._wait
        try:
            seen = await settled(self._cluster, target, _followed, seconds, len(self.lifted))
        except ClusterError as error:
            return Outcome(target, f"what holds it now can't be seen: {error}", failed=self._wait is not None)
        if seen is None:
            return Outcome(target, f"{unanswered(seconds)}; {left(after)}", failed=self._wait is not None)
        return Outcome(target, left(seen), failed=seen.paused)


def _followed(account: Account) -> bool:
    """Whether the operator has seen the pause lifted, or somebody paused it again."""
    return account.paused or (account.followed and account.hold(HoldSource.USER) is None)


def _lifted(before: Account | None) -> str:
    if before is None:
        return "lifted spec.paused"
    if not before.paused:
        return "was not paused"
    by = f" by {who}" if (who := before.paused_by()) else ""
    return f"lifted the pause{by}, {before.reason or 'for which no reason was given'}"

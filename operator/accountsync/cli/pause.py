"""`accountsync pause`: the kill switch."""

import asyncio

import click

from accountsync.api.v1alpha1 import HoldSource
from accountsync.cli.account import Account, said
from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import Place
from accountsync.cli.doing import Outcome, Waits, carry_out, concluded, for_each, settled, waiting
from accountsync.cli.selection import Selection, Target, selecting
from accountsync.cli.texts import moment

REASON_CHARACTERS = 256
LEVELS = ("ReduceOnly", "Halt")


@click.command(cls=Waits)
@selecting
@click.option("--reason", default="", help="Why, for the people who find it so.  [default: the one that stands]")
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    help="ReduceOnly: add no exposure; exits go on. Halt: exits stop too. It stays, for every hold, until another"
    " is given.  [default: the one that stands]",
)
@waiting("each status shows the hold")
def pause(selection: Selection, place: Place, reason: str, level: str | None, wait: float | None) -> None:
    """Stop bots: the kill switch.

    Sets spec.paused and nothing else but its reason and level. A bot obeys spec.paused at once, also while the operator
    is down; --wait asks whether the operator has seen it too. Needs the right to patch tradingaccounts (and to list
    them for --all and -l). Exit code 1: at least one is not paused, and the last line names it.
    """
    if len(reason) > REASON_CHARACTERS:
        raise click.UsageError(f"--reason has {len(reason)} characters: at most {REASON_CHARACTERS} are stored")

    async def work(cluster: Cluster) -> int:
        targets, _ = await asyncio.gather(selection.targets(cluster), cluster.introduce())
        switch = _Switch(cluster, reason, level, wait or 0)
        outcomes = await for_each(cluster, targets, switch.throw)
        code = concluded(outcomes, "paused")
        if wait is None or all(outcome.after is None for outcome in outcomes):
            return code
        thrown = {outcome.target: outcome.after for outcome in outcomes if outcome.after is not None}
        switch.crowd = len(thrown)
        seen = await for_each(cluster, list(thrown), switch.await_hold, at_once=len(thrown))
        return concluded(seen, "seen by the operator") or code

    carry_out(place, work)


class _Switch:
    def __init__(self, cluster: Cluster, reason: str, level: str | None, wait: float) -> None:
        self._cluster, self._reason, self._level, self._wait = cluster, reason, level, wait
        self.crowd = 1

    async def throw(self, target: Target) -> Outcome:
        """Pause one account. What it was before is told if it can be had; nothing waits for it for long."""
        before = target.seen
        if before is None:
            body = await self._cluster.glance(target.namespace, target.name)
            before = Account.of(body) if body else None
        spec = {
            "paused": True,
            **({"pauseReason": self._reason} if self._reason else {}),
            **({"pauseLevel": self._level} if self._level else {}),
        }
        after = Account.of(await self._cluster.patch(target.namespace, target.name, {"spec": spec}))
        if self._level and after.level != self._level:
            text = f"paused, but not at {self._level}: this cluster's CRD has no spec.pauseLevel: apply the newer crds/"
            return Outcome(target, f"FAILED: {text}", failed=True, after=after)
        return Outcome(target, _told(before, after), after=after)

    async def await_hold(self, target: Target) -> Outcome:
        """Wait until the status shows that the operator knows."""
        seen = await settled(self._cluster, target, _held, self._wait, self.crowd)
        hold = seen.hold(HoldSource.USER) if seen else None
        if hold is None:
            text = (
                f"the operator has not said so in {self._wait:g} s: is it running? The bot obeys spec.paused without it"
            )
            return Outcome(target, text, failed=True)
        return Outcome(target, f"the operator holds it too, since {moment(hold.since)}")


def _held(account: Account) -> bool:
    return account.followed and account.hold(HoldSource.USER) is not None


def _told(before: Account | None, after: Account) -> str:
    level = f" at {after.level}" if after.level else ""
    if before is None:
        return f"paused{level}; what it was before could not be read"
    if not before.paused:
        holds = "; ".join(said(hold) for hold in before.status.holds)
        return f"paused{level}; it was {f'held by {holds}' if holds else 'running'}"
    by = f" by {who}" if (who := before.paused_by()) else ""
    if after.reason != before.reason:
        kept = f"; the reason was {before.reason or 'empty'} and is now {after.reason}"
    else:
        kept = f"; the reason stays {after.reason}" if after.reason else "; no reason is given"
    changed = f"; the level was {before.level or 'not set'}" if after.level != before.level else ""
    return f"was paused already{by}{kept}{changed and f'{changed} and is now {after.level}'}"

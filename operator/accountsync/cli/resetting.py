"""The steps of a full reset. Each says what it will do, does it, and says what came of it.

Nothing is remembered here: where a reset stands is read from the account's annotation, its condition and the plan, so
that whoever gives the command again goes on from there.

Invariants: only the API server is spoken to, with the person's own rights; nothing is approved that was not shown; the
bot stays paused whatever happens, unless it was asked for and all is clean.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

import click

from accountsync.api.v1alpha1 import HoldSource
from accountsync.cli.account import Account
from accountsync.cli.cluster import Cluster
from accountsync.cli.connection import ClusterError
from accountsync.cli.doing import LOOK_EVERY, confirmed
from accountsync.cli.errand import CONFLICT, RESET, Errand, Stopped, stage_of, standing_of, told
from accountsync.cli.planned import StoredPlan
from accountsync.cli.quoting import Quote, left
from accountsync.cli.reset_steps import REASON, UNKNOWN, agreed, clearing, place, usual
from accountsync.cli.screen import finding_lines, resume_lines, verdict
from accountsync.cli.selection import Target
from accountsync.cli.texts import moment, printable
from accountsync.domain.plan import Phase
from accountsync.domain.standing import OVER, Stage, Standing


class Course:
    """A reset on its way. `seen`: the account as it was read first; `wait`: seconds that each step waits at most."""

    def __init__(
        self, cluster: Cluster, target: Target, seen: Account, *, wait: float, yes: bool, resume: bool
    ) -> None:
        self._cluster, self._target = cluster, target
        self.errand = Errand(cluster, target, seen, wait)
        self._yes, self._resume = yes, resume

    @property
    def hint(self) -> str:
        """What holds now, and how to go on."""
        where = f"{self._target.name} -n {self._target.namespace}"
        if not self.errand.seen.paused:
            return f"see accountsync status {where}"
        stays = f"{self._target} stays paused. To go on from here: accountsync reset {where}"
        return f"{stays}; to forget the reset: accountsync reset {where} --abandon" if self.errand.asked else stays

    async def run(self) -> None:
        """All steps. Raises Stopped or ClusterError; then the same again goes on from there."""
        if self.errand.asked:
            click.echo(f"goes on with reset {self.errand.asked} of {self._target}, which is under way")
        await self._pause()
        await self._carry_out(await self._ask())
        await self._clear()
        await self._end(await self._verify())

    async def _pause(self) -> None:
        errand = self.errand
        _begin(1)
        if errand.seen.paused:
            _say(f"it was paused already: {errand.seen.reason or 'no reason is given'}")
        else:
            await errand.patch({"spec": {"paused": True, "pauseReason": REASON}})
            _say("spec.paused is true")
        seen = await errand.until(lambda account: account.followed and account.hold(HoldSource.USER) is not None)
        hold = seen.hold(HoldSource.USER) if seen else None
        if hold is None:
            raise Stopped(f"the operator has not said in {errand.wait:g} s that it holds the bot: is it running?")
        _say(f"the operator holds it since {moment(hold.since)}")

    async def _ask(self) -> StoredPlan | None:
        """The plan of the reset; None: there is nothing to cancel or to close any more."""
        errand = self.errand
        _begin(2)
        plan = await errand.plan()
        if plan is not None and plan.open:
            _say(f"the plan is there: {plan.name}")
            return plan
        again = stage_of(errand.seen, errand.asked) is Stage.LEFT
        echo = await (errand.ask() if again or not errand.asked else errand.look())
        _say(f"asked for reset {errand.asked}" + (": the last one left something" if again else ""))
        deadline = time.monotonic() + errand.wait
        while True:
            plan = await errand.plan()
            if plan is not None and plan.open:
                return plan
            account = await errand.now()
            said = standing_of(account, errand.asked)
            if said is not None and account.status.last_handled_reconcile_at == echo:
                if said.stage in OVER:
                    _require_nothing_left(said, plan)
                    return None
                if said.stage is Stage.REFUSED:
                    raise Stopped(f"the operator makes no plan: {said.text}")
            if account.annotation(RESET) != errand.asked:
                raise Stopped("somebody else asked for another reset, or abandoned this one, meanwhile")
            if time.monotonic() >= deadline:
                raise Stopped(f"there is no plan after {errand.wait:g} s: {told(account, said)}")
            await asyncio.sleep(LOOK_EVERY)

    async def _carry_out(self, plan: StoredPlan | None) -> None:
        _begin(3)
        if plan is None:
            _say("nothing is left to cancel or to close")
            return
        now, errand = datetime.now(UTC), self.errand
        click.echo("\n".join([*plan.lines(now), *plan.action_lines()]))
        if plan.phase == Phase.PENDING and not plan.approved:
            await self._approve(plan, now)
        over = await self._over(plan)
        click.echo("\n".join(over.action_lines()))
        _say(f"the plan has ended: {_end_of(over)}")
        said = await self._read_again(OVER)
        if said is None:
            raise Stopped(f"the account was not read whole in {errand.wait:g} s after it")
        if said.stage is Stage.LEFT:
            raise Stopped(f"{said.text}. What the plan came to: {_end_of(over)}. The next reset plans for what is left")
        _say(said.text)

    async def _approve(self, plan: StoredPlan, now: datetime) -> None:
        if why := plan.unapprovable(now):
            raise Stopped(f"NOT approved: {why}")
        if not self._yes:
            if not sys.stdin.isatty():
                raise Stopped("NOT approved: nobody to ask here; give --yes")
            if not confirmed(f"Cancel and close all of this for {self._target}?"):
                raise Stopped("NOT approved: left as it is")
        try:
            await self._cluster.approve(self._target.namespace, plan.metadata["name"], plan.version)
        except ClusterError as error:
            where = f"{plan.metadata['name']} -n {self._target.namespace}"
            if error.status == CONFLICT:
                raise Stopped("NOT approved: the plan has changed since it was shown: look again") from None
            raise Stopped(f"NOT approved: {error}. Somebody who may: accountsync approve {where}") from None
        _say("approved")

    async def _over(self, plan: StoredPlan) -> StoredPlan:
        """The plan once it has ended."""
        errand, phase = self.errand, plan.phase
        deadline = time.monotonic() + errand.wait
        while plan.open:
            if plan.phase != phase:
                phase = plan.phase
                _say(printable(phase))
            if phase == Phase.UNKNOWN:
                click.echo("\n".join(plan.action_lines()))
                raise Stopped(f"{UNKNOWN} accountsync resume {self._target.name} -n {self._target.namespace} --seen")
            if time.monotonic() >= deadline:
                raise Stopped(f"the plan is {phase} after {errand.wait:g} s: {told(await errand.now(), None)}")
            await asyncio.sleep(LOOK_EVERY)
            plan = await errand.again(plan)
        return plan

    async def _clear(self) -> None:
        errand = self.errand
        _begin(4, clearing(errand.seen))
        await errand.until(lambda account: stage_of(account, errand.asked) in {Stage.CLEAN, Stage.LEFT})
        said = standing_of(await errand.now(), errand.asked)
        if said is None or said.stage not in {Stage.CLEAN, Stage.LEFT}:
            raise Stopped(f"not so after {errand.wait:g} s: {told(errand.seen, said)}")
        if said.stage is Stage.LEFT:
            raise Stopped(f"{said.text}: it came there although the bot is paused. The next reset plans for it")
        _say(said.text)

    async def _verify(self) -> Account:
        """The account that was found clean: only what held the bot then is lifted."""
        errand = self.errand
        _begin(5)
        if await self._read_again({Stage.CLEAN}, agreed) is None:
            now = await errand.now()
            lines = "\n".join([verdict(now), *finding_lines(now)])
            raise Stopped(f"both sides do not agree after {errand.wait:g} s: {lines}")
        verified = errand.seen
        taken = verified.status.snapshot
        _say(verdict(verified) + (f"; the exchange as of {moment(taken.timestamp)}" if taken else ""))
        foreign = finding_lines(verified)
        if foreign:
            click.echo("\n".join(["  left alone, since they are not the bot's:", *foreign]))
        await errand.patch({"metadata": {"annotations": {RESET: None}}})
        errand.asked = ""
        return verified

    async def _end(self, verified: Account) -> None:
        errand = self.errand
        if not self._resume:
            _begin(6, "not asked for with --resume; nothing is done")
            click.echo("\n".join(f"  {line}" for line in resume_lines(verified)))
            return
        _begin(6)
        quote = Quote(self._cluster, errand.wait)
        for hold in verified.resumable():
            if hold.source == HoldSource.UNKNOWN_OUTCOME or errand.seen.hold(hold.source) is None:
                continue  # what became of an action is for a person to find out; the other one is gone by itself
            outcome = await quote.quote(self._target, hold.digest or "")
            _say(outcome.text)
            if outcome.failed:
                raise Stopped("the bot was not let go")
        await errand.patch({"spec": {"paused": False, "pauseReason": None}})
        account = await errand.until(lambda account: account.followed and account.hold(HoldSource.USER) is None)
        _say(left(errand.seen))
        if account is None or account.status.paused:
            raise Stopped("all is clean, and the bot is held all the same")

    async def _read_again(self, stages: Collection[Stage], also: Callable[[Account], bool] = bool) -> Standing | None:
        """Where the reset stands after one more cycle, once that is one of `stages`; None: it did not come to that."""
        errand = self.errand
        echo = await errand.look()

        def fits(account: Account) -> bool:
            at = stage_of(account, errand.asked)
            return account.status.last_handled_reconcile_at == echo and at in stages and also(account)

        account = await errand.until(fits)
        return standing_of(account, errand.asked) if account else None


def _begin(number: int, what: str = "") -> None:
    click.echo(f"{place(number)}: {what or usual(number)}")


def _say(text: str) -> None:
    click.echo(f"  {text}")


def _require_nothing_left(said: Standing, plan: StoredPlan | None) -> None:
    """The operator is done with this reset. Raises Stopped where something is left all the same."""
    _say(said.text)
    if said.stage is Stage.LEFT:
        how = _end_of(plan) if plan is not None else "it is gone"
        raise Stopped(f"the plan of this reset has ended ({how}), and something is left. The next one plans for that")


def _end_of(plan: StoredPlan) -> str:
    message = plan.status.get("message")
    return printable(f"{plan.phase}, {message}" if message else plan.phase)

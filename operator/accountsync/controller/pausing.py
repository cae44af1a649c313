"""Has a bot that is stopped by calls obey the holds, between its loop and a `Pauser`.

In:  the holds of a report that was written. Out: calls to the bot, what the status remembers of them, and what people
are told. It runs after each written report, in every mode: a hold is a hold.

Invariants:
1. What the bot did before is in the written status before it is told anything; a call that fails is made again with the
   next report; the bot goes on only after a report without holds was written.
2. Nothing is told to it by a process that may not be the account's owner any more; and to go on, by none whose
   predecessor's calls may still arrive.
3. That it was told to stop is remembered once it answered, or does so after an answer that was lost; else it is not
   let go on, should it be found stopped.
4. What one bot did is never used for another: what is remembered goes with the address.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from accountsync.api.v1alpha1 import FreqtradeState, StoppedBot, TradingAccountStatus
from accountsync.controller.events import Events
from accountsync.controller.ownership import Owner
from accountsync.domain.holds import Holds
from accountsync.domain.policy import PauseLevel
from accountsync.domain.stopping import Activity, Step, Stopped, next_step, stops, wanted
from accountsync.errors import AccountSyncError, ActionError, OutcomeUnknown
from accountsync.ports import Pauser
from accountsync.report.series import AccountSeries

log = structlog.get_logger()
NOT_STOPPED, NOT_RESUMED, LEFT_STOPPED = "BotNotStopped", "BotNotResumed", "BotLeftStopped"
Write = Callable[[], Awaitable[bool]]
"""Write the status as it is now; whether that was done."""


def address_of(source: FreqtradeState) -> str:
    """A digest of where the bot of `source` is, without its Secret: another bot has another one."""
    where = source.model_dump(mode="json", exclude={"secret_ref"})
    return hashlib.sha256(json.dumps(where, sort_keys=True).encode()).hexdigest()[:16]


class Pausing:
    """How the bot of one account is stopped. `disobeyed`: reason and message of the last call, where it failed."""

    def __init__(self, events: Events, owner: Owner, namespace: str, name: str) -> None:
        self._events = events
        self._owner = owner
        self._log = log.bind(namespace=namespace, account=name)
        self._memory: Stopped | None = None
        self._bot = ""
        """The address of the bot that is remembered."""
        self.disobeyed: tuple[str, str] | None = None
        self.obeyed: PauseLevel | None = None
        """How far the bot stopped for the holds that stand, as it said itself; None: it does not know of them yet."""

    def restore(self, status: TradingAccountStatus) -> None:
        """Remember what `status` does. A word that is not known is taken for that of a running bot."""
        stopped = status.stopped_bot
        if stopped is not None:
            before = Activity(stopped.before) if stopped.before in set(Activity) else Activity.RUNNING
            level = PauseLevel(stopped.level) if stopped.level in set(PauseLevel) else PauseLevel.REDUCE_ONLY
            told = PauseLevel(stopped.told) if stopped.told in set(PauseLevel) else None
            self._memory, self._bot, self.obeyed = Stopped(before, level, told), stopped.bot or "", told

    @property
    def memory(self) -> StoppedBot | None:
        """What the status has to remember."""
        kept = self._memory
        if kept is None:
            return None
        return StoppedBot(before=kept.before, level=kept.level, told=kept.told, bot=self._bot or None)

    @property
    def not_stopped(self) -> bool:
        """Whether a hold stands that the bot could not be told of when that was tried last."""
        return self.disobeyed is not None and self.disobeyed[0] == NOT_STOPPED

    async def forget(self, about: Mapping[str, Any]) -> None:
        """The bot is another one now, or is not stopped by calls any more. The next report writes that."""
        self.disobeyed = self.obeyed = None
        if self._memory is not None:
            self._memory = None
            await self._left(
                "spec.bot.state names another bot now, and the operator had stopped the former one, or was to", about
            )

    async def obey(
        self,
        bot: str,
        pauser: Pauser,
        holds: Callable[[], Holds],
        level: PauseLevel,
        write: Write,
        series: AccountSeries,
        about: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Bring the bot at the address `bot` to where `holds` want it.

        `level`: of the account. `about`: its body, for Events.
        """
        if not self._owner.stands:
            return
        if self._memory is not None and self._bot != bot:
            await self.forget(about())
            if not await write():
                return
        if self._bot != bot:
            self._bot, self.obeyed = bot, None
        want = wanted(holds(), level)
        if want is None:
            self.obeyed = None
        if want is not None or self._memory is not None:
            await self._bring(want, pauser, lambda: wanted(holds(), level), write, series, about)
        elif self.disobeyed is not None:
            self.disobeyed = None
            await write()

    async def _bring(
        self,
        want: PauseLevel | None,
        pauser: Pauser,
        wanted_now: Callable[[], PauseLevel | None],
        write: Write,
        series: AccountSeries,
        about: Callable[[], Mapping[str, Any]],
    ) -> None:
        before = self._memory
        try:
            now = await pauser.state()
            step = next_step(want, now, before)
            if step.calls and step.first != before:
                self._memory = step.first
                if not await write():
                    return
            if wanted_now() is not want or not self._may(step):
                return  # the next report decides anew; what is remembered stays
            await self._tell(step, pauser)
        except (AccountSyncError, ActionError) as error:
            await self._failed(error, want, series, write)
            return
        known, self._memory = self._memory, step.then
        self.obeyed = want
        if step.calls:
            await self._told(step, now, about())
        elif step.left:
            await self._left(f"nobody knows whether the operator or a person made the bot {now}", about())
        healed, self.disobeyed = self.disobeyed is not None, None
        if healed or step.then != known:
            await write()

    def _may(self, step: Step) -> bool:
        """Whether the bot is ours to tell, now."""
        return self._owner.stands and (step.resume is None or self._owner.left() > 0)

    @staticmethod
    async def _tell(step: Step, pauser: Pauser) -> None:
        """Make the call; where its answer is lost, look at once, before a person may have done the same by hand."""
        try:
            if step.pause is not None:
                await pauser.pause(step.pause)
            elif step.resume is not None:
                await pauser.resume(step.resume)
        except OutcomeUnknown:
            if await pauser.state() is not (stops(step.pause) if step.pause is not None else step.resume):
                raise

    async def _told(self, step: Step, now: Activity, about: Mapping[str, Any]) -> None:
        if step.pause is not None:
            note = f"the bot, which was {now}, was told to stop ({step.pause}): a hold stands"
            reason, action = "BotStopped", "Pause"
        else:
            note = f"the bot, which was {now}, was told to do again what it did ({step.resume}): no hold stands"
            reason, action = "BotResumed", "Resume"
        self._log.warning("bot told", what=reason, was=now.value)
        await self._events.tell(about, reason=reason, note=note, warning=step.pause is not None, action=action)

    async def _left(self, why: str, about: Mapping[str, Any]) -> None:
        note = f"{why}: it is left as it is. Start it by hand if it is to trade (docs/freqtrade.md)"
        self._log.warning("bot left stopped", what=LEFT_STOPPED)
        await self._events.tell(about, reason=LEFT_STOPPED, note=note, warning=True, action="Resume")

    async def _failed(
        self, error: AccountSyncError | ActionError, want: PauseLevel | None, series: AccountSeries, write: Write
    ) -> None:
        series.errors[error.reason.label] += 1
        before = self.disobeyed
        if want is None:
            self.disobeyed = NOT_RESUMED, f"no hold stands, and the bot could not be told to go on: {error.message}"
        else:
            self.disobeyed = NOT_STOPPED, f"a hold stands, and the bot could not be told to stop: {error.message}"
        self._log.warning("bot not told", what=self.disobeyed[0], reason=error.reason.value)
        if before is None or before[0] != self.disobeyed[0]:
            await write()

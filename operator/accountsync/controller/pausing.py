"""Has a bot that is stopped by calls obey the holds, between its loop and a `Pauser`.

In:  the holds of a report that was written. Out: calls to the bot, what the status remembers of them, and what people
are told. It runs after each written report, in every mode: a hold is a hold.

Invariants: what the bot did before is in the written status before it is told anything; a call that fails is made
again with the next report; the bot goes on only after a report without holds was written.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from accountsync.api.v1alpha1 import StoppedBot, TradingAccountStatus
from accountsync.controller.events import Events
from accountsync.domain.holds import Holds
from accountsync.domain.policy import PauseLevel
from accountsync.domain.stopping import Activity, Step, Stopped, next_step, wanted
from accountsync.errors import AccountSyncError, ActionError
from accountsync.ports import Pauser
from accountsync.report.series import AccountSeries

log = structlog.get_logger()
NOT_STOPPED, NOT_RESUMED = "BotNotStopped", "BotNotResumed"
Write = Callable[[], Awaitable[bool]]
"""Write the status as it is now; whether that was done."""


class Pausing:
    """How the bot of one account is stopped. `disobeyed`: reason and message of the last call, where it failed."""

    def __init__(self, events: Events, namespace: str, name: str) -> None:
        self._events = events
        self._log = log.bind(namespace=namespace, account=name)
        self._memory: Stopped | None = None
        self.disobeyed: tuple[str, str] | None = None

    def restore(self, status: TradingAccountStatus) -> None:
        """Remember what `status` does. A word that is not known is taken for that of a running bot."""
        stopped = status.stopped_bot
        if stopped is not None:
            before = Activity(stopped.before) if stopped.before in set(Activity) else Activity.RUNNING
            level = PauseLevel(stopped.level) if stopped.level in set(PauseLevel) else PauseLevel.REDUCE_ONLY
            self._memory = Stopped(before, level)

    @property
    def memory(self) -> StoppedBot | None:
        """What the status has to remember."""
        return None if self._memory is None else StoppedBot(before=self._memory.before, level=self._memory.level)

    async def obey(
        self,
        pauser: Pauser,
        holds: Callable[[], Holds],
        level: PauseLevel,
        write: Write,
        series: AccountSeries,
        about: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Bring the bot to where `holds` want it. `level`: of the account. `about`: its body, for Events."""
        want = wanted(holds(), level)
        if want is None and self._memory is None:
            if self.disobeyed is not None:
                self.disobeyed = None
                await write()
            return
        before = self._memory
        try:
            now = await pauser.state()
            step = next_step(want, now, before)
            if step.first != before:
                self._memory = step.first
                if not await write():
                    return
            if wanted(holds(), level) is not want:
                return  # the next report decides anew; what is remembered stays
            await self._tell(step, pauser)
        except (AccountSyncError, ActionError) as error:
            await self._failed(error, want, series, write)
            return
        self._memory = step.then
        if step.calls:
            await self._told(step, now, about())
        healed, self.disobeyed = self.disobeyed is not None, None
        if healed or step.then != step.first:
            await write()

    @staticmethod
    async def _tell(step: Step, pauser: Pauser) -> None:
        if step.pause is not None:
            await pauser.pause(step.pause)
        elif step.resume is not None:
            await pauser.resume(step.resume)

    async def _told(self, step: Step, now: Activity, about: Mapping[str, Any]) -> None:
        if step.pause is not None:
            note = f"the bot, which was {now}, was told to stop ({step.pause}): a hold stands"
            reason, action = "BotStopped", "Pause"
        else:
            note = f"the bot, which was {now}, was told to do again what it did ({step.resume}): no hold stands"
            reason, action = "BotResumed", "Resume"
        self._log.warning("bot told", what=reason, was=now.value)
        await self._events.tell(about, reason=reason, note=note, warning=step.pause is not None, action=action)

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

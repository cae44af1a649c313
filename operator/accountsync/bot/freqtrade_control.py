"""Stops a freqtrade bot, and lets it go on.

/pause ends entries and leaves exits alive; of a stopped bot it makes a paused one. /stop ends exits and stop-losses
that freqtrade watches itself, too. /start ends either. After a restart freqtrade does what its `initial_state` says.
"""

from typing import Final

from accountsync.bot.freqtrade import OK, FreqtradeApi
from accountsync.domain.policy import PauseLevel
from accountsync.domain.stopping import Activity
from accountsync.errors import BeliefUnobserved, OutcomeUnknown, Reason

_PATHS: Final = {Activity.RUNNING: "/start", Activity.PAUSED: "/pause", Activity.STOPPED: "/stop"}
_LEVELS: Final = {PauseLevel.REDUCE_ONLY: Activity.PAUSED, PauseLevel.HALT: Activity.STOPPED}


class FreqtradePauser:
    """The Pauser of the bot behind `api`."""

    def __init__(self, api: FreqtradeApi) -> None:
        self._api = api

    async def state(self) -> Activity:
        """What freqtrade says that it does. Raises BeliefUnobserved or ConfigurationError."""
        path = "/show_config"
        said = await self._api.get(path)
        state = said.get("state") if isinstance(said, dict) else None
        if not isinstance(state, str):
            raise self._api.malformed(path, "lacks a usable state")
        try:
            return Activity(state)
        except ValueError:
            raise BeliefUnobserved(
                Reason.BOT_NOT_READY,
                f"{self._api.source}: freqtrade is between two states: it is starting, ending, or loading its"
                " configuration",
            ) from None

    async def pause(self, level: PauseLevel) -> None:
        """Have it stop as far as `level`. Raises NotSent or OutcomeUnknown."""
        await self.resume(_LEVELS[level])

    async def resume(self, to: Activity) -> None:
        """Have it do `to`. Raises NotSent or OutcomeUnknown."""
        path = _PATHS[to]
        answer = await self._api.post(path)
        if answer.status != OK:
            refusal = self._api.refusal(answer.status, path)
            raise OutcomeUnknown(refusal.message, refusal.reason)

"""What every `Pauser` must do: one suite for the fake in memory and for a freqtrade bot."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from tests.bot.freqtrades import bot_at, breaks
from tests.support.fakes import FakePauser

from accountsync.bot.freqtrade_control import FreqtradePauser
from accountsync.domain.policy import PauseLevel
from accountsync.domain.stopping import Activity
from accountsync.errors import AccountSyncError, ActionError, BeliefUnobserved, Reason
from accountsync.ports import Pauser

RUNNING, PAUSED, STOPPED = Activity


@dataclass
class Rig:
    """A bot that runs. `restarts`: it does what it does after a start; `fails`: its next answer is lost."""

    pauser: Pauser
    restarts: Callable[[], None]
    fails: Callable[[], None]


@pytest.fixture(params=["fake", "freqtrade"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        fake = FakePauser()
        lost = BeliefUnobserved(Reason.BOT_UNREACHABLE, "lost")
        yield Rig(fake, lambda: setattr(fake, "activity", RUNNING), lambda: fake.script.append(lost))
        return
    async with bot_at("entry-filled") as (bot, known):

        def fail() -> None:
            for path in ("show_config", "pause", "start", "stop"):
                bot.faults[path].extend([breaks, breaks])

        await known.api.get("/health")
        yield Rig(FreqtradePauser(known.api), lambda: setattr(bot, "state", "running"), fail)


async def test_a_bot_that_nobody_stopped_runs(rig: Rig) -> None:
    assert await rig.pauser.state() is RUNNING


@pytest.mark.parametrize(("level", "state"), [(PauseLevel.REDUCE_ONLY, PAUSED), (PauseLevel.HALT, STOPPED)])
async def test_it_stops_as_far_as_the_level_says_however_often_it_is_told(
    rig: Rig, level: PauseLevel, state: Activity
) -> None:
    for _ in range(2):
        await rig.pauser.pause(level)
        assert await rig.pauser.state() is state


@pytest.mark.parametrize("level", PauseLevel)
@pytest.mark.parametrize("before", Activity)
async def test_it_does_again_what_it_did(rig: Rig, level: PauseLevel, before: Activity) -> None:
    await rig.pauser.resume(before)
    await rig.pauser.pause(level)
    for _ in range(2):
        await rig.pauser.resume(before)
        assert await rig.pauser.state() is before


async def test_exits_go_on_again_where_a_stop_becomes_a_pause(rig: Rig) -> None:
    await rig.pauser.pause(PauseLevel.HALT)
    await rig.pauser.pause(PauseLevel.REDUCE_ONLY)
    assert await rig.pauser.state() is PAUSED


async def test_a_restart_forgets_it(rig: Rig) -> None:
    await rig.pauser.pause(PauseLevel.HALT)
    rig.restarts()
    assert await rig.pauser.state() is RUNNING


@pytest.mark.parametrize("call", ["state", "pause", "resume"])
async def test_a_call_that_fails_says_so(rig: Rig, call: str) -> None:
    rig.fails()
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "state": rig.pauser.state,
        "pause": lambda: rig.pauser.pause(PauseLevel.REDUCE_ONLY),
        "resume": lambda: rig.pauser.resume(PAUSED),
    }
    with pytest.raises((AccountSyncError, ActionError)):
        await asked[call]()

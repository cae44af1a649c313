"""A bot that is stopped by calls: when it is told, what the status remembers, and what people see when it can't be."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.support.fakes import FakePauser
from tests.unit.controller.test_account_loop import Stage, body

from accountsync.api.v1alpha1 import FreqtradeState
from accountsync.controller.account import HandedOver, Trigger
from accountsync.controller.kube import CONFLICT
from accountsync.controller.pausing import address_of
from accountsync.domain.holds import Source
from accountsync.domain.stopping import Activity
from accountsync.errors import BeliefUnobserved, NotSent, OutcomeUnknown, Reason

RUNNING, PAUSED, STOPPED = Activity
DOWN = BeliefUnobserved(Reason.BOT_UNREACHABLE, "Service trading/grid: no connection")
Body = dict[str, Any]
SOURCE = {"service": {"name": "bot", "port": 8080}, "secretRef": {"name": "bot"}}
BOT = address_of(FreqtradeState.model_validate(SOURCE))
STOPPED_BY_US = {"before": "running", "level": "ReduceOnly", "told": "ReduceOnly", "bot": BOT}
UNSENT = NotSent("no connection", Reason.BOT_UNREACHABLE)


class Scene(Stage):
    """A loop over fakes whose bot is stopped by calls. `written`: what the status remembered at each call."""

    def __init__(self, *, mode: str = "Observe", status: Body | None = None, **spec: Any) -> None:
        account = body()
        account["spec"].update(bot={"state": {"freqtrade": SOURCE}}, remediation={"mode": mode}, **spec)
        if status is not None:
            account["status"] = status
        super().__init__(account)
        self.pauser = Watched(self)
        setattr(self.sides, "pauser", lambda _account: self.pauser)  # noqa: B010

    def restart(self) -> None:
        """The operator ends, and another process goes on."""
        self.loop = self.another()

    async def pause(self, *, paused: bool = True) -> None:
        self.edit(paused=paused)
        await self.turn()

    @property
    def remembered(self) -> Body | None:
        found: Body | None = self.kube.body.get("status", {}).get("stoppedBot")
        return found


class Watched(FakePauser):
    """`meanwhile`: what happens while it is asked; `before_telling`: before it is told. `late`: when it obeyed, once"""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.scene = scene
        self.meanwhile: Callable[[], None] = lambda: None
        self.before_telling: Callable[[], None] = lambda: None
        self.late: OutcomeUnknown | None = None
        self.saw: list[tuple[bool, Body | None]] = []

    async def state(self) -> Activity:
        self.meanwhile()
        return await super().state()

    async def resume(self, to: Activity) -> None:
        self.saw.append((bool(self.scene.status["paused"]), self.scene.remembered))
        self.before_telling()
        await super().resume(to)
        late, self.late = self.late, None
        if late is not None:
            raise late


def shown(scene: Scene) -> str:
    return generate_latest(scene.metrics.registry).decode()


@pytest.fixture
async def scene() -> Scene:
    found = Scene()
    await found.turn()
    return found


async def test_a_bot_that_nobody_holds_is_asked_nothing(scene: Scene) -> None:
    scene.pauser.script = deque([DOWN])
    await scene.turn()
    assert len(scene.pauser.script) == 1


async def test_the_kill_switch_stops_it_in_the_same_turn_and_in_observe_too(scene: Scene) -> None:
    await scene.pause()
    assert scene.pauser.told == [PAUSED]
    ((paused, remembered),) = scene.pauser.saw
    assert (paused, remembered) == (True, {"before": "running", "level": "ReduceOnly", "bot": BOT}), "before it is told"
    assert scene.remembered == STOPPED_BY_US
    assert scene.told("BotStopped") == ["the bot, which was running, was told to stop (ReduceOnly): a hold stands"]


async def test_it_is_told_before_the_sides_are_read(scene: Scene) -> None:
    seen: list[list[Activity]] = []

    async def look() -> None:
        seen.append([*scene.pauser.told])

    scene.sides.meanwhile = look
    await scene.pause()
    assert seen == [[PAUSED]]


async def test_it_is_told_once_while_it_obeys(scene: Scene) -> None:
    await scene.pause()
    for _ in range(3):
        await scene.turn()
    assert scene.pauser.told == [PAUSED]


async def test_a_restart_of_the_bot_under_a_hold_lasts_one_cycle(scene: Scene) -> None:
    await scene.pause()
    scene.pauser.activity = RUNNING
    await scene.turn()
    assert scene.pauser.activity is PAUSED
    assert scene.remembered == STOPPED_BY_US


async def test_it_goes_on_after_the_hold_was_lifted_and_that_was_written(scene: Scene) -> None:
    await scene.pause()
    await scene.pause(paused=False)
    assert scene.pauser.activity is RUNNING
    assert scene.pauser.saw[-1][0] is False
    assert scene.remembered is None
    assert scene.told("BotResumed")


async def test_it_does_not_go_on_while_the_lifting_is_not_written(scene: Scene) -> None:
    await scene.pause()
    scene.kube.on_apply.extend([lambda: CONFLICT] * 9)
    await scene.pause(paused=False)
    assert scene.pauser.activity is PAUSED
    scene.kube.on_apply.clear()
    await scene.turn()
    assert scene.pauser.activity is RUNNING


async def test_it_is_not_told_before_what_it_did_is_written(scene: Scene) -> None:
    scene.kube.on_apply.extend([lambda: 0, *[lambda: CONFLICT] * 9])
    await scene.pause()
    assert scene.pauser.told == []
    scene.kube.on_apply.clear()
    await scene.turn()
    assert scene.pauser.told == [PAUSED]


@pytest.mark.parametrize("lost", [NotSent("no"), OutcomeUnknown("no", Reason.BOT_TIMEOUT)])
async def test_a_new_process_goes_on_where_the_old_one_ended_between_memory_and_call(
    scene: Scene, lost: NotSent | OutcomeUnknown
) -> None:
    scene.pauser.script = deque([None, lost])
    scene.edit(paused=True)
    scene.loop._triggers = {Trigger.PEOPLE}
    await scene.turn()
    scene.restart()
    await scene.turn()
    assert scene.pauser.activity is PAUSED
    await scene.pause(paused=False)
    assert scene.pauser.activity is RUNNING


async def test_a_new_process_lets_a_bot_go_on_that_the_old_one_stopped(scene: Scene) -> None:
    await scene.pause()
    scene.restart()
    await scene.pause(paused=False)
    assert (scene.pauser.activity, scene.remembered) == (RUNNING, None)


@pytest.mark.parametrize("before", [PAUSED, STOPPED])
async def test_a_bot_that_a_person_stopped_stays_as_it_was(scene: Scene, before: Activity) -> None:
    scene.pauser.activity = before
    await scene.pause()
    await scene.pause(paused=False)
    assert scene.pauser.activity is before
    assert scene.pauser.told == []


async def test_a_bot_that_was_paused_is_halted_and_then_paused_again() -> None:
    scene = Scene(pauseLevel="Halt")
    scene.pauser.activity = PAUSED
    await scene.turn()
    await scene.pause()
    assert scene.pauser.activity is STOPPED
    await scene.pause(paused=False)
    assert scene.pauser.told == [STOPPED, PAUSED]


async def test_the_level_is_followed_both_ways_and_exits_come_back(scene: Scene) -> None:
    await scene.pause()
    scene.edit(pauseLevel="Halt")
    await scene.turn()
    assert scene.pauser.activity is STOPPED
    scene.edit(pauseLevel="ReduceOnly")
    await scene.turn()
    assert scene.pauser.activity is PAUSED
    assert scene.remembered == STOPPED_BY_US
    await scene.pause(paused=False)
    assert scene.pauser.told == [PAUSED, STOPPED, PAUSED, RUNNING]


async def test_a_new_account_is_paused_until_it_was_judged_and_never_halted_for_that() -> None:
    scene = Scene(mode="Pause", pauseLevel="Halt")
    await scene.turn()
    assert scene.pauser.told == [PAUSED, RUNNING], "a bot that is stopped whole learns nothing that could be judged"
    levels = {status["pauseLevel"] for status in scene.kube.statuses if status["paused"]}
    assert levels == {"ReduceOnly"}, "the status says what the bot was told, so that its exits are no offence"


async def test_a_confirmed_difference_stops_it_as_far_as_the_account_says() -> None:
    scene = Scene(mode="Pause", pauseLevel="Halt")
    await scene.drift()
    assert Source.POLICY in scene.held
    assert scene.pauser.activity is STOPPED


async def test_a_suspended_account_holds_its_bot_still(scene: Scene) -> None:
    await scene.pause()
    scene.edit(suspend=True)
    await scene.turn()
    scene.pauser.activity = RUNNING
    await scene.turn()
    assert scene.pauser.activity is PAUSED


# --- when it cannot be told ------------------------------------------------------------------------------------------


async def test_a_hold_that_the_bot_cannot_be_told_of_is_seen_and_tried_again(scene: Scene) -> None:
    scene.pauser.script = deque([DOWN] * 2)
    await scene.pause()
    assert scene.condition("BotReachable") == ("False", "BotNotStopped")
    (message,) = [row["message"] for row in scene.status["conditions"] if row["type"] == "BotReachable"]
    assert message == f"a hold stands, and the bot could not be told to stop: {DOWN.message}"
    assert len(scene.told("BotNotStopped")) == 1
    assert 'accountsync_bot_not_stopped{account="alpha",namespace="trading"} 1.0' in shown(scene)
    await scene.turn()
    assert 'accountsync_bot_not_stopped{account="alpha",namespace="trading"} 0.0' in shown(scene)
    assert scene.pauser.activity is PAUSED
    assert scene.condition("BotReachable") == ("True", "StateRead")


async def test_an_account_whose_bot_is_another_one_now_says_nothing_of_the_old_one(scene: Scene) -> None:
    scene.pauser.script = deque([DOWN] * 9)
    await scene.pause()
    scene.edit(bot={"state": {"configMap": {"name": "state"}}})
    for _ in range(2):
        await scene.turn()
    assert scene.condition("BotReachable") == ("True", "StateRead")


async def test_a_failing_call_counts_as_an_error(scene: Scene) -> None:
    series = scene.metrics.open("u-1", "trading", "alpha")
    before = series.errors["bot_unreachable"]
    scene.pauser.script = deque([DOWN] * 2)
    await scene.pause()
    assert series.errors["bot_unreachable"] > before


async def test_a_bot_that_cannot_be_told_to_go_on_is_seen_and_told_later(scene: Scene) -> None:
    await scene.pause()
    scene.pauser.script = deque([DOWN] * 2)
    await scene.pause(paused=False)
    assert scene.condition("BotReachable") == ("False", "BotNotResumed")
    await scene.turn()
    assert scene.pauser.activity is RUNNING
    assert scene.condition("BotReachable") == ("True", "StateRead")


@pytest.mark.parametrize("stored", [{**STOPPED_BY_US, "before": "dancing"}, {**STOPPED_BY_US, "level": "Whatever"}])
async def test_what_another_version_remembered_is_read_as_a_bot_that_ran(stored: Body) -> None:
    scene = Scene(status={"observedGeneration": 1, "stoppedBot": stored})
    scene.pauser.activity = PAUSED
    await scene.turn()
    assert (scene.pauser.activity, scene.remembered) == (RUNNING, None)


async def test_a_replica_that_lost_the_account_tells_its_bot_nothing(scene: Scene) -> None:
    await scene.pause()
    told = [*scene.pauser.told]
    scene.pauser.activity = RUNNING
    scene.pauser.meanwhile = lambda: setattr(scene.loop.owner, "lost", True)
    with pytest.raises(HandedOver):
        await scene.turn()
    assert scene.pauser.told == told


async def test_a_replica_that_others_may_take_for_dead_tells_its_bot_nothing(scene: Scene) -> None:
    await scene.pause()
    told = [*scene.pauser.told]
    scene.pauser.activity = RUNNING  # its next owner let it go on
    standing = scene.loop.owner._owns
    scene.pauser.meanwhile = lambda: setattr(scene.loop.owner, "_owns", lambda: False)
    await scene.turn()
    await scene.turn()
    assert scene.pauser.told == told
    scene.pauser.meanwhile = lambda: None
    scene.loop.owner._owns = standing
    await scene.turn()
    assert scene.pauser.activity is PAUSED, "it is ours again"


async def test_a_new_owner_stops_the_bot_at_once_and_lets_it_go_on_only_after_the_old_ones_calls(scene: Scene) -> None:
    acting = scene.loop.owner._acts_from
    scene.loop.owner._acts_from = float("inf")
    await scene.pause()
    assert scene.pauser.activity is PAUSED
    await scene.pause(paused=False)
    assert scene.pauser.activity is PAUSED
    scene.loop.owner._acts_from = acting
    await scene.turn()
    assert scene.pauser.activity is RUNNING


# --- what a person may have done -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "hand"), [("ReduceOnly", PAUSED), ("Halt", STOPPED)])
async def test_a_bot_that_could_not_be_told_and_was_stopped_by_hand_stays_so(level: str, hand: Activity) -> None:
    scene = Scene(pauseLevel=level)
    await scene.turn()
    scene.pauser.script = deque([None, UNSENT] * 2)
    await scene.pause()
    scene.pauser.activity = hand
    await scene.turn()
    await scene.pause(paused=False)
    assert (scene.pauser.activity, scene.pauser.told, scene.remembered) == (hand, [], None)
    (note,) = scene.told("BotLeftStopped")
    assert note.startswith(f"nobody knows whether the operator or a person made the bot {hand}: it is left as it is.")


async def test_a_bot_that_a_person_may_have_stopped_is_not_started_for_its_exits_either() -> None:
    scene = Scene(pauseLevel="Halt")
    await scene.turn()
    scene.pauser.script = deque([None, UNSENT] * 2)
    await scene.pause()
    scene.pauser.activity = STOPPED
    scene.edit(pauseLevel="ReduceOnly")
    for _ in range(3):
        await scene.turn()
    assert (scene.pauser.activity, scene.pauser.told) == (STOPPED, [])
    assert len(scene.told("BotLeftStopped")) == 1


async def test_a_process_that_ended_between_the_call_and_the_memory_of_it_leaves_the_bot_stopped(scene: Scene) -> None:
    def ended() -> int:
        raise asyncio.CancelledError

    scene.pauser.before_telling = lambda: scene.kube.on_apply.append(ended)
    with pytest.raises(asyncio.CancelledError):
        await scene.pause()
    assert scene.pauser.activity is PAUSED
    assert "told" not in (scene.remembered or {})
    scene.pauser.before_telling = lambda: None
    scene.restart()
    await scene.turn()
    await scene.pause(paused=False)
    assert scene.pauser.told == [PAUSED]
    assert len(scene.told("BotLeftStopped")) == 1


async def test_a_lost_answer_is_looked_after_at_once_so_that_the_bot_goes_on_later(scene: Scene) -> None:
    scene.pauser.late = OutcomeUnknown("no answer", Reason.BOT_TIMEOUT)
    await scene.pause()
    assert (scene.pauser.activity, scene.remembered) == (PAUSED, STOPPED_BY_US)
    assert scene.condition("BotReachable") == ("True", "StateRead")
    await scene.pause(paused=False)
    assert scene.pauser.activity is RUNNING


@pytest.mark.parametrize("held", [True, False])
async def test_what_one_bot_did_is_not_used_for_another(scene: Scene, *, held: bool) -> None:
    await scene.pause()
    scene.pauser.activity = PAUSED  # by a person, at another address
    told = [*scene.pauser.told]
    other = {**SOURCE, "service": {"name": "other", "port": 8080}}
    scene.edit(paused=held, bot={"state": {"freqtrade": other}})
    await scene.turn()
    assert scene.remembered is None
    await scene.pause(paused=False)
    assert (scene.pauser.activity, scene.pauser.told) == (PAUSED, told)
    (note,) = scene.told("BotLeftStopped")
    assert note.startswith("spec.bot.state names another bot now")


async def test_what_a_bot_did_is_forgotten_where_its_state_comes_from_elsewhere(scene: Scene) -> None:
    await scene.pause()
    scene.edit(bot={"state": {"configMap": {"name": "state"}}})
    for _ in range(2):
        await scene.turn()
    assert scene.remembered is None
    assert len(scene.told("BotLeftStopped")) == 1


async def test_another_secret_is_no_other_bot(scene: Scene) -> None:
    await scene.pause()
    scene.edit(bot={"state": {"freqtrade": {**SOURCE, "secretRef": {"name": "rotated"}}}})
    await scene.turn()
    await scene.pause(paused=False)
    assert scene.pauser.activity is RUNNING

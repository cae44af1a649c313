"""What an account's loop tells of itself: to the gate by its heartbeat, and of a bot that does not obey."""

from collections import deque
from decimal import Decimal
from typing import Any, cast

import pytest
from tests.support.fakes import BTC
from tests.unit.controller.test_account_loop import Stage, body
from tests.unit.controller.test_pausing import DOWN, PAUSED, RUNNING, SOURCE, STOPPED, Scene

from accountsync.api import v1alpha1 as api
from accountsync.controller.account import WRITE_TRIES
from accountsync.controller.heartbeats import Pulse
from accountsync.controller.kube import CONFLICT
from accountsync.controller.status import held, restore
from accountsync.domain.account import Fill, PositionSide, Side

GATED: dict[str, Any] = {"state": {"configMap": {"name": "state"}}, "orderIdPrefix": "grinder_"}


class Heard:
    """Heartbeats that only keep who was followed and when a beat was to come at once."""

    def __init__(self) -> None:
        self.followed: list[float | None] = []
        self.hastened: list[tuple[int, int]] = []

    def follow(self, pulse: Pulse) -> None:
        self.followed.append(pulse.fail_closed_after)

    def hasten(self, pulse: Pulse) -> None:
        self.hastened.append((pulse.begun, pulse.judged))


@pytest.fixture
def stage() -> Stage:
    account = body()
    account["spec"]["bot"] = GATED
    made = Stage(account)
    object.__setattr__(made.tools, "heartbeats", cast("Any", Heard()))
    made.sides.exchange.tells_fills = made.sides.tells_fills = True
    return made


def heard(stage: Stage) -> Heard:
    return cast("Heard", stage.tools.heartbeats)


def now(stage: Stage) -> str:
    return stage.loop._pulse.trouble(stage.clock.monotonic())


# --- its heartbeat ---------------------------------------------------------------------------------------------------


async def test_a_cycle_is_told_as_judged_once_its_report_was_written(stage: Stage) -> None:
    await stage.turn()
    await stage.turn()
    assert heard(stage).hastened == [(1, 1), (2, 2)]
    stage.sides.exchange.hold(BTC, "5")
    stage.sides.agreeing = False
    stage.kube.on_apply.extend([lambda: 500] * 100)
    for _ in range(4):
        await stage.turn()
    assert stage.held == {"Policy"}
    judged = stage.loop._pulse.judged
    assert judged < stage.loop._pulse.begun, "nobody can see the hold that it raised"
    stage.kube.on_apply.clear()
    await stage.turn()
    assert stage.loop._pulse.judged == stage.loop._pulse.begun


@pytest.mark.parametrize("status", [403, 500])
async def test_it_is_silent_from_the_first_failure_to_write_a_report_until_one_is_written(
    stage: Stage, status: int
) -> None:
    await stage.turn()
    seen: list[str] = []

    def answering(code: int) -> int:
        seen.append(now(stage))
        return code

    stage.edit(paused=True)
    stage.kube.on_apply.extend([lambda: answering(status), lambda: answering(0)])
    await stage.turn()
    assert seen == ["", "the last report of the account could not be written"]
    assert now(stage) == ""


async def test_it_is_silent_where_every_try_to_write_a_report_loses_a_race(stage: Stage) -> None:
    await stage.turn()
    stage.edit(paused=True)
    stage.kube.on_apply.extend([lambda: CONFLICT] * WRITE_TRIES * 2)
    await stage.turn()
    assert now(stage) == "the last report of the account could not be written"
    await stage.turn()
    assert now(stage) == ""


async def test_a_turn_that_ends_in_a_bug_is_silence(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.turn()

    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stage.sides, "of", broken)
    series = stage.metrics.open("u-1", "trading", "alpha")
    await stage.loop._guarded(series, stage.loop._turn(series, set()))
    assert now(stage) == "the last report of the account could not be written"


async def test_a_suspended_account_goes_on_beating_and_judges_nothing(stage: Stage) -> None:
    await stage.turn()
    stage.edit(suspend=True)
    await stage.turn()
    assert (now(stage), stage.loop._pulse.begun, stage.loop._pulse.judged) == ("", 1, 1)


async def test_the_patience_is_that_of_the_spec(stage: Stage) -> None:
    await stage.turn()
    assert stage.loop._pulse.patience == 2 * 15 + 10


@pytest.mark.parametrize(
    ("gate", "after"), [(None, None), ({}, 60.0), ({"failClosedAfter": "90s"}, 90.0), ({"failClosedAfter": "x"}, 60.0)]
)
async def test_the_gate_of_the_spec_is_followed_while_the_loop_runs(
    stage: Stage, gate: dict[str, str] | None, after: float | None
) -> None:
    stage.loop._beats = True
    stage.edit(bot={**GATED, "gate": gate})
    stage.loop._beats = False
    stage.edit()
    assert heard(stage).followed == [after, None]


INVALID = "the spec is not valid: nothing is judged"


async def test_a_spec_that_is_not_valid_is_silence_once_too_little_was_judged_for_too_long(stage: Stage) -> None:
    stage.edit(staleAfter="2m")
    await stage.turn()
    stage.edit(tolerances={"orderGrace": "no time"})
    await stage.turn()
    stage.clock.advance(120 - 1)
    await stage.loop._turn(stage.metrics.open("u-1", "trading", "alpha"), set())
    assert now(stage) == ""
    stage.clock.advance(2)
    assert now(stage) == INVALID
    stage.edit(tolerances={})
    await stage.turn()
    assert now(stage) == ""


async def test_a_restart_gives_a_spec_that_is_not_valid_no_more_time(stage: Stage) -> None:
    await stage.turn()
    stage.edit(tolerances={"orderGrace": "no time"})
    stage.clock.advance(290)
    stage.loop = stage.another()
    await stage.turn()
    assert now(stage) == INVALID


# --- a bot that does not obey ----------------------------------------------------------------------------------------


async def held_bot(stage: Stage, **spec: Any) -> None:
    """A person stops the bot, which has time enough to see it."""
    await stage.turn()
    stage.sides.agreeing = False
    stage.edit(paused=True, remediation={"mode": "Observe"}, **spec)
    for _ in range(2):
        await stage.turn()
    assert stage.held == {"User"}


def count(stage: Stage) -> int:
    return stage.metrics.open("u-1", "trading", "alpha").not_honoured


async def test_an_order_that_a_held_bot_places_is_counted_once_and_told_until_the_hold_ends(stage: Stage) -> None:
    await held_bot(stage)
    assert (count(stage), stage.condition("PauseNotHonoured")) == (0, None)
    stage.sides.exchange.place(client_id="grinder_1")
    for _ in range(3):
        await stage.turn()
    assert (count(stage), stage.condition("PauseNotHonoured")) == (1, ("True", "OrderPlaced"))
    (note,) = stage.told("PauseNotHonoured")
    assert "grinder_1" in note
    stage.sides.exchange.place(client_id="grinder_2")
    await stage.turn()
    assert [("grinder_2" in told) for told in stage.told("PauseNotHonoured")] == [False, True]
    stage.edit(paused=False)
    await stage.turn()
    assert (count(stage), stage.condition("PauseNotHonoured")) == (2, None)


async def test_a_hold_that_could_not_be_written_is_one_that_the_bot_could_not_obey(stage: Stage) -> None:
    await stage.turn()
    stage.sides.agreeing = False
    stage.kube.on_apply.extend([lambda: 500] * 100)
    stage.edit(paused=True, remediation={"mode": "Observe"})
    await stage.turn()
    stage.clock.advance(60)
    stage.sides.exchange.place(client_id="grinder_1")
    await stage.turn()
    stage.kube.on_apply.clear()
    for _ in range(3):
        await stage.turn()
    assert (stage.held, count(stage)) == ({"User"}, 0)


async def test_exits_may_go_on_until_the_bot_could_know_that_they_may_not(stage: Stage) -> None:
    await held_bot(stage)
    stage.sides.exchange.hold(BTC, "5")
    stage.sides.exchange.place(side=Side.SELL, client_id="grinder_before")
    await stage.turn()
    stage.edit(pauseLevel="Halt")
    await stage.turn()
    stage.sides.exchange.place(side=Side.SELL, client_id="grinder_soon")
    await stage.turn()
    assert count(stage) == 0
    stage.sides.exchange.place(side=Side.SELL, client_id="grinder_late")
    await stage.turn()
    assert count(stage) == 1
    assert "grinder_late" in stage.told("PauseNotHonoured")[0]
    assert stage.told("PauseNotHonoured")[0].endswith("while exits are stopped too")


async def test_another_process_tells_nothing_anew_and_lets_the_condition_stand(stage: Stage) -> None:
    await held_bot(stage)
    stage.sides.exchange.place(client_id="grinder_1")
    await stage.turn()
    stage.loop = stage.another()
    for _ in range(2):
        await stage.turn()
    assert (count(stage), len(stage.told("PauseNotHonoured"))) == (1, 1)
    assert stage.condition("PauseNotHonoured") == ("True", "OrderPlaced")
    stage.sides.exchange.place(client_id="grinder_2")
    await stage.turn()
    assert count(stage) == 2


async def test_what_was_placed_while_nobody_looked_is_told_by_the_next_process(stage: Stage) -> None:
    await held_bot(stage)
    stage.sides.exchange.place(client_id="grinder_1")
    stage.loop = stage.another()
    await stage.turn()
    assert count(stage) == 0, "fills may be told late"
    await stage.turn()
    assert count(stage) == 1


async def test_an_exit_that_another_closed_while_nobody_looked_is_never_accused(stage: Stage) -> None:
    exchange = stage.sides.exchange
    await held_bot(stage)
    exchange.place(side=Side.SELL, client_id="grinder_exit", quantity="5")
    closed = Fill("t1", "8", BTC, Side.SELL, PositionSide.NET, Decimal(5), Decimal(100), stage.clock.now_ms())
    exchange.traded.append(closed)
    stage.loop = stage.another()
    for _ in range(3):
        await stage.turn()
    assert count(stage) == 0


async def test_since_when_a_status_could_be_seen_is_read_from_it(stage: Stage) -> None:
    await stage.turn()
    assert held(api.parse_status(stage.kube.body)) is None
    await held_bot(stage)
    status = api.parse_status(stage.kube.body)
    found, here = held(status), stage.loop._held
    assert found is not None
    assert here is not None
    assert 0 <= found.since - here.since <= 1_000, "to the second that a condition may be cut to"
    assert found.halted is None
    assert restore(status, 0.0, 0).honour.last == ""
    stage.edit(pauseLevel="Halt")
    await stage.turn()
    halted = held(api.parse_status(stage.kube.body))
    assert halted is not None
    assert halted.halted is not None
    assert halted.halted > halted.since, "exits may go on for longer than the rest"


# --- a bot that learns of its holds by calls -------------------------------------------------------------------------


async def test_a_bot_that_is_called_knows_of_its_hold_from_the_first_call_that_got_through() -> None:
    scene = Scene()
    await scene.turn()
    scene.pauser.script = deque([DOWN] * 99)
    for _ in range(3):
        await scene.pause()
        assert scene.loop._held is None, "it can't know"
    scene.pauser.script.clear()
    await scene.turn()
    assert scene.pauser.activity is PAUSED
    first = scene.loop._held
    assert first is not None
    assert first.since == scene.clock.now_ms()
    scene.pauser.script = deque([DOWN])
    await scene.turn()
    assert scene.loop._held == first, "what it knows it goes on knowing"
    await scene.pause(paused=False)
    assert scene.loop._held is None


async def test_a_bot_that_a_person_stopped_before_knows_once_it_says_that_it_is_stopped() -> None:
    scene = Scene()
    await scene.turn()
    scene.pauser.activity = STOPPED
    await scene.pause()
    assert scene.pauser.told == []
    assert scene.loop._held is not None


async def test_exits_of_a_bot_that_is_called_may_go_on_until_it_was_told_to_stop_whole() -> None:
    scene = Scene()
    await scene.turn()
    await scene.pause()
    scene.pauser.script = deque([DOWN] * 99)
    scene.edit(pauseLevel="Halt")
    await scene.turn()
    assert scene.loop._held is not None
    assert scene.loop._held.halted is None
    scene.pauser.script.clear()
    await scene.turn()
    assert scene.loop._held.halted == scene.clock.now_ms()


async def test_another_process_remembers_whether_the_bot_was_told() -> None:
    scene = Scene()
    await scene.turn()
    await scene.pause()
    scene.restart()
    await scene.loop._begin(scene.metrics.open("u-1", "trading", "alpha"))
    assert scene.loop._held is not None
    scene.pauser.activity = RUNNING
    await scene.pause(paused=False)
    scene.pauser.script = deque([DOWN] * 99)
    await scene.pause()
    scene.restart()
    await scene.turn()
    assert scene.loop._held is None, "nobody told it"


async def test_another_bot_knows_nothing_of_the_hold_of_the_former_one() -> None:
    scene = Scene()
    await scene.turn()
    await scene.pause()
    other = {**SOURCE, "service": {"name": "other", "port": 8080}}
    scene.pauser.script = deque([DOWN] * 99)
    scene.edit(bot={"state": {"freqtrade": other}})
    await scene.turn()
    assert scene.loop._held is None

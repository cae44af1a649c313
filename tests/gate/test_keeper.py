"""What a gate makes of what it is told, and of time, on a clock that the test moves."""

import json
from typing import Any

import pytest

from accountsync.clock import ManualClock
from accountsync.gate.answer import Answer, Why
from accountsync.gate.heartbeat import Beat
from accountsync.gate.keeper import Belief, Keeper

LIMIT = 60.0


class World:
    """A gate, and the API server's two objects."""

    def __init__(self, **spec: Any) -> None:
        self.clock = ManualClock(seconds=1000.0)
        self.keeper = Keeper("trading", "grid-btc", now=self.clock.monotonic)
        self.told: list[Answer] = []
        self.readings = 0
        self.keeper.changed.append(lambda answer, _: self.told.append(answer))
        self.keeper.wants_reading = self._wanted
        self.spec = {"bot": {"gate": {"failClosedAfter": "60s"}}, "remediation": {"mode": "Pause"}, **spec}
        self.status: dict[str, Any] = {}
        self.uid = "u1"
        self.owner = ""
        self.version = 0
        self.beat_ = Beat("a1", 0, 0)

    def _wanted(self) -> None:
        self.readings += 1

    @property
    def body(self) -> dict[str, Any]:
        return {"metadata": {"uid": self.uid}, "spec": self.spec, "status": self.status}

    @property
    def lease(self) -> dict[str, Any]:
        notes = self.beat_.annotations()
        owners = [{"uid": self.owner or self.uid}]
        return {"metadata": {"resourceVersion": str(self.version), "annotations": notes, "ownerReferences": owners}}

    def read(self) -> None:
        self.keeper.account_is(self.body, self.clock.monotonic())
        self.keeper.heartbeat_read(self.lease if self.version else None, self.clock.monotonic())

    def change(self) -> None:
        self.keeper.account_is(self.body, self.clock.monotonic())

    def write(self, begun: int, judged: int, boot: str = "a1") -> None:
        self.version += 1
        self.beat_ = Beat(boot, begun, judged)

    def beat(self, begun: int, judged: int, boot: str = "a1") -> None:
        self.write(begun, judged, boot)
        self.keeper.account_is_unchanged(self.clock.monotonic())
        self.keeper.heartbeat_changed(self.lease)

    def open(self) -> None:
        self.read()
        self.beat(1, 0)
        self.beat(1, 0)
        self.beat(2, 2)
        assert self.keeper.answer.open

    @property
    def why(self) -> list[str]:
        return [cause.reason for cause in self.keeper.answer.causes]


def test_it_opens_when_a_cycle_since_its_start_has_judged_everything() -> None:
    world = World()
    assert world.why == [Why.UNKNOWN]
    world.write(8, 8)
    world.read()
    assert world.why == [Why.NOT_RECONCILED]
    world.beat(9, 8)
    assert world.why == [Why.NOT_RECONCILED]
    world.beat(10, 10)  # it may have begun before the gate did
    assert world.why == [Why.NOT_RECONCILED]
    world.beat(11, 11)
    assert world.keeper.answer.open


def test_it_closes_at_the_very_moment_without_a_beat_and_opens_with_the_next() -> None:
    world = World()
    world.open()
    world.clock.advance(LIMIT - 0.001)
    world.keeper.account_is_unchanged(world.clock.monotonic())
    assert world.keeper.answer.open
    world.clock.advance(0.001)
    assert world.why == [Why.HEARTBEAT_LOST]  # nobody called tick
    assert world.keeper.answer.may_reduce
    world.beat(3, 2)
    assert world.keeper.answer.open


def test_a_short_absence_of_the_api_server_stops_nobody() -> None:
    world = World()
    world.open()
    world.keeper.troubled("heartbeat", "no answer")
    world.keeper.troubled("account", "no answer")
    world.clock.advance(LIMIT - 1)
    assert world.keeper.answer.open
    world.write(5, 5)
    world.read()
    world.clock.advance(LIMIT - 1)
    world.keeper.account_is_unchanged(world.clock.monotonic())
    assert world.keeper.answer.open


def test_a_reading_after_a_long_absence_is_no_sign_of_life_but_the_change_that_follows_is() -> None:
    world = World()
    world.open()
    world.clock.advance(LIMIT + 1)
    world.write(5, 5)  # it may have been written at the beginning of the absence
    world.read()
    assert world.why == [Why.HEARTBEAT_LOST]
    world.beat(6, 5)
    assert world.keeper.answer.open


def test_the_lease_as_it_is_first_found_is_no_sign_of_life() -> None:
    world = World()
    world.clock.advance(30)
    world.write(5, 5)
    world.read()
    assert world.keeper.beat_age == 30
    world.beat(6, 5)
    assert world.keeper.beat_age == 0


def test_an_account_that_is_not_read_closes_although_the_heart_beats() -> None:
    world = World()
    world.open()
    world.keeper.troubled("account", "may not read tradingaccounts")
    world.clock.advance(LIMIT)
    world.write(3, 2)
    world.keeper.heartbeat_changed(world.lease)
    assert world.why == [Why.ACCOUNT_UNREAD]
    assert "may not read" in world.keeper.answer.causes[0].message


def test_an_operator_that_starts_anew_closes_nothing() -> None:
    world = World()
    world.open()
    world.beat(0, 0, boot="b2")
    assert world.keeper.answer.open


def test_a_bot_that_boots_closes_it_until_a_later_cycle_has_judged_everything() -> None:
    world = World()
    world.open()
    world.keeper.believe(Belief(b"{}", "b1"))
    assert world.keeper.answer.open
    world.keeper.believe(Belief(b"{}", "b1"))
    assert (world.keeper.answer.open, world.readings) == (True, 0)
    world.clock.advance(1)
    world.keeper.believe(Belief(b"{}", "b2"))
    assert (world.why, world.readings) == ([Why.NOT_RECONCILED], 1)
    world.beat(9, 9)  # the Lease was not read since the boot: nobody knows when this was written
    world.beat(9, 9)
    assert world.why == [Why.NOT_RECONCILED]
    world.read()
    world.beat(10, 9)
    world.beat(10, 10)
    world.beat(11, 10)
    assert world.why == [Why.NOT_RECONCILED]
    world.beat(11, 11)
    assert world.keeper.answer.open


def test_a_reading_that_was_asked_for_before_the_boot_does_not_count() -> None:
    world = World()
    world.open()
    world.keeper.believe(Belief(b"{}", "b1"))
    asked_at = world.clock.monotonic()
    world.clock.advance(1)
    world.keeper.believe(Belief(b"{}", None))
    world.keeper.heartbeat_read(world.lease, asked_at)
    world.beat(9, 9)
    world.beat(10, 10)
    assert world.why == [Why.NOT_RECONCILED]


def test_an_account_deleted_while_paused_stays_closed_until_one_that_is_not_paused_is_judged() -> None:
    world = World()
    world.open()
    world.status = {"paused": True, "pauseLevel": "Halt", "holds": []}
    world.change()
    world.keeper.account_is_gone(world.clock.monotonic(), world.body)
    assert world.why == [Why.ACCOUNT_DELETED]
    assert not world.keeper.answer.may_reduce
    world.uid = "u2"
    world.change()
    assert world.why == [Why.PAUSED]
    assert not world.keeper.answer.may_reduce
    world.status = {}
    world.change()
    assert world.why == [Why.ACCOUNT_DELETED]
    assert not world.keeper.answer.may_reduce
    world.clock.advance(1)
    world.read()
    for number in (4, 5, 6):
        assert world.why == [Why.ACCOUNT_DELETED]
        world.beat(number, number, boot="b2")
    assert world.keeper.answer.open


@pytest.mark.parametrize("mode", ["Pause", "Observe"])
def test_the_heartbeat_of_an_account_that_is_gone_opens_nothing_for_one_that_has_its_name(mode: str) -> None:
    world = World(remediation={"mode": mode})
    world.read()
    world.status = {"paused": True, "holds": []}
    world.change()
    world.keeper.account_is_gone(world.clock.monotonic(), world.body)
    world.uid, world.owner, world.status = "u2", "u1", {}
    world.change()
    world.clock.advance(1)
    world.read()
    for number in range(3, 9):
        world.beat(number, number)
        assert world.why == [Why.ACCOUNT_DELETED]
    assert world.keeper.beat_age == 1
    world.owner = "u2"
    for number in (1, 2, 3):
        world.beat(number, number, boot="b2")
    assert world.keeper.answer.open


def test_the_pause_of_the_last_moment_counts_for_a_deleted_account() -> None:
    world = World()
    world.open()
    world.spec["paused"] = True  # told by nothing but the deletion
    world.keeper.account_is_gone(world.clock.monotonic(), world.body)
    assert world.why == [Why.ACCOUNT_DELETED]


def test_an_account_deleted_without_a_pause_closes_when_the_heart_has_stopped() -> None:
    world = World()
    world.open()
    world.keeper.account_is_gone(world.clock.monotonic())
    assert world.keeper.answer.open
    world.clock.advance(LIMIT)
    assert world.why == [Why.ACCOUNT_DELETED]


def test_an_account_that_never_was_is_not_known() -> None:
    world = World()
    world.keeper.account_is_gone(world.clock.monotonic())
    assert world.why == [Why.UNKNOWN]
    assert "trading/grid-btc" in world.keeper.unready


def test_an_account_that_cannot_be_read_is_not_known() -> None:
    world = World()
    world.open()
    world.spec["bot"] = {"gate": {"failClosedAfter": "soon"}}
    world.change()
    assert world.why == [Why.UNKNOWN]
    assert "failClosedAfter" in world.keeper.unready
    world.spec["bot"] = {"gate": {"failClosedAfter": "5s"}}
    world.change()
    assert world.keeper.answer.open


def test_an_override_opens_for_its_time_and_ends_by_itself_or_by_hand(caplog: pytest.LogCaptureFixture) -> None:
    world = World(paused=True, pauseReason="incident 42")
    world.read()
    world.keeper.override(1800, "exchange is back", "alice")
    assert world.keeper.answer.open
    assert [cause.message for cause in world.keeper.answer.would_close] == ["incident 42"]
    world.clock.advance(1800)
    assert not world.keeper.answer.open
    world.keeper.override(60, "again", "")
    assert world.keeper.end_override()
    assert not world.keeper.answer.open
    assert not world.keeper.end_override()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "the gate is overridden",
        "the override of the gate has ended",
        "the gate is overridden",
        "the override of the gate was taken back",
    ]


def test_in_observe_it_stays_open_and_says_what_it_would_do() -> None:
    world = World(remediation={"mode": "Observe"})
    world.read()
    assert world.keeper.answer.open
    assert [cause.reason for cause in world.keeper.answer.would_close] == [Why.NOT_RECONCILED]
    world.spec["paused"] = True
    world.change()
    assert not world.keeper.answer.open


def test_each_change_is_told_once_and_what_does_not_change_never() -> None:
    world = World()
    world.open()
    told = [answer.open for answer in world.told]
    assert told == [False, True]  # NotReconciled after Unknown, then open
    world.keeper.tick()
    world.beat(3, 3)
    world.change()
    assert len(world.told) == 2
    assert json.loads(world.keeper.json)["sequence"] == world.keeper.sequence == 3


def test_it_ends_closed() -> None:
    world = World()
    world.open()
    world.keeper.override(60, "why not", "")
    world.keeper.end()
    assert world.why == [Why.GATE_ENDING]

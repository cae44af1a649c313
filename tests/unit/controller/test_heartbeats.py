"""The heartbeats for gates: when they are written, when there is silence instead, and what they tell of the cycles."""

import asyncio
import copy
import itertools
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.simulation.virtual import VirtualClock, leap, run_virtually

from accountsync.controller.heartbeats import AT_ONCE, Heartbeats, Pulse
from accountsync.controller.kube import CONFLICT, FORBIDDEN, NOT_FOUND, KubeError
from accountsync.controller.rights import HEARTBEATS, Rights
from accountsync.gate.fence import Fence
from accountsync.gate.heartbeat import GATE_LABEL, Beat, heartbeat_name

Body = dict[str, Any]
FAIL_CLOSED_AFTER = 60.0
PERIOD = FAIL_CLOSED_AFTER / 3


@dataclass
class Claim:
    holder: str = "replica-0"
    stands: bool = True


@dataclass
class Api:
    """An API server with Leases. `failing`: verb → HTTP status. `latency`: seconds before what it does is done."""

    stored: dict[tuple[str, str], Body] = field(default_factory=dict)
    written: list[tuple[float, str, Beat]] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)
    latency: float = 0.0
    answer_after: float = 0.0
    in_flight: int = 0
    most: int = 0
    grants: bool = False

    async def patch_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> Body:
        return await self._take(name, body, namespace, "patch", there=True)

    async def write_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> Body:
        assert body["metadata"]["name"] == name
        return await self._take(name, body, namespace, "create", there=False)

    async def _take(self, name: str, body: Mapping[str, Any], namespace: str, verb: str, *, there: bool) -> Body:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            if verb in self.failing:
                raise KubeError(self.failing[verb], verb)
            if there != ((namespace, name) in self.stored):
                raise KubeError(NOT_FOUND if there else CONFLICT, verb)
            stored = self.store(namespace, name, body)
            await asyncio.sleep(self.answer_after)
            return stored
        finally:
            self.in_flight -= 1

    def store(self, namespace: str, name: str, body: Mapping[str, Any]) -> Body:
        """What the server does with a body, whenever it gets it."""
        stored = copy.deepcopy(dict(body))
        before = self.stored.get((namespace, name))
        asked = stored["metadata"].get("resourceVersion")
        if asked is not None and (before is None or asked != before["metadata"]["resourceVersion"]):
            raise KubeError(CONFLICT, "patch")
        stored["metadata"]["resourceVersion"] = str(len(self.written) + 1)
        self.stored[namespace, name] = stored
        self.written.append((asyncio.get_running_loop().time(), name, Beat.read(body)))
        return stored

    async def may(self, _verb: str, _group: str, _resource: str, _namespace: str) -> bool:
        return self.grants


class Desk:
    """Heartbeats on a clock that jumps."""

    def __init__(self) -> None:
        self.api = Api()
        self.rights = Rights(self.api)
        self.clock = VirtualClock()
        self.beats = Heartbeats(self.api, self.rights, self.clock)

    def pulse(self, name: str = "grid-btc", *, after: float | None = FAIL_CLOSED_AFTER, **fields: Any) -> Pulse:
        usual: dict[str, Any] = {"namespace": "trading", "uid": f"u-{name}", "claim": Claim()}
        made = Pulse(name=name, fail_closed_after=after, **(usual | fields))
        self.beats.follow(made)
        return made

    def times(self, name: str = "grid-btc") -> list[float]:
        """When its Lease was written."""
        return [round(at, 3) for at, lease, _ in self.api.written if lease == heartbeat_name(name)]

    @property
    def told(self) -> list[Beat]:
        return [beat for _, _, beat in self.api.written]


def played(play: Callable[[Desk], Coroutine[Any, Any, None]]) -> Desk:
    """The desk after `play`, beside which the heartbeats ran."""

    async def main() -> Desk:
        desk = Desk()
        running = asyncio.create_task(desk.beats.run())
        await play(desk)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await desk.rights.close()
        return desk

    return run_virtually(main())


# --- when ------------------------------------------------------------------------------------------------------------


def test_it_beats_at_once_and_then_three_times_in_the_time_that_it_takes_a_gate_to_close() -> None:
    async def play(desk: Desk) -> None:
        desk.pulse()
        await asyncio.sleep(2 * PERIOD + 1)

    assert played(play).times() == [0, PERIOD, 2 * PERIOD]


def test_a_cycle_that_judged_everything_brings_the_next_beat_forward_but_for_one_just_made() -> None:
    async def play(desk: Desk) -> None:
        pulse = desk.pulse()
        for wait in (1, PERIOD / 4, 1):
            await asyncio.sleep(wait)
            desk.beats.hasten(pulse)
        await asyncio.sleep(PERIOD)

    assert played(play).times() == [0, 1 + PERIOD / 4, 1 + PERIOD / 4 + PERIOD]


def test_accounts_beat_each_in_its_own_rhythm_until_they_leave() -> None:
    async def play(desk: Desk) -> None:
        desk.pulse("quick", after=6)
        slow = desk.pulse("slow", after=18)
        await asyncio.sleep(7)
        desk.beats.leave(slow)
        desk.beats.leave(slow)
        await asyncio.sleep(2)

    desk = played(play)
    assert desk.times("quick") == [0, 2, 4, 6, 8]
    assert desk.times("slow") == [0, 6]


def test_a_gate_that_is_set_later_taken_away_or_made_quicker_is_followed() -> None:
    async def play(desk: Desk) -> None:
        pulse = desk.pulse(after=None)
        for at, after in ((10, 60.0), (5, 12.0), (6, None), (50, None)):
            await asyncio.sleep(at)
            pulse.fail_closed_after = after
            desk.beats.follow(pulse)

    assert played(play).times() == [10, 15, 19]


# --- silence ---------------------------------------------------------------------------------------------------------


def lose(pulse: Pulse) -> None:
    assert isinstance(pulse.claim, Claim)
    pulse.claim.stands = False


def regain(pulse: Pulse) -> None:
    assert isinstance(pulse.claim, Claim)
    pulse.claim.stands = True


@pytest.mark.parametrize(
    ("fail", "mend", "why"),
    [
        (lose, regain, "the account is not this replica's now"),
        (
            lambda pulse: setattr(pulse, "reported", False),
            lambda pulse: setattr(pulse, "reported", True),
            "the last report of the account could not be written",
        ),
        (
            lambda pulse: setattr(pulse, "due", -1.0),
            lambda pulse: setattr(pulse, "due", 1e9),
            "the account's cycle is overdue",
        ),
    ],
    ids=["not owned", "not reported", "overdue"],
)
def test_where_the_loop_does_not_do_what_a_gate_relies_on_there_is_silence(
    fail: Callable[[Pulse], None], mend: Callable[[Pulse], None], why: str
) -> None:
    async def play(desk: Desk) -> None:
        pulse = desk.pulse()
        await asyncio.sleep(1)
        fail(pulse)
        await asyncio.sleep(10 * PERIOD)
        assert desk.times() == [0]
        mend(pulse)
        await asyncio.sleep(PERIOD)

    with capture_logs() as logs:
        desk = played(play)
    assert len(desk.times()) == 2, "it goes on when it works again"
    assert [row.get("why") for row in logs if row["log_level"] == "warning"] == [why], "and it is said once"
    assert logs[-1]["event"] == "the gate has its heartbeat again"


def test_a_cycle_is_overdue_after_its_patience_and_not_before() -> None:
    pulse = Pulse("trading", "a", "u", Claim(), due=100.0, patience=40.0)
    assert (pulse.trouble(140.0), pulse.trouble(140.1)) == ("", "the account's cycle is overdue")


def test_a_process_that_was_stopped_writes_nothing_before_it_looks_again() -> None:
    async def play(desk: Desk) -> None:
        pulse = desk.pulse(due=0.0, patience=30.0)
        await asyncio.sleep(1)
        leap(600)
        await asyncio.sleep(1)
        assert pulse.silent

    assert played(play).times() == [0]


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 500, 403])
def test_a_failed_beat_is_tried_again_soon_and_delays_no_other(status: int) -> None:
    async def play(desk: Desk) -> None:
        desk.pulse()
        await asyncio.sleep(1)
        desk.api.failing["patch"] = status
        await asyncio.sleep(PERIOD)
        desk.api.failing.clear()
        await asyncio.sleep(PERIOD / 2)

    assert played(play).times() == [0, PERIOD + PERIOD / 4]


def test_an_answer_that_does_not_come_leaves_time_for_other_attempts_before_the_gate_closes() -> None:
    async def play(desk: Desk) -> None:
        desk.api.latency = 1e6
        desk.pulse()
        await asyncio.sleep(FAIL_CLOSED_AFTER / 2 + 1)
        desk.api.latency = 0.0
        await asyncio.sleep(PERIOD + 10)

    patience = FAIL_CLOSED_AFTER / 8
    assert played(play).times() == [5 * patience, 5 * patience + PERIOD]


@pytest.mark.parametrize("begins", [0.5, 7.0, 13.0, PERIOD - 0.1])
def test_an_api_server_that_hangs_for_half_the_time_closes_no_gate(begins: float) -> None:
    async def play(desk: Desk) -> None:
        desk.pulse()
        await asyncio.sleep(begins)
        desk.api.latency = 1e6
        await asyncio.sleep(FAIL_CLOSED_AFTER / 2)
        desk.api.latency = 0.0
        await asyncio.sleep(FAIL_CLOSED_AFTER)

    times = played(play).times()
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < FAIL_CLOSED_AFTER - 1


def test_a_bug_in_one_beat_ends_no_other() -> None:
    async def play(desk: Desk) -> None:
        desk.pulse("broken", claim=None)
        desk.pulse("fine")
        await asyncio.sleep(PERIOD + 1)

    assert played(play).times("fine") == [0, PERIOD]


def test_a_missing_right_is_told_until_nobody_there_has_a_gate() -> None:
    async def play(desk: Desk) -> None:
        desk.api.failing["patch"] = FORBIDDEN
        one, other = desk.pulse("one"), desk.pulse("other")
        await asyncio.sleep(5)
        missing = 'the operator may not patch leases in namespace "trading": bind ClusterRole accountsync-tenant'
        assert desk.rights.missing("trading") == missing
        assert not desk.rights.only_late("trading")
        desk.beats.leave(one)
        assert desk.rights.missing_for("trading", HEARTBEATS)
        desk.beats.leave(other)
        assert not desk.rights.missing("trading")

    played(play)


def test_no_more_are_written_side_by_side_than_leave_room_for_cycles() -> None:
    async def play(desk: Desk) -> None:
        desk.api.latency = 0.01
        for number in range(100):
            desk.pulse(f"a-{number}")
        await asyncio.sleep(1)

    desk = played(play)
    assert len(desk.api.stored) == 100
    assert desk.api.most == AT_ONCE


def test_of_many_that_are_due_the_one_goes_first_whose_gate_closes_first() -> None:
    async def play(desk: Desk) -> None:
        desk.api.latency = 0.4
        for number in range(20 * AT_ONCE):
            desk.pulse(f"a-{number}")
        desk.pulse("quick", after=6)
        await asyncio.sleep(20)

    desk = played(play)
    times = desk.times("quick")
    assert len(desk.api.stored) == 20 * AT_ONCE + 1
    assert times[0] < 2, "it waits for those that are in flight, and for no others"
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 3.5


def test_accounts_whose_beats_always_fail_take_no_turns_from_others() -> None:
    async def play(desk: Desk) -> None:
        desk.api.latency = 0.5
        patched = desk.api.patch_lease

        async def patch(namespace: str, name: str, body: Mapping[str, Any]) -> Body:
            if "bad" in name:
                await asyncio.sleep(0.5)
                raise KubeError(FORBIDDEN, "patch")
            return await patched(namespace, name, body)

        desk.api.patch_lease = patch  # type: ignore[method-assign]
        for number in range(20 * AT_ONCE):
            desk.pulse(f"bad-{number}")
        desk.pulse("good")
        await asyncio.sleep(4 * FAIL_CLOSED_AFTER)

    times = played(play).times("good")
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < FAIL_CLOSED_AFTER


# --- what they tell --------------------------------------------------------------------------------------------------


def test_the_lease_says_whose_it_is_and_goes_with_its_account() -> None:
    async def play(desk: Desk) -> None:
        desk.pulse(after=20.5)
        await asyncio.sleep(1)

    ((where, lease),) = played(play).api.stored.items()
    assert where == ("trading", "accountsync-gate-grid-btc")
    assert lease["metadata"]["labels"][GATE_LABEL] == "true"
    (owner,) = lease["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("TradingAccount", "grid-btc", "u-grid-btc")
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseDurationSeconds"]) == ("replica-0", 21)


def test_it_tells_how_many_cycles_began_and_the_newest_that_judged_everything() -> None:
    async def play(desk: Desk) -> None:
        pulse = desk.pulse()
        for begun, judged in ((0, 0), (1, 1), (4, 3)):
            pulse.begun, pulse.judged = begun, judged
            await asyncio.sleep(PERIOD)

    told = played(play).told
    assert [(beat.begun, beat.judged) for beat in told] == [(0, 0), (1, 1), (4, 3)]
    assert len({beat.boot for beat in told[1:]}) == 1
    assert told[1].boot


@pytest.mark.parametrize("status", [0, 500, CONFLICT])
def test_a_write_that_cannot_name_the_version_it_replaces_tells_of_no_cycle(status: int) -> None:
    async def play(desk: Desk) -> None:
        pulse = desk.pulse()
        pulse.begun = pulse.judged = 7
        await asyncio.sleep(PERIOD + 1)
        desk.api.failing["patch"] = status
        await asyncio.sleep(PERIOD)
        desk.api.failing.clear()
        await asyncio.sleep(2 * PERIOD)

    told = played(play).told
    assert [beat.begun for beat in told] == [0, 7, 0, 7]
    assert [bool(beat.boot) for beat in told] == [False, True, False, True]


def test_a_write_that_is_late_is_stored_over_no_newer_one() -> None:
    async def play(desk: Desk) -> None:
        pulse = desk.pulse()
        await asyncio.sleep(1)
        late: list[Body] = []

        async def lost(namespace: str, name: str, body: Mapping[str, Any]) -> Body:  # noqa: ARG001
            late.append(dict(body))
            raise KubeError(0, "patch")

        patched, desk.api.patch_lease = desk.api.patch_lease, lost  # type: ignore[method-assign]
        await asyncio.sleep(PERIOD)
        desk.api.patch_lease = patched  # type: ignore[method-assign]
        pulse.begun = 1
        await asyncio.sleep(2 * PERIOD)
        assert len(desk.told) == 3
        with pytest.raises(KubeError):
            desk.api.store("trading", heartbeat_name(pulse.name), late[0])

    played(play)


def test_one_that_leaves_and_comes_back_during_a_write_has_no_second_one_in_flight() -> None:
    async def play(desk: Desk) -> None:
        desk.api.latency = 2
        pulse = desk.pulse()
        await asyncio.sleep(1)
        desk.beats.leave(pulse)
        desk.beats.follow(pulse)
        await asyncio.sleep(PERIOD + 10)

    desk = played(play)
    assert desk.api.most == 1
    assert desk.times() == [4, PERIOD + 2]


def test_a_cycle_that_began_before_a_beat_was_stored_opens_no_gate_that_began_meanwhile() -> None:
    async def play(desk: Desk) -> None:
        pulse = desk.pulse()
        await asyncio.sleep(PERIOD + 1)
        fence = Fence().after_reading("2")
        desk.api.latency = desk.api.answer_after = 2
        await asyncio.sleep(PERIOD)  # a beat leaves, and a cycle begins before it is stored: the gate may have begun
        pulse.begun = 1
        await asyncio.sleep(4)
        pulse.judged = 1
        await asyncio.sleep(PERIOD)
        pulse.begun = pulse.judged = 2
        await asyncio.sleep(PERIOD)
        passed = []
        for version, beat in enumerate(desk.told[2:], start=3):
            fence = fence.after(str(version), beat)
            passed.append((beat.judged, fence.passed))
        assert passed == [(0, False), (1, False), (2, True)]

    played(play)


@pytest.mark.parametrize("duration", [0.955, 0.97, 0.985])
def test_cycles_that_are_as_long_as_their_interval_open_a_gate(duration: float) -> None:
    async def play(desk: Desk) -> None:
        desk.api.latency, desk.api.answer_after = 0.04, 0.02
        pulse = desk.pulse(after=3)
        for _ in range(12):
            pulse.begun += 1
            await asyncio.sleep(duration)
            pulse.judged = pulse.begun
            desk.beats.hasten(pulse)
            await asyncio.sleep(1 - duration)

    fence = Fence().after_reading("0")
    for version, beat in enumerate(played(play).told, start=1):
        fence = fence.after(str(version), beat)
    assert fence.passed


def test_cycles_that_are_longer_than_the_time_between_two_beats_open_a_gate() -> None:
    async def play(desk: Desk) -> None:
        pulse = desk.pulse()
        for begun in range(1, 4):
            pulse.begun = begun
            await asyncio.sleep(2.5 * PERIOD)
            pulse.judged = begun
        assert max(beat.judged for beat in desk.told) >= 2

    played(play)

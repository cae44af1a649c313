"""Leases of replicas, and claims on accounts: who looks after what, and from when until when it may act on it."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs
from tests.support.owning import FakeLeases

from accountsync import clock
from accountsync.controller.kube import KubeError
from accountsync.controller.ownership import RECV_WINDOW, Own, Owner, Replica, UsurpedError, identified
from accountsync.controller.rights import LEASES, Rights
from accountsync.domain.owning import FORGOTTEN_AFTER

DURATION = 15.0
UPTIME = Path("/proc/uptime")
UIDS = [f"uid-{number}" for number in range(200)]
Body = dict[str, Any]


class FakeRights:
    """Which rights were refused, and were granted since."""

    def __init__(self) -> None:
        self.lacking: set[str] = set()

    def refused(self, verb: str, resource: str, namespace: str) -> None:
        assert (resource, namespace) == (LEASES, "ops")
        self.lacking.add(verb)

    def granted(self, verb: str, *_: str) -> None:
        self.lacking.discard(verb)

    def missing_for(self, *_: str) -> str:
        return f"may not {sorted(self.lacking)}" if self.lacking else ""


class Fleet:
    """Replicas on one API server. Each has a clock of its own, and no two show the same time."""

    def __init__(self) -> None:
        self.api = FakeLeases()
        self.clocks: dict[str, clock.ManualClock] = {}
        self.rights = FakeRights()

    def add(self, identity: str, *follows: str, duration: float = DURATION) -> Replica:
        own = self.clocks[identity] = clock.ManualClock(seconds=1000.0 * len(self.clocks))
        who = Own(identity, "ops", duration, frozenset(follows))
        return Replica(who, self.api, cast("Rights", self.rights), own.monotonic)

    def pass_time(self, seconds: float) -> None:
        for each in self.clocks.values():
            each.advance(seconds)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


async def renewed(*replicas: Replica) -> None:
    """Each knows of all."""
    for _ in range(2):
        for replica in replicas:
            await replica.renew()


def shares(*replicas: Replica) -> list[set[str]]:
    return [{uid for uid in UIDS if replica.owns(uid, "trading")} for replica in replicas]


# --- who looks after what --------------------------------------------------------------------------------------------


async def test_nothing_is_owned_before_the_first_renewal_which_is_waited_for(fleet: Fleet) -> None:
    replica = fleet.add("a")
    assert (shares(replica), replica.left()) == ([set()], 0)
    assert replica.reason == "waiting for its Lease accountsync-a in namespace ops"
    await replica.renew()
    assert (shares(replica), replica.reason) == ([set(UIDS)], "")


async def test_each_account_has_exactly_one_owner(fleet: Fleet) -> None:
    replicas = [fleet.add(name) for name in "abc"]
    await renewed(*replicas)
    parts = shares(*replicas)
    assert sorted(uid for part in parts for uid in part) == sorted(UIDS)
    assert all(parts)


async def test_a_lease_is_written_as_others_read_it(fleet: Fleet) -> None:
    await fleet.add("a", "x", "y").renew()
    (lease,) = fleet.api.stored.values()
    assert lease["metadata"]["name"] == "accountsync-a"
    assert lease["metadata"]["labels"] == {"app.kubernetes.io/name": "accountsync", "accountsync.dev/replica": "true"}
    assert lease["metadata"]["annotations"]["accountsync.dev/namespaces"] == "x,y"
    assert lease["spec"]["leaseDurationSeconds"] == DURATION
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", lease["spec"]["renewTime"])


async def test_a_replica_that_stops_renewing_is_dead_one_duration_after_its_last_change_was_seen(fleet: Fleet) -> None:
    a, b = fleet.add("a"), fleet.add("b")
    await renewed(a, b)
    fleet.pass_time(DURATION - 0.1)
    await b.renew()
    assert b.alive == {"a", "b"}
    fleet.pass_time(0.2)
    await b.renew()
    assert b.alive == {"b"}
    assert shares(b) == [set(UIDS)]


async def test_no_replica_is_taken_for_dead_while_it_may_still_act(fleet: Fleet) -> None:
    a, b = fleet.add("a"), fleet.add("b")
    await renewed(a, b)
    while "a" in b.alive:
        assert a.left() > 0 or b.alive == {"a", "b"}
        fleet.pass_time(0.5)
        await b.renew()
    assert a.left() == 0


async def test_what_time_a_lease_claims_to_be_from_counts_for_nothing(fleet: Fleet) -> None:
    a, b = fleet.add("a"), fleet.add("b")
    await renewed(a, b)
    fleet.api.stored["accountsync-a"]["spec"]["renewTime"] = "1970-01-01T00:00:00.000000Z"
    await b.renew()
    assert b.alive == {"a", "b"}
    fleet.api.stored["accountsync-a"]["spec"]["renewTime"] = "2999-01-01T00:00:00.000000Z"
    fleet.pass_time(DURATION + 1)
    await b.renew()
    assert b.alive == {"b"}


async def test_after_a_suspend_a_replica_may_not_act_before_it_has_renewed(fleet: Fleet) -> None:
    replica = fleet.add("a")
    await replica.renew()
    assert 0 < replica.left() < DURATION
    fleet.pass_time(3600)
    assert replica.left() == 0
    await replica.renew()
    assert replica.left() > 0


@pytest.mark.parametrize("verb", ["update", "list"])
async def test_a_renewal_that_fails_in_part_is_none(fleet: Fleet, verb: str) -> None:
    replica = fleet.add("a")
    await replica.renew()
    before = replica.left()
    fleet.pass_time(5)
    fleet.api.failing = {verb: 500}
    with pytest.raises(KubeError):
        await replica.renew()
    assert replica.left() == pytest.approx(before - 5)
    assert shares(replica) == [set(UIDS)], "it goes on reading"
    fleet.api.failing = {}
    await replica.renew()
    assert replica.left() == before


async def test_a_renewal_counts_from_its_start_however_long_it_takes(fleet: Fleet) -> None:
    replica = fleet.add("a")
    await replica.renew()
    at_once = replica.left()
    fleet.api.meanwhile = lambda: fleet.pass_time(4)
    await replica.renew()
    assert replica.left() == pytest.approx(at_once - 4)


async def test_a_renewal_whose_answer_was_lost_is_made_again(fleet: Fleet) -> None:
    replica = fleet.add("a")
    await replica.renew()
    fleet.api.lost_answers = 1
    with pytest.raises(KubeError):
        await replica.renew()
    await replica.renew()
    assert replica.left() > 0


@pytest.mark.parametrize("verb", ["get", "list", "create"])
async def test_a_right_that_is_missing_is_named(fleet: Fleet, verb: str) -> None:
    replica = fleet.add("a")
    fleet.api.failing = {verb: 403}
    with pytest.raises(KubeError):
        await replica.renew()
    assert replica.reason == f"may not ['{verb}']"
    fleet.api.failing = {}
    await replica.renew()
    assert replica.reason == ""


async def test_a_replica_is_no_owner_where_it_follows_nothing(fleet: Fleet) -> None:
    everywhere, here = fleet.add("a"), fleet.add("b", "desk")
    await renewed(everywhere, here)
    assert shares(everywhere) == [set(UIDS)]
    desk = [{uid for uid in UIDS if replica.owns(uid, "desk")} for replica in (everywhere, here)]
    assert desk[0] | desk[1] == set(UIDS)
    assert all(desk)


# --- coming and going ------------------------------------------------------------------------------------------------


async def test_who_leaves_in_order_is_missed_at_once(fleet: Fleet) -> None:
    a, b = fleet.add("a"), fleet.add("b")
    await renewed(a, b)
    await a.release()
    await b.renew()
    assert shares(b) == [set(UIDS)]


async def test_who_leaves_without_an_api_server_leaves_all_the_same(fleet: Fleet) -> None:
    replica = fleet.add("a")
    await replica.renew()
    fleet.api.failing = {"get": 0}
    await replica.release()
    assert list(fleet.api.stored) == ["accountsync-a"]


async def test_a_process_of_a_fixed_identity_takes_over_its_own_lease_at_once(fleet: Fleet) -> None:
    await fleet.add("a").renew()
    again = fleet.add("a")
    await again.renew()
    assert again.left() > 0
    assert len(fleet.api.stored) == 1


async def test_of_two_processes_with_one_identity_the_older_yields_until_the_newer_ends(fleet: Fleet) -> None:
    old = fleet.add("a")
    await old.renew()
    new = fleet.add("a")
    old.now = new.now
    await new.renew()
    with pytest.raises(KubeError):
        await old.renew()
    with pytest.raises(UsurpedError):
        await old.renew()
    assert new.left() > 0
    fleet.pass_time(DURATION)
    await old.renew()
    assert old.left() > 0


async def test_what_dead_replicas_left_is_swept_and_what_may_live_is_not(fleet: Fleet) -> None:
    a, b = fleet.add("a"), fleet.add("b")
    await renewed(a, b)
    fleet.pass_time(FORGOTTEN_AFTER * DURATION)
    await b.renew()
    assert set(fleet.api.stored) == {"accountsync-a", "accountsync-b"}
    fleet.pass_time(1)
    fleet.api.failing = {"delete": 403}
    await b.renew()
    fleet.api.failing = {}
    await b.renew()
    assert set(fleet.api.stored) == {"accountsync-b"}


@pytest.mark.parametrize("text", ["accountsync-6f9c-x2x4z", "Host_1", "host-1", "host.1", "Ä", "_", "x" * 300])
def test_every_identity_makes_a_name_that_the_api_server_takes(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", identified(text))


def test_identities_that_differ_have_names_that_differ() -> None:
    texts = ["host-1", "host_1", "host.1", "Host-1", "", ""]
    assert len({identified(text) for text in texts}) == len(texts)
    assert identified("accountsync-0") == "accountsync-0"


# --- running ---------------------------------------------------------------------------------------------------------


async def run_until(replica: Replica, holds: Callable[[], object]) -> None:
    running = asyncio.create_task(replica.run())
    try:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_it_goes_on_trying_and_tells_of_trouble_once(fleet: Fleet) -> None:
    replica = fleet.add("a", duration=0.03)
    fleet.api.failing = {"create": 500}
    fails = 0

    def failed() -> bool:
        nonlocal fails
        fails += 1
        return fails > 50

    with capture_logs() as logs:
        await run_until(replica, failed)
        fleet.api.failing = {}
        await run_until(replica, lambda: replica.alive)
    assert [line["event"] for line in logs][:2] == ["its Lease could not be renewed", "its Lease is renewed again"]
    assert [line["event"] for line in logs].count("its Lease could not be renewed") == 1


async def test_whoever_waits_for_changes_hears_of_each_renewal_and_of_the_loss(fleet: Fleet) -> None:
    old = fleet.add("a", duration=0.3)
    heard = []
    old.moved = lambda: heard.append(old.owns("uid", "trading"))
    await old.renew()
    assert heard == [True]
    await fleet.add("a").renew()
    await run_until(old, lambda: heard[-1] is False)
    assert "another process renews the Lease accountsync-a" in old.reason
    assert old.left() == 0


# --- a claim on one account ------------------------------------------------------------------------------------------


def account(holder: str = "", epoch: int = 0, **status: Any) -> Body:
    owner = {"owner": {"holder": holder, "epoch": epoch}} if holder else {}
    return {"status": {**owner, **status}} if holder or status else {}


class Desk:
    """A claim of replica `a` on an account, and whether the hash gives it to `a`."""

    def __init__(self, fleet: Fleet, body: Body) -> None:
        self.fleet = fleet
        self.hashed = True
        self.replica = fleet.add("a")
        self.owner = Owner(self.replica, body, lambda: self.hashed)

    async def write(self) -> None:
        await self.replica.renew()
        self.owner.written()

    async def wait(self, seconds: float) -> None:
        self.fleet.pass_time(seconds)
        await self.replica.renew()


async def test_the_first_owner_may_act_as_soon_as_it_is_written(fleet: Fleet) -> None:
    desk = Desk(fleet, account())
    assert (desk.owner.holder, desk.owner.epoch, desk.owner.left()) == ("a", 1, 0)
    await desk.write()
    assert desk.owner.left() == desk.replica.left() > 0


@pytest.mark.parametrize("before", ["b", "a"], ids=["another", "an earlier process"])
async def test_after_a_takeover_nothing_is_sent_until_what_was_sent_before_can_no_longer_arrive(
    fleet: Fleet, before: str
) -> None:
    desk = Desk(fleet, account(before, 7))
    assert desk.owner.epoch == 8
    await desk.wait(1000)
    await desk.write()
    await desk.wait(DURATION + RECV_WINDOW - 0.1)
    assert desk.owner.left() == 0
    await desk.wait(0.2)
    assert desk.owner.left() > 0


async def test_the_quarantine_is_as_long_as_the_longest_lease_that_was_seen(fleet: Fleet) -> None:
    await fleet.add("slow", duration=60).renew()
    desk = Desk(fleet, account("slow", 1))
    await desk.write()
    await desk.wait(60 + RECV_WINDOW - 0.1)
    assert desk.owner.left() == 0
    await desk.wait(0.2)
    assert desk.owner.left() > 0


async def test_what_the_hash_gives_to_another_is_not_acted_on(fleet: Fleet) -> None:
    desk = Desk(fleet, account())
    await desk.write()
    desk.hashed = False
    assert desk.owner.left() == 0


async def test_whoever_sees_a_higher_epoch_stops(fleet: Fleet) -> None:
    desk = Desk(fleet, account())
    await desk.write()
    desk.owner.see(account("a", 1, sync="InSync"))
    assert not desk.owner.lost
    desk.owner.see(account("b", 2))
    assert desk.owner.lost
    assert desk.owner.overtaken
    assert desk.owner.left() == 0
    desk.owner.see(account("a", 1))
    assert desk.owner.lost, "for good"


async def test_a_claim_that_is_not_written_yet_is_given_up_when_the_status_is_another_by_then(fleet: Fleet) -> None:
    held = account("b", 1, paused=True)
    desk = Desk(fleet, account("b", 1))
    desk.owner.see(account("b", 1))
    assert not desk.owner.lost, "a change of the spec"
    desk.owner.see(held)
    assert desk.owner.lost, "a hold that this process does not know of"
    assert not desk.owner.overtaken, "it may be claimed anew"
    again = Desk(fleet, held)
    assert (again.owner.lost, again.owner.epoch) == (False, 2)


async def test_its_own_write_may_be_seen_before_it_is_answered(fleet: Fleet) -> None:
    desk = Desk(fleet, account("b", 1))
    desk.owner.see(account("a", 2, sync="InSync"))
    assert not desk.owner.lost
    await desk.write()
    assert desk.owner.seen == "a"


async def test_a_status_that_somebody_emptied_changes_no_owner(fleet: Fleet) -> None:
    desk = Desk(fleet, account())
    await desk.write()
    desk.owner.see(account())
    assert not desk.owner.lost


@pytest.mark.skipif(not UPTIME.exists(), reason="only Linux tells how long it has been up, suspend included")
def test_the_clock_counts_suspend() -> None:
    up = float(UPTIME.read_text().split()[0])
    assert abs(clock.elapsed() - up) < 60

"""Which accounts have a loop on this replica: those that the hash gives it, until another was seen to take one."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
from tests.support.fakes import FakeExchange, ManualClock
from tests.support.owning import FakeLeases

from accountsync.controller import manager as under_test
from accountsync.controller.approvals import Approvals
from accountsync.controller.events import Events
from accountsync.controller.kube import CONFLICT, NOT_FOUND, Kube, KubeError
from accountsync.controller.manager import SILENT, Manager
from accountsync.controller.ownership import Own, Replica
from accountsync.controller.rights import Rights
from accountsync.controller.settings import Settings
from accountsync.controller.shares import Shares
from accountsync.controller.sides import Sides
from accountsync.controller.tools import Tools
from accountsync.errors import ConfigurationError, Reason
from accountsync.report.metrics import Metrics

Body = dict[str, Any]
NAMES = [f"bot-{number}" for number in range(20)]


def account(name: str, version: int = 1) -> Body:
    return {
        "apiVersion": "accountsync.dev/v1alpha1",
        "kind": "TradingAccount",
        "metadata": {
            "name": name,
            "namespace": "trading",
            "uid": f"uid-{name}",
            "generation": 1,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-09-21T13:33:20Z",
        },
        "spec": {
            "exchange": {"id": "binanceusdm"},
            "credentials": {"read": {"secretRef": {"name": "key"}}},
            "bot": {"state": {"configMap": {"name": "state"}}},
            "interval": "1s",
        },
    }


class Cluster:
    """An API server that keeps accounts and tells every replica of each change."""

    def __init__(self) -> None:
        self.stored = {name: account(name) for name in NAMES}
        self.watching: list[Manager] = []
        self.deaf: set[Manager] = set()
        self.writers: list[tuple[str, str, int]] = []

    def tell(self, kind: str, body: Body) -> None:
        for manager in self.watching:
            if manager not in self.deaf:
                manager.account(kind, copy.deepcopy(body))

    async def account(self, _namespace: str, name: str) -> Body:
        if name not in self.stored:
            raise KubeError(NOT_FOUND, name)
        return copy.deepcopy(self.stored[name])

    async def apply_status(self, _namespace: str, name: str, version: str, status: Body) -> Body:
        stored = await self.account("trading", name)
        if stored["metadata"]["resourceVersion"] != version:
            raise KubeError(CONFLICT, name)
        stored["metadata"]["resourceVersion"] = str(int(version) + 1)
        stored["status"] = status
        self.stored[name] = stored
        self.writers.append((name, status["owner"]["holder"], status["owner"]["epoch"]))
        self.tell("MODIFIED", stored)
        return copy.deepcopy(stored)

    async def create_event(self, *_: Any) -> str:
        return "event"

    async def patch_event(self, *_: Any) -> None:
        pass

    async def changes(self, *_: str) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield

    def owner(self, name: str) -> str:
        owned: str = self.stored[name].get("status", {}).get("owner", {}).get("holder", "")
        return owned


class NoSides:
    """Neither side can be read, which is all that these tests need of a cycle."""

    def __init__(self, clock: ManualClock) -> None:
        self.exchange = FakeExchange(clock)

    async def of(self, _account: Any) -> Any:
        broken = ConfigurationError(Reason.SECRET_NOT_FOUND, "no Secret")
        self.exchange.script.append(broken)
        return self.exchange, self

    async def read(self) -> Any:
        raise ConfigurationError(Reason.STATE_NOT_FOUND, "no state")

    def repairs(self, *_: Any) -> None:
        return None

    def on_pace(self, _uid: str) -> bool:
        return True

    def forget(self, uid: str) -> None:
        pass


class Fleet:
    """Replicas that see the same accounts. `ManualClock`: time passes only when told to."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.leases = FakeLeases()
        self.clock = ManualClock()
        self.replicas: dict[str, tuple[Replica, Manager, Metrics]] = {}

    def add(self, identity: str) -> None:
        kube = cast("Kube", self.cluster)
        rights, metrics = Rights(kube), Metrics(self.clock)
        tools = Tools(
            settings=Settings(),
            kube=kube,
            rights=rights,
            sides=cast("Sides", NoSides(self.clock)),
            events=Events(kube, rights, self.clock),
            metrics=metrics,
            clock=self.clock,
            shares=Shares(self.clock),
            approvals=Approvals(kube, self.clock),
            slots=asyncio.Semaphore(100),
        )
        replica = Replica(Own(identity, "ops", 15.0), self.leases, rights, self.clock.monotonic)
        manager = Manager(tools, replica)
        self.replicas[identity] = replica, manager, metrics
        self.cluster.watching.append(manager)
        for body in self.cluster.stored.values():
            manager.account(None, copy.deepcopy(body))

    async def renew(self, *identities: str) -> None:
        for identity in identities or self.replicas:
            await self.replicas[identity][0].renew()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self.clock.advance(0.2)
                await asyncio.sleep(0.02)

    def owned(self, identity: str) -> set[str]:
        return {name for name, value in self.shown(identity).items() if value}

    def shown(self, identity: str) -> dict[str, float]:
        """By its metrics: 1 for each account that it looks after, and 0 for each other that it knows."""
        (family,) = (row for row in self.replicas[identity][2].collect() if row.name == "accountsync_account_owned")
        return {sample.labels["account"]: sample.value for sample in family.samples}

    def settled(self, *identities: str) -> Callable[[], bool]:
        """Whether each account has one loop, and its status says whose."""

        def so() -> bool:
            parts = [self.owned(identity) for identity in identities]
            return sum(map(len, parts)) == len(set().union(*parts)) == len(self.cluster.stored) and all(
                self.cluster.owner(name) == identity
                for identity, part in zip(identities, parts, strict=True)
                for name in part
            )

        return so


@pytest.fixture
async def fleet(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    monkeypatch.setattr(under_test, "ENDING", 0.1)
    made = Fleet()
    yield made
    for _, manager, _ in made.replicas.values():
        await manager.close()


def rising(writers: list[tuple[str, str, int]]) -> Iterator[bool]:
    """For each account: no holder wrote after another one had taken it with a higher epoch."""
    for name in NAMES:
        epochs = [(epoch, holder) for each, holder, epoch in writers if each == name]
        yield epochs == sorted(epochs) and len({epoch for epoch, _ in epochs}) == len(set(epochs))


async def test_before_the_first_renewal_accounts_are_known_and_not_owned(fleet: Fleet) -> None:
    fleet.add("a")
    await asyncio.sleep(0)
    assert fleet.shown("a") == dict.fromkeys(NAMES, 0)
    await fleet.renew()
    await fleet.until(fleet.settled("a"))


async def test_a_second_replica_gets_its_part_and_the_first_lets_go_of_it(fleet: Fleet) -> None:
    fleet.add("a")
    await fleet.renew()
    await fleet.until(fleet.settled("a"))
    fleet.add("b")
    await fleet.renew("b")
    await fleet.until(lambda: fleet.owned("b"))
    await fleet.renew("a")
    await fleet.until(fleet.settled("a", "b"))
    assert all(rising(fleet.cluster.writers))
    assert {epoch for _, holder, epoch in fleet.cluster.writers if holder == "b"} == {2}


async def test_what_another_replica_is_to_have_is_let_go_before_that_one_takes_it(fleet: Fleet) -> None:
    fleet.add("a")
    await fleet.renew()
    await fleet.until(fleet.settled("a"))
    joining = Replica(Own("b", "ops", 15.0), fleet.leases, fleet.replicas["a"][0]._rights, fleet.clock.monotonic)
    await joining.renew()
    await fleet.renew("a")
    theirs = {name for name in NAMES if joining.owns(f"uid-{name}", "trading")}
    await fleet.until(lambda: fleet.owned("a") == set(NAMES) - theirs)
    assert {fleet.cluster.owner(name) for name in theirs} == {"a"}


async def test_whoever_was_overtaken_takes_nothing_back_before_it_knows_who_is_alive(fleet: Fleet) -> None:
    fleet.add("a")
    await fleet.renew()
    await fleet.until(fleet.settled("a"))
    taken = copy.deepcopy(fleet.cluster.stored["bot-0"])
    taken["metadata"]["resourceVersion"] = "1000"
    taken["status"]["owner"] = {"holder": "b", "epoch": 2}
    fleet.cluster.stored["bot-0"] = taken
    fleet.cluster.tell("MODIFIED", taken)
    await asyncio.sleep(0.05)
    assert "bot-0" not in fleet.owned("a"), "at once, and not with its next cycle"
    for _ in range(20):
        fleet.cluster.tell("MODIFIED", taken)
        await asyncio.sleep(0.001)
    assert "bot-0" not in fleet.owned("a")
    await fleet.renew()
    await fleet.until(fleet.settled("a"))
    assert fleet.cluster.stored["bot-0"]["status"]["owner"] == {"holder": "a", "epoch": 3}


async def test_a_replica_that_hears_nothing_any_more_stops_at_the_first_write_that_is_refused(fleet: Fleet) -> None:
    fleet.add("a")
    await fleet.renew()
    await fleet.until(fleet.settled("a"))
    fleet.cluster.deaf.add(fleet.replicas["a"][1])
    fleet.clock.advance(1000)
    fleet.add("b")
    await fleet.renew("b")
    await fleet.renew("b")
    await fleet.until(lambda: fleet.owned("b") and all(fleet.cluster.owner(name) == "b" for name in fleet.owned("b")))
    theirs = fleet.owned("b")
    fleet.clock.advance(1000)  # its next heartbeat is due
    await fleet.until(lambda: not fleet.owned("a") & theirs)
    await fleet.replicas["b"][1].close()
    await fleet.replicas["b"][0].release()
    await fleet.renew("a")
    await fleet.until(lambda: {fleet.cluster.owner(name) for name in NAMES} == {"a"})
    assert all(rising(fleet.cluster.writers))


async def test_an_account_whose_end_nobody_told_of_is_forgotten_everywhere(fleet: Fleet) -> None:
    fleet.add("a")
    fleet.add("b")
    await fleet.renew()
    await fleet.renew()
    await fleet.until(fleet.settled("a", "b"))
    name = min(fleet.owned("a"))
    del fleet.cluster.stored[name]  # and both watches miss it
    fleet.clock.advance(1000)  # the next heartbeat is due
    await fleet.until(lambda: name not in fleet.shown("a"))
    assert fleet.shown("b")[name] == 0
    for _ in range(2 * len(NAMES)):
        fleet.clock.advance(SILENT / 10)
        await fleet.renew()
        await asyncio.sleep(0.001)
    assert name not in fleet.shown("b")


async def test_what_is_deleted_is_no_account_of_anybody(fleet: Fleet) -> None:
    fleet.add("a")
    await fleet.renew()
    await fleet.until(fleet.settled("a"))
    gone = fleet.cluster.stored.pop("bot-0")
    fleet.cluster.tell("DELETED", gone)
    await fleet.until(lambda: "bot-0" not in fleet.shown("a"))

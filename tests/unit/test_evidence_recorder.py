"""When a cycle leaves evidence, and that nothing of it ever reaches the account's loop."""

import asyncio
import copy
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from prometheus_client import CollectorRegistry
from tests.support.fakes import BTC, FakeBot, FakeExchange, ManualClock, truth
from tests.support.owning import sole_owner

from accountsync.api import v1alpha1 as api
from accountsync.controller.account import AccountLoop
from accountsync.controller.approvals import Approvals
from accountsync.controller.events import Events
from accountsync.controller.kube import Kube
from accountsync.controller.rights import Rights
from accountsync.controller.settings import Settings
from accountsync.controller.shares import Shares
from accountsync.controller.sides import Sides
from accountsync.controller.tools import Tools
from accountsync.cycle import Cycle, State, run
from accountsync.domain.decide import Wishes
from accountsync.domain.policy import Policy
from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.report.evidence import Link
from accountsync.report.evidence_check import replay, verify
from accountsync.report.evidence_recorder import AT_MOST_EVERY, Recorder
from accountsync.report.evidence_store import Store
from accountsync.report.metrics import Metrics

GRID = "trading/grid"


class SlowStore(Store):
    """A disk that hangs until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go = threading.Event()

    def write(self, at: int, compose: Callable[[Link], Mapping[str, bytes]]) -> Link:
        assert self.go.wait(30)
        return super().write(at, compose)


async def until(true: Callable[[], object]) -> None:
    """Wait for what a thread or another task does."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - a thread sets no asyncio.Event
            await asyncio.sleep(0.001)


class Desk:
    """An account and its bot, whose cycles are offered as they are made."""

    def __init__(self, store: Store) -> None:
        self.clock = ManualClock()
        self.exchange = FakeExchange(self.clock)
        self.exchange.hold(BTC, "1")
        self.bot = FakeBot(truth(self.exchange, self.clock.now_ms()))
        self.state = State()
        self.store = store
        self.recorder = Recorder(store, self.clock, CollectorRegistry())

    async def cycle(self, after: float = 6) -> Cycle:
        """One cycle, looked at."""
        self.clock.advance(after)
        self.bot.state = replace(self.bot.state, as_of=self.clock.now_ms())
        policy = Policy(timeout=60)
        cycle = await run(self.state, policy, Wishes(), self.exchange, self.bot, self.clock, since=1000.0)
        self.state = cycle.state
        self.recorder.offer(GRID, cycle)
        if not isinstance(self.store, SlowStore):
            await until(lambda: not self.busy)
        return cycle

    @property
    def busy(self) -> bool:
        return any(account.busy for account in self.recorder._accounts.values())

    def count(self, result: str) -> float:
        return float(self.recorder.bundles.labels(result)._value.get())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Store(tmp_path / "account_sync"))


# --- when ------------------------------------------------------------------------------------------------------------


async def test_a_quiet_account_leaves_one_bundle_a_minute(desk: Desk) -> None:
    for _ in range(int(AT_MOST_EVERY) // 6 * 3):
        await desk.cycle(6)
    assert desk.count("written") == 3
    verdict = verify(desk.store.folder)
    assert (verdict.checked, verdict.problems) == (3, ())


async def test_every_change_of_what_stands_leaves_one_at_once(desk: Desk) -> None:
    async def written(after: float = 6) -> bool:
        before = desk.count("written")
        await desk.cycle(after)
        return desk.count("written") > before

    assert await written()
    assert not await written()
    desk.exchange.hold(BTC, "7")
    assert await written()  # a finding
    assert not (desk.state.tracks[f"PositionMismatch|{BTC}|net"].confirmed)
    while not desk.state.tracks[f"PositionMismatch|{BTC}|net"].confirmed:
        last = await written()
    assert last  # it was confirmed
    assert not await written()
    desk.exchange.hold(BTC, "8")
    assert await written()  # it is another difference
    desk.exchange.hold(BTC, "1")
    assert await written()  # it was resolved
    assert not await written()
    assert verify(desk.store.folder).problems == ()
    assert replay(desk.store.folder).problems == ()


async def test_a_cycle_that_judged_nothing_leaves_none(desk: Desk) -> None:
    desk.exchange.script.append(ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, "no route"))
    await desk.cycle()
    assert not desk.store.folder.exists()


async def test_a_finding_about_a_refused_snapshot_is_told_by_the_next_good_one(desk: Desk) -> None:
    await desk.cycle(60)
    desk.clock.wall -= 50_000
    assert (await desk.cycle()).evidence is None
    desk.clock.wall += 50_000
    await desk.cycle()
    assert desk.count("written") == 2
    (newest,) = [path for path in desk.store.folder.iterdir() if b"TimestampReg" in _summary(path)]
    assert replay(newest).problems == ()


def _summary(path: Path) -> bytes:
    return (path / "summary.txt").read_bytes() if path.is_dir() else b""


async def test_accounts_do_not_wait_for_one_another(desk: Desk) -> None:
    cycle = await desk.cycle()
    for number in range(5):
        desk.recorder.offer(f"trading/{number}", cycle)
    await desk.recorder.close()
    assert desk.count("written") == 6
    assert verify(desk.store.folder).checked == 6


async def test_an_account_that_is_gone_is_forgotten(desk: Desk) -> None:
    await desk.cycle()
    desk.recorder.forget(GRID)
    desk.recorder.forget("trading/other")
    assert desk.recorder._accounts == {}
    await desk.cycle()
    assert desk.count("written") == 2


async def test_a_new_process_goes_on_with_the_chain(desk: Desk) -> None:
    await desk.cycle()
    await desk.recorder.close()
    again = Desk(Store(desk.store.folder))
    again.clock.advance(60)
    await again.cycle()
    verdict = verify(desk.store.folder)
    assert (verdict.checked, verdict.problems) == (2, ())


async def test_a_new_process_sweeps_what_a_dead_one_left(desk: Desk) -> None:
    left = desk.store.folder / ".writing-20200101T000000Z"
    left.mkdir(parents=True)
    desk.recorder.start()
    await desk.recorder.close()
    assert not left.exists()


# --- what goes wrong -------------------------------------------------------------------------------------------------


async def test_a_folder_that_cannot_be_written_is_counted_told_once_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    desk = Desk(Store(tmp_path / "artifacts" / "account_sync"))
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert (await desk.cycle()).complete
        (tmp_path / "artifacts").unlink()
        await desk.cycle()
    assert (desk.count("failed"), desk.count("written")) == (3, 1)
    assert [(line["event"], line.get("error")) for line in logs] == [
        ("evidence not written", "Not a directory"),
        ("evidence is written again", None),
    ]


async def test_an_unknown_errors_text_is_not_logged(desk: Desk) -> None:
    class Failing(Store):
        def write(self, *_: Any) -> Link:
            raise RuntimeError("CANARY")

    desk.recorder._store = Failing(desk.store.folder)
    with structlog.testing.capture_logs() as logs:
        await desk.cycle()
    assert desk.count("failed") == 1
    assert "CANARY" not in str(logs)
    assert "RuntimeError" in str(logs)


async def test_a_disk_that_hangs_holds_up_no_cycle_and_piles_nothing_up(tmp_path: Path) -> None:
    store = SlowStore(tmp_path / "account_sync")
    desk = Desk(store)
    for _ in range(10):
        assert (await desk.cycle()).complete
    assert desk.count("dropped") == 9
    assert desk.recorder._jobs.qsize() <= 1
    store.go.set()
    await desk.recorder.close()
    assert desk.count("written") == 1
    assert not desk.busy


async def test_a_process_ends_though_the_disk_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accountsync.report.evidence_recorder.PARTING", 0.05)
    store = SlowStore(tmp_path / "account_sync")
    desk = Desk(store)
    await desk.cycle()
    await desk.recorder.close()
    assert desk.recorder._thread is not None
    assert desk.recorder._thread.is_alive()
    assert desk.recorder._thread.daemon
    store.go.set()
    desk.recorder._thread.join(30)


# --- in the operator -------------------------------------------------------------------------------------------------

BODY: dict[str, Any] = {
    "apiVersion": api.API_VERSION,
    "kind": api.KIND,
    "metadata": {
        "name": "grid",
        "namespace": "trading",
        "uid": "u-1",
        "generation": 1,
        "resourceVersion": "10",
        "creationTimestamp": "2026-09-21T13:33:20Z",
    },
    "spec": {
        "exchange": {"id": "binanceusdm"},
        "credentials": {"read": {"secretRef": {"name": "key"}}},
        "bot": {"state": {"configMap": {"name": "state"}}},
    },
}


class Cluster:
    """An API server that takes whatever is written."""

    async def apply_status(self, _namespace: str, _name: str, _version: str, status: Any) -> Any:
        return {**BODY, "status": status}

    async def create_event(self, _namespace: str, _body: Any) -> str:
        return "event"


class OneAccount:
    """Both sides of the one account."""

    def __init__(self, clock: ManualClock) -> None:
        self.exchange = FakeExchange(clock)
        self.clock = clock

    async def of(self, _account: api.TradingAccount) -> tuple[FakeExchange, FakeBot]:
        return self.exchange, FakeBot(truth(self.exchange, self.clock.now_ms()))

    def repairs(self, *_: object) -> None:
        return None

    def forget(self, _uid: str) -> None:
        pass


@pytest.mark.parametrize(
    ("everywhere", "here", "written"), [(False, False, 0), (True, False, 1), (False, True, 1), (True, True, 1)]
)
async def test_a_loop_leaves_evidence_where_it_is_asked_for(
    everywhere: bool, here: bool, written: int, tmp_path: Path
) -> None:
    body = copy.deepcopy(BODY)
    if here:
        body["spec"]["evidence"] = True
    clock = ManualClock()
    metrics = Metrics(clock)
    recorder = Recorder(Store(tmp_path / "account_sync"), clock, metrics.registry)
    kube = cast("Kube", Cluster())
    tools = Tools(
        settings=Settings(evidence=everywhere),
        kube=kube,
        rights=Rights(kube),
        sides=cast("Sides", OneAccount(clock)),
        events=Events(kube, Rights(kube), clock),
        metrics=metrics,
        shares=Shares(clock),
        clock=clock,
        approvals=Approvals(kube, clock),
        slots=asyncio.Semaphore(1),
        evidence=recorder,
    )
    loop = AccountLoop(body, tools, sole_owner(body), fresh=True)
    running = asyncio.create_task(loop.run())
    labels = {"namespace": "trading", "account": "grid"}
    await until(lambda: metrics.registry.get_sample_value("grinder_reconcile_runs_total", labels))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await recorder.close()
    found = list((tmp_path / "account_sync").glob("*Z/summary.txt"))
    assert len(found) == written
    assert all(b"account:    trading/grid\n" in path.read_bytes() for path in found)
    assert recorder._accounts == {}


ALL = {
    "GRINDER_ACCOUNT_SYNC_EVIDENCE": "on",
    "GRINDER_ARTIFACT_DIR": "/var/evidence",
    "ACCOUNTSYNC_EVIDENCE_KEEP": "5",
    "ACCOUNTSYNC_EVIDENCE_MAX_BYTES": "4096",
}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, (False, ".artifacts", 1000, 256 * 2**20)),
        ({"GRINDER_ACCOUNT_SYNC_EVIDENCE": "1"}, (True, ".artifacts", 1000, 256 * 2**20)),
        ({"GRINDER_ACCOUNT_SYNC_EVIDENCE": " YES "}, (True, ".artifacts", 1000, 256 * 2**20)),
        ({"GRINDER_ARTIFACT_DIR": ""}, (False, ".artifacts", 1000, 256 * 2**20)),
        (ALL, (True, "/var/evidence", 5, 4096)),
        ({**ALL, "GRINDER_ACCOUNT_SYNC_EVIDENCE": "off"}, (False, "/var/evidence", 5, 4096)),
    ],
)
def test_the_environment_says_whether_where_and_how_much(env: dict[str, str], expected: tuple[Any, ...]) -> None:
    settings = Settings.from_env(env)
    found = (settings.evidence, settings.artifact_dir, settings.evidence_keep, settings.evidence_max_bytes)
    assert found == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GRINDER_ACCOUNT_SYNC_EVIDENCE", "maybe"),
        ("ACCOUNTSYNC_EVIDENCE_KEEP", "0"),
        ("ACCOUNTSYNC_EVIDENCE_MAX_BYTES", "1 GiB"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}:"):
        Settings.from_env({name: text})

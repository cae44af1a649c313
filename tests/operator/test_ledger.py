"""A bot with a ledger in PostgreSQL, whole: the operator, the API server, the exchange and the database are real.

All accounts are there from the beginning, side by side, and each test looks at one of them. The Lease is short, because
a new operator writes to no ledger until what an earlier one sent can no longer arrive.
"""

import contextlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.ledger_desk import LedgerDesk
from tests.support.postgres import Postgres
from tests.support.running import Operator, until
from tests.support.stage import Stage, find_condition

from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster

WATCHDOG = {
    "allocatedCapital": "10000",
    "currency": "USDT",
    "autoResume": {"minPause": "1s", "cleanCycles": 2, "cooldown": "1s"},
}
ACCOUNTS: dict[str, dict[str, Any]] = {
    "missed": {},
    "ghost": {"watchdog": WATCHDOG, "parity": {"confirmations": 5}},
    "untagged": {"tag": None},
    "observed": {"mode": "Observe"},
    "locked": {},
    "killed": {"parity": {"confirmations": 6}},
}
HALF = Decimal("0.5")
ALLOWED = "--allow-bot-url=postgres://127.0.0.1:*"


class Scene:
    """The accounts of one namespace, and the operator that looks after them; `start` it anew after it was killed."""

    def __init__(self, stage: Stage, kubeconfig: Path, desks: dict[str, LedgerDesk]) -> None:
        self.stage, self.desks, self._kubeconfig = stage, desks, kubeconfig
        for name, desk in desks.items():
            desk.open(**ACCOUNTS[name])
        self.start()

    def start(self) -> None:
        space = self.stage.namespace
        env = {"ACCOUNTSYNC_LEASE_DURATION": "3s", "ACCOUNTSYNC_IDENTITY": space}
        self.operator = Operator(self._kubeconfig, ALLOWED, f"--namespace={space}", env=env).__enter__()

    def await_sync(self) -> None:
        for name in self.desks:
            self.stage.await_status(name, lambda s: s.get("sync") == "InSync", "a ledger that agrees")

    def close(self) -> None:
        self.operator.__exit__(None, None, None)


@pytest.fixture(scope="module")
def scenes(
    cluster: ControlPlane, kubeconfig: Path, exchange: SimulatorThread, postgres: Postgres
) -> Iterator[tuple[Scene, Scene]]:
    """One whose operator stays, and one whose operator was killed while it confirmed a ghost, and started again."""
    schema = postgres.schema()

    def scene(space: str, names: Iterable[str]) -> Scene:
        stage = Stage(cluster, space, exchange.url)
        return Scene(stage, kubeconfig, {name: LedgerDesk(stage, exchange, postgres, schema, name) for name in names})

    with contextlib.ExitStack() as stack:
        main = scene("ledgers", [name for name in ACCOUNTS if name != "killed"])
        stack.callback(main.close)
        other = scene("ledgers-killed", ["killed"])
        stack.callback(other.close)
        main.await_sync()
        other.await_sync()
        session = stack.enter_context(postgres.admin())
        session.execute("SELECT pg_advisory_lock(%s)", (main.desks["locked"].lock_key(),))
        killed = other.desks["killed"]
        killed.miss_a_fill(tracked=False)
        for name, desk in main.desks.items():
            desk.miss_a_fill(tracked=name in {"missed", "observed", "locked"})
        killed.await_health(other.operator, "ghost", ParityMismatchTrades=1)
        other.operator.kill()
        assert killed.history == [], "it was not to be confirmed yet"
        other.close()
        other.start()
        yield main, other


@pytest.fixture
def scene(scenes: tuple[Scene, Scene]) -> Scene:
    return scenes[0]


def test_a_fill_that_the_bot_missed_is_put_right_and_the_gauges_return_to_zero(scene: Scene) -> None:
    desk = scene.desks["missed"]
    until(lambda: desk.slice == ("closed", 0), "slice that is closed", 30)
    assert desk.history == [("EXIT", "T1", HALF, False)]
    assert desk.capital == (2_500, 500)
    desk.await_health(scene.operator, "ledger in order", MismatchCount=0, MissingFromExchange=0, LoopHealthy=True)
    until(lambda: desk.gauge(scene.operator, "accountsync_reconciliation_elevated_runs") == 0, "run that finds nothing")
    for name in ("mismatch", "missing_from_exchange", "missing_in_db"):
        assert desk.gauge(scene.operator, f"reconciliation_{name}_total") == 0
    assert any("reconcileExitFill" in line and '"T1"' in line for line in scene.operator.lines)
    assert "LedgerCorrected" in {row["reason"] for row in scene.stage.events("missed")}
    told = {
        name.partition("{")[2]: value for name, value in scene.operator.metrics().items() if "repairs_applied" in name
    }
    assert [value for name, value in told.items() if '"missed"' in name and "reconcileExitFill" in name] == [1]


def test_a_ghost_worth_too_much_stops_the_bot_is_closed_by_proof_and_the_bot_goes_on(scene: Scene) -> None:
    desk = scene.desks["ghost"]
    until(lambda: desk.slice == ("closed", 0), "slice that is closed", 30)
    assert desk.history == [("EXIT", "T1", HALF, True)]
    status = scene.stage.await_status("ghost", lambda s: not s["paused"], "bot that the watchdog lets go")
    history = [entry["what"] for entry in reversed(status["history"])]
    assert "raised Policy" not in history
    assert sorted(what for what in history if "Watchdog" in what) == ["lifted Watchdog", "raised Watchdog"]
    told = desk.await_health(scene.operator, "ledger in order", MismatchCount=0, ParityMismatchTrades=0)
    assert told["reconciliationParityAutoClosedTrades"] == 1
    assert told["reconciliationIntegrityWatchdogTriggered"] is False
    assert desk.gauge(scene.operator, "accountsync_parity_auto_closed_total") == 1


def test_a_ghost_without_a_sub_tag_waits_for_a_person_and_shows(scene: Scene) -> None:
    desk = scene.desks["untagged"]
    told = desk.await_health(scene.operator, "quarantine", ParityQuarantinedTrades=1)
    assert told["reconciliationParityMismatchTrades"] == 1
    assert told["reconciliationParityTotalMismatchNotionalUsd"] > 0
    status = scene.stage.await_status(
        "untagged", lambda s: find_condition(s, "LedgerReconciled").get("reason") == "Quarantined", "a word of it"
    )
    assert "trade T1: NoSubTag" in find_condition(status, "LedgerReconciled")["message"]
    assert "LedgerQuarantined" in {row["reason"] for row in scene.stage.events("untagged")}
    assert (desk.slice, desk.history) == (("open", HALF), [])


def test_in_mode_observe_it_is_told_and_nothing_is_written(scene: Scene) -> None:
    desk = scene.desks["observed"]
    until(
        lambda: "LedgerDryRun" in {row["reason"] for row in scene.stage.events("observed")}, "word of what is due", 30
    )
    scene.stage.await_status(
        "observed", lambda s: find_condition(s, "LedgerReconciled").get("reason") == "NotWritten", "why it is not done"
    )
    until(
        lambda: (desk.gauge(scene.operator, "accountsync_reconciliation_elevated_runs") or 0) > 2,
        "third elevated run",
        30,
    )
    assert (desk.slice, desk.history, desk.capital) == (("open", HALF), [], (32_500, 0))


def test_while_another_session_holds_the_lock_nothing_is_done_and_it_is_counted(scene: Scene) -> None:
    desk = scene.desks["locked"]
    status = scene.stage.await_status(
        "locked", lambda s: find_condition(s, "LedgerReconciled").get("reason") == "LockHeld", "a word of the lock"
    )
    assert find_condition(status, "LedgerReconciled")["status"] == "False"
    until(lambda: (desk.gauge(scene.operator, "accountsync_reconciliation_contended_runs") or 0) > 1, "second run", 30)
    assert (desk.gauge(scene.operator, "accountsync_reconciliation_lock_contended_total") or 0) > 1
    assert (desk.slice, desk.history) == (("open", HALF), [])


def test_an_operator_that_is_killed_over_a_ghost_leaves_it_to_the_next_which_closes_it_once(
    scenes: tuple[Scene, Scene],
) -> None:
    _, other = scenes
    desk = other.desks["killed"]
    until(lambda: desk.slice == ("closed", 0), "slice that is closed", 30)
    desk.await_health(other.operator, "ledger in order", MismatchCount=0, ParityMismatchTrades=0)
    assert desk.history == [("EXIT", "T1", HALF, True)]
    assert desk.capital == (2_500, 500)
    (used,) = desk.read("SELECT count(*) FROM {s}.used_fills WHERE profile = %s")
    assert used == (1,)

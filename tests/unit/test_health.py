"""`/internal/health`: every field of the ledger runbook, of each account and summed, and what the sums mean."""

import asyncio
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from prometheus_client import generate_latest
from tests.support.fakes import START_MS, ManualClock

from accountsync.controller.server import Server
from accountsync.domain.catalogue import Rule
from accountsync.domain.holds import Source
from accountsync.domain.ledger import NoGo, Tally
from accountsync.report.ledger_series import LedgerSeries
from accountsync.report.metrics import AccountSeries, Metrics

RUNBOOK = {
    "reconciliationLoopHealthy",
    "reconciliationMismatchCount",
    "reconciliationMissingFromExchange",
    "reconciliationMissingInDb",
    "reconciliationLastRun",
    "reconciliationParityMismatchTrades",
    "reconciliationParityQuarantinedTrades",
    "reconciliationParityAutoClosedTrades",
    "reconciliationParityMaxMismatchNotionalUsd",
    "reconciliationParityTotalMismatchNotionalUsd",
    "reconciliationIntegrityWatchdogTriggered",
}
GHOSTS = Tally(3, 2, 1, Decimal("120.5"), Decimal("200.25"), {"t1": NoGo.NO_SUB_TAG, "t2": NoGo.NO_FILLS})


class Desk:
    """Metrics, and a clock that stands at 1000 s."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics(self.clock)

    def account(self, name: str = "grid-btc", *, ledger: bool = True) -> AccountSeries:
        series = self.metrics.open(f"u-{name}", "trading", name)
        series.ledger = LedgerSeries() if ledger else None
        return series

    def ran(self, series: AccountSeries, tally: Tally | None = None, standing: int = 0) -> LedgerSeries:
        assert series.ledger is not None
        series.ledger.ran(
            tally or Tally(), standing, monotonic=self.clock.monotonic(), now_ms=self.clock.now_ms()
        )  # fmt: skip
        return series.ledger

    def health(self, unready: str = "") -> dict[str, Any]:
        return dict(self.metrics.health(unready))

    def shown(self, name: str) -> float:
        lines = generate_latest(self.metrics.registry).decode().splitlines()
        (line,) = [line for line in lines if line.startswith(f"{name}{{")]
        return float(line.rpartition(" ")[2])


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_every_field_of_the_runbook_is_there_of_each_account_and_in_sum(desk: Desk) -> None:
    desk.account()
    told = desk.health()
    for document in (told, told["accounts"]["trading/grid-btc"]):
        assert document.keys() >= RUNBOOK
    assert told.keys() - RUNBOOK == {"accounts", "reconciliationLockContentions"}


def test_the_answer_is_sorted_and_says_the_same_twice(desk: Desk) -> None:
    for name in ("zeta", "alpha"):
        desk.ran(desk.account(name), GHOSTS)
    told = desk.health()
    fields = [name for name in told if name != "accounts"]
    assert fields == sorted(fields)
    assert list(told["accounts"]) == ["trading/alpha", "trading/zeta"]
    assert json.dumps(told) == json.dumps(desk.health())


def test_each_field_means_what_the_runbook_says(desk: Desk) -> None:
    series = desk.account()
    desk.ran(series, GHOSTS)
    series.standing = Counter({Rule.MISSING_ORDER: 2, Rule.UNEXPECTED_ORDER: 1, Rule.POSITION_MISMATCH: 1})
    series.held = frozenset({Source.WATCHDOG})
    assert desk.health()["accounts"]["trading/grid-btc"] == {
        "reconciliationIntegrityWatchdogTriggered": True,
        "reconciliationLastRun": "2026-09-21T14:13:20Z",
        "reconciliationLockContentions": 0,
        "reconciliationLoopHealthy": True,
        "reconciliationMismatchCount": 4,
        "reconciliationMissingFromExchange": 2,
        "reconciliationMissingInDb": 1,
        "reconciliationParityAutoClosedTrades": 1,
        "reconciliationParityMaxMismatchNotionalUsd": 120.5,
        "reconciliationParityMismatchTrades": 3,
        "reconciliationParityQuarantinedTrades": 2,
        "reconciliationParityTotalMismatchNotionalUsd": 200.25,
    }


def test_counts_are_added_up_and_the_largest_is_the_largest(desk: Desk) -> None:
    for name in ("one", "two"):
        desk.ran(desk.account(name), GHOSTS)
    told = desk.health()
    assert told["reconciliationParityMismatchTrades"] == 6
    assert told["reconciliationParityMaxMismatchNotionalUsd"] == 120.5
    assert told["reconciliationParityTotalMismatchNotionalUsd"] == 400.5


def test_the_last_run_of_all_is_the_oldest_and_none_where_one_never_ran(desk: Desk) -> None:
    desk.ran(desk.account("old"))
    desk.clock.advance(5.0)
    desk.ran(desk.account("new"))
    assert desk.health()["reconciliationLastRun"] == "2026-09-21T14:13:20Z"
    desk.account("never")
    assert desk.health()["reconciliationLastRun"] is None


def test_closed_slices_are_counted_over_all_runs(desk: Desk) -> None:
    series = desk.account()
    desk.ran(series, GHOSTS)
    desk.ran(series)
    assert desk.health()["reconciliationParityAutoClosedTrades"] == 1
    assert desk.shown("accountsync_parity_auto_closed_total") == 1


def test_a_loop_that_does_not_run_in_time_is_not_healthy(desk: Desk) -> None:
    series = desk.account()
    desk.ran(series)
    desk.clock.advance(series.patience)
    assert desk.health()["reconciliationLoopHealthy"] is True
    desk.clock.advance(1.0)
    assert desk.health()["reconciliationLoopHealthy"] is False
    assert desk.health()["accounts"]["trading/grid-btc"]["reconciliationLoopHealthy"] is False


def test_one_that_never_gets_its_lock_is_not_healthy_either(desk: Desk) -> None:
    series = desk.account()
    desk.clock.advance(series.patience + 1)
    assert series.ledger is not None
    series.ledger.contend()
    told = desk.health()
    assert told["reconciliationLoopHealthy"] is False
    assert told["reconciliationLockContentions"] == 1
    assert told["reconciliationLastRun"] is None


def test_a_suspended_account_is_healthy_for_nothing_is_asked_of_it(desk: Desk) -> None:
    desk.account().suspended = True
    desk.clock.advance(10_000.0)
    assert desk.health()["reconciliationLoopHealthy"] is True


def test_an_account_without_a_ledger_runs_with_its_cycles(desk: Desk) -> None:
    series = desk.account(ledger=False)
    series.ran_at, series.ran_ms = desk.clock.monotonic(), START_MS
    told = desk.health()["accounts"]["trading/grid-btc"]
    assert told["reconciliationLastRun"] == "2026-09-21T14:13:20Z"
    assert told["reconciliationParityMismatchTrades"] == 0
    desk.clock.advance(series.patience + 1)
    assert desk.health()["reconciliationLoopHealthy"] is False


def test_runs_are_elevated_while_mismatches_stand_and_contended_while_the_lock_is_held(desk: Desk) -> None:
    series = desk.account()
    shown = []
    for standing in (2, 1, 1, 0):
        desk.ran(series, standing=standing)
        shown.append(desk.shown("accountsync_reconciliation_elevated_runs"))
    assert shown == [1, 2, 3, 0]
    assert series.ledger is not None
    series.ledger.contend()
    series.ledger.contend()
    assert desk.shown("accountsync_reconciliation_contended_runs") == 2
    desk.ran(series)
    assert desk.shown("accountsync_reconciliation_contended_runs") == 0
    assert desk.shown("accountsync_reconciliation_lock_contended_total") == 2


def test_an_account_without_a_ledger_shows_none_of_its_series(desk: Desk) -> None:
    desk.account(ledger=False)
    lines = generate_latest(desk.metrics.registry).decode().splitlines()
    assert not [line for line in lines if line.startswith(("accountsync_parity", "accountsync_reconciliation"))]


@pytest.mark.parametrize("unready", ["", "not started yet"])
def test_it_is_served_as_json_with_200_whether_the_operator_is_ready_or_not(desk: Desk, unready: str) -> None:
    desk.ran(desk.account())
    server = Server(desk.metrics, "127.0.0.1", 0, unready=lambda: unready)

    async def ask() -> tuple[int, str, dict[str, Any]]:
        await server.start()
        try:
            url = f"http://127.0.0.1:{server.port}/internal/health"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status, answer.content_type, await answer.json()
        finally:
            await server.stop()

    status, kind, told = asyncio.run(ask())
    assert (status, kind) == (200, "application/json")
    assert told["reconciliationLoopHealthy"] is not bool(unready)
    assert told.get("unready", "") == unready

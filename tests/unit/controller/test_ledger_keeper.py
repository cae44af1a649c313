"""The keeper of a ledger: what its runs leave in the condition, the series and the Events, and what is told once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from tests.support.reconciling import POLICY, Desk

from accountsync.api import v1alpha1 as api
from accountsync.controller.ledger_keeper import LedgerKeeper, withheld
from accountsync.controller.tools import Tools
from accountsync.domain.policy import Mode, Parity, Policy, Remedies
from accountsync.domain.sharing import ALONE
from accountsync.errors import LedgerReadOnly, LedgerReason, LedgerUnavailable
from accountsync.ports import Clock
from accountsync.report.ledger_series import LedgerSeries
from accountsync.report.series import AccountSeries

BODY = {
    "apiVersion": api.API_VERSION,
    "kind": api.KIND,
    "metadata": {"name": "grid-btc", "namespace": "trading", "uid": "u-1", "generation": 3, "resourceVersion": "10"},
    "spec": {
        "exchange": {"id": "binanceusdm"},
        "credentials": {"read": {"secretRef": {"name": "key"}}},
        "bot": {"state": {"postgres": {"secretRef": {"name": "ledger"}, "profile": "grid-btc"}}},
        "interval": "15s",
    },
}


@dataclass(slots=True)
class Told:
    """The Events, as (reason, note)."""

    rows: list[tuple[str, str]] = field(default_factory=list)

    async def tell(self, _about: Mapping[str, Any], *, reason: str, note: str, **_: Any) -> None:
        self.rows.append((reason, note))


@dataclass(slots=True)
class FewTools:
    clock: Clock
    events: Told


class Owner:
    """An owner for certain, or not."""

    holder, epoch, seconds = "replica-a", 1, 15.0

    def left(self) -> float:
        return self.seconds


class Kept:
    """A desk, and the keeper of its ledger."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.desk = Desk(policy=policy)
        self.told = Told()
        self.owner = Owner()
        self.body: dict[str, Any] = BODY
        tools = cast("Tools", FewTools(self.desk.clock, self.told))
        self.keeper = LedgerKeeper(tools, self.owner, "trading", "grid-btc")
        self.series = AccountSeries("trading", "grid-btc", 0.0, ledger=LedgerSeries())
        self.account = api.TradingAccount.parse(BODY)

    @property
    def ledger(self) -> LedgerSeries:
        assert self.series.ledger is not None
        return self.series.ledger

    @property
    def reason(self) -> str:
        return self.keeper.verdict[1] if self.keeper.verdict else ""

    @property
    def events(self) -> list[str]:
        return [reason for reason, _ in self.told.rows]

    def go(self, times: int = 1) -> None:
        """So many cycles, each with its report and its run."""
        for _ in range(times):
            cycle = self.desk.cycle()
            now = self.desk.clock
            self.series.record(cycle, now.monotonic(), now.now_ms())
            sides = self.desk.exchange, self.desk.ledger
            asyncio.run(
                self.keeper.reconcile(
                    cycle, self.account, self.desk.policy, ALONE, sides, self.series, lambda: self.body
                )
            )


def test_a_ledger_in_order_says_so() -> None:
    kept = Kept()
    kept.go(2)
    assert kept.keeper.verdict is not None
    assert kept.keeper.verdict[:2] == ("True", "Reconciled")
    assert kept.told.rows == []
    assert kept.ledger.ran_ms == kept.desk.clock.now_ms()


def test_what_was_changed_is_told_and_counted_and_the_gauges_return_to_zero() -> None:
    kept = Kept()
    kept.desk.missed("t1")
    elevated = []
    for _ in range(4):
        kept.go()
        elevated.append((kept.series.standing.total() > 0, kept.ledger.elevated))
    assert elevated == [(False, 0), (True, 1), (False, 0), (False, 0)]
    assert kept.events == ["LedgerCorrected"]
    assert "reconcileExitFill" in kept.told.rows[0][1]
    assert "trade t1" in kept.told.rows[0][1]
    assert kept.series.repairs == {"reconcileExitFill": 1}


def test_a_closed_ghost_is_counted_by_its_own_name() -> None:
    kept = Kept()
    kept.desk.missed("t1", told=False)
    kept.go(5)
    assert kept.series.repairs == {"syntheticExit": 1}
    assert (kept.ledger.closed, kept.ledger.tally.ghosts) == (1, 0)
    assert kept.reason == "Reconciled"


def test_what_waits_for_a_person_is_named_in_the_condition_and_told_once() -> None:
    kept = Kept()
    for number in range(5):
        kept.desk.missed(f"t{number}", told=False, tag="")
    kept.go(6)
    assert kept.keeper.verdict is not None
    status, reason, message = kept.keeper.verdict
    assert (status, reason) == ("True", "Quarantined")
    assert message.startswith("5 slices without a proven end: trade t0: NoSubTag (")
    assert message.endswith("; and 2 more")
    assert kept.events == ["LedgerQuarantined"]


def test_a_lock_that_is_held_once_changes_no_condition_and_twice_does() -> None:
    kept = Kept()
    kept.go()
    kept.desk.ledger.held = True
    kept.go()
    assert (kept.reason, kept.ledger.contended) == ("Reconciled", 1)
    kept.go()
    assert kept.keeper.verdict is not None
    assert kept.keeper.verdict[:2] == ("False", "LockHeld")
    ran = kept.ledger.ran_ms
    kept.desk.ledger.held = False
    kept.go()
    assert (kept.reason, kept.ledger.contended, kept.ledger.contentions) == ("Reconciled", 0, 2)
    assert kept.ledger.ran_ms != ran


@pytest.mark.parametrize(
    ("error", "after_one"),
    [
        (LedgerReadOnly(LedgerReason.READ_ONLY, "a standby"), "ReadOnly"),
        (LedgerUnavailable(LedgerReason.UNREACHABLE, "gone"), "Reconciled"),
    ],
)
def test_what_may_pass_by_itself_is_told_with_the_second_run_and_the_rest_at_once(
    error: LedgerReadOnly, after_one: str
) -> None:
    kept = Kept()
    kept.go()
    task = kept.desk.cycle()

    async def failing() -> None:
        kept.desk.ledger.failure = error
        sides = kept.desk.exchange, kept.desk.ledger
        await kept.keeper.reconcile(task, kept.account, POLICY, ALONE, sides, kept.series, lambda: BODY)

    asyncio.run(failing())
    assert kept.reason == after_one
    asyncio.run(failing())
    assert kept.reason == error.reason
    assert kept.ledger.contentions == 0


@pytest.mark.parametrize(
    "policy",
    [
        replace(POLICY, mode=Mode.OBSERVE),
        replace(POLICY, remedies=Remedies(dry_run=True)),
        replace(POLICY, remedies=Remedies(repair=False)),
    ],
    ids=withheld,
)
@pytest.mark.parametrize("told", [True, False])
def test_a_policy_that_only_watches_has_it_told_once_and_nothing_written(policy: Policy, told: bool) -> None:
    kept = Kept(policy)
    kept.desk.missed("t1", told=told)
    before = kept.desk.ledger.tables
    kept.go(8)
    assert kept.desk.ledger.tables is before
    assert kept.reason == "NotWritten"
    assert set(kept.events) == {"LedgerDryRun"}
    assert len(kept.events) == len(set(kept.told.rows))
    assert not kept.series.repairs
    assert kept.ledger.elevated > 2


def test_a_dry_run_of_the_parity_is_no_reconciled_ledger() -> None:
    kept = Kept(replace(POLICY, parity=Parity(dry_run=True)))
    kept.desk.missed("t1", told=False)
    kept.go(4)
    assert kept.reason == "NotWritten"
    assert kept.desk.held("t1") == 1


def test_a_replica_that_is_no_owner_for_certain_writes_nothing() -> None:
    kept = Kept()
    kept.desk.missed("t1")
    kept.owner.seconds = 0.0
    kept.go(4)
    assert kept.desk.held("t1") == 1
    assert kept.reason == "Reconciled", "what the runs said before there was anything to write"
    kept.owner.seconds = 15.0
    kept.go()
    assert kept.desk.held("t1") == 0


def test_what_was_judged_by_an_older_spec_is_not_written() -> None:
    kept = Kept()
    kept.desk.missed("t1")
    kept.body = {**BODY, "metadata": {**BODY["metadata"], "generation": 4}}  # type: ignore[dict-item]
    kept.go(4)
    assert kept.desk.held("t1") == 1


def test_without_a_complete_cycle_there_is_no_run() -> None:
    kept = Kept()
    kept.go()
    ran = kept.ledger.ran_ms
    kept.desk.ledger.tables.slices.clear()
    kept.go()
    assert kept.ledger.ran_ms == ran, "an emptied belief is Unknown"


def test_runs_that_fail_over_mismatches_are_elevated_and_no_runs() -> None:
    kept = Kept()
    kept.desk.missed("t1")
    kept.go()
    ran = kept.ledger.ran_ms
    kept.desk.ledger.against["bot_t1-exit"] = LedgerReadOnly(LedgerReason.READ_ONLY, "a standby")
    kept.go(3)
    assert (kept.ledger.elevated, kept.ledger.ran_ms, kept.reason) == (3, ran, "ReadOnly")
    kept.desk.ledger.against.clear()
    kept.go(2)
    assert (kept.ledger.elevated, kept.reason) == (0, "Reconciled")

"""The reconciliation of one account's ledger between its loop and `reconcile`: what is remembered, and what is told.

Invariants: a run follows the report of a complete cycle; nothing is written where the policy only watches, once another
replica may own the account, or after its spec changed; what was told once is not told again with each run.
"""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from accountsync.api.v1alpha1 import TradingAccount
from accountsync.controller.conditions import PATIENCE
from accountsync.controller.tools import Tools
from accountsync.cycle import Cycle
from accountsync.domain.finding import plain
from accountsync.domain.ledger import REASONS, NoGo, Tally
from accountsync.domain.policy import Mode, Policy
from accountsync.domain.sharing import Sharing
from accountsync.errors import LedgerLockHeld, LedgerReason
from accountsync.ports import Exchange, Ledger, Ownership
from accountsync.reconcile import Book, Change, Run, Stopped, Task, run
from accountsync.report.series import AccountSeries

log = structlog.get_logger()
PASSING = {LedgerReason.LOCK_HELD, LedgerReason.BUSY, LedgerReason.TIMEOUT, LedgerReason.UNREACHABLE}
"""What may be over by the next run, so that a single one is not worth telling."""
NAMED = 3
TOLD_KEPT = 1_000
Verdict = tuple[str, str, str]
"""Status, reason and message of the condition."""


class LedgerKeeper:
    """The reconciliation of one account. `verdict`: its condition LedgerReconciled; None: no run ended yet."""

    def __init__(self, tools: Tools, owner: Ownership, namespace: str, name: str) -> None:
        self._tools = tools
        self._owner = owner
        self._log = log.bind(namespace=namespace, account=name)
        self._book = Book()
        self._streak = 0
        self._told: dict[str, None] = {}
        """Event ids of what would be done, and what stays open for which reason, in the order in which it was told."""
        self.verdict: Verdict | None = None

    async def reconcile(
        self,
        cycle: Cycle,
        account: TradingAccount,
        policy: Policy,
        sharing: Sharing,
        sides: tuple[Exchange, Ledger],
        series: AccountSeries,
        body: Callable[[], Mapping[str, Any]],
    ) -> None:
        """One run, after the report of `cycle`. `body`: the account as the API server shows it now."""
        source = account.spec.bot.state.postgres
        if source is None or series.ledger is None or not cycle.complete:
            return
        exchange, ledger = sides
        judged = account.metadata.generation

        def fence() -> None:
            if self._owner.left() <= 0:
                raise Stopped("this replica does not own the account for certain any more")
            if body()["metadata"].get("generation") != judged:
                raise Stopped("the account was changed since it was judged")

        why = withheld(policy)
        task = Task(source.profile, ledger, exchange, self._tools.clock, fence, why)
        done = await run(cycle, policy, sharing, task, self._book)
        self._book = done.book
        clock = self._tools.clock
        standing = series.standing.total()
        if isinstance(done.error, LedgerLockHeld):
            series.ledger.contend()
        elif done.tally is not None:
            series.ledger.ran(done.tally, standing, monotonic=clock.monotonic(), now_ms=clock.now_ms())
        elif done.error is not None:
            series.ledger.failed(standing)
        series.repaired(change.name for change in done.applied)
        self._conclude(done, why or ("parity.dryRun is true" if policy.parity and policy.parity.dry_run else ""))
        await self._tell(done, body())

    def _conclude(self, done: Run, why: str) -> None:
        """Make the condition of this run's end."""
        error = done.error
        self._streak = self._streak + 1 if error is not None and error.reason in PASSING else 0
        if error is not None:
            self._log.warning("reconciliation failed", reason=error.reason.value, detail=error.message)
            if error.reason not in PASSING or self._streak >= PATIENCE:
                self.verdict = "False", error.reason.value, error.message
        elif done.tally is None:
            self._log.info("reconciliation stopped", detail=done.stopped)
        elif done.tally.no_go:
            self.verdict = "True", "Quarantined", quarantined(done.tally)
        elif why:
            self.verdict = "True", "NotWritten", f"what is due is only told: {why}"
        elif done.refusals:
            self.verdict = "True", "Refused", _refused(done.refusals)
        else:
            self.verdict = "True", "Reconciled", "the last run brought all that is proven into the ledger"

    async def _tell(self, done: Run, about: Mapping[str, Any]) -> None:
        """Log lines and Events: of what was changed, and of what is new among the rest."""
        for change in done.changes:
            if change.outcome is None and change.event_id in self._told:
                continue
            self._log.warning(
                change.name,
                trade_id=change.trade_id,
                symbol=change.symbol,
                order=change.order,
                quantity=plain(change.quantity),
                price=plain(change.price) if change.price is not None else "",
                outcome=change.outcome.value if change.outcome is not None else "dry_run",
            )
        tell = self._tools.events.tell
        if done.applied:
            note = _listed([_sentence(change) for change in done.applied])
            await tell(about, reason="LedgerCorrected", note=note, warning=False, action="Reconcile")
        would = [change for change in done.changes if change.outcome is None and self._is_new(change.event_id)]
        if would:
            note = f"would write, and only tells: {_listed([_sentence(change) for change in would])}"
            await tell(about, reason="LedgerDryRun", note=note, warning=False, action="Reconcile")
        no_go = done.tally.no_go if done.tally is not None else {}
        fresh = {trade: why for trade, why in no_go.items() if self._is_new(f"{trade} {why}")}
        if done.tally is not None and fresh:
            note = f"stays open, for a person: {_listed([_open(trade, why) for trade, why in fresh.items()])}"
            await tell(about, reason="LedgerQuarantined", note=note, warning=True, action="Reconcile")

    def _is_new(self, what: str) -> bool:
        """Whether this was not told yet; now it is."""
        if what in self._told:
            return False
        self._told[what] = None
        while len(self._told) > TOLD_KEPT:
            self._told.pop(next(iter(self._told)))
        return True


def withheld(policy: Policy) -> str:
    """Why nothing at all is written to the ledger; empty: it may be."""
    if policy.mode is Mode.OBSERVE:
        return "remediation.mode is Observe"
    if policy.remedies.dry_run:
        return "remediation.dryRun is true"
    return "" if policy.remedies.repair else "remediation.repairBotState is false"


def quarantined(tally: Tally) -> str:
    """What waits for a person, for the condition."""
    count = f"{tally.quarantined} slice{'s' if tally.quarantined > 1 else ''} without a proven end"
    return f"{count}: {_listed([_open(trade, why) for trade, why in sorted(tally.no_go.items())], tally.quarantined)}"


def _open(trade: str, why: NoGo) -> str:
    return f"trade {trade}: {why} ({REASONS[why]})"


def _refused(refusals: Mapping[str, str]) -> str:
    return _listed([f"{key.replace('|', ' ')}: {why}" for key, why in sorted(refusals.items())])


def _sentence(change: Change) -> str:
    price = f" at {plain(change.price)}" if change.price is not None else ""
    order = f" order {change.order}" if change.order else ""
    trade = f" trade {change.trade_id}" if change.trade_id else ""
    return f"{change.name}{order}{trade} {change.symbol}: {plain(change.quantity)}{price}"


def _listed(texts: list[str], count: int | None = None) -> str:
    more = (len(texts) if count is None else count) - NAMED
    return "; ".join(texts[:NAMED]) + (f"; and {more} more" if more > 0 else "")

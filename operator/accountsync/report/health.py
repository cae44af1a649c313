"""What `/internal/health` answers: how reconciliation goes, by the ledger runbook's own names.

In:  the series of the accounts that this process looks after. Out: plain data for JSON: the sums, and under `accounts`
the same of each. Money is in the quote currency of each account, whatever the names say.

Sums: healthy where all are; counts and totals added up; the largest notional of all; the oldest of the last runs, and
none where one account never ran, so that one that is stuck shows; triggered where one watchdog is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from accountsync.domain.catalogue import Rule
from accountsync.domain.holds import Source
from accountsync.report.ledger_series import LedgerSeries, iso, oldest
from accountsync.report.series import AccountSeries

NOTHING = LedgerSeries()


@dataclass(frozen=True, slots=True)
class _Health:
    """One account's answer, or the sum of several. `last`: Unix ms of the last run; `mismatches`: confirmed ones."""

    healthy: bool
    last: int | None
    mismatches: int
    gone: int
    untracked: int
    ghosts: int
    quarantined: int
    closed: int
    largest: Decimal
    total: Decimal
    contentions: int
    triggered: bool

    @property
    def document(self) -> dict[str, Any]:
        """By the names of the runbook."""
        return {
            "reconciliationIntegrityWatchdogTriggered": self.triggered,
            "reconciliationLastRun": iso(self.last),
            "reconciliationLockContentions": self.contentions,
            "reconciliationLoopHealthy": self.healthy,
            "reconciliationMismatchCount": self.mismatches,
            "reconciliationMissingFromExchange": self.gone,
            "reconciliationMissingInDb": self.untracked,
            "reconciliationParityAutoClosedTrades": self.closed,
            "reconciliationParityMaxMismatchNotionalUsd": float(self.largest),
            "reconciliationParityMismatchTrades": self.ghosts,
            "reconciliationParityQuarantinedTrades": self.quarantined,
            "reconciliationParityTotalMismatchNotionalUsd": float(self.total),
        }


def _of(series: AccountSeries, monotonic: float) -> _Health:
    ledger = series.ledger or NOTHING
    tally = ledger.tally
    return _Health(
        healthy=series.runs_in_time(monotonic) is not False,
        last=ledger.ran_ms if series.ledger is not None else series.ran_ms,
        mismatches=series.standing.total(),
        gone=series.standing[Rule.MISSING_ORDER],
        untracked=series.standing[Rule.UNEXPECTED_ORDER],
        ghosts=tally.ghosts,
        quarantined=tally.quarantined,
        closed=ledger.closed,
        largest=tally.max_notional,
        total=tally.total_notional,
        contentions=ledger.contentions,
        triggered=Source.WATCHDOG in series.held,
    )


def _sum(parts: list[_Health]) -> _Health:
    return _Health(
        healthy=all(part.healthy for part in parts),
        last=oldest(part.last for part in parts),
        mismatches=sum(part.mismatches for part in parts),
        gone=sum(part.gone for part in parts),
        untracked=sum(part.untracked for part in parts),
        ghosts=sum(part.ghosts for part in parts),
        quarantined=sum(part.quarantined for part in parts),
        closed=sum(part.closed for part in parts),
        largest=max((part.largest for part in parts), default=Decimal(0)),
        total=sum((part.total for part in parts), Decimal(0)),
        contentions=sum(part.contentions for part in parts),
        triggered=any(part.triggered for part in parts),
    )


def health(accounts: Iterable[AccountSeries], monotonic: float, *, unready: str = "") -> Mapping[str, Any]:
    """The whole answer, sorted. `unready`: why the operator looks after nothing, and is not healthy; empty: it does."""
    named = sorted((f"{series.namespace}/{series.account}", _of(series, monotonic)) for series in accounts)
    document = _sum([part for _, part in named]).document
    if unready:
        document |= {"reconciliationLoopHealthy": False, "unready": unready}
    return document | {"accounts": {name: part.document for name, part in named}}

"""What the log says of a cycle, in the words that the runbooks grep for.

A line for each finding when it is confirmed, with its names in every dialect, and one with the sums. While findings
stand the sums are said again every minute.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from accountsync.domain.catalogue import CATALOGUE, Rule, Subject
from accountsync.domain.expected import ExpectedState
from accountsync.domain.finding import ZERO, Finding, plain
from accountsync.domain.plan import Repair, RepairKind

Line = tuple[str, Mapping[str, Any]]
"""The event and its fields."""
MISMATCH = "RECONCILE_MISMATCH"
"""Runbook 11."""
REPAIR = "Auto-repair"
"""The desync runbook."""
OF_KIND = {
    RepairKind.MISSING_ORDER: Rule.UNEXPECTED_ORDER,
    RepairKind.STALE_ORDER: Rule.MISSING_ORDER,
    RepairKind.POSITION: Rule.POSITION_MISMATCH,
    RepairKind.BALANCE: Rule.BALANCE_MISMATCH,
}
VALUES = {
    Subject.ORDER: ("local_status", "exchange_status"),
    Subject.POSITION: ("local_qty", "exchange_qty"),
    Subject.BALANCE: ("local_qty", "exchange_qty"),
}


def summary(findings: Iterable[Finding], repairs: int = 0) -> str:
    """The sums of the confirmed findings, as the desync runbook writes them."""
    subjects = [CATALOGUE[finding.rule].subject for finding in findings]
    orders, positions, balances = (subjects.count(what) for what in (Subject.ORDER, Subject.POSITION, Subject.BALANCE))
    return (
        f"Reconciliation found {len(subjects)} discrepancies"
        f" (orders={orders} positions={positions} balances={balances} repairs={repairs})"
    )


def details(findings: Iterable[Finding]) -> Iterator[Line]:
    """A line for each finding."""
    for finding in findings:
        row = CATALOGUE[finding.rule]
        ours, theirs = VALUES.get(row.subject, ("expected", "observed"))
        fields = {
            "type": row.desync or row.account_sync,
            "rule": finding.rule.value,
            "severity": finding.severity.word,
            "symbol": finding.symbol,
            "id": finding.id,
            "client_order_id": finding.client_id,
            ours: finding.expected,
            theirs: finding.observed,
            "fills": list(finding.fills),
            "detail": finding.message,
        }
        event = f"{MISMATCH} {finding.reconcile}" if finding.reconcile else "Discrepancy"
        yield event, {name: value for name, value in fields.items() if value}


def repaired(repairs: Sequence[Repair], belief: ExpectedState | None = None) -> Iterator[Line]:
    """A line for each repair that the bot applied to its `belief`, where that is known, and one with their number."""
    for repair in repairs:
        row = CATALOGUE[OF_KIND[repair.kind]]
        ours, theirs = VALUES[row.subject]
        fields = {
            "type": repair.kind.value,
            "symbol": repair.symbol,
            "id": repair.order_id or repair.id,
            "client_order_id": repair.client_id,
            ours: _believed(repair, belief) if belief else "",
            theirs: repair.value,
        }
        yield REPAIR, {name: value for name, value in fields.items() if value}
    yield f"{REPAIR} applied", {"repairs_applied": len(repairs)}


def _believed(repair: Repair, belief: ExpectedState) -> str:
    match repair.kind:
        case RepairKind.POSITION:
            quantities = (
                row.quantity for row in belief.positions or () if (row.symbol, row.side) == (repair.symbol, repair.id)
            )
            return plain(next(quantities, ZERO))
        case RepairKind.BALANCE:
            return plain(next((row.wallet for row in belief.balances or () if row.asset == repair.symbol), ZERO))
    names = {repair.order_id, repair.client_id} - {""}
    return next((row.status for row in belief.orders or () if names & {row.id, row.client_id}), "")

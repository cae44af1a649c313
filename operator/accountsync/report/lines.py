"""What the log says of a cycle, in the words that the runbooks grep for.

A line for each finding when it is confirmed, with its names in every dialect, and one with the sums. While findings
stand the sums are said again every minute.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from accountsync.domain.catalogue import CATALOGUE, Subject
from accountsync.domain.finding import Finding

Line = tuple[str, Mapping[str, Any]]
"""The event and its fields."""
MISMATCH = "RECONCILE_MISMATCH"
"""Runbook 11."""
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

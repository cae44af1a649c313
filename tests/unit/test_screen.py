"""`accountsync status` of an account with a ledger: how its last reconciliation ended is a row of its own."""

from datetime import UTC, datetime
from typing import Any

from accountsync.cli.account import Account
from accountsync.cli.screen import document, screen

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TOLD = "1 slice without a proven end: trade T1: NoSubTag (the slice has no sub_tag)"


def account(*conditions: dict[str, Any]) -> Account:
    stamp = {"lastTransitionTime": "2026-11-21T11:00:00Z"}
    body = {
        "metadata": {"name": "grid-btc", "namespace": "trading"},
        "spec": {"exchange": {"id": "binanceusdm"}},
        "status": {"conditions": [{**stamp, **row} for row in conditions]},
    }
    return Account.of(body)


def test_what_waits_for_a_person_in_the_ledger_is_on_the_screen() -> None:
    row = {"type": "LedgerReconciled", "status": "True", "reason": "Quarantined", "message": TOLD}
    shown = account(row)
    assert f"ledger     Quarantined: {TOLD}" in screen(shown, NOW).splitlines()
    assert document(shown, NOW)["ledger"]["message"] == TOLD


def test_an_account_without_a_ledger_has_no_such_row() -> None:
    shown = account()
    assert not [line for line in screen(shown, NOW).splitlines() if line.startswith("ledger")]
    assert "ledger" not in document(shown, NOW)

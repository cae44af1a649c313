"""The lines that the runbooks grep for."""

from decimal import Decimal

from accountsync.domain.account import PositionSide
from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.finding import Finding
from accountsync.domain.plan import Repair, RepairKind
from accountsync.report.lines import details, repaired, summary

POSITION = Finding(Rule.POSITION_MISMATCH, "BTC/USDT:USDT", "net", "0.05", "0.08", Decimal(3_000))
GHOST = Finding(Rule.POSITION_MISMATCH, "ETH/USDT:USDT", "net", "0", "1")
STALE = Finding(Rule.MISSING_ORDER, "BTC/USDT:USDT", "42", "open", "canceled", client_id="abc123")
UNKNOWN = Finding(Rule.UNEXPECTED_ORDER, "BTC/USDT:USDT", "43", "none", "buy 1 at 5", own=False)
BALANCE = Finding(Rule.BALANCE_MISMATCH, "USDT", "wallet", "10", "9")


def test_the_sums_are_written_as_the_desync_runbook_writes_them() -> None:
    line = summary([POSITION, STALE, UNKNOWN])
    assert line == "Reconciliation found 3 discrepancies (orders=2 positions=1 balances=0 repairs=0)"
    assert summary([BALANCE], repairs=2).endswith("(orders=0 positions=0 balances=1 repairs=2)")


def test_a_position_is_told_with_both_quantities() -> None:
    ((event, fields),) = details([POSITION])
    assert event == "Discrepancy", "Runbook 11 has no type for a position that was expected"
    assert fields["type"] == "position_mismatch"
    assert (fields["local_qty"], fields["exchange_qty"]) == ("0.05", "0.08")


def test_runbook_11_finds_its_types() -> None:
    told = dict(details([GHOST, STALE]))
    assert set(told) == {
        "RECONCILE_MISMATCH POSITION_NONZERO_UNEXPECTED",
        "RECONCILE_MISMATCH ORDER_MISSING_ON_EXCHANGE",
    }
    stale = told["RECONCILE_MISMATCH ORDER_MISSING_ON_EXCHANGE"]
    assert (stale["type"], stale["client_order_id"], stale["exchange_status"]) == (
        "stale_local_order",
        "abc123",
        "canceled",
    )


def test_a_foreign_order_is_no_mismatch_of_runbook_11() -> None:
    ((event, fields),) = details([UNKNOWN])
    assert (event, fields["type"], fields["severity"]) == ("Discrepancy", "missing_local_order", "warning")


def test_every_rule_has_a_line_with_its_sentence() -> None:
    for rule in CATALOGUE:
        finding = Finding(rule, "BTC/USDT:USDT", "1", "a", "b")
        ((_, fields),) = details([finding])
        assert fields["detail"] == finding.message
        assert "{" not in finding.message


BELIEF = ExpectedState(
    as_of=0,
    positions=(ExpectedPosition("BTC/USDT:USDT", PositionSide.NET, Decimal("0.05")),),
    orders=(ExpectedOrder("BTC/USDT:USDT", "", "abc123"),),
    balances=(ExpectedBalance("USDT", Decimal(10)),),
)
REPAIRS = (
    Repair(RepairKind.POSITION, "BTC/USDT:USDT", "net", "0.08"),
    Repair(RepairKind.POSITION, "ETH/USDT:USDT", "net", "1"),
    Repair(RepairKind.BALANCE, "USDT", "wallet", "9"),
    Repair(RepairKind.STALE_ORDER, "BTC/USDT:USDT", "abc123", "canceled", "42", "abc123"),
    Repair(RepairKind.MISSING_ORDER, "BTC/USDT:USDT", "43", "open", "43", "def456"),
)


def test_each_repair_is_told_as_the_desync_runbook_greps_for_it() -> None:
    *told, (last, sums) = repaired(REPAIRS, BELIEF)
    assert {event for event, _ in told} == {"Auto-repair"}
    assert [(fields["type"], fields["symbol"]) for _, fields in told] == [
        (repair.kind, repair.symbol) for repair in REPAIRS
    ]
    assert last.startswith("Auto-repair")
    assert sums == {"repairs_applied": 5}


def test_a_repair_is_told_with_what_the_bot_believed_and_what_the_exchange_says() -> None:
    held, new, paid, stale, missing = [fields for _, fields in repaired(REPAIRS, BELIEF)][:5]
    assert (held["local_qty"], held["exchange_qty"]) == ("0.05", "0.08")
    assert (new["local_qty"], new["exchange_qty"]) == ("0", "1")
    assert (paid["local_qty"], paid["exchange_qty"]) == ("10", "9")
    assert (stale["local_status"], stale["exchange_status"], stale["client_order_id"]) == ("open", "canceled", "abc123")
    assert (missing["exchange_status"], missing["client_order_id"], missing["id"]) == ("open", "def456", "43")
    assert "local_status" not in missing, "the bot did not know it"


def test_a_repair_of_an_earlier_process_is_told_without_what_the_bot_believed() -> None:
    ((_, fields), _) = repaired(REPAIRS[:1])
    assert fields["exchange_qty"] == "0.08"
    assert "local_qty" not in fields

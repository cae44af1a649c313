"""The drills of Runbook 30, A to E, and F: from drift to a hold, and out of it by its digest."""

from dataclasses import replace
from decimal import Decimal

from accountsync.cycle import Cycle
from accountsync.domain.account import Position, PositionSide
from accountsync.domain.holds import DIGEST_LENGTH, Source
from accountsync.domain.policy import Mode, Policy
from accountsync.drill.record import Drill, Record
from accountsync.drill.stage import (
    BTC,
    CLEAN,
    ETH,
    NAMESPACE,
    PREFIX,
    START_MS,
    Account,
    failures,
    mismatches,
    ok,
    orphaned,
)
from accountsync.report.contract import missing, required, types
from accountsync.report.metrics import TABLE

LAST_TS = "grinder_account_sync_last_ts"
AGE = "grinder_account_sync_age_seconds"
POSITIONS = "grinder_account_sync_positions_count"
ORDERS = "grinder_account_sync_open_orders_count"
PENDING = "grinder_account_sync_pending_notional"
MISMATCHES = "grinder_account_sync_mismatches_total"
ERRORS = "grinder_account_sync_errors_total"
TYPES = "grinder_reconcile_mismatch_total"
RUNS = "grinder_reconcile_runs_total"
STANDING = "reconciliation_mismatch_total"
SNAPSHOT_AGE = "grinder_reconcile_last_snapshot_age_seconds"
IN_RUNBOOKS = {LAST_TS, AGE, POSITIONS, ORDERS, PENDING, MISMATCHES, ERRORS, TYPES, RUNS, SNAPSHOT_AGE}
"""The names of Runbooks 29 and 11, so that a row can't leave the table and its contract together."""


async def clean_sync(record: Record, account: Account) -> str:
    """A: both sides agree."""
    cycle = await account.cycle(CLEAN)
    record.check("ok", ok(cycle), expected=True)
    record.check("mismatches", mismatches(cycle), [])
    record.check("last_ts", cycle.state.timestamp, START_MS + 1000)
    shown = account.page()
    expected = {LAST_TS: START_MS + 1000, AGE: 0, POSITIONS: 2, ORDERS: 2, PENDING: 4250, RUNS: 1, STANDING: 0}
    for name, value in expected.items():
        record.check(name, shown.value(name), value)
    record.check(MISMATCHES, shown.counted(MISMATCHES), {})
    record.check(ERRORS, shown.counted(ERRORS), {})
    return "clean sync"


async def corrupt_snapshot(record: Record, account: Account) -> str:
    """B: a position that is listed twice, and a long leg below zero."""
    negative = Position(ETH, PositionSide.LONG, Decimal(-1))
    cycle = await account.cycle(replace(CLEAN, positions=(CLEAN.positions[0], *CLEAN.positions, negative)))
    rules = ["duplicate_key", "negative_qty"]
    record.check("ok", ok(cycle), expected=False)
    record.check("mismatches", mismatches(cycle), rules)
    record.check("what they are about", _about(cycle), [f"{BTC} position:net", f"{ETH} position:long"])
    shown = account.page()
    for rule in rules:
        record.check(f"{MISMATCHES}{{{rule}}}", shown.value(MISMATCHES, rule=rule), 1)
    record.check(f"all that {MISMATCHES} counted", shown.counted(MISMATCHES), dict.fromkeys(rules, 1))
    record.check(TYPES, shown.counted(TYPES), {})
    record.check(STANDING, shown.value(STANDING), 2)
    return "duplicate_key + negative_qty detected"


async def orphan_order(record: Record, account: Account) -> str:
    """C: an order that the bot does not know of, beside those that it knows."""
    cycle = await account.cycle(orphaned())
    flagged = [finding.id for finding in cycle.outcome.shown]
    record.check("ok", ok(cycle), expected=False)
    record.check("mismatches", mismatches(cycle), ["orphan_order"])
    record.check("orphan_ord_x flagged", "orphan_ord_x" in flagged, expected=True)
    record.check("known_ord_1 flagged", "known_ord_1" in flagged, expected=False)
    record.check("orders flagged", flagged, ["orphan_ord_x"])
    record.check("orders that the exchange was asked for", account.exchange.asked, ["orphan_ord_x"])
    shown = account.page()
    record.check(MISMATCHES, shown.counted(MISMATCHES), {"orphan_order": 1})
    record.check(TYPES, shown.counted(TYPES), {"ORDER_EXISTS_UNEXPECTED": 1})
    record.check("reconciliation_missing_in_db_total", shown.value("reconciliation_missing_in_db_total"), 1)
    return "orphan_ord_x flagged, known_ord_1 not flagged"


async def timestamp_regression(record: Record, account: Account) -> str:
    """D: a snapshot that is older than the last, and empty."""
    good = await account.cycle(CLEAN)
    record.check("ok of the first snapshot", ok(good), expected=True)
    empty = replace(CLEAN, positions=(), orders=())
    refused = await account.cycle(empty, after=30, behind_ms=60_000)
    record.check("ok", ok(refused), expected=False)
    record.check("mismatches", mismatches(refused), ["ts_regression"])
    record.check("sides unknown", failures(refused), ["SnapshotRefused"])
    record.check("last_ts", refused.state.timestamp, START_MS + 1000)
    shown = account.page()
    expected = {LAST_TS: START_MS + 1000, AGE: 30, POSITIONS: 2, ORDERS: 2}
    for name, value in expected.items():
        record.check(name, shown.value(name), value)
    record.check(MISMATCHES, shown.counted(MISMATCHES), {"ts_regression": 1})
    record.check(ERRORS, shown.counted(ERRORS), {"snapshot_refused": 1})
    account.clock.advance(15)
    record.check(f"{AGE} 15 s later", account.page().value(AGE), 45)
    return "ts_regression detected"


async def metrics_contract(record: Record, account: Account) -> str:
    """E: every series is there before the first cycle, and still is after one."""
    text = account.page().text
    for row in TABLE:
        patterns = required(NAMESPACE, account.name, fresh=True, table=[row])
        record.check(f"{row.name}, missing of its {len(patterns)} at first", missing(text, patterns), [])
    await account.cycle(orphaned())
    shown = account.page()
    patterns = required(NAMESPACE, account.name)
    record.check("types missing", missing(shown.text, types()), [])
    record.check("series missing after a cycle", missing(shown.text, patterns), [])
    record.check("series shown, and who looks after it", len(shown), len(patterns) + 1)
    record.check("runbooks' names not in the table", sorted(IN_RUNBOOKS - {row.name for row in TABLE}), [])
    return f"all {len(patterns)} account sync patterns present"


async def hold_and_resume(record: Record, account: Account) -> str:
    """F: by the default grace of 5 s and two confirmations."""
    record.check("ok before the drift", ok(await account.cycle(CLEAN)), expected=True)
    drift = orphaned(placed=account.clock.now_ms())
    for after, count in ((2, 0), (6, 1)):
        cycle = await account.cycle(drift, after=after)
        looks = {track.finding.id: track.count for track in cycle.state.tracks.values() if not track.confirmed}
        record.check(f"{account.clock.seconds:g} s: open, and the looks that count", looks, {"orphan_ord_x": count})
        record.check("mismatches", mismatches(cycle), [])
        _check_held(record, account, held=False)
    cycle = await account.cycle(drift, after=6)
    record.check("mismatches at the second look", mismatches(cycle), ["orphan_order"])
    at_risk = "accountsync_notional_at_risk"
    record.check(at_risk, account.page().value(at_risk), 2750)
    record.check("holds that changed", _changes(cycle), ["Policy raised by DriftConfirmed"])
    _check_held(record, account, held=True)
    digest = _digest(account)
    record.check("digits of its digest", len(digest), DIGEST_LENGTH)

    cycle = await account.cycle(drift, after=6, resume="0" * DIGEST_LENGTH)
    record.check("a wrong digest is told the right one", f"quote {digest}" in cycle.decision.refusal, expected=True)
    record.check("digest of the hold", _digest(account), digest)
    _check_held(record, account, held=True)

    cycle = await account.cycle(drift, after=6, resume=digest)
    record.check("refusal of the right one", cycle.decision.refusal, "")
    record.check("holds that changed", _changes(cycle), ["Policy lifted by Resumed"])
    _check_held(record, account, held=False)
    cycle = await account.cycle(drift, after=6)
    record.check("still there, and acknowledged", len(cycle.state.acknowledged), 1)
    _check_held(record, account, held=False)
    return "drift confirmed, Policy hold raised, lifted by its digest only"


def _about(cycle: Cycle) -> list[str]:
    return sorted(f"{finding.symbol} {finding.id}" for finding in cycle.outcome.shown)


def _changes(cycle: Cycle) -> list[str]:
    return [
        f"{change.source.value} {'raised' if change.raised else 'lifted'} by {change.why.value}"
        for change in cycle.decision.transitions
    ]


def _digest(account: Account) -> str:
    hold = account.state.holds.get(Source.POLICY)
    return hold.digest if hold else ""


def _check_held(record: Record, account: Account, *, held: bool) -> None:
    """Whether the bot is to stop, as the state and as the metrics have it."""
    record.check("holds", [source.value for source in account.state.holds], ["Policy"] if held else [])
    record.check("accountsync_paused", account.page().counted("accountsync_paused"), {"Policy": 1} if held else {})


DRILLS = (
    Drill("a", clean_sync),
    Drill("b", corrupt_snapshot),
    Drill("c", orphan_order),
    Drill("d", timestamp_regression),
    Drill("e", metrics_contract),
    Drill("f", hold_and_resume, lambda name: Account(name, Policy(mode=Mode.PAUSE, order_id_prefix=PREFIX))),
)

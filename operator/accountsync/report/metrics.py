"""The operator's Prometheus metrics, by the names that the runbooks use.

Per-account series are kept in `AccountSeries` and rendered at scrape time, so that ages are true and a series dies with
its account. Every rule, type and reason exists at 0 before an account's first cycle, because increase() misses a
series that is born at 1. Histograms carry no account label.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from accountsync.cycle import Cycle
from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.confirm import Tracks
from accountsync.domain.detect import Finding
from accountsync.domain.holds import Holds, Source
from accountsync.errors import Reason
from accountsync.ports import Clock

LABELS = ("namespace", "account")
RULE_LABELS = ("none", *(row.account_sync for row in CATALOGUE.values()))
TYPE_LABELS = tuple(row.reconcile for row in CATALOGUE.values() if row.reconcile)
REASON_LABELS = ("none", *(reason.label for reason in Reason))
RECOUNT_AFTER = 60.0


@dataclass(slots=True)
class AccountSeries:
    """The series of one account. `since`: monotonic seconds from which it is aged without a good snapshot."""

    namespace: str
    account: str
    since: float
    stale_after: float = 300.0
    last_ts: int = 0
    good_at: float | None = None
    suspended: bool = False
    positions: int = 0
    open_orders: int = 0
    pending_notional: Decimal = Decimal(0)
    notional_at_risk: Decimal = Decimal(0)
    standing: Counter[Rule] = field(default_factory=Counter)
    mismatches: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    held: frozenset[Source] = frozenset()
    counted: dict[str, float] = field(default_factory=dict)

    def record(self, cycle: Cycle, monotonic: float) -> None:
        """Take over what `cycle` learned."""
        self.runs += 1
        for failure in (cycle.exchange, cycle.bot):
            if failure is not None:
                self.errors[failure.reason.label] += 1
        state = cycle.state
        if state.snapshot is not None and state.timestamp is not None:
            self.last_ts = state.timestamp
            self.good_at = state.good_at
            self.positions = state.snapshot.held
            self.open_orders = len(state.snapshot.orders)
            self.pending_notional = state.snapshot.pending_notional
        self.count(cycle.outcome.shown, monotonic)
        self.stand(state.tracks, state.holds)
        self.recount(state.tracks, monotonic)

    def stand(self, tracks: Tracks, holds: Holds) -> None:
        """What stands now: confirmed findings and holds."""
        confirmed = [track.finding for track in tracks.values() if track.confirmed]
        self.standing = Counter(finding.rule for finding in confirmed)
        self.notional_at_risk = notional_at_risk(confirmed)
        self.held = frozenset(holds)

    def count(self, findings: Iterable[Finding], monotonic: float) -> None:
        """Advance the mismatch counters for findings that are confirmed and were shown."""
        for finding in findings:
            row = CATALOGUE[finding.rule]
            self.mismatches[row.account_sync] += 1
            if row.reconcile and reconcile_type_applies(finding):
                self.types[row.reconcile] += 1
            self.counted[finding.key] = monotonic

    def recount(self, tracks: Tracks, monotonic: float) -> None:
        """Advance them at least every minute while a confirmed finding stands, so that increase() sees it."""
        confirmed = {track.finding.key: track.finding for track in tracks.values() if track.confirmed}
        self.counted = {key: at for key, at in self.counted.items() if key in confirmed}
        due = [
            finding
            for key, finding in confirmed.items()
            if monotonic - self.counted.setdefault(key, monotonic) >= RECOUNT_AFTER
        ]
        self.count(due, monotonic)


def reconcile_type_applies(finding: Finding) -> bool:
    """Runbook 11 knows only orders with the bot's prefix, and only positions where none was expected."""
    if finding.rule is Rule.UNEXPECTED_ORDER:
        return finding.own
    if finding.rule is Rule.POSITION_MISMATCH:
        return finding.expected == "0"
    return True


def notional_at_risk(findings: Iterable[Finding]) -> Decimal:
    """The largest finding of each symbol, summed: one missed fill raises several findings of the same value."""
    largest: dict[str, Decimal] = {}
    for finding in findings:
        largest[finding.symbol] = max(largest.get(finding.symbol, Decimal(0)), finding.notional)
    return sum(largest.values(), Decimal(0))


class Metrics(Collector):
    """The registry of everything that `/metrics` shows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[str, AccountSeries] = {}
        self.budgets: Callable[[], Iterable[tuple[str, str, int, int]]] = tuple
        """(exchange, egress, weight used in this minute, limit) for each budget in use."""
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.cycle_duration = Histogram(
            "accountsync_cycle_duration_seconds",
            "Time from the start of a cycle to its judgement.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.detection_latency = Histogram(
            "accountsync_detection_latency_seconds",
            "Time from a finding's first sight to its confirmation.",
            buckets=(0.1, 1, 2.5, 5, 10, 20, 30, 60, 120, 300),
            registry=self.registry,
        )
        self.status_writes = PrometheusCounter(
            "accountsync_status_writes_total",
            "Writes of status to the API server, by result.",
            ["result"],
            registry=self.registry,
        )
        for result in ("ok", "conflict", "error"):
            self.status_writes.labels(result)

    def open(self, uid: str, namespace: str, account: str) -> AccountSeries:
        """Begin the series of an account."""
        return self._accounts.setdefault(uid, AccountSeries(namespace, account, self._clock.monotonic()))

    def forget(self, uid: str) -> None:
        """End them."""
        self._accounts.pop(uid, None)

    def collect(self) -> Iterator[Metric]:
        """Render all per-account series; called at each scrape."""
        accounts = list(self._accounts.values())
        yield from self._gauges(accounts)
        yield from _counters(accounts)
        owned = GaugeMetricFamily("accountsync_owned_accounts", "Accounts that this replica looks after.")
        owned.add_metric([], len(accounts))
        yield owned
        used = GaugeMetricFamily(
            "accountsync_exchange_weight_used",
            "Request weight used in the exchange's current minute.",
            labels=("exchange", "egress"),
        )
        limit = GaugeMetricFamily(
            "accountsync_exchange_weight_limit",
            "Request weight that the exchange allows a minute.",
            labels=("exchange", "egress"),
        )
        for exchange, egress, weight, allowed in self.budgets():
            used.add_metric([exchange, egress], weight)
            limit.add_metric([exchange, egress], allowed)
        yield used
        yield limit

    def _gauges(self, accounts: list[AccountSeries]) -> Iterator[Metric]:
        now = self._clock.monotonic()

        def gauge(name: str, text: str, value: Callable[[AccountSeries], float | None]) -> Metric:
            family = GaugeMetricFamily(name, text, labels=LABELS)
            for series in accounts:
                number = value(series)
                if number is not None:
                    family.add_metric([series.namespace, series.account], number)
            return family

        def age(series: AccountSeries) -> float | None:
            return None if series.suspended else now - max(series.since, series.good_at or series.since)

        synced = "Seconds since the last good snapshot, or since the account was first seen."
        yield gauge("grinder_account_sync_last_ts", "Unix ms of the last good snapshot.", lambda series: series.last_ts)
        yield gauge("grinder_account_sync_age_seconds", synced, age)
        yield gauge("grinder_reconcile_last_snapshot_age_seconds", synced, age)
        yield gauge(
            "grinder_account_sync_positions_count", "Positions in the last snapshot.", lambda series: series.positions
        )
        yield gauge(
            "grinder_account_sync_open_orders_count",
            "Open orders in the last snapshot.",
            lambda series: series.open_orders,
        )
        yield gauge(
            "grinder_account_sync_pending_notional",
            "Total notional of the open orders, in the quote currency.",
            lambda series: float(series.pending_notional),
        )
        yield gauge("reconciliation_mismatch_total", "Confirmed findings that stand now.", lambda s: s.standing.total())
        yield gauge(
            "reconciliation_missing_from_exchange_total",
            "Confirmed orders of the bot that the exchange proves gone.",
            lambda series: series.standing[Rule.MISSING_ORDER],
        )
        yield gauge(
            "reconciliation_missing_in_db_total",
            "Confirmed orders on the exchange that the bot does not track.",
            lambda series: series.standing[Rule.UNEXPECTED_ORDER],
        )
        yield gauge(
            "accountsync_notional_at_risk",
            "Notional of the confirmed findings: the largest of each symbol, summed.",
            lambda series: float(series.notional_at_risk),
        )
        yield gauge(
            "accountsync_stale_after_seconds", "The account's spec.staleAfter.", lambda series: series.stale_after
        )
        paused = GaugeMetricFamily(
            "accountsync_paused", "1 while a hold of this source stands.", labels=(*LABELS, "source")
        )
        for series in accounts:
            for source in Source:
                paused.add_metric([series.namespace, series.account, source], float(source in series.held))
        yield paused


def _counters(accounts: list[AccountSeries]) -> Iterator[Metric]:
    def counter(
        name: str, text: str, label: str, values: tuple[str, ...], counts: Callable[[AccountSeries], Counter[str]]
    ) -> Metric:
        family = CounterMetricFamily(name, text, labels=(*LABELS, label))
        for series in accounts:
            counted = counts(series)
            for value in values:
                family.add_metric([series.namespace, series.account, value], counted[value])
        return family

    yield counter(
        "grinder_account_sync_errors_total",
        "Failures to learn one side, by reason.",
        "reason",
        REASON_LABELS,
        lambda series: series.errors,
    )
    yield counter(
        "grinder_account_sync_mismatches_total",
        "Confirmed findings, advanced by each cycle that shows one.",
        "rule",
        RULE_LABELS,
        lambda series: series.mismatches,
    )
    yield counter(
        "grinder_reconcile_mismatch_total",
        "Confirmed findings of Runbook 11's types, advanced by each cycle that shows one.",
        "type",
        TYPE_LABELS,
        lambda series: series.types,
    )
    runs = CounterMetricFamily("grinder_reconcile_runs_total", "Cycles run.", labels=LABELS)
    for series in accounts:
        runs.add_metric([series.namespace, series.account], series.runs)
    yield runs

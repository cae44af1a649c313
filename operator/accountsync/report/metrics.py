"""The operator's Prometheus metrics, by the names that the runbooks use: a row of `TABLE` for each.

Per-account series are kept in `AccountSeries` and rendered at scrape time, so that ages are true and a series dies with
its account. Every rule, type and reason exists at 0 before an account's first cycle, because increase() misses a
series that is born at 1. Histograms carry no account label.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.holds import Source
from accountsync.domain.plan import ActionKind, RepairKind
from accountsync.errors import Reason
from accountsync.ports import Clock
from accountsync.report.health import health
from accountsync.report.ledger_series import CHANGES, LedgerSeries
from accountsync.report.series import RECOUNT_AFTER, AccountSeries

__all__ = ["RECOUNT_AFTER", "TABLE", "AccountSeries", "Kind", "Metrics", "Row"]

RULE_LABELS = ("none", *(row.account_sync for row in CATALOGUE.values()))
TYPE_LABELS = tuple(row.reconcile for row in CATALOGUE.values() if row.reconcile)
OUTCOME_LABELS = ("done", "refused", "expired", "unknown", "not_sent", "dry_run")
REASON_LABELS = ("none", *(reason.label for reason in Reason))
REPAIR_LABELS = (*RepairKind, *CHANGES)


class Kind(StrEnum):
    """Types of metrics, in Prometheus' words."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of an account: a series for each of `values`, told apart by `label`; without one, a single series.

    Where it takes several labels to tell them apart, `label` and each of `values` are as many words.
    `read` takes the account's series, monotonic seconds now and one of `values`; what it gives None for is not shown.
    `sure`: it gives a number for every account that is not suspended.
    """

    name: str
    kind: Kind
    text: str
    read: Callable[[AccountSeries, float, str], float | None]
    label: str = ""
    values: tuple[str, ...] = ("",)
    sure: bool = True

    def family(self, accounts: Iterable[AccountSeries], monotonic: float) -> Metric:
        """Its series of all `accounts`."""
        family = Metric(
            self.name.removesuffix("_total") if self.kind is Kind.COUNTER else self.name, self.text, self.kind
        )
        for series in accounts:
            for value in self.values:
                number = self.read(series, monotonic, value)
                if number is not None:
                    family.samples.append(
                        Sample(self.name, self.labels(series.namespace, series.account, value), number)
                    )
        return family

    def labels(self, namespace: str, account: str, value: str) -> dict[str, str]:
        """What names one of its series."""
        told_apart = zip(self.label.split(), value.split(), strict=True)
        return {"namespace": namespace, "account": account, **dict(told_apart)}


def _optional(number: Decimal | bool | None) -> float | None:  # noqa: FBT001 - a number to show
    return None if number is None else float(number)


def _ledger(read: Callable[[LedgerSeries], float]) -> Callable[[AccountSeries, float, str], float | None]:
    """What is shown of accounts with a ledger only."""
    return lambda series, *_: None if series.ledger is None else read(series.ledger)


SYNCED = "Seconds since the last good snapshot, or since the account was first seen."

TABLE = (
    Row(
        "grinder_account_sync_last_ts",
        Kind.GAUGE,
        "Unix ms of the last good snapshot.",
        lambda series, *_: series.last_ts,
    ),
    Row("grinder_account_sync_age_seconds", Kind.GAUGE, SYNCED, lambda series, now, _: series.age(now)),
    Row("grinder_reconcile_last_snapshot_age_seconds", Kind.GAUGE, SYNCED, lambda series, now, _: series.age(now)),
    Row(
        "grinder_account_sync_positions_count",
        Kind.GAUGE,
        "Positions in the last snapshot.",
        lambda series, *_: series.positions,
    ),
    Row(
        "grinder_account_sync_open_orders_count",
        Kind.GAUGE,
        "Open orders in the last snapshot.",
        lambda series, *_: series.open_orders,
    ),
    Row(
        "grinder_account_sync_pending_notional",
        Kind.GAUGE,
        "Total notional of the open orders, in the quote currency.",
        lambda series, *_: float(series.pending_notional),
    ),
    Row(
        "reconciliation_mismatch_total",
        Kind.GAUGE,
        "Confirmed findings that stand now.",
        lambda series, *_: series.standing.total(),
    ),
    Row(
        "reconciliation_missing_from_exchange_total",
        Kind.GAUGE,
        "Confirmed orders of the bot that the exchange proves gone.",
        lambda series, *_: series.standing[Rule.MISSING_ORDER],
    ),
    Row(
        "reconciliation_missing_in_db_total",
        Kind.GAUGE,
        "Confirmed orders on the exchange that the bot does not track.",
        lambda series, *_: series.standing[Rule.UNEXPECTED_ORDER],
    ),
    Row(
        "accountsync_notional_at_risk",
        Kind.GAUGE,
        "Notional of the confirmed findings: the largest of each symbol, summed.",
        lambda series, *_: float(series.notional_at_risk),
    ),
    Row(
        "accountsync_stale_after_seconds",
        Kind.GAUGE,
        "The account's spec.staleAfter.",
        lambda series, *_: series.stale_after,
    ),
    Row(
        "accountsync_belief_age_seconds",
        Kind.GAUGE,
        "Seconds since the asOf of the last belief that counted, or since the account was first seen.",
        lambda series, now, _: series.belief_age(now),
    ),
    Row(
        "accountsync_belief_stale_after_seconds",
        Kind.GAUGE,
        "The account's spec.bot.staleAfter.",
        lambda series, *_: series.belief_stale_after,
    ),
    Row(
        "accountsync_judged_in_time",
        Kind.GAUGE,
        "1 while the whole account was last judged at most 2 x spec.interval + spec.timeout ago.",
        lambda series, now, _: _optional(series.judged_in_time(now)),
    ),
    Row(
        "accountsync_credentials_valid",
        Kind.GAUGE,
        "1 while the exchange accepts the key, 0 while it does not; not shown before that is known.",
        lambda series, *_: _optional(series.credentials_valid),
        sure=False,
    ),
    Row(
        "accountsync_mismatch_notional_limit",
        Kind.GAUGE,
        "The account's spec.alerts.mismatchNotional; not shown where it is not set.",
        lambda series, *_: _optional(series.mismatch_limit),
        sure=False,
    ),
    Row(
        "accountsync_watchdog_notional_limit",
        Kind.GAUGE,
        "spec.watchdog's maxMismatchRatio x allocatedCapital; not shown where there is no watchdog.",
        lambda series, *_: _optional(series.watchdog_limit),
        sure=False,
    ),
    Row(
        "accountsync_clock_skew_seconds",
        Kind.GAUGE,
        "The exchange's clock minus ours at the last good snapshot, beyond what the measuring can be off.",
        lambda series, *_: series.clock_skew,
    ),
    Row(
        "accountsync_paused",
        Kind.GAUGE,
        "1 while a hold of this source stands.",
        lambda series, _, source: float(source in series.held),
        "source",
        tuple(Source),
    ),
    Row(
        "accountsync_holds_raised_total",
        Kind.COUNTER,
        "Holds raised, by source.",
        lambda series, _, source: series.raised[Source(source)],
        "source",
        tuple(Source),
    ),
    Row(
        "accountsync_holds_lifted_total",
        Kind.COUNTER,
        "Holds lifted, by source, whoever lifted them.",
        lambda series, _, source: series.lifted[Source(source)],
        "source",
        tuple(Source),
    ),
    Row(
        "accountsync_plans_waiting",
        Kind.GAUGE,
        "Plans that wait for a person's approval.",
        lambda series, *_: series.waiting,
    ),
    Row(
        "accountsync_outcomes_unknown",
        Kind.GAUGE,
        "Actions of which nobody knows whether they happened.",
        lambda series, *_: series.unknown,
    ),
    Row(
        "accountsync_actions_total",
        Kind.COUNTER,
        "Actions of plans, by what became of them; one that was unknown for a while counts as that as well.",
        lambda series, _, told: series.actions[told],
        "type outcome",
        tuple(f"{kind} {outcome}" for kind in ActionKind for outcome in OUTCOME_LABELS),
    ),
    Row(
        "accountsync_pause_not_honoured_total",
        Kind.COUNTER,
        "Orders that the bot placed although it had had spec.bot.pauseAllowance to obey its hold.",
        lambda series, *_: series.not_honoured,
    ),
    Row(
        "accountsync_bot_not_stopped",
        Kind.GAUGE,
        "Whether a hold stands of which a bot that is stopped by calls (freqtrade) could not be told.",
        lambda series, *_: None if series.not_stopped is None else int(series.not_stopped),
        sure=False,
    ),
    Row(
        "accountsync_repairs_applied_total",
        Kind.COUNTER,
        "What bots put right in their belief because they were told to, and what was brought into their ledgers.",
        lambda series, _, kind: series.repairs[kind],
        "type",
        REPAIR_LABELS,
    ),
    Row(
        "accountsync_reconciliation_elevated_runs",
        Kind.GAUGE,
        "Runs over the ledger in a row that left confirmed mismatches standing; accounts with a ledger only.",
        _ledger(lambda ledger: ledger.elevated),
        sure=False,
    ),
    Row(
        "accountsync_reconciliation_contended_runs",
        Kind.GAUGE,
        "Runs in a row for which another session held the ledger's lock; accounts with a ledger only.",
        _ledger(lambda ledger: ledger.contended),
        sure=False,
    ),
    Row(
        "accountsync_reconciliation_lock_contended_total",
        Kind.COUNTER,
        "Runs for which another session held the ledger's lock; accounts with a ledger only.",
        _ledger(lambda ledger: ledger.contentions),
        sure=False,
    ),
    Row(
        "accountsync_parity_mismatch_trades",
        Kind.GAUGE,
        "Slices that the ledger holds open while the exchange holds nothing; accounts with a ledger only.",
        _ledger(lambda ledger: ledger.tally.ghosts),
        sure=False,
    ),
    Row(
        "accountsync_parity_quarantined_trades",
        Kind.GAUGE,
        "Those of them that wait for a person; accounts with a ledger only.",
        _ledger(lambda ledger: ledger.tally.quarantined),
        sure=False,
    ),
    Row(
        "accountsync_parity_mismatch_notional",
        Kind.GAUGE,
        "Their notional in the quote currency; accounts with a ledger only.",
        _ledger(lambda ledger: float(ledger.tally.total_notional)),
        sure=False,
    ),
    Row(
        "accountsync_parity_auto_closed_total",
        Kind.COUNTER,
        "Slices that were closed by synthetic exits; accounts with a ledger only.",
        _ledger(lambda ledger: ledger.closed),
        sure=False,
    ),
    Row(
        "grinder_account_sync_errors_total",
        Kind.COUNTER,
        "Failures to learn one side, by reason.",
        lambda series, _, reason: series.errors[reason],
        "reason",
        REASON_LABELS,
    ),
    Row(
        "grinder_account_sync_mismatches_total",
        Kind.COUNTER,
        "Confirmed findings, advanced by each cycle that shows one.",
        lambda series, _, rule: series.mismatches[rule],
        "rule",
        RULE_LABELS,
    ),
    Row(
        "grinder_reconcile_mismatch_total",
        Kind.COUNTER,
        "Confirmed findings of Runbook 11's types, advanced by each cycle that shows one.",
        lambda series, _, kind: series.types[kind],
        "type",
        TYPE_LABELS,
    ),
    Row("grinder_reconcile_runs_total", Kind.COUNTER, "Cycles run.", lambda series, *_: series.runs),
)
"""Every metric that is kept for each account, in the order in which they are shown."""


class Metrics(Collector):
    """The registry of everything that `/metrics` shows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[str, AccountSeries] = {}
        self.budgets: Callable[[], Iterable[tuple[str, str, int, int]]] = tuple
        """(exchange, egress, weight used in this minute, limit) for each budget in use."""
        self.followed: Callable[[], Mapping[str, bool]] = dict
        """Each namespace to follow, and whether it is; `*`: all of the cluster."""
        self.unowned: Callable[[], Iterable[tuple[str, str]]] = tuple
        """(namespace, account) of each account that is known here and that another replica looks after, or none."""
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
        self.status_writes = Counter(
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

    def health(self, unready: str = "") -> Mapping[str, Any]:
        """How reconciliation goes now, for `/internal/health`; `unready` as there."""
        return health(list(self._accounts.values()), self._clock.monotonic(), unready=unready)

    def collect(self) -> Iterator[Metric]:
        """Render everything that is kept by account, and what this replica holds; called at each scrape."""
        accounts, now = list(self._accounts.values()), self._clock.monotonic()
        for row in TABLE:
            yield row.family(accounts, now)
        owned = GaugeMetricFamily("accountsync_owned_accounts", "Accounts that this replica looks after.")
        owned.add_metric([], len(accounts))
        yield owned
        looked_after = GaugeMetricFamily(
            "accountsync_account_owned",
            "1 where this replica looks after the account, 0 where it only knows of it.",
            labels=("namespace", "account"),
        )
        for series in accounts:
            looked_after.add_metric([series.namespace, series.account], 1)
        for namespace, account in self.unowned():
            looked_after.add_metric([namespace, account], 0)
        yield looked_after
        followed = GaugeMetricFamily(
            "accountsync_namespace_followed",
            "1 while the accounts of a namespace, or, as *, of the cluster, can be listed and watched.",
            labels=("namespace",),
        )
        for namespace, is_open in self.followed().items():
            followed.add_metric([namespace], is_open)
        yield followed
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

"""Rendering /metrics."""

from collections import Counter
from decimal import Decimal

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client import Counter as PlainCounter
from tests.bench.measure import Contestant, beside, measured, note, size, span, title

from accountsync.clock import SystemClock
from accountsync.domain.catalogue import Rule
from accountsync.domain.holds import Source
from accountsync.report.metrics import REASON_LABELS, RULE_LABELS, TYPE_LABELS, Metrics

ACCOUNTS = 500


def scrape() -> None:
    title(f"Rendering /metrics for {ACCOUNTS} accounts, beside as many series of plain labelled gauges and counters")
    # Without series that only the plain counters would have.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    metrics = _filled()
    ours = CollectorRegistry()
    ours.register(metrics)
    plain = _plain(metrics)
    text, other = generate_latest(ours), generate_latest(plain)
    if _series(text) != _series(other):
        raise RuntimeError(f"{_series(text)} series beside {_series(other)}: their speeds say nothing")

    def render(registry: CollectorRegistry, loops: int) -> None:
        for _ in range(loops):
            generate_latest(registry)

    figure, baseline = measured(
        Contestant("Metrics.collect", lambda loops: render(ours, loops)),
        Contestant("plain prometheus_client", lambda loops: render(plain, loops)),
        repetitions=7,
    )
    beside(f"{_series(text):,} series, {size(len(text))}", figure, [baseline], span)

    def collect(loops: int) -> None:
        for _ in range(loops):
            for _family in ours.collect():
                pass

    (collecting,) = measured(Contestant("of which making the series", collect), repetitions=5)
    note(
        f"= {span(figure.median / _series(text))} a series; making them is {collecting.median / figure.median:.0%},"
        " writing them as text the rest"
    )


def _filled() -> Metrics:
    """As after some hours: every account has counted something of each kind."""
    metrics = Metrics(SystemClock())
    metrics.budgets = lambda: [("binanceusdm", "", 51, 2400)]
    for number in range(ACCOUNTS):
        series = metrics.open(f"uid-{number}", "trading", f"grid-{number:03}")
        series.last_ts = 1_790_000_000_000 + number
        series.good_at = series.since
        series.positions, series.open_orders, series.runs = 3, 10, 1000 + number
        series.pending_notional = series.notional_at_risk = Decimal("1234.56")
        series.standing = Counter({Rule.MISSING_ORDER: 1, Rule.UNEXPECTED_ORDER: 2})
        series.held = frozenset({Source.POLICY})
        for counted, labels in (
            (series.errors, REASON_LABELS),
            (series.mismatches, RULE_LABELS),
            (series.types, TYPE_LABELS),
        ):
            counted.update(dict.fromkeys(labels, number))
    return metrics


def _plain(metrics: Metrics) -> CollectorRegistry:
    """The same names, labels and values, as a program has them that sets its metrics one by one."""
    registry = CollectorRegistry()
    for family in metrics.collect():
        labels = list(family.samples[0].labels)
        if family.type == "counter":
            counter = PlainCounter(family.name, family.documentation, labels, registry=registry)
            for sample in family.samples:
                counter.labels(**sample.labels).inc(sample.value)
        else:
            gauge = Gauge(family.name, family.documentation, labels, registry=registry)
            for sample in family.samples:
                (gauge.labels(**sample.labels) if labels else gauge).set(sample.value)
    return registry


def _series(text: bytes) -> int:
    return sum(1 for line in text.splitlines() if not line.startswith(b"#"))

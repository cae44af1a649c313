"""What `/metrics` shows, by the runbooks' own names."""

import asyncio
from decimal import Decimal

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.fakes import BTC, ETH, START_MS, FakeBot, FakeExchange, ManualClock, truth

from accountsync.cycle import Cycle, State, run
from accountsync.domain.account import Order
from accountsync.domain.catalogue import CATALOGUE, Rule, Severity
from accountsync.domain.decide import Wishes
from accountsync.domain.detect import Finding
from accountsync.domain.expected import ExpectedState
from accountsync.domain.holds import Source
from accountsync.domain.policy import Mode, Policy
from accountsync.errors import BeliefUnobserved, ExchangeUnobserved, Reason
from accountsync.report.metrics import (
    RECOUNT_AFTER,
    AccountSeries,
    Metrics,
    notional_at_risk,
    reconcile_type_applies,
)

POLICY = Policy(mode=Mode.PAUSE, order_id_prefix="grinder_")


class Scraped:
    """One account, looked at through the text that Prometheus would read."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics(self.clock)
        self.series: AccountSeries = self.metrics.open("uid-1", "trading", "grid")
        self.exchange = FakeExchange(self.clock)
        self.bot = FakeBot(ExpectedState(START_MS))
        self.state = State()

    def text(self) -> str:
        return generate_latest(self.metrics.registry).decode()

    def value(self, name: str, **labels: str) -> float:
        labels = {"namespace": "trading", "account": "grid"} | labels
        (found,) = [
            sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        ]
        return found

    def an_order_that_the_bot_lost(self) -> Order:
        self.exchange.hold(ETH, "5")  # an empty belief beside a full account would be doubted
        return self.exchange.place(client_id="grinder_1", quantity="2", price="100")

    def cycle(self, after: float = 6.0) -> Cycle:
        self.clock.advance(after)
        told = truth(self.exchange, self.clock.now_ms())
        self.bot.state = ExpectedState(told.as_of, positions=told.positions, orders=(), balances=told.balances)

        async def one() -> Cycle:
            return await run(self.state, POLICY, Wishes(), self.exchange, self.bot, self.clock, since=1000.0)

        cycle = asyncio.run(one())
        self.state = cycle.state
        self.series.record(cycle, self.clock.monotonic())
        return cycle


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


GAUGES = [
    "grinder_account_sync_last_ts",
    "grinder_account_sync_age_seconds",
    "grinder_account_sync_positions_count",
    "grinder_account_sync_open_orders_count",
    "grinder_account_sync_pending_notional",
    "grinder_reconcile_last_snapshot_age_seconds",
    "grinder_reconcile_runs_total",
    "reconciliation_mismatch_total",
    "reconciliation_missing_from_exchange_total",
    "reconciliation_missing_in_db_total",
    "accountsync_notional_at_risk",
]


@pytest.mark.parametrize("name", GAUGES)
def test_a_series_exists_at_zero_before_the_first_cycle(scraped: Scraped, name: str) -> None:
    assert scraped.value(name) == 0


def test_every_rule_type_reason_and_source_exists_at_zero_before_the_first_cycle(scraped: Scraped) -> None:
    for rule in ("none", "duplicate_key", "ts_regression", "negative_qty", "orphan_order"):
        assert scraped.value("grinder_account_sync_mismatches_total", rule=rule) == 0
    for row in CATALOGUE.values():
        assert scraped.value("grinder_account_sync_mismatches_total", rule=row.account_sync) == 0
    for kind in (
        "ORDER_MISSING_ON_EXCHANGE",
        "ORDER_EXISTS_UNEXPECTED",
        "ORDER_STATUS_DIVERGENCE",
        "POSITION_NONZERO_UNEXPECTED",
    ):
        assert scraped.value("grinder_reconcile_mismatch_total", type=kind) == 0
    for reason in ("none", *(reason.label for reason in Reason)):
        assert scraped.value("grinder_account_sync_errors_total", reason=reason) == 0
    for source in Source:
        assert scraped.value("accountsync_paused", source=source) == 0


def test_every_metric_says_what_it_is(scraped: Scraped) -> None:
    families = list(text_string_to_metric_families(scraped.text()))
    assert [family.name for family in families if not family.documentation] == []
    assert {family.name for family in families if family.name.startswith("reconciliation_")} == {
        "reconciliation_mismatch_total",
        "reconciliation_missing_from_exchange_total",
        "reconciliation_missing_in_db_total",
    }
    assert {family.type for family in families if family.name.startswith("reconciliation_")} == {"gauge"}


def test_histograms_carry_no_account(scraped: Scraped) -> None:
    scraped.metrics.cycle_duration.observe(0.1)
    for family in text_string_to_metric_families(scraped.text()):
        if family.type == "histogram":
            assert not [sample for sample in family.samples if "account" in sample.labels]


def test_an_account_costs_at_most_twenty_gauges_without_its_sources(scraped: Scraped) -> None:
    gauges = [
        sample
        for family in text_string_to_metric_families(scraped.text())
        if family.type == "gauge"
        for sample in family.samples
        if sample.labels.get("account") == "grid"
    ]
    assert len(gauges) <= 20


def test_a_good_cycle_shows_what_the_account_holds(scraped: Scraped) -> None:
    scraped.exchange.place(quantity="2", price="600")
    scraped.exchange.place(ETH, quantity="1", price="50")
    scraped.exchange.hold(BTC, "1")
    scraped.cycle()
    assert scraped.value("grinder_account_sync_last_ts") == scraped.clock.now_ms()
    assert scraped.value("grinder_account_sync_positions_count") == 1
    assert scraped.value("grinder_account_sync_open_orders_count") == 2
    assert scraped.value("grinder_account_sync_pending_notional") == 1250
    assert scraped.value("grinder_reconcile_runs_total") == 1


def test_ages_grow_between_scrapes(scraped: Scraped) -> None:
    scraped.clock.advance(3)
    assert scraped.value("grinder_account_sync_age_seconds") == 3, "from creation, if never synced"
    scraped.cycle()
    scraped.clock.advance(7.5)
    assert scraped.value("grinder_account_sync_age_seconds") == 7.5
    assert scraped.value("grinder_reconcile_last_snapshot_age_seconds") == 7.5


def test_a_failed_or_refused_cycle_leaves_the_last_snapshot_and_its_age(scraped: Scraped) -> None:
    scraped.exchange.hold(BTC, "1")
    scraped.cycle()
    stamp = scraped.value("grinder_account_sync_last_ts")
    scraped.exchange.script.append(ExchangeUnobserved(Reason.RATE_LIMITED, "too often"))
    scraped.cycle(10)
    scraped.clock.wall -= 60_000
    scraped.cycle(10)
    assert scraped.value("grinder_account_sync_last_ts") == stamp
    assert scraped.value("grinder_account_sync_positions_count") == 1
    assert scraped.value("grinder_account_sync_age_seconds") == 20
    assert scraped.value("grinder_account_sync_errors_total", reason="rate_limited") == 1
    assert scraped.value("grinder_account_sync_errors_total", reason="snapshot_refused") == 1
    assert scraped.value("grinder_account_sync_mismatches_total", rule="ts_regression") == 1


def test_a_suspended_account_has_no_age(scraped: Scraped) -> None:
    scraped.series.suspended = True
    assert "grinder_account_sync_age_seconds{" not in scraped.text()


def test_each_side_counts_its_own_failure(scraped: Scraped) -> None:
    scraped.exchange.script.append(ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, "late"))
    scraped.bot.script.append(BeliefUnobserved(Reason.BOT_UNREACHABLE, "gone"))
    scraped.cycle()
    assert scraped.value("grinder_account_sync_errors_total", reason="exchange_timeout") == 1
    assert scraped.value("grinder_account_sync_errors_total", reason="bot_unreachable") == 1


def test_a_confirmed_finding_advances_its_counters_in_every_cycle_that_shows_it(scraped: Scraped) -> None:
    scraped.an_order_that_the_bot_lost()
    scraped.cycle()
    assert scraped.value("grinder_account_sync_mismatches_total", rule="orphan_order") == 0, "open, not confirmed"
    counts = []
    for _ in range(4):
        scraped.cycle()
        counts.append(scraped.value("grinder_account_sync_mismatches_total", rule="orphan_order"))
    assert counts[-1] - counts[-2] == counts[-2] - counts[-3] == 1
    assert scraped.value("grinder_reconcile_mismatch_total", type="ORDER_EXISTS_UNEXPECTED") == counts[-1]
    assert scraped.value("reconciliation_mismatch_total") == 1
    assert scraped.value("reconciliation_missing_in_db_total") == 1
    assert scraped.value("accountsync_notional_at_risk") == 200
    assert scraped.value("accountsync_paused", source="Policy") == 1


def test_the_ledgers_gauges_return_to_zero_and_the_counters_stay(scraped: Scraped) -> None:
    order = scraped.an_order_that_the_bot_lost()
    for _ in range(5):
        scraped.cycle()
    counted = scraped.value("grinder_account_sync_mismatches_total", rule="orphan_order")
    scraped.exchange.end(order)
    scraped.cycle()
    assert scraped.value("reconciliation_mismatch_total") == 0
    assert scraped.value("grinder_account_sync_mismatches_total", rule="orphan_order") == counted > 0


def test_a_standing_finding_is_counted_every_minute_though_no_cycle_shows_it(scraped: Scraped) -> None:
    scraped.an_order_that_the_bot_lost()
    for _ in range(5):
        scraped.cycle()
    before = scraped.value("grinder_account_sync_mismatches_total", rule="orphan_order")
    for passed, extra in ((RECOUNT_AFTER - 1, 0), (1, 1), (RECOUNT_AFTER, 2)):
        scraped.clock.advance(passed)
        scraped.series.recount(scraped.state.tracks, scraped.clock.monotonic())
        assert scraped.value("grinder_account_sync_mismatches_total", rule="orphan_order") == before + extra


def test_series_die_with_their_account(scraped: Scraped) -> None:
    scraped.metrics.open("uid-2", "trading", "other")
    scraped.cycle()
    scraped.metrics.forget("uid-1")
    assert 'account="grid"' not in scraped.text()
    assert 'account="other"' in scraped.text()
    scraped.metrics.forget("uid-1")


def test_an_account_that_is_opened_again_keeps_its_series(scraped: Scraped) -> None:
    assert scraped.metrics.open("uid-1", "trading", "grid") is scraped.series


def test_budgets_are_told_by_exchange_and_egress(scraped: Scraped) -> None:
    scraped.metrics.budgets = lambda: [("binanceusdm", "10.0.0.1", 40, 2400)]
    families = {family.name: family for family in text_string_to_metric_families(scraped.text())}
    for name, value in (("used", 40), ("limit", 2400)):
        (sample,) = families[f"accountsync_exchange_weight_{name}"].samples
        assert (sample.labels, sample.value) == ({"exchange": "binanceusdm", "egress": "10.0.0.1"}, value)


def finding(rule: Rule, symbol: str = BTC, notional: int = 0, *, expected: str = "", own: bool = True) -> Finding:
    return Finding(rule, Severity.HIGH, symbol, "1", "", expected, notional=Decimal(notional), own=own)


@pytest.mark.parametrize(
    ("found", "applies"),
    [
        (finding(Rule.UNEXPECTED_ORDER), True),
        (finding(Rule.UNEXPECTED_ORDER, own=False), False),
        (finding(Rule.POSITION_MISMATCH, expected="0"), True),
        (finding(Rule.POSITION_MISMATCH, expected="1"), False),
        (finding(Rule.MISSING_ORDER), True),
        (finding(Rule.ORDER_DIVERGENCE), True),
    ],
)
def test_the_reconciliation_types_count_only_what_that_runbook_means(found: Finding, applies: bool) -> None:
    assert reconcile_type_applies(found) is applies


def test_notional_at_risk_is_the_largest_of_each_symbol() -> None:
    one_missed_fill = [finding(Rule.POSITION_MISMATCH, BTC, 100), finding(Rule.MISSING_ORDER, BTC, 90)]
    assert notional_at_risk([*one_missed_fill, finding(Rule.POSITION_MISMATCH, ETH, 7)]) == 107

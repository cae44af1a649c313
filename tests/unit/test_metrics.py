"""The metrics: by the runbooks' names, there before they are needed, gone with their account."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.fakes import BTC, ETH, START_MS, FakeBot, FakeExchange, ManualClock, truth

from accountsync.cycle import Cycle, State, run
from accountsync.domain.account import AccountSnapshot, Order, Position, PositionSide, Side
from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.confirm import Outcome, Track
from accountsync.domain.decide import Decision, Wishes
from accountsync.domain.expected import ExpectedState
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Hold, Signal, Source, Transition
from accountsync.domain.ledger import Handler
from accountsync.domain.plan import ActionKind, RepairKind
from accountsync.domain.policy import Mode, Policy
from accountsync.errors import BeliefUnobserved, ExchangeUnobserved, Reason
from accountsync.observe import Failure
from accountsync.report.metrics import RECOUNT_AFTER, Metrics

POLICY = Policy(mode=Mode.PAUSE, order_id_prefix="grinder_")

# Letter for letter what Runbook 29 and Runbook 11 tell a person to look for.
RUNBOOK_29 = {
    "grinder_account_sync_last_ts": "gauge",
    "grinder_account_sync_age_seconds": "gauge",
    "grinder_account_sync_errors_total": "counter",
    "grinder_account_sync_mismatches_total": "counter",
    "grinder_account_sync_positions_count": "gauge",
    "grinder_account_sync_open_orders_count": "gauge",
    "grinder_account_sync_pending_notional": "gauge",
}
RUNBOOK_11 = {
    "grinder_reconcile_mismatch_total": "counter",
    "grinder_reconcile_last_snapshot_age_seconds": "gauge",
    "grinder_reconcile_runs_total": "counter",
}
RUNBOOK_11_TYPES = {
    "ORDER_MISSING_ON_EXCHANGE",
    "ORDER_EXISTS_UNEXPECTED",
    "ORDER_STATUS_DIVERGENCE",
    "POSITION_NONZERO_UNEXPECTED",
}
RUNBOOK_29_RULES = {"none", "duplicate_key", "ts_regression", "negative_qty", "orphan_order"}
LEDGER = {
    "reconciliation_mismatch_total",
    "reconciliation_missing_from_exchange_total",
    "reconciliation_missing_in_db_total",
}


class Scraped:
    """One account's series, seen as Prometheus sees them, and both its sides."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics(self.clock)
        self.series = self.metrics.open("u-1", "trading", "alpha")
        self.exchange = FakeExchange(self.clock)
        self.bot = FakeBot(ExpectedState(START_MS))
        self.state = State()

    def text(self) -> str:
        return generate_latest(self.metrics.registry).decode()

    def samples(self) -> Iterator[tuple[str, str, dict[str, str], float]]:
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                yield family.type, sample.name, sample.labels, sample.value

    def of(self, name: str, label: str = "account") -> dict[str, float]:
        return {labels[label]: value for _, found, labels, value in self.samples() if found == name}

    def value(self, name: str, **labels: str) -> float | None:
        """Of the account's one series with exactly these labels; None: there is none."""
        labels = {"namespace": "trading", "account": "alpha"} | labels
        values = [value for _, found, named, value in self.samples() if (found, named) == (name, labels)]
        assert len(values) <= 1
        return values[0] if values else None

    def an_order_that_the_bot_lost(self) -> Order:
        self.exchange.hold(ETH, "5")  # an empty belief beside a full account would be doubted
        return self.exchange.place(client_id="grinder_1", quantity="2", price="100")

    def cycle(self, after: float = 6.0, belief: ExpectedState | None = None) -> Cycle:
        """A real one, with a bot that knows all but the orders, or believes this."""
        self.clock.advance(after)
        told = truth(self.exchange, self.clock.now_ms())
        self.bot.state = ExpectedState(told.as_of, positions=told.positions, orders=(), balances=told.balances)
        self.bot.state = belief or self.bot.state

        async def one() -> Cycle:
            return await run(self.state, POLICY, Wishes(), self.exchange, self.bot, self.clock, since=1000.0)

        cycle = asyncio.run(one())
        self.state = cycle.state
        self.series.record(cycle, self.clock.monotonic())
        return cycle

    def record(
        self, *findings: Finding, state: State | None = None, exchange: Reason | None = None, bot: Reason | None = None
    ) -> None:
        """A cycle that showed `findings`, all confirmed."""
        self.series.record(
            Cycle(
                state=replace(state or State(), tracks=tracks(findings)),
                decision=Decision({}),
                outcome=Outcome({}, (), (), tuple(findings)),
                exchange=Failure(exchange, "why") if exchange else None,
                bot=Failure(bot, "why") if bot else None,
            ),
            self.clock.monotonic(),
        )


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


def finding(
    rule: Rule = Rule.MISSING_ORDER,
    id_: str = "1",
    *,
    symbol: str = BTC,
    notional: str = "100",
    own: bool = True,
    expected: str = "",
) -> Finding:
    return Finding(rule, symbol, id_, expected=expected, notional=Decimal(notional), own=own)


def tracks(findings: Iterable[Finding], *, confirmed: bool = True) -> dict[str, Track]:
    return {each.key: Track(each, START_MS, START_MS, 0.0, 0, confirmed=confirmed) for each in findings}


def good(at: float) -> State:
    snapshot = AccountSnapshot(
        START_MS,
        positions=(Position(BTC, PositionSide.NET, Decimal(1)), Position(ETH, PositionSide.NET, Decimal(0))),
        orders=(Order("9", "", BTC, Side.BUY, Decimal(3), Decimal(1), Decimal("50.5")),),
    )
    return State(snapshot=snapshot, timestamp=START_MS, good_at=at)


def counted(scraped: Scraped, rule: str = "missing_order") -> float:
    return scraped.of("grinder_account_sync_mismatches_total", "rule")[rule]


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [*RUNBOOK_29.items(), *RUNBOOK_11.items()])
def test_the_runbooks_names_are_there_letter_for_letter(scraped: Scraped, name: str, kind: str) -> None:
    assert kind in {found for found, sample, _, _ in scraped.samples() if sample == name}
    assert f"# TYPE {name} {kind}\n" in scraped.text()


def test_every_label_is_there_at_zero_before_the_first_cycle(scraped: Scraped) -> None:
    rules = scraped.of("grinder_account_sync_mismatches_total", "rule")
    types = scraped.of("grinder_reconcile_mismatch_total", "type")
    reasons = scraped.of("grinder_account_sync_errors_total", "reason")
    assert set(rules) == {"none"} | {row.account_sync for row in CATALOGUE.values()}
    assert set(rules) >= RUNBOOK_29_RULES
    assert set(types) == RUNBOOK_11_TYPES
    assert set(reasons) == {"none"} | {reason.label for reason in Reason}
    assert {*rules.values(), *types.values(), *reasons.values()} == {0.0}


GAUGES = [
    "grinder_account_sync_last_ts",
    "grinder_account_sync_age_seconds",
    "grinder_account_sync_positions_count",
    "grinder_account_sync_open_orders_count",
    "grinder_account_sync_pending_notional",
    "grinder_reconcile_last_snapshot_age_seconds",
    "grinder_reconcile_runs_total",
    *sorted(LEDGER),
    "accountsync_notional_at_risk",
]


@pytest.mark.parametrize("name", GAUGES)
def test_a_series_exists_at_zero_before_the_first_cycle(scraped: Scraped, name: str) -> None:
    assert scraped.value(name) == 0


def test_every_metric_says_what_it_is(scraped: Scraped) -> None:
    families = list(text_string_to_metric_families(scraped.text()))
    assert [family.name for family in families if not family.documentation] == []
    ledger = {family.name: family.type for family in families if family.name.startswith("reconciliation_")}
    assert ledger == dict.fromkeys(LEDGER, "gauge")


def test_none_stays_at_zero_whatever_happens(scraped: Scraped) -> None:
    scraped.record(finding(), exchange=Reason.EXCHANGE_TIMEOUT)
    assert scraped.of("grinder_account_sync_mismatches_total", "rule")["none"] == 0
    assert scraped.of("grinder_account_sync_errors_total", "reason")["none"] == 0


def test_the_exposition_is_one_valid_text(scraped: Scraped) -> None:
    scraped.metrics.open("u-2", 'odd"name\\space', "line\nbreak")
    scraped.metrics.budgets = lambda: [("binanceusdm", "default", 40, 2400)]
    scraped.metrics.cycle_duration.observe(0.2)
    scraped.record(finding())
    names = [family.name for family in text_string_to_metric_families(scraped.text())]
    assert len(names) == len(set(names))
    series = [(name, tuple(sorted(labels.items()))) for _, name, labels, _ in scraped.samples()]
    assert len(series) == len(set(series))
    assert "line\nbreak" in scraped.of("grinder_account_sync_last_ts")


def test_an_account_has_at_most_twenty_gauges_and_its_two_limits(scraped: Scraped) -> None:
    scraped.series.credentials_valid = True
    gauges = {name for kind, name, labels, _ in scraped.samples() if kind == "gauge" and "account" in labels}
    assert len(gauges) <= 20
    scraped.series.mismatch_limit = scraped.series.watchdog_limit = Decimal(1)
    gauges = {name for kind, name, labels, _ in scraped.samples() if kind == "gauge" and "account" in labels}
    assert len(gauges) <= 22


def test_histograms_carry_no_account(scraped: Scraped) -> None:
    scraped.metrics.cycle_duration.observe(0.2)
    scraped.metrics.detection_latency.observe(20)
    labels = [labels for kind, _, labels, _ in scraped.samples() if kind == "histogram"]
    assert labels
    assert {name for each in labels for name in each} == {"le"}


def test_budgets_are_shown_by_exchange_and_way_out(scraped: Scraped) -> None:
    scraped.metrics.budgets = lambda: [("binanceusdm", "10.0.0.1", 40, 2400)]
    families = {family.name: family for family in text_string_to_metric_families(scraped.text())}
    for name, value in (("used", 40), ("limit", 2400)):
        (sample,) = families[f"accountsync_exchange_weight_{name}"].samples
        assert (sample.labels, sample.value) == ({"exchange": "binanceusdm", "egress": "10.0.0.1"}, value)


def test_status_writes_are_there_at_zero(scraped: Scraped) -> None:
    assert scraped.of("accountsync_status_writes_total", "result") == {"ok": 0, "conflict": 0, "error": 0}


# --- the life of an account ----------------------------------------------------------------------------------------


def test_series_die_with_their_account(scraped: Scraped) -> None:
    scraped.metrics.open("u-2", "trading", "beta")
    scraped.record(finding())
    scraped.metrics.forget("u-1")
    assert {labels["account"] for _, _, labels, _ in scraped.samples() if "account" in labels} == {"beta"}
    assert 'account="alpha"' not in scraped.text()
    scraped.metrics.forget("u-1")


def test_an_account_of_the_same_name_begins_at_zero(scraped: Scraped) -> None:
    scraped.record(finding())
    scraped.metrics.forget("u-1")
    scraped.metrics.open("u-9", "trading", "alpha")
    assert scraped.value("grinder_reconcile_runs_total") == 0
    assert set(scraped.of("grinder_account_sync_mismatches_total", "rule").values()) == {0.0}


def test_opening_twice_keeps_what_was_counted(scraped: Scraped) -> None:
    scraped.record()
    assert scraped.metrics.open("u-1", "trading", "alpha") is scraped.series


# --- what a cycle records ------------------------------------------------------------------------------------------


def test_a_good_snapshot_is_shown_in_numbers(scraped: Scraped) -> None:
    scraped.record(state=good(scraped.clock.monotonic()))
    assert scraped.value("grinder_account_sync_last_ts") == START_MS
    assert scraped.value("grinder_account_sync_positions_count") == 1
    assert scraped.value("grinder_account_sync_open_orders_count") == 1
    assert scraped.value("grinder_account_sync_pending_notional") == 101
    assert scraped.value("grinder_reconcile_runs_total") == 1


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


def test_each_failed_side_is_counted_by_its_reason(scraped: Scraped) -> None:
    scraped.record(exchange=Reason.RATE_LIMITED, bot=Reason.BOT_TIMEOUT)
    scraped.record(exchange=Reason.RATE_LIMITED)
    failures = {k: v for k, v in scraped.of("grinder_account_sync_errors_total", "reason").items() if v}
    assert failures == {"rate_limited": 2, "bot_timeout": 1}


def test_each_side_counts_its_own_failure(scraped: Scraped) -> None:
    scraped.exchange.script.append(ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, "late"))
    scraped.bot.script.append(BeliefUnobserved(Reason.BOT_UNREACHABLE, "gone"))
    scraped.cycle()
    assert scraped.value("grinder_account_sync_errors_total", reason="exchange_timeout") == 1
    assert scraped.value("grinder_account_sync_errors_total", reason="bot_unreachable") == 1


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


def test_a_confirmed_finding_advances_its_counters_in_every_cycle_that_shows_it(scraped: Scraped) -> None:
    scraped.an_order_that_the_bot_lost()
    scraped.cycle()
    assert counted(scraped, "orphan_order") == 0, "open, not confirmed"
    counts = []
    for _ in range(4):
        scraped.cycle()
        counts.append(counted(scraped, "orphan_order"))
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
    before = counted(scraped, "orphan_order")
    scraped.exchange.end(order)
    scraped.cycle()
    assert scraped.value("reconciliation_mismatch_total") == 0
    assert counted(scraped, "orphan_order") == before > 0


def test_a_standing_finding_is_shown_by_the_dialect_of_each_runbook(scraped: Scraped) -> None:
    scraped.record(finding(), finding(Rule.UNEXPECTED_ORDER, "2"), finding(Rule.UNEXPECTED_ORDER, "3"))
    assert scraped.value("reconciliation_mismatch_total") == 3
    assert scraped.value("reconciliation_missing_from_exchange_total") == 1
    assert scraped.value("reconciliation_missing_in_db_total") == 2
    scraped.record()
    assert scraped.value("reconciliation_mismatch_total") == 0


def test_only_confirmed_findings_are_shown(scraped: Scraped) -> None:
    scraped.series.stand(tracks([finding()], confirmed=False), {})
    assert scraped.value("reconciliation_mismatch_total") == scraped.value("accountsync_notional_at_risk") == 0


def test_every_source_of_a_hold_is_shown(scraped: Scraped) -> None:
    assert scraped.of("accountsync_paused", "source") == dict.fromkeys(Source, 0)
    scraped.series.stand({}, {Source.STALE: Hold(Source.STALE, Signal.SNAPSHOT_STALE, "", 0)})
    assert scraped.of("accountsync_paused", "source") == {**dict.fromkeys(Source, 0), Source.STALE: 1}


def test_each_hold_that_was_raised_or_lifted_is_counted_by_its_source(scraped: Scraped) -> None:
    def turned(source: Source, *, raised: bool) -> Transition:
        return Transition(source, raised=raised, why=Signal.JUDGED, message="")

    scraped.series.turned([turned(Source.WATCHDOG, raised=True), turned(Source.STALE, raised=True)])
    scraped.series.turned([turned(Source.WATCHDOG, raised=False), turned(Source.WATCHDOG, raised=True)])
    assert scraped.of("accountsync_holds_raised_total", "source") == {
        **dict.fromkeys(Source, 0),
        Source.WATCHDOG: 2,
        Source.STALE: 1,
    }
    assert scraped.of("accountsync_holds_lifted_total", "source") == {**dict.fromkeys(Source, 0), Source.WATCHDOG: 1}


def test_what_became_of_each_action_is_counted_by_its_kind(scraped: Scraped) -> None:
    zeros = {labels for labels, value in actions(scraped).items() if value == 0}
    assert {kind for kind, _ in zeros} == set(ActionKind)
    assert {outcome for _, outcome in zeros} == {"done", "refused", "expired", "unknown", "not_sent", "dry_run"}
    scraped.series.acted(ActionKind.CANCEL, "done", 2)
    scraped.series.acted(ActionKind.CANCEL, "done")
    scraped.series.acted(ActionKind.FLATTEN, "unknown")
    counts = {labels: value for labels, value in actions(scraped).items() if value}
    assert counts == {("Cancel", "done"): 3, ("Flatten", "unknown"): 1}


def actions(scraped: Scraped) -> dict[tuple[str, str], float]:
    return {
        (labels["type"], labels["outcome"]): value
        for _, name, labels, value in scraped.samples()
        if name == "accountsync_actions_total"
    }


def test_what_a_bot_put_right_is_counted_by_its_kind(scraped: Scraped) -> None:
    none = dict.fromkeys((*RepairKind, *Handler, "syntheticExit"), 0)
    assert scraped.of("accountsync_repairs_applied_total", "type") == none
    scraped.series.repaired([RepairKind.POSITION, RepairKind.MISSING_ORDER])
    scraped.series.repaired([RepairKind.POSITION])
    assert scraped.of("accountsync_repairs_applied_total", "type") == {
        **none,
        RepairKind.POSITION: 2,
        RepairKind.MISSING_ORDER: 1,
    }


def test_what_waits_and_what_is_unknown_is_shown_as_it_is_now(scraped: Scraped) -> None:
    names = ("accountsync_plans_waiting", "accountsync_outcomes_unknown")
    for waiting, unknown in ((0, 0), (1, 2), (0, 0)):
        scraped.series.planned(waiting, unknown)
        assert [scraped.value(name) for name in names] == [waiting, unknown]


# --- the types of Runbook 11 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (finding(Rule.MISSING_ORDER), "ORDER_MISSING_ON_EXCHANGE"),
        (finding(Rule.ORDER_DIVERGENCE), "ORDER_STATUS_DIVERGENCE"),
        (finding(Rule.UNEXPECTED_ORDER, own=True), "ORDER_EXISTS_UNEXPECTED"),
        (finding(Rule.UNEXPECTED_ORDER, own=False), None),
        (finding(Rule.POSITION_MISMATCH, expected="0"), "POSITION_NONZERO_UNEXPECTED"),
        (finding(Rule.POSITION_MISMATCH, expected="1"), None),
        (finding(Rule.POSITION_MISMATCH, expected="0.5"), None),
        (finding(Rule.BALANCE_MISMATCH), None),
        (finding(Rule.DUPLICATE_KEY), None),
        (finding(Rule.UNATTRIBUTED_FILL), None),
    ],
)
def test_runbook_11_counts_its_own_kinds_only(scraped: Scraped, found: Finding, kind: str | None) -> None:
    scraped.record(found)
    types = {name for name, value in scraped.of("grinder_reconcile_mismatch_total", "type").items() if value}
    assert types == ({kind} if kind else set())
    assert found.reconcile == (kind or "")
    rules = scraped.of("grinder_account_sync_mismatches_total", "rule")
    assert rules[CATALOGUE[found.rule].account_sync] == 1


# --- counting what stands ------------------------------------------------------------------------------------------


def test_each_cycle_that_shows_a_finding_counts_it_once(scraped: Scraped) -> None:
    for number in range(1, 4):
        scraped.record(finding())
        assert counted(scraped) == number
        scraped.clock.advance(15)


def test_a_standing_finding_is_counted_every_minute_between_cycles(scraped: Scraped) -> None:
    scraped.record(finding())
    standing = tracks([finding()])
    for seconds, expected in ((59, 1), (1, 2), (59, 2), (1, 3)):
        scraped.clock.advance(seconds)
        scraped.series.recount(standing, scraped.clock.monotonic())
        assert counted(scraped) == expected


def test_a_standing_finding_is_counted_every_minute_though_no_cycle_shows_it(scraped: Scraped) -> None:
    scraped.an_order_that_the_bot_lost()
    for _ in range(5):
        scraped.cycle()
    before = counted(scraped, "orphan_order")
    for passed, extra in ((RECOUNT_AFTER - 1, 0), (1, 1), (RECOUNT_AFTER, 2)):
        scraped.clock.advance(passed)
        scraped.series.recount(scraped.state.tracks, scraped.clock.monotonic())
        assert counted(scraped, "orphan_order") == before + extra


def test_a_finding_that_a_cycle_could_not_judge_is_still_counted_every_minute(scraped: Scraped) -> None:
    scraped.record(finding())
    standing = State(tracks=tracks([finding()]))
    for _ in range(8):
        scraped.clock.advance(15)
        blind = Cycle(standing, Decision({}), Outcome(standing.tracks, (), (), ()))
        scraped.series.record(blind, scraped.clock.monotonic())
    assert counted(scraped) == 3


def test_a_finding_that_resolved_or_is_only_open_is_not_counted(scraped: Scraped) -> None:
    scraped.record(finding())
    for standing in ({}, tracks([finding()], confirmed=False)):
        scraped.clock.advance(120)
        scraped.series.recount(standing, scraped.clock.monotonic())
    assert counted(scraped) == 1
    assert scraped.series.counted == {}


def test_a_finding_of_before_a_restart_is_counted_within_a_minute(scraped: Scraped) -> None:
    standing = tracks([finding()])
    scraped.series.recount(standing, scraped.clock.monotonic())
    assert counted(scraped) == 0
    scraped.clock.advance(60)
    scraped.series.recount(standing, scraped.clock.monotonic())
    assert counted(scraped) == 1


def test_nothing_of_a_suspended_account_is_counted_on(scraped: Scraped) -> None:
    scraped.record(finding())
    scraped.series.suspended = True
    scraped.clock.advance(3 * RECOUNT_AFTER)
    scraped.series.recount(tracks([finding()]), scraped.clock.monotonic())
    assert counted(scraped) == 1


# --- ages ----------------------------------------------------------------------------------------------------------

AGES = ("grinder_account_sync_age_seconds", "grinder_reconcile_last_snapshot_age_seconds")


@pytest.mark.parametrize("name", AGES)
def test_an_age_grows_between_scrapes_and_begins_anew_with_a_good_snapshot(scraped: Scraped, name: str) -> None:
    scraped.clock.advance(30)
    assert scraped.value(name) == 30
    scraped.record(state=good(scraped.clock.monotonic()))
    assert scraped.value(name) == 0
    scraped.clock.advance(12.5)
    assert scraped.value(name) == 12.5


def test_ages_grow_between_scrapes(scraped: Scraped) -> None:
    scraped.clock.advance(3)
    assert scraped.value("grinder_account_sync_age_seconds") == 3, "from creation, if never synced"
    scraped.cycle()
    scraped.clock.advance(7.5)
    assert scraped.value("grinder_account_sync_age_seconds") == 7.5
    assert scraped.value("grinder_reconcile_last_snapshot_age_seconds") == 7.5


@pytest.mark.parametrize("name", AGES)
def test_a_failed_cycle_does_not_make_an_account_younger(scraped: Scraped, name: str) -> None:
    scraped.record(state=good(scraped.clock.monotonic()))
    scraped.clock.advance(40)
    scraped.record(state=good(scraped.clock.monotonic() - 40), exchange=Reason.EXCHANGE_TIMEOUT)
    assert scraped.value(name) == 40


@pytest.mark.parametrize("name", AGES)
def test_an_age_reaches_back_over_a_restart(scraped: Scraped, name: str) -> None:
    scraped.series.since = scraped.clock.monotonic() - 500
    assert scraped.value(name) == 500


@pytest.mark.parametrize("name", AGES)
def test_a_suspended_account_has_no_age_and_is_aged_from_its_end(scraped: Scraped, name: str) -> None:
    scraped.record(state=good(scraped.clock.monotonic()))
    scraped.series.suspended = True
    assert scraped.value(name) is None
    assert f"{name}{{" not in scraped.text()
    scraped.clock.advance(3600)
    scraped.series.suspended, scraped.series.since = False, scraped.clock.monotonic()
    scraped.clock.advance(5)
    assert scraped.value(name) == 5


# --- what the alerts compare ---------------------------------------------------------------------------------------

BELIEF_AGE = "accountsync_belief_age_seconds"
IN_TIME = "accountsync_judged_in_time"


def test_a_belief_is_as_old_as_its_own_time_says(scraped: Scraped) -> None:
    scraped.clock.advance(3)
    assert scraped.value(BELIEF_AGE) == 3, "from creation, if none ever counted"
    scraped.cycle()
    scraped.clock.advance(7.5)
    assert scraped.value(BELIEF_AGE) == 7.5


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"as_of": START_MS - 120_000}, id="stale"),
        pytest.param({"as_of": START_MS + 3_600_000}, id="of the future"),
        pytest.param({"ready": False}, id="not ready"),
    ],
)
@pytest.mark.parametrize("exchange_works", [True, False])
def test_a_belief_that_does_not_count_makes_no_account_younger(
    scraped: Scraped, change: dict[str, object], exchange_works: bool
) -> None:
    scraped.cycle()
    doubtful = replace(ExpectedState(scraped.clock.now_ms() + 20_000), **change)  # type: ignore[arg-type]
    if not exchange_works:
        scraped.exchange.script.append(ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, "late"))
    scraped.cycle(20, belief=doubtful)
    assert scraped.value(BELIEF_AGE) == 20


def test_a_belief_that_is_read_late_is_as_old_as_it_was(scraped: Scraped) -> None:
    scraped.cycle()
    scraped.cycle(20, belief=replace(scraped.bot.state, as_of=scraped.clock.now_ms() + 5_000))
    assert scraped.value(BELIEF_AGE) == 15


def test_a_belief_is_young_though_the_exchange_is_away(scraped: Scraped) -> None:
    scraped.cycle()
    scraped.exchange.script.append(ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, "late"))
    scraped.cycle(300)
    assert scraped.value(BELIEF_AGE) == 0
    assert scraped.value("grinder_account_sync_age_seconds") == 300


def test_a_judgement_is_in_time_until_patience_ends_at_scrape_time(scraped: Scraped) -> None:
    scraped.series.patience = 40
    scraped.clock.advance(40)
    assert scraped.value(IN_TIME) == 1, "first seen just that long ago"
    scraped.clock.advance(1)
    assert scraped.value(IN_TIME) == 0
    scraped.cycle()
    assert scraped.value(IN_TIME) == 1
    scraped.clock.advance(41)
    assert scraped.value(IN_TIME) == 0


def test_only_a_judgement_of_the_whole_account_is_one(scraped: Scraped) -> None:
    scraped.cycle()
    for _ in range(3):
        scraped.bot.script.append(BeliefUnobserved(Reason.BOT_UNREACHABLE, "gone"))
        scraped.cycle(15)
    assert scraped.value(IN_TIME) == 0


def test_a_suspended_account_is_neither_late_nor_of_an_old_belief(scraped: Scraped) -> None:
    scraped.cycle()
    scraped.series.suspended = True
    assert scraped.value(BELIEF_AGE) is scraped.value(IN_TIME) is None
    scraped.clock.advance(3600)
    scraped.series.suspended, scraped.series.since = False, scraped.clock.monotonic()
    scraped.clock.advance(5)
    assert scraped.value(BELIEF_AGE) == 5
    assert scraped.value(IN_TIME) == 1


@pytest.mark.parametrize(("known", "shown"), [(None, None), (True, 1), (False, 0)])
def test_credentials_are_shown_once_they_are_known(scraped: Scraped, known: bool | None, shown: float | None) -> None:
    scraped.series.credentials_valid = known
    assert scraped.value("accountsync_credentials_valid") == shown


def test_a_limit_is_shown_where_one_is_set(scraped: Scraped) -> None:
    assert scraped.value("accountsync_mismatch_notional_limit") is None
    scraped.series.mismatch_limit = Decimal("1000.5")
    assert scraped.value("accountsync_mismatch_notional_limit") == 1000.5


# --- what is followed ----------------------------------------------------------------------------------------------


def test_each_namespace_shows_whether_it_is_followed(scraped: Scraped) -> None:
    scraped.metrics.followed = lambda: {"trading": True, "closed": False}
    assert 'accountsync_namespace_followed{namespace="trading"} 1.0' in scraped.text()
    assert 'accountsync_namespace_followed{namespace="closed"} 0.0' in scraped.text()

"""The table of metrics: what is rendered, and the contract that is made of it."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from tests.support.fakes import START_MS, ManualClock

from accountsync.cycle import Cycle, State
from accountsync.domain.account import AccountSnapshot
from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.confirm import Outcome
from accountsync.domain.decide import Decision
from accountsync.domain.holds import Source
from accountsync.domain.ledger import Handler
from accountsync.domain.plan import ActionKind, RepairKind
from accountsync.errors import Reason
from accountsync.observe import Failure
from accountsync.report.contract import missing, required, types
from accountsync.report.metrics import TABLE, AccountSeries, Kind, Metrics, Row

ODD = 'odd"name\\space', "line\nbreak"
NAMED = {row.name: row for row in TABLE}


def page(*names: tuple[str, str]) -> tuple[str, Metrics]:
    metrics = Metrics(ManualClock())
    for number, (namespace, account) in enumerate(names or [("trading", "alpha")]):
        metrics.open(f"u-{number}", namespace, account)
    return generate_latest(metrics.registry).decode(), metrics


class Only(Collector):
    def __init__(self, rows: Iterable[Row], series: AccountSeries) -> None:
        self.rows, self.series = rows, series

    def collect(self) -> Iterable[Metric]:
        return [row.family([self.series], 0.0) for row in self.rows]


def rendered(rows: Iterable[Row], series: AccountSeries) -> str:
    registry = CollectorRegistry()
    registry.register(Only(rows, series))
    return generate_latest(registry).decode()


def cycle(state: State, failure: Failure | None = None) -> Cycle:
    return Cycle(state, Decision({}), Outcome({}, (), (), ()), exchange=failure)


# --- the table -----------------------------------------------------------------------------------------------------


def test_each_metric_stands_once() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)


def test_every_rule_type_reason_and_source_of_the_domain_is_a_value_of_its_label() -> None:
    rules = NAMED["grinder_account_sync_mismatches_total"].values
    assert rules == ("none", *(row.account_sync for row in CATALOGUE.values()))
    assert "unattributed_fill" in rules
    types = NAMED["grinder_reconcile_mismatch_total"].values
    assert set(types) == {row.reconcile for row in CATALOGUE.values()} - {""}
    assert NAMED["grinder_account_sync_errors_total"].values == ("none", *(reason.label for reason in Reason))
    for name in ("accountsync_paused", "accountsync_holds_raised_total", "accountsync_holds_lifted_total"):
        assert NAMED[name].values == tuple(Source)
    assert NAMED["accountsync_repairs_applied_total"].values == (*RepairKind, *Handler, "syntheticExit")
    actions = {value.split()[0] for value in NAMED["accountsync_actions_total"].values}
    assert actions == set(ActionKind)


def test_an_account_has_few_gauges() -> None:
    assert sum(row.kind is Kind.GAUGE and row.sure for row in TABLE) <= 20
    gauges = [row for row in TABLE if row.kind is Kind.GAUGE]
    ledger = [row for row in gauges if "accounts with a ledger only" in row.text]
    assert len(ledger) == 5
    assert len(gauges) - len(ledger) <= 22, "four of them only where the resource asks for them"


# --- the contract --------------------------------------------------------------------------------------------------


def test_the_contract_is_exactly_what_a_new_account_shows() -> None:
    text, _ = page()
    shown = {line.rpartition(" ")[0] for line in text.splitlines() if 'account="alpha"' in line}
    of_the_replica = {'accountsync_account_owned{account="alpha",namespace="trading"}'}
    assert set(required("trading", "alpha")) == shown - of_the_replica
    assert missing(text, required("trading", "alpha", fresh=True)) == []
    assert missing(text, types()) == []


def test_names_that_need_escaping_are_found() -> None:
    text, _ = page(ODD, ("trading", "alpha"))
    assert missing(text, required(*ODD, fresh=True)) == []


def test_another_accounts_series_fulfil_no_contract() -> None:
    text, _ = page(("trading", "beta"))
    assert missing(text, required("trading", "alpha")) == list(required("trading", "alpha"))


@pytest.mark.parametrize("left_out", TABLE, ids=lambda row: row.name)
def test_a_metric_that_is_not_rendered_is_missing(left_out: Row) -> None:
    text = rendered([row for row in TABLE if row is not left_out], AccountSeries("trading", "alpha", 0.0))
    assert missing(text, required("trading", "alpha")) == list(required("trading", "alpha", table=[left_out]))
    assert missing(text, types()) == [left_out.name]


@pytest.mark.parametrize("row", [row for row in TABLE if row.label], ids=lambda row: row.name)
def test_a_value_of_a_label_that_is_not_rendered_is_missing(row: Row) -> None:
    text = rendered([replace(row, values=row.values[1:])], AccountSeries("trading", "alpha", 0.0))
    (lacking,) = missing(text, required("trading", "alpha", table=[row]))
    for label, value in zip(row.label.split(), row.values[0].split(), strict=True):
        assert f'{label}="{value}"' in lacking


def test_a_counter_that_is_born_at_one_breaks_the_contract_of_a_new_account() -> None:
    _, metrics = page()
    metrics.open("u-0", "trading", "alpha").mismatches["orphan_order"] += 1
    text = generate_latest(metrics.registry).decode()
    (late,) = missing(text, required("trading", "alpha", fresh=True))
    assert late == 'grinder_account_sync_mismatches_total{account="alpha",namespace="trading",rule="orphan_order"}'
    assert missing(text, required("trading", "alpha")) == []


def test_a_wrong_type_is_missing() -> None:
    text = rendered([replace(row, kind=Kind.GAUGE) for row in TABLE], AccountSeries("trading", "alpha", 0.0))
    assert missing(text, types()) == [row.name for row in TABLE if row.kind is Kind.COUNTER]


@pytest.mark.parametrize("value", [START_MS, 1e21, -1.5, 0.0001, float("inf")])
def test_any_number_fulfils_the_contract_of_a_gauge(value: float) -> None:
    row = next(row for row in TABLE if row.name == "accountsync_clock_skew_seconds")
    series = AccountSeries("trading", "alpha", 0.0, clock_skew=value)
    assert missing(rendered([row], series), required("trading", "alpha", table=[row])) == []


def test_what_is_no_number_does_not() -> None:
    row = next(row for row in TABLE if row.name == "accountsync_notional_at_risk")
    series = AccountSeries("trading", "alpha", 0.0, notional_at_risk=Decimal("NaN"))
    assert missing(rendered([row], series), required("trading", "alpha", table=[row]))


def test_a_suspended_account_lacks_its_ages_and_nothing_else() -> None:
    _, metrics = page()
    metrics.open("u-0", "trading", "alpha").suspended = True
    lacking = missing(generate_latest(metrics.registry).decode(), required("trading", "alpha"))
    assert {name.partition("{")[0] for name in lacking} == {
        "grinder_account_sync_age_seconds",
        "grinder_reconcile_last_snapshot_age_seconds",
        "accountsync_belief_age_seconds",
        "accountsync_judged_in_time",
    }


# --- the clock skew ------------------------------------------------------------------------------------------------


def skew(metrics: Metrics) -> float:
    lines = generate_latest(metrics.registry).decode().splitlines()
    (line,) = [line for line in lines if line.startswith("accountsync_clock_skew_seconds{")]
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize(("ms", "seconds"), [(0, 0), (1500, 1.5), (-250, -0.25)])
def test_the_clock_skew_is_the_exchanges_clock_minus_ours(ms: int, seconds: float) -> None:
    _, metrics = page()
    series = metrics.open("u-0", "trading", "alpha")
    assert skew(metrics) == 0
    series.record(cycle(State(snapshot=AccountSnapshot(START_MS, skew_ms=ms), timestamp=START_MS)), 0.0)
    assert skew(metrics) == seconds


def test_the_clock_skew_stays_while_nothing_is_read() -> None:
    _, metrics = page()
    series = metrics.open("u-0", "trading", "alpha")
    state = State(snapshot=AccountSnapshot(START_MS, skew_ms=1500), timestamp=START_MS)
    series.record(cycle(state), 0.0)
    series.record(cycle(state, Failure(Reason.EXCHANGE_TIMEOUT, "late")), 15.0)
    assert skew(metrics) == 1.5


def test_a_fill_that_no_order_explains_has_a_counter_without_further_ado() -> None:
    text, _ = page()
    assert f'rule="{CATALOGUE[Rule.UNATTRIBUTED_FILL].account_sync}"' in text

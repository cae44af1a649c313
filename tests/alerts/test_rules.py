"""The alerts are valid, complete, explained, and proven by promtool; and their tests can fail."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from tests.alerts.rulebook import (
    BASE,
    CASES,
    CHART_COPY,
    METRIC,
    RULES,
    RUNBOOKS,
    SELECTOR,
    Rule,
    alerts,
    cases,
    groups,
    outcome_with,
    promtool,
    texts,
)
from tests.support.fakes import ManualClock

from accountsync.gate.metrics import HELP as GATE_METRICS
from accountsync.report.metrics import Metrics

ALERTS = alerts()
CRITICAL = {
    "AccountSyncOperatorAbsent",
    "AccountSyncOperatorDown",
    "AccountUnowned",
    "BotNotStopped",
    "MismatchNotionalHigh",
    "NamespaceNotFollowed",
    "PauseNotHonoured",
    "RemediationOutcomeUnknown",
}
TUNABLE = {"AccountSyncMismatchSpike", "ReconcileMismatchDetected", "ExchangeWeightNearLimit", "StatusWriteFailing"}
FROM_THE_RUNBOOKS = {
    "AccountSyncMismatchSpike": ("3m", "warning", "[5m]"),
    "ReconcileMismatchDetected": ("1m", "warning", "[5m]"),
    "ReconcileSnapshotStale": ("2m", "warning", ""),
}
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Resolution", "When to escalate"]
KINDS = ("fires", "does not fire", "resolves")
OWN_METRICS = re.compile(r"^# TYPE (\S+) ", re.MULTILINE)

every_alert = pytest.mark.parametrize("name", ALERTS)


def shown_by_the_operator() -> str:
    """What /metrics shows of a new account."""
    metrics = Metrics(ManualClock())
    metrics.open("u-1", "trading", "grid-btc")
    return generate_latest(metrics.registry).decode()


# --- promtool ------------------------------------------------------------------------------------------------------


def test_promtool_accepts_the_rules() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_rules_behave_as_their_cases_say(path: Path) -> None:
    tested = promtool("test", "rules", path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@every_alert
def test_each_alert_is_seen_to_fire_not_to_fire_and_to_resolve(name: str) -> None:
    told = cases(name)
    for kind in KINDS:
        assert [case for case in told if case.startswith(kind)], f"{name} has no test that begins with {kind!r}"


def test_no_case_is_about_an_alert_that_is_not_there() -> None:
    assert {path.stem for path in CASES.glob("*.yaml")} == {*ALERTS, "slo"}


# --- their tests can fail ------------------------------------------------------------------------------------------


@every_alert
@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("never fires", {"expr": "vector(0) > 1"}),
        ("fires at once", {"for": "0s"}),
        ("never resolves", {"keep_firing_for": "1d"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_alert_with_a_fault_fails_its_tests(
    name: str, fault: str, change: Mapping[str, str], tmp_path: Path
) -> None:
    broken: Rule = {**ALERTS[name], **change}
    assert outcome_with({name: broken}, name, tmp_path).returncode == 1, f"no test sees that {name} {fault}"


def test_an_alert_without_one_passes_them_in_the_same_way(tmp_path: Path) -> None:
    tested = outcome_with({}, "StatusWriteFailing", tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


# --- what people need of them --------------------------------------------------------------------------------------


@every_alert
def test_each_alert_says_what_where_how_much_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] == ("critical" if name in CRITICAL else "warning")
    assert rule["labels"]["category"] in {
        "correctness", "freshness", "trading", "credentials", "availability", "capacity"
    }  # fmt: skip
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == BASE + name
    place = next(
        label for label in ("account", "exchange", "instance", "job", "namespace") if f"$labels.{label}" in texts(rule)
    )
    for text in (told["summary"], told["description"]):
        assert f"$labels.{place}" in text
    assert re.search(r"\$value \| humanize|\| value \| humanize|knows 0 targets", told["description"]), "no number"


@pytest.mark.parametrize("name", FROM_THE_RUNBOOKS)
def test_the_runbooks_own_numbers_stand(name: str) -> None:
    wait, severity, window = FROM_THE_RUNBOOKS[name]
    rule = ALERTS[name]
    assert (rule["for"], rule["labels"]["severity"]) == (wait, severity)
    assert window in rule["expr"]


@every_alert
def test_only_a_threshold_that_may_be_tuned_ends_an_expression_as_a_number(name: str) -> None:
    ends_with_number = re.search(r"[<>]=? [0-9.]+$", ALERTS[name]["expr"].strip()) is not None
    assert ends_with_number == (name in TUNABLE)


@every_alert
def test_each_alert_has_a_runbook_page_that_the_index_names(name: str) -> None:
    page = (RUNBOOKS / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS
    assert f"({name}.md)" in (RUNBOOKS / "README.md").read_text()


def test_no_runbook_page_is_about_an_alert_that_is_not_there() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*ALERTS, "README"}


def test_the_chart_carries_the_same_file() -> None:
    assert CHART_COPY.read_bytes() == RULES.read_bytes()


# --- what they lean on ---------------------------------------------------------------------------------------------


def test_every_metric_that_a_rule_or_a_runbook_page_names_is_one_that_the_operator_or_a_gate_shows() -> None:
    shown = {*OWN_METRICS.findall(shown_by_the_operator()), *GATE_METRICS}
    named = {name for group in groups() for rule in group["rules"] for name in METRIC.findall(texts(rule))}
    for page in RUNBOOKS.glob("*.md"):
        named |= set(METRIC.findall(page.read_text()))
    assert len(named) > 10
    assert {
        name for name in named if name not in shown and re.sub(r"_(bucket|sum|count)$", "", name) not in shown
    } == set()


def test_every_label_value_that_a_rule_asks_for_is_one_that_the_operator_shows() -> None:
    shown = shown_by_the_operator()
    asked = [
        (metric, label, value)
        for group in groups()
        for rule in group["rules"]
        for metric, matchers in SELECTOR.findall(rule["expr"])
        for label, value in re.findall(r'(\w+)!?="([^"]*)"', matchers)
    ]
    assert asked
    for metric, label, value in asked:
        assert re.search(rf'^{metric}{{[^}}]*{label}="{value}"', shown, re.MULTILINE), (metric, label, value)

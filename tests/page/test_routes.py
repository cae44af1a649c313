"""Where the example sends each alert, by amtool; and why one of the two that drift raises stays unheard."""

import re
import subprocess
from typing import Any

import pytest
import yaml
from tests.alerts.rulebook import alerts
from tests.page.pace import seconds
from tests.support import tools
from tests.support.running import ROOT

EXAMPLE = ROOT / "examples" / "alertmanager.yaml"
ALERTS = alerts()


def example() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return loaded


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(tools.find("alertmanager") / "amtool"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_amtool_accepts_the_example() -> None:
    checked = amtool("check-config", str(EXAMPLE))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_drift_and_all_that_is_critical_goes_to_whoever_is_on_call(name: str) -> None:
    labels = ALERTS[name]["labels"]
    pages = labels["severity"] == "critical" or labels["category"] == "correctness"
    given = [f"alertname={name}", *(f"{key}={value}" for key, value in labels.items())]
    told = amtool("config", "routes", "test", f"--config.file={EXAMPLE}", *given)
    assert told.stdout.split() == ["on-call" if pages else "channel"], told.stderr


@pytest.mark.parametrize("first", ["ReconcileMismatchDetected", "ReconciliationMismatchPersists"])
def test_the_first_of_two_waits_until_the_second_can_inhibit_it(first: str) -> None:
    (route,) = [row for row in example()["route"]["routes"] if first in row["matchers"][0]]
    between = seconds(ALERTS["AccountSyncMismatchSpike"]["for"]) - seconds(ALERTS[first]["for"])
    assert seconds(route["group_wait"]) >= between + 30, "rules may be looked at only every 30 s"
    (inhibited,) = [
        row["target_matchers"][0]
        for row in example()["inhibit_rules"]
        if "AccountSyncMismatchSpike" in row["source_matchers"][0]
    ]
    assert first in inhibited
    assert "alertname" in route["group_by"], "a group of its own, or the wait would be the other's as well"


def test_every_alert_that_the_example_names_is_one() -> None:
    named = {
        name
        for matcher in re.findall(r'alertname=~?"([^"]+)"', EXAMPLE.read_text())
        for name in matcher.split("|")
    }  # fmt: skip
    assert named
    assert named <= set(ALERTS)


def test_an_alert_silences_only_those_of_the_same_account() -> None:
    rules = example()["inhibit_rules"]
    assert rules
    assert all(rule["equal"] == ["namespace", "account"] for rule in rules)

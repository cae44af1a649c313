"""The alerts as data: the rules file, its tests, its runbook pages, and what promtool says of them."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.support import tools
from tests.support.running import ROOT

Rule = Mapping[str, Any]

RULES = ROOT / "alerts" / "accountsync.yaml"
CHART_COPY = ROOT / "charts" / "accountsync" / "files" / "alerts" / "accountsync.yaml"
CASES = ROOT / "tests" / "alerts" / "cases"
RUNBOOKS = ROOT / "docs" / "runbooks"
BASE = "https://accountsync.dev/runbooks/"
METRIC = re.compile(r"(?<![\w:])(?:grinder|reconciliation|accountsync)_\w+")
SELECTOR = re.compile(rf"({METRIC.pattern})\{{([^}}]*)\}}")


def groups() -> Sequence[Mapping[str, Any]]:
    loaded: Sequence[Mapping[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return loaded


def alerts() -> dict[str, Rule]:
    return {rule["alert"]: rule for group in groups() for rule in group["rules"] if "alert" in rule}


def cases(alert: str) -> list[str]:
    """The names of this alert's tests."""
    return [test["name"] for test in yaml.safe_load((CASES / f"{alert}.yaml").read_text())["tests"]]


def texts(rule: Rule) -> str:
    """Everything of a rule in which a metric can be named."""
    return "\n".join([rule["expr"], *rule.get("annotations", {}).values()])


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(tools.find("prometheus") / "promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def outcome_with(changed: Mapping[str, Rule], alert: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What an alert's tests say where the rules of these alerts are other ones."""
    rewritten = [
        {**group, "rules": [changed.get(rule.get("alert", ""), rule) for rule in group["rules"]]} for group in groups()
    ]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": rewritten}))
    test = re.sub(
        r"^rule_files: .+$", "rule_files: [rules.yaml]", (CASES / f"{alert}.yaml").read_text(), flags=re.MULTILINE
    )
    (folder / "test.yaml").write_text(test)
    return promtool("test", "rules", folder / "test.yaml")

"""The waits of alerts and routes, made shorter by one factor, so that hours of them pass in a minute."""

import re
from collections.abc import Mapping
from typing import Any

import yaml
from tests.support.running import ROOT

ALERTS = ROOT / "alerts" / "accountsync.yaml"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
WAITS = ("group_wait", "group_interval", "repeat_interval")
LONGEST_RESTART = 20.0
"""Seconds that a restart of the operator may take. It is no faster here than in life, so no window is shorter."""


def seconds(duration: str) -> float:
    """`3m` as 180."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhd])", duration))


def sooner(duration: str, speed: float) -> str:
    """`duration` divided by `speed`."""
    return f"{seconds(duration) / speed * 1000:.0f}ms"


def routes(node: Any, speed: float) -> Any:
    """An Alertmanager configuration with each of its waits divided by `speed`."""
    if isinstance(node, Mapping):
        return {key: sooner(value, speed) if key in WAITS else routes(value, speed) for key, value in node.items()}
    return [routes(item, speed) for item in node] if isinstance(node, list) else node


def overrides(speed: float, names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """prometheusRule.overrides of the chart: `for` and window of these alerts divided by `speed`."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    found = {rule["alert"]: rule for rule in rules if rule.get("alert") in names}
    return {
        name: {
            "for": sooner(found[name]["for"], speed),
            "window": f"{max(seconds(_window(found[name])) / speed, LONGEST_RESTART):.0f}s",
        }
        for name in names
    }


def bridging(group: Mapping[str, Any], speed: float) -> dict[str, Any]:
    """A group of rules with each keep_firing_for divided by `speed`, and still longer than a restart takes."""

    def bridged(rule: Mapping[str, Any]) -> dict[str, Any]:
        kept = rule.get("keep_firing_for")
        shorter = f"{max(seconds(kept) / speed, LONGEST_RESTART):.0f}s" if kept else None
        return {**rule, "keep_firing_for": shorter} if shorter else {**rule}

    return {**group, "rules": [bridged(rule) for rule in group["rules"]]}


def _window(rule: Mapping[str, Any]) -> str:
    found = re.search(r"\[(\w+)\]", rule["expr"])
    assert found is not None, rule
    return found[1]

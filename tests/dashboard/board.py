"""The dashboard as data, and its queries with Grafana's variables filled in."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.running import ROOT

PATH = ROOT / "charts" / "accountsync" / "files" / "dashboards" / "accountsync.json"
Panel = Mapping[str, Any]
FILLED = {"$__rate_interval": "5m", "$__range": "5m", "$namespace": ".*", "$account": ".*"}


def board() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(PATH.read_text())
    return loaded


def panels() -> list[Panel]:
    """All but the rows, which only give a heading."""
    return [panel for panel in board()["panels"] if panel["type"] != "row"]


def targets() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each query, with the panel and letter by which to find it."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target


def filled(text: str) -> str:
    """A query as Grafana sends it."""
    for name, value in FILLED.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def legend_labels(target: Mapping[str, Any]) -> set[str]:
    """The labels that the legend of a query shows."""
    return set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))

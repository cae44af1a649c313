"""The dashboard is sound, and each of its queries has an answer while the demo's account is out of sync."""

import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.alerts.rulebook import METRIC, RULES
from tests.dashboard.board import Panel, board, filled, legend_labels, panels, targets
from tests.support.demo import NAME, NAMESPACE
from tests.support.fakes import ManualClock
from tests.support.monitoring import Prometheus

from accountsync.report.metrics import Metrics

TARGETS = dict(targets())


# --- the document --------------------------------------------------------------------------------------------------


def test_ids_and_titles_are_unique() -> None:
    for key in ("id", "title"):
        found = [panel[key] for panel in board()["panels"]]
        assert len(set(found)) == len(found), found


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_each_panel_asks_the_chosen_source_and_explains_itself(panel: Panel) -> None:
    assert panel["targets"]
    assert panel["description"].endswith(".")
    for asked in (panel, *panel["targets"]):
        assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_no_panel_covers_another_or_leaves_the_grid() -> None:
    covered: dict[tuple[int, int], str] = {}
    for panel in board()["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24, panel["title"]
        for cell in itertools.product(range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])):
            assert covered.setdefault(cell, panel["title"]) == panel["title"]


def test_the_first_row_says_what_matters_first() -> None:
    first = [panel["title"] for panel in panels() if panel["gridPos"]["y"] < 9]
    assert {"Out of sync", "Notional at risk", "Bots that are held, and why", "Judged in time"} <= set(first)


def test_every_metric_is_one_that_the_operator_shows() -> None:
    metrics = Metrics(ManualClock())
    shown = set(re.findall(r"^# TYPE (\S+) ", generate_latest(metrics.registry).decode(), re.MULTILINE))
    named = {name for target in TARGETS.values() for name in METRIC.findall(target["expr"])}
    assert len(named) > 15
    assert {name for name in named if re.sub(r"_(bucket|count|sum)$", "", name) not in shown} == set()


def test_every_alert_that_a_panel_names_is_one() -> None:
    told = " ".join(panel["description"] for panel in panels())
    for names in re.findall(r"[Rr]unbooks?:? ((?:[A-Z]\w+(?:, )?)+)", told):
        for name in names.split(", "):
            assert f"alert: {name}\n" in RULES.read_text(), name


# --- its answers ---------------------------------------------------------------------------------------------------


def numbers(rows: list[dict[str, Any]]) -> list[float]:
    return [float(row["value"][1]) for row in rows]


@pytest.mark.cluster
@pytest.mark.parametrize("name", TARGETS)
def test_each_query_has_an_answer(prometheus: Prometheus, name: str) -> None:
    target = TARGETS[name]
    rows = prometheus.query(filled(target["expr"]))
    assert rows
    assert not [number for number in numbers(rows) if math.isnan(number)], rows
    for row in rows:
        assert legend_labels(target) <= set(row["metric"]), row


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("title", "number"), [("Out of sync", 1), ("Up", 1), ("Accounts", 1), ("Restarts in this range", 0)]
)
def test_the_numbers_are_those_of_the_demo(prometheus: Prometheus, title: str, number: float) -> None:
    assert numbers(prometheus.query(filled(TARGETS[f"{title} A"]["expr"]))) == [number]


@pytest.mark.cluster
def test_what_differs_is_worth_something_and_the_hold_says_why(prometheus: Prometheus) -> None:
    assert numbers(prometheus.query(filled(TARGETS["Notional at risk A"]["expr"])))[0] > 1000
    (held,) = prometheus.query(filled(TARGETS["Bots that are held, and why A"]["expr"]))
    assert held["metric"] == {"namespace": NAMESPACE, "account": NAME, "source": "Policy"}


@pytest.mark.cluster
@pytest.mark.parametrize(("name", "value"), [("namespace", NAMESPACE), ("account", NAME)])
def test_each_variable_offers_what_there_is(prometheus: Prometheus, name: str, value: str) -> None:
    variable: Mapping[str, Any] = next(row for row in board()["templating"]["list"] if row["name"] == name)
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert found is not None
    answer = prometheus.get(f"/api/v1/label/{found[2]}/values", **{"match[]": filled(found[1])})
    assert answer["data"] == [value]


def test_there_is_a_choice_of_source_namespace_and_account() -> None:
    assert [variable["name"] for variable in board()["templating"]["list"]] == ["datasource", "namespace", "account"]


def test_the_file_is_one_to_import() -> None:
    document = board()
    assert document["uid"] == "accountsync"
    assert document["schemaVersion"] >= 39, "Grafana 10"
    assert "id" not in document, "an id belongs to one Grafana"

"""What Prometheus, Grafana and kube-state-metrics are given."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import tools
from tests.support.helm import CHART, MONITORING, Document, Helm, only
from tests.support.running import ROOT

pytestmark = pytest.mark.lint

ALERTS = ROOT / "alerts" / "accountsync.yaml"
OUR_TARGETS = 'up{job="accountsync", namespace="accountsync"}'
OF_THE_OPERATOR = {"AccountSyncOperatorDown", "AccountSyncOperatorAbsent", "NamespaceNotFollowed"}
STATE_METRICS = "kube-state-metrics.yaml"


def rules(groups: list[Document]) -> dict[str, Document]:
    return {rule.get("alert") or rule["record"]: rule for group in groups for rule in group["rules"]}


def source() -> dict[str, Document]:
    return rules(yaml.safe_load(ALERTS.read_text())["groups"])


def rendered(helm: Helm, **values: Any) -> dict[str, Document]:
    documents = helm.template({"prometheusRule": {"enabled": True, **values}}, apis=(MONITORING,))
    return rules(only(documents, "PrometheusRule")["spec"]["groups"])


def trimmed(found: dict[str, Document]) -> dict[str, Document]:
    return {name: {**rule, "expr": rule["expr"].strip()} for name, rule in found.items()}


@pytest.mark.parametrize(
    ("kind", "value", "endpoints"),
    [("ServiceMonitor", "serviceMonitor", "endpoints"), ("PodMonitor", "podMonitor", "podMetricsEndpoints")],
)
def test_the_scrape_keeps_the_accounts_labels_and_is_called_accountsync(
    helm: Helm, kind: str, value: str, endpoints: str
) -> None:
    values = {value: {"enabled": True, "labels": {"release": "prom"}, "interval": "15s"}}
    documents = helm.template(values, apis=(MONITORING,))
    monitor = only(documents, kind)
    (endpoint,) = monitor["spec"][endpoints]
    assert endpoint == {
        "port": "metrics",
        "path": "/metrics",
        "honorLabels": True,
        "interval": "15s",
        "relabelings": [{"targetLabel": "job", "replacement": "accountsync"}],
    }
    assert monitor["metadata"]["labels"]["release"] == "prom"
    chosen = monitor["spec"]["selector"]["matchLabels"]
    service, deployment = only(documents, "Service"), only(documents, "Deployment")
    target = service if kind == "ServiceMonitor" else deployment["spec"]["template"]
    assert chosen.items() <= target["metadata"]["labels"].items()


def ours(rules: dict[str, Document]) -> dict[str, Document]:
    """The rules, looking for the targets of the release in namespace accountsync only."""
    return {
        name: {**rule, "expr": rule["expr"].replace('up{job="accountsync"}', OUR_TARGETS)}
        for name, rule in rules.items()
    }


def test_the_alerts_are_those_of_the_repository(helm: Helm) -> None:
    assert trimmed(rendered(helm)) == trimmed(ours(source()))


def test_whether_an_operator_answers_is_asked_of_the_releases_own_namespace(helm: Helm) -> None:
    asked = {
        name: re.findall(r"\bup\{[^}]*\}", rule["expr"])
        for name, rule in rendered(helm).items()
        if re.search(r"\bup\b", rule["expr"])
    }
    assert set(asked) == {
        "AccountSyncOperatorDown",
        "AccountSyncOperatorAbsent",
        "account:accountsync_judged_in_time:max",
    }
    assert all(selectors == [OUR_TARGETS] for selectors in asked.values())


def test_a_dead_operator_alerts_beside_a_live_one_of_another_release(helm4: Helm, tmp_path: Path) -> None:
    documents = helm4.template({"prometheusRule": {"enabled": True, "scope": "Operator"}}, apis=(MONITORING,))
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(only(documents, "PrometheusRule")["spec"]))
    other = {"series": 'up{job="accountsync", namespace="trading", pod="b"}', "values": "1x60"}
    case = {
        "interval": "15s",
        "input_series": [other],
        "promql_expr_test": [
            {
                "expr": 'count by (namespace) (ALERTS{alertname="AccountSyncOperatorAbsent", alertstate="firing"})',
                "eval_time": "6m",
                "exp_samples": [{"labels": '{namespace="accountsync"}', "value": 1}],
            }
        ],
    }
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": [case]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    command = [str(tools.find("prometheus") / "promtool"), "test", "rules", str(tmp_path / "test.yaml")]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_second_release_brings_only_what_is_about_its_own_operator(helm: Helm) -> None:
    assert set(rendered(helm, scope="Operator")) == OF_THE_OPERATOR
    left = rendered(helm, scope="Operator", excluded=["AccountSyncOperatorDown"])
    assert set(left) == OF_THE_OPERATOR - {"AccountSyncOperatorDown"}


def test_an_alert_that_is_excluded_is_gone_and_the_others_stay(helm: Helm) -> None:
    assert set(source()) - set(rendered(helm, excluded=["BeliefStale"])) == {"BeliefStale"}


def test_a_group_without_rules_is_left_out(helm: Helm) -> None:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    names = [rule["alert"] for rule in groups[1]["rules"]]
    values = {"prometheusRule": {"enabled": True, "excluded": names}}
    left = only(helm.template(values, apis=(MONITORING,)), "PrometheusRule")["spec"]["groups"]
    assert [group["name"] for group in left] == [group["name"] for group in groups if group != groups[1]]


def test_an_override_changes_what_it_names_and_nothing_else(helm: Helm) -> None:
    overrides = {
        "ExchangeWeightNearLimit": {"threshold": 1_000_000, "severity": "critical"},
        "AccountSyncMismatchSpike": {"for": "9m", "window": "10m", "threshold": 0.25},
    }
    before, after = trimmed(ours(source())), trimmed(rendered(helm, overrides=overrides))
    assert {name for name in before if before[name] != after[name]} == set(overrides)
    weight, spike = after["ExchangeWeightNearLimit"], after["AccountSyncMismatchSpike"]
    assert weight["expr"] == re.sub(r"[0-9.]+$", "1000000", before["ExchangeWeightNearLimit"]["expr"])
    assert weight["labels"]["severity"] == "critical"
    assert weight["for"] == before["ExchangeWeightNearLimit"]["for"]
    assert spike["for"] == "9m"
    assert spike["expr"] == before["AccountSyncMismatchSpike"]["expr"].replace("[5m]", "[10m]").replace("> 0", "> 0.25")
    assert spike["labels"] == before["AccountSyncMismatchSpike"]["labels"]


def test_a_longer_window_is_no_longer_memory_of_accounts_that_are_gone(helm: Helm) -> None:
    """Only the range of the counter grows: what says that the account is there looks at no range."""
    windows = {name: {"window": "1h"} for name in ("AccountSyncMismatchSpike", "ReconcileMismatchDetected")}
    for name in windows:
        expression = rendered(helm, overrides=windows)[name]["expr"]
        assert re.findall(r"\w+(?:\{[^}]*\})?\[\w+\]", expression) == re.findall(r"\w+(?:\{[^}]*\})?\[1h\]", expression)
        assert re.search(r"and on \(namespace, account\) grinder_reconcile_last_snapshot_age_seconds\s", expression)


def test_prometheus_itself_accepts_the_rules_with_every_override(helm4: Helm, tmp_path: Path) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["definitions"]["overrides"]["properties"]
    given = {"for": "7m", "severity": "page", "threshold": 0.5, "window": "10m"}
    overrides = {name: {key: given[key] for key in can["properties"]} for name, can in schema.items()}
    documents = helm4.template({"prometheusRule": {"enabled": True, "overrides": overrides}}, apis=(MONITORING,))
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(only(documents, "PrometheusRule")["spec"]))
    command = [str(tools.find("prometheus") / "promtool"), "check", "rules", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(source())} rules found" in checked.stdout


def test_runbooks_and_labels_are_ones_own(helm: Helm) -> None:
    found = rendered(helm, runbookBaseUrl="https://wiki.example/x", ruleLabels={"team": "desk"})
    alerts = {name: rule for name, rule in found.items() if "alert" in rule}
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example/x/{name}"
        assert rule["labels"] == {**source()[name]["labels"], "team": "desk"}


def test_grafana_finds_each_dashboard(helm: Helm) -> None:
    config = only(helm.template({"dashboard": {"enabled": True}}), "ConfigMap")
    files = {path.name: path.read_text() for path in (CHART / "files" / "dashboards").glob("*.json")}
    assert files
    assert {name: json.loads(text) for name, text in config["data"].items()} == {
        name: json.loads(text) for name, text in files.items()
    }
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def state_metrics(helm: Helm) -> Document:
    text = only(helm.template({"kubeStateMetrics": {"enabled": True}}), "ConfigMap")["data"][STATE_METRICS]
    config: Document = yaml.safe_load(text)
    return config


def schema_at(schema: Document, path: list[str]) -> Document:
    """Where `path` leads in an OpenAPI schema. Raises KeyError."""
    if path[:1] == ["metadata"]:
        return {"type": {"generation": "integer"}.get(path[1], "string")}
    for part in path:
        schema = schema["properties"][part]
    return schema


def places(metric: Document) -> Iterator[tuple[list[str], str]]:
    """Each path that a metric reads, from the object's root, and what for. Elements of lists are entered."""
    kind = metric["each"]["type"]
    each = metric["each"][kind[0].lower() + kind[1:]]
    for label in each.get("labelsFromPath", {}).values():
        yield [*each["path"], *label], "label"
    yield [*each["path"], *each.get("valueFrom", [])], kind


def test_every_path_of_the_state_metrics_is_in_the_crd_and_fits_its_metric(helm: Helm) -> None:
    (crd,) = (yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*_tradingaccounts.yaml"))
    (version,) = crd["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]
    conditions = root["properties"]["status"]["properties"]["conditions"]
    root["properties"]["status"]["properties"]["conditions"] = conditions["items"]
    (resource,) = state_metrics(helm)["spec"]["resources"]
    assert resource["groupVersionKind"] == {
        "group": crd["spec"]["group"],
        "version": version["name"],
        "kind": crd["spec"]["names"]["kind"],
    }
    assert set(resource["labelsFromPath"]) == {"namespace", "account"}
    for metric in resource["metrics"]:
        for path, use in places(metric):
            schema = schema_at(root, path)
            if use == "Gauge":
                assert schema["type"] in {"integer", "boolean"} or schema["format"] == "date-time", metric["name"]
            if use == "StateSet":
                assert metric["each"]["stateSet"]["list"] == schema["enum"]


def test_the_state_metrics_tell_what_a_person_asks_first(helm: Helm) -> None:
    (resource,) = state_metrics(helm)["spec"]["resources"]
    names = {metric["name"] for metric in resource["metrics"]}
    assert names >= {"info", "condition", "sync", "paused", "findings", "suspended", "generation"}
    assert all(metric["help"].endswith(".") for metric in resource["metrics"])

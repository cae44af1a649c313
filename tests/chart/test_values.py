"""Values that are wrong are refused with their path; those that a chart above this one may set are not."""

import copy
import json
import re

import jsonschema
import pytest
import yaml
from tests.support.helm import CHART, MONITORING, Document, Helm, HelmError, only
from tests.support.running import ROOT
from tools import chart, values

pytestmark = pytest.mark.lint

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SPIKE = "AccountSyncMismatchSpike"
WRONG: list[tuple[Document, str]] = [
    ({"replicas": -1}, "replicas"),
    ({"replicas": "1"}, "replicas"),
    ({"watchNamespace": ["a"]}, "watchNamespace"),
    ({"image": {"tags": "1"}}, "image"),
    ({"image": {"tag": 1}}, "image.tag"),
    ({"image": {"digest": "sha256:abc"}}, "image.digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "image.pullPolicy"),
    ({"watchNamespaces": "trading"}, "watchNamespaces"),
    ({"watchNamespaces": ["Trading"]}, "watchNamespaces.0"),
    ({"rbac": {"secretNames": ["a", "a"]}}, "rbac.secretNames"),
    ({"allowedEndpoints": ["https://a.example/path"]}, "allowedEndpoints.0"),
    ({"evidence": {"keep": 0}}, "evidence.keep"),
    ({"evidence": {"volume": {"emptyDir": {}, "hostPath": {}}}}, "evidence.volume"),
    ({"logFormat": "xml"}, "logFormat"),
    ({"extraEnv": [{"value": "x"}]}, "extraEnv.0"),
    ({"resources": {"limit": {}}}, "resources"),
    ({"probes": {"liveness": {"httpGet": {}}}}, "probes.liveness"),
    ({"podLabels": {"a": 1}}, "podLabels.a"),
    ({"service": {"port": 0}}, "service.port"),
    ({"resources": {"limits": {"memory": "512m"}}}, "resources.limits.memory"),
    ({"resources": {"limits": {"memory": "lots"}}}, "resources.limits.memory"),
    ({"resources": {"requests": {"cpu": "50Mi"}}}, "resources.requests.cpu"),
    ({"resources": {"requests": {"cpu": -1}}}, "resources.requests.cpu"),
    ({"resources": {"limits": {"ephemeral-storage": "1 GB"}}}, "resources.limits.ephemeral-storage"),
    ({"allowedEndpoints": ["https://a.example:0"]}, "allowedEndpoints.0"),
    ({"allowedBotUrls": ["http://a.example:65536"]}, "allowedBotUrls.0"),
    ({"rbac": {"configMapNames": ["A"]}}, "rbac.configMapNames.0"),
    *(({"gate": {"role": {"create": True}}}, f"gate.role.{name}") for name in ("namespace", "accounts")),
    ({"gate": {"role": {"accounts": ["a" * 237]}}}, "gate.role.accounts.0"),
    *(
        ({"networkPolicy": {"exchanges": {"cidrs": [cidr]}}}, "networkPolicy.exchanges.cidrs.0")
        for cidr in ("256.0.0.1/32", "10.0.0.1/33", "10.0.0/24", "1.2.3.4.5/8", "fd00::/129", "beef/8", "10.0.0.1:80/8")
    ),
    *(
        ({"networkPolicy": {"cilium": {"fqdns": [name]}}}, "networkPolicy.cilium.fqdns.0")
        for name in ("*", "**", "*.com", "*.*", "*binance.com", "fapi.*.com")
    ),
    ({"networkPolicy": {"cilium": {"enabled": True}}}, "networkPolicy.cilium.fqdns"),
    ({"prometheusRule": {"scope": "Some"}}, "prometheusRule.scope"),
    *(
        ({"prometheusRule": {"overrides": {SPIKE: {"window": window}}}}, f"prometheusRule.overrides.{SPIKE}.window")
        for window in ("19s", "0m", "5", "1m30s", "0020s")
    ),
    ({"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}}, "networkPolicy.apiServer.cidrs.0"),
    ({"networkPolicy": {"bots": [{"ports": [80]}]}}, "networkPolicy.bots.0"),
    ({"networkPolicy": {"databases": [{"ports": [5432]}]}}, "networkPolicy.databases.0"),
    ({"serviceMonitor": {"interval": "often"}}, "serviceMonitor.interval"),
    ({"prometheusRule": {"excluded": ["BeliefStales"]}}, "prometheusRule.excluded.0"),
    ({"prometheusRule": {"overrides": {"Nope": {"for": "1m"}}}}, "prometheusRule.overrides"),
    ({"prometheusRule": {"overrides": {"BeliefStale": {"threshold": 3}}}}, "prometheusRule.overrides.BeliefStale"),
    ({"prometheusRule": {"runbookBaseUrl": "https://a.example/"}}, "prometheusRule.runbookBaseUrl"),
]


@pytest.mark.parametrize(("wrong", "path"), WRONG, ids=lambda value: value if isinstance(value, str) else None)
def test_a_wrong_value_is_refused_with_its_path(helm: Helm, wrong: Document, path: str) -> None:
    with pytest.raises(HelmError) as refusal:
        helm.template(wrong)
    newer, older = f"'/{path.replace('.', '/')}'", f"- {path}: "  # as helm says it from 3.18 on, and before
    unknown = (f"'{path}' not allowed", f"property {path} is not allowed") if path in wrong else ()
    assert any(form in str(refusal.value) for form in (newer, older, *unknown))


RIGHT: list[Document] = [
    {"allowedEndpoints": ["https://a.example:1", "https://b.example:65535", "http://[::1]:*", "https://c.example"]},
    {"allowedBotUrls": ["http://a.example", "postgres+tls://db.example:5432", "postgres://127.0.0.1:*"]},
    {"resources": {"limits": {"memory": "1.5Gi", "cpu": "0.5", "ephemeral-storage": "1e9"}}},
    {"resources": {"limits": {"memory": 536870912, "cpu": 2}, "requests": {"cpu": "1500m", "memory": "512M"}}},
    {"networkPolicy": {"exchanges": {"cidrs": ["0.0.0.0/0", "255.255.255.255/32", "::/0", "2000::/3"]}}},
    {"networkPolicy": {"apiServer": {"cidrs": ["fd00:1:2:3:4:5:6:7/128", "::ffff:10.0.0.1/104"]}}},
    {"networkPolicy": {"cilium": {"fqdns": ["fapi.binance.com", "*.bybit.com", "api*.okx.com", "kraken.com"]}}},
    {"prometheusRule": {"overrides": {SPIKE: {"window": "20s"}, "ReconcileMismatchDetected": {"window": "100s"}}}},
    {"prometheusRule": {"ruleLabels": {"team": "desk"}}, "podLabels": {"app.kubernetes.io/part-of": "desk"}},
]


@pytest.mark.parametrize("right", RIGHT, ids=str)
def test_a_right_value_is_taken(helm4: Helm, right: Document) -> None:
    assert helm4.template(right)


@pytest.mark.parametrize(
    "place",
    ["podLabels", *(f"{name}.labels" for name in ("service", "serviceMonitor", "podMonitor", "prometheusRule"))],
)
def test_the_labels_by_which_the_chart_finds_its_own_are_not_replaced(helm: Helm, place: str) -> None:
    own = only(helm.template(), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert len(own) > 4
    above, _, last = place.rpartition(".")
    for key in own:
        wrong: Document = {last: {key: "mine"}}
        escaped = re.escape(key.replace("/", "~1"))
        with pytest.raises(HelmError, match=rf"'/{place.replace('.', '/')}/{escaped}'"):
            helm.template({above: wrong} if above else wrong)


def test_the_labels_by_which_an_alert_is_routed_are_not_replaced(helm: Helm) -> None:
    rules = yaml.safe_load((ROOT / "alerts" / "accountsync.yaml").read_text())["groups"]
    alerts = [rule for group in rules for rule in group["rules"] if "alert" in rule]
    kept = {"namespace", "account", *(label for rule in alerts for label in rule["labels"])}
    kept |= {
        label for rule in alerts for names in re.findall(r"by \(([^)]+)\)", rule["expr"]) for label in names.split(", ")
    }
    assert len(kept) > 7
    for label in kept:
        with pytest.raises(HelmError, match=f"'/prometheusRule/ruleLabels/{label}'"):
            helm.template({"prometheusRule": {"ruleLabels": {label: "mine"}}})
    values = {"prometheusRule": {"enabled": True, "ruleLabels": {"severity": "none", "category": "none"}}}
    unchecked = helm.template(values, "--skip-schema-validation", apis=(MONITORING,))
    found = [rule for group in only(unchecked, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    assert {rule["alert"]: rule["labels"] for rule in found if "alert" in rule} == {
        rule["alert"]: rule["labels"] for rule in alerts
    }


def test_one_scrape_is_enough(helm: Helm) -> None:
    with pytest.raises(HelmError, match=r"serviceMonitor\.enabled and podMonitor\.enabled"):
        helm.template({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}})


def test_a_chart_above_may_set_global_and_enabled(helm: Helm) -> None:
    assert helm.template({"global": {"imageRegistry": "x"}, "enabled": True}) == helm.template()


def closed_objects(schema: Document, defaults: Document, path: str = "") -> list[str]:
    """The paths of objects with fixed keys, which `defaults` has."""
    found = [path]
    for name, inner in schema["properties"].items():
        if "properties" in inner and "$ref" not in inner:
            found += closed_objects(inner, defaults[name], f"{path}.{name}" if path else name)
    return found


def test_no_object_with_known_keys_takes_others() -> None:
    def with_key(path: str) -> Document:
        changed: Document = copy.deepcopy(DEFAULTS)
        place = changed
        for part in filter(None, path.split(".")):
            place = place[part]
        place["unheardOf"] = 1
        return changed

    jsonschema.Draft7Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft7Validator(SCHEMA)
    validator.validate(DEFAULTS)
    paths = closed_objects(SCHEMA, DEFAULTS)
    assert len(paths) > 10
    assert [path for path in paths if validator.is_valid(with_key(path))] == []


def test_each_alert_can_be_changed_in_what_it_has() -> None:
    overrides = SCHEMA["definitions"]["overrides"]["properties"]
    groups = yaml.safe_load((ROOT / "alerts" / "accountsync.yaml").read_text())["groups"]
    names = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert sorted(overrides) == sorted(names) == sorted(SCHEMA["definitions"]["alertName"]["enum"])
    assert set(overrides["ExchangeWeightNearLimit"]["properties"]) == {"for", "severity", "threshold", "window"}
    assert set(overrides["AccountSyncOperatorDown"]["properties"]) == {"for", "severity"}


def test_a_value_that_nothing_describes_is_refused_by_the_generator() -> None:
    with pytest.raises(SystemExit, match=r"a\.b has no comment"):
        values.parsed("a:\n  # not a description\n  b: 1\n")


def test_comments_become_the_schema_and_the_table() -> None:
    text = '# -- How\n# many.\n# @schema {maximum: 1}\nreplicas: 1\nimage:\n  # -- A | B.\n  tag: ""\n'
    found = values.parsed(text)
    assert values.schema_of(found) == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "replicas": {"description": "How many.", "type": "integer", "maximum": 1},
            "image": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"tag": {"description": "A | B.", "type": "string"}},
            },
        },
    }
    rows = values.table(found).splitlines()[2:]
    assert rows == ["| `replicas` | `1` | How many. |", '| `image.tag` | `""` | A \\| B. |']


def test_every_value_is_in_the_readme() -> None:
    readme = (CHART / "README.md").read_text()
    leaves = [leaf.path for value in values.parsed((CHART / "values.yaml").read_text()) for leaf in value.leaves()]
    assert [path for path in leaves if f"| `{path}` |" not in readme] == []


def test_what_is_generated_is_up_to_date_and_a_change_would_be_noticed() -> None:
    wanted = chart.generated() | {chart.INSTALL: chart.install_text()}
    assert chart.stale(wanted) == []
    assert chart.left_over(wanted) == []
    assert [path.suffix for path in chart.left_over({})] == [".yaml"] * 3
    for path in wanted:
        assert chart.stale(wanted | {path: "else"}) == [path]

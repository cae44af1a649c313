"""Values that are wrong are refused with their path; those that a chart above this one may set are not."""

import copy
import json

import jsonschema
import pytest
import yaml
from tests.support.helm import CHART, Document, Helm, HelmError
from tests.support.running import ROOT
from tools import chart, values

pytestmark = pytest.mark.lint

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
WRONG: list[tuple[Document, str]] = [
    ({"replicas": 2}, "replicas"),
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
    ({"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}}, "networkPolicy.apiServer.cidrs.0"),
    ({"networkPolicy": {"bots": [{"ports": [80]}]}}, "networkPolicy.bots.0"),
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
    assert [path.suffix for path in chart.left_over({})] == [".yaml", ".yaml"]
    for path in wanted:
        assert chart.stale(wanted | {path: "else"}) == [path]

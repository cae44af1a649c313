"""Models to CustomResourceDefinition: what Kubernetes asks of the schema, and that the file is up to date."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.api.accounts import ROOT

from accountsync.api import crd
from accountsync.cli.crds import crds

FILES = ["accountsync.dev_tradingaccounts.yaml", "accountsync.dev_remediationplans.yaml"]
KUBERNETES_WORDS = {
    "type",
    "description",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "default",
    "enum",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from nodes(schema[word], f"{path}[]")


SCHEMAS = {kind.name: crd.object_schema(kind) for kind in crd.KINDS}
NODES = {f"{name}{path}": node for name, schema in SCHEMAS.items() for path, node in nodes(schema)}
OF_KUBERNETES = {f"{name}.{field}" for name in SCHEMAS for field in ("apiVersion", "kind", "metadata")}


def test_the_files_are_what_the_models_say() -> None:
    assert crd.drift(ROOT / "crds") == ""


def test_the_same_models_give_the_same_bytes() -> None:
    assert crd.render() == crd.render()


def test_the_schema_uses_only_words_of_structural_schemas() -> None:
    for path, node in NODES.items():
        assert set(node) <= KUBERNETES_WORDS, path
        assert "type" in node, path


def test_every_field_says_what_it_is_for() -> None:
    for path, node in NODES.items():
        if path and not path.endswith("[]") and path not in OF_KUBERNETES:
            assert node.get("description"), path


def test_everything_has_an_end_so_that_rules_stay_affordable() -> None:
    for path, node in NODES.items():
        if path in OF_KUBERNETES:
            continue
        if node["type"] == "string" and node.get("format") != "date-time" and "enum" not in node:
            assert "maxLength" in node, path
        if node["type"] == "array":
            assert "maxItems" in node, path
            assert "x-kubernetes-list-type" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_the_status_has_no_defaults() -> None:
    assert not [path for path, node in NODES.items() if ".status" in path and "default" in node]


def test_every_rule_says_what_is_wrong() -> None:
    for path, node in NODES.items():
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"], path
            assert "\n" not in rule["message"], path


def test_a_union_has_no_structural_schema() -> None:
    with pytest.raises(ValueError, match="union"):
        crd.structural({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {})


def test_words_beside_a_reference_win_and_rules_add_up() -> None:
    definitions = {
        "A": {"type": "object", "description": "theirs", "x-kubernetes-validations": [{"rule": "a"}]},
        "B": {"$ref": "#/$defs/A"},
    }
    node = {
        "anyOf": [{"$ref": "#/$defs/B"}, {"type": "null"}],
        "default": None,
        "description": "ours",
        "x-kubernetes-validations": [{"rule": "b"}],
    }
    assert crd.structural(node, definitions) == {
        "type": "object",
        "description": "ours",
        "x-kubernetes-validations": [{"rule": "a"}, {"rule": "b"}],
    }


def test_write_then_check_is_content(tmp_path: Path) -> None:
    run = CliRunner()
    written = run.invoke(crds, ["--write", str(tmp_path / "crds")])
    assert written.exit_code == 0
    assert [Path(line).name for line in written.output.splitlines()] == FILES
    assert run.invoke(crds, ["--check", str(tmp_path / "crds")]).output == ""


@pytest.mark.parametrize(
    ("name", "right", "wrong"), [(FILES[0], "default: 15s", "default: 16s"), (FILES[1], "maxItems: 50", "maxItems: 51")]
)
def test_check_shows_what_differs_and_what_to_do(tmp_path: Path, name: str, right: str, wrong: str) -> None:
    crd.write(tmp_path)
    file = tmp_path / name
    file.write_text(file.read_text().replace(right, wrong))
    checked = CliRunner().invoke(crds, ["--check", str(tmp_path)])
    assert checked.exit_code == 1
    assert "run `make crds`" in checked.output
    assert wrong in checked.output
    assert right in checked.output


def test_check_of_a_folder_without_the_file_fails_briefly(tmp_path: Path) -> None:
    checked = CliRunner().invoke(crds, ["--check", str(tmp_path)])
    assert checked.exit_code == 1
    assert "more lines" in checked.output
    assert len(checked.output.splitlines()) < 50


def test_without_options_the_crds_are_printed() -> None:
    printed = CliRunner().invoke(crds, [])
    assert [document["kind"] for document in yaml.safe_load_all(printed.output)] == [
        "CustomResourceDefinition",
        "CustomResourceDefinition",
    ]


def test_write_and_check_exclude_each_other(tmp_path: Path) -> None:
    assert CliRunner().invoke(crds, ["--write", str(tmp_path), "--check", str(tmp_path)]).exit_code == 2

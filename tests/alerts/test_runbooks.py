"""What a runbook page tells people to type or to read exists."""

import functools
import re
from typing import Any

import click
import pytest
import yaml
from tests.alerts.rulebook import RULES, RUNBOOKS
from tests.support.running import ROOT

from accountsync.api.v1alpha1 import GROUP
from accountsync.cli import main
from accountsync.controller.account import REQUESTED_AT
from accountsync.controller.ownership import REPLICA_LABEL
from accountsync.controller.telling import RESUME, RESUMED_BY
from accountsync.errors import Reason

PAGES = [*sorted(RUNBOOKS.glob("*.md")), ROOT / "docs" / "alerts.md"]
ANNOTATIONS = {REQUESTED_AT, RESUME, RESUMED_BY, REPLICA_LABEL, f"{GROUP}/use"}
every_page = pytest.mark.parametrize("text", [page.read_text() for page in PAGES], ids=[page.stem for page in PAGES])


@functools.cache
def schemas() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    return [document["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for document in documents]


def is_a_field(path: str) -> bool:
    """Of an account, or of a plan."""
    return any(has(schema, path) for schema in schemas())


def has(node: dict[str, Any], path: str) -> bool:
    for step in path.split("."):
        node = node.get("items", node).get("properties", {}).get(step, {})
    return bool(node)


def is_a_command(words: list[str]) -> bool:
    command: click.Command | None = main
    for word in words:
        command = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
    return command is not None


@every_page
def test_every_command_of_ours_is_one(text: str) -> None:
    typed = re.findall(r"(?:-- |`)accountsync ((?:[a-z]+ ?)+)", text)
    for words in typed:
        assert is_a_command(words.split()), words


@every_page
def test_every_field_of_the_resource_is_one(text: str) -> None:
    for path in re.findall(r"(?<![\w.])\.?((?:spec|status)\.[a-zA-Z.]*[a-zA-Z])", text):
        assert is_a_field(path), path
    for path in re.findall(r"`(?:remediation|exchange|bot)\.\w+(?=[`:])", text):
        assert is_a_field(f"spec.{path[1:]}"), path


@every_page
def test_every_annotation_and_label_is_one(text: str) -> None:
    written = text.replace("tradingaccounts.accountsync.dev/status", "").replace("https://accountsync.dev/runbooks", "")
    for name in re.findall(rf"{re.escape(GROUP)}/[\w-]+", written):
        assert name in ANNOTATIONS, name


@every_page
def test_every_reason_in_a_table_of_reasons_is_one(text: str) -> None:
    known = {reason.label for reason in Reason}
    for table in re.findall(r"\| reason \|.+?\n\n", text, re.DOTALL):
        for name in re.findall(r"`([a-z_]+)`", re.sub(r"\|[^|]+\|$", "|", table, flags=re.MULTILINE)):
            assert name in known, name


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", page.read_text()):
            assert (page.parent / target).resolve().exists(), f"{page.name}: {target}"


def test_the_page_of_alerts_gives_each_alerts_own_patience() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| [^|]+ \| (\d+m) \|", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE))
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert rows == {rule["alert"]: rule["for"] for rule in rules if "alert" in rule}

"""What the runbook pages tell people to type works, and answers, while the demo's account is out of sync."""

import re
import subprocess

import pytest
from tests.alerts.rulebook import RUNBOOKS
from tests.support.demo import Demo
from tests.support.monitoring import Prometheus
from tests.support.stage import ADMIN

pytestmark = pytest.mark.cluster

PAGES = {page.stem: page.read_text() for page in sorted(RUNBOOKS.glob("*.md"))}
QUERIES = sorted(
    {line.strip() for text in PAGES.values() for block in re.findall(r"```promql\n(.+?)```", text, re.DOTALL)
     for line in block.splitlines() if line.strip()}
)  # fmt: skip
OURS = re.compile(
    r"kubectl (?:(?:get|describe|annotate --overwrite -n trading|patch) (?:ta|secret|configmap)|auth can-i) .+"
)
COMMANDS = sorted(
    {
        match[0].split("  #")[0].strip()
        for text in PAGES.values()
        for piece in (
            *re.findall(r"^ *\$ (.+)$", text, re.MULTILINE),
            *re.findall(r"`([^`]+)`", re.sub(r"```.+?```", "", text, flags=re.DOTALL)),
        )
        if (match := OURS.match(" ".join(piece.split())))
    }
)


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_is_one(prometheus: Prometheus, query: str) -> None:
    prometheus.query(query)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("prometheus")
def test_each_kubectl_command_answers(demo: Demo, command: str) -> None:
    ran = subprocess.run(
        ["bash", "-c", command.replace("DIGEST", "0000000000").replace("=YOU", f"={ADMIN}")],
        env={**demo.plane.env(), "PATH": f"{demo.plane.programs.folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.strip(), "nothing to read"

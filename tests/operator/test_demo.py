"""`make demo` tells the truth: it ends with 0 only if each turn was read back from the API server."""

import subprocess
import sys

import pytest
from tests.support.running import ROOT

pytestmark = pytest.mark.cluster


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.demo", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_the_whole_story_ends_well() -> None:
    told = demo()
    assert told.returncode == 0, told.stdout + told.stderr
    turns = [line for line in told.stdout.splitlines() if line.startswith("── ")]
    assert [turn[3] for turn in turns] == [str(number) for number in range(1, 9)]
    assert "OutOfSync" in told.stdout
    assert told.stdout.count("DELETE /fapi/v1/order") == 1
    assert "Each turn was read back" in told.stdout


@pytest.mark.long
def test_without_the_drift_it_fails_at_the_turn_that_should_find_it() -> None:
    told = demo("--skip-drift", "--patience=15")
    assert told.returncode == 1, told.stdout + told.stderr
    turns = [line for line in told.stdout.splitlines() if line.startswith("── ")]
    assert turns[-1].startswith("── 3. Found and paused")
    assert "the demo failed at this turn" in told.stderr


@pytest.mark.long
def test_without_the_approval_nothing_is_sent_and_it_fails_at_the_turn_that_waits_for_it() -> None:
    told = demo("--skip-approval", "--patience=20")
    assert told.returncode == 1, told.stdout + told.stderr
    turns = [line for line in told.stdout.splitlines() if line.startswith("── ")]
    assert turns[-1].startswith("── 8. Approved and done")
    assert "that is Done" in told.stderr

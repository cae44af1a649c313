"""What needs no cluster: the command line refuses with a sentence, and starts without what it does not need."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.support.controlplane import CRDS

from accountsync.cli import Verbs, main
from accountsync.cli.cluster import Body, Cluster
from accountsync.cli.connection import ClusterError, Place
from accountsync.cli.pause import LEVELS, REASON_CHARACTERS
from accountsync.cli.texts import age, printable

UNREACHABLE = (
    "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
    "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
    "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: t}}]\n"
)


def types(*arguments: str, kubeconfig: str = "/nowhere/config") -> Result:
    env = {"KUBECONFIG": kubeconfig, "KUBERNETES_SERVICE_HOST": None}
    return CliRunner(env=env).invoke(main, arguments, catch_exceptions=False)


@pytest.fixture
def unreachable(tmp_path: Path) -> str:
    path = tmp_path / "config"
    path.write_text(UNREACHABLE)
    return str(path)


@pytest.mark.parametrize("verb", ["pause", "resume", "reconcile"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "for which accounts?"),
        (["-A"], "for which accounts?"),
        (["-l", ""], "for which accounts?"),
        (["one", "--all"], "one of these"),
        (["one", "-l", "a=b"], "one of these"),
        (["--all", "-l", "a=b"], "one of these"),
        (["one", "-A"], "-A is for all namespaces"),
        (["--all", "-A", "-n", "trading"], "-A is for all namespaces"),
        (["Grid_BTC"], "'Grid_BTC' can't be a name"),
        ([".."], "'..' can't be a name"),
        (["one", "-n", "a/b"], "'a/b' can't be a name"),
        (["one", "--wait", "-1"], "-1"),
    ],
)
def test_a_selection_that_says_nothing_or_two_things_is_refused(verb: str, arguments: list[str], says: str) -> None:
    refused = types(verb, *arguments)
    assert refused.exit_code == 2
    assert says in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pause", "one", "--reason", "x" * 257], "--reason has 257 characters: at most 256"),
        (["pause", "one", "--level", "Stop"], "--level"),
        (["resume", "one", "two", "--digest", "abc"], "--digest is for one NAME"),
        (["resume", "--all", "--digest", "abc"], "--digest is for one NAME"),
        (["resume", "one", "--seen", "--digest", "abc"], "not with --seen"),
        (["resume", "one", "--digest", "$DIGEST"], "--digest is of letters and digits"),
        (["resume", "one", "--yes"], "--yes goes with --seen"),
        (["status"], "NAME"),
    ],
)
def test_options_that_can_not_be_meant_are_refused(arguments: list[str], says: str) -> None:
    refused = types(*arguments)
    assert refused.exit_code == 2
    assert says in refused.stderr


def test_reason_and_levels_are_those_of_the_schema() -> None:
    (crd,) = CRDS.glob("*tradingaccounts*")
    version = yaml.safe_load(crd.read_text())["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert spec["pauseReason"]["maxLength"] == REASON_CHARACTERS
    assert spec["pauseLevel"]["enum"] == list(LEVELS)


def test_no_cluster_is_said_in_a_sentence(tmp_path: Path, unreachable: str) -> None:
    broken = tmp_path / "broken"
    broken.write_text("")
    for arguments, kubeconfig, says in (
        (["pause", "one"], "/nowhere/config", "no cluster: there is no kubeconfig /nowhere/config"),
        (["pause", "one", "--kubeconfig", "/nowhere/else"], unreachable, "there is no kubeconfig /nowhere/else"),
        (["pause", "one", "--context", "prod"], unreachable, "Expected object with name prod"),
        (["status", "one"], str(broken), f"the kubeconfig {broken} can't be used"),
    ):
        ended = types(*arguments, kubeconfig=kubeconfig)
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert says in ended.stderr


def test_an_api_server_that_is_away_is_a_failure_of_each_account(unreachable: str) -> None:
    ended = types("pause", "one", "two", kubeconfig=unreachable)
    assert ended.exit_code == 1
    assert ended.stdout.count("FAILED: no answer from the API server: http://127.0.0.1:1") == 2
    assert ended.stderr == "FAILED: 2 of 2 accounts: default/one, default/two\n"


class Failing(Cluster):
    """An API server that answers with these statuses, one after the other."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(Place())
        self.statuses = list(statuses)

    async def _sent(self, *_: object) -> tuple[int, Body]:
        return self.statuses.pop(0), {"message": "so it is"}


async def test_what_passes_is_tried_again_and_a_refusal_is_not() -> None:
    assert await Failing(503, 409, 200).patch("trading", "one", {}) == {"message": "so it is"}
    refusing = Failing(403, 200)
    with pytest.raises(
        ClusterError, match=r"not allowed: patch tradingaccounts\.accountsync\.dev in namespace trading"
    ):
        await refusing.patch("trading", "one", {})
    assert refusing.statuses == [200]


@pytest.mark.parametrize("arguments", [["--help"], ["pause", "one"]])
def test_the_kill_switch_starts_without_the_controller_and_the_exchanges(
    unreachable: str, arguments: list[str]
) -> None:
    script = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        "from accountsync.cli import main\n"
        "main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, *arguments]
    env = {**os.environ, "KUBECONFIG": unreachable}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    loaded = set(json.loads(ended.stderr.splitlines()[-1]))
    assert "accountsync.cli" in loaded
    assert ("accountsync.cli.pause" in loaded) == ("pause" in arguments)
    assert not loaded & {"kopf", "ccxt", "structlog", "accountsync.controller"}


def test_the_list_of_verbs_says_what_the_verbs_say() -> None:
    listed = types("--help").stdout
    for verb, text in Verbs.verbs.items():
        said = types(verb, "--help").stdout
        assert " ".join(said.split("\n\n")[1].split()).startswith(text.rstrip("."))
        assert verb in listed


@pytest.mark.parametrize(
    ("seconds", "says"), [(-5, "0s"), (59, "59s"), (61, "1m1s"), (3 * 3600 + 60, "3h1m"), (2 * 86_400 + 7200, "2d2h")]
)
def test_ages_are_read_at_a_glance(seconds: int, says: str) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    assert age(now - timedelta(seconds=seconds), now) == says


def test_what_a_stranger_wrote_does_not_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\n\u202ec") == "a?[31mb??c"

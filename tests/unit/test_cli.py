"""The command line ends with a sentence, not a traceback, where starting is hopeless."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.running import accountsync


def run(*arguments: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "ACCOUNTSYNC", "GRINDER"))
    }
    return subprocess.run(
        accountsync(*arguments),
        env={**clean, "HOME": str(home), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_an_operator_without_a_cluster_says_so_and_ends(tmp_path: Path) -> None:
    ended = run("operator", "--host=127.0.0.1", "--port=0", home=tmp_path)
    assert ended.returncode == 1
    assert "set KUBECONFIG" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_an_operator_whose_port_is_taken_says_so_and_ends(tmp_path: Path, taken: int) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: t}}]\n"
    )
    ended = run("operator", "--host=127.0.0.1", f"--port={taken}", home=tmp_path, KUBECONFIG=str(kubeconfig))
    assert ended.returncode == 1
    assert "--port" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--allow-endpoint=127.0.0.1:8900", "allowed exchange endpoints"),
        ("--allow-bot-url=foo", "allow"),
        ("--port=x", "--port"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, option: str, says: str) -> None:
    ended = run("operator", option, home=tmp_path)
    assert ended.returncode in {1, 2}
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    ended = run("operator", home=tmp_path, GRINDER_ACCOUNT_SYNC_ENABLED="maybe")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: GRINDER_ACCOUNT_SYNC_ENABLED")


def test_the_package_is_a_command_too(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "accountsync", "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout == run("--version", home=tmp_path).stdout.replace("accountsync,", "python -m accountsync,")


def test_every_verb_says_what_it_does(tmp_path: Path) -> None:
    listed = run("--help", home=tmp_path).stdout
    for verb in ("crds", "docs", "drill", "evidence", "operator", "simulate"):
        assert verb in listed
        assert run(verb, "--help", home=tmp_path).returncode == 0

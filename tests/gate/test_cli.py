"""`accountsync gate` at the command line, and what its page shows."""

import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.support.running import ROOT, accountsync

from accountsync.cli.gate import gate
from accountsync.gate.outlets import FileSays
from accountsync.gate.process import serve
from accountsync.gate.settings import Settings, SettingsError

PAGE = (ROOT / "docs" / "gate.md").read_text()
EXAMPLES = ROOT / "examples" / "gate"


def override(*arguments: str) -> tuple[int, str]:
    run = CliRunner().invoke(gate, ["override", *arguments], env={"USER": "alice"})
    return run.exit_code, run.output


@pytest.mark.parametrize(
    "given", [(), ("--for=30m",), ("--reason=x",), ("--for=30m", "--reason= "), ("--end", "--for=1m")]
)
def test_an_override_wants_to_know_how_long_and_why(given: tuple[str, ...]) -> None:
    code, output = override(*given)
    assert code == 2
    assert "--for" in output


def test_an_override_of_a_gate_that_is_not_there_says_so(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        code, output = override("--for=30m", "--reason=x", f"--url={url}")
    assert code == 1
    assert f"no gate answers at {url}/override" in output
    assert override("--end", "--url=file:///etc/passwd")[0] == 2
    code, output = override("--end", f"--token-file={tmp_path}/none")
    assert (code, "No such file" in output) == (1, True)


def started(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        accountsync("gate", *arguments), capture_output=True, text=True, check=False, timeout=60, env=env
    )


def test_a_gate_that_cannot_start_leaves_the_file_closed(tmp_path: Path) -> None:
    file = tmp_path / "closed"
    done = started(ACCOUNTSYNC_GATE_ACCOUNT="one", ACCOUNTSYNC_GATE_FILE=str(file), HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: no cluster" in done.stderr
    assert file.read_text().startswith("closed ReduceOnly\n")


@pytest.mark.parametrize(
    "wrong", [{"account": ""}, {"token_file": Path("/no/token")}, {"on_close": "/no/such"}, {"listen": "0.0.0.0:1"}]
)
async def test_options_that_are_wrong_leave_the_file_closed(tmp_path: Path, wrong: dict[str, Any]) -> None:
    file = tmp_path / "gate"
    file.write_text("open\n")  # by the gate that was here before
    with pytest.raises(SettingsError):
        await serve(Settings(**{"account": "one", "file": file, "file_says": FileSays.CONTENT, **wrong}))
    assert file.read_text().startswith("closed ReduceOnly\n")


def test_a_file_that_cannot_be_written_is_no_way_to_start(tmp_path: Path) -> None:
    done = started("--account=one", f"--file={tmp_path}/none/closed")
    assert (done.returncode, done.stderr) == (
        1,
        f"Error: --file: file {tmp_path}/none/closed can't be written: No such file or directory\n",
    )


# --- the page --------------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def example(name: str, kind: str) -> Any:
    documents = yaml.safe_load_all((EXAMPLES / name).read_text())
    return next(document for document in documents if document["kind"] == kind)


def test_the_sidecar_and_the_role_of_the_page_are_those_of_the_examples() -> None:
    shown: dict[str, Any] = {}
    for block in blocks("yaml"):
        shown |= yaml.safe_load(block)
    template = example("deployment.yaml", "Deployment")["spec"]["template"]
    assert shown["initContainers"] == template["spec"]["initContainers"]
    assert shown["rules"] == example("role.yaml", "Role")["rules"]


def test_the_python_of_the_page_is_python() -> None:
    (block,) = blocks("python")
    head, _, body = block.partition("\n\n")
    indented = body.replace("\n", "\n    ")
    compile(f"{head}\nasync def bot(state):\n    {indented}", "docs/gate.md", "exec")


def test_every_option_the_page_names_is_one() -> None:
    options = {name for parameter in _parameters() for name in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - {"--data-binary", "--help"}
    assert named <= options, named - options


def _parameters() -> list[Any]:
    commands: Mapping[str, Any] = gate.commands
    return [*gate.params, *(parameter for command in commands.values() for parameter in command.params)]

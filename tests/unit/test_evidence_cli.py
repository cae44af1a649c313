"""`accountsync evidence`: what it prints, and how it ends."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.fakes import BTC, FakeBot, FakeExchange, ManualClock, truth

from accountsync.cli import main
from accountsync.cycle import State, run
from accountsync.domain.decide import Wishes
from accountsync.domain.policy import Policy
from accountsync.report.evidence import bundle, record_of
from accountsync.report.evidence_store import Store


def invoke(verb: str, folder: Path) -> Result:
    return CliRunner().invoke(main, ["evidence", verb, str(folder)])


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Three bundles of an account whose position is not what its bot believes."""
    clock = ManualClock()
    exchange = FakeExchange(clock)
    exchange.hold(BTC, "1")
    bot = FakeBot(truth(exchange, clock.now_ms()))
    exchange.hold(BTC, "7")
    store = Store(tmp_path / "account_sync")
    state = State()
    for _ in range(3):
        clock.advance(60)
        bot.state = replace(bot.state, as_of=clock.now_ms())
        cycle = await run(state, Policy(timeout=60), Wishes(), exchange, bot, clock, since=1000.0)
        state, at = cycle.state, clock.now_ms()
        store.write(at, lambda link, cycle=cycle, at=at: bundle(record_of("trading/grid", cycle, at, link)))  # type: ignore[misc]
    return store.folder


def bundles(folder: Path) -> list[Path]:
    return sorted(folder.glob("*Z"))


def test_good_evidence_ends_well_and_is_counted(folder: Path) -> None:
    verified, replayed = invoke("verify", folder), invoke("replay", folder)
    assert (verified.exit_code, verified.output) == (0, "3 bundles: nothing was changed\n")
    assert (replayed.exit_code, replayed.output) == (0, "3 bundles: the same is found again\n")


def test_one_bundle_alone(folder: Path) -> None:
    path = bundles(folder)[1]
    verified, replayed = invoke("verify", path), invoke("replay", path)
    assert (verified.exit_code, verified.stdout) == (0, "1 bundle: nothing was changed\n")
    assert verified.stderr == "note: one bundle alone: its place in the chain was not checked\n"
    assert (replayed.exit_code, replayed.output) == (0, "1 bundle: the same is found again\n")


def test_each_problem_is_a_line_that_names_the_file(folder: Path) -> None:
    first, second, _ = bundles(folder)
    (first / "summary.txt").write_text("all is well\n")
    (second / "more\x1b.txt").touch()
    verified = invoke("verify", folder)
    assert verified.exit_code == 1
    one, other = verified.stdout.splitlines()
    assert one.startswith(f"{first.name}/summary.txt: its sha256 is ")
    assert other.startswith(f"{second.name}/more?.txt: an added file; expected only account_snapshot.json")
    assert verified.stderr == "3 bundles: 2 problems\n"


def test_a_mismatch_that_was_taken_out_is_found_again(folder: Path) -> None:
    path = bundles(folder)[0]
    (path / "mismatches.json").write_text("[]\n")
    replayed = invoke("replay", folder)
    assert replayed.exit_code == 1
    key = f"PositionMismatch|{BTC}|net"
    assert replayed.stdout == f"{path.name}/mismatches.json: {key}: found again, and not in the file\n"


@pytest.mark.parametrize("verb", ["verify", "replay"])
def test_a_folder_that_is_not_there(verb: str, tmp_path: Path) -> None:
    ended = invoke(verb, tmp_path / "nowhere")
    assert ended.exit_code == 2
    assert "does not exist" in ended.stderr


@pytest.mark.parametrize("verb", ["verify", "replay"])
def test_a_file_in_place_of_a_folder(verb: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert invoke(verb, tmp_path / "file").exit_code == 2


@pytest.mark.parametrize("verb", ["verify", "replay"])
def test_a_folder_that_holds_no_evidence(verb: str, folder: Path) -> None:
    ended = invoke(verb, folder.parent)
    assert ended.exit_code == 2
    assert "holds no evidence: expected a bundle (with account_snapshot.json) or a folder of bundles" in ended.stderr


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("account_snapshot.json", b"{", "it is not JSON"),
        ("account_snapshot.json", b"[]\n", "expected an object (Record)"),
        ("account_snapshot.json", b"{}\n", "expected the fields timestamp, positions"),
        ("mismatches.json", b"{", "expected a JSON array of mismatches"),
        ("mismatches.json", b"[1]\n", "expected a JSON array of mismatches"),
        ("mismatches.json", b"\xff", "expected a JSON array of mismatches"),
    ],
)
def test_what_cannot_be_read_cannot_be_replayed(name: str, data: bytes, says: str, folder: Path) -> None:
    (bundles(folder)[0] / name).write_bytes(data)
    ended = invoke("replay", folder)
    assert ended.exit_code == 2
    assert name in ended.stderr
    assert says in ended.stderr
    assert invoke("verify", folder).exit_code == 1


def test_a_record_of_another_version_says_so(folder: Path) -> None:
    file = bundles(folder)[0] / "account_snapshot.json"
    told = json.loads(file.read_text())
    del told["evidence"]["policy"]["symbols"]
    file.write_text(json.dumps(told))
    ended = invoke("replay", folder)
    assert ended.exit_code == 2
    assert "evidence.policy: expected the fields" in ended.stderr


@pytest.mark.parametrize("name", ["account_snapshot.json", "mismatches.json", "positions.json"])
def test_half_a_bundle(name: str, folder: Path) -> None:
    (bundles(folder)[0] / name).unlink()
    ended = invoke("replay", folder)
    assert ended.exit_code == 2
    assert f"is no whole bundle: expected {name} in it" in ended.stderr
    assert invoke("verify", folder).exit_code == 1


def test_evidence_that_was_taken_away_as_a_whole_is_missed(folder: Path) -> None:
    for path in bundles(folder):
        shutil.rmtree(path)
    ended = invoke("verify", folder)
    assert ended.exit_code == 1
    assert ended.stdout.startswith("chain: numbers 1 to 3 are missing")

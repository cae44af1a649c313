"""The fire drill proves what it says: it passes on the code as it is, and each broken rule fails its own drill."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.running import ROOT

LETTERS = "abcdef"
MARKERS = (
    "drill_a_PROVEN: clean sync",
    "drill_b_PROVEN: duplicate_key + negative_qty detected",
    "drill_c_PROVEN: orphan_ord_x flagged, known_ord_1 not flagged",
    "drill_d_PROVEN: ts_regression detected",
    r"drill_e_PROVEN: all \d+ account sync patterns present",
    "drill_f_PROVEN: drift confirmed, Policy hold raised, lifted by its digest only",
)
FILES = {
    *(f"drill_{letter}_log.txt" for letter in "abcdf"),
    *(f"drill_{letter}_metrics.txt" for letter in LETTERS),
    "summary.txt",
    "sha256sums.txt",
}
OFFLINE = """
import sys

def refuse(event, _):
    if event in {"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen"}:
        raise AssertionError(f"a drill needs no {event}")

sys.addaudithook(refuse)
"""
Ended = subprocess.CompletedProcess[str]


def drill(*arguments: str, cwd: Path, package: Path = ROOT / "operator", **env: str) -> Ended:
    """`accountsync drill` of `package`, unable to reach a network."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GRINDER", "ACCOUNTSYNC"))}
    return subprocess.run(
        [sys.executable, "-c", f"{OFFLINE}\nfrom accountsync.cli import main\nmain()", "drill", *arguments],
        env={**clean, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def evidence(root: Path) -> Path:
    (folder,) = (root / "account_sync_fire_drill").iterdir()
    return folder


def proven(ended: Ended) -> str:
    """Letters of the drills whose marker was printed."""
    return "".join(re.findall(r"^drill_(\w)_PROVEN: ", ended.stdout, re.MULTILINE))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Path]:
    root = tmp_path_factory.mktemp("drill")
    return drill("--artifacts", str(root), cwd=root), evidence(root)


# --- as the code is ------------------------------------------------------------------------------------------------


def test_every_drill_passes_and_says_so(ran: tuple[Ended, Path]) -> None:
    ended, folder = ran
    assert (ended.returncode, ended.stderr) == (0, "")
    for marker in MARKERS:
        assert re.search(f"^{marker}$", ended.stdout, re.MULTILINE) or f"{marker}\n" in ended.stdout
    reference, results = ended.stdout.splitlines()[-2:]
    assert re.fullmatch(rf"EVIDENCE_REF {re.escape(str(folder))} sha256sums=[0-9a-f]{{64}}", reference)
    counts = re.fullmatch(r"=== Results: (\d+) passed, 0 failed, 0 skipped ===", results)
    assert counts
    assert int(counts[1]) == ended.stdout.count("PASS  ")
    assert len(re.findall(r"^PASS  drill_[a-e]: ", ended.stdout, re.MULTILINE)) >= 34
    assert "FAIL" not in ended.stdout


def test_the_number_of_patterns_is_the_real_one(ran: tuple[Ended, Path]) -> None:
    ended, folder = ran
    said = re.search(r"all (\d+) account sync patterns", ended.stdout)
    text = (folder / "drill_e_metrics.txt").read_text()
    assert said
    shown = [line for line in text.splitlines() if 'account="drill_e"' in line]
    assert int(said[1]) == len([line for line in shown if not line.startswith("accountsync_account_owned")])


def test_the_evidence_is_whole_and_sha256sum_accepts_it(ran: tuple[Ended, Path]) -> None:
    ended, folder = ran
    assert {path.name for path in folder.iterdir()} == FILES
    assert re.fullmatch(r"\d{8}T\d{6}Z", folder.name)
    tool = ["sha256sum"] if shutil.which("sha256sum") else ["shasum", "-a", "256"]
    checked = subprocess.run(
        [*tool, "-c", "sha256sums.txt"], cwd=folder, capture_output=True, text=True, check=False, timeout=30
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == len(FILES) - 1
    of_sums = subprocess.run([*tool, "sha256sums.txt"], cwd=folder, capture_output=True, text=True, check=True)
    assert f"sha256sums={of_sums.stdout.split()[0]}" in ended.stdout


def test_the_evidence_can_be_pasted(ran: tuple[Ended, Path]) -> None:
    ended, folder = ran
    summary = (folder / "summary.txt").read_text().splitlines()
    assert summary[1:7] == [line for line in ended.stdout.splitlines() if "_PROVEN: " in line]
    assert ended.stdout.splitlines()[-1] in summary


@pytest.mark.parametrize(
    ("letter", "line"),
    [
        ("a", 'grinder_account_sync_pending_notional{account="drill_a",namespace="drill"} 4250.0'),
        ("b", 'grinder_account_sync_mismatches_total{account="drill_b",namespace="drill",rule="duplicate_key"} 1.0'),
        ("b", 'grinder_account_sync_mismatches_total{account="drill_b",namespace="drill",rule="negative_qty"} 1.0'),
        ("c", 'grinder_account_sync_mismatches_total{account="drill_c",namespace="drill",rule="orphan_order"} 1.0'),
        ("d", 'grinder_account_sync_last_ts{account="drill_d",namespace="drill"} 1.790000001e+12'),
        ("e", 'grinder_account_sync_mismatches_total{account="drill_e",namespace="drill",rule="none"} 0.0'),
        ("f", 'accountsync_paused{account="drill_f",namespace="drill",source="Policy"} 0.0'),
    ],
)
def test_the_metrics_are_kept_as_prometheus_reads_them(ran: tuple[Ended, Path], letter: str, line: str) -> None:
    assert line in (ran[1] / f"drill_{letter}_metrics.txt").read_text().splitlines()


def test_two_runs_leave_the_same_bytes(ran: tuple[Ended, Path], tmp_path: Path) -> None:
    drill("--artifacts", str(tmp_path), cwd=tmp_path, PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    again = evidence(tmp_path)
    for name in FILES:
        assert (again / name).read_bytes() == (ran[1] / name).read_bytes(), name


# --- where the evidence goes ---------------------------------------------------------------------------------------


def test_without_a_folder_it_goes_to_the_hidden_one_of_this_place(tmp_path: Path) -> None:
    ended = drill(cwd=tmp_path, GRINDER_ARTIFACT_DIR="")
    assert f"EVIDENCE_REF .artifacts/account_sync_fire_drill/{evidence(tmp_path / '.artifacts').name} " in ended.stdout


def test_the_environment_names_the_folder_and_the_option_wins(tmp_path: Path) -> None:
    drill(cwd=tmp_path, GRINDER_ARTIFACT_DIR=str(tmp_path / "env"))
    assert evidence(tmp_path / "env")
    drill("--artifacts", "option", cwd=tmp_path, GRINDER_ARTIFACT_DIR=str(tmp_path / "other"))
    assert evidence(tmp_path / "option")
    assert not (tmp_path / "other").exists()


def test_runs_of_one_second_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for _ in range(2):
        assert drill("--artifacts", str(tmp_path), cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "account_sync_fire_drill").iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "below"
    ended = drill("--artifacts", str(place), cwd=tmp_path)
    assert ended.returncode == 2
    assert str(place) in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


# --- as the code must not be ---------------------------------------------------------------------------------------

MUTANTS = {
    "orphans are not looked for": (
        "domain/orders.py",
        "            _judge_unexpected(order, draft)\n",
        "            pass\n",
        "cf",
    ),
    "known orders are orphans": (
        "domain/orders.py",
        "for order in rest.values():",
        "for order in book.values():",
        "abcdf",
    ),
    "duplicates are not reported": (
        "domain/detect.py",
        'draft.add(Rule.DUPLICATE_KEY, position.symbol, f"position:{position.side}")',
        "pass",
        "b",
    ),
    "negative quantities are not reported": (
        "domain/detect.py",
        'draft.add(Rule.NEGATIVE_QUANTITY, position.symbol, f"position:{position.side}", observed=amount)',
        "pass",
        "b",
    ),
    "a regression updates last_ts": (
        "cycle.py",
        "judged = replace(judged, detection=regression(seen, state.timestamp))",
        "judged = replace(judged, state=replace(state, timestamp=seen.timestamp), detection=regression(seen, 0))",
        "d",
    ),
    "a regression is a bug": (
        "domain/detect.py",
        "    draft = Draft(snapshot, Policy(), {})\n",
        "    raise KeyError(accepted)\n",
        "d",
    ),
    "a refused snapshot is a fresh one": (
        "report/series.py",
        "self._since(self.since, self.good_at, monotonic)",
        "0.0",
        "d",
    ),
    "a metric is not recorded": (
        "report/series.py",
        "self.pending_notional = state.snapshot.pending_notional",
        "pass",
        "a",
    ),
    "mismatches are not counted": ("report/series.py", "self.mismatches[row.account_sync] += 1", "pass", "bcd"),
    "a metric is not rendered": (
        "report/metrics.py",
        "for row in TABLE:",
        'for row in (row for row in TABLE if row.name != "accountsync_stale_after_seconds"):',
        "e",
    ),
    "a metric of the runbooks left the table": (
        "report/metrics.py",
        '"grinder_reconcile_last_snapshot_age_seconds"',
        '"reconcile_age"',
        "e",
    ),
    "rendering is a bug": (
        "report/metrics.py",
        "        for row in TABLE:\n",
        "        raise KeyError(now)\n        for row in TABLE:\n",
        "abcdef",
    ),
    "none is not rendered": (
        "report/metrics.py",
        "for value in self.values:",
        'for value in (value for value in self.values if value != "none"):',
        "e",
    ),
    "one look is enough": ("domain/confirm.py", "count >= confirmations and aged", "count >= 1 and aged", "f"),
    "any digest resumes": ("domain/holds.py", "if candidate == digest:", "if candidate:", "f"),
    "no digest resumes": ("domain/holds.py", "if candidate == digest:", "if not candidate:", "f"),
    "nothing is acknowledged": (
        "domain/decide.py",
        "return key in self.acknowledged and",
        "return False and",
        "f",
    ),
}


@pytest.mark.parametrize(("path", "right", "wrong", "fails"), MUTANTS.values(), ids=MUTANTS)
def test_a_broken_rule_fails_its_drills_and_no_other(
    tmp_path: Path, path: str, right: str, wrong: str, fails: str
) -> None:
    package = tmp_path / "operator"
    shutil.copytree(ROOT / "operator" / "accountsync", package / "accountsync")
    source = package / "accountsync" / path
    text = source.read_text()
    assert text.count(right) == 1, f"the mutant needs to be written anew: {right!r} stands {text.count(right)} times"
    source.write_text(text.replace(right, wrong))

    ended = drill("--artifacts", str(tmp_path), cwd=tmp_path, package=package)

    assert ended.returncode == 1, ended.stderr
    failed = set(re.findall(r"^FAIL  drill_(\w): ", ended.stdout, re.MULTILINE))
    assert "".join(sorted(failed)) == fails, ended.stdout
    assert proven(ended) == "".join(letter for letter in LETTERS if letter not in fails)
    results = re.fullmatch(r"=== Results: \d+ passed, (\d+) failed, 0 skipped ===", ended.stdout.splitlines()[-1])
    assert results
    assert int(results[1]) == ended.stdout.count("FAIL  ")
    assert {found.name for found in evidence(tmp_path).iterdir()} == FILES
    assert f"drill_{fails[0]}: not proven" in (evidence(tmp_path) / "summary.txt").read_text()


def test_where_nothing_can_be_kept_the_drills_are_played_all_the_same(tmp_path: Path) -> None:
    ended = drill("--no-evidence", cwd=tmp_path, GRINDER_ARTIFACT_DIR=str(tmp_path / "nowhere"))
    assert (ended.returncode, proven(ended)) == (0, LETTERS)
    assert "EVIDENCE_REF" not in ended.stdout
    assert list(tmp_path.iterdir()) == []

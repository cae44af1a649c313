"""Bundles on disk: whole or not there, chained, limited; and whatever is changed in them is found."""

import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.running import ROOT

from accountsync.cycle import Cycle, State
from accountsync.domain.account import AccountSnapshot, Balance
from accountsync.domain.confirm import Outcome
from accountsync.domain.decide import Decision
from accountsync.domain.detect import Background, Evidence
from accountsync.domain.policy import Policy
from accountsync.report import evidence_store
from accountsync.report.evidence import FILES, SUMS, Link, bundle, record_of, sha256
from accountsync.report.evidence_check import NotEvidenceError, verify
from accountsync.report.evidence_store import CHAIN, Store, locked

AT = 1_790_000_000_000
STAMP = "20260921T141320Z"
SNAPSHOT = AccountSnapshot(AT, balances=(Balance("USDT", Decimal(1)),))
CLEAN = Cycle(
    State(), Decision({}), Outcome({}, (), (), ()), evidence=Evidence(SNAPSHOT, None, Policy(), {}, Background())
)


def write(store: Store, at: int = AT, account: str = "trading/grid") -> Path:
    """A bundle of a clean cycle."""
    return store.folder / store.write(at, lambda link: bundle(record_of(account, CLEAN, at, link))).name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def chain(path: Path) -> Link:
    return Link(**json.loads((path / "account_snapshot.json").read_bytes())["evidence"]["chain"])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts" / "account_sync")


@pytest.fixture
def five(store: Store) -> list[Path]:
    """Five bundles, a minute apart."""
    return [write(store, AT + 60_000 * number) for number in range(5)]


# --- names and the chain ---------------------------------------------------------------------------------------------


def test_a_bundle_is_named_for_its_second(store: Store) -> None:
    path = write(store)
    assert path.name == STAMP
    assert names(path) == sorted((*FILES, SUMS))
    assert names(store.folder) == sorted((CHAIN, STAMP))


def test_bundles_of_one_second_do_not_collide(store: Store) -> None:
    made = [write(store, account=f"trading/{number}") for number in range(12)]
    assert [path.name for path in made] == [STAMP, *(f"{STAMP}-{number}" for number in range(2, 13))]
    assert [chain(path).sequence for path in made] == list(range(1, 13))
    assert verify(store.folder).problems == ()


def test_the_latest_is_on_top_of_the_list_that_the_runbook_asks_for(five: list[Path]) -> None:
    folder = five[0].parent
    listed = subprocess.run(["ls", "-t", folder], capture_output=True, text=True, timeout=30, check=True)
    assert listed.stdout.split() == [path.name for path in reversed(five)]


def test_each_names_the_one_before(five: list[Path]) -> None:
    assert chain(five[0]).previous == ""
    for before, after in itertools.pairwise(five):
        assert chain(after).previous == sha256((before / SUMS).read_bytes())
    assert verify(five[0].parent).checked == 5


def test_a_restart_goes_on_with_the_chain(store: Store, five: list[Path]) -> None:
    after = write(Store(store.folder), AT + 10**6)
    assert chain(after) == Link(after.name, 6, sha256((five[-1] / SUMS).read_bytes()))
    assert verify(store.folder).problems == ()


def test_a_clock_that_goes_back_breaks_no_chain(store: Store) -> None:
    for at in (AT, AT - 10**9, AT + 1, AT - 10**9):
        write(store, at)
    assert verify(store.folder).problems == ()
    assert verify(store.folder).checked == 4


def test_a_chain_whose_note_is_gone_or_broken_goes_on(store: Store, five: list[Path]) -> None:
    (store.folder / CHAIN).unlink()
    assert chain(write(store, AT + 10**6)).sequence == 6
    (store.folder / CHAIN).write_text("{")
    assert chain(write(store, AT + 2 * 10**6)).sequence == 7
    assert verify(five[0].parent).problems == ()


def test_two_processes_write_one_chain(store: Store) -> None:
    """Ten bundles each, in the same second."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_ten, args=(str(store.folder),)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    verdict = verify(store.folder)
    assert (verdict.checked, verdict.problems) == (20, ())


def _write_ten(folder: str) -> None:
    store = Store(Path(folder))
    for _ in range(10):
        write(store)


def test_a_folder_that_another_holds_is_given_up_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_store, "PATIENCE", 0.1)
    write(store)
    with locked(store.folder, shared=True), pytest.raises(TimeoutError, match="another process has locked"):
        write(store)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_only_so_many_are_kept_and_the_chain_says_where_it_begins(store: Store) -> None:
    few = Store(store.folder, keep=3)
    made = [write(few, AT + 60_000 * number).name for number in range(8)]
    assert names(few.folder) == [CHAIN, *made[-3:]]
    verdict = verify(few.folder)
    assert (verdict.checked, verdict.problems) == (3, ())
    assert json.loads((few.folder / CHAIN).read_bytes())["oldest"] == 6


def test_a_lower_limit_holds_from_the_next_bundle_on(store: Store, five: list[Path]) -> None:
    last = write(Store(store.folder, keep=2), AT + 10**6)
    assert names(store.folder) == [CHAIN, five[-1].name, last.name]
    assert verify(store.folder).problems == ()


def test_only_so_much_is_kept(store: Store) -> None:
    size = sum(file.stat().st_size for file in write(store).iterdir())
    small = Store(store.folder, max_bytes=3 * size + size // 2)
    made = [write(small, AT + 60_000 * number).name for number in range(1, 6)]
    assert names(small.folder) == [CHAIN, *made[-3:]]
    assert verify(small.folder).problems == ()


def test_the_newest_is_kept_however_large(store: Store) -> None:
    tiny = Store(store.folder, keep=0, max_bytes=1)
    made = [write(tiny, AT + 60_000 * number).name for number in range(3)]
    assert names(tiny.folder) == [CHAIN, made[-1]]
    assert verify(tiny.folder).problems == ()


def test_the_oldest_is_so_by_the_chain_not_by_its_name(store: Store) -> None:
    few = Store(store.folder, keep=2)
    made = [write(few, at).name for at in (AT, AT - 10**9, AT - 2 * 10**9)]
    assert set(names(few.folder)) == {CHAIN, *made[1:]}
    assert verify(few.folder).problems == ()


def test_what_is_no_bundle_is_never_removed(store: Store) -> None:
    few = Store(store.folder, keep=1)
    write(few)
    (few.folder / "20200101T000000Z").mkdir()
    (few.folder / "20200101T000000Z" / "mine.txt").write_text("mine")
    (few.folder / "notes.txt").write_text("mine")
    write(few, AT + 10**6)
    assert (few.folder / "20200101T000000Z" / "mine.txt").exists()
    assert (few.folder / "notes.txt").exists()


# --- what breaks in the middle ---------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from accountsync.report.evidence_check import verify
from accountsync.report.evidence_store import Store
from tests.unit.test_evidence_store import AT, write

folder = Path(sys.argv[1])
done = 0

def deadly(real, step):
    def call(*arguments, **named):
        global done
        done += 1
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return call

for step in range(1, 100):
    child = os.fork()
    if not child:
        for name in ("mkdir", "fsync", "rename", "replace", "unlink", "rmdir"):
            setattr(os, name, deadly(getattr(os, name), step))
        write(Store(folder, keep=3), AT + 60_000 * step)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert verify(folder).problems == (), (step, verify(folder))
    left = {path.name[:9] for path in folder.iterdir() if path.name.startswith((".writing-", ".removing"))}
    print(killed, *sorted(left), flush=True)
    if not killed:
        break
"""


def test_a_kill_at_any_step_leaves_whole_bundles_and_one_chain(store: Store) -> None:
    """Each child is killed one call of the file system later than the one before, and finds what that one left."""
    for number in range(3):
        write(store, AT - 60_000 * (3 - number))
    command = [sys.executable, "-c", KILLED, str(store.folder)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    *killed, last = ended.stdout.splitlines()
    assert last == "False"
    assert set(killed) == {"True", "True .removing", "True .writing-"}
    verdict = verify(store.folder)
    assert (verdict.checked, verdict.problems) == (3, ())
    assert not [name for name in names(store.folder) if name.startswith((".writing-", ".removing-"))]


def test_what_a_dead_process_left_is_swept(store: Store) -> None:
    store.sweep()
    assert not store.folder.exists()
    write(store)
    for left in (".writing-20260921T131321Z", ".removing-20260921T131322Z"):
        (store.folder / left).mkdir()
        (store.folder / left / "summary.txt").write_text("half")
    (store.folder / ".writing-.chain.json").write_text("{")
    assert verify(store.folder).problems == ()
    Store(store.folder).sweep()
    assert names(store.folder) == [CHAIN, STAMP]


FULL = """
import resource, signal, sys
from pathlib import Path
from accountsync.report.evidence_store import Store
from tests.unit.test_evidence_store import AT, write
store = Store(Path(sys.argv[1]))
write(store)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
try:
    write(store, AT + 60_000)
except OSError as error:
    print(error.strerror, *sorted(path.name for path in store.folder.iterdir()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write(store, AT + 120_000)
"""


def test_a_file_that_cannot_be_written_to_its_end_leaves_nothing(store: Store) -> None:
    command = [sys.executable, "-c", FULL, str(store.folder)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"File too large {CHAIN} {STAMP}\n"), ended.stderr
    assert len(names(store.folder)) == 3
    verdict = verify(store.folder)
    assert (verdict.checked, verdict.problems) == (2, ())


def test_a_bundle_that_cannot_be_made_leaves_nothing(store: Store) -> None:
    def fail(_: Link) -> dict[str, bytes]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.write(AT, fail)
    assert names(store.folder) == []


# --- what was changed ------------------------------------------------------------------------------------------------


def rehash(path: Path) -> None:
    """Make a bundle agree with itself again, as a careful forger does."""
    (path / SUMS).write_text("".join(f"{sha256((path / name).read_bytes())}  {name}\n" for name in FILES))


def change_and_rehash(path: Path) -> None:
    with (path / "summary.txt").open("a") as file:
        file.write("all is well\n")
    rehash(path)


def remove(*paths: Path) -> None:
    for path in paths:
        shutil.rmtree(path)


def link_away(file: Path) -> None:
    file.symlink_to(file.rename(file.parents[2] / "elsewhere"))


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


@pytest.mark.parametrize("name", [*FILES, SUMS])
@pytest.mark.parametrize("where", [0, -1])
def test_a_changed_byte_is_found_in_every_file(name: str, where: int, five: list[Path]) -> None:
    data = bytearray((five[2] / name).read_bytes())
    data[where] ^= 1
    (five[2] / name).write_bytes(data)
    problems = verify(five[0].parent).problems
    assert any(problem.startswith(f"{five[2].name}/{name if name != SUMS else ''}") for problem in problems)
    assert verify(five[2]).problems


TAMPERING: dict[str, tuple[Callable[[list[Path]], object], str]] = {
    "a file is gone": (lambda five: (five[1] / "positions.json").unlink(), "1/positions.json: it is missing"),
    "a file was added": (lambda five: (five[1] / "more.txt").touch(), "1/more.txt: an added file"),
    "a hidden file was added": (lambda five: (five[1] / ".more").touch(), "1/.more: an added file"),
    "a folder was added": (lambda five: (five[1] / "more").mkdir(), "1/more: an added file"),
    "a file is a link": (lambda five: link_away(five[1] / SUMS), f"1/{SUMS}: expected a regular file"),
    "sums of too few files": (
        lambda five: (five[1] / SUMS).write_text((five[1] / SUMS).read_text().split("\n", 1)[1]),
        f"1/{SUMS}: expected a line",
    ),
    "sums in other words": (
        lambda five: (five[1] / SUMS).write_text((five[1] / SUMS).read_text().upper()),
        f"1/{SUMS}: expected a line",
    ),
    "changed, and the sums too": (lambda five: change_and_rehash(five[1]), "2/account_snapshot.json: evidence.chain"),
    "the newest changed, and its sums": (lambda five: change_and_rehash(five[4]), f"4/{SUMS}: its sha256 is"),
    "one in the middle is gone": (lambda five: shutil.rmtree(five[2]), "chain: number 3 is missing"),
    "two in the middle are gone": (lambda five: remove(*five[1:3]), "chain: numbers 2 to 3 are missing"),
    "the oldest is gone": (lambda five: shutil.rmtree(five[0]), "chain: number 1 is missing"),
    "the newest is gone": (lambda five: shutil.rmtree(five[4]), "chain: number 5 is missing"),
    "all are gone": (lambda five: remove(*five), "chain: numbers 1 to 5 are missing"),
    "one was renamed": (lambda five: five[2].rename(five[2].with_name("20300101T000000Z")), "20300101T000000Z: it was"),
    "two were swapped": (lambda five: swap(five[1], five[2]), "1: it was renamed: expected 2 by"),
    "one was renamed to no bundle": (lambda five: five[2].rename(five[2].with_name("old")), "old: not a bundle"),
    "one stands twice": (
        lambda five: shutil.copytree(five[2], five[2].with_name(f"{STAMP}-2")),
        "number 3 of the chain stands twice",
    ),
    "a file beside them": (lambda five: (five[0].parent / "notes.txt").touch(), "notes.txt: not a bundle"),
    "a link beside them": (
        lambda five: (five[0].parent / "20300101T000000Z").symlink_to(five[0]),
        "20300101T000000Z: not a bundle",
    ),
    "an empty one": (
        lambda five: (five[0].parent / "20300101T000000Z").mkdir(),
        "20300101T000000Z/sha256sums.txt: it is missing",
    ),
    "the note is broken": (lambda five: (five[0].parent / CHAIN).write_text("{"), f"{CHAIN}: it is not JSON"),
    "the note was changed": (
        lambda five: (five[0].parent / CHAIN).write_text((five[0].parent / CHAIN).read_text().replace(":5", ":9")),
        "chain: numbers 6 to 9 are missing",
    ),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_is_found_and_named(how: str, five: list[Path]) -> None:
    tamper, says = TAMPERING[how]
    assert verify(five[0].parent).problems == ()
    tamper(five)
    for number, path in enumerate(five):
        says = says.replace(f"{number}/", f"{path.name}/", 1) if says.startswith(f"{number}/") else says
    if how == "two were swapped":
        says = f"{five[1].name}: it was renamed: expected {five[2].name} by"
    problems = verify(five[0].parent).problems
    assert any(says in problem for problem in problems), problems


def test_a_bundle_from_another_chain_is_found(five: list[Path], tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    for number in range(6):
        path = write(other, AT + 60_000 * number, account="trading/other")
    shutil.copytree(path, five[0].parent / path.name)
    assert any(f"{path.name}: number 6 was added" in problem for problem in verify(five[0].parent).problems)


def test_a_writer_does_not_hide_what_was_taken_away(store: Store, five: list[Path]) -> None:
    shutil.rmtree(five[4])
    write(Store(store.folder), AT + 10**6)
    assert any("chain: number 5 is missing" in problem for problem in verify(store.folder).problems)


def test_a_writer_does_not_take_the_rest_for_the_beginning(store: Store, five: list[Path]) -> None:
    remove(*five[:2])
    write(Store(store.folder), AT + 10**6)
    assert any("chain: numbers 1 to 2 are missing" in problem for problem in verify(store.folder).problems)
    write(Store(store.folder, keep=2), AT + 2 * 10**6)
    assert verify(store.folder).problems == ()


def test_a_link_to_elsewhere_is_neither_followed_nor_in_the_way(store: Store, five: list[Path], tmp_path: Path) -> None:
    mine = shutil.copytree(five[0], tmp_path / "mine")
    for name in ("20200101T000000Z", ".removing-20200101T000000Z"):
        (store.folder / name).symlink_to(mine)
    write(Store(store.folder, keep=1), AT + 10**6)
    assert names(mine) == sorted((*FILES, SUMS))
    assert len(verify(store.folder).problems) == 1


def test_without_the_note_the_ends_are_taken_as_they_are_and_that_is_said(five: list[Path]) -> None:
    (five[0].parent / CHAIN).unlink()
    shutil.rmtree(five[4])
    verdict = verify(five[0].parent)
    assert (verdict.checked, verdict.problems) == (4, ())
    assert CHAIN in verdict.note


def test_one_bundle_may_be_looked_at_alone_wherever_it_is(five: list[Path], tmp_path: Path) -> None:
    copy = shutil.copytree(five[2], tmp_path / "attachment")
    verdict = verify(copy)
    assert (verdict.checked, verdict.problems) == (1, ())
    assert "alone" in verdict.note


def test_a_folder_without_bundles_is_no_evidence(tmp_path: Path) -> None:
    with pytest.raises(NotEvidenceError, match="holds no evidence"):
        verify(tmp_path)

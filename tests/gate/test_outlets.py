"""A file, a signal and a command, with real files and real processes."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gate.gates import SignalledBot
from tests.support.running import until

from accountsync.domain.policy import PauseLevel
from accountsync.gate.answer import Answer, Cause
from accountsync.gate.outlets import FileOutlet, FileSays, HookOutlet, OutletError, SignalOutlet, Telling

OPEN = Answer(open=True, mode="Pause")
CLOSED = Answer(open=False, level=PauseLevel.REDUCE_ONLY, causes=(Cause("DriftConfirmed", "bot 0.5, exchange 0.8"),))
HALTED = Answer(open=False, level=PauseLevel.HALT, causes=(Cause("PausedBySpec", "incident 42", "User"),))


def test_a_file_is_there_while_the_gate_is_closed_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "closed"
    outlet = FileOutlet(path, FileSays.PRESENCE)
    outlet.write(CLOSED)
    assert path.read_text().splitlines()[0] == "closed ReduceOnly"
    assert "bot 0.5, exchange 0.8" in path.read_text()
    outlet.write(OPEN)
    assert list(tmp_path.iterdir()) == []
    outlet.write(OPEN)
    outlet.write(HALTED)
    assert path.read_text().startswith("closed Halt\n")


def test_a_file_that_says_it_by_its_content_is_always_there(tmp_path: Path) -> None:
    path = tmp_path / "gate"
    outlet = FileOutlet(path, FileSays.CONTENT)
    for answer, first in ((CLOSED, "closed ReduceOnly"), (OPEN, "open"), (HALTED, "closed Halt")):
        outlet.write(answer)
        assert path.read_text().splitlines()[0] == first


def test_a_file_that_stays_as_it_is_grows_no_older_and_one_that_got_lost_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "gate"
    outlet = FileOutlet(path, FileSays.CONTENT)
    outlet.write(OPEN)
    os.utime(path, (0, 0))
    outlet.write(OPEN)
    assert path.stat().st_mtime > 0
    path.unlink()
    outlet.write(OPEN)
    assert path.exists()


def test_no_reader_ever_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "gate"
    outlet = FileOutlet(path, FileSays.CONTENT)
    outlet.write(CLOSED)
    over, seen = threading.Event(), set()

    def read() -> None:
        while not over.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(400):
        outlet.write((OPEN, CLOSED, HALTED)[number % 3])
    over.set()
    reader.join()
    outlet.write(OPEN)
    whole = {path.read_text()}
    for answer in (CLOSED, HALTED):
        outlet.write(answer)
        whole.add(path.read_text())
    assert seen <= whole


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OutletError, match="missing/gate can't be written: No such file"):
        FileOutlet(tmp_path / "missing" / "gate", FileSays.PRESENCE).write(CLOSED)


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bots() -> Iterator[list[SignalledBot]]:
    started: list[SignalledBot] = []
    yield started
    for each in started:
        each.end()


async def test_a_process_is_signalled_on_closing_and_with_another_signal_on_opening(bots: list[SignalledBot]) -> None:
    bots.append(SignalledBot())
    outlet = SignalOutlet(on_close=signal.SIGUSR1, on_open=signal.SIGUSR2, pid=bots[0].process.pid, pid_file=None)
    await outlet.tell(CLOSED, again=False)
    assert bots[0].line() == "SIGUSR1"
    await outlet.tell(CLOSED, again=True)
    await outlet.tell(OPEN, again=False)
    assert bots[0].line() == "SIGUSR2"


async def test_a_process_that_starts_anew_while_the_gate_is_closed_is_told_too(
    bots: list[SignalledBot], tmp_path: Path
) -> None:
    file = tmp_path / "bot.pid"
    outlet = SignalOutlet(on_close=signal.SIGUSR1, on_open=None, pid=None, pid_file=file)
    with pytest.raises(OutletError, match="holds no process id yet"):
        await outlet.tell(CLOSED, again=False)
    for _ in range(2):
        bots.append(SignalledBot())
        file.write_text(f"{bots[-1].process.pid}\n")
        await outlet.tell(CLOSED, again=len(bots) > 1)
        assert bots[-1].line() == "SIGUSR1"
    await outlet.tell(OPEN, again=False)


async def test_a_pid_that_is_a_group_or_nobody_is_never_signalled(bots: list[SignalledBot], tmp_path: Path) -> None:
    file = tmp_path / "bot.pid"
    outlet = SignalOutlet(on_close=signal.SIGUSR1, on_open=None, pid=None, pid_file=file)
    for text in ("0", "-1", "bot", ""):
        file.write_text(text)
        with pytest.raises(OutletError, match="no process"):
            await outlet.tell(CLOSED, again=False)
    bots.append(SignalledBot())
    bots[0].end()
    file.write_text(str(bots[0].process.pid))
    with pytest.raises(OutletError, match="there is no process"):
        await outlet.tell(CLOSED, again=False)


async def test_the_gate_never_takes_itself_for_the_bot(tmp_path: Path) -> None:
    file = tmp_path / "bot.pid"
    file.write_text(str(os.getpid()))
    outlet = SignalOutlet(on_close=signal.SIGUSR1, on_open=None, pid=None, pid_file=file)
    with pytest.raises(OutletError, match="is the gate itself: do the containers share their processes"):
        await outlet.tell(CLOSED, again=False)


# --- hooks -----------------------------------------------------------------------------------------------------------


def hook(tmp_path: Path, body: str, timeout: float = 10) -> HookOutlet:
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return HookOutlet(on_close=[str(script), "$HOME; rm"], on_open=[], timeout=timeout)


async def test_a_hook_is_told_why_in_its_environment_and_no_shell_reads_its_command(tmp_path: Path) -> None:
    variables = "$ACCOUNTSYNC_GATE_OPEN|$ACCOUNTSYNC_GATE_LEVEL|$ACCOUNTSYNC_GATE_REASONS|$ACCOUNTSYNC_GATE_MESSAGE"
    outlet = hook(
        tmp_path, f'echo "$1|{variables}" > {tmp_path}/told; echo "$ACCOUNTSYNC_GATE_ANSWER" > {tmp_path}/json'
    )
    await outlet.tell(HALTED, again=False)
    assert (tmp_path / "told").read_text().strip() == "$HOME; rm|0|Halt|PausedBySpec|incident 42"
    assert '"source": "User"' in (tmp_path / "json").read_text()
    (tmp_path / "told").unlink()
    await outlet.tell(HALTED, again=True)
    await outlet.tell(OPEN, again=False)
    assert not (tmp_path / "told").exists()


async def test_a_hook_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    outlet = hook(tmp_path, f"sleep 300 &\necho $! > {tmp_path}/child\nwait", timeout=0.3)
    with pytest.raises(OutletError, match=r"took more than 0\.3 s and was ended"):
        await outlet.tell(CLOSED, again=False)
    child = int((tmp_path / "child").read_text())
    await asyncio.to_thread(until, lambda: _gone(child), "end of the hook's child")


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
    except OSError:
        return True


async def test_a_hook_that_fails_or_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OutletError, match="ended with status 3"):
        await hook(tmp_path, "exit 3").tell(CLOSED, again=False)
    with pytest.raises(OutletError, match="/no/such can't be started"):
        await HookOutlet(on_close=["/no/such"], on_open=[], timeout=1).tell(CLOSED, again=False)


# --- telling ---------------------------------------------------------------------------------------------------------


async def test_what_failed_is_tried_again_and_only_the_newest_answer_is_told(tmp_path: Path) -> None:
    outlet = hook(tmp_path, f"echo $ACCOUNTSYNC_GATE_LEVEL >> {tmp_path}/told; test -e {tmp_path}/works")
    telling = Telling(outlet)
    await telling.tell()
    telling.hear(CLOSED, b"")
    await telling.tell()
    assert "ended with status 1" in telling.trouble
    (tmp_path / "works").touch()
    telling.hear(HALTED, b"")
    await telling.tell()
    await telling.tell()
    assert telling.trouble == ""
    assert (tmp_path / "told").read_text().split() == ["ReduceOnly", "Halt"]


async def test_what_says_open_is_cut_short_by_what_says_closed(tmp_path: Path) -> None:
    script = tmp_path / "hook"
    written = f"echo $$ > {tmp_path}/pid && mv {tmp_path}/pid {tmp_path}/$1"
    script.write_text(f"#!/bin/sh\n{written}\n[ $1 = closed ] || sleep 300\n")
    script.chmod(0o755)
    telling = Telling(HookOutlet(on_close=[str(script), "closed"], on_open=[str(script), "open"], timeout=300))
    running = asyncio.create_task(telling.run())
    telling.hear(OPEN, b"")
    await asyncio.to_thread(until, (tmp_path / "open").exists, "hook that says open")
    telling.hear(HALTED, b"")
    await asyncio.to_thread(until, (tmp_path / "closed").exists, "hook that says closed")
    opening = int((tmp_path / "open").read_text())
    await asyncio.to_thread(until, lambda: _gone(opening), "end of the hook that said open")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

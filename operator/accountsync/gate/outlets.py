"""The answer where a bot can't or won't ask over HTTP: a file, a signal, a command.

In:  answers, as they change. Out: the newest one, told; again and again until it is.

Invariants:
1. The newest answer is told, not each: what a bot was not told in time is replaced by what holds now.
2. What could not be told is tried again, and makes the gate unready meanwhile.
3. What tells that the gate is open is cut short when it closes.
4. A file is never seen half written; a command is started without a shell and ended when its time is over.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from accountsync.gate.answer import Answer

AGAIN: Final = 1.0
"""Seconds between two looks at what a bot was told: a file's age, a process that began anew, a failure."""
MODE: Final = 0o644
log = logging.getLogger("accountsync.gate")


class OutletError(Exception):
    """The answer could not be told."""


class Outlet(Protocol):
    """One way to tell a bot. `name`: for people."""

    name: str

    async def tell(self, answer: Answer, *, again: bool) -> None:
        """Tell it. `again`: it was told already, and only what got lost since is made good. Raises OutletError."""
        ...


class FileSays(StrEnum):
    """How a file says that the gate is closed."""

    PRESENCE = "presence"
    CONTENT = "content"


class FileOutlet:
    """A file that is there while the gate is closed, or whose first line says `open` or `closed LEVEL`."""

    def __init__(self, path: Path, says: FileSays) -> None:
        self.name = f"file {path}"
        self._path, self._says = path, says
        self._written = ""

    async def tell(self, answer: Answer, *, again: bool) -> None:  # noqa: ARG002 - what is there says what is lost
        """Write or remove it. Raises OutletError."""
        self.write(answer)

    def write(self, answer: Answer) -> None:
        """The same at once: the first answer is written before anything else is done."""
        gone = answer.open and self._says is FileSays.PRESENCE
        text = f"{answer.word}\n{json.dumps(answer.document())}\n"
        try:
            if gone:
                self._path.unlink(missing_ok=True)
            elif text == self._written and self._path.exists():
                os.utime(self._path)  # its age says that the gate lives
            else:
                self._replace(text)
                self._written = text
        except OSError as error:
            raise OutletError(f"{self.name} can't be written: {error.strerror or type(error).__name__}") from None

    def _replace(self, text: str) -> None:
        beside = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w", encoding="utf-8") as file:
                file.write(text)
            beside.replace(self._path)
        finally:
            beside.unlink(missing_ok=True)


class SignalOutlet:
    """One signal to a process when the gate closes, and maybe another one when it opens.

    The process is `pid`, or the one that `pid_file` names; one that is not there yet is told once it is.
    """

    def __init__(
        self, *, on_close: signal.Signals, on_open: signal.Signals | None, pid: int | None, pid_file: Path | None
    ) -> None:
        self.name = f"signal {on_close.name}"
        self._signals = {False: on_close, True: on_open}
        self._pid, self._pid_file = pid, pid_file
        self._told: int | None = None

    async def tell(self, answer: Answer, *, again: bool) -> None:
        """Send it. Raises OutletError."""
        sent = self._signals[answer.open]
        if sent is None:
            return
        pid = self._process()
        if pid == os.getpid():  # of another pid namespace: many processes are the first one of theirs
            raise OutletError(f"{self.name}: {pid} is the gate itself: do the containers share their processes?")
        if again and pid == self._told:
            return
        try:
            os.kill(pid, sent)
        except ProcessLookupError:
            raise OutletError(
                f"{self.name}: there is no process {pid}: do the containers share their processes?"
            ) from None
        except OSError as error:
            raise OutletError(f"{self.name}: process {pid} can't be signalled: {error.strerror}") from None
        self._told = pid

    def _process(self) -> int:
        if self._pid_file is None:
            assert self._pid is not None
            return self._pid
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            raise OutletError(f"{self.name}: {self._pid_file} holds no process id yet") from None
        if pid <= 0:  # a group, or everybody
            raise OutletError(f"{self.name}: {self._pid_file} holds {pid}, which is no process")
        return pid


class HookOutlet:
    """A command for each of both answers. `timeout`: seconds that one may take."""

    def __init__(self, *, on_close: Sequence[str], on_open: Sequence[str], timeout: float) -> None:
        self.name = "hook"
        self._commands = {False: tuple(on_close), True: tuple(on_open)}
        self._timeout = timeout

    async def tell(self, answer: Answer, *, again: bool) -> None:
        """Run it. Raises OutletError."""
        command = self._commands[answer.open]
        if again or not command:
            return
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={**os.environ, **told_by_environment(answer)},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise OutletError(f"hook {command[0]} can't be started: {error}") from None
        late = False
        try:
            async with asyncio.timeout(self._timeout):
                await process.wait()
        except TimeoutError:
            late = True
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what it left behind as well
            status = await process.wait()
        if late:
            raise OutletError(f"hook {command[0]} took more than {self._timeout:g} s and was ended")
        if status:
            raise OutletError(f"hook {command[0]} ended with status {status}")


def told_by_environment(answer: Answer) -> dict[str, str]:
    """What a hook finds in its environment."""
    return {
        "ACCOUNTSYNC_GATE_OPEN": str(int(answer.open)),
        "ACCOUNTSYNC_GATE_LEVEL": str(answer.level or ""),
        "ACCOUNTSYNC_GATE_REASONS": ",".join(cause.reason for cause in answer.causes),
        "ACCOUNTSYNC_GATE_MESSAGE": "; ".join(cause.message for cause in answer.causes).replace("\0", ""),
        "ACCOUNTSYNC_GATE_ANSWER": json.dumps(answer.document()),
    }


class Telling:
    """Tells one outlet the newest answer, in `run`. `trouble`: why the last attempt failed; empty: it did not."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.trouble = ""
        self._newest: Answer | None = None
        self._told: Answer | None = None
        self._opening: asyncio.Future[None] | None = None
        """Tells that the gate is open."""
        self._changed = asyncio.Event()

    def hear(self, answer: Answer, _: bytes) -> None:
        """There is a new answer."""
        self._newest = answer
        self._changed.set()
        if self._opening is not None and not answer.open:
            self._opening.cancel()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            self._changed.clear()
            await self.tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN):
                    await self._changed.wait()

    async def tell(self) -> None:
        """Tell the newest answer once."""
        newest = self._newest
        if newest is None:
            return
        again = self._told is not None and same(self._told, newest)
        telling = asyncio.ensure_future(self.outlet.tell(newest, again=again))
        self._opening = telling if newest.open else None
        try:
            await telling
        except asyncio.CancelledError:
            self._told = None
            this = asyncio.current_task()
            if this is None or this.cancelling():
                raise
        except OutletError as error:
            if str(error) != self.trouble:
                log.error("%s", error)  # noqa: TRY400 - the reason is known
            self.trouble = str(error)
            self._told = None
        else:
            self._told, self.trouble = newest, ""
        finally:
            self._opening = None


def same(one: Answer, other: Answer) -> bool:
    """Whether a bot does the same after both: more reasons are no news to it."""
    return (one.open, one.level) == (other.open, other.level)

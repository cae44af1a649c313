"""Runs one command, and ends it when the process that asked for it is gone.

    python guard.py FOLDER COMMAND [ARGUMENT ...]

The owner holds the other end of this process's standard input. When that pipe closes, because the owner
closed it or because the owner was killed, the command and everything it started is killed and FOLDER is
removed. When the command ends first, the guard ends with its exit status and leaves FOLDER alone, since the
logs in it say why. It works alike on Linux and macOS, and only standard-library modules are imported, so it
starts in 20 ms.
"""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO


def start(
    command: list[str],
    *,
    folder: Path,
    output: IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` under a guard: killed, and `folder` removed, once the caller ends or calls `stop`."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(folder), *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a Ctrl-C in the terminal is the owner's to handle
        env=env,
        cwd=cwd,
    )


def stop(guard: subprocess.Popen[bytes]) -> None:
    """Kill the guarded command, remove its folder, and wait until both are gone."""
    if guard.stdin is not None:
        with contextlib.suppress(OSError):
            guard.stdin.close()
    guard.wait()


def main(folder: Path, command: list[str]) -> int:
    """Run `command` until it ends or the owner does; its exit status, or 0 when the owner went first."""
    events: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: events.put(None))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def await_owner() -> None:
        sys.stdin.buffer.read()
        events.put(None)

    threading.Thread(target=lambda: events.put(child.wait()), daemon=True).start()
    threading.Thread(target=await_owner, daemon=True).start()
    status = events.get()
    # Killed even when the command has ended: what it started may still run.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if status is not None:
        return status if status >= 0 else 128 - status
    child.wait()
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.1)  # a killed grandchild may still be writing
    return 0


if __name__ == "__main__":
    os._exit(main(Path(sys.argv[1]), sys.argv[2:]))

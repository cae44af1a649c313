"""Commands that take long: each tells that it still runs, and ends with the run that started it."""

import time
from collections.abc import Mapping
from pathlib import Path

from tests.support import guard
from tests.support.progress import say

TICK = 15.0
"""Seconds between two lines of progress."""


def run(step: str, command: list[str], *, work: Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command, and return what it printed; if this process is killed, `work` goes with the command.

    Raises RuntimeError with the end of the output when the command fails.
    """
    log = work / "log"
    started = time.monotonic()
    told = started
    say(step)
    with log.open("wb") as output:
        process = guard.start(command, folder=work, output=output, env=env, cwd=cwd)
    try:
        while process.poll() is None:
            time.sleep(0.1)
            if time.monotonic() - told >= TICK:
                told = time.monotonic()
                say(f"{step}: {told - started:.0f} s")
    except BaseException:
        guard.stop(process)
        raise
    text = log.read_text(errors="replace")
    guard.stop(process)
    if process.returncode:
        tail = "\n".join(text.splitlines()[-15:])
        raise RuntimeError(f"{step} failed (exit status {process.returncode}):\n{tail}")
    return text

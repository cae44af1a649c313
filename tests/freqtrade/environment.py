"""The real freqtrade, in an environment of its own: installed once from what requirements/freqtrade.txt pins.

It is large (800 MB) and wants other releases of what we use too, so it lives in the cache of `tests/support/cache.py`,
and nothing but the tests of this folder knows of it. ACCOUNTSYNC_TOOLS_FREQTRADE names a folder with a `freqtrade` of
one's own.
"""

import hashlib
import re
import sys
from pathlib import Path

from tests.support import cache, steps

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "freqtrade.txt"
PROGRAM = "freqtrade"
LAUNCHER = """#!/bin/sh
exec "$(dirname "$0")/venv/bin/python" -m freqtrade "$@"
"""


def freqtrade() -> Path:
    """The program, installed first if need be, which takes about a minute. Raises AssetsError."""
    return cache.find(tool())[0] / PROGRAM


def tool() -> cache.Tool:
    """The pinned release; anything else in its lock file, or another Python, makes another environment."""
    text = REQUIREMENTS.read_text(encoding="utf-8")
    pinned = re.search(r"^freqtrade==(\S+)", text, re.MULTILINE)
    if pinned is None:
        raise cache.AssetsError(f"{REQUIREMENTS} pins no freqtrade: write it anew with `make lock`")
    release = pinned[1]
    version = f"{release}-{hashlib.sha256(text.encode()).hexdigest()[:8]}-py{sys.version_info[0]}{sys.version_info[1]}"
    fits = rf"freqtrade {re.escape(release)}\s"
    return cache.Tool(PROGRAM, version, {PROGRAM: "--version"}, fits, {"the lock file": _install})


def _install(_version: str, _host: str, folder: Path) -> None:
    """An environment that may be moved: its scripts name the place where it was made, so a script of ours starts it."""
    work, venv = folder.parent, folder / "venv"
    python = f"{venv}/bin/python"
    quiet = ["--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    steps.run(
        "making a virtual environment for freqtrade", [sys.executable, "-m", "venv", str(venv)], work=work, cwd=work
    )
    install = [python, "-m", "pip", "install", *quiet, "--require-hashes", "-r", str(REQUIREMENTS)]
    steps.run("installing freqtrade (800 MB)", install, work=work, cwd=work)
    launcher = folder / PROGRAM
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)


if __name__ == "__main__":
    print(freqtrade())

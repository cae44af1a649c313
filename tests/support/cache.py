"""One cache of the third-party programs that tests use, filled by the first provider that can.

A tool is looked for in this order, and the first place that has all of its programs wins:

1. the folder that its environment variable names (if that is set, nothing else is tried);
2. $PATH, for a tool of which any release of the right major version will do;
3. the cache, $XDG_CACHE_HOME/accountsync/NAME/VERSION-OS-ARCH (by default under ~/.cache);
4. its providers, in their order.

Providers fill the cache: in a work folder inside it, under a lock, and what they made is renamed into place
once it is complete and every program in it has told a fitting version. So an interrupted run leaves nothing
half usable. Tools that are asked for together share the work folder, and with it what Go has compiled.
"""

import contextlib
import fcntl
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.progress import say

PLATFORMS = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

Provider = Callable[[str, str, Path], None]
"""Puts the programs of (version, platform) into a folder; OSError or RuntimeError says why it cannot.

The folder's parent is the provider's to work in, and may hold what earlier providers of the run left there.
"""


class AssetsError(RuntimeError):
    """The programs are nowhere and could not be had; the message lists what was tried and why it failed."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Programs that belong together, and who can provide them."""

    name: str
    version: str
    """The version that is fetched or built; it also names the folder in the cache."""
    programs: Mapping[str, str]
    """Each program with the arguments that make it tell its version; a file that is no program has none."""
    fits: str
    """What is found in the version that a fitting program tells."""
    providers: Mapping[str, Provider]
    any_on_path: bool = False
    """Whether any release that fits will do, from wherever it was installed."""
    systems: tuple[str, ...] = ("linux", "darwin")
    named_by: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that may name a folder with the programs."""
        return self.named_by or f"ACCOUNTSYNC_TOOLS_{self.name.upper().replace('-', '_')}"


def find(*tools: Tool, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The folder of each tool, fetched or built if need be, which can take minutes.

    Raises AssetsError.
    """
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accountsync"
    if any(_at_hand(tool, cache, environ) is None for tool in tools):
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(cache / "lock"), _work_folder(cache) as work:
            for tool in tools:
                if _at_hand(tool, cache, environ) is None:  # or else another run has filled it meanwhile
                    _fill(tool, cache, work)
    found = [_at_hand(tool, cache, environ) for tool in tools]
    return [folder for folder in found if folder is not None]


def host() -> str:
    """The platform as Go names it: linux-amd64, darwin-arm64, ..."""
    system, machine = platform.system().lower(), platform.machine().lower()
    if system not in {"linux", "darwin"} or machine not in PLATFORMS:
        raise AssetsError(
            f"there are no programs for {system} on {machine}: Linux and macOS on amd64 or arm64 have them"
        )
    return f"{system}-{PLATFORMS[machine]}"


def _at_hand(tool: Tool, cache: Path, environ: Mapping[str, str]) -> Path | None:
    if named := environ.get(tool.variable):
        if missing := _missing(tool, Path(named)):
            raise AssetsError(
                f"{tool.variable} is {named}, which has no executable {', '.join(missing)}: "
                "name a folder with all of them, or unset it"
            )
        return Path(named)
    installed = shutil.which(next(iter(tool.programs)), path=environ.get("PATH", "")) if tool.any_on_path else None
    if installed is not None and _unfit(tool, Path(installed).parent) is None:
        return Path(installed).parent
    cached = _target(tool, cache)
    return None if _missing(tool, cached) else cached


def _target(tool: Tool, cache: Path) -> Path:
    return cache / tool.name / f"{tool.version}-{host()}"


def _missing(tool: Tool, folder: Path) -> list[str]:
    needed = {name: os.X_OK if arguments else os.R_OK for name, arguments in tool.programs.items()}
    return [name for name, mode in needed.items() if not os.access(folder / name, mode)]


def _unfit(tool: Tool, folder: Path) -> str | None:
    if missing := _missing(tool, folder):
        return f"it has no {', '.join(missing)}"
    for name, arguments in tool.programs.items():
        if not arguments:
            continue
        command = [str(folder / name), *arguments.split()]
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            return f"its {name} does not run: {error}"
        if told.returncode or not re.search(tool.fits, told.stdout + told.stderr):
            return f"its {name} is none that fits {tool.fits!r}: {(told.stdout + told.stderr).strip()[:200]}"
    return None


def _fill(tool: Tool, cache: Path, work: Path) -> None:
    target, failures = _target(tool, cache), []
    providers = tool.providers.items() if host().startswith(tool.systems) else ()
    for name, provide in providers:
        programs = work / "programs"
        try:
            shutil.rmtree(programs, ignore_errors=True)
            programs.mkdir()
            provide(tool.version, host(), programs)
            if unfit := _unfit(tool, programs):
                raise RuntimeError(unfit)  # noqa: TRY301
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)  # incomplete, or we would not be here
            programs.rename(target)
        except (OSError, RuntimeError) as error:
            failures.append(f"{name}: {error}")
            say(f"not {name}: {error}")
        else:
            say(f"{tool.name} is in {target}, from {name}")
            return
    raise AssetsError(
        f"{tool.name} {tool.version} for {host()} could not be had:\n"
        + "\n".join(f"  - {failure}" for failure in failures or [f"it runs on {' and '.join(tool.systems)} only"])
        + f"\nSet {tool.variable} to a folder with {', '.join(tool.programs)}, or mend one of these."
    )


@contextlib.contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    for left in cache.glob(".work-*"):  # of a run that was killed: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=".work-", dir=cache))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is fetching or building programs: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""A deliberate bug in the shipped code, and whether the simulation notices it.

Each patch beside this module is applied to a copy of the package. Worlds are lived with that copy until one fails; a
mutant that survives all of them, or a patch that no longer applies, is a failure.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.simulation.ledgers import life as ledgers
from tests.simulation.life import live

ROOT = Path(__file__).parents[3]
PATCHES = Path(__file__).parent
SEEDS = 600
"""Worlds that a mutant may survive."""
CAUGHT, SURVIVED = 3, 0
OF_LEDGERS = "ledger-"
"""How the names of those begin that worlds of ledgers have to notice."""


class Lived(Protocol):
    """What came of a world."""

    failure: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. `by`: what noticed it, in the world of `seed`; or why it could not be tried."""

    mutant: str
    caught: bool
    by: str
    seed: int | None
    seconds: float

    def __str__(self) -> str:
        seed = "-" if self.seed is None else str(self.seed)
        return (
            f"{self.mutant:32} {'caught' if self.caught else 'SURVIVED':9} {seed:>5} {self.seconds:6.1f} s  {self.by}"
        )


def worlds(mutant: str) -> Callable[[int], Lived]:
    """The worlds that have to notice `mutant`, by seeds."""
    return ledgers.live if mutant.startswith(OF_LEDGERS) else live


def names() -> list[str]:
    return sorted(patch.stem for patch in PATCHES.glob("*.patch"))


def judge(mutant: str, seeds: int = SEEDS) -> Verdict:
    """Live worlds with `mutant` until one fails that does not fail without it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(
            ROOT / "operator", Path(folder) / "operator", ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
        if why := _apply(mutant, folder):
            return Verdict(mutant, False, why, None, time.monotonic() - began)
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation.mutants.within", folder, str(seeds), mutant],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(folder) / "operator"), str(ROOT)])},
            capture_output=True,
            text=True,
            check=False,
        )
    spent = time.monotonic() - began
    if done.returncode == SURVIVED:
        return Verdict(mutant, False, f"{seeds} worlds noticed nothing", None, spent)
    if done.returncode != CAUGHT:
        last = done.stderr.strip().splitlines()[-1:] or ["?"]
        return Verdict(mutant, False, f"could not be tried: {last[0]}", None, spent)
    seed, _, by = done.stdout.strip().splitlines()[-1].partition(" ")
    if worlds(mutant)(int(seed)).failure:
        return Verdict(mutant, False, f"the code as it is fails there as well: {by}", int(seed), spent)
    return Verdict(mutant, True, by, int(seed), spent)


def _apply(mutant: str, folder: str) -> str:
    """Why the patch does not apply; empty: it did."""
    done = subprocess.run(
        ["git", "apply", "--recount", "-C1", str(PATCHES / f"{mutant}.patch")],
        cwd=folder,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(Path(folder).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"does not apply: {done.stderr.strip()}" if done.returncode else ""

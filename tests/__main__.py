"""`make test`: all tests, in five runs of pytest, three of them side by side.

Those with real clusters mostly wait, the others mostly compute: one after the other they take more than twice as long,
and all at once they starve each other on two cores.
The first run is shown as it goes, the others when it is over.
"""

import contextlib
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.progress import say

AT_ONCE = 3
RIGHTS = [f"tests/operator/test_{name}.py" for name in ("rbac", "reach", "roles")]
BRIDGES = [f"tests/operator/test_{name}.py" for name in ("freqtrade", "heartbeats", "honour", "ledger", "reset")]
WAITING = [f"tests/{name}" for name in ("page", "kill", "dashboard")]
APART = ["tests/operator", *WAITING]
CLUSTERED = [
    str(path)
    for path in sorted(Path("tests").rglob("test_*.py"))
    if "mark.cluster" in path.read_text() and not any(path.is_relative_to(folder) for folder in APART)
]
"""Named one by one: collecting all others takes as long as some of these."""
RUNS = {
    "the operator": ["tests/operator", "-m", "not long", *(f"--ignore={path}" for path in (*RIGHTS, *BRIDGES))],
    "the operator's rights": RIGHTS,
    "a page, kills, the dashboard, the operator and its bots": [*WAITING, *BRIDGES, "-m", "not lint"],
    "everything else on real clusters": [*CLUSTERED, "-m", "cluster and not lint"],
    "what needs no cluster": [*(f"--ignore={path}" for path in APART), "-m", "not cluster and not lint"],
}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="accountsync-tests-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        say(f"{len(RUNS)} runs of tests, {AT_ONCE} side by side; shown is the first, then the others")
        outputs = [Path(folder) / str(number) if number else None for number in range(len(RUNS))]
        running = [pool.submit(_run, choice, output) for choice, output in zip(RUNS.values(), outputs, strict=True)]
        failed = []
        for what, status, output in zip(RUNS, running, outputs, strict=True):
            if status.result():
                failed.append(what)
            say(f"{what}: exit status {status.result()}")
            if output is not None:
                sys.stdout.write(output.read_text(errors="replace"))
    if failed:
        say(f"failed: {', '.join(failed)}")
    return bool(failed)


def _run(choice: list[str], output: Path | None) -> int:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=12", *choice]
    with contextlib.nullcontext() if output is None else output.open("wb") as file:
        return subprocess.run(command, stdout=file, stderr=file and subprocess.STDOUT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

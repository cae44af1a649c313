"""`make test`: all tests, in five runs of pytest side by side.

Those with real clusters mostly wait, the others mostly compute: one after the other they take more than twice as long.
The first run is shown as it goes, the others when it is over.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.progress import say

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
    with tempfile.TemporaryDirectory(prefix="accountsync-tests-") as folder, contextlib.ExitStack() as stack:
        running = []
        for number, (what, choice) in enumerate(RUNS.items()):
            output = Path(folder) / str(number)
            file = stack.enter_context(output.open("wb")) if number else None
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=12", *choice]
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT if file else None)
            stack.callback(_end, process)
            running.append((what, process, output))
        say("five runs of tests side by side; shown is the first, then the others")
        failed = []
        for what, process, output in running:
            if process.wait():
                failed.append(what)
            say(f"{what}: exit status {process.returncode}")
            if output.exists():
                sys.stdout.write(output.read_text(errors="replace"))
    if failed:
        say(f"failed: {', '.join(failed)}")
    return bool(failed)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())

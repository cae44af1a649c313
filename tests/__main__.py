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
WAITING = [f"tests/{name}" for name in ("page", "kill", "dashboard")]
ELSEWHERE = ["--ignore=tests/operator", *(f"--ignore={path}" for path in WAITING)]
RUNS = {
    "the operator": ["tests/operator", *(f"--ignore={path}" for path in RIGHTS)],
    "the operator's rights": RIGHTS,
    "a page, kills, the dashboard": [*WAITING, "-m", "not lint"],
    "everything else on real clusters": [*ELSEWHERE, "-m", "cluster and not lint"],
    "what needs no cluster": [*ELSEWHERE, "-m", "not cluster and not lint"],
}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="accountsync-tests-") as folder, contextlib.ExitStack() as stack:
        running = []
        for number, (what, choice) in enumerate(RUNS.items()):
            output = Path(folder) / str(number)
            file = stack.enter_context(output.open("wb")) if number else None
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *choice]
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

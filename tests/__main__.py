"""`make test`: those tests that mostly wait for real clusters, and beside them those that mostly compute.

Both at once take two thirds of the time of one after the other.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tests.support.progress import say

WAITING, COMPUTING = "cluster and not lint", "not cluster and not lint"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="accountsync-tests-") as folder:
        output = Path(folder) / "output"
        began = time.monotonic()
        with output.open("wb") as file:
            beside = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", COMPUTING],
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            say(f"tests with real clusters; beside them, shown when these are done, the others (process {beside.pid})")
            first = pytest.main(["-m", WAITING])
            say(f"… took {time.monotonic() - began:.0f} s; the others:")
            second = beside.wait()
        finally:
            beside.kill()
            beside.wait()
        sys.stdout.write(output.read_text(errors="replace"))
    return int(first) or second


if __name__ == "__main__":
    sys.exit(main())

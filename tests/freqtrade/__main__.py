"""`make test-freqtrade`: the real freqtrade trades on the simulator, alone and under the operator's eyes.

The test files of this folder are named so that `make test` does not collect them. What is given besides goes to pytest.
"""

import sys
from pathlib import Path

import pytest

FILES = ("trading.py", "watched.py")


def main() -> int:
    files = [str(Path(__file__).with_name(name)) for name in FILES]
    return pytest.main([*(files if not any("::" in one for one in sys.argv) else []), "--durations=5", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())

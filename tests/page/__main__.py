"""`make page`: the page that arrives, with waits nearer to life; `--speed 1` takes the real ones, and half an hour."""

import argparse
import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.page", description=__doc__)
    parser.add_argument("--speed", type=float, default=10, help="how much faster than life (10)")
    os.environ["ACCOUNTSYNC_PAGE_SPEED"] = str(parser.parse_args().speed)
    return pytest.main([str(Path(__file__).with_name("test_page.py")), "--verbose", "--durations=3"])


if __name__ == "__main__":
    sys.exit(main())

"""What the supporting programs tell the person who waits for them."""

import sys


def say(message: str) -> None:
    """A line on standard error, at once."""
    print(f"accountsync: {message}", file=sys.stderr, flush=True)

"""The advisory locks of a ledger, by a hash that everybody can compute (docs/ledger.md has it as SQL).

Two keys a profile: `RUN` is held for one whole run of the reconciliation, `WRITE` for one transaction that changes the
ledger. Both are locks of a transaction, never of a session: these end by themselves, and work behind a pooler in
transaction mode, where a lock of a session would stay with a connection that others get next.
"""

import hashlib
from enum import StrEnum


class Lock(StrEnum):
    """What a key is for."""

    RUN = "run"
    WRITE = "write"


def lock_key(lock: Lock, schema: str, profile: str) -> int:
    """A signed 64-bit number: the first 16 hex digits of the MD5 of ``accountsync/<lock>/<schema>/<profile>``."""
    text = f"accountsync/{lock}/{schema}/{profile}"
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big", signed=True)

"""The state that a bot puts into the gate: as small and as whole as the operator will want it, and otherwise unread.

In:  bytes. Out: `Belief`, or ValueError. What the document says is for the operator to judge (docs/state.md).
"""

import json
from typing import Any, Final

from accountsync.gate.keeper import Belief

STATE_MAX: Final = 1024 * 1024
"""Bytes; the operator reads no more."""
_BOOT_ID_CAP: Final = 128


def read_belief(raw: bytes) -> Belief:
    """What a bot put. Raises ValueError that says what is wrong with it."""
    try:
        document: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("expected a JSON document in UTF-8, as docs/state.md describes it") from None
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object, as docs/state.md describes it")  # noqa: TRY004 - a wrong document
    boot_id = document.get("bootId")
    if boot_id is not None and (not isinstance(boot_id, str) or len(boot_id) > _BOOT_ID_CAP):
        raise ValueError(f"bootId: expected a text of at most {_BOOT_ID_CAP} characters")
    return Belief(raw, boot_id)

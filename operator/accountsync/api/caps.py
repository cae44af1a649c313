"""How much a status may hold, so that it stays under 32 KiB, managedFields included, whatever the account holds.

Caps of text count UTF-8 bytes; the models of the status clip to them. Caps of lists are for the writer, who knows
what to leave out, and the models refuse a list that is longer. All caps reached at once would be too much: the writer
then lists fewer findings (`STATUS_BYTES`). Counts stay exact where lists are cut. Of a plan, no id or symbol is ever
cut, since it says what is done: one that is too long is refused.
"""

import hashlib

FILL_SYMBOLS_CAP = 20
FINDINGS_CAP = 50
HISTORY_CAP = 10
ACKNOWLEDGED_CAP = 64
HOLD_KEYS_CAP = 100
RULES_CAP = 16
CONDITIONS_CAP = 14
HOLDS_CAP = 8
STATUS_BYTES = 28 * 1024

CONDITION_MESSAGE_CAP = 256
PAUSED_BY_CAP = 64
HOLD_MESSAGE_CAP = 200
MESSAGE_CAP = 160
VALUE_CAP = 40
SYMBOL_CAP = 40
ID_CAP = 64
RULE_CAP = 20
REASON_CAP = 24
KEY_CAP = 12
DIGEST_CAP = 32
WHO_CAP = 32
WHAT_CAP = 24
WHY_CAP = 120
TOKEN_CAP = 48
HOLDER_CAP = 128

PLAN_ACTIONS_CAP = 50
PLAN_REPAIRS_CAP = 100
PLAN_FINDINGS_CAP = 50
FINDING_KEY_CAP = 128
ORDER_ID_CAP = 128
REPAIR_VALUE_CAP = 160
PLAN_TEXT_CAP = 512
INTENT_MESSAGE_CAP = 200

_ELLIPSIS = "…"
_HASHED = "sha256:"


def clip(text: str, cap: int) -> str:
    """`text` on one line, in at most `cap` bytes of UTF-8; an ellipsis shows that something was cut."""
    line = " ".join(text.split())
    encoded = line.encode()
    if len(encoded) <= cap:
        return line
    return encoded[: cap - len(_ELLIPSIS.encode())].decode(errors="ignore") + _ELLIPSIS


def token(text: str, cap: int = TOKEN_CAP) -> str:
    """`text`, or a digest of it where it is longer than `cap` bytes.

    For texts from outside that are kept to be compared with later: compare `token(new)` with what was kept.
    """
    encoded = text.encode()
    if len(encoded) <= cap:
        return text
    return (_HASHED + hashlib.sha256(encoded).hexdigest())[:cap]

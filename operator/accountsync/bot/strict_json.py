"""JSON read without the leniency of readers: nothing is repeated, rounded, or nested without end.

In:  bytes. Out: plain dicts, lists, strings, bools, None and small integers. What JSON allows and a belief does not
(a float, NaN, a name given twice) becomes an `Unfit` in its place, so that whoever checks the fields can name it.
"""

import json
from dataclasses import dataclass

MAX_FIELDS = 32
MAX_INTEGER = 2**53 - 1
"""Beyond this, JSON's integers are rounded by many of the languages that write them (RFC 8259, section 6)."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Stands where something stood that no belief may hold; `why` completes "field …"."""

    why: str


FLOAT = Unfit(
    'must be a decimal in quotes, such as "-0.5": JSON numbers with a fraction or exponent become binary floats and'
    " lose digits"
)
NOT_FINITE = Unfit('must be a decimal in quotes, such as "-0.5": NaN and Infinity are no amounts')
BIG_INTEGER = Unfit('must be in quotes, such as "12345678901234567890": most programs round so large a JSON integer')
REPEATED = Unfit("gives the same field twice: keep one")
CROWDED = Unfit(f"has more than {MAX_FIELDS} fields")


class UnreadableError(ValueError):
    """The bytes are no JSON; the text says why, and holds none of them."""


def read(raw: bytes) -> object:
    """The value that `raw` holds. Raises UnreadableError. A byte order mark is passed over."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"is not UTF-8: see byte {error.start}") from None
    if not text.strip():
        raise UnreadableError("is empty")
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=lambda _: FLOAT,
            parse_int=_integer,
            parse_constant=lambda _: NOT_FINITE,
        )
    except json.JSONDecodeError as error:
        raise UnreadableError(f"is not JSON: see line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise UnreadableError("is nested too deeply") from None


def _object(pairs: list[tuple[str, object]]) -> object:
    if len(pairs) > MAX_FIELDS:
        return CROWDED
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else REPEATED


def _integer(text: str) -> object:
    if len(text) > len(str(-MAX_INTEGER)):
        return BIG_INTEGER
    value = int(text)
    return value if abs(value) <= MAX_INTEGER else BIG_INTEGER

"""The kinds of field in a bot's belief, each as one type: how it is read, and how the published schema says it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from accountsync.bot.strict_json import MAX_INTEGER, Unfit
from accountsync.domain.account import OrderStatus

MAX_DECIMAL_LENGTH: Final = 40
DECIMAL: Final = r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?$"
BELOW_ZERO: Final = r"^-[0.]*[1-9]"
TIME: Final = (
    r"^([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))$"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

STATUSES: Final[Mapping[str, OrderStatus]] = MappingProxyType(
    {status.value: status for status in OrderStatus}
    | {
        "new": OrderStatus.OPEN,
        "partially_filled": OrderStatus.OPEN,
        "submitted": OrderStatus.OPEN,
        "closed": OrderStatus.FILLED,
        "cancelled": OrderStatus.CANCELED,
    }
)
"""Every accepted spelling, in lower case. `closed` is what ccxt calls an order that filled."""


def wrong(message: str) -> PydanticCustomError:
    """The error that makes a field's message read "field `message`"; `message` must hold nothing that was read."""
    return PydanticCustomError("wrong", "{message}", {"message": message})


def _any_case(word: str) -> str:
    return "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in word)


STATUS: Final = f"^(?:{'|'.join(_any_case(word) for word in STATUSES)})$"


def _decimal(value: object) -> Decimal:
    if isinstance(value, Unfit):
        raise wrong(value.why)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if not isinstance(value, str):
        raise wrong('must be a decimal in quotes, such as "-0.5"')
    if len(value) > MAX_DECIMAL_LENGTH:
        raise wrong(f"must be a decimal of at most {MAX_DECIMAL_LENGTH} characters")
    if re.fullmatch(DECIMAL, value) is None:
        raise wrong('must be a plain decimal such as "-0.5" or "1e-8": a point, no separators, no other signs')
    return Decimal(value)


def _unsigned(value: object) -> Decimal:
    amount = _decimal(value)
    if amount < 0:
        raise wrong("must not be negative: the side says the direction")
    return amount


def _moment(value: object) -> int:
    if not isinstance(value, str):
        raise wrong('must be an RFC 3339 time in quotes, such as "2026-11-21T11:00:00.123Z"')
    match = re.fullmatch(TIME, value)
    if match is None:
        raise wrong('must be an RFC 3339 time with its zone, such as "2026-11-21T11:00:00.123Z"')
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, zone_hours, zone_minutes = match.groups()[6:]
    offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    zone = timezone(-offset if sign == "-" else offset)
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        raise wrong("must be a time that the calendar has") from None
    return (whole - _EPOCH) // timedelta(milliseconds=1) + int((fraction or "")[:3].ljust(3, "0"))


def _status(value: object) -> OrderStatus:
    if not isinstance(value, str) or re.fullmatch(STATUS, value) is None:
        raise wrong(f"must be one of {', '.join(OrderStatus)}")
    return STATUSES[value.lower()]


def _amount_schema(text: dict[str, Any], **integer: int) -> dict[str, Any]:
    whole = {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER} | integer
    return {"anyOf": [{"type": "string", "maxLength": MAX_DECIMAL_LENGTH, "pattern": DECIMAL} | text, whole]}


UNSIGNED_SCHEMA: Final = _amount_schema({"not": {"pattern": BELOW_ZERO}}, minimum=0)

Amount = Annotated[Decimal, PlainValidator(_decimal), WithJsonSchema(_amount_schema({}))]
"""A decimal in quotes, or an integer that JSON can carry."""
UnsignedAmount = Annotated[Decimal, PlainValidator(_unsigned), WithJsonSchema(UNSIGNED_SCHEMA)]
Moment = Annotated[
    int,
    PlainValidator(_moment),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "pattern": TIME, "examples": ["2026-11-21T11:00:00.123Z"]}
    ),
]
"""RFC 3339 with a zone → Unix milliseconds, cut and not rounded, so that a belief never claims a later time."""
Status = Annotated[OrderStatus, PlainValidator(_status), WithJsonSchema({"type": "string", "pattern": STATUS})]
Symbol = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x20\x7f]+$")]
"""A symbol or asset: no spaces, no control characters."""
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]

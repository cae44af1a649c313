"""Quantities and prices as they come from outside: a finite decimal, or the snapshot is refused."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from accountsync.errors import ExchangeUnobserved, Reason

NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
LONGEST = 64
MOST_DIGITS = 40
"""No quantity has more digits before its point, or more zeros behind it, than this."""


def malformed(message: str) -> ExchangeUnobserved:
    """The exchange answered something that cannot be understood."""
    return ExchangeUnobserved(Reason.EXCHANGE_MALFORMED, message)


def decimal(value: Any, what: str) -> Decimal:
    """`value` as a finite Decimal. Raises ExchangeUnobserved (ExchangeMalformed) naming `what`."""
    if isinstance(value, str | int | float | Decimal) and not isinstance(value, bool):
        text = str(value)
        if len(text) <= LONGEST and NUMBER.fullmatch(text):
            number = Decimal(text)
            if not number or abs(number.adjusted()) <= MOST_DIGITS:
                return number
    raise malformed(f"{what} is not a number")


def optional_decimal(value: Any, what: str) -> Decimal | None:
    """As `decimal`; None for what is absent, empty or zero (an exchange's way of saying that there is no price)."""
    if value is None or value == "":
        return None
    return decimal(value, what) or None


def milliseconds(value: Any, what: str) -> int | None:
    """A Unix time in ms, None where there is none (absent or 0). Raises ExchangeUnobserved."""
    if value is None or value == "":
        return None
    number = decimal(value, what)
    if number < 0 or number != number.to_integral_value():
        raise malformed(f"{what} is not a time")
    return int(number) or None


def moment(value: Any, what: str) -> int:
    """A Unix time in ms that must be there. Raises ExchangeUnobserved."""
    number = milliseconds(value, what)
    if number is None:
        raise malformed(f"{what} is missing")
    return number


def skew(exchange_ms: int, before_ms: int, after_ms: int) -> int:
    """How far the exchange's clock is ahead of ours (behind it: below 0), beyond what the asking could make of it.

    `before_ms` and `after_ms`: our clock before and after the exchange was asked for its time.
    """
    return max(0, exchange_ms - after_ms) + min(0, exchange_ms - before_ms)


def text(row: Mapping[str, Any], name: str, what: str) -> str:
    """A field that must be there and not empty, as text. Raises ExchangeUnobserved."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise malformed(f"{what} has no {name}")
    return str(value)

"""Durations, decimals and times as they stand in Kubernetes objects."""

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainSerializer
from pydantic.functional_validators import BeforeValidator
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from accountsync.api.markers import VALIDATIONS, Rule, cel_text

DURATION_PATTERN = r"^([0-9]{1,6}(\.[0-9]{1,9})?(h|m|s|ms))+$"
DURATION_LENGTH = 20
"""Six digits and twenty characters: more would overflow the 290 years of Go's duration."""
DURATION_EXPECTED = "expected a duration such as 500ms, 15s, 5m or 1h30m"

DECIMAL_PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,18})?$"
SIGNED_DECIMAL_PATTERN = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"
EXACT_PATTERN = r"^[0-9]{1,41}(\.[0-9]{1,104})?$"
SIGNED_EXACT_PATTERN = r"^-?[0-9]{1,41}(\.[0-9]{1,104})?$"
EXACT_LENGTH = 147
"""No number that an adapter lets through is longer."""
DECIMAL_EXPECTED = 'expected a decimal number of zero or more in quotes, such as "0" or "0.01", without exponent'

_MS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_PART = re.compile(r"([0-9.]+)(h|ms|m|s)")


class Duration(str):
    """A Go duration. It is the text as written, and knows how long it is."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raise ValueError unless `text` is a duration of hours, minutes, seconds or milliseconds."""
        if len(text) > DURATION_LENGTH or re.fullmatch(DURATION_PATTERN, text) is None:
            raise ValueError(DURATION_EXPECTED)
        return super().__new__(cls, text)

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return float(sum(Decimal(number) * _MS[unit] for number, unit in _PART.findall(self)) / 1000)

    @property
    def milliseconds(self) -> int:
        """Its length in milliseconds, without the part of one that is left."""
        return int(sum(Decimal(number) * _MS[unit] for number, unit in _PART.findall(self)))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        rule = Rule(rule=f"self.matches({cel_text(DURATION_PATTERN)})", message=DURATION_EXPECTED)
        return {
            "type": "string",
            "pattern": DURATION_PATTERN,
            "maxLength": DURATION_LENGTH,
            VALIDATIONS: [rule.render()],
        }


def is_duration(cel: str) -> str:
    """CEL: the text `cel` can be given to duration()."""
    return f"{cel}.matches({cel_text(DURATION_PATTERN)})"


_MORE_THAN_ZERO = "expected a duration of more than 0s"


def _longer(value: Duration) -> Duration:
    if value.seconds <= 0:
        raise ValueError(_MORE_THAN_ZERO)
    return value


PositiveDuration = Annotated[
    Duration,
    AfterValidator(_longer),
    Rule(rule=f"!{is_duration('self')} || duration(self) > duration('0s')", message=_MORE_THAN_ZERO),
]


def _decimal(pattern: str, expected: str) -> BeforeValidator:
    def parse(value: object) -> Decimal:
        if isinstance(value, Decimal) and value.is_finite():
            return value
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise ValueError(expected)
        return Decimal(value)

    return BeforeValidator(parse)


def plain(number: Decimal) -> str:
    """`number` without exponent."""
    return format(number, "f")


_MONEY_LIMIT = Decimal(10) ** 15
_MONEY_COARSE = Decimal(10) ** 6
MONEY_LENGTH = 19


def money(amount: Decimal) -> str:
    """`amount` without exponent, in at most `MONEY_LENGTH` characters.

    It is rounded to eight places, from a million on to two. An amount of 10^15, which no account holds, or beyond is
    shown as one less than that.
    """
    if abs(amount) >= _MONEY_LIMIT:
        amount = (_MONEY_LIMIT - 1).copy_sign(amount)
    step = Decimal("0.01") if abs(amount) >= _MONEY_COARSE else Decimal("0.00000001")
    return plain(amount.quantize(step, rounding=ROUND_HALF_EVEN).normalize())


def _decimal_schema(pattern: str, length: int, expected: str = "") -> WithJsonSchema:
    schema: dict[str, Any] = {"type": "string", "pattern": pattern, "maxLength": length}
    if expected:
        rule = Rule(rule=f"self.matches({cel_text(pattern)})", message=expected)
        schema[VALIDATIONS] = [rule.render()]
    return WithJsonSchema(schema)


Amount = Annotated[
    Decimal,
    _decimal(DECIMAL_PATTERN, DECIMAL_EXPECTED),
    PlainSerializer(plain, return_type=str),
    _decimal_schema(DECIMAL_PATTERN, 37, DECIMAL_EXPECTED),
]
"""A decimal of zero or more that a person writes."""

_POSITIVE_AMOUNT = 'expected a decimal number of more than zero in quotes, such as "10000"'


def _more_than_zero(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError(_POSITIVE_AMOUNT)
    return value


PositiveAmount = Annotated[
    Amount, AfterValidator(_more_than_zero), Rule(rule="self.matches('[1-9]')", message=_POSITIVE_AMOUNT)
]
"""A decimal of more than zero that a person writes."""

Money = Annotated[
    Decimal,
    _decimal(SIGNED_DECIMAL_PATTERN, "expected a decimal number in a text, without exponent"),
    PlainSerializer(money, return_type=str),
    _decimal_schema(SIGNED_DECIMAL_PATTERN, MONEY_LENGTH),
]
"""A value in the quote currency that the operator writes into a status."""

Exact = Annotated[
    Decimal,
    _decimal(EXACT_PATTERN, "expected a decimal number of zero or more in a text, without exponent"),
    PlainSerializer(plain, return_type=str),
    _decimal_schema(EXACT_PATTERN, EXACT_LENGTH),
]
"""A decimal of zero or more that the operator writes to the last digit."""

SignedExact = Annotated[
    Decimal,
    _decimal(SIGNED_EXACT_PATTERN, "expected a decimal number in a text, without exponent"),
    PlainSerializer(plain, return_type=str),
    _decimal_schema(SIGNED_EXACT_PATTERN, EXACT_LENGTH),
]
"""A decimal that the operator writes to the last digit."""


def _utc_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


Time = Annotated[
    AwareDatetime,
    AfterValidator(_utc_seconds),
    PlainSerializer(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ"), return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in UTC, to the second, as metav1.Time."""

"""Durations, decimals and times as they stand in Kubernetes objects."""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from accountsync.api.quantities import (
    DECIMAL_PATTERN,
    DURATION_LENGTH,
    MONEY_LENGTH,
    SIGNED_DECIMAL_PATTERN,
    Amount,
    Duration,
    Money,
    Time,
    money,
)

AMOUNT: TypeAdapter[Decimal] = TypeAdapter(Amount)
MONEY: TypeAdapter[Decimal] = TypeAdapter(Money)
TIME: TypeAdapter[datetime] = TypeAdapter(Time)
DURATION: TypeAdapter[Duration] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("15s", 15),
        ("1h2m3.5s", 3723.5),
        ("1.5h", 5400),
        ("3s2m", 123),
        ("1m1ms", 60.001),
        ("0s", 0),
        ("999999h999999h99999h", (999_999 * 2 + 99_999) * 3600),
    ],
)
def test_a_duration_knows_its_length(text: str, seconds: float) -> None:
    assert Duration(text).seconds == seconds


def test_milliseconds_are_cut_as_go_cuts_them() -> None:
    assert Duration("1.9999s").milliseconds == 1999


def test_a_duration_stays_as_written() -> None:
    duration = DURATION.validate_python("90m")
    assert isinstance(duration, Duration)
    assert duration == "90m"
    assert DURATION.dump_json(duration) == b'"90m"'


@given(
    hours=st.integers(0, 9999),
    minutes=st.integers(0, 59),
    seconds=st.decimals(0, 59, places=3, allow_nan=False),
)
def test_parts_add_up(hours: int, minutes: int, seconds: Decimal) -> None:
    duration = Duration(f"{hours}h{minutes}m{seconds}s")
    assert duration.milliseconds == (hours * 3600 + minutes * 60) * 1000 + int(seconds * 1000)


@given(st.text(max_size=DURATION_LENGTH + 5))
def test_a_text_is_a_duration_that_go_can_hold_or_a_value_error(text: str) -> None:
    try:
        duration = Duration(text)
    except ValueError as error:
        assert "expected a duration such as" in str(error)  # noqa: PT017 - either way is right
    else:
        assert 0 <= duration.seconds < 2**63 / 1e9


@given(st.from_regex(r"([0-9]{1,6}(\.[0-9]{1,9})?(h|m|s|ms))+", fullmatch=True))
def test_no_duration_overflows_go(text: str) -> None:
    if len(text) <= DURATION_LENGTH and text.isascii():
        assert Duration(text).seconds < 2**63 / 1e9


@pytest.mark.parametrize("text", ["", "5", "-5s", "5 s", "1d", "5s\n", "1e3s", "٣s", "9999999s", "1s" * 11])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        Duration(text)


@given(st.from_regex(DECIMAL_PATTERN, fullmatch=True).filter(str.isascii))
def test_amounts_are_exact(text: str) -> None:
    assert AMOUNT.validate_python(text) == Decimal(text)
    assert Decimal(AMOUNT.dump_python(AMOUNT.validate_python(text))) == Decimal(text)


@pytest.mark.parametrize("value", ["1e9", "1E999999999", "NaN", "-1", "1_000", "", " 1", "1\n", 1, 1.5, None, "1" * 19])
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="without exponent"):
        AMOUNT.validate_python(value)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_number_is_no_money(value: Decimal) -> None:
    with pytest.raises(ValidationError):
        MONEY.validate_python(value)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_money_always_fits_and_can_be_read_again(amount: Decimal) -> None:
    text = money(amount)
    assert len(text) <= MONEY_LENGTH
    assert re.fullmatch(SIGNED_DECIMAL_PATTERN, text)
    assert money(MONEY.validate_python(text)) == text


@given(st.decimals(-(10**14), 10**14, allow_nan=False, places=6))
def test_money_is_right_to_the_hundredth(amount: Decimal) -> None:
    assert abs(Decimal(money(amount)) - amount) <= Decimal("0.005")


def test_small_money_keeps_eight_places() -> None:
    assert money(Decimal("0.123456785")) == "0.12345678"
    assert money(Decimal("-0.00000000")) in {"0", "-0"}
    assert money(Decimal("1E+2")) == "100"


def test_a_time_is_in_utc_and_to_the_second() -> None:
    east = datetime(2026, 11, 21, 13, 0, 0, 999, tzinfo=timezone(timedelta(hours=1)))
    moment = TIME.validate_python(east)
    assert moment == datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
    assert TIME.dump_json(moment) == b'"2026-11-21T12:00:00Z"'
    assert TIME.validate_json(b'"2026-11-21T12:00:00Z"') == moment


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        TIME.validate_python("2026-11-21T12:00:00")

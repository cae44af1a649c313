import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bot.documents import (
    AS_OF_MS,
    BAD_DOCUMENTS,
    TEXTS_THAT_ARE_NO_DECIMAL,
    beliefs,
    document,
    order,
    position,
    published,
)

from accountsync.bot.state import MAX_STATE_BYTES, parse_state
from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.errors import BeliefUnobserved, Reason

SOURCE = "the source"


def parse(value: Any) -> ExpectedState:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_state(raw, source=SOURCE)


def refusal(value: Any) -> BeliefUnobserved:
    with pytest.raises(BeliefUnobserved) as caught:
        parse(value)
    assert caught.value.message.startswith(f"{SOURCE}: ")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def test_the_documented_example_is_read() -> None:
    state = parse(
        document(
            bootId="boot-1",
            ready=False,
            positions=[{"symbol": "BTCUSDT", "side": "net", "quantity": "-0.5"}],
            orders=[
                {
                    "id": "42",
                    "clientId": "grinder_17",
                    "symbol": "BTCUSDT",
                    "side": "buy",
                    "quantity": "0.5",
                    "filled": "0",
                    "price": "60000.10",
                    "status": "open",
                }
            ],
            balances=[{"asset": "USDT", "wallet": "10000.00"}],
        )
    )
    assert state == ExpectedState(
        as_of=AS_OF_MS,
        boot_id="boot-1",
        ready=False,
        positions=(ExpectedPosition("BTCUSDT", PositionSide.NET, Decimal("-0.5")),),
        orders=(
            ExpectedOrder(
                symbol="BTCUSDT",
                id="42",
                client_id="grinder_17",
                side=Side.BUY,
                quantity=Decimal("0.5"),
                filled=Decimal(0),
                price=Decimal("60000.10"),
            ),
        ),
        balances=(ExpectedBalance("USDT", Decimal("10000.00")),),
    )


def test_sections_that_are_absent_or_null_are_not_published_and_empty_ones_are_statements() -> None:
    assert parse(document()) == ExpectedState(as_of=AS_OF_MS)
    assert parse(document(positions=None, orders=None, balances=None)) == ExpectedState(as_of=AS_OF_MS)
    empty = parse(document(positions=[], orders=[], balances=[]))
    assert empty == ExpectedState(as_of=AS_OF_MS, positions=(), orders=(), balances=())


def test_what_an_order_does_not_say_stays_unsaid() -> None:
    assert parse(order()).orders == (ExpectedOrder(symbol="BTCUSDT", id="1"),)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-11-21T11:00:00Z", AS_OF_MS - 123),
        ("2026-11-21t11:00:00.1z", AS_OF_MS - 23),
        ("2026-11-21T11:00:00.123999999Z", AS_OF_MS),
        ("2026-11-21T13:00:00.123+02:00", AS_OF_MS),
        ("2026-11-21T05:30:00.123-05:30", AS_OF_MS),
        ("1970-01-01T00:00:00.001Z", 1),
        ("0001-01-01T00:00:00+23:59", -62135596800_000 - (23 * 60 + 59) * 60_000),
        ("9999-12-31T23:59:59-23:59", 253402300799_000 + (23 * 60 + 59) * 60_000),
    ],
)
def test_times_are_read_in_any_zone_and_cut_to_milliseconds(text: str, milliseconds: int) -> None:
    assert parse(document(asOf=text)).as_of == milliseconds


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_what_python_writes_as_a_time_is_read(moment: datetime) -> None:
    whole = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution * 1000)
    assert parse(document(asOf=moment.isoformat())).as_of == whole


@pytest.mark.parametrize(
    ("status", "read"),
    [
        *((status.value, status) for status in OrderStatus),
        ("NEW", OrderStatus.OPEN),
        ("PARTIALLY_FILLED", OrderStatus.OPEN),
        ("Submitted", OrderStatus.OPEN),
        ("closed", OrderStatus.FILLED),
        ("CANCELLED", OrderStatus.CANCELED),
        ("Canceled", OrderStatus.CANCELED),
    ],
)
def test_statuses_are_read_in_their_common_spellings(status: str, read: OrderStatus) -> None:
    (found,) = parse(order(status=status)).orders or ()
    assert found.status is read


@pytest.mark.parametrize("text", ["0", "-0", "1", "007", "0.10", "-12.5", "1e-8", "1E+8", "9" * 40])
def test_decimals_are_read_exactly(text: str) -> None:
    (found,) = parse(position(quantity=text)).positions or ()
    assert str(found.quantity) == str(Decimal(text))


def test_integers_need_no_quotes() -> None:
    (found,) = parse(position(quantity=-(2**53 - 1))).positions or ()
    assert found.quantity == 1 - 2**53


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse(b"\xef\xbb\xbf" + json.dumps(document()).encode()) == ExpectedState(as_of=AS_OF_MS)


FLOATS = [b"0.5", b"1.0", b"1e3", b"-1E-8", b"1e999999"]


@pytest.mark.parametrize("number", FLOATS)
def test_a_json_float_is_refused_and_the_message_says_why(number: bytes) -> None:
    raw = json.dumps(position(quantity="@")).encode().replace(b'"@"', number)
    message = refusal(raw).message
    assert "positions[0].quantity" in message
    assert "lose digits" in message


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (b"NaN", "NaN and Infinity"),
        (b"Infinity", "NaN and Infinity"),
        (b"-Infinity", "NaN and Infinity"),
        (b"9007199254740992", "round"),
        (b"-" + b"9" * 5000, "round"),
    ],
)
def test_numbers_that_json_cannot_carry_are_refused(number: bytes, why: str) -> None:
    raw = json.dumps(position(quantity="@")).encode().replace(b'"@"', number)
    message = refusal(raw).message
    assert "positions[0].quantity" in message
    assert why in message


@pytest.mark.parametrize("text", TEXTS_THAT_ARE_NO_DECIMAL)
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda text: position(quantity=text), "positions[0].quantity"),
        (lambda text: order(quantity=text), "orders[0].quantity"),
        (lambda text: order(filled=text), "orders[0].filled"),
        (lambda text: order(price=text), "orders[0].price"),
        (lambda text: document(balances=[{"asset": "USDT", "wallet": text}]), "balances[0].wallet"),
    ],
)
def test_texts_that_are_no_plain_decimal_are_refused(text: str, wrap: Any, path: str) -> None:
    assert f": {path} must be a" in refusal(wrap(text)).message


@pytest.mark.parametrize(("bad", "path", "expected"), BAD_DOCUMENTS)
def test_a_bad_document_is_refused_with_the_field_and_what_was_expected(bad: Any, path: str, expected: str) -> None:
    error = refusal(bad)
    assert error.reason is Reason.STATE_MALFORMED
    assert error.message.startswith(f"{SOURCE}: {path} ")
    assert expected in error.message
    assert "docs/state.md" in error.message


def test_hedge_legs_and_orders_that_share_no_id_are_no_repetition() -> None:
    legs = [{"symbol": "X", "side": side, "quantity": "1"} for side in ("long", "short")]
    orders = [{"clientId": "a", "symbol": "X"}, {"clientId": "b", "symbol": "X"}, {"id": "a", "symbol": "X"}]
    state = parse(document(positions=legs, orders=orders))
    assert len(state.positions or ()) == 2
    assert len(state.orders or ()) == 3


def test_a_document_at_the_limit_is_read_and_one_byte_more_is_too_large() -> None:
    raw = json.dumps(document()).encode().ljust(MAX_STATE_BYTES)
    assert parse(raw) == ExpectedState(as_of=AS_OF_MS)
    error = refusal(raw + b" ")
    assert error.reason is Reason.STATE_TOO_LARGE
    assert "1024 KiB" in error.message


MARKER = "hunter2"


@pytest.mark.parametrize(
    "bad",
    [
        document(**{MARKER: 1}),
        document(version=MARKER),
        document(asOf=MARKER),
        document(bootId=MARKER + "\x00"),
        document(ready=MARKER),
        document(positions=MARKER),
        document(positions=[{MARKER: MARKER}]),
        position(symbol=MARKER + " "),
        position(side=MARKER),
        position(quantity=MARKER),
        order(status=MARKER),
        order(side=MARKER),
        document(orders=[{"id": MARKER, "symbol": MARKER}] * 2),
        document(positions=[{"symbol": MARKER, "quantity": "1"}] * 2),
        MARKER.encode(),
        b'{"' + MARKER.encode() + b'":1,"' + MARKER.encode() + b'":1}',
        b"\xff" + MARKER.encode(),
    ],
)
def test_nothing_that_the_bot_wrote_reaches_a_message(bad: Any) -> None:
    assert MARKER not in refusal(bad).message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["positions", "orders"]), inner),
)


@settings(deadline=None)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_published_is_read_or_refused(raw: bytes) -> None:
    try:
        parse(raw)
    except BeliefUnobserved as error:
        assert error.reason is Reason.STATE_MALFORMED  # noqa: PT017 - either outcome is right


@settings(deadline=None)
@given(beliefs())
def test_a_belief_that_is_published_is_the_belief_that_is_read(state: ExpectedState) -> None:
    assert parse(published(state)) == state

"""Canonical JSON: equal values give equal bytes, and nothing but those bytes is read back."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType, NoneType
from typing import Any, get_args, get_origin, get_type_hints

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountsync.domain.account import Order, OrderStatus, Part, PositionSide, Side
from accountsync.domain.finding import Answers, Question
from accountsync.report.canonical import CanonicalError, decode, encode
from accountsync.report.evidence import Mismatch, Record


class Grade(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True, slots=True)
class Thing:
    whole_number: int = 1
    share: float = 0.5
    sure: bool | None = None
    grade: Grade = Grade.LOW
    amounts: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    parts: frozenset[Part] = frozenset()
    legs: Mapping[tuple[str, PositionSide], Decimal] = field(default_factory=dict)
    inner: tuple["Inner", ...] = ()


@dataclass(frozen=True, slots=True)
class Inner:
    text: str = ""


ATOMS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=8),
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    Decimal: st.decimals(-(10**20), 10**20, allow_nan=False, allow_infinity=False),
}


def values(hint: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each kind of type
    """Any value of a type, by its hints alone."""
    arguments = get_args(hint)
    if hint in ATOMS:
        return ATOMS[hint]
    if NoneType in arguments:
        return st.none() | values(next(argument for argument in arguments if argument is not NoneType))
    if get_origin(hint) is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if get_origin(hint) is tuple:
        return st.tuples(*map(values, arguments))
    if get_origin(hint) is frozenset:
        return st.frozensets(values(arguments[0]), max_size=2)
    if arguments:
        return st.dictionaries(*map(values, arguments), max_size=2)
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    hints = get_type_hints(hint)
    return st.builds(hint, **{row.name: values(hints[row.name]) for row in dataclasses.fields(hint)})


@pytest.mark.parametrize("kind", [Record, tuple[Mismatch, ...], Answers, Thing], ids=str)
def test_what_is_written_is_read_back(kind: Any) -> None:
    @settings(deadline=None, max_examples=50)
    @given(values(kind))
    def check(value: Any) -> None:
        data = encode(value, kind)
        again = decode(data, kind)
        assert again == value
        assert encode(again, kind) == data

    check()


def test_the_form_is_fixed() -> None:
    thing = Thing(
        share=2.0,
        grade=Grade.HIGH,
        amounts={"b": Decimal("-0.00"), "a": Decimal("1E+3")},
        parts=frozenset({Part.POSITIONS, Part.CONDITIONAL}),
        legs={("BTC", PositionSide.SHORT): Decimal("1.50"), ("BTC", PositionSide.LONG): Decimal("0E+5")},
        inner=(Inner("ü"),),
    )
    assert encode(thing).decode() == (
        '{"amounts":{"a":"1000","b":"0"},"grade":"HIGH","inner":[{"text":"ü"}],'
        '"legs":[[["BTC","long"],"0"],[["BTC","short"],"1.5"]],"parts":["conditional orders","positions"],'
        '"share":2.0,"sure":null,"wholeNumber":1}\n'
    )


LONG, SHORT = ("a", PositionSide.LONG), ("a", PositionSide.SHORT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Thing(amounts={"a": Decimal("1.10")}), Thing(amounts={"a": Decimal("1.1")})),
        (Thing(amounts={"a": Decimal("-0.0")}), Thing(amounts={"a": Decimal(0)})),
        (Thing(share=1), Thing(share=1.0)),
        (Thing(share=0.0), Thing(share=-0.0)),
        (Thing(legs={LONG: Decimal(1), SHORT: Decimal(2)}), Thing(legs={SHORT: Decimal(2), LONG: Decimal(1)})),
    ],
)
def test_equal_values_give_equal_bytes(one: Thing, other: Thing) -> None:
    assert one == other
    assert encode(one) == encode(other)


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (Thing(whole_number=True), "wholeNumber: expected a whole number"),
        (Thing(whole_number=2**63), "wholeNumber: expected a number of at most 64 bits"),
        (Thing(share=math.nan), "share: expected a finite number"),
        (Thing(sure=1), "sure: expected true or false"),  # type: ignore[arg-type]
        (Thing(amounts={"a": Decimal("NaN")}), "amounts.a: expected a finite Decimal"),
        (Thing(amounts={"a": Decimal("1E+9999")}), "amounts.a: expected a Decimal of a size"),
        (Thing(amounts={"a": 0.5}), "amounts.a: expected a finite Decimal"),  # type: ignore[dict-item]
        (Thing(parts=frozenset({"positions"})), "parts.0: expected a Part"),  # type: ignore[arg-type]
        (Thing(inner=(Inner(), Inner(b"x"))), "inner.1.text: expected text"),  # type: ignore[arg-type]
        (Thing(inner=[]), "inner: expected a tuple"),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_is_not_of_its_type_is_refused_with_its_place(thing: Thing, says: str) -> None:
    with pytest.raises(CanonicalError, match=f"^{says}"):
        encode(thing)


def test_text_that_is_no_unicode_is_written_all_the_same() -> None:
    assert decode(encode(Inner("a\ud800b")), Inner) == Inner("a?b")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]\n",
        b"null\n",
        b'{"text":"a"}',
        b'{"text":"a"}\n\n',
        b'{"text": "a"}\n',
        b'{"text":"\\u0061"}\n',
        b'{"text":"b","text":"a"}\n',
        b'{"text":1}\n',
        b'{"text":null}\n',
        b"{}\n",
        b'{"text":"a","more":1}\n',
        b'{"text":"\xff"}\n',
    ],
)
def test_only_what_encode_makes_is_read(data: bytes) -> None:
    assert encode(Inner("a")) == b'{"text":"a"}\n'
    with pytest.raises(CanonicalError):
        decode(data, Inner)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wholeNumber", 1.0),
        ("wholeNumber", True),
        ("share", 1),
        ("share", "1.0"),
        ("sure", 0),
        ("grade", 1),
        ("grade", "low"),
        ("amounts", {"a": "1.0"}),
        ("amounts", {"a": "NaN"}),
        ("amounts", {"a": "one"}),
        ("amounts", {"a": 1}),
        ("amounts", []),
        ("parts", ["positions", "balances"]),
        ("parts", ["orders", "orders"]),
        ("legs", {}),
        ("legs", [[["a", "net"]]]),
        ("legs", [[["a", "net"], "1"], [["a", "net"], "1"]]),
        ("legs", [[["a", "net", "x"], "1"]]),
        ("inner", {}),
        ("inner", ["x"]),
    ],
)
def test_a_document_with_another_type_in_it_is_refused(name: str, value: object) -> None:
    document = {**orjson.loads(encode(Thing())), name: value}
    with pytest.raises(CanonicalError):
        decode(orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE), Thing)


def test_a_type_without_a_form_is_named() -> None:
    with pytest.raises(TypeError, match=r"int \| str"):
        encode(1, int | str)
    with pytest.raises(TypeError, match="bytes"):
        encode(b"")


def test_an_answer_that_the_exchange_knows_no_such_order_is_kept_apart_from_no_answer() -> None:
    order = Order("1", "c", "BTC", Side.BUY, Decimal(1), Decimal(0), None, OrderStatus.CANCELED)
    answers: Answers = {Question("BTC", "2"): None, Question("BTC", "1"): order}
    assert decode(encode(answers, Answers), Answers) == answers  # type: ignore[type-abstract]

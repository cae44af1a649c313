import copy
import json
import re
from collections.abc import Hashable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.bot.documents import BAD_DOCUMENTS, TEXTS_THAT_ARE_NO_DECIMAL, beliefs, document, position, published

from accountsync.bot import fields
from accountsync.bot.state import json_schema, parse_state, schema_text
from accountsync.errors import BeliefUnobserved

PUBLISHED = Path(__file__).parents[2] / "docs" / "state.schema.json"

RENEW = "docs/state.schema.json holds what accountsync.bot.state.schema_text() returns: write it there again"


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """`$` as JSON Schema means it (ECMA 262): the end of the text. Python's would let a line break follow."""
    if isinstance(instance, str) and re.search(pattern.replace("$", r"\Z"), instance) is None:
        yield jsonschema.ValidationError("pattern")


ECMA = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator, {"pattern": _pattern}
)
VALIDATOR = ECMA(json_schema())


def valid(value: Any) -> bool:
    return bool(VALIDATOR.is_valid(value))


def readable(value: Any) -> bool:
    try:
        parse_state(json.dumps(value).encode(), source="it")
    except BeliefUnobserved:
        return False
    return True


# What a JSON schema cannot say: the parser is stricter there.


def _repeats(value: dict[str, Any]) -> bool:
    keys: dict[tuple[str, ...], list[Hashable]] = {}
    for section in ("positions", "orders", "balances"):
        for row in value.get(section) or ():
            side = row.get("side", "net") if section == "positions" else ""
            for name in {"positions": ("symbol",), "orders": ("id", "clientId"), "balances": ("asset",)}[section]:
                if row.get(name) is not None:
                    keys.setdefault((section, name), []).append((row[name], side))
    return any(len(set(found)) < len(found) for found in keys.values())


def _holds_a_whole_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_a_whole_float(item) for item in value.values())
    if isinstance(value, list):
        return any(_holds_a_whole_float(item) for item in value)
    return isinstance(value, float) and value.is_integer()


def _no_such_day(value: dict[str, Any]) -> bool:
    try:
        datetime.fromisoformat(value["asOf"][:10])
    except ValueError:
        return True
    return False


def beyond_schema(value: Any) -> bool:
    return _holds_a_whole_float(value) or _no_such_day(value) or _repeats(value)


def test_the_published_schema_is_up_to_date() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(), RENEW


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("bad", [bad for bad, _, _ in BAD_DOCUMENTS if not isinstance(bad, bytes)])
def test_what_the_parser_refuses_the_schema_refuses_too(bad: Any) -> None:
    assert not valid(bad) or beyond_schema(bad)


@pytest.mark.parametrize("text", TEXTS_THAT_ARE_NO_DECIMAL)
def test_the_schema_knows_decimals(text: str) -> None:
    assert not valid(position(quantity=text))


def test_the_schema_leaves_to_the_parser_what_it_cannot_say() -> None:
    for value in (
        document(version=1.0),
        document(asOf="2026-02-30T00:00:00Z"),
        document(balances=[{"asset": "X", "wallet": "1"}] * 2),
    ):
        assert valid(value)
        assert not readable(value)


@settings(deadline=None)
@given(beliefs())
def test_beliefs_are_valid_under_both(state: Any) -> None:
    value = published(state)
    assert valid(value)
    assert readable(value)


NASTY: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        2**53 - 1,
        2**53,
        -(2**53),
        0.5,
        -0.0,
        "",
        " ",
        "x",
        [],
        {},
        [None],
        "-0",
        "-0.00e5",
    ]
)
WORDS = st.sampled_from(["net", "long", "short", "both", "buy", "SELL", "NEW", "Closed", "open", "lost", "A B", "a\n"])
NEAR = st.one_of(
    st.from_regex(fields.DECIMAL),
    st.from_regex(fields.TIME),
    st.from_regex(fields.STATUS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(TEXTS_THAT_ARE_NO_DECIMAL),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
FIELDS = st.sampled_from(
    ["version", "asOf", "ready", "symbol", "side", "quantity", "id", "clientId", "price", "status", "asset", "x"]
)
ROW = st.dictionaries(FIELDS, NASTY | WORDS | NEAR, max_size=4)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in `value` with every key or index in it."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    value = copy.deepcopy(published(draw(beliefs())))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(list(places(value))))
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                container[key] = copy.deepcopy(draw(NASTY | WORDS | NEAR | ROW))
            case "remove":
                del container[key]
            case "add" if isinstance(container, dict):
                container[draw(FIELDS)] = copy.deepcopy(draw(NASTY | WORDS | NEAR))
            case _:
                container.append(copy.deepcopy(draw(ROW)))
        assume(value)
    return value


@settings(deadline=None)
@given(mutants())
def test_schema_and_parser_agree_on_documents_that_are_nearly_right(value: Any) -> None:
    assert readable(value) == (valid(value) and not beyond_schema(value))

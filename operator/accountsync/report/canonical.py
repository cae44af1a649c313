"""Values as canonical JSON: equal values give equal bytes, and nothing but those bytes is read back.

In:  frozen dataclasses and what they are made of, by their type hints. Out: bytes, and from these the same value.

Keys are sorted, there are no spaces, the text is UTF-8 and ends with a newline. A dataclass is an object with its
fields in camelCase; an enum its value, or its name where that is no text; a Decimal a plain string; a set a sorted
array; a mapping whose keys are text an object, any other a sorted array of [key, value].

Text that is no Unicode (half of a surrogate pair) becomes "?": it has no UTF-8.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

from accountsync.domain.finding import plain

T = TypeVar("T")
MOST_DIGITS = 1000
"""A Decimal with more digits before its point, or more zeros behind it, is refused: it would be a page of zeros."""
LARGEST = 2**63
SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


class CanonicalError(ValueError):
    """A value that is not of its type, or bytes that `encode` does not make. Says where, and what was expected."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One type's way to JSON's own types and back. Both raise CanonicalError."""

    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]


def encode(value: Any, hint: Any = None) -> bytes:
    """`value` of type `hint` (its own, where that says all) as canonical JSON. Raises CanonicalError."""
    return orjson.dumps(codec(hint or type(value)).dump(value), option=SORTED)


def decode(data: bytes, hint: type[T]) -> T:
    """The value of which `encode` made `data`. Raises CanonicalError."""
    try:
        value: T = codec(hint).load(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise CanonicalError(f"it is not JSON: {error}") from None
    if encode(value, hint) != data:
        raise CanonicalError("it is not canonical: expected sorted keys without repetition, no spaces, plain decimals")
    return value


def codec(hint: Any) -> Codec:
    """The codec of a type. Raises TypeError for one that has none."""
    return _made(hint)


@cache
def _made(hint: Any) -> Codec:  # noqa: PLR0911 - one for each kind
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return _optional(hint, arguments)
    if origin is tuple:
        return _array(arguments[0]) if arguments[-1] is Ellipsis else _fixed(arguments)
    if origin is frozenset:
        return _set(arguments[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(*arguments)
    if hint in ATOMS:
        return ATOMS[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _object(hint)
    raise TypeError(f"no canonical form for {hint}")


# --- values without parts --------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    _expect(isinstance(value, str), "text")
    text = str.__str__(value)
    return text if text.isascii() else text.encode(errors="replace").decode()


def _flag(value: Any) -> bool:
    _expect(isinstance(value, bool), "true or false")
    return bool(value)


def _whole(value: Any) -> int:
    _expect(isinstance(value, int) and not isinstance(value, bool), "a whole number")
    _expect(-LARGEST <= value < LARGEST, "a number of at most 64 bits")
    return int(value)


def _float(value: Any) -> float:
    _expect(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value), "a finite number")
    return float(value) + 0.0  # -0.0 equals 0.0, and so must its bytes


def _dump_decimal(value: Any) -> str:
    _expect(isinstance(value, Decimal) and value.is_finite(), "a finite Decimal")
    _expect(not value or abs(value.adjusted()) <= MOST_DIGITS, "a Decimal of a size that can be written out")
    return plain(value) if value else "0"


def _load_decimal(value: Any) -> Decimal:
    _expect(isinstance(value, str), "a decimal in quotes")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise CanonicalError("expected a decimal") from None


def _expect(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise CanonicalError(f"expected {what}")


ATOMS: dict[Any, Codec] = {
    str: Codec(_text, _text),
    bool: Codec(_flag, _flag),
    int: Codec(_whole, _whole),
    float: Codec(_float, _float),
    Decimal: Codec(_dump_decimal, _load_decimal),
}


def _enum(kind: type[Enum]) -> Codec:
    words = {member: member.value if isinstance(member.value, str) else member.name for member in kind}
    members = {word: member for member, word in words.items()}

    def dump(value: Any) -> str:
        _expect(isinstance(value, kind), f"a {kind.__name__}")
        return words[value]

    def load(value: Any) -> Enum:
        _expect(isinstance(value, str) and value in members, f"one of {', '.join(members)}")
        return members[value]

    return Codec(dump, load)


# --- values with parts -----------------------------------------------------------------------------------------------


def _optional(hint: Any, arguments: tuple[Any, ...]) -> Codec:
    others = [argument for argument in arguments if argument is not NoneType]
    if len(others) != 1:
        raise TypeError(f"no canonical form for {hint}: of a union only X | None has one")
    inner = codec(others[0])
    return Codec(
        lambda value: None if value is None else inner.dump(value),
        lambda value: None if value is None else inner.load(value),
    )


def _object(kind: type[Any]) -> Codec:
    hints = get_type_hints(kind)
    parts = {_camel(field.name): (field.name, codec(hints[field.name])) for field in fields(kind)}

    def dump(value: Any) -> dict[str, Any]:
        _expect(type(value) is kind, f"a {kind.__name__}")
        return {key: _at(key, part.dump, getattr(value, name)) for key, (name, part) in parts.items()}

    def load(value: Any) -> Any:
        _expect(isinstance(value, dict), f"an object ({kind.__name__})")
        _expect(value.keys() == parts.keys(), f"the fields {', '.join(parts)} ({kind.__name__})")
        return kind(**{name: _at(key, part.load, value[key]) for key, (name, part) in parts.items()})

    return Codec(dump, load)


def _array(hint: Any) -> Codec:
    item = codec(hint)

    def dump(value: Any) -> list[Any]:
        _expect(isinstance(value, tuple), "a tuple")
        return _each(item.dump, value)

    def load(value: Any) -> tuple[Any, ...]:
        _expect(isinstance(value, list), "an array")
        return tuple(_each(item.load, value))

    return Codec(dump, load)


def _fixed(arguments: tuple[Any, ...]) -> Codec:
    items = [codec(argument) for argument in arguments]

    def dump(value: Any) -> list[Any]:
        _expect(isinstance(value, tuple) and len(value) == len(items), f"a tuple of {len(items)}")
        return [item.dump(part) for item, part in zip(items, value, strict=True)]

    def load(value: Any) -> tuple[Any, ...]:
        _expect(isinstance(value, list) and len(value) == len(items), f"an array of {len(items)}")
        return tuple(item.load(part) for item, part in zip(items, value, strict=True))

    return Codec(dump, load)


def _set(hint: Any) -> Codec:
    item = codec(hint)

    def dump(value: Any) -> list[Any]:
        _expect(isinstance(value, frozenset), "a frozenset")
        return sorted(_each(item.dump, value), key=_sort_key)

    def load(value: Any) -> frozenset[Any]:
        _expect(isinstance(value, list), "an array")
        return frozenset(_each(item.load, value))

    return Codec(dump, load)


def _mapping(key_hint: Any, value_hint: Any) -> Codec:
    keys, values = codec(key_hint), codec(value_hint)

    def dump_object(value: Any) -> dict[str, Any]:
        _expect(isinstance(value, Mapping), "a mapping")
        dumped = {keys.dump(key): _at(str(key), values.dump, part) for key, part in value.items()}
        _expect(len(dumped) == len(value), "keys that differ in UTF-8")
        return dumped

    def load_object(value: Any) -> dict[Any, Any]:
        _expect(isinstance(value, dict), "an object")
        return {keys.load(key): _at(key, values.load, part) for key, part in value.items()}

    def dump_pairs(value: Any) -> list[Any]:
        _expect(isinstance(value, Mapping), "a mapping")
        pairs = [[_at("key", keys.dump, key), _at(str(key), values.dump, part)] for key, part in value.items()]
        return sorted(pairs, key=lambda pair: _sort_key(pair[0]))

    def load_pairs(value: Any) -> dict[Any, Any]:
        _expect(isinstance(value, list), "an array of pairs")
        _expect(all(isinstance(pair, list) and len(pair) == len(("key", "value")) for pair in value), "pairs")
        return {_at("key", keys.load, key): _at(str(key), values.load, part) for key, part in value}

    if isinstance(key_hint, type) and issubclass(key_hint, str):
        return Codec(dump_object, load_object)
    return Codec(dump_pairs, load_pairs)


def _each(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    return [_at(str(index), function, item) for index, item in enumerate(items)]


def _at(step: str, function: Callable[[Any], Any], value: Any) -> Any:
    """`function` of `value`; an error is told with the way there."""
    try:
        return function(value)
    except CanonicalError as error:
        text = str(error)
        raise CanonicalError(f"{step}: {text}" if text.startswith("expected") else f"{step}.{text}") from None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _sort_key(dumped: Any) -> bytes:
    return orjson.dumps(dumped, option=orjson.OPT_SORT_KEYS)

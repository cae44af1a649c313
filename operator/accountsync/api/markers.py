"""What a field says to the API server beside its type: CEL rules, list types, formats.

A marker stands in `Annotated[…]` and writes itself into the field's JSON schema; `Part.crd_rules` of
`accountsync.api.v1alpha1` holds the rules of a whole model.
CEL runs even where a pattern does not match, so a rule that parses a text guards itself with the pattern.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from accountsync.api.caps import clip, token

VALIDATIONS = "x-kubernetes-validations"


def cel_text(pattern: str) -> str:
    """`pattern` as a CEL literal."""
    return f"r'{pattern}'"


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule. `field` is the path that an error names, below the object that the rule stands on.

    `message` must be one that helps: what is expected, and what to do. `expression` is CEL that computes a better
    one, with numbers.
    """

    rule: str
    message: str
    field: str = ""
    expression: str = ""

    def render(self) -> dict[str, str]:
        """The entry of x-kubernetes-validations."""
        entry = {"rule": self.rule, "message": self.message}
        if self.expression:
            entry["messageExpression"] = self.expression
        if self.field:
            entry["fieldPath"] = self.field
        return entry

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        out = handler(schema)
        return out | {VALIDATIONS: [*out.get(VALIDATIONS, ()), self.render()]}


@dataclass(frozen=True, slots=True)
class Matches:
    """A text that matches `pattern`, checked by the API server and by us; `expected` completes the message.

    `in_schema` also writes the pattern itself, for editors and offline checks. The API server then prints it beside
    the message, so a long one is better left out.
    """

    pattern: str
    expected: str
    in_schema: bool = True

    def check(self, text: str) -> str:
        """Raise ValueError unless `text` matches."""
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(self.expected)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        out = handler(schema)
        rule = Rule(rule=f"self.matches({cel_text(self.pattern)})", message=self.expected)
        pattern = {"pattern": self.pattern} if self.in_schema else {}
        return out | pattern | {VALIDATIONS: [*out.get(VALIDATIONS, ()), rule.render()]}


@dataclass(frozen=True, slots=True)
class Clipped:
    """A text of the status that is cut to `cap` bytes rather than refused."""

    cap: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(lambda text: clip(text, self.cap), handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"maxLength": self.cap}


@dataclass(frozen=True, slots=True)
class Token:
    """A text of the status that is compared with one from outside: kept as `caps.token` makes it."""

    cap: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(lambda text: token(text, self.cap), handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"maxLength": self.cap}


@dataclass(frozen=True, slots=True)
class OneOf:
    """The values of `names`, for the API server; Python reads any text, so that a rollback can read a newer status."""

    names: type[StrEnum]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"enum": [str(name) for name in self.names]}


@dataclass(frozen=True, slots=True)
class Schema:
    """Further words of the schema, as they stand there."""

    words: tuple[tuple[str, Any], ...]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | dict(self.words)


def map_by(*keys: str) -> Schema:
    """A list that server-side apply merges by `keys`, which are unique in it."""
    return Schema((("x-kubernetes-list-type", "map"), ("x-kubernetes-list-map-keys", list(keys))))


SET = Schema((("x-kubernetes-list-type", "set"),))
ATOMIC_LIST = Schema((("x-kubernetes-list-type", "atomic"),))
ATOMIC_MAP = Schema((("x-kubernetes-map-type", "atomic"),))
INT32 = Schema((("format", "int32"),))
INT64 = Schema((("format", "int64"),))
DEFAULT_EMPTY = Schema((("default", {}),))
"""The API server fills in the object, so that the defaults inside it are seen."""

"""The documented format of a bot's belief, version 1 (docs/state.md): parsed once here, trusted afterwards.

In:  the bytes that a bot published. Out: `ExpectedState`, or `BeliefUnobserved` naming the source and the field.

Invariants:
1. What is not of the format is refused whole; a belief is never half read.
2. No number ever passes through a binary float.
3. A message holds names of this format, indices and numbers of our own, and nothing that the bot wrote.
4. The published schema and `parse_state` agree, but for what a JSON schema cannot say: bytes that are no UTF-8 or no
   JSON, the size, a field given twice in one object, an integer written as 1.0, half a surrogate pair, days that the
   calendar lacks, and two rows with one key.
"""

import difflib
import json
from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from accountsync.bot import strict_json
from accountsync.bot.fields import (
    UNSIGNED_SCHEMA,
    Amount,
    Identifier,
    Moment,
    Status,
    Symbol,
    UnsignedAmount,
    wrong,
)
from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.errors import BeliefUnobserved, Reason

MAX_STATE_BYTES: Final = 1024 * 1024
KNOWN_VERSIONS: Final = (1,)
WHOLE: Final = "the document"

# --- the models ------------------------------------------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _fit(cls, value: object) -> object:
        for unfit in (strict_json.REPEATED, strict_json.CROWDED):
            if value is unfit:
                raise wrong(unfit.why)
        return value


_LEG_SCHEMA: Final[dict[str, Any]] = {
    "if": {"properties": {"side": {"enum": ["long", "short"]}}, "required": ["side"]},
    "then": {"properties": {"quantity": UNSIGNED_SCHEMA}},
}


class _Position(_Strict):
    model_config = ConfigDict(json_schema_extra=_LEG_SCHEMA)

    symbol: Symbol
    side: Literal["net", "long", "short"] = "net"
    quantity: Amount = Field(description="in the base asset; negative is a short position, on side net only")

    @field_validator("quantity")
    @classmethod
    def _legs_have_no_sign(cls, quantity: Decimal, info: ValidationInfo) -> Decimal:
        if quantity < 0 and info.data.get("side") in {"long", "short"}:
            raise wrong("must not be negative on a long or short leg: the side says the direction")
        return quantity

    def expected(self) -> ExpectedPosition:
        return ExpectedPosition(self.symbol, PositionSide(self.side), self.quantity)


_NAMED_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"properties": {name: {"type": "string"}}, "required": [name]} for name in ("id", "clientId")]
}


class _Order(_Strict):
    model_config = ConfigDict(json_schema_extra=_NAMED_SCHEMA)

    id: Identifier | None = Field(None, description="the exchange's id")
    client_id: Identifier | None = Field(None, description="the bot's own id, sent with the order")
    symbol: Symbol
    side: Literal["buy", "sell"] | None = None
    quantity: UnsignedAmount | None = None
    filled: UnsignedAmount | None = None
    price: Amount | None = None
    status: Status = OrderStatus.OPEN
    created_at: Moment | None = Field(None, description="when the bot placed it")

    @model_validator(mode="after")
    def _has_a_name(self) -> "_Order":
        if self.id is None and self.client_id is None:
            raise wrong("needs an id or a clientId")
        return self

    def expected(self) -> ExpectedOrder:
        return ExpectedOrder(
            symbol=self.symbol,
            id=self.id or "",
            client_id=self.client_id or "",
            side=Side(self.side) if self.side else None,
            quantity=self.quantity,
            filled=self.filled,
            price=self.price,
            status=self.status,
            created=self.created_at,
        )


class _Balance(_Strict):
    asset: Symbol
    wallet: Amount = Field(description="without unrealised profit")

    def expected(self) -> ExpectedBalance:
        return ExpectedBalance(self.asset, self.wallet)


class _State(_Strict):
    """What a trading bot believes of its account. A section that is absent or null is never judged; [] says none."""

    version: Literal[1]
    as_of: Moment = Field(description="the moment for which the belief is true, not the moment of sending")
    boot_id: Identifier | None = Field(None, description="another one whenever the bot starts anew")
    ready: bool = Field(default=True, description="false while the bot does not yet know its own state")
    positions: list[_Position] | None = Field(None, fail_fast=True)
    orders: list[_Order] | None = Field(None, fail_fast=True)
    balances: list[_Balance] | None = Field(None, fail_fast=True)


_ROWS: Final[Mapping[str, type[BaseModel]]] = {"positions": _Position, "orders": _Order, "balances": _Balance}

# --- reading ---------------------------------------------------------------------------------------------------------


def parse_state(raw: bytes, *, source: str) -> ExpectedState:
    """Read a belief. `source` names where it came from, for people.

    Raises BeliefUnobserved: StateTooLarge or StateMalformed.
    """
    if len(raw) > MAX_STATE_BYTES:
        raise too_large(source)
    try:
        document = strict_json.read(raw)
    except strict_json.UnreadableError as error:
        raise _malformed(source, WHOLE, str(error)) from None
    if isinstance(document, dict) and not _known_version(document.get("version", KNOWN_VERSIONS[0])):
        known = ", ".join(str(version) for version in KNOWN_VERSIONS)
        raise _malformed(source, "version", f"must be one that this operator knows, as a number: {known}")
    try:
        state = _State.model_validate(document)
    except ValidationError as error:
        raise _malformed(source, *_explain(error)) from None
    _refuse_repeated(state, source)
    return ExpectedState(
        as_of=state.as_of,
        boot_id=state.boot_id or "",
        ready=state.ready,
        positions=None if state.positions is None else tuple(row.expected() for row in state.positions),
        orders=None if state.orders is None else tuple(row.expected() for row in state.orders),
        balances=None if state.balances is None else tuple(row.expected() for row in state.balances),
    )


def _known_version(version: object) -> bool:
    return isinstance(version, int) and not isinstance(version, bool) and version in KNOWN_VERSIONS


def too_large(source: str) -> BeliefUnobserved:
    """The error for a belief over MAX_STATE_BYTES."""
    return BeliefUnobserved(
        Reason.STATE_TOO_LARGE,
        f"{source}: is over {MAX_STATE_BYTES // 1024} KiB: publish open orders and positions only, no history",
    )


def _malformed(source: str, path: str, why: str) -> BeliefUnobserved:
    return BeliefUnobserved(Reason.STATE_MALFORMED, f"{source}: {path} {why} (see docs/state.md)")


def _refuse_repeated(state: _State, source: str) -> None:
    keys: tuple[tuple[str, str, Iterable[Hashable]], ...] = (
        ("positions", "", ((row.symbol, row.side) for row in state.positions or ())),
        ("orders", ".id", (row.id and (row.symbol, row.id) for row in state.orders or ())),
        ("orders", ".clientId", (row.client_id and (row.symbol, row.client_id) for row in state.orders or ())),
        ("balances", "", (row.asset for row in state.balances or ())),
    )
    for section, name, rows in keys:
        first: dict[Hashable, int] = {}
        for index, key in enumerate(rows):
            earlier = first.setdefault(key, index)
            if key is not None and earlier != index:
                raise _malformed(source, f"{section}[{index}]{name}", f"repeats {section}[{earlier}]{name}: keep one")


# --- explaining ------------------------------------------------------------------------------------------------------

_SAYINGS: Final[Mapping[str, str]] = {
    "missing": "is required",
    "string_type": "must be a text in quotes",
    "string_unicode": "must be valid Unicode",
    "string_too_short": "must not be empty: leave the field out instead",
    "string_pattern_mismatch": "must hold no control characters, and no spaces in a symbol or asset",
    "bool_type": "must be true or false",
    "list_type": "must be a list: [] says none, leaving it out says that the bot does not publish it",
    "model_type": "must be an object",
}


def _explain(error: ValidationError) -> tuple[str, str]:
    """Where `error` lies and what is wrong there: an unknown field first, since a misspelling explains the rest."""
    errors = error.errors(include_url=False, include_input=False)
    detail = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return _path(location[:-1]), _unknown_field(location)
    return _path(location), _saying(detail)


def _saying(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "wrong":
            return str(context["message"])
        case "literal_error":
            return f"must be {context['expected']}"
        case "string_too_long":
            return f"must be of at most {context['max_length']} characters"
        case kind:
            return _SAYINGS.get(kind, "is not of the documented form")


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path or WHOLE


def _unknown_field(location: tuple[int | str, ...]) -> str:
    model = _ROWS[str(location[0])] if len(location) > 1 else _State
    known = [field.alias or name for name, field in model.model_fields.items()]
    plain = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(location[-1])[:64].lower().replace("_", ""), plain, n=1)
    guess = f"; did you mean {plain[close[0]]}?" if close else "."
    return f"has an unknown field{guess} It may have {', '.join(known)}"


# --- the schema ------------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """The published JSON Schema, draft 2020-12 (docs/state.schema.json)."""
    return publishable(_State, "accountsync: a bot's belief")


def publishable(model: type[BaseModel], title: str) -> dict[str, Any]:
    """The JSON Schema of `model`, draft 2020-12, for people who know nothing of our classes."""
    schema: dict[str, Any] = _untitled(model.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title} | schema


def schema_text() -> str:
    """`json_schema` as it stands in docs/state.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _untitled(node: Any) -> Any:
    """`node` without the titles that pydantic makes up, and without the underscores of our private names."""
    if isinstance(node, dict):
        return {key.removeprefix("_"): _untitled(value) for key, value in node.items() if key != "title"}
    if isinstance(node, list):
        return [_untitled(item) for item in node]
    return node.replace("#/$defs/_", "#/$defs/") if isinstance(node, str) else node

"""What a bot is told of its belief, over HTTP: the documented exchange of messages (docs/state.md).

In:  what of a belief is wrong. Out: nothing, or an `ActionError` that says what is known.

Invariants:
1. The document quotes the belief that was judged, by its time and its boot: a bot that believes something else by now
   refuses it.
2. Symbols stand as the bot itself spells them, where it does, so that it finds its own rows.
3. A row is the whole truth about its object: applied twice it changes nothing more. One request is one repair id.
4. No message holds anything that the bot wrote.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from accountsync.bot import fields, strict_json
from accountsync.bot.http import HttpState
from accountsync.bot.state import publishable
from accountsync.domain.account import OrderStatus
from accountsync.domain.expected import ExpectedState
from accountsync.domain.finding import plain
from accountsync.domain.plan import Repair, RepairKind
from accountsync.errors import AccountSyncError, NotSent, OutcomeUnknown, Reason, Refused

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# --- the models ------------------------------------------------------------------------------------------------------

_Decimal = Annotated[str, StringConstraints(pattern=fields.DECIMAL)]
_Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
_Status = Annotated[OrderStatus, WithJsonSchema({"type": "string", "enum": list(OrderStatus)})]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


def _may_lack(schema: dict[str, Any]) -> None:
    del schema["default"]


_Nothing = SkipJsonSchema[None]
_LACKING: Any = Field(None, json_schema_extra=_may_lack)


class _Row(_Part):
    symbol: str
    id: str | _Nothing = Field(None, description="the exchange's id", json_schema_extra=_may_lack)
    client_id: str | _Nothing = _LACKING
    side: Literal["buy", "sell"] | _Nothing = _LACKING
    quantity: _Decimal | _Nothing = _LACKING
    filled: _Decimal | _Nothing = _LACKING
    price: _Decimal | _Nothing = _LACKING
    status: _Status


class _MissingOrder(_Row):
    """An order that the bot should know of, or know better."""

    type: Literal[RepairKind.MISSING_ORDER]


class _StaleOrder(_Row):
    """An order that the exchange proves ended, and how."""

    type: Literal[RepairKind.STALE_ORDER]


class _Position(_Part):
    """The position as the exchange holds it; quantity 0: there is none."""

    type: Literal[RepairKind.POSITION]
    symbol: str
    side: Literal["net", "long", "short"]
    quantity: _Decimal


class _Balance(_Part):
    """The wallet balance at the exchange."""

    type: Literal[RepairKind.BALANCE]
    asset: str
    wallet: _Decimal


class _Belief(_Part):
    """The belief that was judged."""

    as_of: _Moment
    boot_id: str | _Nothing = _LACKING


class _Document(_Part):
    """What of its belief a bot is told to put right: all of it, or nothing."""

    repair_id: str = Field(description="one that was applied before is answered in the same way, and not applied again")
    belief: _Belief
    repairs: list[_MissingOrder | _StaleOrder | _Position | _Balance] = Field(min_length=1)


# --- writing ---------------------------------------------------------------------------------------------------------


def document(repair_id: str, belief: ExpectedState, repairs: Iterable[Repair], spelled: Mapping[str, str]) -> bytes:
    """The message. `spelled`: unified symbols → the bot's own spelling of them."""
    at = (_EPOCH + timedelta(milliseconds=belief.as_of)).isoformat(timespec="milliseconds")
    rows = [_row(repair, spelled.get(repair.symbol, repair.symbol)) for repair in repairs]
    made = _Document(repair_id=repair_id, belief=_Belief(as_of=at, boot_id=belief.boot_id or None), repairs=rows)
    return made.model_dump_json(by_alias=True, exclude_none=True).encode()


def _row(repair: Repair, symbol: str) -> _MissingOrder | _StaleOrder | _Position | _Balance:
    match repair.kind:
        case RepairKind.POSITION:
            return _Position.model_validate(
                {"type": repair.kind, "symbol": symbol, "side": repair.id, "quantity": repair.value}
            )
        case RepairKind.BALANCE:
            return _Balance(type=repair.kind, asset=repair.symbol, wallet=repair.value)
    order = {
        "type": repair.kind,
        "id": repair.order_id,
        "client_id": repair.client_id,
        "symbol": symbol,
        "side": repair.side,
        "quantity": _text(repair.quantity),
        "filled": _text(repair.filled),
        "price": _text(repair.price),
        "status": repair.value,
    }
    kind = _MissingOrder if repair.kind is RepairKind.MISSING_ORDER else _StaleOrder
    return kind.model_validate({name: value for name, value in order.items() if value})


def _text(value: Decimal | None) -> str:
    return "" if value is None else plain(value)


# --- sending ---------------------------------------------------------------------------------------------------------


class HttpRepairs:
    """The write side of `state`: `url` is what `AddressPolicy.beside` made of the state's.

    `canonical`: the unified spelling of a symbol, as `Exchange.canonical_symbol` gives it.
    """

    adopts = False

    def __init__(self, state: HttpState, url: str, *, canonical: Callable[[str], str]) -> None:
        self._state = state
        self._url = url
        self._canonical = canonical

    async def repair(self, repair_id: str, belief: ExpectedState, repairs: Sequence[Repair]) -> None:
        """Tell the bot once. Raises NotSent, Refused or OutcomeUnknown."""
        try:
            told = await self._state.read()
        except AccountSyncError as error:
            raise NotSent(error.message, error.reason) from None
        try:
            message = document(repair_id, belief, repairs, self._spelled(told))
        except ValidationError:
            raise NotSent(
                f"{self._state.source}: the repairs are not of the documented form", Reason.INTERNAL
            ) from None
        status, answer = await self._state.post(self._url, message)
        self._judge(status, answer, len(repairs))

    def _spelled(self, told: ExpectedState) -> dict[str, str]:
        found = {}
        for symbol in {row.symbol for row in told.positions or ()} | {row.symbol for row in told.orders or ()}:
            try:
                found[self._canonical(symbol)] = symbol
            except KeyError:
                continue  # no symbol of the exchange's, so no repair's either
        return found

    def _judge(self, status: int, answer: bytes | None, count: int) -> None:
        source = self._state.source
        match status:
            case 204:
                return
            case 200:
                if _applied(answer) == set(range(count)):
                    return
                raise OutcomeUnknown(
                    f"{source}: answered with status 200, and not that it applied all of the {count} repairs: check"
                    " spec.bot.state.http.repairPath and the bot's own log (docs/state.md)",
                    Reason.BOT_REFUSED,
                )
            case 409:
                raise Refused(f"{source}: the belief has changed since it was judged", Reason.BOT_REFUSED)
            case 404 | 405 | 501:
                raise Refused(
                    f"{source}: answered with status {status}: it can't be written to there, check"
                    " spec.bot.state.http.repairPath",
                    Reason.BOT_REFUSED,
                )
            case _ if 300 <= status < 500:  # noqa: PLR2004 - HTTP's own ranges
                raise Refused(f"{source}: {self._state.refusal(status)}", Reason.BOT_REFUSED)
            case _:
                raise OutcomeUnknown(
                    f"{source}: answered with status {status}, expected 200 or 204: see the bot's own log",
                    Reason.BOT_REFUSED,
                )


def _applied(answer: bytes | None) -> set[object]:
    """The places in the list of those repairs that the bot says it applied; empty where it says nothing of the kind."""
    try:
        said = strict_json.read(answer or b"")
    except strict_json.UnreadableError:
        return set()
    places = said.get("applied") if isinstance(said, dict) else None
    return {place for place in places if type(place) is int} if isinstance(places, list) else set()


# --- the schema ------------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """The published JSON Schema, draft 2020-12 (docs/repair.schema.json)."""
    return publishable(_Document, "accountsync: what a bot is told to put right")


def schema_text() -> str:
    """`json_schema` as it stands in docs/repair.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"

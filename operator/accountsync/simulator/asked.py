"""Reading what a trading call asks for: each parameter's own refusals, whatever the order's type."""

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from accountsync.simulator import refusals
from accountsync.simulator.call import Call
from accountsync.simulator.model import PositionSide, Side
from accountsync.simulator.refusals import Refusal

CLIENT_ORDER_ID = re.compile(r"[\.A-Z\:/a-z0-9_-]{1,36}")
STP_MODES = frozenset({"NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"})
LONGEST_GTD_MS = 253_402_300_799_000
SHORTEST_GTD_MS = 600_000
SECOND_MS = 1000
LEGS = frozenset(leg.value for leg in PositionSide)


def asked_side(call: Call) -> Side:
    """Raises Refusal -1117 for what is neither side."""
    try:
        return Side(call.required("side"))
    except ValueError:
        raise Refusal(-1117, "Invalid side.") from None


def asked_leg(call: Call) -> PositionSide:
    """Raises Refusal -4061 for a position side that the account's mode does not have, and -4060 for none."""
    text = call.text("positionSide") or PositionSide.BOTH
    if text not in LEGS:
        raise Refusal(-4060, "Invalid position side.")
    if text not in call.account.position_sides:
        raise Refusal(-4061, "Order's position side does not match user's setting.")
    return PositionSide(text)


def asked_decimal(call: Call, name: str) -> Decimal:
    """Raises Refusal -1102 for what is no finite number."""
    try:
        value = Decimal(call.required(name))
    except InvalidOperation:
        raise refusals.missing(name) from None
    if not value.is_finite():
        raise refusals.missing(name)
    return value


def asked_flag(call: Call, name: str) -> bool:
    """`true` or `false`, in any case; Refusal -1130 for anything else."""
    text = (call.text(name) or "false").lower()
    if text not in ("true", "false"):
        raise refusals.invalid(name)
    return text == "true"


def asked_reduce_only(call: Call) -> bool:
    """Raises Refusal -1106 in hedge mode, where it may not be sent at all."""
    if call.account.hedge_mode and call.text("reduceOnly") is not None:
        raise refusals.not_required("reduceonly")
    return asked_flag(call, "reduceOnly")


def asked_client_id(call: Call, name: str) -> str | None:
    """Raises Refusal -4015 for a name that is not well formed."""
    text = call.text(name)
    if text is not None and not CLIENT_ORDER_ID.fullmatch(text):
        raise Refusal(-4015, "Client order id is not valid.")
    return text


def asked_time_in_force(text: str, allowed: Iterable[str]) -> str:
    """Raises Refusal -1115 for what is none, or is no good for this call."""
    if text not in allowed:
        raise Refusal(-1115, "Invalid timeInForce.")
    return text


def asked_good_till_date(call: Call, time_in_force: str) -> int:
    """0 without GTD; else whole seconds, at least ten minutes ahead: Refusal -1102 or -5040."""
    given = call.integer("goodTillDate")
    if time_in_force != "GTD":
        return 0
    if given is None:
        raise refusals.missing("goodTillDate")
    if not call.now_ms + SHORTEST_GTD_MS < given < LONGEST_GTD_MS:
        text = (
            "The goodTillDate timestamp must be greater than the current time plus 600 seconds "
            "and smaller than 253402300799000"
        )
        raise Refusal(-5040, text)
    return given // SECOND_MS * SECOND_MS


def asked_stp(call: Call) -> str:
    """How to deal with trading against oneself: Refusal -5039 for what is no way."""
    mode = call.text("selfTradePreventionMode") or "NONE"
    if mode not in STP_MODES:
        raise Refusal(-5039, "Invalid self trade prevention mode")
    return mode


def refuse_sent(call: Call, names: Iterable[str]) -> None:
    """Raises Refusal -1106 for a parameter that this order does not take."""
    for name in names:
        if call.text(name) is not None:
            raise refusals.not_required(name.lower())

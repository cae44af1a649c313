"""A TradingAccount as the gate reads it: the few fields that decide, straight from the API server's JSON.

In:  an object's body. Out: `Account`, or ValueError that names the field: an account that can't be read is not known.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from accountsync.domain.policy import PauseLevel
from accountsync.gate.answer import DEFAULT_FAIL_CLOSED_AFTER, Account, Cause

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_TEXT_CAP: Final = 1024


def seconds(text: str) -> float:
    """A Go duration such as 90s or 1m30s, in seconds. Raises ValueError."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text[:40]!r}: expected a duration such as 60s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def read_account(body: Mapping[str, Any]) -> Account:
    """What counts of `body`. Raises ValueError."""
    try:
        return _account(body["spec"], body.get("status") or {})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the TradingAccount has not the expected form ({error}): is its CRD of this release?"
        ) from None


def _account(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Account:
    by_spec, by_status = _flag(spec, "spec.paused"), _flag(status, "status.paused")
    levels = {spec.get("pauseLevel")} if by_spec else set()
    levels |= {status.get("pauseLevel")} if by_status else set()
    return Account(
        mode=str((spec.get("remediation") or {}).get("mode", "")),
        paused=by_spec or by_status,
        level=PauseLevel.HALT if PauseLevel.HALT in levels else PauseLevel.REDUCE_ONLY,
        holds=_holds(spec, status, by_spec=by_spec),
        fail_closed_after=_fail_closed_after(spec),
    )


def _fail_closed_after(spec: Mapping[str, Any]) -> float | None:
    gate = spec["bot"].get("gate")
    if gate is None:
        return None
    given = gate.get("failClosedAfter")
    if given is None:
        return DEFAULT_FAIL_CLOSED_AFTER
    try:
        span = seconds(given)
    except ValueError as error:
        raise ValueError(f"spec.bot.gate.failClosedAfter: {error}") from None
    return span or DEFAULT_FAIL_CLOSED_AFTER


def _holds(spec: Mapping[str, Any], status: Mapping[str, Any], *, by_spec: bool) -> tuple[Cause, ...]:
    holds = [
        Cause(
            reason=str(row["reason"]),
            message=str(row["message"])[:_TEXT_CAP],
            source=str(row["source"]),
            since=str(row.get("since", "")),
        )
        for row in status.get("holds") or ()
    ]
    if by_spec and not any(hold.source == "User" for hold in holds):
        reason = str(spec.get("pauseReason") or "")
        holds.insert(0, Cause("PausedBySpec", reason or "spec.paused is true; no reason is given", "User"))
    return tuple(holds)


def _flag(part: Mapping[str, Any], field: str) -> bool:
    value = part.get(field.rpartition(".")[2], False)
    if not isinstance(value, bool):
        raise ValueError(f"{field}: expected true or false")  # noqa: TRY004 - one kind of error for all that is wrong
    return value

"""What can go wrong on the way, on purpose: which answers are bent, and how often.

A fault is chosen by method, path pattern, account and key; it lasts for `times` answers or until it is cleared, and
hits with `probability`, drawn from the seed. How each kind bends an answer stands in `bend.py` and `server.py`.
"""

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from accountsync.simulator.reorder import Reordering


class Kind(StrEnum):
    """The faults there are."""

    LATENCY = "latency"
    HTTP_ERROR = "http_error"
    HANG = "hang"
    RESET = "reset"
    TRUNCATED = "truncated"
    STALE = "stale"
    DUPLICATED = "duplicated"
    NEGATIVE_QUANTITY = "negative_quantity"
    UNPARSABLE_QUANTITY = "unparsable_quantity"
    CLOCK_SKEW = "clock_skew"
    REORDER = "reorder"
    LATE = "late"


UNKNOWN_OUTCOME = (
    -1007,
    "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
)
ERRORS: Mapping[int, tuple[int, str]] = {
    500: (-1000, "An unknown error occured while processing the request."),
    502: (-1001, "Internal error; unable to process your request. Please try again."),
    503: (-1001, "Internal error; unable to process your request. Please try again."),
    504: UNKNOWN_OUTCOME,
}
MAINTENANCE = (-1000, "Service Unavailable.")
OVERLOADED = (-1008, "Server is currently overloaded with other requests. Please try again in a few minutes.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong. Make it with the class methods; their keywords beyond the kind's own choose whom.

    `path` is a shell pattern, `method` exact or ``*``; `account` a name; `key` an API key's fingerprint; `times` how
    many answers it bends (None: until cleared); `probability` is drawn for each matching request.
    `executed`: whether the call takes effect although its answer is lost or an error (http_error, hang and reset).
    """

    kind: Kind
    path: str = "*"
    method: str = "*"
    account: str | None = None
    key: str | None = None
    times: int | None = None
    probability: float = 1.0
    executed: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def latency(cls, seconds: float, **chosen: Any) -> "Fault":
        """The answer is made at once and sent `seconds` later."""
        return cls(kind=Kind.LATENCY, options={"seconds": seconds}, **chosen)

    @classmethod
    def http_error(
        cls, status: int = 503, *, code: int | None = None, message: str | None = None, **chosen: Any
    ) -> "Fault":
        """An error answer with Binance's body for that status, or with `code` and `message`."""
        default_code, default_message = ERRORS.get(status, ERRORS[500])
        options = {
            "status": status,
            "code": default_code if code is None else code,
            "message": message or default_message,
        }
        chosen.setdefault("executed", False)
        return cls(kind=Kind.HTTP_ERROR, options=options, **chosen)

    @classmethod
    def maintenance(cls, **chosen: Any) -> "Fault":
        """503 'Service Unavailable.': nothing was done."""
        code, message = MAINTENANCE
        return cls.http_error(503, code=code, message=message, **chosen)

    @classmethod
    def overloaded(cls, **chosen: Any) -> "Fault":
        """503 with -1008: nothing was done."""
        code, message = OVERLOADED
        return cls.http_error(503, code=code, message=message, **chosen)

    @classmethod
    def unknown_outcome(cls, *, executed: bool, **chosen: Any) -> "Fault":
        """503 with -1007: the client cannot know whether the call took effect; `executed` says it."""
        code, message = UNKNOWN_OUTCOME
        return cls.http_error(503, code=code, message=message, executed=executed, **chosen)

    @classmethod
    def late(cls, seconds: float | None = None, **chosen: Any) -> "Fault":
        """The request reaches the exchange `seconds` later, or once the fault is cleared, and is handled only then.

        So it takes effect even if the client has left, unless its timestamp is too old by then.
        """
        return cls(kind=Kind.LATE, options={"seconds": seconds}, **chosen)

    @classmethod
    def hang(cls, **chosen: Any) -> "Fault":
        """No answer until the client leaves, or the fault is cleared: then the answer as made on arrival."""
        return cls(kind=Kind.HANG, **chosen)

    @classmethod
    def reset(cls, *, midway: bool = False, **chosen: Any) -> "Fault":
        """The connection is reset: instead of an answer, or with half of its body sent (`midway`).

        aiohttp, and so ccxt, asks once more by itself when a GET is reset on a connection that was used before.
        """
        return cls(kind=Kind.RESET, options={"midway": midway}, **chosen)

    @classmethod
    def truncated(cls, **chosen: Any) -> "Fault":
        """A body cut in half and honest about its length: status 200, invalid JSON."""
        return cls(kind=Kind.TRUNCATED, **chosen)

    @classmethod
    def stale(cls, age: float, **chosen: Any) -> "Fault":
        """The answer as it was `age` seconds ago (the oldest known if none is so old)."""
        return cls(kind=Kind.STALE, options={"age": age}, **chosen)

    @classmethod
    def duplicated(cls, *, differ: Mapping[str, Any] | None = None, **chosen: Any) -> "Fault":
        """A list's first row stands there twice; `differ` overrides fields of the second."""
        return cls(kind=Kind.DUPLICATED, options={"differ": dict(differ or {})}, **chosen)

    @classmethod
    def negative_quantity(cls, **chosen: Any) -> "Fault":
        """An order's origQty below zero; a hedge leg's positionAmt with the sign that it cannot have."""
        return cls(kind=Kind.NEGATIVE_QUANTITY, **chosen)

    @classmethod
    def unparsable_quantity(cls, text: str = "0.0.1", *, name: str | None = None, **chosen: Any) -> "Fault":
        """The first row's quantity (or the field called `name`) is `text`."""
        return cls(kind=Kind.UNPARSABLE_QUANTITY, options={"text": text, "name": name}, **chosen)

    @classmethod
    def clock_skew(cls, milliseconds: int, **chosen: Any) -> "Fault":
        """The exchange's clock is off for /time and for checking timestamps; all else keeps the true time."""
        return cls(kind=Kind.CLOCK_SKEW, options={"milliseconds": milliseconds}, **chosen)

    @classmethod
    def reorder(cls, seconds: float = 1.0, *, together: int = 2, **chosen: Any) -> "Fault":
        """Answers to `together` requests at a time are sent last first, each as it was when it was asked for.

        What has been gathered is sent after `seconds` even if it is less. `times` counts single answers.
        """
        return cls(kind=Kind.REORDER, options={"seconds": seconds, "together": together}, **chosen)


@dataclass(slots=True)
class ActiveFault:
    """A fault in force. `applied` counts the answers it bent; `cleared` is set when it is taken away."""

    id: int
    fault: Fault
    draws: random.Random
    cleared: asyncio.Event = field(default_factory=asyncio.Event)
    applied: int = 0
    reordering: Reordering | None = None

    @property
    def spent(self) -> bool:
        """Whether it has bent as many answers as it was to."""
        return self.fault.times is not None and self.applied >= self.fault.times


class FaultBook:
    """The faults in force, in the order in which they were added."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._next_id = 1
        self._active: dict[int, ActiveFault] = {}

    def add(self, fault: Fault) -> int:
        """Put `fault` in force; returns the id by which it can be cleared."""
        number = self._next_id
        self._next_id += 1
        draws = random.Random(f"{self._seed}:fault:{number}")  # noqa: S311 - faults must be reproducible
        active = self._active[number] = ActiveFault(number, fault, draws)
        if fault.kind is Kind.REORDER:
            active.reordering = Reordering(fault.options["together"], fault.options["seconds"])
        return number

    def clear(self, number: int | None = None) -> None:
        """Take away one fault, or all; those who hang or wait for their turn get their answers."""
        chosen = list(self._active) if number is None else [number]
        for one in chosen:
            active = self._active.pop(one, None)
            if active:
                active.cleared.set()
                if active.reordering:
                    active.reordering.let_go()

    def __iter__(self) -> Iterator[ActiveFault]:
        return iter(tuple(self._active.values()))

    def hitting(self, *, method: str, path: str, account: str, key: str, on_the_way: bool = False) -> list[ActiveFault]:
        """The faults that hit this request; each must be told with `applied` that it bent the answer.

        `on_the_way`: those that hit before it arrives, else the others.
        """
        return [
            active
            for active in self._active.values()
            if not active.spent
            and (active.fault.kind is Kind.LATE) is on_the_way
            and active.fault.method in ("*", method)
            and fnmatchcase(path, active.fault.path)
            and active.fault.account in (None, account)
            and active.fault.key in (None, key)
            and (active.fault.probability >= 1 or active.draws.random() < active.fault.probability)
        ]

"""Where a process is killed or stopped: before and after each call of a port on the way from a plan to its end.

The ports are the Protocols of accountsync/ports.py. `TABLE` says of each of their methods whether it is called on that
way; one that it does not list fails, and so does one that is called although it says otherwise.
"""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from accountsync import ports

STATUS, KEY = "Kube.apply_status", "Desk.trading"
FIRST, WRITE, OWNED = "Plans.create", "Plans.write", "Ownership.left"
SEAMS = (STATUS, KEY)
"""Calls on that way that are no port's: the account's status is written, and the key that may trade is read."""


class Way(StrEnum):
    """Whether a method is called on the way."""

    ON = "on the way"
    OFF = "never called on it"
    WITHIN = "called, and leaves the process's own memory alone and the world too"


TABLE: dict[str, tuple[Way, str]] = {
    STATUS: (Way.ON, ""),
    KEY: (Way.ON, ""),
    "Exchange.snapshot": (Way.ON, ""),
    "Exchange.find_order": (Way.ON, ""),
    "Exchange.fills": (Way.ON, ""),
    "Exchange.income": (Way.OFF, "asked for only where a wallet balance differs, which no plan here is about"),
    "Exchange.mark": (Way.OFF, "asked for only where a symbol that differs is not held"),
    "Exchange.canonical_symbol": (Way.WITHIN, "looks a name up in what was read before"),
    "BotState.read": (Way.ON, ""),
    "Trading.held": (Way.ON, ""),
    "Trading.cancel": (Way.ON, ""),
    "Trading.place": (Way.ON, ""),
    "Trading.close": (Way.ON, ""),
    "Repairs.repair": (Way.ON, ""),
    "Ledger.locked": (Way.OFF, "only a bot with a ledger has one; what kills do to that, tests/ledger shows"),
    "LockedLedger.slices": (Way.OFF, "as Ledger.locked"),
    "LockedLedger.orders": (Way.OFF, "as Ledger.locked"),
    "LockedLedger.used": (Way.OFF, "as Ledger.locked"),
    "LockedLedger.trade_orders": (Way.OFF, "as Ledger.locked"),
    "LockedLedger.booked": (Way.OFF, "as Ledger.locked"),
    "LockedLedger.written": (Way.OFF, "as Ledger.locked"),
    "LockedLedger.correct": (Way.OFF, "as Ledger.locked"),
    "LockedLedger.close": (Way.OFF, "as Ledger.locked"),
    "Pauser.state": (Way.OFF, "asked only of a bot that is stopped by calls, which the bot here is not"),
    "Pauser.pause": (Way.OFF, "as Pauser.state"),
    "Pauser.resume": (Way.OFF, "as Pauser.state"),
    "Plans.all": (Way.ON, ""),
    "Plans.create": (Way.ON, ""),
    "Plans.write": (Way.ON, ""),
    "Plans.delete": (Way.OFF, "removes plans that ended hours ago"),
    "Ownership.left": (Way.ON, ""),
    "Clock.now_ms": (Way.WITHIN, "reads a clock"),
    "Clock.monotonic": (Way.WITHIN, "reads a clock"),
}


class How(StrEnum):
    """What happens to the process. Stopped, it goes on once another replica has done its work, or has just taken over.

    The latter only where it has something to write or to send next: see `RACING`.
    """

    KILL = "kill -9"
    STOP = "SIGSTOP"
    RACE = "SIGSTOP until the takeover"


RACING = frozenset(
    {
        *((method, "before") for method in (STATUS, FIRST, WRITE, "Trading.cancel", "Trading.place", "Repairs.repair")),
        (OWNED, "after"),
    }
)


@dataclass(frozen=True, slots=True)
class Call:
    """The `number`-th call of a method, counted from the making of the plan; `when`: before or after."""

    method: str
    number: int
    when: str

    def __str__(self) -> str:
        return f"{self.when} {self.method} {self.number}"


@dataclass(frozen=True, slots=True)
class Point:
    """What happens, and where."""

    how: How
    call: Call

    def __str__(self) -> str:
        return f"{self.how} {self.call}"


def methods() -> set[str]:
    """Every method of every port, and the seams besides."""
    found = set(SEAMS)
    for name, port in vars(ports).items():
        if inspect.isclass(port) and port is not Protocol and getattr(port, "_is_protocol", False):
            own = (method for method, it in vars(port).items() if inspect.isfunction(it))
            found |= {f"{name}.{method}" for method in own if not method.startswith("_")}
    return found


def on_the_way() -> set[str]:
    """What a point is made of."""
    return {method for method, (way, _) in TABLE.items() if way is Way.ON}


def watched() -> set[str]:
    """What is counted: all but what happens within the process."""
    return {method for method, (way, _) in TABLE.items() if way is not Way.WITHIN}


def calls(trace: Iterable[str]) -> list[Call]:
    """The lines of a trace."""
    rows = (line.split() for line in trace)
    return [Call(method, int(number), when) for method, number, when in rows]


def way(recorded: Sequence[Call]) -> list[Call]:
    """`recorded` as far as the report that tells of the plan's end."""
    last = max(place for place, call in enumerate(recorded) if call.method == WRITE)
    later = enumerate(recorded[last + 1 :], last + 1)
    told = next((place for place, call in later if (call.method, call.when) == (STATUS, "after")), last)
    return list(recorded[: told + 1])


def points(recorded: Sequence[Call], since: str = "") -> list[Point]:
    """All that can happen at each call, or at each from the first of the method `since` on."""
    methods_called = [call.method for call in recorded]
    begin = methods_called.index(since) if since else 0
    return [
        Point(how, call)
        for call in recorded[begin:]
        for how in How
        if how is not How.RACE or (call.method, call.when) in RACING
    ]


def dangerous(recorded: Sequence[Call], action: str, *, answered_only: bool = False) -> list[Point]:
    """Around the first call of `action`: it is written ahead, leaves, is answered, and written down as done.

    `answered_only`: from the answer on.
    """
    leaves, answered = (recorded.index(Call(action, 1, when)) for when in ("before", "after"))

    def last(method: str, when: str, calls: Sequence[Call]) -> list[Call]:
        return [call for call in calls if (call.method, call.when) == (method, when)][-1:]

    end = [recorded[answered], *last(WRITE, "before", recorded)]
    if answered_only:
        return [Point(How.KILL, call) for call in end]
    killed = [*last(WRITE, "after", recorded[:leaves]), recorded[leaves], *end]
    signed = last(OWNED, "after", recorded[leaves:answered])
    return [*(Point(How.STOP, call) for call in signed), *(Point(How.KILL, call) for call in killed)]

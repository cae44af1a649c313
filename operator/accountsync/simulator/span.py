"""The stretch of time and the number of rows that a question about the past asks for, as Binance reads them.

Sources: the notes of "Account Trade List", "Get Income History" and "User's Force Orders" in its USD-M futures
documentation, and its error-code page.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from accountsync.simulator import refusals
from accountsync.simulator.call import Call

T = TypeVar("T")
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
KEPT_DAYS = 90


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to `end` (ms, both included), and which rows of it: the oldest `limit`, or the `newest`."""

    start: int
    end: int
    limit: int
    newest: bool

    def choose(self, rows: Iterable[T], time: Callable[[T], int], page: int = 1) -> list[T]:
        """The rows that are within, in their own order; `page` counts from 1 and pages of the newest do not exist."""
        within = [row for row in rows if self.start <= time(row) <= self.end]
        if self.newest:
            return within[-self.limit :]
        return within[(page - 1) * self.limit : page * self.limit]


def asked_span(call: Call, *, default_limit: int, max_limit: int) -> Span:
    """What the call asks for: without startTime, the newest rows of the seven days before endTime (now).

    Raises Refusal: -1102 for what is no number, -1130 for a limit out of range, -1023 for an end before the start.
    """
    start, end = call.integer("startTime"), call.integer("endTime")
    if start is not None and end is not None and start > end:
        raise refusals.start_after_end()
    limit = call.integer("limit")
    if limit is None:
        limit = default_limit
    elif not 1 <= limit <= max_limit:
        raise refusals.invalid("limit")
    until = call.now_ms if end is None else end
    oldest = call.now_ms - KEPT_DAYS * DAY_MS
    return Span(max(until - WEEK_MS if start is None else start, oldest), until, limit, newest=start is None)


def week_span(call: Call, first_id: int | None) -> Span:
    """As `asked_span`, of no more than seven days, or of all that is kept if only the first id is sent.

    Raises Refusal: -4165 for a longer span, -4166 for one that starts more than 90 days ago.
    """
    span = asked_span(call, default_limit=500, max_limit=1000)
    start, end = call.integer("startTime"), call.integer("endTime")
    oldest = call.now_ms - KEPT_DAYS * DAY_MS
    if start is None:
        return span if first_id is None or end is not None else replace(span, start=oldest, newest=False)
    if start < oldest:
        raise refusals.too_long_ago(KEPT_DAYS)
    if end is None:
        return replace(span, end=min(start + WEEK_MS, call.now_ms))
    if end - start > WEEK_MS:
        raise refusals.span_too_long(WEEK_MS // DAY_MS)
    return span

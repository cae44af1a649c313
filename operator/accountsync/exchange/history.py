"""What happened in a span of time: all of its rows, or none.

An exchange cuts a long answer short and does not always say at which end. So behind an answer with as many rows as fit
both ends of its span are asked for again: what is before its first row, and what is after its last. The parts overlap
by a moment, so that it does not matter whether an end is included; whoever takes the rows has to see to those that come
twice.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from accountsync.domain.account import Fill
from accountsync.domain.finding import sanitize
from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.exchange.numbers import malformed

MOST_ANSWERS = 20
DAY_MS = 86_400_000

Row = Mapping[str, Any]
Ask = Callable[[int, int | None], Awaitable[list[Row]]]
"""The rows from one moment to another, both in exchange ms; None: to the present."""
Reserve = Callable[[int], AbstractContextManager[None]]
"""Holds request weight while a request of that weight is made."""


async def whole(
    ask: Ask, when: Callable[[Row], int], since: int, now_ms: int, *, rows: int, span_ms: int | None, what: str
) -> list[Row]:
    """Every row from `since` on, some of them twice.

    `when`: a row's time. `rows`: how many fit into an answer. `span_ms`: what a span must be shorter than; None: it may
    be of any length. The last one has no end, since `now_ms` is only about the exchange's present. Raises
    ExchangeUnobserved (ExchangeMalformed) where `MOST_ANSWERS` are not enough, or one moment fills a whole answer.
    """
    waiting = list(_spans(since, now_ms, span_ms))
    found: list[Row] = []
    for _ in range(MOST_ANSWERS if len(waiting) <= MOST_ANSWERS else 0):
        start, end = waiting.pop()
        answer = await ask(start, end)
        found += answer
        if len(answer) >= rows:
            times = [when(row) for row in answer]
            rest = [(start, min(times) + 1), (max(times), end)]
            if (start, end) in rest:
                raise malformed(f"an answer holds no more than {rows} of {what}, and one moment has as many")
            waiting += rest
        if not waiting:
            return found
    raise malformed(f"there is more of {what} than {MOST_ANSWERS} answers hold")


def require_kept(since: int, now_ms: int, days: int | None, what: str) -> None:
    """Raise ExchangeUnobserved (ExchangeRefused) where `since` is further back than `what` is kept."""
    if days is not None and since < now_ms - days * DAY_MS:
        raise ExchangeUnobserved(
            Reason.EXCHANGE_REFUSED, f"{what} is kept for {days} days, and was asked for from before that"
        )


def in_order(fills: Iterable[Fill], since: int) -> tuple[Fill, ...]:
    """Those from `since` on by time and id, each once. Raises ExchangeUnobserved for one that is told in two ways."""
    known: dict[str, Fill] = {}
    for fill in fills:
        if known.setdefault(fill.id, fill) != fill:
            raise malformed(f"fill {sanitize(fill.id)} of {sanitize(fill.symbol)} is told in two ways")
    kept = (fill for fill in known.values() if fill.time >= since)
    return tuple(sorted(kept, key=lambda fill: (fill.time, len(fill.id), fill.id)))


def _spans(since: int, now_ms: int, span_ms: int | None) -> Iterator[tuple[int, int | None]]:
    while span_ms is not None and now_ms - since >= span_ms:
        yield since, since + span_ms - 1
        since += span_ms - 1
    yield since, None

"""When candles begin and end: pure functions of an interval and a stretch of time, all in Unix ms and UTC.

Source: "Kline/Candlestick Data" in Binance's USD-M futures documentation for the intervals. Weeks begin on Monday,
months on their first day, all others on a multiple of their length since the epoch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
FIRST_MONDAY_MS = 4 * DAY_MS  # the epoch was a Thursday
MONTHS = 12
LENGTHS = {
    **{f"{number}m": number * MINUTE_MS for number in (1, 3, 5, 15, 30)},
    **{f"{number}h": number * HOUR_MS for number in (1, 2, 4, 6, 8, 12)},
    **{f"{number}d": number * DAY_MS for number in (1, 3)},
    "1w": WEEK_MS,
}
MONTH = "1M"


@dataclass(frozen=True, slots=True)
class Candle:
    """From `open_ms` to `close_ms`, the last millisecond that belongs to it."""

    open_ms: int
    close_ms: int


def known(interval: str) -> bool:
    """Whether the exchange has candles of this length."""
    return interval == MONTH or interval in LENGTHS


def from_the_start(interval: str, start_ms: int, end_ms: int, limit: int) -> list[Candle]:
    """The first `limit` candles that open from `start_ms` to `end_ms`, both included; oldest first."""
    return _some(_onward(interval, start_ms), start_ms, end_ms, limit)


def up_to_the_end(interval: str, start_ms: int, end_ms: int, limit: int) -> list[Candle]:
    """The last `limit` of them; oldest first."""
    return _some(_backward(interval, end_ms), start_ms, end_ms, limit)[::-1]


def _some(candles: Iterator[Candle], start_ms: int, end_ms: int, limit: int) -> list[Candle]:
    found: list[Candle] = []
    for candle in candles:
        if len(found) == limit or not start_ms <= candle.open_ms <= end_ms:
            break
        found.append(candle)
    return found


def _onward(interval: str, start_ms: int) -> Iterator[Candle]:
    candle = _containing(interval, start_ms)
    if candle.open_ms < start_ms:
        candle = _containing(interval, candle.close_ms + 1)
    while True:
        yield candle
        candle = _containing(interval, candle.close_ms + 1)


def _backward(interval: str, end_ms: int) -> Iterator[Candle]:
    candle = _containing(interval, end_ms)
    while True:
        yield candle
        candle = _containing(interval, candle.open_ms - 1)


def _containing(interval: str, moment_ms: int) -> Candle:
    if interval == MONTH:
        return _month(moment_ms)
    length = LENGTHS[interval]
    offset = FIRST_MONDAY_MS if interval == "1w" else 0
    open_ms = (moment_ms - offset) // length * length + offset
    return Candle(open_ms, open_ms + length - 1)


def _month(moment_ms: int) -> Candle:
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    year, month = divmod(moment.year * MONTHS + moment.month, MONTHS)
    first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    following = datetime(year, month + 1, 1, tzinfo=UTC)
    return Candle(round(first.timestamp() * 1000), round(following.timestamp() * 1000) - 1)

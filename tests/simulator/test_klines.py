"""Candles: where they begin, which of them are answered, and what an unmodified ccxt makes of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulator.support import START_MS, Wire

from accountsync.simulator import Simulator
from accountsync.simulator.candles import LENGTHS, MONTH, from_the_start, up_to_the_end

PATH = "/fapi/v1/klines"
MINUTE = 60_000
YEAR_MS = 366 * 86_400_000


def opened(interval: str, at: datetime) -> str:
    moment = round(at.timestamp() * 1000)
    candle = up_to_the_end(interval, 0, moment, 1)[0]
    assert candle.open_ms <= moment <= candle.close_ms
    return datetime.fromtimestamp(candle.open_ms / 1000, UTC).isoformat(timespec="minutes").removesuffix("+00:00")


@pytest.mark.parametrize(
    ("interval", "begin"),
    [
        ("1m", "2026-12-31T23:59"),
        ("5m", "2026-12-31T23:55"),
        ("12h", "2026-12-31T12:00"),
        ("1d", "2026-12-31T00:00"),
        ("1w", "2026-12-28T00:00"),
        ("1M", "2026-12-01T00:00"),
    ],
)
def test_a_candle_begins_where_the_calendar_says(interval: str, begin: str) -> None:
    assert opened(interval, datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)) == begin


@given(
    st.sampled_from([*LENGTHS, MONTH]),
    st.integers(START_MS - YEAR_MS, START_MS),
    st.integers(0, YEAR_MS),
    st.integers(1, 20),
)
def test_candles_follow_one_another_without_a_gap(interval: str, start: int, length: int, limit: int) -> None:
    first = from_the_start(interval, start, start + length, limit)
    last = up_to_the_end(interval, start, start + length, limit)
    for candles in (first, last):
        assert all(start <= one.open_ms <= start + length for one in candles)
        assert all(two.open_ms == one.close_ms + 1 for one, two in pairwise(candles))
    assert len(first) == len(last)
    if len(first) < limit:
        assert first == last


async def test_the_newest_are_answered_and_the_last_is_still_open(public: Wire) -> None:
    rows = (await public.get(PATH, "symbol=BTCUSDT&interval=5m&limit=3")).json
    assert [row[6] - row[0] for row in rows] == [5 * MINUTE - 1] * 3
    assert rows[-1][0] <= START_MS <= rows[-1][6]
    price = "65000.00"
    nothing = ["0.000", "0.00", 0, "0.000", "0.00", "0"]
    assert [*rows[0][1:6], *rows[0][7:]] == [price] * 4 + nothing


async def test_or_the_oldest_from_a_start_on(public: Wire) -> None:
    start = START_MS - 60 * MINUTE
    rows = (await public.get(PATH, f"symbol=BTCUSDT&interval=1m&limit=5&startTime={start}")).json
    assert [row[0] - rows[0][0] for row in rows] == [0, MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE]
    assert start <= rows[0][0] < start + MINUTE
    none = await public.get(PATH, f"symbol=BTCUSDT&interval=1m&startTime={10**18}")
    assert none.json == []
    ended = (await public.get(PATH, f"symbol=BTCUSDT&interval=1m&limit=2&endTime={start}")).json
    assert ended[-1][0] <= start < ended[-1][6] + 1


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("interval=5m", -1102),
        ("symbol=BTCUSDT", -1102),
        ("symbol=NOPEUSDT&interval=5m", -1121),
        ("symbol=BTCUSDT&interval=7m", -1120),
        ("symbol=BTCUSDT&interval=5m&limit=0", -1130),
        ("symbol=BTCUSDT&interval=5m&limit=1501", -1130),
        ("symbol=BTCUSDT&interval=5m&startTime=2&endTime=1", -1023),
    ],
)
async def test_a_question_that_cannot_be_answered(public: Wire, query: str, code: int) -> None:
    assert (await public.get(PATH, query)).code == code


@pytest.mark.parametrize(("limit", "weight"), [(99, 1), (100, 2), (499, 2), (500, 5), (None, 5), (1000, 5), (1001, 10)])
async def test_more_candles_weigh_more(public: Wire, limit: int | None, weight: int) -> None:
    asked = "" if limit is None else f"&limit={limit}"
    assert (await public.get(PATH, f"symbol=BTCUSDT&interval=1d{asked}")).used_weight == weight


async def test_ccxt_reads_them(connect: Callable[..., Any], sim: Simulator) -> None:
    sim.world.set_mark_price("BTCUSDT", Decimal(64_000))
    exchange = connect()
    rows = await exchange.fetch_ohlcv("BTC/USDT:USDT", "1h", limit=24)
    assert len(rows) == 24
    assert rows[-1][1:] == [64_000, 64_000, 64_000, 64_000, 0]

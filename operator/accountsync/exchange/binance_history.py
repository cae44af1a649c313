"""Fills and income of Binance USD-M futures.

Source: "Account Trade List" (no span longer than 7 days; 6 months are kept, but error -4166 speaks of 90 days) and "Get
Income History" (three months are kept) of its documentation. Which rows of a span that has too many are told is not
documented; see history.py.
"""

from typing import Any

from accountsync.domain.account import Fill, Income
from accountsync.exchange.binance_rows import Row, read_fill, read_income, read_rows
from accountsync.exchange.history import DAY_MS, Reserve, in_order, require_kept, whole
from accountsync.exchange.numbers import malformed, moment

USER_TRADES_WEIGHT = 5
INCOME_WEIGHT = 30
ROWS = 1000
SPAN_MS = 7 * DAY_MS
KEPT_DAYS = 90
SAME_INCOME = ("incomeType", "tranId", "tradeId", "symbol", "asset", "time")
"""tranId is unique within its type, as documented; the others cost nothing."""


async def fills(client: Any, symbol: str, since: int, now_ms: int, reserve: Reserve) -> tuple[Fill, ...]:
    """Every fill of `symbol` from `since` on."""
    what = f"the fills of {symbol}"
    require_kept(since, now_ms, KEPT_DAYS, what)

    async def ask(start: int, end: int | None) -> list[Row]:
        with reserve(USER_TRADES_WEIGHT):
            answer = await client.fapiPrivateGetUserTrades({"symbol": client.market_id(symbol), **_span(start, end)})
        return read_rows(answer, what)

    rows = await whole(ask, _time, since, now_ms, rows=ROWS, span_ms=SPAN_MS, what=what)
    told = in_order((read_fill(client, row) for row in rows), since)
    if any(fill.symbol != symbol for fill in told):
        raise malformed(f"{what} are of another symbol")
    return told


async def income(client: Any, since: int, now_ms: int, reserve: Reserve) -> tuple[Income, ...]:
    """Every row of income from `since` on, oldest first."""
    what = "the income"
    require_kept(since, now_ms, KEPT_DAYS, what)

    async def ask(start: int, end: int | None) -> list[Row]:
        with reserve(INCOME_WEIGHT):
            answer = await client.fapiPrivateGetIncome(_span(start, end))
        return read_rows(answer, what)

    rows = await whole(ask, _time, since, now_ms, rows=ROWS, span_ms=SPAN_MS, what=what)
    distinct = {tuple(str(row.get(name)) for name in SAME_INCOME): row for row in rows}
    told = (read_income(row) for row in distinct.values())
    return tuple(sorted((row for row in told if row.time >= since), key=lambda row: row.time))


def _time(row: Row) -> int:
    return moment(row.get("time"), "the time of a row")


def _span(start: int, end: int | None) -> dict[str, int]:
    return {"startTime": start, "limit": ROWS} | ({} if end is None else {"endTime": end})

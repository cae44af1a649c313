"""Calls about the market and the wallet service: the same answer for every account."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from accountsync.simulator import candles, refusals, views_market, views_wallet
from accountsync.simulator.call import Call
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.refusals import Refusal

DEFAULT_CANDLES, MOST_CANDLES = 500, 1500
Row = Callable[[SymbolSpec, Decimal, int], dict[str, Any]]


def ping(_call: Call) -> object:
    """An empty object."""
    return {}


def time(call: Call) -> object:
    """What the exchange takes for the time."""
    return {"serverTime": call.now_ms}


def exchange_info(call: Call) -> object:
    """Limits and contracts."""
    specs = call.world.specs.values()
    assets = sorted({spec.margin_asset for spec in specs} | {spec.base for spec in specs})
    return {
        "timezone": "UTC",
        "serverTime": call.now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": views_market.rate_limits(call.limits),
        "exchangeFilters": [],
        "assets": [views_market.asset(name) for name in assets],
        "symbols": [views_market.contract(spec) for spec in specs],
    }


def price_ticker(call: Call) -> object:
    """One price, or all in a list."""
    return _one_or_all(call, views_market.price_ticker)


def premium_index(call: Call) -> object:
    """One mark price with funding, or all in a list."""
    return _one_or_all(call, views_market.premium_index)


def day_ticker(call: Call) -> object:
    """One day's statistics, or all in a list."""
    return _one_or_all(call, views_market.day_ticker)


def klines(call: Call) -> object:
    """Candles, oldest first: the newest without startTime, else the oldest from there.

    Refusals: -1120 for an interval that does not exist, -1130 for a limit out of range, -1023 for an end before the
    start.
    """
    spec, interval = call.required_symbol, call.required("interval")
    if not candles.known(interval):
        raise Refusal(-1120, "Invalid interval.")
    limit = call.integer("limit")
    if limit is None:
        limit = DEFAULT_CANDLES
    elif not 1 <= limit <= MOST_CANDLES:
        raise refusals.invalid("limit")
    start, end = call.integer("startTime"), call.integer("endTime")
    if start is not None and end is not None and start > end:
        raise refusals.start_after_end()
    first = max(start or 0, views_market.LISTED_MS)
    last = call.now_ms if end is None else min(end, call.now_ms)
    if first > last:
        return []
    choose = candles.up_to_the_end if start is None else candles.from_the_start
    chosen = choose(interval, first, last, limit)
    return [views_market.kline(spec, call.world.marks[spec.symbol], candle) for candle in chosen]


def leverage_bracket(call: Call) -> object:
    """One symbol's brackets, or all in a list."""
    rows = [views_market.leverage_bracket(spec) for spec in call.symbols]
    return rows[0] if call.symbol else rows


def coins(call: Call) -> object:
    """Every coin that the wallet knows."""
    specs = call.world.specs.values()
    names = sorted({spec.base for spec in specs} | {spec.quote for spec in specs})
    return [views_wallet.coin(name) for name in names]


def margin_pairs(call: Call) -> object:
    """Every pair that can be traded on margin."""
    return [
        views_wallet.margin_pair(number, spec.base, spec.quote)
        for number, spec in enumerate(call.world.specs.values(), start=1)
    ]


def system_status(_call: Call) -> object:
    """0: normal, 1: maintenance."""
    return {"status": 0, "msg": "normal"}


def _one_or_all(call: Call, row: Row) -> object:
    rows = [row(spec, call.world.marks[spec.symbol], call.now_ms) for spec in call.symbols]
    return rows[0] if call.symbol else rows

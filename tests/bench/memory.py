"""Memory of each further account: of ours on one venue, and of a ccxt instance of its own.

Each is measured in a child process of its own, by turns: `python -m tests.bench.memory CONTESTANT URL KEY SECRET`.
"""

import asyncio
import copy
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.bench.measure import Figure, beside, size, title
from tests.bench.snapshots import Place, by_ccxt, plain_ccxt, venues_on_loopback
from tests.support.running import ROOT

from accountsync.exchange import CcxtExchange

OURS, CCXT, CCXT_SHARING = "ours", "ccxt", "ccxt-sharing"
NAMES = {
    OURS: "CcxtExchange on one venue",
    CCXT: "a ccxt instance",
    CCXT_SHARING: "a ccxt instance given the markets of the first",
}
COUNTS = {OURS: 100, CCXT: 4, CCXT_SHARING: 10}
LISTED = 500
"""Markets on the exchange: the simulated one lists 5, so copies are added. The live one lists hundreds as well."""
REPETITIONS = 3
TIMEOUT = 60

Opened = list[Any]
Open = Callable[[], Awaitable[Any]]


def memory(place: Place) -> None:
    title(
        f"Memory of one more account that has been read once, with {LISTED} markets"
        f" (mean of {', '.join(f'{count} {name}' for name, count in COUNTS.items())})"
    )
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for _ in range(REPETITIONS):
        for name, figures in measured.items():
            figures.append(_child(name, place))
    for kind, heading in (("traced", "Python's objects (tracemalloc)"), ("resident", "resident set (/proc)")):
        if not all(figure[kind] for figures in measured.values() for figure in figures):
            print(f"  {heading}: not to be had on this system")
            continue
        ours, *others = (
            Figure(NAMES[name], tuple(figure[kind] for figure in figures)) for name, figures in measured.items()
        )
        beside(heading, ours, others, size)


def _child(name: str, place: Place) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.memory", name, place.url, place.key, place.secret]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


# --- in the child ----------------------------------------------------------------------------------------------------


async def _measure(name: str, place: Place) -> dict[str, float]:
    opened: list[Any] = []
    closing: list[Callable[[], Awaitable[Any]]] = []
    open_one = await _opener(name, place, closing)
    try:
        opened.append(await open_one())
        resident = await _growth(open_one, opened, COUNTS[name], _resident)
        tracemalloc.start()
        traced = await _growth(open_one, opened, COUNTS[name], lambda: tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    finally:
        for one in opened:
            await one.close()
        for close in closing:
            await close()
    return {"resident": resident, "traced": traced}


async def _growth(open_one: Open, opened: Opened, count: int, used: Callable[[], float]) -> float:
    gc.collect()
    before = used()
    for _ in range(count):
        opened.append(await open_one())
    gc.collect()
    return (used() - before) / count


async def _opener(name: str, place: Place, closing: list[Callable[[], Awaitable[Any]]]) -> Open:
    """What opens one more account and reads it once."""
    if name == OURS:
        venues = venues_on_loopback()
        closing.append(venues.close)
        venue = venues.get("binanceusdm", endpoint=place.url)
        await venue.ready()
        _list_more(venue._template)

        async def ours() -> CcxtExchange:
            exchange = CcxtExchange(venue, place.credentials)
            await exchange.snapshot()
            return exchange

        return ours

    first = plain_ccxt(place)
    closing.append(first.close)
    await first.load_markets()
    _list_more(first)

    async def theirs() -> Any:
        client = plain_ccxt(place)
        if name == CCXT_SHARING:
            client.set_markets_from_exchange(first)
        else:
            await client.load_markets()
            _list_more(client)
        await by_ccxt(client)
        return client

    return theirs


def _list_more(client: Any) -> None:
    """As many markets as a real exchange has, each with a name of its own."""
    rows = list(client.markets.values())
    for number in range(LISTED - len(rows)):
        row = copy.deepcopy(rows[number % len(rows)])
        base = f"C{number}"
        row |= {"id": f"{base}USDT", "symbol": f"{base}/USDT:USDT", "base": base, "baseId": base}
        rows.append(row)
    client.set_markets(rows)


def _resident() -> float:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    return float(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    contestant, *rest = sys.argv[1:]
    print(json.dumps(asyncio.run(_measure(contestant, Place(*rest)))))

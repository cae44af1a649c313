"""`make bench-ledger`: 100,000 open slices of a real PostgreSQL against 1,000 positions, beside a pandas merge.

Each contestant runs in a process of its own, by turns, and finds the same ghosts. CPU time is that of the process, not
of the server; peak memory is the process's, with what it had before it began beside it. Measured, never asserted, but
for what is found.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from typing import Any

import psycopg
from tests.bench.measure import Figure, beside, note, size, span, title
from tests.support.postgres import Postgres, PostgresFiles
from tests.support.running import ROOT

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import Secret
from accountsync.bot.ledger.pool import Pools
from accountsync.bot.ledger.postgres import PostgresLedger
from accountsync.domain.account import AccountSnapshot, Position, PositionSide
from accountsync.domain.parity import GhostKey, Open, collect, look, tally_up
from accountsync.domain.policy import Parity
from accountsync.domain.sharing import Sharing

SLICES, SYMBOLS, GHOSTS = 100_000, 1_000, 10
REPETITIONS = 5
OURS, PANDAS, FETCHED = "streamed and judged", "pandas: fetch all and merge", "psycopg: fetch all"
FILL = """
INSERT INTO {schema}.slices
SELECT 'grid', 't' || n, 'tag', 'S' || n %% %(symbols)s || '/USDT:USDT', 'long', 'c-' || n, 0.001 * (1 + n %% 7), 100,
       'open', now() - interval '1 hour', NULL, now()
FROM generate_series(0, %(slices)s - 1) n
"""
QUERY = (
    "SELECT trade_id, sub_tag, symbol, side, entry_client_order_id, quantity, entry_price, opened_at"
    " FROM {schema}.slices WHERE profile = 'grid' AND status IS DISTINCT FROM 'closed'"
)


def positions() -> tuple[Position, ...]:
    """The exchange's side: the first GHOSTS symbols are gone there."""
    held = [Decimal(0)] * SYMBOLS
    for number in range(SLICES):
        held[number % SYMBOLS] += Decimal("0.001") * (1 + number % 7)
    return tuple(Position(f"S{number}/USDT:USDT", PositionSide.NET, held[number]) for number in range(GHOSTS, SYMBOLS))


# --- in the child ----------------------------------------------------------------------------------------------------


async def streamed(dsn: str, schema: str, listed: tuple[Position, ...]) -> int:
    """A pass over all, and one over the slices of ghosts, as a run makes them. How many slices are ghosts."""

    async def secret() -> Secret:
        return {"dsn": dsn}

    pools = Pools(AddressPolicy(["postgres://127.0.0.1:*"]))
    ledger = PostgresLedger(
        pools, secret, secret_name="s", namespace="n", profile="grid", schema=schema, source="bench", timeout=60
    )
    now = int(time.time() * 1000)
    ghosts = 0
    async with ledger.locked(lambda symbol: symbol) as held:
        virtual: dict[GhostKey, Open] = {}
        async for batch in held.slices():
            for key, rows in tally_up(batch).items():
                virtual[key] = virtual[key] + rows if key in virtual else rows
        snapshot = AccountSnapshot(now, positions=listed)
        terms = Parity(confirmations=1)
        seen = look(virtual, snapshot, now, Sharing(), terms, {}, grace_ms=0)
        async for batch in held.slices({symbol for symbol, _ in seen.confirmed}):
            ghosts += sum(len(rows) for rows in collect(batch, seen.confirmed).values())
    await pools.close()
    return ghosts


def merged(dsn: str, schema: str, listed: tuple[Position, ...]) -> int:
    """A frame of all rows, summed by symbol and joined with a frame of the positions."""
    import pandas as pd  # noqa: PLC0415 - only where it is measured

    with closing(psycopg.connect(dsn)) as connection:
        rows = connection.execute(QUERY.format(schema=schema).encode()).fetchall()
    names = ["trade_id", "sub_tag", "symbol", "side", "entry", "quantity", "price", "opened"]
    slices = pd.DataFrame(rows, columns=names)
    held = pd.DataFrame([(row.symbol, row.quantity) for row in listed], columns=["symbol", "held"])
    sums = slices.groupby("symbol", as_index=False)["quantity"].sum().merge(held, on="symbol", how="left")
    ghosts = sums[sums["held"].isna() & (sums["quantity"] != 0)]["symbol"]
    return int(slices["symbol"].isin(ghosts).sum())


def fetched(dsn: str, schema: str, listed: tuple[Position, ...]) -> int:
    """Only what it costs to have all rows as Python's objects."""
    with closing(psycopg.connect(dsn)) as connection:
        rows = connection.execute(QUERY.format(schema=schema).encode()).fetchall()
    there = {row.symbol for row in listed}
    return sum(row[2] not in there for row in rows)


WORK: dict[str, Callable[[str, str, tuple[Position, ...]], int]] = {
    OURS: lambda dsn, schema, listed: asyncio.run(streamed(dsn, schema, listed)),
    PANDAS: merged,
    FETCHED: fetched,
}


def _peak() -> float:
    """Bytes; macOS tells them as such, Linux in KiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def child(name: str, dsn: str, schema: str) -> None:
    if name == PANDAS:
        import pandas as pd  # noqa: PLC0415

        pd.DataFrame()
    listed = positions()
    before, cpu, wall = _peak(), time.process_time(), time.monotonic()
    found = WORK[name](dsn, schema, listed)
    figures = {
        "cpu": time.process_time() - cpu,
        "wall": time.monotonic() - wall,
        "before": before,
        "peak": _peak(),
        "found": found,
    }
    print(json.dumps(figures))


# --- the parent ------------------------------------------------------------------------------------------------------


def _measured(name: str, dsn: str, schema: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.ledger", "--child", name, "--dsn", dsn, "--schema", schema]
    if hasattr(os, "sched_getaffinity") and (taskset := "/usr/bin/taskset") and os.path.exists(taskset):  # noqa: PTH110
        command = [taskset, "-c", str(min(os.sched_getaffinity(0))), *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("--child", "--dsn", "--schema"):
        parser.add_argument(option, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.dsn, options.schema)
        return
    files = PostgresFiles()
    try:
        with Postgres(files, "bench") as postgres:
            schema = postgres.schema()
            with postgres.admin() as connection:
                values: dict[str, Any] = {"symbols": SYMBOLS, "slices": SLICES}
                connection.execute(FILL.format(schema=schema).encode(), values)
                connection.execute(f"VACUUM ANALYZE {schema}.slices".encode())
            race(postgres.dsn(), schema)
    finally:
        files.close()


def race(dsn: str, schema: str) -> None:
    """All contestants, by turns."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in WORK}
    for _ in range(REPETITIONS):
        for name, figures in taken.items():
            figures.append(_measured(name, dsn, schema))
    found = {figure["found"] for figures in taken.values() for figure in figures}
    assert found == {SLICES // SYMBOLS * GHOSTS}, f"the contestants found {found}"
    title(
        f"{SLICES:,} open slices against {SYMBOLS:,} positions, {GHOSTS} symbols of ghosts; {REPETITIONS} repetitions"
    )
    kinds = (
        ("CPU of the process", "cpu", span),
        ("elapsed; the process has one core, the server others", "wall", span),
    )
    for heading, kind, unit in (*kinds, ("peak resident set", "peak", size)):
        ours, *others = (Figure(name, tuple(row[kind] for row in rows)) for name, rows in taken.items())
        beside(heading, ours, others, unit)
    growth = {name: max(row["peak"] - row["before"] for row in rows) for name, rows in taken.items()}
    note("grown by at most: " + ", ".join(f"{name} {size(octets)}" for name, octets in growth.items()))
    note("ours checks each row, reads those of ghosts a second time, and tells which rows it judged")


if __name__ == "__main__":
    main()

"""`make bench-detect`: detect and confirm on 100 to 1,000,000 orders, beside a bare join, deepdiff and polars.

All of them compare the same objects in the same run. The bare join does what no account should be judged by: it finds
what differs, and neither doubts nor proves nor says anything. Measured, never asserted; also written as JSON.
"""

import argparse
import gc
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import deepdiff
import polars as pl
from tests.bench.book import Book, as_dicts, book
from tests.bench.joins import joining, judging
from tests.bench.measure import Contestant, Figure, measured

from accountsync.domain.account import Order
from accountsync.domain.expected import ExpectedOrder

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
ONE_IN = 10
DEEPDIFF_UP_TO = 1_000
FIELDS = ("side", "quantity", "filled", "price", "status")


@dataclass(frozen=True, slots=True)
class Measured:
    """Orders a second of each contestant, on `orders` orders."""

    orders: int
    differing: bool
    speeds: dict[str, float]


def deepdiffing(both: Book) -> Callable[[int], None]:
    """deepdiff of two dictionaries of the objects by key; the belief's are made objects of the same class before."""
    listed = {(row.symbol, row.id): row for row in both.snapshot.orders}
    like = both.snapshot.orders[0]
    believed = {(row.symbol, row.id): _as_order(row, like) for row in both.belief.orders or ()}

    def work(loops: int) -> None:
        for _ in range(loops):
            deepdiff.DeepDiff(believed, listed)

    return work


def _as_order(row: ExpectedOrder, like: Order) -> Order:
    assert row.side is not None
    assert row.quantity is not None
    assert row.filled is not None
    return replace(
        like,
        id=row.id,
        client_id=row.client_id,
        symbol=row.symbol,
        side=row.side,
        quantity=row.quantity,
        filled=row.filled,
        price=row.price,
    )


def frames(both: Book) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both sides as polars has them; quantities as text, which is what stays exact."""
    listed, believed = (
        pl.DataFrame([{name: str(value) for name, value in row.items()} for row in as_dicts(rows)])
        for rows in (both.snapshot.orders, both.belief.orders or ())
    )
    return listed, believed


def joined(listed: pl.DataFrame, believed: pl.DataFrame) -> int:
    """How many rows differ."""
    outer = listed.join(believed, on=["symbol", "id"], how="full", suffix="_believed", coalesce=True)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_believed")) for name in FIELDS)
    return int(outer.filter(differs).height)


def polars_with_frames(both: Book) -> Callable[[int], None]:
    """A polars join that builds its frames from the objects."""

    def work(loops: int) -> None:
        for _ in range(loops):
            joined(*frames(both))

    return work


def polars_alone(both: Book) -> Callable[[int], None]:
    """A polars join of frames that are there already."""
    listed, believed = frames(both)

    def work(loops: int) -> None:
        for _ in range(loops):
            joined(listed, believed)

    return work


CONTESTANTS: dict[str, Callable[[Book], Callable[[int], None]]] = {
    "detect + confirm": judging,
    "bare join": joining,
    "deepdiff": deepdiffing,
    "polars": polars_with_frames,
    "polars, frames given": polars_alone,
}


def race(orders: int, *, differing: bool) -> tuple[Measured, list[Figure]]:
    """All contestants on one book."""
    both = book(orders, differing=differing, one_in=ONE_IN)
    gc.collect()
    gc.freeze()  # a million objects that stay are not what is measured
    entered = [
        Contestant(name, make(both))
        for name, make in CONTESTANTS.items()
        if name != "deepdiff" or orders <= DEEPDIFF_UP_TO
    ]
    figures = measured(*entered, repetitions=7 if orders < 100_000 else 3)
    gc.unfreeze()
    return Measured(orders, differing, {figure.name: orders / figure.median for figure in figures}), figures


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path(".artifacts/bench-detect.json"))
    parser.add_argument("--up-to", type=int, default=SIZES[-1], help="leave larger books out")
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()};"
        f" deepdiff {version('deepdiff')}, polars {version('polars')}\n"
        "Orders a second, by CPU time of all threads; medians of repetitions that take turns.\n"
    )
    columns = [*CONTESTANTS]
    print(
        f"{'orders':>9} {'differing':>9} " + " ".join(f"{name:>20}" for name in columns) + f"{'ours / bare join':>18}"
    )
    rows = []
    for orders in (size for size in SIZES if size <= options.up_to):
        for differing in (False, True):
            row, figures = race(orders, differing=differing)
            rows.append(row)
            ratio = figures[1].over(figures[0]).median
            cells = " ".join(f"{row.speeds[name]:>20,.0f}" if name in row.speeds else f"{'-':>20}" for name in columns)
            print(f"{orders:>9,} {f'1 in {ONE_IN}' if differing else 'none':>9} {cells} {ratio:>17.2f}", flush=True)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    content = [{"orders": row.orders, "differing": row.differing, "ordersPerSecond": row.speeds} for row in rows]
    options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {options.json}", file=sys.stderr)


if __name__ == "__main__":
    main()

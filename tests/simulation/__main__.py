"""`make simulate`: many worlds, spread over the cores; or one of them, told as it happens."""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.life import Life, live
from tests.simulation.tally import Tally

A_LOT = 25
"""Worlds that a process lives at a time."""
SHOWN = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="where to begin")
    parser.add_argument("--seed", type=int, help="only this world, told as it happens")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    asked = parser.parse_args()
    return one(asked.seed) if asked.seed is not None else many(asked.first, asked.seeds, asked.jobs)


def one(seed: int) -> int:
    life = live(seed, say=print)
    print(f"\nseed {seed}: {life.nature}")
    print(life.failure or f"all is well after {life.hours:.1f} account-hours, {life.cycles} cycles")
    return bool(life.failure)


def many(first: int, count: int, jobs: int) -> int:
    tally, seconds, began = Tally(), 0.0, time.monotonic()
    lots = [(start, min(start + A_LOT, first + count)) for start in range(first, first + count, A_LOT)]
    with ProcessPoolExecutor(jobs) as pool:
        for number, (lives, spent) in enumerate(pool.map(_lot, lots), 1):
            tally.add(lives)
            seconds += spent
            if sys.stderr.isatty():
                print(f"\r{number * 100 // len(lots)} %, {len(tally.failed)} failed", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(tally.report(seconds))
    print(f"{time.monotonic() - began:.0f} s on {jobs} processes")
    for life in tally.failed[:SHOWN]:
        print(f"\nFAILED {life}\n    again, and in full: make simulate SEED={life.seed}")
    if tally.failed:
        seeds = " ".join(str(life.seed) for life in tally.failed)
        print(f"\n{len(tally.failed)} of {tally.lives} worlds failed: seeds {seeds}")
    return bool(tally.failed)


def _lot(seeds: tuple[int, int]) -> tuple[list[Life], float]:
    began = time.process_time()
    lives = [live(seed) for seed in range(*seeds)]
    return lives, time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())

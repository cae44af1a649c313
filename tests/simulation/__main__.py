"""`make simulate`: many worlds, spread over the cores; or one of them, told as it happens."""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.ledgers import life as ledgers
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
    if asked.seed is not None:
        return one(asked.seed) | one_of_ledgers(asked.seed)
    return many(asked.first, asked.seeds, asked.jobs) | many_of_ledgers(asked.first, asked.seeds, asked.jobs)


def one(seed: int) -> int:
    life = live(seed, say=print)
    print(f"\nseed {seed}: {life.nature}")
    print(life.failure or f"all is well after {life.hours:.1f} account-hours, {life.cycles} cycles")
    return bool(life.failure)


def one_of_ledgers(seed: int) -> int:
    life = ledgers.live(seed, say=print)
    print(life.failure and str(life))
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


def many_of_ledgers(first: int, count: int, jobs: int) -> int:
    began, done, quarantined = time.monotonic(), Counter[str](), 0
    failed: list[ledgers.LedgerLife] = []
    with ProcessPoolExecutor(jobs) as pool:
        for life in pool.map(ledgers.live, range(first, first + count), chunksize=A_LOT):
            done += life.done
            quarantined += life.quarantined
            failed += [life] if life.failure else []
    written = ", ".join(f"{times} {what}" for what, times in sorted(done.items()))
    print(f"\n{count} worlds of ledgers, in {time.monotonic() - began:.0f} s")
    print(f"written to ledgers: {written}; {quarantined} slices stayed open, for a reason")
    for life in failed[:SHOWN]:
        print(f"\nFAILED {life}\n    again: make simulate SEED={life.seed}")
    return bool(failed)


def _lot(seeds: tuple[int, int]) -> tuple[list[Life], float]:
    began = time.process_time()
    lives = [live(seed) for seed in range(*seeds)]
    return lives, time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())

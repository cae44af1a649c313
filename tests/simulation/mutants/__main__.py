"""`make simulate-mutants`: deliberate bugs in the shipped code, each of which the simulation has to notice."""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.simulation.mutants.judging import SEEDS, judge, names


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate-mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="worlds that a mutant may survive")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument("mutants", nargs="*", help="only these")
    asked = parser.parse_args()
    chosen = asked.mutants or names()
    print(f"{'mutant':32} {'':9} {'seed':>5} {'':8}  by")
    with ThreadPoolExecutor(asked.jobs) as pool:
        verdicts = []
        for verdict in pool.map(lambda name: judge(name, asked.seeds), chosen):
            verdicts.append(verdict)
            print(verdict, flush=True)
    survivors = [verdict.mutant for verdict in verdicts if not verdict.caught]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} were caught")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())

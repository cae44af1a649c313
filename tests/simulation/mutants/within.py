"""Lives worlds in the process that has a mutant: the exit code says whether one noticed it."""

import sys
from pathlib import Path

from tests.simulation.mutants.judging import CAUGHT, SURVIVED, worlds

import accountsync


def main(folder: str, seeds: str, mutant: str) -> int:
    place = Path(accountsync.__file__ or "").resolve()
    assert place.is_relative_to(Path(folder).resolve()), f"the copy is not what is imported, but {place}"
    live = worlds(mutant)
    for seed in range(int(seeds)):
        failure = live(seed).failure
        if failure:
            print(seed, failure.splitlines()[0][:110])
            return CAUGHT
    return SURVIVED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

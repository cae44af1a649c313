"""`make bench`: what the parts cost, each beside a plain baseline in the same run. Measured, never asserted."""

import os
import platform
import time
from importlib.metadata import version

from tests.bench.judgement import detection, whole_cycle
from tests.bench.memory import memory
from tests.bench.scrape import scrape
from tests.bench.snapshots import simulated, snapshots

LIBRARIES = ("aiohttp", "ccxt", "orjson", "prometheus-client", "pydantic")


def main() -> None:
    began = time.monotonic()
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    print(
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs;"
        f" {libraries}\nTimes are CPU time of this process. Each figure: the median [least … most] of repetitions"
        " that take turns with the baseline's; ratios are taken within a repetition."
    )
    detection()
    whole_cycle()
    with simulated() as places:
        snapshots(places)
        memory(places["small"])
    scrape()
    print(f"\n{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()

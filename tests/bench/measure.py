"""CPU time of several contestants, turn and turn about, so that what disturbs the machine disturbs them all."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Work = Callable[[int], None]
"""Does its work so many times."""
MOST_LOOPS = 20_000
NAME_WIDTH = 48


@dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    work: Work


@dataclass(frozen=True, slots=True)
class Figure:
    """One value for each repetition."""

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def over(self, other: "Figure") -> "Figure":
        """The ratio within each repetition."""
        pairs = zip(self.values, other.values, strict=True)
        return Figure(f"{self.name} / {other.name}", tuple(ours / theirs for ours, theirs in pairs))

    def text(self, unit: Callable[[float], str]) -> str:
        return f"{unit(self.median):>9}  [{unit(min(self.values))} … {unit(max(self.values))}]"


def measured(*contestants: Contestant, repetitions: int = 9, seconds: float = 0.04) -> list[Figure]:
    """CPU seconds of this process for one run of each. A repetition takes about `seconds` of each contestant."""
    loops = [_loops(contestant.work, seconds) for contestant in contestants]
    taken: list[list[float]] = [[] for _ in contestants]
    turns = range(len(contestants))
    for repetition in range(repetitions):
        for turn in turns if repetition % 2 else reversed(turns):
            taken[turn].append(_cpu(contestants[turn].work, loops[turn]) / loops[turn])
    return [Figure(each.name, tuple(values)) for each, values in zip(contestants, taken, strict=True)]


def _loops(work: Work, seconds: float) -> int:
    """How many runs fill `seconds`; what is done once only, at first, is done here."""
    taken, loops = _cpu(work, 1), 1
    while taken < seconds and loops < MOST_LOOPS:
        if taken > seconds / 10 and loops > 1:
            break
        loops *= 4
        taken = _cpu(work, loops)
    return max(1, min(MOST_LOOPS, math.ceil(loops * seconds / max(taken, 1e-9))))


def _cpu(work: Work, loops: int) -> float:
    gc.collect()
    began = time.process_time()
    work(loops)
    return time.process_time() - began


# --- what is printed -------------------------------------------------------------------------------------------------


def title(text: str) -> None:
    print(f"\n{text}", flush=True)


def beside(heading: str, ours: Figure, baselines: Sequence[Figure], unit: Callable[[float], str]) -> None:
    """Ours, and each baseline with the ratio ours / baseline."""
    print(f"  {heading}")
    print(f"    {ours.name:{NAME_WIDTH}}{ours.text(unit)}")
    for baseline in baselines:
        ratio = ours.over(baseline).text(times)
        print(f"    {baseline.name:{NAME_WIDTH}}{baseline.text(unit):36} ours / this: {ratio.strip()}", flush=True)


def note(text: str) -> None:
    print(f"    {text}", flush=True)


def span(seconds: float) -> str:
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 100 else f"{seconds * factor:.0f} {unit}"
    return f"{seconds:.2f} s"


def size(octets: float) -> str:
    if octets < 2**20:
        return f"{octets / 2**10:.1f} KiB"
    return f"{octets / 2**20:.2f} MiB"


def times(ratio: float) -> str:
    return f"{ratio:.3g}"

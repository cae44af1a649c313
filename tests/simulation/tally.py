"""What many lives came to, so that worlds in which nothing happens do not pass for safe ones."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.simulation.life import Life


@dataclass(slots=True)
class Tally:
    """`hours`: of all accounts. `failed`: the lives in which something that must hold did not."""

    lives: int = 0
    hours: float = 0.0
    cycles: int = 0
    complete: int = 0
    doubtful: int = 0
    restarts: int = 0
    intervals: Counter[int] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rules: set[str] = field(default_factory=set)
    barks: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    mishaps: Counter[str] = field(default_factory=Counter)
    failed: list[Life] = field(default_factory=list)

    def add(self, lives: Iterable[Life]) -> "Tally":
        for life in lives:
            self.lives += 1
            self.hours += life.hours
            self.cycles += life.cycles
            self.complete += life.complete
            self.doubtful += life.doubtful
            self.restarts += life.restarts
            self.intervals[life.interval] += 1
            self.injected.update(life.injected)
            self.found.update(life.found)
            self.faults.update(life.faults)
            self.rules |= life.rules
            self.barks.update(life.barks)
            self.deeds.update(life.deeds)
            self.struck.update(life.struck)
            self.mishaps.update(life.mishaps)
            if life.failure:
                self.failed.append(life)
        return self

    def report(self, seconds: float) -> str:
        """`seconds`: of CPU."""
        intervals = ", ".join(f"{count} of {interval} s" for interval, count in sorted(self.intervals.items()))
        kinds = "\n".join(
            f"  {self.found[name]:5} of {count:5}  {name}" for name, count in sorted(self.injected.items())
        )
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return "\n".join(
            (
                (
                    f"{self.lives} worlds ({intervals} between cycles), {self.hours:,.0f} account-hours,"
                    f" {self.cycles:,} cycles ({self.complete:,} complete, {self.doubtful:,} with a difference),"
                    f" {self.restarts:,} restarts of the operator"
                ),
                (
                    f"{self.hours / seconds * 60:,.0f} account-hours a minute and core,"
                    f" {seconds / max(self.cycles, 1) * 1e6:,.0f} us of CPU a cycle"
                ),
                f"faults served: {faults}",
                f"holds of the watchdog: {', '.join(f'{count} {how}' for how, count in sorted(self.barks.items()))}",
                f"done about it: {', '.join(f'{count} {what}' for what, count in sorted(self.deeds.items()))}",
                f"what befell that: {', '.join(f'{count} {what}' for what, count in sorted(self.mishaps.items()))}",
                (
                    f"{self.struck.total():,} times the operator died or was stopped in the middle of that, at"
                    f" {len({where.rpartition(' at ')[2] for where in self.struck})} places"
                ),
                f"wrongs found, of those that were done ({self.found.total()} of {self.injected.total()}):",
                kinds,
            )
        )

"""The real clock, and one that is told what time it is."""

import time
from dataclasses import dataclass


class SystemClock:
    """Wall time and monotonic time of this machine."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def elapsed() -> float:
    """Seconds that never go back and that count the time in which the machine was suspended, unlike `monotonic`.

    Linux has a clock of its own for that. macOS counts suspend in CLOCK_MONOTONIC, which `time.monotonic` is not there.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(slots=True)
class ManualClock:
    """Moves only when told to. `wall` in Unix ms may be moved alone, as an administrator moves it."""

    wall: int = 0
    seconds: float = 0.0

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self.wall

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += round(seconds * 1000)
        self.seconds += seconds

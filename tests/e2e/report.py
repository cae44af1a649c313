"""What the suite prints: each step with what it saw, and at the end a table."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Step:
    """A step, while it runs and afterwards."""

    title: str
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    result: str = "FAILED"
    seen: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        return self.seen[0].splitlines()[0] if self.seen else ""

    def saw(self, text: str) -> None:
        """Print it now; the first one also stands in the table."""
        self.seen.append(text)
        print("\n".join(f"  {line}" for line in text.splitlines()), flush=True)


class Report:
    """Steps in order."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.began = time.monotonic()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Time what happens inside; it is ok unless it raises."""
        step = Step(title)
        self.steps.append(step)
        heading = f"── {len(self.steps)}. {title}"
        print(f"\n\033[1m{heading}\033[0m" if sys.stdout.isatty() else f"\n{heading}", flush=True)
        try:
            yield step
            step.result = "ok"
        finally:
            step.seconds = time.monotonic() - step.began
            print(f"  ({step.seconds:.1f} s)", flush=True)

    def table(self) -> str:
        """A line for each step, and the sum."""
        rows = [f"{row.result:6}  {row.seconds:5.1f} s  {row.title:60}  {row.summary}" for row in self.steps]
        passed = sum(step.result == "ok" for step in self.steps)
        total = time.monotonic() - self.began
        return "\n".join([*rows, f"{passed} of {len(self.steps)} steps passed, in {total:.0f} s"])

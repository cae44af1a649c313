"""An event loop whose time jumps to the next timer: hours pass in milliseconds, and twice the same in the same way."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.support.fakes import START_MS

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Instead of waiting, moves the time on."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        if timeout > 0:
            self.passed += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nothing but timers wakes a task."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.passed

    def leap(self, seconds: float) -> None:
        """Time passes, and nothing of this process runs meanwhile."""
        self._jump.passed += seconds


def leap(seconds: float) -> None:
    """The process is stopped for so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.leap(seconds)


class VirtualClock:
    """The clock of the loop that runs. `offset_ms`: how far its wall time is ahead of the true time."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return START_MS + self.offset_ms + int(asyncio.get_running_loop().time() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a new virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)

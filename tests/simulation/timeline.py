"""What happens in a world, in the order of its times; it is caught up with whenever somebody looks."""

from collections.abc import Callable
from heapq import heappop, heappush


class Timeline:
    """`now`: seconds of the happening that goes on, never later than the time to which it was caught up."""

    def __init__(self) -> None:
        self.now = 0.0
        self._count = 0
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """`act` happens `seconds` after what happens now."""
        self._count += 1
        heappush(self._waiting, (self.now + seconds, self._count, act))

    def catch_up(self, until: float) -> None:
        """Let everything happen that was due."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= until:
            self.now, _, act = heappop(waiting)
            act()
        self.now = until

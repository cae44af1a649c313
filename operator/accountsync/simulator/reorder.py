"""Answers that overtake each other: a few are gathered, and then sent last first.

Each answer says what was true when it was asked for, so the last to arrive tells the oldest story.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Batch:
    """Answers that wait together. Once it is `closed`, each one that leaves lets the one before it go."""

    waiting: list[asyncio.Event] = field(default_factory=list)
    closed: bool = False

    def close(self) -> None:
        self.closed = True
        self.pass_on()

    def pass_on(self) -> None:
        if self.closed and self.waiting:
            self.waiting[-1].set()


@dataclass(slots=True)
class Reordering:
    """The state of one fault: the batch that is being gathered, of `size` answers or what came within `seconds`."""

    size: int
    seconds: float
    _open: _Batch | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn; the answer must have been sent when this is left."""
        batch = self._open
        if batch is None:
            batch = self._open = _Batch()
            asyncio.get_running_loop().call_later(self.seconds, self._close, batch)
        turn = asyncio.Event()
        batch.waiting.append(turn)
        if len(batch.waiting) >= self.size:
            self._close(batch)
        try:
            await turn.wait()
            yield
        finally:
            batch.waiting.remove(turn)
            batch.pass_on()

    @property
    def waiting(self) -> list[asyncio.Event]:
        """Those that are being gathered, in order of arrival."""
        return self._open.waiting if self._open else []

    def let_go(self) -> None:
        """Gather no longer: what waits is sent, last first."""
        if self._open:
            self._close(self._open)

    def _close(self, batch: _Batch) -> None:
        if batch is self._open:
            self._open = None
        if not batch.closed:
            batch.close()

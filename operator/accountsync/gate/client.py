"""A gate as a bot in Python asks it: at once, from memory.

    async with Gate("http://127.0.0.1:8711") as gate:
        gate.check()                # before an entry: raises GateClosed
        gate.check(reduce=True)     # before an exit: passes under ReduceOnly

In:  the gate's stream of events, read in the background. Out: `answer`, and `check`.

Invariants:
1. No call on the hot path waits, or asks anybody: it looks at the last answer and at a clock.
2. It is closed before the first answer, and once the gate was not heard for `fail_closed_after`, whatever became of the
   connection meanwhile: the gate gives a sign of life three times in that span.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from accountsync.clock import elapsed
from accountsync.gate.answer import Answer, Why, closed

URL: Final = "http://127.0.0.1:8711"
SIGNS: Final = 3
"""Of life, within the grace."""
LEAST, MOST = 1.0, 180.0
AGAIN: Final = 0.25
"""Seconds between two attempts to connect."""
LINE_MAX: Final = 1024 * 1024
_OK: Final = 200
log = logging.getLogger("accountsync.gate")


class GateClosed(Exception):  # noqa: N818 - no error: an answer
    """The bot may not do it. `answer`: why."""

    def __init__(self, answer: Answer) -> None:
        reasons = "; ".join(f"{cause.reason}: {cause.message}" for cause in answer.causes)
        super().__init__(f"the gate is {answer.word}: {reasons}")
        self.answer = answer


class Gate:
    """The gate at `url`, from `async with` on. `fail_closed_after`: seconds of silence after which it is closed."""

    def __init__(
        self, url: str = URL, *, fail_closed_after: float = 10.0, now: Callable[[], float] = elapsed, token: str = ""
    ) -> None:
        if not LEAST <= fail_closed_after <= MOST:
            raise ValueError(f"fail_closed_after: expected {LEAST:g} to {MOST:g} seconds")
        self._url = url.rstrip("/")
        self._grace = fail_closed_after
        self._now = now
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._last = closed(Why.UNKNOWN, f"the gate at {self._url} has not answered yet")
        self._lost = closed(
            Why.GATE_LOST, f"nothing was heard of the gate at {self._url} for {fail_closed_after:g} s: does it run?"
        )
        self._heard_at: float | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def answer(self) -> Answer:
        """Now. A closed one that was heard stays as far closed as it was when the gate is lost."""
        if self._heard_at is None or self._now() - self._heard_at < self._grace or not self._last.open:
            return self._last
        return self._lost

    def check(self, *, reduce: bool = False) -> None:
        """Raise GateClosed unless the bot may trade; with `reduce`, unless it may at least reduce its exposure."""
        answer = self.answer
        if not (answer.may_reduce if reduce else answer.open):
            raise GateClosed(answer)

    async def wait_open(self) -> None:
        """Until the bot may trade."""
        while not self.answer.open:
            self._changed.clear()
            await self._changed.wait()

    async def publish(self, state: dict[str, Any]) -> None:
        """Tell the gate what the bot believes (docs/state.md). Raises ClientError, TimeoutError or ValueError."""
        assert self._session is not None, "use it in `async with`"
        timeout = aiohttp.ClientTimeout(total=self._grace)
        async with self._session.put(f"{self._url}/state", json=state, headers=self._headers, timeout=timeout) as told:
            if not told.ok:
                raise ValueError(f"the gate took no state: {(await told.text())[:500]}")

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._task = asyncio.create_task(self._follow(self._session))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        assert self._session is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._session.close()
        self._last = closed(Why.GATE_LOST, "nobody listens to the gate any more")

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        told = False
        while True:
            try:
                await self._listen(session)
                told = False
            except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                if not told:
                    log.warning("the gate at %s is not heard: %s", self._url, type(error).__name__)
                told = True
            await asyncio.sleep(AGAIN)

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._grace, sock_read=self._grace)
        query = {"every": f"{self._grace / SIGNS:g}"}
        async with session.get(f"{self._url}/gate/events", params=query, timeout=timeout) as response:
            if response.status != _OK:
                raise ValueError(f"status {response.status}")
            rest = b""
            async for chunk in response.content.iter_any():
                *events, rest = (rest + chunk).split(b"\n\n")
                if len(rest) > LINE_MAX:
                    raise ValueError("no stream of events")
                for event in events:
                    self._hear(event)

    def _hear(self, event: bytes) -> None:
        lines = [line.removeprefix(b"data: ") for line in event.split(b"\n") if line.startswith(b"data: ")]
        if lines:
            self._last = Answer.of(json.loads(lines[0]))
        elif self._heard_at is None:
            return
        self._heard_at = self._now()
        self._changed.set()

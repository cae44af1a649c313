"""One request that may leave once, and what is known of it afterwards.

aiohttp sends a GET or a DELETE again by itself when a connection breaks, and ccxt can be told to try again. What
changes an account must do neither, so this stands at the last place before the first byte.
"""

from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from aiohttp.connector import Connection

from accountsync.errors import OutcomeUnknown, Reason


@dataclass(slots=True)
class Once:
    """The fence of one request. `check` raises `NotSent` where it must not leave.

    `left`: it may have left. `status` and `body`: of the answer; None before there is one.
    """

    check: Callable[[], None]
    left: bool = False
    status: int | None = None
    body: bytes = b""

    def leave(self) -> None:
        """Called when the connection stands, right before the first byte. Raises what `check` raises.

        Raises OutcomeUnknown for a second request: what became of the first is for somebody to ask.
        """
        if self.left:
            raise OutcomeUnknown("the connection broke, and nothing is sent twice", Reason.EXCHANGE_UNREACHABLE)
        self.check()
        self.left = True

    def answered(self, status: int, body: bytes) -> None:
        """Keep the answer: what it means depends on more than whether it is an error."""
        self.status, self.body = status, body

    def request_class(self) -> type[aiohttp.ClientRequest]:
        """For a session of this request alone: it calls `leave` at its place."""
        leave = self.leave

        class Leaving(aiohttp.ClientRequest):
            async def send(self, conn: Connection) -> aiohttp.ClientResponse:
                leave()
                return await super().send(conn)

        return Leaving

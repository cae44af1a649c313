"""Which connections the gate's port takes, and for how long one may say nothing whole.

In:  connections, as they are made, and a factory of what serves them. Out: served ones; the others are cut.

Invariants:
1. The bot's own pod always gets in, however many others there are.
2. A connection on which no answer has begun after `FIRST_ANSWER` seconds is cut: half a request holds nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp.web import RequestHandler

from accountsync.gate.trust import Caller

CONNECTIONS_MAX: Final = 200
"""Of others than the bot's pod."""
FIRST_ANSWER: Final = 10.0
"""Seconds."""


class Door:
    """Serves connections by what `handler` makes, for `loop.create_server(door.connection, …)`."""

    def __init__(self, handler: Callable[[], RequestHandler], patience: float = FIRST_ANSWER) -> None:
        self._handler = handler
        self._patience = patience
        self._unanswered: set[asyncio.BaseProtocol] = set()
        self._others: set[asyncio.BaseTransport] = set()

    def connection(self) -> asyncio.Protocol:
        """What awaits a connection."""
        return _Arrival(self)

    def answered(self, handler: asyncio.BaseProtocol) -> None:
        """An answer begins."""
        self._unanswered.discard(handler)

    def arrived(self, transport: asyncio.Transport) -> None:
        """A connection was made."""
        if not is_own(transport):
            self._others = {each for each in self._others if not each.is_closing()}
            if len(self._others) >= CONNECTIONS_MAX:
                transport.abort()
                return
            self._others.add(transport)
        handler = self._handler()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        self._unanswered.add(handler)
        asyncio.get_running_loop().call_later(self._patience, self._expire, handler, transport)

    def _expire(self, handler: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        if handler in self._unanswered:
            self._unanswered.discard(handler)
            transport.abort()


class _Arrival(asyncio.Protocol):
    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._door.arrived(transport)


def is_own(transport: asyncio.BaseTransport | None) -> bool:
    """Whether a connection comes from the bot's pod."""
    return Caller(*ends(transport)).local


def ends(transport: asyncio.BaseTransport | None) -> tuple[str, str]:
    """The addresses of a connection: the other one's and our own."""
    peer, own = ((transport and transport.get_extra_info(end)) or ("",) for end in ("peername", "sockname"))
    return peer[0], own[0]

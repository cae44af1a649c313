"""A TCP proxy before PostgreSQL that lets something happen after a certain statement, before its answer arrives."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tests.support.postgres import HOST, Postgres

_ENDS = (b"Q", b"S")
"""A simple query, or the end of one with parameters."""


@dataclass
class Wire:
    """`strike` is called when the server has answered `countdown` statements from now on; None: never.

    `silent`: no answer arrives any more, and nothing is closed either.
    """

    postgres: Postgres
    strike: Callable[[], None] = lambda: None
    countdown: int | None = None
    struck: bool = False
    before: bool = False
    port: int = 0
    carried: int = 0
    """Octets of answers."""
    _lines: list[asyncio.StreamWriter] = field(default_factory=list)
    silent: bool = False

    def arm(self, statement: int, strike: Callable[[], None], *, before: bool = False) -> None:
        """`before`: not after that statement was carried out, but before it arrives."""
        self.countdown, self.strike, self.struck, self.before = statement, strike, False, before

    def dsn(self) -> str:
        return self.postgres.dsn(port=self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, answers = await asyncio.open_connection(HOST, self.postgres.port)
        except OSError:
            writer.close()
            return
        self._lines += [writer, answers]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            (length,) = struct.unpack("!i", head := await reader.readexactly(4))
            answers.write(head + await reader.readexactly(length - 4))
            back = asyncio.create_task(self._answering(there, writer))
            try:
                await self._asking(reader, answers)
            finally:
                back.cancel()
        writer.close()
        answers.close()

    async def _asking(self, reader: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] in _ENDS and self.countdown is not None:
                self.countdown -= 1
                if self.countdown == 0 and self.before:
                    self._strike()
                    return
            answers.write(head + body)
            await answers.drain()

    async def _answering(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await there.readexactly(5)
                body = await there.readexactly(struct.unpack("!i", head[1:])[0] - 4)
                if self.silent:
                    continue
                if head[:1] == b"Z" and self.countdown == 0:
                    self._strike()
                    break
                self.carried += len(head) + len(body)
                writer.write(head + body)
        writer.close()

    def _strike(self) -> None:
        self.countdown, self.struck = None, True
        self.strike()

    def close(self) -> None:
        for line in self._lines:
            line.close()


@contextlib.asynccontextmanager
async def wire_to(postgres: Postgres) -> AsyncIterator[Wire]:
    wire = Wire(postgres)
    server = await asyncio.start_server(wire.serve, HOST, 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.close()
        await asyncio.sleep(0)

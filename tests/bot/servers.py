"""Servers on loopback that answer byte for byte what a test says, so that they can misbehave in any way."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Bot:
    """A running server: its port, and every request head that it got."""

    port: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/state"


@asynccontextmanager
async def bot(answer: Answer | bytes, *, until: bytes = b"\r\n\r\n") -> AsyncIterator[Bot]:
    """A bot that gives `answer` once it has read `until`; empty: once it has read anything."""
    running = Bot()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await reader.readuntil(until) if until else await reader.read(1000)
            running.requests.append(request.decode(errors="replace"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
                writer.close()
            else:
                await answer(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


def http(body: bytes = b"", *, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{headers}\r\n".encode() + body


async def hang(writer: asyncio.StreamWriter) -> None:
    """Send nothing, and keep the connection."""
    del writer


async def hang_in_the_body(writer: asyncio.StreamWriter) -> None:
    writer.write(http(b'{"version"', length=1000))
    await writer.drain()


async def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def endless(writer: asyncio.StreamWriter) -> None:
    """Chunks without end, and no word of their length."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


def free_port() -> tuple[socket.socket, int]:
    """A port on which nobody listens, for as long as the socket is kept."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]

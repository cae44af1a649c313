"""TLS by the client that is shipped: only the server's own name, by an authority that is trusted, and in time.

The wheel's server was built without TLS, so a proxy speaks it in the server's place, as a pooler often does.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ledger.certificates import Authority
from tests.ledger.desk import Desk
from tests.support.postgres import HOST, Postgres

from accountsync.bot.address import AddressPolicy
from accountsync.bot.ledger.pool import Pools
from accountsync.errors import BeliefUnobserved, Reason

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class TlsServer:
    """Ends TLS with `certificate` and `key`, and passes on what was in it. `ciphered` counts the connections."""

    def __init__(self, postgres: Postgres, folder: Path, certificate: str, key: str) -> None:
        file = folder / "server.pem"
        file.write_text(certificate + key, encoding="utf-8")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(file)
        self._postgres = postgres
        self.ciphered = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            assert await reader.readexactly(8) == SSL_REQUEST, "the client began without TLS"
            writer.write(b"S")
            await writer.start_tls(self._context)
            there, answers = await asyncio.open_connection(HOST, self._postgres.port)
            self.ciphered += 1
            back = asyncio.create_task(_pass_on(there, writer))
            await _pass_on(reader, answers)
            await back
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def serving(postgres: Postgres, folder: Path, certificate: tuple[str, str]) -> AsyncIterator[TlsServer]:
    proxy = TlsServer(postgres, folder, *certificate)
    server = await asyncio.start_server(proxy.serve, HOST, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("an authority of one's own")


@pytest.fixture(scope="module")
def desk(postgres: Postgres) -> Desk:
    return Desk.opened(postgres)


async def read(desk: Desk, port: int, ca: str) -> str:
    """Why the database could not be reached; empty: it could."""
    pools = Pools(AddressPolicy(["postgres+tls://localhost:*"]))
    ledger = desk.ledger(pools, dsn=lambda: desk.postgres.dsn(host="localhost", port=port, more=""), ca=ca)
    try:
        await ledger.read()
    except BeliefUnobserved as error:
        return error.message if error.reason is Reason.BOT_UNREACHABLE else f"for another reason: {error.reason}"
    finally:
        await pools.close()
    return ""


async def test_the_right_certificate_is_trusted_and_one_of_another_authority_is_not(
    desk: Desk, authority: Authority, tmp_path: Path
) -> None:
    async with serving(desk.postgres, tmp_path, authority.certificate("localhost")) as server:
        assert await read(desk, server.port, authority.pem) == ""
        assert server.ciphered == 1
        both = Authority("another one").pem + "\n" + authority.pem
        assert await read(desk, server.port, both) == "", "one of several is enough"
        for ca in (Authority("another one").pem, ""):
            message = await read(desk, server.port, ca)
            assert "its certificate is not trusted: it is expired, or not of an authority in the Secret's" in message
        assert server.ciphered == 2


async def test_a_certificate_for_another_name_is_refused(desk: Desk, authority: Authority, tmp_path: Path) -> None:
    async with serving(desk.postgres, tmp_path, authority.certificate("elsewhere.example.com")) as server:
        message = await read(desk, server.port, authority.pem)
    assert "its certificate is for another name than the DSN's host" in message
    assert "elsewhere" not in message


async def test_an_expired_certificate_is_refused(desk: Desk, authority: Authority, tmp_path: Path) -> None:
    async with serving(desk.postgres, tmp_path, authority.certificate("localhost", days=-1)) as server:
        assert "expired" in await read(desk, server.port, authority.pem)
        assert server.ciphered == 0


async def test_a_server_without_tls_is_refused(desk: Desk, authority: Authority) -> None:
    message = await read(desk, desk.postgres.port, authority.pem)
    assert "the server does not speak TLS" in message

"""One connection to a ledger's database, made so that it can reach nothing else.

In:  a `Target`. Out: an open `AsyncConnection`, or why there is none.

Invariants:
1. The name is looked up once; every address that it stands for is checked, and one of these is dialled, while the
   certificate is still held against the name (DNS rebinding).
2. Nothing of the environment takes part: no password or option of a variable, no password file, no certificate or
   Kerberos ticket of a home folder. libpq takes a variable for whatever it is not told, so it is told everything.
3. No setting is made for a whole session: behind a pooler in transaction mode that would be someone else's session.
"""

import asyncio
import contextlib
import functools
import logging
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from socket import SHUT_RDWR, SOCK_STREAM, socket
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, pq
from psycopg.rows import TupleRow

from accountsync.bot.address import AddressPolicy
from accountsync.bot.ledger.dsn import VERIFIED, Target

Connection = AsyncConnection[TupleRow]

_SYSTEM_CERTIFICATES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
logging.getLogger("psycopg").setLevel(logging.WARNING)  # below that it names hosts


class ForbiddenDatabaseError(OSError):
    """The host's name stands for an address that no database of a bot has."""


class NameNotFoundError(OSError):
    """The host's name stands for no address."""


class DeadlineError(TimeoutError):
    """The database did not answer in time, and the connection was cut."""


async def connect(target: Target, policy: AddressPolicy, seconds: float) -> Connection:
    """Open a connection; each but the last address gets a fair part of `seconds`.

    Raises psycopg.Error or OSError.
    """
    addresses = await _addresses(target, policy)
    with _root_certificates(target) as root:
        for address in addresses[:-1]:
            with contextlib.suppress(psycopg.OperationalError, TimeoutError):
                async with asyncio.timeout(seconds / len(addresses)):
                    return await _dial(target, address, root)
        return await _dial(target, addresses[-1], root)


async def _dial(target: Target, address: str, root: str) -> Connection:
    parameters: dict[str, Any] = {
        **_defaults(),
        "host": target.host,
        "hostaddr": address,
        "port": target.port,
        "user": target.user,
        "password": target.password,
        "dbname": target.dbname,
        "application_name": target.application,
        "sslmode": target.sslmode,
        "sslrootcert": root,
        "sslcertmode": "disable",
        "gssencmode": "disable",
        "passfile": os.devnull,
        "target_session_attrs": "any",
        "client_encoding": "UTF8",
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    # prepared statements belong to a session, which a pooler in transaction mode gives to others
    return await AsyncConnection.connect("", prepare_threshold=None, **parameters)


@functools.cache
def _defaults() -> dict[str, str]:
    """A value for each parameter that libpq would else take from the environment."""
    named = {
        option.keyword.decode(): (option.compiled or b"").decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar and option.keyword != b"service"  # an empty one is looked for; what it says is all told
    }
    needed = {
        "connect_timeout": "0",  # whoever waits bounds it
        "min_protocol_version": "3.0",
        "max_protocol_version": "3.0",
        "require_auth": "!gss,!sspi",
    }
    return named | {name: value for name, value in needed.items() if name in named}


async def _addresses(target: Target, policy: AddressPolicy) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.lookup, target.port, type=SOCK_STREAM)
    except OSError:
        found = []
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise NameNotFoundError
    if not all(policy.permits(target.host, target.port, address, database=True) for address in addresses):
        raise ForbiddenDatabaseError
    return addresses


@contextlib.contextmanager
def _root_certificates(target: Target) -> Iterator[str]:
    """A file that libpq reads while it connects."""
    if not target.ca:
        yield _system_certificates() if target.sslmode == VERIFIED else os.devnull
    elif hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("ca")
        try:
            os.write(descriptor, target.ca.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".crt") as file:
            file.write(target.ca)
            file.flush()
            yield file.name


def _system_certificates() -> str:
    """Those that all other connections of this process trust; libpq's own `system` may look in other places."""
    own = ssl.get_default_verify_paths().cafile
    return next((path for path in (own, *_SYSTEM_CERTIFICATES) if path and Path(path).is_file()), "system")


@contextlib.asynccontextmanager
async def deadline(connection: Connection, seconds: float) -> AsyncIterator[None]:
    """Cut `connection` after that time, so that a server which went silent cannot hold us. Raises DeadlineError."""
    cut = False

    def cut_it() -> None:
        nonlocal cut
        cut = True
        with contextlib.suppress(OSError, psycopg.Error), socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(SHUT_RDWR)

    timer = asyncio.get_running_loop().call_later(seconds, cut_it)
    try:
        yield
    except psycopg.Error:
        if cut:
            raise DeadlineError from None
        raise
    finally:
        timer.cancel()

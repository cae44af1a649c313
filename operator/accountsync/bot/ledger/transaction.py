"""Transactions on a ledger, each with its own time-outs and its own access mode.

Invariants: what only reads says so to the database, which then refuses any write; all settings end with the
transaction, so that they work behind a pooler which gives the session to others; names are looked for in PostgreSQL's
own catalogue first, and never in a schema other than the ledger's.
"""

import contextlib
from collections.abc import AsyncIterator
from enum import Enum, auto
from typing import Final

import psycopg
from psycopg import IsolationLevel, sql

from accountsync.bot.ledger.connecting import Connection, DeadlineError, deadline
from accountsync.bot.ledger.pool import Pool
from accountsync.errors import AccountSyncError

_SETTINGS: Final = """
SELECT pg_catalog.set_config('statement_timeout', %(statement)s, true),
       pg_catalog.set_config('lock_timeout', %(lock)s, true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', %(idle)s, true),
       pg_catalog.set_config('TimeZone', 'UTC', true), pg_catalog.set_config('search_path', %(path)s, true)
"""


TROUBLES: Final = (psycopg.Error, OSError, TimeoutError, AccountSyncError)
"""What may go wrong between here and a database."""


class Mode(Enum):
    """What a transaction is for."""

    READ = auto()
    """Everything in it is of one moment, and a write is refused."""
    LOCK = auto()
    """It only holds a lock: it keeps no old rows from being vacuumed."""
    WRITE = auto()
    """Each statement sees what was committed before it; what must not change meanwhile is locked."""


@contextlib.asynccontextmanager
async def transaction(
    pool: Pool, schema: str, mode: Mode, *, seconds: float, whole: float | None = None
) -> AsyncIterator[Connection]:
    """A transaction that whoever asks has to commit; else it is rolled back.

    `seconds`: for connecting, and for each statement; `whole`: for all of it (thrice that), statements and what lies
    between them. Raises psycopg.Error, OSError or TimeoutError.
    """
    settings = {
        "statement": _ms(seconds),
        "lock": _ms(seconds / 2),
        "idle": _ms(whole or seconds),
        # whoever may create in `public` could give our operators another meaning, with our rights
        "path": f"pg_catalog, {sql.Identifier(schema).as_string()}, pg_temp",
    }
    isolation = IsolationLevel.REPEATABLE_READ if mode is Mode.READ else IsolationLevel.READ_COMMITTED
    async with pool.connection(seconds) as connection, deadline(connection, whole or 3 * seconds):
        await connection.set_isolation_level(isolation)
        # never READ WRITE: a database that is read-only by default was made so by someone
        await connection.set_read_only(None if mode is Mode.WRITE else True)
        try:
            async with deadline(connection, 2 * seconds):
                await connection.execute(_SETTINGS, settings)
            yield connection
        finally:
            # the end of a long transaction may not wait as long for a server that went silent
            with contextlib.suppress(psycopg.Error, DeadlineError):
                async with deadline(connection, seconds):
                    await connection.rollback()


def _ms(seconds: float) -> str:
    return str(max(1, int(seconds * 1000)))

"""A bot's ledger in PostgreSQL: its belief, and its reconciliation.

In:  a Secret with a DSN, read anew for every use, so that a rotated one counts at once; schema and profile.
Out: `ExpectedState`, and a `LockedLedger` for a run.

Invariants: reading opens nothing that can write; no part of a DSN and nothing of a row but its key is in a message.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import ReadSecret
from accountsync.bot.ledger.believing import believed
from accountsync.bot.ledger.connecting import Connection, deadline
from accountsync.bot.ledger.dsn import CA_ENTRY, ENTRY, parse_dsn
from accountsync.bot.ledger.keys import Lock, lock_key
from accountsync.bot.ledger.locked import PostgresLocked
from accountsync.bot.ledger.pool import Pool, Pools
from accountsync.bot.ledger.transaction import TROUBLES, Mode, transaction
from accountsync.bot.ledger.trouble import unobserved, unread
from accountsync.domain.expected import ExpectedState
from accountsync.errors import LedgerBusy, LedgerLockHeld, LedgerReason, LedgerUnavailable
from accountsync.ports import Canonical, LockedLedger

_LOCK: Final = "SELECT pg_catalog.pg_try_advisory_xact_lock(%s::bigint)"
RUN_SECONDS: Final = 300.0
"""For how long a run may hold the lock; after that the server takes it back."""


class PostgresLedger:
    """The ledger of one profile: a `BotState` and a `Ledger`.

    `secret` reads the Secret called `secret_name`; `namespace` is the account's own, `source` describes the ledger for
    people, and `timeout` is in seconds, for a reading or a statement.
    """

    def __init__(
        self,
        pools: Pools,
        secret: ReadSecret,
        *,
        secret_name: str,
        namespace: str,
        profile: str,
        schema: str = "accountsync",
        source: str,
        timeout: float,
    ) -> None:
        self._pools = pools
        self._secret = secret
        self._secret_name = secret_name
        self._namespace = namespace
        self.profile = profile
        self.schema = schema
        self.source = source
        self._timeout = timeout

    async def read(self) -> ExpectedState:
        """The bot's belief, with symbols in the ledger's spelling. Raises BeliefUnobserved or ConfigurationError."""
        try:
            pool = await self.pool()
            reading = transaction(pool, self.schema, Mode.READ, seconds=self._timeout, whole=self._timeout)
            async with reading as connection:
                return await believed(connection, self.schema, self.profile, self.source)
        except TROUBLES as error:
            raise unobserved(error, self.source) from None

    @contextlib.asynccontextmanager
    async def locked(self, canonical: Canonical) -> AsyncIterator[LockedLedger]:
        """The ledger for one run. Raises LedgerError."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                pool = await self.pool()
                await self._turn(pool, stack)
                holding = transaction(pool, self.schema, Mode.LOCK, seconds=self._timeout, whole=RUN_SECONDS)
                connection = await stack.enter_async_context(holding)
                key = lock_key(Lock.RUN, self.schema, self.profile)
                async with deadline(connection, 2 * self._timeout):
                    row = await (await connection.execute(_LOCK, (key,))).fetchone()
            except TROUBLES as error:
                raise unread(error, self.source) from None
            if row is None or not row[0]:
                raise LedgerLockHeld(
                    LedgerReason.LOCK_HELD,
                    f"{self.source}: another session holds the reconciliation lock of the profile: it is tried again"
                    " with the next run",
                )
            yield PostgresLocked(
                pool,
                self.schema,
                self.profile,
                source=self.source,
                seconds=self._timeout,
                canonical=canonical,
                still_held=lambda: self._still_held(connection),
            )

    async def _still_held(self, connection: Connection) -> None:
        """The lock is its transaction's: it is held as long as this one lives. Raises LedgerUnavailable."""
        alive = False
        with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
            async with deadline(connection, self._timeout):
                await connection.execute("SELECT 1")
                alive = connection.info.transaction_status is TransactionStatus.INTRANS
        if not alive:
            raise LedgerUnavailable(
                LedgerReason.UNREACHABLE,
                f"{self.source}: the connection that held the reconciliation lock is lost, and others may hold it by"
                " now; nothing was written",
            )

    async def _turn(self, pool: Pool, stack: contextlib.AsyncExitStack) -> None:
        try:
            await stack.enter_async_context(pool.turn(self._timeout))
        except TimeoutError:
            raise LedgerBusy(
                LedgerReason.BUSY,
                f"{self.source}: other ledgers of this database are being reconciled: it waits its turn",
            ) from None

    async def pool(self) -> Pool:
        """The connections to the database that the Secret names now. Raises ConfigurationError or BeliefUnobserved."""
        secret = await self._secret()
        policy: AddressPolicy = self._pools.policy
        target = parse_dsn(
            secret.get(ENTRY, ""),
            ca=secret.get(CA_ENTRY, ""),
            secret=self._secret_name,
            namespace=self._namespace,
            policy=policy,
        )
        return self._pools.of(target)

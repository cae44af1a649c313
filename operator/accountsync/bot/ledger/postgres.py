"""A bot's ledger in PostgreSQL: its belief, and its reconciliation.

In:  a Secret with a DSN, read anew for every use, so that a rotated one counts at once; schema and profile.
Out: `ExpectedState`, and a `LockedLedger` for a run.

Invariants: reading opens nothing that can write; no part of a DSN and nothing of a row but its key is in a message.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import ReadSecret
from accountsync.bot.ledger.believing import believed
from accountsync.bot.ledger.connecting import deadline
from accountsync.bot.ledger.dsn import CA_ENTRY, ENTRY, parse_dsn
from accountsync.bot.ledger.keys import Lock, lock_key
from accountsync.bot.ledger.locked import PostgresLocked
from accountsync.bot.ledger.pool import Pool, Pools
from accountsync.bot.ledger.transaction import TROUBLES, Mode, transaction
from accountsync.bot.ledger.trouble import unobserved, unread
from accountsync.domain.expected import ExpectedState
from accountsync.errors import LedgerBusy, LedgerLockHeld, LedgerReason
from accountsync.ports import Canonical, LockedLedger

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
                await self._turn(pool)
                stack.callback(pool.runs.release)
                holding = transaction(pool, self.schema, Mode.LOCK, seconds=self._timeout, whole=RUN_SECONDS)
                connection = await stack.enter_async_context(holding)
                key = lock_key(Lock.RUN, self.schema, self.profile)
                async with deadline(connection, 2 * self._timeout):
                    row = await (await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (key,))).fetchone()
            except TROUBLES as error:
                raise unread(error, self.source) from None
            if row is None or not row[0]:
                raise LedgerLockHeld(
                    LedgerReason.LOCK_HELD,
                    f"{self.source}: another session holds the reconciliation lock of the profile: it is tried again"
                    " with the next run",
                )
            yield PostgresLocked(
                pool, self.schema, self.profile, source=self.source, seconds=self._timeout, canonical=canonical
            )

    async def _turn(self, pool: Pool) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await pool.runs.acquire()
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
        return await self._pools.of(target)

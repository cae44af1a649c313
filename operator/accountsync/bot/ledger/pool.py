"""Connections to databases, few and shared between the accounts of one database.

In:  a `Target`. Out: an open connection for the time of one transaction.

A ready-made pool hides why it has no connection, and writes that to the log with host and user; here whoever asks is
told, and nothing is logged.

Invariants: at most SLOTS connections to a target, of which RUNS reconciliations hold two each, so that a reading never
waits for a run; none is kept that broke, is in a transaction, or was idle for IDLE_SECONDS.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from accountsync.bot.address import AddressPolicy
from accountsync.bot.ledger.connecting import Connection, connect, deadline
from accountsync.bot.ledger.dsn import Target

SLOTS: Final = 6
RUNS: Final = 2
IDLE_SECONDS: Final = 60.0


class Pool:
    """The connections to one target."""

    def __init__(self, target: Target, policy: AddressPolicy) -> None:
        self._target = target
        self._policy = policy
        self._slots = asyncio.Semaphore(SLOTS)
        self._idle: list[tuple[float, Connection]] = []
        self.runs = asyncio.Semaphore(RUNS)
        self.used = time.monotonic()

    @contextlib.asynccontextmanager
    async def connection(self, seconds: float) -> AsyncIterator[Connection]:
        """A connection that answers, outside any transaction. Raises psycopg.Error, OSError or TimeoutError."""
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(seconds):
                await stack.enter_async_context(self._slots)
                connection = await self._kept(seconds) or await connect(self._target, self._policy, seconds)
            try:
                yield connection
            finally:
                await self._put_back(connection)

    async def _kept(self, seconds: float) -> Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS:
                with contextlib.suppress(psycopg.Error, OSError):
                    async with deadline(connection, seconds / 2):
                        await connection.execute("")  # a server that restarted left us a dead one
                        await connection.rollback()
                    return connection
            await _end(connection)
        return None

    async def _put_back(self, connection: Connection) -> None:
        self.used = time.monotonic()
        if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
            await _end(connection)
        else:
            self._idle.append((self.used, connection))

    async def sweep(self) -> bool:
        """Close what was idle for too long; whether nothing is left."""
        old = time.monotonic() - IDLE_SECONDS
        while self._idle and self._idle[0][0] < old:
            await _end(self._idle.pop(0)[1])
        return not self._idle and self.used < old

    async def close(self) -> None:
        """Close what is idle; what is in use ends by itself."""
        while self._idle:
            await _end(self._idle.pop()[1])


class Pools:
    """One pool for each target that is in use; close it when the operator ends."""

    def __init__(self, policy: AddressPolicy) -> None:
        self.policy = policy
        self._pools: dict[Target, Pool] = {}

    async def of(self, target: Target) -> Pool:
        """The pool of `target`. Those that nobody used for a while are closed on the way."""
        pool = self._pools.get(target)
        if pool is None:
            pool = self._pools[target] = Pool(target, self.policy)
        pool.used = time.monotonic()
        for other in list(self._pools):
            if other != target and await self._pools[other].sweep():
                self._pools.pop(other, None)
        await pool.sweep()
        return pool

    async def close(self) -> None:
        """Close all connections that are idle."""
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()


async def _end(connection: Connection) -> None:
    with contextlib.suppress(psycopg.Error, OSError):
        await connection.close()

"""Connections to databases, few and shared between the accounts of one database.

In:  a `Target`. Out: an open connection for the time of one transaction.

A ready-made pool hides why it has no connection, and writes that to the log with host and user; here whoever asks is
told, and nothing is logged.

Invariants: at most SLOTS connections to a target, of which RUNS reconciliations hold two each, so that a reading never
waits for a run; none is kept that broke, is in a transaction, or was idle for IDLE_SECONDS, also where nobody asks for
that database any more. A pool that somebody uses, or waits for, is never forgotten.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
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
        self._runs = asyncio.Semaphore(RUNS)
        self._users = 0
        self._closed = False
        self.used = time.monotonic()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self.used = time.monotonic()

    @contextlib.asynccontextmanager
    async def turn(self, seconds: float) -> AsyncIterator[None]:
        """One of the RUNS reconciliations of this database. Raises TimeoutError."""
        with self._in_use():
            async with asyncio.timeout(seconds):
                await self._runs.acquire()
            try:
                yield
            finally:
                self._runs.release()

    @contextlib.asynccontextmanager
    async def connection(self, seconds: float) -> AsyncIterator[Connection]:
        """A connection that answers, outside any transaction. Raises psycopg.Error, OSError or TimeoutError."""
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._in_use())
            async with asyncio.timeout(seconds):
                await stack.enter_async_context(self._slots)
                connection = await self._kept(seconds) or await connect(self._target, self._policy, seconds)
            try:
                yield connection
            finally:
                self._put_back(connection)

    async def _kept(self, seconds: float) -> Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS:
                with contextlib.suppress(psycopg.Error, OSError):
                    async with deadline(connection, seconds / 2):
                        await connection.execute("")  # a server that restarted left us a dead one
                        await connection.rollback()
                    return connection
            _end(connection)
        return None

    def _put_back(self, connection: Connection) -> None:
        if self._closed or connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
            _end(connection)
        else:
            self._idle.append((time.monotonic(), connection))

    def sweep(self) -> bool:
        """Close what was idle for too long; whether nobody uses the pool, nor did for that long."""
        old = time.monotonic() - IDLE_SECONDS
        while self._idle and self._idle[0][0] <= old:
            _end(self._idle.pop(0)[1])
        return not self._idle and not self._users and self.used <= old

    def close(self) -> None:
        """Close what is idle, and what is in use as soon as it is put back."""
        self._closed = True
        while self._idle:
            _end(self._idle.pop()[1])


class Pools:
    """One pool for each target that is in use; close it when the operator ends."""

    def __init__(self, policy: AddressPolicy) -> None:
        self.policy = policy
        self._pools: dict[Target, Pool] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def of(self, target: Target) -> Pool:
        """The pool of `target`."""
        pool = self._pools.get(target)
        if pool is None:
            pool = self._pools[target] = Pool(target, self.policy)
        pool.used = time.monotonic()
        self._sweep_later()
        return pool

    def known(self) -> frozenset[Target]:
        """The databases to which connections are kept, or are in use."""
        return frozenset(self._pools)

    def _sweep_later(self) -> None:
        """By the clock, and not by the next use: the account that used a database last may be gone."""
        if self._sweeping is None and self._pools:
            self._sweeping = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        for target, pool in list(self._pools.items()):
            if pool.sweep():
                del self._pools[target]
        self._sweep_later()

    async def close(self) -> None:
        """Close all connections that are idle."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()


def _end(connection: Connection) -> None:
    with contextlib.suppress(psycopg.Error, OSError):
        connection.pgconn.finish()

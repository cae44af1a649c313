"""The two changes of a ledger, each in one transaction: all of it counts, or nothing.

In:  a `Correction` or a `SyntheticExit`. Out: `Written`, or a LedgerError.

Invariants:
1. A change holds the profile's WRITE lock, and locks every row that it changes before it looks at it.
2. A row that is not what was judged, a fill that another event used, and a quantity that would fall below zero end it
   as CHANGED, with nothing written.
3. An event id is written once; a fill is used once; positions and capital are computed anew from the slices and orders.
4. What the database stores is what was meant, or nothing is: a column that rounds is refused.
5. After a COMMIT that was never answered the event id is looked for, behind the lock that the lost session held. Who
   cancels a change meanwhile waits for that: what may count is never left untold.
6. Right before it counts, the lock of the run is held for certain. Waiting for a row is given up before the server
   looks for a deadlock, which it may end at the bot's cost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import psycopg

from accountsync.bot.ledger.booked import Sightings
from accountsync.bot.ledger.change import Change, ChangedError
from accountsync.bot.ledger.connecting import Connection, deadline
from accountsync.bot.ledger.events import correct, exit_synthetically
from accountsync.bot.ledger.keys import Lock, lock_key
from accountsync.bot.ledger.pool import Pool
from accountsync.bot.ledger.rows import Reader
from accountsync.bot.ledger.transaction import TROUBLES, Mode, transaction
from accountsync.bot.ledger.trouble import unwritten
from accountsync.domain.account import Fill
from accountsync.domain.ledger import Correction, SyntheticExit, Written
from accountsync.errors import LedgerError, LedgerOutcomeUnknown, LedgerReason, LedgerUnavailable
from accountsync.ports import Fence

ROW_LOCK_SECONDS: Final = 0.5
"""Half of PostgreSQL's deadlock_timeout, as it is unless somebody changed it."""
_LOCK: Final = (
    "SELECT pg_catalog.pg_advisory_xact_lock(%(key)s::bigint), pg_catalog.set_config('lock_timeout', %(rows)s, true)"
)
Steps = Callable[[Change], Awaitable[None]]


class Writer:
    """Writes to the ledger of one profile. `seconds` bounds each statement."""

    def __init__(
        self,
        pool: Pool,
        schema: str,
        profile: str,
        *,
        source: str,
        seconds: float,
        reader: Reader,
        still_held: Callable[[], Awaitable[None]],
        sightings: Sightings,
    ) -> None:
        self._pool = pool
        self._schema = schema
        self._profile = profile
        self._source = source
        self._seconds = seconds
        self._reader = reader
        self._still_held = still_held
        self._sightings = sightings

    async def correct(self, correction: Correction, fence: Fence) -> Written:
        """See `LockedLedger`."""
        symbol = correction.order.symbol
        return await self._write(
            correction.event_id, symbol, correction.fills, lambda change: correct(change, correction), fence
        )

    async def close(self, synthetic: SyntheticExit, fence: Fence) -> Written:
        """See `LockedLedger`."""
        symbol, seen = synthetic.slice.symbol, self._sightings.behind(synthetic.fills)
        return await self._write(
            synthetic.event_id,
            symbol,
            synthetic.fills,
            lambda change: exit_synthetically(change, synthetic, seen),
            fence,
        )

    async def _write(self, event_id: str, symbol: str, fills: Collection[Fill], steps: Steps, fence: Fence) -> Written:
        stage = _Stage()
        work = asyncio.ensure_future(self._written(stage, event_id, symbol, fills, steps, fence))
        return await _seen_out(work, stage)

    async def _written(
        self, stage: "_Stage", event_id: str, symbol: str, fills: Collection[Fill], steps: Steps, fence: Fence
    ) -> Written:
        try:
            async with transaction(self._pool, self._schema, Mode.WRITE, seconds=self._seconds) as connection:
                change = await self._locked(connection)
                if await change.has_event(event_id):
                    return Written.ALREADY
                if await change.has_used(symbol, fills):
                    return Written.CHANGED
                await steps(change)
                await self._still_held()
                fence()
                stage.committing = True
                async with deadline(connection, self._seconds):
                    await connection.commit()
                return Written.APPLIED
        except ChangedError:
            return Written.CHANGED
        except psycopg.errors.UniqueViolation as error:
            return await self._overtaken(error, event_id, symbol, fills)
        except TROUBLES as error:
            if stage.committing and _unanswered(error):
                return await self._what_became(event_id)
            raise unwritten(error, self._source) from None

    async def _locked(self, connection: Connection) -> Change:
        key = lock_key(Lock.WRITE, self._schema, self._profile)
        rows = f"{int(min(self._seconds / 2, ROW_LOCK_SECONDS) * 1000)}ms"
        await connection.execute(_LOCK, {"key": key, "rows": rows})
        return self._change(connection)

    def _change(self, connection: Connection) -> Change:
        return Change(connection, self._schema, self._profile, self._source, self._reader)

    async def _overtaken(
        self, error: psycopg.errors.UniqueViolation, event_id: str, symbol: str, fills: Collection[Fill]
    ) -> Written:
        """What became of it, when somebody who does not take the lock wrote the same."""
        try:
            async with transaction(self._pool, self._schema, Mode.READ, seconds=self._seconds) as connection:
                change = self._change(connection)
                if await change.has_event(event_id):
                    return Written.ALREADY
                if await change.has_used(symbol, fills):
                    return Written.CHANGED
        except TROUBLES as trouble:
            raise unwritten(trouble, self._source) from None
        raise unwritten(error, self._source)

    async def _what_became(self, event_id: str) -> Written:
        asking = transaction(self._pool, self._schema, Mode.WRITE, seconds=self._seconds)
        try:
            async with asyncio.timeout(3 * self._seconds), asking as connection:
                change = await self._locked(connection)  # not before the lost session ended
                written = await change.has_event(event_id)
                certain = written or not await change.in_recovery()
        except (*TROUBLES, LedgerError):
            certain = False
        if not certain:
            raise LedgerOutcomeUnknown(
                LedgerReason.UNKNOWN_OUTCOME,
                f"{self._source}: the database was lost while committing, and cannot be asked now: the next run looks"
                " for what became of it",
            )
        if written:
            return Written.APPLIED
        raise LedgerUnavailable(
            LedgerReason.UNREACHABLE, f"{self._source}: the database was lost while committing; nothing was written"
        )


class _Stage:
    committing = False


async def _seen_out(work: "asyncio.Future[Written]", stage: _Stage) -> Written:
    """What `work` comes to. A cancellation ends it, but from its COMMIT on it is waited for.

    A cancellation that came meanwhile comes right after the change is told, or in place of that nothing was written;
    LedgerOutcomeUnknown comes in its place.
    """
    task = asyncio.current_task()
    cancelled = 0
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            cancelled += 1
            if not stage.committing:
                work.cancel()
    if not cancelled:
        return work.result()
    error = asyncio.CancelledError() if work.cancelled() else work.exception()
    if isinstance(error, LedgerOutcomeUnknown):
        raise error
    if error is not None or task is None:
        raise asyncio.CancelledError
    for _ in range(cancelled):
        task.uncancel()
        task.cancel()
    return work.result()


def _unanswered(error: BaseException) -> bool:
    """Whether the server did not say that it rolled back."""
    state = getattr(error, "sqlstate", None) or ""
    return not state or state[:2] in {"08", "57"}

"""The two changes of a ledger, each in one transaction: all of it counts, or nothing.

In:  a `Correction` or a `SyntheticExit`. Out: `Written`, or a LedgerError.

Invariants:
1. A change holds the profile's WRITE lock, and locks every row that it changes before it looks at it.
2. A row that is not what was judged, a fill that another event used, and a quantity that would fall below zero end it
   as CHANGED, with nothing written.
3. An event id is written once; a fill is used once; positions and capital are computed anew from the slices and orders.
4. What the database stores is what was meant, or nothing is: a column that rounds is refused.
5. After a COMMIT that was never answered the event id is looked for, behind the lock that the lost session held.
"""

from collections.abc import Awaitable, Callable, Collection

import psycopg

from accountsync.bot.ledger.change import Change, ChangedError
from accountsync.bot.ledger.connecting import Connection
from accountsync.bot.ledger.events import correct, exit_synthetically
from accountsync.bot.ledger.keys import Lock, lock_key
from accountsync.bot.ledger.pool import Pool
from accountsync.bot.ledger.transaction import TROUBLES, Mode, transaction
from accountsync.bot.ledger.trouble import unwritten
from accountsync.domain.account import Fill
from accountsync.domain.ledger import Correction, SyntheticExit, Written
from accountsync.errors import LedgerError, LedgerOutcomeUnknown, LedgerReason, LedgerUnavailable
from accountsync.ports import Canonical, Fence

Steps = Callable[[Change], Awaitable[None]]


class Writer:
    """Writes to the ledger of one profile. `seconds` bounds each statement."""

    def __init__(
        self, pool: Pool, schema: str, profile: str, *, source: str, seconds: float, canonical: Canonical
    ) -> None:
        self._pool = pool
        self._schema = schema
        self._profile = profile
        self._source = source
        self._seconds = seconds
        self._canonical = canonical

    async def correct(self, correction: Correction, fence: Fence) -> Written:
        """See `LockedLedger`."""
        symbol = correction.order.symbol
        return await self._write(
            correction.event_id, symbol, correction.fills, lambda change: correct(change, correction), fence
        )

    async def close(self, synthetic: SyntheticExit, fence: Fence) -> Written:
        """See `LockedLedger`."""
        symbol = synthetic.slice.symbol
        return await self._write(
            synthetic.event_id, symbol, synthetic.fills, lambda change: exit_synthetically(change, synthetic), fence
        )

    async def _write(self, event_id: str, symbol: str, fills: Collection[Fill], steps: Steps, fence: Fence) -> Written:
        committing = False
        try:
            async with transaction(self._pool, self._schema, Mode.WRITE, seconds=self._seconds) as connection:
                change = await self._locked(connection)
                if await change.has_event(event_id):
                    return Written.ALREADY
                if await change.has_used(symbol, fills):
                    return Written.CHANGED
                await steps(change)
                fence()
                committing = True
                await connection.commit()
                return Written.APPLIED
        except ChangedError:
            return Written.CHANGED
        except psycopg.errors.UniqueViolation as error:
            return await self._overtaken(error, event_id, symbol, fills)
        except TROUBLES as error:
            if committing and _unanswered(error):
                return await self._what_became(event_id)
            raise unwritten(error, self._source) from None

    async def _locked(self, connection: Connection) -> Change:
        key = lock_key(Lock.WRITE, self._schema, self._profile)
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
        return Change(connection, self._schema, self._profile, self._source, self._canonical)

    async def _overtaken(
        self, error: psycopg.errors.UniqueViolation, event_id: str, symbol: str, fills: Collection[Fill]
    ) -> Written:
        """What became of it, when somebody who does not take the lock wrote the same."""
        try:
            async with transaction(self._pool, self._schema, Mode.READ, seconds=self._seconds) as connection:
                change = Change(connection, self._schema, self._profile, self._source, self._canonical)
                if await change.has_event(event_id):
                    return Written.ALREADY
                if await change.has_used(symbol, fills):
                    return Written.CHANGED
        except TROUBLES as trouble:
            raise unwritten(trouble, self._source) from None
        raise unwritten(error, self._source)

    async def _what_became(self, event_id: str) -> Written:
        try:
            async with transaction(self._pool, self._schema, Mode.WRITE, seconds=self._seconds) as connection:
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


def _unanswered(error: BaseException) -> bool:
    """Whether the server did not say that it rolled back."""
    state = getattr(error, "sqlstate", None) or ""
    return not state or state[:2] in {"08", "57"}

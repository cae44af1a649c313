"""A ledger within one run of the reconciliation: what of it is read, row by row, and the two changes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from psycopg import sql

from accountsync.bot.ledger.believing import MAX_SYMBOLS
from accountsync.bot.ledger.booked import BOOKED, Id, Sightings, booked, wanted
from accountsync.bot.ledger.connecting import Connection, deadline
from accountsync.bot.ledger.layout import LAYOUT
from accountsync.bot.ledger.pool import Pool
from accountsync.bot.ledger.rows import OPEN, ORDER_COLUMNS, SLICE_COLUMNS, Reader, text
from accountsync.bot.ledger.transaction import TROUBLES, Mode, transaction
from accountsync.bot.ledger.trouble import unread
from accountsync.bot.ledger.writing import Writer
from accountsync.domain.ledger import Booked, Correction, LedgerOrder, Slice, SyntheticExit, Written
from accountsync.errors import AccountSyncError, BeliefUnobserved, Reason
from accountsync.ports import Canonical, Fence

BATCH: Final = 2_000
STREAM_SECONDS: Final = 300.0
MOST_ROWS: Final = 20_000

_OPEN: Final = f"FROM {{slices}} WHERE profile::text = %(profile)s AND {OPEN}"
_SLICES: Final = f"DECLARE slices NO SCROLL CURSOR FOR SELECT {SLICE_COLUMNS} {_OPEN}"
_SPELLED: Final = f"SELECT {text('symbol')} {_OPEN} GROUP BY symbol LIMIT {MAX_SYMBOLS + 1}"
_NEXT: Final = f"FETCH {BATCH} FROM slices".encode()
_ORDERS: Final = (
    f"SELECT {ORDER_COLUMNS} FROM {{orders}} WHERE profile::text = %(profile)s"
    " AND (exchange_order_id::text = ANY(%(exchange)s) OR client_order_id::text = ANY(%(client)s))"
)
_TRADE_ORDERS: Final = (
    f"SELECT {ORDER_COLUMNS} FROM {{orders}} WHERE profile::text = %(profile)s AND trade_id::text = ANY(%(trades)s)"
)
_USED: Final = (
    f"SELECT {text('symbol')}, fill_id::text FROM {{used_fills}} WHERE profile::text = %(profile)s"
    " AND fill_id::text = ANY(%(fills)s)"
)
_WRITTEN: Final = (
    "SELECT event_id::text FROM {trade_history} WHERE profile::text = %(profile)s AND event_id::text = ANY(%(events)s)"
)

Ids = Collection[Id]


class PostgresLocked:
    """A `LockedLedger`. `seconds` bounds each statement; `source` describes the ledger for people.

    `still_held` raises LedgerUnavailable where the lock is lost.
    """

    def __init__(
        self,
        pool: Pool,
        schema: str,
        profile: str,
        *,
        source: str,
        seconds: float,
        canonical: Canonical,
        still_held: Callable[[], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._schema = schema
        self._profile = profile
        self._source = source
        self._seconds = seconds
        self._reader = Reader(source, schema, canonical)
        self._sightings = Sightings()
        self._writer = Writer(
            pool,
            schema,
            profile,
            source=source,
            seconds=seconds,
            reader=self._reader,
            still_held=still_held,
            sightings=self._sightings,
        )

    async def slices(self, symbols: Collection[str] | None = None) -> AsyncIterator[Sequence[Slice]]:
        """The open slices of one moment, in batches of BATCH; `symbols`: only theirs, however they are spelled."""
        try:
            async with self._reading(whole=STREAM_SECONDS) as connection:
                async with deadline(connection, 3 * self._seconds):
                    await self._declare(connection, symbols)
                while rows := await self._next(connection):
                    yield [self._reader.slice(row) for row in rows]
        except TROUBLES as error:
            raise unread(error, self._source) from None

    async def _declare(self, connection: Connection, symbols: Collection[str] | None) -> None:
        values: dict[str, object] = {"profile": self._profile}
        if symbols is not None:
            spelled = await (await connection.execute(self._sql(_SPELLED), values)).fetchall()
            self._refuse_more(spelled, MAX_SYMBOLS, "symbols of open slices")
            values["symbols"] = [row[0] for row in spelled if self._reader.unified(row[0]) in symbols]
        query = _SLICES if symbols is None else _SLICES + " AND symbol::text = ANY(%(symbols)s)"
        await connection.execute(self._sql(query), values)

    async def _next(self, connection: Connection) -> list[tuple[Any, ...]]:
        async with deadline(connection, 2 * self._seconds):
            return await (await connection.execute(_NEXT)).fetchall()

    async def orders(self, ids: Ids) -> tuple[LedgerOrder, ...]:
        """Rows of any status that have one of the ids."""
        found = await self._orders(_ORDERS, wanted(ids))
        by_exchange = {(symbol, exchange) for symbol, exchange, _ in ids if exchange}
        by_client = {(symbol, client) for symbol, _, client in ids if client}
        return tuple(
            row
            for row in found
            if (row.symbol, row.exchange_id) in by_exchange or (row.symbol, row.client_id) in by_client
        )

    async def used(self, fills: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Those of the fills (symbol, id) that the ledger has accounted for."""
        rows = await self._rows(_USED, {"fills": sorted({fill for _, fill in fills})})
        return frozenset((self._reader.unified(symbol), fill) for symbol, fill in rows) & frozenset(fills)

    async def trade_orders(self, trades: Collection[tuple[str, str]]) -> tuple[LedgerOrder, ...]:
        """Rows of any status of these trades: (symbol, trade id)."""
        found = await self._orders(_TRADE_ORDERS, {"trades": sorted({trade for _, trade in trades if trade})})
        return tuple(row for row in found if (row.symbol, row.trade_id) in trades)

    async def booked(self, ids: Ids) -> tuple[Booked, ...]:
        """What the history holds of orders; what is written later by their fills stands on that."""
        rows = await self._rows(BOOKED, wanted(ids))
        try:
            found = booked(rows, ids, self._reader)
        except AccountSyncError as error:
            raise unread(error, self._source) from None
        self._sightings.note(ids, found)
        return found

    async def written(self, event_ids: Collection[str]) -> frozenset[str]:
        """Those of the changes that the history has."""
        return frozenset(row[0] for row in await self._rows(_WRITTEN, {"events": sorted(set(event_ids))}))

    async def correct(self, correction: Correction, fence: Fence) -> Written:
        """Bring into the ledger what the exchange proved of one order."""
        return await self._writer.correct(correction, fence)

    async def close(self, synthetic: SyntheticExit, fence: Fence) -> Written:
        """Close one slice by an exit that the ledger lacks."""
        return await self._writer.close(synthetic, fence)

    async def _orders(self, query: str, values: Mapping[str, Any]) -> list[LedgerOrder]:
        rows = await self._rows(query, values)
        try:  # some may be of symbols that the exchange delisted since
            return [self._reader.order(row) for row in rows if self._reader.unified(row[1])]
        except AccountSyncError as error:
            raise unread(error, self._source) from None

    async def _rows(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        if not any(values.values()):
            return []
        try:
            async with self._reading() as connection:
                statement = self._sql(f"{query} LIMIT {MOST_ROWS + 1}")
                cursor = await connection.execute(statement, {"profile": self._profile, **values})
                rows = await cursor.fetchall()
            self._refuse_more(rows, MOST_ROWS, "rows to one question")
        except TROUBLES as error:
            raise unread(error, self._source) from None
        return rows

    def _reading(self, whole: float | None = None) -> AbstractAsyncContextManager[Connection]:
        return transaction(self._pool, self._schema, Mode.READ, seconds=self._seconds, whole=whole)

    def _refuse_more(self, rows: Sequence[object], most: int, what: str) -> None:
        if len(rows) > most:
            raise BeliefUnobserved(Reason.STATE_TOO_LARGE, f"{self._source}: there are more than {most} {what}")

    def _sql(self, query: str) -> sql.Composed:
        names = {name: sql.Identifier(self._schema, name) for name in LAYOUT}
        return sql.SQL(query).format(**names)

"""A ledger within one run of the reconciliation: what of it is read, row by row, and the two changes."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, Final

from psycopg import sql

from accountsync.bot.ledger.connecting import Connection, deadline
from accountsync.bot.ledger.layout import LAYOUT
from accountsync.bot.ledger.pool import Pool
from accountsync.bot.ledger.rows import OPEN, ORDER_COLUMNS, SLICE_COLUMNS, Reader
from accountsync.bot.ledger.transaction import TROUBLES, Mode, transaction
from accountsync.bot.ledger.trouble import unread
from accountsync.bot.ledger.writing import Writer
from accountsync.domain.ledger import Correction, LedgerOrder, Slice, SyntheticExit, Written
from accountsync.errors import AccountSyncError, BeliefUnobserved, Reason
from accountsync.ports import Canonical, Fence

BATCH: Final = 2_000
STREAM_SECONDS: Final = 300.0

_OPEN: Final = f"FROM {{slices}} WHERE profile::text = %(profile)s AND {OPEN}"
_SLICES: Final = f"DECLARE slices NO SCROLL CURSOR FOR SELECT {SLICE_COLUMNS} {_OPEN}"
_SPELLED: Final = f"SELECT symbol::text {_OPEN} GROUP BY symbol"
_NEXT: Final = f"FETCH {BATCH} FROM slices".encode()
_ORDERS: Final = (
    f"SELECT {ORDER_COLUMNS} FROM {{orders}} WHERE profile::text = %(profile)s"
    " AND (exchange_order_id::text = ANY(%(exchange)s) OR client_order_id::text = ANY(%(client)s))"
)
_USED: Final = (
    "SELECT symbol::text, fill_id::text FROM {used_fills} WHERE profile::text = %(profile)s"
    " AND fill_id::text = ANY(%(fills)s)"
)
_ACCOUNTED: Final = (
    "SELECT coalesce(exchange_order_id::text, ''), coalesce(client_order_id::text, ''), symbol::text,"
    " sum(quantity)::numeric FROM {trade_history} WHERE profile::text = %(profile)s AND kind::text = 'EXIT'"
    " AND synthetic IS NOT TRUE"
    " AND (exchange_order_id::text = ANY(%(exchange)s) OR client_order_id::text = ANY(%(client)s)) GROUP BY 1, 2, 3"
)

Ids = Collection[tuple[str, str, str]]


class PostgresLocked:
    """A `LockedLedger`. `seconds` bounds each statement; `source` describes the ledger for people."""

    def __init__(
        self, pool: Pool, schema: str, profile: str, *, source: str, seconds: float, canonical: Canonical
    ) -> None:
        self._pool = pool
        self._schema = schema
        self._profile = profile
        self._source = source
        self._seconds = seconds
        self._reader = Reader(source, schema, canonical)
        self._writer = Writer(pool, schema, profile, source=source, seconds=seconds, canonical=canonical)

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
            values["symbols"] = [row[0] for row in spelled if self._unified(row[0]) in symbols]
        query = _SLICES if symbols is None else _SLICES + " AND symbol::text = ANY(%(symbols)s)"
        await connection.execute(self._sql(query), values)

    async def _next(self, connection: Connection) -> list[tuple[Any, ...]]:
        async with deadline(connection, 2 * self._seconds):
            return await (await connection.execute(_NEXT)).fetchall()

    async def orders(self, ids: Ids) -> tuple[LedgerOrder, ...]:
        """Rows of any status that have one of the ids."""
        rows = await self._rows(_ORDERS, _wanted(ids))
        try:
            found = [self._reader.order(row) for row in rows if self._unified(row[1])]
        except AccountSyncError as error:
            raise unread(error, self._source) from None
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
        return frozenset((self._unified(symbol), fill) for symbol, fill in rows) & frozenset(fills)

    async def accounted(self, ids: Ids) -> Mapping[str, Decimal]:
        """What the bot booked as exits of these orders, by the exchange's id or else the client id."""
        symbols = {symbol for symbol, _, _ in ids}
        result: dict[str, Decimal] = {}
        for exchange, client, symbol, quantity in await self._rows(_ACCOUNTED, _wanted(ids)):
            if self._unified(symbol) in symbols and quantity is not None:
                key = exchange or client
                result[key] = result.get(key, Decimal(0)) + quantity
        return result

    async def correct(self, correction: Correction, fence: Fence) -> Written:
        """Bring into the ledger what the exchange proved of one order."""
        return await self._writer.correct(correction, fence)

    async def close(self, synthetic: SyntheticExit, fence: Fence) -> Written:
        """Close one slice by an exit that the ledger lacks."""
        return await self._writer.close(synthetic, fence)

    async def _rows(self, text: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        if not any(values.values()):
            return []
        try:
            async with self._reading() as connection:
                cursor = await connection.execute(self._sql(text), {"profile": self._profile, **values})
                return await cursor.fetchall()
        except TROUBLES as error:
            raise unread(error, self._source) from None

    def _reading(self, whole: float | None = None) -> AbstractAsyncContextManager[Connection]:
        return transaction(self._pool, self._schema, Mode.READ, seconds=self._seconds, whole=whole)

    def _unified(self, symbol: str) -> str:
        """As `Reader.symbol`, for rows that may be of symbols which the exchange delisted since."""
        try:
            return self._reader.symbol(symbol, lambda text: BeliefUnobserved(Reason.STATE_MALFORMED, text))
        except BeliefUnobserved:
            return ""

    def _sql(self, text: str) -> sql.Composed:
        names = {name: sql.Identifier(self._schema, name) for name in LAYOUT}
        return sql.SQL(text).format(**names)


def _wanted(ids: Ids) -> dict[str, list[str]]:
    return {
        "exchange": sorted({exchange for _, exchange, _ in ids if exchange}),
        "client": sorted({client for _, _, client in ids if client}),
    }

"""One open transaction that changes a ledger: the statements that both kinds of change are made of."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any, Final

from psycopg import sql

from accountsync.bot.ledger.booked import BOOKED, Id, booked, grown, wanted
from accountsync.bot.ledger.connecting import Connection
from accountsync.bot.ledger.layout import LAYOUT
from accountsync.bot.ledger.rows import ACTIVE, DECIMALS, OPEN, ORDER_COLUMNS, SLICE_COLUMNS, Reader, text
from accountsync.domain.account import Fill
from accountsync.errors import LedgerReason, LedgerRefused, LedgerUnreadable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALL: Final = " WHERE profile::text = %(profile)s AND "
_SUMS: Final = (
    "SELECT coalesce(sum(CASE WHEN side::text = 'long' THEN quantity::numeric END), 0::numeric),"
    " coalesce(sum(CASE WHEN side::text = 'short' THEN quantity::numeric END), 0::numeric)"
    f" FROM {{slices}}{_ALL}symbol::text = %(symbol)s AND {OPEN}"
)
_POSITIONS: Final = (
    "UPDATE {positions} SET quantity = CASE side::text WHEN 'long' THEN %(long)s::numeric"
    " WHEN 'short' THEN %(short)s::numeric ELSE %(long)s::numeric - %(short)s::numeric END, updated_at = now()"
    f"{_ALL}symbol::text = %(symbol)s RETURNING side::text, quantity::numeric"
)
_POSITION: Final = (
    "INSERT INTO {positions} (profile, symbol, side, quantity, updated_at)"
    " VALUES (%(profile)s, %(symbol)s, 'net', %(net)s, now()) RETURNING quantity::numeric"
)
_CAPITAL: Final = (
    "UPDATE {capital_ledger} SET reserved ="
    " (SELECT coalesce(sum(quantity::numeric * entry_price::numeric), 0::numeric) FROM {slices}"
    f"{_ALL}{OPEN})"
    " + (SELECT coalesce(sum(greatest(quantity::numeric - filled::numeric, 0::numeric) * price::numeric), 0::numeric)"
    " FROM {orders}"
    f"{_ALL}purpose::text = 'entry' AND {ACTIVE}),"
    " realised_pnl = realised_pnl::numeric + %(realised)s::numeric, updated_at = now()"
    " WHERE profile::text = %(profile)s"
)
_HISTORY: Final = (
    "INSERT INTO {trade_history} (profile, event_id, trade_id, sub_tag, symbol, kind, quantity, price,"
    " client_order_id, exchange_order_id, synthetic, reason, at)"
    " VALUES (%(profile)s, %(event_id)s, %(trade_id)s, %(sub_tag)s, %(symbol)s, %(kind)s, %(quantity)s, %(price)s,"
    " %(client_id)s, %(exchange_id)s, %(synthetic)s, %(reason)s, %(at)s)"
    " RETURNING quantity::numeric, price::numeric"
)


class ChangedError(Exception):
    """The rows are not what was judged: roll back."""


class Change:
    """The statements. Symbols in rows are the ledger's own; `reader` makes them unified."""

    def __init__(self, connection: Connection, schema: str, profile: str, source: str, reader: Reader) -> None:
        self._connection = connection
        self._names = {name: sql.Identifier(schema, name) for name in LAYOUT}
        self._profile = profile
        self.source = source
        self._reader = reader

    async def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """What a query gives; `profile` is known to it."""
        statement = sql.SQL(query).format(**self._names)
        cursor = await self._connection.execute(statement, {"profile": self._profile, **values})
        return await cursor.fetchall() if cursor.description else [()] * cursor.rowcount

    async def one(self, query: str, relation: str, **values: object) -> tuple[Any, ...]:
        """Change exactly one row, or raise LedgerRefused: a trigger or rule may have swallowed it, silently."""
        rows = await self.rows(query, **values)
        if len(rows) != 1:
            raise self.refused(
                f"a change of one row of {relation} changed {len(rows)}: does a trigger or rule stand in"
            )
        return rows[0]

    def refused(self, why: str) -> LedgerRefused:
        """The database is against it."""
        return LedgerRefused(LedgerReason.WRITE_REFUSED, f"{self.source}: {why}; all of it was rolled back")

    def exact(self, relation: str, stored: tuple[Decimal | None, ...], meant: tuple[Decimal | None, ...]) -> None:
        """Raise LedgerRefused where the database did not store what was meant."""
        if stored != meant:
            raise self.refused(f"{relation} rounds or changes what is written to it: give its columns more decimals")

    # --- what is there ------------------------------------------------------------------------------------------------

    async def has_event(self, event_id: str) -> bool:
        """Whether the ledger has this event."""
        found = await self.rows("SELECT 1 FROM {trade_history}" + _ALL + "event_id::text = %(event)s", event=event_id)
        return bool(found)

    async def booked_otherwise(self, seen: Mapping[Id, Decimal]) -> bool:
        """Whether the bot booked something else of orders by now than what was `seen`."""
        rows = await self.rows(BOOKED, **wanted(seen))
        return grown(seen, booked(rows, seen, self._reader))

    async def has_used(self, symbol: str, fills: Collection[Fill]) -> bool:
        """Whether one of the fills is accounted for. `symbol` is unified."""
        if not fills:
            return False
        query = f"SELECT {text('symbol')} FROM {{used_fills}}{_ALL}fill_id::text = ANY(%(fills)s)"
        found = await self.rows(query, fills=[fill.id for fill in fills])
        return any(self.unified(row[0]) == symbol for row in found)

    async def in_recovery(self) -> bool:
        """Whether this is a standby, which may not have seen the last commit."""
        return bool((await self.rows("SELECT pg_catalog.pg_is_in_recovery()"))[0][0])

    async def order(self, key: str) -> tuple[Any, ...]:
        """The row of that order_key, locked. Raises ChangedError."""
        return await self._locked("orders", ORDER_COLUMNS, "order_key::text = %(key)s", key)

    async def slice(self, trade_id: str) -> tuple[Any, ...]:
        """The open slice of that trade, locked. Raises ChangedError."""
        return await self._locked("slices", SLICE_COLUMNS, f"trade_id::text = %(key)s AND {OPEN}", trade_id)

    async def slices_of(self, trade_id: str) -> list[tuple[Any, ...]]:
        """The slices of that trade, open or closed, locked."""
        query = f"SELECT {SLICE_COLUMNS} FROM {{slices}}{_ALL}trade_id::text = %(key)s LIMIT 2 FOR UPDATE"
        return await self.rows(query, key=trade_id)

    async def _locked(self, relation: str, columns: str, where: str, key: str) -> tuple[Any, ...]:
        found = await self.rows(f"SELECT {columns} FROM {{{relation}}}{_ALL}{where} LIMIT 2 FOR UPDATE", key=key)
        if len(found) != 1:
            raise ChangedError
        return found[0]

    def unified(self, symbol: str) -> str:
        """The unified symbol; empty for one that the exchange does not list."""
        return self._reader.unified(symbol)

    # --- what both changes do -----------------------------------------------------------------------------------------

    async def book(
        self,
        *,
        event_id: str,
        kind: str,
        symbol: str,
        quantity: Decimal,
        price: Decimal | None,
        reason: str,
        at: int,
        trade_id: str = "",
        sub_tag: str = "",
        client_id: str = "",
        exchange_id: str = "",
        synthetic: bool = False,
    ) -> None:
        """Append to the history."""
        stored = await self.one(
            _HISTORY,
            "trade_history",
            event_id=event_id,
            trade_id=trade_id or None,
            sub_tag=sub_tag or None,
            symbol=symbol,
            kind=kind,
            quantity=quantity,
            price=rounded(price),
            client_id=client_id or None,
            exchange_id=exchange_id or None,
            synthetic=synthetic,
            reason=reason,
            at=moment(at),
        )
        self.exact("trade_history", stored, (quantity, rounded(price)))

    async def use(self, symbol: str, fills: Sequence[Fill], event_id: str) -> None:
        """Account for fills, so that nothing else is ever proved by them."""
        values: Mapping[str, object] = {f"fill_{number}": fill.id for number, fill in enumerate(fills)}
        places = ", ".join(f"(%(profile)s, %(symbol)s, %({name})s, %(event)s)" for name in values)
        query = "INSERT INTO {used_fills} (profile, symbol, fill_id, event_id) VALUES " + places
        if len(await self.rows(query, symbol=symbol, event=event_id, **values)) != len(fills):
            raise self.refused("used_fills did not take all fills: does a trigger or rule stand in")

    async def recompute_position(self, symbol: str) -> None:
        """The position of a symbol is the sum of its open slices: on the legs that have rows, else net."""
        await self.rows(
            "SELECT side::text FROM {positions}" + _ALL + "symbol::text = %(symbol)s FOR UPDATE", symbol=symbol
        )
        long, short = (await self.rows(_SUMS, symbol=symbol))[0]
        if not (long.is_finite() and short.is_finite()):
            raise LedgerUnreadable(
                LedgerReason.MALFORMED, f"{self.source}: slices: the open quantities of a symbol add up to no number"
            )
        with localcontext(prec=64):
            meant = {"long": long, "short": short, "net": long - short}
        written = await self.rows(_POSITIONS, symbol=symbol, long=long, short=short)
        for side, quantity in written:
            self.exact("positions", (quantity,), (meant.get(side, meant["net"]),))
        if not written:
            self.exact(
                "positions", await self.one(_POSITION, "positions", symbol=symbol, net=meant["net"]), (meant["net"],)
            )

    async def recompute_capital(self, realised: Decimal) -> None:
        """Reserved is what the open slices and the entry orders are worth; a profile without a row keeps none."""
        held = await self.rows("SELECT 1 FROM {capital_ledger} WHERE profile::text = %(profile)s FOR UPDATE")
        if held:
            await self.rows(_CAPITAL, realised=realised)


def moment(ms: int) -> datetime:
    """Unix milliseconds as PostgreSQL takes them."""
    return _EPOCH + timedelta(milliseconds=ms)


def rounded(value: Decimal | None) -> Decimal | None:
    """`value` with no more decimals than a ledger holds."""
    if value is None:
        return None
    with localcontext(prec=64):
        return round(value, DECIMALS)

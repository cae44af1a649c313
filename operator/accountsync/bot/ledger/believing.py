"""What a ledger says that its bot believes: open orders, and the sum of the open slices of each symbol.

In:  a read-only transaction, all of one moment. Out: `ExpectedState`, or BeliefUnobserved for the first row that is not
     of the documented form: nothing is judged of a malformed ledger.
"""

from typing import Any, Final

from psycopg import sql

from accountsync.bot.ledger.connecting import Connection
from accountsync.bot.ledger.layout import BELIEF, flaws
from accountsync.bot.ledger.rows import (
    ACTIVE,
    NUMBER_RULE,
    OPEN,
    ORDER_COLUMNS,
    TEXT_RULE,
    Reader,
    malformed,
    ms,
    text,
    too_long,
    unusable,
)
from accountsync.domain.account import PositionSide
from accountsync.domain.expected import ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.ledger import LedgerOrder
from accountsync.errors import BeliefUnobserved, Reason

MAX_ACTIVE_ORDERS: Final = 20_000
MAX_SYMBOLS: Final = 5_000

_SLICE_FAULTS: Final = {
    "trade_id::text IS NULL OR trade_id::text = ''": "trade_id must not be empty",
    "symbol::text IS NULL OR symbol::text = ''": "symbol must not be empty",
    "status::text IS DISTINCT FROM 'open'": "status must be open or closed",
    "side::text IS NULL OR side::text NOT IN ('long', 'short')": "side must be long or short",
    unusable("quantity"): f"quantity {NUMBER_RULE}",
    "opened_at IS NULL": "opened_at must not be NULL",
    **{too_long(name): f"{name} {TEXT_RULE}" for name in ("trade_id", "sub_tag", "symbol", "entry_client_order_id")},
}
_CASES: Final = " ".join(f"WHEN {fault} THEN {number}" for number, fault in enumerate(_SLICE_FAULTS))
_BAD_SLICES: Final = (
    f"SELECT {text('trade_id')}, fault FROM"
    f" (SELECT trade_id, CASE {_CASES} END AS fault FROM {{slices}} WHERE profile::text = %s AND {OPEN}) AS judged"
    " WHERE fault IS NOT NULL ORDER BY trade_id LIMIT 1"
)
_REPEATED_SLICES: Final = (
    f"SELECT {text('trade_id')} FROM {{slices}}"
    f" WHERE profile::text = %s AND {OPEN} GROUP BY trade_id HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
)
_SUMS: Final = (
    f"SELECT {text('symbol')}, min(trade_id::text),"
    " sum(CASE side::text WHEN 'long' THEN quantity::numeric ELSE - quantity::numeric END)"
    f" FROM {{slices}} WHERE profile::text = %s AND {OPEN} GROUP BY symbol ORDER BY symbol LIMIT {MAX_SYMBOLS + 1}"
)
_ORDERS: Final = (
    f"SELECT {ORDER_COLUMNS} FROM {{orders}} WHERE profile::text = %s AND {ACTIVE} ORDER BY order_key LIMIT"
    f" {MAX_ACTIVE_ORDERS + 1}"
)
_HEARTBEAT: Final = (
    f"SELECT {ms('as_of')}, left(boot_id::text, 128), ready FROM {{heartbeat}} WHERE profile::text = %s LIMIT 2"
)


async def believed(connection: Connection, schema: str, profile: str, source: str) -> ExpectedState:
    """The belief of `profile`, in the ledger's own symbols. Raises BeliefUnobserved or psycopg.Error."""
    for flaw in await flaws(connection, schema, BELIEF):
        raise BeliefUnobserved(flaw.reason, f"{source}: {flaw.text}")
    reader = Reader(source, schema)
    asking = _Asking(connection, schema, profile)
    as_of, boot_id, ready = await _heartbeat(asking, source)
    positions = await _positions(asking, source, reader)
    return ExpectedState(as_of, boot_id, ready, positions, await _orders(asking, source, reader))


class _Asking:
    def __init__(self, connection: Connection, schema: str, profile: str) -> None:
        self._connection = connection
        self.schema = schema
        self._profile = profile

    async def rows(self, text: str) -> list[tuple[Any, ...]]:
        names = {name: sql.Identifier(self.schema, name) for name in BELIEF}
        cursor = await self._connection.execute(sql.SQL(text).format(**names), (self._profile,))
        return await cursor.fetchall()


async def _heartbeat(asking: _Asking, source: str) -> tuple[int, str, bool]:
    rows = await asking.rows(_HEARTBEAT)
    if not rows:  # now(): the transaction's beginning, which is before what it sees
        return (
            int((await asking.rows(f"SELECT {ms('now()')}, %s::text"))[0][0]),
            "",
            True,
        )
    as_of, boot_id, ready = rows[0]
    relation = f"{asking.schema}.heartbeat"
    if len(rows) > 1:
        raise malformed(source, relation, boot_id, "is one of several of its profile: keep one")
    if as_of is None or ready is None:
        raise malformed(source, relation, boot_id, f"{'as_of' if as_of is None else 'ready'} must not be NULL")
    return int(as_of), boot_id or "", ready


async def _positions(asking: _Asking, source: str, reader: Reader) -> tuple[ExpectedPosition, ...]:
    relation = f"{asking.schema}.slices"
    for key, fault in await asking.rows(_BAD_SLICES):
        raise malformed(source, relation, key, [*_SLICE_FAULTS.values()][fault])
    for (key,) in await asking.rows(_REPEATED_SLICES):
        raise malformed(source, relation, key, "trade_id is that of several open slices")
    result = []
    sums = await asking.rows(_SUMS)
    if len(sums) > MAX_SYMBOLS:
        raise BeliefUnobserved(
            Reason.STATE_TOO_LARGE,
            f"{source}: {relation} has open slices of more than {MAX_SYMBOLS} symbols of the profile: are ended ones"
            " still open there?",
        )
    for symbol, key, quantity in sums:
        reader.symbol(symbol, lambda text, key=key: malformed(source, relation, key, text))  # type: ignore[misc]
        result.append(ExpectedPosition(symbol, PositionSide.NET, quantity))
    return tuple(result)


async def _orders(asking: _Asking, source: str, reader: Reader) -> tuple[ExpectedOrder, ...]:
    rows = await asking.rows(_ORDERS)
    if len(rows) > MAX_ACTIVE_ORDERS:
        raise BeliefUnobserved(
            Reason.STATE_TOO_LARGE,
            f"{source}: {asking.schema}.orders has more than {MAX_ACTIVE_ORDERS} open orders of the profile: are ended"
            " ones still open there?",
        )
    orders = [reader.order(row) for row in rows]
    for name, column in (("key", "order_key"), ("client_id", "client_order_id"), ("exchange_id", "exchange_order_id")):
        _refuse_repeated(orders, name, column, source, asking.schema)
    return tuple(
        ExpectedOrder(
            symbol=order.symbol,
            id=order.exchange_id,
            client_id=order.client_id,
            side=order.side,
            quantity=order.quantity,
            filled=order.filled,
            price=order.price,
            status=order.status,
            created=order.created,
        )
        for order in orders
    )


def _refuse_repeated(orders: list[LedgerOrder], name: str, column: str, source: str, schema: str) -> None:
    seen: set[tuple[str, str]] = set()
    for order in orders:
        value = getattr(order, name)
        # the exchange numbers its orders by symbol, everybody else does not
        key = (order.symbol if name == "exchange_id" else "", value)
        if value and key in seen:
            raise malformed(source, f"{schema}.orders", order.key, f"{column} is that of several open orders")
        seen.add(key)

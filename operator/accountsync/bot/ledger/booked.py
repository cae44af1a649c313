"""What the history of a ledger holds of orders, and whether it holds more of them than when a fill was judged by it.

In:  ids of orders, (symbol, the exchange's id, client id), with unified symbols. Out: SQL, `Booked` of its rows.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from accountsync.bot.ledger.rows import Reader, number, text
from accountsync.domain.account import Fill
from accountsync.domain.ledger import Booked, Purpose

Id = tuple[str, str, str]

BOOKED: Final = (
    f"SELECT {text('symbol')}, coalesce({text('exchange_order_id')}, ''), coalesce({text('client_order_id')}, ''),"
    f" kind::text, ours, coalesce({text('trade_id')}, ''), {number('sum(quantity::numeric)')}"
    " FROM (SELECT symbol, exchange_order_id, client_order_id,"
    " kind, trade_id, quantity, EXISTS (SELECT FROM {used_fills} AS used WHERE used.profile::text = %(profile)s"
    " AND used.event_id::text = history.event_id::text) AS ours FROM {trade_history} AS history"
    " WHERE profile::text = %(profile)s AND kind::text IN ('ENTRY', 'EXIT') AND synthetic IS NOT TRUE"
    " AND (exchange_order_id::text = ANY(%(exchange)s) OR client_order_id::text = ANY(%(client)s))) AS history"
    " GROUP BY symbol, exchange_order_id, client_order_id, kind, ours, trade_id"
)
"""Of a row that has both ids no second one is made; `ours`: a correction made it, which says so in used_fills."""


def wanted(ids: Collection[Id]) -> dict[str, list[str]]:
    """The values of a query by ids."""
    return {
        "exchange": sorted({exchange for _, exchange, _ in ids if exchange}),
        "client": sorted({client for _, _, client in ids if client}),
    }


def booked(rows: Iterable[Sequence[Any]], ids: Collection[Id], reader: Reader) -> tuple[Booked, ...]:
    """The rows of BOOKED that are of these orders. Raises BeliefUnobserved."""
    found = []
    asked = {name for each in ids for name in _names(*each)}
    for spelled, exchange, client, kind, ours, trade_id, quantity in rows:
        symbol = reader.unified(spelled)
        if symbol and not asked.isdisjoint(_names(symbol, exchange, client)):
            amount = reader.quantity("trade_history", exchange or client, quantity)
            found.append(Booked(symbol, exchange, client, Purpose[kind], amount, ours, trade_id))
    return tuple(found)


class Sightings:
    """What the bot itself had booked of the orders that were asked for: a proof by their fills stands on that."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[str, Decimal]] = {}

    def note(self, ids: Collection[Id], rows: Iterable[Booked]) -> None:
        """Remember the answer, in place of an earlier one."""
        sums = _own(ids, rows)
        self._seen |= {(each[0], each[1]): (each[2], sums[each]) for each in ids if each[1]}

    def behind(self, fills: Iterable[Fill]) -> dict[Id, Decimal]:
        """The orders behind fills, with what was booked of each then; of one that was never asked for, nothing."""
        keys = {(fill.symbol, fill.order_id) for fill in fills}
        seen = {key: self._seen.get(key, ("", Decimal(0))) for key in keys}
        return {(*key, client): quantity for key, (client, quantity) in seen.items()}


def grown(seen: Mapping[Id, Decimal], rows: Iterable[Booked]) -> bool:
    """Whether by now something else is booked of these orders."""
    return _own(seen, rows) != dict(seen)


def _own(ids: Collection[Id], rows: Iterable[Booked]) -> dict[Id, Decimal]:
    sums = dict.fromkeys(ids, Decimal(0))
    known: dict[tuple[str, str, str], set[Id]] = {}
    for each in ids:
        for name in _names(*each):
            known.setdefault(name, set()).add(each)
    for row in rows:
        named = (known.get(name, set()) for name in _names(row.symbol, row.exchange_id, row.client_id))
        for each in set().union(*named) if not row.ours else ():
            sums[each] += row.quantity
    return sums


def _names(symbol: str, exchange: str, client: str) -> list[tuple[str, str, str]]:
    return [(symbol, kind, name) for kind, name in (("exchange", exchange), ("client", client)) if name]

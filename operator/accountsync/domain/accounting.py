"""Which fills the ledger has accounted for already, by what it wrote down of their orders.

In:  the fills of one symbol, the ledger's orders behind them and of the trades in question, its history of those, the
open slices. Out: the ids of the fills that are spent, and of those of which that can't be told.

Invariants:
1. What the history holds of an order is spent, whichever of the order's names it was booked by, and each row of it
   once. Which fills it was, it does not say: the earliest are taken, and one that it ends within.
2. What a slice has lost already, by its entries, was spent by fills of its trade: the earliest.
3. Where the bot keeps no history, and the entries of a trade are not known, a fill that the order's row counts proves
   nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from accountsync.domain.account import Fill
from accountsync.domain.finding import EXACT, ZERO
from accountsync.domain.ledger import Booked, LedgerOrder, Purpose, Slice


@dataclass(frozen=True, slots=True)
class Named:
    """A fill with the ledger's row of its order, and the client id of that. `trade`: whose it is by these."""

    fill: Fill
    row: LedgerOrder | None
    client_id: str
    trade: str


class Rows:
    """The ledger's rows of orders, by the names that the exchange has for an order.

    An order that a conditional one placed has another id than that, and the same client id.
    """

    def __init__(self, orders: Iterable[LedgerOrder]) -> None:
        self._by_id: dict[str, LedgerOrder] = {}
        self._by_client_id: dict[str, list[LedgerOrder]] = {}
        for order in orders:
            if order.exchange_id:
                self._by_id[order.exchange_id] = order
            if order.client_id:
                self._by_client_id.setdefault(order.client_id, []).append(order)

    def of(self, order_id: str, client_id: str) -> LedgerOrder | None:
        """The row of this order; None: there is none, or its client id stands for orders of several trades."""
        if order_id in self._by_id or not client_id:
            return self._by_id.get(order_id)
        rows = self._by_client_id.get(client_id, [])
        rows = [row for row in rows if not row.exchange_id] or rows
        marks = {(row.trade_id, row.sub_tag, row.purpose) for row in rows}
        return rows[-1] if len(marks) == 1 else None


def spent(
    fills: Sequence[Named],
    orders: Iterable[LedgerOrder],
    slices: Iterable[Slice],
    *,
    used: Collection[str],
    booked: Sequence[Booked],
) -> tuple[frozenset[str], frozenset[str]]:
    """The fills that are accounted for, and those that may be. `fills`: oldest first, of exits."""
    gone = {named.fill.id for named in fills if named.fill.id in used}
    gone |= _by_history(fills, gone, [row for row in booked if row.purpose is Purpose.EXIT and not row.ours])
    keeps_history = any(not row.ours for row in booked)
    counted = _counted(fills)
    open_ = {each.trade_id: each.quantity for each in slices}
    trades: dict[str, list[Named]] = {}
    for named in fills:
        trades.setdefault(named.trade, []).append(named)
    rows = {row.key: row for row in orders}.values()
    doubted: set[str] = set()
    for trade, own in trades.items():
        free = [named for named in own if named.fill.id not in gone]
        made = [row for row in rows if row.trade_id == trade]
        lost = _lost(open_[trade], made) if trade in open_ else None
        if lost is None:
            doubted |= {named.fill.id for named in free if named.fill.id in counted and not keeps_history}
            continue
        explained = _booked(trade, made, booked) if keeps_history else _counted_before(made, own, gone)
        lost = EXACT.subtract(lost, explained)
        for named in sorted(free, key=lambda named: named.fill.id not in counted):
            if lost > 0:
                lost = EXACT.subtract(lost, named.fill.quantity)
                gone.add(named.fill.id)
    return frozenset(gone), frozenset(doubted)


def _by_history(fills: Sequence[Named], gone: Collection[str], booked: Sequence[Booked]) -> set[str]:
    left = [row.quantity for row in booked]
    by_id, by_client_id = _index(row.exchange_id for row in booked), _index(row.client_id for row in booked)
    rest = {named.fill.id: named.fill.quantity for named in fills if named.fill.id not in gone}
    taken: set[str] = set()
    # an id of the exchange names one order, a client id may name several: whoever has the former comes first
    for index in (by_id, by_client_id):
        for named in fills:
            row, fill = named.row, named.fill
            names = {named.client_id, row.client_id if row else ""}
            if index is by_id:
                names = {fill.order_id, row.exchange_id if row else ""}
            for number in (number for name in names if name for number in index.get(name, ())):
                part = min(left[number], rest.get(fill.id, ZERO))
                if part > 0:
                    left[number] = EXACT.subtract(left[number], part)
                    rest[fill.id] = EXACT.subtract(rest[fill.id], part)
                    taken.add(fill.id)
    return taken


def _index(names: Iterable[str]) -> Mapping[str, list[int]]:
    index: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        index.setdefault(name, []).append(number)
    return index


def _counted(fills: Iterable[Named]) -> set[str]:
    """The fills that their orders' rows count as filled."""
    left: dict[str, Decimal] = {}
    counted: set[str] = set()
    for named in fills:
        if named.row is not None and left.setdefault(named.row.key, named.row.filled) > 0:
            left[named.row.key] = EXACT.subtract(left[named.row.key], named.fill.quantity)
            counted.add(named.fill.id)
    return counted


def _lost(held: Decimal, rows: Iterable[LedgerOrder]) -> Decimal | None:
    """What a slice lost of all that it was given by the orders of its trade; None: its entries are not known."""
    given = _sum(row.filled for row in rows if row.purpose is Purpose.ENTRY)
    return EXACT.subtract(given, held) if given >= held else None


def _booked(trade: str, rows: Iterable[LedgerOrder], booked: Iterable[Booked]) -> Decimal:
    """What the history says that the slice of `trade` lost."""
    names = {name for row in rows for name in (row.exchange_id, row.client_id) if name}
    return _sum(
        row.quantity
        for row in booked
        if row.purpose is Purpose.EXIT
        and (row.trade_id == trade or (not row.trade_id and not names.isdisjoint({row.exchange_id, row.client_id})))
    )


def _counted_before(rows: Iterable[LedgerOrder], fills: Sequence[Named], gone: Collection[str]) -> Decimal:
    """What it lost by fills that are known to be spent, or that are too old to be told."""
    told: dict[str, Decimal] = {}
    for named in fills:
        if named.row is not None:
            told[named.row.key] = EXACT.add(told.get(named.row.key, ZERO), named.fill.quantity)
    older = (EXACT.subtract(row.filled, told.get(row.key, ZERO)) for row in rows if row.purpose is Purpose.EXIT)
    spent_ = (named.fill.quantity for named in fills if named.fill.id in gone)
    return _sum((*(max(each, ZERO) for each in older), *spent_))


def _sum(quantities: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for quantity in quantities:
        total = EXACT.add(total, quantity)
    return total

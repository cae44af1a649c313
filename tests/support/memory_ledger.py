"""A ledger in memory: what `PostgresLedger` does, without a database. It passes the same contract suite."""

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from accountsync.domain.account import Fill, OrderStatus, PositionSide, Side
from accountsync.domain.expected import ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.ledger import (
    Booked,
    Correction,
    Handler,
    LedgerOrder,
    Purpose,
    Slice,
    SliceSide,
    SyntheticExit,
    Written,
)
from accountsync.errors import LedgerError, LedgerLockHeld, LedgerReason
from accountsync.ports import Canonical, Fence, LockedLedger

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the history."""

    event_id: str
    kind: str
    symbol: str
    quantity: Decimal
    price: Decimal | None
    trade_id: str = ""
    exchange_id: str = ""
    client_id: str = ""
    synthetic: bool = False


@dataclass
class Tables:
    """What a ledger holds. Symbols are the bot's own spelling; the rows' versions are made when they are read."""

    slices: dict[str, Slice] = field(default_factory=dict)
    orders: dict[str, LedgerOrder] = field(default_factory=dict)
    history: dict[str, Event] = field(default_factory=dict)
    used_fills: dict[tuple[str, str], str] = field(default_factory=dict)
    positions: dict[str, Decimal] = field(default_factory=dict)
    reserved: Decimal = ZERO
    realised: Decimal = ZERO

    def copy(self) -> "Tables":
        """What a transaction works on."""
        return replace(
            self,
            slices=dict(self.slices),
            orders=dict(self.orders),
            history=dict(self.history),
            used_fills=dict(self.used_fills),
            positions=dict(self.positions),
        )


class _ChangedError(Exception):
    pass


class MemoryLedger:
    """A `BotState` and a `Ledger`. `now` tells Unix ms; `failure` is raised instead of anything, while it is set."""

    def __init__(self, now: Callable[[], int], tables: Tables | None = None) -> None:
        self.tables = tables or Tables()
        self.now = now
        self.held = False
        self.failure: LedgerError | None = None
        self.batch = 2

    async def read(self) -> ExpectedState:
        """The belief."""
        sums: dict[str, Decimal] = {}
        for row in self.tables.slices.values():
            if row.quantity:
                sums[row.symbol] = sums.get(row.symbol, ZERO) + row.signed
        return ExpectedState(
            self.now(),
            positions=tuple(ExpectedPosition(symbol, PositionSide.NET, sums[symbol]) for symbol in sorted(sums)),
            orders=tuple(
                ExpectedOrder(
                    row.symbol,
                    row.exchange_id,
                    row.client_id,
                    row.side,
                    row.quantity,
                    row.filled,
                    row.price,
                    row.status,
                )
                for _, row in sorted(self.tables.orders.items())
                if row.status is OrderStatus.OPEN
            ),
        )

    @contextlib.asynccontextmanager
    async def locked(self, canonical: Canonical) -> AsyncIterator[LockedLedger]:
        """One run at a time."""
        if self.failure:
            raise self.failure
        if self.held:
            raise LedgerLockHeld(LedgerReason.LOCK_HELD, "the ledger in memory: another run holds the lock")
        self.held = True
        try:
            yield _Locked(self, canonical)
        finally:
            self.held = False


class _Locked:
    def __init__(self, ledger: MemoryLedger, canonical: Canonical) -> None:
        self._ledger = ledger
        self._canonical = canonical

    async def slices(self, symbols: Collection[str] | None = None) -> AsyncIterator[Sequence[Slice]]:
        rows = [self._seen(row) for row in self._tables.slices.values() if row.quantity]
        rows = [row for row in rows if symbols is None or row.symbol in symbols]
        for start in range(0, len(rows), self._ledger.batch):
            yield rows[start : start + self._ledger.batch]

    async def orders(self, ids: Collection[tuple[str, str, str]]) -> tuple[LedgerOrder, ...]:
        rows = (self._seen_order(row) for row in self._tables.orders.values())
        return tuple(
            row
            for row in rows
            if any(
                row.symbol == symbol
                and ((exchange and row.exchange_id == exchange) or (client and row.client_id == client))
                for symbol, exchange, client in ids
            )
        )

    async def used(self, fills: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        return frozenset((self._canonical(symbol), fill) for symbol, fill in self._tables.used_fills) & frozenset(fills)

    async def trade_orders(self, trades: Collection[tuple[str, str]]) -> tuple[LedgerOrder, ...]:
        rows = (self._seen_order(row) for row in self._tables.orders.values())
        return tuple(row for row in rows if row.trade_id and (row.symbol, row.trade_id) in trades)

    async def booked(self, ids: Collection[tuple[str, str, str]]) -> tuple[Booked, ...]:
        ours = set(self._tables.used_fills.values())
        return tuple(
            Booked(
                self._canonical(event.symbol),
                event.exchange_id,
                event.client_id,
                Purpose[event.kind],
                event.quantity,
                event.event_id in ours,
                event.trade_id,
            )
            for event in self._tables.history.values()
            if event.kind in Purpose.__members__
            and not event.synthetic
            and any(
                self._canonical(event.symbol) == symbol
                and ((exchange and event.exchange_id == exchange) or (client and event.client_id == client))
                for symbol, exchange, client in ids
            )
        )

    async def written(self, event_ids: Collection[str]) -> frozenset[str]:
        return frozenset(self._tables.history.keys() & set(event_ids))

    async def correct(self, correction: Correction, fence: Fence) -> Written:
        symbol = correction.order.symbol
        return self._write(
            correction.event_id, symbol, correction.fills, lambda tables: self._correct(tables, correction), fence
        )

    async def close(self, synthetic: SyntheticExit, fence: Fence) -> Written:
        symbol = synthetic.slice.symbol
        return self._write(
            synthetic.event_id, symbol, synthetic.fills, lambda tables: self._close(tables, synthetic), fence
        )

    @property
    def _tables(self) -> Tables:
        if self._ledger.failure:
            raise self._ledger.failure
        return self._ledger.tables

    def _seen(self, row: Slice) -> Slice:
        version = repr(replace(row, version="", opened=0))
        return replace(row, symbol=self._canonical(row.symbol), version=version)

    def _seen_order(self, row: LedgerOrder) -> LedgerOrder:
        version = repr(replace(row, version="", created=None))
        return replace(row, symbol=self._canonical(row.symbol), version=version)

    def _write(
        self, event_id: str, symbol: str, fills: Sequence[Fill], steps: Callable[[Tables], None], fence: Fence
    ) -> Written:
        if event_id in self._tables.history:
            return Written.ALREADY
        used = {(self._canonical(spelled), fill) for spelled, fill in self._tables.used_fills}
        if any((symbol, fill.id) in used for fill in fills):
            return Written.CHANGED
        working = self._tables.copy()
        try:
            steps(working)
        except _ChangedError:
            return Written.CHANGED
        fence()
        self._ledger.tables = working
        return Written.APPLIED

    def _close(self, tables: Tables, synthetic: SyntheticExit) -> None:
        row = tables.slices.get(synthetic.slice.trade_id)
        if row is None or self._seen(row) != synthetic.slice:
            raise _ChangedError
        tables.slices[row.trade_id] = replace(row, quantity=ZERO)
        orders = {fill.order_id for fill in synthetic.fills}
        tables.history[synthetic.event_id] = Event(
            synthetic.event_id,
            "EXIT",
            row.symbol,
            row.quantity,
            synthetic.price,
            row.trade_id,
            orders.pop() if len(orders) == 1 else "",
            synthetic=True,
        )
        tables.used_fills |= {(row.symbol, fill.id): synthetic.event_id for fill in synthetic.fills}
        self._recompute(tables, row.symbol, synthetic.realised or ZERO)

    def _correct(self, tables: Tables, correction: Correction) -> None:
        if correction.handler is Handler.ADOPT:
            self._adopt(tables, correction)
            return
        row = tables.orders.get(correction.order.key)
        if row is None or self._seen_order(row) != correction.order:
            raise _ChangedError
        exchange_id = row.exchange_id or next((fill.order_id for fill in correction.fills), "")
        tables.orders[row.key] = replace(
            row, filled=correction.filled, status=correction.status, exchange_id=exchange_id
        )
        canceling = correction.handler is Handler.CANCEL
        realised = ZERO
        quantity = sum((fill.quantity for fill in correction.fills), ZERO)
        event_id = f"{correction.event_id}:fill" if canceling else correction.event_id
        if correction.fills:
            realised = self._fill(tables, correction, row.symbol, quantity)
            tables.used_fills |= {(row.symbol, fill.id): event_id for fill in correction.fills}
        made = Event(
            event_id, row.purpose.name, row.symbol, quantity, correction.price, row.trade_id, exchange_id, row.client_id
        )
        if correction.fills or not canceling:
            tables.history[event_id] = made
        if canceling:
            tables.history[correction.event_id] = replace(
                made, event_id=correction.event_id, kind="CANCEL", quantity=ZERO, price=None
            )
        self._recompute(tables, row.symbol if correction.fills else "", realised)

    def _fill(self, tables: Tables, correction: Correction, symbol: str, quantity: Decimal) -> Decimal:
        order, price = correction.order, correction.price
        held = tables.slices.get(order.trade_id)
        if correction.slice_version != (self._seen(held).version if held and held.quantity else ""):
            raise _ChangedError
        if held is not None and (not held.quantity or held.symbol != symbol):
            raise _ChangedError
        if order.purpose is Purpose.ENTRY:
            if held is None:
                side = SliceSide.LONG if order.side is Side.BUY else SliceSide.SHORT
                opened = min(fill.time for fill in correction.fills)
                held = Slice(order.trade_id, symbol, side, ZERO, opened, order.sub_tag, order.client_id)
            average = price
            if held.quantity:
                known = held.entry_price is not None and price is not None
                total = held.quantity * (held.entry_price or ZERO) + quantity * (price or ZERO)
                average = total / (held.quantity + quantity) if known else None
            tables.slices[order.trade_id] = replace(held, quantity=held.quantity + quantity, entry_price=average)
            return ZERO
        if held is None or not held.quantity or held.quantity < quantity or held.side.exit is not order.side:
            raise _ChangedError
        tables.slices[order.trade_id] = replace(held, quantity=held.quantity - quantity)
        if price is None or held.entry_price is None:
            return ZERO
        gain = (price - held.entry_price) * quantity
        return gain if held.side is SliceSide.LONG else -gain

    def _adopt(self, tables: Tables, correction: Correction) -> None:
        order = correction.order
        for row in tables.orders.values():
            if row.key == order.key or (
                self._canonical(row.symbol) == order.symbol
                and (
                    (order.exchange_id and row.exchange_id == order.exchange_id)
                    or (order.client_id and row.client_id == order.client_id and row.status is OrderStatus.OPEN)
                )
            ):
                raise _ChangedError
        spelled = {row.symbol for row in tables.orders.values()} | set(tables.positions)
        symbol = min((each for each in spelled if self._canonical(each) == order.symbol), default=order.symbol)
        tables.orders[order.key] = replace(
            order, symbol=symbol, filled=correction.filled, status=correction.status, version=""
        )
        tables.history[correction.event_id] = Event(
            correction.event_id,
            order.purpose.name,
            symbol,
            ZERO,
            None,
            order.trade_id,
            order.exchange_id,
            order.client_id,
        )
        self._recompute(tables, "", ZERO)

    def _recompute(self, tables: Tables, symbol: str, realised: Decimal) -> None:
        if symbol:
            tables.positions[symbol] = sum((row.signed for row in tables.slices.values() if row.symbol == symbol), ZERO)
        tables.reserved = sum((row.quantity * (row.entry_price or ZERO) for row in tables.slices.values()), ZERO) + sum(
            (
                max(row.quantity - row.filled, ZERO) * (row.price or ZERO)
                for row in tables.orders.values()
                if row.purpose is Purpose.ENTRY and row.status is OrderStatus.OPEN
            ),
            ZERO,
        )
        tables.realised += realised

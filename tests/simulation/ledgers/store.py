"""A ledger in memory: by the rules of the one in a database, a transaction counts whole or not at all."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from accountsync.domain.account import Fill, OrderStatus, Side
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

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the trade history. `ref`: the exchange's id of the order."""

    event_id: str
    kind: str
    trade_id: str
    quantity: Decimal
    ref: str
    at: int


@dataclass(slots=True)
class Store:
    """The ledger of one profile.

    `writes`: how often somebody else than the bot changed it. `booked`: ids of all fills that the bot ever accounted
    for, which a ledger does not know. `torn`: orders of which the bot wrote everything but their rows.
    `over`: trades whose slices were closed.
    """

    profile: str
    open: dict[str, Slice] = field(default_factory=dict)
    orders: dict[str, LedgerOrder] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    used: dict[tuple[str, str], str] = field(default_factory=dict)
    synthetic: set[str] = field(default_factory=set)
    torn: set[str] = field(default_factory=set)
    over: set[str] = field(default_factory=set)
    writes: int = 0
    booked: set[str] = field(default_factory=set)
    _version: int = 0

    def slices(self) -> Iterator[Slice]:
        """A stream of the open ones."""
        return iter(list(self.open.values()))

    @property
    def net(self) -> dict[str, Decimal]:
        """Symbol → virtual position."""
        total: dict[str, Decimal] = {}
        for each in self.open.values():
            total[each.symbol] = total.get(each.symbol, ZERO) + each.signed
        return total

    def told(self, symbol: str) -> list[Booked]:
        """What the history holds of orders."""
        ours = set(self.used.values())
        return [
            Booked(
                symbol,
                event.ref,
                "",
                Purpose(event.kind.lower()),
                event.quantity,
                event.event_id in ours,
                event.trade_id,
            )
            for event in self.history
            if event.kind in Purpose.__members__ and event.event_id not in self.synthetic
        ]

    # --- the bot ------------------------------------------------------------------------------------------------------

    def put(self, order: LedgerOrder) -> None:
        """The bot writes an order."""
        self.orders[order.key] = replace(order, version=self._next())

    def bot_fills(
        self,
        each: Slice,
        order: LedgerOrder,
        fills: list[Fill],
        filled: Decimal,
        status: OrderStatus,
        *,
        torn: bool = False,
    ) -> bool:
        """The bot accounts for fills of its order. False: somebody did so before, and nothing is written.

        `torn`: it dies before it writes the order's row.
        """
        row = self.orders.get(order.key)
        if any((fill.symbol, fill.id) in self.used for fill in fills) or (
            row is not None and row.filled > order.filled
        ):
            return False
        if order.purpose is Purpose.EXIT and not self._can_lose(each.trade_id, fills):
            return False
        if torn:
            self.torn.add(order.key)
        else:
            self.put(replace(order, filled=filled, status=status))
        self._change(each, order.purpose, fills)
        self.booked.update(fill.id for fill in fills)
        for fill in fills:
            self._book(f"bot-{order.key}-{fill.id}", order.purpose.upper(), each.trade_id, fill.quantity, fill)
        return True

    # --- the operator -------------------------------------------------------------------------------------------------

    def close(self, exit_: SyntheticExit) -> Written:
        """Close a slice by fills that prove it."""
        if any(event.event_id == exit_.event_id for event in self.history):
            return Written.ALREADY
        row = self.open.get(exit_.slice.trade_id)
        fresh = row is not None and (row.version, row.quantity) == (exit_.slice.version, exit_.slice.quantity)
        if row is None or not fresh or self._spent(exit_.fills):
            return Written.CHANGED
        self.writes += 1
        del self.open[row.trade_id]
        self.over.add(row.trade_id)
        self.synthetic.add(exit_.event_id)
        self._use(exit_.fills, exit_.event_id)
        self._book(exit_.event_id, "EXIT", row.trade_id, row.quantity, exit_.fills[-1])
        return Written.APPLIED

    def moved(self, change: Correction) -> bool:
        """Whether the slice is not what was judged any more; one that is closed is never opened again."""
        held = self.open.get(change.order.trade_id)
        other = change.order.trade_id in self.over or (held.version if held else "") != change.slice_version
        return bool(change.fills) and other

    def correct(self, change: Correction) -> Written:
        """Bring into it what the exchange proved of an order."""
        if any(event.event_id == change.event_id for event in self.history):
            return Written.ALREADY
        mine, adopts = self.orders.get(change.order.key), change.handler is Handler.ADOPT
        if (
            self.moved(change)
            or self._spent(change.fills)
            or (mine is not None if adopts else mine is None or mine.version != change.order.version)
        ):
            return Written.CHANGED
        order, quantity = change.order, sum((fill.quantity for fill in change.fills), ZERO)
        if order.purpose is Purpose.EXIT and change.fills and not self._can_lose(order.trade_id, change.fills):
            return Written.CHANGED
        self.writes += 1
        exchange_id = order.exchange_id or change.exchange_id
        self.put(replace(order, filled=change.filled, status=change.status, exchange_id=exchange_id))
        if change.fills:
            buys = order.side is Side.BUY
            side = SliceSide.LONG if buys is (order.purpose is Purpose.ENTRY) else SliceSide.SHORT
            new = Slice(
                order.trade_id, order.symbol, side, ZERO, change.at, order.sub_tag, order.client_id, change.price
            )
            self._change(self.open.get(order.trade_id, new), order.purpose, change.fills)
            self._use(change.fills, change.event_id)
        last = Event(change.event_id, order.purpose.name, order.trade_id, quantity, exchange_id, change.at)
        self.history.append(last)
        return Written.APPLIED

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _can_lose(self, trade_id: str, fills: Iterable[Fill]) -> bool:
        row = self.open.get(trade_id)
        return row is not None and sum((fill.quantity for fill in fills), ZERO) <= row.quantity

    def _change(self, each: Slice, purpose: Purpose, fills: Iterable[Fill]) -> None:
        row = self.open.get(each.trade_id, replace(each, quantity=ZERO))
        change = sum((fill.quantity for fill in fills), ZERO)
        quantity = row.quantity + (change if purpose is Purpose.ENTRY else -change)
        if quantity < 0:
            raise AssertionError(f"{each.trade_id} of {self.profile} would go below zero")
        self.open.pop(each.trade_id, None)
        if quantity:
            self.open[each.trade_id] = replace(row, quantity=quantity, version=self._next())
        else:
            self.over.add(each.trade_id)

    def _spent(self, fills: Iterable[Fill]) -> bool:
        return any((fill.symbol, fill.id) in self.used for fill in fills)

    def _use(self, fills: Iterable[Fill], event_id: str) -> None:
        self.used.update({(fill.symbol, fill.id): event_id for fill in fills})

    def _book(self, event_id: str, kind: str, trade_id: str, quantity: Decimal, fill: Fill) -> None:
        self.history.append(Event(event_id, kind, trade_id, quantity, fill.order_id, fill.time))

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

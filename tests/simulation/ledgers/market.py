"""The exchange behind the ledgers, and what is true of each of its fills."""

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.support.rows import BTC, ETH, NOW

from accountsync.domain.account import AccountSnapshot, Fill, Order, OrderStatus, Part, Position, PositionSide, Side
from accountsync.domain.ledger import Purpose, SliceSide

SYMBOLS = (BTC, ETH)
STEP = Decimal("0.5")
MARKS = {BTC: Decimal(100), ETH: Decimal(10)}
LISTED_LATE_MS = 3_000
"""Positions may be so far behind the fills that changed them."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Whose a fill is; no profile: nobody's.

    `marked`: by what the ledger made or wrote, it is of one trade; `tagged`: it wrote nothing but the sub_tag.
    """

    profile: str = ""
    trade_id: str = ""
    purpose: Purpose = Purpose.EXIT
    sub_tag: str = ""
    marked: bool = False
    tagged: bool = False


NOBODY = Truth()


@dataclass(slots=True)
class Market:
    """One exchange account."""

    dice: random.Random
    hedged: bool
    now: int = NOW
    orders: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    truth: dict[str, Truth] = field(default_factory=dict)
    """Fill id → whose it is."""
    held: dict[tuple[str, PositionSide], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    changed: dict[tuple[str, PositionSide], int] = field(default_factory=dict)
    _owners: dict[str, Truth] = field(default_factory=dict)

    def leg(self, side: SliceSide) -> PositionSide:
        """The position that a slice of `side` is in."""
        return PositionSide(side.value) if self.hedged else PositionSide.NET

    def place(
        self, symbol: str, side: Side, quantity: Decimal, client_id: str, truth: Truth, forced: str = ""
    ) -> Order:
        """An order that waits."""
        id_ = str(1000 + len(self.orders))
        order = Order(id_, client_id, symbol, side, quantity, Decimal(0), Decimal(100), created=self.now, forced=forced)
        self.orders[id_], self._owners[id_] = order, truth
        return order

    def fill(self, order: Order, leg: PositionSide, quantity: Decimal) -> list[Fill]:
        """Some of it is executed, in one fill or in two."""
        parts = [quantity]
        if quantity > STEP and self.dice.random() < 0.3:
            parts = [STEP, quantity - STEP]
        made = []
        for part in parts:
            self.now += 1
            price = MARKS[order.symbol] + self.dice.choice([-1, 0, 1])
            one = Fill(f"f{len(self.fills)}", order.id, order.symbol, order.side, leg, part, price, self.now)
            self.fills.append(one)
            self.truth[one.id] = self._owners[order.id]
            self.held[order.symbol, leg] += one.change
            self.changed[order.symbol, leg] = self.now
            made.append(one)
        filled = self.orders[order.id].filled + quantity
        status = OrderStatus.FILLED if filled == order.quantity else OrderStatus.OPEN
        self.orders[order.id] = replace(self.orders[order.id], filled=filled, status=status, updated=self.now)
        return made

    def cancel(self, order_id: str) -> None:
        """What is left of it is gone."""
        self.orders[order_id] = replace(self.orders[order_id], status=OrderStatus.CANCELED, updated=self.now)

    def snapshot(self, *, faulty: bool) -> AccountSnapshot | None:
        """What it says of itself. None: not accepted."""
        dice = self.dice
        if faulty and dice.random() < 0.08:
            return None
        missing = frozenset({Part.POSITIONS}) if faulty and dice.random() < 0.08 else frozenset()
        unsettled = frozenset({dice.choice(SYMBOLS)}) if faulty and dice.random() < 0.08 else frozenset()
        held = dict(self.held)
        if faulty and dice.random() < 0.2:
            for fill in reversed(self.fills):
                if fill.time <= self.now - LISTED_LATE_MS:
                    break
                held[fill.symbol, fill.leg] -= fill.change
        rows = [
            Position(symbol, leg, quantity, updated=self.changed[symbol, leg])
            for (symbol, leg), quantity in held.items()
            if quantity or self.hedged
        ]
        steps = dict.fromkeys(SYMBOLS, STEP)
        return AccountSnapshot(self.now, tuple(rows), unsettled=unsettled, missing=missing, steps=steps, marks=MARKS)

    def last(self) -> dict[str, int]:
        """Symbol → when it was traded last."""
        return {fill.symbol: fill.time for fill in self.fills}

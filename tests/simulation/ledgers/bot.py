"""A bot that keeps a ledger, and loses updates: it dies between a fill and the write of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.simulation.ledgers.market import MARKS, NOBODY, STEP, SYMBOLS, Market, Truth
from tests.simulation.ledgers.store import Store

from accountsync.domain.account import Fill, OrderStatus, Side
from accountsync.domain.ledger import LedgerOrder, Purpose, Slice, SliceSide

TAGS = ("", "alpha", "alpha", "beta", "gamma")
NAMING = frozenset({"row", "client id"})
"""What may name the trade of an exit."""
SLOW_MS = (0, 0, 200, 1_500, 40_000)
"""How long after a fill the bot may write it down."""


@dataclass(slots=True)
class Trade:
    """`real`: what is truly open of it."""

    slice: Slice
    real: Decimal


@dataclass(slots=True)
class Bot:
    """One profile. `loses`: how often it loses what it should have written."""

    number: int
    market: Market
    dice: random.Random
    loses: float
    both_ways: bool
    store: Store = field(init=False)
    trades: dict[str, Trade] = field(default_factory=dict)
    _pending: list[tuple[int, Callable[[], object]]] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self.store = Store(f"profile-{self.number}")

    @property
    def prefix(self) -> str:
        """How its client order ids begin."""
        return f"bot{self.number}_"

    def act(self) -> None:
        """Whatever it likes to do."""
        alive = [trade for trade in self.trades.values() if trade.real]
        if alive and self.dice.random() < 0.4:
            trade = self.dice.choice(alive)
            part = self.dice.random() < 0.4 and trade.real > STEP
            self.leave(trade, STEP if part else trade.real)
        elif len(alive) < 4:
            self.enter()

    def write(self) -> None:
        """Write down what is due."""
        due = [work for at, work in self._pending if at <= self.market.now]
        self._pending = [each for each in self._pending if each[0] > self.market.now]
        for work in due:
            work()

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _later(self, work: Callable[[], object]) -> None:
        self._pending.append((self.market.now + self.dice.choice(SLOW_MS), work))

    # --- trades -------------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Open a trade."""
        number, dice, market = self._next(), self.dice, self.market
        side = dice.choice(list(SliceSide)) if self.both_ways else SliceSide.LONG
        symbol, quantity = dice.choice(SYMBOLS), dice.choice([STEP, 2 * STEP, 2 * STEP, 4 * STEP])
        trade_id, tag, client_id = f"{self.number}t{number}", dice.choice(TAGS), f"{self.prefix}{number}"
        entry = Side.BUY if side is SliceSide.LONG else Side.SELL
        truth = Truth(self.store.profile, trade_id, Purpose.ENTRY, tag, marked=True)
        order = market.place(symbol, entry, quantity, client_id, truth)
        row = LedgerOrder(
            f"o{order.id}", symbol, entry, Purpose.ENTRY, quantity, Decimal(0), OrderStatus.OPEN,
            client_id, order.id, trade_id, tag, created=market.now,
        )  # fmt: skip
        self.store.put(row)
        new = Slice(trade_id, symbol, side, Decimal(0), market.now, tag, client_id, MARKS[symbol])
        self.trades[trade_id] = Trade(new, quantity)
        fills = market.fill(order, market.leg(side), quantity)
        if dice.random() >= self.loses / 2:
            row = self.store.orders[row.key]
            torn = dice.random() < self.loses / 4
            self._later(lambda: self.store.bot_fills(new, row, fills, quantity, OrderStatus.FILLED, torn=torn))

    def leave(self, trade: Trade, quantity: Decimal) -> None:
        """Close a trade, or a part of it."""
        each, dice, market = trade.slice, self.dice, self.market
        style = dice.choice(["row", "row", "client id", "tag", "nothing"])
        client_id = (
            f"{each.entry_client_id}-exit{self._next()}" if style == "client id" else f"{self.prefix}x{self._next()}"
        )
        truth = Truth(self.store.profile, each.trade_id, Purpose.EXIT, each.sub_tag, style in NAMING, style == "tag")
        waits = style == "row" and dice.random() < 0.3
        order = market.place(each.symbol, each.side.exit, quantity * (2 if waits else 1), client_id, truth)
        row = LedgerOrder(
            f"o{order.id}", each.symbol, order.side, Purpose.EXIT, order.quantity, Decimal(0), OrderStatus.OPEN,
            client_id, order.id, each.trade_id, each.sub_tag, created=market.now,
        )  # fmt: skip
        if style == "tag":
            row = replace(row, trade_id="")
        trade.real -= quantity
        booked = True  # a bot accounts for fills as they come: what it could not, nothing follows
        if style == "row":
            self.store.put(row)
            if quantity > STEP and dice.random() < 0.3:
                first, quantity = market.fill(order, market.leg(each.side), STEP), quantity - STEP
                booked = self.store.bot_fills(each, row, first, STEP, OrderStatus.OPEN)
            row = self.store.orders[row.key]
        fills = market.fill(order, market.leg(each.side), quantity)
        status, filled = market.orders[order.id].status, market.orders[order.id].filled
        if waits:
            market.cancel(order.id)
            status = OrderStatus.CANCELED
        if dice.random() >= self.loses and booked:
            torn = style == "row" and dice.random() < self.loses / 4
            self._later(lambda: self.store.bot_fills(each, row, fills, filled, status, torn=torn))
        elif style == "tag" or (style == "row" and dice.random() < 0.5):
            self.store.put(replace(row, filled=filled, status=status))

    def forget(self, grace_ms: int) -> None:
        """Prune the history of trades that are over, as far as no fill of them is near an open slice of their tag."""
        market, store = self.market, self.store
        open_tags: dict[str, int] = {}
        for each in (trade.slice for trade in self.trades.values() if trade.slice.trade_id in store.open or trade.real):
            open_tags[each.sub_tag] = min(open_tags.get(each.sub_tag, each.opened), each.opened)
        ours = set(store.used.values())
        kept = []
        for event in store.history:
            tag = self.trades[event.trade_id].slice.sub_tag if event.trade_id in self.trades else ""
            over = event.trade_id not in store.open and not self.trades[event.trade_id].real
            old = event.at < min(open_tags.get(tag, market.now), market.now) - grace_ms - 1_000
            if event.event_id in ours or not (over and old):
                kept.append(event)
        store.history = kept


def liquidate(market: Market, bots: list[Bot], symbol: str, side: SliceSide) -> bool:
    """The exchange closes a whole position, of all bots, where all of it is one way."""
    mine = [trade for bot in bots for trade in bot.trades.values() if trade.slice.symbol == symbol and trade.real]
    if not market.hedged and any(trade.slice.side is not side for trade in mine):
        return False
    struck = [trade for trade in mine if trade.slice.side is side]
    total = sum((trade.real for trade in struck), Decimal(0))
    if not total:
        return False
    order = market.place(symbol, side.exit, total, f"autoclose-{market.now}", NOBODY, forced="liquidation")
    market.fill(order, market.leg(side), total)
    for trade in struck:
        trade.real = Decimal(0)
    return True


def somebody_else_trades(market: Market, dice: random.Random) -> list[Fill]:
    """A person buys and sells by hand."""
    symbol, side = dice.choice(SYMBOLS), dice.choice(list(SliceSide))
    quantity = dice.choice([STEP, 2 * STEP])
    there, back = (Side.BUY, Side.SELL) if side is SliceSide.LONG else (Side.SELL, Side.BUY)
    made = []
    for way in (there, back):
        order = market.place(symbol, way, quantity, f"web_{len(market.orders)}", NOBODY)
        made += market.fill(order, market.leg(side), quantity)
    return made

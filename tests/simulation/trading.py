"""What bots do on their account, and what happens to their orders: all of it truthful, and all of it known to them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from tests.simulation.exchange import ZERO, Account, Key
from tests.simulation.nature import PREFIXES, Nature
from tests.simulation.timeline import Timeline
from tests.support.fakes import BTC, ETH, START_MS

from accountsync.domain.account import Fill, Order, OrderStatus, PositionSide, Side

APART = 0.02
"""Seconds between two happenings, at least: lists of fills are told from those that lack the last one by time."""


class Trader:
    """All bots' trading in `symbols`, for ever.

    `quiet`: nothing happens. `busy`: something does in each second, in BTC as well. `forced`: fills that the exchange
    made. `spared`: orders that nothing happens to.
    """

    def __init__(self, account: Account, timeline: Timeline, dice: random.Random, nature: Nature) -> None:
        self.account, self.timeline, self.dice, self.nature = account, timeline, dice, nature
        self.symbols = [BTC, ETH]
        self.every = nature.trade_every
        self.quiet = self.busy = False
        self.liquidates = nature.liquidations
        self.spared: set[Key] = set()
        self.forced: list[Fill] = []
        self._count = 0
        for _ in range(4):
            self._place(self.dice.randrange(nature.bots))
        self.account.remember()
        self._next()

    def _next(self) -> None:
        self.timeline.later(APART + self.dice.expovariate(1 / self.every), self._live)

    def _live(self) -> None:
        if not self.quiet:
            with self.now():
                self.act()
        self._next()

    @contextmanager
    def now(self) -> Iterator[None]:
        """What is done in here happens at this time."""
        self.account.now_ms = START_MS + int(self.timeline.now * 1000)
        yield
        self.account.remember()

    def act(self) -> None:
        """One thing that a bot does or that happens to it."""
        chance = self.dice.random()
        if chance < 0.03:
            self.account.book(Decimal(self.dice.randint(-9_999_999, 9_999_999)) / 10**8, "FUNDING_FEE")
        elif chance < 0.04:
            self.account.book(Decimal(self.dice.choice([-50, 50])), "TRANSFER", self.dice.randrange(self.nature.bots))
        elif chance < 0.05 and self.liquidates:
            self._liquidate()
        else:
            self._work(self.dice.randrange(self.nature.bots))

    def _work(self, owner: int) -> None:
        own = [row for row in self.account.open_of(self._symbols, owner) if (row.symbol, row.ref) not in self.spared]
        if len(own) < 2 or (len(own) < 6 and self.dice.random() < 0.3):
            self._place(owner)
            return
        order = self.dice.choice(own)
        price = Decimal(self.dice.randint(90, 110))
        same_name = self.dice.random() < 0.5
        match self.dice.randrange(7):
            case 0:
                self.account.end(order, self.dice.choice([OrderStatus.CANCELED, OrderStatus.EXPIRED]))
            case 1:  # cancel-replace, under the same client id or another
                self.account.end(order)
                self._place(owner, order.symbol, order.client_id if same_name else "")
            case 2:
                self.account.amend(order, price=price)
            case 3:  # an amendment that gives a new id
                self.account.succeed(order, price=price, client_id=order.client_id if same_name else self._name(owner))
            case _ if order.conditional:
                child = self.account.succeed(order, price=None, client_id=order.client_id)
                if self.dice.random() < 0.5:
                    self.fill(child, child.quantity)
            case 4:
                self.fill(order, (order.quantity - order.filled) / 2)
            case _:
                self.fill(order, order.quantity - order.filled)

    def fill(self, order: Order, amount: Decimal) -> None:
        """Trade so much of it as its leg allows; smallest parts are not traded."""
        leg = self.account.legs[order.symbol, order.ref]
        held = self.account.positions.get((order.symbol, leg))
        if leg is not PositionSide.NET and (order.side is Side.BUY) == (leg is PositionSide.SHORT):
            amount = min(amount, held.quantity if held else ZERO)  # a leg does not turn
        if amount < Decimal("0.01"):
            amount = order.quantity - order.filled if leg is PositionSide.NET else ZERO
        if amount:
            self.account.fill(order, amount)

    @property
    def _symbols(self) -> list[str]:
        return [BTC, ETH] if self.busy else self.symbols

    def _name(self, owner: int) -> str:
        self._count += 1
        return f"{PREFIXES[owner]}{self._count}"

    def _place(self, owner: int, symbol: str = "", client_id: str = "") -> None:
        legs = [PositionSide.LONG, PositionSide.SHORT] if self.nature.hedged else [PositionSide.NET]
        conditional = self.nature.conditionals and self.dice.random() < 0.3
        self.account.place(
            symbol or self.dice.choice(self._symbols),
            side=self.dice.choice([Side.BUY, Side.SELL]),
            quantity=Decimal(self.dice.randint(1, 3)),
            price=None if conditional else Decimal(self.dice.randint(90, 110)),
            client_id=client_id or self._name(owner),
            leg=self.dice.choice(legs),
            owner=owner,
            trigger=Decimal(self.dice.randint(90, 110)) if conditional else None,
        )

    def _liquidate(self) -> None:
        held = [leg for leg, row in self.account.positions.items() if row.quantity and leg[0] in self.symbols]
        if held:
            symbol, side = self.dice.choice(held)
            self.liquidate(symbol, side, self.dice.choice(["liquidation", "auto-deleveraging"]))

    def liquidate(self, symbol: str, side: PositionSide, kind: str) -> Fill:
        """The exchange takes a position, or half of it, and the bot with the larger share of it knows."""
        row = self.account.positions[symbol, side]
        shares = [share.get((symbol, side), ZERO) for share in self.account.shares]
        owner = max(range(len(shares)), key=lambda number: abs(shares[number]))
        amount = abs(row.quantity) if kind == "liquidation" else abs(row.quantity) / 2
        fill = self.account.force(symbol, side, amount, kind, owner)
        self.forced.append(fill)
        return fill

"""A small world that lives by its seed: a bot that trades truthfully, an exchange that fails, and an observer of both.

The bot knows everything that happened on its account up to its `asOf`, and nothing after. It publishes late, at times
not at all, loses its memory in a crash and boots anew. The exchange fails, hangs, answers with old lists and with whole
snapshots from the past. Nothing of this is drift.
"""

import asyncio
import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Self

from tests.simulation.virtual import VirtualClock
from tests.support.fakes import BTC, ETH, FakeExchange, tracked, truth

from accountsync.cycle import Cycle, State, run
from accountsync.domain.account import AccountSnapshot, Balance, Order, OrderStatus, Position, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.decide import Wishes
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.policy import Mode, Policy
from accountsync.errors import BeliefUnobserved, ExchangeUnobserved, Reason

PREFIX = "grinder_"
STALE_LIST_MS = 4_000
"""How far behind the account a list of the exchange may be: less than the grace."""


@dataclass(frozen=True, slots=True)
class Nature:
    """What kind of world a seed makes."""

    interval: float
    policy: Policy
    hedged: bool
    live: bool
    trade_every: float
    publish_every: float
    lag: float
    latency: float
    trouble: float
    bot_skew_ms: int

    @classmethod
    def of(cls, dice: random.Random) -> "Nature":
        interval = dice.choice([1.0, 5.0, 15.0])
        return cls(
            interval=interval,
            policy=Policy(
                mode=Mode.PAUSE,
                order_id_prefix=PREFIX,
                balance_tolerances={"USDT": Decimal(0)},
                confirmations=dice.choice([1, 2, 3]),
                timeout=min(10.0, interval * 2 / 3),
                stale_after=max(30.0, 3 * interval),
            ),
            hedged=dice.random() < 0.3,
            live=dice.random() < 0.4,
            trade_every=dice.choice([0.5, 2.0, 6.0, 20.0, 60.0]),
            publish_every=dice.choice([1.0, 5.0, 20.0, 60.0]),
            lag=dice.choice([0.0, 0.2, 3.0, 20.0]),
            latency=dice.choice([0.0, 0.05, 0.1 * min(interval, 5.0)]),
            trouble=dice.choice([0.0, 0.05, 0.25]),
            bot_skew_ms=dice.choice([0, 0, -300, 300]),
        )


@dataclass
class FaultyExchange(FakeExchange):
    """Remembers what it held, so that it can answer from the past. `trouble` is the chance of a fault a call."""

    dice: random.Random = field(default_factory=random.Random)
    trouble: float = 0.0
    _times: list[int] = field(default_factory=list)
    _past: list[tuple[tuple[Position, ...], tuple[Order, ...], tuple[Balance, ...]]] = field(default_factory=list)

    def remember(self) -> None:
        """Keep what is held now; to be called after each change."""
        self._times.append(self.clock.now_ms())
        wallets = tuple(Balance(asset, wallet) for asset, wallet in self.wallets.items())
        self._past.append((tuple(self.held()), tuple(self.orders.values()), wallets))

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        if self.dice.random() >= self.trouble:
            return await super().snapshot(symbols)
        match self.dice.randrange(5):
            case 0:
                await asyncio.sleep(self.dice.uniform(0, 3))
                raise ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, "no connection")
            case 1:
                await asyncio.sleep(3600)
                raise AssertionError("nobody waits that long")
            case 2:
                await asyncio.sleep(self.dice.uniform(0, 3))
                return await super().snapshot(symbols)
            case 3:
                return self._at(await super().snapshot(symbols), self.dice.uniform(0, 60_000), whole=True)
            case _:
                return self._at(await super().snapshot(symbols), self.dice.uniform(0, STALE_LIST_MS), whole=False)

    async def find_order(self, *, symbol: str, order_id: str = "", client_id: str = "") -> Order | None:
        if self.dice.random() < self.trouble:
            raise ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now")
        return await super().find_order(symbol=symbol, order_id=order_id, client_id=client_id)

    def _at(self, now: AccountSnapshot, age: float, *, whole: bool) -> AccountSnapshot:
        """`now` as it was `age` ms ago: all of it, or one list of it."""
        index = bisect_right(self._times, now.timestamp - age) - 1
        if index < 0:
            return now
        positions, orders, balances = self._past[index]
        if whole:
            then = now.timestamp - math.ceil(age)
            return replace(now, timestamp=then, positions=positions, orders=orders, balances=balances)
        if self.dice.random() < 0.5:
            return replace(now, orders=orders)
        return replace(now, positions=positions)


class Trader:
    """Trades on the exchange, in `symbols`, for ever."""

    def __init__(self, exchange: FaultyExchange, dice: random.Random, nature: Nature) -> None:
        self.exchange, self.dice, self.nature = exchange, dice, nature
        self.symbols = [BTC, ETH]
        self.quiet = False
        self._count = 0
        self._legs: dict[str, PositionSide] = {}

    async def live(self) -> None:
        for _ in range(4):
            self._place()
        while True:
            await asyncio.sleep(self.dice.expovariate(1 / self.nature.trade_every))
            if not self.quiet:
                self.act()

    def act(self) -> None:
        """One thing that a bot does or that happens to its orders."""
        own = [order for order in self.exchange.orders.values() if order.symbol in self.symbols]
        if len(own) < 2 or (len(own) < 8 and self.dice.random() < 0.3):
            self._place()
            return
        order = self.dice.choice(own)
        match self.dice.randrange(5):
            case 0:
                self.exchange.end(order, self.dice.choice([OrderStatus.CANCELED, OrderStatus.EXPIRED]))
            case 1:  # cancel-replace, under the same client id or another
                self.exchange.end(order)
                self._place(order.symbol, order.client_id if self.dice.random() < 0.5 else "")
            case 2:
                self.exchange.amend(order, price=order.price + 1 if order.price is not None else Decimal(1))
            case 3:
                self._fill(order, (order.quantity - order.filled) / 2)
            case _:
                self._fill(order, order.quantity - order.filled)
        self.exchange.remember()

    def _place(self, symbol: str = "", client_id: str = "") -> None:
        self._count += 1
        order = self.exchange.place(
            symbol or self.dice.choice(self.symbols),
            side=self.dice.choice(list(Side)),
            quantity=Decimal(self.dice.randint(1, 3)),
            price=Decimal(self.dice.randint(90, 110)),
            client_id=client_id or f"{PREFIX}{self._count}",
        )
        leg = self.dice.choice([PositionSide.LONG, PositionSide.SHORT]) if self.nature.hedged else PositionSide.NET
        self._legs[order.id] = leg
        self.exchange.remember()

    def _fill(self, order: Order, amount: Decimal) -> None:
        leg = self._legs[order.id]
        held = self.exchange.positions.get((order.symbol, leg))
        shrinks = (order.side is Side.BUY) == (leg is PositionSide.SHORT)
        if leg is not PositionSide.NET and shrinks:
            amount = min(amount, held.quantity if held else Decimal(0))  # a leg does not turn
        if not amount:
            return
        self.exchange.fill(order, amount, leg=leg)
        self.exchange.wallets["USDT"] -= Decimal("0.01")


class Drift:
    """What makes a belief wrong.

    `orders` are those that the bot does not know, `invented` those that it tracks all the same, `positions` what it
    believes instead.
    """

    def __init__(self) -> None:
        self.orders: set[tuple[str, str]] = set()
        self.invented: list[Order] = []
        self.positions: dict[tuple[str, PositionSide], Decimal] = {}


class Publisher:
    """The bot's belief, as honest as its `asOf`, but for the drift that is put into it."""

    def __init__(self, exchange: FaultyExchange, dice: random.Random, nature: Nature) -> None:
        self.exchange, self.dice, self.nature = exchange, dice, nature
        self.clock = VirtualClock(nature.bot_skew_ms)
        self.boots = 1
        self.ready = True
        self.calm = False
        self.drift = Drift()
        self.published: ExpectedState | None = None

    async def live(self) -> None:
        while True:
            belief = self._belief()
            await asyncio.sleep(self.dice.uniform(0, 0.2 if self.calm else self.nature.lag))
            self.published = belief
            await asyncio.sleep(self.dice.uniform(0.5, 1.0) * (1.0 if self.calm else self.nature.publish_every))
            if not self.calm and self.dice.random() < 0.02:
                await self._misfortune()

    async def _misfortune(self) -> None:
        if self.dice.random() < 0.5:  # frozen
            await asyncio.sleep(self.dice.uniform(5, 120))
            return
        wiped = ExpectedState(self.clock.now_ms(), self._boot_id, positions=(), orders=(), balances=())
        self.published = wiped
        await asyncio.sleep(self.dice.uniform(0, 50))
        self.boots += 1
        self.ready = False
        partial = replace(self._belief(), orders=())
        self.published = replace(partial, ready=False)
        await asyncio.sleep(self.dice.uniform(0, 30))
        self.ready = True

    async def read(self) -> ExpectedState:
        """The port. A bot that is asked answers with what it knows at some moment between question and answer."""
        if self.nature.live and self.ready:
            await asyncio.sleep(self.dice.uniform(0, self.nature.latency))
            belief = self._belief()
            await asyncio.sleep(self.dice.uniform(0, self.nature.latency))
            return belief
        if self.published is None or (not self.calm and self.dice.random() < self.nature.trouble):
            raise BeliefUnobserved(Reason.BOT_UNREACHABLE, "no answer")
        return self.published

    @property
    def _boot_id(self) -> str:
        return f"boot-{self.boots}"

    def _belief(self) -> ExpectedState:
        belief = truth(self.exchange, self.clock.now_ms(), boot_id=self._boot_id, ready=self.ready)
        drift = self.drift
        orders = [row for row in belief.orders or () if (row.symbol, row.id) not in drift.orders]
        orders += [tracked(order) for order in drift.invented]
        positions = [row for row in belief.positions or () if (row.symbol, row.side) not in drift.positions]
        positions += [ExpectedPosition(symbol, leg, quantity) for (symbol, leg), quantity in drift.positions.items()]
        return replace(belief, orders=tuple(orders), positions=tuple(positions))


class Observer:
    """Runs cycles and keeps the last."""

    def __init__(self, nature: Nature, exchange: FaultyExchange, bot: Publisher) -> None:
        self.nature, self.exchange, self.bot = nature, exchange, bot
        self.clock = VirtualClock()
        self.state = State()
        self.cycle: Cycle | None = None

    async def turn(self) -> Cycle:
        """One cycle, an interval after the last."""
        before = self.state
        began = self.clock.monotonic()
        cycle = await run(before, self.nature.policy, Wishes(), self.exchange, self.bot, self.clock, since=0.0)
        self.state, self.cycle = cycle.state, cycle
        await asyncio.sleep(max(0.0, self.nature.interval - (self.clock.monotonic() - began)))
        return cycle

    @property
    def confirmed(self) -> list[str]:
        """What would be drift."""
        return [
            f"{track.finding.message} (count {track.count}, first seen at {track.first_seen})"
            for track in self.state.tracks.values()
            if track.confirmed and track.finding.rule is not Rule.TIMESTAMP_REGRESSION
        ]


class World:
    """Everything that a seed makes."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.nature = Nature.of(self.dice)
        self.exchange = FaultyExchange(
            VirtualClock(),
            wallets={"USDT": Decimal(1000)},
            latency=self.nature.latency,
            lists_flat=True,
            dice=self.dice,
        )
        self.trader = Trader(self.exchange, self.dice, self.nature)
        self.bot = Publisher(self.exchange, self.dice, self.nature)
        self.observer = Observer(self.nature, self.exchange, self.bot)

    async def __aenter__(self) -> Self:
        self.exchange.trouble = self.nature.trouble
        self._tasks = [asyncio.create_task(self.trader.live()), asyncio.create_task(self.bot.live())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def calm_down(self) -> None:
        """No more faults, and a bot that publishes every second."""
        self.exchange.trouble = 0.0
        self.bot.calm = True

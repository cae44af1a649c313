"""A bot with a ledger in memory, whose cycles and runs go on by hand; and ledgers that do not do as they are told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from tests.support.fakes import BTC, ETH, FakeExchange, ManualClock
from tests.support.memory_ledger import MemoryLedger

from accountsync import cycle as cycles
from accountsync.cycle import Cycle, State
from accountsync.domain.account import Order, OrderStatus, PositionSide, Side
from accountsync.domain.decide import Wishes
from accountsync.domain.ledger import Correction, LedgerOrder, Purpose, Slice, SliceSide, Written
from accountsync.domain.policy import Mode, Parity, Policy
from accountsync.domain.sharing import ALONE, Sharing
from accountsync.errors import LedgerError
from accountsync.ports import Canonical, Fence, LockedLedger
from accountsync.reconcile import Book, Run, Stopped, Task, run

POLICY = Policy(mode=Mode.PAUSE, order_id_prefix="bot_", parity=Parity())


class Stubborn(MemoryLedger):
    """`against`: key of an order → raised where a correction of it is to be written; `after`: once it was.

    `before_writing`: what the bot does right before that.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        super().__init__(now)
        self.against: dict[str, LedgerError] = {}
        self.after: dict[str, LedgerError] = {}
        self.before_writing: Callable[[], object] = int

    @asynccontextmanager
    async def locked(self, canonical: Canonical) -> AsyncIterator[LockedLedger]:
        async with super().locked(canonical) as ledger:
            write = ledger.correct

            async def correct(correction: Correction, fence: Fence) -> Written:
                if correction.order.key in self.against:
                    raise self.against[correction.order.key]
                self.before_writing()
                outcome = await write(correction, fence)
                if correction.order.key in self.after:
                    raise self.after[correction.order.key]
                return outcome

            ledger.correct = correct  # type: ignore[method-assign]
            yield ledger


class Halting(Stubborn):
    """Its changes are never answered."""

    @asynccontextmanager
    async def locked(self, canonical: Canonical) -> AsyncIterator[LockedLedger]:
        async with super().locked(canonical) as ledger:

            async def correct(*_: object) -> Written:
                await asyncio.Event().wait()
                raise AssertionError("it was answered")

            ledger.correct = correct  # type: ignore[method-assign, assignment]
            yield ledger


class Silent(MemoryLedger):
    @asynccontextmanager
    async def locked(self, canonical: Canonical) -> AsyncIterator[LockedLedger]:
        await asyncio.Event().wait()
        async with super().locked(canonical) as ledger:
            yield ledger


@dataclass(slots=True)
class Desk:
    """A bot with a ledger and a long of 1 ETH in it, so that neither side is ever empty."""

    clock: ManualClock = field(default_factory=ManualClock)
    exchange: FakeExchange = field(init=False)
    ledger: Stubborn = field(init=False)
    policy: Policy = POLICY
    state: State = field(default_factory=State)
    book: Book = field(default_factory=Book)
    sharing: Sharing = ALONE
    withheld: str = ""
    down: str = ""

    def __post_init__(self) -> None:
        self.exchange = FakeExchange(self.clock, tells_fills=True)
        self.exchange.marks = {BTC: Decimal(100), ETH: Decimal(10)}
        self.ledger = Stubborn(self.clock.now_ms)
        self.exchange.hold(ETH, "1")
        self.slice("kept", symbol=ETH)
        self.clock.advance(60.0)
        self.cycle()

    def slice(self, trade: str, quantity: str = "1", *, symbol: str = BTC, tag: str = "grid") -> Slice:
        row = Slice(trade, symbol, SliceSide.LONG, Decimal(quantity), self.clock.now_ms(), tag, f"bot_{trade}")
        self.ledger.tables.slices[trade] = row
        return row

    def held(self, trade: str) -> Decimal:
        """What the ledger holds open of it."""
        return self.ledger.tables.slices[trade].quantity

    def position(self) -> Decimal:
        held = self.exchange.positions.get((BTC, PositionSide.NET))
        return held.quantity if held else Decimal(0)

    def enter(self, trade: str, quantity: str = "1", *, tag: str = "grid") -> Slice:
        """A slice that both sides know."""
        self.exchange.hold(BTC, self.position() + Decimal(quantity))
        return self.slice(trade, quantity, tag=tag)

    def exit(
        self, trade: str, client_id: str = "", quantity: str = "1", *, told: bool = True, symbol: str = BTC
    ) -> Order:
        """An order that closes a slice; `told`: the ledger has a row of it."""
        client_id = client_id or f"bot_{trade}-exit"
        order = self.exchange.place(symbol, side=Side.SELL, quantity=quantity, client_id=client_id)
        if told:
            self.ledger.tables.orders[client_id] = LedgerOrder(
                key=client_id,
                symbol=symbol,
                side=Side.SELL,
                purpose=Purpose.EXIT,
                quantity=Decimal(quantity),
                filled=Decimal(0),
                status=OrderStatus.OPEN,
                client_id=client_id,
                exchange_id=order.id,
                trade_id=trade,
                price=order.price,
                created=order.created,
            )
        return order

    def missed(self, trade: str, *, told: bool = True, tag: str = "grid") -> None:
        """A slice whose exit was filled without the bot's noticing."""
        self.enter(trade, tag=tag)
        order = self.exit(trade, told=told)
        self.clock.advance(6.0)
        self.exchange.fill(order)

    def cycle(self, after: float = 6.0) -> Cycle:
        self.clock.advance(after)

        async def one() -> Cycle:
            return await cycles.run(
                self.state,
                self.policy,
                Wishes(),
                self.exchange,
                self.ledger,
                self.clock,
                since=1000.0,
                sharing=self.sharing,
            )

        done = asyncio.run(one())
        self.state = done.state
        return done

    def fence(self) -> None:
        if self.down:
            raise Stopped(self.down)

    def run(self, after: float = 6.0) -> Run:
        """A cycle, and the run after it."""
        done = self.cycle(after)
        task = Task("grid-btc", self.ledger, self.exchange, self.clock, self.fence, self.withheld)
        made = asyncio.run(run(done, self.policy, self.sharing, task, self.book))
        self.book = made.book
        return made

    def runs(self, count: int) -> list[Run]:
        return [self.run() for _ in range(count)]

"""Where orders are taken: the `Trading` port, a network that loses and delays, and an exchange that carries out.

The exchange refuses what comes too late or from the future, as it says; a request that left goes on by itself, whatever
becomes of its sender.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

from tests.simulation.exchange import ZERO, Account, Key, Leg
from tests.simulation.faults import MARKS, STEPS
from tests.simulation.process import Process
from tests.simulation.timeline import Timeline
from tests.simulation.trading import Trader
from tests.support.fakes import START_MS

from accountsync.domain.account import Order, OrderStatus, PositionSide, Side
from accountsync.errors import NotSent, OutcomeUnknown, Refused
from accountsync.ports import NewOrder, Stamp

DEPTHS = (Decimal(1), Decimal(1), Decimal(1), Decimal("0.5"), ZERO)
"""How much of an order the market takes."""
PATIENCE = 2.5
"""Seconds that a sender waits for an answer."""
AHEAD_MS = 1_000
"""So much ahead of the exchange's clock a request may be."""


class Till:
    """What the exchange does with requests. `ours`: client ids of orders that were placed here → how many under each.

    `trouble`: the chance of a fault a request. `served` counts the faults. `fills`: ids of the fills of our orders.
    `filled`: what was filled of them. `cancelled`: orders that were cancelled here, with the time that the request had.
    `closed`: legs that our orders made smaller. `grown`: what must not happen, in words. `other`: the key that trades
    is of another account, where there is nothing.
    """

    def __init__(
        self, account: Account, trader: Trader, timeline: Timeline, dice: random.Random, served: Counter[str]
    ) -> None:
        self.account, self.trader, self.timeline, self.dice, self.served = account, trader, timeline, dice, served
        self.trouble, self.other = 0.0, False
        self.ours: Counter[str] = Counter()
        self.fills: set[str] = set()
        self.filled: dict[str, Decimal] = {}
        self.cancelled: dict[Key, int] = {}
        self.closed: set[Leg] = set()
        self.grown: list[str] = []

    def accept(self, stamp: Stamp) -> None:
        """Raises Refused for a request that comes at the wrong time."""
        now = START_MS + int(self.timeline.now * 1000)
        if stamp.timestamp > now + AHEAD_MS or now > stamp.timestamp + stamp.recv_window:
            self.served["request refused for its time"] += 1
            raise Refused("timestamp outside of recvWindow")

    def cancel(self, symbol: str, order_id: str, stamp: Stamp, *, conditional: bool) -> None:
        key = (symbol, f"trigger:{order_id}" if conditional else order_id)
        if key not in self.account.orders or self.other:
            raise Refused("unknown order")
        with self.trader.now():
            self.account.end(self.account.orders[key])
        self.cancelled[key] = stamp.timestamp

    def place(self, new: NewOrder) -> Order:
        """Carry out a reduce-only IOC order against what depth there is."""
        account, leg = self.account, (new.symbol, new.leg)
        held = account.positions[leg].quantity if leg in account.positions else ZERO
        long = held > 0 and new.leg is not PositionSide.SHORT
        if any(order.client_id == new.client_id for order in account.orders.values()):
            raise Refused("duplicate client order id")
        if not held or (new.side is Side.SELL) is not long:
            raise Refused("reduce-only order is rejected")
        if new.leg is not PositionSide.NET and new.quantity > held:
            raise Refused("more than the leg")
        if new.quantity <= 0 or new.quantity % STEPS[new.symbol]:
            raise Refused("not a multiple of the step")
        mark = MARKS[new.symbol]
        depth = self.dice.choice(DEPTHS) if self.trouble else Decimal(1)
        price = mark * (Decimal("0.999") if new.side is Side.SELL else Decimal("1.001"))
        met = new.price is None or (price >= new.price if new.side is Side.SELL else price <= new.price)
        quantity = min(new.quantity, abs(held))
        filled = (quantity * depth // STEPS[new.symbol]) * STEPS[new.symbol] if met else ZERO
        with self.trader.now():
            order = account.place(
                new.symbol, side=new.side, quantity=quantity, price=price, client_id=new.client_id, leg=new.leg
            )
            self.ours[new.client_id] += 1
            key = (order.symbol, order.ref)
            if filled:
                self.fills.add(account.fill(order, filled).id)
                self.closed.add(leg)
                self.filled[new.client_id] = filled
            if key in account.orders:
                account.end(account.orders[key], OrderStatus.EXPIRED)
        after = account.positions[leg].quantity
        if abs(after) > abs(held) or after * held < 0:
            self.grown.append(f"{new.client_id} took {leg} from {held} to {after}")
        return account.versions[key][-1]


class TillPort:
    """The `Trading` port of a process. `sent` is called when a request leaves."""

    expires_requests = True

    def __init__(self, till: Till, process: Process, sent: Callable[[NewOrder | tuple[str, str], Stamp], None]) -> None:
        self.till, self.process, self.sent = till, process, sent

    async def cancel(self, *, symbol: str, order_id: str, conditional: bool, stamp: Stamp) -> None:
        ref = f"trigger:{order_id}" if conditional else order_id
        await self._send(
            "cancel", (symbol, ref), stamp, lambda: self.till.cancel(symbol, order_id, stamp, conditional=conditional)
        )

    async def place(self, order: NewOrder, stamp: Stamp) -> Order:
        placed = await self._send("place", order, stamp, lambda: self.till.place(order))
        assert placed is not None
        return placed

    async def held(self, symbol: str, leg: PositionSide) -> Decimal:
        await self.process.point("trading.held")
        if self.till.dice.random() < self.till.trouble / 4:
            raise NotSent("no answer")
        self.till.timeline.catch_up(asyncio.get_running_loop().time())
        row = self.till.account.positions.get((symbol, leg))
        await self.process.point("trading.held, answered")
        return row.quantity if row and not self.till.other else ZERO

    async def close(self) -> None:
        await self.process.point("trading.close")

    async def _send(
        self, call: str, what: NewOrder | tuple[str, str], stamp: Stamp, carry_out: Callable[[], Order | None]
    ) -> Order | None:
        till, dice, loop = self.till, self.till.dice, asyncio.get_running_loop()
        await self.process.point(f"trading.{call}")
        if dice.random() < till.trouble / 2:
            till.served["request not sent"] += 1
            raise NotSent("no connection")
        stamp.check()
        self.sent(what, stamp)
        if dice.random() < till.trouble / 2:
            till.served["request lost"] += 1
            raise OutcomeUnknown("no answer")
        took = dice.uniform(0.01, 0.2)
        if dice.random() < till.trouble:
            till.served["request delayed"] += 1
            took = dice.uniform(1, 8)
        answer: asyncio.Future[Order | Refused | None] = loop.create_future()

        def arrive() -> None:
            try:
                till.accept(stamp)
                result: Order | Refused | None = carry_out()
            except Refused as refused:
                result = refused
            if not answer.done():
                answer.set_result(result)

        till.timeline.catch_up(loop.time())
        till.timeline.later(took, arrive)
        await self.process.point(f"trading.{call}, on its way")
        await asyncio.sleep(min(took, PATIENCE) + 0.001)
        till.timeline.catch_up(loop.time())
        await self.process.point(f"trading.{call}, carried out")
        if not answer.done() or dice.random() < till.trouble:
            till.served["answer lost"] += 1
            raise OutcomeUnknown("no answer")
        result = answer.result()
        if isinstance(result, Refused):
            raise result
        return result

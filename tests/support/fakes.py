"""In-memory stands-in at the ports: a clock that is told what time it is, an exchange account and a bot's belief."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from accountsync import clock
from accountsync.domain.account import (
    AccountSnapshot,
    Balance,
    Fill,
    Income,
    Order,
    OrderStatus,
    Part,
    Position,
    PositionSide,
    Side,
)
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.marks import Mark
from accountsync.errors import AccountSyncError, ConfigurationError, Reason
from accountsync.ports import Clock

START_MS: Final = 1_790_000_000_000
BTC: Final = "BTC/USDT:USDT"
ETH: Final = "ETH/USDT:USDT"
SYMBOLS: Final = {"BTCUSDT": BTC, "ETHUSDT": ETH}


@dataclass(slots=True)
class ManualClock(clock.ManualClock):
    """At a time of its own from the beginning."""

    wall: int = START_MS
    seconds: float = 1000.0


@dataclass(slots=True)
class FakeExchange:
    """One account. What it holds is changed by its methods, which stamp the change with the clock.

    Each call takes the next of `script`: an error is raised, a number of seconds slept, None lets it pass. A call takes
    `latency` seconds between telling its time and reading its rows, and again before it answers. `lists_flat`: a
    position that is flat stays listed, with the time at which it became so. `missing`: what its snapshots lack.
    `marks`: what its snapshots tell; `quotes`: what it tells of a symbol when it is asked.
    """

    clock: Clock
    positions: dict[tuple[str, PositionSide], Position] = field(default_factory=dict)
    orders: dict[tuple[str, str], Order] = field(default_factory=dict)
    ended: dict[tuple[str, str], Order] = field(default_factory=dict)
    wallets: dict[str, Decimal] = field(default_factory=dict)
    marks: dict[str, Decimal] = field(default_factory=dict)
    quotes: dict[str, Decimal] = field(default_factory=dict)
    quoted: list[str] = field(default_factory=list)
    script: deque[AccountSyncError | float | None] = field(default_factory=deque)
    latency: float = 0.0
    lists_flat: bool = False
    snapshots: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    tells_fills: bool = False
    tells_income: bool = False
    forgets_after_ms: int | None = None
    traded: list[Fill] = field(default_factory=list)
    booked: list[Income] = field(default_factory=list)
    steps: dict[str, Decimal] = field(default_factory=dict)
    missing: frozenset[Part] = frozenset()
    _next_id: int = 1

    # --- the port ----------------------------------------------------------------------------------------------------

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        self.snapshots += 1
        await self._follow_script()
        scope = self._scope(symbols)
        timestamp = self.clock.now_ms()
        await self._lag()
        positions = tuple(row for row in self.held() if _within(scope, row.symbol))
        await self._lag()
        orders = tuple(row for row in self.orders.values() if _within(scope, row.symbol))
        rows: list[Position | Order] = [*positions, *orders]
        return AccountSnapshot(
            timestamp=timestamp,
            positions=() if Part.POSITIONS in self.missing else positions,
            orders=tuple(
                row for row in orders if (Part.CONDITIONAL if row.conditional else Part.ORDERS) not in self.missing
            ),
            balances=()
            if Part.BALANCES in self.missing
            else tuple(Balance(asset, wallet) for asset, wallet in self.wallets.items() if wallet),
            missing=self.missing,
            unsettled=frozenset(row.symbol for row in rows if (row.updated or 0) > timestamp),
            marks=dict(self.marks),
            steps=dict(self.steps),
        )

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        if not order_id and not client_id:
            raise ValueError("an order is asked for by its id or its client id")
        (unified,) = self._scope([symbol])
        self.asked.append((unified, order_id, client_id))
        await self._follow_script()
        await self._lag()
        for row in (*self.orders.values(), *reversed(self.ended.values())):
            named = row.id == order_id if order_id else row.client_id == client_id
            if row.symbol == unified and named and conditional in (None, row.conditional):
                return row
        return None

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:
        await self._follow_script()
        await self._lag()
        return tuple(fill for fill in self.traded if fill.symbol == symbol and fill.time >= since)

    async def income(self, since: int) -> tuple[Income, ...]:
        await self._follow_script()
        await self._lag()
        return tuple(row for row in self.booked if row.time >= since)

    async def mark(self, symbol: str) -> Mark | None:
        (unified,) = self._scope([symbol])
        self.quoted.append(unified)
        await self._follow_script()
        await self._lag()
        return (self.quotes[unified], self.clock.now_ms()) if unified in self.quotes else None

    def held(self) -> list[Position]:
        """The positions as they are listed."""
        return [row for row in self.positions.values() if row.quantity or self.lists_flat]

    def canonical_symbol(self, text: str) -> str:
        if text in SYMBOLS.values():
            return text
        return SYMBOLS[text]

    # --- what happens at the exchange --------------------------------------------------------------------------------

    def place(
        self,
        symbol: str = BTC,
        *,
        side: Side = Side.BUY,
        quantity: str | Decimal = "1",
        price: str | Decimal = "100",
        client_id: str = "",
    ) -> Order:
        now = self.clock.now_ms()
        order = Order(
            id=str(self._next_id),
            client_id=client_id,
            symbol=symbol,
            side=side,
            quantity=Decimal(quantity),
            filled=Decimal(0),
            price=Decimal(price),
            created=now,
            updated=now,
        )
        self._next_id += 1
        self.orders[symbol, order.id] = order
        return order

    def fill(self, order: Order, quantity: str | Decimal | None = None, *, leg: PositionSide | None = None) -> Order:
        """Fill `order`, in part where `quantity` says so, and move its position with it."""
        current = self.orders[order.symbol, order.id]
        amount = current.quantity - current.filled if quantity is None else Decimal(quantity)
        sign = 1 if current.side is Side.BUY else -1
        leg = leg or PositionSide.NET
        held = self.positions.get((order.symbol, leg))
        signed = amount * (-sign if leg is PositionSide.SHORT else sign)
        self.hold(order.symbol, (held.quantity if held else Decimal(0)) + signed, leg)
        self.traded.append(
            Fill(
                id=f"t{len(self.traded) + 1}",
                order_id=order.id,
                symbol=order.symbol,
                side=order.side,
                leg=leg,
                quantity=amount,
                price=current.price or Decimal(0),
                time=self.clock.now_ms(),
            )
        )
        filled = replace(current, filled=current.filled + amount, updated=self.clock.now_ms())
        if filled.filled < filled.quantity:
            self.orders[order.symbol, order.id] = filled
            return filled
        return self.end(filled, OrderStatus.FILLED)

    def end(self, order: Order, status: OrderStatus = OrderStatus.CANCELED) -> Order:
        """Take `order` off the open ones."""
        self.orders.pop((order.symbol, order.id), None)
        ended = replace(order, status=status, updated=self.clock.now_ms())
        self.ended[order.symbol, order.id] = ended
        return ended

    def amend(self, order: Order, **changes: Decimal) -> Order:
        amended = replace(self.orders[order.symbol, order.id], updated=self.clock.now_ms(), **changes)  # type: ignore[arg-type]
        self.orders[order.symbol, order.id] = amended
        return amended

    def hold(self, symbol: str, quantity: str | Decimal, leg: PositionSide = PositionSide.NET) -> None:
        """Set a position."""
        self.positions[symbol, leg] = Position(
            symbol, leg, Decimal(quantity), margin_mode="cross", updated=self.clock.now_ms()
        )

    async def _follow_script(self) -> None:
        step = self.script.popleft() if self.script else None
        if isinstance(step, AccountSyncError):
            raise step
        if step is not None:
            await asyncio.sleep(step)

    async def _lag(self) -> None:
        if self.latency:
            await asyncio.sleep(self.latency)

    def _scope(self, symbols: Iterable[str]) -> frozenset[str]:
        try:
            return frozenset(self.canonical_symbol(symbol) for symbol in symbols)
        except KeyError:
            raise ConfigurationError(Reason.UNKNOWN_SYMBOL, "the exchange lists no such symbol") from None


def _within(scope: frozenset[str], symbol: str) -> bool:
    return not scope or symbol in scope


@dataclass(slots=True)
class FakeBot:
    """What a bot publishes. `script` as for the exchange."""

    state: ExpectedState
    script: deque[AccountSyncError | float | None] = field(default_factory=deque)

    async def read(self) -> ExpectedState:
        step = self.script.popleft() if self.script else None
        if isinstance(step, AccountSyncError):
            raise step
        if step is not None:
            await asyncio.sleep(step)
        return self.state


def truth(exchange: FakeExchange, as_of: int, *, boot_id: str = "boot", ready: bool = True) -> ExpectedState:
    """What a bot believes that knows all that `exchange` holds now."""
    return ExpectedState(
        as_of=as_of,
        boot_id=boot_id,
        ready=ready,
        positions=tuple(
            ExpectedPosition(row.symbol, row.side, row.quantity) for row in exchange.positions.values() if row.quantity
        ),
        orders=tuple(tracked(order) for order in exchange.orders.values()),
        balances=tuple(ExpectedBalance(asset, wallet) for asset, wallet in exchange.wallets.items()),
    )


def tracked(order: Order) -> ExpectedOrder:
    """A bot's own record of `order`."""
    return ExpectedOrder(
        symbol=order.symbol,
        id=order.id,
        client_id=order.client_id,
        side=order.side,
        quantity=order.quantity,
        filled=order.filled,
        price=order.price,
        status=order.status,
    )

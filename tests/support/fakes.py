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
from accountsync.domain.intents import Intent
from accountsync.domain.marks import Mark
from accountsync.domain.plan import Phase, Plan, Repair, RepairKind
from accountsync.domain.policy import PauseLevel
from accountsync.domain.stopping import Activity
from accountsync.errors import (
    AccountSyncError,
    ActionError,
    ConfigurationError,
    NotSent,
    PlanChanged,
    PlansError,
    PlansUnavailable,
    Reason,
    Refused,
)
from accountsync.ports import Clock, NewOrder, Stamp

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


@dataclass(slots=True)
class FakeRepairs:
    """The write side of `bot`, which refuses what is said of another belief than its own of now.

    Each call takes the next of `script`: an error is raised, after the repair was `applied` where `late`.
    """

    bot: FakeBot
    script: deque[ActionError | None] = field(default_factory=deque)
    late: bool = False
    applied: dict[str, tuple[Repair, ...]] = field(default_factory=dict)
    adopts: bool = False

    async def repair(self, repair_id: str, belief: ExpectedState, repairs: Sequence[Repair]) -> None:
        trouble = self.script.popleft() if self.script else None
        if trouble is not None and not self.late:
            raise trouble
        if repair_id not in self.applied:
            own = self.bot.state
            if (own.as_of, own.boot_id) != (belief.as_of, belief.boot_id):
                raise Refused("the belief has changed since it was judged", Reason.BOT_REFUSED)
            self.applied[repair_id] = tuple(repairs)
            for each in repairs:
                self.bot.state = put_right(self.bot.state, each)
            self.bot.state = replace(self.bot.state, as_of=own.as_of + 1)
        if trouble is not None:
            raise trouble


def put_right(state: ExpectedState, repair: Repair) -> ExpectedState:
    """The belief after one repair."""
    match repair.kind:
        case RepairKind.POSITION:
            held = ExpectedPosition(repair.symbol, PositionSide(repair.id), Decimal(repair.value))
            others = (row for row in state.positions or () if (row.symbol, row.side) != (held.symbol, held.side))
            return replace(state, positions=(*others, held))
        case RepairKind.BALANCE:
            kept = (row for row in state.balances or () if row.asset != repair.symbol)
            return replace(state, balances=(*kept, ExpectedBalance(repair.symbol, Decimal(repair.value))))
    tracks = state.orders or ()
    own = next((row for row in tracks if _is_named(row, repair)), ExpectedOrder(repair.symbol))
    told = replace(
        own,
        id=repair.order_id or own.id,
        client_id=repair.client_id or own.client_id,
        side=Side(repair.side) if repair.side else own.side,
        quantity=own.quantity if repair.quantity is None else repair.quantity,
        filled=own.filled if repair.filled is None else repair.filled,
        price=own.price if repair.price is None else repair.price,
        status=OrderStatus(repair.value),
    )
    return replace(state, orders=(*(row for row in tracks if row is not own), told))


def _is_named(row: ExpectedOrder, repair: Repair) -> bool:
    """Whether both name the same order, by the exchange's id where both know it."""
    if row.symbol != repair.symbol:
        return False
    if row.id and repair.order_id:
        return row.id == repair.order_id
    return bool(row.client_id) and row.client_id == repair.client_id


@dataclass(slots=True)
class FakeTrading:
    """The key that may trade on `exchange`. What it does is seen there at once.

    Each call takes the next of `script`: a `NotSent` or `Refused` is raised and nothing happens; an `OutcomeUnknown` is
    raised too, after it happened unless `loses` is set; None lets it pass. `sent`: what came to the exchange, with its
    stamp. `takes`: how much of an order that closes is filled; None: all of it.
    """

    exchange: FakeExchange
    expires_requests: bool = True
    script: deque[ActionError | None] = field(default_factory=deque)
    sent: list[tuple[NewOrder | str, Stamp]] = field(default_factory=list)
    loses: bool = False
    takes: Decimal | None = None
    closed: bool = False

    async def cancel(self, *, symbol: str, order_id: str, conditional: bool, stamp: Stamp) -> None:
        unified = self._listed(symbol)
        lost = self._arrives(order_id, stamp)
        order = self.exchange.orders.get((unified, order_id))
        if order is None or order.conditional is not conditional:
            raise Refused("no such order is open")
        if not (lost and self.loses):
            self.exchange.end(order)
        if lost:
            raise lost

    async def place(self, order: NewOrder, stamp: Stamp) -> Order:
        symbol = self._listed(order.symbol)
        self._require_sendable(order, symbol)
        lost = self._arrives(order, stamp)
        held = self.exchange.positions.get((symbol, order.leg))
        amount = held.quantity if held else Decimal(0)
        closable = amount if order.side is (Side.SELL if order.leg is not PositionSide.SHORT else Side.BUY) else -amount
        if closable <= 0 or (order.leg is not PositionSide.NET and order.quantity > closable):
            raise Refused("there is nothing left to reduce")
        if lost and self.loses:
            raise lost
        placed = self.exchange.place(
            symbol, side=order.side, quantity=order.quantity, price=order.price or "0", client_id=order.client_id
        )
        filled = min(order.quantity, closable, order.quantity if self.takes is None else self.takes)
        done = self.exchange.fill(placed, filled, leg=order.leg) if filled else placed
        if done.status is OrderStatus.OPEN:
            done = self.exchange.end(done, OrderStatus.EXPIRED)
        done = replace(
            done,
            price=order.price,
            type="market" if order.price is None else "limit",
            reduce_only=order.leg is PositionSide.NET,
        )
        self.exchange.ended[symbol, done.id] = done
        if lost:
            raise lost
        return done

    async def held(self, symbol: str, leg: PositionSide) -> Decimal:
        if self.closed:
            raise NotSent("the trade key was forgotten")
        row = self.exchange.positions.get((self._listed(symbol), leg))
        return row.quantity if row else Decimal(0)

    async def close(self) -> None:
        self.closed = True

    def _require_sendable(self, order: NewOrder, symbol: str) -> None:
        step = self.exchange.steps.get(symbol, Decimal("0.001"))
        adds = {PositionSide.LONG: Side.BUY, PositionSide.SHORT: Side.SELL}.get(order.leg) is order.side
        if order.quantity <= 0 or order.quantity % step or adds:
            raise NotSent("this order cannot be sent")

    def _listed(self, symbol: str) -> str:
        try:
            return self.exchange.canonical_symbol(symbol)
        except KeyError:
            raise NotSent("the exchange does not list it any more", Reason.UNKNOWN_SYMBOL) from None

    def _arrives(self, what: NewOrder | str, stamp: Stamp) -> ActionError | None:
        """The answer that gets lost, if it does. Raises what keeps it from happening."""
        step = self.script.popleft() if self.script else None
        if self.closed:
            raise NotSent("the trade key was forgotten")
        if isinstance(step, NotSent):
            raise step
        stamp.check()
        self.sent.append((what, stamp))
        if self.exchange.clock.now_ms() - stamp.timestamp > stamp.recv_window:
            raise Refused("it arrived too late", Reason.EXCHANGE_CLOCK_SKEW)
        if isinstance(step, Refused):
            raise step
        return step


@dataclass(slots=True)
class FakePlans:
    """The stored plans of one account, as an API server keeps them: it dates them, to the second.

    Each call takes the next of `script`: an error is raised, after the call did its work where `late`; None lets it
    pass. `made`: how many there ever were.
    """

    clock: Clock
    stored: dict[str, Plan] = field(default_factory=dict)
    script: deque[PlansError | None] = field(default_factory=deque)
    late: bool = False
    made: int = 0
    _version: int = 0

    async def all(self) -> tuple[Plan, ...]:
        trouble = self._trouble()
        if trouble:
            raise trouble
        return tuple(sorted(self.stored.values(), key=lambda plan: (plan.created, plan.name)))

    async def create(self, plan: Plan) -> Plan:
        trouble = self._trouble()
        if trouble and not self.late:
            raise trouble
        if plan.name not in self.stored:
            if plan.approved:
                raise PlansUnavailable("a plan is not born approved")
            self.made += 1
            bare = replace(plan, phase=Phase.PENDING, executed=None, message="")
            dated = replace(bare, created=self.clock.now_ms() // 1000 * 1000)
            self.put(replace(dated, intents=tuple(Intent() for _ in plan.actions)))
        if trouble:
            raise trouble
        return self.stored[plan.name]

    async def write(self, plan: Plan) -> Plan:
        trouble = self._trouble()
        if trouble and not self.late:
            raise trouble
        before = self.stored.get(plan.name)
        if before is None or before.version != plan.version:
            raise PlanChanged(f"plan {plan.name} changed meanwhile")
        status = {"phase": plan.phase, "intents": plan.intents, "executed": plan.executed, "message": plan.message}
        written = self.put(replace(before, **status))  # type: ignore[arg-type]
        if trouble:
            raise trouble
        return written

    async def delete(self, plan: Plan) -> None:
        self.stored.pop(plan.name, None)

    def put(self, plan: Plan) -> Plan:
        """Store `plan`, as a person or another process would: its version is a new one."""
        self._version += 1
        self.stored[plan.name] = replace(plan, version=str(self._version))
        return self.stored[plan.name]

    def _trouble(self) -> PlansError | None:
        return self.script.popleft() if self.script else None


@dataclass(slots=True)
class FakePauser:
    """A bot that is stopped by calls. Each call takes the next of `script`: an error is raised, and nothing done."""

    activity: Activity = Activity.RUNNING
    script: deque[AccountSyncError | ActionError | None] = field(default_factory=deque)
    told: list[Activity] = field(default_factory=list)

    async def state(self) -> Activity:
        self._heed()
        return self.activity

    async def pause(self, level: PauseLevel) -> None:
        await self.resume(Activity.STOPPED if level is PauseLevel.HALT else Activity.PAUSED)

    async def resume(self, to: Activity) -> None:
        self._heed()
        self.activity = to
        self.told.append(to)

    def _heed(self) -> None:
        trouble = self.script.popleft() if self.script else None
        if trouble is not None:
            raise trouble

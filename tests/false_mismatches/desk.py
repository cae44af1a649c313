"""One account and its bot, watched cycle by cycle, with everything that was ever confirmed of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, TypeVar

from tests.support.fakes import BTC, ETH, FakeBot, FakeExchange, ManualClock, truth

from accountsync.clock import SystemClock
from accountsync.cycle import Cycle, State, run
from accountsync.domain.account import Order, OrderStatus, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.decide import Wishes
from accountsync.domain.expected import ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.finding import Finding
from accountsync.domain.policy import Mode, Policy
from accountsync.domain.sharing import Sharing
from accountsync.exchange import CcxtExchange, EndpointPolicy, Venue, Venues
from accountsync.ports import Clock, Exchange
from accountsync.simulator import Account, AlgoOrder, Fault, RequestRecord, Simulator, World
from accountsync.simulator import Order as SimulatedOrder
from accountsync.simulator.thread import SimulatorThread

T = TypeVar("T")
PREFIX = "grinder_"
PATIENT, HASTY = 5.0, 0.25
"""Seconds for a request to the simulator: where it answers, and where it is to be silent."""
GRACE_MS = 20
PRICES: Final = {
    ("BTCUSDT", "BUY"): Decimal(50_000),
    ("BTCUSDT", "SELL"): Decimal(90_000),
    ("ETHUSDT", "BUY"): Decimal(1_000),
    ("ETHUSDT", "SELL"): Decimal(9_000),
}
"""Far from the market."""
PATIENCE = 3600.0
MANY = 10
"""Cycles: several times as many as any confirmation takes."""


class Watch:
    """Runs cycles over two ports. `belief` is asked for the bot's state before each; `told` is all that was confirmed.

    What `pause` does between two cycles is how time passes.
    """

    def __init__(self, exchange: Exchange, clock: Clock, policy: Policy, belief: Callable[[], ExpectedState]) -> None:
        self.port = exchange
        self.bot = FakeBot(ExpectedState(clock.now_ms()))
        self.watching: Clock = clock
        self.policy = policy
        self.belief = belief
        self.state = State()
        self.told: list[Finding] = []
        self.since = clock.monotonic()
        self.sharing: Callable[[], Sharing] = Sharing

    async def pause(self, seconds: float) -> None:
        raise NotImplementedError

    async def cycle(self, after: float = 6.0) -> Cycle:
        """One cycle, `after` seconds from now."""
        await self.pause(after)
        self.bot.state = self.belief()
        made = await run(
            self.state,
            self.policy,
            Wishes(),
            self.port,
            self.bot,
            self.watching,
            since=self.since,
            sharing=self.sharing(),
        )
        self.state = made.state
        self.told += made.outcome.confirmed
        return made

    async def stays_quiet(
        self, cycles: int = MANY, *, every: float = 6.0, before: Callable[[], object] | None = None
    ) -> list[Cycle]:
        """So many cycles confirm nothing; `before` is what happens ahead of each."""
        known = len(self.told)
        made = []
        for _ in range(cycles):
            if before is not None:
                before()
            made.append(await self.cycle(every))
        assert [finding.message for finding in self.told[known:]] == []
        return made

    async def finds(
        self, *rules: Rule, every: float = 6.0, cycles: int = MANY, before: Callable[[], object] | None = None
    ) -> list[Finding]:
        """So many cycles confirm exactly these rules, one finding each; in the order of `rules`."""
        known = len(self.told)
        for _ in range(cycles):
            if before is not None:
                before()
            await self.cycle(every)
        found = self.told[known:]
        assert sorted(finding.rule for finding in found) == sorted(rules), [finding.message for finding in found]
        return sorted(found, key=lambda finding: (rules.index(finding.rule), finding.symbol, finding.id))

    async def settles(self, *, every: float = 6.0, cycles: int = MANY) -> None:
        """Everything that was confirmed is resolved, nothing new is, and no track is left."""
        known = len(self.told)
        for _ in range(cycles):
            await self.cycle(every)
        assert [finding.message for finding in self.told[known:]] == []
        assert dict(self.state.tracks) == {}

    @property
    def standing(self) -> list[Rule]:
        """What is confirmed now."""
        return sorted(track.finding.rule for track in self.state.tracks.values() if track.confirmed)


class Desk(Watch):
    """An account in memory and a clock that is told what time it is. The bot believes the truth of each moment.

    It has an order in another symbol all the time, so that neither side is ever empty.
    """

    def __init__(
        self, exchange: FakeExchange | None = None, *, clock: ManualClock | None = None, **policy: Any
    ) -> None:
        self.clock = clock or ManualClock()
        self.exchange = exchange or FakeExchange(self.clock)
        self.exchange.clock = self.clock
        settings = {"mode": Mode.PAUSE, "order_id_prefix": PREFIX, "timeout": PATIENCE, **policy}
        super().__init__(self.exchange, self.clock, Policy(**settings), self.truth)
        self.anchor = self.exchange.place(ETH, client_id=f"{PREFIX}anchor")

    async def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def truth(self) -> ExpectedState:
        """All that the account holds now, known at once."""
        return truth(self.exchange, self.clock.now_ms())

    def believe(self, **sections: Any) -> None:
        """From now on the bot publishes the truth of each moment, but for these sections."""
        self.belief = lambda: replace(self.truth(), **sections)

    def overlook(self, *orders: Order) -> None:
        """From now on the bot publishes the truth of each moment, but for these orders."""
        lost = {(order.symbol, order.id) for order in orders}

        def belief() -> ExpectedState:
            state = self.truth()
            return replace(state, orders=tuple(row for row in state.orders or () if (row.symbol, row.id) not in lost))

        self.belief = belief

    def stick_to(self, state: ExpectedState) -> None:
        """From now on the bot publishes this, each time as of that moment."""
        self.belief = lambda: replace(state, as_of=self.clock.now_ms())

    def order(self, client_id: str = f"{PREFIX}1", **how: Any) -> Order:
        """One that the bot placed."""
        return self.exchange.place(client_id=client_id, **how)

    def trade(self, quantity: str, client_id: str = f"{PREFIX}t", symbol: str = BTC, price: str = "100") -> Order:
        """An order that is filled whole at once; below zero it sells."""
        amount = Decimal(quantity)
        side = Side.BUY if amount > 0 else Side.SELL
        order = self.exchange.place(symbol, side=side, quantity=abs(amount), price=price, client_id=client_id)
        return self.exchange.fill(order)

    def conditional(
        self, client_id: str = f"{PREFIX}stop", *, quantity: str = "1", trigger: str = "90", number: str = ""
    ) -> Order:
        """A stop that sells once its trigger price is touched."""
        plain = self.exchange.place(side=Side.SELL, quantity=quantity, price=trigger, client_id=client_id)
        del self.exchange.orders[plain.symbol, plain.id]
        stop = replace(
            plain,
            id=number or plain.id,
            price=None,
            type="stop_market",
            reduce_only=True,
            conditional=True,
            trigger_price=Decimal(trigger),
        )
        self.exchange.orders[stop.symbol, stop.ref] = stop
        return stop

    def trigger(self, stop: Order, *, rests: bool = False) -> Order:
        """The stop is touched: its child takes its place, and is filled at once unless it `rests`."""
        child = self.exchange.place(
            stop.symbol,
            side=stop.side,
            quantity=stop.quantity,
            price=stop.trigger_price or "0",
            client_id=stop.client_id,
        )
        self.finish(replace(stop, successor=child.id), OrderStatus.TRIGGERED)
        return child if rests else self.exchange.fill(child)

    def finish(self, stop: Order, status: OrderStatus = OrderStatus.CANCELED) -> None:
        """A conditional order leaves the open ones."""
        self.exchange.orders.pop((stop.symbol, stop.ref))
        self.exchange.ended[stop.symbol, stop.ref] = replace(stop, status=status, updated=self.clock.now_ms())


class Line(Watch):
    """The real adapter over HTTP to a simulated account, on the wall clock.

    Cycles follow each other at once, and the grace is of milliseconds. The bot believes the truth of each moment.
    """

    def __init__(self, running: SimulatorThread, venue: Venue, name: str, timeout: float, **policy: Any) -> None:
        self.running, self.name = running, name
        key = running.call(lambda sim: sim.world.create_key(sim.world.account(name)))
        self.exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret}, timeout=timeout)
        settings = {"mode": Mode.PAUSE, "order_id_prefix": PREFIX, "order_grace_ms": GRACE_MS, **policy}
        super().__init__(self.exchange, SystemClock(), Policy(**settings), self.truth)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 8.0) / 1000)

    def truth(self) -> ExpectedState:
        """All that the account holds now, known at once."""

        def read(sim: Simulator) -> ExpectedState:
            world = sim.world
            account = world.account(self.name)
            return ExpectedState(
                as_of=world.now_ms(),
                boot_id="boot",
                positions=tuple(
                    ExpectedPosition(row.symbol, PositionSide.NET, row.amount)
                    for row in account.positions.values()
                    if row.amount
                ),
                orders=(
                    *(recorded(order) for order in account.open_orders.values()),
                    *(recorded_stop(algo) for algo in world.algos.open_of(account)),
                ),
            )

        return self.running.call(read)

    def overlook(self, *client_ids: str) -> None:
        """From now on the bot publishes the truth of each moment, but for these orders."""

        def belief() -> ExpectedState:
            state = self.truth()
            return replace(state, orders=tuple(row for row in state.orders or () if row.client_id not in client_ids))

        self.belief = belief

    def stick_to(self, state: ExpectedState) -> None:
        """From now on the bot publishes this, each time as of that moment."""
        self.belief = lambda: replace(state, as_of=self.watching.now_ms())

    def act(self, action: Callable[[World, Account], T]) -> T:
        """Something happens to the account at the exchange."""
        return self.running.call(lambda sim: action(sim.world, sim.world.account(self.name)))

    def order(self, client_id: str, symbol: str = "BTCUSDT", *, side: str = "BUY", quantity: str = "0.010") -> str:
        """One that the bot placed; gives its id."""
        placed = self.act(
            lambda world, account: world.place_order(
                account,
                symbol=symbol,
                side=side,
                price=PRICES[symbol, side],
                quantity=Decimal(quantity),
                client_order_id=client_id,
            )
        )
        return str(placed.order_id)

    def fault(self, fault: Fault) -> int:
        """Something goes wrong on the way, from now on."""
        return self.running.call(lambda sim: sim.faults.add(fault))

    def requests(self, path: str | None = None, *, write: bool | None = None) -> list[RequestRecord]:
        """What the exchange was asked for on behalf of this account, by its own journal."""
        return self.running.call(lambda sim: sim.requests.select(account=self.name, path=path, write=write))

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        self.running.call(lambda sim: sim.faults.clear())


def recorded(order: SimulatedOrder) -> ExpectedOrder:
    """A bot's own record of an order of the simulator's."""
    return ExpectedOrder(
        symbol=order.symbol,
        id=str(order.order_id),
        client_id=order.client_order_id,
        side=Side.BUY if order.side == "BUY" else Side.SELL,
        quantity=order.orig_qty,
        filled=order.executed_qty,
        price=order.price,
        created=order.time,
    )


def recorded_stop(algo: AlgoOrder) -> ExpectedOrder:
    """A bot's own record of a conditional order of the simulator's."""
    return ExpectedOrder(
        symbol=algo.symbol,
        id=str(algo.algo_id),
        client_id=algo.client_algo_id,
        side=Side.BUY if algo.side == "BUY" else Side.SELL,
        quantity=algo.quantity,
        created=algo.create_time,
    )


@contextmanager
def simulated(*names: str, **arguments: Any) -> Iterator[SimulatorThread]:
    """A simulator with these accounts, and more request weight than a test uses."""
    with SimulatorThread(seed=1, **arguments) as running:

        def prepare(sim: Simulator) -> None:
            sim.limits.weight_per_minute = 10_000_000
            for name in names:
                sim.world.create_account(name, wallet={"USDT": Decimal(100_000)})

        running.call(prepare)
        yield running


@asynccontextmanager
async def lines(
    running: SimulatorThread, *names: str, url: str = "", patience: float = PATIENT, **policy: Any
) -> AsyncIterator[list[Line]]:
    """Each account read with a key of its own, all over one venue."""
    venues = Venues(endpoints=EndpointPolicy(["http://127.0.0.1:*", "http://localhost:*"]))
    venue = venues.get("binanceusdm", endpoint=url or running.url)
    opened = [Line(running, venue, name, patience, **policy) for name in names]
    try:
        yield opened
    finally:
        for each in opened:
            await each.exchange.close()
        await venues.close()

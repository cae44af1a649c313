"""One account of the simulator as the exchange sees it, and what the exchange does to it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from accountsync.simulator import AlgoOrder, ApiKey, Fault, Order, RequestRecord, Simulator
from accountsync.simulator.thread import SimulatorThread

SYMBOL = "BTCUSDT"
UNKNOWN = 404


@dataclass(frozen=True, slots=True)
class Venue:
    """`trade_key` is the bot's, `read_key` the operator's."""

    exchange: SimulatorThread
    name: str
    trade_key: ApiKey
    read_key: ApiKey

    @classmethod
    def open(cls, exchange: SimulatorThread, name: str, usdt: Decimal) -> Self:
        """A new account with this much in its wallet."""

        def create(sim: Simulator) -> tuple[ApiKey, ApiKey]:
            account = sim.world.create_account(name, wallet={"USDT": usdt})
            trade = sim.world.create_key(account, permissions=("read", "trade"))
            return trade, sim.world.create_key(account, permissions=("read",))

        return cls(exchange, name, *exchange.call(create))

    @property
    def url(self) -> str:
        """The exchange's address."""
        return self.exchange.url

    @property
    def position(self) -> Decimal:
        """What is held, signed."""
        return self.exchange.call(lambda sim: sim.world.account(self.name).position(SYMBOL).amount)

    @property
    def open_orders(self) -> list[Order]:
        """What rests in the book, oldest first."""
        return self.exchange.call(lambda sim: sim.world.account(self.name).open_orders_of(SYMBOL))

    @property
    def writes(self) -> list[RequestRecord]:
        """Every call by which somebody changed something, oldest first."""
        return self.exchange.call(lambda sim: sim.requests.select(account=self.name, write=True))

    @property
    def unknown_calls(self) -> set[str]:
        """Paths that anybody has asked for and that the simulator does not have."""
        return self.exchange.call(lambda sim: {one.path for one in sim.requests.select() if one.status == UNKNOWN})

    def fill(self, quantity: Decimal | None = None) -> None:
        """Let the oldest open order be taken: whole, or this much of it."""
        order = self.open_orders[0]
        self.exchange.call(lambda sim: sim.world.fill(order, quantity=quantity))

    @property
    def stop_orders(self) -> list[AlgoOrder]:
        """What waits for a trigger price, oldest first."""
        return self.exchange.call(lambda sim: list(sim.world.algos.open_of(sim.world.account(self.name))))

    def trade_by_hand(self, side: str, quantity: Decimal) -> Order:
        """As a person does on the exchange's site: at the market."""
        return self.exchange.call(
            lambda sim: sim.world.execute(sim.world.account(self.name), symbol=SYMBOL, side=side, quantity=quantity)
        )

    def deleverage(self, quantity: Decimal) -> Order:
        """Take a part of the position away, as the exchange does for others' sake."""
        return self.exchange.call(
            lambda sim: sim.world.deleverage(sim.world.account(self.name), SYMBOL, "BOTH", quantity)
        )

    def trigger_stop(self) -> None:
        """Let the mark price reach the oldest stop order's."""
        order = self.stop_orders[0]
        self.exchange.call(lambda sim: sim.world.algos.trigger(order))

    def delay(self, path: str, *, seconds: float) -> None:
        """Answer calls of `path` late."""
        self.exchange.call(lambda sim: sim.faults.add(Fault.latency(seconds, path=path)))

    def obey(self) -> None:
        """Let all that is wrong with the exchange be over."""
        self.exchange.call(lambda sim: sim.faults.clear())

    def liquidate(self) -> Order:
        """Close the position by force, as the exchange does."""
        return self.exchange.call(lambda sim: sim.world.liquidate(sim.world.account(self.name), SYMBOL))

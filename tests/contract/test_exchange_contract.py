"""What every `Exchange` must do: one suite for the fake in memory and for ccxt over HTTP on the simulated exchange."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

import pytest
from tests.support.fakes import BTC, ETH, FakeExchange

from accountsync.clock import SystemClock
from accountsync.domain.account import Balance, Order, OrderStatus, PositionSide, Side
from accountsync.errors import ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import CcxtExchange, EndpointPolicy, Venues
from accountsync.ports import Exchange
from accountsync.simulator import Account, Fault, Simulator
from accountsync.simulator import Order as SimulatedOrder
from accountsync.simulator import PositionSide as Leg
from accountsync.simulator import Side as Direction

NATIVE = {BTC: "BTCUSDT", ETH: "ETHUSDT"}


class Rig(Protocol):
    """An exchange, and the means to let things happen on it."""

    @property
    def exchange(self) -> Exchange: ...

    def place(self, symbol: str, *, side: Side, quantity: str, price: str, client_id: str) -> str:
        """An open order; gives its id."""
        ...

    def fill(self, order_id: str, quantity: str) -> None: ...
    def end(self, order_id: str, status: OrderStatus) -> None: ...
    def hold(self, symbol: str, quantity: str) -> None: ...
    def fail(self) -> None:
        """The next calls find no working exchange."""
        ...


class FakeRig:
    def __init__(self) -> None:
        self.exchange = FakeExchange(SystemClock(), wallets={"USDT": Decimal(10_000)})
        self._placed: dict[str, Order] = {}

    def place(self, symbol: str, *, side: Side, quantity: str, price: str, client_id: str) -> str:
        order = self.exchange.place(symbol, side=side, quantity=quantity, price=price, client_id=client_id)
        self._placed[order.id] = order
        return order.id

    def fill(self, order_id: str, quantity: str) -> None:
        self._placed[order_id] = self.exchange.fill(self._placed[order_id], quantity)

    def end(self, order_id: str, status: OrderStatus) -> None:
        self.exchange.end(self._placed[order_id], status)

    def hold(self, symbol: str, quantity: str) -> None:
        self.exchange.hold(symbol, quantity)

    def fail(self) -> None:
        self.exchange.script.append(ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now"))


class CcxtRig:
    def __init__(self, exchange: CcxtExchange, sim: Simulator, account: Account) -> None:
        self.exchange = exchange
        self._sim = sim
        self._account = account

    def place(self, symbol: str, *, side: Side, quantity: str, price: str, client_id: str) -> str:
        order = self._sim.world.place_order(
            self._account,
            symbol=NATIVE[symbol],
            side=Direction.BUY if side is Side.BUY else Direction.SELL,
            price=Decimal(price),
            quantity=Decimal(quantity),
            client_order_id=client_id,
        )
        return str(order.order_id)

    def fill(self, order_id: str, quantity: str) -> None:
        self._sim.world.fill(self._order(order_id), quantity=Decimal(quantity))

    def end(self, order_id: str, status: OrderStatus) -> None:
        end = {
            OrderStatus.CANCELED: self._sim.world.cancel,
            OrderStatus.EXPIRED: self._sim.world.expire,
            OrderStatus.REJECTED: self._sim.world.reject,
        }[status]
        end(self._order(order_id))

    def hold(self, symbol: str, quantity: str) -> None:
        self._sim.world.set_position(self._account, NATIVE[symbol], Decimal(quantity), position_side=Leg.BOTH)

    def fail(self) -> None:
        self._sim.faults.add(Fault.http_error(503))

    def _order(self, order_id: str) -> SimulatedOrder:
        return next(order for order in self._account.open_orders.values() if str(order.order_id) == order_id)


@pytest.fixture(params=["fake", "ccxt"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield FakeRig()
        return
    async with Simulator(seed=1) as sim:
        venues = Venues(endpoints=EndpointPolicy(["http://127.0.0.1:*"]))
        account = sim.world.create_account("grid", wallet={"USDT": Decimal(10_000)})
        key = sim.world.create_key(account, permissions={"read"})
        venue = venues.get("binanceusdm", endpoint=sim.url)
        exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret}, timeout=5)
        yield CcxtRig(exchange, sim, account)
        await exchange.close()
        await venues.close()


def buy(rig: Rig, client_id: str = "grinder_1", symbol: str = BTC) -> str:
    return rig.place(symbol, side=Side.BUY, quantity="0.010", price="60000", client_id=client_id)


async def test_an_account_without_orders_and_positions_is_empty(rig: Rig) -> None:
    snapshot = await rig.exchange.snapshot()
    assert (snapshot.orders, snapshot.positions, snapshot.unsettled) == ((), (), frozenset())
    assert snapshot.balances == (Balance("USDT", Decimal(10_000)),)


async def test_the_timestamp_is_of_the_reading(rig: Rig) -> None:
    before = SystemClock().now_ms()
    first = await rig.exchange.snapshot()
    second = await rig.exchange.snapshot()
    assert before <= first.timestamp <= second.timestamp <= SystemClock().now_ms()


async def test_an_open_order_is_listed_with_all_that_it_says(rig: Rig) -> None:
    began = SystemClock().now_ms()
    order_id = rig.place(ETH, side=Side.SELL, quantity="0.5", price="9000", client_id="grinder_2")
    (order,) = (await rig.exchange.snapshot()).orders
    expected = Order(order_id, "grinder_2", ETH, Side.SELL, Decimal("0.5"), Decimal(0), Decimal(9000))
    assert replace(order, created=None, updated=None) == expected
    assert order.created is not None
    assert order.updated is not None
    assert began <= order.created <= order.updated <= SystemClock().now_ms()


async def test_a_partly_filled_order_stays_open_and_its_position_is_there(rig: Rig) -> None:
    order_id = buy(rig)
    rig.fill(order_id, "0.004")
    snapshot = await rig.exchange.snapshot()
    (order,), (position,) = snapshot.orders, snapshot.positions
    assert (order.status, order.quantity, order.filled) == (OrderStatus.OPEN, Decimal("0.010"), Decimal("0.004"))
    assert (position.symbol, position.side, position.quantity) == (BTC, PositionSide.NET, Decimal("0.004"))
    assert position.updated is not None


async def test_a_short_position_is_negative(rig: Rig) -> None:
    rig.hold(ETH, "-1.5")
    (position,) = (await rig.exchange.snapshot()).positions
    assert (position.symbol, position.quantity) == (ETH, Decimal("-1.5"))


async def test_a_position_that_is_flat_is_not_held(rig: Rig) -> None:
    rig.hold(ETH, "1")
    rig.hold(ETH, "0")
    assert (await rig.exchange.snapshot()).held == 0


@pytest.mark.parametrize("spelling", ["ETHUSDT", ETH])
async def test_a_scope_leaves_other_symbols_out(rig: Rig, spelling: str) -> None:
    buy(rig)
    rig.hold(BTC, "1")
    rig.hold(ETH, "2")
    snapshot = await rig.exchange.snapshot([spelling])
    assert (snapshot.orders, [row.symbol for row in snapshot.positions]) == ((), [ETH])


async def test_a_scope_that_is_not_listed_is_the_specs_fault(rig: Rig) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await rig.exchange.snapshot(["NOPE"])
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL


@pytest.mark.parametrize("spelling", ["BTCUSDT", BTC])
async def test_an_open_order_is_found_by_either_id(rig: Rig, spelling: str) -> None:
    order_id = buy(rig)
    by_id = await rig.exchange.find_order(symbol=spelling, order_id=order_id)
    by_client_id = await rig.exchange.find_order(symbol=spelling, client_id="grinder_1")
    (listed,) = (await rig.exchange.snapshot()).orders
    assert by_id == by_client_id == listed


async def test_a_filled_order_is_found_though_it_left_the_list(rig: Rig) -> None:
    order_id = buy(rig)
    rig.fill(order_id, "0.010")
    found = await rig.exchange.find_order(symbol=BTC, order_id=order_id)
    assert found is not None
    assert (found.status, found.filled) == (OrderStatus.FILLED, Decimal("0.010"))
    assert (await rig.exchange.snapshot()).orders == ()


@pytest.mark.parametrize("status", [OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED])
async def test_an_order_that_ended_says_how(rig: Rig, status: OrderStatus) -> None:
    order_id = buy(rig)
    rig.end(order_id, status)
    found = await rig.exchange.find_order(symbol=BTC, order_id=order_id)
    assert found is not None
    assert (found.id, found.status, found.filled) == (order_id, status, Decimal(0))


async def test_a_client_id_that_was_used_again_means_the_open_order(rig: Rig) -> None:
    rig.end(buy(rig), OrderStatus.CANCELED)
    again = buy(rig)
    found = await rig.exchange.find_order(symbol=BTC, client_id="grinder_1")
    assert found is not None
    assert (found.id, found.status) == (again, OrderStatus.OPEN)


@pytest.mark.parametrize("question", [{"order_id": "4711"}, {"client_id": "grinder_never"}])
async def test_an_order_that_the_exchange_does_not_know_is_none(rig: Rig, question: dict[str, str]) -> None:
    buy(rig)
    assert await rig.exchange.find_order(symbol=BTC, **question) is None


async def test_an_order_is_of_its_symbol_only(rig: Rig) -> None:
    buy(rig, symbol=BTC)
    assert await rig.exchange.find_order(symbol=ETH, client_id="grinder_1") is None


async def test_an_order_is_asked_for_by_some_id(rig: Rig) -> None:
    with pytest.raises(ValueError, match="id"):
        await rig.exchange.find_order(symbol=BTC)


async def test_a_failure_is_no_snapshot(rig: Rig) -> None:
    await rig.exchange.snapshot()
    rig.fail()
    with pytest.raises(ExchangeUnobserved):
        await rig.exchange.snapshot()


async def test_a_failure_is_no_absence(rig: Rig) -> None:
    await rig.exchange.snapshot()
    rig.fail()
    with pytest.raises(ExchangeUnobserved):
        await rig.exchange.find_order(symbol=BTC, order_id="1")


async def test_symbols_have_one_spelling(rig: Rig) -> None:
    await rig.exchange.snapshot()
    for symbol, native in NATIVE.items():
        assert rig.exchange.canonical_symbol(native) == rig.exchange.canonical_symbol(symbol) == symbol
    with pytest.raises(KeyError):
        rig.exchange.canonical_symbol("NOPE")

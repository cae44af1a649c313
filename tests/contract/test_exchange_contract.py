"""What every `Exchange` must do: one suite for the fake in memory and for ccxt over HTTP on the simulated exchange."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol

import pytest
from tests.support.fakes import BTC, ETH, FakeExchange, ManualClock

from accountsync.clock import SystemClock
from accountsync.domain.account import Balance, Fill, Income, Order, OrderStatus, Position, PositionSide, Side
from accountsync.errors import ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import CcxtExchange, EndpointPolicy, Venues
from accountsync.ports import Clock, Exchange
from accountsync.simulator import Account, AlgoOrder, Fault, Simulator
from accountsync.simulator import Order as SimulatedOrder
from accountsync.simulator import PositionSide as Leg
from accountsync.simulator import Side as Direction

NATIVE = {BTC: "BTCUSDT", ETH: "ETHUSDT"}
TRIGGER, STOP_QUANTITY = Decimal(1000), Decimal("0.010")
"""Of every stop: a limit order to sell at its trigger price, far below all prices."""


class Rig(Protocol):
    """An exchange, and the means to let things happen on it.

    The wallet holds 10 000 USDT and no USDC; the mark price of ETH is 3000.5.
    """

    @property
    def exchange(self) -> Exchange: ...

    def place(self, symbol: str, *, side: Side, quantity: str, price: str, client_id: str) -> str:
        """An open order; gives its id."""
        ...

    def fill(self, order_id: str, quantity: str) -> None: ...
    def end(self, order_id: str, status: OrderStatus) -> None: ...
    def hold(self, symbol: str, quantity: str) -> None: ...
    def stop(self, client_id: str) -> str:
        """A conditional order of BTC; gives its id."""
        ...

    def trigger(self, stop_id: str) -> str:
        """Let an ordinary order take its place; gives that one's id."""
        ...

    def end_stop(self, stop_id: str) -> None:
        """Cancel it."""
        ...

    def pay(self, amount: str) -> None:
        """Add to the USDT in the wallet."""
        ...

    def fail(self) -> None:
        """The next calls find no working exchange."""
        ...

    def recover(self) -> None: ...


class FakeRig:
    def __init__(self) -> None:
        self.exchange = FakeExchange(
            SystemClock(),
            wallets={"USDT": Decimal(10_000), "USDC": Decimal(0)},
            tells_fills=True,
            tells_income=True,
            forgets_after_ms=90 * 86_400_000,
            steps={BTC: Decimal("0.001"), ETH: Decimal("0.001")},
            quotes={ETH: Decimal("3000.5")},
        )
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

    def stop(self, client_id: str) -> str:
        placed = self.exchange.place(side=Side.SELL, quantity=STOP_QUANTITY, price=TRIGGER, client_id=client_id)
        order = replace(placed, type="stop", conditional=True, trigger_price=TRIGGER)
        self.exchange.orders[BTC, order.id] = self._placed[order.id] = order
        return order.id

    def trigger(self, stop_id: str) -> str:
        child = self.exchange.place(
            side=Side.SELL, quantity=STOP_QUANTITY, price=TRIGGER, client_id=self._placed[stop_id].client_id
        )
        self.exchange.end(replace(self._placed[stop_id], successor=child.id), OrderStatus.TRIGGERED)
        return child.id

    def end_stop(self, stop_id: str) -> None:
        self.exchange.end(self._placed[stop_id], OrderStatus.CANCELED)

    def pay(self, amount: str) -> None:
        self.exchange.wallets["USDT"] += Decimal(amount)
        self.exchange.booked.append(Income("USDT", Decimal(amount), self.exchange.clock.now_ms(), "TRANSFER"))

    def fail(self) -> None:
        self.exchange.script.append(ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now"))

    def recover(self) -> None:
        self.exchange.script.clear()


class CcxtRig:
    def __init__(self, exchange: CcxtExchange, sim: Simulator, account: Account) -> None:
        self.exchange = exchange
        self._sim = sim
        self._account = account
        self._stops: dict[str, AlgoOrder] = {}

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

    def stop(self, client_id: str) -> str:
        algo = self._sim.world.algos.place(
            self._account,
            symbol=NATIVE[BTC],
            side=Direction.SELL,
            order_type="STOP",
            quantity=STOP_QUANTITY,
            trigger_price=TRIGGER,
            price=TRIGGER,
            client_algo_id=client_id,
        )
        self._stops[str(algo.algo_id)] = algo
        return str(algo.algo_id)

    def trigger(self, stop_id: str) -> str:
        child = self._sim.world.algos.trigger(self._stops[stop_id]).child
        assert child is not None
        return str(child.order_id)

    def end_stop(self, stop_id: str) -> None:
        self._sim.world.algos.cancel(self._stops[stop_id])

    def pay(self, amount: str) -> None:
        self._sim.world.deposit(self._account, "USDT", Decimal(amount))

    def fail(self) -> None:
        self._sim.faults.add(Fault.http_error(503))

    def recover(self) -> None:
        self._sim.faults.clear()

    def _order(self, order_id: str) -> SimulatedOrder:
        return next(order for order in self._account.open_orders.values() if str(order.order_id) == order_id)


@pytest.fixture(params=["fake", "ccxt"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield FakeRig()
        return
    async with Simulator(seed=1) as sim:
        venues = Venues(endpoints=EndpointPolicy(["http://127.0.0.1:*"]))
        sim.world.set_mark_price("ETHUSDT", Decimal("3000.5"))
        account = sim.world.create_account("grid", wallet={"USDT": Decimal(10_000), "USDC": Decimal(0)})
        key = sim.world.create_key(account, permissions={"read"})
        venue = venues.get("binanceusdm", endpoint=sim.url)
        exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret}, timeout=5)
        yield CcxtRig(exchange, sim, account)
        await exchange.close()
        await venues.close()


def buy(rig: Rig, client_id: str = "grinder_1", symbol: str = BTC) -> str:
    return rig.place(symbol, side=Side.BUY, quantity="0.010", price="60000", client_id=client_id)


def timeless(order: Order | None) -> Order:
    assert order is not None
    return replace(order, created=None, updated=None)


def bought(order_id: str, client_id: str, **fields: Any) -> Order:
    """As `buy` places it."""
    usual: dict[str, Any] = {"quantity": Decimal("0.010"), "filled": Decimal(0), "price": Decimal(60000)}
    return Order(id=order_id, client_id=client_id, symbol=BTC, side=Side.BUY, **(usual | fields))


def stopped(stop_id: str, client_id: str, **fields: Any) -> Order:
    """As `Rig.stop` places it."""
    usual: dict[str, Any] = {"quantity": STOP_QUANTITY, "filled": Decimal(0), "price": TRIGGER, "type": "stop"}
    usual |= {"conditional": True, "trigger_price": TRIGGER}
    return Order(id=stop_id, client_id=client_id, symbol=BTC, side=Side.SELL, **(usual | fields))


def names(by: str, order_id: str, client_id: str) -> dict[str, Any]:
    return {"order_id": order_id} if by == "order id" else {"client_id": client_id}


async def test_an_account_without_orders_and_positions_is_empty(rig: Rig) -> None:
    snapshot = await rig.exchange.snapshot()
    assert (snapshot.orders, snapshot.positions, snapshot.unsettled) == ((), (), frozenset())
    assert snapshot.balances == (Balance("USDT", Decimal(10_000)),)


async def test_a_snapshot_holds_what_the_account_holds(rig: Rig) -> None:
    first, second = buy(rig), buy(rig, "grinder_2")
    rig.fill(first, "0.004")
    rig.hold(ETH, "-1.5")
    snapshot = await rig.exchange.snapshot()
    assert {timeless(order) for order in snapshot.orders} == {
        bought(first, "grinder_1", filled=Decimal("0.004")),
        bought(second, "grinder_2"),
    }
    held = {Position(row.symbol, row.side, row.quantity, row.margin_mode) for row in snapshot.positions if row.quantity}
    assert held == {
        Position(BTC, PositionSide.NET, Decimal("0.004"), "cross"),
        Position(ETH, PositionSide.NET, Decimal("-1.5"), "cross"),
    }
    assert snapshot.held == 2


async def test_a_snapshot_says_all_that_it_can(rig: Rig) -> None:
    buy(rig)
    snapshot = await rig.exchange.snapshot()
    assert snapshot.missing == frozenset()
    assert (snapshot.steps[BTC], snapshot.steps[ETH]) == (Decimal("0.001"), Decimal("0.001"))
    assert snapshot.skew_ms == 0


async def test_the_timestamp_is_of_the_reading(rig: Rig) -> None:
    before = SystemClock().now_ms()
    stamps = [(await rig.exchange.snapshot()).timestamp for _ in range(3)]
    assert [before, *stamps, SystemClock().now_ms()] == sorted([before, *stamps, SystemClock().now_ms()])


async def test_what_changed_says_when_on_the_clock_of_the_snapshot(rig: Rig) -> None:
    buy(rig)
    rig.hold(ETH, "-1")
    snapshot = await rig.exchange.snapshot()
    held = [row for row in snapshot.positions if row.quantity]
    times = [*(row.updated for row in snapshot.orders), *(row.updated for row in held)]
    assert len(times) == 2
    for updated in times:
        assert updated is not None
        assert updated <= snapshot.timestamp


async def test_a_snapshot_is_not_changed_by_what_happens_later(rig: Rig) -> None:
    buy(rig)
    snapshot = await rig.exchange.snapshot()
    before = replace(snapshot, marks=dict(snapshot.marks), steps=dict(snapshot.steps))
    rig.hold(ETH, "-3")
    buy(rig, "grinder_2")
    assert len((await rig.exchange.snapshot()).orders) == 2
    assert replace(snapshot, marks=dict(snapshot.marks), steps=dict(snapshot.steps)) == before


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
    rig.stop("grinder_stop")
    rig.hold(BTC, "1")
    rig.hold(ETH, "2")
    snapshot = await rig.exchange.snapshot([spelling])
    assert (snapshot.orders, [row.symbol for row in snapshot.positions]) == ((), [ETH])


@pytest.mark.parametrize("spelling", ["BTCUSDT", BTC])
async def test_a_scope_holds_all_of_its_symbols(rig: Rig, spelling: str) -> None:
    rig.fill(buy(rig), "0.004")
    rig.stop("grinder_stop")
    rig.hold(ETH, "-1")
    snapshot = await rig.exchange.snapshot([spelling])
    assert [row.symbol for row in snapshot.positions] == [BTC]
    assert [row.symbol for row in snapshot.orders] == [BTC, BTC]


async def test_a_scope_that_is_not_listed_is_the_specs_fault(rig: Rig) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await rig.exchange.snapshot(["NOPE"])
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL
    with pytest.raises(ConfigurationError):
        await rig.exchange.find_order(symbol="NOPE", order_id="1")


@pytest.mark.parametrize("spelling", ["BTCUSDT", BTC])
async def test_an_open_order_is_found_by_either_id(rig: Rig, spelling: str) -> None:
    order_id = buy(rig)
    by_id = await rig.exchange.find_order(symbol=spelling, order_id=order_id)
    by_client_id = await rig.exchange.find_order(symbol=spelling, client_id="grinder_1")
    (listed,) = (await rig.exchange.snapshot()).orders
    assert by_id == by_client_id == listed


@pytest.mark.parametrize("by", ["order id", "client id"])
async def test_a_filled_order_is_found_though_it_left_the_list(rig: Rig, by: str) -> None:
    order_id = buy(rig)
    rig.fill(order_id, "0.010")
    assert (await rig.exchange.snapshot()).orders == ()
    found = await rig.exchange.find_order(symbol=BTC, **names(by, order_id, "grinder_1"))
    assert timeless(found) == bought(order_id, "grinder_1", filled=Decimal("0.010"), status=OrderStatus.FILLED)


@pytest.mark.parametrize("by", ["order id", "client id"])
async def test_a_canceled_order_is_found_with_what_it_filled(rig: Rig, by: str) -> None:
    order_id = buy(rig)
    rig.fill(order_id, "0.004")
    rig.end(order_id, OrderStatus.CANCELED)
    assert (await rig.exchange.snapshot()).orders == ()
    found = await rig.exchange.find_order(symbol=BTC, **names(by, order_id, "grinder_1"))
    assert timeless(found) == bought(order_id, "grinder_1", filled=Decimal("0.004"), status=OrderStatus.CANCELED)


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


@pytest.mark.parametrize("conditional", [None, False, True])
@pytest.mark.parametrize("by", ["order id", "client id"])
async def test_an_order_that_the_exchange_does_not_know_is_none(rig: Rig, by: str, conditional: bool | None) -> None:
    buy(rig)
    question = names(by, "987654321", "grinder_never")
    assert await rig.exchange.find_order(symbol=BTC, conditional=conditional, **question) is None


async def test_an_order_is_of_its_symbol_only(rig: Rig) -> None:
    order_id, stop_id = buy(rig, symbol=BTC), rig.stop("grinder_stop")
    for name in (order_id, stop_id):
        assert await rig.exchange.find_order(symbol=ETH, order_id=name) is None, "ids are counted up per symbol"
    for name in ("grinder_1", "grinder_stop"):
        assert await rig.exchange.find_order(symbol=ETH, client_id=name) is None


async def test_an_order_is_asked_for_by_some_id(rig: Rig) -> None:
    with pytest.raises(ValueError, match="by its id"):
        await rig.exchange.find_order(symbol=BTC)


async def test_a_failure_is_no_snapshot(rig: Rig) -> None:
    buy(rig)
    await rig.exchange.snapshot()
    rig.fail()
    with pytest.raises(ExchangeUnobserved):
        await rig.exchange.snapshot()
    rig.recover()
    assert len((await rig.exchange.snapshot()).orders) == 1


async def test_a_failure_is_no_absence(rig: Rig) -> None:
    order_id = buy(rig)
    await rig.exchange.snapshot()
    rig.fail()
    with pytest.raises(ExchangeUnobserved):
        await rig.exchange.find_order(symbol=BTC, order_id=order_id)
    rig.recover()
    assert await rig.exchange.find_order(symbol=BTC, order_id=order_id) is not None


# --- conditional orders -------------------------------------------------------------------------------------


async def test_a_conditional_order_is_listed_beside_the_others(rig: Rig) -> None:
    order_id, stop_id = buy(rig), rig.stop("grinder_stop")
    ordinary, conditional = sorted((await rig.exchange.snapshot()).orders, key=lambda order: order.conditional)
    assert timeless(ordinary) == bought(order_id, "grinder_1")
    assert timeless(conditional) == stopped(stop_id, "grinder_stop")


@pytest.mark.parametrize("conditional", [None, True])
@pytest.mark.parametrize("by", ["order id", "client id"])
async def test_a_conditional_order_is_found_as_it_is_listed(rig: Rig, by: str, conditional: bool | None) -> None:
    stop_id = rig.stop("grinder_stop")
    (listed,) = (await rig.exchange.snapshot()).orders
    question = names(by, stop_id, "grinder_stop")
    assert await rig.exchange.find_order(symbol=BTC, conditional=conditional, **question) == listed


async def test_a_question_about_one_kind_is_not_about_the_other(rig: Rig) -> None:
    buy(rig)
    rig.stop("grinder_stop")
    assert await rig.exchange.find_order(symbol=BTC, client_id="grinder_stop", conditional=False) is None
    assert await rig.exchange.find_order(symbol=BTC, client_id="grinder_1", conditional=True) is None


async def test_a_conditional_order_that_triggered_names_its_successor(rig: Rig) -> None:
    stop_id = rig.stop("grinder_stop")
    child_id = rig.trigger(stop_id)
    found = await rig.exchange.find_order(symbol=BTC, order_id=stop_id, conditional=True)
    assert timeless(found) == stopped(stop_id, "grinder_stop", status=OrderStatus.TRIGGERED, successor=child_id)
    (child,) = (await rig.exchange.snapshot()).orders
    assert (child.id, child.conditional, child.price) == (child_id, False, TRIGGER)


async def test_a_conditional_order_that_was_canceled_says_so(rig: Rig) -> None:
    stop_id = rig.stop("grinder_stop")
    rig.end_stop(stop_id)
    assert (await rig.exchange.snapshot()).orders == ()
    found = await rig.exchange.find_order(symbol=BTC, order_id=stop_id, conditional=True)
    assert timeless(found) == stopped(stop_id, "grinder_stop", status=OrderStatus.CANCELED)


# --- what happened ------------------------------------------------------------------------------------------


async def test_an_exchange_says_what_it_tells(rig: Rig) -> None:
    assert (rig.exchange.tells_fills, rig.exchange.tells_income) == (True, True)
    assert rig.exchange.forgets_after_ms == 90 * 86_400_000


async def test_fills_are_told_in_order_with_their_orders(rig: Rig) -> None:
    since = SystemClock().now_ms()
    order_id = buy(rig)
    rig.fill(order_id, "0.004")
    rig.fill(order_id, "0.006")
    told = await rig.exchange.fills(BTC, since)
    assert [replace(fill, id="", time=0) for fill in told] == [
        Fill("", order_id, BTC, Side.BUY, PositionSide.NET, Decimal(quantity), Decimal(60000), 0)
        for quantity in ("0.004", "0.006")
    ]
    assert len({fill.id for fill in told}) == 2
    assert [since, *(fill.time for fill in told)] == sorted([since, *(fill.time for fill in told)])
    (position,) = (await rig.exchange.snapshot()).positions
    assert position.quantity == sum(fill.change for fill in told)


async def test_fills_are_those_of_the_symbol_and_the_time(rig: Rig) -> None:
    began = SystemClock().now_ms()
    assert await rig.exchange.fills(BTC, began) == ()
    rig.fill(buy(rig), "0.010")
    (told,) = await rig.exchange.fills(BTC, began)
    assert await rig.exchange.fills(ETH, began) == ()
    assert await rig.exchange.fills(BTC, told.time) == (told,)
    assert await rig.exchange.fills(BTC, told.time + 1) == ()


async def test_income_is_what_changed_the_wallet(rig: Rig) -> None:
    since = SystemClock().now_ms()
    assert await rig.exchange.income(since) == ()
    rig.pay("12.5")
    rig.pay("-2")
    told = await rig.exchange.income(since)
    assert [replace(row, time=0) for row in told] == [
        Income("USDT", Decimal("12.5"), 0, "TRANSFER"),
        Income("USDT", Decimal(-2), 0, "TRANSFER"),
    ]
    assert await rig.exchange.income(told[-1].time + 1) == ()
    (balance,) = (await rig.exchange.snapshot()).balances
    assert balance.wallet == Decimal("10010.5")


async def test_a_failure_is_no_empty_history(rig: Rig) -> None:
    since = SystemClock().now_ms()
    await rig.exchange.snapshot()
    rig.fail()
    with pytest.raises(ExchangeUnobserved):
        await rig.exchange.fills(BTC, since)
    rig.recover()
    rig.fail()
    with pytest.raises(ExchangeUnobserved):
        await rig.exchange.income(since)


@pytest.mark.parametrize("spelling", ["ETHUSDT", ETH])
async def test_a_mark_is_told_of_what_nobody_holds(rig: Rig, spelling: str) -> None:
    assert ETH not in (await rig.exchange.snapshot()).marks
    began = SystemClock().now_ms()
    told = await rig.exchange.mark(spelling)
    assert told is not None
    price, at = told
    assert price == Decimal("3000.5")
    assert began <= at <= SystemClock().now_ms()


async def test_a_failure_is_no_mark(rig: Rig) -> None:
    await rig.exchange.snapshot()
    with pytest.raises(ConfigurationError) as caught:
        await rig.exchange.mark("NOPE")
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL
    rig.fail()
    with pytest.raises(ExchangeUnobserved):
        await rig.exchange.mark(ETH)


# --- words and times ----------------------------------------------------------------------------------------


async def test_symbols_have_one_spelling(rig: Rig) -> None:
    await rig.exchange.snapshot()
    for symbol, native in NATIVE.items():
        assert rig.exchange.canonical_symbol(native) == rig.exchange.canonical_symbol(symbol) == symbol


@pytest.mark.parametrize("text", ["NOPE", "", "btcusdt ", "BTC/USDT:USDT:USDT"])
async def test_a_symbol_that_is_not_listed_is_a_key_error(rig: Rig, text: str) -> None:
    await rig.exchange.snapshot()
    with pytest.raises(KeyError):
        rig.exchange.canonical_symbol(text)


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_a_clock_tells_milliseconds_of_our_age_and_spans_that_never_shrink(clock: Clock) -> None:
    assert 1_700_000_000_000 < clock.now_ms() < 4_000_000_000_000
    spans = [clock.monotonic() for _ in range(100)]
    assert spans == sorted(spans)

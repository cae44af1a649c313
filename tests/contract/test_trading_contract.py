"""What every `Trading` must do: one suite for the fake in memory and for ccxt over HTTP on the simulated exchange."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

import pytest
from tests.support.fakes import BTC, FakeExchange, FakeTrading

from accountsync.clock import SystemClock
from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.errors import NotSent, OutcomeUnknown, Reason, Refused
from accountsync.exchange import CcxtExchange, CcxtTrading, EndpointPolicy, Venues
from accountsync.ports import Exchange, NewOrder, Stamp, Trading
from accountsync.simulator import Account, Depth, Fault, Simulator
from accountsync.simulator import Side as Direction

ID = "acsync-0123456789abcdef01234567"
D = Decimal
NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT


class Rig(Protocol):
    """A key that may trade, an eye on the same account, and the means to let things happen there."""

    @property
    def trading(self) -> Trading: ...
    @property
    def exchange(self) -> Exchange: ...
    def hold(self, quantity: str, leg: PositionSide = NET) -> None: ...
    def place(self) -> str:
        """An open order of BTC; gives its id."""
        ...

    def stop(self) -> str:
        """A conditional order of BTC; gives its id."""
        ...

    def thin(self, quantity: str) -> None:
        """No more than this can be traded."""
        ...

    def lose(self, *, executed: bool) -> None:
        """The next answer gets lost."""
        ...


class FakeRig:
    def __init__(self) -> None:
        self.exchange = FakeExchange(SystemClock(), steps={BTC: D("0.001")})
        self.trading = FakeTrading(self.exchange)

    def hold(self, quantity: str, leg: PositionSide = NET) -> None:
        self.exchange.hold(BTC, quantity, leg)

    def place(self) -> str:
        return self.exchange.place(BTC, quantity="0.01", price="60000").id

    def stop(self) -> str:
        placed = self.exchange.place(BTC, side=Side.SELL, quantity="0.4", price="1000")
        self.exchange.orders[BTC, placed.id] = replace(placed, conditional=True, trigger_price=D(1000))
        return placed.id

    def thin(self, quantity: str) -> None:
        self.trading.takes = D(quantity)

    def lose(self, *, executed: bool) -> None:
        self.trading.loses = not executed
        self.trading.script.append(OutcomeUnknown("nobody knows"))


class CcxtRig:
    def __init__(self, trading: CcxtTrading, exchange: CcxtExchange, sim: Simulator, account: Account) -> None:
        self.trading = trading
        self.exchange = exchange
        self._sim = sim
        self._account = account

    def hold(self, quantity: str, leg: PositionSide = NET) -> None:
        self._account.hedge_mode = leg is not NET
        side = "BOTH" if leg is NET else leg.upper()
        amount = -D(quantity) if leg is SHORT else D(quantity)
        self._sim.world.set_position(self._account, "BTCUSDT", amount, position_side=side)

    def place(self) -> str:
        order = self._sim.world.place_order(
            self._account, symbol="BTCUSDT", side=Direction.BUY, price=D(60_000), quantity=D("0.01")
        )
        return str(order.order_id)

    def stop(self) -> str:
        algo = self._sim.world.algos.place(
            self._account,
            symbol="BTCUSDT",
            side=Direction.SELL,
            order_type="STOP_MARKET",
            quantity=D("0.4"),
            trigger_price=D(1000),
        )
        return str(algo.algo_id)

    def thin(self, quantity: str) -> None:
        self._sim.world.books.set_depth("BTCUSDT", Depth(levels=1, quantity=D(quantity), spacing=D(10)))

    def lose(self, *, executed: bool) -> None:
        for method in ("POST", "DELETE"):
            self._sim.faults.add(Fault.unknown_outcome(executed=executed, method=method, times=1))


@pytest.fixture(params=["fake", "ccxt"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield FakeRig()
        return
    async with Simulator(seed=1) as sim:
        venues = Venues(endpoints=EndpointPolicy(["http://127.0.0.1:*"]))
        venue = venues.get("binanceusdm", endpoint=sim.url)
        account = sim.world.create_account("grid", wallet={"USDT": D(10_000)})
        trade = sim.world.create_key(account, permissions={"read", "trade"})
        read = sim.world.create_key(account, permissions={"read"})
        trading = CcxtTrading(venue, {"apiKey": trade.api_key, "secret": trade.secret}, timeout=5)
        exchange = CcxtExchange(venue, {"apiKey": read.api_key, "secret": read.secret}, timeout=5)
        yield CcxtRig(trading, exchange, sim, account)
        await trading.close()
        await exchange.close()
        await venues.close()


def stamped(check: Callable[[], None] = lambda: None, *, late: int = 0) -> Stamp:
    return Stamp(int(time.time() * 1000) - late, 3000, check)


def closing(quantity: str, side: Side = Side.SELL, leg: PositionSide = NET, price: str | None = "64000") -> NewOrder:
    return NewOrder(BTC, side, leg, D(quantity), None if price is None else D(price), ID)


async def held(rig: Rig) -> dict[PositionSide, Decimal]:
    snapshot = await rig.exchange.snapshot()
    return {position.side: position.quantity for position in snapshot.positions if position.quantity}


async def test_requests_expire(rig: Rig) -> None:
    assert rig.trading.expires_requests


@pytest.mark.parametrize(
    ("quantity", "side", "price"),
    [("0.4", Side.SELL, "64000"), ("-0.4", Side.BUY, "66000"), ("0.4", Side.SELL, None), ("-0.4", Side.BUY, None)],
)
async def test_a_position_is_closed(rig: Rig, quantity: str, side: Side, price: str | None) -> None:
    rig.hold(quantity)
    order = await rig.trading.place(closing("0.4", side, price=price), stamped())
    assert (order.client_id, order.symbol, order.side) == (ID, BTC, side)
    assert (order.status, order.filled, order.reduce_only) == (OrderStatus.FILLED, D("0.4"), True)
    assert order.type == ("market" if price is None else "limit")
    assert await held(rig) == {}


async def test_what_was_placed_is_found_by_its_client_id(rig: Rig) -> None:
    rig.hold("0.4")
    order = await rig.trading.place(closing("0.3"), stamped())
    found = await rig.exchange.find_order(symbol=BTC, client_id=ID)
    assert found is not None
    assert (found.id, found.status, found.filled) == (order.id, OrderStatus.FILLED, D("0.3"))
    assert await held(rig) == {NET: D("0.1")}


async def test_what_the_market_does_not_take_expires(rig: Rig) -> None:
    rig.hold("0.4")
    rig.thin("0.1")
    order = await rig.trading.place(closing("0.4"), stamped())
    assert (order.status, order.filled) == (OrderStatus.EXPIRED, D("0.1"))
    assert await held(rig) == {NET: D("0.3")}
    assert (await rig.exchange.snapshot()).orders == ()


async def test_legs_are_closed_apart(rig: Rig) -> None:
    rig.hold("0.4", LONG)
    rig.hold("0.3", SHORT)
    await rig.trading.place(closing("0.4", Side.SELL, LONG), stamped())
    assert await held(rig) == {SHORT: D("0.3")}
    await rig.trading.place(closing("0.2", Side.BUY, SHORT, "66000"), stamped())
    assert await held(rig) == {SHORT: D("0.1")}


@pytest.mark.parametrize(("side", "leg"), [(Side.BUY, LONG), (Side.SELL, SHORT)])
async def test_nothing_is_added_to_a_leg(rig: Rig, side: Side, leg: PositionSide) -> None:
    rig.hold("0.4", leg)
    with pytest.raises(NotSent):
        await rig.trading.place(closing("0.1", side, leg), stamped())
    assert await held(rig) == {leg: D("0.4")}


async def test_no_leg_is_closed_by_more_than_it_has(rig: Rig) -> None:
    rig.hold("0.4", LONG)
    with pytest.raises(Refused):
        await rig.trading.place(closing("0.5", Side.SELL, LONG), stamped())
    assert await held(rig) == {LONG: D("0.4")}


async def test_a_position_is_never_turned_round(rig: Rig) -> None:
    rig.hold("0.1")
    await rig.trading.place(closing("0.4"), stamped())
    assert await held(rig) == {}


@pytest.mark.parametrize("quantity", ["0", "0.4"])
async def test_where_nothing_is_to_be_reduced_it_is_refused(rig: Rig, quantity: str) -> None:
    rig.hold(quantity)
    with pytest.raises(Refused):
        await rig.trading.place(closing("0.4", Side.BUY, price="66000"), stamped())
    assert await held(rig) == ({NET: D(quantity)} if D(quantity) else {})


@pytest.mark.parametrize("quantity", ["0.4005", "0", "-0.4"])
async def test_a_quantity_between_two_steps_is_not_sent(rig: Rig, quantity: str) -> None:
    rig.hold("0.4")
    with pytest.raises(NotSent):
        await rig.trading.place(closing(quantity), stamped())
    assert await held(rig) == {NET: D("0.4")}


async def test_orders_of_either_kind_are_cancelled(rig: Rig) -> None:
    order, stop = rig.place(), rig.stop()
    await rig.trading.cancel(symbol=BTC, order_id=order, conditional=False, stamp=stamped())
    assert [row.conditional for row in (await rig.exchange.snapshot()).orders] == [True]
    await rig.trading.cancel(symbol=BTC, order_id=stop, conditional=True, stamp=stamped())
    assert (await rig.exchange.snapshot()).orders == ()
    for order_id, conditional in ((order, False), (stop, True)):
        found = await rig.exchange.find_order(symbol=BTC, order_id=order_id, conditional=conditional)
        assert found is not None
        assert found.status is OrderStatus.CANCELED
        with pytest.raises(Refused):
            await rig.trading.cancel(symbol=BTC, order_id=order_id, conditional=conditional, stamp=stamped())


async def test_what_may_no_longer_act_does_not(rig: Rig) -> None:
    def lost() -> None:
        raise NotSent("the account has another owner")

    rig.hold("0.4")
    order = rig.place()
    with pytest.raises(NotSent, match="another owner"):
        await rig.trading.place(closing("0.4"), stamped(lost))
    with pytest.raises(NotSent, match="another owner"):
        await rig.trading.cancel(symbol=BTC, order_id=order, conditional=False, stamp=stamped(lost))
    assert await held(rig) == {NET: D("0.4")}
    assert len((await rig.exchange.snapshot()).orders) == 1


async def test_a_late_request_is_refused(rig: Rig) -> None:
    rig.hold("0.4")
    with pytest.raises(Refused) as caught:
        await rig.trading.place(closing("0.4"), stamped(late=4000))
    assert caught.value.reason is Reason.EXCHANGE_CLOCK_SKEW
    assert await held(rig) == {NET: D("0.4")}


@pytest.mark.parametrize("executed", [True, False])
async def test_of_a_lost_answer_only_asking_tells(rig: Rig, executed: bool) -> None:
    rig.hold("0.4")
    rig.lose(executed=executed)
    with pytest.raises(OutcomeUnknown):
        await rig.trading.place(closing("0.4"), stamped())
    found = await rig.exchange.find_order(symbol=BTC, client_id=ID)
    assert (found is not None) is executed
    assert await held(rig) == ({} if executed else {NET: D("0.4")})


@pytest.mark.parametrize("executed", [True, False])
async def test_of_a_lost_answer_to_a_cancel_too(rig: Rig, executed: bool) -> None:
    order = rig.place()
    rig.lose(executed=executed)
    with pytest.raises(OutcomeUnknown):
        await rig.trading.cancel(symbol=BTC, order_id=order, conditional=False, stamp=stamped())
    found = await rig.exchange.find_order(symbol=BTC, order_id=order)
    assert found is not None
    assert found.status is (OrderStatus.CANCELED if executed else OrderStatus.OPEN)


async def test_a_symbol_that_is_not_listed_is_not_sent(rig: Rig) -> None:
    with pytest.raises(NotSent) as caught:
        await rig.trading.cancel(symbol="GONE/USDT:USDT", order_id="1", conditional=False, stamp=stamped())
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL


async def test_once_closed_it_sends_nothing(rig: Rig) -> None:
    rig.hold("0.4")
    await rig.trading.close()
    with pytest.raises(NotSent):
        await rig.trading.place(closing("0.4"), stamped())
    assert await held(rig) == {NET: D("0.4")}

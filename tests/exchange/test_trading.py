"""What may trade: one request for one call, exactly as it was stamped, and nothing that opens or adds."""

import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal

import pytest
from tests.exchange.conftest import LOOPBACK

from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.errors import ConfigurationError, NotSent, OutcomeUnknown, Reason, Refused
from accountsync.exchange import CcxtTrading, Venue, Venues
from accountsync.ports import NewOrder, Stamp
from accountsync.simulator import Account, AlgoStatus, Depth, Fault, Simulator
from accountsync.simulator import Side as Direction
from accountsync.simulator.journal import RequestRecord

BTC = "BTC/USDT:USDT"
D = Decimal
ID = "acsync-0123456789abcdef01234567"
Trade = Callable[..., CcxtTrading]


@pytest.fixture
async def trade(venue: Venue, sim: Simulator) -> AsyncIterator[Trade]:
    """`trade(account)`: the account with a fresh key that may trade."""
    opened: list[CcxtTrading] = []

    def open_account(account: Account, timeout: float = 5.0, **key: object) -> CcxtTrading:
        made = sim.world.create_key(account, permissions=key.get("permissions", {"read", "trade"}))  # type: ignore[arg-type]
        trading = CcxtTrading(venue, {"apiKey": made.api_key, "secret": made.secret}, timeout=timeout)
        opened.append(trading)
        return trading

    yield open_account
    for trading in opened:
        await trading.close()


@pytest.fixture
def holder(sim: Simulator) -> Account:
    """Long 0.4, with two orders and a stop."""
    account = sim.world.create_account("holder", wallet={"USDT": D(10_000)})
    sim.world.set_position(account, "BTCUSDT", D("0.4"))
    for number in (1, 2):
        sim.world.place_order(
            account,
            symbol="BTCUSDT",
            side=Direction.BUY,
            price=D(60_000),
            quantity=D("0.01"),
            client_order_id=f"grinder_{number}",
        )
    sim.world.algos.place(
        account,
        symbol="BTCUSDT",
        side=Direction.SELL,
        order_type="STOP_MARKET",
        quantity=D("0.4"),
        trigger_price=D(60_000),
        reduce_only=True,
        client_algo_id="grinder_stop",
    )
    return account


@pytest.fixture
def hedged(sim: Simulator) -> Account:
    """Long 0.4 and short 0.3."""
    account = sim.world.create_account("hedged", wallet={"USDT": D(10_000)}, hedge_mode=True)
    sim.world.set_position(account, "BTCUSDT", D("0.4"), position_side="LONG")
    sim.world.set_position(account, "BTCUSDT", D("-0.3"), position_side="SHORT")
    return account


def stamped(check: Callable[[], None] = lambda: None, *, late: int = 0, window: int = 5000) -> Stamp:
    return Stamp(int(time.time() * 1000) - late, window, check)


def closing(
    quantity: str = "0.4",
    *,
    side: Side = Side.SELL,
    leg: PositionSide = PositionSide.NET,
    price: str | None = "64000",
) -> NewOrder:
    return NewOrder(BTC, side, leg, D(quantity), None if price is None else D(price), ID)


def sent(sim: Simulator) -> list[RequestRecord]:
    """Every request that could have changed something."""
    return sim.requests.select(write=True)


# --- what is sent -------------------------------------------------------------------------------------------


async def test_a_limit_order_is_sent_as_it_was_stamped(sim: Simulator, holder: Account, trade: Trade) -> None:
    stamp = stamped(window=3210)
    order = await trade(holder).place(closing(), stamp)
    (record,) = sent(sim)
    assert (record.method, record.path) == ("POST", "/fapi/v1/order")
    assert dict(record.params) == {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "quantity": "0.4",
        "price": "64000",
        "timeInForce": "IOC",
        "reduceOnly": "true",
        "newClientOrderId": ID,
        "newOrderRespType": "RESULT",
        "timestamp": str(stamp.timestamp),
        "recvWindow": "3210",
    }
    assert (order.client_id, order.status, order.filled, order.reduce_only) == (ID, OrderStatus.FILLED, D("0.4"), True)
    assert holder.position("BTCUSDT").amount == 0


async def test_a_market_order_has_neither_price_nor_time_in_force(
    sim: Simulator, holder: Account, trade: Trade
) -> None:
    order = await trade(holder).place(closing(price=None), stamped())
    (record,) = sent(sim)
    assert record.params["type"] == "MARKET"
    assert not {"price", "timeInForce"} & record.params.keys()
    assert (order.status, order.price) == (OrderStatus.FILLED, None)


async def test_the_answer_tells_what_was_filled(sim: Simulator, holder: Account, trade: Trade) -> None:
    sim.world.books.set_depth("BTCUSDT", Depth(levels=1, quantity=D("0.1"), spacing=D(10)))
    order = await trade(holder).place(closing(), stamped())
    assert (order.status, order.filled) == (OrderStatus.EXPIRED, D("0.1"))


async def test_each_leg_of_hedge_mode_is_closed_from_the_other_side(
    sim: Simulator, hedged: Account, trade: Trade
) -> None:
    trading = trade(hedged)
    await trading.place(closing(leg=PositionSide.LONG), stamped())
    await trading.place(closing("0.3", side=Side.BUY, leg=PositionSide.SHORT, price="66000"), stamped())
    assert [(one.params["side"], one.params["positionSide"]) for one in sent(sim)] == [
        ("SELL", "LONG"),
        ("BUY", "SHORT"),
    ]
    assert not any("reduceOnly" in one.params for one in sent(sim)), "Binance refuses it there"
    assert not any(position.amount for position in hedged.positions.values())


@pytest.mark.parametrize(
    ("side", "bound", "price"),
    [
        (Side.SELL, "64000.01", "64000.1"),
        (Side.SELL, "64000.1", "64000.1"),
        (Side.BUY, "66000.09", "66000"),
        (Side.BUY, "66000.1000", "66000.1"),
    ],
)
async def test_a_price_is_rounded_so_that_no_worse_one_is_taken(
    sim: Simulator, holder: Account, trade: Trade, side: Side, bound: str, price: str
) -> None:
    sim.world.set_position(holder, "BTCUSDT", D("0.4") if side is Side.SELL else D("-0.4"))
    await trade(holder).place(closing(side=side, price=bound), stamped())
    assert sent(sim)[0].params["price"] == price


async def test_quantities_are_written_out(sim: Simulator, holder: Account, trade: Trade) -> None:
    sim.world.set_position(holder, "BTCUSDT", D(20))
    await trade(holder).place(closing("1E+1"), stamped())
    assert sent(sim)[0].params["quantity"] == "10"


async def test_an_order_is_cancelled_by_its_id_and_no_other(sim: Simulator, holder: Account, trade: Trade) -> None:
    first, second = holder.open_orders.values()
    stamp = stamped(window=1000)
    await trade(holder).cancel(symbol=BTC, order_id=str(first.order_id), conditional=False, stamp=stamp)
    assert list(holder.open_orders.values()) == [second]
    (record,) = sent(sim)
    assert (record.method, record.path) == ("DELETE", "/fapi/v1/order")
    assert dict(record.params) == {
        "symbol": "BTCUSDT",
        "orderId": str(first.order_id),
        "timestamp": str(stamp.timestamp),
        "recvWindow": "1000",
    }


async def test_a_conditional_order_is_cancelled_at_its_own_service(
    sim: Simulator, holder: Account, trade: Trade
) -> None:
    (stop,) = sim.world.algos.open_of(holder)
    stamp = stamped()
    await trade(holder).cancel(symbol=BTC, order_id=str(stop.algo_id), conditional=True, stamp=stamp)
    (record,) = sent(sim)
    assert (record.method, record.path, record.params["timestamp"]) == (
        "DELETE",
        "/fapi/v1/algoOrder",
        str(stamp.timestamp),
    )
    (ended,) = sim.world.algos.remembered(holder, "BTCUSDT")
    assert ended.status is AlgoStatus.CANCELED
    assert len(holder.open_orders) == 2


async def test_nothing_is_asked_beside_what_is_sent(sim: Simulator, holder: Account, trade: Trade) -> None:
    """Once the markets are known, a call is one request."""
    trading = trade(holder)
    await trading.venue.ready()
    before = len(sim.requests)
    await trading.place(closing(), stamped())
    assert len(sim.requests) == before + 1


# --- what is not sent ---------------------------------------------------------------------------------------


async def test_what_may_no_longer_act_sends_nothing(sim: Simulator, holder: Account, trade: Trade) -> None:
    def lost() -> None:
        raise NotSent("the account has another owner", Reason.INTERNAL)

    trading = trade(holder)
    order_id = str(next(iter(holder.open_orders.values())).order_id)
    for call in (
        trading.place(closing(), stamped(lost)),
        trading.cancel(symbol=BTC, order_id=order_id, conditional=False, stamp=stamped(lost)),
        trading.cancel(symbol=BTC, order_id="1", conditional=True, stamp=stamped(lost)),
    ):
        with pytest.raises(NotSent, match="the account has another owner"):
            await call
    assert sent(sim) == []
    await trading.place(closing(), stamped())


async def test_ownership_is_checked_once_and_after_signing(holder: Account, trade: Trade) -> None:
    """A signature that cannot be made never comes to the check."""
    checks: list[int] = []
    stamp = stamped(lambda: checks.append(1))
    await trade(holder).place(closing(), stamp)
    assert checks == [1]
    unable = CcxtTrading(trade(holder).venue, {"apiKey": "two\nlines", "secret": "s"})
    with pytest.raises(NotSent) as caught:
        await unable.place(closing(), stamp)
    assert (caught.value.reason, checks) == (Reason.CREDENTIALS_REJECTED, [1])


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (closing("0.0004"), "multiple of 0.001"),
        (closing("0"), "multiple of 0.001"),
        (closing("-0.4"), "multiple of 0.001"),
        (closing(side=Side.BUY, leg=PositionSide.LONG), "would add to the long leg"),
        (closing(leg=PositionSide.SHORT), "would add to the short leg"),
        (closing(side=Side.BUY, price="0.01"), "a price below the tick"),
    ],
)
async def test_what_does_not_fit_is_not_sent(
    sim: Simulator, holder: Account, trade: Trade, order: NewOrder, words: str
) -> None:
    with pytest.raises(NotSent, match=words):
        await trade(holder).place(order, stamped())
    assert sent(sim) == []


async def test_a_symbol_that_was_delisted_is_for_a_person(sim: Simulator, holder: Account, trade: Trade) -> None:
    with pytest.raises(NotSent, match="does not list it any more") as caught:
        await trade(holder).cancel(symbol="GONE/USDT:USDT", order_id="1", conditional=False, stamp=stamped())
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL
    assert sent(sim) == []


async def test_what_the_budget_lacks_is_not_sent(sim: Simulator, holder: Account, trade: Trade) -> None:
    trading = trade(holder)
    await trading.venue.ready()
    trading.venue.budget.limit = 1
    with pytest.raises(NotSent) as caught:
        await trading.cancel(symbol=BTC, order_id="1", conditional=False, stamp=stamped())
    assert caught.value.reason is Reason.RATE_LIMITED
    assert sent(sim) == []


async def test_while_the_exchange_wants_us_away_nothing_is_sent(sim: Simulator, holder: Account, trade: Trade) -> None:
    trading = trade(holder)
    await trading.venue.ready()
    trading.venue.budget.back_off(30)
    with pytest.raises(NotSent) as caught:
        await trading.place(closing(), stamped())
    assert caught.value.reason is Reason.RATE_LIMITED
    assert trading.venue.budget.away_for > 20
    assert sent(sim) == []


async def test_an_exchange_that_cannot_be_reached_was_sent_nothing() -> None:
    """The markets are known, and then it is gone."""
    async with Simulator(seed=2) as gone:
        venues = Venues(endpoints=LOOPBACK)
        venue = venues.get("binanceusdm", endpoint=gone.url)
        await venue.ready()
    trading = CcxtTrading(venue, {"apiKey": "k", "secret": "s"})
    checks: list[int] = []
    with pytest.raises(NotSent) as caught:
        await trading.place(closing(), stamped(lambda: checks.append(1)))
    assert (caught.value.reason, checks) == (Reason.EXCHANGE_UNREACHABLE, [])
    await venues.close()


async def test_without_markets_nothing_is_sent(venues: Venues) -> None:
    trading = CcxtTrading(venues.get("binanceusdm", endpoint="http://127.0.0.1:1"), {"apiKey": "k", "secret": "s"})
    with pytest.raises(NotSent) as caught:
        await trading.place(closing(), stamped())
    assert caught.value.reason is Reason.EXCHANGE_UNREACHABLE


async def test_a_key_that_was_forgotten_sends_nothing(sim: Simulator, holder: Account, trade: Trade) -> None:
    trading = trade(holder)
    await trading.close()
    with pytest.raises(NotSent, match="forgotten"):
        await trading.place(closing(), stamped())
    assert sent(sim) == []


async def test_what_the_exchange_requires_must_be_there(venue: Venue) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CcxtTrading(venue, {"apiKey": "k"})
    assert caught.value.reason is Reason.SECRET_KEY_MISSING


# --- late ---------------------------------------------------------------------------------------------------


async def test_a_late_request_is_refused_by_the_exchange(sim: Simulator, holder: Account, trade: Trade) -> None:
    with pytest.raises(Refused) as caught:
        await trade(holder).place(closing(), stamped(late=2000, window=1000))
    assert caught.value.reason is Reason.EXCHANGE_CLOCK_SKEW
    (record,) = sent(sim)
    assert (record.code, record.effect) == (-1021, False)


async def test_a_request_that_is_held_up_on_the_way_comes_to_nothing(
    sim: Simulator, holder: Account, trade: Trade
) -> None:
    await trade(holder).venue.ready()
    fault = sim.faults.add(Fault.late(method="POST", times=1))
    with pytest.raises(OutcomeUnknown):
        await trade(holder, timeout=0.3).place(closing(), stamped(late=4800, window=5000))
    sim.faults.clear(fault)
    other = trade(holder)
    await other.cancel(symbol=BTC, order_id=str(next(iter(holder.open_orders))[1]), conditional=False, stamp=stamped())
    assert [(one.method, one.code, one.effect) for one in sent(sim)] == [("POST", -1021, False), ("DELETE", 0, True)]
    assert holder.position("BTCUSDT").amount == D("0.4")

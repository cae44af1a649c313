"""The simulator's refusals and broken answers become the exceptions that ccxt raises for the real exchange's."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt.async_support as ccxt
import pytest

from accountsync.simulator import Account, ApiKey, Fault, Simulator

BTC = "BTC/USDT:USDT"
Connect = Callable[..., Any]


@pytest.fixture
async def exchange(connect: Connect, key: ApiKey) -> Any:
    made = connect(key)
    await made.load_markets()
    return made


async def test_a_read_only_key_cannot_place_an_order(exchange: Any, sim: Simulator, account: Account) -> None:
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        await exchange.create_order(BTC, "limit", "buy", 0.01, 60000)
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        await exchange.cancel_order("1", BTC)
    assert not account.orders
    assert sim.requests.total_of(write=True) == 2


async def test_a_trading_key_could_have(connect: Connect, trading_key: ApiKey, account: Account) -> None:
    exchange = connect(trading_key, number=Decimal)
    placed = await exchange.create_order(BTC, "limit", "buy", Decimal("0.01"), Decimal(60_000))
    (order,) = account.open_orders.values()
    assert placed["id"] == str(order.order_id)
    assert placed["clientOrderId"] == order.client_order_id
    assert placed["amount"] == order.orig_qty == Decimal("0.01")
    assert placed["price"] == order.price == 60_000
    assert (await exchange.cancel_order(placed["id"], BTC))["status"] == "canceled"
    assert not account.open_orders


async def test_an_unknown_key(exchange: Any, sim: Simulator, key: ApiKey) -> None:
    sim.world.revoke_key(key)
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        await exchange.fetch_balance()


async def test_a_rotated_key(connect: Connect, exchange: Any, sim: Simulator, key: ApiKey) -> None:
    fresh = sim.world.rotate_key(key)
    with pytest.raises(ccxt.AuthenticationError):
        await exchange.fetch_balance()
    assert (await connect(fresh).fetch_balance())["USDT"]["total"] == 10_000


async def test_a_wrong_secret(exchange: Any) -> None:
    exchange.secret = "not the secret"
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        await exchange.fetch_balance()


async def test_a_clock_that_is_off(exchange: Any, sim: Simulator) -> None:
    for skew in (60_000, -60_000):
        fault = sim.faults.add(Fault.clock_skew(skew))
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await exchange.fetch_balance()
        sim.faults.clear(fault)
    await exchange.fetch_balance()


async def test_an_unknown_order(exchange: Any) -> None:
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        await exchange.fetch_order("1", BTC)


async def test_an_unknown_algo_order(exchange: Any) -> None:
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        await exchange.fetch_order("1", BTC, {"trigger": True})


async def test_editing_without_permission_without_change_and_without_an_order(
    connect: Connect, exchange: Any, sim: Simulator, account: Account, trading_key: ApiKey
) -> None:
    order = sim.world.place_order(account, symbol="BTCUSDT", side="BUY", price=Decimal(60_000), quantity=Decimal(1))
    wanted = (str(order.order_id), BTC, "limit", "buy", 1, 60_000)
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        await exchange.edit_order(*wanted)
    trader = connect(trading_key)
    with pytest.raises(ccxt.ExchangeError, match="-5027"):
        await trader.edit_order(*wanted)
    sim.world.cancel(order)
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        await trader.edit_order(*wanted)


async def test_an_unknown_symbol(exchange: Any) -> None:
    with pytest.raises(ccxt.BadSymbol, match="-1121"):
        await exchange.fapiPrivateGetOpenOrders({"symbol": "NOPEUSDT"})


async def test_too_much_weight_and_then_a_ban(exchange: Any, sim: Simulator) -> None:
    sim.limits.weight_per_minute = 1
    sim.limits.refusals_before_ban = 1
    for status in ("429", "418", "418"):
        with pytest.raises(ccxt.DDoSProtection, match=status):
            await exchange.fetch_balance()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.http_error(500), ccxt.OperationFailed),
        (Fault.http_error(502), ccxt.OperationFailed),
        (Fault.http_error(503), ccxt.OperationFailed),
        (Fault.http_error(504), ccxt.RequestTimeout),
        (Fault.maintenance(), ccxt.OperationFailed),
        (Fault.overloaded(), ccxt.BaseError),
        (Fault.reset(), ccxt.NetworkError),
        (Fault.reset(midway=True), ccxt.ExchangeError),  # not a NetworkError, though the network it was
        (Fault.hang(), ccxt.RequestTimeout),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
async def test_answers_that_never_arrive_whole(
    exchange: Any, sim: Simulator, fault: Fault, error: type[Exception]
) -> None:
    exchange.timeout = 300
    sim.faults.add(fault)
    with pytest.raises(error):
        await exchange.fetch_balance()
    sim.faults.clear()
    exchange.timeout = 10_000
    assert (await exchange.fetch_balance())["USDT"]["total"] == 10_000


async def test_half_a_list_of_orders_is_not_a_list_of_half_the_orders(
    exchange: Any, sim: Simulator, account: Account
) -> None:
    sim.world.place_order(account, symbol="BTCUSDT", side="BUY", price=Decimal(60_000), quantity=Decimal(1))
    sim.faults.add(Fault.truncated())
    with pytest.raises((ccxt.BaseError, TypeError, AttributeError)):
        await exchange.fetch_open_orders()

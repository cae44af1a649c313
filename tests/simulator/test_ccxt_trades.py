"""An unmodified ccxt trades on the simulator: it places, closes and cancels, and raises what it should."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt.async_support as ccxt
import pytest

from accountsync.simulator import Account, AlgoStatus, ApiKey, Depth, Fault, Simulator

BTC = "BTC/USDT:USDT"
REAL = "https://fapi.binance.com/fapi/v1/order"
Connect = Callable[..., Any]
D = Decimal


def made_of(exchange: Any, code: int) -> type[Exception]:
    """What ccxt raises for `code` at the exchange's own address.

    It looks at the host's name: elsewhere some codes of the futures exchange become a plain ExchangeError.
    """
    tables = exchange.get_exceptions_by_url(REAL, "exact"), exchange.exceptions["exact"]
    found: type[Exception] = next(table[str(code)] for table in tables if str(code) in table)
    return found


@pytest.fixture
async def exchange(connect: Connect, trading_key: ApiKey) -> Any:
    made = connect(trading_key)
    await made.load_markets()
    return made


@pytest.fixture
def hedged(sim: Simulator) -> Account:
    """Long 0.4 and short 0.3."""
    account = sim.world.create_account("hedged", wallet={"USDT": D(10_000)}, hedge_mode=True)
    sim.world.set_position(account, "BTCUSDT", D("0.4"), position_side="LONG")
    sim.world.set_position(account, "BTCUSDT", D("-0.3"), position_side="SHORT")
    return account


@pytest.fixture
async def hedger(connect: Connect, sim: Simulator, hedged: Account) -> Any:
    return connect(sim.world.create_key(hedged, permissions={"read", "trade"}))


async def test_placing_and_cancelling(exchange: Any, account: Account) -> None:
    placed = await exchange.create_order(BTC, "limit", "buy", 0.01, 60_000, {"clientOrderId": "one"})
    assert (placed["status"], placed["clientOrderId"], placed["filled"]) == ("open", "one", 0)
    other = await exchange.create_order(BTC, "limit", "buy", 0.02, 61_000)
    assert [order["id"] for order in await exchange.fetch_open_orders(BTC)] == [placed["id"], other["id"]]
    assert (await exchange.cancel_order(placed["id"], BTC))["status"] == "canceled"
    cancelled = await exchange.cancel_order(None, BTC, {"clientOrderId": other["clientOrderId"]})
    assert cancelled["id"] == other["id"]
    assert not account.open_orders


async def test_cancelling_several_and_all(exchange: Any, account: Account) -> None:
    ids = [(await exchange.create_order(BTC, "limit", "buy", 0.01, 60_000))["id"] for _ in range(3)]
    assert [one["status"] for one in await exchange.cancel_orders(ids[:2], BTC)] == ["canceled", "canceled"]
    await exchange.cancel_orders(
        [], BTC, {"clientOrderIds": [next(iter(account.open_orders.values())).client_order_id]}
    )
    assert not account.open_orders
    await exchange.create_order(BTC, "limit", "buy", 0.01, 60_000)
    await exchange.create_order("ETH/USDT:USDT", "limit", "buy", 0.1, 3000)
    await exchange.cancel_all_orders(BTC)
    assert [order.symbol for order in account.open_orders.values()] == ["ETHUSDT"]


@pytest.mark.parametrize(("held", "side"), [("0.4", "sell"), ("-0.4", "buy")])
async def test_closing_at_the_market(exchange: Any, sim: Simulator, account: Account, held: str, side: str) -> None:
    sim.world.set_position(account, "BTCUSDT", D(held))
    closed = await exchange.create_order(BTC, "market", side, 0.4, None, {"reduceOnly": True})
    assert (closed["status"], closed["filled"], closed["reduceOnly"]) == ("closed", 0.4, True)
    assert account.position("BTCUSDT").amount == 0
    (fill,) = await exchange.fetch_my_trades(BTC)
    assert (fill["takerOrMaker"], fill["order"]) == ("taker", closed["id"])


async def test_closing_with_a_limit_that_takes_what_it_can(exchange: Any, sim: Simulator, account: Account) -> None:
    sim.world.set_position(account, "BTCUSDT", D("0.4"))
    sim.world.books.set_depth("BTCUSDT", Depth(levels=1, quantity=D("0.1"), spacing=D(10)))
    params = {"reduceOnly": True, "timeInForce": "IOC"}
    order = await exchange.create_order(BTC, "limit", "sell", 0.4, 64_800, params)
    assert (order["status"], order["filled"], order["average"]) == ("expired", 0.1, 64_990)
    assert account.position("BTCUSDT").amount == D("0.3")


async def test_closing_the_legs_of_hedge_mode(hedger: Any, hedged: Account) -> None:
    """`hedged` makes ccxt send the position side and leave out reduceOnly."""
    for side, amount in (("sell", 0.4), ("buy", 0.3)):
        order = await hedger.create_order(BTC, "market", side, amount, None, {"hedged": True, "reduceOnly": True})
        assert (order["status"], order["filled"]) == ("closed", amount)
    assert all(position.amount == 0 for position in hedged.positions.values())
    for wanted, code in (
        ({"positionSide": "LONG"}, -2022),
        ({}, -4061),
        ({"positionSide": "LONG", "reduceOnly": True}, -1106),
    ):
        with pytest.raises(ccxt.ExchangeError, match=str(code)):
            await hedger.create_order(BTC, "market", "sell", 0.1, None, wanted)


async def test_a_stop_is_placed_and_cancelled(exchange: Any, sim: Simulator, account: Account) -> None:
    sim.world.set_position(account, "BTCUSDT", D("0.4"))
    params = {"triggerPrice": 60_000, "reduceOnly": True, "clientOrderId": "stop"}
    stop = await exchange.create_order(BTC, "market", "sell", 0.4, None, params)
    assert (stop["status"], stop["clientOrderId"], stop["triggerPrice"]) == ("open", "stop", 60_000)
    (open_stop,) = await exchange.fetch_open_orders(BTC, params={"trigger": True})
    assert open_stop["id"] == stop["id"]
    await exchange.cancel_order(stop["id"], BTC, {"trigger": True})
    (algo,) = sim.world.algos.remembered(account, "BTCUSDT")
    assert algo.status is AlgoStatus.CANCELED
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        await exchange.cancel_order(stop["id"], BTC, {"trigger": True})


async def test_stops_that_close_a_position_and_trail(exchange: Any, sim: Simulator, account: Account) -> None:
    sim.world.set_position(account, "BTCUSDT", D("0.4"))
    await exchange.create_order(BTC, "market", "sell", None, None, {"stopLossPrice": 60_000, "closePosition": True})
    await exchange.create_order(BTC, "limit", "sell", 0.4, 69_900, {"takeProfitPrice": 70_000})
    await exchange.create_order(
        BTC, "market", "sell", 0.4, None, {"trailingPercent": 1, "trailingTriggerPrice": 66_000}
    )
    assert [algo.type.value for algo in sim.world.algos.open_of(account)] == [
        "STOP_MARKET",
        "TAKE_PROFIT",
        "TRAILING_STOP_MARKET",
    ]
    await exchange.cancel_all_orders(BTC, {"trigger": True})
    assert not sim.world.algos.open_of(account)
    assert made_of(exchange, -2021) is ccxt.OrderImmediatelyFillable
    with pytest.raises(ccxt.ExchangeError, match="-2021"):
        await exchange.create_order(BTC, "market", "sell", 0.4, None, {"stopLossPrice": 66_000})


async def test_the_book(exchange: Any) -> None:
    book = await exchange.fetch_order_book(BTC, 5)
    assert (len(book["bids"]), book["bids"][0][0], book["asks"][0][0]) == (5, 64_999.9, 65_000.1)
    assert (await exchange.fetch_bids_asks([BTC]))[BTC]["ask"] == 65_000.1


@pytest.mark.parametrize(
    ("wanted", "code", "error"),
    [
        (("limit", "buy", 4, 64_000, {}), -2019, ccxt.InsufficientFunds),
        (("limit", "buy", 0.1, 66_000, {"postOnly": True}), -5022, ccxt.OrderNotFillable),
        (("limit", "buy", 2, 65_000.1, {"timeInForce": "FOK"}), -5021, ccxt.OrderNotFillable),
        (("market", "sell", 0.1, None, {"reduceOnly": True}), -2022, ccxt.InvalidOrder),
        (("limit", "buy", 0.001, 64_000, {}), -4164, ccxt.InvalidOrder),
        (("limit", "buy", 0.1, 70_000, {}), -4016, ccxt.BadRequest),
        (("market", "buy", 0.1, None, {"positionSide": "LONG"}), -4061, ccxt.OperationRejected),
        (("market", "buy", 121, None, {}), -4005, ccxt.BadRequest),
    ],
)
async def test_refusals(
    exchange: Any, account: Account, wanted: tuple[Any, ...], code: int, error: type[Exception]
) -> None:
    assert made_of(exchange, code) is error
    with pytest.raises(ccxt.BaseError, match=f'"code":{code},'):
        await exchange.create_order(BTC, *wanted)
    assert not account.orders


async def test_a_client_id_that_is_taken(exchange: Any, account: Account) -> None:
    placed = await exchange.create_order(BTC, "limit", "buy", 0.01, 60_000, {"clientOrderId": "one"})
    assert made_of(exchange, -4116) is ccxt.InvalidOrder
    with pytest.raises(ccxt.ExchangeError, match="-4116"):
        await exchange.create_order(BTC, "limit", "buy", 0.01, 60_000, {"clientOrderId": "one"})
    await exchange.cancel_order(placed["id"], BTC)
    await exchange.create_order(BTC, "limit", "buy", 0.01, 60_000, {"clientOrderId": "one"})
    assert len(account.orders) == 2


async def test_cancelling_what_is_gone(exchange: Any) -> None:
    for cancelling in (exchange.cancel_order("1", BTC), exchange.cancel_orders(["1"], BTC)):
        with pytest.raises(ccxt.OrderNotFound, match="-2011"):
            await cancelling


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.unknown_outcome(executed=True, method="POST", times=1), ccxt.RequestTimeout),
        (Fault.http_error(503, executed=True, method="POST", times=1), ccxt.OperationFailed),
        (Fault.reset(method="POST", times=1), ccxt.NetworkError),
        (Fault.hang(method="POST", times=1), ccxt.RequestTimeout),
    ],
    ids=["unknown", "503", "reset", "hang"],
)
async def test_an_outcome_that_only_a_look_up_tells(
    exchange: Any, sim: Simulator, account: Account, fault: Fault, error: type[Exception]
) -> None:
    """ccxt asks once, whatever happens to the answer; the client id finds what became of the order."""
    exchange.timeout = 500
    sim.faults.add(fault)
    with pytest.raises(error):
        await exchange.create_order(BTC, "market", "buy", 0.1, None, {"clientOrderId": "one"})
    exchange.timeout = 10_000
    found = await exchange.fetch_order(None, BTC, {"clientOrderId": "one"})
    assert (found["status"], found["filled"]) == ("closed", 0.1)
    assert account.position("BTCUSDT").amount == D("0.1")
    assert len(sim.requests.select(client_id="one")) == 1


async def test_the_countdown(exchange: Any, sim: Simulator, account: Account) -> None:
    await exchange.create_order(BTC, "limit", "buy", 0.01, 60_000)
    await exchange.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 60_000})
    sim.world.advance_clock(60_000)
    assert not account.open_orders

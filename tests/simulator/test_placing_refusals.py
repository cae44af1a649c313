"""Every order that the exchange does not take, with the code that it gives; nothing is left behind by one."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.simulator.support import START_MS, Answer, Wire

from accountsync.simulator import DEFAULT_SYMBOLS, Account, Depth, Simulator

LIMIT = {"price": "64000"}
TEN_MINUTES = 600_000


async def refused(wire: Wire, account: Account, changes: dict[str, Any]) -> Answer:
    before = list(account.orders)
    answer = await wire.order(**changes)
    assert answer.status == 400, answer.body
    assert list(account.orders) == before
    assert not wire.sim.requests[-1].effect
    return answer


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        # what is missing or cannot be read
        ({"symbol": None}, -1102),
        ({"symbol": "NOPEUSDT"}, -1121),
        ({"side": None}, -1102),
        ({"side": "HOLD"}, -1117),
        ({"type": None}, -1102),
        ({"type": "NOPE"}, -1116),
        ({"quantity": None}, -1102),
        ({"quantity": "Infinity"}, -1102),
        ({"type": "LIMIT", "timeInForce": "GTC"}, -1102),
        ({**LIMIT, "timeInForce": None}, -1102),
        ({**LIMIT, "timeInForce": "SOON"}, -1115),
        ({**LIMIT, "timeInForce": "GTD"}, -1102),
        ({**LIMIT, "timeInForce": "GTD", "goodTillDate": START_MS + TEN_MINUTES}, -5040),
        ({"newOrderRespType": "FULL"}, -1136),
        ({"reduceOnly": "perhaps"}, -1130),
        ({"newClientOrderId": "not one"}, -4015),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"selfTradePreventionMode": "WHATEVER"}, -5039),
        # what does not go together
        ({"timeInForce": "GTC"}, -1106),
        ({"type": "MARKET", "price": "64000", "timeInForce": None}, -1106),
        ({"stopPrice": "60000"}, -1106),
        ({"closePosition": "true"}, -4136),
        *(({"type": kind}, -4120) for kind in ("STOP", "STOP_MARKET", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")),
        # position mode
        ({"positionSide": "LONG"}, -4061),
        ({"positionSide": "UP"}, -4060),
        # price
        ({"price": "0"}, -4001),
        ({"price": "4000000.1"}, -4002),
        ({"price": "64000.05"}, -4014),
        ({"price": "64000.001"}, -1111),
        ({"price": "68250.1"}, -4016),
        ({"side": "SELL", "price": "61749.9"}, -4024),
        # quantity
        ({"quantity": "0"}, -4003),
        ({"quantity": "-1"}, -4003),
        ({"quantity": "0.0001"}, -1111),
        ({**LIMIT, "quantity": "1000.001"}, -4005),
        ({"quantity": "120.001"}, -4005),
        ({"quantity": "0.001"}, -4164),
        ({"price": "50000", "quantity": "0.001"}, -4164),
        # what the account cannot bear
        ({**LIMIT, "quantity": "4"}, -2019),
        ({"quantity": "4"}, -2019),
        ({"reduceOnly": "true"}, -2022),
        ({"side": "SELL", "reduceOnly": "true", **LIMIT}, -2022),
        # what its own type forbids
        ({"price": "65100", "timeInForce": "GTX"}, -5022),
        ({"price": "65000.1", "timeInForce": "FOK", "quantity": "2"}, -5021),
        ({"priceMatch": "QUEUE"}, -1020),
    ],
)
async def test_what_the_exchange_does_not_take(
    wire: Wire, wire_account: Account, changes: dict[str, Any], code: int
) -> None:
    assert (await refused(wire, wire_account, changes)).code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, -4061),
        ({"positionSide": "BOTH"}, -4061),
        ({"positionSide": "LONG", "reduceOnly": "true"}, -1106),
        ({"positionSide": "LONG", "reduceOnly": "false"}, -1106),
        ({"positionSide": "LONG", "side": "SELL"}, -2022),
        ({"positionSide": "SHORT", "side": "BUY", "quantity": "0.501"}, -2022),
        ({"positionSide": "SHORT", "side": "BUY", "quantity": "0.501", **LIMIT}, -2022),
    ],
)
async def test_what_hedge_mode_does_not_take(wire: Wire, changes: dict[str, Any], code: int) -> None:
    world = wire.sim.world
    account = world.create_account("hedged", wallet={"USDT": Decimal(10_000)}, hedge_mode=True)
    world.set_position(account, "BTCUSDT", Decimal("-0.5"), position_side="SHORT")
    hedged = Wire(wire.sim, wire.session, world.create_key(account, permissions={"trade"}))
    assert (await refused(hedged, account, changes)).code == code


async def test_a_step_that_is_larger_than_the_digits(wire: Wire) -> None:
    """With the default contracts the digits alone say it all."""
    coarse = replace(DEFAULT_SYMBOLS[0], step_size=Decimal("0.005"))
    async with Simulator(seed=1, symbols=[coarse]) as sim:
        account = sim.world.create_account("a", wallet={"USDT": Decimal(10_000)})
        trader = Wire(sim, wire.session, sim.world.create_key(account, permissions={"trade"}))
        assert (await refused(trader, account, {"quantity": "0.002", **LIMIT})).code == -4004
        assert (await refused(trader, account, {"quantity": "0.012", **LIMIT})).code == -4023


async def test_the_words_of_the_exchange(wire: Wire, wire_account: Account) -> None:
    async def words(**changes: Any) -> str:
        said: str = (await refused(wire, wire_account, changes)).json["msg"]
        return said

    assert (
        await words(quantity="0.001") == "Order's notional must be no smaller than 100 (unless you choose reduce only)."
    )
    assert await words(reduceOnly="true") == "ReduceOnly Order is rejected."
    assert await words(price="70000") == "Limit price can't be higher than 68250.00."
    assert await words(price="66000", timeInForce="GTX") == (
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history"
    )


@pytest.mark.parametrize("side", ["BUY", "SELL"])
async def test_a_market_order_without_a_price_near_the_mark(wire: Wire, wire_account: Account, side: str) -> None:
    books = wire.sim.world.books
    for depth in (
        Depth(levels=3, quantity=Decimal(1), spacing=Decimal(4000)),
        Depth(levels=0, quantity=Decimal(1), spacing=Decimal(1)),
    ):
        books.set_depth("BTCUSDT", depth)
        assert (await refused(wire, wire_account, {"side": side})).code == -4131


async def test_two_hundred_open_orders_are_enough(wire: Wire, wire_account: Account) -> None:
    for _ in range(199):
        wire.sim.world.place_order(
            wire_account, symbol="BTCUSDT", side="BUY", price=Decimal(10_000), quantity=Decimal("0.01")
        )
    assert (await wire.order(price="10000", quantity="0.01")).status == 200
    assert (await refused(wire, wire_account, {"price": "10000", "quantity": "0.01"})).code == -2025
    assert (await wire.order(symbol="ETHUSDT", quantity="0.1")).status == 200


async def test_a_client_id_is_unique_among_open_orders_only(wire: Wire, wire_account: Account) -> None:
    """The trap: a retry under the same id after the first order has ended is another order."""
    first = await wire.order(newClientOrderId="mine", price="64000")
    assert (await refused(wire, wire_account, {"newClientOrderId": "mine"})).code == -4116
    other = await wire.order(newClientOrderId="mine", symbol="ETHUSDT", quantity="0.1")
    assert other.status == 200
    wire.sim.world.cancel(wire_account.orders["BTCUSDT", first.json["orderId"]])
    filled = [await wire.order(newClientOrderId="mine") for _ in range(2)]
    assert [answer.status for answer in filled] == [200, 200]
    assert wire_account.position("BTCUSDT").amount == Decimal("0.2")
    found = await wire.get("/fapi/v1/order", "symbol=BTCUSDT&origClientOrderId=mine")
    assert found.json["orderId"] == filled[1].json["orderId"]


async def test_a_key_that_may_only_read(wire: Wire, wire_account: Account) -> None:
    reader = Wire(wire.sim, wire.session, wire.sim.world.create_key(wire_account, permissions={"read"}))
    answer = await reader.order()
    assert (answer.status, answer.code) == (401, -2015)
    assert not wire_account.orders


async def test_an_order_that_comes_too_late(wire: Wire, wire_account: Account) -> None:
    order = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1&recvWindow=1000"
    for age, status in ((1000, 200), (1001, 400)):
        query = wire.signed(order, timestamp=START_MS - age)
        assert (await wire.send("POST", "/fapi/v1/order", query)).status == status
    assert wire.sim.requests[-1].code == -1021
    assert len(wire_account.orders) == 1

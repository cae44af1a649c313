"""Conditional orders placed and cancelled through the API."""

from decimal import Decimal
from typing import Any

import pytest
from tests.simulator.support import Answer, Wire, conditional

from accountsync.simulator import Account, AlgoStatus, OrderStatus

ALGO, ALL = "/fapi/v1/algoOrder", "/fapi/v1/algoOpenOrders"
STOP = {"side": "SELL", "type": "STOP_MARKET", "triggerPrice": "60000", "quantity": "0.1"}


async def place(wire: Wire, **changes: Any) -> Answer:
    """A stop that sells 0.1 from 60000 down; a parameter that is None is not sent."""
    wanted = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", **STOP} | changes
    return await wire.call("POST", ALGO, **{name: value for name, value in wanted.items() if value is not None})


TRAILING = {"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "1"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"algoType": None}, -1102),
        ({"algoType": "VP"}, -1130),
        ({"symbol": "NOPEUSDT"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "MARKET"}, -1116),
        ({"triggerPrice": None}, -1102),
        ({"triggerPrice": "0"}, -4006),
        ({"triggerPrice": "5000000"}, -4007),
        ({"triggerPrice": "60000.05"}, -4014),
        ({"triggerPrice": "60000.001"}, -1111),
        ({"triggerPrice": "65000"}, -2021),
        ({"triggerPrice": "60000", "side": "BUY"}, -2021),
        ({"triggerPrice": "64000", "type": "TAKE_PROFIT_MARKET"}, -2021),
        ({"quantity": None}, -1102),
        ({"quantity": "0.001"}, -4164),
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "121"}, -4005),
        ({"price": "60000"}, -1106),
        ({"type": "STOP"}, -1102),
        ({"type": "STOP", "price": "0"}, -4001),
        ({"workingType": "LAST"}, -4031),
        ({"timeInForce": "GTE_GTC"}, -1115),
        ({"clientAlgoId": "not one"}, -4015),
        ({"positionSide": "LONG"}, -4061),
        ({"closePosition": "true"}, -4137),
        ({"closePosition": "true", "quantity": None}, -4509),
        ({"closePosition": "true", "quantity": None, "reduceOnly": "true"}, -1106),
        ({"closePosition": "true", "quantity": None, "type": "STOP", "price": "1"}, -4136),
        ({**TRAILING, "callbackRate": None}, -1102),
        ({**TRAILING, "callbackRate": "0.01"}, -2007),
        ({**TRAILING, "activatePrice": "64000"}, -2021),
        ({**TRAILING, "triggerPrice": "64000"}, -1106),
        ({"callbackRate": "1"}, -1106),
    ],
)
async def test_what_the_exchange_does_not_take(
    wire: Wire, wire_account: Account, changes: dict[str, Any], code: int
) -> None:
    answer = await place(wire, **changes)
    assert (answer.status, answer.code) == (400, code)
    assert not wire.sim.world.algos.open_of(wire_account)
    assert not wire.sim.requests[-1].effect


async def test_hedge_mode_closes_by_the_position_side(wire: Wire) -> None:
    world = wire.sim.world
    account = world.create_account("hedged", wallet={"USDT": Decimal(10_000)}, hedge_mode=True)
    world.set_position(account, "BTCUSDT", Decimal("0.5"), position_side="LONG")
    hedged = Wire(wire.sim, wire.session, world.create_key(account, permissions={"trade"}))
    closing = {"closePosition": "true", "quantity": None}
    assert (await place(hedged)).code == -4061
    assert (await place(hedged, positionSide="LONG", reduceOnly="true")).code == -1106
    assert (await place(hedged, positionSide="SHORT", **closing)).code == -2022
    assert (await place(hedged, positionSide="LONG", **closing)).json["closePosition"] is True
    world.set_mark_price("BTCUSDT", Decimal(59_000))
    assert account.position("BTCUSDT", account.position_sides[0]).amount == 0


async def test_a_stop_waits_and_closes(wire: Wire, wire_account: Account) -> None:
    world = wire.sim.world
    world.set_position(wire_account, "BTCUSDT", Decimal("0.4"))
    answer = (await place(wire, clientAlgoId="stop", reduceOnly="true", workingType="MARK_PRICE")).json
    assert (answer["algoStatus"], answer["reduceOnly"], answer["workingType"]) == ("NEW", True, "MARK_PRICE")
    assert wire.sim.requests[-1].effect
    (row,) = (await wire.get("/fapi/v1/openAlgoOrders")).json
    assert (row["algoId"], row["triggerPrice"]) == (answer["algoId"], "60000.00")
    world.set_mark_price("BTCUSDT", Decimal(60_000))
    assert wire_account.position("BTCUSDT").amount == Decimal("0.3")
    (child,) = wire_account.orders.values()
    assert (child.client_order_id, child.status) == ("stop", OrderStatus.FILLED)


async def test_every_type_can_be_placed(wire: Wire, wire_account: Account) -> None:
    wire.sim.world.set_position(wire_account, "BTCUSDT", Decimal("0.4"))
    for changes in (
        {},
        {"closePosition": "true", "quantity": None},
        {"type": "STOP", "price": "59900", "timeInForce": "IOC"},
        {"type": "TAKE_PROFIT", "triggerPrice": "70000", "price": "69900"},
        {"type": "TAKE_PROFIT_MARKET", "triggerPrice": "70000", "priceProtect": "TRUE"},
        {**TRAILING, "activatePrice": "66000"},
        TRAILING,
        {"quantity": "0.001", "reduceOnly": "true"},
    ):
        assert (await place(wire, **changes)).status == 200
    assert len((await wire.get("/fapi/v1/openAlgoOrders")).json) == 8


async def test_a_client_id_may_be_used_again_once_free(wire: Wire) -> None:
    first = await place(wire, clientAlgoId="stop")
    assert (await place(wire, clientAlgoId="stop")).code == -4116
    await wire.call("DELETE", ALGO, clientAlgoId="stop")
    second = await place(wire, clientAlgoId="stop")
    found = (await wire.get(ALGO, "clientAlgoId=stop")).json
    assert found["algoId"] == second.json["algoId"] != first.json["algoId"]


@pytest.mark.parametrize("by", ["algoId", "clientAlgoId", "algoid", "clientalgoid"])
async def test_cancelling_one(wire: Wire, wire_account: Account, by: str) -> None:
    world = wire.sim.world
    stop, other = conditional(world, wire_account, client_algo_id="stop"), conditional(world, wire_account)
    wanted = {by: stop.algo_id if by.lower() == "algoid" else "stop"}
    answer = await wire.call("DELETE", ALGO, **wanted)
    assert answer.json == {"algoId": stop.algo_id, "clientAlgoId": "stop", "code": "200", "msg": "success"}
    assert world.algos.open_of(wire_account) == [other]
    assert world.algos.current(stop).status is AlgoStatus.CANCELED
    assert (await wire.call("DELETE", ALGO, **wanted)).code == -2011


async def test_what_does_not_wait_cannot_be_cancelled(wire: Wire, wire_account: Account) -> None:
    wire.sim.world.algos.trigger(conditional(wire.sim.world, wire_account, client_algo_id="stop"))
    assert (await wire.call("DELETE", ALGO, clientAlgoId="stop")).code == -2011
    assert (await wire.call("DELETE", ALGO, algoId=1)).code == -2011
    assert (await wire.call("DELETE", ALGO)).code == -1102


async def test_cancelling_all_of_a_symbol(wire: Wire, wire_account: Account) -> None:
    world = wire.sim.world
    conditional(world, wire_account)
    conditional(world, wire_account)
    other = conditional(world, wire_account, symbol="ETHUSDT", trigger_price="3000")
    world.place_order(wire_account, symbol="BTCUSDT", side="BUY", price=Decimal(60_000), quantity=Decimal(1))
    assert (await wire.call("DELETE", ALL, symbol="BTCUSDT")).json["code"] == 200
    assert world.algos.open_of(wire_account) == [other]
    assert len(wire_account.open_orders) == 1
    assert (await wire.call("DELETE", ALL)).code == -1102

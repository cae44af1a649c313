"""Orders that are taken off the book: one, several, all of a symbol, and by a countdown that nobody renewed."""

from decimal import Decimal
from typing import Any

import pytest
from tests.simulator.support import START_MS, Answer, StillClock, Wire, conditional

from accountsync.simulator import Account, Order, OrderStatus

ORDER, ALL, SEVERAL, COUNTDOWN = (
    f"/fapi/v1/{name}" for name in ("order", "allOpenOrders", "batchOrders", "countdownCancelAll")
)


def place(wire: Wire, client_order_id: str, **changes: Any) -> Order:
    world = wire.sim.world
    wanted: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "price": Decimal(60_000),
        "quantity": Decimal("0.01"),
    } | changes
    return world.place_order(world.account("grid-btc"), client_order_id=client_order_id, **wanted)


async def delete(wire: Wire, path: str, **params: object) -> Answer:
    return await wire.call("DELETE", path, **{"symbol": "BTCUSDT"} | params)


def names(account: Account) -> list[str]:
    return [order.client_order_id for order in account.open_orders.values()]


@pytest.mark.parametrize("by", ["orderId", "origClientOrderId"])
async def test_one(wire: Wire, wire_account: Account, by: str) -> None:
    order, _ = place(wire, "one"), place(wire, "two")
    answer = await delete(wire, ORDER, **{by: order.order_id if by == "orderId" else "one"})
    assert (answer.json["orderId"], answer.json["status"]) == (order.order_id, "CANCELED")
    assert names(wire_account) == ["two"]


async def test_what_is_not_open_cannot_be_cancelled(wire: Wire) -> None:
    filled, cancelled = place(wire, "filled"), place(wire, "cancelled")
    wire.sim.world.fill(filled)
    wire.sim.world.cancel(cancelled)
    for name in ("filled", "cancelled", "never"):
        assert (await delete(wire, ORDER, origClientOrderId=name)).code == -2011
    assert (await delete(wire, ORDER, orderId=filled.order_id, symbol="ETHUSDT")).code == -2011
    assert (await delete(wire, ORDER)).code == -1102
    assert not any(record.effect for record in wire.sim.requests)


async def test_a_name_used_again_cancels_the_newer(wire: Wire) -> None:
    older = place(wire, "mine")
    wire.sim.world.cancel(older)
    newer = place(wire, "mine")
    assert (await delete(wire, ORDER, origClientOrderId="mine")).json["orderId"] == newer.order_id


async def test_all_of_a_symbol(wire: Wire, wire_account: Account) -> None:
    place(wire, "one")
    part = wire.sim.world.fill(place(wire, "part"), quantity=Decimal("0.004"))
    place(wire, "other", symbol="ETHUSDT", price=Decimal(3000), quantity=Decimal(1))
    conditional(wire.sim.world, wire_account)
    answer = await delete(wire, ALL)
    assert answer.json == {"code": 200, "msg": "The operation of cancel all open order is done."}
    assert names(wire_account) == ["other"]
    assert wire.sim.world.current(part).status is OrderStatus.CANCELED
    assert wire.sim.world.current(part).executed_qty == Decimal("0.004")
    assert len(wire.sim.world.algos.open_of(wire_account)) == 1
    assert wire.sim.requests[-1].effect
    assert (await delete(wire, ALL)).status == 200
    assert not wire.sim.requests[-1].effect


async def test_several_at_once(wire: Wire, wire_account: Account) -> None:
    orders = [place(wire, name) for name in ("one", "two", "three")]
    answer = await delete(wire, SEVERAL, orderIdList=f"[{orders[0].order_id},7,{orders[1].order_id}]")
    assert [row.get("clientOrderId") or row["code"] for row in answer.json] == ["one", -2011, "two"]
    answer = await delete(wire, SEVERAL, origClientOrderIdList='["three","three"]')
    assert [row.get("status") or row["code"] for row in answer.json] == ["CANCELED", -2011]
    assert not wire_account.open_orders


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, -1102),
        ({"orderIdList": "[1"}, -1102),
        ({"orderIdList": "{}"}, -1102),
        ({"orderIdList": '["x"]'}, -1102),
        ({"orderIdList": str(list(range(11)))}, -4032),
    ],
)
async def test_a_list_that_is_none(wire: Wire, params: dict[str, str], code: int) -> None:
    assert (await delete(wire, SEVERAL, **params)).code == code


async def count_down(wire: Wire, milliseconds: int, symbol: str = "BTCUSDT") -> Answer:
    return await wire.call("POST", COUNTDOWN, symbol=symbol, countdownTime=milliseconds)


async def test_a_countdown_that_runs_out(wire: Wire, wire_account: Account) -> None:
    world = wire.sim.world
    order = place(wire, "one")
    place(wire, "other", symbol="ETHUSDT", price=Decimal(3000), quantity=Decimal(1))
    conditional(world, wire_account)
    answer = await count_down(wire, 10_000)
    assert answer.json == {"symbol": "BTCUSDT", "countdownTime": "10000"}
    assert wire.sim.requests[-1].weight == 10
    world.advance_clock(9999)
    assert names(wire_account) == ["one", "other"]
    world.advance_clock(5000)
    assert names(wire_account) == ["other"]
    ended = world.current(order)
    assert (ended.status, ended.update_time) == (OrderStatus.CANCELED, START_MS + 10_000)
    assert len(world.algos.open_of(wire_account)) == 1
    place(wire, "later")
    world.advance_clock(60_000)
    assert names(wire_account) == ["other", "later"]


async def test_a_countdown_runs_while_nobody_looks(wire: Wire, clock: StillClock) -> None:
    """It ends when the next call comes, dated at its own moment; what was placed after that stays."""
    place(wire, "one")
    await count_down(wire, 1000)
    clock.now += 5000
    place(wire, "later")
    assert [row["clientOrderId"] for row in (await wire.get("/fapi/v1/openOrders")).json] == ["later"]


async def test_a_countdown_is_renewed_and_stopped(wire: Wire, wire_account: Account) -> None:
    world = wire.sim.world
    place(wire, "one")
    for _ in range(3):
        await count_down(wire, 10_000)
        world.advance_clock(8000)
    await count_down(wire, 0)
    world.advance_clock(60_000)
    assert names(wire_account) == ["one"]
    assert (await wire.call("POST", COUNTDOWN, symbol="BTCUSDT")).code == -1102
    assert (await wire.call("POST", COUNTDOWN, symbol="BTCUSDT", countdownTime="-1")).code == -1102


async def test_a_countdown_is_the_accounts_own(wire: Wire) -> None:
    world = wire.sim.world
    other = world.create_account("other", wallet={"USDT": Decimal(1000)})
    world.place_order(other, symbol="BTCUSDT", side="BUY", price=Decimal(60_000), quantity=Decimal("0.01"))
    await count_down(wire, 1000)
    world.advance_clock(2000)
    assert len(other.open_orders) == 1


@pytest.mark.parametrize(
    ("method", "path", "weight"),
    [
        ("POST", ORDER, 0),
        ("DELETE", ORDER, 1),
        ("DELETE", ALL, 1),
        ("DELETE", SEVERAL, 1),
        ("POST", COUNTDOWN, 10),
        ("POST", "/fapi/v1/algoOrder", 0),
        ("DELETE", "/fapi/v1/algoOrder", 1),
        ("DELETE", "/fapi/v1/algoOpenOrders", 1),
    ],
)
async def test_each_call_has_its_weight_and_needs_a_key_that_may_trade(
    wire: Wire, wire_account: Account, method: str, path: str, weight: int
) -> None:
    assert (await wire.call(method, path)).used_weight == weight
    reader = Wire(wire.sim, wire.session, wire.sim.world.create_key(wire_account, permissions={"read"}))
    assert (await reader.call(method, path, symbol="BTCUSDT")).code == -2015
    assert [record.write for record in wire.sim.requests] == [True, True]

"""Orders that change while they rest: amended under their own id, or replaced by another under the same name."""

from decimal import Decimal
from typing import Any

import pytest
from tests.simulator.support import START_MS, Answer, StillClock, Wire

from accountsync.simulator import Account, Order, OrderStatus, WorldError

BTC = "symbol=BTCUSDT"
DAY = 86_400_000


@pytest.fixture
def order(wire: Wire, wire_account: Account) -> Order:
    return place(wire, wire_account)


def place(wire: Wire, account: Account, **changes: Any) -> Order:
    wanted: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "price": Decimal(60_000), "quantity": Decimal("0.5")}
    return wire.sim.world.place_order(account, **({"client_order_id": "web_1"} | wanted | changes))


async def put(wire: Wire, params: str) -> Answer:
    return await wire.send("PUT", "/fapi/v1/order", wire.signed(f"{BTC}&{params}"))


async def test_amending_keeps_the_id(wire: Wire, wire_account: Account, order: Order, clock: StillClock) -> None:
    other = place(wire, wire_account, client_order_id="web_2")
    clock.now += 9
    answer = await put(wire, f"orderId={order.order_id}&side=BUY&quantity=0.4&price=61000.1")
    assert answer.json["orderId"] == order.order_id
    changed = wire.sim.world.current(order)
    assert (changed.price, changed.orig_qty) == (Decimal("61000.1"), Decimal("0.4"))
    assert (changed.time, changed.update_time, changed.status) == (START_MS, START_MS + 9, OrderStatus.NEW)
    assert "modifyId" not in answer.json
    listed = (await wire.get("/fapi/v1/openOrders")).json
    assert [row["orderId"] for row in listed] == [order.order_id, other.order_id]
    assert listed[0]["price"] == answer.json["price"] == "61000.10"


async def test_what_is_filled_stays_filled(wire: Wire, order: Order) -> None:
    wire.sim.world.fill(order, quantity=Decimal("0.2"))
    answer = await put(wire, "origClientOrderId=web_1&side=BUY&quantity=0.3&price=60000")
    assert (answer.json["status"], answer.json["executedQty"]) == ("PARTIALLY_FILLED", "0.200")
    assert wire.sim.world.fill(order).executed_qty == Decimal("0.3")


@pytest.mark.parametrize("quantity", ["0.2", "0.1"])
async def test_no_more_than_is_filled_cancels(wire: Wire, order: Order, quantity: str) -> None:
    wire.sim.world.fill(order, quantity=Decimal("0.2"))
    answer = await put(wire, f"origClientOrderId=web_1&side=BUY&quantity={quantity}&price=60000")
    assert (answer.status, answer.json["status"]) == (200, "CANCELED")
    assert wire.sim.world.current(order).orig_qty == Decimal("0.5")
    assert (await wire.get("/fapi/v1/orderAmendment", f"{BTC}&orderId={order.order_id}")).json == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ("side=BUY&quantity=0.4&price=60000", -1102),
        ("orderId=one&side=BUY&quantity=0.4&price=60000", -1102),
        ("origClientOrderId=web_1&quantity=0.4&price=60000", -1102),
        ("origClientOrderId=web_1&side=BUY&quantity=0.4", -1102),
        ("origClientOrderId=web_1&side=BUY&price=60000", -1102),
        ("origClientOrderId=web_1&side=BUY&price=60000&quantity=much", -1102),
        ("origClientOrderId=web_1&side=BUY&price=60000&quantity=0.4&modifyId=x", -1102),
        ("origClientOrderId=never&side=BUY&quantity=0.4&price=60000", -2013),
        ("origClientOrderId=gone&side=BUY&quantity=0.4&price=60000", -2013),
        ("origClientOrderId=web_1&side=UP&quantity=0.4&price=60000", -1117),
        ("origClientOrderId=web_1&side=SELL&quantity=0.4&price=60000", -1117),
        ("origClientOrderId=web_1&side=BUY&quantity=0.4&price=60000&priceMatch=QUEUE", -1020),
        ("origClientOrderId=web_1&side=BUY&quantity=0.4&price=-1", -4001),
        ("origClientOrderId=web_1&side=BUY&quantity=0.4&price=5000000", -4002),
        ("origClientOrderId=web_1&side=BUY&quantity=0&price=60000", -4003),
        ("origClientOrderId=web_1&side=BUY&quantity=1001&price=60000", -4005),
        ("origClientOrderId=web_1&side=BUY&quantity=0.4&price=60000.01", -4014),
        ("origClientOrderId=web_1&side=BUY&quantity=0.4001&price=60000", -1111),
        ("origClientOrderId=web_1&side=BUY&quantity=0.001&price=60000", -5029),
        ("origClientOrderId=web_1&side=BUY&quantity=0.5&price=60000", -5027),
        ("origClientOrderId=web_1&side=BUY&quantity=500&price=60000", -2019),
    ],
)
async def test_what_cannot_be_amended(wire: Wire, wire_account: Account, order: Order, params: str, code: int) -> None:
    wire.sim.world.cancel(place(wire, wire_account, client_order_id="gone"))
    answer = await put(wire, params)
    assert (answer.status, answer.code) == (400, code)
    assert wire.sim.world.current(order) == order


async def test_ten_thousand_amendments_and_no_more(wire: Wire, order: Order) -> None:
    for step in range(10_000):
        wire.sim.world.amend(order, price=Decimal(60_001 + step % 2))
    assert (await put(wire, "origClientOrderId=web_1&side=BUY&quantity=0.4&price=60000")).code == -5026


async def test_a_read_only_key_amends_nothing(wire: Wire, wire_account: Account, order: Order) -> None:
    reader = Wire(wire.sim, wire.session, wire.sim.world.create_key(wire_account))
    answer = await put(reader, "origClientOrderId=web_1&side=BUY&quantity=0.4&price=60000")
    assert (answer.status, answer.code) == (401, -2015)
    assert wire.sim.world.current(order) == order
    assert wire.sim.requests[-1].write


async def test_past_amendments_are_told_newest_first(
    wire: Wire, wire_account: Account, order: Order, clock: StillClock
) -> None:
    for price in (61_000, 62_000, 63_000):
        clock.now += 1000
        wire.sim.world.amend(order, price=Decimal(price))
    wire.sim.world.amend(place(wire, wire_account, client_order_id="web_2"), quantity=Decimal(1))

    async def counts(params: str) -> list[int]:
        rows = (await wire.get("/fapi/v1/orderAmendment", f"{BTC}&{params}")).json
        return [row["amendment"]["count"] for row in rows]

    mine = f"orderId={order.order_id}"
    assert await counts(mine) == await counts("origClientOrderId=web_1") == [3, 2, 1]
    assert await counts(f"{mine}&limit=1") == [3]
    assert await counts(f"{mine}&startTime={START_MS + 2000}") == [3, 2]
    assert await counts(f"{mine}&endTime={START_MS + 2000}") == [2, 1]
    (row, *_) = (await wire.get("/fapi/v1/orderAmendment", f"{BTC}&{mine}")).json
    assert row["amendment"]["price"] == {"before": "62000.00", "after": "63000.00"}
    assert await counts("orderId=1") == []
    clock.now += 90 * DAY
    assert await counts(mine) == [3]
    clock.now += 1
    assert await counts(mine) == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ("orderId=1", -1102),
        (BTC, -1102),
        (f"{BTC}&orderId=one", -1102),
        ("symbol=NOPEUSDT&orderId=1", -1121),
        (f"{BTC}&orderId=1&limit=101", -1130),
        (f"{BTC}&orderId=1&limit=0", -1130),
        (f"{BTC}&orderId=1&startTime=2&endTime=1", -1023),
    ],
)
async def test_bad_questions(wire: Wire, params: str, code: int) -> None:
    assert (await wire.get("/fapi/v1/orderAmendment", params)).code == code


def test_a_replacement_takes_over_the_name(wire: Wire, wire_account: Account, order: Order) -> None:
    world = wire.sim.world
    part = world.fill(order, quantity=Decimal("0.2"))
    fresh = world.replace(part, price=Decimal(59_000))
    assert world.current(order).status is OrderStatus.CANCELED
    assert list(wire_account.open_orders.values()) == [fresh]
    assert fresh.order_id == order.order_id + 1
    assert (fresh.client_order_id, fresh.price, fresh.orig_qty) == ("web_1", Decimal(59_000), Decimal("0.3"))
    assert fresh.status is OrderStatus.NEW
    assert fresh.executed_qty == 0
    assert world.find_order(wire_account, "BTCUSDT", client_order_id="web_1") == fresh


def test_a_replacement_under_another_name(wire: Wire, order: Order) -> None:
    fresh = wire.sim.world.replace(order, quantity=Decimal(2), client_order_id="web_2")
    assert (fresh.client_order_id, fresh.orig_qty, fresh.price) == ("web_2", Decimal(2), order.price)


@pytest.mark.parametrize(
    "changes", [{"price": Decimal(0)}, {"quantity": Decimal(-1)}, {"client_order_id": "taken"}], ids=str
)
def test_a_replacement_that_cannot_be_placed_cancels_nothing(
    wire: Wire, wire_account: Account, order: Order, changes: dict[str, Any]
) -> None:
    place(wire, wire_account, client_order_id="taken")
    before = dict(wire_account.orders)
    with pytest.raises(WorldError):
        wire.sim.world.replace(order, **changes)
    assert wire_account.orders == before


@pytest.mark.parametrize("changes", [{}, {"price": Decimal(60_000)}, {"price": Decimal(0)}, {"quantity": Decimal(0)}])
def test_the_world_amends_nothing_without_need_or_amount(wire: Wire, order: Order, changes: dict[str, Any]) -> None:
    with pytest.raises(WorldError):
        wire.sim.world.amend(order, **changes)
    assert wire.sim.world.current(order) == order

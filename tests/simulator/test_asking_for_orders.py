"""Which orders the exchange finds, lists and has forgotten."""

from decimal import Decimal

import pytest
from tests.simulator.support import START_MS, StillClock, Wire

from accountsync.simulator import Order, Simulator

DAY = 86_400_000


def place(wire: Wire, symbol: str = "BTCUSDT", client_order_id: str | None = None) -> Order:
    world = wire.sim.world
    return world.place_order(
        world.account("grid-btc"),
        symbol=symbol,
        side="BUY",
        price=world.marks[symbol],
        quantity=Decimal(100),
        client_order_id=client_order_id,
    )


async def test_open_orders_are_listed_oldest_first(wire: Wire) -> None:
    orders = [place(wire, symbol) for symbol in ("XRPUSDT", "BTCUSDT", "XRPUSDT")]
    wire.sim.world.cancel(place(wire))
    listed = (await wire.get("/fapi/v1/openOrders")).json
    assert [row["orderId"] for row in listed] == [order.order_id for order in orders]
    listed = (await wire.get("/fapi/v1/openOrders", "symbol=XRPUSDT")).json
    assert [row["orderId"] for row in listed] == [orders[0].order_id, orders[2].order_id]


async def test_an_order_is_found_under_its_own_symbol_only(wire: Wire) -> None:
    order = place(wire)
    answer = await wire.get("/fapi/v1/order", f"symbol=ETHUSDT&orderId={order.order_id}")
    assert (answer.status, answer.code) == (400, -2013)


async def test_a_filled_order_is_no_open_order(wire: Wire) -> None:
    order = place(wire)
    query = f"symbol=BTCUSDT&orderId={order.order_id}"
    assert (await wire.get("/fapi/v1/openOrder", query)).json["status"] == "NEW"
    wire.sim.world.fill(order)
    assert (await wire.get("/fapi/v1/openOrder", query)).code == -2013
    assert (await wire.get("/fapi/v1/order", query)).json["status"] == "FILLED"


async def test_a_client_id_used_again_finds_the_newer_order(wire: Wire) -> None:
    wire.sim.world.cancel(place(wire, client_order_id="web_1"))
    newer = place(wire, client_order_id="web_1")
    answer = await wire.get("/fapi/v1/order", "symbol=BTCUSDT&origClientOrderId=web_1")
    assert answer.json["orderId"] == newer.order_id


async def test_an_order_of_another_account_is_not_found(wire: Wire) -> None:
    order = place(wire)
    other = wire.sim.world.create_account("other")
    asker = Wire(wire.sim, wire.session, wire.sim.world.create_key(other))
    assert (await asker.get("/fapi/v1/order", f"symbol=BTCUSDT&orderId={order.order_id}")).code == -2013


async def test_orders_are_forgotten_as_published(wire: Wire, clock: StillClock, still_sim: Simulator) -> None:
    world, day = still_sim.world, 86_400_000
    account = world.account("grid-btc")

    def order() -> str:
        made = world.place_order(account, symbol="BTCUSDT", side="BUY", price=Decimal(60_000), quantity=Decimal("0.01"))
        return f"symbol=BTCUSDT&orderId={made.order_id}"

    canceled, expired, part, filled = order(), order(), order(), order()
    first, second, third, fourth = account.open_orders.values()
    world.cancel(first)
    world.expire(second)
    world.cancel(world.fill(third, quantity=Decimal("0.001")))
    world.fill(fourth)

    async def found() -> list[bool]:
        return [(await wire.get("/fapi/v1/order", one)).status == 200 for one in (canceled, expired, part, filled)]

    clock.now += 3 * day
    assert await found() == [True, True, True, True]
    clock.now += 1
    assert await found() == [False, False, True, True]
    world.advance_clock(87 * day)
    assert await found() == [False, False, False, False]
    assert wire.sim.requests[-1].code == -2013


async def test_all_orders_of_a_symbol_by_rising_id(wire: Wire, clock: StillClock) -> None:
    world, ids = wire.sim.world, []
    for action in ("cancel", "fill", "expire"):
        ids.append(getattr(world, action)(place(wire)).order_id)
        clock.now += DAY
    place(wire, "XRPUSDT")
    start = clock.now - 3 * DAY
    for params, expected in (
        ("", ids),
        (f"&orderId={ids[1]}", ids[1:]),
        ("&limit=1", ids[2:]),
        (f"&orderId={ids[0]}&limit=1", ids[:1]),
        (f"&startTime={start}&limit=2", ids[:2]),
        (f"&startTime={start + DAY}", ids[1:]),
        (f"&endTime={start + DAY}", ids[:2]),
        (f"&startTime={start}&endTime={start}", ids[:1]),
        (f"&startTime={start}&orderId={ids[2]}", ids[2:]),
    ):
        rows = (await wire.get("/fapi/v1/allOrders", f"symbol=BTCUSDT{params}")).json
        assert [row["orderId"] for row in rows] == expected


async def test_all_orders_are_the_last_weeks_unless_asked_otherwise(wire: Wire, clock: StillClock) -> None:
    order = wire.sim.world.fill(place(wire))

    async def found(params: str = "") -> int:
        return len((await wire.get("/fapi/v1/allOrders", f"symbol=BTCUSDT{params}")).json)

    clock.now += 7 * DAY
    assert await found() == 1
    clock.now += 1
    assert await found() == 0
    assert await found(f"&startTime={order.time}") == 1
    assert await found(f"&endTime={order.time}") == 1
    assert await found("&orderId=1") == 1
    clock.now += 83 * DAY
    assert await found("&orderId=1") == 0


async def test_all_orders_leaves_out_what_is_forgotten(wire: Wire, clock: StillClock) -> None:
    wire.sim.world.cancel(place(wire))
    kept = wire.sim.world.fill(place(wire))
    clock.now += 3 * DAY + 1
    rows = (await wire.get("/fapi/v1/allOrders", "symbol=BTCUSDT")).json
    assert [row["orderId"] for row in rows] == [kept.order_id]


async def test_five_hundred_orders_unless_asked_otherwise(wire: Wire) -> None:
    for _ in range(1001):
        place(wire)
    for params, expected in (("", 500), ("&limit=1000", 1000), ("&limit=7", 7)):
        assert len((await wire.get("/fapi/v1/allOrders", f"symbol=BTCUSDT{params}")).json) == expected


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ("", -1102),
        ("symbol=NOPEUSDT", -1121),
        ("symbol=BTCUSDT&orderId=one", -1102),
        ("symbol=BTCUSDT&limit=0", -1130),
        ("symbol=BTCUSDT&limit=1001", -1130),
        ("symbol=BTCUSDT&startTime=2&endTime=1", -1023),
        (f"symbol=BTCUSDT&startTime={START_MS - 7 * DAY - 1}&endTime={START_MS}", -4165),
        (f"symbol=BTCUSDT&startTime={START_MS - 90 * DAY - 1}", -4166),
    ],
)
async def test_bad_questions_about_all_orders(wire: Wire, params: str, code: int) -> None:
    answer = await wire.get("/fapi/v1/allOrders", params)
    assert (answer.status, answer.code) == (400, code)

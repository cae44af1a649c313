"""Which orders the exchange finds, lists and has forgotten."""

from decimal import Decimal

from tests.simulator.support import StillClock, Wire

from accountsync.simulator import Order, Simulator


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

"""Each fault does on the wire what it says, to whom it says, as often as it says."""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import aiohttp
import orjson
import pytest
from tests.simulator.support import StillClock, Wire, until_asked

from accountsync.simulator import Account, Fault, Order

OPEN_ORDERS, POSITIONS, BALANCE = "/fapi/v1/openOrders", "/fapi/v3/positionRisk", "/fapi/v3/balance"


def place(wire: Wire, price: int = 60_000) -> Order:
    return wire.sim.world.place_order(
        wire.sim.world.account("grid-btc"),
        symbol="BTCUSDT",
        side="BUY",
        price=Decimal(price),
        quantity=Decimal("0.5"),
    )


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.http_error(500), 500, -1000),
        (Fault.http_error(502), 502, -1001),
        (Fault.http_error(503), 503, -1001),
        (Fault.http_error(504), 504, -1007),
        (Fault.http_error(503, code=-1006, message="odd"), 503, -1006),
        (Fault.overloaded(), 503, -1008),
        (Fault.maintenance(), 503, -1000),
    ],
)
async def test_an_http_error(wire: Wire, fault: Fault, status: int, code: int) -> None:
    wire.sim.faults.add(fault)
    answer = await wire.get(BALANCE)
    assert (answer.status, answer.code) == (status, code)
    assert answer.used_weight == 5


async def post_order(wire: Wire) -> int:
    params = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=9000"
    return (await wire.send("POST", "/fapi/v1/order", wire.signed(params))).status


@pytest.mark.parametrize("executed", [False, True])
async def test_an_error_on_an_order_may_hide_that_it_was_placed(
    wire: Wire, wire_account: Account, executed: bool
) -> None:
    wire.sim.faults.add(Fault.http_error(503, executed=executed))
    assert await post_order(wire) == 503
    assert len(wire_account.orders) == executed


async def test_so_many_times_and_no_more(wire: Wire) -> None:
    wire.sim.faults.add(Fault.http_error(503, times=2))
    assert [(await wire.get(BALANCE)).status for _ in range(4)] == [503, 503, 200, 200]


async def test_until_cleared(wire: Wire) -> None:
    first = wire.sim.faults.add(Fault.http_error(500))
    wire.sim.faults.add(Fault.http_error(503))
    assert (await wire.get(BALANCE)).status == 500
    wire.sim.faults.clear(first)
    assert (await wire.get(BALANCE)).status == 503
    wire.sim.faults.clear()
    assert (await wire.get(BALANCE)).status == 200


async def test_only_where_it_is_meant(wire: Wire, wire_account: Account) -> None:
    world = wire.sim.world
    world.create_account("other")
    other = Wire(wire.sim, wire.session, world.create_key(world.account("other")))
    second = Wire(wire.sim, wire.session, world.create_key(wire_account))
    assert wire.key
    for fault, hit in (
        (Fault.http_error(path=BALANCE), {"mine"}),
        (Fault.http_error(path="/fapi/v?/bal*"), {"mine", "second", "other"}),
        (Fault.http_error(path="/fapi/v1/*"), set()),
        (Fault.http_error(method="POST"), set()),
        (Fault.http_error(account="other"), {"other"}),
        (Fault.http_error(account="grid-btc"), {"mine", "second"}),
        (Fault.http_error(key=wire.key.fingerprint), {"mine"}),
    ):
        wire.sim.faults.clear()
        wire.sim.faults.add(fault)
        if fault.path == BALANCE:
            hit = {"mine", "second", "other"}  # noqa: PLW2901 - a path alone chooses everyone
        who = {"mine": wire, "second": second, "other": other}
        failed = {name for name, one in who.items() if (await one.get(BALANCE)).status != 200}
        assert failed == hit


async def test_a_probability_is_drawn_from_the_seed(wire: Wire) -> None:
    async def pattern() -> list[int]:
        return [(await wire.get("/fapi/v1/ping")).status for _ in range(60)]

    wire.sim.faults.add(Fault.http_error(503, probability=0.5))
    first = await pattern()
    assert {200, 503} == set(first)
    wire.sim.faults.clear()
    wire.sim.faults.add(Fault.http_error(503, probability=0.5))
    assert await pattern() != first  # another fault draws for itself


async def test_latency_keeps_the_answer_of_the_moment_of_asking(wire: Wire) -> None:
    place(wire)
    wire.sim.faults.add(Fault.latency(0.05))
    asked = asyncio.create_task(wire.get(OPEN_ORDERS))
    await until_asked(wire.sim)
    place(wire)
    assert len((await asked).json) == 1
    wire.sim.faults.clear()
    assert len((await wire.get(OPEN_ORDERS)).json) == 2


async def test_a_hang_ends_when_the_fault_is_cleared(wire: Wire) -> None:
    hanging = wire.sim.faults.add(Fault.hang(times=1))
    asked = asyncio.create_task(wire.get(BALANCE))
    await until_asked(wire.sim)
    assert (await wire.get(BALANCE)).status == 200
    assert not asked.done()
    wire.sim.faults.clear(hanging)
    assert (await asked).status == 200
    assert wire.sim.requests[0].status == 0
    assert wire.sim.requests[0].faults == ("hang",)


async def test_a_hang_ends_when_the_client_leaves(wire: Wire) -> None:
    wire.sim.faults.add(Fault.hang())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.get(BALANCE), 0.05)


async def test_a_reset_instead_of_an_answer(wire: Wire) -> None:
    wire.sim.faults.add(Fault.reset())
    with pytest.raises(aiohttp.ClientConnectionError):
        await wire.get(BALANCE)


async def test_a_reset_midway(wire: Wire) -> None:
    wire.sim.faults.add(Fault.reset(midway=True))
    with pytest.raises(aiohttp.ClientError) as caught:
        await wire.get(BALANCE)
    assert isinstance(caught.value, aiohttp.ClientPayloadError | aiohttp.ClientOSError)


async def test_a_reset_comes_after_the_order_was_placed(wire: Wire, wire_account: Account) -> None:
    wire.sim.faults.add(Fault.reset())
    with pytest.raises(aiohttp.ClientConnectionError):
        await post_order(wire)
    assert len(wire_account.open_orders) == 1


async def test_truncated(wire: Wire) -> None:
    place(wire)
    whole = await wire.get(OPEN_ORDERS)
    wire.sim.faults.add(Fault.truncated())
    cut = await wire.get(OPEN_ORDERS)
    assert cut.status == 200
    assert cut.body == whole.body[: len(whole.body) // 2]
    assert int(cut.headers["Content-Length"]) == len(cut.body)
    with pytest.raises(orjson.JSONDecodeError):
        _ = cut.json


async def test_stale(wire: Wire, clock: StillClock) -> None:
    counts = []
    for _ in range(3):
        counts.append((await wire.get(OPEN_ORDERS)).body)
        place(wire)
        clock.now += 10_000
    for age, expected in ((25, 0), (20, 1), (10, 2), (3600, 0)):
        wire.sim.faults.add(Fault.stale(age, times=1))
        assert (await wire.get(OPEN_ORDERS)).body == counts[expected]
    assert len((await wire.get(OPEN_ORDERS)).json) == 3


async def test_stale_answers_are_the_askers_own(wire: Wire, clock: StillClock, wire_account: Account) -> None:
    await wire.get(OPEN_ORDERS)
    place(wire)
    await wire.get(OPEN_ORDERS, "symbol=BTCUSDT")
    other = Wire(wire.sim, wire.session, wire.sim.world.create_key(wire_account))
    clock.now += 10_000
    wire.sim.faults.add(Fault.stale(5))
    assert (await wire.get(OPEN_ORDERS)).json == []
    assert len((await wire.get(OPEN_ORDERS, "symbol=BTCUSDT")).json) == 1
    assert len((await other.get(OPEN_ORDERS)).json) == 1


async def test_duplicated(wire: Wire) -> None:
    order, other = place(wire), place(wire, 61_000)
    wire.sim.faults.add(Fault.duplicated(times=1))
    rows = (await wire.get(OPEN_ORDERS)).json
    assert [row["orderId"] for row in rows] == [order.order_id, order.order_id, other.order_id]
    assert rows[0] == rows[1]


async def test_duplicated_with_a_difference(wire: Wire) -> None:
    place(wire)
    wire.sim.faults.add(Fault.duplicated(differ={"executedQty": "0.400"}, times=1))
    first, second = (await wire.get(OPEN_ORDERS)).json
    assert first | {"executedQty": "0.400"} == second
    assert first != second


async def test_a_fault_that_finds_nothing_to_bend_is_not_used_up(wire: Wire) -> None:
    wire.sim.faults.add(Fault.duplicated(times=1))
    assert (await wire.get(OPEN_ORDERS)).json == []
    place(wire)
    assert len((await wire.get(OPEN_ORDERS)).json) == 2
    assert len((await wire.get(OPEN_ORDERS)).json) == 1
    assert [record.faults for record in wire.sim.requests] == [(), ("duplicated",), ()]


async def test_negative_order_quantity(wire: Wire) -> None:
    place(wire)
    wire.sim.faults.add(Fault.negative_quantity(times=1))
    assert (await wire.get(OPEN_ORDERS)).json[0]["origQty"] == "-0.500"
    assert (await wire.get(OPEN_ORDERS)).json[0]["origQty"] == "0.500"


async def test_a_hedge_leg_with_an_impossible_sign(wire: Wire) -> None:
    world = wire.sim.world
    hedged = world.create_account("hedged", hedge_mode=True)
    world.set_position(hedged, "BTCUSDT", Decimal("0.2"), position_side="LONG")
    world.set_position(hedged, "BTCUSDT", Decimal("-0.1"), position_side="SHORT")
    asker = Wire(wire.sim, wire.session, world.create_key(hedged))
    wire.sim.faults.add(Fault.negative_quantity())
    rows = {row["positionSide"]: row["positionAmt"] for row in (await asker.get(POSITIONS)).json}
    assert rows == {"LONG": "-0.200", "SHORT": "0.100"}


@pytest.mark.parametrize(
    ("path", "read"),
    [
        (OPEN_ORDERS, lambda body: body[0]["origQty"]),
        (POSITIONS, lambda body: body[0]["positionAmt"]),
        (BALANCE, lambda body: body[0]["balance"]),
        ("/fapi/v3/account", lambda body: body["positions"][0]["positionAmt"]),
    ],
)
async def test_a_quantity_that_is_no_number(wire: Wire, path: str, read: Callable[[object], str]) -> None:
    place(wire)
    wire.sim.faults.add(Fault.unparsable_quantity("0.0.1"))
    assert read((await wire.get(path)).json) == "0.0.1"


async def test_a_chosen_field_that_is_no_number(wire: Wire) -> None:
    place(wire)
    wire.sim.faults.add(Fault.unparsable_quantity("NaN", name="executedQty"))
    row = (await wire.get(OPEN_ORDERS)).json[0]
    assert (row["executedQty"], row["origQty"]) == ("NaN", "0.500")


async def test_clock_skew(wire: Wire, clock: StillClock) -> None:
    wire.sim.faults.add(Fault.clock_skew(-1500))
    assert (await wire.get("/fapi/v1/time")).json["serverTime"] == clock.now - 1500
    assert (await wire.get(BALANCE)).code == -1021
    skewed = await wire.send("GET", BALANCE, wire.signed(timestamp=clock.now - 1500))
    assert skewed.status == 200


async def test_faults_add_up(wire: Wire, clock: StillClock) -> None:
    await wire.get(OPEN_ORDERS)
    place(wire)
    await wire.get(OPEN_ORDERS)
    place(wire, 61_000)
    clock.now += 1000
    wire.sim.faults.add(Fault.stale(1))
    wire.sim.faults.add(Fault.duplicated())
    wire.sim.faults.add(Fault.negative_quantity())
    rows = (await wire.get(OPEN_ORDERS)).json
    assert [row["origQty"] for row in rows] == ["-0.500", "-0.500"]
    assert set(wire.sim.requests[-1].faults) == {"stale", "duplicated", "negative_quantity"}

"""Which conditional orders the exchange lists and finds, and what it tells of them."""

from decimal import Decimal

import pytest
from tests.simulator.support import START_MS, StillClock, Wire, conditional

from accountsync.simulator import Account, Fault

BTC = "symbol=BTCUSDT"
DAY = 86_400_000


async def test_open_ones_are_listed_oldest_first(wire: Wire, wire_account: Account) -> None:
    world = wire.sim.world
    placed = [
        conditional(world, wire_account, symbol=symbol, trigger_price=trigger)
        for symbol, trigger in (("ETHUSDT", "3000"), ("BTCUSDT", "60000"), ("ETHUSDT", "2900"))
    ]
    world.algos.cancel(conditional(world, wire_account))
    path = "/fapi/v1/openAlgoOrders"
    ids = [algo.algo_id for algo in placed]
    for params, expected in (
        ("", ids),
        ("symbol=ETHUSDT", [ids[0], ids[2]]),
        (f"algoId={ids[1]}", [ids[1]]),
        ("algoType=CONDITIONAL", ids),
        ("algoType=VP", []),
    ):
        assert [row["algoId"] for row in (await wire.get(path, params)).json] == expected
    row = (await wire.get(path, BTC)).json[0]
    assert (row["algoStatus"], row["actualOrderId"], row["triggerTime"]) == ("NEW", "", 0)
    assert "actualType" not in row


async def test_one_by_either_id_tells_of_its_child(wire: Wire, wire_account: Account) -> None:
    world = wire.sim.world
    algo = conditional(world, wire_account, client_algo_id="sl_1")
    by_id, by_name = f"algoId={algo.algo_id}", "clientAlgoId=sl_1"
    before = (await wire.get("/fapi/v1/algoOrder", by_id)).json
    assert "actualType" not in before
    world.set_mark_price("BTCUSDT", Decimal("59999.9"))
    row = (await wire.get("/fapi/v1/algoOrder", by_name)).json
    assert row == (await wire.get("/fapi/v1/algoOrder", by_id)).json
    told = {name: row[name] for name in ("algoStatus", "actualPrice", "actualQty", "actualType", "triggerPrice")}
    assert told == {
        "algoStatus": "FINISHED",
        "actualPrice": "59999.90000",
        "actualQty": "0.100",
        "actualType": "MARKET",
        "triggerPrice": "60000.00",
    }
    child = (await wire.get("/fapi/v1/order", f"{BTC}&orderId={row['actualOrderId']}")).json
    assert (child["status"], child["type"], child["clientOrderId"]) == ("FILLED", "MARKET", "sl_1")


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("algoOrder", "", -1102),
        ("algoOrder", "algoId=one", -1102),
        ("algoOrder", "algoId=1", -2013),
        ("algoOrder", "clientAlgoId=never", -2013),
        ("openAlgoOrders", "symbol=NOPEUSDT", -1121),
        ("openAlgoOrders", "algoId=one", -1102),
        ("allAlgoOrders", "", -1102),
        ("allAlgoOrders", "symbol=NOPEUSDT", -1121),
        ("allAlgoOrders", f"{BTC}&algoId=one", -1102),
        ("allAlgoOrders", f"{BTC}&limit=1001", -1130),
        ("allAlgoOrders", f"{BTC}&startTime=2&endTime=1", -1023),
        ("allAlgoOrders", f"{BTC}&startTime={START_MS - 7 * DAY - 1}&endTime={START_MS}", -4165),
        ("allAlgoOrders", f"{BTC}&startTime={START_MS - 90 * DAY - 1}", -4166),
    ],
)
async def test_bad_questions(wire: Wire, path: str, params: str, code: int) -> None:
    answer = await wire.get(f"/fapi/v1/{path}", params)
    assert (answer.status, answer.code) == (400, code)


async def test_another_accounts_is_not_found(wire: Wire, wire_account: Account) -> None:
    algo = conditional(wire.sim.world, wire_account)
    other = wire.sim.world.create_account("other")
    asker = Wire(wire.sim, wire.session, wire.sim.world.create_key(other))
    assert (await asker.get("/fapi/v1/algoOrder", f"algoId={algo.algo_id}")).code == -2013


async def test_they_are_forgotten_as_published(wire: Wire, wire_account: Account, clock: StillClock) -> None:
    algos = wire.sim.world.algos
    canceled = algos.cancel(conditional(wire.sim.world, wire_account))
    expired = algos.expire(conditional(wire.sim.world, wire_account))
    finished = algos.trigger(conditional(wire.sim.world, wire_account))

    async def found() -> list[bool]:
        ids = (algo.algo_id for algo in (canceled, expired, finished))
        return [(await wire.get("/fapi/v1/algoOrder", f"algoId={number}")).status == 200 for number in ids]

    clock.now += 3 * DAY
    assert await found() == [True, True, True]
    assert len((await wire.get("/fapi/v1/allAlgoOrders", BTC)).json) == 3
    clock.now += 1
    assert await found() == [False, False, True]
    assert len((await wire.get("/fapi/v1/allAlgoOrders", BTC)).json) == 1
    clock.now += 87 * DAY
    assert await found() == [False, False, False]
    assert (await wire.get("/fapi/v1/allAlgoOrders", f"{BTC}&algoId=1")).json == []


async def test_all_of_a_symbol(wire: Wire, wire_account: Account, clock: StillClock) -> None:
    world = wire.sim.world
    ids = []
    for action in ("cancel", "trigger", "expire"):
        ids.append(getattr(world.algos, action)(conditional(world, wire_account)).algo_id)
        clock.now += DAY
    conditional(world, wire_account, symbol="ETHUSDT", trigger_price="3000")
    for params, expected in (
        ("", ids),
        (f"&algoId={ids[1]}", ids[1:]),
        ("&limit=1", ids[2:]),
        (f"&algoId={ids[0]}&limit=1", ids[:1]),
        (f"&startTime={START_MS + DAY}", ids[1:]),
        (f"&endTime={START_MS + DAY}", ids[:2]),
        (f"&startTime={START_MS}&endTime={START_MS}", ids[:1]),
    ):
        rows = (await wire.get("/fapi/v1/allAlgoOrders", f"{BTC}{params}")).json
        assert [row["algoId"] for row in rows] == expected


async def test_faults_bend_the_list_like_any_other(wire: Wire, wire_account: Account, clock: StillClock) -> None:
    path = "/fapi/v1/openAlgoOrders"
    algo = conditional(wire.sim.world, wire_account)
    (row,) = (await wire.get(path)).json
    clock.now += 2000
    wire.sim.world.algos.cancel(algo)
    assert (await wire.get(path)).json == []
    clock.now += 500
    wire.sim.faults.add(Fault.stale(1, path=path))
    assert (await wire.get(path)).json == [row]
    wire.sim.faults.add(Fault.duplicated(path=path, differ={"quantity": "0.200"}))
    assert (await wire.get(path)).json == [row, row | {"quantity": "0.200"}]
    wire.sim.faults.add(Fault.unparsable_quantity("?", name="triggerPrice", path=path))
    assert (await wire.get(path)).json[0]["triggerPrice"] == "?"

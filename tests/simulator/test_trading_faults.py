"""Trading calls whose outcome the client cannot see, and the log that knows it."""

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest
from tests.simulator.support import StillClock, Wire, until

from accountsync.simulator import Account, Fault, Kind, Simulator

ORDER = "/fapi/v1/order"


async def send(wire: Wire, name: str = "mine") -> object:
    """The status, or the kind of error that the client sees."""
    try:
        return (await wire.order(newClientOrderId=name)).status
    except aiohttp.ClientError:
        return "broken"


async def found(wire: Wire, name: str = "mine") -> bool:
    return (await wire.get(ORDER, f"symbol=BTCUSDT&origClientOrderId={name}")).status == 200


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (Fault.unknown_outcome, 503),
        (lambda **chosen: Fault.http_error(504, **chosen), 504),
        (Fault.reset, "broken"),
        (lambda **chosen: Fault.reset(midway=True, **chosen), "broken"),
    ],
    ids=["unknown", "timeout", "reset", "midway"],
)
async def test_an_outcome_that_only_a_look_up_tells(
    wire: Wire, wire_account: Account, fault: Any, seen: object, executed: bool
) -> None:
    wire.sim.faults.add(fault(executed=executed, method="POST", path=ORDER, times=1))
    assert await send(wire) == seen
    assert wire.sim.requests[-1].effect is executed
    assert await found(wire) is executed
    assert wire_account.position("BTCUSDT").amount == (Decimal("0.1") if executed else 0)
    if not executed:
        assert await send(wire) == 200
    assert len(wire.sim.requests.select(client_id="mine", effect=True)) == 1


async def test_the_words_of_an_unknown_outcome(wire: Wire) -> None:
    wire.sim.faults.add(Fault.unknown_outcome(executed=True, method="POST"))
    answer = await wire.order()
    assert (answer.status, answer.code) == (503, -1007)
    assert "execution status unknown" in answer.json["msg"]


async def test_a_retry_without_a_look_up_has_two_effects(wire: Wire, wire_account: Account) -> None:
    """What a client must not do: the first order was filled and closed, so its client id is free again."""
    wire.sim.faults.add(Fault.reset(method="POST", path=ORDER, times=1))
    assert [await send(wire), await send(wire)] == ["broken", 200]
    assert wire_account.position("BTCUSDT").amount == Decimal("0.2")
    assert len(wire.sim.requests.select(client_id="mine", effect=True)) == 2


@pytest.mark.parametrize("executed", [True, False])
async def test_a_hang_with_or_without_an_effect(wire: Wire, wire_account: Account, executed: bool) -> None:
    hanging = wire.sim.faults.add(Fault.hang(executed=executed, method="POST"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send(wire), 0.1)
    assert len(wire_account.orders) == executed
    asked = asyncio.create_task(wire.order(newClientOrderId="other"))
    await until(lambda: len(wire.sim.requests) == 2)
    wire.sim.faults.clear(hanging)
    assert (await asked).status == (200 if executed else 503)
    assert len(wire_account.orders) == 2 * executed


async def late_order(wire: Wire, params: str = "") -> asyncio.Task[Any]:
    """An order that is signed and sent, and is on its way."""
    query = wire.signed(f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1&newClientOrderId=mine{params}")
    sent = asyncio.create_task(wire.send("POST", ORDER, query))
    (late,) = wire.sim.faults
    await until(lambda: late.applied)
    return sent


async def test_a_late_request_takes_effect_on_arrival(wire: Wire, wire_account: Account) -> None:
    fault = wire.sim.faults.add(Fault.late(method="POST", times=1))
    sent = await late_order(wire)
    assert not await found(wire)
    assert not wire_account.orders
    wire.sim.faults.clear(fault)
    assert (await sent).status == 200
    assert wire.sim.requests[-1].faults == ("late",)
    assert await found(wire)


async def test_a_late_request_arrives_though_its_client_has_left(wire: Wire, wire_account: Account) -> None:
    """A look-up that finds nothing proves nothing while a request may still be on its way."""
    fault = wire.sim.faults.add(Fault.late(method="POST", times=1))
    sent = await late_order(wire)
    sent.cancel()
    await asyncio.gather(sent, return_exceptions=True)
    assert not await found(wire)
    wire.sim.faults.clear(fault)
    await until(lambda: wire_account.orders)
    assert await found(wire)


async def test_the_window_makes_the_exchange_refuse_a_late_request(
    wire: Wire, wire_account: Account, clock: StillClock
) -> None:
    fault = wire.sim.faults.add(Fault.late(method="POST", times=1))
    sent = await late_order(wire, "&recvWindow=2000")
    clock.now += 2001
    wire.sim.faults.clear(fault)
    assert (await sent).code == -1021
    assert not wire_account.orders
    assert not wire.sim.requests[-1].effect


async def test_late_by_some_time(wire: Wire) -> None:
    wire.sim.faults.add(Fault.late(0.01, method="POST", times=1))
    assert await send(wire) == 200
    assert await send(wire, "other") == 200
    assert [record.faults for record in wire.sim.requests] == [("late",), ()]


async def test_what_is_on_its_way_when_the_exchange_stops_never_arrives(clock: StillClock, wire: Wire) -> None:
    async with Simulator(seed=1, clock=clock) as sim:
        account = sim.world.create_account("a", wallet={"USDT": Decimal(10_000)})
        trader = Wire(sim, wire.session, sim.world.create_key(account, permissions={"trade"}))
        sim.faults.add(Fault.late(3600))
        sent = await late_order(trader)
    with pytest.raises(aiohttp.ClientError):
        await sent
    assert not account.orders


@pytest.mark.parametrize(("method", "hit"), [("DELETE", ["cancel"]), ("POST", ["place"]), ("*", ["place", "cancel"])])
async def test_chosen_by_method_and_path(wire: Wire, method: str, hit: list[str]) -> None:
    wire.sim.faults.add(Fault.http_error(503, method=method, path=ORDER, times=2))
    placed = await wire.order(price="60000", newClientOrderId="mine")
    cancelled = await wire.call("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="mine")
    all_cancelled = await wire.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    assert all_cancelled.status == 200
    assert [name for name, answer in (("place", placed), ("cancel", cancelled)) if answer.status == 503] == hit


async def test_faults_over_the_control_interface(wire: Wire) -> None:
    async def add(body: dict[str, Any]) -> int:
        async with wire.session.post(f"{wire.sim.control_url}/control/faults", data=orjson.dumps(body)) as answer:
            return answer.status

    assert await add({"kind": "unknown_outcome", "path": ORDER, "executed": True, "times": 1}) == 200
    assert await add({"kind": "late", "method": "DELETE", "options": {"seconds": 0.01}}) == 200
    assert await add({"kind": "reset", "method": "PUT", "executed": False}) == 200
    assert await add({"kind": "unknown_outcome"}) == 409
    assert [active.fault.kind for active in wire.sim.faults] == [Kind.HTTP_ERROR, Kind.LATE, Kind.RESET]


async def test_the_log_tells_what_took_effect(wire: Wire) -> None:
    assert wire.key
    await wire.order(newClientOrderId="one", price="60000")
    await wire.order(newClientOrderId="one")
    await wire.get("/fapi/v1/openOrders")
    await wire.call("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="one")
    await wire.call("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=1000)
    records = list(wire.sim.requests)
    assert [record.effect for record in records] == [True, False, False, True, True]
    assert [record.write for record in records] == [True, True, False, True, True]
    assert [record.client_id for record in records] == ["one", "one", "", "", ""]
    first = records[0]
    assert first.params == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": "0.1",
        "price": "60000",
        "timeInForce": "GTC",
        "newClientOrderId": "one",
        "timestamp": first.params["timestamp"],
    }
    assert (first.method, first.path, first.key) == ("POST", ORDER, wire.key.fingerprint)
    assert not any(secret in repr(records) for secret in (wire.key.api_key, wire.key.secret, "signature"))


async def test_what_falls_due_is_no_effect_of_the_call_that_comes_then(wire: Wire, clock: StillClock) -> None:
    await wire.order(price="60000")
    await wire.call("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=1000)
    clock.now += 2000
    assert (await wire.get("/fapi/v1/openOrders")).json == []
    assert not wire.sim.requests[-1].effect


async def test_the_log_over_the_control_interface(wire: Wire) -> None:
    await wire.order(newClientOrderId="one")
    await wire.order(newClientOrderId="two", quantity="0")
    url = f"{wire.sim.control_url}/control/requests"
    for query, number in (("effect=true", 1), ("effect=false", 1), ("client_id=two", 1), ("client_id=three", 0)):
        async with wire.session.get(f"{url}?{query}") as answer:
            assert len(await answer.json()) == number

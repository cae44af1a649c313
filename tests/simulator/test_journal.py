"""Every request is logged, by whom and what for; secrets are not."""

import pytest
from tests.simulator.support import StillClock, Wire

from accountsync.simulator import Simulator


async def test_what_a_record_tells(wire: Wire, clock: StillClock) -> None:
    assert wire.key
    await wire.get("/fapi/v1/openOrders", "symbol=BTCUSDT")
    (record,) = wire.sim.requests
    assert record.sequence == 1
    assert record.time == clock.now
    assert record.peer == "127.0.0.1"
    assert (record.method, record.path) == ("GET", "/fapi/v1/openOrders")
    assert record.params == {"symbol": "BTCUSDT", "timestamp": str(clock.now)}
    assert (record.key, record.account) == (wire.key.fingerprint, "grid-btc")
    assert (record.security, record.signed, record.write) == ("USER_DATA", True, False)
    assert (record.status, record.code, record.weight, record.faults) == (200, 0, 1, ())
    assert wire.key.secret not in repr(record)
    assert wire.key.api_key not in repr(record)
    assert wire.key.secret not in repr(wire.key)


async def test_refused_requests_are_logged_too(wire: Wire, public: Wire) -> None:
    await wire.send("POST", "/fapi/v1/order", "symbol=BTCUSDT&timestamp=1&signature=00")
    await public.send("POST", "/fapi/v1/order")
    await public.send("DELETE", "/fapi/v1/nowhere")
    first, second, third = wire.sim.requests
    assert (first.signed, first.code, first.write, first.account) == (False, -1022, True, "grid-btc")
    assert (second.code, second.write, second.account, second.key) == (-2014, True, "", "")
    assert (third.code, third.write) == (-5000, True)


async def test_the_log_is_bounded_and_the_counts_are_not(clock: StillClock, wire: Wire) -> None:
    async with Simulator(seed=1, clock=clock, log_capacity=3) as sim:
        key = sim.world.create_key(sim.world.create_account("a"))
        asker = Wire(sim, wire.session, key)
        for _ in range(5):
            await asker.get("/fapi/v3/balance")
        await asker.send("POST", "/fapi/v1/order", asker.signed())
        assert [record.sequence for record in sim.requests] == [4, 5, 6]
        assert sim.requests.total == 6
        assert sim.requests.total_of(account="a", write=False) == 5
        assert sim.requests.total_of(write=True) == 1


@pytest.mark.parametrize(
    ("chosen", "number"),
    [({}, 3), ({"write": True}, 1), ({"path": "/fapi/v1/ping"}, 2), ({"after": 2}, 1), ({"account": "grid-btc"}, 3)],
)
async def test_choosing_records(wire: Wire, chosen: dict[str, object], number: int) -> None:
    await wire.get("/fapi/v1/ping")
    await wire.get("/fapi/v1/ping")
    await wire.send("DELETE", "/fapi/v1/order", wire.signed())
    assert len(wire.sim.requests.select(**chosen)) == number  # type: ignore[arg-type]

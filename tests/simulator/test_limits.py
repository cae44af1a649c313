"""Weight is counted for each address and each minute; 429, then 418."""

import sys

import aiohttp
import pytest
from tests.simulator.support import StillClock, Wire


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("/fapi/v1/openOrders", "", 40),
        ("/fapi/v1/openOrders", "symbol=BTCUSDT", 1),
        ("/fapi/v1/openAlgoOrders", "", 40),
        ("/fapi/v1/openAlgoOrders", "symbol=BTCUSDT", 1),
        ("/fapi/v1/algoOrder", "algoId=1", 1),
        ("/fapi/v1/allAlgoOrders", "symbol=BTCUSDT", 5),
        ("/fapi/v1/allOrders", "symbol=BTCUSDT", 5),
        ("/fapi/v1/orderAmendment", "symbol=BTCUSDT&orderId=1", 1),
        ("/fapi/v2/positionRisk", "", 5),
        ("/fapi/v3/positionRisk", "", 5),
        ("/fapi/v2/account", "", 5),
        ("/fapi/v3/account", "", 5),
        ("/fapi/v2/balance", "", 5),
        ("/fapi/v3/balance", "", 5),
        ("/fapi/v1/order", "symbol=BTCUSDT&orderId=1", 1),
        ("/fapi/v1/leverageBracket", "", 1),
        ("/fapi/v1/positionSide/dual", "", 30),
        ("/fapi/v1/premiumIndex", "", 10),
        ("/fapi/v1/premiumIndex", "symbol=BTCUSDT", 1),
        ("/fapi/v1/ticker/price", "", 2),
        ("/fapi/v1/exchangeInfo", "", 1),
        ("/fapi/v1/ticker/bookTicker", "", 5),
        ("/fapi/v1/ticker/bookTicker", "symbol=BTCUSDT", 2),
        ("/fapi/v1/depth", "symbol=BTCUSDT", 10),
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=50", 2),
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=100", 5),
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=1000", 20),
        ("/fapi/v1/nowhere", "", 1),
    ],
)
async def test_every_answer_tells_the_weight_used(wire: Wire, path: str, params: str, weight: int) -> None:
    assert (await wire.get(path, params)).used_weight == weight
    assert (await wire.get(path, params)).used_weight == 2 * weight
    assert wire.sim.requests[-1].weight == weight


async def test_a_new_minute_starts_from_nothing(wire: Wire, clock: StillClock) -> None:
    await wire.get("/fapi/v1/openOrders")
    clock.now += 60_000
    assert (await wire.get("/fapi/v1/ping")).used_weight == 1


async def test_the_budget_is_the_addresss_not_the_keys(wire: Wire, public: Wire) -> None:
    await wire.get("/fapi/v1/openOrders")
    assert (await public.get("/fapi/v1/ping")).used_weight == 41


@pytest.mark.skipif(sys.platform == "darwin", reason="only 127.0.0.1 is configured there")
async def test_another_address_has_its_own_budget(wire: Wire) -> None:
    await wire.get("/fapi/v1/openOrders")
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.9", 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        assert (await Wire(wire.sim, session, wire.key).get("/fapi/v1/ping")).used_weight == 1
    assert wire.sim.requests[-1].peer == "127.0.0.9"


async def test_the_wallets_calls_have_a_budget_of_their_own(wire: Wire) -> None:
    answer = await wire.get("/sapi/v1/capital/config/getall")
    assert answer.used_weight == 0
    assert answer.headers["X-SAPI-USED-IP-WEIGHT-1M"] == "10"


async def test_over_the_limit(wire: Wire, clock: StillClock) -> None:
    wire.sim.limits.weight_per_minute = 80
    assert (await wire.get("/fapi/v1/openOrders")).status == 200
    assert (await wire.get("/fapi/v1/openOrders")).status == 200
    answer = await wire.get("/fapi/v1/ping")
    assert (answer.status, answer.code) == (429, -1003)
    seconds_left = 60 - clock.now % 60_000 // 1000
    assert int(answer.headers["Retry-After"]) == seconds_left
    assert answer.used_weight == 81
    clock.now += seconds_left * 1000
    assert (await wire.get("/fapi/v1/ping")).status == 200


async def test_going_on_after_429_is_banned_longer_each_time(wire: Wire, clock: StillClock) -> None:
    wire.sim.limits.weight_per_minute = 0
    wire.sim.limits.refusals_before_ban = 3
    for minutes in (2, 4, 8):
        statuses = [(await wire.get("/fapi/v1/ping")).status for _ in range(4)]
        assert statuses == [429, 429, 429, 418]
        answer = await wire.get("/fapi/v1/ping")
        assert (answer.status, answer.code) == (418, -1003)
        assert int(answer.headers["Retry-After"]) == minutes * 60
        clock.now += minutes * 60_000
    wire.sim.limiter.forgive()
    wire.sim.limits.weight_per_minute = 2400
    assert (await wire.get("/fapi/v1/ping")).status == 200


async def test_exchange_info_tells_the_limit_in_force(wire: Wire) -> None:
    wire.sim.limits.weight_per_minute = 123_456
    limits = (await wire.get("/fapi/v1/exchangeInfo")).json["rateLimits"]
    weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 123_456}
    assert weight in limits

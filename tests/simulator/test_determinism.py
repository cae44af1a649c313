"""The same seed, clock and calls: byte-equal answers."""

from decimal import Decimal

import aiohttp
from tests.simulator.support import StillClock, Wire, conditional

from accountsync.simulator import Fault, Simulator

PATHS = (
    "/fapi/v1/time",
    "/fapi/v1/exchangeInfo",
    "/fapi/v1/openOrders",
    "/fapi/v1/openAlgoOrders",
    "/fapi/v2/account",
    "/fapi/v3/account",
    "/fapi/v3/balance",
    "/fapi/v3/positionRisk",
    "/fapi/v1/premiumIndex",
    "/fapi/v1/income",
    "/fapi/v1/forceOrders",
    "/sapi/v1/account/apiRestrictions",
    "/fapi/v1/nowhere",
)
BTC_PATHS = ("/fapi/v1/allOrders", "/fapi/v1/allAlgoOrders")


async def story(seed: int) -> list[tuple[int, bytes]]:
    clock = StillClock()
    answers: list[tuple[int, bytes]] = []
    async with Simulator(seed=seed, clock=clock) as sim, aiohttp.ClientSession() as session:
        world = sim.world
        accounts = [world.create_account(f"a{number}", wallet={"USDT": Decimal(10_000)}) for number in range(3)]
        wires = [Wire(sim, session, world.create_key(account)) for account in accounts]
        sim.faults.add(Fault.http_error(503, probability=0.2))
        sim.faults.add(Fault.duplicated(probability=0.3))
        for step in range(4):
            for account, wire in zip(accounts, wires, strict=True):
                order = world.place_order(
                    account,
                    symbol="BTCUSDT",
                    side="BUY",
                    price=Decimal(60_000 + step),
                    quantity=Decimal("0.1"),
                )
                world.fill(order, quantity=Decimal("0.03"))
                world.amend(order, price=Decimal(59_000))
                world.set_mark_price("BTCUSDT", Decimal(65_000))
                conditional(world, account, quantity="0.01", trigger_price=64_000 - step)
                world.set_mark_price("BTCUSDT", Decimal(64_000))
                for path in PATHS:
                    answer = await wire.get(path)
                    answers.append((answer.status, answer.body))
                for path in BTC_PATHS:
                    answer = await wire.get(path, "symbol=BTCUSDT")
                    answers.append((answer.status, answer.body))
            world.pay_funding("BTCUSDT", Decimal("0.0001"))
            world.liquidate(accounts[step % len(accounts)], "BTCUSDT")
            clock.now += 1234
    return answers


async def test_the_same_seed_tells_the_same_story() -> None:
    assert await story(5) == await story(5)


async def test_another_seed_tells_another() -> None:
    assert await story(5) != await story(6)


def test_keys_do_not_depend_on_what_was_made_before() -> None:
    first, second = Simulator(seed=1, clock=StillClock()), Simulator(seed=1, clock=StillClock())
    second.world.create_account("another")
    keys = [sim.world.create_key(sim.world.create_account("mine")) for sim in (first, second)]
    assert keys[0] == keys[1]

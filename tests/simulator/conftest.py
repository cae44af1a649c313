from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from tests.simulator.support import StillClock, Wire, client

from accountsync.simulator import Account, ApiKey, Simulator


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """On the wall clock, for clients that have a clock of their own."""
    async with Simulator(seed=7) as running:
        yield running


@pytest.fixture
async def still_sim(clock: StillClock) -> AsyncIterator[Simulator]:
    """On a clock that stands still."""
    async with Simulator(seed=7, clock=clock) as running:
        yield running


@pytest.fixture
def account(sim: Simulator) -> Account:
    return sim.world.create_account("grid-btc", wallet={"USDT": Decimal(10_000), "BNB": Decimal("0.5")})


@pytest.fixture
def key(sim: Simulator, account: Account) -> ApiKey:
    return sim.world.create_key(account, permissions={"read"})


@pytest.fixture
def trading_key(sim: Simulator, account: Account) -> ApiKey:
    return sim.world.create_key(account, permissions={"read", "trade"})


@pytest.fixture
async def connect(sim: Simulator) -> AsyncIterator[Callable[..., Any]]:
    """Makes ccxt clients of `sim` and closes them."""
    made: list[Any] = []

    def make(key: ApiKey | None = None, **config: Any) -> Any:
        made.append(client(sim, key, **config))
        return made[-1]

    yield make
    for exchange in made:
        await exchange.close()


@pytest.fixture
async def wire(still_sim: Simulator) -> AsyncIterator[Wire]:
    """A client of `still_sim` whose account may read and trade."""
    account = still_sim.world.create_account("grid-btc", wallet={"USDT": Decimal(10_000)})
    key = still_sim.world.create_key(account, permissions={"read", "trade"})
    async with aiohttp.ClientSession() as session:
        yield Wire(still_sim, session, key)


@pytest.fixture
def wire_account(wire: Wire) -> Account:
    return wire.sim.world.account("grid-btc")


@pytest.fixture
def public(wire: Wire) -> Wire:
    """The same without a key."""
    return Wire(wire.sim, wire.session)

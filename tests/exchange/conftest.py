"""A simulated exchange over real HTTP, and the venue that points at it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal

import pytest

from accountsync.exchange import CcxtExchange, EndpointPolicy, Venue, Venues
from accountsync.simulator import Account, Side, Simulator

LOOPBACK = EndpointPolicy(["http://127.0.0.1:*"])
Connect = Callable[..., CcxtExchange]


@pytest.fixture
async def within_a_minute() -> None:
    """Budgets begin anew with each minute: a test of sums does not begin in the last seconds of one."""
    left = 60 - time.time() % 60
    if left < 5:
        await asyncio.sleep(left)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(seed=1) as simulator:
        yield simulator


@pytest.fixture
async def venues() -> AsyncIterator[Venues]:
    venues = Venues(endpoints=LOOPBACK)
    yield venues
    await venues.close()


@pytest.fixture
def venue(venues: Venues, sim: Simulator) -> Venue:
    return venues.get("binanceusdm", endpoint=sim.url)


@pytest.fixture
def account(sim: Simulator) -> Account:
    """Two orders, one of them partly filled into a long, a short of another symbol, two assets."""
    account = sim.world.create_account("grid", wallet={"USDT": Decimal(10000), "USDC": Decimal(5)})
    order = sim.world.place_order(
        account,
        symbol="BTCUSDT",
        side=Side.BUY,
        price=Decimal(64000),
        quantity=Decimal("0.010"),
        client_order_id="grinder_1",
    )
    sim.world.fill(order, quantity=Decimal("0.004"))
    sim.world.place_order(
        account, symbol="ETHUSDT", side=Side.SELL, price=Decimal(9000), quantity=Decimal("0.5"), client_order_id="g_2"
    )
    sim.world.set_position(account, "ETHUSDT", Decimal("-1.5"))
    return account


@pytest.fixture
async def connect(venue: Venue, sim: Simulator) -> AsyncIterator[Connect]:
    """`connect(account)`: the account, read with a fresh read-only key."""
    opened: list[CcxtExchange] = []

    def open_account(account: Account, timeout: float = 5.0) -> CcxtExchange:
        key = sim.world.create_key(account, permissions={"read"})
        exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret}, timeout=timeout)
        opened.append(exchange)
        return exchange

    yield open_account
    for exchange in opened:
        await exchange.close()

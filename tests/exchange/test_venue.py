"""What accounts share is loaded once, without keys, and does not stand in their way."""

import asyncio
import subprocess
import sys
from decimal import Decimal

import pytest
from tests.exchange.conftest import LOOPBACK, Connect
from tests.exchange.test_budget import HandClock

from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.exchange import CcxtExchange, Venue, Venues, required_credentials
from accountsync.simulator import Account, Fault, Simulator

INFO = "*/exchangeInfo"


def loads(sim: Simulator) -> int:
    return len([record for record in sim.requests if record.path.endswith("/exchangeInfo")])


async def test_first_loads_are_one(sim: Simulator, venue: Venue) -> None:
    await asyncio.gather(*(venue.ready() for _ in range(50)))
    assert loads(sim) == 1


async def test_markets_are_loaded_without_keys(sim: Simulator, account: Account, connect: Connect) -> None:
    await connect(account).snapshot()
    assert [record.key for record in sim.requests if record.path.endswith("/exchangeInfo")] == [""]
    assert not [record for record in sim.requests if "/sapi/" in record.path]


async def test_a_failed_load_is_not_kept(sim: Simulator, venue: Venue) -> None:
    sim.faults.add(Fault.http_error(503, path=INFO, times=1))
    results = await asyncio.gather(*(venue.ready() for _ in range(5)), return_exceptions=True)
    assert [getattr(result, "reason", None) for result in results] == [Reason.EXCHANGE_UNAVAILABLE] * 5
    assert len({id(result) for result in results}) == 5
    await venue.ready()
    assert loads(sim) == 2


async def test_one_who_waits_may_leave(sim: Simulator, venue: Venue) -> None:
    sim.faults.add(Fault.latency(0.2, path=INFO))
    impatient, patient = asyncio.create_task(venue.ready()), asyncio.create_task(venue.ready())
    await asyncio.sleep(0.05)
    impatient.cancel()
    await patient
    assert impatient.cancelled()
    assert loads(sim) == 1


async def test_markets_are_renewed_behind_the_accounts_backs(sim: Simulator, account: Account) -> None:
    clock = HandClock()
    venues = Venues(endpoints=LOOPBACK, clock=clock, refresh_after=3600)
    venue = venues.get("binanceusdm", endpoint=sim.url)
    key = sim.world.create_key(account)
    exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret})
    await exchange.snapshot()
    markets = exchange._client.markets
    clock.pass_(3599)
    await exchange.snapshot()
    assert loads(sim) == 1
    clock.pass_(1)
    sim.faults.add(Fault.http_error(503, path=INFO, times=1))
    for _ in range(3):
        await exchange.snapshot()  # a renewal that fails changes nothing …
        await asyncio.sleep(0.05)
    assert (loads(sim), exchange._client.markets is markets) == (2, True)
    clock.pass_(300)
    for _ in range(2):
        await exchange.snapshot()  # … and is tried again later
        await asyncio.sleep(0.05)
    assert (loads(sim), exchange._client.markets is markets) == (3, False)
    await venues.close()


async def test_an_exchange_without_markets_is_none(venues: Venues) -> None:
    async with Simulator(symbols=()) as empty:
        with pytest.raises(ExchangeUnobserved) as caught:
            await venues.get("binanceusdm", endpoint=empty.url).ready()
    assert caught.value.reason is Reason.EXCHANGE_MALFORMED


async def test_a_venue_is_one_of_its_kind(venues: Venues, sim: Simulator) -> None:
    venue = venues.get("binanceusdm", endpoint=sim.url)
    assert venues.get("binanceusdm", endpoint=f"{sim.url}/") is venue
    assert venues.get("binanceusdm") is not venue
    assert venues.get("binanceusdm", sandbox=True) is not venues.get("binanceusdm")
    assert len(list(venues)) == 3


async def test_each_exchange_has_one_budget_to_show_and_it_is_the_fullest(venues: Venues) -> None:
    live, test = venues.get("binanceusdm"), venues.get("binanceusdm", sandbox=True)
    assert live.budget.limit
    with test.budget.reserve(300), live.budget.reserve(200):
        assert list(venues.budgets()) == [("binanceusdm", "default", 300, test.budget.limit)]


async def test_closing_in_the_middle_of_a_load_is_clean(sim: Simulator) -> None:
    venues = Venues(endpoints=LOOPBACK)
    venue = venues.get("binanceusdm", endpoint=sim.url)
    sim.faults.add(Fault.hang(path=INFO))
    waiting = asyncio.create_task(venue.ready())
    await asyncio.sleep(0.05)
    await venues.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_closed_account_answers_no_more(account: Account, connect: Connect) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    await exchange.close()
    with pytest.raises(RuntimeError):
        await exchange.snapshot()


async def test_accounts_share_tables_and_nothing_of_their_own(account: Account, connect: Connect) -> None:
    one, other = connect(account), connect(account)
    await one.snapshot()
    await other.snapshot()
    assert one._client.api is other._client.api
    assert one._client.markets is other._client.markets
    assert one._client.options is not other._client.options
    assert one._client.options["networks"] is not other._client.options["networks"]
    assert one._client.apiKey != other._client.apiKey


def test_credentials_have_ccxts_names() -> None:
    assert required_credentials("binanceusdm") == {"apiKey", "secret"}
    assert required_credentials("okx") == {"apiKey", "secret", "password"}
    assert required_credentials("hyperliquid") == {"walletAddress", "privateKey"}


def test_one_exchange_is_imported_not_a_hundred() -> None:
    program = """
import sys
import accountsync.exchange
assert not [name for name in sys.modules if name.startswith("ccxt")], "imported before it was needed"
from accountsync.exchange import library
one = library.exchange_class("binanceusdm")
assert "ccxt" not in sys.modules and "ccxt.async_support.okx" not in sys.modules
library.exchange_class("okx")
import ccxt.async_support
assert ccxt.async_support.binanceusdm is one
assert len(ccxt.async_support.exchanges) > 100
assert library.errors().BaseError is ccxt.BaseError
"""
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_a_decimal_is_never_a_float(account: Account, connect: Connect) -> None:
    snapshot = await connect(account).snapshot()
    for position in snapshot.positions:
        assert type(position.quantity) is Decimal
        assert type(position.entry_price) is Decimal

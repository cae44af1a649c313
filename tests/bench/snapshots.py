"""One account on a simulated exchange in another process: read by us, by hand, and by ccxt as it is."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import orjson
import yarl
from tests.bench.measure import Contestant, beside, measured, note, span, title
from tests.support.running import Simulator

from accountsync.exchange import CcxtExchange, EndpointPolicy, Venues, library
from accountsync.exchange.endpoint import moved

UNLIMITED = 1_000_000_000
MARKS = {"BTCUSDT": 65_000, "ETHUSDT": 3_200, "SOLUSDT": 150}
ACCOUNTS = {"small": 10, "large": 300}
LOOPBACK = EndpointPolicy(["http://127.0.0.1:*"])
Read = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an account is, and the key to it."""

    url: str
    key: str
    secret: str

    @property
    def credentials(self) -> dict[str, str]:
        return {"apiKey": self.key, "secret": self.secret}


@contextmanager
def simulated() -> Iterator[dict[str, Place]]:
    """A running exchange with `ACCOUNTS`, by name."""
    with TemporaryDirectory() as folder:
        scenario = Path(folder, "scenario.json")
        scenario.write_text(json.dumps({"accounts": [_account(name, count) for name, count in ACCOUNTS.items()]}))
        with Simulator(f"--scenario={scenario}", f"--weight-limit={UNLIMITED}") as simulator:
            yield {name: Place(simulator.url, f"{name}-key", f"{name}-secret") for name in ACCOUNTS}


def _account(name: str, orders: int) -> dict[str, Any]:
    symbols = list(MARKS)
    return {
        "name": name,
        "wallet": {"USDT": "1000000", "USDC": "5"},
        "keys": [{"api_key": f"{name}-key", "secret": f"{name}-secret", "permissions": ["read"]}],
        "positions": [{"symbol": symbol, "amount": "2"} for symbol in symbols],
        "orders": [
            {
                "symbol": symbol,
                "side": "BUY",
                "price": str(MARKS[symbol] // 10 * 9 - number // 3 % 10),
                "quantity": "1",
                "client_order_id": f"grinder_{number}",
            }
            for number, symbol in ((number, symbols[number % len(symbols)]) for number in range(orders))
        ],
    }


def plain_ccxt(place: Place) -> Any:
    """ccxt as it is but for the hosts of its addresses. Its waiting for the rate limit is off, in its favour."""
    client = library.exchange_class("binanceusdm")(
        {
            **place.credentials,
            "enableRateLimit": False,
            "timeout_on_exit": 0,
            "options": {"warnOnFetchOpenOrdersWithoutSymbol": False},
        }
    )
    client.urls = moved(client.urls, LOOPBACK.admit(place.url))
    return client


async def by_ccxt(client: Any) -> int:
    """The usual three calls. Returns the number of orders."""
    await client.fetch_positions()
    orders = await client.fetch_open_orders()
    await client.fetch_balance()
    return len(orders)


async def by_hand(session: aiohttp.ClientSession, place: Place) -> int:
    """The four requests that our snapshot makes, signed, sent and decoded, and nothing else. The number of orders."""
    secret = place.secret.encode()

    async def get(path: str, *, signed: bool = True) -> Any:
        url = f"{place.url}{path}"
        if signed:
            query = f"timestamp={time.time_ns() // 1_000_000}&recvWindow=5000"
            url = f"{url}?{query}&signature={hmac.new(secret, query.encode(), hashlib.sha256).hexdigest()}"
        async with session.get(yarl.URL(url, encoded=True), headers={"X-MBX-APIKEY": place.key}) as response:
            response.raise_for_status()
            return orjson.loads(await response.read())

    await get("/fapi/v1/time", signed=False)
    _, _, orders = await asyncio.gather(
        get("/fapi/v3/positionRisk"), get("/fapi/v3/account"), get("/fapi/v1/openOrders")
    )
    return len(orders)


def venues_on_loopback() -> Venues:
    return Venues(endpoints=LOOPBACK)


def snapshots(places: dict[str, Place]) -> None:
    title("One snapshot over HTTP, the exchange in another process: CPU time of this one alone")
    for name, orders in ACCOUNTS.items():
        with asyncio.Runner() as runner:
            venues, client = venues_on_loopback(), plain_ccxt(places[name])
            ours = CcxtExchange(venues.get("binanceusdm", endpoint=places[name].url), places[name].credentials)
            session = runner.run(_session())
            try:
                _compare(
                    runner,
                    f"3 positions, {orders} open orders",
                    orders,
                    {
                        "CcxtExchange.snapshot": partial(_by_us, ours),
                        "aiohttp + orjson, the same four requests": partial(by_hand, session, places[name]),
                        "ccxt: positions, open orders, balance": partial(by_ccxt, client),
                    },
                )
            finally:
                runner.run(_close(ours, venues, session, client))


def _compare(runner: asyncio.Runner, heading: str, orders: int, reads: dict[str, Read]) -> None:
    async def many(read: Read, loops: int) -> None:
        for _ in range(loops):
            if await read() != orders:
                raise RuntimeError("not the whole account was read")

    def run(read: Read, loops: int) -> None:
        runner.run(many(read, loops))

    contestants = [Contestant(name, partial(run, read)) for name, read in reads.items()]
    figure, *baselines = measured(*contestants, seconds=0.1)
    beside(heading, figure, baselines, span)
    bare = baselines[0]
    note(f"= {span(figure.median - bare.median)} for signing by ccxt and for checking and reading every row")


async def _by_us(exchange: CcxtExchange) -> int:
    return len((await exchange.snapshot()).orders)


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


async def _close(exchange: CcxtExchange, venues: Venues, session: aiohttp.ClientSession, client: Any) -> None:
    await exchange.close()
    await venues.close()
    await session.close()
    await client.close()

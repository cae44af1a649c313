"""What the simulator's tests share: a clock that stands still, an unmodified ccxt, and a client that signs by hand."""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import ccxt.async_support as ccxt
import orjson
from multidict import CIMultiDictProxy
from yarl import URL

from accountsync.simulator import Account, ApiKey, Simulator, World
from accountsync.simulator.algo import AlgoOrder

START_MS = 1_790_000_000_000


@dataclass(slots=True)
class StillClock:
    """Moves only when told to."""

    now: int = START_MS

    def __call__(self) -> int:
        return self.now


def client(sim: Simulator, key: ApiKey | None = None, **config: Any) -> Any:
    """ccxt as it is, with nothing but the hosts of its addresses changed."""
    credentials = {"apiKey": key.api_key, "secret": key.secret} if key else {}
    options = {"warnOnFetchOpenOrdersWithoutSymbol": False}
    exchange = ccxt.binanceusdm(
        {"enableRateLimit": False, "timeout_on_exit": 0, **credentials, "options": options, **config}
    )
    exchange.urls["api"] = rehosted(exchange.urls["api"], sim.url)
    return exchange


def rehosted(addresses: Any, base: str) -> Any:
    if isinstance(addresses, dict):
        return {name: rehosted(value, base) for name, value in addresses.items()}
    return re.sub(r"^https?://[^/]+", base, addresses)


def conditional(world: World, account: Account, **changes: Any) -> AlgoOrder:
    """A stop that sells 0.1 at the market from 60000 down; amounts may be given as text."""
    wanted: dict[str, Any] = {"symbol": "BTCUSDT", "side": "SELL", "order_type": "STOP_MARKET", "quantity": "0.1"}
    wanted |= {"trigger_price": "60000"} | changes
    amounts = ("quantity", "trigger_price", "price", "activate_price", "callback_rate")
    wanted |= {name: Decimal(wanted[name]) for name in amounts if wanted.get(name) is not None}
    return world.algos.place(account, **wanted)


async def until(happened: Callable[[], object]) -> None:
    """Wait for what nobody tells, and fail if it does not come."""
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 - the log is not an event, and need not be
            await asyncio.sleep(0)


async def until_asked(sim: Simulator) -> None:
    """Until the first request has arrived."""
    await until(lambda: sim.requests.total)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: CIMultiDictProxy[str]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> int:
        code: int = self.json["code"]
        return code

    @property
    def used_weight(self) -> int:
        return int(self.headers["X-MBX-USED-WEIGHT-1M"])


@dataclass(frozen=True, slots=True)
class Wire:
    """Speaks HTTP to a simulator and signs on the simulator's own clock."""

    sim: Simulator
    session: aiohttp.ClientSession
    key: ApiKey | None = None

    def signed(self, params: str = "", *, timestamp: int | None = None, secret: str | None = None) -> str:
        assert self.key
        stamp = self.sim.world.now_ms() if timestamp is None else timestamp
        query = "&".join(part for part in (params, f"timestamp={stamp}") if part)
        digest = hmac.new((secret or self.key.secret).encode(), query.encode(), hashlib.sha256).hexdigest()
        return f"{query}&signature={digest}"

    async def get(self, path: str, params: str = "") -> Answer:
        """Signed if there is a key."""
        return await self.send("GET", path, self.signed(params) if self.key else params)

    async def call(self, method: str, path: str, **params: object) -> Answer:
        """Signed, with these parameters in the query string."""
        return await self.send(method, path, self.signed(urlencode(params)))

    async def order(self, **changes: object) -> Answer:
        """Places one: a BTCUSDT buy of 0.1 unless told otherwise; a parameter that is None is not sent."""
        wanted: dict[str, object] = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
        if changes.get("price") is not None:
            wanted |= {"type": "LIMIT", "timeInForce": "GTC"}
        wanted = {name: value for name, value in (wanted | changes).items() if value is not None}
        return await self.call("POST", "/fapi/v1/order", **wanted)

    async def send(self, method: str, path: str, query: str = "", body: str | None = None) -> Answer:
        """Query string and body exactly as given."""
        headers = {"X-MBX-APIKEY": self.key.api_key} if self.key else {}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = URL(f"{self.sim.url}{path}?{query}" if query else f"{self.sim.url}{path}", encoded=True)
        async with self.session.request(method, url, headers=headers, data=body) as response:
            return Answer(response.status, await response.read(), response.headers)

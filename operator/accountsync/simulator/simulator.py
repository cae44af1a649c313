"""The simulator as a whole: world, exchange, control interface and their two ports.

async with Simulator(seed=1) as sim:
    account = sim.world.create_account("grid-btc", wallet={"USDT": Decimal(10000)})
    key = sim.world.create_key(account, permissions={"read"})
    ...  # point a client at sim.url
"""

import ipaddress
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from aiohttp import web

from accountsync.simulator.control import control_app
from accountsync.simulator.exchange import Exchange
from accountsync.simulator.faults import FaultBook
from accountsync.simulator.history import History
from accountsync.simulator.journal import DEFAULT_CAPACITY, Journal
from accountsync.simulator.limits import Limits, RateLimiter
from accountsync.simulator.markets import DEFAULT_SYMBOLS, SymbolSpec
from accountsync.simulator.server import ExchangeServer
from accountsync.simulator.world import World

BACKLOG = 1024


def wall_clock_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Simulator:
    """A simulated exchange; an async context manager that listens while it is entered.

    `seed` and `clock` (Unix ms) decide everything: the same calls get byte-equal answers. `host`, and `control_host` if
    it is another, must be loopback addresses unless the simulator is `exposed`; port 0 takes a free one. All attributes
    may be used before entering too, and only from the event loop that entered it.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        clock: Callable[[], int] = wall_clock_ms,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int = 0,
        control_host: str = "",
        exposed: bool = False,
        symbols: Iterable[SymbolSpec] = DEFAULT_SYMBOLS,
        log_capacity: int = DEFAULT_CAPACITY,
    ) -> None:
        for each in (host, control_host or host):
            if not ipaddress.ip_address(each).is_loopback and not exposed:
                raise ValueError(f"host {each!r}: the simulator listens on loopback, such as 127.0.0.1, unless exposed")
        self.world = World(seed=seed, clock=clock, symbols=symbols)
        self.faults = FaultBook(seed)
        self.limiter = RateLimiter()
        self.requests = Journal(log_capacity)
        self.exchange = Exchange(self.world, self.faults, self.limiter, self.requests, History())
        self._server = ExchangeServer(self.exchange)
        self._hosts = {"exchange": host, "control": control_host or host}
        self._ports = {"exchange": port, "control": control_port}
        self._runners: list[web.BaseRunner] = []

    @property
    def limits(self) -> Limits:
        """The limits in force; change them at any time."""
        return self.limiter.limits

    @property
    def url(self) -> str:
        """Scheme, host and port of the exchange."""
        return self._url("exchange")

    @property
    def control_url(self) -> str:
        """Scheme, host and port of the control interface."""
        return self._url("control")

    async def start(self) -> None:
        """Listen on both ports, or on neither: OSError if one is taken."""
        try:
            await self._listen()
        except OSError:
            await self.stop()
            raise

    async def _listen(self) -> None:
        control = web.AppRunner(control_app(self.world, self.faults, self.limiter, self.requests), access_log=None)
        for name, runner in (("exchange", self._server.runner()), ("control", control)):
            await runner.setup()
            self._runners.append(runner)
            await web.TCPSite(runner, self._hosts[name], self._ports[name], backlog=BACKLOG).start()
            self._ports[name] = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close both ports; requests that hang or are still on their way are dropped."""
        self._server.stop()
        self.faults.clear()
        while self._runners:
            await self._runners.pop().cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _url(self, name: str) -> str:
        host = self._hosts[name]
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._ports[name]}"

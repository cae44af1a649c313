"""What accounts on one exchange share: its markets, its connections and its request budget.

Markets are loaded without keys, once for all accounts of a (exchange, sandbox, endpoint), and again every few hours
behind their backs. An account's own ccxt instance is a copy of the venue's that shares every table which no account
changes: it costs kilobytes and microseconds where a new one costs a quarter of a megabyte and milliseconds.
"""

import asyncio
import copy
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

from accountsync.clock import SystemClock
from accountsync.errors import AccountSyncError, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import library
from accountsync.exchange.binance import BinanceUsdm
from accountsync.exchange.budget import WeightBudget
from accountsync.exchange.endpoint import EndpointPolicy, Origin, moved
from accountsync.exchange.failures import fresh, understood
from accountsync.exchange.numbers import malformed
from accountsync.exchange.transport import Client, Wire
from accountsync.exchange.unified import Unified
from accountsync.ports import Clock

T = TypeVar("T")
REFRESH_AFTER = 4 * 3600.0
RETRY_REFRESH_AFTER = 300.0
NEW_SYMBOL_AFTER = 60.0
MARKETS_TIMEOUT = 30.0
MARKETS_WEIGHT = 1
DIALECTS: Mapping[str, Unified] = {"binanceusdm": BinanceUsdm()}
ANY_EXCHANGE = Unified()

SHARED = frozenset(
    {
        *(
            "api",
            "has",
            "exceptions",
            "fees",
            "features",
            "limits",
            "httpExceptions",
            "timeframes",
            "urls",
            "countries",
        ),
        *("requiredCredentials", "commonCurrencies", "ecdsaCurves", "ecdsaPrehashedAlgorithms", "loadedFees", "status"),
        *("markets", "markets_by_id", "symbols", "ids", "currencies", "currencies_by_id", "baseCurrencies"),
        *("quoteCurrencies", "codes"),
    }
)
"""Attributes of a ccxt instance that only loading markets writes: accounts share the venue's."""


class Venue:
    """One exchange at one place. Made by `Venues.get`; belongs to the event loop that first used it.

    `steps`: symbol → the smallest quantity that can be traded; empty before the markets are known.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        sandbox: bool,
        origin: Origin | None,
        clock: Clock,
        refresh_after: float,
        trust_env: bool,
    ) -> None:
        self.exchange_id = exchange_id
        self.dialect = DIALECTS.get(exchange_id, ANY_EXCHANGE)
        self.budget = WeightBudget(exchange_id, clock, limit=self.dialect.default_limit)
        self._clock = clock
        self._refresh_after = refresh_after
        self._wire = Wire(exchange_id, self.budget, self.dialect, origin=origin, trust_env=trust_env)
        self._template = self._make_template(sandbox=sandbox, origin=origin)
        self.steps: Mapping[str, Decimal] = MappingProxyType({})
        self._load: asyncio.Task[AccountSyncError | None] | None = None
        self._due = 0.0
        self._loaded_at = 0.0

    def __repr__(self) -> str:
        return f"Venue({self.exchange_id!r})"

    @property
    def loaded(self) -> bool:
        """Whether the markets are known."""
        return bool(self._template.markets)

    @property
    def tells_fills(self) -> bool:
        """Whether the fills of an account can be read."""
        return self.dialect.tells_fills(self._template)

    async def ready(self) -> None:
        """Wait until the markets are known. Raises what the load ended with; the next call tries again."""
        if self.loaded:
            if self._clock.monotonic() >= self._due:
                self._start_load()
            return
        # one load for all who wait; a waiter that is cancelled takes nothing from the others
        problem = await asyncio.shield(self._start_load())
        if problem is not None:
            raise fresh(problem)

    def client(self, credentials: Mapping[str, str], timeout: float) -> Any:
        """A ccxt instance of one account's own. `timeout`: seconds for each request."""
        client = copy.copy(self._template)
        for name, value in vars(client).items():
            if name not in SHARED and isinstance(value, dict | list | set):
                setattr(client, name, copy.deepcopy(value))
        client.timeout = timeout * 1000
        client.asyncio_loop = asyncio.get_running_loop()
        client.throttler = library.throttler(client)
        for name, value in credentials.items():
            setattr(client, name, value)
        return client

    async def call(self, doing: str, call: Awaitable[T]) -> T:
        """The result of `call`, an exchange of requests with this venue; whatever it raises comes out as ours."""
        try:
            return await understood(self.exchange_id, doing, call)
        except ExchangeUnobserved as problem:
            if problem.reason is Reason.RATE_LIMITED and problem.retry_after is None:
                # told in a body, without a header: everybody stays away nevertheless
                problem.retry_after = self.budget.back_off(None)
            error = fresh(problem)
        raise error

    def share_markets(self, client: Any) -> None:
        """Give `client` the present markets."""
        if client.markets is not self._template.markets:
            client.set_markets_from_exchange(self._template)

    def missed(self, symbol: str) -> None:
        """An account holds a `symbol` that the markets lack: load them again, at most once a minute."""
        if symbol not in self._template.markets and self._clock.monotonic() >= self._loaded_at + NEW_SYMBOL_AFTER:
            self._due = self._clock.monotonic()

    def canonical_symbol(self, text: str) -> str:
        """The unified spelling. Raises KeyError for an unlisted symbol, RuntimeError before markets are known."""
        if not self.loaded:
            raise RuntimeError(f"the markets of {self.exchange_id} are not loaded yet")
        try:
            symbol = self._template.market(text)["symbol"]
        except library.errors().BaseError:
            symbol = None
        if symbol not in self._template.markets:
            raise KeyError(text)
        return str(symbol)

    def exchange_now_ms(self) -> int:
        """The exchange's clock, as its answers last told it."""
        return self.budget.exchange_now_ms()

    async def close(self) -> None:
        """Stop loading and close all connections."""
        load, self._load = self._load, None
        if load is not None:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        await self._wire.close()

    def _start_load(self) -> "asyncio.Task[AccountSyncError | None]":
        if self._load is None:
            self._load = asyncio.create_task(self._load_markets(), name=f"markets of {self.exchange_id}")
        return self._load

    async def _load_markets(self) -> AccountSyncError | None:
        """Load the markets; a failure is the result, since several may wait for it, or nobody."""
        self._due = self._clock.monotonic() + RETRY_REFRESH_AFTER
        try:
            loading = self.client({}, MARKETS_TIMEOUT)
            with self.budget.reserve(MARKETS_WEIGHT):
                await self.call("listing its markets", loading.load_markets(reload=True))
            if not loading.markets:
                return malformed(f"{self.exchange_id} listed no markets")
        except AccountSyncError as problem:
            return _of_the_exchange(problem, self.exchange_id)
        else:
            self._template = loading
            self.steps = self.dialect.steps(loading)
            self._loaded_at = self._clock.monotonic()
            self._due = self._loaded_at + self._refresh_after
            return None
        finally:
            self._load = None

    def _make_template(self, *, sandbox: bool, origin: Origin | None) -> Any:
        template = _class_of(self.exchange_id)({"number": Decimal, "enableRateLimit": True})
        template.wire = self._wire
        self.dialect.prepare(template)
        if sandbox:
            _enter_sandbox(self.dialect, template)
        if origin is not None:
            template.urls = moved(template.urls, origin)
        return template


class Venues:
    """All venues of this process. `egress` names the address that requests leave from, for metrics."""

    def __init__(
        self,
        *,
        endpoints: EndpointPolicy | None = None,
        clock: Clock | None = None,
        egress: str = "",
        refresh_after: float = REFRESH_AFTER,
        trust_env: bool = False,
    ) -> None:
        self.egress = egress
        self._endpoints = endpoints or EndpointPolicy()
        self._clock = clock or SystemClock()
        self._refresh_after = refresh_after
        self._trust_env = trust_env
        self._venues: dict[tuple[str, bool, Origin | None], Venue] = {}

    def get(self, exchange_id: str, *, sandbox: bool = False, endpoint: str = "") -> Venue:
        """The venue of these three, made on first use. Raises ConfigurationError; makes no request."""
        library.require_known(exchange_id)
        origin = self._endpoints.admit(endpoint) if endpoint else None
        key = (exchange_id, sandbox, origin)
        if key not in self._venues:
            self._venues[key] = Venue(
                exchange_id,
                sandbox=sandbox,
                origin=origin,
                clock=self._clock,
                refresh_after=self._refresh_after,
                trust_env=self._trust_env,
            )
        return self._venues[key]

    def __iter__(self) -> Iterator[Venue]:
        return iter(tuple(self._venues.values()))

    def budgets(self) -> Iterable[tuple[str, str, int, int]]:
        """Weight used and its limit for each exchange in use and way out: of its venues the fullest one's."""
        fullest: dict[str, WeightBudget] = {}
        for venue in self:
            budget = venue.budget
            if budget.limit and budget.fullness >= fullest.setdefault(venue.exchange_id, budget).fullness:
                fullest[venue.exchange_id] = budget
        for exchange_id, budget in fullest.items():
            assert budget.limit is not None
            yield exchange_id, self.egress or "default", budget.used, budget.limit

    async def close(self) -> None:
        """Close every venue."""
        venues, self._venues = tuple(self._venues.values()), {}
        for venue in venues:
            await venue.close()


def _class_of(exchange_id: str) -> Any:
    """The class of ccxt with our sending in it; made once each, since ccxt writes to the class of its instances."""
    if exchange_id not in _classes:
        base = library.exchange_class(exchange_id)
        _classes[exchange_id] = type(exchange_id, (Client, base), {})
    return _classes[exchange_id]


_classes: dict[str, Any] = {}


def _enter_sandbox(dialect: Unified, template: Any) -> None:
    try:
        dialect.use_sandbox(template)
    except Exception:  # noqa: BLE001 - NotSupported, or a TypeError where an exchange has an empty list of test URLs
        supported = False
    else:
        supported = bool(template.urls.get("api"))
    if not supported:
        raise ConfigurationError(
            Reason.SPEC_INVALID, f"ccxt knows no sandbox of {template.id}: spec.exchange.sandbox must be false"
        )


def _of_the_exchange(problem: AccountSyncError, exchange_id: str) -> AccountSyncError:
    """No account's credentials were used, so none are wrong."""
    if problem.reason is Reason.CREDENTIALS_REJECTED:
        return ExchangeUnobserved(
            Reason.EXCHANGE_REFUSED, f"{exchange_id} does not list its markets without credentials"
        )
    return problem

"""One account on one exchange, read-only, behind the `Exchange` port.

Invariants:
1. A snapshot is whole: every part was read and understood, or stands in `missing`, or the call raises. Only what can
   be done without may be missing: the conditional orders, and the end of a list that the exchange cuts.
2. No such order means that the exchange said so about that very order.
3. Fills and income are complete from the given moment on, or the call raises.
4. What is raised is ours and was made anew: no upstream text, no URL, no credential, no cause.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from accountsync.domain.account import AccountSnapshot, Fill, Income, Order
from accountsync.domain.finding import sanitize
from accountsync.domain.marks import Mark
from accountsync.errors import ConfigurationError, Reason
from accountsync.exchange import library
from accountsync.exchange.failures import OrderUnknownError
from accountsync.exchange.venue import Venue

DEFAULT_TIMEOUT = 10.0


class CcxtExchange:
    """An account on `venue`. `credentials` by ccxt's names; `timeout`: seconds for each single request.

    Raises ConfigurationError (SecretKeyMissing) for credentials that the exchange requires and that are not there.
    """

    def __init__(self, venue: Venue, credentials: Mapping[str, str], *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.venue = venue
        self.forgets_after_ms = venue.dialect.forgets_after_ms
        self.tells_fills = venue.tells_fills
        self.tells_income = venue.dialect.tells_income
        self._credentials = usable_credentials(venue.exchange_id, credentials)
        self._timeout = timeout
        self._client: Any = None
        self._closed = False
        self._now_ms = 0

    def __repr__(self) -> str:
        return f"CcxtExchange({self.venue.exchange_id!r})"

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        """Read the account, whole or only `symbols`. Raises ExchangeUnobserved or ConfigurationError."""
        client = await self._ready()
        scope = self._scope(symbols)
        dialect = self.venue.dialect
        with self.venue.budget.reserve(dialect.snapshot_weight(scope)):
            snapshot: AccountSnapshot = await self.venue.call(
                "reading the account", dialect.snapshot(client, scope, self._present())
            )
        for symbol in {row.symbol for row in snapshot.positions} | {row.symbol for row in snapshot.orders}:
            self.venue.missed(symbol)
        return replace(snapshot, steps=self.venue.steps)

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        """Ask for one order by id or, without one, by client id; None only when the exchange knows no such order.

        `conditional`: which of the two kinds; None: first an ordinary one, then a conditional one.
        """
        if not order_id and not client_id:
            raise ValueError("an order is asked for by its id or its client id")
        client = await self._ready()
        (unified,) = self._scope([symbol])
        dialect = self.venue.dialect
        with self.venue.budget.reserve(dialect.order_weight(conditional)):
            try:
                order: Order = await self.venue.call(
                    "asking for an order", dialect.find_order(client, unified, order_id, client_id, conditional)
                )
            except OrderUnknownError:
                return None
        return order

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:
        """Every fill of `symbol` from `since` (exchange ms) on, in order. Raises ExchangeUnobserved for a part."""
        client = await self._ready()
        (unified,) = self._scope([symbol])
        reading = self.venue.dialect.fills(client, unified, since, self._present(), self.venue.budget.reserve)
        fills: tuple[Fill, ...] = await self.venue.call("reading the fills", reading)
        return fills

    async def income(self, since: int) -> tuple[Income, ...]:
        """Every change of a wallet balance from `since` (exchange ms) on. Raises ExchangeUnobserved for a part."""
        client = await self._ready()
        reading = self.venue.dialect.income(client, since, self._present(), self.venue.budget.reserve)
        income: tuple[Income, ...] = await self.venue.call("reading the income", reading)
        return income

    async def mark(self, symbol: str) -> Mark | None:
        """The mark price of `symbol` and exchange ms of it; None: it has none. Raises as `snapshot`."""
        client = await self._ready()
        (unified,) = self._scope([symbol])
        dialect = self.venue.dialect
        with self.venue.budget.reserve(dialect.mark_weight):
            mark: Mark | None = await self.venue.call(
                "asking for a price", dialect.mark(client, unified, self._present())
            )
        return mark

    async def excess_rights(self) -> tuple[str, ...] | None:
        """What the key may do besides reading, of "trade" and "withdraw"; None where the exchange doesn't tell.

        Raises as `snapshot`.
        """
        client = await self._ready()
        rights: frozenset[str] | None = await self.venue.call(
            "asking what the key may do", self.venue.dialect.rights(client)
        )
        return None if rights is None else tuple(sorted(rights))

    async def may_trade(self) -> bool | None:
        """Whether the key may trade; None where the exchange doesn't tell. Raises as `snapshot`."""
        rights = await self.excess_rights()
        return None if rights is None else "trade" in rights

    def canonical_symbol(self, text: str) -> str:
        """The unified spelling of `text`. Raises KeyError for a symbol that the exchange does not list."""
        return self.venue.canonical_symbol(text)

    async def close(self) -> None:
        """Forget the credentials. The connections are the venue's."""
        self._closed = True
        self._credentials = {}
        client, self._client = self._client, None
        if client is not None:
            client.throttler.queue.clear()  # requests that were cancelled
            client.throttler.running = False

    async def _ready(self) -> Any:
        if self._closed:
            raise RuntimeError("this account was closed")
        await self.venue.ready()
        if self._client is None:
            self._client = self.venue.client(self._credentials, self._timeout)
        self.venue.share_markets(self._client)
        return self._client

    def _present(self) -> int:
        """The exchange's time as it is known, in ms; it never goes back."""
        self._now_ms = max(self._now_ms, self.venue.exchange_now_ms())
        return self._now_ms

    def _scope(self, symbols: Sequence[str]) -> list[str]:
        unknown = []
        scope = {}
        for symbol in symbols:
            try:
                scope[self.venue.canonical_symbol(symbol)] = True
            except KeyError:
                unknown.append(sanitize(symbol))
        if unknown:
            raise ConfigurationError(
                Reason.UNKNOWN_SYMBOL, f"{self.venue.exchange_id} does not list {', '.join(unknown)}"
            )
        return list(scope)


def usable_credentials(exchange_id: str, given: Mapping[str, str]) -> dict[str, str]:
    """Those of `given` that ccxt has a name for, without the line break that a file or an editor left behind them."""
    known = library.known_credentials(exchange_id)
    usable = {name: value.strip() for name, value in given.items() if name in known and value.strip()}
    missing = sorted(library.required_credentials(exchange_id) - usable.keys())
    if missing:
        raise ConfigurationError(
            Reason.SECRET_KEY_MISSING,
            f"{exchange_id} needs the Secret key{'s' * (len(missing) > 1)} {', '.join(missing)}",
        )
    return usable

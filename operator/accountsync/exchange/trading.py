"""One account on one exchange, with the key that may trade, behind the `Trading` port.

Invariants:
1. A call sends one request, or none: nothing is tried again, by us, by ccxt or by aiohttp, and every call has a client
   and a connection of its own.
2. `NotSent` only where no byte of the request left; `Refused` only where the exchange's answer proves that nothing
   happened; everything else is `OutcomeUnknown`.
3. The stamp is checked when the request is signed and its connection stands, right before the first byte.
4. What is raised was made anew: no upstream text, no URL, no credential, no cause.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from http import HTTPStatus
from typing import Any, TypeVar

from accountsync.domain.account import Order, Position, PositionSide, Side
from accountsync.domain.finding import sanitize
from accountsync.errors import AccountSyncError, ActionError, NotSent, OutcomeUnknown, Reason, Refused
from accountsync.exchange.ccxt_exchange import DEFAULT_TIMEOUT, usable_credentials
from accountsync.exchange.failures import translated
from accountsync.exchange.once import Once
from accountsync.exchange.transport import TEAPOT, decoded
from accountsync.exchange.unified_trading import Denial, bounded
from accountsync.exchange.venue import Venue
from accountsync.ports import NewOrder, Stamp

T = TypeVar("T")
CLOSING = {PositionSide.LONG: Side.SELL, PositionSide.SHORT: Side.BUY}
RATE_LIMITED = Denial(Reason.RATE_LIMITED, "our rate is limited")


class CcxtTrading:
    """An account on `venue`. `credentials`: of the trade key, by ccxt's names; `timeout`: seconds for a request.

    `expires_requests`: whether the exchange refuses a request after its stamp's time. Raises ConfigurationError
    (SecretKeyMissing) for credentials that the exchange requires and that are not there.
    """

    def __init__(self, venue: Venue, credentials: Mapping[str, str], *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.venue = venue
        self.expires_requests = venue.dialect.expires_requests
        self._credentials = usable_credentials(venue.exchange_id, credentials)
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"CcxtTrading({self.venue.exchange_id!r})"

    async def cancel(self, *, symbol: str, order_id: str, conditional: bool, stamp: Stamp) -> None:
        """Cancel one order by the exchange's id. Raises NotSent, Refused or OutcomeUnknown.

        Refused, too, for an order that is not open: it may have ended by a fill, so it has to be asked for.
        """
        dialect = self.venue.dialect

        async def act(client: Any, unified: str) -> None:
            await dialect.cancel(client, unified, order_id, conditional, stamp)

        doing = f"cancelling order {sanitize(order_id)} of {sanitize(symbol)}"
        await self._once(doing, symbol, dialect.cancel_weight, stamp, act)

    async def place(self, order: NewOrder, stamp: Stamp) -> Order:
        """Place one order that closes; the exchange's answer to it. Raises NotSent, Refused or OutcomeUnknown.

        A limit price is rounded to the tick so that the order never takes a worse one; the quantity has to be a
        multiple of the step.
        """

        async def act(client: Any, unified: str) -> Order:
            return await self.venue.dialect.place(client, self._sendable(client, unified, order), stamp)

        doing = f"an order to {order.side.value} {order.quantity:f} {sanitize(order.symbol)}"
        return await self._once(doing, order.symbol, 0, stamp, act)

    async def held(self, symbol: str, leg: PositionSide) -> Decimal:
        """The quantity of a leg as this key sees it, signed on NET; 0: there is none. Raises NotSent."""
        dialect = self.venue.dialect
        try:
            await self.venue.ready()
            unified = self._listed(symbol)
            client = self.venue.client(self._credentials, self._timeout)
            with self.venue.budget.reserve(dialect.held_weight):
                rows: list[Position] = await self.venue.call(
                    "reading a position with the trade key", dialect.held(client, unified)
                )
        except AccountSyncError as error:
            problem = NotSent(error.message, error.reason)
        else:
            return sum((row.quantity for row in rows if (row.symbol, row.side) == (unified, leg)), Decimal(0))
        raise problem

    async def close(self) -> None:
        """Forget the key. A call that is under way keeps its own client."""
        self._credentials = {}

    async def _once(
        self, doing: str, symbol: str, weight: int, stamp: Stamp, act: Callable[[Any, str], Awaitable[T]]
    ) -> T:
        once = Once(stamp.check)
        try:
            client = await self._client(once)
            unified = self._listed(symbol)
            with self.venue.budget.reserve(weight):
                return await act(client, unified)
        except Exception as error:  # noqa: BLE001 - ccxt may raise anything on content that it doesn't expect
            problem = self._judged(error, once)
        if once.left and problem.reason is Reason.RATE_LIMITED and not self.venue.budget.away_for:
            self.venue.budget.back_off(None)  # told in a body, without a header: everybody stays away nevertheless
        raise type(problem)(f"{doing}: {problem.message}", problem.reason)

    async def _client(self, once: Once) -> Any:
        if not self._credentials:
            raise NotSent("the trade key was forgotten")
        await self.venue.ready()
        client = self.venue.client(self._credentials, self._timeout)
        client.once = once
        return client

    def _judged(self, error: Exception, once: Once) -> ActionError:
        """What `error` means for the account."""
        exchange = self.venue.exchange_id
        if isinstance(error, ActionError) and once.status is None:
            return error
        ours = translated(error, exchange, "answering")
        reason, words = (ours.reason, ours.message) if isinstance(ours, AccountSyncError) else (Reason.INTERNAL, "")
        if not once.left:
            if not isinstance(error, AccountSyncError):
                reason, words = Reason.INTERNAL, f"the request could not be made ({type(error).__name__})"
            return NotSent(f"nothing was sent: {words}", reason)
        denial = self._denial(error, once)
        if denial is not None:
            return Refused(f"{exchange} refused: {denial.words}", denial.reason)
        return OutcomeUnknown(f"it may have happened: {words}", reason)

    def _denial(self, error: Exception, once: Once) -> Denial | None:
        if once.status is None:
            return None
        if once.status in (HTTPStatus.TOO_MANY_REQUESTS, TEAPOT):
            return RATE_LIMITED  # by whoever stands before the exchange's engine
        denial: Denial | None = self.venue.dialect.denied(once.status, decoded(once.body), error)
        return denial

    def _listed(self, symbol: str) -> str:
        try:
            return self.venue.canonical_symbol(symbol)
        except KeyError:
            pass
        raise NotSent(
            f"{self.venue.exchange_id} does not list it any more: what is left of it is for a person",
            Reason.UNKNOWN_SYMBOL,
        )

    def _sendable(self, client: Any, symbol: str, order: NewOrder) -> NewOrder:
        step = self.venue.steps.get(symbol)
        if step is None:
            raise NotSent("the smallest quantity that can be traded is not known", Reason.SPEC_INVALID)
        if order.quantity <= 0 or order.quantity % step:
            raise NotSent(f"the quantity is not a multiple of {step:f}", Reason.SPEC_INVALID)
        if CLOSING.get(order.leg, order.side) is not order.side:
            raise NotSent(f"to {order.side.value} would add to the {order.leg.value} leg", Reason.SPEC_INVALID)
        price = None if order.price is None else bounded(client, symbol, order.side, order.price)
        return replace(order, symbol=symbol, price=price)

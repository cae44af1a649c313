"""The seams between the judgement and the world. Each has a real adapter and an in-memory fake that pass one suite.

Everything that touches a clock, a network or Kubernetes stands behind one of these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from accountsync.domain.account import AccountSnapshot, Fill, Income, Order, PositionSide, Side
from accountsync.domain.expected import ExpectedState
from accountsync.domain.marks import Mark
from accountsync.domain.plan import Plan, Repair


class Clock(Protocol):
    """Wall time is for people and for comparing with others' stamps; spans are always measured on `monotonic`."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class Exchange(Protocol):
    """One account on one exchange, read-only. All methods raise `ExchangeUnobserved` or `ConfigurationError`."""

    forgets_after_ms: int | None
    """The age, in ms, from which the exchange may deny an order that is open; None: it never does."""
    tells_fills: bool
    tells_income: bool

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        """Read the account, whole or only `symbols` (unified or native spelling).

        Parts that could not be read, or not to their end, are listed in `missing`.
        """
        ...

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        """Ask for one order by id; None only when the exchange itself says that it knows no such order.

        `conditional`: which of the two kinds; None: first an ordinary one, then a conditional one.
        """
        ...

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:
        """Every fill of `symbol` from `since` (exchange ms) on; only where `tells_fills`."""
        ...

    async def income(self, since: int) -> tuple[Income, ...]:
        """Every change of a wallet balance from `since` (exchange ms) on; only where `tells_income`."""
        ...

    async def mark(self, symbol: str) -> Mark | None:
        """The mark price of `symbol`, whether it is held or not, and exchange ms of it; None: it has none."""
        ...

    def canonical_symbol(self, text: str) -> str:
        """The unified spelling of `text`, which may be unified or the exchange's own.

        Raises KeyError for a symbol that the exchange does not list. Valid after the first `snapshot`.
        """
        ...


class BotState(Protocol):
    """Where a bot's belief is read. Raises `BeliefUnobserved` or `ConfigurationError`."""

    async def read(self) -> ExpectedState:
        """The bot's belief, with symbols in the bot's own spelling."""
        ...


@dataclass(frozen=True, slots=True)
class Stamp:
    """What fences one request. `timestamp`: exchange ms; `recv_window`: ms after it in which the exchange takes it.

    `check` is called after the request was signed and right before its first byte leaves; it raises `NotSent` where
    the account may no longer be acted on.
    """

    timestamp: int
    recv_window: int
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order that closes: it is sent as reduce-only (in hedge mode as the opposite side of `leg`), and IOC.

    `quantity`: base-asset units; `price` None: market.
    """

    symbol: str
    side: Side
    leg: PositionSide
    quantity: Decimal
    price: Decimal | None
    client_id: str


class Trading(Protocol):
    """One account on one exchange, with the key that may trade: made for what was approved, and closed after it.

    `cancel` and `place` raise `NotSent` (nothing left), `Refused` (the exchange said no: nothing happened) or
    `OutcomeUnknown`. They never try a second time.
    """

    expires_requests: bool
    """Whether the exchange refuses a request whose time has passed; else nothing goes on alone."""

    async def held(self, symbol: str, leg: PositionSide) -> Decimal:
        """The quantity of a leg as this key sees it, signed on NET; 0: there is none. Raises `NotSent`."""
        ...

    async def cancel(self, *, symbol: str, order_id: str, conditional: bool, stamp: Stamp) -> None:
        """Cancel one order by the exchange's id."""
        ...

    async def place(self, order: NewOrder, stamp: Stamp) -> Order:
        """Place one order; the exchange's answer to it."""
        ...

    async def close(self) -> None:
        """Forget the key."""
        ...


class Repairs(Protocol):
    """The write side of a bot's state."""

    async def repair(self, repair_id: str, belief: ExpectedState, repairs: Sequence[Repair]) -> None:
        """Tell the bot what of `belief` is wrong; the same `repair_id` again changes nothing.

        Raises `NotSent`, `Refused` (say because the belief is another one by now) or `OutcomeUnknown`.
        """
        ...


class Plans(Protocol):
    """The stored plans of one account. Raises `PlansUnavailable`, `PlanChanged`."""

    async def all(self) -> tuple[Plan, ...]:
        """All that are kept, oldest first."""
        ...

    async def create(self, plan: Plan) -> Plan:
        """Store a new plan: the claim on what it does. The stored one, if there is one of that name already."""
        ...

    async def write(self, plan: Plan) -> Plan:
        """Write its phase, intents and message; the plan as it is stored now.

        Raises `PlanChanged` where `plan.version` is not the newest: read again and decide again.
        """
        ...

    async def delete(self, plan: Plan) -> None:
        """Remove one that ended; no error where it is gone."""
        ...


class Ownership(Protocol):
    """Whether this process alone may act on an account."""

    holder: str
    epoch: int

    def left(self) -> float:
        """Seconds for which that is certain, on a clock that counts suspend; 0 or less: it is not.

        Zero, too, as long as something that an earlier owner sent could still arrive.
        """
        ...

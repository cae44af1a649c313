"""The seams between the judgement and the world. Each has a real adapter and an in-memory fake that pass one suite.

Everything that touches a clock, a network or Kubernetes stands behind one of these.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from accountsync.domain.account import AccountSnapshot, Fill, Income, Order, PositionSide, Side
from accountsync.domain.expected import ExpectedState
from accountsync.domain.ledger import Booked, Correction, LedgerOrder, Slice, SyntheticExit, Written
from accountsync.domain.marks import Mark
from accountsync.domain.plan import Plan, Repair
from accountsync.domain.policy import PauseLevel
from accountsync.domain.stopping import Activity


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
    """The write side of a bot's state.

    `adopts`: a repair has the bot take up every order of the symbol that it finds on the exchange, whoever placed it.
    """

    adopts: bool

    async def repair(self, repair_id: str, belief: ExpectedState, repairs: Sequence[Repair]) -> None:
        """Tell the bot what of `belief` is wrong; the same `repair_id` again changes nothing.

        Raises `NotSent`, `Refused` (say because the belief is another one by now) or `OutcomeUnknown`.
        """
        ...


class Pauser(Protocol):
    """A bot that is stopped by calls. All methods raise `AccountSyncError` or `ActionError`, and may be repeated."""

    async def state(self) -> Activity:
        """What the bot does now."""
        ...

    async def pause(self, level: PauseLevel) -> None:
        """Have it add no exposure, while exits go on (also those of a bot that is stopped), or have it stop whole."""
        ...

    async def resume(self, to: Activity) -> None:
        """Have it do again what it did before."""
        ...


Canonical = Callable[[str], str]
"""A symbol as the bot spells it → the unified one. Raises KeyError for one that the exchange does not list."""
Fence = Callable[[], None]
"""Called right before a change counts; raises where this process may write no more."""


class Ledger(Protocol):
    """The ledger of one profile, which can be reconciled. Its belief is read as a `BotState`."""

    def locked(self, canonical: Canonical) -> "AbstractAsyncContextManager[LockedLedger]":
        """The ledger for one run of the reconciliation, which nobody else runs meanwhile.

        Raises `LedgerLockHeld` at once where another does, or another `LedgerError`. The lock ends with the block, or
        with this process.
        """
        ...


class LockedLedger(Protocol):
    """A ledger whose reconciliation lock is held. Symbols are unified. All methods raise `LedgerError`.

    The two that write do so in one transaction each. What they are given was judged before: rows that are others by
    now are left alone (`Written.CHANGED`).
    """

    def slices(self, symbols: Collection[str] | None = None) -> AsyncIterator[Sequence[Slice]]:
        """The open slices of one moment, all or those of `symbols`, in batches; memory does not grow with their number.

        Come to the end of it before anything is written.
        """
        ...

    async def orders(self, ids: Collection[tuple[str, str, str]]) -> tuple[LedgerOrder, ...]:
        """Rows of any status, asked for by (symbol, the exchange's id, client id); an empty id is none."""
        ...

    async def used(self, fills: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Those of the fills (symbol, id) that the ledger has accounted for."""
        ...

    async def trade_orders(self, trades: Collection[tuple[str, str]]) -> tuple[LedgerOrder, ...]:
        """Rows of any status of these trades: (symbol, trade id)."""
        ...

    async def booked(self, ids: Collection[tuple[str, str, str]]) -> tuple[Booked, ...]:
        """What the history holds of orders, asked for as in `orders`: each row of it once, or such rows together."""
        ...

    async def written(self, event_ids: Collection[str]) -> frozenset[str]:
        """Those of the changes that the history has."""
        ...

    async def correct(self, correction: Correction, fence: Fence) -> Written:
        """Bring into the ledger what the exchange proved of one order."""
        ...

    async def close(self, synthetic: SyntheticExit, fence: Fence) -> Written:
        """Close one slice by an exit that the ledger lacks."""
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

"""What the exchange says of an account at one moment.

In:  an adapter's reading of the exchange. Out: `AccountSnapshot`, the left side of every comparison.

Invariants: quantities and prices are `Decimal`; times are Unix milliseconds on the exchange's clock; symbols are in
one spelling (ccxt's unified one, e.g. ``BTC/USDT:USDT``); quantities are in units of the base asset, never contracts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType


class Side(StrEnum):
    """Side of an order."""

    BUY = "buy"
    SELL = "sell"


class PositionSide(StrEnum):
    """One-way accounts hold one signed NET position a symbol; hedge accounts hold a LONG and a SHORT leg."""

    NET = "net"
    LONG = "long"
    SHORT = "short"


class OrderStatus(StrEnum):
    """Life of an order. All but OPEN are terminal; a partly filled order is OPEN with `filled` > 0.

    TRIGGERED: a conditional order that is over because its `successor` took its place.
    """

    OPEN = "open"
    TRIGGERED = "triggered"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class Part(StrEnum):
    """What a snapshot is made of."""

    ORDERS = "orders"
    CONDITIONAL = "conditional orders"
    POSITIONS = "positions"
    BALANCES = "balances"


@dataclass(frozen=True, slots=True)
class Position:
    """`quantity` is signed on NET (short is negative) and not negative on LONG and SHORT legs."""

    symbol: str
    side: PositionSide
    quantity: Decimal
    margin_mode: str = ""
    entry_price: Decimal | None = None
    mark_price: Decimal | None = None
    updated: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the exchange reports it. `price` is None for orders that have none (market).

    `conditional`: it waits for a trigger price; such orders may have ids of a space of their own. `successor`: id of
    the ordinary order that took its place, the child of one that triggered or what an amendment put there. `forced`:
    the exchange placed it itself, and why: liquidation, auto-deleveraging, settlement.
    """

    id: str
    client_id: str
    symbol: str
    side: Side
    quantity: Decimal
    filled: Decimal
    price: Decimal | None
    status: OrderStatus = OrderStatus.OPEN
    type: str = "limit"
    reduce_only: bool = False
    created: int | None = None
    updated: int | None = None
    conditional: bool = False
    trigger_price: Decimal | None = None
    successor: str = ""
    forced: str = ""

    @property
    def ref(self) -> str:
        """What tells it from all other orders of its symbol."""
        return f"trigger:{self.id}" if self.conditional else self.id

    @property
    def remaining(self) -> Decimal:
        """Quantity still open."""
        return abs(self.quantity - self.filled)

    @property
    def notional(self) -> Decimal:
        """Value still open, in the quote currency; 0 where the order has no price."""
        return self.remaining * (self.price or self.trigger_price or Decimal(0))


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of an order. `leg`: the position that it changed."""

    id: str
    order_id: str
    symbol: str
    side: Side
    leg: PositionSide
    quantity: Decimal
    price: Decimal
    time: int

    @property
    def change(self) -> Decimal:
        """What it added to the quantity of its leg."""
        return self.quantity if (self.side is Side.BUY) != (self.leg is PositionSide.SHORT) else -self.quantity


@dataclass(frozen=True, slots=True)
class Income:
    """One change of a wallet balance: funding, a fee, a transfer, realised profit. `kind` is the exchange's word."""

    asset: str
    amount: Decimal
    time: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    """Wallet balance of an asset: without unrealised profit."""

    asset: str
    wallet: Decimal


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """One reading of an account.

    `timestamp` is the exchange's own clock when the reading began. `unsettled` names the symbols that changed while
    it was read: two fetches are not one moment, so they wait for the next cycle. `missing`: parts that were not read,
    or not to their end. `marks` maps a symbol to its mark price where one of the last minute is known, `steps` to the
    smallest quantity that can be traded. `skew_ms`: how far the exchange's clock is ahead of ours, beyond what the
    measuring can be off.
    """

    timestamp: int
    positions: tuple[Position, ...] = ()
    orders: tuple[Order, ...] = ()
    balances: tuple[Balance, ...] = ()
    unsettled: frozenset[str] = frozenset()
    missing: frozenset[Part] = frozenset()
    skew_ms: int = 0
    steps: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    marks: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def held(self) -> int:
        """Number of positions that are not flat."""
        return sum(1 for position in self.positions if position.quantity)

    @property
    def pending_notional(self) -> Decimal:
        """Total notional of the open orders (Runbook 29, grinder_account_sync_pending_notional)."""
        return sum((order.notional for order in self.orders), Decimal(0))

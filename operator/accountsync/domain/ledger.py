"""A bot's ledger in a database: what of it is read, what may be written to it, and what became of that.

In:  rows of a ledger. Out: the plain data that the judgement of a ledger, its database and the operator share.

Invariants: quantities and prices are `Decimal` and not negative; symbols are unified; times are Unix ms. A `version` is
opaque: a row that has another one by now is not what was judged, and nothing is written over it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from accountsync.domain.account import Fill, OrderStatus, Side


class SliceSide(StrEnum):
    """Which way a lifecycle slice is open."""

    LONG = "long"
    SHORT = "short"

    @property
    def exit(self) -> Side:
        """The side of an order that closes it."""
        return Side.SELL if self is SliceSide.LONG else Side.BUY


class Purpose(StrEnum):
    """What an order is for in the life of a slice."""

    ENTRY = "entry"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Slice:
    """An open lifecycle slice: `quantity` is what the ledger holds open of it. Empty `sub_tag`: it has none."""

    trade_id: str
    symbol: str
    side: SliceSide
    quantity: Decimal
    opened: int
    sub_tag: str = ""
    entry_client_id: str = ""
    entry_price: Decimal | None = None
    version: str = ""

    @property
    def signed(self) -> Decimal:
        """Its part of the virtual position."""
        return self.quantity if self.side is SliceSide.LONG else -self.quantity


@dataclass(frozen=True, slots=True)
class LedgerOrder:
    """An order in the ledger. `key` tells it from all others of its profile."""

    key: str
    symbol: str
    side: Side
    purpose: Purpose
    quantity: Decimal
    filled: Decimal
    status: OrderStatus
    client_id: str = ""
    exchange_id: str = ""
    trade_id: str = ""
    sub_tag: str = ""
    price: Decimal | None = None
    created: int | None = None
    version: str = ""


class Attribution(StrEnum):
    """How a fill leads to a slice. The first three are strong, the others heuristics."""

    SUB_TAG = "sub_tag"
    CLIENT_ORDER_ID = "client_order_id"
    TRADE_ID = "trade_id"
    SINGLE_OPEN_TRADE = "single_open_trade"
    QTY_UNIQUE = "qty_unique"

    @property
    def strong(self) -> bool:
        """Whether it is by a mark that the ledger itself made."""
        return self in {Attribution.SUB_TAG, Attribution.CLIENT_ORDER_ID, Attribution.TRADE_ID}


class NoGo(StrEnum):
    """Why a confirmed ghost is not closed. Each has a text for people in `REASONS`."""

    NO_SUB_TAG = "NoSubTag"
    NO_FILLS = "NoFills"
    FILLS_TOO_OLD = "FillsTooOld"
    FILLS_UNATTRIBUTED = "FillsUnattributed"
    HEURISTIC_ONLY = "HeuristicOnly"
    AMBIGUOUS = "Ambiguous"
    FILLS_DO_NOT_ADD_UP = "FillsDoNotAddUp"
    FILLS_UNKNOWN = "FillsUnknown"
    FILLS_MAYBE_BOOKED = "FillsMaybeBooked"


REASONS: Mapping[NoGo, str] = {
    NoGo.NO_SUB_TAG: "the slice has no sub_tag (parity.requireAttribution)",
    NoGo.NO_FILLS: "the exchange tells of no fill that closed it",
    NoGo.FILLS_TOO_OLD: "the fills are older than the slice by more than parity.fillGrace",
    NoGo.FILLS_UNATTRIBUTED: "no fill leads to the slice by sub_tag, client order id or trade id",
    NoGo.HEURISTIC_ONLY: "fills lead to the slice by heuristics only (parity.allowHeuristicMatch)",
    NoGo.AMBIGUOUS: "a fill leads to more than one open slice",
    NoGo.FILLS_DO_NOT_ADD_UP: "the fills do not add up to what the slice holds open",
    NoGo.FILLS_UNKNOWN: "the exchange did not tell its fills, or not all of them",
    NoGo.FILLS_MAYBE_BOOKED: "the ledger's orders count its fills, and nothing tells whether the slice has them",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fill, and what is known of the order behind it.

    `client_id`: the order's; empty: it has none. `trade_id`: what the ledger itself wrote to that order, by the
    exchange's id or the client order id. `sub_tag`: likewise. `used`: the ledger has accounted for it already.
    `doubted`: it may have, and does not tell.
    """

    fill: Fill
    client_id: str = ""
    trade_id: str = ""
    sub_tag: str = ""
    used: bool = False
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Booked:
    """What the history holds of one order, by the ids of that row of it; each may be empty. No synthetic exit is in it.

    `ours`: a correction made it, and not the bot.
    """

    symbol: str
    exchange_id: str
    client_id: str
    purpose: Purpose
    quantity: Decimal
    ours: bool = False
    trade_id: str = ""


@dataclass(frozen=True, slots=True)
class SyntheticExit:
    """An EXIT that the ledger lacks, and that the exchange's fills prove: it closes `slice` whole.

    `event_id` follows from profile, slice and fills alone, so that writing it twice is refused by the ledger itself.
    `quantity` is the slice's; `price` the fills' average; `at` the time of the last of them.
    """

    event_id: str
    slice: Slice
    price: Decimal
    fills: tuple[Fill, ...]
    attribution: Attribution
    at: int

    @property
    def realised(self) -> Decimal | None:
        """Profit in the quote currency, without fees; None where the ledger knows no entry price."""
        if self.slice.entry_price is None:
            return None
        gain = (self.price - self.slice.entry_price) * self.slice.quantity
        return gain if self.slice.side is SliceSide.LONG else -gain


class Handler(StrEnum):
    """The lifecycle-safe handlers, by the names that people know from their logs."""

    ENTRY_FILL = "reconcileEntryFill"
    EXIT_FILL = "reconcileExitFill"
    CANCEL = "reconcileCancel"
    ADOPT = "adoptOrder"


@dataclass(frozen=True, slots=True)
class Correction:
    """What the exchange proved of one order, to be brought into the ledger in one transaction.

    `order`: the ledger's row; for ADOPT the one to make. `filled` and `status`: the exchange's. `fills`: those behind
    what the ledger lacks of `filled`, which it then accounts for: the slice changes by them and by nothing else, and
    synthetic exits may have left none. `price`: their average. `exchange_id`: for a row that has none yet. A CANCEL
    accounts for its fills first, by the purpose of the order. `slice_version`: of the slice that `fills` change; empty:
    the trade has none, open or closed, and its entry opens one. A closed slice is never opened again.
    """

    handler: Handler
    event_id: str
    order: LedgerOrder
    filled: Decimal
    status: OrderStatus
    price: Decimal | None = None
    fills: tuple[Fill, ...] = ()
    at: int = 0
    exchange_id: str = ""
    slice_version: str = ""


class Written(StrEnum):
    """What became of a change of the ledger."""

    APPLIED = "applied"
    ALREADY = "already"
    CHANGED = "changed"
    """The rows are not what was judged any more: nothing was written."""
    UNKNOWN = "unknown"
    """It was lost while committing: the history tells at the next run."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What one run of the reconciliation found in the ledger, by the ledger runbook's words.

    Notional amounts are in the quote currency. `no_go`: trade id → why it stays open; at most 50 are kept.
    """

    ghosts: int = 0
    quarantined: int = 0
    auto_closed: int = 0
    max_notional: Decimal = Decimal(0)
    total_notional: Decimal = Decimal(0)
    no_go: Mapping[str, NoGo] = field(default_factory=dict)

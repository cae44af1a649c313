"""What a reconciliation run takes, what is remembered between two of them, and what becomes of one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from accountsync.domain.ledger import Correction, NoGo, SyntheticExit, Tally, Written
from accountsync.domain.parity import GhostKey, Memory
from accountsync.errors import LedgerError
from accountsync.ports import Clock, Exchange, Fence, Ledger

SYNTHETIC_EXIT = "syntheticExit"


class Stopped(Exception):  # noqa: N818 - no error: what was judged is not to be written any more
    """A fence came down: this process may not write, or what it judged by has changed."""


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that a run takes besides the cycle before it.

    `withheld`: why nothing is written at all; empty: it may be. `fence` raises `Stopped` where it may not any more.
    """

    profile: str
    ledger: Ledger
    exchange: Exchange
    clock: Clock
    fence: Fence
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the slices of a ghost stay open, and the monotonic seconds of when that was judged."""

    at: float
    no_go: Mapping[str, NoGo]


@dataclass(frozen=True, slots=True)
class Book:
    """What is remembered between two runs. A new process begins with an empty one, which is safe.

    `asked`: symbol → monotonic seconds of when its fills were last asked for. `client_ids`: of orders behind fills, by
    symbol and the exchange's id. `unsure`: changes that were lost while they were written; the next run looks them up.
    """

    sights: Memory = field(default_factory=dict)
    verdicts: Mapping[GhostKey, Verdict] = field(default_factory=dict)
    asked: Mapping[str, float] = field(default_factory=dict)
    client_ids: Mapping[tuple[str, str], str] = field(default_factory=dict)
    unsure: "tuple[Change, ...]" = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the ledger. `name`: the handler's. `order`: what names the order; empty for a synthetic exit.

    `outcome` None: it was only told of, since nothing is to be written.
    """

    name: str
    symbol: str
    trade_id: str
    order: str
    event_id: str
    quantity: Decimal
    price: Decimal | None
    outcome: Written | None

    @classmethod
    def corrected(cls, made: Correction, outcome: Written | None) -> "Change":
        """An order was put right."""
        order = made.order
        named = order.exchange_id or order.client_id or order.key
        return cls(
            made.handler, order.symbol, order.trade_id, named, made.event_id, made.filled, made.price, outcome
        )  # fmt: skip

    @classmethod
    def closed(cls, made: SyntheticExit, outcome: Written | None) -> "Change":
        """A slice was closed."""
        row = made.slice
        return cls(
            SYNTHETIC_EXIT, row.symbol, row.trade_id, "", made.event_id, row.quantity, made.price, outcome
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a run. `tally` None: it did not come to its end, and the numbers of the last one stand.

    `refusals`: key of each finding that stays → why it can't be brought into the ledger, for people. `error`: what the
    ledger had against the run, or against a change. `stopped`: why the rest was left.
    """

    book: Book
    tally: Tally | None = None
    changes: tuple[Change, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    error: LedgerError | None = None
    stopped: str = ""

    @property
    def applied(self) -> tuple[Change, ...]:
        """What was written by this very run."""
        return tuple(change for change in self.changes if change.outcome is Written.APPLIED)

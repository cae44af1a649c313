"""What the resource asks of the judgement, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from accountsync.domain.catalogue import Rule, Severity


class Mode(StrEnum):
    """How far an account's policy lets us go."""

    OBSERVE = "Observe"
    PAUSE = "Pause"
    ENFORCE = "Enforce"


class PauseLevel(StrEnum):
    """How far a held bot stops."""

    REDUCE_ONLY = "ReduceOnly"
    HALT = "Halt"


class UnexpectedOrders(StrEnum):
    """What becomes of the bot's own orders that it does not track."""

    NEVER = "Never"
    PLAN = "Plan"
    CANCEL = "Cancel"


class UnexpectedPositions(StrEnum):
    """What becomes of positions where the bot expects none."""

    NEVER = "Never"
    PLAN = "Plan"
    FLATTEN = "Flatten"


class FlattenBy(StrEnum):
    """The order that closes a position: a limit IOC within the slippage of the mark, or a market order."""

    LIMIT = "Limit"
    MARKET = "Market"


DEFAULT_BALANCE_TOLERANCE = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Ignore:
    """A finding that people know and accept until `until`, Unix ms. Empty `symbol` or `id`: any."""

    rule: Rule
    until: int
    symbol: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class AutoResume:
    """When the watchdog's hold ends by itself. Spans are seconds; `enabled` False: only a person ends it."""

    enabled: bool = True
    min_pause: float = 900.0
    clean_cycles: int = 2
    cooldown: float = 1800.0


@dataclass(frozen=True, slots=True)
class Watchdog:
    """How much of the capital may be in doubt. Amounts are in `currency`, the one in which symbols are quoted."""

    allocated_capital: Decimal
    currency: str
    max_mismatch_ratio: Decimal = Decimal("0.5")
    auto_resume: AutoResume = field(default_factory=AutoResume)

    @property
    def limit(self) -> Decimal:
        """The most that may be at risk."""
        return self.max_mismatch_ratio * self.allocated_capital


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be sent within any hour, approved or not. Notional in the quote currency; None: no such limit."""

    actions_per_hour: int = 10
    notional_per_action: Decimal | None = None
    notional_per_hour: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a finding has to come to before anything is done about it. `age`: seconds since it was first seen."""

    count: int = 0
    notional: Decimal = Decimal(0)
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Remedies:
    """What may be done about a finding beyond stopping the bot.

    `repair`: the bot's belief may be put right, where its state source can be written to. `prefixes`: how the client
    ids of further orders begin that may be cancelled. `expires_after`: seconds for which a plan waits.
    """

    dry_run: bool = False
    repair: bool = True
    orders: UnexpectedOrders = UnexpectedOrders.NEVER
    positions: UnexpectedPositions = UnexpectedPositions.NEVER
    prefixes: tuple[str, ...] = ()
    flatten_by: FlattenBy = FlattenBy.LIMIT
    max_slippage: Decimal = Decimal("0.005")
    limits: Limits = field(default_factory=Limits)
    thresholds: Mapping[Rule, Threshold] = field(default_factory=dict)
    expires_after: float = 900.0


@dataclass(frozen=True, slots=True)
class Parity:
    """The gates before a ghost of the ledger is closed. `fill_grace_ms`: how much older than its slice a fill may be.

    `strong_only`: only attribution by the ledger's own marks counts; else `heuristics` may, where it is True.
    """

    confirmations: int = 3
    require_attribution: bool = True
    strong_only: bool = True
    heuristics: bool = False
    fill_grace_ms: int = 300_000
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """Spans are seconds, except those ending in `_ms`. `pause_at` None: nothing pauses.

    `forgets_after_ms`: the age from which the exchange may deny even an open order; None: it never does. `watchdog`
    None: it is off. `acted`: what our own plans did (`Past.acted`), which is never a finding. `parity`: how ghosts of a
    ledger are dealt with, which then raise no hold but the watchdog's; None: there is no ledger, or they are not.
    """

    mode: Mode = Mode.OBSERVE
    pause_at: Severity | None = Severity.HIGH
    order_id_prefix: str = ""
    symbols: tuple[str, ...] = ()
    position_tolerance: Decimal = Decimal(0)
    balance_tolerances: Mapping[str, Decimal] = field(default_factory=dict)
    order_grace_ms: int = 5_000
    confirmations: int = 2
    timeout: float = 10.0
    stale_after: float = 300.0
    belief_stale_after_ms: int = 60_000
    ignores: tuple[Ignore, ...] = ()
    forgets_after_ms: int | None = None
    watchdog: Watchdog | None = None
    remedies: Remedies = field(default_factory=Remedies)
    acted: frozenset[str] = frozenset()
    parity: Parity | None = None
    pause_allowance_ms: int = 10_000

    def pauses(self, severity: Severity) -> bool:
        """Whether a finding of `severity` is one to stop the bot for."""
        return self.pause_at is not None and severity >= self.pause_at

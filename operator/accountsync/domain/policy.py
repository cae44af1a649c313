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


class PauseLevel(StrEnum):
    """How far a held bot stops."""

    REDUCE_ONLY = "ReduceOnly"
    HALT = "Halt"


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
class Policy:
    """Spans are seconds, except those ending in `_ms`. `pause_at` None: nothing pauses.

    `forgets_after_ms`: the age from which the exchange may deny even an open order; None: it never does. `watchdog`
    None: it is off.
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

    def pauses(self, severity: Severity) -> bool:
        """Whether a finding of `severity` is one to stop the bot for."""
        return self.pause_at is not None and severity >= self.pause_at

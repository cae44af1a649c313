"""The watchdog: it stops the bot while too much of its capital is in doubt, and lets it go again by itself.

In:  the differences that count, what the resource asks (`Watchdog`), what is remembered (`Vigil`).
Out: why to stop the bot (`alarm`), what follows from a cycle (`Vigil.after`), whether the hold may end (`may_resume`).

Invariants (ledger runbook, "integrity watchdog"):
1. Notional at risk is the largest finding of a symbol, summed over symbols: one missed fill raises several of a value.
2. What can't be valued is no zero: a confirmed difference without a price of the last minute, or in another currency,
   stops the bot.
3. A clean cycle judged all of both sides and left no difference, not even one that is only seen: the runbook asks for
   a reconciliation that stays clean, not for one that is back below the limit. What a person had accepted before the
   hold was raised is no difference here; what the hold itself covers is one, whoever resumed from another hold since.
4. The hold ends by itself only after `min_pause` since it was raised, `clean_cycles` clean ones in a row and `cooldown`
   since the last time that it ended so. All spans are monotonic; a new process takes over what the wall clock says
   passed meanwhile, and a clock that went back says that nothing did.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from accountsync.domain.catalogue import CATALOGUE, Subject
from accountsync.domain.finding import ZERO, Finding, plain, worst_first
from accountsync.domain.policy import AutoResume, Watchdog

VALUED = frozenset({Subject.ORDER, Subject.POSITION, Subject.FILL})
"""What a mismatch notional is made of; balances and corrupt rows put no notional at risk."""
LEAST_TIME_KEPT_MS = 999
"""A status tells times to the second: what was cut off may not shorten a span."""


@dataclass(frozen=True, slots=True)
class Vigil:
    """What the watchdog remembers. `raised_at`: monotonic seconds from which its hold stands; None: it does not.

    `clean`: clean cycles in a row since then. `resumed_at`: monotonic seconds of when it last ended by itself, and
    `resumed_ms` the same in Unix ms, for people and for the next process.
    """

    raised_at: float | None = None
    clean: int = 0
    resumed_at: float | None = None
    resumed_ms: int | None = None

    @classmethod
    def restored(cls, raised_ms: int | None, resumed_ms: int | None, *, now_ms: int, monotonic: float) -> "Vigil":
        """That of a new process, from the times that the last one wrote down."""

        def at(ms: int | None) -> float | None:
            return None if ms is None else monotonic - max(0, now_ms - ms - LEAST_TIME_KEPT_MS) / 1000

        return cls(raised_at=at(raised_ms), resumed_at=at(resumed_ms), resumed_ms=resumed_ms)

    def after(self, *, clean: bool) -> "Vigil":
        """The vigil after a cycle."""
        return replace(self, clean=self.clean + 1 if clean else 0)

    def raised(self, monotonic: float) -> "Vigil":
        """Its hold was raised."""
        return replace(self, raised_at=monotonic, clean=0)

    def lifted(self) -> "Vigil":
        """Its hold was lifted, by whomever."""
        return replace(self, raised_at=None, clean=0)

    def resumed(self, monotonic: float, now_ms: int) -> "Vigil":
        """Its hold ended by itself."""
        return replace(self.lifted(), resumed_at=monotonic, resumed_ms=now_ms)

    def may_resume(self, terms: AutoResume, monotonic: float) -> bool:
        """Whether the standing hold may end by itself."""
        if not terms.enabled or self.raised_at is None:
            return False
        cooled = self.resumed_at is None or monotonic - self.resumed_at >= terms.cooldown
        return monotonic - self.raised_at >= terms.min_pause and self.clean >= terms.clean_cycles and cooled


def valued(finding: Finding) -> bool:
    """Whether `finding` belongs to the mismatch notional."""
    return CATALOGUE[finding.rule].subject in VALUED


def notional_at_risk(findings: Iterable[Finding]) -> Decimal:
    """The largest finding of each symbol, summed: one missed fill raises several findings of the same value."""
    largest: dict[str, Decimal] = {}
    for finding in findings:
        largest[finding.symbol] = max(largest.get(finding.symbol, ZERO), finding.notional)
    return sum(largest.values(), ZERO)


def alarm(findings: Iterable[Finding], watchdog: Watchdog) -> str:
    """Why `findings`, all of them confirmed, are too much; empty: they are not."""
    counted = sorted((finding for finding in findings if valued(finding)), key=worst_first)
    known = [finding for finding in counted if quote_of(finding.symbol) == watchdog.currency]
    total, limit = notional_at_risk(known), watchdog.limit
    if total > limit:
        share = f"{plain(watchdog.max_mismatch_ratio)} of {plain(watchdog.allocated_capital)} {watchdog.currency}"
        return f"mismatch notional {plain(round(total, 2))} {watchdog.currency}, more than {share}"
    unpriced = [finding for finding in counted if not finding.priced]
    if unpriced:
        unknown = [finding for finding in unpriced if not finding.notional]
        lack = "no price" if unknown else "only an old price"
        return f"there is {lack} for {_named(unknown or unpriced)}: what it puts at risk is not known"
    foreign = [finding for finding in counted if finding.notional and quote_of(finding.symbol) != watchdog.currency]
    if foreign:
        return f"{_named(foreign)} cannot be valued in {watchdog.currency}, which is spec.watchdog.currency"
    return ""


def quote_of(symbol: str) -> str:
    """The currency of a notional in `symbol`, in ccxt's spelling (BTC/USDT:USDT); empty: it does not say."""
    return symbol.partition("/")[2].partition(":")[0]


def _named(findings: list[Finding]) -> str:
    more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
    return f"{findings[0].rule} {findings[0].symbol}{more}"

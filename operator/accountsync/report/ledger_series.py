"""What is counted and kept of the reconciliation runs of one account's ledger."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from accountsync.domain.ledger import Handler, Tally

SYNTHETIC_EXIT = "syntheticExit"
CHANGES = (*Handler, SYNTHETIC_EXIT)
"""What a run may bring into a ledger, by the names of accountsync_repairs_applied_total."""


@dataclass(slots=True)
class LedgerSeries:
    """The runs of one account.

    `ran_at`: monotonic seconds of the last run that came to its end, and `ran_ms` the same in Unix ms; None: there was
    none. `elevated`: how many runs in a row found confirmed mismatches standing, or failed over them. `contended`: how
    many in a row did not get the lock, and `contentions` how many ever. `closed`: slices that were closed since this
    process began.
    """

    ran_at: float | None = None
    ran_ms: int | None = None
    elevated: int = 0
    contended: int = 0
    contentions: int = 0
    closed: int = 0
    tally: Tally = field(default_factory=Tally)

    def ran(self, tally: Tally, standing: int, *, monotonic: float, now_ms: int) -> None:
        """A run came to its end. `standing`: the confirmed mismatches that it began with."""
        self.ran_at, self.ran_ms = monotonic, now_ms
        self.contended = 0
        self.elevated = self.elevated + 1 if standing else 0
        self.closed += tally.auto_closed
        self.tally = tally

    def failed(self, standing: int) -> None:
        """A run did not come to its end, for another reason than the lock: what stood stands."""
        self.contended = 0
        self.elevated = self.elevated + 1 if standing else self.elevated

    def contend(self) -> None:
        """A run did not get the lock, and did nothing."""
        self.contended += 1
        self.contentions += 1


def oldest(moments: Iterable[int | None]) -> int | None:
    """The earliest of these Unix ms; None where one of them is missing, or there are none."""
    known = list(moments)
    return None if not known or None in known else min(moment for moment in known if moment is not None)


def iso(moment: int | None) -> str | None:
    """Unix ms as people write a time; None: there is none."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

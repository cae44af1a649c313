"""What is counted and kept of one account between scrapes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from accountsync.cycle import Cycle
from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.confirm import Tracks
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Holds, Source, Transition
from accountsync.domain.plan import ActionKind
from accountsync.domain.watchdog import notional_at_risk
from accountsync.report.ledger_series import LedgerSeries

RECOUNT_AFTER = 60.0


@dataclass(slots=True)
class AccountSeries:
    """The series of one account.

    `since`: monotonic seconds from which it is aged without a good snapshot or a judgement, and `belief_since`, without
    a belief; None: as `since`. `last_ts`: exchange ms. `believed_at`: monotonic seconds of the as-of time of the last
    belief that counted. `whole_at`: of the last cycle that judged the whole account, and `patience`: how long that is
    in time, seconds. `clock_skew`: seconds that the exchange's clock is ahead of ours. `credentials_valid`: as the
    condition says; None: not known. `ran_at`: monotonic seconds of the last cycle, and `ran_ms` the same in Unix ms.
    `ledger`: of the runs that reconcile its ledger; None: it has none.
    """

    namespace: str
    account: str
    since: float
    belief_since: float | None = None
    stale_after: float = 300.0
    belief_stale_after: float = 60.0
    patience: float = 40.0
    mismatch_limit: Decimal | None = None
    watchdog_limit: Decimal | None = None
    last_ts: int = 0
    good_at: float | None = None
    believed_at: float | None = None
    whole_at: float | None = None
    credentials_valid: bool | None = None
    suspended: bool = False
    positions: int = 0
    open_orders: int = 0
    pending_notional: Decimal = Decimal(0)
    clock_skew: float = 0.0
    notional_at_risk: Decimal = Decimal(0)
    standing: Counter[Rule] = field(default_factory=Counter)
    mismatches: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    held: frozenset[Source] = frozenset()
    raised: Counter[Source] = field(default_factory=Counter)
    lifted: Counter[Source] = field(default_factory=Counter)
    counted: dict[str, float] = field(default_factory=dict)
    waiting: int = 0
    unknown: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    not_honoured: int = 0
    not_stopped: bool | None = None
    repairs: Counter[str] = field(default_factory=Counter)
    ran_at: float | None = None
    ran_ms: int | None = None
    ledger: LedgerSeries | None = None

    def record(self, cycle: Cycle, monotonic: float, now_ms: int | None = None) -> None:
        """Take over what `cycle` learned. `now_ms`: Unix ms, where somebody will ask when it ran."""
        self.runs += 1
        self.not_honoured += len(cycle.offences)
        self.ran_at, self.ran_ms = monotonic, now_ms
        for failure in (cycle.exchange, cycle.bot):
            if failure is not None:
                self.errors[failure.reason.label] += 1
        if cycle.believed_at is not None:
            self.believed_at = max(cycle.believed_at, self.believed_at or cycle.believed_at)
        if cycle.whole:
            self.whole_at = monotonic
        state = cycle.state
        if state.snapshot is not None:
            self.last_ts = state.snapshot.timestamp
            self.good_at = state.good_at
            self.positions = state.snapshot.held
            self.open_orders = len(state.snapshot.orders)
            self.pending_notional = state.snapshot.pending_notional
            self.clock_skew = state.snapshot.skew_ms / 1000
        self.count(cycle.outcome.shown, monotonic)
        self.stand(state.tracks, state.holds)
        self.recount(state.tracks, monotonic)

    def age(self, monotonic: float) -> float | None:
        """Seconds since the last good snapshot, or since the account was first seen; None while it is suspended."""
        return self._since(self.since, self.good_at, monotonic)

    def belief_age(self, monotonic: float) -> float | None:
        """Seconds since the as-of time of the last belief that counted, or from `belief_since` on; None as `age`."""
        since = self.since if self.belief_since is None else self.belief_since
        return self._since(since, self.believed_at, monotonic)

    def judged_in_time(self, monotonic: float) -> bool | None:
        """Whether the whole account was judged, or first seen, not longer than `patience` ago; None as `age`."""
        unjudged_for = self._since(self.since, self.whole_at, monotonic)
        return None if unjudged_for is None else unjudged_for <= self.patience

    def runs_in_time(self, monotonic: float) -> bool | None:
        """Whether reconciliation ran, or the account was first seen, not longer than `patience` ago; None as `age`.

        With a ledger that is a run which got the lock, without one a cycle.
        """
        ran_at = self.ledger.ran_at if self.ledger is not None else self.ran_at
        idle_for = self._since(self.since, ran_at, monotonic)
        return None if idle_for is None else idle_for <= self.patience

    def _since(self, since: float, at: float | None, monotonic: float) -> float | None:
        return None if self.suspended else monotonic - max(since, since if at is None else at)

    def stand(self, tracks: Tracks, holds: Holds) -> None:
        """What stands now: confirmed findings and holds."""
        confirmed = [track.finding for track in tracks.values() if track.confirmed]
        self.standing = Counter(finding.rule for finding in confirmed)
        self.notional_at_risk = notional_at_risk(confirmed)
        self.held = frozenset(holds)

    def turned(self, transitions: Sequence[Transition]) -> None:
        """Count the holds that were raised and lifted."""
        for transition in transitions:
            (self.raised if transition.raised else self.lifted)[transition.source] += 1

    def planned(self, waiting: int, unknown: int) -> None:
        """How many plans wait for a person now, and of how many actions nobody knows what became of them."""
        self.waiting, self.unknown = waiting, unknown

    def acted(self, kind: ActionKind, outcome: str, count: int = 1) -> None:
        """Count actions that came to this `outcome`."""
        self.actions[f"{kind} {outcome}"] += count

    def repaired(self, kinds: Iterable[str]) -> None:
        """Count what was put right in the bot's belief, by `RepairKind`, or by what a run brings into a ledger."""
        self.repairs.update(kinds)

    def count(self, findings: Iterable[Finding], monotonic: float) -> None:
        """Advance the mismatch counters for findings that are confirmed and were shown."""
        for finding in findings:
            row = CATALOGUE[finding.rule]
            self.mismatches[row.account_sync] += 1
            if finding.reconcile:
                self.types[finding.reconcile] += 1
            self.counted[finding.key] = monotonic

    def recount(self, tracks: Tracks, monotonic: float) -> None:
        """Advance them at least every minute while a confirmed finding stands, so that increase() sees it."""
        if self.suspended:
            return
        confirmed = {track.finding.key: track.finding for track in tracks.values() if track.confirmed}
        self.counted = {key: at for key, at in self.counted.items() if key in confirmed}
        due = [
            finding
            for key, finding in confirmed.items()
            if monotonic - self.counted.setdefault(key, monotonic) >= RECOUNT_AFTER
        ]
        self.count(due, monotonic)

"""Somebody who doubts the watchdog: reckons what is at risk, what was clean and how long a hold stood for itself.

`check` after each cycle gives what must hold and does not.
"""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from tests.simulation.virtual import VirtualClock

from accountsync.cycle import Cycle, State
from accountsync.domain.confirm import Track
from accountsync.domain.decide import Wishes
from accountsync.domain.holds import Holds, Signal, Source
from accountsync.domain.policy import Mode, Policy, Watchdog

VALUELESS = {"BalanceMismatch", "DuplicateKey", "NegativeQuantity", "TimestampRegression"}
A_LITTLE = 1e-6
BY_THEMSELVES = {Source.WATCHDOG: Signal.RECOVERED, Source.UNKNOWN_OUTCOME: Signal.OUTCOME_KNOWN}
"""Holds that a digest lifts → the signal by which they end without one."""


class Guard:
    """`barks`: how the watchdog's hold began and ended, and how often."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.barks: Counter[str] = Counter()
        self._accepted: dict[str, Decimal] = {}
        self._before: frozenset[str] = frozenset()
        self._clean = 0
        self._raised_at = self._resumed_at = float("-inf")

    def restart(self, holds: Holds, resumed_ms: int | None) -> None:
        """Another process goes on, and knows of the time before it what the clock on the wall says."""

        def at(ms: int | None) -> float:
            return self.clock.monotonic() - max(0, self.clock.now_ms() - ms) / 1000 if ms else float("-inf")

        hold = holds.get(Source.WATCHDOG)
        self._raised_at, self._resumed_at = at(hold.since if hold else None), at(resumed_ms)
        self._clean = 0

    def check(self, before: State, cycle: Cycle, policy: Policy, wishes: Wishes) -> Iterator[str]:
        """What is wrong with what `cycle` made of the holds; `wishes`: what a person asked for."""
        resume = wishes.resume
        lifted = {row.source: row.why for row in cycle.decision.transitions if not row.raised}
        self._follow_people(cycle, policy, set(lifted.values()))
        for source in lifted.keys() & {Source.POLICY, Source.WATCHDOG, Source.UNKNOWN_OUTCOME}:
            by_itself = lifted[source] is BY_THEMSELVES.get(source)
            if not by_itself and resume not in before.holds[source].digests:
                yield f"{source} was lifted by {lifted[source]}, and nobody quoted its digest"
        if lifted.keys() & {Source.STARTUP, Source.STALE} and not cycle.complete:
            yield "a hold of ignorance was lifted, and nothing was judged"
        if wishes.paused and Source.USER not in cycle.state.holds:
            yield "a person stopped the bot, and it is not"
        if not wishes.paused and Source.USER in cycle.state.holds:
            yield "a person let the bot go, and it is stopped"
        if policy.mode is Mode.OBSERVE:
            raised = {row.source for row in cycle.decision.transitions if row.raised} - {Source.USER}
            if raised:
                yield f"{sorted(raised)} were raised in Observe"
        if policy.watchdog is not None:
            yield from self._check_watchdog(before, cycle, policy, policy.watchdog, lifted.get(Source.WATCHDOG))
        elif Source.WATCHDOG in cycle.state.holds:
            yield "a watchdog that is off stopped the bot"

    def _check_watchdog(
        self, before: State, cycle: Cycle, policy: Policy, watchdog: Watchdog, ended: Signal | None
    ) -> Iterator[str]:
        now, terms = self.clock.monotonic(), watchdog.auto_resume
        stood, stands = Source.WATCHDOG in before.holds, Source.WATCHDOG in cycle.state.holds
        clean = cycle.complete and cycle.whole and not any(self._counts(track) for track in cycle.state.tracks.values())
        self._clean = self._clean + 1 if clean else 0
        too_much = self._too_much(cycle, watchdog)
        if too_much and not stands and policy.mode is not Mode.OBSERVE:
            yield f"{too_much} is at risk, and the watchdog sleeps"
        if stands and not stood:
            self.barks["raised"] += 1
            self._raised_at, self._clean, self._before = now, 0, frozenset(self._accepted)
            if not too_much or policy.mode is Mode.OBSERVE:
                yield f"the watchdog stopped the bot in mode {policy.mode} over {too_much or 'nothing'}"
        if ended is Signal.RECOVERED:
            self.barks["ended by itself"] += 1
            if not terms.enabled:
                yield "the watchdog let the bot go, which it was not to do"
            if now - self._raised_at < terms.min_pause - A_LITTLE:
                yield f"the watchdog let the bot go after {now - self._raised_at:.1f} s"
            if now - self._resumed_at < terms.cooldown - A_LITTLE:
                yield f"the watchdog let the bot go again after {now - self._resumed_at:.1f} s"
            if self._clean < terms.clean_cycles:
                yield f"the watchdog let the bot go after {self._clean} clean cycles"
            self._resumed_at = now
        elif ended is not None:
            self.barks["ended by a person"] += 1

    # --- a reckoning of its own ---------------------------------------------------------------------------------------

    def _follow_people(self, cycle: Cycle, policy: Policy, heard: set[Signal]) -> None:
        tracks = cycle.state.tracks
        self._accepted = {key: notional for key, notional in self._accepted.items() if key in tracks}
        for key, track in tracks.items():
            over_policy = Signal.RESUMED in heard and policy.pauses(track.finding.severity)
            over_watchdog = Signal.WATCHDOG_RESUMED in heard and track.finding.rule not in VALUELESS
            if track.confirmed and (over_policy or over_watchdog):
                self._accepted[key] = track.finding.notional

    def _is_accepted(self, track: Track) -> bool:
        notional = self._accepted.get(track.finding.key)
        return notional is not None and track.finding.notional * 4 <= notional * 5

    def _counts(self, track: Track) -> bool:
        """Whether a cycle that shows it is not clean."""
        if track.finding.rule in VALUELESS:
            return False
        return not (self._is_accepted(track) and track.finding.key in self._before)

    def _too_much(self, cycle: Cycle, watchdog: Watchdog) -> str:
        by_symbol: dict[str, Decimal] = {}
        for track in cycle.state.tracks.values():
            finding = track.finding
            if not track.confirmed or finding.rule in VALUELESS or self._is_accepted(track):
                continue
            if not finding.priced or (finding.notional and f"/{watchdog.currency}:" not in finding.symbol):
                return f"{finding.key}, which has no value,"
            by_symbol[finding.symbol] = max(by_symbol.get(finding.symbol, finding.notional), finding.notional)
        total = sum(by_symbol.values(), Decimal(0))
        return str(total) if total > watchdog.allocated_capital * watchdog.max_mismatch_ratio else ""

"""One account of the operator: the real cycle, status, Events, metrics and actions, and somebody who doubts them.

After each cycle everything that must hold is checked; what does not is in `wrong`.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from tests.simulation.auditor import Auditor, Standing
from tests.simulation.bot import Bot
from tests.simulation.exchange import Account
from tests.simulation.faults import Port
from tests.simulation.guard import Guard
from tests.simulation.nature import PREFIXES, Nature
from tests.simulation.virtual import VirtualClock

from accountsync.act import Desk, Remediation, act, concerned, recall
from accountsync.api.v1alpha1 import TradingAccountStatus, parse_status
from accountsync.controller import status as written
from accountsync.controller.events import Events
from accountsync.controller.telling import summary, tell_all
from accountsync.cycle import INSIST_AFTER, Cycle, State, run
from accountsync.domain.account import AccountSnapshot, Part
from accountsync.domain.catalogue import CATALOGUE, Rule, Subject
from accountsync.domain.confirm import Track
from accountsync.domain.decide import Wishes
from accountsync.domain.finding import Finding, worst_first
from accountsync.domain.holds import Source
from accountsync.domain.policy import Mode, Policy
from accountsync.domain.sharing import Sharing, Sibling
from accountsync.errors import Reason
from accountsync.report.metrics import AccountSeries

ABOUT = {"metadata": {"namespace": "simulation", "name": "alpha", "uid": "u-1", "resourceVersion": "1"}}
RULES = frozenset(Rule)
READ_ALL_THE_SAME = {Reason.SNAPSHOT_REFUSED, Reason.SNAPSHOT_PARTIAL}
PARTS = {
    Part.ORDERS: {Subject.ORDER},
    Part.CONDITIONAL: {Subject.ORDER},
    Part.POSITIONS: {Subject.POSITION},
    Part.BALANCES: {Subject.BALANCE},
}


class Recorder:
    """Events as they are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def tell(self, _about: Mapping[str, Any], *, warning: bool, reason: str, action: str, note: str) -> None:
        del warning, action
        self.told.append((str(reason), note))


@dataclass(slots=True)
class Sighting:
    """What was seen of one difference since it appeared, as nobody but this module counts it."""

    since: float
    snapshots: set[int] = field(default_factory=set)
    beliefs: set[int] = field(default_factory=set)


class Observer:
    """Looks after bot `number`. `forgives`: which confirmed findings are right at this time. `to_stand`: those that
    must be confirmed all the time. `policy` may be changed between cycles. `desk`: of the process that lives, where
    something may be done; `survives` does what reaches out of it, and gives False where the process did not survive
    that. `acted`: what was done for its bot, as others on the account hear of it. `accepts_unknown`: a person resumes
    over what is not known. `paused`: what a person asks for. `again`: seconds until there is more to do.
    """

    def __init__(
        self, number: int, nature: Nature, account: Account, port: Port, bot: Bot, clock: VirtualClock
    ) -> None:
        self.number, self.nature, self.account, self.port, self.bot, self.clock = (
            number,
            nature,
            account,
            port,
            bot,
            clock,
        )
        self.policy = _policy_of(nature, number)
        self.siblings: list[Observer] = []
        self.forgives: Callable[[Finding], bool] = lambda _: False
        self.to_stand: frozenset[Rule] = frozenset()
        self.say: Callable[[str], None] = lambda _: None
        self.guard = Guard(clock)
        self.auditor: Auditor | None = None
        self.desk: Desk | None = None
        self.survives: Callable[[Coroutine[Any, Any, None]], Awaitable[bool]] = _always
        self.remediation = Remediation()
        self.acted: frozenset[str] = frozenset()
        self._at_work = False
        self._stored: set[str] = set()
        self.accepts_unknown: Callable[[], None] = lambda: None
        self.paused = False
        self.again: float | None = None
        self._held_at: float | None = None
        self._held_since: float | None = None
        self.state = State(created=True)
        self.cycle: Cycle | None = None
        self.told: set[str] = set()
        self.ever: set[str] = set()
        self.lately: set[str] = set()
        self.wrong: list[str] = []
        self.cycles = self.complete = self.doubtful = self.restarts = 0
        self._recorder = Recorder()
        self._status = TradingAccountStatus()
        self._document: dict[str, Any] = {}
        self._weighty: object = None
        self._written_at = float("-inf")
        self._since = 0.0
        self._series = AccountSeries("simulation", "alpha", 0.0)
        self._counts: Counter[str] = Counter()
        self._sightings: dict[str, Sighting] = {}
        self._clean_for = 0

    @property
    def confirmed(self) -> list[Finding]:
        """What is told as wrong now, but for the snapshots that were refused."""
        rows = [track.finding for track in self.state.tracks.values() if track.confirmed]
        return [finding for finding in rows if finding.rule is not Rule.TIMESTAMP_REGRESSION]

    async def turn(self) -> None:
        """One cycle with all that follows from it."""
        self.again = None
        if self.desk is not None and not await self.survives(self._recall()):
            return
        before, began = self.state, self.clock.monotonic()
        sharing = self._sharing()
        self.acted = self.remediation.past.acted
        policy = replace(self.policy, acted=self.acted.union(*(other.acted for other in self.siblings)))
        quoted = self.nature.quotes and not self.port.trouble
        self.port.shown = None
        wishes = Wishes(paused=self.paused, resume=self._resume())
        cycle = await run(
            before,
            policy,
            wishes,
            self.port,
            self.bot,
            self.clock,
            since=self._since,
            sharing=sharing,
            course=self.remediation.course,
        )
        self.state, self.cycle = cycle.state, cycle
        monotonic = self.clock.monotonic()
        self.cycles += 1
        self.complete += cycle.complete
        self.doubtful += cycle.complete and bool(cycle.state.tracks)
        self._series.record(cycle, monotonic)
        for text in self.guard.check(before, cycle, self.policy, wishes):
            self._complain(text)
        if quoted and not self.port.trouble:
            for finding in cycle.outcome.shown:
                if finding.rule is Rule.POSITION_MISMATCH and not finding.priced:
                    self._complain(f"{finding.key} has no price, and the exchange tells one")
        self._note_sightings(before, cycle, sharing, began)
        self._check_learning(before, cycle)
        self._check_findings(before, cycle, monotonic)
        await self._report(cycle, monotonic)
        self._check_metrics()
        if self.auditor is not None:
            for text in self.auditor.check(before, cycle):
                self._complain(text)
        if self.desk is not None:
            await self.survives(self._act(cycle, policy, sharing))

    # --- what is done about it ----------------------------------------------------------------------------------------

    def stored(self, name: str) -> None:
        """A plan was stored, by whichever process: it is told to who looks after the account."""
        self._stored.add(name)

    async def _recall(self) -> None:
        assert self.desk is not None
        now, writable = self.remediation, self.desk.repairs is not None
        self._at_work = now.plan is not None or concerned(self.policy, self.state.holds.keys(), writable=writable)
        if not self._at_work:
            self.remediation = Remediation()
            return
        if self._stored - {plan.name for plan in now.kept}:
            self.remediation = replace(now, course=replace(now.course, known=False))
        self._stored.clear()
        self.remediation = await recall(self.remediation, self.desk)

    async def _act(self, cycle: Cycle, policy: Policy, sharing: Sharing) -> None:
        assert self.desk is not None
        if not self._at_work:
            return
        held_for = None if self._held_at is None else self.clock.monotonic() - self._held_at
        desk = self.desk
        after = await act(self.remediation, cycle, policy, desk, held_for=held_for, sharing=sharing)
        if desk is not self.desk:  # others took over meanwhile
            return
        self.remediation, self.again = after, after.again

    def turn_mode(self, mode: Mode) -> None:
        """A person changes the mode."""
        self.policy = replace(self.policy, mode=mode)

    @property
    def standing(self) -> Standing:
        """What stands around an action now."""
        held = Source.ACTION in {hold.source for hold in self._status.holds}
        beliefs = tuple(observer.state.believed for observer in (self, *self.siblings))
        return Standing(self.policy, self.state, self.cycle, self._held_since if held else None, self.number, beliefs)

    def restart(self) -> None:
        """The operator's process ends, and another goes on from the status alone."""
        self.restarts += 1
        self.remediation, self.again, self._held_at = Remediation(), None, None
        self.acted = frozenset()
        self.say(f"operator {self.number} restarts")
        confirmed = {track.finding.key for track in self.state.tracks.values() if track.confirmed}
        stored = json.loads(json.dumps(self._document))
        self._status = parse_status({"metadata": ABOUT["metadata"], "status": stored})
        monotonic = self.clock.monotonic()
        self.state = written.restore(self._status, monotonic, self.clock.now_ms())
        resumed = self._status.watchdog.last_auto_resume_time if self._status.watchdog else None
        self.guard.restart(self.state.holds, written.milliseconds(resumed) if resumed else None)
        self._series = AccountSeries("simulation", "alpha", monotonic)
        self._counts = Counter()
        watermarks = self._status.watermarks
        last = watermarks.snapshot if watermarks else None
        self._since = monotonic - max(0.0, (self.clock.now_ms() - last) / 1000 if last else 0.0)
        if set(self.state.tracks) != confirmed:
            self._complain(f"a restart turned {sorted(confirmed)} into {sorted(self.state.tracks)}")

    # --- what it is told ----------------------------------------------------------------------------------------------

    def _sharing(self) -> Sharing:
        siblings = tuple(
            Sibling(f"bot-{other.number}", other.policy.order_id_prefix, other.state.believed)
            for other in self.siblings
        )
        return Sharing(siblings, leads=self.number == 0)

    def _resume(self) -> str:
        """A person resumes once nothing was wrong for a while, or doesn't wait for that."""
        self._clean_for = 0 if self.confirmed else self._clean_for + 1
        hasty = self.nature.hasty and self.cycles % 7 == 3
        if self._clean_for <= 2 and not hasty:
            return ""
        watchdog = self.policy.watchdog
        alone = watchdog is not None and watchdog.auto_resume.enabled and not hasty
        sources = [Source.POLICY] if alone else [Source.POLICY, Source.WATCHDOG]
        if hasty and Source.UNKNOWN_OUTCOME in self.state.holds:
            sources = [Source.UNKNOWN_OUTCOME]
            self.accepts_unknown()
        return next((self.state.holds[source].digest for source in sources if source in self.state.holds), "")

    # --- what must hold -----------------------------------------------------------------------------------------------

    def _complain(self, text: str) -> None:
        self.wrong.append(f"observer {self.number}, cycle {self.cycles}: {text}")

    def _note_sightings(self, before: State, cycle: Cycle, sharing: Sharing, began: float) -> None:
        if not cycle.state.tracks and not self._sightings:
            return
        tracks = cycle.state.tracks
        self._sightings = {key: seen for key, seen in self._sightings.items() if key in tracks and key in before.tracks}
        for key, track in tracks.items():
            if track is before.tracks.get(key):
                continue
            if key not in self._sightings:
                self.say(f"observer {self.number} sees {track.finding.message}")
            seen = self._sightings.setdefault(key, Sighting(began))
            if cycle.accepted and cycle.state.timestamp is not None and cycle.state.believed is not None:
                seen.snapshots.add(cycle.state.timestamp)
                seen.beliefs.add(sharing.as_of(cycle.state.believed.as_of))

    def _check_learning(self, before: State, cycle: Cycle) -> None:
        """Nothing follows from what was not read, was refused, or was not to be judged."""
        shown = self.port.shown
        if shown is not None and before.timestamp is not None and shown < before.timestamp:
            regressed = any(track.finding.rule is Rule.TIMESTAMP_REGRESSION for track in cycle.state.tracks.values())
            if cycle.accepted or not regressed:
                self._complain("a snapshot of the past was accepted")
        unread = cycle.exchange is not None and cycle.exchange.reason not in READ_ALL_THE_SAME
        if unread and cycle.state.tracks != before.tracks:
            self._complain("tracks changed, and the exchange was not read")
        ignorant = not cycle.accepted or cycle.state.believed is None
        if ignorant and _compared(cycle.state) != _compared(before):
            self._complain("tracks of comparison changed, and the two sides were not both known")
        if not cycle.complete:
            changed = {source for source in Source if (source in before.holds) != (source in cycle.state.holds)}
            if changed & {Source.ACTION, Source.UNKNOWN_OUTCOME, Source.USER} and self.desk is None:
                self._complain(f"holds changed: {sorted(changed)}")
        if cycle.evidence is not None and cycle.state.tracks:
            self._check_judgement(before, cycle, cycle.evidence.snapshot)

    def _check_judgement(self, before: State, cycle: Cycle, snapshot: AccountSnapshot) -> None:
        """What was not read, or changed while it was, is not judged."""
        dark = {subject for part in snapshot.missing for subject in PARTS[part]}
        for key, track in cycle.state.tracks.items():
            finding = track.finding
            subject = CATALOGUE[finding.rule].subject
            shown_now = track is not before.tracks.get(key)
            if shown_now and subject in dark:
                self._complain(f"{finding.key} was found in a part that was not read")
            unsettled = finding.symbol in snapshot.unsettled and subject in {Subject.ORDER, Subject.POSITION}
            insisted = cycle.state.unsettled.get(finding.symbol, 0) >= INSIST_AFTER
            proven = finding.rule is Rule.POSITION_MISMATCH and finding.proven is not None
            if shown_now and unsettled and not insisted and not proven:
                self._complain(f"{finding.key} was found in a symbol that changed while it was read")

    def _check_findings(self, before: State, cycle: Cycle, monotonic: float) -> None:
        for key, track in cycle.state.tracks.items():
            if not track.confirmed or (key in before.tracks and before.tracks[key].confirmed):
                continue
            self.ever.add(key)
            self.lately.add(key)
            if CATALOGUE[track.finding.rule].at_once:
                continue
            seen = self._sightings[key]
            if monotonic - seen.since < self.policy.order_grace_ms / 1000 - 1e-6:
                self._complain(f"{key} was confirmed {monotonic - seen.since:.1f} s after its first sight")
            if min(len(seen.snapshots), len(seen.beliefs)) < self.policy.confirmations:
                self._complain(
                    f"{key} was confirmed by {len(seen.snapshots)} snapshots and {len(seen.beliefs)} beliefs"
                )
        for finding in self.confirmed:
            if not self.forgives(finding):
                track = cycle.state.tracks[finding.key]
                self._complain(f"accused of {finding.key}: {finding.message} ({_short(track)})")
        missing = self.to_stand - {finding.rule for finding in self.confirmed}
        if missing:
            self._complain(f"{sorted(missing)} no longer stands, and nothing was put right")

    # --- what is written ----------------------------------------------------------------------------------------------

    async def _report(self, cycle: Cycle, monotonic: float) -> None:
        state, before = self.state, self._status
        confirmed = {key: track.finding for key, track in state.tracks.items() if track.confirmed}
        weighty = (
            tuple(confirmed),
            tuple((hold.source, hold.digest) for hold in state.holds.values()),
            tuple(state.acknowledged),
            state.belief.boot_id,
        )
        late = monotonic - self._written_at >= written.heartbeat_after(self.policy.stale_after)
        if late or weighty != self._weighty:
            self._write(cycle, confirmed)
            self._weighty, self._written_at = weighty, monotonic
        if Source.ACTION not in state.holds:
            self._held_at = self._held_since = None
        elif self._held_at is None:
            self._held_at = monotonic
            self._held_since = monotonic if self._held_since is None else self._held_since
        events: list[tuple[str, str]] = []
        self._recorder.told = events
        await tell_all(
            cast("Events", self._recorder),
            ABOUT,
            cycle.outcome,
            cycle.decision.transitions,
            state.holds,
            cycle.decision.refusal,
            (before, self._status),
        )
        self._check_events(events, confirmed, cycle)

    def _write(self, cycle: Cycle, confirmed: Mapping[str, Finding]) -> None:
        state = self.state
        now = written.moment(self.clock.now_ms())
        self._status = status = TradingAccountStatus(
            observed_generation=1,
            paused=bool(state.holds),
            paused_by=",".join(sorted(state.holds)),
            holds=tuple(written.holds(state)),
            acknowledged=tuple(written.acknowledged(state)),
            watchdog=written.watchdog(state),
            snapshot=written.snapshot(state) or self._status.snapshot,
            watermarks=written.watermarks(state),
            findings=written.findings(state),
            history=written.history(self._status.history, cycle.decision.transitions, now),
        )
        self._document = written.fitted(status.dump())
        counted = Counter(finding.rule.value for finding in confirmed.values())
        assert status.findings is not None
        if status.findings.total != len(confirmed) or status.findings.by_rule != counted:
            self._complain(f"the status counts {status.findings.by_rule}, and {counted} are confirmed")
        if {hold.source for hold in status.holds} != set(self._series.held):
            self._complain("status and metrics speak of other holds")

    def _check_events(self, events: list[tuple[str, str]], confirmed: Mapping[str, Finding], cycle: Cycle) -> None:
        gone = self.told - confirmed.keys()
        new = [finding for key, finding in confirmed.items() if key not in self.told]
        if not (events or gone or new):
            return
        for event in events:
            self.say(f"observer {self.number} tells {event[0]}: {event[1]}")
        found = sorted((reason, note) for reason, note in events if reason in RULES)
        due = []
        for rule in {finding.rule for finding in new}:
            rows = sorted((finding for finding in new if finding.rule is rule), key=worst_first)
            more = f"; and {len(rows) - 1} more" if len(rows) > 1 else ""
            due.append((str(rule), f"{rows[0].message}{more}"))
        if found != sorted(due):
            self._complain(f"told {found}, and new is {sorted(due)}")
        resolved = [note for reason, note in events if reason == "DriftResolved"]
        if len(resolved) != bool(gone) and not self.policy.ignores:
            self._complain(f"told {resolved}, and {sorted(gone)} is resolved")
        if resolved and resolved != [summary(cycle.outcome.resolved)]:
            self._complain(f"told {resolved} of what resolved")
        self.told = set(confirmed)

    def _check_metrics(self) -> None:
        standing = Counter(track.finding.rule for track in self.state.tracks.values() if track.confirmed)
        if self._series.standing != standing:
            self._complain(f"the metrics count {self._series.standing}, and {standing} are confirmed")
        if self._series.held != self.state.holds.keys():
            self._complain("the metrics show other holds")
        if not self._series.mismatches:
            return
        for label, count in self._series.mismatches.items():
            if count < self._counts[label]:
                self._complain(f"the counter of {label} went back")
        self._counts = Counter(self._series.mismatches)


async def _always(work: Coroutine[Any, Any, None]) -> bool:
    await work
    return True


def _policy_of(nature: Nature, number: int) -> Policy:
    return replace(nature.policy, order_id_prefix=PREFIXES[number])


def _compared(state: State) -> dict[str, Track]:
    return {key: track for key, track in state.tracks.items() if not CATALOGUE[track.finding.rule].at_once}


def _short(track: Track) -> str:
    return f"count {track.count}, first seen {track.first_seen}, last {track.last_seen}, proven {track.finding.proven}"

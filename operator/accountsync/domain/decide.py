"""What follows from the findings: which holds stand, what was acknowledged, what a person must be told.

In:  the tracks after this cycle, the holds, acknowledgements and vigil before it, what people asked for.
Out: a `Decision`.

Invariants: only confirmed findings at or above `pauseAt` pause; an acknowledged one does so again only after it
resolved and returned, or when its notional grew by a quarter; a resume that misses a current finding is refused. Where
the ghosts of a ledger are dealt with (`Policy.parity`), they raise no hold but the watchdog's and keep none standing. A
resume speaks of the one hold whose digest it quotes, and acknowledges what that one is for: it keeps both Policy and
Watchdog from being raised over that again, and lifts no other hold.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from accountsync.domain.confirm import Track, Tracks
from accountsync.domain.finding import worst_first
from accountsync.domain.holds import BY_PERSON, Hold, Holds, Signal, Source, Transition, fingerprint, step
from accountsync.domain.policy import Mode, Policy
from accountsync.domain.watchdog import Vigil, alarm, valued

REGROWTH = Decimal("1.25")

Acknowledged = Mapping[str, Decimal]
"""Fingerprint of each finding that a person resumed over → its notional then."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What people ask for through the resource. `resume` is a digest not yet handled, or empty."""

    paused: bool = False
    pause_reason: str = ""
    resume: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What this cycle was.

    `complete`: both sides were known, the exchange's anew, and judged. `whole`: and nothing of them was left Unknown.
    `stale_for`: seconds without a good snapshot, where that is over the limit. `idle`: nothing was to be read.
    `course`: what the remediation tells the holds, and `refused`: keys of the findings that it may not act on.
    """

    complete: bool = False
    whole: bool = False
    created: bool = False
    booted: bool = False
    stale_for: float | None = None
    idle: bool = False
    course: Mapping[Signal, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """`refusal` says why a resume was not followed. `withheld`: why the watchdog would stop the bot if it might."""

    holds: Holds
    acknowledged: Acknowledged = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    refusal: str = ""
    vigil: Vigil = field(default_factory=Vigil)
    withheld: str = ""


def decide(
    tracks: Tracks,
    holds: Holds,
    acknowledged: Acknowledged,
    policy: Policy,
    wishes: Wishes,
    situation: Situation,
    *,
    now_ms: int,
    monotonic: float = 0.0,
    vigil: Vigil | None = None,
) -> Decision:
    """Follow the findings and the people, by the table of holds."""
    refused = {fingerprint(key) for key in situation.refused}
    case = _Case({fingerprint(key): track for key, track in tracks.items()}, dict(acknowledged), policy, refused)
    signals: dict[Signal, str] = {}
    refusal = ""
    if wishes.resume:
        source, refusal = _resumed(wishes.resume, holds, case)
        if source is not None:
            standing = case.behind(source)
            case.acknowledged.update({key: track.finding.notional for key, track in standing.items()})
            signals[BY_PERSON[source]] = f"a person resumed over {_count(len(standing))} still there"
    unseen = case.unseen(Source.POLICY)
    if unseen:
        signals[Signal.DRIFT] = _summary(unseen)
    doubted = case.unseen(Source.WATCHDOG)
    too_much = alarm((track.finding for track in doubted.values()), policy.watchdog) if policy.watchdog else ""
    if too_much:
        signals[Signal.MISMATCH_LARGE] = too_much
    vigil = _watched(vigil or Vigil(), holds.get(Source.WATCHDOG), case, situation, monotonic)
    if policy.watchdog and vigil.may_resume(policy.watchdog.auto_resume, monotonic):
        signals[Signal.RECOVERED] = f"{vigil.clean} clean cycles in a row, and the pauses have passed"
    signals |= _heard_of_the_cycle(situation, case, policy) | _heard_of_people(wishes)
    signals = {**situation.course, **signals}
    if refused and all(key not in case.tracks or case.accepted(key) for key in refused):
        signals.pop(Signal.REFUSED_TO_ACT, None)
    keys = {Source.POLICY: set(unseen), Source.WATCHDOG: set(doubted)}
    after, transitions = step(holds, signals, policy.mode, now_ms=now_ms, keys=keys)
    for transition in transitions:
        if transition.source is Source.WATCHDOG:
            vigil = _turned(vigil, transition, monotonic, now_ms)
    withheld = too_much if policy.mode is Mode.OBSERVE and Source.WATCHDOG not in after else ""
    return Decision(after, case.acknowledged, transitions, refusal, vigil, withheld)


def _heard_of_the_cycle(situation: Situation, case: "_Case", policy: Policy) -> dict[Signal, str]:
    signals: dict[Signal, str] = {}
    if situation.complete:
        waiting = any(case.pauses(key) and not case.accepted(key) for key in case.tracks)
        if not waiting and (situation.whole or policy.pause_at is None):
            signals[Signal.CLEAN] = "a complete cycle found nothing to pause for"
        signals[Signal.JUDGED] = "a complete cycle judged the account"
    if situation.created:
        signals[Signal.CREATED] = "nothing has judged this account yet"
    if situation.booted:
        signals[Signal.BOOTED] = "the bot booted, and nothing has judged its state since"
    if situation.stale_for is not None:
        signals[Signal.SNAPSHOT_STALE] = f"no good snapshot for {situation.stale_for:.0f} s (spec.staleAfter)"
    return signals


def _heard_of_people(wishes: Wishes) -> dict[Signal, str]:
    if wishes.paused:
        return {Signal.USER_PAUSED: wishes.pause_reason or "spec.paused is true"}
    return {Signal.USER_RESUMED: "spec.paused is false"}


class _Case:
    """The differences by fingerprint, and which of them people accepted: those that are gone are forgotten."""

    def __init__(
        self, tracks: Mapping[str, Track], acknowledged: dict[str, Decimal], policy: Policy, refused: Collection[str]
    ) -> None:
        self.tracks = tracks
        self._refused = refused
        self.acknowledged = {key: notional for key, notional in acknowledged.items() if key in tracks}
        self._policy = policy

    def behind(self, source: Source) -> dict[str, Track]:
        """The confirmed differences that a hold of `source` is for."""
        confirmed = {key: track for key, track in self.tracks.items() if track.confirmed}
        if source is Source.POLICY:
            return {key: track for key, track in confirmed.items() if self.pauses(key)}
        if source is Source.WATCHDOG:
            return {key: track for key, track in confirmed.items() if valued(track.finding)}
        return {}

    def pauses(self, key: str) -> bool:
        """Whether this one is to stop the bot for once it is confirmed. A ledger's ghosts are for the watchdog."""
        finding = self.tracks[key].finding
        if self._policy.parity is not None and finding.is_ghost:
            return key in self._refused
        return self._policy.pauses(finding.severity) or key in self._refused

    def unseen(self, source: Source) -> dict[str, Track]:
        """Those of them that nobody accepted."""
        return {key: track for key, track in self.behind(source).items() if not self.accepted(key)}

    def accepted(self, key: str) -> bool:
        """Whether a person resumed over this one, and it did not grow since."""
        notional = self.tracks[key].finding.notional
        return key in self.acknowledged and notional <= self.acknowledged[key] * REGROWTH

    def clean_of(self, hold: Hold) -> bool:
        """Whether nothing of a value differs, but what was accepted before the watchdog's `hold` was raised."""
        covered = hold.folded.union(hold.keys)
        return all(
            self.accepted(key) and key not in covered for key, track in self.tracks.items() if valued(track.finding)
        )


def _watched(vigil: Vigil, hold: Hold | None, case: _Case, situation: Situation, monotonic: float) -> Vigil:
    if hold is None:
        return vigil.lifted()
    if vigil.raised_at is None:
        vigil = vigil.raised(monotonic)  # nobody knows since when: then from now on
    if situation.idle:
        return vigil
    return vigil.after(clean=situation.complete and situation.whole and case.clean_of(hold))


def _turned(vigil: Vigil, transition: Transition, monotonic: float, now_ms: int) -> Vigil:
    if transition.raised:
        return vigil.raised(monotonic)
    return vigil.resumed(monotonic, now_ms) if transition.why is Signal.RECOVERED else vigil.lifted()


def _resumed(digest: str, holds: Holds, case: _Case) -> tuple[Source | None, str]:
    """The hold that `digest` lifts, or why it lifts none: it has to cover every finding that the hold is for now."""
    standing = {source: holds[source] for source in BY_PERSON if source in holds}
    if not standing:
        return None, "there is no hold to resume from"
    present = {source: hold.gather(set(case.unseen(source))).digest for source, hold in standing.items()}
    for source, hold in standing.items():
        unseen = hold.gather(set(case.unseen(source))).unseen_by(digest)
        if unseen is None:
            continue
        new = case.unseen(source)
        covered = hold.folded.union(hold.keys).difference(unseen)
        current = [new[key].finding for key in sorted(new.keys() - covered)]
        if not current:
            return source, ""
        named = "; ".join(f"{finding.rule} {finding.symbol} {finding.id}".strip() for finding in current[:3])
        more = f" and {len(current) - 3} more" if len(current) > 3 else ""  # noqa: PLR2004
        return None, f"since that digest there is new: {named}{more}; look at it, then quote {present[source]}"
    if len(present) == 1:
        (only,) = present.values()
        return None, f"the digest is not of this hold: read status.holds and quote {only}"
    each = " or ".join(f"{quoted} ({source})" for source, quoted in present.items())
    return None, f"the digest is of no hold that stands: read status.holds and quote {each}"


def _summary(unseen: Mapping[str, Track]) -> str:
    worst = sorted((track.finding for track in unseen.values()), key=worst_first)
    rest = f", and {len(worst) - 1} more" if len(worst) > 1 else ""
    return f"{worst[0].rule}: {worst[0].message}{rest}"


def _count(number: int) -> str:
    return f"{number} finding{'' if number == 1 else 's'}"

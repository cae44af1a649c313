"""What follows from the findings: which holds stand, what was acknowledged, what a person must be told.

In:  the tracks after this cycle, the holds and acknowledgements before it, what people asked for. Out: a `Decision`.

Invariants: only confirmed findings at or above `pauseAt` pause; an acknowledged one does so again only after it
resolved and returned, or when its notional grew by a quarter; a resume that misses a current finding is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from accountsync.domain.confirm import Track, Tracks
from accountsync.domain.finding import worst_first
from accountsync.domain.holds import Holds, Signal, Source, Transition, fingerprint, step
from accountsync.domain.policy import Policy

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
    `stale_for`: seconds without a good snapshot, where that is over the
    limit.
    """

    complete: bool = False
    whole: bool = False
    created: bool = False
    booted: bool = False
    stale_for: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`refusal` says why a resume was not followed."""

    holds: Holds
    acknowledged: Acknowledged = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    refusal: str = ""


def decide(
    tracks: Tracks,
    holds: Holds,
    acknowledged: Acknowledged,
    policy: Policy,
    wishes: Wishes,
    situation: Situation,
    *,
    now_ms: int,
) -> Decision:
    """Follow the findings and the people, by the table of holds."""
    by_fingerprint = {fingerprint(key): track for key, track in tracks.items()}
    pausing = {key: t for key, t in by_fingerprint.items() if t.confirmed and policy.pauses(t.finding.severity)}
    acknowledged = {key: notional for key, notional in acknowledged.items() if key in by_fingerprint}
    signals: dict[Signal, str] = {}
    refusal = ""
    if wishes.resume:
        refusal = _refusal(wishes.resume, holds, pausing, acknowledged)
        if not refusal:
            acknowledged.update({key: track.finding.notional for key, track in pausing.items()})
            signals[Signal.RESUMED] = f"a person resumed over {_count(len(pausing))} still there"
    unseen = {key: track for key, track in pausing.items() if not _acknowledged(key, track, acknowledged)}
    if unseen:
        signals[Signal.DRIFT] = _summary(unseen)
    if situation.complete:
        waiting = any(
            policy.pauses(track.finding.severity) and not _acknowledged(key, track, acknowledged)
            for key, track in by_fingerprint.items()
        )
        if not waiting and (situation.whole or policy.pause_at is None):
            signals[Signal.CLEAN] = "a complete cycle found nothing to pause for"
        signals[Signal.JUDGED] = "a complete cycle judged the account"
    if situation.created:
        signals[Signal.CREATED] = "nothing has judged this account yet"
    if situation.booted:
        signals[Signal.BOOTED] = "the bot booted, and nothing has judged its state since"
    if situation.stale_for is not None:
        signals[Signal.SNAPSHOT_STALE] = f"no good snapshot for {situation.stale_for:.0f} s (spec.staleAfter)"
    if wishes.paused:
        signals[Signal.USER_PAUSED] = wishes.pause_reason or "spec.paused is true"
    else:
        signals[Signal.USER_RESUMED] = "spec.paused is false"
    after, transitions = step(holds, signals, policy.mode, now_ms=now_ms, keys=set(unseen))
    return Decision(after, acknowledged, transitions, refusal)


def _acknowledged(key: str, track: Track, acknowledged: Acknowledged) -> bool:
    return key in acknowledged and track.finding.notional <= acknowledged[key] * REGROWTH


def _refusal(digest: str, holds: Holds, pausing: Mapping[str, Track], acknowledged: Acknowledged) -> str:
    """Why `digest` may not lift the Policy hold; empty if it may: it then covers every finding that pauses now."""
    hold = holds.get(Source.POLICY)
    if hold is None:
        return "there is no Policy hold to resume from"
    new = {key for key, track in pausing.items() if not _acknowledged(key, track, acknowledged)}
    present = hold.gather(new).digest
    unseen = hold.unseen_by(digest)
    if unseen is None:
        return f"the digest is not of this hold: read status.holds and quote {present}"
    covered = hold.folded.union(hold.keys).difference(unseen)
    current = [pausing[key].finding for key in sorted(new - covered)]
    if not current:
        return ""
    named = "; ".join(f"{finding.rule} {finding.symbol} {finding.id}".strip() for finding in current[:3])
    more = f" and {len(current) - 3} more" if len(current) > 3 else ""  # noqa: PLR2004
    return f"since that digest there is new: {named}{more}; look at it, then quote {present}"


def _summary(unseen: Mapping[str, Track]) -> str:
    worst = sorted((track.finding for track in unseen.values()), key=worst_first)
    rest = f", and {len(worst) - 1} more" if len(worst) > 1 else ""
    return f"{worst[0].rule}: {worst[0].message}{rest}"


def _count(number: int) -> str:
    return f"{number} finding{'' if number == 1 else 's'}"

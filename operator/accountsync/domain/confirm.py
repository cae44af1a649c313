"""From differences to findings that can be trusted.

In:  the tracks of earlier cycles and a `Detection`. Out: the tracks now, and which were confirmed and resolved.

A difference is *open* at first sight, *confirmed* after grace and confirmations, *resolved* when a pass that could
judge it no longer shows it. Invariants:
1. A sighting counts only with a newer belief and a newer snapshot than the last one that counted.
2. A sighting counts only when the belief is at least the grace younger than the exchange's last change of the object
   (or than the end of the reading that first saw its present state, where the exchange gives no time), unless what it
   shows is compared with the account at the belief's own time.
3. Confirmation also takes the grace since first sight, on the monotonic clock.
4. Confirmation takes proof that the belief was not merely ahead of the snapshot. An order is asked for by id, after
   the belief was read, and what that answer shows must count itself. Fills and income prove by themselves what the
   account was at the belief's time. Anything else must be seen unchanged in a reading that began at least the grace
   after a belief that counted: the account stood still around that belief, and so it was wrong.
5. What a pass could not judge keeps its track as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.finding import Detection, Finding

ASKED_BY_ID = frozenset({Rule.UNEXPECTED_ORDER, Rule.MISSING_ORDER, Rule.ORDER_DIVERGENCE, Rule.UNATTRIBUTED_FILL})


@dataclass(frozen=True, slots=True)
class Track:
    """One finding over time. `*_seen` are wall-clock ms, `since` is monotonic seconds, `changed` exchange ms.

    `witness`: as-of time of the oldest belief that counted against the exchange's present state of the object; of
    several together, the newest of theirs.
    """

    finding: Finding
    first_seen: int
    last_seen: int
    since: float
    changed: int
    count: int = 0
    confirmed: bool = False
    counted_as_of: int = -1
    counted_timestamp: int = -1
    witness: int | None = None


Tracks = Mapping[str, Track]


@dataclass(frozen=True, slots=True)
class Moment:
    """When a pass was made. `as_of` is the belief's time (None: Unknown), in ms.

    `timestamp` and `until`: between which exchange ms the snapshot was read. `newest`: of several beliefs that count
    together, `as_of` is the oldest, and this the newest time, if it is another.
    """

    timestamp: int
    until: int
    as_of: int | None
    now_ms: int
    monotonic: float
    newest: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`tracks` hold all that stands.

    `confirmed`: what this pass confirmed. `resolved`: what was confirmed and this pass no longer shows. `shown`: all
    confirmed findings that this pass showed.
    """

    tracks: Tracks
    confirmed: tuple[Finding, ...]
    resolved: tuple[Finding, ...]
    shown: tuple[Finding, ...]


def confirm(tracks: Tracks, detection: Detection, moment: Moment, *, grace_ms: int, confirmations: int) -> Outcome:
    """Advance `tracks` by one pass."""
    now = {
        finding.key: _advance(tracks.get(finding.key), finding, moment, grace_ms, confirmations)
        for finding in detection.findings
    }
    fresh = [track for key, track in now.items() if track.confirmed and not _was_confirmed(tracks, key)]
    shown = [track.finding for track in now.values() if track.confirmed]
    accepted = {finding.key for finding in detection.ignored}
    resolved = []
    for key, track in tracks.items():
        if key in now:
            continue
        if detection.judged(track.finding):
            if track.confirmed and key not in accepted:
                resolved.append(track.finding)
        else:
            now[key] = track
    return Outcome(
        tracks=now,
        confirmed=tuple(track.finding for track in fresh),
        resolved=tuple(resolved),
        shown=tuple(shown),
    )


def would_confirm(track: Track | None, finding: Finding, moment: Moment, *, grace_ms: int, confirmations: int) -> bool:
    """Whether `finding` is one look away from being confirmed for the first time."""
    advanced = _advance(track, finding, moment, grace_ms, confirmations)
    return advanced.confirmed and not (track is not None and track.confirmed)


def _was_confirmed(tracks: Tracks, key: str) -> bool:
    return key in tracks and tracks[key].confirmed


def _advance(track: Track | None, finding: Finding, moment: Moment, grace_ms: int, confirmations: int) -> Track:
    if track is None:
        track = Track(finding, moment.now_ms, moment.now_ms, moment.monotonic, moment.until)
    changed, witness = track.changed, track.witness
    if track.finding.observed != finding.observed:
        changed, witness = moment.until, None
    settled = (finding.changed if finding.changed is not None else changed) + grace_ms
    if finding.proven is not None:
        settled = 0
    if witness is not None and witness < settled:
        witness = None
    at_once = CATALOGUE[finding.rule].at_once
    count, as_of, timestamp = track.count, track.counted_as_of, track.counted_timestamp
    counts = at_once or _counts(track, moment, settled)
    if counts:
        count += 1
        witness = (moment.newest or moment.as_of) if witness is None else witness
        as_of = moment.as_of if moment.as_of is not None else as_of
        timestamp = moment.timestamp
    aged = moment.monotonic - track.since >= grace_ms / 1000
    stood_still = witness is not None and witness + grace_ms <= moment.timestamp
    if finding.proven is not None:
        proven = counts and finding.proven
    else:
        proven = counts if finding.rule in ASKED_BY_ID else stood_still
    return Track(
        finding=finding,
        first_seen=track.first_seen,
        last_seen=moment.now_ms,
        since=track.since,
        changed=changed,
        count=count,
        confirmed=track.confirmed or at_once or (count >= confirmations and aged and proven),
        counted_as_of=as_of,
        counted_timestamp=timestamp,
        witness=witness,
    )


def _counts(track: Track, moment: Moment, settled: int) -> bool:
    """Whether a belief of after `settled` and a snapshot say so that are both newer than the last that counted."""
    if moment.as_of is None or moment.as_of < settled:
        return False
    return moment.as_of > track.counted_as_of and moment.timestamp > track.counted_timestamp

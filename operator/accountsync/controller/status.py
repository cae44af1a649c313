"""The resource's status: what is written of a `State`, and what is read back after a restart.

Invariants: a status is always whole; it is written when something a person acts on changed, and as a heartbeat; it
stays under 32 KiB. What is read back keeps holds, acknowledgements, the watchdog's spans and first-seen times; counts
start again.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accountsync.api import v1alpha1 as api
from accountsync.api.caps import ACKNOWLEDGED_CAP, FILL_SYMBOLS_CAP, FINDINGS_CAP, HISTORY_CAP, STATUS_BYTES
from accountsync.controller.conditions import gist
from accountsync.cycle import State
from accountsync.domain.catalogue import Rule, Severity
from accountsync.domain.confirm import Track
from accountsync.domain.expected import BeliefMemory
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Finding, worst_first
from accountsync.domain.held import Held, Honour
from accountsync.domain.holds import BY_PERSON, Hold, Signal, Source, Transition, begun
from accountsync.domain.policy import PauseLevel
from accountsync.domain.watchdog import Vigil

_WHOLE_SECONDS_MS = 1_000
"""Times of conditions may be cut to whole seconds."""


def moment(ms: int) -> datetime:
    """Unix ms as a time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def milliseconds(time: datetime) -> int:
    """A time as Unix ms."""
    return int(time.timestamp() * 1000)


def heartbeat_after(stale_after: float) -> float:
    """Seconds between two heartbeats: a third of staleAfter, so that a reader sees a dead operator in time."""
    return stale_after / 3


def restore(status: api.TradingAccountStatus, monotonic: float, now_ms: int) -> State:
    """What a new process remembers of an account. `now_ms`: Unix ms by its clock, `monotonic`: seconds."""
    tracks = {}
    for item in status.findings.items if status.findings else ():
        track = _track(item, monotonic)
        if track is not None:
            tracks[track.finding.key] = track
    holds = {}
    for held in status.holds:
        reason = Signal(held.reason) if held.reason in set(Signal) else Signal.DRIFT
        since = milliseconds(held.since)
        if held.source in set(Source):
            source = Source(held.source)
            holds[source] = Hold(source, reason, held.message, since, held.base or "", tuple(held.keys))
        else:  # of another version: nobody here would lift it, so it becomes one that a person can
            message = f"{held.source} hold of another version: {held.message}"
            holds.setdefault(Source.POLICY, begun(Source.POLICY, reason, message, since))
    watermarks = status.watermarks
    watched = holds.get(Source.WATCHDOG)
    resumed = status.watchdog.last_auto_resume_time if status.watchdog else None
    return State(
        tracks=tracks,
        belief=BeliefMemory(boot_id=(watermarks.boot_id if watermarks else None) or ""),
        holds=holds,
        acknowledged={entry.key: entry.notional or Decimal(0) for entry in status.acknowledged},
        vigil=Vigil.restored(
            watched.since if watched else None,
            milliseconds(resumed) if resumed else None,
            now_ms=now_ms,
            monotonic=monotonic,
        ),
        timestamp=watermarks.snapshot if watermarks else None,
        fills=_fills(watermarks),
        honour=_honour(status),
        created=status.observed_generation is None,
    )


def held(status: api.TradingAccountStatus) -> Held | None:
    """Since when a bot that reads this status could see that it is held; None: it is not.

    When the pause level was changed no status says: then it could be seen when this one was written.
    """
    paused = next((each for each in status.conditions if each.type == "Paused"), None)
    if not status.paused or paused is None or paused.status != "True":
        return None
    since = milliseconds(paused.last_transition_time) + _WHOLE_SECONDS_MS
    seen = milliseconds(status.last_report_time) if status.last_report_time else since
    return Held(since, max(since, seen) if status.pause_level == PauseLevel.HALT else None)


def _honour(status: api.TradingAccountStatus) -> Honour:
    """What was told before is not told anew: all that the last snapshot showed was looked at."""
    seen = held(status)
    told = next((each.message for each in status.conditions if each.type == "PauseNotHonoured"), "")
    if seen is None or not told:
        return Honour()
    watermarks = status.watermarks
    return Honour(seen.since, known_to=(watermarks.snapshot if watermarks else None) or 0, last=told)


def _fills(watermarks: api.Watermarks | None) -> FillLog | None:
    if watermarks is None or watermarks.fills is None:
        return None
    return FillLog(start=watermarks.fills, unread=frozenset(watermarks.fill_symbols))


def _track(item: api.Finding, monotonic: float) -> Track | None:
    try:
        rule = Rule(item.rule)
    except ValueError:
        return None  # of a version that knew other kinds: it will be found again if it is still so
    finding = Finding(
        rule=rule,
        symbol=item.symbol,
        id=item.id,
        expected=item.expected,
        observed=item.observed,
        notional=item.notional or Decimal(0),
        own=item.severity != Severity.WARNING.word,
        priced=item.notional is not None,
    )
    return Track(
        finding=finding,
        first_seen=milliseconds(item.first_seen),
        last_seen=milliseconds(item.last_seen),
        since=monotonic,
        changed=0,
        confirmed=True,
    )


def holds(state: State) -> list[api.Hold]:
    """The holds as the status lists them."""
    return [
        api.Hold(
            source=hold.source,
            reason=hold.reason,
            message=hold.message,
            since=moment(hold.since),
            digest=hold.digest or None,
            base=hold.base or None,
            keys=hold.keys,
        )
        for _, hold in sorted(state.holds.items())
    ]


def findings(state: State) -> api.Findings:
    """Exact counts of what is confirmed, and the worst in full."""
    confirmed = [track for track in state.tracks.values() if track.confirmed]
    worst = sorted(confirmed, key=lambda track: worst_first(track.finding))
    return api.Findings(
        total=len(confirmed),
        confirmed=len(confirmed),
        by_rule=dict(sorted(Counter(track.finding.rule.value for track in confirmed).items())),
        items=tuple(_item(track) for track in worst[:FINDINGS_CAP]),
    )


def _item(track: Track) -> api.Finding:
    finding = track.finding
    return api.Finding(
        rule=finding.rule,
        severity=finding.severity.word,
        symbol=finding.symbol,
        id=finding.id,
        state="Confirmed",
        message=finding.message,
        expected=finding.expected,
        observed=finding.observed,
        notional=finding.notional if finding.priced else finding.notional or None,
        first_seen=moment(track.first_seen),
        last_seen=moment(track.last_seen),
        count=track.count,
    )


def snapshot(state: State) -> api.SnapshotSummary | None:
    """The last good reading in numbers."""
    if state.snapshot is None:
        return None
    return api.SnapshotSummary(
        timestamp=moment(state.snapshot.timestamp),
        positions=state.snapshot.held,
        open_orders=len(state.snapshot.orders),
        pending_notional=state.snapshot.pending_notional,
    )


def watermarks(state: State, belief: int | None = None) -> api.Watermarks | None:
    """How far both sides were read; `belief`: Unix ms of the as-of time of the last belief that counted."""
    if state.timestamp is None and belief is None and not state.belief.boot_id:
        return None
    return api.Watermarks(
        snapshot=state.timestamp,
        belief=belief,
        fills=state.fills.watermark if state.fills else None,
        fill_symbols=tuple(sorted(state.fills.unfinished)[:FILL_SYMBOLS_CAP]) if state.fills else (),
        boot_id=state.belief.boot_id or None,
    )


def acknowledged(state: State) -> list[api.Acknowledged]:
    """Findings that a person resumed over, the largest first where there are too many."""
    largest = sorted(state.acknowledged.items(), key=lambda entry: (-entry[1], entry[0]))[:ACKNOWLEDGED_CAP]
    return [api.Acknowledged(key=key, notional=notional) for key, notional in largest]


def watchdog(state: State) -> api.WatchdogMemory | None:
    """What the watchdog must not forget; when its hold was raised, the hold itself says."""
    resumed = state.vigil.resumed_ms
    return None if resumed is None else api.WatchdogMemory(last_auto_resume_time=moment(resumed))


def history(
    before: Sequence[api.Transition], transitions: Sequence[Transition], now: datetime, *, person: str = ""
) -> tuple[api.Transition, ...]:
    """The last transitions, newest last. `person`: who resumed, where that is known."""
    fresh = [
        api.Transition(
            time=now,
            who="spec.paused"
            if transition.source is Source.USER
            else person or "person"
            if _by_person(transition)
            else "operator",
            what=f"{'raised' if transition.raised else 'lifted'} {transition.source}",
            why=transition.message,
        )
        for transition in transitions
    ]
    return (*before, *fresh)[-HISTORY_CAP:]


def _by_person(transition: Transition) -> bool:
    return transition.why in BY_PERSON.values()


def significant(status: dict[str, Any]) -> str:
    """What of a status is worth a write at once: everything but what moves with each cycle."""
    counted = status.get("findings", {})
    return json.dumps(
        {
            "conditions": [(c["type"], *gist(api.Condition.model_validate(c))) for c in status.get("conditions", ())],
            "holds": [(h["source"], h.get("digest"), h["reason"]) for h in status.get("holds", ())],
            "acknowledged": [entry["key"] for entry in status.get("acknowledged", ())],
            "history": status.get("history", ()),
            "findings": sorted(
                (f["rule"], f.get("symbol", ""), f.get("id", ""), f["severity"]) for f in counted.get("items", ())
            ),
            "total": counted.get("total", 0),
            "owner": status.get("owner"),
            "bootId": status.get("watermarks", {}).get("bootId"),
            "fillSymbols": status.get("watermarks", {}).get("fillSymbols", ()),
            **{
                name: status.get(name)
                for name in (
                    "sync",
                    "paused",
                    "pauseLevel",
                    "pausedBy",
                    "observedGeneration",
                    "lastHandledReconcileAt",
                    "lastHandledResume",
                    "stoppedBot",
                )
            },
        },
        sort_keys=True,
    )


def fitted(status: dict[str, Any]) -> dict[str, Any]:
    """The status with as many of its listed findings as fit; the counts stay exact."""
    items = status.get("findings", {}).get("items", [])
    while items and _size(status) > STATUS_BYTES:
        items = items[: len(items) * 3 // 4]
        status = {**status, "findings": {**status["findings"], "items": items}}
    return status


def _size(status: dict[str, Any]) -> int:
    return len(json.dumps(status, separators=(",", ":"), ensure_ascii=False).encode())

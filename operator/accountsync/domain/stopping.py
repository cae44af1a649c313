"""How a bot that does not look at its holds is stopped by calls, and let go on: which call comes next.

In:  the holds that stand, what the bot does now, and what is remembered of it. Out: a `Step`.

Invariants:
1. What the bot did before is remembered, and written, before the first call that changes it; while that stands, nothing
   else is remembered in its place.
2. A bot that is stopped harder than asked was stopped by a person, unless it is remembered that we asked for it: then
   it is left alone.
3. A hold that waits for news of the bot only pauses it, whatever the level: a bot that is stopped whole learns nothing,
   and the hold would never end.
4. A bot goes on only where it is known to have been told to stop so far: where nobody knows whether we stopped it or a
   person did, it stays stopped, and people are told.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from accountsync.domain.holds import Source
from accountsync.domain.policy import PauseLevel


class Activity(StrEnum):
    """What a bot does, by what it may still do. Paused: it enters nothing, and exits go on."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


WAITING_FOR_NEWS = frozenset({Source.STARTUP, Source.STALE})
_STOPPED_BY = {PauseLevel.REDUCE_ONLY: Activity.PAUSED, PauseLevel.HALT: Activity.STOPPED}
_ORDER = (Activity.RUNNING, Activity.PAUSED, Activity.STOPPED)


@dataclass(frozen=True, slots=True)
class Stopped:
    """A bot that we stop: what it did `before`, and the `level` that it was last asked for.

    `told`: the level that it is known to have been told, and has not left since; None: none. What was only asked for
    may have been a person's doing, once the bot does it.
    """

    before: Activity
    level: PauseLevel
    told: PauseLevel | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """`first`: what must be remembered before the call; `pause` or `resume`: the call; `then`: what, after it.

    Without a call only `then` counts. `left`: it stays stopped, since nobody knows who stopped it: people must know.
    """

    first: Stopped | None = None
    pause: PauseLevel | None = None
    resume: Activity | None = None
    then: Stopped | None = None
    left: bool = False

    @property
    def calls(self) -> bool:
        """Whether the bot is told anything."""
        return self.pause is not None or self.resume is not None


def wanted(holds: Collection[Source], level: PauseLevel) -> PauseLevel | None:
    """How far the bot has to be stopped; None: it may go on. `level`: what the account asks for."""
    if not holds:
        return None
    return PauseLevel.REDUCE_ONLY if WAITING_FOR_NEWS.issuperset(holds) else level


def stops(level: PauseLevel) -> Activity:
    """What a bot does that was told to stop as far as `level`."""
    return _STOPPED_BY[level]


def next_step(level: PauseLevel | None, now: Activity, memory: Stopped | None) -> Step:
    """What to do for a bot that has to be stopped as far as `level`, or not at all, and does `now`."""
    return _let_go(now, memory) if level is None else _stop(level, now, memory)


def _stop(level: PauseLevel, now: Activity, memory: Stopped | None) -> Step:
    known = replace(memory, told=_still(memory.told, now)) if memory is not None else None
    if _ORDER.index(now) < _ORDER.index(_STOPPED_BY[level]):
        asked = Stopped(known.before, level, known.told) if known is not None else Stopped(now, level)
        return Step(first=asked, pause=level, then=replace(asked, told=level))
    if known is None or known.level is level or level is PauseLevel.HALT:
        return Step(first=memory, then=known)
    eased = replace(known, level=level)
    if now is not Activity.STOPPED:
        return Step(first=memory, then=eased)
    if known.told is not PauseLevel.HALT:
        return Step(first=memory, then=eased, left=True)
    # remembered as asked for only afterwards: else one that was not told yet would count as stopped by a person
    return Step(first=memory, pause=level, then=replace(eased, told=level))


def _let_go(now: Activity, memory: Stopped | None) -> Step:
    if memory is None or _ORDER.index(memory.before) >= _ORDER.index(now):
        return Step()  # it does what it did, or more
    if _is_among(now, memory.told):
        return Step(first=memory, resume=memory.before, then=None)
    return Step(left=_is_among(now, memory.level))  # else a person stopped it further than was ever asked


def _is_among(now: Activity, level: PauseLevel | None) -> bool:
    """Whether a bot that is stopped as far as `now` says is not stopped further than `level`."""
    return level is not None and _ORDER.index(now) <= _ORDER.index(_STOPPED_BY[level])


def _still(told: PauseLevel | None, now: Activity) -> PauseLevel | None:
    """What of `told` is left of a bot that does `now`: one that was started since may be stopped by a person next."""
    if told is None or now is Activity.RUNNING:
        return None
    return told if now is Activity.STOPPED else PauseLevel.REDUCE_ONLY

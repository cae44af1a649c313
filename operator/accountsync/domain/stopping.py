"""How a bot that does not look at its holds is stopped by calls, and let go on: which call comes next.

In:  the holds that stand, what the bot does now, and what is remembered of it. Out: a `Step`.

Invariants:
1. What the bot did before is remembered, and written, before the first call that changes it; while that stands, nothing
   else is remembered in its place.
2. A bot that is stopped harder than asked was stopped by a person, unless it is remembered that we asked for it: then
   it is left alone.
3. A hold that waits for news of the bot only pauses it, whatever the level: a bot that is stopped whole learns nothing,
   and the hold would never end.
"""

from collections.abc import Collection
from dataclasses import dataclass
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
    """A bot that we stopped: what it did `before`, and the level that it was last asked for."""

    before: Activity
    level: PauseLevel


@dataclass(frozen=True, slots=True)
class Step:
    """`first`: what must be remembered before the call; `pause` or `resume`: the call; `then`: what, after it.

    Without a call only `then` counts.
    """

    first: Stopped | None = None
    pause: PauseLevel | None = None
    resume: Activity | None = None
    then: Stopped | None = None

    @property
    def calls(self) -> bool:
        """Whether the bot is told anything."""
        return self.pause is not None or self.resume is not None


def wanted(holds: Collection[Source], level: PauseLevel) -> PauseLevel | None:
    """How far the bot has to be stopped; None: it may go on. `level`: what the account asks for."""
    if not holds:
        return None
    return PauseLevel.REDUCE_ONLY if WAITING_FOR_NEWS.issuperset(holds) else level


def next_step(level: PauseLevel | None, now: Activity, memory: Stopped | None) -> Step:
    """What to do for a bot that has to be stopped as far as `level`, or not at all, and does `now`."""
    return _let_go(now, memory) if level is None else _stop(level, now, memory)


def _stop(level: PauseLevel, now: Activity, memory: Stopped | None) -> Step:
    if _ORDER.index(now) < _ORDER.index(_STOPPED_BY[level]):
        asked = Stopped(memory.before if memory else now, level)
        return Step(first=asked, pause=level, then=asked)
    if memory is None or memory.level is level or level is PauseLevel.HALT:
        return Step(first=memory, then=memory)
    eased = Stopped(memory.before, level)
    if now is Activity.STOPPED:
        # remembered as asked for only afterwards: else one that was not told yet would count as stopped by a person
        return Step(first=memory, pause=level, then=eased)
    return Step(first=memory, then=eased)


def _let_go(now: Activity, memory: Stopped | None) -> Step:
    if memory is None:
        return Step()
    ours = now is Activity.PAUSED or (now is Activity.STOPPED and memory.level is PauseLevel.HALT)
    if not ours or _ORDER.index(memory.before) >= _ORDER.index(now):
        return Step()  # it does what it did, or a person has told it otherwise
    return Step(first=memory, resume=memory.before, then=None)

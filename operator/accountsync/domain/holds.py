"""Why a bot is stopped: every hold, what raises it and what lifts it.

Rule 1: `TABLE` is the only place that says so; `step` is the only function that changes a hold.
Rule 2: a hold has an owner, and only its owner lifts it. Changing the mode lifts nothing.
Rule 3: Observe raises only what a person asked for.
Rule 4: a person resumes over what that person has seen: the digest covers the hold's `since` and every finding
        gathered since it was raised, in order; resolving removes none, a new one changes it. The digest of one hold
        lifts no other, and lifts a hold of ours only by a signal of its own (`by_person`): never silently.

In:  the holds that stand, the signals of this moment. Out: the holds now and the transitions between.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from accountsync.domain.policy import Mode


class Source(StrEnum):
    """Who holds the bot."""

    STARTUP = "Startup"
    USER = "User"
    POLICY = "Policy"
    STALE = "Stale"
    WATCHDOG = "Watchdog"
    ACTION = "Action"
    UNKNOWN_OUTCOME = "UnknownOutcome"


class Signal(StrEnum):
    """What a hold listens to."""

    CREATED = "AccountCreated"
    BOOTED = "BotBooted"
    USER_PAUSED = "PausedBySpec"
    USER_RESUMED = "ResumedBySpec"
    DRIFT = "DriftConfirmed"
    CLEAN = "JudgedClean"
    JUDGED = "Judged"
    HANDED_OVER = "HandedOver"
    SNAPSHOT_STALE = "SnapshotStale"
    RESUMED = "Resumed"
    MISMATCH_LARGE = "MismatchTooLarge"
    RECOVERED = "StayedClean"
    WATCHDOG_RESUMED = "WatchdogResumed"
    ACTION_STARTED = "ActionStarted"
    ACTION_VERIFIED = "ActionVerified"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    OUTCOME_KNOWN = "OutcomeKnown"
    OUTCOME_ACCEPTED = "OutcomeAccepted"
    REFUSED_TO_ACT = "RefusedToAct"


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of hold. `in_observe`: also raised where the policy only observes.

    `by_person`: what is heard, and lifts it, where a person quotes its digest; None: no digest lifts it.
    """

    source: Source
    raised_by: tuple[Signal, ...]
    lifted_by: tuple[Signal, ...] = ()
    by_person: Signal | None = None
    in_observe: bool = False

    @property
    def lifts(self) -> tuple[Signal, ...]:
        """All that lifts it."""
        return self.lifted_by if self.by_person is None else (self.by_person, *self.lifted_by)


TABLE = (
    Row(Source.USER, (Signal.USER_PAUSED,), (Signal.USER_RESUMED,), in_observe=True),
    Row(Source.POLICY, (Signal.REFUSED_TO_ACT, Signal.DRIFT), by_person=Signal.RESUMED),
    Row(Source.WATCHDOG, (Signal.MISMATCH_LARGE,), (Signal.RECOVERED,), by_person=Signal.WATCHDOG_RESUMED),
    Row(Source.ACTION, (Signal.ACTION_STARTED,), (Signal.ACTION_VERIFIED,)),
    Row(
        Source.UNKNOWN_OUTCOME,
        (Signal.OUTCOME_UNKNOWN,),
        (Signal.OUTCOME_KNOWN,),
        by_person=Signal.OUTCOME_ACCEPTED,
    ),
    # JUDGED is a complete cycle, CLEAN one that left nothing to pause for. JUDGED while one of HEIRS stands is
    # HANDED_OVER; so these two come after them.
    Row(Source.STARTUP, (Signal.CREATED, Signal.BOOTED), (Signal.CLEAN, Signal.HANDED_OVER)),
    Row(Source.STALE, (Signal.SNAPSHOT_STALE,), (Signal.CLEAN, Signal.HANDED_OVER)),
)

BY_PERSON = {row.source: row.by_person for row in TABLE if row.by_person is not None}
"""Holds that a digest lifts → the signal that says so."""
HEIRS = (Source.POLICY, Source.WATCHDOG)
"""Holds that stand for what was found, so that one of ignorance may end."""
DIGEST_LENGTH = 10
KEYS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Hold:
    """One standing hold. `since` is Unix ms.

    `keys` are fingerprints of the findings gathered, in order, after those that `base` already covers; both are empty
    for holds that no digest lifts. `folded` are the keys in `base`, as far as this process has seen them go there.
    """

    source: Source
    reason: Signal
    message: str
    since: int
    base: str = ""
    keys: tuple[str, ...] = ()
    folded: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def digest(self) -> str:
        """What a person quotes to lift this hold; empty where nobody has to."""
        return self.digests[-1] if self.base else ""

    @property
    def digests(self) -> tuple[str, ...]:
        """The digest after each key, oldest first."""
        chain = [self.base]
        for key in self.keys:
            chain.append(_chain(chain[-1], key))
        return tuple(chain)

    def gather(self, keys: Collection[str]) -> "Hold":
        """The hold with `keys` added that it did not cover. The oldest are folded into `base` past KEYS_KEPT."""
        known = self.folded.union(self.keys)
        gathered = self.keys + tuple(sorted(set(keys) - known))
        base = self.base
        for key in gathered[:-KEYS_KEPT]:
            base = _chain(base, key)
        folded = self.folded.union(gathered[:-KEYS_KEPT])
        return replace(self, base=base, keys=gathered[-KEYS_KEPT:], folded=folded)

    def unseen_by(self, digest: str) -> tuple[str, ...] | None:
        """The keys gathered after `digest` was current; None: it never was this hold's."""
        for seen, candidate in enumerate(self.digests):
            if candidate == digest:
                return self.keys[seen:]
        return None


Holds = Mapping[Source, Hold]


@dataclass(frozen=True, slots=True)
class Transition:
    """A hold raised or lifted."""

    source: Source
    raised: bool
    why: Signal
    message: str


def fingerprint(key: str) -> str:
    """A short stand-in for a finding's key, so that many fit into a status."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def _chain(digest: str, key: str) -> str:
    return hashlib.sha256(f"{digest} {key}".encode()).hexdigest()[:DIGEST_LENGTH]


def begun(source: Source, reason: Signal, message: str, since: int) -> Hold:
    """A hold as it is when it is raised; one that a person's digest lifts has a `base` from the first moment."""
    return Hold(source, reason, message, since, _chain(str(since), source) if source in BY_PERSON else "")


def step(
    holds: Holds,
    signals: Mapping[Signal, str],
    mode: Mode,
    *,
    now_ms: int,
    keys: Mapping[Source, Collection[str]] | None = None,
) -> tuple[Holds, tuple[Transition, ...]]:
    """Apply the table once. `signals` maps each signal of this moment to its message for people.

    `keys` are, hold by hold, the fingerprints of the findings that it is for; a standing one gathers them. What is
    lifted in this very moment is not raised.
    """
    after = dict(holds)
    transitions: list[Transition] = []
    for row in TABLE:
        heard = dict(signals)
        heir = next((source for source in HEIRS if source in after), None)
        if heir is not None and Signal.JUDGED in signals:
            heard[Signal.HANDED_OVER] = f"the {heir} hold stands for what was found"
        raise_on = next((signal for signal in row.raised_by if signal in heard), None)
        lift_on = next((signal for signal in row.lifts if signal in heard), None)
        if lift_on:
            if after.pop(row.source, None):
                transitions.append(Transition(row.source, raised=False, why=lift_on, message=heard[lift_on]))
        elif raise_on and row.source not in after and (row.in_observe or mode is not Mode.OBSERVE):
            after[row.source] = begun(row.source, raise_on, heard[raise_on], now_ms)
            transitions.append(Transition(row.source, raised=True, why=raise_on, message=heard[raise_on]))
    for source, gathered in (keys or {}).items():
        if source in after and source in BY_PERSON:
            after[source] = after[source].gather(gathered)
    return after, tuple(transitions)

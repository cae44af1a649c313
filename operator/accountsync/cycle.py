"""One account, one cycle: observe, detect, confirm, decide, over ports.

In:  what is remembered of the account (`State`), its `Policy`, what people wish, and the two sides behind their ports.
Out: a `Cycle`: the new `State` and all that there is to report. Nothing here knows Kubernetes or a metric.

Invariants:
1. A side that could not be read is a `Failure`, and then its findings neither appear nor disappear.
2. A snapshot older than one accepted changes nothing but the TimestampRegression finding; one that is no newer is
   judged, but makes no cycle complete.
3. Every await is bounded by the policy's timeout.
4. No order is said to be gone, not even one that should not have been there, without the exchange's word on it.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from accountsync.domain.account import AccountSnapshot, OrderStatus, Part
from accountsync.domain.confirm import Moment, Outcome, Tracks, confirm
from accountsync.domain.course import Course
from accountsync.domain.decide import Acknowledged, Decision, Situation, Wishes, decide
from accountsync.domain.detect import Background, Evidence, regression
from accountsync.domain.expected import FUTURE_ALLOWANCE_MS, BeliefMemory, Doubt, ExpectedState, accept
from accountsync.domain.fills import FillLog, accepted, changed_symbols, untimed_symbols
from accountsync.domain.finding import Answers, Detection, sanitize
from accountsync.domain.held import Held, Honour, Offence
from accountsync.domain.holdings import totals
from accountsync.domain.holds import Holds
from accountsync.domain.marks import Marks, old, with_known_marks
from accountsync.domain.policy import Policy
from accountsync.domain.sharing import ALONE, Sharing
from accountsync.domain.watchdog import Vigil
from accountsync.errors import BeliefUnobserved, ConfigurationError, Reason
from accountsync.inquire import Asked, Wallets, disobeyed, judge, read_fills, with_income, with_marks
from accountsync.observe import (
    Failure,
    ObjectKey,
    in_exchange_terms,
    in_unified_words,
    read_both,
    unsettle_regressed,
)
from accountsync.ports import BotState, Clock, Exchange

INSIST_AFTER = 5
"""Readings in a row in which a symbol changed while it was read; then its orders are asked for by id."""

NO_COURSE = Course()
DOUBTS = {
    "not_ready": Reason.BOT_NOT_READY,
    "stale": Reason.STATE_STALE,
    "regressed": Reason.STATE_REGRESSED,
    "in_future": Reason.STATE_IN_FUTURE,
    "emptied": Reason.STATE_EMPTIED,
}


@dataclass(frozen=True, slots=True)
class State:
    """All that is remembered of an account between cycles.

    `timestamp`: of the newest snapshot accepted, exchange ms, and `timestamp_at`: monotonic seconds of when it had been
    read. `good_at`: the same of the newest whole one. `judged_at`: of the last complete cycle. `updates`: each object
    listed → the latest update time seen of it. `gone`: each position that is no longer listed → the time of the
    snapshot that first lacked it. `unsettled`: symbol → for how many readings in a row it changed while it was read.
    `believed`: the belief that counted last, in unified symbols; None: Unknown. `past`: those that counted, from the
    newest one that is the grace old on. `wallets`: the balances of the readings of the last grace, and of the one
    before. `marks`: those of the last minute, and the last known ones of symbols in which something differs. `honour`:
    how the bot obeys its hold.
    """

    tracks: Tracks = field(default_factory=dict)
    belief: BeliefMemory = field(default_factory=BeliefMemory)
    holds: Holds = field(default_factory=dict)
    acknowledged: Acknowledged = field(default_factory=dict)
    vigil: Vigil = field(default_factory=Vigil)
    answers: Answers = field(default_factory=dict)
    asked: Asked = field(default_factory=dict)
    updates: Mapping[ObjectKey, int] = field(default_factory=dict)
    gone: Mapping[ObjectKey, int] = field(default_factory=dict)
    fills: FillLog | None = None
    unsettled: Mapping[str, int] = field(default_factory=dict)
    believed: ExpectedState | None = None
    past: tuple[ExpectedState, ...] = ()
    wallets: tuple[Wallets, ...] = ()
    marks: Marks = field(default_factory=dict)
    honour: Honour = field(default_factory=Honour)
    snapshot: AccountSnapshot | None = None
    timestamp: int | None = None
    timestamp_at: float | None = None
    good_at: float | None = None
    judged_at: float | None = None
    created: bool = False


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle learned. `accepted` tells whether its snapshot was good.

    `complete`: both sides were known anew, and judged; `whole`: and nothing of them was left Unknown. `evidence`: what
    was judged, where the judgement can be repeated. `believed_at`: monotonic seconds of the as-of time of the belief,
    where one was read and nothing speaks against it. `offences`: orders that the bot placed in spite of its hold.
    """

    state: State
    decision: Decision
    outcome: Outcome
    exchange: Failure | None = None
    bot: Failure | None = None
    accepted: bool = False
    complete: bool = False
    whole: bool = False
    evidence: Evidence | None = None
    believed_at: float | None = None
    offences: tuple[Offence, ...] = ()


async def run(
    state: State,
    policy: Policy,
    wishes: Wishes,
    exchange: Exchange,
    bot: BotState,
    clock: Clock,
    *,
    since: float,
    sharing: Sharing = ALONE,
    course: Course = NO_COURSE,
    held: Held | None = None,
    patience: float = math.inf,
) -> Cycle:
    """One cycle.

    `since`: monotonic seconds from which the account is aged: of its creation, the last good snapshot of
    another process, or the end of a suspension. `sharing`: the other bots on the exchange account. `course`: how far
    its remediation is. `held`: since when the bot can see that it is held; None: it can't, or is not. `patience`: for
    how many seconds at most the belief is waited for once the account was read.
    """
    deadline = asyncio.get_running_loop().time() + policy.timeout
    began = clock.monotonic()
    snapshot, taken, belief = await read_both(exchange, bot, policy, deadline, clock, patience=patience)
    now_ms, monotonic = clock.now_ms(), clock.monotonic()
    sides = _accepted(_Sides.of(snapshot, belief, state.belief, policy), exchange, sharing, now_ms)
    booted = bool(state.belief.boot_id) and sides.memory.boot_id != state.belief.boot_id
    unified = sides.expected is None or sides.seen is not None
    state = replace(state, believed=sides.expected if unified else state.believed, belief=sides.memory)

    judged = _Judged(state, Detection(blind=True))
    outcome = Outcome(state.tracks, (), (), ())
    good = newer = False
    if sides.seen is not None:
        seen = sides.seen
        as_of = sharing.as_of(sides.expected.as_of) if sides.expected else None
        newest = sharing.newest(sides.expected.as_of) if sides.expected else None
        moment = Moment(seen.timestamp, seen.timestamp + taken, as_of, now_ms, monotonic, newest)
        if state.timestamp is not None and seen.timestamp < state.timestamp:
            refused = Failure(Reason.SNAPSHOT_REFUSED, "the exchange's snapshot went back in time")
            sides = replace(sides, exchange=refused)
            judged = replace(judged, detection=regression(seen, state.timestamp))
        else:
            good = True
            newer = (state.timestamp is None or seen.timestamp > state.timestamp) and not seen.missing
            if state.timestamp_at is None or seen.timestamp != state.timestamp:
                state = replace(state, timestamp_at=began + taken / 1000)
            judged = await _judge(sides, state, sharing, moment, exchange, deadline)
        detection = judged.detection.ignoring(sides.policy.ignores, now_ms)
        outcome = confirm(
            state.tracks, detection, moment, grace_ms=policy.order_grace_ms, confirmations=policy.confirmations
        )
        judged = replace(judged, state=_with_fills_dealt_with(judged.state, detection, outcome.tracks))
    complete = newer and sides.expected is not None
    before, state = state.snapshot, judged.state
    offences: tuple[Offence, ...] = ()
    if judged.evidence is not None:
        offences, honour = await disobeyed(state.honour, held, judged.evidence, before, exchange, deadline)
        state = replace(state, honour=honour)
    first = good and state.good_at is None and not sides.exchange
    state = replace(
        state,
        tracks=outcome.tracks,
        answers=_lasting(state.answers, state.fills, outcome.tracks),
        good_at=monotonic if newer or first else state.good_at,
        judged_at=monotonic if complete else state.judged_at,
    )
    situation = Situation(
        complete=complete,
        whole=good and not judged.detection.unknown,
        created=state.created,
        booted=booted,
        stale_for=_stale_for(state, policy, monotonic, since),
        course=course.heard(),
        refused=frozenset(course.refused),
    )
    decision, state = _decided(state, policy, wishes, situation, clock)
    whole = complete and situation.whole
    believed_at = _believed_at(sides.expected, now_ms, monotonic)
    return Cycle(
        state=state,
        decision=decision,
        outcome=outcome,
        exchange=sides.exchange,
        bot=sides.bot,
        accepted=good,
        complete=complete,
        whole=whole,
        evidence=judged.evidence,
        believed_at=believed_at,
        offences=offences,
    )


@dataclass(frozen=True, slots=True)
class _Sides:
    """Both sides as far as they are known, and why not where they are not. `policy` in the exchange's terms."""

    seen: AccountSnapshot | None
    expected: ExpectedState | None
    memory: BeliefMemory
    policy: Policy
    exchange: Failure | None
    bot: Failure | None

    @classmethod
    def of(
        cls, snapshot: AccountSnapshot | Failure, belief: ExpectedState | Failure, memory: BeliefMemory, policy: Policy
    ) -> "_Sides":
        partial = None
        if isinstance(snapshot, AccountSnapshot) and snapshot.missing:
            lacking = ", ".join(sorted(snapshot.missing))
            partial = Failure(Reason.SNAPSHOT_PARTIAL, f"the exchange's snapshot lacks {lacking}")
        return cls(
            seen=None if isinstance(snapshot, Failure) else snapshot,
            expected=None if isinstance(belief, Failure) else belief,
            memory=memory,
            policy=policy,
            exchange=snapshot if isinstance(snapshot, Failure) else partial,
            bot=belief if isinstance(belief, Failure) else None,
        )


def _accepted(sides: _Sides, exchange: Exchange, sharing: Sharing, now_ms: int) -> _Sides:
    """The sides in one spelling, with the belief only where it counts."""
    if sides.expected is None or sides.seen is None:
        return sides
    try:
        expected = in_unified_words(sides.expected, exchange)
        policy = in_exchange_terms(sides.policy, exchange)
        memory = accept(
            expected,
            sides.memory,
            now=now_ms,
            stale_after=policy.belief_stale_after_ms,
            account_empty=_is_empty(sides.seen, policy, sharing),
        )
    except Doubt as doubt:
        return replace(sides, memory=doubt.memory, expected=None, bot=Failure(DOUBTS[doubt.why], doubt.message))
    except BeliefUnobserved as error:
        return replace(sides, expected=None, bot=Failure.of(error))
    except ConfigurationError as error:
        return replace(sides, seen=None, exchange=Failure.of(error))
    return replace(sides, expected=expected, memory=memory, policy=policy)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a judgement yields: the state that goes on from it, and what it was made of."""

    state: State
    detection: Detection
    evidence: Evidence | None = None


async def _judge(
    sides: _Sides, state: State, sharing: Sharing, moment: Moment, exchange: Exchange, deadline: float
) -> _Judged:
    """Detect, with all questions that it takes."""
    assert sides.seen is not None, "an account that was not read is not judged"
    expected, policy = sides.expected, sides.policy
    seen, marks = with_known_marks(sides.seen, moment.until, state.marks)
    seen, updates, gone = unsettle_regressed(seen, moment.until, state.updates, state.gone)
    unsettled = {symbol: state.unsettled.get(symbol, 0) + 1 for symbol in seen.unsettled}
    fills = await _fills(seen, expected, policy, state, sharing, exchange, deadline)
    settled_at = seen.timestamp - policy.order_grace_ms
    past = _past(state.past, expected, settled_at)
    background = Background(
        sharing,
        fills,
        tells_income=exchange.tells_income,
        insisted=frozenset(symbol for symbol, times in unsettled.items() if times >= INSIST_AFTER),
        past=past[0] if past and past[0].as_of <= settled_at else None,
        old_marks=old(marks, moment.until),
    )
    remembered = (state.answers, state.asked)
    detection, answers, asked = await judge(
        Evidence(seen, expected, policy, {}, background), state.tracks, remembered, moment, exchange, deadline
    )
    evidence = Evidence(seen, expected, policy, answers, background)
    wallets, settled = _wallets(state.wallets, seen, expected, sharing, policy.order_grace_ms)
    detection, evidence = await with_income(detection, evidence, settled, state.tracks, moment, exchange, deadline)
    detection, evidence, marks, priced = await with_marks(
        detection, evidence, marks, state.tracks, state.asked, moment, exchange, deadline
    )
    state = replace(
        state,
        updates=updates,
        gone=gone,
        unsettled=unsettled,
        fills=fills,
        answers=answers,
        asked={**asked, **priced},
        wallets=wallets,
        marks=marks,
        past=past,
        snapshot=state.snapshot if seen.missing else seen,
        timestamp=seen.timestamp,
    )
    return _Judged(state, detection, evidence)


def _wallets(
    before: tuple[Wallets, ...],
    seen: AccountSnapshot,
    expected: ExpectedState | None,
    sharing: Sharing,
    grace_ms: int,
) -> tuple[tuple[Wallets, ...], Wallets | None]:
    """What to remember of the wallets, and the newest reading that is, with its belief, at least the grace old."""
    limit = seen.timestamp - grace_ms
    settled = [reading for reading in before if max(reading.timestamp, reading.newest) <= limit][-1:]
    recent = [reading for reading in before if max(reading.timestamp, reading.newest) > limit]
    after = (*settled, *recent)
    if Part.BALANCES not in seen.missing and expected is not None:
        after = (*after, Wallets(seen.timestamp, seen.balances, expected, sharing))
    return after, next(iter(settled), None)


def _believed_at(expected: ExpectedState | None, now_ms: int, monotonic: float) -> float | None:
    """Where the exchange was not read, nobody looked at the belief closely: then as far as it speaks for itself."""
    if expected is None or not expected.ready or expected.as_of > now_ms + FUTURE_ALLOWANCE_MS:
        return None
    return monotonic - max(0, now_ms - expected.as_of) / 1000


def _with_fills_dealt_with(state: State, detection: Detection, tracks: Tracks) -> State:
    if state.fills is None:
        return state
    confirmed = {key for key, track in tracks.items() if track.confirmed}
    told = accepted(state.fills, confirmed, detection)
    fills = state.fills.without(detection.explained | told, foreign=detection.given_up | told)
    return replace(state, fills=fills)


def idle(state: State, policy: Policy, wishes: Wishes, clock: Clock, course: Course = NO_COURSE) -> Cycle:
    """A cycle that observes nothing: it only follows what people asked for through the resource."""
    outcome = Outcome(state.tracks, (), (), ())
    situation = Situation(created=state.created, idle=True, course=course.heard(), refused=frozenset(course.refused))
    decision, state = _decided(state, policy, wishes, situation, clock)
    return Cycle(state, decision, outcome)


def _decided(
    state: State, policy: Policy, wishes: Wishes, situation: Situation, clock: Clock
) -> tuple[Decision, State]:
    decision = decide(
        state.tracks,
        state.holds,
        state.acknowledged,
        policy,
        wishes,
        situation,
        now_ms=clock.now_ms(),
        monotonic=clock.monotonic(),
        vigil=state.vigil,
    )
    state = replace(state, holds=decision.holds, acknowledged=decision.acknowledged, vigil=decision.vigil)
    return decision, replace(state, created=False)


def _is_empty(snapshot: AccountSnapshot, policy: Policy, sharing: Sharing) -> bool:
    """Whether the account holds nothing that the bot should know of; where others trade too, nothing but theirs."""
    if not sharing.siblings:
        return not snapshot.orders and not snapshot.held
    prefix = policy.order_id_prefix
    if any(order.client_id.startswith(prefix) for order in snapshot.orders):
        return False
    theirs = sharing.positions(ExpectedState(snapshot.timestamp, positions=()))
    return theirs is not None and totals(theirs) == totals(snapshot.positions)


async def _fills(
    seen: AccountSnapshot,
    expected: ExpectedState | None,
    policy: Policy,
    state: State,
    sharing: Sharing,
    exchange: Exchange,
    deadline: float,
) -> FillLog | None:
    """The log of fills, with those behind the positions that changed."""
    if not exchange.tells_fills:
        return None
    log = state.fills or FillLog(start=seen.timestamp)
    if Part.POSITIONS in seen.missing:
        return log
    believed = sharing.positions(expected) if expected is not None and expected.positions is not None else None
    changed, untimed = changed_symbols(state.snapshot, seen, log), untimed_symbols(seen, believed or ())
    log = log.noticing(changed if state.snapshot else changed | untimed, seen)
    log = await read_fills(log, untimed, seen, policy.order_grace_ms, exchange, deadline)
    log = log.observing(seen, policy.order_grace_ms)
    return log.recognising([*(state.snapshot.orders if state.snapshot else ()), *seen.orders])


def _past(
    beliefs: tuple[ExpectedState, ...], expected: ExpectedState | None, settled: int
) -> tuple[ExpectedState, ...]:
    """The beliefs that count since the newest one of before `settled`, exchange ms; oldest first."""
    if expected is not None and (not beliefs or expected.as_of > beliefs[-1].as_of):
        beliefs = (*beliefs, expected)
    older = sum(1 for belief in beliefs if belief.as_of <= settled)
    return beliefs[max(0, older - 1) :]


def _lasting(answers: Answers, fills: FillLog | None, tracks: Tracks) -> Answers:
    """Only a terminal state is final, and only what is still tracked is worth keeping.

    A client id may be used again once its order ended, so an answer about one is never final.
    """
    tracked = {(track.finding.symbol, track.finding.id) for track in tracks.values()}
    if fills is not None:
        tracked |= {(fill.symbol, sanitize(fill.order_id)) for fill in fills.pending.values()}
    return {
        question: order
        for question, order in answers.items()
        if order is not None
        and order.status is not OrderStatus.OPEN
        and (order.status is not OrderStatus.TRIGGERED or order.successor)
        and not tracked.isdisjoint({(question.symbol, sanitize(question.order_id)), (question.symbol, order.ref)})
    }


def _stale_for(state: State, policy: Policy, monotonic: float, since: float) -> float | None:
    age = monotonic - max(since, state.good_at if state.good_at is not None else since)
    return age if age > policy.stale_after else None

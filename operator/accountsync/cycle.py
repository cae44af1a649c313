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
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from accountsync.api.caps import token
from accountsync.domain.account import AccountSnapshot, Order, OrderStatus
from accountsync.domain.catalogue import Rule
from accountsync.domain.confirm import Moment, Outcome, Tracks, confirm, would_confirm
from accountsync.domain.decide import Acknowledged, Decision, Situation, Wishes, decide
from accountsync.domain.detect import (
    Answers,
    Detection,
    Finding,
    Question,
    detect,
    question_about,
    regression,
    sanitize,
)
from accountsync.domain.expected import BeliefMemory, Doubt, ExpectedState, accept
from accountsync.domain.holds import Holds
from accountsync.domain.policy import Policy
from accountsync.errors import AccountSyncError, BeliefUnobserved, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.ports import BotState, Clock, Exchange

T = TypeVar("T")
MAX_QUESTIONS = 20
ObjectKey = tuple[str, str, str]
"""Kind, symbol, and what tells it from others of that kind and symbol."""
ORDER, POSITION = "order", "position"
Asked = Mapping[Question, float]
"""Questions of the last cycle → monotonic seconds of when each was asked last."""
NEVER = float("-inf")

DOUBTS = {
    "not_ready": Reason.BOT_NOT_READY,
    "stale": Reason.STATE_STALE,
    "regressed": Reason.STATE_REGRESSED,
    "in_future": Reason.STATE_IN_FUTURE,
    "emptied": Reason.STATE_EMPTIED,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a side is Unknown. `permanent`: it stays so until a person changes something."""

    reason: Reason
    message: str
    permanent: bool = False
    retry_after: float | None = None

    @classmethod
    def of(cls, error: AccountSyncError) -> "Failure":
        """The failure that `error` speaks of."""
        retry_after = error.retry_after if isinstance(error, ExchangeUnobserved) else None
        return cls(error.reason, error.message, isinstance(error, ConfigurationError), retry_after)


@dataclass(frozen=True, slots=True)
class State:
    """All that is remembered of an account between cycles.

    `timestamp`: of the newest snapshot accepted, exchange ms. `good_at`: monotonic seconds of it. `judged_at`: of the
    last complete cycle. `updates`: each object listed → the latest update time seen of it. `gone`: each position that
    is no longer listed → the time of the snapshot that first lacked it.
    """

    tracks: Tracks = field(default_factory=dict)
    belief: BeliefMemory = field(default_factory=BeliefMemory)
    holds: Holds = field(default_factory=dict)
    acknowledged: Acknowledged = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    asked: "Asked" = field(default_factory=dict)
    updates: Mapping["ObjectKey", int] = field(default_factory=dict)
    gone: Mapping["ObjectKey", int] = field(default_factory=dict)
    snapshot: AccountSnapshot | None = None
    timestamp: int | None = None
    good_at: float | None = None
    judged_at: float | None = None
    created: bool = False


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle learned. `accepted` tells whether its snapshot was good."""

    state: State
    decision: Decision
    outcome: Outcome
    exchange: Failure | None = None
    bot: Failure | None = None
    accepted: bool = False
    complete: bool = False


async def run(
    state: State, policy: Policy, wishes: Wishes, exchange: Exchange, bot: BotState, clock: Clock, *, since: float
) -> Cycle:
    """One cycle.

    `since`: monotonic seconds from which the account is aged: of its creation, the last good snapshot of
    another process, or the end of a suspension.
    """
    deadline = asyncio.get_running_loop().time() + policy.timeout
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_snapshot(exchange, policy, deadline, clock))
        believing = group.create_task(_belief(bot, policy, deadline))
    (snapshot, taken), belief = reading.result(), believing.result()
    now_ms, monotonic = clock.now_ms(), clock.monotonic()
    exchange_failure = snapshot if isinstance(snapshot, Failure) else None
    bot_failure = belief if isinstance(belief, Failure) else None
    memory, booted = state.belief, False
    expected = None if isinstance(belief, Failure) else belief
    seen = None if isinstance(snapshot, Failure) else snapshot

    if expected is not None and seen is not None:
        try:
            expected = _in_their_words(expected, exchange)
            policy = _scoped(policy, exchange)
            memory = accept(
                expected,
                state.belief,
                now=now_ms,
                stale_after=policy.belief_stale_after_ms,
                account_empty=not seen.orders and not seen.held,
            )
        except Doubt as doubt:
            memory, expected = doubt.memory, None
            bot_failure = Failure(DOUBTS[doubt.why], doubt.message)
        except BeliefUnobserved as error:
            expected, bot_failure = None, Failure.of(error)
        except ConfigurationError as error:
            seen, exchange_failure = None, Failure.of(error)
        booted = bool(state.belief.boot_id) and memory.boot_id != state.belief.boot_id

    outcome = Outcome(state.tracks, (), (), ())
    answers: Answers = state.answers
    accepted = newer = whole = False
    if seen is not None:
        until = seen.timestamp + taken
        moment = Moment(seen.timestamp, until, expected.as_of if expected else None, now_ms, monotonic)
        if state.timestamp is not None and seen.timestamp < state.timestamp:
            exchange_failure = Failure(Reason.SNAPSHOT_REFUSED, "the exchange's snapshot went back in time")
            detection = regression(seen, state.timestamp)
        else:
            accepted = True
            newer = state.timestamp is None or seen.timestamp > state.timestamp
            seen, updates, gone = _unsettle_regressed(seen, until, state)
            state = replace(state, updates=updates, gone=gone)
            detection, answers, asked = await _detect(seen, expected, policy, state, moment, exchange, deadline)
            state = replace(state, asked=asked)
        outcome = confirm(
            state.tracks, detection, moment, grace_ms=policy.order_grace_ms, confirmations=policy.confirmations
        )
        whole = not detection.unknown
    complete = newer and expected is not None
    state = replace(state, tracks=outcome.tracks, belief=memory, answers=_lasting(answers, outcome.tracks))
    if accepted and seen is not None:
        state = replace(
            state,
            snapshot=seen,
            timestamp=seen.timestamp,
            good_at=monotonic if newer or state.good_at is None else state.good_at,
            judged_at=monotonic if complete else state.judged_at,
        )
    situation = Situation(
        complete=complete,
        whole=whole,
        created=state.created,
        booted=booted,
        stale_for=_stale_for(state, policy, monotonic, since),
    )
    return _decided(state, policy, wishes, situation, now_ms, outcome, exchange_failure, bot_failure, accepted=accepted)


def idle(state: State, policy: Policy, wishes: Wishes, clock: Clock) -> Cycle:
    """A cycle that observes nothing: it only follows what people asked for through the resource."""
    outcome = Outcome(state.tracks, (), (), ())
    return _decided(state, policy, wishes, Situation(created=state.created), clock.now_ms(), outcome, None, None)


def _decided(
    state: State,
    policy: Policy,
    wishes: Wishes,
    situation: Situation,
    now_ms: int,
    outcome: Outcome,
    exchange: Failure | None,
    bot: Failure | None,
    *,
    accepted: bool = False,
) -> Cycle:
    decision = decide(state.tracks, state.holds, state.acknowledged, policy, wishes, situation, now_ms=now_ms)
    state = replace(state, holds=decision.holds, acknowledged=decision.acknowledged, created=False)
    return Cycle(state, decision, outcome, exchange, bot, accepted=accepted, complete=situation.complete)


# --- observe -----------------------------------------------------------------------------------------------------


async def _snapshot(
    exchange: Exchange, policy: Policy, deadline: float, clock: Clock
) -> tuple[AccountSnapshot | Failure, int]:
    """The snapshot, and how many ms it took to read."""
    began = clock.monotonic()
    late = ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, f"the exchange did not answer within {policy.timeout:g} s")
    snapshot = await _bounded(exchange.snapshot(policy.symbols), deadline, late)
    return snapshot, math.ceil((clock.monotonic() - began) * 1000)


async def _belief(bot: BotState, policy: Policy, deadline: float) -> ExpectedState | Failure:
    late = BeliefUnobserved(Reason.BOT_TIMEOUT, f"the bot's state did not arrive within {policy.timeout:g} s")
    return await _bounded(bot.read(), deadline, late)


async def _bounded(reading: Awaitable[T], deadline: float, late: AccountSyncError) -> T | Failure:
    try:
        async with asyncio.timeout_at(deadline):
            return await reading
    except TimeoutError:
        return Failure.of(late)
    except AccountSyncError as error:
        return Failure.of(error)


def _in_their_words(expected: ExpectedState, exchange: Exchange) -> ExpectedState:
    """The belief with the exchange's unified symbols. A flat position in a symbol that is gone is dropped."""

    def listed(symbol: str) -> bool:
        try:
            exchange.canonical_symbol(symbol)
        except KeyError:
            return False
        return True

    def canonical(symbol: str, section: str, index: int) -> str:
        try:
            return exchange.canonical_symbol(symbol)
        except KeyError:
            raise BeliefUnobserved(
                Reason.STATE_MALFORMED,
                f"the bot's state, {section}[{index}].symbol: the exchange lists no such symbol; expected its own or"
                " ccxt's spelling, e.g. BTCUSDT or BTC/USDT:USDT",
            ) from None

    positions, orders = expected.positions, expected.orders
    if positions is not None:
        positions = tuple(
            replace(row, symbol=canonical(row.symbol, "positions", index))
            for index, row in enumerate(positions)
            if row.quantity or listed(row.symbol)
        )
        if len({(row.symbol, row.side) for row in positions}) < len(positions):
            raise BeliefUnobserved(
                Reason.STATE_MALFORMED,
                "the bot's state, positions: one position stands in two spellings of its symbol: keep one",
            )
    if orders is not None:
        orders = tuple(replace(row, symbol=canonical(row.symbol, "orders", index)) for index, row in enumerate(orders))
    return replace(expected, boot_id=token(expected.boot_id), positions=positions, orders=orders)


def _scoped(policy: Policy, exchange: Exchange) -> Policy:
    try:
        return replace(policy, symbols=tuple(exchange.canonical_symbol(symbol) for symbol in policy.symbols))
    except KeyError:
        raise ConfigurationError(
            Reason.UNKNOWN_SYMBOL, "spec.exchange.symbols names a symbol that the exchange does not list"
        ) from None


def _updates(snapshot: AccountSnapshot) -> dict[ObjectKey, int]:
    orders = {(ORDER, order.symbol, order.id): order.updated for order in snapshot.orders}
    positions = {(POSITION, row.symbol, f"{row.side}/{row.margin_mode}"): row.updated for row in snapshot.positions}
    return {key: updated for key, updated in (orders | positions).items() if updated is not None}


def _unsettle_regressed(
    snapshot: AccountSnapshot, until: int, state: State
) -> tuple[AccountSnapshot, dict[ObjectKey, int], dict[ObjectKey, int]]:
    """One object older than when it was last seen: its symbol is Unknown this time.

    So it is, once, where a position is back that was gone, and is older than the reading that lacked it: one of the
    two lists was of the past. Also what to remember as `updates` and `gone`.
    """
    now = _updates(snapshot)
    older = {key for key, updated in now.items() if updated < state.updates.get(key, updated)}
    older |= {key for key, updated in now.items() if updated < state.gone.get(key, updated)}
    updates = {key: max(min(updated, until), state.updates.get(key, 0)) for key, updated in now.items()}
    left = {key: snapshot.timestamp for key in state.updates if key not in now and key[0] == POSITION}
    gone = {key: since for key, since in ({**left, **state.gone}).items() if key not in now}
    unsettled = snapshot.unsettled.union(symbol for _, symbol, _ in older)
    return replace(snapshot, unsettled=unsettled), updates, gone


# --- detect, with questions --------------------------------------------------------------------------------------


async def _detect(
    snapshot: AccountSnapshot,
    expected: ExpectedState | None,
    policy: Policy,
    state: State,
    moment: Moment,
    exchange: Exchange,
    deadline: float,
) -> tuple[Detection, Answers, Asked]:
    """Detect; ask for the orders that need proof, and detect again.

    Those are the ones that the bot tracks and the list lacks, list entries about to be confirmed, and those that were
    confirmed to be there and have left the list.
    """
    answers = dict(state.answers)
    detection = detect(snapshot, expected, policy, answers)
    if expected is None:
        return detection, answers, {}
    orders = {(order.symbol, order.id): order for order in snapshot.orders}
    doubtful = {
        finding: question_about(orders[finding.symbol, finding.id])
        for finding in detection.findings
        if (finding.symbol, finding.id) in orders and _needs_proof(finding, state.tracks, moment, policy)
    }
    left = {
        track.finding: Question(track.finding.symbol, track.finding.id)
        for track in state.tracks.values()
        if track.confirmed
        and track.finding.rule is Rule.UNEXPECTED_ORDER
        and (track.finding.symbol, track.finding.id) not in orders
        and detection.judged(track.finding)
    }
    asked = _in_turn([*doubtful.values(), *detection.questions, *left.values()], state.asked)
    if not asked:
        return detection, answers, asked
    answers |= await _ask(list(asked)[:MAX_QUESTIONS], exchange, deadline)
    asked |= dict.fromkeys(list(asked)[:MAX_QUESTIONS], moment.monotonic)
    detection = detect(snapshot, expected, policy, answers)
    unproven = {finding.key for finding, question in doubtful.items() if question not in answers}
    staying = [finding for finding, question in left.items() if not _gone(question, answers)]
    return detection.without(unproven).doubting(staying), answers, asked


def _in_turn(questions: list[Question], asked: Asked) -> dict[Question, float]:
    """Those never asked first, then those asked longest ago: more than may be asked at a time still get their turns."""
    return {q: asked.get(q, NEVER) for q in sorted(questions, key=lambda question: asked.get(question, NEVER))}


def _gone(question: Question, answers: Answers) -> bool:
    """Whether the exchange said that this order is no longer open."""
    if question not in answers:
        return False
    order = answers[question]
    return order is None or order.status is not OrderStatus.OPEN


def _needs_proof(finding: Finding, tracks: Tracks, moment: Moment, policy: Policy) -> bool:
    return finding.rule in {Rule.UNEXPECTED_ORDER, Rule.ORDER_DIVERGENCE} and would_confirm(
        tracks.get(finding.key),
        finding,
        moment,
        grace_ms=policy.order_grace_ms,
        confirmations=policy.confirmations,
    )


async def _ask(questions: list[Question], exchange: Exchange, deadline: float) -> Answers:
    """What the exchange says of each; what it does not say is left out, and so stays Unknown."""

    async def ask(question: Question) -> None:
        try:
            answers[question] = await exchange.find_order(
                symbol=question.symbol, order_id=question.order_id, client_id=question.client_id
            )
        except AccountSyncError:
            return

    answers: dict[Question, Order | None] = {}
    try:
        async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as group:
            for question in questions:
                group.create_task(ask(question))
    except TimeoutError:
        pass
    return answers


def _lasting(answers: Answers, tracks: Tracks) -> Answers:
    """Only a terminal state is final, and only what is still tracked is worth keeping.

    A client id may be used again once its order ended, so an answer about one is never final.
    """
    tracked = {(track.finding.symbol, track.finding.id) for track in tracks.values()}
    return {
        question: order
        for question, order in answers.items()
        if order is not None
        and order.status is not OrderStatus.OPEN
        and (question.symbol, sanitize(question.order_id)) in tracked
    }


def _stale_for(state: State, policy: Policy, monotonic: float, since: float) -> float | None:
    age = monotonic - max(since, state.good_at if state.good_at is not None else since)
    return age if age > policy.stale_after else None

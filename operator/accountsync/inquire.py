"""What a cycle asks the exchange beyond the snapshot: orders by id, fills where a position changed, income, and marks.

All of it is bounded, in turn, and only what is needed; what is not answered in time stays Unknown.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TypeVar

from accountsync.domain.account import AccountSnapshot, Balance, Order, OrderStatus
from accountsync.domain.catalogue import Rule
from accountsync.domain.confirm import Moment, Tracks, would_confirm
from accountsync.domain.detect import ORDER_RULES, Evidence
from accountsync.domain.expected import ExpectedState
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Answers, Detection, Finding, Question, question_about, sanitize
from accountsync.domain.held import Held, Honour, Offence
from accountsync.domain.honour import look
from accountsync.domain.marks import Marks, lacking, newest, old, recent, worth_keeping
from accountsync.domain.policy import Policy
from accountsync.domain.sharing import Sharing
from accountsync.domain.watchdog import valued
from accountsync.errors import AccountSyncError
from accountsync.ports import Exchange

K = TypeVar("K")
V = TypeVar("V")
MAX_QUESTIONS = 20
MAX_LISTS_OF_FILLS = 5
MAX_ORDERS_BEHIND_FILLS = 3
"""Asked for in one cycle to see whether the bot obeys, beyond what the judgement asks for."""
MAX_LISTS_BEHIND_ORDERS = 3
"""Symbols whose fills are asked for in one cycle to see whether an order could have been an exit."""
ROUNDS = 5
"""An order, three that succeeded each other in its place, and what is doubtful once they are found."""
Asked = Mapping[Question, float]
"""Questions of the last cycle → monotonic seconds of when each was asked last. Without an id: for the mark price."""
NEVER = float("-inf")


async def judge(
    evidence: Evidence,
    tracks: Tracks,
    remembered: tuple[Answers, Asked],
    moment: Moment,
    exchange: Exchange,
    deadline: float,
) -> tuple[Detection, Answers, Asked]:
    """Detect; ask for the orders that need proof, and detect again.

    Those are the ones that the bot tracks and the list lacks, list entries about to be confirmed, those that were
    confirmed to be there and have left the list, and the orders behind fills. The answers come back with the detection.
    """
    answers, asked = dict(remembered[0]), remembered[1]
    evidence = replace(evidence, answers=answers)
    listed = {(order.symbol, sanitize(order.ref)): order for order in evidence.snapshot.orders}

    def doubtful(detection: Detection) -> dict[Finding, Question]:
        return {
            finding: question_about(listed[finding.symbol, finding.id])
            for finding in detection.findings
            if (finding.symbol, finding.id) in listed and _needs_proof(finding, tracks, moment, evidence.policy)
        }

    detection = evidence.detect()
    left = _left(tracks, listed, detection) if evidence.expected is not None else {}
    waiting: dict[Question, float] = {}
    fresh: set[Question] = set()
    for _ in range(ROUNDS):
        wanted = [*doubtful(detection).values(), *detection.questions, *left.values()]
        turn = _in_turn((question for question in wanted if question not in fresh), asked)
        waiting |= turn
        now = list(turn)[: MAX_QUESTIONS - len(fresh)]
        if not now:
            break
        answers.update(await _ask_all(now, lambda question: _find(exchange, question), deadline))
        fresh.update(now)
        waiting |= dict.fromkeys(now, moment.monotonic)
        detection = evidence.detect()
    answered = fresh & answers.keys()
    unproven = {finding.key for finding, question in doubtful(detection).items() if question not in answered}
    staying = [finding for finding, question in left.items() if not _gone(question, answers)]
    return detection.without(unproven).doubting(staying), answers, waiting


def _find(exchange: Exchange, question: Question) -> Awaitable[Order | None]:
    return exchange.find_order(
        symbol=question.symbol,
        order_id=question.order_id,
        client_id=question.client_id,
        conditional=question.conditional,
    )


def _left(tracks: Tracks, listed: Collection[tuple[str, str]], detection: Detection) -> dict[Finding, Question]:
    """Orders that were confirmed to be there, or to be different, and have left the list."""
    return {
        track.finding: Question(
            track.finding.symbol,
            track.finding.id.removeprefix("trigger:"),
            conditional=track.finding.id.startswith("trigger:"),
        )
        for track in tracks.values()
        if track.confirmed
        and track.finding.rule in {Rule.UNEXPECTED_ORDER, Rule.ORDER_DIVERGENCE}
        and (track.finding.symbol, track.finding.id) not in listed
        and detection.judged(track.finding)
    }


def _in_turn(questions: Iterable[Question], asked: Asked) -> dict[Question, float]:
    """Those never asked first, then those asked longest ago, symbols by turns: a busy one keeps no other waiting."""
    ranks: Counter[str] = Counter()
    ranked = []
    for question in questions:
        ranked.append((asked.get(question, NEVER), ranks[question.symbol], question))
        ranks[question.symbol] += 1
    return {question: at for at, _, question in sorted(ranked, key=lambda row: row[:2])}


def _gone(question: Question, answers: Answers) -> bool:
    """Whether the exchange said that this order is no longer open."""
    if question not in answers:
        return False
    order = answers[question]
    return order is None or order.status is not OrderStatus.OPEN


def _needs_proof(finding: Finding, tracks: Tracks, moment: Moment, policy: Policy) -> bool:
    return finding.rule in ORDER_RULES and _would_confirm(finding, tracks, moment, policy)


def _would_confirm(finding: Finding, tracks: Tracks, moment: Moment, policy: Policy) -> bool:
    return would_confirm(
        tracks.get(finding.key),
        finding,
        moment,
        grace_ms=policy.order_grace_ms,
        confirmations=policy.confirmations,
    )


@dataclass(frozen=True, slots=True)
class Wallets:
    """The balances of a snapshot, and what was believed of them then."""

    timestamp: int
    balances: tuple[Balance, ...]
    expected: ExpectedState
    sharing: Sharing

    @property
    def as_of(self) -> int:
        """The oldest time for which that belief is true."""
        return self.sharing.as_of(self.expected.as_of)

    @property
    def newest(self) -> int:
        """The newest of them."""
        return self.sharing.newest(self.expected.as_of)


async def with_income(
    detection: Detection,
    evidence: Evidence,
    settled: Wallets | None,
    tracks: Tracks,
    moment: Moment,
    exchange: Exchange,
    deadline: float,
) -> tuple[Detection, Evidence]:
    """`detection` and its evidence, after the income since the belief where a balance is, or may become, confirmed.

    Income is booked late: what is unexplained must have been so of a reading and a belief of the grace ago (`settled`)
    as well, whose income is all known by now. Without them nothing is proven yet.
    """
    policy = evidence.policy
    waiting = [
        finding
        for finding in detection.findings
        if finding.proven is False
        and (
            _would_confirm(replace(finding, proven=True), tracks, moment, policy)
            or (finding.key in tracks and tracks[finding.key].confirmed)
        )
    ]
    if not waiting or moment.as_of is None or settled is None:
        return detection, evidence
    since = min(moment.as_of, settled.timestamp, settled.as_of) - policy.order_grace_ms
    told = await _ask_all([since], exchange.income, deadline)
    if since not in told:
        return detection, evidence
    evidence = replace(evidence, background=replace(evidence.background, income=told[since]))
    earlier = replace(
        evidence,
        snapshot=replace(evidence.snapshot, timestamp=settled.timestamp, balances=settled.balances),
        expected=settled.expected,
        background=replace(evidence.background, sharing=settled.sharing),
    )
    before = {finding.key for finding in earlier.detect().findings}
    kept = [finding for finding in detection.findings if finding.rule is not Rule.BALANCE_MISMATCH]
    found = [
        finding
        for finding in evidence.detect().findings
        if finding.rule is Rule.BALANCE_MISMATCH and finding.key in before
    ]
    return replace(detection, findings=(*kept, *found)), evidence


async def with_marks(
    detection: Detection,
    evidence: Evidence,
    known: Marks,
    tracks: Tracks,
    asked: Asked,
    moment: Moment,
    exchange: Exchange,
    deadline: float,
) -> tuple[Detection, Evidence, Marks, Asked]:
    """`detection` and its evidence with the marks of what differs, whether the exchange still lists it or not.

    A mark that is not told leaves its differences as they are. Also the marks to remember, and what was asked.
    """
    standing = {finding.symbol for finding in detection.findings if valued(finding)}
    turn = _in_turn((Question(symbol) for symbol in lacking(standing, known, moment.until)), asked)
    now = list(turn)[:MAX_QUESTIONS]
    told = await _ask_all(now, lambda question: exchange.mark(question.symbol), deadline)
    # A time ahead of the reading would make a mark last.
    new = {question.symbol: (mark[0], min(mark[1], moment.until)) for question, mark in told.items() if mark}
    marks = newest(known, new)
    if new:
        evidence = replace(
            evidence,
            snapshot=replace(evidence.snapshot, marks=recent(marks, moment.until)),
            background=replace(evidence.background, old_marks=old(marks, moment.until)),
        )
        anew = {finding.key: finding for finding in evidence.detect().findings}
        detection = replace(detection, findings=tuple(anew.get(row.key, row) for row in detection.findings))
    standing |= {track.finding.symbol for track in tracks.values() if valued(track.finding)}
    waiting = {**turn, **dict.fromkeys(now, moment.monotonic)}
    return detection, evidence, worth_keeping(marks, moment.until, standing), waiting


async def disobeyed(
    memory: Honour,
    held: Held | None,
    evidence: Evidence,
    before: AccountSnapshot | None,
    exchange: Exchange,
    deadline: float,
) -> tuple[tuple[Offence, ...], Honour]:
    """The orders of the bot that its hold does not allow.

    Asked for are those of which only fills are known, and the fills since an order that may have been an exit.
    """
    seen = look(memory, held, evidence, before)
    now = seen.questions[:MAX_ORDERS_BEHIND_FILLS]
    symbols = list(seen.lists)[:MAX_LISTS_BEHIND_ORDERS]
    if not now and not symbols:
        return seen.offences, seen.memory
    told, fills = await asyncio.gather(
        _ask_all(now, lambda question: _find(exchange, question), deadline),
        _ask_all(symbols, lambda symbol: exchange.fills(symbol, seen.lists[symbol]), deadline),
    )
    listed = {
        symbol: (seen.lists[symbol], tuple(sorted(rows, key=lambda fill: (fill.time, len(fill.id), fill.id))))
        for symbol, rows in fills.items()
    }
    again = look(seen.memory, held, replace(evidence, answers={**evidence.answers, **told}), before, listed)
    return (*seen.offences, *again.offences), again.memory


async def read_fills(
    log: FillLog,
    untimed: AbstractSet[str],
    snapshot: AccountSnapshot,
    grace_ms: int,
    exchange: Exchange,
    deadline: float,
) -> FillLog:
    """The log with the fills of the symbols that are unread or `untimed`, those asked longest ago first."""
    wanted = log.unread.union(log.late, untimed)
    turn = sorted(wanted, key=lambda symbol: (log.tried.get(symbol, 0), symbol))[:MAX_LISTS_OF_FILLS]
    log = replace(log, tried={**log.tried, **dict.fromkeys(turn, snapshot.timestamp)})
    told = await _ask_all(turn, lambda symbol: exchange.fills(symbol, log.since(symbol)), deadline)
    for symbol, rows in told.items():
        log = log.reading(symbol, rows, snapshot, grace_ms)
    return log


async def _ask_all(questions: Iterable[K], ask: Callable[[K], Awaitable[V]], deadline: float) -> dict[K, V]:
    """What the exchange says of each, side by side; what it does not say is left out."""

    async def one(question: K) -> None:
        try:
            answers[question] = await ask(question)
        except AccountSyncError:
            return

    answers: dict[K, V] = {}
    questions = list(questions)
    if not questions:
        return answers
    try:
        async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as group:
            for question in questions:
                group.create_task(one(question))
    except TimeoutError:
        pass
    return answers

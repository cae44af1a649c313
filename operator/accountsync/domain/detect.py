"""Compare what the exchange says with what the bot believes.

In:  an `AccountSnapshot`, the `ExpectedState` (None: Unknown), the `Policy`, and answers to earlier questions.
Out: a `Detection`: the differences, what this pass could not judge, and which orders must be asked for by id.

Invariants:
1. Absence is proven: an order that is missing from the open orders yields a finding only with the exchange's own
   answer about that very order.
2. What is unsettled, corrupt or unanswered yields no finding of comparison; it is listed in `unknown` instead.
3. A section that the bot does not publish is not judged: its rules are listed in `unjudged`.
4. The result does not depend on the order of rows.
"""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from accountsync.domain.account import AccountSnapshot, Order, OrderStatus, Position, PositionSide
from accountsync.domain.catalogue import CATALOGUE, Rule, Severity
from accountsync.domain.expected import ExpectedOrder, ExpectedState
from accountsync.domain.policy import DEFAULT_BALANCE_TOLERANCE, Policy

ZERO = Decimal(0)
ANY, POSITIONS = "*", "*positions"
"""What is doubted of a symbol besides orders by id: everything, or its positions. No `sanitize`d id spells these."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `notional` is in the quote currency; `changed`: when the exchange's side last changed (ms)."""

    rule: Rule
    severity: Severity
    symbol: str
    id: str
    message: str
    expected: str = ""
    observed: str = ""
    notional: Decimal = ZERO
    changed: int | None = None
    own: bool = True

    @property
    def key(self) -> str:
        """Stable across cycles and restarts."""
        return f"{self.rule}|{self.symbol}|{self.id}"


@dataclass(frozen=True, slots=True)
class Question:
    """An order to ask the exchange for by id before anything is said of it."""

    symbol: str
    order_id: str = ""
    client_id: str = ""


Answers = Mapping[Question, Order | None]
"""What the exchange said of one order: its present state, or None where it knows no such order."""


@dataclass(frozen=True, slots=True)
class Detection:
    """`unknown` holds what this pass could not judge: (symbol, id of an order), (symbol, POSITIONS), (symbol, ANY).

    `unjudged`: the rules that nothing was held against, because the bot publishes no such section.
    `blind`: the snapshot was refused, so that this pass judged nothing at all.
    """

    findings: tuple[Finding, ...] = ()
    unknown: frozenset[tuple[str, str]] = frozenset()
    questions: tuple[Question, ...] = ()
    unjudged: frozenset[Rule] = frozenset()
    blind: bool = False

    def judged(self, finding: Finding) -> bool:
        """Whether this pass would have shown `finding` if it were still so."""
        if self.blind:
            return False
        if CATALOGUE[finding.rule].at_once:
            return True  # the snapshot alone shows these
        if finding.rule in self.unjudged:
            return False
        return self.unknown.isdisjoint({_doubted(finding), (finding.symbol, ANY), (ANY, ANY)})

    def without(self, keys: Collection[str]) -> "Detection":
        """The same, with the findings of `keys` Unknown instead."""
        doubted = {_doubted(finding) for finding in self.findings if finding.key in keys}
        findings = tuple(finding for finding in self.findings if finding.key not in keys)
        return replace(self, findings=findings, unknown=self.unknown | doubted)

    def doubting(self, findings: Iterable[Finding]) -> "Detection":
        """The same, with `findings` of earlier passes Unknown."""
        return replace(self, unknown=self.unknown | {_doubted(finding) for finding in findings})


def _doubted(finding: Finding) -> tuple[str, str]:
    """How `unknown` names what `finding` is about."""
    return finding.symbol, POSITIONS if finding.rule is Rule.POSITION_MISMATCH else finding.id


def sanitize(text: str) -> str:
    """An upstream identifier, fit for a status, an Event or a log: printable, at most 64 characters."""
    return re.sub(r"[^A-Za-z0-9_.:/@+-]", "?", text)[:64]


def plain(value: Decimal | None) -> str:
    """A decimal as people write it: no exponent, no trailing zeros, no negative zero."""
    if value is None:
        return "none"
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def question_about(order: Order | ExpectedOrder) -> Question:
    """The question that names `order` as well as it can be named."""
    return Question(order.symbol, order.id, "" if order.id else order.client_id)


def detect(
    snapshot: AccountSnapshot, expected: ExpectedState | None, policy: Policy, answers: Answers | None = None
) -> Detection:
    """All differences between `snapshot` and `expected`; without a belief only what the snapshot itself shows."""
    draft = _Draft(answers or {})
    for symbol in snapshot.unsettled:
        draft.unknown.add((symbol, ANY))
    _check_integrity(snapshot, draft)
    draft.unsettled = frozenset(draft.unknown)
    unjudged: set[Rule] = set()
    if expected is None:
        draft.unknown.add((ANY, ANY))
    else:
        scope = frozenset(policy.symbols)
        if expected.orders is not None:
            _compare_orders(snapshot, _in_scope(expected.orders, scope), policy, draft)
        else:
            unjudged |= {Rule.UNEXPECTED_ORDER, Rule.MISSING_ORDER, Rule.ORDER_DIVERGENCE}
        if expected.positions is not None:
            _compare_positions(snapshot, expected, scope, policy, draft)
        else:
            unjudged.add(Rule.POSITION_MISMATCH)
        if expected.balances is not None:
            _compare_balances(snapshot, expected, policy, draft)
        else:
            unjudged.add(Rule.BALANCE_MISMATCH)
    return Detection(
        findings=draft.sorted_findings(),
        unknown=frozenset(draft.unknown),
        questions=tuple(sorted(draft.questions, key=lambda q: (q.symbol, q.order_id, q.client_id))),
        unjudged=frozenset(unjudged),
    )


def regression(snapshot: AccountSnapshot, accepted: int) -> Detection:
    """The one finding about a snapshot that is older than one already accepted (Runbook 29, ts_regression)."""
    behind = accepted - snapshot.timestamp
    draft = _Draft({})
    draft.add(
        Rule.TIMESTAMP_REGRESSION,
        "",
        "snapshot",
        f"the exchange answered with a snapshot {behind} ms older than one already accepted; it was refused",
        expected=f">= {accepted}",
        observed=str(snapshot.timestamp),
    )
    return Detection(findings=tuple(draft.findings), blind=True)


class _Draft:
    """A detection being made."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.findings: list[Finding] = []
        self.unknown: set[tuple[str, str]] = set()
        self.unsettled: frozenset[tuple[str, str]] = frozenset()
        """What was unknown before the comparison: its own doubts about one row must not reach another."""
        self.questions: list[Question] = []

    def doubt(self, symbol: str, *ids: str) -> None:
        self.unknown.update((symbol, sanitize(text)) for text in ids if text)

    def settled(self, symbol: str, *ids: str) -> bool:
        return not self.unsettled or self.unsettled.isdisjoint(
            {(symbol, ANY), *((symbol, sanitize(text)) for text in ids)}
        )

    def positions_settled(self, symbol: str) -> bool:
        return self.unsettled.isdisjoint({(symbol, ANY), (symbol, POSITIONS)})

    def add(
        self,
        rule: Rule,
        symbol: str,
        id_: str,
        message: str,
        *,
        severity: Severity | None = None,
        expected: str = "",
        observed: str = "",
        notional: Decimal = ZERO,
        changed: int | None = None,
        own: bool = True,
    ) -> None:
        self.findings.append(
            Finding(
                rule=rule,
                severity=severity or CATALOGUE[rule].severity,
                symbol=symbol,
                id=sanitize(id_),
                message=message,
                expected=expected,
                observed=observed,
                notional=abs(notional),
                changed=changed,
                own=own,
            )
        )

    def sorted_findings(self) -> tuple[Finding, ...]:
        """One of each key, whatever the order in which they were added."""
        worst_last = sorted(self.findings, key=lambda finding: (finding.key, finding.notional, finding.message))
        return tuple({finding.key: finding for finding in worst_last}.values())


# --- what a snapshot shows by itself -------------------------------------------------------------------------------


def _check_integrity(snapshot: AccountSnapshot, draft: _Draft) -> None:
    """Corrupt objects are reported, and nothing else is judged of them."""
    repeated = {(order.symbol, order.id) for order in _repeated(snapshot.orders, lambda row: (row.symbol, row.id))}
    for order in snapshot.orders:
        if (order.symbol, order.id) in repeated:
            message = f"order {sanitize(order.id)} of {order.symbol} is listed twice"
            draft.add(Rule.DUPLICATE_KEY, order.symbol, f"order:{order.id}", message)
            draft.doubt(order.symbol, order.id, order.client_id)
    for position in _repeated(snapshot.positions, lambda row: (row.symbol, row.side, row.margin_mode)):
        message = f"the {position.side} position of {position.symbol} is listed twice"
        draft.add(Rule.DUPLICATE_KEY, position.symbol, f"position:{position.side}", message)
        draft.unknown.add((position.symbol, POSITIONS))
    for order in snapshot.orders:
        negative = min(order.quantity, order.filled)
        if negative < 0:
            message = f"order {sanitize(order.id)} of {order.symbol} has the quantity {plain(negative)}"
            draft.add(Rule.NEGATIVE_QUANTITY, order.symbol, f"order:{order.id}", message, observed=plain(negative))
            draft.doubt(order.symbol, order.id, order.client_id)
    for position in snapshot.positions:
        if position.side is not PositionSide.NET and position.quantity < 0:
            amount = plain(position.quantity)
            message = f"the {position.side} position of {position.symbol} has the quantity {amount}"
            draft.add(Rule.NEGATIVE_QUANTITY, position.symbol, f"position:{position.side}", message, observed=amount)
            draft.unknown.add((position.symbol, POSITIONS))


def _repeated(rows: Iterable[T], key: Callable[[T], Hashable]) -> Iterator[T]:
    """One row of each key that stands more than once."""
    seen: dict[Hashable, int] = {}
    for row in rows:
        seen[key(row)] = seen.get(key(row), 0) + 1
        if seen[key(row)] == 2:  # noqa: PLR2004 - the second time
            yield row


# --- orders ----------------------------------------------------------------------------------------------------------


def _in_scope(orders: Iterable[ExpectedOrder], scope: frozenset[str]) -> list[ExpectedOrder]:
    return [order for order in orders if not scope or order.symbol in scope]


def _compare_orders(
    snapshot: AccountSnapshot, expected: Iterable[ExpectedOrder], policy: Policy, draft: _Draft
) -> None:
    by_id = {(order.symbol, order.id): order for order in snapshot.orders}  # exchanges count ids up per symbol
    by_client_id = {  # where an exchange lets two open orders share one, the greater id is the newer order
        (order.symbol, order.client_id): order
        for order in sorted(snapshot.orders, key=lambda order: (len(order.id), order.id))
        if order.client_id
    }
    known: set[tuple[str, str]] = set()
    for belief in expected:
        order = by_id.get((belief.symbol, belief.id)) or by_client_id.get((belief.symbol, belief.client_id))
        if order is not None:
            known.add((order.symbol, order.id))
            _compare_order(belief, order, draft)
        elif belief.status is OrderStatus.OPEN:
            _judge_absence(belief, draft)
    for key, order in by_id.items():
        if key not in known:
            _judge_unexpected(order, policy, draft)


def _judge_absence(belief: ExpectedOrder, draft: _Draft) -> None:
    name = belief.id or belief.client_id
    if not draft.settled(belief.symbol, belief.id, belief.client_id):
        draft.doubt(belief.symbol, name)
        return
    question = question_about(belief)
    if question not in draft.answers:
        draft.questions.append(question)
        draft.doubt(belief.symbol, name)
        return
    answer = draft.answers[question]
    if answer is not None and answer.status is OrderStatus.OPEN:
        draft.doubt(belief.symbol, name)  # it lives: the list was read before it was placed
        return
    if answer is None:
        observed = "unknown to the exchange"
    else:
        observed = f"{answer.status}, filled {plain(answer.filled)} of {plain(answer.quantity)}"
    remaining = (belief.quantity or ZERO) - (belief.filled or ZERO)
    draft.add(
        Rule.MISSING_ORDER,
        belief.symbol,
        name,
        f"the bot tracks order {sanitize(name)} of {belief.symbol} as open; on the exchange it is {observed}",
        expected="open",
        observed=observed,
        notional=remaining * (belief.price or ZERO),
        changed=answer.updated if answer else None,
    )


def _judge_unexpected(order: Order, policy: Policy, draft: _Draft) -> None:
    if not draft.settled(order.symbol, order.id, order.client_id):
        return
    current = draft.answers.get(question_about(order), order)
    if current is None or current.status is not OrderStatus.OPEN:
        draft.doubt(order.symbol, order.id)  # the list is behind the order itself
        return
    own = bool(policy.order_id_prefix) and order.client_id.startswith(policy.order_id_prefix)
    draft.add(
        Rule.UNEXPECTED_ORDER,
        order.symbol,
        order.id,
        f"the bot does not track the open order {sanitize(order.id)}: {order.side} {plain(order.quantity)}"
        f" {order.symbol} at {plain(order.price)}, client id {sanitize(order.client_id) or 'none'}",
        severity=Severity.HIGH if own else Severity.WARNING,
        expected="none",
        observed=f"{order.side} {plain(order.quantity)} at {plain(order.price)}",
        notional=order.notional,
        changed=order.created if order.created is not None else order.updated,  # a fill makes it no newer to the bot
        own=own,
    )


def _compare_order(belief: ExpectedOrder, order: Order, draft: _Draft) -> None:
    if not draft.settled(order.symbol, order.id, order.client_id):
        draft.doubt(order.symbol, belief.id, belief.client_id)
        return
    current = draft.answers.get(question_about(order), order)
    if current is None:
        draft.doubt(order.symbol, order.id, belief.id, belief.client_id)  # listed, and unknown to the exchange
        return
    order = current
    differing = [
        (name, believed, actual)
        for name, believed, actual in (
            ("status", belief.status, order.status),
            ("quantity", belief.quantity, order.quantity),
            ("filled", belief.filled, order.filled),
            ("price", belief.price, order.price),
        )
        if believed is not None and believed != actual
    ]
    if not differing:
        return
    believed = ", ".join(f"{name} {_word(value)}" for name, value, _ in differing)
    actual = ", ".join(f"{name} {_word(value)}" for name, _, value in differing)
    draft.add(
        Rule.ORDER_DIVERGENCE,
        order.symbol,
        order.id,
        f"order {sanitize(order.id)} of {order.symbol}: the bot believes {believed}; the exchange says {actual}",
        expected=believed,
        observed=actual,
        notional=order.notional,
        changed=order.updated,
    )


def _word(value: OrderStatus | Decimal | None) -> str:
    return value.value if isinstance(value, OrderStatus) else plain(value)


# --- positions and balances ------------------------------------------------------------------------------------------


def _compare_positions(
    snapshot: AccountSnapshot, expected: ExpectedState, scope: frozenset[str], policy: Policy, draft: _Draft
) -> None:
    held: dict[str, list[Position]] = {}
    for position in snapshot.positions:
        held.setdefault(position.symbol, []).append(position)
    believed: dict[str, dict[PositionSide, Decimal]] = {}
    for belief in expected.positions or ():
        if not scope or belief.symbol in scope:
            believed.setdefault(belief.symbol, {})[belief.side] = belief.quantity
    for symbol in sorted(held.keys() | believed.keys()):
        if not draft.positions_settled(symbol):
            continue
        rows = held.get(symbol, [])
        actual: dict[PositionSide, Decimal] = {}
        for row in rows:  # the same side may be held in both margin modes
            actual[row.side] = actual.get(row.side, ZERO) + row.quantity
        wanted = believed.get(symbol, {})
        if PositionSide.NET in actual or PositionSide.NET in wanted:
            actual, wanted = _net(actual), _net(wanted)
        for side in sorted(actual.keys() | wanted.keys()):
            _compare_position(
                symbol, side, wanted.get(side, ZERO), actual.get(side, ZERO), rows, snapshot, policy, draft
            )


def _net(legs: Mapping[PositionSide, Decimal]) -> dict[PositionSide, Decimal]:
    """Both sides in one-way terms: a short leg counts against a long one."""
    if not legs:
        return {}
    total = sum((-amount if side is PositionSide.SHORT else amount for side, amount in legs.items()), ZERO)
    return {PositionSide.NET: total}


def _compare_position(
    symbol: str,
    side: PositionSide,
    wanted: Decimal,
    actual: Decimal,
    rows: list[Position],
    snapshot: AccountSnapshot,
    policy: Policy,
    draft: _Draft,
) -> None:
    if abs(actual - wanted) <= policy.position_tolerance:
        return
    price = snapshot.marks.get(symbol) or next(
        (row.mark_price or row.entry_price for row in rows if row.mark_price or row.entry_price), None
    )
    # Only a row that stands can tell when it changed: a leg that was closed left the list, and its time with it.
    updates = [row.updated for row in rows if row.side is side and row.updated is not None]
    draft.add(
        Rule.POSITION_MISMATCH,
        symbol,
        side,
        f"the {side} position of {symbol}: the bot believes {plain(wanted)}; the exchange says {plain(actual)}",
        expected=plain(wanted),
        observed=plain(actual),
        notional=(actual - wanted) * (price or ZERO),
        changed=max(updates, default=None),
    )


def _compare_balances(snapshot: AccountSnapshot, expected: ExpectedState, policy: Policy, draft: _Draft) -> None:
    wallets = {balance.asset: balance.wallet for balance in snapshot.balances}
    for belief in expected.balances or ():
        actual = wallets.get(belief.asset, ZERO)
        tolerance = policy.balance_tolerances.get(belief.asset, DEFAULT_BALANCE_TOLERANCE)
        if abs(actual - belief.wallet) <= tolerance:
            continue
        asset = sanitize(belief.asset)
        draft.add(
            Rule.BALANCE_MISMATCH,
            asset,
            "wallet",
            f"the {asset} balance: the bot believes {plain(belief.wallet)}; the exchange says {plain(actual)}",
            expected=plain(belief.wallet),
            observed=plain(actual),
        )

"""Compare what the exchange says with what the bot believes.

In:  an `AccountSnapshot`, the `ExpectedState` (None: Unknown), the `Policy`, answers to earlier questions, and the
`Background`: fills, income, the other bots of the account.
Out: a `Detection`: the differences, what this pass could not judge, and which orders must be asked for by id.

Invariants:
1. Absence is proven: an order that is missing from the open orders yields a finding only with the exchange's own
   answer about that very order.
2. What is unsettled, corrupt, missing or unanswered yields no finding of comparison; it is listed in `unknown` instead.
3. A section that the bot does not publish is not judged: its rules are listed in `unjudged`.
4. The result does not depend on the order of rows.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from accountsync.domain.account import AccountSnapshot, Income, Order, Part, PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.draft import Book, Draft
from accountsync.domain.expected import ExpectedState
from accountsync.domain.fills import FillLog, judge_fills
from accountsync.domain.finding import ANY, BALANCES, ORDERS, POSITIONS, ZERO, Answers, Detection, plain
from accountsync.domain.holdings import compare_balances, compare_positions
from accountsync.domain.orders import compare_orders
from accountsync.domain.policy import Policy
from accountsync.domain.sharing import ALONE, Sharing

T = TypeVar("T")
ORDER_RULES = frozenset({Rule.UNEXPECTED_ORDER, Rule.MISSING_ORDER, Rule.ORDER_DIVERGENCE})
DOUBTED_WITHOUT = {
    Part.ORDERS: (ANY, ORDERS),
    Part.CONDITIONAL: (ANY, ORDERS),
    Part.POSITIONS: (ANY, POSITIONS),
    Part.BALANCES: (ANY, BALANCES),
}


@dataclass(frozen=True, slots=True)
class Background:
    """What else is known of the account.

    `fills` None: the exchange tells none. `income` since the grace before the belief's time; None: not asked, or not
    told. `tells_income`: the exchange can be asked. `insisted`: symbols that changed in each of the last readings, so
    that their orders are asked for by id. `past`: the newest belief that is at least the grace older than the snapshot.
    `old_marks`: the last known mark prices of symbols that have none of the last minute.
    """

    sharing: Sharing = ALONE
    fills: FillLog | None = None
    income: tuple[Income, ...] | None = None
    tells_income: bool = False
    insisted: frozenset[str] = frozenset()
    past: ExpectedState | None = None
    old_marks: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a detection is made of, so that it can be made again."""

    snapshot: AccountSnapshot
    expected: ExpectedState | None
    policy: Policy
    answers: Answers
    background: Background

    def detect(self) -> Detection:
        """The differences in it."""
        return detect(self.snapshot, self.expected, self.policy, self.answers, self.background)


def detect(
    snapshot: AccountSnapshot,
    expected: ExpectedState | None,
    policy: Policy,
    answers: Answers | None = None,
    background: Background | None = None,
) -> Detection:
    """All differences between `snapshot` and `expected`; without a belief only what the snapshot itself shows."""
    background = background or Background()
    draft = Draft(snapshot, policy, answers or {}, background.sharing, background.insisted, background.old_marks)
    if snapshot.unsettled or snapshot.missing:
        draft.unknown.update((symbol, ANY) for symbol in snapshot.unsettled - background.insisted)
        draft.unknown.update(DOUBTED_WITHOUT[part] for part in snapshot.missing)
    book = _book(snapshot, draft)
    _check_integrity(snapshot, draft)
    if draft.unknown or background.insisted:
        draft.unsettled = frozenset(draft.unknown).union((symbol, ANY) for symbol in background.insisted)
    if background.fills is not None:
        judge_fills(background.fills, expected, draft)
    unjudged: frozenset[Rule] = frozenset()
    if expected is None:
        draft.unknown.add((ANY, ANY))
    else:
        unjudged = _compare(book, expected, background, draft)
    return Detection(
        findings=draft.sorted_findings(),
        unknown=frozenset(draft.unknown),
        questions=tuple(
            sorted(set(draft.questions), key=lambda q: (q.symbol, q.order_id, q.client_id, str(q.conditional)))
        ),
        unjudged=unjudged,
        explained=frozenset(draft.explained),
        given_up=frozenset(draft.given_up),
    )


def _compare(book: Book, expected: ExpectedState, background: Background, draft: Draft) -> frozenset[Rule]:
    """Compare section by section; gives the rules that nothing was held against."""
    unjudged: set[Rule] = set()
    missing, scope = draft.snapshot.missing, frozenset(draft.policy.symbols)
    as_of = draft.sharing.as_of(expected.as_of)
    if expected.orders is None:
        unjudged |= ORDER_RULES
    elif missing.isdisjoint({Part.ORDERS, Part.CONDITIONAL}):
        orders = [row for row in expected.orders if row.symbol in scope] if scope else expected.orders
        compare_orders(book, orders, draft, background.fills.recent if background.fills else {})
    positions = None if expected.positions is None else draft.sharing.positions(expected)
    if positions is None:
        unjudged.add(Rule.POSITION_MISMATCH)
    elif Part.POSITIONS not in missing:
        positions = tuple(row for row in positions if not scope or row.symbol in scope)
        compare_positions(expected, positions, as_of, background.fills, background.past, draft)
    balances = None if expected.balances is None else draft.sharing.balances(expected)
    if balances is None or not draft.sharing.leads:
        unjudged.add(Rule.BALANCE_MISMATCH)
    elif Part.BALANCES not in missing:
        times = (as_of, draft.sharing.newest(expected.as_of))
        compare_balances(balances, times, background.income, draft, provable=background.tells_income)
    return frozenset(unjudged)


def regression(snapshot: AccountSnapshot, accepted: int) -> Detection:
    """The one finding about a snapshot that is older than one already accepted (Runbook 29, ts_regression)."""
    draft = Draft(snapshot, Policy(), {})
    draft.add(Rule.TIMESTAMP_REGRESSION, "", "snapshot", expected=f">= {accepted}", observed=str(snapshot.timestamp))
    return Detection(findings=tuple(draft.findings), blind=True)


def _book(snapshot: AccountSnapshot, draft: Draft) -> Book:
    """The open orders by id.

    Conditional orders count in a space of their own: where an ordinary one has the same id, it goes by that.
    """
    book = {(order.symbol, order.id): order for order in snapshot.orders}
    if len(book) == len(snapshot.orders):
        return book
    repeated = {(order.symbol, order.ref) for order in _repeated(snapshot.orders, lambda row: (row.symbol, row.ref))}
    for order in snapshot.orders:
        if (order.symbol, order.ref) in repeated:
            draft.add(Rule.DUPLICATE_KEY, order.symbol, f"order:{order.ref}")
            draft.doubt(order.symbol, order.ref, order.id, order.client_id)
    rows = sorted(snapshot.orders, key=lambda row: repr(row) if (row.symbol, row.ref) in repeated else "")
    book = {(order.symbol, order.ref): order for order in rows}
    for key, order in [*book.items()]:
        by_id = (order.symbol, order.id)
        if by_id not in book:
            book[by_id] = book.pop(key)
        elif by_id != key:
            draft.twins[by_id] = key
    return book


def _check_integrity(snapshot: AccountSnapshot, draft: Draft) -> None:
    """Corrupt objects are reported, and nothing else is judged of them."""
    if len({(row.symbol, row.side, row.margin_mode) for row in snapshot.positions}) < len(snapshot.positions):
        for position in _repeated(snapshot.positions, lambda row: (row.symbol, row.side, row.margin_mode)):
            draft.add(Rule.DUPLICATE_KEY, position.symbol, f"position:{position.side}")
            draft.unknown.add((position.symbol, POSITIONS))
    for order in snapshot.orders:
        if order.quantity < ZERO or order.filled < ZERO:
            _report_negative_order(order, draft)
    for position in snapshot.positions:
        if position.side is not PositionSide.NET and position.quantity < ZERO:
            amount = plain(position.quantity)
            draft.add(Rule.NEGATIVE_QUANTITY, position.symbol, f"position:{position.side}", observed=amount)
            draft.unknown.add((position.symbol, POSITIONS))


def _report_negative_order(order: Order, draft: Draft) -> None:
    negative = min(order.quantity, order.filled)
    draft.add(Rule.NEGATIVE_QUANTITY, order.symbol, f"order:{order.ref}", observed=plain(negative))
    draft.doubt(order.symbol, order.ref, order.id, order.client_id)


def _repeated(rows: Iterable[T], key: Callable[[T], Hashable]) -> Iterator[T]:
    """One row of each key that stands more than once."""
    seen: dict[Hashable, int] = {}
    for row in rows:
        seen[key(row)] = seen.get(key(row), 0) + 1
        if seen[key(row)] == 2:  # noqa: PLR2004 - the second time
            yield row

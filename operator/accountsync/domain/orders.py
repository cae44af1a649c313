"""Compare the open orders with those that the bot tracks.

An order is found by its id, by its client id, or as the successor of one that is over: the child of a conditional order
that triggered, or what an amendment put in its place. What is not found is asked for by id before anything is said.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from accountsync.domain.account import Fill, Order, OrderStatus, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.draft import Book, Draft
from accountsync.domain.ending import described_end
from accountsync.domain.expected import ExpectedOrder
from accountsync.domain.finding import ZERO, Question, plain, question_about, sanitize
from accountsync.domain.past import cancelled

CHILD_TOLD_WITHIN_MS = 60_000
"""A conditional order that triggered longer ago than this, and names no child, has none."""
Fills = Mapping[str, tuple[Fill, ...]]
"""Symbol → what was traded lately."""
LONGEST_CHAIN = 4
"""An order that triggered, and whose child was amended three times."""


def compare_orders(book: Book, expected: Iterable[ExpectedOrder], draft: Draft, fills: Fills) -> None:
    """Every difference between `book` and `expected`. `fills` are evidence for what became of the missing ones."""
    rest = dict(book)
    absent = []
    answered = {(question.symbol, question.order_id) for question in draft.answers}
    for belief in expected:
        key = (belief.symbol, belief.id)
        order = rest.pop(_key(belief, book, draft) if key in draft.twins else key, None)
        if order is None:
            absent.append(belief)
        elif (answered and (order.symbol, order.id) in answered) or not (
            order.quantity == belief.quantity
            and order.filled == belief.filled
            and order.price == belief.price
            and order.status is belief.status
            and order.side is belief.side
        ):
            if _is_namesake(belief, order):
                rest[key] = order
                absent.append(belief)
            else:
                _compare_order(belief, order, draft)
    orphaned = _find_absent(absent, book, rest, draft, fills) if absent else set()
    for order in rest.values():
        if order.symbol in orphaned:
            draft.doubt(order.symbol, order.ref)  # it may be the successor of one that is not answered for yet
        else:
            _judge_unexpected(order, draft)


def _find_absent(
    absent: list[ExpectedOrder],
    book: Book,
    rest: dict[tuple[str, str], Order],
    draft: Draft,
    fills: Fills,
) -> set[str]:
    """Join what is not found by id in another way, or judge its absence; gives the symbols where answers are due."""
    absent.sort(key=lambda row: (len(row.id), row.id, row.client_id), reverse=True)  # the newest may join first
    by_client_id = {  # where an exchange lets two open orders share one, the greater id is the newer order
        (order.symbol, order.client_id): key
        for key, order in sorted(rest.items(), key=lambda item: (len(item[1].id), item[1].id, item[1].ref))
        if order.client_id
    }
    orphaned = set()
    for belief in absent:
        found = by_client_id.pop((belief.symbol, belief.client_id), None)
        if found is not None:
            rest.pop(found, None)  # or it was taken already, as the successor of another one
            _compare_order(belief, book[found], draft)
        elif belief.status is OrderStatus.OPEN and not _judge_absence(belief, book, rest, draft, fills):
            orphaned.add(belief.symbol)
    return orphaned


def _is_namesake(belief: ExpectedOrder, order: Order) -> bool:
    """Whether `order` only has the same id, in the space of conditional orders."""
    return order.conditional and bool(order.client_id) and belief.client_id not in {"", order.client_id}


def _key(belief: ExpectedOrder, book: Book, draft: Draft) -> tuple[str, str]:
    """What `belief` goes by; where an ordinary and a conditional order share its id, the client id tells which."""
    key = belief.symbol, belief.id
    twin = draft.twins.get(key)
    if twin is None or not belief.client_id or belief.client_id == book[key].client_id:
        return key
    return twin if belief.client_id == book[twin].client_id else key


def _judge_absence(
    belief: ExpectedOrder, book: Book, rest: dict[tuple[str, str], Order], draft: Draft, fills: Fills
) -> bool:
    """Judge an order that the bot tracks and the list lacks; False: the exchange has to be asked first."""
    name = belief.id or belief.client_id
    if not draft.settled(belief.symbol, belief.id, belief.client_id):
        draft.doubt(belief.symbol, name)
        return True
    question = question_about(belief)
    for _ in range(LONGEST_CHAIN):
        if question not in draft.answers:
            draft.ask(question)
            draft.doubt(belief.symbol, name)
            return False
        answer = draft.answers[question]
        if answer is None or not answer.successor:
            break
        key = (belief.symbol, answer.successor)
        if key in book:
            if (successor := rest.pop(key, None)) is not None:
                _compare_order(belief, successor, draft)
            return True
        question = Question(belief.symbol, answer.successor, conditional=False)
    else:
        draft.doubt(belief.symbol, name)
        return False
    if _proves_nothing(belief, answer, draft):
        draft.doubt(belief.symbol, name)
        return answer is None or answer.status is OrderStatus.OPEN
    if not _is_our_doing(belief, answer, draft):
        _report_missing(belief, answer, draft, fills)
    return True


def _report_missing(belief: ExpectedOrder, answer: Order | None, draft: Draft, fills: Fills) -> None:
    quantity, price = belief.quantity, belief.price
    if answer is not None:
        quantity, price = quantity or answer.quantity, price or answer.price or answer.trigger_price
    draft.add(
        Rule.MISSING_ORDER,
        belief.symbol,
        belief.id or belief.client_id,
        expected="open",
        observed=described_end(answer),
        quantity=quantity if quantity is None else quantity - (belief.filled or ZERO),
        price=price,
        changed=answer.updated if answer else None,
        client_id=belief.client_id,
        fills=tuple(row.id for row in fills.get(belief.symbol, ()) if answer and row.order_id == answer.id),
    )


def _is_our_doing(belief: ExpectedOrder, answer: Order | None, draft: Draft) -> bool:
    """Whether the order is gone because we cancelled it."""
    if not draft.policy.acted or (answer is not None and answer.status is not OrderStatus.CANCELED):
        return False
    refs = [belief.id, f"trigger:{belief.id}"] if answer is None else [answer.ref]
    return not draft.policy.acted.isdisjoint(cancelled(belief.symbol, ref) for ref in refs)


def _proves_nothing(belief: ExpectedOrder, answer: Order | None, draft: Draft) -> bool:
    """The order is so old that nobody knows; or it lives, and the list is of before; or its child is not told yet."""
    if answer is None:
        return _too_old_to_tell(belief.created, draft)
    young = draft.snapshot.timestamp - (answer.updated or 0) < CHILD_TOLD_WITHIN_MS
    return answer.status is OrderStatus.OPEN or (answer.status is OrderStatus.TRIGGERED and young)


def _too_old_to_tell(created: int | None, draft: Draft) -> bool:
    """Whether the exchange may deny, when it is asked for it, an order of `created` (ms) that is open."""
    limit = draft.policy.forgets_after_ms
    return limit is not None and created is not None and draft.snapshot.timestamp - created > limit


def _judge_unexpected(order: Order, draft: Draft) -> None:
    policy, sharing = draft.policy, draft.sharing
    if not draft.settled(order.symbol, order.ref, order.client_id):
        return
    if order.client_id in policy.acted or sharing.owner(order.client_id, policy.order_id_prefix):
        return  # our own, or another bot's, and that bot's to judge
    own = bool(policy.order_id_prefix) and order.client_id.startswith(policy.order_id_prefix)
    if sharing.siblings:
        tracked = sharing.tracked(order.symbol, order.id, order.client_id)
        if tracked or (tracked is None and not own) or not (own or sharing.leads):
            draft.doubt(order.symbol, *(() if tracked else (order.ref,)))
            return
    current = _current(order, draft)
    if current is None or current.status is not OrderStatus.OPEN:
        draft.doubt(order.symbol, order.ref)  # the list is behind the order itself
        return
    draft.add(
        Rule.UNEXPECTED_ORDER,
        order.symbol,
        order.ref,
        expected="none",
        observed=_described(order),
        quantity=order.remaining,
        price=order.price or order.trigger_price,
        changed=order.created if order.created is not None else order.updated,  # a fill makes it no newer to the bot
        own=own,
        client_id=order.client_id,
    )


def _current(order: Order, draft: Draft) -> Order | None:
    """What the exchange says of a listed order: by id where it was asked, or must be, and else by its list."""
    question = question_about(order)
    if order.symbol in draft.insisted and question not in draft.answers:
        draft.ask(question)
        return None
    answer = draft.answers.get(question, order)
    return order if answer is None and _too_old_to_tell(order.created, draft) else answer


def _described(order: Order) -> str:
    price = "the market" if order.price is None else plain(order.price)
    trigger = f" once {plain(order.trigger_price)} is touched" if order.conditional else ""
    return f"{order.side} {plain(order.quantity)} at {price}{trigger}, client id {sanitize(order.client_id) or 'none'}"


def _compare_order(belief: ExpectedOrder, order: Order, draft: Draft) -> None:
    if not draft.settled(order.symbol, order.ref, order.client_id):
        draft.doubt(order.symbol, belief.id, belief.client_id)
        return
    current = _current(order, draft)
    if current is None or current.status is not order.status:  # listed, and unknown or over: the list is behind
        draft.doubt(order.symbol, order.ref, belief.id, belief.client_id)
        return
    if cancelled(order.symbol, order.ref) in draft.policy.acted:
        return
    differing = [
        (name, believed, actual)
        for name, believed, actual in (
            ("side", belief.side, current.side),
            ("status", belief.status, current.status),
            ("quantity", belief.quantity, current.quantity),
            ("filled", belief.filled, current.filled),
            ("price", belief.price or None, current.price or None),  # 0 is an exchange's way to say that there is none
        )
        if believed is not None and believed != actual and not _is_dust(name, believed, actual, draft, order.symbol)
    ]
    if not differing:
        return
    draft.add(
        Rule.ORDER_DIVERGENCE,
        order.symbol,
        order.ref,
        expected=", ".join(f"{name} {_word(value)}" for name, value, _ in differing),
        observed=", ".join(f"{name} {_word(value)}" for name, _, value in differing),
        quantity=current.remaining,
        price=current.price or current.trigger_price,
        changed=current.updated,
        client_id=current.client_id,
    )


Value = OrderStatus | Side | Decimal | None


def _is_dust(name: str, believed: Value, actual: Value, draft: Draft, symbol: str) -> bool:
    """Whether two quantities differ by less than can be traded."""
    step = draft.snapshot.steps.get(symbol)
    if step is None or name == "price" or not isinstance(believed, Decimal) or not isinstance(actual, Decimal):
        return False
    return abs(believed - actual) < step


def _word(value: Value) -> str:
    return value.value if isinstance(value, OrderStatus | Side) else plain(value)

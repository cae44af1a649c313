"""Whatever the account and whatever the belief: what detection never does, and what it always does."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from accountsync.domain.account import (
    AccountSnapshot,
    Balance,
    Fill,
    Income,
    Order,
    OrderStatus,
    Part,
    Position,
    PositionSide,
    Side,
)
from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.detect import ORDER_RULES, Background, detect
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import ZERO, Answers, Detection, Finding, Question, question_about
from accountsync.domain.policy import Policy
from accountsync.domain.sharing import Sharing, Sibling

T = TypeVar("T")
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
NOW = 1_790_000_000_000
GRACE = Policy().order_grace_ms
EXACT = Policy(order_id_prefix="bot_", balance_tolerances={"USDT": ZERO, "BNB": ZERO})
AGAIN = settings(max_examples=100, deadline=None)

SYMBOLS = st.sampled_from([BTC, ETH])
IDS = st.sampled_from(["1", "2", "3", "10"])
CLIENT_IDS = st.sampled_from(["", "a", "bot_1", "bot_2"])
SIZES = st.sampled_from([Decimal(text) for text in ("-0", "0", "0.5", "1", "2")])
PRICES = st.none() | st.sampled_from([Decimal(9), Decimal(10)])
TIMES = st.none() | st.sampled_from([NOW - 60_000, NOW - 1, NOW])
ASSETS = st.sampled_from(["USDT", "BNB"])
ENDED = st.sampled_from(sorted(set(OrderStatus) - {OrderStatus.OPEN, OrderStatus.TRIGGERED}))

ORDERS = st.builds(
    Order,
    id=IDS,
    client_id=CLIENT_IDS,
    symbol=SYMBOLS,
    side=st.sampled_from(Side),
    quantity=SIZES,
    filled=SIZES,
    price=PRICES,
    created=TIMES,
    updated=TIMES,
    conditional=st.booleans(),
    trigger_price=PRICES,
)
CORRUPT = ORDERS.flatmap(lambda row: st.sampled_from([row, row, row, replace(row, filled=Decimal(-1))]))
POSITIONS = st.builds(
    Position,
    symbol=SYMBOLS,
    side=st.sampled_from(PositionSide),
    quantity=SIZES,
    margin_mode=st.sampled_from(["", "cross"]),
    entry_price=PRICES,
    mark_price=PRICES,
    updated=TIMES,
)
BALANCES = st.lists(st.builds(Balance, ASSETS, SIZES), unique_by=lambda row: row.asset)
TRACKED = st.builds(
    ExpectedOrder,
    symbol=SYMBOLS,
    id=st.just("") | IDS,
    client_id=CLIENT_IDS,
    side=st.none() | st.sampled_from(Side),
    quantity=st.none() | SIZES,
    filled=st.none() | SIZES,
    price=PRICES,
    status=st.sampled_from([OrderStatus.OPEN, OrderStatus.OPEN, *OrderStatus]),
    created=TIMES,
).filter(lambda row: bool(row.id or row.client_id))
BELIEVED = st.lists(
    st.builds(ExpectedPosition, SYMBOLS, st.sampled_from(PositionSide), SIZES),
    max_size=4,
    unique_by=lambda row: (row.symbol, row.side),
)
WALLETS = st.lists(st.builds(ExpectedBalance, ASSETS, SIZES), unique_by=lambda row: row.asset)
FILLS = st.lists(
    st.builds(
        Fill,
        id=st.sampled_from(["7", "8", "9", "10"]),
        order_id=IDS,
        symbol=SYMBOLS,
        side=st.sampled_from(Side),
        leg=st.sampled_from(PositionSide),
        quantity=st.sampled_from([Decimal("0.5"), Decimal(1)]),
        price=st.just(Decimal(10)),
        time=st.sampled_from([NOW - 60_000, NOW - 1, NOW]),
    ),
    max_size=5,
    unique_by=lambda fill: (fill.symbol, fill.id),
)
INCOME = st.lists(
    st.builds(
        Income,
        ASSETS,
        st.sampled_from([Decimal(text) for text in ("-1", "-0.5", "0.5", "1")]),
        st.sampled_from([NOW - 60_000, NOW - GRACE, NOW - 1, NOW]),
    ),
    max_size=5,
)


@st.composite
def tracked_orders(draw: st.DrawFn) -> list[ExpectedOrder]:
    """As a bot may publish them: it names no id twice, and no client id."""
    rows = draw(st.lists(TRACKED, max_size=6))
    ids: set[tuple[str, str]] = set()
    names: set[tuple[str, str]] = set()
    kept = []
    for row in rows:
        if (row.id and (row.symbol, row.id) in ids) or (row.client_id and (row.symbol, row.client_id) in names):
            continue
        ids.add((row.symbol, row.id))
        names.add((row.symbol, row.client_id))
        kept.append(row)
    return kept


@st.composite
def answers(draw: st.DrawFn) -> Answers:
    """What the exchange may have said of some orders, and what took their place."""
    said: dict[Question, Order | None] = {}
    for _ in range(draw(st.integers(0, 5))):
        row = replace(draw(ORDERS), status=draw(st.sampled_from(OrderStatus)))
        if row.status is not OrderStatus.OPEN:
            row = replace(row, successor=draw(st.just("") | IDS))
        kind = draw(st.sampled_from([None, row.conditional]))
        said[Question(row.symbol, row.id, conditional=kind)] = draw(st.sampled_from([row, row, None]))
    return said


@dataclass(frozen=True)
class Case:
    """Everything that a detection is made of."""

    orders: list[Order]
    positions: list[Position]
    balances: list[Balance]
    tracked: list[ExpectedOrder]
    believed: list[ExpectedPosition]
    wallets: list[ExpectedBalance]
    fills: list[Fill]
    income: list[Income] | None
    said: Answers
    unsettled: frozenset[str]
    insisted: frozenset[str]
    missing: frozenset[Part]

    def detect(self) -> Detection:
        snapshot = AccountSnapshot(
            NOW,
            positions=tuple(self.positions),
            orders=tuple(self.orders),
            balances=tuple(self.balances),
            unsettled=self.unsettled,
            missing=self.missing,
        )
        expected = ExpectedState(
            NOW, positions=tuple(self.believed), orders=tuple(self.tracked), balances=tuple(self.wallets)
        )
        log = FillLog(start=NOW - 90_000)
        for symbol in (BTC, ETH):
            log = log.reading(symbol, [fill for fill in self.fills if fill.symbol == symbol], snapshot, GRACE)
        income = None if self.income is None else tuple(self.income)
        background = Background(fills=log, income=income, tells_income=True, insisted=self.insisted)
        return detect(snapshot, expected, EXACT, self.said, background)


CASES = st.builds(
    Case,
    orders=st.lists(CORRUPT, max_size=6),
    positions=st.lists(POSITIONS, max_size=5),
    balances=BALANCES,
    tracked=tracked_orders(),
    believed=BELIEVED,
    wallets=WALLETS,
    fills=FILLS,
    income=st.none() | INCOME,
    said=answers(),
    unsettled=st.frozensets(SYMBOLS, max_size=1),
    insisted=st.frozensets(SYMBOLS, max_size=1),
    missing=st.just(frozenset()) | st.frozensets(st.sampled_from(Part), max_size=1),
)


def shuffled(draw: Callable[[st.SearchStrategy[list[T]]], list[T]], rows: Sequence[T]) -> list[T]:
    return draw(st.permutations(rows))


@st.composite
def reorderings(draw: st.DrawFn) -> tuple[Case, Case]:
    """A case, and the same with all its rows in another order."""
    case = draw(CASES)
    return case, replace(
        case,
        orders=shuffled(draw, case.orders),
        positions=shuffled(draw, case.positions),
        balances=shuffled(draw, case.balances),
        tracked=shuffled(draw, case.tracked),
        believed=shuffled(draw, case.believed),
        wallets=shuffled(draw, case.wallets),
        fills=shuffled(draw, case.fills),
        income=None if case.income is None else shuffled(draw, case.income),
    )


# --- whatever there is -----------------------------------------------------------------------------------------------


@AGAIN
@given(reorderings())
def test_the_order_of_rows_does_not_matter(cases: tuple[Case, Case]) -> None:
    assert cases[0].detect() == cases[1].detect()


@given(CASES)
def test_the_same_twice_is_the_same(case: Case) -> None:
    assert case.detect() == case.detect()


@AGAIN
@given(CASES)
def test_nothing_is_both_found_and_unknown(case: Case) -> None:
    found = case.detect()
    doubtful = [finding for finding in found.findings if not found.judged(finding)]
    proven = [finding for finding in doubtful if finding.proven or finding.rule is Rule.UNATTRIBUTED_FILL]
    assert doubtful == proven, "fills prove of a busy symbol what no list does"
    assert len({finding.key for finding in found.findings}) == len(found.findings)


@AGAIN
@given(CASES, st.data())
def test_a_duplicated_row_is_said_to_be_one_and_is_compared_with_nothing(case: Case, data: st.DataObject) -> None:
    rows: list[Order | Position] = [*case.orders, *case.positions]
    assume(rows)
    row = data.draw(st.sampled_from(rows))
    other = data.draw(SIZES)
    if isinstance(row, Order):
        again = replace(row, quantity=other)
        case = replace(case, orders=shuffled(data.draw, [*case.orders, again]))
        named = {row.ref, row.id}
        compared = ORDER_RULES
        corrupt = f"order:{row.ref}"
    else:
        case = replace(case, positions=shuffled(data.draw, [*case.positions, replace(row, quantity=other)]))
        named = {*PositionSide}
        compared = frozenset({Rule.POSITION_MISMATCH})
        corrupt = f"position:{row.side}"
    found = [finding for finding in case.detect().findings if finding.symbol == row.symbol]
    assert (Rule.DUPLICATE_KEY, corrupt) in {(finding.rule, finding.id) for finding in found}
    assert [finding for finding in found if finding.rule in compared and finding.id in named] == []


# --- an account, and a bot that knows it -----------------------------------------------------------------------------


@st.composite
def books(draw: st.DrawFn, *, most: int = 6) -> list[Order]:
    """Open orders as an exchange lists them. A conditional one that shares an ordinary one's id has a client id."""
    rows = draw(st.lists(ORDERS, max_size=most, unique_by=lambda row: (row.symbol, row.ref)))
    ordinary = {(row.symbol, row.id) for row in rows if not row.conditional}
    return [
        replace(row, client_id=f"bot_t{row.id}") if row.conditional and (row.symbol, row.id) in ordinary else row
        for row in rows
    ]


def twin(row: Order, book: Iterable[Order]) -> bool:
    """Whether an order of the other kind has its id."""
    return any((row.symbol, row.id) == (other.symbol, other.id) and row.ref != other.ref for other in book)


def believed(row: Order, tracked: Iterable[ExpectedOrder] = ()) -> ExpectedOrder:
    """What a bot publishes that knows `row` and, besides, `tracked`: it names no id twice, and no client id."""
    ids = {other.id for other in tracked if other.symbol == row.symbol}
    names = {other.client_id for other in tracked if other.symbol == row.symbol}
    return ExpectedOrder(
        symbol=row.symbol,
        id="" if row.id in ids else row.id,
        client_id="" if row.client_id in names else row.client_id,
        side=row.side,
        quantity=row.quantity,
        filled=row.filled,
        price=row.price,
        created=row.created,
    )


def knowing(book: Iterable[Order]) -> list[ExpectedOrder]:
    """The beliefs of a bot that knows all of them."""
    tracked: list[ExpectedOrder] = []
    for row in sorted(book, key=lambda row: row.conditional):
        tracked.append(believed(row, tracked))
    return tracked


@dataclass(frozen=True)
class Truth:
    """What the exchange knows of orders: those that are open and those that ended."""

    open: list[Order]
    ended: list[Order]

    def answer(self, question: Question) -> Order | None:
        rows = [
            row
            for row in (*self.open, *self.ended)
            if row.symbol == question.symbol
            and (row.id == question.order_id if question.order_id else row.client_id == question.client_id)
            and question.conditional in {None, row.conditional}
        ]
        return min(rows, key=lambda row: row.conditional, default=None)

    def settle(self, snapshot: AccountSnapshot, expected: ExpectedState) -> tuple[Detection, Answers]:
        """Detect until no question is left."""
        said: dict[Question, Order | None] = {}
        for _ in range(6):
            detection = detect(snapshot, expected, EXACT, said)
            asked = [question for question in detection.questions if question not in said]
            if not asked:
                return detection, said
            said |= {question: self.answer(question) for question in asked}
        raise AssertionError(f"it never stops asking: {said}")


@given(books())
def test_a_bot_that_knows_all_orders_is_never_found_wrong(book: list[Order]) -> None:
    snapshot = AccountSnapshot(NOW, orders=tuple(book))
    assert detect(snapshot, ExpectedState(NOW, orders=tuple(knowing(book))), EXACT).findings == ()


@AGAIN
@given(books(), st.data())
def test_an_order_that_left_the_list_is_asked_for_and_nothing_is_said_before(
    book: list[Order], data: st.DataObject
) -> None:
    tracked = knowing(book)
    left = data.draw(st.lists(st.sampled_from(book), unique=True) if book else st.just([]))
    left = [row for row in left if row.conditional or not twin(row, book)]
    kept = [row for row in book if row not in left]
    snapshot = AccountSnapshot(NOW, orders=tuple(kept))
    expected = ExpectedState(NOW, orders=tuple(tracked))

    found = detect(snapshot, expected, EXACT)
    assert found.findings == ()
    names = {(row.symbol, row.order_id, row.client_id) for row in found.questions}
    assert len(found.questions) == len(names) == len(left)

    status = data.draw(ENDED)
    gone = [replace(row, status=status) for row in left]
    found, _ = Truth(kept, gone).settle(snapshot, expected)
    assert [finding.rule for finding in found.findings] == [Rule.MISSING_ORDER] * len(left)

    found, _ = Truth(book, []).settle(snapshot, expected)
    assert found.findings == (), "the list lacked them, and they live"


# --- one repair ------------------------------------------------------------------------------------------------------


def repaired(expected: ExpectedState, found: Detection, said: Answers, snapshot: AccountSnapshot) -> ExpectedState:
    """The belief after a bot did what each finding asks of it."""
    positions = [*(expected.positions or ())]
    wallets = {row.asset: row for row in expected.balances or ()}
    for finding in found.findings:
        if finding.rule is Rule.POSITION_MISMATCH:
            side = PositionSide(finding.id)
            sides = set(PositionSide) if side is NET else {side}
            positions = [row for row in positions if row.symbol != finding.symbol or row.side not in sides]
            positions.append(ExpectedPosition(finding.symbol, side, Decimal(finding.observed)))
        elif finding.rule is Rule.BALANCE_MISMATCH:
            wallets[finding.symbol] = ExpectedBalance(finding.symbol, Decimal(finding.observed))
    return replace(
        expected,
        orders=tuple(_repaired_orders([*(expected.orders or ())], found, said, snapshot)),
        positions=tuple(positions),
        balances=tuple(wallets.values()),
    )


def _repaired_orders(
    orders: list[ExpectedOrder], found: Detection, said: Answers, snapshot: AccountSnapshot
) -> list[ExpectedOrder]:
    listed = {(row.symbol, row.ref): row for row in snapshot.orders}
    told = [finding for finding in found.findings if finding.rule in ORDER_RULES]
    for finding in told:
        if finding.rule is not Rule.UNEXPECTED_ORDER:
            orders.remove(_meant(finding, orders, listed, said))
    adopted = [listed[row.symbol, row.id] for row in told if row.rule is not Rule.MISSING_ORDER]
    for row in sorted(adopted, key=lambda row: row.conditional):
        for at, other in enumerate(orders):  # of two orders with one id, the conditional one goes by its client id
            if (other.symbol, other.id) == (row.symbol, row.id) and not row.conditional:
                orders[at] = replace(other, id="")
        orders.append(believed(row, orders))
    return orders


def _meant(
    finding: Finding, orders: list[ExpectedOrder], listed: dict[tuple[str, str], Order], said: Answers
) -> ExpectedOrder:
    """The belief that `finding` is about."""
    rows = [row for row in orders if row.symbol == finding.symbol]
    if finding.rule is Rule.MISSING_ORDER:
        return next(row for row in rows if finding.id == (row.id or row.client_id))
    order = listed[finding.symbol, finding.id]
    twins = [
        row for row in listed.values() if (row.symbol, row.id) == (order.symbol, order.id) and row.ref != order.ref
    ]
    taken = {row.client_id for row in twins if row.conditional}
    by_id = [row for row in rows if row.id == order.id and row.client_id not in taken]
    if by_id and not (order.conditional and twins):
        return by_id[0]
    for row in rows:
        answer: Order | None = said.get(question_about(row))
        while answer is not None and answer.successor:
            if answer.successor == order.id and not order.conditional:
                return row
            answer = said.get(Question(row.symbol, answer.successor, conditional=False))
    others = {row.id for row in listed.values() if row.symbol == order.symbol and row.ref != order.ref} - {order.id}
    return next(row for row in rows if row.client_id and row.client_id == order.client_id and row.id not in others)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Truth, list[ExpectedOrder]]:
    """What is open, what ended and by what it was followed, and a belief that is behind in any way."""
    book = draw(books())
    tracked: list[ExpectedOrder] = []
    ended: list[Order] = []
    for row in sorted(book, key=lambda row: row.conditional):
        match draw(st.sampled_from(["right", "behind", "by client id", "unaware", "predecessor"])):
            case "right":
                tracked.append(believed(row, tracked))
            case "behind":
                behind = replace(row, quantity=draw(SIZES), filled=draw(SIZES), price=draw(PRICES))
                tracked.append(replace(believed(behind, tracked), status=draw(st.sampled_from(OrderStatus))))
            case "by client id" if row.client_id and not any(other.client_id == row.client_id for other in tracked):
                tracked.append(replace(believed(row, tracked), id=""))
            case "predecessor" if not row.conditional:
                before = replace(row, id=f"9{row.id}", client_id="", successor=row.id, conditional=draw(st.booleans()))
                ended.append(replace(before, status=OrderStatus.TRIGGERED))
                tracked.append(replace(believed(before, tracked), price=draw(PRICES)))
            case _:
                pass
    for row in draw(books(most=3)):
        gone = replace(row, id=f"8{row.id}", status=draw(ENDED), client_id="")
        tracked.append(believed(gone, tracked))
        if draw(st.booleans()):
            ended.append(gone)
    tracked = [row for row in tracked if row.id or row.client_id]
    return Truth(book, ended), tracked


@AGAIN
@given(
    histories(),
    st.lists(POSITIONS, max_size=5, unique_by=lambda row: (row.symbol, row.side, row.margin_mode)),
    BALANCES,
    BELIEVED,
    WALLETS,
)
def test_one_repair_makes_the_next_pass_clean(
    history: tuple[Truth, list[ExpectedOrder]],
    held: list[Position],
    balances: list[Balance],
    positions: list[ExpectedPosition],
    wallets: list[ExpectedBalance],
) -> None:
    truth, tracked = history
    snapshot = AccountSnapshot(NOW, positions=tuple(held), orders=tuple(truth.open), balances=tuple(balances))
    expected = ExpectedState(NOW, positions=tuple(positions), orders=tuple(tracked), balances=tuple(wallets))
    found, said = truth.settle(snapshot, expected)
    for finding in found.findings:
        event(finding.rule)
    after, _ = truth.settle(snapshot, repaired(expected, found, said, snapshot))
    assert [finding for finding in after.findings if not CATALOGUE[finding.rule].at_once] == []


# --- positions -------------------------------------------------------------------------------------------------------

FINE = st.decimals(min_value=-2, max_value=2, places=3)


@given(FINE, FINE, st.sampled_from(["0", "0.001", "0.5"]), st.none() | st.sampled_from(["0.001", "0.1"]))
def test_a_difference_is_the_same_from_either_side(
    one: Decimal, other: Decimal, tolerance: str, step: str | None
) -> None:
    policy = Policy(position_tolerance=Decimal(tolerance))
    steps = {BTC: Decimal(step)} if step else {}

    def found(holds: Decimal, believes: Decimal) -> list[tuple[str, str, Decimal]]:
        held = (Position(BTC, NET, holds),) if holds else ()
        snapshot = AccountSnapshot(NOW, positions=held, steps=steps, marks={BTC: Decimal(3)})
        expected = ExpectedState(NOW, positions=(ExpectedPosition(BTC, NET, believes),))
        return [(row.rule, row.id, row.notional) for row in detect(snapshot, expected, policy).findings]

    assert found(one, other) == found(other, one) == found(-one, -other)


# --- several bots ----------------------------------------------------------------------------------------------------

PREFIXES = ["bot_", "bot_grid_", "other_"]


@st.composite
def sharers(draw: st.DrawFn) -> tuple[list[ExpectedState], list[Order], list[ExpectedPosition], list[ExpectedBalance]]:
    """Bots with their beliefs, and what is on the exchange account that they share."""
    beliefs, everything, positions, wallets = [], [], [], []
    for number, prefix in enumerate(PREFIXES):
        rows = [
            replace(row, id=f"{number}{row.id}", client_id=f"{prefix}{row.id}{row.conditional}")
            for row in draw(books())
        ]
        held, owned = draw(BELIEVED), draw(WALLETS)
        beliefs.append(ExpectedState(NOW, orders=tuple(knowing(rows)), positions=tuple(held), balances=tuple(owned)))
        everything += rows
        positions += held
        wallets += owned
    return beliefs, everything, positions, wallets


@AGAIN
@given(sharers(), st.booleans(), st.integers(0, 2))
def test_bots_that_know_together_what_is_there_are_never_found_wrong(
    shared: tuple[list[ExpectedState], list[Order], list[ExpectedPosition], list[ExpectedBalance]],
    leads: bool,
    which: int,
) -> None:
    beliefs, orders, held, wallets = shared
    legs: dict[tuple[str, PositionSide], Decimal] = {}
    for row in held:
        legs[row.symbol, row.side] = legs.get((row.symbol, row.side), ZERO) + row.quantity
    sums: dict[str, Decimal] = {}
    for wallet in wallets:
        sums[wallet.asset] = sums.get(wallet.asset, ZERO) + wallet.wallet
    snapshot = AccountSnapshot(
        NOW,
        orders=tuple(orders),
        positions=tuple(Position(symbol, side, quantity) for (symbol, side), quantity in legs.items()),
        balances=tuple(Balance(asset, amount) for asset, amount in sums.items()),
    )
    siblings = tuple(
        Sibling(prefix, prefix, belief)
        for number, (prefix, belief) in enumerate(zip(PREFIXES, beliefs, strict=True))
        if number != which
    )
    policy = replace(EXACT, order_id_prefix=PREFIXES[which])
    background = Background(sharing=Sharing(siblings, leads=leads))
    assert detect(snapshot, beliefs[which], policy, {}, background).findings == ()


@given(sharers(), st.booleans(), st.integers(0, 2), st.booleans())
def test_what_carries_a_siblings_prefix_is_the_siblings_to_judge(
    shared: tuple[list[ExpectedState], list[Order], list[ExpectedPosition], list[ExpectedBalance]],
    leads: bool,
    which: int,
    known: bool,
) -> None:
    """Even if that bot does not know it, or is not heard of."""
    _, orders, _, _ = shared
    siblings = tuple(
        Sibling(prefix, prefix, ExpectedState(NOW, orders=()) if known else None)
        for number, prefix in enumerate(PREFIXES)
        if number != which
    )
    policy = replace(EXACT, order_id_prefix=PREFIXES[which])
    snapshot = AccountSnapshot(NOW, orders=tuple(orders))
    background = Background(sharing=Sharing(siblings, leads=leads))
    found = detect(snapshot, ExpectedState(NOW, orders=()), policy, {}, background)
    own = {(row.symbol, row.ref) for row in orders if row.id.startswith(str(which))}
    assert {(finding.symbol, finding.id) for finding in found.findings} == own
    assert {finding.own for finding in found.findings} <= {True}


# --- income ----------------------------------------------------------------------------------------------------------


@AGAIN
@given(
    st.lists(st.tuples(st.decimals(-5, 5, places=2), st.integers(0, 60_000)), max_size=6),
    st.lists(st.tuples(st.decimals(-5, 5, places=2), st.integers(-9_000, 69_000)), max_size=4),
    st.sampled_from(["0", "0.01"]),
    st.data(),
)
def test_income_since_the_belief_explains_what_it_makes_up(
    own: list[tuple[Decimal, int]], others: list[tuple[Decimal, int]], tolerance: str, data: st.DataObject
) -> None:
    as_of = NOW - 60_000
    rows = [Income("USDT", amount, as_of + after) for amount, after in own]
    rows += [Income("BNB", amount, as_of + after) for amount, after in others]
    wallet = Decimal(100) + sum((amount for amount, _ in own), ZERO)
    snapshot = AccountSnapshot(NOW, balances=(Balance("USDT", wallet),))
    expected = ExpectedState(as_of, balances=(ExpectedBalance("USDT", Decimal(100)),))
    policy = Policy(balance_tolerances={"USDT": Decimal(tolerance)})
    income = tuple(shuffled(data.draw, rows))
    background = Background(income=income, tells_income=True)
    assert detect(snapshot, expected, policy, {}, background).findings == ()


@given(st.lists(st.tuples(st.decimals(0, 5, places=2), st.integers(0, 60_000)), max_size=6))
def test_income_that_falls_short_explains_nothing(own: list[tuple[Decimal, int]]) -> None:
    as_of = NOW - 60_000
    income = tuple(Income("USDT", amount, as_of + after) for amount, after in own)
    wallet = Decimal(100) + sum((amount for amount, _ in own), Decimal("0.02"))
    snapshot = AccountSnapshot(NOW, balances=(Balance("USDT", wallet),))
    expected = ExpectedState(as_of, balances=(ExpectedBalance("USDT", Decimal(100)),))
    found = detect(snapshot, expected, Policy(), {}, Background(income=income, tells_income=True))
    assert [(finding.rule, finding.proven) for finding in found.findings] == [(Rule.BALANCE_MISMATCH, True)]

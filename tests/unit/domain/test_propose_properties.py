"""Whatever the account, the belief and the policy: what a proposal never does."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import accumulate

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.support.rows import BTC, ETH, NOW

from accountsync.domain.account import AccountSnapshot, Balance, Order, Position, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.confirm import Track, Tracks
from accountsync.domain.detect import Background, detect
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.finding import ZERO, Finding
from accountsync.domain.fresh import fresh_action
from accountsync.domain.intents import SETTLED, Intent, IntentState
from accountsync.domain.past import HOUR_MS, Past, past
from accountsync.domain.plan import Action, ActionKind, Plan, Proposal
from accountsync.domain.policy import (
    FlattenBy,
    Limits,
    Mode,
    Policy,
    Remedies,
    UnexpectedOrders,
    UnexpectedPositions,
)
from accountsync.domain.propose import propose
from accountsync.domain.sharing import ALONE, Sharing, Sibling

NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
SYMBOLS = st.sampled_from([BTC, ETH])
SIZES = st.sampled_from([Decimal(text) for text in ("-3.3", "-1", "0", "0.004", "0.5", "1", "2.257", "17")])
PRICES = st.sampled_from([Decimal("9.97"), Decimal(100), None])
RARELY = st.integers(0, 7).map(lambda number: number == 7)
IDS = st.sampled_from(["1", "2", "3"])
CLIENT_IDS = st.sampled_from(["", "bot_1", "bot_2", "bot_b1", "web_1", "other"])
PREFIXES = st.sampled_from(["bot_", "bot_", ""])
CLEAN = Past()

ORDERS = st.builds(
    Order,
    id=IDS,
    client_id=CLIENT_IDS,
    symbol=SYMBOLS,
    side=st.sampled_from(Side),
    quantity=SIZES.map(abs),
    filled=st.sampled_from([ZERO, Decimal("0.004")]),
    price=PRICES,
    conditional=st.booleans(),
    reduce_only=st.booleans(),
)


@st.composite
def positions(draw: st.DrawFn) -> tuple[Position, ...]:
    """Of a one-way account, of a hedged one, and now and then of a broken list."""
    sides = draw(st.sampled_from([(NET,), (LONG, SHORT)]))
    keys = draw(st.lists(st.tuples(SYMBOLS, st.sampled_from(sides)), min_size=1, max_size=3, unique=not draw(RARELY)))
    broken = draw(RARELY)
    rows = []
    for symbol, side in keys:
        quantity = draw(SIZES)
        quantity = quantity if side is NET or broken else abs(quantity)
        rows.append(Position(symbol, side, quantity, mark_price=None if broken else Decimal("9.97")))
    return tuple(rows)


SNAPSHOTS = st.builds(
    AccountSnapshot,
    timestamp=st.just(NOW),
    positions=positions(),
    orders=st.lists(ORDERS, min_size=1, max_size=4).map(tuple),
    balances=st.just((Balance("USDT", Decimal(7)),)),
    unsettled=st.sampled_from([frozenset(), frozenset({BTC})]),
    steps=st.sampled_from([{BTC: Decimal("0.01"), ETH: Decimal("0.003")}, {BTC: Decimal("0.5"), ETH: Decimal(1)}]),
    marks=st.dictionaries(SYMBOLS, st.just(Decimal("99.3"))),
)
BELIEFS = st.builds(
    ExpectedState,
    as_of=st.just(NOW),
    positions=st.lists(
        st.builds(ExpectedPosition, symbol=SYMBOLS, side=st.sampled_from(PositionSide), quantity=SIZES.map(abs)),
        max_size=1,
        unique_by=lambda row: (row.symbol, row.side),
    ).map(tuple),
    orders=st.lists(
        st.builds(ExpectedOrder, symbol=SYMBOLS, id=IDS, client_id=CLIENT_IDS), max_size=2, unique_by=lambda row: row.id
    ).map(tuple),
    balances=st.just((ExpectedBalance("USDT", Decimal(9)),)),
)
LIMITS = st.builds(
    Limits,
    actions_per_hour=st.integers(0, 6),
    notional_per_action=st.none() | st.integers(0, 400).map(Decimal),
    notional_per_hour=st.none() | st.integers(0, 900).map(Decimal),
)
REMEDIES = st.builds(
    Remedies,
    repair=st.booleans(),
    orders=st.sampled_from(sorted(UnexpectedOrders)),
    positions=st.sampled_from(sorted(UnexpectedPositions)),
    prefixes=st.sampled_from([(), ("web_",), ("bot_",)]),
    flatten_by=st.sampled_from(FlattenBy),
    max_slippage=st.sampled_from([Decimal("0.005"), Decimal("0.1")]),
    limits=LIMITS,
)
POLICIES = st.builds(
    Policy,
    mode=st.sampled_from([Mode.ENFORCE, Mode.PAUSE, Mode.OBSERVE]),
    order_id_prefix=PREFIXES,
    remedies=REMEDIES,
    acted=st.just(frozenset()),
)
ENFORCING = POLICIES.map(lambda policy: replace(policy, mode=Mode.ENFORCE))
SHARED = Sharing((Sibling("b", "bot_b", ExpectedState(NOW, positions=(), orders=(), balances=())),))
SHARINGS = st.sampled_from([ALONE, SHARED])
OFTEN = settings(max_examples=150, deadline=None)


def tracks_of(findings: Iterable[Finding], *, confirmed: bool = True) -> Tracks:
    return {row.key: Track(row, NOW, NOW, 0, NOW, count=2, confirmed=confirmed) for row in findings}


def found(snapshot: AccountSnapshot, expected: ExpectedState, policy: Policy, sharing: Sharing) -> tuple[Finding, ...]:
    """What differs, and what might have differed before: tracks outlive what they were made of."""
    settled = replace(snapshot, unsettled=frozenset())
    lasting = [Finding(Rule.UNEXPECTED_ORDER, row.symbol, row.ref) for row in snapshot.orders]
    lasting += [Finding(Rule.ORDER_DIVERGENCE, row.symbol, row.ref) for row in snapshot.orders]
    lasting += [Finding(Rule.POSITION_MISMATCH, row.symbol, row.side) for row in snapshot.positions]
    return (*lasting, *detect(settled, expected, policy, background=Background(sharing)).findings)


def proposed(
    snapshot: AccountSnapshot,
    expected: ExpectedState,
    policy: Policy,
    sharing: Sharing = ALONE,
    done: Past = CLEAN,
    *,
    confirmed: bool = True,
    now_ms: int = NOW,
) -> Proposal:
    tracks = tracks_of(found(snapshot, expected, policy, sharing), confirmed=confirmed)
    return propose(tracks, snapshot, expected, policy, done, fills=None, now_ms=now_ms, writable=True, sharing=sharing)


def on_exchange(proposal: Proposal) -> list[Action]:
    return [action for action in proposal.actions if action.kind is not ActionKind.REPAIR]


def unlimited(policy: Policy) -> Policy:
    return replace(policy, remedies=replace(policy.remedies, limits=Limits(10_000)))


def filled(legs: Sequence[Position], action: Action, part: Decimal) -> list[Position]:
    """The legs after a reduce-only order closed `part` of its quantity; the exchange lets none be turned around."""
    bought = (action.quantity or ZERO) * part * (1 if action.side is Side.BUY else -1)
    return [
        replace(row, quantity=row.quantity - bought if row.side is SHORT else row.quantity + bought)
        if (row.symbol, row.side) == (action.symbol, action.leg)
        else row
        for row in legs
    ]


@OFTEN
@given(SNAPSHOTS, SNAPSHOTS, BELIEFS, ENFORCING, st.sampled_from(["0", "0.3", "0.5", "1"]).map(Decimal))
def test_closing_never_makes_a_position_larger_or_turns_it_around(
    snapshot: AccountSnapshot, later: AccountSnapshot, expected: ExpectedState, policy: Policy, part: Decimal
) -> None:
    proposal = proposed(snapshot, expected, unlimited(policy))
    closing = [action for action in proposal.actions if action.kind is ActionKind.FLATTEN]
    event(f"closes {len(closing)}")
    for action in closing:
        for now in (snapshot, later):
            try:
                sent = fresh_action(action, proposal, now)
            except LookupError:
                continue
            held = {(row.symbol, row.side) for row in now.positions if row.quantity}
            assert (sent.symbol, sent.leg) in held
            assert ZERO < (sent.quantity or ZERO) <= (action.quantity or ZERO)
            for before, after in zip(now.positions, filled(now.positions, sent, part), strict=True):
                assert abs(after.quantity) <= abs(before.quantity)
                assert after.quantity * before.quantity >= 0


@OFTEN
@given(SNAPSHOTS, BELIEFS, ENFORCING, SHARINGS)
def test_what_is_closed_is_of_whole_steps_at_a_bounded_price(
    snapshot: AccountSnapshot, expected: ExpectedState, policy: Policy, sharing: Sharing
) -> None:
    for action in proposed(snapshot, expected, unlimited(policy), sharing).actions:
        if action.kind is not ActionKind.FLATTEN:
            continue
        assert action.quantity is not None
        assert action.quantity % snapshot.steps[action.symbol] == 0
        assert not any(
            row.quantity for row in expected.positions or () if (row.symbol, row.side) == (action.symbol, action.leg)
        ), "nothing is closed that the bot believes in"
        marks = {row.mark_price for row in snapshot.positions if row.symbol == action.symbol}
        mark = snapshot.marks.get(action.symbol)
        if action.price is not None:
            bounds = [abs(action.price / price - 1) for price in ({mark} if mark else marks) if price]
            assert min(bounds) <= policy.remedies.max_slippage


@OFTEN
@given(SNAPSHOTS, BELIEFS, POLICIES, SHARINGS)
def test_nothing_is_done_about_what_is_not_confirmed(
    snapshot: AccountSnapshot, expected: ExpectedState, policy: Policy, sharing: Sharing
) -> None:
    assert proposed(snapshot, expected, policy, sharing, confirmed=False) == Proposal()


@OFTEN
@given(SNAPSHOTS, BELIEFS, POLICIES, SHARINGS)
def test_nothing_is_done_on_the_exchange_but_in_enforce(
    snapshot: AccountSnapshot, expected: ExpectedState, policy: Policy, sharing: Sharing
) -> None:
    proposal = proposed(snapshot, expected, unlimited(policy), sharing)
    event(f"{policy.mode}: {len(proposal.actions)} actions")
    assert policy.mode is Mode.ENFORCE or not on_exchange(proposal)
    assert policy.mode is not Mode.OBSERVE or proposal == Proposal()


@OFTEN
@given(SNAPSHOTS, BELIEFS, POLICIES, SHARINGS)
def test_a_foreign_order_is_never_cancelled_and_never_adopted(
    snapshot: AccountSnapshot, expected: ExpectedState, policy: Policy, sharing: Sharing
) -> None:
    tracked = {row.id for row in expected.orders or ()} | {row.client_id for row in expected.orders or ()} - {""}
    own = policy.order_id_prefix
    named = tuple(prefix for prefix in (own, *policy.remedies.prefixes) if prefix)
    for action in proposed(snapshot, expected, unlimited(policy), sharing).actions:
        if action.kind is ActionKind.CANCEL:
            assert action.client_id.startswith(named)
            assert sharing is ALONE or not action.client_id.startswith("bot_b")
            assert any(row.id == action.order_id and row.client_id == action.client_id for row in snapshot.orders)
        for repair in action.repairs:
            known = repair.order_id in tracked or repair.client_id in tracked
            mine = bool(own) and repair.client_id.startswith(own)
            assert not repair.order_id or known or mine
            assert not repair.order_id or known or sharing is ALONE or not repair.client_id.startswith("bot_b")


@OFTEN
@given(SNAPSHOTS, BELIEFS, POLICIES, SHARINGS)
def test_it_is_all_that_is_due_or_nothing(
    snapshot: AccountSnapshot, expected: ExpectedState, policy: Policy, sharing: Sharing
) -> None:
    proposal = proposed(snapshot, expected, policy, sharing)
    whole = proposed(snapshot, expected, unlimited(policy), sharing)
    event("refused" if proposal.refusal else f"{min(len(proposal.actions), 2)} actions")
    if proposal.refusal:
        assert (proposal.actions, bool(proposal.refused)) == ((), True)
    else:
        assert proposal == whole
    assert bool(proposal.actions or proposal.refusal) >= bool(whole.actions)


@OFTEN
@given(SNAPSHOTS, BELIEFS, ENFORCING, SHARINGS)
def test_one_finding_has_one_remedy_and_what_follows_a_close_stands_behind_it(
    snapshot: AccountSnapshot, expected: ExpectedState, policy: Policy, sharing: Sharing
) -> None:
    proposal = proposed(snapshot, expected, unlimited(policy), sharing)
    cured = {key for action in on_exchange(proposal) for key in action.findings}
    repaired = [key for action in proposal.actions if action.repairs for key in action.findings]
    assert cured.isdisjoint(repaired)
    keys = [action.key for action in proposal.actions if not action.conditional]
    assert len(keys) == len(set(keys))
    for index, action in enumerate(proposal.actions):
        if action.after is not None:
            first = proposal.actions[action.after]
            assert action.after < index
            assert (first.kind, first.symbol) == (ActionKind.FLATTEN, action.symbol)


@OFTEN
@given(SNAPSHOTS, BELIEFS, ENFORCING, SHARINGS)
def test_everything_is_never_done_alone(
    snapshot: AccountSnapshot, expected: ExpectedState, policy: Policy, sharing: Sharing
) -> None:
    proposal = proposed(snapshot, expected, unlimited(policy), sharing)
    gone = {(row.symbol, row.order_id, row.conditional) for row in proposal.actions if row.kind is ActionKind.CANCEL}
    event(f"cancels {len(gone)}")
    if not gone:
        return
    left = {(row.symbol, row.id, row.conditional) for row in snapshot.orders} - gone
    assert left or proposal.approval


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([1_000, 600_000, 1_800_000, HOUR_MS]),
            st.lists(ORDERS, min_size=1, max_size=3, unique_by=lambda row: (row.symbol, row.ref)),
            st.sampled_from(sorted(SETTLED | {IntentState.SENDING, IntentState.UNKNOWN})),
        ),
        max_size=12,
    ),
    limits=LIMITS,
)
def test_limits_hold_over_any_hour(steps: list[tuple[int, list[Order], IntentState]], limits: Limits) -> None:
    """Each proposal is carried out at once, whoever approves it, and with whatever comes of it."""
    remedies = Remedies(orders=UnexpectedOrders.CANCEL, prefixes=("web_",), limits=limits)
    policy = Policy(mode=Mode.ENFORCE, order_id_prefix="bot_", remedies=remedies)
    plans: list[Plan] = []
    sent: list[tuple[int, Decimal]] = []
    times = accumulate((gap for gap, _, _ in steps), initial=NOW)
    for now, (_, orders, state) in zip(list(times)[1:], steps, strict=True):
        priced = tuple(replace(row, price=Decimal(100)) for row in orders)
        snapshot = AccountSnapshot(now, orders=priced)
        expected = ExpectedState(now, positions=(), orders=())
        proposal = proposed(snapshot, expected, policy, done=past(plans, now), now_ms=now)
        if not proposal.actions:
            continue
        sent += [(now, action.notional) for action in proposal.actions]
        intents = tuple(Intent(state, timestamp=now, at=now) for _ in proposal.actions)
        plans.append(Plan(f"p{now}", proposal.actions, now, now, intents=intents))
    for end, _ in sent:
        hour = [notional for at, notional in sent if end - HOUR_MS < at <= end]
        assert len(hour) <= limits.actions_per_hour
        assert limits.notional_per_hour is None or sum(hour) <= limits.notional_per_hour
        assert limits.notional_per_action is None or max(hour) <= limits.notional_per_action

"""No slice is closed without the fills that prove it, whatever a ledger and an exchange come up with."""

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.rows import BTC, NOW

from accountsync.domain.account import Fill, PositionSide, Side
from accountsync.domain.attribution import stem
from accountsync.domain.backfill import Judgement, backfill
from accountsync.domain.ledger import Attribution, Evidence, Slice, SliceSide
from accountsync.domain.policy import Parity

GRACE = 10
TRADES = ["t1", "t2", "t3", "t4"]
TAGS = ["", "x", "y"]
QUANTITIES = st.sampled_from([Decimal(text) for text in ("0.5", "1", "1", "1.5", "2")])
CLIENT_IDS = ["", "e-t1", "e-t1-exit", "e-t2-exit", "t3_close2", "e-shared-x", "foreign-exit", "e-t2-e-t1"]

terms = st.builds(
    Parity,
    require_attribution=st.booleans(),
    strong_only=st.booleans(),
    heuristics=st.booleans(),
    fill_grace_ms=st.just(GRACE),
)
slices = st.lists(
    st.builds(
        Slice,
        trade_id=st.sampled_from(TRADES),
        symbol=st.just(BTC),
        side=st.sampled_from([SliceSide.LONG, SliceSide.LONG, SliceSide.SHORT]),
        quantity=QUANTITIES,
        opened=st.integers(NOW - 30, NOW),
        sub_tag=st.sampled_from(TAGS),
        entry_client_id=st.sampled_from(["", "e-t1", "e-t2", "e-shared"]),
    ),
    unique_by=lambda each: each.trade_id,
    max_size=4,
)
fills = st.builds(
    Fill,
    id=st.sampled_from([f"f{number}" for number in range(12)]),
    order_id=st.just("1"),
    symbol=st.just(BTC),
    side=st.sampled_from([Side.SELL, Side.SELL, Side.BUY]),
    leg=st.sampled_from(PositionSide),
    quantity=QUANTITIES,
    price=st.sampled_from([Decimal(90), Decimal(110)]),
    time=st.integers(NOW - 50, NOW + 5),
)
rows = st.lists(
    st.builds(
        Evidence,
        fill=fills,
        client_id=st.sampled_from(CLIENT_IDS),
        trade_id=st.sampled_from(["", "", *TRADES, "gone"]),
        sub_tag=st.sampled_from([*TAGS, "gone"]),
        used=st.sampled_from([False, False, False, True]),
    ),
    unique_by=lambda row: row.fill.id,
    max_size=8,
)


def may_prove(each: Slice, row: Evidence, how: Attribution, policy: Parity) -> bool:
    """A plain second reckoning of whether this fill is one of `each`, at least as surely as `how`."""
    right = row.fill.side is each.side.exit and row.fill.leg.value in {"net", each.side.value}
    timely = row.fill.time >= each.opened - policy.fill_grace_ms
    if row.used or not right or not timely:
        return False
    if row.trade_id:
        return row.trade_id == each.trade_id
    if stem(row.client_id) and stem(row.client_id) in {each.trade_id, each.entry_client_id}:
        return True
    if row.sub_tag:
        return row.sub_tag == each.sub_tag
    return not how.strong and policy.heuristics and not policy.strong_only


@settings(max_examples=250)
@given(slices, rows, terms)
def test_a_slice_is_closed_only_by_fills_that_are_its_own_and_add_up(
    open_: list[Slice], told: list[Evidence], policy: Parity
) -> None:
    judgement = backfill("grid", open_, told, policy)
    known = {row.fill.id: row for row in told}
    spent = [fill.id for each in judgement.exits for fill in each.fills]
    assert len(spent) == len(set(spent)), "a fill was used twice"
    for exit_ in judgement.exits:
        assert exit_.slice in open_
        assert sum(fill.quantity for fill in exit_.fills) == exit_.slice.quantity
        assert exit_.at == max(fill.time for fill in exit_.fills)
        assert exit_.slice.sub_tag or not policy.require_attribution
        assert exit_.attribution.strong or (policy.heuristics and not policy.strong_only)
        for fill in exit_.fills:
            assert fill == known[fill.id].fill
            assert may_prove(exit_.slice, known[fill.id], exit_.attribution, policy)
    closed = {each.slice.trade_id for each in judgement.exits}
    assert closed.isdisjoint(judgement.no_go)
    assert closed | judgement.no_go.keys() == {each.trade_id for each in open_}


@settings(max_examples=200)
@given(slices, rows, terms, st.randoms(use_true_random=False))
def test_the_order_of_slices_and_fills_does_not_matter(
    open_: list[Slice], told: list[Evidence], policy: Parity, dice: random.Random
) -> None:
    mixed = backfill("grid", dice.sample(open_, len(open_)), dice.sample(told, len(told)), policy)
    assert mixed == backfill("grid", open_, told, policy)


@settings(max_examples=200)
@given(slices, rows, terms, fills, st.sampled_from(["", *TRADES]), st.sampled_from(TAGS))
def test_a_fill_from_before_all_slices_never_matters(
    open_: list[Slice], told: list[Evidence], policy: Parity, fill: Fill, trade: str, tag: str
) -> None:
    old = replace(fill, id="old", time=min([each.opened for each in open_], default=NOW) - GRACE - 1)
    ancient = Evidence(old, trade_id=trade, sub_tag=tag)
    assert backfill("grid", open_, [*told, ancient], policy).exits == backfill("grid", open_, told, policy).exits


@settings(max_examples=200)
@given(slices, rows, terms, st.booleans())
def test_once_it_is_applied_there_is_no_more_to_do(
    open_: list[Slice], told: list[Evidence], policy: Parity, shared: bool
) -> None:
    judgement = backfill("grid", open_, told, policy, shared=shared)
    left, rest = applied(judgement, open_, told)
    assert backfill("grid", left, rest, policy, shared=shared).exits == ()


@settings(max_examples=100)
@given(slices, rows, terms)
def test_fewer_gates_close_no_less_and_unknown_fills_close_nothing(
    open_: list[Slice], told: list[Evidence], policy: Parity
) -> None:
    strict = {each.slice.trade_id for each in backfill("grid", open_, told, Parity(fill_grace_ms=GRACE)).exits}
    loose = {each.slice.trade_id for each in backfill("grid", open_, told, policy).exits}
    assert strict <= loose
    assert not backfill("grid", open_, None, policy).exits


@settings(max_examples=100)
@given(slices, rows)
def test_a_slice_that_its_own_fills_close_is_closed(open_: list[Slice], told: list[Evidence]) -> None:
    assume(open_)
    each, policy = open_[0], Parity(require_attribution=False, fill_grace_ms=GRACE)
    others = [row for row in told if row.trade_id != each.trade_id and row.sub_tag != each.sub_tag]
    others = [row for row in others if stem(row.client_id) not in {each.trade_id, each.entry_client_id} - {""}]
    fill = Fill("own", "2", BTC, each.side.exit, PositionSide.NET, each.quantity, Decimal(100), each.opened)
    judgement = backfill("grid", open_, [*others, Evidence(fill, trade_id=each.trade_id)], policy)
    assert each in [exit_.slice for exit_ in judgement.exits]


def applied(
    judgement: Judgement, open_: Sequence[Slice], told: Sequence[Evidence]
) -> tuple[list[Slice], list[Evidence]]:
    closed = {each.slice.trade_id for each in judgement.exits}
    spent = {fill.id for each in judgement.exits for fill in each.fills}
    entries = {each.entry_client_id for each in open_} - {""}  # of which the ledger has rows, also once they are over
    return (
        [each for each in open_ if each.trade_id not in closed],
        [replace(row, used=row.used or row.fill.id in spent) for row in told if row.client_id not in entries],
    )

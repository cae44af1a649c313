"""A full reset: what it cancels and closes, what it never touches, and what is said of it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.support.proposing import POLICY, STEPS, leg, own
from tests.support.rows import BTC, ETH, NOW, account, belief, believed, order
from tests.unit.domain.test_propose_properties import (
    BELIEFS,
    CLEAN,
    ENFORCING,
    LONG,
    OFTEN,
    SHARED,
    SHARINGS,
    SHORT,
    SNAPSHOTS,
    filled,
    unlimited,
)

from accountsync.domain.account import AccountSnapshot, Order, Position, Side
from accountsync.domain.cancel import closing_side
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.finding import ZERO
from accountsync.domain.fresh import fresh_action
from accountsync.domain.intents import Intent, IntentState
from accountsync.domain.past import Past
from accountsync.domain.plan import Action, ActionKind, Phase, Plan, Proposal
from accountsync.domain.policy import Limits, Mode, Policy
from accountsync.domain.reset import SHARED as POSITIONS_STAY
from accountsync.domain.reset import Sight, due, reset_key, reset_name
from accountsync.domain.sharing import ALONE, Sharing
from accountsync.domain.standing import ACTED, OVER, Asked, Stage, Standing, lost, standing

ASKED = "20261121T120000Z-abcdef"
FLATTEN, CANCEL = ActionKind.FLATTEN, ActionKind.CANCEL


def sight(*rows: Order | Position, known: ExpectedState | None = None, **fields: Any) -> Sight:
    """An account of these rows, read whole."""
    policy = fields.pop("policy", POLICY)
    sharing = fields.pop("sharing", ALONE)
    return Sight(account(*rows, **({"steps": STEPS} | fields)), known, policy, sharing)


def of(there: Sight, **options: Any) -> Proposal:
    return due(ASKED, there, options.pop("past", CLEAN), now_ms=NOW, **options)


def steps(proposal: Proposal) -> list[tuple[str, int | None]]:
    return [(action.title, action.after) for action in proposal.actions]


def plan_of(proposal: Proposal, *states: IntentState, **fields: Any) -> Plan:
    intents = tuple(Intent(state) for state in states) or tuple(Intent() for _ in proposal.actions)
    return Plan("p", proposal.actions, NOW, NOW + 900_000, intents=intents, **fields)


# --- what it does ----------------------------------------------------------------------------------------------------


def test_entries_go_first_then_each_position_and_then_what_guarded_it() -> None:
    stop = own("3", side=Side.SELL, reduce_only=True, conditional=True, trigger_price=Decimal(90))
    foreign = order("4", client_id="web_4")
    there = sight(own("1"), stop, foreign, leg("0.5"), leg("-2", symbol=ETH))
    proposal = of(there)
    assert steps(proposal) == [
        (f"cancel order 1 of {BTC}", None),
        (f"flatten {BTC} net", None),
        (f"cancel order 3 of {BTC}", 1),
        (f"flatten {ETH} net", None),
    ]
    assert "everything of the bot's" in proposal.approval
    assert {action.reset for action in proposal.actions} == {ASKED}


def test_it_needs_no_belief_where_orders_bear_a_prefix_and_without_one_it_needs_it() -> None:
    mine, theirs = order("1"), order("2")
    bare = replace(POLICY, order_id_prefix="")
    assert of(sight(own("1"), policy=POLICY)).actions
    assert "the bot's belief is not known" in of(sight(mine, theirs, policy=bare)).refusal
    (only,) = of(sight(mine, theirs, policy=bare, known=belief(believed(mine)))).actions
    assert only.order_id == "1"


def test_where_others_trade_it_cancels_its_own_and_closes_nothing() -> None:
    there = sight(own("1"), own("b2"), leg("0.5"), sharing=SHARED)
    proposal = of(there)
    assert steps(proposal) == [(f"cancel order 1 of {BTC}", None)]
    assert POSITIONS_STAY in proposal.approval
    unknown = Sharing((replace(SHARED.siblings[0], belief=None),))
    assert "another bot" in of(sight(own("1"), sharing=unknown)).refusal


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (sight(leg("1", mark_price=None)), "no mark price"),
        (sight(leg("1"), steps={}), "quantity step is not known"),
        (sight(leg("1"), leg("2")), "listed twice"),
    ],
)
def test_what_it_can_not_close_it_names_and_then_it_does_nothing(there: Sight, why: str) -> None:
    proposal = of(there)
    assert why in proposal.refusal
    assert proposal.actions == ()


def test_a_limit_that_it_would_break_is_named() -> None:
    tight = replace(POLICY, remedies=replace(POLICY.remedies, limits=Limits(2)))
    assert "limits.actionsPerHour is 2: 1 were sent within the hour, and 2 more are due" in (
        of(sight(own("1"), own("2"), policy=tight), past=Past(left=((NOW, ZERO),))).refusal
    )
    small = replace(POLICY, remedies=replace(POLICY.remedies, limits=Limits(9, Decimal(10))))
    assert "limits.notionalPerAction is 10" in of(sight(leg("1"), policy=small)).refusal


def test_more_than_one_plan_holds_is_left_for_the_next_reset() -> None:
    wide = replace(POLICY, remedies=replace(POLICY.remedies, limits=Limits(100)))
    proposal = of(sight(*(own(str(number)) for number in range(60)), policy=wide))
    assert len(proposal.actions) == 50
    assert "the first 50 of 60" in proposal.approval


def test_its_plan_is_named_by_the_reset_alone() -> None:
    assert reset_name("grid", "uid", ASKED) == reset_name("grid", "uid", ASKED)
    assert len({reset_name("grid", uid, asked) for uid in ("u", "v") for asked in (ASKED, "other")}) == 4
    assert reset_name("grid", "uid", ASKED).rpartition("-")[0] == "grid"


@OFTEN
@given(SNAPSHOTS, SNAPSHOTS, BELIEFS | st.none(), ENFORCING, SHARINGS, st.sampled_from(["0.3", "1"]).map(Decimal))
def test_whatever_there_is_it_waits_for_a_person_leaves_what_is_foreign_and_adds_no_exposure(
    snapshot: AccountSnapshot,
    later: AccountSnapshot,
    known: ExpectedState | None,
    policy: Policy,
    sharing: Sharing,
    part: Decimal,
) -> None:
    policy = unlimited(policy)
    proposal = due(ASKED, Sight(snapshot, known, policy, sharing), CLEAN, now_ms=NOW)
    event(f"{len(proposal.actions)} actions")
    assert bool(proposal.approval) is bool(proposal.actions)
    assert not (proposal.refusal and proposal.actions)
    now = due(ASKED, Sight(later, known, policy, sharing), CLEAN, now_ms=NOW)
    for action in proposal.actions:
        assert action.reset == ASKED
        if action.kind is CANCEL:
            _require_own(action, snapshot, policy, sharing)
        for fresh, read in ((proposal, snapshot), (now, later)):
            try:
                sent = fresh_action(action, fresh, read)
            except LookupError:
                continue
            if sent.kind is CANCEL:
                _require_own(sent, read, policy, sharing)
                continue
            assert not sharing.siblings
            assert ZERO < (sent.quantity or ZERO) <= (action.quantity or ZERO)
            for before, after in zip(read.positions, filled(read.positions, sent, part), strict=True):
                assert abs(after.quantity) <= abs(before.quantity)
                assert after.quantity * before.quantity >= 0


def _require_own(action: Action, snapshot: AccountSnapshot, policy: Policy, sharing: Sharing) -> None:
    rows = [row for row in snapshot.orders if (row.symbol, row.id) == (action.symbol, action.order_id)]
    mine = [row for row in rows if row.client_id.startswith(policy.order_id_prefix)]
    assert mine, "an order that is there, and the bot's"
    assert any(sharing.owner(row.client_id, policy.order_id_prefix) is None for row in mine)


@OFTEN
@given(SNAPSHOTS, BELIEFS, ENFORCING)
def test_a_hedged_leg_is_closed_on_its_own_side(
    snapshot: AccountSnapshot, known: ExpectedState, policy: Policy
) -> None:
    for action in due(ASKED, Sight(snapshot, known, unlimited(policy)), CLEAN, now_ms=NOW).actions:
        if action.kind is FLATTEN:
            (row,) = [row for row in snapshot.positions if (row.symbol, row.side) == (action.symbol, action.leg)]
            assert action.side is closing_side(row)
            assert action.side is {LONG: Side.SELL, SHORT: Side.BUY}.get(row.side, action.side)


# --- whether a plan of it goes on ------------------------------------------------------------------------------------


def test_what_is_gone_by_itself_keeps_nothing_else_from_being_done() -> None:
    planned = of(sight(own("1"), own("2"), leg("1")))
    now = sight(own("2"), leg("0.4"))
    fresh = of(now, only=[action.key for action in planned.actions])
    with pytest.raises(LookupError, match="not called for any more"):
        fresh_action(planned.actions[0], fresh, now.snapshot)
    assert fresh_action(planned.actions[1], fresh, now.snapshot) == planned.actions[1]
    assert fresh_action(planned.actions[2], fresh, now.snapshot).quantity == Decimal("0.4")
    left = {action.key: action for action in planned.actions}
    assert not lost(plan_of(planned), Asked(ASKED), fresh, left, held=True)


def test_a_position_that_turned_around_is_not_closed_by_the_old_plan() -> None:
    planned = of(sight(leg("1")))
    turned = sight(leg("-1"))
    fresh = of(turned, only=[action.key for action in planned.actions])
    with pytest.raises(LookupError, match="other side"):
        fresh_action(planned.actions[0], fresh, turned.snapshot)


@pytest.mark.parametrize(
    ("asked", "held", "there", "why"),
    [
        ("", True, (own("1"),), "abandoned"),
        ("another", True, (own("1"),), "another one was asked for"),
        (ASKED, False, (own("1"),), "spec.paused is not true"),
        (ASKED, True, (), "nothing that it was for"),
        (ASKED, True, (own("1"), own("2")), ""),
    ],
)
def test_a_plan_goes_on_while_it_is_asked_for_and_the_bot_is_paused(
    asked: str, held: bool, there: tuple[Order, ...], why: str
) -> None:
    plan = plan_of(of(sight(own("1"))))
    left = {action.key: action for action in plan.actions}
    said = lost(plan, Asked(asked), of(sight(*there), only=left.keys()), left, held=held)
    assert why in said if why else not said


def test_an_order_that_came_after_the_plan_counts_for_no_limit_of_it() -> None:
    tight = replace(POLICY, remedies=replace(POLICY.remedies, limits=Limits(1)))
    planned = of(sight(own("1"), policy=tight))
    fresh = of(sight(own("1"), own("2"), policy=tight), only=[planned.actions[0].key])
    assert not fresh.refusal
    assert [action.order_id for action in fresh.actions] == ["1"]


# --- what is said of it ----------------------------------------------------------------------------------------------


def said(there: Sight | None, *plans: Plan, before: Standing | None = None, **fields: Any) -> Standing:
    policy = fields.pop("policy", POLICY)
    held, known = fields.pop("held", True), fields.pop("known", True)
    asked = Asked(ASKED, acted=before is not None and before.stage in ACTED)
    proposal = Proposal() if there is None else of(there)
    return standing(asked, plans if known else None, there, policy, proposal, held=held)


CLEAR = belief()
MISTAKEN = belief(ExpectedPosition(BTC, leg("1").side, Decimal(1)))
DONE = plan_of(of(sight(own("1"))), IntentState.DONE, phase=Phase.DONE, executed=NOW - 1)


@pytest.mark.parametrize(
    ("there", "plans", "fields", "stage"),
    [
        (sight(own("1")), (), {}, Stage.DUE),
        (sight(leg("1"), steps={}), (), {}, Stage.REFUSED),
        (sight(own("1")), (), {"held": False}, Stage.WAITING),
        (sight(own("1")), (), {"known": False}, Stage.WAITING),
        (None, (), {}, Stage.WAITING),
        (sight(own("1")), (), {"policy": replace(POLICY, mode=Mode.PAUSE)}, Stage.REFUSED),
        (
            sight(own("1")),
            (),
            {"policy": replace(POLICY, remedies=replace(POLICY.remedies, dry_run=True))},
            Stage.REFUSED,
        ),
        (sight(own("1")), (plan_of(of(sight(own("1")))),), {}, Stage.PLANNED),
        (sight(own("1")), (DONE,), {}, Stage.LEFT),
        (sight(known=MISTAKEN), (DONE,), {}, Stage.FLAT),
        (sight(known=None), (DONE,), {}, Stage.FLAT),
        (sight(known=CLEAR), (DONE,), {}, Stage.CLEAN),
        (sight(known=CLEAR), (replace(DONE, executed=NOW),), {}, Stage.WAITING),
        (sight(order("9"), known=CLEAR), (), {}, Stage.CLEAN),
        (sight(leg("0.004"), known=CLEAR), (), {}, Stage.CLEAN),
        (sight(leg("1"), known=CLEAR, sharing=SHARED), (), {}, Stage.CLEAN),
    ],
)
def test_where_it_stands(there: Sight | None, plans: tuple[Plan, ...], fields: dict[str, Any], stage: Stage) -> None:
    assert said(there, *plans, **fields).stage is stage


def test_a_reset_of_which_it_was_said_that_all_is_gone_gets_no_plan_any_more() -> None:
    flat = said(sight(known=CLEAR))
    assert flat.stage is Stage.CLEAN
    assert said(sight(own("1"), known=CLEAR), before=flat).stage is Stage.LEFT


@pytest.mark.parametrize("unread", [{"there": None}, {"there": sight(known=CLEAR), "known": False}])
def test_what_was_not_read_in_this_cycle_is_not_said_to_be_clean_and_still_gets_no_plan(unread: dict[str, Any]) -> None:
    flat = said(sight(known=CLEAR))
    dark = said(unread["there"], before=flat, **{key: unread[key] for key in unread if key != "there"})
    assert dark.stage is Stage.UNREAD
    assert dark.stage not in OVER
    restored = Standing.of(dark.stage, dark.message)
    assert said(sight(own("1"), known=CLEAR), before=restored).stage is Stage.LEFT, "and not Due"


def test_a_residue_below_the_step_that_the_bot_believes_in_keeps_nothing_from_being_clean() -> None:
    residue = belief(ExpectedPosition(BTC, leg("1").side, Decimal("-0.0004")))
    assert said(sight(leg("-0.0004"), known=residue), DONE).stage is Stage.CLEAN
    assert said(sight(known=residue, steps={}), DONE).stage is Stage.FLAT, "a step that is not known hides nothing"


def test_what_the_condition_says_is_read_back_as_it_was() -> None:
    flat = said(sight(known=MISTAKEN))
    assert "still believes in 0 open orders and 1 position" in flat.text
    assert Standing.of(flat.stage, flat.message) == flat
    assert Standing.of("Odd", flat.message) is None
    assert Standing.of("Clean", "no id") is None


def test_the_key_of_a_reset_is_none_of_a_finding() -> None:
    assert reset_key(ASKED).partition("|")[0] == "Reset"
    assert Action(CANCEL, findings=(reset_key(ASKED), "UnexpectedOrder|a|b")).reset == ASKED
    assert Action(CANCEL, findings=("UnexpectedOrder|a|b",)).reset == ""

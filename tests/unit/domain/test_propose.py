"""What is proposed about confirmed findings: which actions, who has to agree, and why nothing may be done."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.proposing import NOTHING, POLICY, known, leg, others, own, proposed
from tests.support.rows import BTC, ETH, NOW, account, belief, believed, fill, order

from accountsync.domain.account import AccountSnapshot, OrderStatus, Part, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.detect import detect
from accountsync.domain.expected import ExpectedPosition
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Finding
from accountsync.domain.holds import fingerprint
from accountsync.domain.past import HOUR_MS, Past
from accountsync.domain.plan import ActionKind, Proposal
from accountsync.domain.policy import (
    FlattenBy,
    Ignore,
    Limits,
    Mode,
    Policy,
    Threshold,
    UnexpectedOrders,
    UnexpectedPositions,
)
from accountsync.domain.propose import MOST_ACTIONS, still_wanted
from accountsync.domain.sharing import Sharing, Sibling

NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
NOTHING_DONE = Proposal()
HELD = leg("2.005")
STRAY = others(own("1"))
OPEN = others(HELD)


def remedying(policy: Policy = POLICY, **fields: Any) -> Policy:
    return replace(policy, remedies=replace(policy.remedies, **fields))


def limited(**fields: Any) -> Policy:
    return remedying(limits=Limits(**fields))


def flattened(snapshot: AccountSnapshot = OPEN, policy: Policy = POLICY, **fields: Any) -> Proposal:
    """What is proposed where all fills of the first position are known."""
    return proposed(snapshot, policy=policy, **({"fills": known(snapshot.positions[0])} | fields))


def kinds(proposal: Proposal) -> list[str]:
    return [action.key for action in proposal.actions]


# --- whether ---------------------------------------------------------------------------------------------------------


def test_an_unexpected_order_of_the_bot_is_cancelled() -> None:
    found = proposed(STRAY)
    (action,) = found.actions
    assert (action.kind, action.symbol, action.order_id, action.client_id) == (ActionKind.CANCEL, BTC, "1", "bot_1")
    assert (action.notional, action.conditional, action.after) == (Decimal(200), False, None)
    assert action.findings == found.findings == (f"UnexpectedOrder|{BTC}|1",)
    assert (found.approval, found.refusal) == ("", "")


def test_a_position_that_nobody_believes_in_is_closed() -> None:
    found = flattened()
    (action,) = found.actions
    assert (action.kind, action.symbol, action.leg, action.side) == (ActionKind.FLATTEN, BTC, NET, Side.SELL)
    assert (action.quantity, action.price, action.notional) == (Decimal("2.00"), Decimal("99.5"), Decimal(200))
    assert (found.approval, found.refusal) == ("", "")
    assert found.residue == (f"0.005 of the net position of {BTC} is below the step of 0.01",)


def test_nothing_is_proposed_about_what_is_not_confirmed() -> None:
    for snapshot in (STRAY, OPEN):
        assert flattened(snapshot, confirmed=False, writable=True) == NOTHING_DONE


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.PAUSE])
def test_nothing_is_done_on_the_exchange_but_in_enforce(mode: Mode) -> None:
    for snapshot in (STRAY, OPEN):
        assert flattened(snapshot, replace(POLICY, mode=mode)) == NOTHING_DONE


def test_nothing_is_done_that_the_policy_does_not_name() -> None:
    policy = remedying(orders=UnexpectedOrders.NEVER, positions=UnexpectedPositions.NEVER)
    for snapshot in (STRAY, OPEN):
        assert flattened(snapshot, policy) == NOTHING_DONE


@pytest.mark.parametrize("part", Part)
def test_nothing_is_proposed_on_a_snapshot_that_lacks_a_part(part: Part) -> None:
    found = proposed(others(own("1")))
    assert found.actions
    lacking = others(own("1"), missing=frozenset({part}))
    assert proposed(lacking, writable=True) == NOTHING_DONE


def test_plan_asks_a_person() -> None:
    policy = remedying(orders=UnexpectedOrders.PLAN, positions=UnexpectedPositions.PLAN)
    assert proposed(STRAY, policy=policy).approval == "spec.remediation.unexpectedOrders is Plan"
    assert flattened(policy=policy).approval == "spec.remediation.unexpectedPositions is Plan"
    assert kinds(flattened(policy=policy)) == [f"Flatten|{BTC}|net"]


@pytest.mark.parametrize(
    ("threshold", "due"),
    [
        (Threshold(count=2, notional=Decimal(200), age=60), True),
        (Threshold(count=3), False),
        (Threshold(notional=Decimal("200.01")), False),
        (Threshold(age=60.001), False),
    ],
)
def test_a_finding_has_to_reach_every_threshold_of_its_rule(threshold: Threshold, due: bool) -> None:
    policy = remedying(thresholds={Rule.UNEXPECTED_ORDER: threshold})
    assert bool(proposed(STRAY, policy=policy).actions) is due
    assert flattened(policy=policy).actions, "another rule has thresholds of its own"


def test_what_a_person_resumed_over_is_left_alone_until_it_grew_by_a_quarter() -> None:
    key = fingerprint(f"UnexpectedOrder|{BTC}|1")
    assert proposed(STRAY, acknowledged={key: Decimal(160)}) == NOTHING_DONE
    assert proposed(STRAY, acknowledged={key: Decimal("159.9")}).actions


def test_what_the_resource_ignores_is_left_alone_as_long_as_it_does() -> None:
    for until, due in ((NOW + 1, False), (NOW, True)):
        policy = replace(POLICY, ignores=(Ignore(Rule.UNEXPECTED_ORDER, until),))
        assert bool(proposed(STRAY, policy=policy).actions) is due


# --- cancelling ------------------------------------------------------------------------------------------------------


def test_an_order_of_somebody_else_is_never_cancelled() -> None:
    assert proposed(others(order("1", client_id="web_1"), order("2", client_id=""))) == NOTHING_DONE
    assert proposed(STRAY, policy=replace(POLICY, order_id_prefix="")) == NOTHING_DONE


def test_an_order_of_a_prefix_that_people_named_is_cancelled() -> None:
    snapshot = others(order("1", client_id="web_1"), order("2", client_id="app_2"))
    assert kinds(proposed(snapshot, policy=remedying(prefixes=("web_",)))) == [f"Cancel|{BTC}|1"]


def test_an_order_of_a_sibling_is_never_cancelled_even_where_its_prefix_is_named() -> None:
    sharing = Sharing((Sibling("other", "bot_b", NOTHING),))
    policy = remedying(prefixes=("bot_",))
    snapshot = others(own("1", client_id="bot_b1"), own("2", client_id="bot_2"))
    assert kinds(proposed(snapshot, policy=policy, sharing=sharing)) == [f"Cancel|{BTC}|2"]


def test_an_order_that_a_sibling_tracks_or_may_track_is_not_cancelled() -> None:
    sighted = proposed(STRAY, sharing=Sharing((Sibling("other", "x_", NOTHING),)))
    assert kinds(sighted) == [f"Cancel|{BTC}|1"]
    found = proposed(STRAY, sharing=Sharing((Sibling("other", "x_", belief(believed(own("1")))),)))
    assert found == NOTHING_DONE


def test_what_was_found_before_a_sibling_came_is_its_own_to_judge() -> None:
    found = [Finding(Rule.UNEXPECTED_ORDER, BTC, "1")]
    theirs = Sharing((Sibling("other", "bot_b", NOTHING),))
    unknown = Sharing((Sibling("other", "x_", None),))
    named = remedying(prefixes=("bot_",))
    for policy in (POLICY, named):
        assert proposed(others(own("1", client_id="bot_b1")), policy=policy, found=found).actions
        assert proposed(others(own("1", client_id="bot_b1")), policy=policy, found=found, sharing=theirs) == Proposal()
        assert proposed(STRAY, policy=policy, found=found, sharing=unknown) == Proposal()
        tracking = Sharing((Sibling("other", "x_", belief(believed(own("1")))),))
        assert proposed(STRAY, policy=policy, found=found, sharing=tracking) == Proposal()
        assert proposed(STRAY, policy=policy, found=found, sharing=Sharing((Sibling("o", "x_", NOTHING),))).actions


def test_an_order_that_left_or_is_tracked_by_now_is_not_cancelled() -> None:
    found = detect(STRAY, NOTHING, POLICY).findings
    assert proposed(STRAY, found=found).actions
    assert proposed(STRAY, belief(believed(own("1"))), found=found) == NOTHING_DONE
    for now in (others(), others(own("1", status=OrderStatus.CANCELED)), others(own("1"), own("1", price=None))):
        assert proposed(now, found=found) == NOTHING_DONE


def test_a_conditional_order_is_cancelled_too() -> None:
    stop = own("7", conditional=True, price=None, trigger_price=Decimal(90))
    (action,) = proposed(others(stop)).actions
    assert (action.order_id, action.conditional, action.notional) == ("7", True, Decimal(180))
    assert action.findings == (f"UnexpectedOrder|{BTC}|trigger:7",)


@pytest.mark.parametrize(
    ("row", "quantity", "asks"),
    [
        (own("7", side=Side.SELL, reduce_only=True), "2", True),
        (own("7", side=Side.SELL, conditional=True), "2", True),
        (own("7", side=Side.BUY, conditional=True), "-2", True),
        (own("7", side=Side.BUY, conditional=True), "2", False),
        (own("7", side=Side.SELL), "2", False),
        (own("7", side=Side.SELL, reduce_only=True), "0", False),
    ],
)
def test_an_order_that_guards_an_open_position_is_cancelled_only_with_approval(
    row: Any, quantity: str, asks: bool
) -> None:
    held = ExpectedPosition(BTC, NET, Decimal(quantity))
    found = proposed(others(row, leg(quantity)), belief(held))
    assert len(found.actions) == 1
    assert found.approval == (f"order 7 of {BTC} guards an open position" if asks else "")


def test_an_order_without_any_price_is_no_order_of_nothing() -> None:
    snapshot = others(own("1", price=None))
    assert proposed(snapshot).actions, "without a limit nothing has to be known"
    found = proposed(snapshot, policy=limited(notional_per_action=Decimal(9_999)))
    assert (found.actions, found.refused) == ((), (f"UnexpectedOrder|{BTC}|1",))
    assert "there is no price for order 1" in found.refusal
    priced = replace(snapshot, marks={BTC: Decimal(50)})
    assert proposed(priced, policy=limited(notional_per_action=Decimal(9_999))).actions[0].notional == Decimal(100)


# --- closing ---------------------------------------------------------------------------------------------------------


def test_a_position_that_the_bot_believes_in_is_never_closed() -> None:
    for believes in ("1", "-1", "0.01"):
        expected = belief(ExpectedPosition(BTC, NET, Decimal(believes)))
        assert proposed(OPEN, expected, fills=known(HELD)) == NOTHING_DONE


@pytest.mark.parametrize(("row", "side"), [(leg("3", LONG), Side.SELL), (leg("3", SHORT), Side.BUY)])
def test_in_hedge_mode_one_leg_is_closed_by_the_opposite_side(row: Any, side: Side) -> None:
    other = leg("5", SHORT if row.side is LONG else LONG)
    expected = belief(ExpectedPosition(BTC, other.side, Decimal(5)))
    (action,) = proposed(others(row, other), expected).actions
    assert (action.leg, action.side, action.quantity) == (row.side, side, Decimal(3))


def test_a_short_is_bought_back_above_the_mark() -> None:
    (action,) = flattened(others(leg("-2"))).actions
    assert (action.side, action.price, action.notional) == (Side.BUY, Decimal("100.5"), Decimal(201))


def test_a_market_order_has_no_price_and_still_a_notional() -> None:
    (action,) = flattened(policy=remedying(flatten_by=FlattenBy.MARKET)).actions
    assert (action.price, action.notional) == (None, Decimal(200))


def test_the_mark_of_the_snapshot_comes_before_that_of_the_position() -> None:
    (action,) = flattened(others(HELD, marks={BTC: Decimal(200)})).actions
    assert action.price == Decimal(199)


def test_without_a_mark_nothing_is_closed_and_people_are_told_why() -> None:
    found = flattened(others(leg("2", mark_price=None)))
    assert found.refusal == (
        f"the net position of {BTC} can't be closed: there is no mark price of the last minute to take a limit from"
    )
    assert (found.actions, found.refused) == ((), (f"PositionMismatch|{BTC}|net",))


def test_without_a_step_nothing_is_closed_and_people_are_told_why() -> None:
    found = flattened(others(HELD, steps={}))
    assert (found.actions, found.refusal) == (
        (),
        f"the net position of {BTC} can't be closed: its quantity step is not known",
    )


def test_what_is_all_below_the_step_is_no_action() -> None:
    """What was confirmed may have shrunk since, while nobody could judge it."""
    shrunk = others(leg("0.005"))
    assert proposed(shrunk, found=detect(OPEN, NOTHING, POLICY).findings) == Proposal(
        residue=(f"0.005 of the net position of {BTC} is below the step of 0.01",)
    )


def test_two_positions_behind_one_difference_are_not_guessed_about() -> None:
    expected = belief(ExpectedPosition(BTC, NET, Decimal(0)))
    found = proposed(others(leg("3", LONG), leg("1", SHORT)), expected)
    assert (found.actions, found.refusal) == ((), f"{BTC} stands in 2 positions: which to close can't be told")
    alone = proposed(others(leg("3", LONG)), expected)
    assert kinds(alone) == [f"Flatten|{BTC}|long"]


# --- closing alone ---------------------------------------------------------------------------------------------------

UNPROVEN = f"the net position of {BTC} is not proven to be the bot's own: "
FILLS = (fill("1", at=-80_000, bought="-1"), fill("2", at=-70_000, bought="2"), fill("3", at=-60_000, bought="1.005"))
"""From 0 to -1, over it to 1, and to 2.005."""


def asked(log: FillLog | None, **fields: Any) -> str:
    found = flattened(fills=log, **fields)
    assert kinds(found) == [f"Flatten|{BTC}|net"], "it is proposed all the same"
    return found.approval


def test_it_goes_alone_where_every_fill_since_it_was_flat_is_known() -> None:
    assert asked(known(HELD, *FILLS)) == ""
    assert asked(known(HELD, *FILLS[1:])) == "", "those of before are of no account"
    assert asked(known(HELD, *FILLS[2:])) == UNPROVEN + "not all fills since it was flat are known"


def test_without_fills_a_person_is_asked() -> None:
    assert asked(None) == UNPROVEN + "the exchange tells no fills"


def test_fills_that_are_still_to_be_read_or_attributed_are_not_known() -> None:
    log = known(HELD, *FILLS)
    waiting = UNPROVEN + "fills are still to be read or attributed"
    assert asked(log.noticing([BTC], account())) == waiting
    assert asked(replace(log, late={BTC: NOW})) == waiting
    assert asked(replace(log, unread=frozenset({ETH}))) == ""


def test_fills_that_do_not_add_up_to_the_position_prove_nothing() -> None:
    log = known(HELD, *FILLS)
    assert asked(replace(log, proven={})) == UNPROVEN + "its fills do not add up to it"
    old = {(BTC, NET): (NOW - 60_000, Decimal(2))}
    assert asked(replace(log, proven=old)) == UNPROVEN + "its fills do not add up to it"


def test_a_fill_that_was_dealt_with_though_it_was_nobodys_is_not_the_bots() -> None:
    log = known(HELD, *FILLS)
    assert asked(replace(log, foreign=frozenset({(BTC, "3")}))) == UNPROVEN + "a fill was nobody's"
    assert asked(replace(log, foreign=frozenset({(BTC, "1")}))) == "", "it is of before the position"


def test_a_position_that_changed_while_it_was_read_asks_a_person() -> None:
    found = detect(OPEN, NOTHING, POLICY).findings
    busy = others(HELD, unsettled=frozenset({BTC}))
    assert flattened(busy, found=found).approval == f"the net position of {BTC} changed while it was read"


def test_the_fills_of_the_other_leg_say_nothing_of_this_one() -> None:
    row, other = leg("2", LONG), leg("1", SHORT)
    rows = [fill("1", bought="1", leg=LONG), fill("2", at=1, bought="1", leg=SHORT), fill("3", at=2, leg=LONG)]
    expected = belief(ExpectedPosition(BTC, SHORT, Decimal(1)))
    approval = proposed(others(row, other), expected, fills=known(row, *rows)).approval
    assert approval == ""
    lacking = proposed(others(row, other), expected, fills=known(row, *rows[1:])).approval
    assert lacking.endswith("not all fills since it was flat are known")


def test_a_fill_that_nothing_explains_asks_a_person() -> None:
    foreign = FillLog(NOW - 90_000).reading(BTC, [fill("9", at=-70_000, bought="2.005")], account(), 5_000)
    foreign = foreign.recognising([order("1", client_id="web_1")])
    found = proposed(others(replace(HELD, updated=NOW - 70_000)), fills=foreign)
    assert kinds(found) == [f"Flatten|{BTC}|net"]
    assert f"a fill of {BTC} is explained by no order of the bot" in found.approval


def test_with_other_bots_on_the_account_a_person_is_asked() -> None:
    sharing = Sharing((Sibling("other", "x_", NOTHING),))
    assert asked(known(HELD), sharing=sharing) == (
        f"other bots trade on this account: nobody can tell whose the net position of {BTC} is"
    )


def test_what_a_sibling_believes_in_is_not_closed() -> None:
    theirs = belief(ExpectedPosition(BTC, NET, Decimal(1)), ExpectedPosition(ETH, NET, Decimal(1)))
    sharing = Sharing((Sibling("other", "x_", theirs),))
    expected = belief(ExpectedPosition(BTC, NET, Decimal("0.5")))
    assert proposed(OPEN, expected, sharing=sharing) == NOTHING_DONE


def test_without_a_prefix_nothing_proves_whose_a_position_is() -> None:
    text = f"spec.bot.orderIdPrefix is empty: nothing proves whose the net position of {BTC} is"
    assert asked(known(HELD), policy=replace(POLICY, order_id_prefix="")) == text


# --- what a position leaves over -------------------------------------------------------------------------------------

STOP = own("7", side=Side.SELL, conditional=True, price=None, trigger_price=Decimal(90))
TAKE = own("8", side=Side.SELL, reduce_only=True)


def test_what_was_to_close_the_position_is_cancelled_after_it() -> None:
    found = flattened(others(HELD, STOP, TAKE))
    assert kinds(found) == [f"Flatten|{BTC}|net", f"Cancel|{BTC}|8", f"Cancel|{BTC}|7"]
    assert [action.after for action in found.actions] == [None, 0, 0]
    assert found.approval == "", "it guards nothing by then"


def test_a_leftover_needs_no_policy_for_orders_and_no_finding() -> None:
    policy = remedying(orders=UnexpectedOrders.NEVER)
    snapshot = others(HELD, TAKE)
    found = proposed(snapshot, belief(believed(TAKE)), policy, fills=known(HELD))
    assert kinds(found) == [f"Flatten|{BTC}|net", f"Cancel|{BTC}|8"]
    assert found.actions[1].findings == (f"PositionMismatch|{BTC}|net",)


@pytest.mark.parametrize(
    "row",
    [
        replace(TAKE, side=Side.BUY),
        replace(TAKE, symbol=ETH),
        replace(TAKE, client_id="web_8"),
        replace(STOP, client_id="web_7"),
    ],
)
def test_what_does_not_close_it_or_is_not_the_bots_stays(row: Any) -> None:
    found = proposed(others(HELD, row), belief(believed(row)), fills=known(HELD))
    assert kinds(found) == [f"Flatten|{BTC}|net"]


def test_a_leftover_that_people_accept_stays() -> None:
    accepted = {fingerprint(f"UnexpectedOrder|{BTC}|8"): Decimal(200)}
    assert kinds(flattened(others(HELD, TAKE), acknowledged=accepted)) == [f"Flatten|{BTC}|net"]


def test_an_entry_that_the_bot_waits_for_stays() -> None:
    assert kinds(proposed(others(HELD, STOP), belief(believed(STOP)), fills=known(HELD))) == [f"Flatten|{BTC}|net"]


def test_in_hedge_mode_only_what_is_reduce_only_is_surely_a_leftover() -> None:
    row = leg("2", LONG)
    policy = remedying(orders=UnexpectedOrders.NEVER)
    found = proposed(others(row, STOP, TAKE), policy=policy, fills=known(row))
    assert kinds(found) == [f"Flatten|{BTC}|long", f"Cancel|{BTC}|8"]


def test_other_orders_are_cancelled_first_so_that_none_opens_it_again() -> None:
    found = flattened(others(HELD, own("3"), TAKE))
    assert kinds(found) == [f"Cancel|{BTC}|3", f"Flatten|{BTC}|net", f"Cancel|{BTC}|8"]
    assert [action.after for action in found.actions] == [None, None, 1]


# --- who has to agree, and limits ------------------------------------------------------------------------------------


def test_cancelling_every_order_of_the_account_needs_approval() -> None:
    everything = account(own("1"), own("2"), steps={})
    assert proposed(everything).approval == "it would cancel every open order of the account"
    assert proposed(account(own("1"), order("2"))).approval == ""


def test_closing_every_position_of_the_account_needs_approval() -> None:
    everything = account(HELD, steps=STEP)
    assert flattened(everything).approval == "it would close every position of the account"
    dust = account(HELD, leg("0.05", symbol=ETH), steps={**STEP, **STEP_OF_ETH})
    assert flattened(dust).approval == "it would close every position of the account"
    more = account(HELD, leg("0.1", symbol=ETH), steps={**STEP, **STEP_OF_ETH})
    expected = belief(ExpectedPosition(ETH, NET, Decimal("0.1")))
    assert proposed(more, expected, fills=known(HELD)).approval == ""


STEP, STEP_OF_ETH = {BTC: Decimal("0.01")}, {ETH: Decimal("0.1")}


def test_what_failed_within_the_hour_is_not_tried_alone_again() -> None:
    past = Past(failed=frozenset({f"Cancel|{BTC}|1"}))
    assert proposed(STRAY, past=past).approval == (
        f"cancel order 1 of {BTC}: it came to nothing, or not to all, within the hour"
    )
    assert proposed(others(own("2")), past=past).approval == ""


@pytest.mark.parametrize("left", [True, False])
def test_what_a_flatten_left_over_is_cancelled_whatever_becomes_of_other_orders(left: bool) -> None:
    policy = remedying(orders=UnexpectedOrders.NEVER)
    past = Past(leftovers=frozenset({f"Cancel|{BTC}|1"} if left else ()))
    assert [action.key for action in proposed(STRAY, policy=policy, past=past).actions] == sorted(past.leftovers)


def test_a_leg_that_two_findings_are_about_is_closed_once() -> None:
    snapshot = others(leg("3", side=PositionSide.LONG))
    found = [Finding(Rule.POSITION_MISMATCH, BTC, side, "0", "3") for side in ("long", "net")]
    (action,) = proposed(snapshot, found=found).actions
    assert action.key == f"Flatten|{BTC}|long"
    assert action.findings == tuple(sorted(finding.key for finding in found))


def test_a_leftover_that_is_listed_twice_is_cancelled_once() -> None:
    stop = replace(own("1"), side=Side.SELL, reduce_only=True)
    found = [Finding(Rule.POSITION_MISMATCH, BTC, "net", "0", "3")]
    flatten, *cancels = proposed(others(leg("3"), stop, stop), found=found).actions
    assert (flatten.kind, [action.key for action in cancels]) == (ActionKind.FLATTEN, [f"Cancel|{BTC}|1"])


def test_over_the_actions_of_an_hour_nothing_is_done() -> None:
    sent = Past(left=((NOW - HOUR_MS + 1, Decimal(0)),) * 9)
    assert len(proposed(STRAY, past=sent).actions) == 1
    found = proposed(others(own("1"), own("2")), past=sent)
    assert found.actions == ()
    assert found.refusal == (
        "spec.remediation.limits.actionsPerHour is 10: 9 were sent within the hour, and 2 more are due"
    )
    assert found.refused == (f"UnexpectedOrder|{BTC}|1", f"UnexpectedOrder|{BTC}|2")


def test_a_limit_of_nothing_lets_nothing_pass() -> None:
    for policy in (limited(actions_per_hour=0), limited(notional_per_action=Decimal(0))):
        found = proposed(STRAY, policy=policy)
        assert (found.actions, bool(found.refusal)) == ((), True)


def test_over_the_notional_of_an_action_nothing_is_done() -> None:
    assert flattened(policy=limited(notional_per_action=Decimal(200))).actions
    found = flattened(policy=limited(notional_per_action=Decimal("199.9")))
    assert (found.actions, found.refusal) == (
        (),
        f"spec.remediation.limits.notionalPerAction is 199.9: to flatten {BTC} net is worth 200",
    )


def test_over_the_notional_of_an_hour_nothing_is_done() -> None:
    past = Past(left=((NOW, Decimal("50.5")),))
    assert flattened(policy=limited(notional_per_hour=Decimal("250.5")), past=past).actions
    found = flattened(policy=limited(notional_per_hour=Decimal(250)), past=past)
    assert (found.actions, found.refusal) == (
        (),
        "spec.remediation.limits.notionalPerHour is 250: 50.5 was sent within the hour, and 200 more is due",
    )


def test_limits_bind_what_a_person_would_approve_too() -> None:
    policy = remedying(limited(notional_per_action=Decimal(1)), orders=UnexpectedOrders.PLAN)
    assert proposed(STRAY, policy=policy).refusal


def test_more_actions_than_a_plan_holds_are_none() -> None:
    rows = [own(str(number)) for number in range(MOST_ACTIONS + 1)]
    found = proposed(others(*rows), policy=limited(actions_per_hour=100))
    assert (found.actions, found.refusal) == ((), "51 actions are due, and a plan holds at most 50")
    assert len(proposed(others(*rows[1:]), policy=limited(actions_per_hour=100)).actions) == MOST_ACTIONS


def test_one_thing_that_may_not_be_done_stops_all() -> None:
    found = flattened(others(leg("2", mark_price=None), own("1")))
    assert (found.actions, bool(found.refusal)) == ((), True)


# --- whether it is wanted still --------------------------------------------------------------------------------------


def test_a_plan_is_wanted_as_long_as_each_action_would_be_proposed_again() -> None:
    first = flattened(others(HELD, own("1")))
    assert still_wanted(first.actions, first) == ""
    assert still_wanted(first.actions, flattened(others(leg("1"), own("1"), own("2")))) == ""
    assert still_wanted(first.actions, flattened()) == (
        f"what it was for has changed: cancel order 1 of {BTC} is not called for any more"
    )


def test_a_leg_that_changed_its_sign_is_another_one() -> None:
    assert still_wanted(flattened().actions, flattened(others(leg("-1")))) == (
        f"what it was for has changed: flatten {BTC} net would take the other side by now"
    )

"""Plans: their names, what they did lately, what they send now, and what of it the exchange shows."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.proposing import POLICY, leg, others, own, proposed
from tests.support.rows import BTC, ETH, NOW, account, belief, believed

from accountsync.domain.account import AccountSnapshot, Part, PositionSide, Side
from accountsync.domain.fresh import fresh_action
from accountsync.domain.intents import SETTLED, Intent, IntentState
from accountsync.domain.past import HOUR_MS, Past, cancelled, past, placed
from accountsync.domain.plan import (
    NOT_VERIFIED,
    Action,
    ActionKind,
    Phase,
    Plan,
    Proposal,
    Repair,
    RepairKind,
    client_id,
    plan_name,
)
from accountsync.domain.policy import Mode, UnexpectedOrders
from accountsync.domain.propose import still_wanted
from accountsync.domain.verify import closed, verified

NET, LONG = PositionSide.NET, PositionSide.LONG
FLATTEN = Action(
    ActionKind.FLATTEN,
    BTC,
    leg=NET,
    side=Side.SELL,
    quantity=Decimal(2),
    price=Decimal("99.5"),
    notional=Decimal(200),
    findings=("f",),
)
CANCEL = Action(ActionKind.CANCEL, BTC, order_id="7", client_id="bot_7", notional=Decimal(10))
STOP = replace(CANCEL, conditional=True)
EXECUTED = NOW - 1_000
SENT = {IntentState.SENDING, IntentState.DONE, IntentState.REFUSED, IntentState.UNKNOWN}
CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
"""What Binance takes as the client id of an order."""


def intent(state: IntentState = IntentState.DONE, **fields: Any) -> Intent:
    usual: dict[str, Any] = {"client_id": "acsync-1", "timestamp": NOW - 2_000, "recv_window": 5_000, "at": NOW - 1_900}
    return Intent(state, **(usual | fields))


def plan(*actions: Action, intents: tuple[Intent, ...], executed: int | None = EXECUTED) -> Plan:
    return Plan("p", actions, NOW - 10_000, NOW + 900_000, intents=intents, phase=Phase.RUNNING, executed=executed)


# --- names -----------------------------------------------------------------------------------------------------------


@given(st.text(), st.text(), st.integers(0, 1_000))
def test_a_client_id_is_one_that_exchanges_take(uid: str, name: str, index: int) -> None:
    assert CLIENT_ID.fullmatch(client_id(uid, name, index))
    assert client_id(uid, name, index) == client_id(uid, name, index) != client_id(uid, name, index + 1)


def test_the_same_proposal_has_the_same_name_whatever_its_numbers() -> None:
    first, later = (Proposal((replace(FLATTEN, quantity=Decimal(size)),)) for size in (1, 2))
    assert plan_name("a", "u", first, 0) == plan_name("a", "u", later, 0)
    assert len({plan_name("a", "u", first, n) for n in range(3)}) == 3
    assert plan_name("a", "u", first, 0) != plan_name("a", "u", Proposal((CANCEL,)), 0)


def test_prices_do_not_change_the_order_of_actions() -> None:
    def names(cheap: str, dear: str) -> list[str]:
        rows = [own("1", price=Decimal(cheap)), own("2", price=Decimal(dear))]
        return [action.key for action in proposed(others(*rows)).actions]

    assert names("1", "2") == names("2", "1")


# --- what was done lately --------------------------------------------------------------------------------------------


def test_without_plans_there_is_no_past() -> None:
    assert past([], NOW) == Past()


@pytest.mark.parametrize("state", IntentState)
def test_what_may_have_left_counts_and_what_never_left_does_not(state: IntentState) -> None:
    stamp = None if state is IntentState.PLANNED else NOW
    made = past([plan(CANCEL, intents=(intent(state, timestamp=stamp),))], NOW)
    assert made.left == (() if state is IntentState.PLANNED else ((NOW - 1_900, Decimal(10)),))
    unsent = past([plan(CANCEL, intents=(intent(state, timestamp=None),))], NOW)
    assert bool(unsent.left) is (state in SENT)


@pytest.mark.parametrize(("age", "counts"), [(HOUR_MS - 1, True), (HOUR_MS, False), (-5_000, True)])
def test_what_was_done_an_hour_ago_counts_no_more(age: int, counts: bool) -> None:
    made = past([plan(CANCEL, intents=(intent(IntentState.REFUSED, at=NOW - age),))], NOW)
    assert (bool(made.left), bool(made.failed)) == (counts, counts)


def test_what_was_sent_at_nobody_knows_when_counts_as_sent_now() -> None:
    assert past([plan(CANCEL, intents=(intent(at=None),))], NOW).left == ((NOW, Decimal(10)),)


@pytest.mark.parametrize("state", IntentState)
def test_what_was_refused_never_arrived_or_is_not_known_fell_short(state: IntentState) -> None:
    made = past([plan(CANCEL, intents=(intent(state),))], NOW)
    short = state in {IntentState.REFUSED, IntentState.EXPIRED, IntentState.UNKNOWN}
    assert made.failed == (frozenset({CANCEL.key}) if short else frozenset())


def test_what_no_snapshot_confirmed_fell_short() -> None:
    ended = replace(plan(CANCEL, intents=(intent(),)), phase=Phase.REFUSED, message=f"{NOT_VERIFIED}: still listed")
    assert past([ended], NOW).failed == frozenset({CANCEL.key})


@pytest.mark.parametrize(
    ("flattened", "cancelled_", "left"),
    [
        (IntentState.DONE, IntentState.EXPIRED, True),
        (IntentState.DONE, IntentState.REFUSED, True),
        (IntentState.DONE, IntentState.DONE, False),
        (IntentState.REFUSED, IntentState.EXPIRED, False),
    ],
)
def test_a_stop_is_left_over_where_its_position_was_closed_and_it_was_not_cancelled(
    flattened: IntentState, cancelled_: IntentState, left: bool
) -> None:
    follows = replace(STOP, after=0)
    made = past([plan(FLATTEN, follows, intents=(intent(flattened), intent(cancelled_)))], NOW)
    assert made.leftovers == (frozenset({STOP.key}) if left else frozenset())


def test_what_was_tried_and_never_left_failed_and_counts_for_no_limit() -> None:
    tried = plan(CANCEL, intents=(Intent(IntentState.EXPIRED, at=NOW),))
    assert past([tried], NOW) == Past(failed=frozenset({CANCEL.key}))
    assert past([tried], NOW + HOUR_MS) == Past()


@pytest.mark.parametrize(("filled", "failed"), [("0", True), ("1", True), (None, True), ("2", False)])
def test_a_flatten_that_was_not_filled_wholly_fell_short(filled: str | None, failed: bool) -> None:
    done = intent(filled=None if filled is None else Decimal(filled))
    found = past([plan(replace(FLATTEN, quantity=Decimal(2)), intents=(done,))], NOW)
    assert found.failed == (frozenset({FLATTEN.key}) if failed else frozenset())


def test_our_own_orders_and_what_we_cancelled_are_known_however_long_ago() -> None:
    old = [
        plan(FLATTEN, intents=(intent(order_id="70", at=0),)),
        plan(replace(CANCEL, symbol=ETH), STOP, intents=(intent(at=0), intent(IntentState.UNKNOWN, at=0))),
    ]
    assert past(old, NOW) == Past(
        acted=frozenset({"acsync-1", placed(BTC, "70"), cancelled(ETH, "7"), cancelled(BTC, "trigger:7")})
    )


@pytest.mark.parametrize("state", [IntentState.PLANNED, IntentState.REFUSED, IntentState.EXPIRED])
def test_an_order_that_we_did_not_cancel_is_none_that_we_cancelled(state: IntentState) -> None:
    assert past([plan(CANCEL, intents=(intent(state, timestamp=None),))], NOW).acted == frozenset()


def test_a_repair_counts_for_no_limit_and_places_nothing() -> None:
    repair = Action(ActionKind.REPAIR, repairs=(Repair(RepairKind.POSITION, BTC, "net", "1"),))
    assert past([plan(repair, intents=(intent(),))], NOW) == Past()


# --- what is sent now ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("planned", "now", "sent"), [("2", "5", "2"), ("5", "2", "2"), ("2", "2", "2")])
def test_no_more_is_closed_than_was_planned_or_than_there_is(planned: str, now: str, sent: str) -> None:
    snapshot = others(leg(now, mark_price=Decimal(50)))
    stored = replace(FLATTEN, quantity=Decimal(planned))
    fresh = fresh_action(stored, proposed(snapshot), snapshot)
    assert (fresh.quantity, fresh.price, fresh.notional) == (Decimal(sent), Decimal("49.75"), Decimal(sent) * 50)
    assert fresh == replace(stored, quantity=fresh.quantity, price=fresh.price, notional=fresh.notional)


def test_a_snapshot_that_is_newer_than_the_proposal_counts_too() -> None:
    proposal = proposed(others(leg("2")))
    assert fresh_action(FLATTEN, proposal, others(leg("1.239"))).quantity == Decimal("1.23")
    for now in (others(), others(leg("-2")), others(leg("0.009")), others(leg("2"), steps={})):
        with pytest.raises(LookupError):
            fresh_action(FLATTEN, proposal, now)


def test_what_is_not_wanted_any_more_is_not_sent() -> None:
    for snapshot in (others(), others(leg("-2"))):
        with pytest.raises(LookupError, match="what it was for has changed"):
            fresh_action(FLATTEN, proposed(snapshot), snapshot)


def test_a_cancel_is_what_it_was() -> None:
    assert fresh_action(CANCEL, Proposal(), account()) == CANCEL


def test_a_repair_tells_what_is_so_now_and_no_more_than_was_planned() -> None:
    policy = replace(POLICY, mode=Mode.PAUSE)
    first = proposed(others(leg("2"), own("1")), policy=policy, writable=True)
    snapshot = others(leg("3"), own("2"))
    then = proposed(snapshot, policy=policy, writable=True)
    assert still_wanted(first.actions, then) == ""
    (repair,) = fresh_action(first.actions[0], then, snapshot).repairs
    assert (repair.kind, repair.value) == (RepairKind.POSITION, "3")
    only_order = others(own("2"))
    other = proposed(only_order, policy=policy, writable=True)
    assert still_wanted(first.actions, other) == (
        "what it was for has changed: the bot's belief is wrong in other things by now"
    )
    with pytest.raises(LookupError):
        fresh_action(first.actions[0], other, only_order)


# --- what the exchange shows -----------------------------------------------------------------------------------------


def after(*rows: Any, **fields: Any) -> AccountSnapshot:
    return others(*rows, **fields)


def test_a_snapshot_of_before_shows_nothing() -> None:
    done = plan(CANCEL, intents=(intent(),), executed=NOW)
    assert verified(done, after()) == "no snapshot of after it was read yet"
    assert verified(replace(done, executed=NOW - 1), after()) == ""


def test_an_order_that_was_cancelled_is_not_listed() -> None:
    done = plan(CANCEL, intents=(intent(),))
    assert verified(done, after(own("8"), own("7", symbol=ETH), own("7", conditional=True))) == ""
    assert verified(done, after(own("7"))) == f"order 7 of {BTC} is still listed as open"
    assert verified(plan(STOP, intents=(intent(),)), after(own("7", conditional=True))) != ""
    assert verified(plan(STOP, intents=(intent(),)), after(own("7"))) == ""


@pytest.mark.parametrize("state", sorted(SETTLED - {IntentState.DONE}))
def test_what_was_not_done_shows_nothing(state: IntentState) -> None:
    assert verified(plan(CANCEL, FLATTEN, intents=(intent(state),) * 2), after(own("7"), leg("2"))) == ""


@pytest.mark.parametrize(
    ("filled", "left", "shown"),
    [
        ("2", "0", True),
        ("2", "0.009", True),
        ("2", "0.01", False),
        ("2", "2", False),
        ("1.5", "0.5", True),
        ("1.5", "0.509", True),
        ("1.5", "0.51", False),
        ("0", "2.009", True),
        ("2", "-1", True),
    ],
)
def test_a_position_is_smaller_by_what_was_filled(filled: str, left: str, shown: bool) -> None:
    done = plan(FLATTEN, intents=(intent(filled=Decimal(filled)),))
    assert bool(verified(done, after(leg(left)))) is not shown


def test_what_is_not_smaller_is_said() -> None:
    done = plan(FLATTEN, intents=(intent(filled=Decimal(2)),))
    assert verified(done, after(leg("1"))) == f"1 of the net position of {BTC} is still open, of which 2 was closed"
    assert verified(done, after(leg("1", LONG), leg("1", symbol=ETH))) == "", "these are others"


def test_a_position_that_moved_again_since_is_no_longer_our_doing() -> None:
    done = plan(FLATTEN, intents=(intent(filled=Decimal(2)),))
    assert verified(done, after(leg("1", updated=EXECUTED))) != ""
    assert verified(done, after(leg("1", updated=EXECUTED + 1))) == ""


@pytest.mark.parametrize(
    ("action", "part"), [(CANCEL, Part.ORDERS), (STOP, Part.CONDITIONAL), (FLATTEN, Part.POSITIONS)]
)
def test_a_part_that_was_not_read_shows_nothing(action: Action, part: Part) -> None:
    done = plan(action, intents=(intent(filled=Decimal(2)),))
    for missing in Part:
        lacking = verified(done, after(missing=frozenset({missing})))
        assert lacking == (f"the exchange did not tell the {part}" if missing is part else "")


@pytest.mark.parametrize(("left", "shut"), [("0", True), ("0.009", True), ("-0.009", True), ("0.01", False)])
def test_a_position_is_closed_when_less_than_a_step_is_left(left: str, shut: bool) -> None:
    done = plan(CANCEL, FLATTEN, intents=(intent(), intent(filled=Decimal(1))))
    assert closed(done, 1, after(leg(left))) is shut
    assert closed(done, 1, after()) is True, "it left the list"


def test_what_is_not_known_to_be_closed_is_not() -> None:
    done = plan(FLATTEN, intents=(intent(),))
    assert closed(done, 0, after()) is True
    assert closed(done, 0, after(missing=frozenset({Part.POSITIONS}))) is False
    assert closed(done, 0, after(timestamp=EXECUTED)) is False
    assert closed(done, 0, after(leg("0.001"), steps={})) is False
    for state in set(IntentState) - {IntentState.DONE}:
        assert closed(plan(FLATTEN, intents=(intent(state),)), 0, after()) is False


def test_a_leftover_is_planned_for_even_where_the_bot_tracks_it() -> None:
    stop = own("8", side=Side.SELL, reduce_only=True)
    never = replace(POLICY, remedies=replace(POLICY.remedies, orders=UnexpectedOrders.NEVER))
    snapshot = others(leg("2"), stop)
    actions = proposed(snapshot, belief(believed(stop)), never).actions
    assert [action.after for action in actions] == [None, 0]

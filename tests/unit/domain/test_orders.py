"""Which order a bot means, and what became of it."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from tests.support.rows import BTC, ETH, NOW, account, belief, believed, fill, only, order, rules

from accountsync.domain.account import Order, OrderStatus, Part, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.detect import Background, detect
from accountsync.domain.expected import ExpectedOrder
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import ANY, ORDERS, Detection, Finding, Question
from accountsync.domain.orders import LONGEST_CHAIN
from accountsync.domain.policy import Ignore, Policy

STOP = order("7", client_id="bot_stop", conditional=True, price=None, trigger_price=Decimal(90))
CHILD = order("70", client_id="bot_child")
OVER = replace(STOP, status=OrderStatus.TRIGGERED, successor="70", updated=5)
ABOUT_STOP = Question(BTC, "7")
ABOUT_CHILD = Question(BTC, "70", conditional=False)
DAY = 86_400_000


def test_a_price_of_0_says_that_there_is_none() -> None:
    for price in (Decimal("0.00"), None):
        assert detect(account(STOP), belief(believed(STOP, price=price)), Policy()) == Detection()
    assert rules(detect(account(STOP), belief(believed(STOP, price=Decimal(1))), Policy())) == [Rule.ORDER_DIVERGENCE]


# --- conditional orders ----------------------------------------------------------------------------------------------


def test_a_conditional_order_that_waits_is_known_by_its_id() -> None:
    assert detect(account(STOP), belief(believed(STOP)), Policy()) == Detection()


def test_a_conditional_order_of_which_nobody_knows_says_when_it_would_trigger() -> None:
    finding = only(detect(account(STOP), belief(), Policy()))
    assert (finding.rule, finding.id, finding.notional) == (Rule.UNEXPECTED_ORDER, "trigger:7", Decimal(180))
    assert finding.observed == "buy 2 at the market once 90 is touched, client id bot_stop"


def test_a_conditional_order_that_left_the_list_is_asked_for() -> None:
    found = detect(account(CHILD), belief(believed(STOP)), Policy())
    assert found == Detection(unknown=frozenset({(BTC, "7"), (BTC, "70")}), questions=(ABOUT_STOP,))


def test_the_child_of_one_that_triggered_takes_its_place() -> None:
    tracked = believed(STOP, price=Decimal(100))
    assert detect(account(CHILD), belief(tracked), Policy(), {ABOUT_STOP: OVER}) == Detection()


def test_a_child_that_differs_diverges_under_its_own_id() -> None:
    tracked = believed(STOP, price=Decimal(100))
    child = replace(CHILD, filled=Decimal(1))
    finding = only(detect(account(child), belief(tracked), Policy(), {ABOUT_STOP: OVER}))
    assert (finding.rule, finding.id) == (Rule.ORDER_DIVERGENCE, "70")
    assert (finding.expected, finding.observed) == ("filled 0", "filled 1")


def test_a_child_that_the_bot_tracks_too_is_not_held_against_it_twice() -> None:
    tracked = believed(STOP), believed(CHILD)
    assert detect(account(CHILD), belief(*tracked), Policy(), {ABOUT_STOP: OVER}) == Detection()


@pytest.mark.parametrize(("age", "missing"), [(0, False), (59_999, False), (60_000, True)])
def test_one_that_triggered_without_a_child_is_missing_only_when_the_child_had_time_to_be_told(
    age: int, missing: bool
) -> None:
    over = replace(OVER, successor="", updated=NOW - age)
    found = detect(account(CHILD), belief(believed(STOP)), Policy(), {ABOUT_STOP: over})
    assert rules(found) == ([Rule.MISSING_ORDER, Rule.UNEXPECTED_ORDER] if missing else [])
    assert ((BTC, "7") in found.unknown, (BTC, "70") in found.unknown) == (not missing, not missing)


def test_a_conditional_order_is_not_taken_for_a_missing_ordinary_one_of_its_id() -> None:
    ordinary = order("7", client_id="bot_ordinary")
    found = detect(account(STOP), belief(believed(ordinary), believed(STOP, id="")), Policy())
    assert (found.findings, found.questions) == ((), (Question(BTC, "7"),))


def test_a_child_that_is_not_listed_is_asked_for_in_turn() -> None:
    found = detect(account(), belief(believed(STOP)), Policy(), {ABOUT_STOP: OVER})
    assert found == Detection(unknown=frozenset({(BTC, "7")}), questions=(ABOUT_CHILD,))


def test_a_child_that_was_filled_proves_the_conditional_order_gone_and_shows_the_fills() -> None:
    said = {ABOUT_STOP: OVER, ABOUT_CHILD: replace(CHILD, status=OrderStatus.FILLED, filled=Decimal(2), updated=9)}
    rows = [fill("1", order_id="70", bought="1.5"), fill("2", order_id="70", bought="0.5"), fill("3", order_id="8")]
    log = FillLog(NOW - 1).reading(BTC, rows, account(), 5_000).without({(BTC, "1"), (BTC, "2"), (BTC, "3")})
    finding = only(detect(account(), belief(believed(STOP)), Policy(), said, Background(fills=log)))
    assert (finding.rule, finding.id, finding.changed) == (Rule.MISSING_ORDER, "7", 9)
    assert finding.observed == "filled, filled 2 of 2"
    assert finding.fills == ("1", "2")
    assert finding.client_id == "bot_stop"


@pytest.mark.parametrize("child", [CHILD, replace(CHILD, filled=Decimal(1))])
def test_a_child_that_lives_though_the_list_lacks_it_is_unknown(child: Order) -> None:
    found = detect(account(), belief(believed(STOP)), Policy(), {ABOUT_STOP: OVER, ABOUT_CHILD: child})
    assert found == Detection(unknown=frozenset({(BTC, "7")}))


def test_as_long_as_a_successor_is_not_answered_for_nothing_is_said_of_unexpected_orders_there() -> None:
    rows = order("8"), order("9", ETH)
    found = detect(account(*rows), belief(believed(STOP)), Policy(), {ABOUT_STOP: OVER})
    assert [(finding.rule, finding.symbol) for finding in found.findings] == [(Rule.UNEXPECTED_ORDER, ETH)]
    assert (BTC, "8") in found.unknown


def test_once_it_is_answered_for_they_are_told() -> None:
    said = {ABOUT_STOP: OVER, ABOUT_CHILD: replace(CHILD, status=OrderStatus.CANCELED)}
    found = detect(account(order("8")), belief(believed(STOP)), Policy(), said)
    assert rules(found) == [Rule.MISSING_ORDER, Rule.UNEXPECTED_ORDER]


def test_without_the_list_of_conditional_orders_no_order_is_judged() -> None:
    found = detect(account(order("8"), missing=frozenset({Part.CONDITIONAL})), belief(believed(STOP)), Policy())
    assert found == Detection(unknown=frozenset({(ANY, ORDERS)}))


# --- ids of two spaces -----------------------------------------------------------------------------------------------


def test_an_ordinary_and_a_conditional_order_may_share_an_id() -> None:
    rows = order("7", client_id="bot_limit"), STOP
    tracked = believed(rows[0]), believed(STOP, id="")
    assert detect(account(*rows), belief(*tracked), Policy()) == Detection()
    assert detect(account(*rows[::-1]), belief(*tracked[::-1]), Policy()) == Detection()


def test_of_two_with_one_id_the_client_id_tells_which_is_meant() -> None:
    rows = order("7", client_id="bot_limit"), STOP
    finding = only(detect(account(*rows), belief(believed(STOP)), Policy()))
    assert (finding.rule, finding.id) == (Rule.UNEXPECTED_ORDER, "7")
    finding = only(detect(account(*rows), belief(believed(rows[0])), Policy()))
    assert (finding.rule, finding.id) == (Rule.UNEXPECTED_ORDER, "trigger:7")
    finding = only(detect(account(*rows), belief(believed(STOP, client_id="")), Policy()))
    assert finding.id == "trigger:7", "without one, the ordinary order is meant"


def test_a_conditional_order_listed_twice_leaves_the_ordinary_one_of_its_id_alone() -> None:
    rows = STOP, STOP, order("8")
    found = detect(account(*rows), belief(believed(STOP)), Policy())
    assert [(finding.rule, finding.id) for finding in found.findings] == [
        (Rule.DUPLICATE_KEY, "order:trigger:7"),
        (Rule.UNEXPECTED_ORDER, "8"),
    ]


# --- orders that were amended or replaced ----------------------------------------------------------------------------


def amended(id_: str, into: str) -> Order:
    return order(id_, status=OrderStatus.CANCELED, successor=into)


def test_an_order_that_was_amended_under_a_new_id_is_followed() -> None:
    now = order("2", client_id="", price=Decimal(101))
    said = {Question(BTC, "1"): amended("1", "2")}
    assert not detect(account(now), belief(believed(now, id="1")), Policy(), said).findings
    finding = only(detect(account(now), belief(believed(order("1"))), Policy(), said))
    assert (finding.rule, finding.id, finding.observed) == (Rule.ORDER_DIVERGENCE, "2", "price 101")


def test_an_order_that_was_amended_again_and_again_is_followed() -> None:
    now = order("4", client_id="")
    said: dict[Question, Order | None] = {Question(BTC, "1"): amended("1", "2")}
    tracked = belief(believed(now, id="1"))
    for id_, into in (("2", "3"), ("3", "4")):
        question = Question(BTC, id_, conditional=False)
        assert detect(account(now), tracked, Policy(), said).questions == (question,)
        said[question] = amended(id_, into)
    assert detect(account(now), tracked, Policy(), said) == Detection()


def test_a_chain_that_leads_back_ends() -> None:
    said = {
        Question(BTC, "1"): amended("1", "2"),
        Question(BTC, "2", conditional=False): amended("2", "1"),
        Question(BTC, "1", conditional=False): amended("1", "2"),
    }
    found = detect(account(), belief(believed(order("1"))), Policy(), said)
    assert found.questions == ()
    assert LONGEST_CHAIN > 2


def test_of_a_chain_that_is_too_long_nothing_is_said() -> None:
    ids = [str(number) for number in range(1, LONGEST_CHAIN + 3)]
    said: dict[Question, Order | None] = {
        Question(BTC, one, conditional=None if one == "1" else False): amended(one, into) for one, into in pairwise(ids)
    }
    found = detect(account(order(ids[-1])), belief(believed(order("1"))), Policy(), said)
    assert found == Detection(unknown=frozenset({(BTC, "1"), (BTC, ids[-1])}))


def test_an_order_that_was_replaced_under_its_client_id_is_known_by_it() -> None:
    now = order("2", client_id="bot_1", price=Decimal(101))
    finding = only(detect(account(now), belief(believed(order("1", client_id="bot_1"))), Policy()))
    assert (finding.rule, finding.id, finding.expected) == (Rule.ORDER_DIVERGENCE, "2", "price 100")


def test_a_bot_that_tracks_both_the_replaced_order_and_the_new_one_is_told_of_the_old_one() -> None:
    old, now = order("1", client_id="bot_1"), order("2", client_id="bot_1")
    rows = believed(old, client_id=""), believed(now)
    said = {Question(BTC, "1"): replace(old, status=OrderStatus.CANCELED)}
    for tracked in (rows, rows[::-1]):
        finding = only(detect(account(now), belief(*tracked), Policy(), said))
        assert (finding.rule, finding.id) == (Rule.MISSING_ORDER, "1")


def test_two_that_lost_the_same_order_do_not_take_it_twice() -> None:
    """One names it by its client id, the other is its predecessor."""
    now = order("3", client_id="bot_1")
    said = {Question(BTC, "2"): amended("2", "3")}
    rows = believed(order("2", client_id="")), ExpectedOrder(BTC, client_id="bot_1")
    assert detect(account(now), belief(*rows), Policy(), said) == Detection()
    assert detect(account(now), belief(*rows[::-1]), Policy(), said) == Detection()


# --- what the exchange forgot ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("created", "forgets", "missing"),
    [
        (NOW - 90 * DAY, 90 * DAY, True),
        (NOW - 90 * DAY - 1, 90 * DAY, False),
        (NOW - 900 * DAY, None, True),
        (None, 90 * DAY, True),
    ],
)
def test_an_old_order_that_the_exchange_denies_proves_nothing(
    created: int | None, forgets: int | None, missing: bool
) -> None:
    tracked = believed(order("1"), created=created)
    found = detect(account(), belief(tracked), Policy(forgets_after_ms=forgets), {Question(BTC, "1"): None})
    assert rules(found) == [Rule.MISSING_ORDER] * missing
    assert ((BTC, "1") in found.unknown) is not missing


def test_an_old_order_that_ended_is_missing_all_the_same() -> None:
    tracked = believed(order("1"), created=NOW - 900 * DAY)
    said = {Question(BTC, "1"): order("1", status=OrderStatus.CANCELED)}
    assert rules(detect(account(), belief(tracked), Policy(forgets_after_ms=DAY), said)) == [Rule.MISSING_ORDER]


# --- what is compared ------------------------------------------------------------------------------------------------


def test_an_order_on_the_other_side_diverges() -> None:
    finding = only(detect(account(order()), belief(believed(order(), side=Side.SELL)), Policy()))
    assert (finding.expected, finding.observed) == ("side sell", "side buy")


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({"filled": Decimal("0.0009")}, False),
        ({"filled": Decimal("0.001")}, True),
        ({"quantity": Decimal("2.0009")}, False),
        ({"price": Decimal("100.0009")}, True),
    ],
)
def test_less_than_can_be_traded_is_dust_except_in_a_price(fields: dict[str, Any], differs: bool) -> None:
    snapshot = account(order(), steps={BTC: Decimal("0.001")})
    found = detect(snapshot, belief(believed(order(), **fields)), Policy())
    assert bool(found.findings) is differs


# --- symbols that are never settled ----------------------------------------------------------------------------------

BUSY = Background(insisted=frozenset({BTC}))


def test_in_a_busy_symbol_an_order_that_differs_is_asked_for() -> None:
    snapshot = account(order(), unsettled=frozenset({BTC}))
    tracked = belief(believed(order(), filled=Decimal(1)))
    assert not detect(snapshot, tracked, Policy()).questions, "it may be settled the next time"
    found = detect(snapshot, tracked, Policy(), {}, BUSY)
    assert (found.findings, found.questions) == ((), (Question(BTC, "1", conditional=False),))
    assert (BTC, "1") in found.unknown
    found = detect(snapshot, tracked, Policy(), {found.questions[0]: order()}, BUSY)
    assert rules(found) == [Rule.ORDER_DIVERGENCE]
    assert found.judged(only(found))


def test_in_a_busy_symbol_an_order_that_nobody_tracks_is_asked_for() -> None:
    snapshot = account(order(), unsettled=frozenset({BTC}))
    found = detect(snapshot, belief(), Policy(), {}, BUSY)
    assert (found.findings, found.questions) == ((), (Question(BTC, "1", conditional=False),))
    for answer, told in ((order(), [Rule.UNEXPECTED_ORDER]), (order(status=OrderStatus.FILLED), []), (None, [])):
        assert rules(detect(snapshot, belief(), Policy(), {found.questions[0]: answer}, BUSY)) == told


def test_in_a_busy_symbol_an_order_that_agrees_is_not_asked_for() -> None:
    snapshot = account(order(), unsettled=frozenset({BTC}))
    assert detect(snapshot, belief(believed(order())), Policy(), {}, BUSY).questions == ()


def test_in_a_busy_symbol_a_missing_order_is_asked_for_and_told() -> None:
    snapshot = account(unsettled=frozenset({BTC}))
    tracked = belief(believed(order()))
    assert detect(snapshot, tracked, Policy(), {}, BUSY).questions == (Question(BTC, "1"),)
    assert rules(detect(snapshot, tracked, Policy(), {Question(BTC, "1"): None}, BUSY)) == [Rule.MISSING_ORDER]


def test_in_a_busy_symbol_what_is_corrupt_is_compared_with_nothing() -> None:
    snapshot = account(order(), order(filled=Decimal(1)), unsettled=frozenset({BTC}))
    found = detect(snapshot, belief(believed(order(), filled=Decimal(9))), Policy(), {}, BUSY)
    assert rules(found) == [Rule.DUPLICATE_KEY]


# --- what people accept ----------------------------------------------------------------------------------------------

UNEXPECTED = Rule.UNEXPECTED_ORDER


@pytest.mark.parametrize(
    ("ignore", "accepted"),
    [
        (Ignore(UNEXPECTED, NOW + 1), {(BTC, "1"), (BTC, "2"), (ETH, "1")}),
        (Ignore(UNEXPECTED, NOW + 1, BTC), {(BTC, "1"), (BTC, "2")}),
        (Ignore(UNEXPECTED, NOW + 1, BTC, "1"), {(BTC, "1")}),
        (Ignore(UNEXPECTED, NOW + 1, id="1"), {(BTC, "1"), (ETH, "1")}),
        (Ignore(UNEXPECTED, NOW), set()),
        (Ignore(Rule.MISSING_ORDER, NOW + 1), set()),
    ],
)
def test_what_people_accept_is_no_finding_until_its_end(ignore: Ignore, accepted: set[tuple[str, str]]) -> None:
    found = detect(account(order("1"), order("2"), order("1", ETH)), belief(), Policy())
    without = found.ignoring([ignore], NOW)

    def names(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
        return {(finding.symbol, finding.id) for finding in findings}

    assert names(without.ignored) == accepted
    assert names(without.findings) == names(found.findings) - accepted
    assert without.unknown == found.unknown

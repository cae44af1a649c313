"""What is a difference, what is none, and what nothing can be said of."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rows import BTC, ETH, NOW, account, belief, believed, only, order, rules

from accountsync.domain.account import AccountSnapshot, Balance, Order, OrderStatus, Position, PositionSide, Side
from accountsync.domain.catalogue import CATALOGUE, Rule, Severity
from accountsync.domain.detect import Background, detect, regression
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.finding import (
    ANY,
    Answers,
    Detection,
    Question,
    plain,
    question_about,
    sanitize,
)
from accountsync.domain.policy import Policy

NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
OPEN = OrderStatus.OPEN
ENDED = [OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED]
ORDER_RULES = {Rule.UNEXPECTED_ORDER, Rule.MISSING_ORDER, Rule.ORDER_DIVERGENCE}

# --- both sides agree --------------------------------------------------------------------------------------------


def test_an_empty_account_and_an_empty_belief_agree() -> None:
    assert detect(account(), belief(), Policy()) == Detection()


def test_every_finding_of_the_catalogue_has_a_name_for_the_metric() -> None:
    assert set(CATALOGUE) == set(Rule)
    assert len({row.account_sync for row in CATALOGUE.values()}) == len(CATALOGUE)


# --- duplicates ---------------------------------------------------------------------------------------------------


def test_an_order_listed_twice_is_a_duplicate_and_nothing_else() -> None:
    found = detect(account(order(), order(quantity=Decimal(9))), belief(), Policy())
    finding = only(found)
    assert (finding.rule, finding.symbol, finding.id) == (Rule.DUPLICATE_KEY, BTC, "order:1")
    assert finding.severity is Severity.CRITICAL
    assert (BTC, "1") in found.unknown


def test_the_same_order_id_on_two_symbols_is_no_duplicate() -> None:
    rows = order("1", BTC), order("1", ETH)
    assert detect(account(*rows), belief(*map(believed, rows)), Policy()) == Detection()


def test_a_duplicated_order_the_bot_tracks_otherwise_is_not_said_to_diverge() -> None:
    row = order()
    found = detect(account(row, row), belief(believed(row, quantity=Decimal(7))), Policy())
    assert rules(found) == [Rule.DUPLICATE_KEY]


def test_a_duplicated_order_does_not_silence_its_neighbour() -> None:
    found = detect(account(order("1"), order("1"), order("2")), belief(), Policy())
    assert set(rules(found)) == {Rule.DUPLICATE_KEY, Rule.UNEXPECTED_ORDER}


def test_a_position_listed_twice_is_a_duplicate_and_is_not_compared() -> None:
    row = Position(BTC, NET, Decimal(1), "cross")
    found = detect(account(row, row), belief(), Policy())
    assert (only(found).rule, only(found).id) == (Rule.DUPLICATE_KEY, "position:net")


@pytest.mark.parametrize(
    "rows",
    [
        (Position(BTC, LONG, Decimal(1), "cross"), Position(BTC, SHORT, Decimal(1), "cross")),
        (Position(BTC, NET, Decimal(1), "cross"), Position(BTC, NET, Decimal(1), "isolated")),
        (Position(BTC, NET, Decimal(1), "cross"), Position(ETH, NET, Decimal(1), "cross")),
    ],
)
def test_positions_of_another_side_mode_or_symbol_are_no_duplicates(rows: tuple[Position, ...]) -> None:
    assert Rule.DUPLICATE_KEY not in rules(detect(account(*rows), None, Policy()))


# --- negative quantities --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"quantity": Decimal(-1)}, {"filled": Decimal("-0.1")}])
def test_an_order_below_zero_is_corrupt_and_is_judged_no_further(fields: dict[str, Any]) -> None:
    found = detect(account(order(**fields)), belief(believed(order())), Policy())
    assert rules(found) == [Rule.NEGATIVE_QUANTITY]
    assert (BTC, "1") in found.unknown


@pytest.mark.parametrize("zero", ["0", "-0", "0E-8", "-0.000"])
def test_zero_and_negative_zero_are_not_below_zero(zero: str) -> None:
    rows = order(quantity=Decimal(zero), filled=Decimal(zero)), Position(BTC, LONG, Decimal(zero))
    assert detect(account(*rows), None, Policy()).findings == ()


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_leg_below_zero_is_corrupt_and_so_is_its_whole_symbol(side: PositionSide) -> None:
    other = SHORT if side is LONG else LONG
    rows = Position(BTC, side, Decimal(-1)), Position(BTC, other, Decimal(5))
    assert rules(detect(account(*rows), belief(), Policy())) == [Rule.NEGATIVE_QUANTITY]


def test_a_net_position_below_zero_is_a_short_one() -> None:
    rows = Position(BTC, NET, Decimal(-1)), ExpectedPosition(BTC, NET, Decimal(-1))
    assert detect(account(rows[0]), belief(rows[1]), Policy()) == Detection()


# --- joining orders -------------------------------------------------------------------------------------------------


def test_an_order_is_known_by_its_exchange_id() -> None:
    assert not detect(account(order()), belief(believed(order(), client_id="")), Policy()).findings


def test_an_order_is_known_by_its_client_id() -> None:
    assert not detect(account(order()), belief(believed(order(), id="")), Policy()).findings


def test_an_order_whose_id_is_wrong_is_known_by_its_client_id() -> None:
    assert not detect(account(order()), belief(believed(order(), id="99")), Policy()).findings


def test_an_order_of_another_symbol_is_another_order() -> None:
    tracked = believed(order("1", BTC), client_id="")
    found = detect(account(order("1", ETH)), belief(tracked), Policy(), {question_about(tracked): None})
    assert {(finding.rule, finding.symbol) for finding in found.findings} == {
        (Rule.MISSING_ORDER, BTC),
        (Rule.UNEXPECTED_ORDER, ETH),
    }


def test_of_two_open_orders_with_one_client_id_the_newer_is_meant() -> None:
    rows = order("9", client_id="c"), order("10", client_id="c")
    found = detect(account(*rows), belief(ExpectedOrder(BTC, client_id="c")), Policy())
    assert (only(found).rule, only(found).id) == (Rule.UNEXPECTED_ORDER, "9")


def test_an_empty_client_id_joins_nothing() -> None:
    tracked = ExpectedOrder(BTC, id="2")
    found = detect(account(order("1", client_id="")), belief(tracked), Policy(), {Question(BTC, "2"): None})
    assert set(rules(found)) == {Rule.MISSING_ORDER, Rule.UNEXPECTED_ORDER}


# --- an order that should not be there -------------------------------------------------------------------------------


def test_an_untracked_order_of_our_own_is_worse_than_anothers() -> None:
    policy = Policy(order_id_prefix="bot_")
    own = only(detect(account(order(client_id="bot_1")), belief(), policy))
    other = only(detect(account(order(client_id="my_bot_1")), belief(), policy))
    assert (own.severity, own.own) == (Severity.HIGH, True)
    assert (other.severity, other.own) == (Severity.WARNING, False)


def test_without_a_prefix_no_order_is_known_to_be_ours() -> None:
    finding = only(detect(account(order()), belief(), Policy()))
    assert (finding.severity, finding.own) == (Severity.WARNING, False)


def test_an_untracked_order_is_worth_what_is_still_open() -> None:
    finding = only(detect(account(order(quantity=Decimal(3), filled=Decimal(1))), belief(), Policy()))
    assert finding.notional == 200


def test_an_untracked_market_order_is_worth_nothing() -> None:
    assert only(detect(account(order(price=None)), belief(), Policy())).notional == 0


def test_a_fill_makes_an_untracked_order_no_newer() -> None:
    assert only(detect(account(order(created=1, updated=5)), belief(), Policy())).changed == 1
    assert only(detect(account(order(updated=5)), belief(), Policy())).changed == 5


@pytest.mark.parametrize("answer", [None, *(order(status=status) for status in ENDED)])
def test_a_listed_order_that_the_exchange_itself_calls_gone_is_unknown(answer: Order | None) -> None:
    found = detect(account(order()), belief(), Policy(), {question_about(order()): answer})
    assert found == Detection(unknown=frozenset({(BTC, "1")}))


def test_the_exchanges_own_word_that_it_is_open_keeps_it_found() -> None:
    found = detect(account(order()), belief(), Policy(), {question_about(order()): order()})
    assert rules(found) == [Rule.UNEXPECTED_ORDER]


# --- an order that is missing ---------------------------------------------------------------------------------------


def test_a_missing_order_is_asked_for_before_anything_is_said() -> None:
    found = detect(account(), belief(believed(order())), Policy())
    assert found == Detection(unknown=frozenset({(BTC, "1")}), questions=(Question(BTC, "1"),))


def test_an_order_without_an_id_is_asked_for_by_its_client_id() -> None:
    found = detect(account(), belief(ExpectedOrder(BTC, client_id="c")), Policy())
    assert found.questions == (Question(BTC, client_id="c"),)


@pytest.mark.parametrize("status", ENDED)
def test_the_exchanges_word_that_it_ended_proves_it_missing(status: OrderStatus) -> None:
    answers = {Question(BTC, "1"): order(status=status, filled=Decimal(1), updated=7)}
    found = detect(account(), belief(believed(order())), Policy(), answers)
    finding = only(found)
    assert (finding.rule, finding.severity, finding.changed) == (Rule.MISSING_ORDER, Severity.HIGH, 7)
    assert finding.observed == f"{status}, filled 1 of 2"
    assert finding.notional == 200
    assert not found.unknown
    assert not found.questions


def test_the_exchanges_word_that_it_knows_no_such_order_proves_it_missing() -> None:
    finding = only(detect(account(), belief(believed(order())), Policy(), {Question(BTC, "1"): None}))
    assert (finding.observed, finding.changed) == ("unknown to the exchange", None)


def test_an_order_that_turns_out_to_be_open_is_not_missing() -> None:
    found = detect(account(), belief(believed(order())), Policy(), {Question(BTC, "1"): order()})
    assert found == Detection(unknown=frozenset({(BTC, "1")}))


def test_an_answer_about_the_same_id_elsewhere_proves_nothing() -> None:
    found = detect(account(), belief(believed(order())), Policy(), {Question(ETH, "1"): None})
    assert not found.findings


@pytest.mark.parametrize("status", ENDED)
def test_an_order_that_the_bot_too_believes_ended_is_not_missing(status: OrderStatus) -> None:
    assert detect(account(), belief(believed(order(), status=status)), Policy()) == Detection()


def test_a_missing_order_of_which_the_bot_says_no_size_is_worth_nothing() -> None:
    found = detect(account(), belief(ExpectedOrder(BTC, id="1")), Policy(), {Question(BTC, "1"): None})
    assert only(found).notional == 0


# --- an order that differs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected", "observed"),
    [
        ({"quantity": Decimal(3)}, "quantity 3", "quantity 2"),
        ({"filled": Decimal("0.5")}, "filled 0.5", "filled 0"),
        ({"price": Decimal("99.99")}, "price 99.99", "price 100"),
        *(({"status": status}, f"status {status}", "status open") for status in ENDED),
    ],
)
def test_an_order_that_differs_says_in_what(fields: dict[str, Any], expected: str, observed: str) -> None:
    finding = only(detect(account(order(updated=9)), belief(believed(order(), **fields)), Policy()))
    assert (finding.rule, finding.severity) == (Rule.ORDER_DIVERGENCE, Severity.MEDIUM)
    assert (finding.expected, finding.observed) == (expected, observed)
    assert (finding.id, finding.changed, finding.notional) == ("1", 9, Decimal(200))


def test_what_the_bot_does_not_say_of_an_order_is_not_held_against_it() -> None:
    assert not detect(account(order()), belief(ExpectedOrder(BTC, id="1")), Policy()).findings


def test_the_same_number_written_otherwise_is_the_same_number() -> None:
    written = believed(order(), quantity=Decimal("2.000"), filled=Decimal("-0.0"), price=Decimal("1E+2"))
    assert not detect(account(order()), belief(written), Policy()).findings


def test_an_order_is_worth_what_the_exchange_says_where_the_bot_believes_otherwise() -> None:
    finding = only(detect(account(order()), belief(believed(order(), price=Decimal(1))), Policy()))
    assert finding.notional == 200


def test_the_targeted_answer_supersedes_a_stale_list() -> None:
    now = order(filled=Decimal(1))
    answers = {question_about(now): now}
    assert not detect(account(order()), belief(believed(now)), Policy(), answers).findings
    finding = only(detect(account(order()), belief(believed(order())), Policy(), answers))
    assert (finding.expected, finding.observed, finding.notional) == ("filled 0", "filled 1", Decimal(100))


def test_of_a_tracked_order_that_ended_since_the_list_nothing_is_said_until_it_has_left_the_list() -> None:
    answers = {question_about(order()): order(status=OrderStatus.CANCELED)}
    found = detect(account(order()), belief(believed(order())), Policy(), answers)
    assert (found.findings, (BTC, "1") in found.unknown) == ((), True)
    answers = {question_about(believed(order())): order(status=OrderStatus.CANCELED)}
    assert only(detect(account(), belief(believed(order())), Policy(), answers)).rule is Rule.MISSING_ORDER


def test_a_listed_order_that_the_exchange_denies_is_unknown() -> None:
    tracked = believed(order(), quantity=Decimal(7))
    found = detect(account(order()), belief(tracked), Policy(), {question_about(order()): None})
    assert found.findings == ()
    assert (BTC, "1") in found.unknown


# --- positions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "differs"), [("1.1", False), ("0.9", False), ("1.1001", True), ("0.8999", True)])
def test_the_positions_tolerance_is_inclusive(quantity: str, differs: bool) -> None:
    policy = Policy(position_tolerance=Decimal("0.1"))
    rows = Position(BTC, NET, Decimal(quantity)), ExpectedPosition(BTC, NET, Decimal(1))
    assert rules(detect(account(rows[0]), belief(rows[1]), policy)) == [Rule.POSITION_MISMATCH] * differs


def test_without_a_tolerance_dust_is_a_mismatch() -> None:
    finding = only(detect(account(Position(BTC, NET, Decimal("1E-18"))), belief(), Policy()))
    assert (finding.expected, finding.observed) == ("0", "0.000000000000000001")


@pytest.mark.parametrize("zero", ["0", "-0", "0E+3"])
def test_a_flat_position_is_the_same_as_none(zero: str) -> None:
    assert not detect(account(Position(BTC, NET, Decimal(zero))), belief(), Policy()).findings
    assert not detect(account(), belief(ExpectedPosition(BTC, NET, Decimal(zero))), Policy()).findings


def test_a_position_that_the_exchange_does_not_hold_is_a_mismatch() -> None:
    finding = only(detect(account(), belief(ExpectedPosition(BTC, NET, Decimal(-2))), Policy()))
    assert (finding.id, finding.expected, finding.observed, finding.changed) == ("net", "-2", "0", None)


def test_the_wrong_sign_is_a_mismatch() -> None:
    rows = Position(BTC, NET, Decimal(-2)), ExpectedPosition(BTC, NET, Decimal(2))
    assert rules(detect(account(rows[0]), belief(rows[1]), Policy())) == [Rule.POSITION_MISMATCH]


def test_legs_are_compared_each_by_itself() -> None:
    rows = Position(BTC, LONG, Decimal(2)), Position(BTC, SHORT, Decimal(1))
    tracked = ExpectedPosition(BTC, LONG, Decimal(2)), ExpectedPosition(BTC, SHORT, Decimal(3))
    finding = only(detect(account(*rows), belief(*tracked), Policy()))
    assert (finding.id, finding.expected, finding.observed) == ("short", "3", "1")


def test_equal_legs_on_both_sides_hide_nothing() -> None:
    """Net they are flat, but a hedge account holds them."""
    rows = Position(BTC, LONG, Decimal(2)), Position(BTC, SHORT, Decimal(2))
    found = detect(account(*rows), belief(), Policy())
    assert {finding.id for finding in found.findings} == {"long", "short"}


def test_where_one_side_speaks_net_both_are_compared_net() -> None:
    legs = Position(BTC, LONG, Decimal(1)), Position(BTC, SHORT, Decimal(3))
    assert not detect(account(*legs), belief(ExpectedPosition(BTC, NET, Decimal(-2))), Policy()).findings
    tracked = ExpectedPosition(BTC, LONG, Decimal(1)), ExpectedPosition(BTC, SHORT, Decimal(3))
    assert not detect(account(Position(BTC, NET, Decimal(-2))), belief(*tracked), Policy()).findings
    finding = only(detect(account(*legs), belief(ExpectedPosition(BTC, NET, Decimal(2))), Policy()))
    assert (finding.id, finding.expected, finding.observed) == ("net", "2", "-2")


def test_both_margin_modes_of_one_side_are_one_position() -> None:
    rows = Position(BTC, NET, Decimal(1), "cross"), Position(BTC, NET, Decimal("0.5"), "isolated")
    assert not detect(account(*rows), belief(ExpectedPosition(BTC, NET, Decimal("1.5"))), Policy()).findings


@pytest.mark.parametrize(
    ("marks", "prices", "notional"),
    [
        ({BTC: Decimal(10)}, {"mark_price": Decimal(9), "entry_price": Decimal(8)}, 30),
        ({}, {"mark_price": Decimal(9), "entry_price": Decimal(8)}, 27),
        ({}, {"entry_price": Decimal(8)}, 24),
        ({ETH: Decimal(10)}, {}, 0),
    ],
)
def test_a_mismatch_is_worth_its_difference_at_the_best_price_there_is(
    marks: dict[str, Decimal], prices: dict[str, Decimal], notional: int
) -> None:
    rows = Position(BTC, NET, Decimal(-2), **prices), ExpectedPosition(BTC, NET, Decimal(1))  # type: ignore[arg-type]
    finding = only(detect(account(rows[0], marks=marks), belief(rows[1]), Policy()))
    assert finding.notional == notional


def test_without_a_price_a_mismatch_is_worth_about_what_it_was_by_the_last_mark() -> None:
    background = Background(old_marks={BTC: Decimal(10)})
    ghost, stray = (
        belief(ExpectedPosition(BTC, NET, Decimal(3))),
        Position(BTC, NET, Decimal(3), entry_price=Decimal(8)),
    )
    finding = only(detect(account(), ghost, Policy(), background=background))
    assert (finding.notional, finding.priced) == (Decimal(30), False)
    finding = only(detect(account(stray), belief(), Policy(), background=background))
    assert (finding.notional, finding.priced) == (Decimal(24), True)
    finding = only(detect(account(marks={BTC: Decimal(9)}), ghost, Policy(), background=background))
    assert (finding.notional, finding.priced) == (Decimal(27), True)


def test_a_position_changed_when_the_last_of_its_rows_did() -> None:
    rows = Position(BTC, NET, Decimal(1), "cross", updated=5), Position(BTC, NET, Decimal(1), "isolated", updated=7)
    assert only(detect(account(*rows), belief(), Policy())).changed == 7


def test_a_leg_that_left_the_list_takes_no_time_from_the_other() -> None:
    rows = Position(BTC, LONG, Decimal(1), updated=5), ExpectedPosition(BTC, LONG, Decimal(1))
    tracked = ExpectedPosition(BTC, SHORT, Decimal(1))
    finding = only(detect(account(rows[0]), belief(rows[1], tracked), Policy()))
    assert (finding.id, finding.changed) == ("short", None)


# --- balances -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wallet", "differs"), [("10.5", False), ("9.5", False), ("10.51", True), ("9.49", True)])
def test_the_balances_tolerance_is_inclusive(wallet: str, differs: bool) -> None:
    policy = Policy(balance_tolerances={"USDT": Decimal("0.5")})
    rows = Balance("USDT", Decimal(wallet)), ExpectedBalance("USDT", Decimal(10))
    assert rules(detect(account(rows[0]), belief(rows[1]), policy)) == [Rule.BALANCE_MISMATCH] * differs


@pytest.mark.parametrize(("wallet", "differs"), [("10.01", False), ("10.0101", True)])
def test_an_asset_without_a_tolerance_has_the_usual_one(wallet: str, differs: bool) -> None:
    policy = Policy(balance_tolerances={"BNB": Decimal(5)})
    rows = Balance("USDT", Decimal(wallet)), ExpectedBalance("USDT", Decimal(10))
    assert bool(detect(account(rows[0]), belief(rows[1]), policy).findings) == differs


def test_a_tolerance_of_nothing_is_followed() -> None:
    policy = Policy(balance_tolerances={"USDT": Decimal(0)})
    rows = Balance("USDT", Decimal("10.000001")), ExpectedBalance("USDT", Decimal(10))
    assert rules(detect(account(rows[0]), belief(rows[1]), policy)) == [Rule.BALANCE_MISMATCH]


def test_an_asset_that_the_account_lacks_is_zero() -> None:
    finding = only(detect(account(), belief(ExpectedBalance("USDT", Decimal(1))), Policy()))
    assert (finding.symbol, finding.id, finding.expected, finding.observed) == ("USDT", "wallet", "1", "0")
    assert not detect(account(), belief(ExpectedBalance("USDT", Decimal("-0.0"))), Policy()).findings


def test_an_asset_of_which_the_bot_says_nothing_is_not_held_against_it() -> None:
    assert not detect(account(Balance("BNB", Decimal(99))), belief(), Policy()).findings


# --- what is not judged ---------------------------------------------------------------------------------------------


def test_without_a_belief_only_the_snapshot_itself_is_judged() -> None:
    found = detect(account(order("1"), order("1"), Position(BTC, NET, Decimal(1))), None, Policy())
    assert rules(found) == [Rule.DUPLICATE_KEY]
    assert (ANY, ANY) in found.unknown


def test_a_section_that_is_not_published_is_not_judged() -> None:
    full = account(order(), Position(BTC, NET, Decimal(1)), Balance("USDT", Decimal(1)))
    found = detect(full, ExpectedState(NOW), Policy())
    assert found == Detection(unjudged=frozenset(ORDER_RULES | {Rule.POSITION_MISMATCH, Rule.BALANCE_MISMATCH}))
    assert detect(full, ExpectedState(NOW, orders=()), Policy()).unjudged == {
        Rule.POSITION_MISMATCH,
        Rule.BALANCE_MISMATCH,
    }


def test_an_empty_section_is_a_statement() -> None:
    full = account(order(), Position(BTC, NET, Decimal(1)), Balance("USDT", Decimal(1)))
    found = detect(full, ExpectedState(NOW, positions=(), orders=(), balances=()), Policy())
    assert set(rules(found)) == {Rule.UNEXPECTED_ORDER, Rule.POSITION_MISMATCH}
    assert found.unjudged == frozenset()


def test_of_an_unsettled_symbol_nothing_is_compared() -> None:
    rows = order("1", BTC), Position(BTC, NET, Decimal(1)), order("2", ETH)
    found = detect(account(*rows, unsettled=frozenset({BTC})), belief(believed(order("3"))), Policy())
    assert {finding.symbol for finding in found.findings} == {ETH}
    assert (BTC, ANY) in found.unknown
    assert found.questions == ()


def test_an_unsettled_symbol_still_shows_what_is_corrupt() -> None:
    found = detect(account(order(), order(), unsettled=frozenset({BTC})), belief(), Policy())
    assert rules(found) == [Rule.DUPLICATE_KEY]


def test_a_belief_beyond_the_scope_is_left_alone() -> None:
    policy = Policy(symbols=(BTC,))
    tracked = believed(order("1", ETH)), ExpectedPosition(ETH, NET, Decimal(1))
    assert detect(account(), belief(*tracked), policy) == Detection()
    within = believed(order("1", BTC)), ExpectedPosition(BTC, NET, Decimal(1))
    found = detect(account(), belief(*within), policy)
    assert (rules(found), found.questions) == ([Rule.POSITION_MISMATCH], (Question(BTC, "1"),))


def test_a_pass_judges_what_it_would_have_shown() -> None:
    unexpected = only(detect(account(order()), belief(), Policy()))
    twice = only(detect(account(order(), order()), None, Policy()))
    assert Detection().judged(unexpected)
    assert not Detection(unknown=frozenset({(BTC, "1")})).judged(unexpected)
    assert not Detection(unknown=frozenset({(BTC, ANY)})).judged(unexpected)
    assert not Detection(unknown=frozenset({(ANY, ANY)})).judged(unexpected)
    assert Detection(unknown=frozenset({(ETH, ANY), (BTC, "2")})).judged(unexpected)
    assert not Detection(unjudged=frozenset({Rule.UNEXPECTED_ORDER})).judged(unexpected)
    assert Detection(unknown=frozenset({(ANY, ANY)})).judged(twice)
    assert not Detection(blind=True).judged(twice)


def test_what_is_taken_back_is_unknown() -> None:
    found = detect(account(order("1"), order("2")), belief(), Policy())
    first, second = found.findings
    without = found.without({first.key})
    assert without == Detection((second,), frozenset({(BTC, "1")}))
    assert not Detection().doubting([first]).judged(first)


def test_a_regressed_snapshot_judges_nothing_else() -> None:
    found = regression(account(), NOW + 250)
    finding = only(found)
    assert (finding.rule, finding.severity) == (Rule.TIMESTAMP_REGRESSION, Severity.WARNING)
    assert str(NOW) in finding.message
    assert str(NOW + 250) in finding.message
    assert found.blind


# --- texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("grinder_1-a.b:c/d@e+F", "grinder_1-a.b:c/d@e+F"),
        ("a b\n\x1b[31m\u202e<b>", "a?b???31m??b?"),
        ("é٣", "??"),
        ("x" * 65, "x" * 64),
        ("", ""),
    ],
)
def test_an_upstream_identifier_is_made_printable_and_short(text: str, clean: str) -> None:
    assert sanitize(text) == clean


def test_findings_hold_only_clean_identifiers() -> None:
    row = order("1\n2", client_id="<script>")
    finding = only(detect(account(row), belief(), Policy()))
    assert finding.id == "1?2"
    assert "<" not in finding.message
    assert "\n" not in finding.message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        ("1.500", "1.5"),
        ("1E+3", "1000"),
        ("1E-7", "0.0000001"),
        ("-0.0", "0"),
        ("-0", "0"),
        ("100", "100"),
        ("-1.0", "-1"),
    ],
)
def test_a_decimal_is_written_as_people_write_it(value: str | None, text: str) -> None:
    assert plain(None if value is None else Decimal(value)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=12))
def test_a_written_decimal_is_the_decimal(value: Decimal) -> None:
    assert Decimal(plain(value)) == value


# --- whatever the account ---------------------------------------------------------------------------------------------

SYMBOLS = st.sampled_from([BTC, ETH])
FEW = st.sampled_from([Decimal(-1), Decimal(0), Decimal(1), Decimal(2)])
SIZES = st.sampled_from([Decimal(1), Decimal(2)])
IDS = st.sampled_from(["1", "2", "3", "10"])
CLIENT_IDS = st.sampled_from(["", "a", "b"])
ORDERS = st.builds(
    Order,
    id=IDS,
    client_id=CLIENT_IDS,
    symbol=SYMBOLS,
    side=st.just(Side.BUY),
    quantity=FEW,
    filled=st.just(Decimal(0)),
    price=st.just(Decimal(10)),
)
POSITIONS = st.builds(
    Position, symbol=SYMBOLS, side=st.sampled_from(PositionSide), quantity=FEW, margin_mode=st.sampled_from(["", "x"])
)
BALANCES = st.builds(Balance, asset=st.sampled_from(["USDT", "BNB"]), wallet=FEW)
EXPECTED_ORDERS = st.builds(
    ExpectedOrder,
    symbol=SYMBOLS,
    id=IDS,
    client_id=st.just(""),
    quantity=SIZES,
    status=st.sampled_from(OrderStatus),
)
EXPECTED_POSITIONS = st.builds(
    ExpectedPosition, symbol=SYMBOLS, side=st.sampled_from(PositionSide), quantity=st.just(Decimal(1))
)
EXPECTED_BALANCES = st.builds(ExpectedBalance, asset=st.sampled_from(["USDT", "BNB"]), wallet=SIZES)


@st.composite
def answers(draw: st.DrawFn) -> Answers:
    """What the exchange may have said of some orders."""
    said: dict[Question, Order | None] = {}
    for id_ in draw(st.lists(IDS, unique=True)):
        symbol = draw(SYMBOLS)
        status = draw(st.sampled_from([None, *OrderStatus]))
        said[Question(symbol, id_)] = None if status is None else order(id_, symbol, status=status)
    return said


@st.composite
def shuffled_pairs(draw: st.DrawFn) -> tuple[AccountSnapshot, ExpectedState, AccountSnapshot, ExpectedState]:
    """Two sides, and the same with their rows in another order."""

    def twice(rows: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(rows), tuple(draw(st.permutations(rows)))

    orders = twice(draw(st.lists(ORDERS, max_size=6)))
    positions = twice(draw(st.lists(POSITIONS, max_size=5)))
    balances = twice(draw(st.lists(BALANCES, unique_by=lambda row: row.asset)))
    tracked = twice(draw(st.lists(EXPECTED_ORDERS, max_size=6, unique_by=lambda row: (row.symbol, row.id))))
    held = twice(draw(st.lists(EXPECTED_POSITIONS, max_size=5, unique_by=lambda row: (row.symbol, row.side))))
    wallets = twice(draw(st.lists(EXPECTED_BALANCES, unique_by=lambda row: row.asset)))
    unsettled = frozenset(draw(st.lists(SYMBOLS, max_size=1)))
    ((one, other), (left, right)) = (
        [
            AccountSnapshot(NOW, positions=positions[at], orders=orders[at], balances=balances[at], unsettled=unsettled)
            for at in (0, 1)
        ],
        [ExpectedState(NOW, positions=held[at], orders=tracked[at], balances=wallets[at]) for at in (0, 1)],
    )
    return one, left, other, right


@given(shuffled_pairs(), answers())
def test_the_order_of_rows_does_not_matter(
    pairs: tuple[AccountSnapshot, ExpectedState, AccountSnapshot, ExpectedState], said: Answers
) -> None:
    one, left, other, right = pairs
    assert detect(one, left, Policy(), said) == detect(other, right, Policy(), said)


@given(shuffled_pairs(), answers())
def test_nothing_is_both_found_and_unknown(
    pairs: tuple[AccountSnapshot, ExpectedState, AccountSnapshot, ExpectedState], said: Answers
) -> None:
    found = detect(pairs[0], pairs[1], Policy(), said)
    for finding in found.findings:
        assert found.judged(finding)
    assert len({finding.key for finding in found.findings}) == len(found.findings)


@given(shuffled_pairs())
def test_no_order_is_missing_without_an_answer(
    pairs: tuple[AccountSnapshot, ExpectedState, AccountSnapshot, ExpectedState],
) -> None:
    assert Rule.MISSING_ORDER not in rules(detect(pairs[0], pairs[1], Policy()))


@given(
    st.lists(ORDERS.filter(lambda row: row.quantity >= 0), unique_by=lambda row: (row.symbol, row.id)),
    st.dictionaries(SYMBOLS, FEW),
    st.dictionaries(st.sampled_from(["USDT", "BNB"]), FEW),
)
def test_a_bot_that_knows_everything_is_never_found_wrong(
    orders: list[Order], held: dict[str, Decimal], wallets: dict[str, Decimal]
) -> None:
    snapshot = account(
        *orders,
        *(Position(symbol, NET, quantity) for symbol, quantity in held.items()),
        *(Balance(asset, wallet) for asset, wallet in wallets.items()),
    )
    truth = belief(
        *map(believed, orders),
        *(ExpectedPosition(symbol, NET, quantity) for symbol, quantity in held.items()),
        *(ExpectedBalance(asset, wallet) for asset, wallet in wallets.items()),
    )
    policy = Policy(balance_tolerances={"USDT": Decimal(0), "BNB": Decimal(0)})
    assert detect(snapshot, truth, policy) == Detection()


# --- identifiers that look like something else ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net", "long", "short", "*", "*positions", "wallet"])
def test_an_order_named_like_something_else_hides_nothing(name: str) -> None:
    snapshot = account(Position(BTC, NET, Decimal(5)), order("7"))
    denied = {Question(BTC, name): None}
    found = detect(snapshot, belief(ExpectedOrder(BTC, id=name)), Policy(), denied)
    assert {Rule.POSITION_MISMATCH, Rule.UNEXPECTED_ORDER} <= set(rules(found))
    found = detect(snapshot, belief(ExpectedOrder(BTC, id=name)), Policy())
    assert rules(found) == [Rule.POSITION_MISMATCH]  # order 7 may be what took its place


def test_a_doubt_about_one_order_does_not_reach_another_with_its_id_as_client_id() -> None:
    rows = [ExpectedOrder(BTC, id="5"), ExpectedOrder(BTC, id="7", quantity=Decimal(9))]
    snapshot = account(order("7", client_id="5"))
    one, other = (detect(snapshot, belief(*beliefs), Policy()) for beliefs in (rows, rows[::-1]))
    assert one == other
    assert Rule.ORDER_DIVERGENCE in rules(one)


def test_a_denied_order_does_not_silence_one_that_shares_its_client_id() -> None:
    first, second = order("1", client_id="c"), order("2", client_id="c")
    rows = [believed(first), believed(second, quantity=Decimal(7), client_id="")]
    denied = {Question(BTC, "1"): None}
    one, other = (detect(account(first, second), belief(*beliefs), Policy(), denied) for beliefs in (rows, rows[::-1]))
    assert one == other
    assert Rule.ORDER_DIVERGENCE in rules(one)

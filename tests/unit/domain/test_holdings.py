"""Positions and balances: what a belief that lags may say, and what the exchange's own lists prove."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.rows import BTC, ETH, NOW, account, belief, fill, only, order, rules

from accountsync.domain.account import Balance, Fill, Income, Part, Position, PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.detect import Background, detect
from accountsync.domain.expected import ExpectedBalance, ExpectedPosition
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import ANY, BALANCES, FILLS, POSITIONS, Detection
from accountsync.domain.policy import Policy

NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
GRACE = Policy().order_grace_ms
UNKNOWN = (BTC, POSITIONS)


def log(*rows: Fill, start: int = NOW - 60_000) -> FillLog:
    """A log in which nothing is pending."""
    made = FillLog(start).reading(BTC, rows, account(), GRACE)
    return made.without(set(made.pending))


def seen(holds: str, believes: str, made: FillLog | None, *, updated: int = 0, **fields: Any) -> Detection:
    """`updated`: ms after NOW at which the position changed last. The belief is of NOW, and so was one before it."""
    row = Position(BTC, NET, Decimal(holds), updated=NOW + updated, entry_price=Decimal(10))
    expected = belief(ExpectedPosition(BTC, NET, Decimal(believes)))
    snapshot = account(row, **fields)
    if made is not None:
        before = Decimal(holds) - sum(each.change for each in made.recent.get(BTC, ()))
        made = replace(made, observed={(BTC, NET): ((made.start, made.start, before),)}).observing(snapshot, GRACE)
    return detect(snapshot, expected, Policy(), {}, Background(fills=made, past=expected))


# --- where the position stood ----------------------------------------------------------------------------------------

BUSY = log(fill("1", at=-GRACE, bought="1"), fill("2", at=-100, bought="2"), fill("3", at=-10, bought="4"))
"""From 0 over 1 and 3 to 7."""


@pytest.mark.parametrize("believes", ["0", "1", "3"])
def test_a_belief_of_what_the_position_was_around_its_time_is_on_its_way(believes: str) -> None:
    found = seen("7", believes, BUSY, updated=-10)
    assert found.findings == ()
    assert UNKNOWN in found.unknown


def test_a_belief_of_what_it_never_was_is_proven_wrong() -> None:
    finding = only(seen("7", "2", BUSY, updated=-10))
    assert (finding.rule, finding.proven) == (Rule.POSITION_MISMATCH, True)
    assert (finding.expected, finding.observed, finding.changed) == ("2", "7", NOW - 10)


def test_an_offset_is_proven_on_a_symbol_that_never_settles() -> None:
    finding = only(seen("7", "2", BUSY, updated=-10, unsettled=frozenset({BTC})))
    assert finding.proven is True
    found = seen("7", "3", BUSY, updated=-10, unsettled=frozenset({BTC}))
    assert found.findings == ()


def test_without_fills_a_symbol_that_never_settles_is_unknown() -> None:
    found = seen("7", "2", None, updated=-10, unsettled=frozenset({BTC}))
    assert found.findings == ()
    assert not found.judged(only(seen("7", "2", None, updated=-10)))


def test_a_quantity_of_before_the_grace_explains_nothing() -> None:
    made = log(fill("1", at=-GRACE - 1, bought="1"), fill("2", at=-10, bought="2"))
    assert only(seen("3", "0", made, updated=-10)).proven is True
    assert seen("3", "1", made, updated=-10).findings == ()


def test_a_quantity_that_came_after_the_belief_explains_it_too() -> None:
    """The bot may be ahead of its own clock, and fills are dated by the exchange's."""
    assert seen("7", "3", log(fill("3", at=40, bought="4")), updated=40).findings == ()


def test_without_a_fill_near_it_a_difference_is_told_unproven() -> None:
    for made in (log(), log(fill("1", at=-GRACE - 1)), log(fill("1", at=-3_000)), None):
        finding = only(seen("7", "2", made, updated=-10))
        assert finding.proven is None


def test_as_long_as_its_fills_are_unread_nothing_is_proven_of_a_symbol() -> None:
    finding = only(seen("7", "2", BUSY.noticing([BTC], account()), updated=-10))
    assert (finding.proven, finding.changed) == (None, NOW - 10)
    assert only(seen("7", "2", BUSY.noticing([ETH], account()), updated=-10)).proven is True


def test_a_position_that_was_closed_is_unknown_as_long_as_its_fills_are_unread() -> None:
    """Only they tell when it was closed."""
    expected = belief(ExpectedPosition(BTC, NET, Decimal(2)))
    found = detect(account(), expected, Policy(), {}, Background(fills=log().noticing([BTC], account())))
    assert found.findings == ()
    assert found.unknown == {UNKNOWN, (BTC, FILLS)}


def test_a_belief_in_legs_of_a_one_way_account_was_not_wrong_when_its_net_was_right() -> None:
    row = Position(BTC, NET, Decimal(7), updated=NOW - 10)
    made = replace(BUSY, proven={(BTC, NET): (NOW - 10, Decimal(7))})
    past = belief(ExpectedPosition(BTC, LONG, Decimal(3)))
    now = belief(ExpectedPosition(BTC, LONG, Decimal(2)))
    for background in (
        Background(fills=made, past=past),
        Background(fills=made, past=replace(past, positions=None)),
        Background(fills=made),
    ):
        assert only(detect(account(row), now, Policy(), {}, background)).proven is None
    wrong = Background(fills=made, past=now)
    assert only(detect(account(row), now, Policy(), {}, wrong)).proven is True


def test_dust_around_a_quantity_it_had_is_no_difference() -> None:
    steps = {BTC: Decimal("0.01")}
    assert seen("7", "2.995", BUSY, updated=-10, steps=steps).findings == ()
    assert only(seen("7", "2.99", BUSY, updated=-10, steps=steps)).expected == "2.99"


def test_of_a_position_in_two_margin_modes_nothing_is_proven() -> None:
    rows = [Position(BTC, NET, Decimal(7), mode, updated=NOW - 10) for mode in ("cross", "isolated")]
    expected = belief(ExpectedPosition(BTC, NET, Decimal(3)))
    assert only(detect(account(*rows), expected, Policy(), {}, Background(fills=BUSY))).proven is None


def test_of_a_corrupt_position_nothing_is_proven() -> None:
    row = Position(BTC, LONG, Decimal(-7), updated=NOW - 10)
    expected = belief(ExpectedPosition(BTC, LONG, Decimal(2)))
    made = log(fill("3", at=-10, leg=LONG))
    found = detect(account(row), expected, Policy(), {}, Background(fills=made))
    assert rules(found) == [Rule.NEGATIVE_QUANTITY]


def test_a_position_that_was_closed_changed_at_its_last_fill() -> None:
    expected = belief(ExpectedPosition(BTC, NET, Decimal(2)))
    made = log(fill("1", at=-30, bought="-2"))
    finding = only(detect(account(), expected, Policy(), {}, Background(fills=made)))
    assert (finding.observed, finding.changed, finding.proven) == ("0", NOW - 30, None)


# --- dust and price --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("holds", "differs"), [("1.0009", False), ("0.9991", False), ("1.001", True), ("0.999", True)])
def test_less_than_can_be_traded_is_dust(holds: str, differs: bool) -> None:
    assert bool(seen(holds, "1", None, steps={BTC: Decimal("0.001")}).findings) is differs
    assert seen(holds, "1", None, steps={ETH: Decimal(5)}).findings


def test_a_leg_is_worth_its_own_price_whatever_row_stands_first() -> None:
    rows = [
        Position(BTC, SHORT, Decimal(1), entry_price=Decimal(7)),
        Position(BTC, LONG, Decimal(1), entry_price=Decimal(9)),
    ]
    for listed in (rows, rows[::-1]):
        found = detect(account(*listed), belief(), Policy())
        assert {finding.id: finding.notional for finding in found.findings} == {"long": 9, "short": 7}


def test_without_the_list_of_positions_none_is_judged() -> None:
    found = detect(
        account(missing=frozenset({Part.POSITIONS})), belief(ExpectedPosition(BTC, NET, Decimal(1))), Policy()
    )
    assert found == Detection(unknown=frozenset({(ANY, POSITIONS)}))


# --- balances --------------------------------------------------------------------------------------------------------


def wallets(
    holds: str, believes: str, *booked: Income, known: bool = True, tells: bool = True, as_of: int = NOW - 20_000
) -> Detection:
    expected = belief(ExpectedBalance("USDT", Decimal(believes)), as_of=as_of)
    background = Background(income=booked if known else None, tells_income=tells)
    return detect(account(Balance("USDT", Decimal(holds))), expected, Policy(), {}, background)


def income(amount: str, at: int = -10_000, asset: str = "USDT") -> Income:
    """`at`: ms after NOW, which is the snapshot's time; the belief is of 20 s before."""
    return Income(asset, Decimal(amount), NOW + at)


def test_income_since_the_belief_explains_a_balance() -> None:
    assert wallets("103", "100", income("5"), income("-2", at=-9_000)).findings == ()


def test_income_that_does_not_make_up_the_difference_proves_it() -> None:
    assert only(wallets("103", "100", income("5"))).proven is True
    assert only(wallets("103", "100")).proven is True


def test_a_difference_that_income_might_explain_waits_for_it() -> None:
    assert only(wallets("103", "100", known=False)).proven is False


def test_where_no_income_is_told_a_difference_is_told_unproven() -> None:
    assert only(wallets("103", "100", known=False, tells=False)).proven is None


def test_income_of_another_asset_explains_nothing() -> None:
    assert rules(wallets("103", "100", income("3", asset="BNB"))) == [Rule.BALANCE_MISMATCH]


def test_income_within_the_tolerance_is_enough() -> None:
    assert wallets("103.01", "100", income("3")).findings == ()
    assert wallets("103.011", "100", income("3")).findings


@pytest.mark.parametrize(
    ("at", "explains"),
    [
        (-20_000 - GRACE, True),
        (-20_000 - GRACE - 1, False),
        (-20_000 + GRACE - 1, True),
        (-1, True),
        (3_000, True),
    ],
)
def test_income_counts_from_the_grace_before_the_belief_on(at: int, explains: bool) -> None:
    assert (not wallets("103", "100", income("3", at=at)).findings) is explains


@pytest.mark.parametrize(("at", "needed"), [(-20_000, False), (-20_000 + GRACE - 1, False), (-20_000 + GRACE, True)])
def test_income_around_the_belief_may_be_in_it_already(at: int, needed: bool) -> None:
    """What was booked within the grace counts or does not, as the balances have it."""
    assert bool(wallets("100", "100.5", income("3", at=at), income("-0.5")).findings) is needed


def test_income_of_one_moment_explains_whatever_row_stands_first() -> None:
    rows = income("1", at=-20_000), income("-3", at=-20_000), income("7", at=-20_000)
    found = {
        bool(wallets(holds, "100", *order_).findings)
        for holds in ("108",)
        for order_ in (rows, rows[::-1], (rows[1], rows[0], rows[2]), (rows[0], rows[2], rows[1]))
    }
    assert len(found) == 1


def test_without_the_list_of_balances_none_is_judged() -> None:
    snapshot = account(order(), missing=frozenset({Part.BALANCES}))
    found = detect(snapshot, belief(ExpectedBalance("USDT", Decimal(1))), Policy())
    assert rules(found) == [Rule.UNEXPECTED_ORDER]
    assert found.unknown == {(ANY, BALANCES)}
    assert not found.judged(replace(only(wallets("103", "100")), proven=None))

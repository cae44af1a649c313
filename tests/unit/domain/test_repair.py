"""What a bot is told of its own belief: what the exchange says, and nothing that is made up or somebody else's."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.proposing import POLICY, leg, others, own, proposed
from tests.support.rows import BTC, ETH, NOW, account, belief, believed, fill, order

from accountsync.domain.account import Balance, OrderStatus, Part, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.detect import Background, detect
from accountsync.domain.expected import ExpectedBalance, ExpectedPosition, ExpectedState
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Finding, Question
from accountsync.domain.past import Past
from accountsync.domain.plan import ActionKind, Proposal, Repair, RepairKind
from accountsync.domain.policy import Limits, Mode, Remedies, UnexpectedOrders, UnexpectedPositions
from accountsync.domain.repair import MOST_REPAIRS
from accountsync.domain.sharing import Sharing, Sibling

NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
PAUSE = replace(POLICY, mode=Mode.PAUSE)
SIBLINGS = Sharing((Sibling("other", "x_", belief()),))


def told(snapshot: Any, expected: Any = None, policy: Any = PAUSE, **fields: Any) -> tuple[Repair, ...]:
    found = proposed(snapshot, expected or belief(), policy, writable=True, **fields)
    assert (found.approval, found.refusal) == ("", "")
    return tuple(repair for action in found.actions for repair in action.repairs)


# --- orders ----------------------------------------------------------------------------------------------------------


def test_an_order_of_the_bot_that_it_does_not_know_is_adopted_with_all_its_fields() -> None:
    (repair,) = told(others(own("1", filled=Decimal("0.5"))))
    assert repair == Repair(
        RepairKind.MISSING_ORDER,
        BTC,
        "1",
        "open",
        order_id="1",
        client_id="bot_1",
        side="buy",
        quantity=Decimal(2),
        filled=Decimal("0.5"),
        price=Decimal(100),
    )


def test_a_foreign_order_is_never_adopted() -> None:
    assert told(others(order("1", client_id="web_1"), order("2", client_id=""))) == ()
    assert told(others(own("1")), policy=replace(PAUSE, order_id_prefix="")) == ()
    named = replace(PAUSE, remedies=replace(PAUSE.remedies, prefixes=("web_",)))
    assert told(others(order("1", client_id="web_1")), policy=named) == ()


def test_an_order_of_a_sibling_is_not_adopted_and_one_of_its_own_is() -> None:
    sharing = Sharing((Sibling("other", "bot_b", belief()),))
    rows = told(others(own("1", client_id="bot_b1"), own("2")), sharing=sharing)
    assert [row.id for row in rows] == ["2"]


@pytest.mark.parametrize("status", [OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED])
def test_an_order_that_is_gone_ends_as_the_exchange_proved(status: OrderStatus) -> None:
    over = own("1", status=status, filled=Decimal("1.50"))
    (repair,) = told(others(), belief(believed(own("1"))), answers={Question(BTC, "1"): over})
    assert (repair.kind, repair.id, repair.value) == (RepairKind.STALE_ORDER, "1", status)
    assert (repair.order_id, repair.client_id, repair.side) == ("1", "bot_1", "buy")
    assert (repair.filled, repair.quantity, repair.price) == (Decimal("1.5"), Decimal(2), Decimal(100))


def test_a_state_that_the_exchange_does_not_tell_is_not_made_up() -> None:
    assert told(others(), belief(believed(own("1"))), answers={Question(BTC, "1"): None}) == ()


def test_an_order_that_the_bot_names_by_its_client_id_alone_ends_too() -> None:
    expected = belief(believed(own("1"), id=""))
    over = own("1", status=OrderStatus.CANCELED)
    (repair,) = told(others(), expected, answers={Question(BTC, client_id="bot_1"): over})
    assert (repair.id, repair.order_id, repair.client_id, repair.value) == ("bot_1", "", "bot_1", "canceled")


def test_what_the_bot_took_into_account_meanwhile_is_not_told_again() -> None:
    missing = Finding(Rule.MISSING_ORDER, BTC, "1", observed="canceled, filled 0 of 2")
    assert len(told(others(), belief(believed(own("1"))), found=[missing])) == 1
    ended = belief(believed(own("1"), status=OrderStatus.CANCELED))
    assert told(others(), ended, found=[missing]) == ()
    unexpected = Finding(Rule.UNEXPECTED_ORDER, BTC, "1")
    assert told(others(own("1")), belief(believed(own("1"))), found=[unexpected]) == ()


def test_an_order_that_neither_belief_nor_prefix_makes_the_bots_is_not_told() -> None:
    diverged = [Finding(Rule.ORDER_DIVERGENCE, BTC, "1")]
    assert told(others(order("1", client_id="web_1")), found=diverged) == ()
    assert told(others(own("1")), belief(believed(own("1"))), found=diverged)


def test_an_order_that_both_know_differently_is_told_as_it_is() -> None:
    (repair,) = told(others(own("1", filled=Decimal(1))), belief(believed(own("1"))))
    assert (repair.kind, repair.value, repair.filled) == (RepairKind.MISSING_ORDER, "open", Decimal(1))
    foreign = order("1", client_id="web_1", filled=Decimal(1))
    assert len(told(others(foreign), belief(believed(foreign, filled=Decimal(0))))) == 1, "the bot speaks of it itself"


# --- positions and balances ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "believes", "value"),
    [
        (leg("3"), ExpectedPosition(BTC, NET, Decimal(1)), "3"),
        (leg("-3.50"), ExpectedPosition(BTC, NET, Decimal(1)), "-3.5"),
        (leg("3", SHORT), ExpectedPosition(BTC, SHORT, Decimal(1)), "3"),
        (leg("3", SHORT), ExpectedPosition(BTC, NET, Decimal(1)), "-3"),
        (leg("0"), ExpectedPosition(BTC, NET, Decimal(1)), "0"),
    ],
)
def test_a_position_becomes_what_the_exchange_holds(row: Any, believes: ExpectedPosition, value: str) -> None:
    (repair,) = told(others(row), belief(believes))
    assert repair == Repair(RepairKind.POSITION, BTC, believes.side, value)


def test_a_position_that_agrees_by_now_is_not_repaired() -> None:
    found = [Finding(Rule.POSITION_MISMATCH, BTC, "net", expected="1", observed="3")]
    assert told(others(leg("1.0")), belief(ExpectedPosition(BTC, NET, Decimal(1))), found=found) == ()


def test_a_position_that_changed_while_it_was_read_is_not_repaired() -> None:
    found = [Finding(Rule.POSITION_MISMATCH, BTC, "net", expected="1", observed="3")]
    expected = belief(ExpectedPosition(BTC, NET, Decimal(1)))
    assert told(others(leg("3")), expected, found=found)
    assert told(others(leg("3"), unsettled=frozenset({BTC})), expected, found=found) == ()
    assert told(others(leg("3"), unsettled=frozenset({ETH})), expected, found=found)


def test_nothing_is_repaired_from_a_snapshot_that_lacks_a_part() -> None:
    lacking = account(own("1"), missing=frozenset({Part.POSITIONS}))
    assert told(lacking, found=[Finding(Rule.UNEXPECTED_ORDER, BTC, "1")]) == ()


@pytest.mark.parametrize(("wallet", "value"), [("12.01", None), ("12.011", "12.011"), ("7", "7")])
def test_a_balance_is_repaired_beyond_a_hundredth(wallet: str, value: str | None) -> None:
    expected = belief(ExpectedBalance("USDT", Decimal(12)))
    found = [Finding(Rule.BALANCE_MISMATCH, "USDT", "wallet")]
    repairs = told(others(Balance("USDT", Decimal(wallet))), expected, found=found)
    assert repairs == (() if value is None else (Repair(RepairKind.BALANCE, "USDT", "wallet", value),))


def test_with_siblings_positions_and_balances_are_nobodys_to_repair_and_orders_are() -> None:
    expected = belief(ExpectedPosition(BTC, NET, Decimal(1)), ExpectedBalance("USDT", Decimal(12)))
    snapshot = others(own("1"), leg("3"), Balance("USDT", Decimal(7)))
    assert {row.kind for row in told(snapshot, expected)} == {
        RepairKind.MISSING_ORDER,
        RepairKind.POSITION,
        RepairKind.BALANCE,
    }
    assert [row.kind for row in told(snapshot, expected, sharing=SIBLINGS)] == [RepairKind.MISSING_ORDER]


@pytest.mark.parametrize(
    "rule", [Rule.DUPLICATE_KEY, Rule.NEGATIVE_QUANTITY, Rule.TIMESTAMP_REGRESSION, Rule.UNATTRIBUTED_FILL]
)
def test_what_is_no_belief_of_the_bots_is_not_repaired(rule: Rule) -> None:
    assert told(others(leg("3"), own("1")), found=[Finding(rule, BTC, "1"), Finding(rule, BTC, "net")]) == ()


# --- one action, one remedy ------------------------------------------------------------------------------------------


def test_all_repairs_of_a_belief_are_one_action_that_nobody_has_to_approve() -> None:
    past = Past(failed=frozenset({"Repair||"}))
    found = proposed(others(own("1"), own("2"), leg("3", symbol=ETH)), policy=PAUSE, writable=True, past=past)
    (action,) = found.actions
    assert (action.kind, action.notional, len(action.repairs)) == (ActionKind.REPAIR, Decimal(0), 3)
    assert found.findings == action.findings
    assert len(found.findings) == 3
    assert found.approval == ""


def test_a_repair_is_one_action_and_counts_for_no_limit() -> None:
    remedies = Remedies(limits=Limits(0, notional_per_hour=Decimal(0)))
    found = proposed(others(own("1"), own("2")), policy=replace(PAUSE, remedies=remedies), writable=True)
    assert (len(found.actions), found.refusal) == (1, "")


def test_nothing_is_repaired_that_cannot_be_written_to_or_may_not_be() -> None:
    assert proposed(others(own("1")), policy=PAUSE, writable=False) == Proposal()
    forbidden = replace(PAUSE, remedies=replace(PAUSE.remedies, repair=False))
    assert told(others(own("1")), policy=forbidden) == ()
    assert told(others(own("1")), policy=replace(PAUSE, mode=Mode.OBSERVE)) == ()


def test_what_is_cancelled_or_closed_is_not_repaired() -> None:
    snapshot = others(own("1"), leg("3"), own("2", symbol=ETH, filled=Decimal(1)))
    expected = belief(believed(own("2", symbol=ETH)))
    found = proposed(snapshot, expected, writable=True)
    assert [action.kind for action in found.actions] == [ActionKind.CANCEL, ActionKind.FLATTEN, ActionKind.REPAIR]
    assert [(row.symbol, row.id) for row in found.actions[2].repairs] == [(ETH, "2")]


def test_where_enforce_does_not_cancel_or_close_it_repairs() -> None:
    never = replace(POLICY.remedies, orders=UnexpectedOrders.NEVER, positions=UnexpectedPositions.NEVER)
    rows = told(others(own("1"), leg("3")), policy=replace(POLICY, remedies=never))
    assert {row.kind for row in rows} == {RepairKind.MISSING_ORDER, RepairKind.POSITION}


def test_a_leftover_of_a_closed_position_is_not_adopted() -> None:
    never = replace(POLICY, remedies=replace(POLICY.remedies, orders=UnexpectedOrders.NEVER))
    stop = own("7", side=Side.SELL, reduce_only=True)
    found = proposed(others(leg("3"), stop), policy=never, writable=True)
    assert [action.kind for action in found.actions] == [ActionKind.FLATTEN, ActionKind.CANCEL]


def test_more_repairs_than_a_plan_holds_are_left_for_the_next() -> None:
    rows = [own(f"{number:03}") for number in range(MOST_REPAIRS + 1)]
    assert len(told(others(*rows))) == MOST_REPAIRS


def test_what_the_bot_does_not_publish_is_not_repaired() -> None:
    silent = ExpectedState(belief().as_of, orders=())
    found = [Finding(Rule.POSITION_MISMATCH, BTC, "net"), Finding(Rule.BALANCE_MISMATCH, "USDT", "wallet")]
    assert told(others(leg("3"), Balance("USDT", Decimal(7))), silent, found=found) == ()


# --- a bot that takes up all that it finds ---------------------------------------------------------------------------


def withheld(snapshot: Any, expected: Any = None, **fields: Any) -> tuple[list[Repair], str]:
    """What a bot that adopts is told, and why not more."""
    policy = replace(PAUSE, order_id_prefix="")
    found = proposed(snapshot, expected or belief(), policy, writable=True, adopts=True, **fields)
    assert found.refusal == ""
    return [repair for action in found.actions for repair in action.repairs], found.withheld


def test_a_bot_that_adopts_is_told_nothing_of_a_symbol_in_which_a_person_has_an_open_order() -> None:
    by_hand = order("web_1", client_id="web_1")
    repairs, why = withheld(others(by_hand, leg("3")), belief(ExpectedPosition(BTC, NET, Decimal(5))))
    assert repairs == []
    assert "order web_1 is open, which the bot does not speak of; a person has to end or accept that first" in why
    stale = {Question(BTC, "1"): own("1", status=OrderStatus.CANCELED)}
    repairs, why = withheld(others(by_hand), belief(believed(own("1"))), answers=stale)
    assert repairs == []
    assert why


def test_a_bot_that_adopts_is_told_of_other_symbols_and_where_all_open_orders_are_known() -> None:
    elsewhere = order("web_1", client_id="web_1", symbol=ETH)
    repairs, why = withheld(others(elsewhere, leg("3")), belief(ExpectedPosition(BTC, NET, Decimal(5))))
    assert ([row.symbol for row in repairs], why) == ([BTC], "")
    known = order("1", client_id="x-ccxt")
    repairs, why = withheld(others(known, leg("3")), belief(believed(known), ExpectedPosition(BTC, NET, Decimal(5))))
    assert ([row.value for row in repairs], why) == (["3"], "")


@pytest.mark.parametrize(("client_id", "why", "told_of"), [("autoclose-1", "liquidation", ["0"]), ("web_1", "", [])])
def test_a_bot_that_adopts_takes_up_a_liquidation_and_no_fill_of_a_person(
    client_id: str, why: str, told_of: list[str]
) -> None:
    snapshot, expected = others(), belief(ExpectedPosition(BTC, NET, Decimal(5)))
    sold = fill("7", at=-60_000, bought="-5", leg=NET)
    said = {Question(BTC, sold.order_id, conditional=False): order(sold.order_id, client_id=client_id, forced=why)}
    log = FillLog(NOW - 90_000).reading(BTC, (sold,), snapshot, 5_000)
    found = detect(snapshot, expected, PAUSE, said, Background(fills=log)).findings
    assert Rule.UNATTRIBUTED_FILL in {finding.rule for finding in found}
    repairs, left = withheld(snapshot, expected, found=found)
    assert [row.value for row in repairs] == told_of
    assert ("fill:7 is of an order that is not the bot's" in left) is not bool(why)


def test_a_bot_that_is_told_row_by_row_takes_up_nothing() -> None:
    snapshot = others(order("web_1", client_id="web_1"), leg("3"))
    assert told(snapshot, belief(ExpectedPosition(BTC, NET, Decimal(5))))

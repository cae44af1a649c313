"""Several bots on one account: whose an order is, and what they hold together."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.rows import BTC, ETH, NOW, account, belief, believed, fill, only, order, rules

from accountsync.domain.account import Balance, Order, OrderStatus, Position, PositionSide
from accountsync.domain.catalogue import Rule, Severity
from accountsync.domain.detect import Background, detect
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Detection, Question
from accountsync.domain.policy import Policy
from accountsync.domain.sharing import ALONE, Sharing, Sibling, has_stake, names

NET = PositionSide.NET
OURS = Policy(order_id_prefix="bot_")
GRID = Sibling("grid", "bot_grid_", belief())
OTHER = Sibling("other", "x_", belief())


def net(quantity: str, symbol: str = BTC) -> ExpectedPosition:
    return ExpectedPosition(symbol, NET, Decimal(quantity))


def usdt(wallet: str) -> ExpectedBalance:
    return ExpectedBalance("USDT", Decimal(wallet))


def among(*siblings: Sibling, leads: bool = True) -> Background:
    return Background(sharing=Sharing(siblings, leads=leads))


def seen(
    *rows: Order | Position | Balance, own: ExpectedState | None = None, beside: Background, policy: Policy = OURS
) -> Detection:
    return detect(account(*rows), own or belief(), policy, {}, beside)


# --- whose an order is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client_id", "owner"),
    [("bot_1", None), ("bot_grid_1", "grid"), ("x_1", "other"), ("y_1", None), ("", None)],
)
def test_an_order_is_of_the_bot_with_the_longest_prefix(client_id: str, owner: str | None) -> None:
    found = Sharing((GRID, OTHER)).owner(client_id, "bot_")
    assert (found.name if found else None) == owner


def test_from_the_other_side_the_shorter_prefix_claims_nothing_of_ours() -> None:
    sharing = Sharing((Sibling("bot", "bot_", belief()),))
    assert sharing.owner("bot_grid_1", "bot_grid_") is None
    assert sharing.owner("bot_1", "bot_grid_") is not None
    assert sharing.owner("bot_1", "") is not None, "a bot without a prefix claims nothing"


def test_a_sibling_without_a_prefix_owns_nothing_by_it() -> None:
    assert Sharing((Sibling("plain", "", belief()),)).owner("anything", "bot_") is None


def test_what_carries_a_siblings_prefix_is_its_own_to_tell() -> None:
    unheard = replace(GRID, belief=None)
    for sibling in (GRID, unheard):
        assert seen(order(client_id="bot_grid_1"), beside=among(sibling)) == Detection(
            unjudged=frozenset() if sibling.belief else frozenset({Rule.POSITION_MISMATCH, Rule.BALANCE_MISMATCH})
        )


def test_what_carries_our_prefix_is_ours_to_tell_whoever_leads() -> None:
    for leads in (True, False):
        finding = only(seen(order(client_id="bot_1"), beside=among(GRID, leads=leads)))
        assert (finding.rule, finding.severity) == (Rule.UNEXPECTED_ORDER, Severity.HIGH)


def test_what_carries_our_prefix_and_a_sibling_tracks_is_no_finding() -> None:
    row = order(client_id="bot_1")
    assert not seen(row, beside=among(replace(GRID, belief=belief(believed(row))))).findings


def test_what_belongs_to_none_is_told_by_one_bot() -> None:
    row = order(client_id="web_1")
    finding = only(seen(row, beside=among(GRID)))
    assert (finding.rule, finding.severity) == (Rule.UNEXPECTED_ORDER, Severity.WARNING)
    found = seen(row, beside=among(GRID, leads=False))
    assert not found.findings
    assert (BTC, "1") in found.unknown


def test_what_a_sibling_tracks_without_a_prefix_is_no_finding() -> None:
    row = order(client_id="web_1")
    tracking = replace(OTHER, belief=belief(ExpectedOrder(BTC, client_id="web_1")))
    assert not seen(row, beside=among(tracking)).findings


@pytest.mark.parametrize("unheard", [None, ExpectedState(NOW)])
def test_what_a_sibling_may_track_of_which_nothing_is_heard_is_unknown(unheard: ExpectedState | None) -> None:
    found = seen(order(client_id="web_1"), beside=among(GRID, replace(OTHER, belief=unheard)))
    assert not found.findings
    assert (BTC, "1") in found.unknown


def test_a_belief_names_an_order_by_either_id_in_its_symbol() -> None:
    told = belief(ExpectedOrder(BTC, id="1"), ExpectedOrder(BTC, client_id="c"))
    assert names(told, BTC, "1", "")
    assert names(told, BTC, "9", "c")
    assert not names(told, ETH, "1", "c")
    assert not names(told, BTC, "", "")
    assert not names(ExpectedState(NOW), BTC, "1", "c")


# --- what they hold together -----------------------------------------------------------------------------------------


def test_positions_and_balances_are_summed() -> None:
    beside = among(replace(GRID, belief=belief(net("2"), usdt("30"))))
    rows = Position(BTC, NET, Decimal("0.5")), Balance("USDT", Decimal(100))
    assert not seen(*rows, own=belief(net("-1.5"), usdt("70")), beside=beside).findings
    found = seen(*rows, own=belief(net("1"), usdt("60")), beside=beside)
    assert [(finding.rule, finding.expected) for finding in found.findings] == [
        (Rule.BALANCE_MISMATCH, "90"),
        (Rule.POSITION_MISMATCH, "3"),
    ]


def test_bots_that_hold_against_each_other_are_flat_together() -> None:
    beside = among(replace(GRID, belief=belief(net("-1"))))
    assert not seen(own=belief(net("1")), beside=beside).findings


@pytest.mark.parametrize("unheard", [None, ExpectedState(NOW, orders=())])
def test_one_unknown_belief_makes_the_sum_unknown(unheard: ExpectedState | None) -> None:
    found = seen(own=belief(net("1"), usdt("5")), beside=among(GRID, replace(OTHER, belief=unheard)))
    assert not found.findings
    assert found.unjudged == {Rule.POSITION_MISMATCH, Rule.BALANCE_MISMATCH}


def test_a_position_is_told_by_the_bots_that_have_a_stake_in_it() -> None:
    row = Position(BTC, NET, Decimal(9))
    stake = replace(GRID, belief=belief(net("1")))
    assert rules(seen(row, own=belief(net("1")), beside=among(stake, leads=False))) == [Rule.POSITION_MISMATCH]
    assert not seen(row, beside=among(stake, leads=True)).findings, "it is the other's"
    assert rules(seen(row, beside=among(GRID, leads=True))) == [Rule.POSITION_MISMATCH], "it is nobody's"
    assert not seen(row, beside=among(GRID, leads=False)).findings


def test_balances_are_told_by_the_one_that_leads() -> None:
    row = Balance("USDT", Decimal(9))
    grid = replace(GRID, belief=belief(usdt("2")))
    assert rules(seen(row, own=belief(usdt("1")), beside=among(grid))) == [Rule.BALANCE_MISMATCH]
    found = seen(row, own=belief(usdt("1")), beside=among(grid, leads=False))
    assert found.findings == ()
    assert found.unjudged == {Rule.BALANCE_MISMATCH}


def test_a_balance_of_which_one_bot_says_nothing_is_not_judged() -> None:
    assert seen(Balance("USDT", Decimal(9)), own=belief(usdt("1")), beside=among(GRID)).findings == ()


def test_a_stake_is_a_position_or_an_open_order() -> None:
    assert has_stake(belief(net("-1")), BTC)
    assert has_stake(belief(believed(order())), BTC)
    assert not has_stake(belief(net("0"), believed(order(status=OrderStatus.CANCELED))), BTC)
    assert not has_stake(belief(net("1", ETH)), BTC)
    assert not has_stake(ExpectedState(NOW), BTC)


def test_the_oldest_belief_dates_what_they_believe_together() -> None:
    old = replace(GRID, belief=belief(as_of=NOW - 500))
    assert Sharing((old, replace(OTHER, belief=None))).as_of(NOW) == NOW - 500
    assert Sharing((old,)).as_of(NOW - 900) == NOW - 900
    assert ALONE.as_of(NOW) == NOW


# --- whose a fill is -------------------------------------------------------------------------------------------------


def fills_seen(client_id: str, beside: Background, own: ExpectedState | None = None) -> Detection:
    log = FillLog(NOW - 1).reading(BTC, [fill("7")], account(), 5_000)
    said: dict[Question, Order | None] = {Question(BTC, "1", conditional=False): order(client_id=client_id)}
    return detect(account(), own or belief(), OURS, said, replace(beside, fills=log))


def test_a_siblings_fill_is_explained_by_its_prefix_and_by_its_belief() -> None:
    assert fills_seen("bot_grid_1", among(GRID)).explained == {(BTC, "7")}
    tracking = replace(OTHER, belief=belief(ExpectedOrder(BTC, id="1")))
    assert fills_seen("web_1", among(tracking)).explained == {(BTC, "7")}


def test_a_fill_that_an_unheard_sibling_may_explain_waits() -> None:
    found = fills_seen("web_1", among(replace(OTHER, belief=None)))
    assert (found.findings, found.explained) == ((), frozenset())
    assert (BTC, "fill:7") in found.unknown


def test_a_fill_that_nobody_explains_is_told_once_whoever_has_a_stake_there() -> None:
    holding = among(replace(GRID, belief=belief(net("1"))))
    assert Rule.UNATTRIBUTED_FILL in rules(fills_seen("web_1", holding))
    follower = replace(holding, sharing=replace(holding.sharing, leads=False))
    assert Rule.UNATTRIBUTED_FILL not in rules(fills_seen("web_1", follower, own=belief(net("1"))))

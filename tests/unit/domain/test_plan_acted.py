"""What our own plans did is never a finding; and what nobody's fill is, is not the bot's."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.proposing import own
from tests.support.rows import BTC, ETH, NOW, account, belief, believed, fill, order, rules

from accountsync.domain.account import Order, OrderStatus, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.detect import Background, detect
from accountsync.domain.fills import DENIED_FOR_MS, PENDING_KEPT, FillLog
from accountsync.domain.finding import Detection, Question
from accountsync.domain.past import cancelled, placed
from accountsync.domain.policy import Policy

PLAIN = Policy(order_id_prefix="bot_")
OURS = order("70", client_id="acsync-1", side=Side.SELL, reduce_only=True)


def acting(*names: str) -> Policy:
    return replace(PLAIN, acted=frozenset(names))


def traded(policy: Policy, known: Order | None = OURS, **fields: Any) -> Detection:
    """What is made of a fill of order 70."""
    log = FillLog(NOW - 2 * DENIED_FOR_MS).reading(BTC, [fill("1", order_id="70", **fields)], account(), 5_000)
    said = {Question(BTC, "70", conditional=False): known}
    return detect(account(), belief(), policy, said, Background(fills=log))


def test_a_fill_of_our_own_order_is_explained_at_once() -> None:
    assert rules(traded(PLAIN)) == [Rule.UNATTRIBUTED_FILL]
    for name in ("acsync-1", placed(BTC, "70")):
        assert traded(acting(name)) == Detection(explained=frozenset({(BTC, "1")}))


def test_a_fill_of_our_own_order_needs_no_answer_about_it() -> None:
    assert traded(acting(placed(BTC, "70")), None).explained == {(BTC, "1")}
    assert traded(PLAIN, None).explained == frozenset()


@pytest.mark.parametrize("name", [placed(ETH, "70"), cancelled(BTC, "70"), "70", "acsync-2"])
def test_a_fill_of_another_order_is_still_told(name: str) -> None:
    """Ids repeat between symbols, and whose order we cancelled may have been anybody's."""
    assert rules(traded(acting(name))) == [Rule.UNATTRIBUTED_FILL]


def test_our_own_order_is_not_unexpected() -> None:
    assert rules(detect(account(OURS), belief(), PLAIN)) == [Rule.UNEXPECTED_ORDER]
    assert detect(account(OURS), belief(), acting("acsync-1")) == Detection()


def test_an_order_that_we_cancelled_and_that_stands_is_still_unexpected() -> None:
    assert rules(detect(account(own("1")), belief(), acting(cancelled(BTC, "1")))) == [Rule.UNEXPECTED_ORDER]


def gone(policy: Policy, answer: Order | None, tracked: Order) -> Detection:
    return detect(account(), belief(believed(tracked)), policy, {Question(BTC, tracked.id): answer})


def test_an_order_that_we_cancelled_is_not_missing() -> None:
    over = own("1", status=OrderStatus.CANCELED)
    for answer in (over, None):
        assert rules(gone(PLAIN, answer, own("1"))) == [Rule.MISSING_ORDER]
        assert gone(acting(cancelled(BTC, "1")), answer, own("1")) == Detection()
        assert rules(gone(acting(cancelled(ETH, "1")), answer, own("1"))) == [Rule.MISSING_ORDER]


def test_a_conditional_order_that_we_cancelled_is_not_missing() -> None:
    over = own("7", status=OrderStatus.CANCELED, conditional=True)
    for answer in (over, None):
        assert gone(acting(cancelled(BTC, "trigger:7")), answer, own("7")) == Detection()
    assert rules(gone(acting(cancelled(BTC, "7")), over, own("7"))) == [Rule.MISSING_ORDER]


def test_an_order_that_was_filled_before_our_cancel_is_missing() -> None:
    """That it is gone is not our doing."""
    over = own("1", status=OrderStatus.FILLED, filled=Decimal(2))
    assert rules(gone(acting(cancelled(BTC, "1")), over, own("1"))) == [Rule.MISSING_ORDER]


def test_an_order_that_we_cancelled_and_that_is_still_listed_does_not_diverge() -> None:
    expected = belief(believed(own("1"), filled=Decimal(1)))
    assert rules(detect(account(own("1")), expected, PLAIN)) == [Rule.ORDER_DIVERGENCE]
    assert detect(account(own("1")), expected, acting(cancelled(BTC, "1"))) == Detection()


# --- fills that were nobody's ----------------------------------------------------------------------------------------


def test_a_fill_that_nobody_will_ever_tell_of_is_given_up() -> None:
    found = traded(PLAIN, None, at=-DENIED_FOR_MS - 1)
    assert found.explained == found.given_up == {(BTC, "1")}
    assert traded(PLAIN, None).given_up == frozenset()


def test_the_log_remembers_which_fills_may_not_have_been_the_bots() -> None:
    log = FillLog(NOW - 60_000).reading(BTC, [fill("1"), fill("2", at=1), fill("3", at=2)], account(), 5_000)
    done = log.without({(BTC, "1"), (BTC, "2")}, foreign={(BTC, "2"), (ETH, "9")})
    assert done.foreign == {(BTC, "2")}
    assert set(done.pending) == {(BTC, "3")}
    assert done.without({(BTC, "3")}).foreign == {(BTC, "2")}


def test_fills_that_were_given_up_unread_may_not_have_been_the_bots() -> None:
    log = FillLog(NOW - 60_000)
    for symbol in ("A", "B", "C", "D", "E"):
        rows = [fill(f"{number:04}", symbol, at=number) for number in range(450)]
        log = log.reading(symbol, rows, account(), 5_000)
    assert len(log.pending) == PENDING_KEPT
    assert len(log.foreign) == 5 * 450 - PENDING_KEPT
    assert log.foreign.isdisjoint(log.pending)

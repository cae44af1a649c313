"""A reconciliation run over a ledger in memory, after real cycles: what it writes, what it leaves, and why."""

import asyncio
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.fakes import BTC, ETH, START_MS
from tests.support.reconciling import POLICY, Desk, Silent

from accountsync.domain.account import OrderStatus, PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.ledger import Handler, NoGo, Written
from accountsync.domain.policy import Ignore, Mode, Parity, Policy, Remedies, UnexpectedOrders
from accountsync.domain.sharing import ALONE, Sharing, Sibling
from accountsync.errors import (
    ExchangeUnobserved,
    LedgerLockHeld,
    LedgerReadOnly,
    LedgerReason,
    LedgerRefused,
    Reason,
)
from accountsync.reconcile import Book, Task, run
from accountsync.reconcile.proof import MAX_QUESTIONS
from accountsync.reconcile.run import JUDGED_AGAIN_AFTER, MAX_CHANGES


def ghosts(desk: Desk, policy: Policy = POLICY, *, tag: str = "grid") -> None:
    """One slice whose end the ledger missed, together with the order that made it."""
    desk.policy = policy
    desk.missed("t1", told=False, tag=tag)


# --- orders --------------------------------------------------------------------------------------------------------


def test_a_fill_that_the_bot_missed_is_brought_into_its_ledger_once_confirmed() -> None:
    desk = Desk()
    desk.missed("t1")
    first, second, third = desk.runs(3)
    assert first.changes == ()
    (change,) = second.applied
    assert (change.name, change.trade_id, change.quantity) == (Handler.EXIT_FILL, "t1", Decimal(1))
    assert not desk.held("t1")
    assert third.changes == ()
    assert not desk.state.tracks


def test_a_cancel_that_the_bot_missed_frees_the_order_and_leaves_the_slice() -> None:
    desk = Desk()
    desk.enter("t1")
    order = desk.exit("t1")
    desk.clock.advance(6.0)
    desk.exchange.end(order)
    (change,) = [change for done in desk.runs(3) for change in done.applied]
    assert change.name == Handler.CANCEL
    assert desk.held("t1") == 1
    assert desk.ledger.tables.orders["bot_t1-exit"].status is OrderStatus.CANCELED


def test_an_order_that_the_ledger_made_and_lost_is_adopted() -> None:
    desk = Desk()
    desk.enter("t1")
    desk.exit("t1", told=False)
    (change,) = [change for done in desk.runs(3) for change in done.applied]
    assert (change.name, change.trade_id) == (Handler.ADOPT, "t1")
    assert not desk.run().changes


def test_an_order_that_a_plan_cancels_is_not_adopted_meanwhile() -> None:
    cancels = replace(POLICY, mode=Mode.ENFORCE, remedies=Remedies(orders=UnexpectedOrders.PLAN))
    desk = Desk(policy=cancels)
    desk.enter("t1")
    desk.exit("t1", told=False)
    done = desk.runs(4)
    assert not [change for each in done for change in each.changes]
    (why,) = done[-1].refusals.values()
    assert "remediation.unexpectedOrders" in why


def test_what_cannot_be_brought_in_says_why() -> None:
    desk = Desk()
    desk.exchange.place(client_id="somebody", quantity="1")
    _, second = desk.runs(2)
    (why,) = second.refusals.values()
    assert "orderIdPrefix" in why
    assert second.tally is not None
    assert not desk.ledger.tables.history


def test_one_change_that_the_database_refuses_stops_no_other() -> None:
    desk = Desk()
    desk.missed("t1")
    desk.missed("t2")
    desk.ledger.against["bot_t1-exit"] = LedgerRefused(LedgerReason.WRITE_REFUSED, "a trigger is against it")
    _, second = desk.runs(2)
    assert [change.trade_id for change in second.applied] == ["t2"]
    assert second.error is not None
    assert second.error.reason is LedgerReason.WRITE_REFUSED
    assert second.tally is not None
    assert [desk.held(trade) for trade in ("t1", "t2")] == [1, 0]


def test_a_ledger_that_became_read_only_ends_the_run() -> None:
    desk = Desk()
    desk.missed("t1")
    desk.ledger.against["bot_t1-exit"] = LedgerReadOnly(LedgerReason.READ_ONLY, "it is a standby now")
    _, second = desk.runs(2)
    assert second.error is not None
    assert second.tally is None
    assert not desk.ledger.tables.history


# --- ghosts --------------------------------------------------------------------------------------------------------


def test_a_ghost_is_closed_once_three_runs_saw_it_and_a_fill_proves_it() -> None:
    desk = Desk()
    ghosts(desk)
    done = desk.runs(5)
    closed = [[change.trade_id for change in each.applied] for each in done]
    assert closed == [[], [], ["t1"], [], []]
    tallies = [each.tally for each in done]
    assert [tally.ghosts for tally in tallies if tally] == [1, 1, 1, 0, 0]
    assert [tally.auto_closed for tally in tallies if tally] == [0, 0, 1, 0, 0]
    assert tallies[1] is not None
    assert tallies[1].total_notional == 100
    assert len(desk.ledger.tables.history) == 1


def test_a_new_process_begins_to_confirm_anew_and_closes_it_once() -> None:
    desk = Desk()
    ghosts(desk)
    desk.runs(2)
    desk.book = Book()
    assert not [change for done in desk.runs(2) for change in done.changes]
    assert len([change for done in desk.runs(3) for change in done.applied]) == 1


def test_a_ghost_without_a_sub_tag_is_quarantined_and_stays_open() -> None:
    desk = Desk()
    ghosts(desk, tag="")
    done = desk.runs(5)
    assert not desk.ledger.tables.history
    assert done[-1].tally is not None
    assert done[-1].tally.no_go == {"t1": NoGo.NO_SUB_TAG}
    assert done[-1].tally.quarantined == 1


def test_an_order_and_a_ghost_of_one_missed_fill_are_put_right_by_the_order_alone() -> None:
    desk = Desk()
    desk.missed("t1")
    changes = [change for done in desk.runs(6) for change in done.applied]
    assert [change.name for change in changes] == [Handler.EXIT_FILL]


def test_a_symbol_that_is_corrected_has_no_ghost_in_the_same_run() -> None:
    desk = Desk(policy=replace(POLICY, parity=Parity(confirmations=2)))
    desk.enter("t2")
    desk.missed("t1")
    desk.exchange.fill(desk.exit("t2", told=False))
    done = [[(change.name, change.trade_id) for change in each.applied] for each in desk.runs(4)]
    assert done == [[], [(Handler.EXIT_FILL, "t1")], [], [("syntheticExit", "t2")]]


def test_fills_that_the_exchange_does_not_tell_prove_nothing_and_are_asked_for_in_each_run() -> None:
    desk = Desk()
    ghosts(desk)
    desk.runs(2)
    done = desk.cycle()
    desk.exchange.script.append(ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, "late"))
    task = Task("grid-btc", desk.ledger, desk.exchange, desk.clock, desk.fence)
    made = asyncio.run(run(done, desk.policy, ALONE, task, desk.book))
    desk.book = made.book
    assert made.tally is not None
    assert made.tally.no_go == {"t1": NoGo.FILLS_UNKNOWN}
    assert [change.trade_id for change in desk.run().applied] == ["t1"]


def test_a_quarantined_ghost_is_judged_again_after_a_minute_for_its_fills_may_come_late() -> None:
    desk = Desk()
    ghosts(desk)
    (late,) = desk.exchange.traded
    desk.exchange.traded.clear()
    tally = desk.runs(3)[-1].tally
    assert tally is not None
    assert tally.no_go == {"t1": NoGo.NO_FILLS}
    desk.exchange.traded.append(late)
    assert not desk.run().changes
    assert [change.trade_id for change in desk.run(JUDGED_AGAIN_AFTER).applied] == ["t1"]


def test_a_ghost_that_people_accept_is_left_alone() -> None:
    desk = Desk()
    ghosts(desk, replace(POLICY, ignores=(Ignore(Rule.POSITION_MISMATCH, START_MS + 10**9, "BTCUSDT"),)))
    assert not [change for done in desk.runs(5) for change in done.changes]


def test_without_parity_no_ghost_is_looked_for() -> None:
    desk = Desk()
    ghosts(desk, replace(POLICY, parity=None))
    assert all(done.tally is not None and not done.tally.ghosts for done in desk.runs(5))
    assert not desk.ledger.tables.history


def other(position: str | None) -> Sharing:
    """Another bot on the account that believes in this much BTC; None: nobody knows what it believes."""
    rows = (ExpectedPosition(BTC, PositionSide.NET, Decimal(position)),) if position is not None else ()
    belief = ExpectedState(START_MS + 10**9, positions=rows, orders=())
    return Sharing((Sibling("other", "other_", belief if position is not None else None),))


@pytest.mark.parametrize(("position", "ghosts_seen"), [("0", 1), ("-1", 0), (None, 0)])
def test_on_a_shared_account_only_what_the_bots_hold_together_can_be_a_ghost(
    position: str | None, ghosts_seen: int
) -> None:
    desk = Desk()
    ghosts(desk)
    desk.sharing = other(position)
    done = desk.runs(2)
    assert done[-1].tally is not None
    assert done[-1].tally.ghosts == ghosts_seen


def test_a_run_makes_so_many_changes_and_the_next_one_the_rest() -> None:
    desk = Desk()
    lost = [("kept", ETH), *((f"t{number}", (BTC, ETH)[number % 2]) for number in range(MAX_CHANGES + 20))]
    for trade, symbol in lost[1:]:
        desk.slice(trade, symbol=symbol)
    for symbol in (BTC, ETH):
        desk.exchange.hold(symbol, str(sum(1 for _, each in lost if each == symbol)))
    desk.cycle()
    for trade, symbol in lost:
        desk.exchange.fill(desk.exit(trade, told=False, symbol=symbol))
    known = {(order.symbol, order.id): order.client_id for order in desk.exchange.ended.values()}
    desk.book = replace(desk.book, client_ids=known)
    assert [len(done.applied) for done in desk.runs(5)] == [0, 0, MAX_CHANGES, 21, 0]


def test_so_many_orders_behind_fills_are_asked_for_in_a_run_and_none_twice() -> None:
    desk = Desk()
    count = MAX_QUESTIONS + 5
    desk.enter("t1", str(count))
    desk.clock.advance(6.0)
    for number in range(count):
        desk.exchange.fill(desk.exit("t1", f"bot_t1-x{number}", told=False))
    tallies = [done.tally for done in desk.runs(4)]
    assert tallies[2] is not None
    assert tallies[2].no_go == {"t1": NoGo.FILLS_UNKNOWN}
    assert desk.held("t1") == 0
    assert max(Counter(desk.exchange.asked).values()) == 2, (
        "once by the cycles, whose fills they are, and once by the runs"
    )


# --- what keeps it from writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
def test_where_it_may_only_tell_it_tells_and_writes_nothing(told: bool) -> None:
    desk = Desk(withheld="remediation.mode is Observe")
    desk.missed("t1", told=told)
    changes = [change for done in desk.runs(5) for change in done.changes]
    assert changes
    assert {change.outcome for change in changes} == {None}
    assert not desk.ledger.tables.history
    assert desk.held("t1") == 1


def test_what_is_only_told_of_an_order_hides_no_ghost_and_closes_none_beside_it() -> None:
    desk = Desk(withheld="remediation.mode is Observe")
    desk.missed("t1", told=True)
    done = desk.runs(5)
    last = done[-1].tally
    assert last is not None
    assert last.ghosts == 1
    assert {change.name for each in done for change in each.changes} == {"reconcileExitFill"}


def test_a_dry_run_of_the_parity_corrects_orders_and_closes_no_ghost() -> None:
    desk = Desk(policy=replace(POLICY, parity=Parity(dry_run=True)))
    desk.missed("t1", told=False)
    desk.missed("t2")
    changes = [change for done in desk.runs(6) for change in done.changes]
    assert {(change.trade_id, change.outcome) for change in changes} == {("t1", None), ("t2", Written.APPLIED)}


def test_with_its_fence_down_it_writes_nothing_and_says_why() -> None:
    desk = Desk()
    desk.missed("t1")
    desk.down = "another replica may own the account"
    _, second = desk.runs(2)
    assert second.stopped == desk.down
    assert second.tally is None
    assert not desk.ledger.tables.history
    desk.down = ""
    assert [change.trade_id for change in desk.run().applied] == ["t1"]


def test_without_the_lock_nothing_is_done_and_what_was_seen_is_kept() -> None:
    desk = Desk()
    ghosts(desk)
    desk.runs(2)
    desk.ledger.held = True
    third = desk.run()
    assert isinstance(third.error, LedgerLockHeld)
    assert (third.tally, third.changes) == (None, ())
    desk.ledger.held = False
    assert [change.trade_id for change in desk.run().applied] == ["t1"]


def test_a_ledger_that_does_not_answer_ends_with_the_policys_timeout() -> None:
    desk = Desk(policy=replace(POLICY, timeout=0.02))
    silent = Silent(desk.clock.now_ms, desk.ledger.tables)
    task = Task("grid-btc", silent, desk.exchange, desk.clock, desk.fence)
    done = asyncio.run(run(desk.cycle(), desk.policy, ALONE, task, desk.book))
    assert done.error is not None
    assert done.error.reason is LedgerReason.TIMEOUT

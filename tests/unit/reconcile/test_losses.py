"""A run beside a bot that died between its own writes, and beside changes that were lost on their way."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.fakes import BTC
from tests.support.memory_ledger import Event
from tests.support.reconciling import POLICY, Desk, Halting

from accountsync.domain.account import Order, OrderStatus, Side
from accountsync.domain.ledger import Handler, LedgerOrder, NoGo, Purpose, SliceSide, Written
from accountsync.domain.lifecycle import WHY, Refusal
from accountsync.errors import LedgerOutcomeUnknown, LedgerReason, LedgerRefused
from accountsync.reconcile import Run
from accountsync.reconcile.proof import KEPT, MAX_QUESTIONS
from accountsync.reconcile.run import LONGEST_SECONDS


def names(done: list[Run]) -> list[str]:
    return [change.name for each in done for change in each.changes]


def why(done: list[Run]) -> set[str]:
    return set(done[-1].refusals.values())


def half_sold(desk: Desk) -> Order:
    """A long of 2, of which an order sold 1: the bot's slice has that already, and the order's row has not."""
    desk.enter("t1", "2")
    order = desk.exit("t1", quantity="1")
    desk.clock.advance(6.0)
    order = desk.exchange.fill(order)
    desk.ledger.tables.slices["t1"] = replace(desk.ledger.tables.slices["t1"], quantity=Decimal(1))
    return order


def entered(desk: Desk) -> Order:
    """An entry of 2 that filled, whose row says nothing of it."""
    order = desk.exchange.place(BTC, side=Side.BUY, quantity="2", client_id="bot_e1")
    desk.ledger.tables.orders["e1"] = LedgerOrder(
        "e1", BTC, Side.BUY, Purpose.ENTRY, Decimal(2), Decimal(0), OrderStatus.OPEN, "bot_e1", order.id, "t1",
        "grid", Decimal(100), order.created,
    )  # fmt: skip
    desk.clock.advance(6.0)
    return desk.exchange.fill(order)


@pytest.mark.parametrize("named", ["exchange", "client"])
def test_an_exit_that_the_bot_booked_before_it_died_is_not_booked_again(named: str) -> None:
    desk = Desk()
    order = half_sold(desk)
    ids = (order.id, "") if named == "exchange" else ("", order.client_id)
    desk.ledger.tables.history["b1"] = Event("b1", "EXIT", BTC, Decimal(1), Decimal(100), "t1", *ids)
    done = desk.runs(3)
    assert (names(done), why(done)) == ([], {WHY[Refusal.ALREADY_BOOKED]})
    assert desk.held("t1") == desk.position() == 1


def test_an_exit_that_the_slice_has_and_no_history_tells_of_is_not_taken_from_it_again() -> None:
    desk = Desk()
    half_sold(desk)
    done = desk.runs(3)
    assert (names(done), why(done)) == ([], {WHY[Refusal.AWAY_FROM_POSITION]})
    assert desk.held("t1") == 1


@pytest.mark.parametrize("booked", [True, False])
def test_an_entry_that_the_bot_opened_its_slice_by_is_not_added_to_it_again(booked: bool) -> None:
    desk = Desk()
    order = entered(desk)
    desk.slice("t1", "2")
    if booked:
        desk.ledger.tables.history["b1"] = Event("b1", "ENTRY", BTC, Decimal(2), Decimal(100), "t1", order.id)
    done = desk.runs(3)
    assert (names(done), why(done)) == (
        [],
        {WHY[Refusal.ALREADY_BOOKED if booked else Refusal.AWAY_FROM_POSITION]},
    )
    assert desk.held("t1") == desk.position() == 2


def test_an_entry_never_opens_a_slice_again_that_was_closed() -> None:
    desk = Desk()
    entered(desk)
    desk.slice("t1", "2")
    desk.ledger.tables.slices["t1"] = replace(desk.ledger.tables.slices["t1"], quantity=Decimal(0))
    outcomes = {change.outcome for each in desk.runs(3) for change in each.changes}
    assert outcomes == {Written.CHANGED}
    assert desk.held("t1") == 0


def test_an_entry_is_not_brought_into_a_slice_of_another_symbol() -> None:
    desk = Desk()
    entered(desk)
    desk.slice("t1", "1", symbol="ETH/USDT:USDT")
    desk.exchange.hold("ETH/USDT:USDT", "2")
    done = desk.runs(3)
    assert (names(done), why(done)) == ([], {WHY[Refusal.ANOTHER_SYMBOL]})


def test_a_slice_that_changed_after_it_was_judged_is_left_alone() -> None:
    desk = Desk()
    desk.missed("t1")
    desk.runs(1)
    desk.ledger.before_writing = lambda: desk.ledger.tables.slices.update(
        t1=replace(desk.ledger.tables.slices["t1"], quantity=Decimal(3), side=SliceSide.LONG)
    )
    assert [change.outcome for change in desk.run().changes] == [Written.CHANGED]
    assert desk.held("t1") == 3


def test_two_exits_of_one_slice_come_in_one_after_the_other() -> None:
    desk = Desk()
    desk.enter("t1", "2")
    for client_id in ("bot_x1", "bot_x2"):
        desk.exchange.fill(desk.exit("t1", client_id))
    desk.clock.advance(6.0)
    assert [names([done]) for done in desk.runs(4)] == [[], [Handler.EXIT_FILL], [Handler.EXIT_FILL], []]
    assert desk.held("t1") == 0


def test_a_part_that_a_correction_of_ours_booked_leaves_the_rest_to_be_proven() -> None:
    desk = Desk()
    desk.enter("t1")
    desk.ledger.tables.orders["e1"] = LedgerOrder(
        "e1", BTC, Side.BUY, Purpose.ENTRY, Decimal(1), Decimal(1), OrderStatus.FILLED, "bot_t1", "e", "t1"
    )
    order = desk.exit("t1")
    desk.clock.advance(6.0)
    order = desk.exchange.fill(order, "0.6")
    assert names(desk.runs(3)) == [Handler.EXIT_FILL]
    desk.exchange.fill(order, "0.4")
    row = desk.ledger.tables.orders["bot_t1-exit"]
    desk.ledger.tables.orders["bot_t1-exit"] = replace(row, filled=Decimal(1), status=OrderStatus.FILLED)
    desk.clock.advance(6.0)
    assert names(desk.runs(4)) == ["syntheticExit"]


def test_a_fill_that_a_bot_without_a_history_has_counted_proves_no_second_end() -> None:
    desk = Desk()
    desk.enter("t1")
    order = desk.exit("t1", quantity="0.5")
    desk.clock.advance(6.0)
    desk.exchange.fill(order)
    tables = desk.ledger.tables
    row = replace(tables.orders["bot_t1-exit"], filled=Decimal("0.5"), status=OrderStatus.FILLED)
    tables.orders["bot_t1-exit"] = row
    tables.slices["t1"] = replace(tables.slices["t1"], quantity=Decimal("0.5"))
    desk.exchange.hold(BTC, "0")
    last = desk.runs(5)[-1]
    assert last.tally is not None
    assert last.tally.no_go == {"t1": NoGo.FILLS_MAYBE_BOOKED}
    assert desk.held("t1") == Decimal("0.5")


def beside(desk: Desk) -> None:
    """A ghost with a fill that proves it, beside an order whose cancel the bot missed."""
    desk.enter("t0")
    order = desk.exit("t0")
    desk.clock.advance(6.0)
    desk.exchange.end(order)
    desk.ledger.tables.slices["t0"] = replace(desk.ledger.tables.slices["t0"], quantity=Decimal(0))
    desk.exchange.hold(BTC, "0")
    desk.missed("g1", told=False)


def test_a_correction_that_the_database_refuses_hides_no_ghost_beside_it() -> None:
    desk = Desk()
    desk.ledger.against["bot_t0-exit"] = LedgerRefused(LedgerReason.WRITE_REFUSED, "a trigger is against it")
    beside(desk)
    assert names(desk.runs(5)) == ["syntheticExit"]
    assert desk.held("g1") == 0


def test_beside_what_is_only_told_of_an_order_it_is_still_judged_why_a_ghost_stays_open() -> None:
    desk = Desk(withheld="remediation.mode is Observe")
    beside(desk)
    desk.exchange.traded.clear()
    last = desk.runs(5)[-1]
    assert last.tally is not None
    assert last.tally.no_go == {"g1": NoGo.NO_FILLS}
    assert names([last]) == [Handler.CANCEL]


def test_the_names_of_orders_that_a_ghost_waits_for_are_kept() -> None:
    desk = Desk()
    desk.enter("t1")
    for number in range(MAX_QUESTIONS + 1):
        desk.exchange.fill(desk.exit("t1", f"bot_t1-x{number}", quantity="0.01", told=False))
    desk.exchange.hold(BTC, "0")
    desk.runs(2)
    others = {(f"{number}", "1"): "x" for number in range(KEPT)}
    desk.book = replace(desk.book, client_ids=others)
    desk.run()
    asked = [name for name in desk.book.client_ids if name[0] == BTC]
    desk.book = replace(desk.book, client_ids={**dict.fromkeys(asked, "x"), **others})
    desk.run(61.0)
    assert set(asked) < set(desk.book.client_ids)
    assert len(asked) == MAX_QUESTIONS


# --- lost on its way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrived", [True, False])
def test_a_change_of_which_the_outcome_is_not_known_is_told_and_looked_up_by_the_next_run(arrived: bool) -> None:
    desk = Desk()
    desk.missed("t1")
    desk.runs(1)
    lost = LedgerOutcomeUnknown(LedgerReason.UNREACHABLE, "it was lost while committing")
    (desk.ledger.after if arrived else desk.ledger.against)["bot_t1-exit"] = lost
    second = desk.run()
    assert (second.error, [change.outcome for change in second.changes]) == (lost, [Written.UNKNOWN])
    desk.ledger.after.clear()
    desk.ledger.against.clear()
    third = desk.run()
    assert [(change.name, change.outcome) for change in third.changes] == [(Handler.EXIT_FILL, Written.APPLIED)]
    assert not desk.run().changes
    assert desk.held("t1") == 0


def test_a_run_whose_time_is_over_amid_a_change_says_which() -> None:
    desk = Desk()
    desk.missed("t1")
    desk.runs(1)
    desk.policy = replace(POLICY, timeout=0.2)
    whole = desk.ledger
    desk.ledger = Halting(desk.clock.now_ms)
    desk.ledger.tables = whole.tables
    second = desk.run()
    assert second.error is not None
    assert "looks up whether it wrote reconcileExitFill" in second.error.message
    assert [change.outcome for change in second.changes] == [Written.UNKNOWN]
    desk.ledger, desk.policy = whole, POLICY
    assert len(desk.run().applied) == 1


def test_no_run_lasts_longer_than_it_may_whatever_the_policy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []
    real = asyncio.timeout

    def bounded(seconds: float | None) -> asyncio.Timeout:
        asked.append(seconds)
        return real(seconds)

    monkeypatch.setattr(asyncio, "timeout", bounded)
    Desk(policy=replace(POLICY, timeout=3_600.0)).run()
    assert LONGEST_SECONDS in asked

"""What a confirmed difference of an order brings into the ledger, and when it stays with people."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.rows import BTC, ETH, NOW, fill, order
from tests.support.slices import row, slice_

from accountsync.domain.account import Fill, Order, OrderStatus, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import Finding, Question
from accountsync.domain.ledger import Booked, Correction, Handler, LedgerOrder, Purpose, Slice
from accountsync.domain.lifecycle import WHY, Refusal, correction, found_for, row_of

GONE = Finding(Rule.MISSING_ORDER, BTC, "1", observed="filled, filled 2 of 2")
DIFFERS = Finding(Rule.ORDER_DIVERGENCE, BTC, "1")
UNEXPECTED = Finding(Rule.UNEXPECTED_ORDER, BTC, "1")
ENTRY = row(purpose=Purpose.ENTRY, side=Side.BUY)
EXIT = row()


def on_exchange(filled: str, status: OrderStatus = OrderStatus.FILLED, side: Side = Side.SELL, **fields: Any) -> Order:
    return order("1", side=side, filled=Decimal(filled), status=status, **fields)


def traded(*quantities: str, side: Side = Side.SELL) -> list[Fill]:
    """Fills of order 1, one after the other."""
    sign = 1 if side is Side.BUY else -1
    return [
        fill(f"f{number}", at=number, bought=str(sign * Decimal(quantity)), order_id="1", price=Decimal(100 + number))
        for number, quantity in enumerate(quantities)
    ]


def correct(
    finding: Finding,
    mine: LedgerOrder | None,
    found: Order | None,
    slices: list[Slice],
    fills: list[Fill] | None,
    **more: Any,
) -> Correction | Refusal:
    return correction(finding, mine, found, slices, fills, profile="grid", **more)


def made(result: Correction | Refusal) -> Correction:
    assert isinstance(result, Correction), result
    return result


# --- fills -----------------------------------------------------------------------------------------------------------


def test_an_entry_that_the_ledger_missed_opens_a_slice() -> None:
    fills = traded("0.5", "1.5", side=Side.BUY)
    got = made(correct(GONE, ENTRY, on_exchange("2", side=Side.BUY), [], fills))
    assert (got.handler, got.filled, got.status) == (Handler.ENTRY_FILL, Decimal(2), OrderStatus.FILLED)
    assert (got.fills, got.price, got.at) == (tuple(fills), Decimal("100.75"), NOW + 1)


def test_an_entry_that_goes_on_grows_it_by_what_the_ledger_lacks() -> None:
    mine = replace(ENTRY, filled=Decimal("0.5"))
    found = on_exchange("1.5", OrderStatus.OPEN, Side.BUY)
    got = made(correct(DIFFERS, mine, found, [slice_(quantity="0.5")], traded("0.5", "1", side=Side.BUY)))
    assert (got.handler, got.status) == (Handler.ENTRY_FILL, OrderStatus.OPEN)
    assert [each.id for each in got.fills] == ["f1"]


def test_an_exit_reduces_the_slice_of_its_trade() -> None:
    got = made(correct(GONE, EXIT, on_exchange("2"), [slice_("t0", "9"), slice_(quantity="2")], traded("2")))
    assert (got.handler, sum(each.quantity for each in got.fills)) == (Handler.EXIT_FILL, Decimal(2))


@pytest.mark.parametrize("status", [OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED])
def test_what_was_filled_of_a_cancelled_order_comes_with_the_cancel(status: OrderStatus) -> None:
    got = made(correct(GONE, EXIT, on_exchange("0.5", status), [slice_(quantity="2")], traded("0.5")))
    assert (got.handler, got.filled, got.status) == (Handler.CANCEL, Decimal("0.5"), status)
    assert [each.quantity for each in got.fills] == [Decimal("0.5")]
    nothing = made(correct(GONE, EXIT, on_exchange("0", status), [], None))
    assert (nothing.handler, nothing.fills, nothing.price) == (Handler.CANCEL, (), None)


def test_fills_that_synthetic_exits_accounted_for_change_no_slice() -> None:
    got = made(correct(GONE, EXIT, on_exchange("2"), [], traded("1", "1"), used={"f0", "f1"}))
    assert (got.handler, got.filled, got.fills) == (Handler.EXIT_FILL, Decimal(2), ())


def test_a_fill_of_the_bots_own_accounting_is_not_taken_for_one_that_a_synthetic_exit_left() -> None:
    mine = replace(EXIT, filled=Decimal(1))
    got = made(correct(GONE, mine, on_exchange("2"), [], traded("1", "1"), used={"f1"}))
    assert got.fills == ()


def test_an_order_without_an_id_in_the_ledger_gets_the_exchanges() -> None:
    got = made(correct(GONE, replace(EXIT, exchange_id=""), on_exchange("2"), [slice_(quantity="2")], traded("2")))
    assert got.exchange_id == "1"


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "found", "slices", "fills", "why"),
    [
        (None, on_exchange("2"), [], [], Refusal.NO_ROW),
        (EXIT, None, [], [], Refusal.NOT_PROVEN),
        (EXIT, on_exchange("0", OrderStatus.OPEN), [], [], Refusal.AGREES),
        (EXIT, on_exchange("2", side=Side.BUY), [], [], Refusal.ANOTHER_ORDER),
        (replace(EXIT, filled=Decimal(2)), on_exchange("1"), [], [], Refusal.LEDGER_AHEAD),
        (replace(EXIT, status=OrderStatus.CANCELED), on_exchange("2"), [], traded("2"), Refusal.LEDGER_AHEAD),
        (EXIT, on_exchange("2"), [slice_(quantity="2")], None, Refusal.FILLS_UNKNOWN),
        (EXIT, on_exchange("2"), [slice_(quantity="2")], traded("1"), Refusal.FILLS_DO_NOT_ADD_UP),
        (EXIT, on_exchange("2"), [slice_(quantity="2")], traded("1", "2"), Refusal.FILLS_DO_NOT_ADD_UP),
        (replace(EXIT, filled=Decimal(1)), on_exchange("2"), [slice_()], traded("2"), Refusal.FILLS_DO_NOT_ADD_UP),
        (replace(EXIT, trade_id=""), on_exchange("2"), [slice_(quantity="2")], traded("2"), Refusal.NO_TRADE),
        (EXIT, on_exchange("2"), [slice_("t0", "2")], traded("2"), Refusal.NO_SLICE),
        (EXIT, on_exchange("2"), [slice_(quantity="1.9")], traded("2"), Refusal.BELOW_ZERO),
        (EXIT, on_exchange("2"), [slice_(quantity="-2")], traded("2"), Refusal.ANOTHER_ORDER),
        (
            EXIT,
            on_exchange("2"),
            [slice_(quantity="2")],
            [replace(each, leg=PositionSide.SHORT) for each in traded("2")],
            Refusal.ANOTHER_ORDER,
        ),
    ],
)
def test_what_is_not_proven_stays_with_people(
    mine: LedgerOrder | None, found: Order | None, slices: list[Slice], fills: list[Fill] | None, why: Refusal
) -> None:
    assert correct(GONE, mine, found, slices, fills) is why


def test_a_ghost_is_for_the_heartbeat() -> None:
    ghost = Finding(Rule.POSITION_MISMATCH, BTC, "net", expected="1", observed="0")
    assert correct(ghost, EXIT, on_exchange("2"), [], []) is Refusal.NOT_HANDLED


def test_every_refusal_has_a_text() -> None:
    assert set(WHY) == set(Refusal)


# --- adoption --------------------------------------------------------------------------------------------------------


def adopt(client_id: str, *slices: Slice, side: Side = Side.SELL, **fields: Any) -> Correction | Refusal:
    found = order("1", client_id=client_id, side=side, filled=Decimal(1), **fields)
    return correct(UNEXPECTED, None, found, list(slices), [], prefix="e-")


def test_an_order_whose_client_id_the_ledger_made_is_adopted() -> None:
    got = made(adopt("e-t1-exit", slice_(), slice_("t2")))
    assert (got.handler, got.filled, got.status) == (Handler.ADOPT, Decimal(0), OrderStatus.OPEN)
    mine = got.order
    assert (mine.purpose, mine.trade_id, mine.sub_tag) == (Purpose.EXIT, "t1", "tag-t1")
    assert (mine.exchange_id, mine.client_id, mine.quantity, mine.filled) == ("1", "e-t1-exit", Decimal(2), Decimal(0))
    assert made(adopt("e-t1", slice_(), side=Side.BUY)).order.purpose is Purpose.ENTRY


def test_what_is_filled_of_it_already_is_the_next_findings() -> None:
    adopted = made(adopt("e-t1-exit", slice_(quantity="1"))).order
    got = made(correct(DIFFERS, adopted, on_exchange("1", OrderStatus.OPEN), [slice_()], traded("1")))
    assert (got.handler, got.filled) == (Handler.EXIT_FILL, Decimal(1))


@pytest.mark.parametrize(
    ("client_id", "slices", "fields", "why"),
    [
        ("other-t1-exit", [slice_()], {}, Refusal.NOT_OWN),
        ("e-t1-2", [slice_()], {}, Refusal.UNATTRIBUTED),
        ("e-t1-exit", [], {}, Refusal.UNATTRIBUTED),
        ("e-t1-exit", [slice_(symbol=ETH)], {}, Refusal.UNATTRIBUTED),
        ("e-t1-exit", [slice_(quantity="-1")], {}, Refusal.UNATTRIBUTED),
        ("e-t1", [slice_()], {}, Refusal.UNATTRIBUTED),
        ("e-t1-exit", [slice_(), slice_("t2", entry_client_id="e-t1")], {}, Refusal.UNATTRIBUTED),
        ("e-t1-exit", [slice_()], {"status": OrderStatus.CANCELED}, Refusal.NOT_PROVEN),
        ("e-t1-exit", [slice_()], {"conditional": True}, Refusal.NOT_PROVEN),
    ],
)
def test_any_other_is_not(client_id: str, slices: list[Slice], fields: dict[str, Any], why: Refusal) -> None:
    assert adopt(client_id, *slices, **fields) is why


def test_without_a_prefix_no_order_is_the_bots_own() -> None:
    assert correct(UNEXPECTED, None, order("1", client_id="e-t1-exit"), [slice_()], []) is Refusal.NOT_OWN


# --- names -----------------------------------------------------------------------------------------------------------


def test_the_same_correction_has_the_same_name_and_another_one_another() -> None:
    def name(filled: str, profile: str = "grid", mine: LedgerOrder = EXIT) -> str:
        found = on_exchange(filled, OrderStatus.OPEN)
        got = correction(DIFFERS, mine, found, [slice_(quantity="2")], traded(filled), profile=profile)
        return made(got).event_id

    assert name("1") == name("1.0")
    assert len({name("1"), name("2"), name("1", "other"), name("1", mine=replace(EXIT, key="r2"))}) == 4


# --- who is meant ----------------------------------------------------------------------------------------------------


def test_a_row_is_found_by_the_exchanges_id_or_else_by_its_client_id() -> None:
    rows = [row("r0", symbol=ETH), row("r1"), row("r2", exchange_id="", client_id="c-2")]
    assert row_of(GONE, rows) == rows[1]
    assert row_of(replace(GONE, id="trigger:1"), rows) == rows[1]
    assert row_of(replace(GONE, id="c-2"), rows) == rows[2]
    assert row_of(replace(UNEXPECTED, id="7", client_id="c-2"), rows) == rows[2]
    assert row_of(replace(GONE, id="9"), rows) is None


def test_of_two_rows_of_a_client_id_the_open_one_is_meant() -> None:
    over = row("r1", exchange_id="", status=OrderStatus.FILLED)
    open_ = row("r2", exchange_id="")
    for rows in ([over, open_], [open_, over]):
        assert row_of(replace(GONE, id="c-1"), rows) == open_


def test_an_order_is_what_the_list_or_the_answer_says() -> None:
    open_, over = on_exchange("1", OrderStatus.OPEN), on_exchange("2")
    assert found_for(DIFFERS, EXIT, {}, [open_]) == open_
    assert found_for(GONE, EXIT, {Question(BTC, "1"): over}, []) == over
    assert found_for(GONE, EXIT, {Question(BTC, "1"): None}, []) is None
    by_client_id = replace(GONE, id="c-1")
    assert found_for(by_client_id, row(exchange_id=""), {Question(BTC, "", "c-1"): over}, []) == over
    assert found_for(GONE, EXIT, {Question(ETH, "1"): replace(over, symbol=ETH)}, []) is None


def test_what_took_an_orders_place_is_followed() -> None:
    stop = on_exchange("0", OrderStatus.TRIGGERED, successor="2")
    child = replace(on_exchange("2"), id="2")
    assert found_for(GONE, EXIT, {Question(BTC, "1"): stop, Question(BTC, "2"): child}, []) == child
    assert found_for(GONE, EXIT, {Question(BTC, "1"): stop}, []) is None


def test_a_correction_names_the_slice_that_was_judged() -> None:
    own = replace(slice_(quantity="2"), version="v7")
    assert made(correct(GONE, EXIT, on_exchange("2"), [own], traded("2"))).slice_version == "v7"
    opened = made(correct(GONE, ENTRY, on_exchange("2", side=Side.BUY), [], traded("2", side=Side.BUY)))
    assert opened.slice_version == ""


@pytest.mark.parametrize(("purpose", "refused"), [(Purpose.EXIT, True), (Purpose.ENTRY, False)])
def test_what_the_history_holds_of_the_order_already_is_not_booked_again(purpose: Purpose, refused: bool) -> None:
    history = [Booked(BTC, "1", "", purpose, Decimal("0.5"))]
    got = correct(GONE, EXIT, on_exchange("2"), [slice_(quantity="2")], traded("2"), booked=history)
    assert (got is Refusal.ALREADY_BOOKED) is refused
    half = replace(EXIT, filled=Decimal("0.5"))
    known = correct(GONE, half, on_exchange("2"), [slice_(quantity="2")], traded("0.5", "1.5"), booked=history)
    assert isinstance(known, Correction)


def test_a_trade_that_is_open_in_another_symbol_is_not_changed() -> None:
    elsewhere = slice_(quantity="2", symbol=ETH)
    assert correct(GONE, EXIT, on_exchange("2"), [elsewhere], traded("2")) is Refusal.ANOTHER_SYMBOL

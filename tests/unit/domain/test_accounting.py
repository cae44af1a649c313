"""Which fills prove nothing any more, since the ledger has accounted for them, or may have."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.rows import BTC, fill
from tests.support.slices import row, slice_

from accountsync.domain.account import Fill, Side
from accountsync.domain.attribution import evidence
from accountsync.domain.backfill import backfill
from accountsync.domain.ledger import Booked, LedgerOrder, NoGo, Purpose, Slice
from accountsync.domain.policy import Parity

ENTRY = row("e1", exchange_id="9", client_id="e-t1", purpose=Purpose.ENTRY, side=Side.BUY, filled=Decimal(1))


def sold(*quantities: str) -> list[Fill]:
    """Fills of order 1, one after the other."""
    return [fill(f"f{number}", at=number, bought=f"-{quantity}") for number, quantity in enumerate(quantities)]


def booked(quantity: str, exchange_id: str = "", client_id: str = "", *, ours: bool = False) -> Booked:
    return Booked(BTC, exchange_id, client_id, Purpose.EXIT, Decimal(quantity), ours, "t1")


def free(
    fills: Sequence[Fill],
    orders: Sequence[LedgerOrder],
    history: Sequence[Booked] = (),
    slices: Sequence[Slice] = (),
    used: Sequence[str] = (),
) -> list[str]:
    """The fills that still prove something."""
    told = evidence(fills, orders, client_ids={"1": "c-1"}, used=used, booked=history, slices=slices)
    return [each.fill.id for each in told if not (each.used or each.doubted)]


def test_what_was_booked_by_either_name_of_an_order_is_taken_from_both_and_once() -> None:
    fills = sold("0.7", "0.3")
    assert not free(fills, [row()], [booked("0.7", "1", "c-1"), booked("0.3", "", "c-1")])
    assert free(fills, [row()], [booked("0.7", "1", "c-1")]) == ["f1"]


def test_what_was_booked_under_the_id_of_the_conditional_order_is_taken_from_its_childs_fills() -> None:
    assert not free(sold("1"), [row(exchange_id="algo-7")], [booked("1", "algo-7")])


def test_a_correction_of_ours_is_no_booking_of_the_bots() -> None:
    assert free(sold("0.6", "0.4"), [row()], [booked("0.6", "1", ours=True)], used=["f0"]) == ["f1"]


def test_without_a_history_a_fill_that_the_slice_lost_already_proves_no_second_loss() -> None:
    half = [ENTRY, row(filled=Decimal("0.5"))]
    assert not free(sold("0.5"), half, slices=[slice_(quantity="0.5")])
    assert free(sold("0.5", "0.5"), half, slices=[slice_(quantity="0.5")]) == ["f1"]


def test_a_fill_that_the_order_counts_and_the_slice_has_not_lost_proves_it() -> None:
    assert free(sold("1"), [ENTRY, row(filled=Decimal(1))], slices=[slice_(quantity="1")]) == ["f0"]


def test_where_the_entries_are_not_known_a_fill_that_the_order_counts_is_doubted() -> None:
    orders, slices = [row(filled=Decimal("0.5"))], [slice_(quantity="0.5")]
    told = evidence(sold("0.5"), orders, client_ids={}, used=(), booked=(), slices=slices)
    assert [each.doubted for each in told] == [True]
    judged = backfill("grid", slices, told, Parity())
    assert not judged.exits
    assert judged.no_go == {"t1": NoGo.FILLS_MAYBE_BOOKED}
    assert free(sold("0.5"), [replace(orders[0], filled=Decimal(0))], slices=slices) == ["f0"], "it counts nothing"


def test_a_bot_that_keeps_a_history_has_not_booked_what_is_not_in_it() -> None:
    orders, slices = [row(filled=Decimal(1))], [slice_(quantity="0.5")]
    assert free(sold("0.5", "0.5"), orders, [booked("0.5", "1")], slices) == ["f1"]


@pytest.mark.parametrize("known", [True, False])
def test_what_a_slice_lost_long_ago_takes_no_fill_of_today(known: bool) -> None:
    old = row("r0", exchange_id="8", client_id="c-0", filled=Decimal("0.5"))
    history = [booked("0.5", "8")] if known else []
    orders = [ENTRY, old, row(filled=Decimal(0))]
    assert free(sold("0.5"), orders, history, [slice_(quantity="0.5")]) == ["f0"]

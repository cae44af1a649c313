"""Mark prices: which of them are prices, which are asked for, and which are remembered."""

from decimal import Decimal

from tests.support.rows import BTC, ETH, NOW

from accountsync.domain.account import AccountSnapshot, Position, PositionSide
from accountsync.domain.marks import lacking, newest, old, recent, with_known_marks, worth_keeping

HELD = Position(BTC, PositionSide.NET, Decimal(1), entry_price=Decimal(50_000), mark_price=Decimal(60_000), updated=NOW)
SNAPSHOT = AccountSnapshot(NOW, positions=(HELD,))


def test_a_mark_is_a_price_for_a_minute_and_is_known_after_that() -> None:
    before = {ETH: (Decimal(2_000), NOW)}
    in_time, marks = with_known_marks(SNAPSHOT, NOW + 60_000, before)
    assert in_time.marks == {BTC: Decimal(60_000), ETH: Decimal(2_000)}
    assert (recent(marks, NOW + 60_000), old(marks, NOW + 60_000)) == (in_time.marks, {})
    late, marks = with_known_marks(SNAPSHOT, NOW + 60_001, before)
    assert (late.marks, [row.mark_price for row in late.positions]) == ({}, [None])
    assert old(marks, NOW + 60_001) == in_time.marks


def test_a_reading_takes_no_newer_mark_away() -> None:
    _, marks = with_known_marks(SNAPSHOT, NOW, {BTC: (Decimal(61_000), NOW + 1)})
    assert marks == {BTC: (Decimal(61_000), NOW + 1)}
    assert newest({BTC: (Decimal(1), NOW)}, {BTC: (Decimal(2), NOW)}) == {BTC: (Decimal(2), NOW)}
    assert newest({BTC: (Decimal(1), NOW)}, {BTC: (Decimal(2), NOW - 1)}) == {BTC: (Decimal(1), NOW)}


def test_a_mark_is_asked_for_before_it_is_too_old() -> None:
    marks = {BTC: (Decimal(1), NOW), ETH: (Decimal(1), NOW - 1)}
    assert lacking({"X", BTC, ETH}, marks, NOW + 30_000) == [ETH, "X"]
    assert lacking(set(), marks, NOW + 30_000) == []


def test_an_old_mark_is_remembered_while_something_differs_there() -> None:
    marks = {BTC: (Decimal(1), NOW), ETH: (Decimal(1), NOW), "X": (Decimal(1), NOW + 1)}
    assert worth_keeping(marks, NOW + 60_001, {ETH}).keys() == {ETH, "X"}

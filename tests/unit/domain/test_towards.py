"""Corrections go towards the exchange's position, and none is applied where that does not tell which are due."""

from decimal import Decimal
from typing import Any

import pytest
from tests.support.rows import BTC, NOW, account, fill
from tests.support.slices import row, slice_

from accountsync.domain.account import OrderStatus, Part, Position, PositionSide, Side
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.ledger import Correction, Handler
from accountsync.domain.lifecycle import WHY, Refusal
from accountsync.domain.parity import tally_up
from accountsync.domain.sharing import ALONE, Sharing, Sibling
from accountsync.domain.towards import astray

NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT


def changes(*amounts: str, leg: PositionSide = NET) -> list[Correction]:
    """Corrections that add so much to NET, or to what is open of a leg."""
    made = []
    for number, amount in enumerate(amounts):
        sells = (Decimal(amount) < 0) is (leg is not SHORT)
        size = str(abs(Decimal(amount)))
        fills = (fill(f"f{number}", bought=f"-{size}" if sells else size, leg=leg),)
        mine = row(f"r{number}", side=Side.SELL if sells else Side.BUY)
        made.append(Correction(Handler.EXIT_FILL, f"e{number}", mine, Decimal(1), OrderStatus.FILLED, fills=fills))
    return made


def refused(
    held: str, real: str, *amounts: str, leg: PositionSide = NET, sharing: Sharing = ALONE, **fields: Any
) -> list[Refusal]:
    signed = held if leg is not SHORT else f"-{held}"
    virtual = tally_up([slice_(quantity=signed)] if Decimal(held) else [])
    positions = [Position(BTC, leg, Decimal(real))] if Decimal(real) else []
    found = astray(changes(*amounts, leg=leg), virtual, account(*positions, **fields), sharing)
    return [found[name] for name in sorted(found)]


AWAY = Refusal.AWAY_FROM_POSITION


@pytest.mark.parametrize("leg", [NET, LONG, SHORT])
@pytest.mark.parametrize(
    ("held", "real", "amounts", "away"),
    [
        ("2", "1", ["-1"], False),
        ("1", "3", ["2"], False),
        ("1", "4", ["2"], False),
        ("1", "1", ["-1"], True),
        ("2", "2", ["2"], True),
        ("2", "1", ["1"], True),
        ("3", "2", ["-2"], True),
        ("3", "1", ["-1", "-1"], False),
        ("3", "2", ["-1", "-1"], True),
        ("2", "1", ["-2", "1"], False),
        ("2", "2", ["-1", "1"], True),
        ("2", "3", ["-1", "1", "1"], True),
    ],
)
def test_fills_that_the_slices_may_have_already_are_not_applied_again(
    held: str, real: str, amounts: list[str], away: bool, leg: PositionSide
) -> None:
    assert refused(held, real, *amounts, leg=leg) == [AWAY] * (len(amounts) if away else 0)


def test_less_than_a_step_past_the_position_is_nothing() -> None:
    steps = {BTC: Decimal("0.01")}
    assert not refused("1.005", "0.01", "-1", steps=steps)
    assert refused("1.005", "0.02", "-1", steps=steps) == [AWAY]


def test_what_changes_no_slice_needs_no_position() -> None:
    made = Correction(Handler.CANCEL, "e0", row(), Decimal(0), OrderStatus.CANCELED)
    assert not astray([made], {}, account(missing=frozenset({Part.POSITIONS})), ALONE)


def siblings(quantity: str | None) -> Sharing:
    rows = (ExpectedPosition(BTC, NET, Decimal(quantity or 0)),)
    return Sharing((Sibling("other", "other_", ExpectedState(NOW, positions=rows) if quantity else None),))


def test_what_the_siblings_hold_counts() -> None:
    assert not refused("1", "3", "-1", sharing=siblings("3"))
    assert refused("1", "4", "-1", sharing=siblings("3")) == [AWAY]


@pytest.mark.parametrize(
    "unknown",
    [
        {"missing": frozenset({Part.POSITIONS})},
        {"unsettled": frozenset({BTC})},
        {"sharing": siblings(None)},
    ],
)
def test_where_the_position_is_not_known_no_fills_are_applied(unknown: dict[str, Any]) -> None:
    assert refused("2", "1", "-1", **unknown) == [Refusal.POSITION_UNKNOWN]


def test_each_refusal_has_a_text_for_people() -> None:
    assert set(WHY) == set(Refusal)

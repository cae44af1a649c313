"""Whether corrections bring the ledger's open slices towards what the exchange holds, or past it and away.

A bot that died between two of its own writes has the fills in its slice, and not in the order's row: to apply them
again would be to count them twice. Then the slices agree with the exchange's position without them.

In:  the corrections of one run, what the ledger and its siblings hold open, a snapshot. Out: those that are refused.

Invariants:
1. All corrections of one position are judged together: where not all of them can be true, none is applied, for nothing
   tells which the slices have.
2. Corrections that add and others that take away are true only if together they explain the difference exactly, and no
   part of them cancels out.
3. A position that is not known for certain proves nothing.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import combinations

from accountsync.domain.account import AccountSnapshot, Part, PositionSide
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.finding import EXACT, ZERO
from accountsync.domain.ledger import Correction
from accountsync.domain.lifecycle import Refusal
from accountsync.domain.parity import GhostKey, Virtual
from accountsync.domain.sharing import Sharing

MOST_MIXED = 8
"""Corrections of both directions whose parts are tried for cancelling out."""
SIGN = {PositionSide.NET: 1, PositionSide.LONG: 1, PositionSide.SHORT: -1}


def astray(
    corrections: Iterable[Correction], virtual: Virtual, snapshot: AccountSnapshot, sharing: Sharing
) -> dict[str, Refusal]:
    """Event id → why it is not to be applied, of those corrections that change a slice and would take it astray."""
    theirs = sharing.positions(ExpectedState(0, positions=()))
    known = theirs is not None and Part.POSITIONS not in snapshot.missing
    moved: dict[GhostKey, list[Correction]] = {}
    refused: dict[str, Refusal] = {}
    for each in corrections:
        for leg in sorted({fill.leg for fill in each.fills}):
            moved.setdefault((each.order.symbol, leg), []).append(each)
    for key, together in moved.items():
        if not known or key[0] in snapshot.unsettled:
            refused |= {each.event_id: Refusal.POSITION_UNKNOWN for each in together}
        elif not _fit(
            [_change(each, key[1]) for each in together],
            EXACT.subtract(_real(key, snapshot), _held(key, virtual, theirs or ())),
            snapshot.steps.get(key[0], ZERO),
        ):
            refused |= {each.event_id: Refusal.AWAY_FROM_POSITION for each in together}
    return refused


def _fit(changes: Sequence[Decimal], gap: Decimal, step: Decimal) -> bool:
    rest = EXACT.subtract(gap, sum(changes, ZERO))
    exact = not rest or abs(rest) < step
    if all(change * gap > 0 for change in changes):
        return exact or rest * gap > 0
    return exact and len(changes) <= MOST_MIXED and not any(_cancels_out(changes))


def _cancels_out(changes: Sequence[Decimal]) -> Iterable[bool]:
    for size in range(1, len(changes) + 1):
        for part in combinations(changes, size):
            yield not sum(part, ZERO)


def _change(correction: Correction, leg: PositionSide) -> Decimal:
    total = ZERO
    for fill in correction.fills:
        if fill.leg is leg:
            total = EXACT.add(total, fill.change)
    return total


def _held(key: GhostKey, virtual: Virtual, theirs: Iterable[ExpectedPosition]) -> Decimal:
    """What all ledgers hold open of a position: of NET both sides together."""
    symbol, leg = key
    legs = tuple(PositionSide) if leg is PositionSide.NET else (leg,)
    total = ZERO
    for side in legs:
        if (symbol, side) in virtual:
            own = virtual[symbol, side].quantity
            total = EXACT.add(total, own if leg is PositionSide.NET else abs(own))
    for row in theirs:
        if row.symbol == symbol and row.side in legs:
            total = EXACT.add(total, row.quantity * SIGN[row.side] if leg is PositionSide.NET else row.quantity)
    return total


def _real(key: GhostKey, snapshot: AccountSnapshot) -> Decimal:
    total = ZERO
    for row in snapshot.positions:
        if (row.symbol, row.side) == key:
            total = EXACT.add(total, row.quantity)
    return total

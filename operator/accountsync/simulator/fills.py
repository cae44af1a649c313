"""What one fill does to one position: a pure function.

Invariants: adding averages the entry price by quantity; reducing leaves it and realises (price - entry) x closed
quantity, signed; crossing zero realises the old position whole and opens the rest at the fill's price.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from accountsync.simulator.decimals import ZERO, rounded_entry
from accountsync.simulator.model import MarginType, Position, SymbolSettings


@dataclass(frozen=True, slots=True)
class FillEffect:
    """The position afterwards and the profit realised, in the margin asset and before the fee."""

    position: Position
    realized: Decimal


def apply_fill(
    position: Position,
    change: Decimal,
    price: Decimal,
    *,
    fee: Decimal,
    settings: SymbolSettings,
    time: int,
) -> FillEffect:
    """`change` is signed: positive bought, negative sold."""
    before, after = position.amount, position.amount + change
    reducing = before * change < 0
    closed = min(abs(before), abs(change)) if reducing else ZERO
    direction = 1 if before > 0 else -1
    realized = (price - position.entry_price) * closed * direction
    crossed = before * after < 0
    if not after:
        entry = ZERO
    elif crossed or not before:
        entry = price
    elif reducing:
        entry = position.entry_price
    else:
        entry = rounded_entry((position.entry_price * before + price * change) / after)
    fresh = crossed or not before
    carried = ZERO if not after else fee if fresh else position.carried_cost + fee - realized
    moved = replace(
        position,
        amount=after,
        entry_price=entry,
        carried_cost=carried,
        realized_profit=position.realized_profit + realized,
        isolated_wallet=_isolated_wallet(position, after, closed, abs(change) - closed, price, settings),
        update_time=time,
    )
    return FillEffect(moved, realized)


def _isolated_wallet(
    position: Position,
    after: Decimal,
    closed: Decimal,
    opened: Decimal,
    price: Decimal,
    settings: SymbolSettings,
) -> Decimal:
    """Isolated margin follows the quantity: a share is released on closing, initial margin is set apart on opening."""
    if settings.margin_type is not MarginType.ISOLATED or not after:
        return ZERO
    kept = position.isolated_wallet
    if closed:
        kept = kept * (1 - closed / abs(position.amount))
    return kept + opened * price / settings.leverage

"""What can only reduce: reduce-only orders, and in hedge mode every order on its leg's closing side.

Invariant: such an order never makes a position larger and never turns it round. It is taken for no more than is there
to be closed, and expires once nothing is.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

from accountsync.simulator.decimals import ZERO
from accountsync.simulator.model import Account, Order, PositionSide, Side

if TYPE_CHECKING:
    from accountsync.simulator.world import World


def only_reduces(order: Order) -> bool:
    """Whether the order may close and nothing else."""
    return order.reduce_only or order.close_position or order.side is order.position_side.closing_side


def closable(account: Account, symbol: str, leg: PositionSide, side: Side) -> Decimal:
    """How much an order of `side` can take off the position."""
    return max(ZERO, -side.sign * account.position(symbol, leg).amount)


def left_to_close(account: Account, symbol: str, leg: PositionSide, side: Side, price: Decimal | None) -> Decimal:
    """What is closable once the reducing orders that are filled before one at `price` are; a market order is first."""
    ahead = (
        order.remaining
        for order in account.open_orders_of(symbol)
        if order.position_side is leg and order.side is side and only_reduces(order)
        if price is not None and (order.price - price) * side.sign >= 0
    )
    return max(ZERO, closable(account, symbol, leg, side) - sum(ahead, ZERO))


def expire_useless(world: "World", account: Account, symbol: str, leg: PositionSide) -> None:
    """Expire the reducing orders of a leg that have nothing left to close."""
    for order in account.open_orders_of(symbol):
        if order.position_side is leg and only_reduces(order) and not closable(account, symbol, leg, order.side):
            world.expire(order)

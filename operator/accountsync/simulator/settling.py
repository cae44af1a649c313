"""What a fill leaves behind: the position, the wallet's rows and the trade."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from accountsync.simulator.decimals import ZERO
from accountsync.simulator.fills import apply_fill
from accountsync.simulator.income import IncomeType
from accountsync.simulator.model import Account, Fill, Order

if TYPE_CHECKING:
    from accountsync.simulator.world import World


@dataclass(frozen=True, slots=True)
class Execution:
    """`quantity` changed hands at `price`. `free`: nobody pays a fee."""

    quantity: Decimal
    price: Decimal
    maker: bool
    free: bool = False


def settle(world: "World", account: Account, order: Order, done: Execution, trade_id: int) -> None:
    """Book one execution of `order`, which is as it is after it."""
    spec, value = world.spec(order.symbol), done.quantity * done.price
    fee = ZERO if done.free else value * (spec.maker_fee if done.maker else spec.taker_fee)
    effect = apply_fill(
        account.position(order.symbol, order.position_side),
        done.quantity * order.side.sign,
        done.price,
        fee=fee,
        settings=account.settings_for(order.symbol),
        time=order.update_time,
    )
    account.positions[order.symbol, order.position_side] = effect.position
    for income_type, income in ((IncomeType.REALIZED_PNL, effect.realized), (IncomeType.COMMISSION, -fee)):
        world.book(account, income_type, spec.margin_asset, income, symbol=spec.symbol, trade_id=trade_id)
    account.fills.append(
        Fill(
            trade_id=trade_id,
            order=order.ref,
            side=order.side,
            position_side=order.position_side,
            quantity=done.quantity,
            price=done.price,
            commission=fee,
            realized_pnl=effect.realized,
            maker=done.maker,
            time=order.update_time,
        )
    )

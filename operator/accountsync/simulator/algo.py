"""Conditional (algo) orders: values, and the pure rule that says when one is triggered.

Source: "New Algo Order" and the event "Algo Order Update" in Binance's USD-M futures documentation.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from accountsync.simulator.decimals import ZERO
from accountsync.simulator.model import Order, PositionSide, Side

PERCENT = Decimal(100)


class AlgoType(StrEnum):
    """The kinds of conditional orders."""

    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"

    @property
    def makes_limit(self) -> bool:
        """Whether a limit order is placed on triggering; else a market order."""
        return self in (AlgoType.STOP, AlgoType.TAKE_PROFIT)

    @property
    def takes_profit(self) -> bool:
        """Whether it waits for the better price; a stop waits for the worse one."""
        return self in (AlgoType.TAKE_PROFIT, AlgoType.TAKE_PROFIT_MARKET)


class AlgoStatus(StrEnum):
    """Binance's statuses of algo orders.

    TRIGGERED: its child is in the book; FINISHED: its child is filled or gone; REJECTED: the book would not have it.
    """

    NEW = "NEW"
    CANCELED = "CANCELED"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgoOrder:
    """A conditional order. Times in ms, 0 for never; quantities in base units, 0 with `close_position`.

    Only a trailing stop has `activate_price`, `callback_rate` (percent) and `extreme` (the highest mark since it was
    placed for a sell, the lowest for a buy); its `trigger_price` is 0 until it is active and then follows `extreme`.
    """

    account: str
    algo_id: int
    client_algo_id: str
    type: AlgoType
    symbol: str
    side: Side
    position_side: PositionSide
    quantity: Decimal
    trigger_price: Decimal
    price: Decimal
    create_time: int
    update_time: int
    trigger_time: int = 0
    status: AlgoStatus = AlgoStatus.NEW
    time_in_force: str = "GTC"
    working_type: str = "CONTRACT_PRICE"
    close_position: bool = False
    reduce_only: bool = False
    price_protect: bool = False
    activate_price: Decimal = ZERO
    callback_rate: Decimal = ZERO
    extreme: Decimal = ZERO
    child: Order | None = None

    @property
    def is_open(self) -> bool:
        """Still waiting."""
        return self.status is AlgoStatus.NEW

    @property
    def ended_unfilled(self) -> bool:
        """Cancelled or expired without a fill."""
        filled = self.child is not None and self.child.executed_qty > 0
        return self.status in (AlgoStatus.CANCELED, AlgoStatus.EXPIRED) and not filled

    def crossed_by(self, price: Decimal) -> bool:
        """Whether `price` triggers it: a stop when it gets worse for the order's side, a take-profit when better."""
        if not self.trigger_price:
            return False
        rising = (self.side is Side.BUY) is not self.type.takes_profit
        return price >= self.trigger_price if rising else price <= self.trigger_price

    def after_mark(self, price: Decimal) -> "AlgoOrder":
        """A trailing stop as it is once `price` was seen; any other as it was."""
        if self.type is not AlgoType.TRAILING_STOP_MARKET:
            return self
        selling = self.side is Side.SELL
        extreme = max(self.extreme, price) if selling else min(self.extreme, price)
        active = extreme >= self.activate_price if selling else extreme <= self.activate_price
        trigger = extreme * (1 + self.side.sign * self.callback_rate / PERCENT) if active else ZERO
        return replace(self, extreme=extreme, trigger_price=trigger)

    def with_child(self, child: Order) -> "AlgoOrder":
        """As it is while the order that it made is like this."""
        if child.status.is_open:
            return replace(self, child=child)
        return replace(self, child=child, status=AlgoStatus.FINISHED, update_time=child.update_time)

"""What exists on the simulated exchange: keys, orders, positions, fills and the accounts that hold them.

Orders, positions and fills are values: a change makes a new one, and an old one stays what it was. Only `Account` is
changed in place, and only by `World` and its parts in `funding.py` and `liquidation.py`.
"""

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from accountsync.simulator.decimals import ZERO
from accountsync.simulator.income import Income

DEFAULT_LEVERAGE = 20


class Side(StrEnum):
    """Side of an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 adds to a signed position, -1 takes from it."""
        return 1 if self is Side.BUY else -1


class PositionSide(StrEnum):
    """BOTH in one-way mode; LONG and SHORT in hedge mode."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def closing_side(self) -> Side | None:
        """The side that can only reduce a leg of hedge mode; neither does in one-way mode."""
        return {PositionSide.LONG: Side.SELL, PositionSide.SHORT: Side.BUY}.get(self)


class MarginType(StrEnum):
    """Whose money stands behind a position: the whole cross wallet, or what was set apart for it."""

    CROSS = "cross"
    ISOLATED = "isolated"


class OrderStatus(StrEnum):
    """Binance's order statuses."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"

    @property
    def is_open(self) -> bool:
        """Still in the book."""
        return self in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


class AutoClose(StrEnum):
    """Why the exchange itself closed a position: too little margin, or another account's that could not be closed."""

    LIQUIDATION = "LIQUIDATION"
    ADL = "ADL"


class Permission(StrEnum):
    """What a key may do."""

    READ = "read"
    TRADE = "trade"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of an account. `fingerprint` names it in logs; the secret is never shown by repr. `create_time` in ms."""

    api_key: str
    secret: str = field(repr=False)
    account: str
    permissions: frozenset[Permission]
    create_time: int = 0

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits of the key's SHA-256."""
        return fingerprint(self.api_key)


def fingerprint(api_key: str) -> str:
    """The name under which a key is logged; an absent key has none."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:12] if api_key else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order with all that Binance says of it. Quantities in base units; `time` and `update_time` in ms."""

    account: str
    order_id: int
    client_order_id: str
    symbol: str
    side: Side
    price: Decimal
    orig_qty: Decimal
    time: int
    update_time: int
    type: str = "LIMIT"
    orig_type: str = "LIMIT"
    position_side: PositionSide = PositionSide.BOTH
    executed_qty: Decimal = ZERO
    cum_quote: Decimal = ZERO
    status: OrderStatus = OrderStatus.NEW
    time_in_force: str = "GTC"
    reduce_only: bool = False
    close_position: bool = False
    stop_price: Decimal = ZERO
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    price_match: str = "NONE"
    self_trade_prevention_mode: str = "NONE"
    good_till_date: int = 0

    @property
    def ref(self) -> tuple[str, int]:
        """What identifies it in its account: ids count up within a symbol only."""
        return self.symbol, self.order_id

    @property
    def remaining(self) -> Decimal:
        """What may still be filled."""
        return self.orig_qty - self.executed_qty

    @property
    def average_price(self) -> Decimal:
        """Mean price of its fills; 0 before the first."""
        return self.cum_quote / self.executed_qty if self.executed_qty else ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One position. `amount` is signed (short is negative) whatever the position side, as Binance reports it.

    `carried_cost` is what fees less realised profit have cost since it was opened: the break-even price rests on it.
    `realized_profit` is the sum over the position's whole life, before fees.
    """

    symbol: str
    position_side: PositionSide = PositionSide.BOTH
    amount: Decimal = ZERO
    entry_price: Decimal = ZERO
    carried_cost: Decimal = ZERO
    realized_profit: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    update_time: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution of an order. `commission` and `realized_pnl` are in the margin asset."""

    trade_id: int
    order: tuple[str, int]
    side: Side
    position_side: PositionSide
    quantity: Decimal
    price: Decimal
    commission: Decimal
    realized_pnl: Decimal
    maker: bool
    time: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The wallet's amount of one asset. `update_time` is 0 for an asset that was never touched."""

    wallet: Decimal = ZERO
    update_time: int = 0


@dataclass(frozen=True, slots=True)
class SymbolSettings:
    """What an account has set for a symbol."""

    leverage: int = DEFAULT_LEVERAGE
    margin_type: MarginType = MarginType.CROSS


@dataclass(slots=True)
class Account:
    """One futures account. Only `World` changes it. `auto_closed` names the orders that the exchange placed itself."""

    name: str
    alias: str
    hedge_mode: bool = False
    balances: dict[str, Balance] = field(default_factory=dict)
    settings: dict[str, SymbolSettings] = field(default_factory=dict)
    positions: dict[tuple[str, PositionSide], Position] = field(default_factory=dict)
    orders: dict[tuple[str, int], Order] = field(default_factory=dict)
    open_orders: dict[tuple[str, int], Order] = field(default_factory=dict)
    client_ids: dict[tuple[str, str], int] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    incomes: list[Income] = field(default_factory=list)
    auto_closed: dict[tuple[str, int], AutoClose] = field(default_factory=dict)

    def settings_for(self, symbol: str) -> SymbolSettings:
        """The symbol's settings, or the exchange's defaults."""
        return self.settings.get(symbol, SymbolSettings())

    def position(self, symbol: str, position_side: PositionSide = PositionSide.BOTH) -> Position:
        """The position, or a flat one that was never touched."""
        return self.positions.get((symbol, position_side)) or Position(symbol=symbol, position_side=position_side)

    def open_orders_of(self, symbol: str) -> list[Order]:
        """Open orders of one symbol, oldest first."""
        return [order for order in self.open_orders.values() if order.symbol == symbol]

    @property
    def position_sides(self) -> tuple[PositionSide, ...]:
        """The legs that this account's position mode shows for each symbol."""
        return (PositionSide.LONG, PositionSide.SHORT) if self.hedge_mode else (PositionSide.BOTH,)

"""freqtrade's answers as models: the fields that a belief is made of, checked; all others are passed over."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainValidator, StrictBool, StrictInt, StrictStr

from accountsync.bot.fields import Identifier, Symbol, wrong

_HIGHEST, _LOWEST = 18, -18
"""Powers of ten between which the digits of every amount lie."""


def _amount(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise wrong("must be a number")
    amount = Decimal(value)
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < _LOWEST - 20 or amount.adjusted() > _HIGHEST:
        raise wrong("must be a number of the size of an amount")
    if amount < 0:
        raise wrong("must not be negative")
    return amount


def _amount_or_none(value: object) -> Decimal | None:
    return None if value is None else _amount(value)


Amount = Annotated[Decimal, PlainValidator(_amount)]
MaybeAmount = Annotated[Decimal | None, PlainValidator(_amount_or_none)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class OrderRow(_Row):
    """An order of a trade. `ft_order_side` is buy, sell, or stoploss for one that waits at the exchange."""

    pair: Symbol
    order_id: Identifier
    ft_order_side: Literal["buy", "sell", "stoploss"]
    is_open: StrictBool
    status: StrictStr | None = None
    order_type: StrictStr | None = None
    amount: Amount
    filled: MaybeAmount = None
    safe_price: MaybeAmount = None
    order_timestamp: StrictInt | None = None


class TradeRow(_Row):
    """A trade and all its orders. `trade_id` is no identity: a deleted trade's is given to the next one.

    `current_rate`: the price of now, of an open trade; None: freqtrade could not get one from the exchange.
    """

    trade_id: StrictInt
    pair: Symbol
    is_open: StrictBool
    is_short: StrictBool
    orders: tuple[OrderRow, ...]
    close_timestamp: StrictInt | None = None
    current_rate: MaybeAmount = Decimal(0)


class Health(_Row):
    """When freqtrade went through its loop last, and when it was started; None: not since the process began."""

    last_process: AwareDatetime | None
    bot_startup: AwareDatetime | None
    bot_startup_ts: StrictInt | None = None


class Config(_Row):
    """What of the configuration decides whether there is a belief at all."""

    state: StrictStr
    dry_run: StrictBool
    trading_mode: StrictStr | None = None


class Count(_Row):
    """How many trades are open."""

    current: StrictInt


class TradePage(_Row):
    """A page of closed trades, those that closed last first."""

    trades: tuple[TradeRow, ...]


Said = Any
"""What an answer holds before it is checked."""

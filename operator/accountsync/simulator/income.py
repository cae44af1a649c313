"""Income: one row for every change of a wallet, in the order in which they happened.

Invariant: an account's rows of an asset add up to what its wallet gained since the account was opened.
Source: "Get Income History" in Binance's USD-M futures documentation.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class IncomeType(StrEnum):
    """All published types. The world makes the first five; the others may be asked for and are never found."""

    TRANSFER = "TRANSFER"
    REALIZED_PNL = "REALIZED_PNL"
    COMMISSION = "COMMISSION"
    FUNDING_FEE = "FUNDING_FEE"
    INSURANCE_CLEAR = "INSURANCE_CLEAR"
    WELCOME_BONUS = "WELCOME_BONUS"
    REFERRAL_KICKBACK = "REFERRAL_KICKBACK"
    COMMISSION_REBATE = "COMMISSION_REBATE"
    API_REBATE = "API_REBATE"
    CONTEST_REWARD = "CONTEST_REWARD"
    CROSS_COLLATERAL_TRANSFER = "CROSS_COLLATERAL_TRANSFER"
    OPTIONS_PREMIUM_FEE = "OPTIONS_PREMIUM_FEE"
    OPTIONS_SETTLE_PROFIT = "OPTIONS_SETTLE_PROFIT"
    INTERNAL_TRANSFER = "INTERNAL_TRANSFER"
    AUTO_EXCHANGE = "AUTO_EXCHANGE"
    DELIVERED_SETTELMENT = "DELIVERED_SETTELMENT"  # spelled as published
    COIN_SWAP_DEPOSIT = "COIN_SWAP_DEPOSIT"
    COIN_SWAP_WITHDRAW = "COIN_SWAP_WITHDRAW"
    POSITION_LIMIT_INCREASE_FEE = "POSITION_LIMIT_INCREASE_FEE"
    STRATEGY_UMFUTURES_TRANSFER = "STRATEGY_UMFUTURES_TRANSFER"
    FEE_RETURN = "FEE_RETURN"
    BFUSD_REWARD = "BFUSD_REWARD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Income:
    """One change of a wallet. `amount` of `asset`, positive received; `time` in ms.

    `tran_id` is unique among the account's rows of one type only: profit and commission of one trade share it.
    `symbol` is "" and `trade_id` None for what no contract or trade caused.
    """

    tran_id: int
    type: IncomeType
    amount: Decimal
    asset: str
    time: int
    symbol: str = ""
    trade_id: int | None = None

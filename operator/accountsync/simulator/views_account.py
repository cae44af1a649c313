"""Accounts, balances and positions in Binance's words, versions 2 and 3.

Field names and types: the response models of its USD-M futures documentation. Version 2 lists every symbol, version 3
only those with a position or an open order.
"""

from typing import Any

from accountsync.simulator.decimals import ZERO, entry, fixed, money, money_or_zero
from accountsync.simulator.margin import AccountMargin, AssetMargin, PositionMargin
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import MarginType, SymbolSettings

TOTALS_ASSET = "USDT"
FLAT_ADL, HELD_ADL = 0, 2


def position_risk_v3(row: PositionMargin, account: AccountMargin) -> dict[str, Any]:
    """A row of v3 positionRisk."""
    position = row.position
    return {
        "symbol": position.symbol,
        "positionSide": position.position_side.value,
        "positionAmt": fixed(position.amount, row.spec.quantity_places),
        "entryPrice": entry(position.entry_price),
        "breakEvenPrice": entry(row.break_even_price),
        "markPrice": money(row.mark_price),
        "unRealizedProfit": money(row.unrealized),
        "liquidationPrice": money_or_zero(account.liquidation_price(row)),
        "isolatedMargin": money_or_zero(row.isolated_margin),
        "notional": money_or_zero(row.notional),
        "marginAsset": row.spec.margin_asset,
        "isolatedWallet": money_or_zero(position.isolated_wallet),
        "initialMargin": money_or_zero(row.initial),
        "maintMargin": money_or_zero(row.maintenance),
        "positionInitialMargin": money_or_zero(row.position_initial),
        "openOrderInitialMargin": money_or_zero(row.open_order_initial),
        "adl": HELD_ADL if position.amount else FLAT_ADL,
        "bidNotional": money_or_zero(row.bid_notional),
        "askNotional": money_or_zero(row.ask_notional),
        "updateTime": position.update_time,
    }


def position_risk_v2(row: PositionMargin, account: AccountMargin) -> dict[str, Any]:
    """A row of v2 positionRisk."""
    position = row.position
    return {
        "symbol": position.symbol,
        "positionAmt": fixed(position.amount, row.spec.quantity_places),
        "entryPrice": entry(position.entry_price),
        "breakEvenPrice": entry(row.break_even_price),
        "markPrice": money(row.mark_price),
        "unRealizedProfit": money(row.unrealized),
        "liquidationPrice": money_or_zero(account.liquidation_price(row)),
        "leverage": str(row.settings.leverage),
        "maxNotionalValue": str(max_notional(row.spec, row.settings)),
        "marginType": row.settings.margin_type.value,
        "isolatedMargin": money(row.isolated_margin),
        "isAutoAddMargin": "false",
        "positionSide": position.position_side.value,
        "notional": money_or_zero(row.notional),
        "isolatedWallet": money_or_zero(position.isolated_wallet),
        "updateTime": position.update_time,
    }


def max_notional(spec: SymbolSpec, settings: SymbolSettings) -> int:
    """The largest position (USDT) that the chosen leverage allows: the cap of the last bracket that grants it."""
    return max(step.cap for step in spec.brackets if step.max_leverage >= settings.leverage)


def account_v3(account: AccountMargin) -> dict[str, Any]:
    """The answer of v3 account."""
    return {
        **_totals(account),
        "assets": [_asset_row(asset) for asset in account.assets.values()],
        "positions": [_position_row_v3(row) for row in account.positions if row.shown],
    }


def account_v2(account: AccountMargin) -> dict[str, Any]:
    """The answer of v2 account."""
    return {
        "feeTier": 0,
        "feeBurn": True,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
        **_totals(account),
        "assets": [{**_asset_row(asset), "marginAvailable": True} for asset in account.assets.values()],
        "positions": [_position_row_v2(row) for row in account.positions],
    }


def account_config(account: AccountMargin) -> dict[str, Any]:
    """The answer of accountConfig."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": account.account.hedge_mode,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def symbol_config(row: PositionMargin) -> dict[str, Any]:
    """A row of symbolConfig."""
    isolated = row.settings.margin_type is MarginType.ISOLATED
    return {
        "symbol": row.spec.symbol,
        "marginType": "ISOLATED" if isolated else "CROSSED",
        "isAutoAddMargin": False,
        "leverage": row.settings.leverage,
        "maxNotionalValue": str(max_notional(row.spec, row.settings)),
    }


def balance(asset: AssetMargin, alias: str) -> dict[str, Any]:
    """A row of balance, the same in versions 2 and 3."""
    return {
        "accountAlias": alias,
        "asset": asset.asset,
        "balance": money(asset.balance.wallet),
        "crossWalletBalance": money(asset.cross_wallet),
        "crossUnPnl": money(asset.cross_unrealized),
        "availableBalance": money(asset.available),
        "maxWithdrawAmount": money(asset.max_withdraw),
        "marginAvailable": True,
        "updateTime": asset.balance.update_time,
    }


def _totals(account: AccountMargin) -> dict[str, Any]:
    """In single-asset mode the totals are those of USDT alone."""
    usdt = account.assets.get(TOTALS_ASSET)
    values = {
        "totalInitialMargin": usdt.initial if usdt else ZERO,
        "totalMaintMargin": usdt.maintenance if usdt else ZERO,
        "totalWalletBalance": usdt.balance.wallet if usdt else ZERO,
        "totalUnrealizedProfit": usdt.unrealized if usdt else ZERO,
        "totalMarginBalance": usdt.margin_balance if usdt else ZERO,
        "totalPositionInitialMargin": usdt.position_initial if usdt else ZERO,
        "totalOpenOrderInitialMargin": usdt.open_order_initial if usdt else ZERO,
        "totalCrossWalletBalance": usdt.cross_wallet if usdt else ZERO,
        "totalCrossUnPnl": usdt.cross_unrealized if usdt else ZERO,
        "availableBalance": usdt.available if usdt else ZERO,
        "maxWithdrawAmount": usdt.max_withdraw if usdt else ZERO,
    }
    return {name: money(value) for name, value in values.items()}


def _asset_row(asset: AssetMargin) -> dict[str, Any]:
    return {
        "asset": asset.asset,
        "walletBalance": money(asset.balance.wallet),
        "unrealizedProfit": money(asset.unrealized),
        "marginBalance": money(asset.margin_balance),
        "maintMargin": money(asset.maintenance),
        "initialMargin": money(asset.initial),
        "positionInitialMargin": money(asset.position_initial),
        "openOrderInitialMargin": money(asset.open_order_initial),
        "crossWalletBalance": money(asset.cross_wallet),
        "crossUnPnl": money(asset.cross_unrealized),
        "availableBalance": money(asset.available),
        "maxWithdrawAmount": money(asset.max_withdraw),
        "updateTime": asset.balance.update_time,
    }


def _position_row_v3(row: PositionMargin) -> dict[str, Any]:
    return {
        "symbol": row.position.symbol,
        "positionSide": row.position.position_side.value,
        "positionAmt": fixed(row.position.amount, row.spec.quantity_places),
        "unrealizedProfit": money(row.unrealized),
        "isolatedMargin": money_or_zero(row.isolated_margin),
        "notional": money_or_zero(row.notional),
        "isolatedWallet": money_or_zero(row.position.isolated_wallet),
        "initialMargin": money_or_zero(row.initial),
        "maintMargin": money_or_zero(row.maintenance),
        "updateTime": row.position.update_time,
    }


def _position_row_v2(row: PositionMargin) -> dict[str, Any]:
    return {
        "symbol": row.position.symbol,
        "initialMargin": money_or_zero(row.initial),
        "maintMargin": money_or_zero(row.maintenance),
        "unrealizedProfit": money(row.unrealized),
        "positionInitialMargin": money_or_zero(row.position_initial),
        "openOrderInitialMargin": money_or_zero(row.open_order_initial),
        "leverage": str(row.settings.leverage),
        "isolated": row.isolated,
        "entryPrice": entry(row.position.entry_price),
        "breakEvenPrice": entry(row.break_even_price),
        "maxNotional": str(max_notional(row.spec, row.settings)),
        "bidNotional": money_or_zero(row.bid_notional),
        "askNotional": money_or_zero(row.ask_notional),
        "positionSide": row.position.position_side.value,
        "positionAmt": fixed(row.position.amount, row.spec.quantity_places),
        "notional": money_or_zero(row.notional),
        "isolatedWallet": money_or_zero(row.position.isolated_wallet),
        "updateTime": row.position.update_time,
    }

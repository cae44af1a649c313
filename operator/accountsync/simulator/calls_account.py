"""Calls about the caller's account: settings, balances and positions."""

from accountsync.simulator import views_account, views_wallet
from accountsync.simulator.call import Call


def position_mode(call: Call) -> object:
    """Hedge mode or one-way mode."""
    return {"dualSidePosition": call.account.hedge_mode}


def multi_assets_mode(_call: Call) -> object:
    """The simulator knows single-asset mode only."""
    return {"multiAssetsMargin": False}


def account_config(call: Call) -> object:
    """The account's settings."""
    return views_account.account_config(call.world.margin(call.account))


def symbol_config(call: Call) -> object:
    """Leverage and margin type of one symbol, or of all: a list either way."""
    wanted = {spec.symbol for spec in call.symbols}
    rows = {row.spec.symbol: row for row in call.world.margin(call.account).positions if row.spec.symbol in wanted}
    return [views_account.symbol_config(row) for row in rows.values()]


def commission_rate(call: Call) -> object:
    """The fees of one symbol."""
    spec = call.required_symbol
    return {
        "symbol": spec.symbol,
        "makerCommissionRate": str(spec.maker_fee),
        "takerCommissionRate": str(spec.taker_fee),
        "rpiCommissionRate": "0.00005",
    }


def position_risk_v3(call: Call) -> object:
    """Positions, and symbols with open orders."""
    wanted = {spec.symbol for spec in call.symbols}
    account = call.world.margin(call.account)
    return [
        views_account.position_risk_v3(row, account)
        for row in account.positions
        if row.shown and row.spec.symbol in wanted
    ]


def position_risk_v2(call: Call) -> object:
    """A row for every leg of every symbol, flat or not."""
    wanted = {spec.symbol for spec in call.symbols}
    account = call.world.margin(call.account)
    return [views_account.position_risk_v2(row, account) for row in account.positions if row.spec.symbol in wanted]


def account_v3(call: Call) -> object:
    """Totals, assets and positions."""
    return views_account.account_v3(call.world.margin(call.account))


def account_v2(call: Call) -> object:
    """Totals, settings, assets and every symbol."""
    return views_account.account_v2(call.world.margin(call.account))


def key_permissions(call: Call) -> object:
    """What the caller's key may do."""
    return views_wallet.key_permissions(call.key)


def balances(call: Call) -> object:
    """A row for every asset."""
    account = call.world.margin(call.account)
    return [views_account.balance(asset, call.account.alias) for asset in account.assets.values()]

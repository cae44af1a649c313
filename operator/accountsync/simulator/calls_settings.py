"""Calls of keys that may trade which change how an account trades: leverage, margin type and position mode.

Sources: "Change Initial Leverage", "Change Margin Type" and "Change Position Mode" in Binance's USD-M futures
documentation, and its error-code page.
"""

from dataclasses import replace

from accountsync.simulator import refusals
from accountsync.simulator.asked import asked_flag
from accountsync.simulator.call import Call
from accountsync.simulator.decimals import plain
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import MarginType
from accountsync.simulator.refusals import Refusal

DONE = {"code": 200, "msg": "success"}
MARGIN_TYPES = {"ISOLATED": MarginType.ISOLATED, "CROSSED": MarginType.CROSS}


def change_leverage(call: Call) -> object:
    """What it is from now on, and the largest notional that it allows.

    Refusals: -4028 for a leverage that the symbol does not have, -2027 for one that does not allow what is held, -2028
    for one that needs more margin than there is, -4161 for less of it than an isolated position was opened with.
    """
    spec, leverage = call.required_symbol, call.integer("leverage")
    if leverage is None:
        raise refusals.missing("leverage")
    if not 1 <= leverage <= spec.max_leverage:
        raise Refusal(-4028, f"Leverage {leverage} is not valid")
    most = spec.max_notional(leverage)
    _check_leverage(call, spec, leverage, most)
    call.world.set_leverage(call.account, spec.symbol, leverage)
    return {"leverage": leverage, "maxNotionalValue": str(most), "symbol": spec.symbol}


def change_margin_type(call: Call) -> object:
    """Refusals: -4046 if it is that already, -4047 beside open orders, -4048 beside a position."""
    spec, asked = call.required_symbol, MARGIN_TYPES.get(call.required("marginType").upper())
    if asked is None:
        raise refusals.invalid("marginType")
    if asked is call.account.settings_for(spec.symbol).margin_type:
        raise Refusal(-4046, "No need to change margin type.")
    if _open_orders(call, spec.symbol):
        raise Refusal(-4047, "Margin type cannot be changed if there exists open orders.")
    if _held(call, spec.symbol):
        raise Refusal(-4048, "Margin type cannot be changed if there exists position.")
    call.world.set_margin_type(call.account, spec.symbol, asked)
    return DONE


def change_position_mode(call: Call) -> object:
    """Refusals: -4059 if it is that already, -4067 beside open orders, -4068 beside a position: of any symbol."""
    call.required("dualSidePosition")
    hedge_mode = asked_flag(call, "dualSidePosition")
    if hedge_mode is call.account.hedge_mode:
        raise Refusal(-4059, "No need to change position side.")
    if _open_orders(call):
        raise Refusal(-4067, "Position side cannot be changed if there exists open orders.")
    if _held(call):
        raise Refusal(-4068, "Position side cannot be changed if there exists position.")
    call.world.set_hedge_mode(call.account, hedge_mode=hedge_mode)
    return DONE


def _check_leverage(call: Call, spec: SymbolSpec, leverage: int, most: int) -> None:
    margin = call.world.margin(call.account)
    available = margin.assets[spec.margin_asset].available
    for row in (row for row in margin.positions if row.spec == spec and row.shown):
        if row.isolated and row.position.amount and leverage < row.settings.leverage:
            text = "Leverage reduction is not supported in Isolated Margin Mode with open positions."
            raise Refusal(-4161, text)
        if abs(row.notional) > most:
            raise Refusal(-2027, "Exceeded the maximum allowable position at current leverage.")
        after = replace(row, settings=replace(row.settings, leverage=leverage))
        if after.initial - row.initial > available:
            text = f"Leverage is smaller than permitted: insufficient margin balance of {plain(available)}."
            raise Refusal(-2028, text)


def _open_orders(call: Call, symbol: str = "") -> bool:
    symbols = [order.symbol for order in call.account.open_orders.values()]
    symbols += [algo.symbol for algo in call.world.algos.open_of(call.account)]
    return symbol in symbols if symbol else bool(symbols)


def _held(call: Call, symbol: str = "") -> bool:
    symbols = [position.symbol for position in call.account.positions.values() if position.amount]
    return symbol in symbols if symbol else bool(symbols)

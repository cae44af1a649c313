"""Trades, income and forced orders in Binance's words.

Field names and types: the response models of its USD-M futures documentation.
"""

from typing import Any

from accountsync.simulator.decimals import fixed, money
from accountsync.simulator.income import Income
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Fill, Order, Side
from accountsync.simulator.views_order import queried_order

FORCED_ORDER_FIELDS = (
    "orderId", "symbol", "status", "clientOrderId", "price", "avgPrice", "origQty", "executedQty", "cumQuote",
    "timeInForce", "type", "reduceOnly", "closePosition", "side", "positionSide", "stopPrice", "workingType",
    "origType", "time", "updateTime",
)  # fmt: skip


def trade(fill: Fill, spec: SymbolSpec) -> dict[str, Any]:
    """A row of userTrades. The commission is positive if paid."""
    return {
        "symbol": spec.symbol,
        "id": fill.trade_id,
        "orderId": fill.order[1],
        "side": fill.side.value,
        "price": fixed(fill.price, spec.price_places),
        "qty": fixed(fill.quantity, spec.quantity_places),
        "realizedPnl": money(fill.realized_pnl),
        "quoteQty": fixed(fill.price * fill.quantity, spec.price_places + spec.quantity_places),
        "commission": money(fill.commission),
        "commissionAsset": spec.margin_asset,
        "time": fill.time,
        "positionSide": fill.position_side.value,
        "buyer": fill.side is Side.BUY,
        "maker": fill.maker,
    }


def income_row(row: Income) -> dict[str, Any]:
    """A row of income."""
    return {
        "symbol": row.symbol,
        "incomeType": row.type.value,
        "income": money(row.amount),
        "asset": row.asset,
        "time": row.time,
        "info": row.type.value,
        "tranId": row.tran_id,
        "tradeId": "" if row.trade_id is None else str(row.trade_id),
    }


def forced_order(order: Order, spec: SymbolSpec) -> dict[str, Any]:
    """A row of forceOrders: an order without the fields that are newer than the call."""
    view = queried_order(order, spec)
    return {name: view[name] for name in FORCED_ORDER_FIELDS}

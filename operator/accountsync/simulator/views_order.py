"""Orders in Binance's words. Field names and types: the response models of its USD-M futures documentation."""

from typing import Any

from accountsync.simulator.decimals import fixed
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Order


def queried_order(order: Order, spec: SymbolSpec) -> dict[str, Any]:
    """A row of openOrders, and the answer of order and openOrder."""
    price_places, quantity_places = spec.price_places, spec.quantity_places
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status.value,
        "clientOrderId": order.client_order_id,
        "price": fixed(order.price, price_places),
        "avgPrice": fixed(order.average_price, price_places),
        "origQty": fixed(order.orig_qty, quantity_places),
        "executedQty": fixed(order.executed_qty, quantity_places),
        "cumQuote": fixed(order.cum_quote, price_places + quantity_places),
        "timeInForce": order.time_in_force,
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side.value,
        "positionSide": order.position_side.value,
        "stopPrice": fixed(order.stop_price, price_places),
        "workingType": order.working_type,
        "priceProtect": order.price_protect,
        "origType": order.orig_type,
        "priceMatch": order.price_match,
        "selfTradePreventionMode": order.self_trade_prevention_mode,
        "goodTillDate": order.good_till_date,
        "time": order.time,
        "updateTime": order.update_time,
    }


def listed_order(order: Order, spec: SymbolSpec) -> dict[str, Any]:
    """A row of allOrders: also what COIN-M contracts have."""
    return {**queried_order(order, spec), "pair": order.symbol, "cumBase": "0"}


def acknowledged_order(order: Order, spec: SymbolSpec) -> dict[str, Any]:
    """The answer to placing or cancelling: no `time`, and `cumQty` besides."""
    view = queried_order(order, spec)
    del view["time"]
    view["cumQty"] = view["executedQty"]
    return view

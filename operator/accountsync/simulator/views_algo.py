"""Conditional orders and amendments in Binance's words.

Field names and types: the response models of its USD-M futures documentation. `actualType` and `actualQty` are there
once an order was triggered, as on the exchange.
"""

from typing import Any

from accountsync.simulator.algo import AlgoOrder, AlgoType
from accountsync.simulator.amendments import Amendment
from accountsync.simulator.decimals import ZERO, fixed, plain
from accountsync.simulator.markets import SymbolSpec

ACTUAL_PRICE_PLACES = 5


def queried_algo(algo: AlgoOrder, spec: SymbolSpec) -> dict[str, Any]:
    """The answer of algoOrder."""
    child, price_places = algo.child, spec.price_places
    view = {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type.value,
        "symbol": algo.symbol,
        "side": algo.side.value,
        "positionSide": algo.position_side.value,
        "timeInForce": algo.time_in_force,
        "quantity": fixed(algo.quantity, spec.quantity_places),
        "algoStatus": algo.status.value,
        "actualOrderId": str(child.order_id) if child else "",
        "actualPrice": fixed(child.average_price if child else ZERO, ACTUAL_PRICE_PLACES),
        "triggerPrice": fixed(algo.trigger_price, price_places),
        "price": fixed(algo.price, price_places),
        "icebergQuantity": None,
        "tpOrderType": "",
        "selfTradePreventionMode": "NONE",
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
        "createTime": algo.create_time,
        "updateTime": algo.update_time,
        "triggerTime": algo.trigger_time,
        "goodTillDate": 0,
    }
    if child:
        view |= {"actualType": child.type, "actualQty": fixed(child.executed_qty, spec.quantity_places)}
    if algo.type is AlgoType.TRAILING_STOP_MARKET:
        view |= {
            "activatePrice": fixed(algo.activate_price, price_places),
            "callbackRate": plain(algo.callback_rate),
        }
    return view


def listed_algo(algo: AlgoOrder, spec: SymbolSpec) -> dict[str, Any]:
    """A row of openAlgoOrders and allAlgoOrders."""
    nothing = fixed(ZERO, spec.price_places)
    bracket = dict.fromkeys(("tpTriggerPrice", "tpPrice", "slTriggerPrice", "slPrice"), nothing)
    view = {**queried_algo(algo, spec), **bracket}
    for name in ("actualType", "actualQty"):
        view.pop(name, None)
    return view


def placed_algo(algo: AlgoOrder, spec: SymbolSpec) -> dict[str, Any]:
    """The answer to placing: nothing of a child, and a trailing stop's fields for all."""
    view = {"activatePrice": "", "callbackRate": "", **queried_algo(algo, spec)}
    for name in ("actualOrderId", "actualPrice", "tpOrderType"):
        del view[name]
    return view


def amendment_row(amendment: Amendment, spec: SymbolSpec) -> dict[str, Any]:
    """A row of orderAmendment."""
    before, after = amendment.before, amendment.after
    told = {} if amendment.modify_id is None else {"modifyId": amendment.modify_id}
    return {
        "amendmentId": amendment.amendment_id,
        "symbol": after.symbol,
        "pair": after.symbol,
        "orderId": after.order_id,
        "clientOrderId": after.client_order_id,
        "time": amendment.time,
        "amendment": {
            "price": {
                "before": fixed(before.price, spec.price_places),
                "after": fixed(after.price, spec.price_places),
            },
            "origQty": {
                "before": fixed(before.orig_qty, spec.quantity_places),
                "after": fixed(after.orig_qty, spec.quantity_places),
            },
            "count": amendment.count,
            **told,
        },
    }

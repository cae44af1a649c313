"""Placing an order through the API: what is asked for, and the checks of the exchange, in its order.

Sources: "New Order" in Binance's USD-M futures documentation, its error-code page, and the filters in exchangeInfo.
What becomes of an order that passes stands in `matching.py`.
"""

from dataclasses import replace
from decimal import Decimal

from accountsync.simulator import refusals
from accountsync.simulator.affording import check_margin
from accountsync.simulator.asked import (
    asked_client_id,
    asked_decimal,
    asked_flag,
    asked_good_till_date,
    asked_leg,
    asked_reduce_only,
    asked_side,
    asked_stp,
    asked_time_in_force,
    refuse_sent,
)
from accountsync.simulator.call import Call
from accountsync.simulator.decimals import ZERO
from accountsync.simulator.filters import (
    MAX_OPEN_ORDERS,
    check_distance,
    check_notional,
    check_price,
    check_quantity,
)
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.matching import Plan, plan
from accountsync.simulator.model import Order
from accountsync.simulator.reducing import left_to_close, only_reduces
from accountsync.simulator.refusals import Refusal

CONDITIONAL_TYPES = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
TIMES_IN_FORCE = frozenset({"GTC", "IOC", "FOK", "GTX", "GTD"})
CONDITIONAL_ONLY = ("stopPrice", "activationPrice", "callbackRate")


def asked_order(call: Call) -> Plan:
    """What is asked for, and what would come of it now. Raises Refusal for what the exchange would not take."""
    spec, draft = call.required_symbol, _draft(call)
    market = draft.type == "MARKET"
    if not market:
        check_price(spec, draft.price)
    check_quantity(spec, draft.orig_qty, market=market)
    reducing = only_reduces(draft)
    mark = call.world.marks[spec.symbol]
    if not reducing:
        check_notional(spec, draft.orig_qty * (mark if market else draft.price))
    if not market:
        check_distance(spec, draft.side, draft.price, mark)
    _check_book(call, draft)
    if reducing:
        draft = _cut(call, draft)
    planned = plan(call.world, spec, draft)
    if not reducing:
        check_margin(call, spec, draft.side, draft.position_side, planned.worth)
    planned.check()
    return planned


def _draft(call: Call) -> Order:
    """The order as asked for, before it has an id."""
    spec, side, kind = call.required_symbol, asked_side(call), _type(call)
    leg, reduce_only = asked_leg(call), asked_reduce_only(call)
    refuse_sent(call, CONDITIONAL_ONLY)
    if asked_flag(call, "closePosition"):
        raise Refusal(-4136, f"Target strategy invalid for orderType '{kind}',closePosition 'true'")
    if call.text("priceMatch"):
        raise refusals.not_supported()
    draft = Order(
        account=call.account.name,
        order_id=0,
        client_order_id=asked_client_id(call, "newClientOrderId") or "",
        symbol=spec.symbol,
        side=side,
        position_side=leg,
        price=ZERO,
        orig_qty=asked_decimal(call, "quantity"),
        type=kind,
        orig_type=kind,
        reduce_only=reduce_only,
        self_trade_prevention_mode=asked_stp(call),
        time=0,
        update_time=0,
    )
    if kind == "MARKET":
        refuse_sent(call, ("timeInForce", "price"))
        return draft
    time_in_force = asked_time_in_force(call.required("timeInForce"), TIMES_IN_FORCE)
    return replace(
        draft,
        time_in_force=time_in_force,
        price=asked_decimal(call, "price"),
        good_till_date=asked_good_till_date(call, time_in_force),
    )


def _type(call: Call) -> str:
    kind = call.required("type")
    if kind in CONDITIONAL_TYPES:
        text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        raise Refusal(-4120, text)
    if kind not in ("LIMIT", "MARKET"):
        raise Refusal(-1116, "Invalid orderType.")
    return kind


def _check_book(call: Call, draft: Order) -> None:
    """A client id is unique among open orders only: one whose order has ended may be used again."""
    taken = call.account.client_ids.get((draft.symbol, draft.client_order_id), -1)
    if (draft.symbol, taken) in call.account.open_orders:
        raise refusals.duplicated_client_id()
    if len(call.account.open_orders_of(draft.symbol)) >= MAX_OPEN_ORDERS:
        raise Refusal(-2025, "Reach max open order limit.")


def _cut(call: Call, draft: Order) -> Order:
    """To what is left to close: a reduce-only order is made smaller, one that closes a hedge leg is refused instead."""
    price = None if draft.type == "MARKET" else draft.price
    left = left_to_close(call.account, draft.symbol, draft.position_side, draft.side, price)
    if not left or (draft.orig_qty > left and not draft.reduce_only):
        raise Refusal(-2022, "ReduceOnly Order is rejected.")
    return replace(draft, orig_qty=min(draft.orig_qty, left))


def check_amended(spec: SymbolSpec, draft: Order, mark: Decimal) -> None:
    """The filters for an order's new price and quantity; its notional has a refusal of its own."""
    check_price(spec, draft.price)
    check_quantity(spec, draft.orig_qty)
    check_distance(spec, draft.side, draft.price, mark)

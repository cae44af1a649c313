"""Placing a limit order through the API: the checks of the exchange, in its order, and then the book.

Sources: the filters in exchangeInfo and the error-code page of Binance's USD-M futures documentation. The order rests
at its price even if that is beyond the mark: fills are the world's doing.
"""

import re
from decimal import Decimal, InvalidOperation

from accountsync.simulator import refusals
from accountsync.simulator.call import Call
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Order, PositionSide, Side
from accountsync.simulator.refusals import Refusal

CONDITIONAL_TYPES = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
TIMES_IN_FORCE = frozenset({"GTC", "GTX", "GTD"})
CLIENT_ORDER_ID = re.compile(r"[\.A-Z\:/a-z0-9_-]{1,36}")


def limit_order(call: Call) -> Order:
    """Raises Refusal for everything but a limit order that this account may place."""
    spec = call.required_symbol
    side = asked_side(call)
    _check_type(call)
    time_in_force = call.required("timeInForce")
    if time_in_force not in TIMES_IN_FORCE:
        raise Refusal(-1115, "Invalid timeInForce.")
    quantity, price = asked_decimal(call, "quantity"), asked_decimal(call, "price")
    reduce_only = call.text("reduceOnly") == "true"
    check_filters(spec, price, quantity, reduce_only=reduce_only)
    position_side = _position_side(call)
    client_order_id = _client_order_id(call, spec)
    if not reduce_only and not affordable(call, spec, price * quantity):
        raise Refusal(-2019, "Margin is insufficient.")
    return call.world.place_order(
        call.account,
        symbol=spec.symbol,
        side=side,
        price=price,
        quantity=quantity,
        client_order_id=client_order_id,
        position_side=position_side,
        time_in_force=time_in_force,
        reduce_only=reduce_only,
    )


def asked_side(call: Call) -> Side:
    """Raises Refusal -1117 for what is neither side."""
    try:
        return Side(call.required("side"))
    except ValueError:
        raise Refusal(-1117, "Invalid side.") from None


def _check_type(call: Call) -> None:
    kind = call.required("type")
    if kind in CONDITIONAL_TYPES:
        text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        raise Refusal(-4120, text)
    if kind == "MARKET":
        raise refusals.not_supported()
    if kind != "LIMIT":
        raise Refusal(-1116, "Invalid orderType.")


def asked_decimal(call: Call, name: str) -> Decimal:
    """Raises Refusal -1102 for what is no finite number."""
    try:
        value = Decimal(call.required(name))
    except InvalidOperation:
        raise refusals.missing(name) from None
    if not value.is_finite():
        raise refusals.missing(name)
    return value


def check_filters(spec: SymbolSpec, price: Decimal, quantity: Decimal, *, reduce_only: bool) -> None:
    """Raises Refusal for a price or quantity that breaks a filter; `reduce_only` lifts the least notional."""
    checks = (
        (price > 0, -4001, "Price less than 0."),
        (price <= spec.max_price, -4002, "Price greater than max price."),
        (quantity > 0, -4003, "Quantity less than zero."),
        (quantity <= spec.max_quantity, -4005, "Quantity greater than max quantity."),
        (price % spec.tick_size == 0, -4014, "Price not increased by tick size."),
        (quantity % spec.step_size == 0, -1111, "Precision is over the maximum defined for this asset."),
        (
            reduce_only or price * quantity >= spec.min_notional,
            -4164,
            f"Order's notional must be no smaller than {spec.min_notional} (unless you choose reduce only).",
        ),
    )
    for passed, code, text in checks:
        if not passed:
            raise Refusal(code, text)


def _position_side(call: Call) -> PositionSide:
    text = call.text("positionSide") or PositionSide.BOTH
    if text not in call.account.position_sides:
        raise Refusal(-4061, "Order's position side does not match user's setting.")
    return PositionSide(text)


def _client_order_id(call: Call, spec: SymbolSpec) -> str | None:
    text = call.text("newClientOrderId")
    if text is None:
        return None
    if not CLIENT_ORDER_ID.fullmatch(text):
        raise Refusal(-4015, "Client order id is not valid.")
    taken = call.world.find_order(call.account, spec.symbol, client_order_id=text)
    if taken and taken.status.is_open:
        raise Refusal(-4116, "ClientOrderId is duplicated.")
    return text


def affordable(call: Call, spec: SymbolSpec, notional: Decimal) -> bool:
    """Whether the available balance covers the initial margin of `notional` more."""
    available = call.world.margin(call.account).assets[spec.margin_asset].available
    return notional / call.account.settings_for(spec.symbol).leverage <= available

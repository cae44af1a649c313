"""Placing a conditional order through the API: what is asked for, and the checks of the exchange, in its order.

Sources: "New Algo Order" in Binance's USD-M futures documentation, and its error-code page. The order waits at the
`AlgoDesk`; margin and what it would reduce are looked at when it is triggered.
"""

from dataclasses import dataclass
from decimal import Decimal

from accountsync.simulator import refusals
from accountsync.simulator.algo import AlgoOrder, AlgoType
from accountsync.simulator.algo_desk import CALLBACK_RATES, WORKING_TYPES
from accountsync.simulator.asked import (
    asked_client_id,
    asked_decimal,
    asked_flag,
    asked_leg,
    asked_reduce_only,
    asked_side,
    asked_time_in_force,
    refuse_sent,
)
from accountsync.simulator.call import Call
from accountsync.simulator.filters import check_notional, check_price, check_quantity
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import PositionSide, Side
from accountsync.simulator.reducing import closable
from accountsync.simulator.refusals import Refusal
from accountsync.simulator.world_error import WorldError

TIMES_IN_FORCE = frozenset({"GTC", "IOC", "FOK", "GTX"})
CLOSING_TYPES = (AlgoType.STOP_MARKET, AlgoType.TAKE_PROFIT_MARKET)


@dataclass(frozen=True, slots=True)
class _Prices:
    """The prices of one type of order: those that it has, and None for the others."""

    limit: Decimal | None
    trigger: Decimal | None
    activate: Decimal | None
    callback: Decimal | None


def place_algo(call: Call) -> AlgoOrder:
    """Let it wait. Raises Refusal for what the exchange would not take, -2021 for what would be triggered at once."""
    spec = call.required_symbol
    if call.required("algoType") != "CONDITIONAL":
        raise refusals.invalid("algoType")
    side, kind, leg, reduce_only = asked_side(call), _type(call), asked_leg(call), asked_reduce_only(call)
    close_position = asked_flag(call, "closePosition")
    if close_position:
        _check_closing(call, kind, side, leg)
    prices = _prices(call, spec, kind)
    quantity = None if close_position else asked_decimal(call, "quantity")
    if quantity is not None:
        check_quantity(spec, quantity, market=not kind.makes_limit)
        if not reduce_only and side is not leg.closing_side:
            check_notional(spec, quantity * (prices.limit or prices.trigger or call.world.marks[spec.symbol]))
    working_type = call.text("workingType") or "CONTRACT_PRICE"
    if working_type not in WORKING_TYPES:
        raise Refusal(-4031, f"Invalid parameter working type: {working_type}")
    try:
        return call.world.algos.place(
            call.account,
            symbol=spec.symbol,
            side=side,
            order_type=kind,
            trigger_price=prices.trigger,
            quantity=quantity,
            price=prices.limit,
            position_side=leg,
            time_in_force=asked_time_in_force(call.text("timeInForce") or "GTC", TIMES_IN_FORCE),
            working_type=working_type,
            close_position=close_position,
            reduce_only=reduce_only,
            price_protect=asked_flag(call, "priceProtect"),
            activate_price=prices.activate,
            callback_rate=prices.callback,
            client_algo_id=_client_algo_id(call),
        )
    except WorldError:  # all else was looked at: what is left is a price on the wrong side of the mark
        raise Refusal(-2021, "Order would immediately trigger.") from None


def _type(call: Call) -> AlgoType:
    try:
        return AlgoType(call.required("type"))
    except ValueError:
        raise Refusal(-1116, "Invalid orderType.") from None


def _check_closing(call: Call, kind: AlgoType, side: Side, leg: PositionSide) -> None:
    if kind not in CLOSING_TYPES:
        raise Refusal(-4136, f"Target strategy invalid for orderType '{kind}',closePosition 'true'")
    if call.text("quantity") is not None:
        raise Refusal(-4137, "Quantity must be zero with closePosition equals true")
    refuse_sent(call, ("reduceOnly",))
    if leg.closing_side not in (None, side):
        raise Refusal(-2022, "ReduceOnly Order is rejected.")
    if not closable(call.account, call.required_symbol.symbol, leg, side):
        text = (
            "Time in Force (TIF) GTE can only be used with open positions. Please ensure that positions are available."
        )
        raise Refusal(-4509, text)


def _prices(call: Call, spec: SymbolSpec, kind: AlgoType) -> _Prices:
    limit = asked_decimal(call, "price") if kind.makes_limit else None
    if not kind.makes_limit:
        refuse_sent(call, ("price",))
    if kind is AlgoType.TRAILING_STOP_MARKET:
        refuse_sent(call, ("triggerPrice",))
        activate = asked_decimal(call, "activatePrice") if call.text("activatePrice") else None
        prices = _Prices(limit, None, activate, _callback_rate(call))
    else:
        refuse_sent(call, ("activatePrice", "callbackRate"))
        trigger = asked_decimal(call, "triggerPrice")
        if trigger <= 0:
            raise Refusal(-4006, "Stop price less than zero.")
        if trigger > spec.max_price:
            raise Refusal(-4007, "Stop price greater than max price.")
        prices = _Prices(limit, trigger, None, None)
    for price in (prices.limit, prices.trigger, prices.activate):
        if price is not None:
            check_price(spec, price)
    return prices


def _callback_rate(call: Call) -> Decimal:
    rate, (low, high) = asked_decimal(call, "callbackRate"), CALLBACK_RATES
    if not low <= rate <= high:
        raise Refusal(-2007, "Invalid callback rate.")
    return rate


def _client_algo_id(call: Call) -> str | None:
    wanted = asked_client_id(call, "clientAlgoId")
    if wanted and any(algo.client_algo_id == wanted for algo in call.world.algos.open_of(call.account)):
        raise refusals.duplicated_client_id()
    return wanted

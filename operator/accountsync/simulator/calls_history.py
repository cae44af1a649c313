"""Calls about what happened to the caller's account: trades, income, and positions closed by force."""

from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from accountsync.simulator import refusals
from accountsync.simulator.call import Call
from accountsync.simulator.income import IncomeType
from accountsync.simulator.model import AutoClose, Order
from accountsync.simulator.span import Span, asked_span, week_span
from accountsync.simulator.views_history import forced_order, income_row, trade

E = TypeVar("E", bound=StrEnum)


def user_trades(call: Call) -> object:
    """Fills of one symbol by rising id: of a span, or from `fromId` on; of one order if `orderId` is sent.

    Raises Refusal: -4165 for a span of more than 7 days, -4166 for one that starts more than 90 days ago, -1106 for a
    time beside `fromId`.
    """
    spec = call.required_symbol
    from_id, order_id = call.integer("fromId"), call.integer("orderId")
    span = _trade_span(call, from_id)
    fills = (
        fill
        for fill in call.account.fills
        if fill.order[0] == spec.symbol and order_id in (None, fill.order[1]) and fill.trade_id >= (from_id or 0)
    )
    return [trade(fill, spec) for fill in span.choose(fills, lambda fill: fill.time)]


def income(call: Call) -> object:
    """Changes of the wallet, oldest first. Raises Refusal -1130 for an unknown `incomeType` or a page below 1."""
    span = asked_span(call, default_limit=100, max_limit=1000)
    symbol, page = call.symbol, call.integer("page")
    if page is not None:
        if page < 1:
            raise refusals.invalid("page")
        span = replace(span, newest=False)
    wanted = _one_of(IncomeType, call, "incomeType")
    rows = (
        row
        for row in call.account.incomes
        if wanted in (None, row.type) and (symbol is None or row.symbol == symbol.symbol)
    )
    return [income_row(row) for row in span.choose(rows, lambda row: row.time, page or 1)]


def force_orders(call: Call) -> object:
    """Orders by which the exchange closed positions, oldest first. Raises Refusal -1130 for an `autoCloseType`."""
    span = asked_span(call, default_limit=50, max_limit=100)
    symbols = {spec.symbol for spec in call.symbols}
    wanted = _one_of(AutoClose, call, "autoCloseType")
    orders = (
        call.account.orders[ref]
        for ref, why in call.account.auto_closed.items()
        if wanted in (None, why) and ref[0] in symbols
    )
    return [forced_order(order, call.world.spec(order.symbol)) for order in span.choose(orders, _order_time)]


def _trade_span(call: Call, from_id: int | None) -> Span:
    for name in ("startTime", "endTime"):
        if from_id is not None and call.text(name) is not None:
            raise refusals.not_required(name)
    return week_span(call, from_id)


def _order_time(order: Order) -> int:
    return order.time


def _one_of(kinds: type[E], call: Call, name: str) -> E | None:
    text = call.text(name)
    try:
        return None if text is None else kinds(text)
    except ValueError:
        raise refusals.invalid(name) from None

"""Whether an account has the margin for one order more."""

from dataclasses import replace
from decimal import Decimal

from accountsync.simulator.call import Call
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import PositionSide, Side
from accountsync.simulator.refusals import Refusal


def check_margin(call: Call, spec: SymbolSpec, side: Side, leg: PositionSide, notional: Decimal) -> None:
    """Raises Refusal -2019 unless the available balance covers what `notional` more on that side would bind."""
    margin = call.world.margin(call.account)
    row = next(
        one for one in margin.positions if one.position.symbol == spec.symbol and one.position.position_side is leg
    )
    if side is Side.BUY:
        after = replace(row, bid_notional=row.bid_notional + notional)
    else:
        after = replace(row, ask_notional=row.ask_notional + notional)
    if after.initial - row.initial > margin.assets[spec.margin_asset].available:
        raise Refusal(-2019, "Margin is insufficient.")

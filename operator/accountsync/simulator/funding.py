"""The part of `World` that pays funding: what each position pays or receives, by the mark price.

Source: "Introduction to Binance Futures Funding Rates": value of the position x rate, from longs to shorts if the rate
is positive. An isolated position pays from its own margin.
"""

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from accountsync.simulator.income import Income, IncomeType
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Account, MarginType, PositionSide

if TYPE_CHECKING:
    from accountsync.simulator.world import World


def pay(world: "World", spec: SymbolSpec, rate: Decimal) -> list[tuple[Account, Income]]:
    """Every account's positions of one contract, each leg for itself; returns whose wallet changed and how."""
    return [
        (account, _pay_one(world, account, spec, leg, rate))
        for account in world.accounts.values()
        for leg in account.position_sides
        if rate and account.position(spec.symbol, leg).amount
    ]


def _pay_one(world: "World", account: Account, spec: SymbolSpec, leg: PositionSide, rate: Decimal) -> Income:
    position = account.position(spec.symbol, leg)
    received = -position.amount * world.marks[spec.symbol] * rate
    world.book(account, IncomeType.FUNDING_FEE, spec.margin_asset, received, symbol=spec.symbol)
    if account.settings_for(spec.symbol).margin_type is MarginType.ISOLATED:
        account.positions[spec.symbol, leg] = replace(
            position, isolated_wallet=position.isolated_wallet + received, update_time=world.now_ms()
        )
    return account.incomes[-1]

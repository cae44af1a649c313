"""Binance USD-M futures on loopback: an exchange that unmodified clients take for the real one, and that tests command.

Entry points: `Simulator` (world, faults, limits, request log and two ports), `World` (what happens to accounts),
`Fault` (what goes wrong on the way). The calls it has are the rows of `routes.py`; where it says less than the real
exchange stands in `limitations.py`.
"""

from accountsync.simulator.algo import AlgoOrder, AlgoStatus
from accountsync.simulator.book import Depth, Offer
from accountsync.simulator.faults import Fault, Kind
from accountsync.simulator.income import Income, IncomeType
from accountsync.simulator.journal import RequestRecord
from accountsync.simulator.markets import DEFAULT_SYMBOLS, SymbolSpec, brackets
from accountsync.simulator.model import Account, ApiKey, AutoClose, Order, OrderStatus, Position, PositionSide, Side
from accountsync.simulator.simulator import Simulator
from accountsync.simulator.world import World, WorldError

__all__ = [
    "DEFAULT_SYMBOLS",
    "Account",
    "AlgoOrder",
    "AlgoStatus",
    "ApiKey",
    "AutoClose",
    "Depth",
    "Fault",
    "Income",
    "IncomeType",
    "Kind",
    "Offer",
    "Order",
    "OrderStatus",
    "Position",
    "PositionSide",
    "RequestRecord",
    "Side",
    "Simulator",
    "SymbolSpec",
    "World",
    "WorldError",
    "brackets",
]

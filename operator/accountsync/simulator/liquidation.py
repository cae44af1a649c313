"""The part of `World` that closes positions by force: liquidation, and auto-deleveraging (ADL).

A position is liquidated once the money behind it is less than its maintenance margin: the whole cross wallet with its
unrealised profit against all cross positions in that asset, or an isolated position's own. Its orders expire, an
IOC order closes it whole, and the insurance fund takes its clearance fee of what is left, or makes good what is
missing. How that differs from the exchange stands in `limitations.py`.

Sources: Binance's support articles "Liquidation Protocols", "Insurance Fund" and "What Is Auto-Deleveraging", and
"User's Force Orders" in its USD-M futures documentation for the orders.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

from accountsync.simulator.decimals import MONEY_PLACES, ZERO
from accountsync.simulator.income import IncomeType
from accountsync.simulator.margin import AssetMargin, PositionMargin
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Account, AutoClose, MarginType, Order, Position, PositionSide, Side

if TYPE_CHECKING:
    from accountsync.simulator.world import World

Choice = Callable[[str, PositionSide], bool]
LIQUIDATION_ID = "autoclose-"
DELEVERAGING_ID = "adl_autoclose"
# Money is shown to this much: less than it is not missing.
NOTHING = Decimal(1).scaleb(-MONEY_PLACES) / 2


@contextmanager
def watch(world: "World", spec: SymbolSpec) -> Iterator[None]:
    """Liquidate the positions of `spec` that what happens inside leaves with too little margin.

    An account that had too little before was put there by hand, and stays as it was put.
    """
    holders = [account for account in world.accounts.values() if _legs_held(account, spec)]
    short_before = {account.name: _short_legs(world, account, spec) for account in holders}
    yield
    for account in holders:
        for leg in _short_legs(world, account, spec):
            if leg not in short_before[account.name]:
                _until_covered(world, account, spec, leg)


def liquidate(world: "World", account: Account, position: Position, price: Decimal | None = None) -> Order:
    """Close `position` whole."""
    spec = world.spec(position.symbol)
    isolated = _isolated(account, spec)
    _expire_orders(world, account, _of(position) if isolated else _under_cross_margin(account))
    wallet_before = _asset(world, account, spec).balance.wallet
    order = _force(world, account, position, abs(position.amount), AutoClose.LIQUIDATION, price)
    asset = _asset(world, account, spec)
    if isolated:
        left = position.isolated_wallet + asset.balance.wallet - wallet_before
    else:
        left = _cross_surplus(asset)
        if _cross_rows(asset):
            left = max(left, ZERO)  # what is missing may still come from the positions that are left
    _clear(world, account, order, left)
    return order


def deleverage(
    world: "World", account: Account, position: Position, quantity: Decimal, price: Decimal | None = None
) -> Order:
    """Take `quantity` off `position`, which holds as much."""
    _expire_orders(world, account, _of(position))
    return _force(world, account, position, quantity, AutoClose.ADL, price)


def _until_covered(world: "World", account: Account, spec: SymbolSpec, leg: PositionSide) -> None:
    """The position that needs the most margin goes first, until what is left has enough."""
    if _isolated(account, spec):
        liquidate(world, account, account.position(spec.symbol, leg))
        return
    while _cross_short(asset := _asset(world, account, spec)):
        worst = max(_cross_rows(asset), key=lambda row: row.maintenance)
        liquidate(world, account, worst.position)


def _force(
    world: "World", account: Account, position: Position, quantity: Decimal, why: AutoClose, price: Decimal | None
) -> Order:
    spec = world.spec(position.symbol)
    side = Side.SELL if position.amount > 0 else Side.BUY
    liquidated = why is AutoClose.LIQUIDATION
    number = f"{world.now_ms()}{len(account.auto_closed) + 1:06}"
    order = world.place_order(
        account,
        symbol=spec.symbol,
        side=side,
        price=_on_tick(world.marks[spec.symbol], spec.tick_size, side) if price is None else price,
        quantity=quantity,
        client_order_id=f"{LIQUIDATION_ID}{number}" if liquidated else DELEVERAGING_ID,
        position_side=position.position_side,
        time_in_force="IOC" if liquidated else "GTC",
    )
    account.auto_closed[order.ref] = why
    return world.fill(order, maker=False, free=not liquidated)


def _clear(world: "World", account: Account, order: Order, left: Decimal) -> None:
    """The insurance fund takes its fee of the money that is left, or gives what is missing."""
    spec = world.spec(order.symbol)
    fee = min(max(left, ZERO), order.cum_quote * spec.liquidation_fee)
    amount = -fee if left >= 0 else -left
    world.book(account, IncomeType.INSURANCE_CLEAR, spec.margin_asset, amount, symbol=spec.symbol)


def _isolated(account: Account, spec: SymbolSpec) -> bool:
    return account.settings_for(spec.symbol).margin_type is MarginType.ISOLATED


def _asset(world: "World", account: Account, spec: SymbolSpec) -> AssetMargin:
    return world.margin(account).assets[spec.margin_asset]


def _legs_held(account: Account, spec: SymbolSpec) -> list[PositionSide]:
    return [leg for leg in account.position_sides if account.position(spec.symbol, leg).amount]


def _short_legs(world: "World", account: Account, spec: SymbolSpec) -> list[PositionSide]:
    """The legs of `spec` with too little behind them: under cross margin all that are held, or none."""
    asset = _asset(world, account, spec)
    if _isolated(account, spec):
        rows = [row for row in asset.positions if row.spec == spec and row.position.amount]
        return [row.position.position_side for row in rows if row.isolated_margin - row.maintenance < -NOTHING]
    return _legs_held(account, spec) if _cross_short(asset) else []


def _cross_rows(asset: AssetMargin) -> list[PositionMargin]:
    return [row for row in asset.positions if row.position.amount and not row.isolated]


def _cross_short(asset: AssetMargin) -> bool:
    return bool(_cross_rows(asset)) and _cross_surplus(asset) < -NOTHING


def _cross_surplus(asset: AssetMargin) -> Decimal:
    """What the cross positions have behind them beyond what they need."""
    needed = sum((row.maintenance for row in _cross_rows(asset)), ZERO)
    return asset.cross_wallet + asset.cross_unrealized - needed


def _of(position: Position) -> Choice:
    return lambda symbol, leg: (symbol, leg) == (position.symbol, position.position_side)


def _under_cross_margin(account: Account) -> Choice:
    return lambda symbol, _leg: account.settings_for(symbol).margin_type is MarginType.CROSS


def _expire_orders(world: "World", account: Account, chosen: Choice) -> None:
    for order in [one for one in account.open_orders.values() if chosen(one.symbol, one.position_side)]:
        world.expire(order)
    for algo in [one for one in world.algos.open_of(account) if chosen(one.symbol, one.position_side)]:
        world.algos.expire(algo)


def _on_tick(price: Decimal, tick: Decimal, side: Side) -> Decimal:
    """The nearest price that can be traded at, on the worse side."""
    steps = (price / tick).to_integral_value(ROUND_FLOOR if side is Side.SELL else ROUND_CEILING)
    return max(steps, Decimal(1)) * tick

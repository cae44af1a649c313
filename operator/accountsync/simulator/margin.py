"""Margin of a single-asset-mode account, as Binance reckons it: pure functions of an account and the mark prices.

Sources: Binance's futures account documentation for the fields' meaning, and its support article on the liquidation
price of USD-M contracts for the formula in `liquidation_price`. Amounts are in the margin asset.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from accountsync.simulator.decimals import ZERO
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Account, Balance, MarginType, Position, PositionSide, Side, SymbolSettings


@dataclass(frozen=True, slots=True)
class PositionMargin:
    """A position and everything that follows from the mark price. `notional` is signed, as Binance reports it."""

    position: Position
    spec: SymbolSpec
    settings: SymbolSettings
    mark_price: Decimal
    bid_notional: Decimal
    ask_notional: Decimal

    @property
    def isolated(self) -> bool:
        """Whether the position has money of its own."""
        return self.settings.margin_type is MarginType.ISOLATED

    @property
    def notional(self) -> Decimal:
        """Signed value at the mark price."""
        return self.position.amount * self.mark_price

    @property
    def unrealized(self) -> Decimal:
        """Profit at the mark price."""
        return self.position.amount * (self.mark_price - self.position.entry_price)

    @property
    def maintenance(self) -> Decimal:
        """Maintenance margin: the bracket's rate of the notional, less the bracket's deduction."""
        bracket = self.spec.bracket(self.notional)
        return abs(self.notional) * bracket.maintenance_rate - bracket.deduction if self.position.amount else ZERO

    @property
    def position_initial(self) -> Decimal:
        """Initial margin of the position alone."""
        return abs(self.notional) / self.settings.leverage

    @property
    def initial(self) -> Decimal:
        """Initial margin of position and open orders: of the larger exposure if either side filled whole."""
        if_bids_fill = abs(self.notional + self.bid_notional)
        if_asks_fill = abs(self.notional - self.ask_notional)
        worst = max(abs(self.notional), if_bids_fill, if_asks_fill)
        return worst / self.settings.leverage

    @property
    def open_order_initial(self) -> Decimal:
        """What the open orders add to the position's initial margin."""
        return self.initial - self.position_initial

    @property
    def isolated_margin(self) -> Decimal:
        """An isolated position's wallet with its unrealised profit; 0 under cross margin."""
        return self.position.isolated_wallet + self.unrealized if self.isolated and self.position.amount else ZERO

    @property
    def break_even_price(self) -> Decimal:
        """The price at which closing would cost or earn nothing over the position's life so far."""
        if not self.position.amount:
            return ZERO
        return self.position.entry_price + self.position.carried_cost / self.position.amount

    @property
    def shown(self) -> bool:
        """The version 3 calls leave out symbols with neither a position nor an open order."""
        return bool(self.position.amount or self.bid_notional or self.ask_notional)


@dataclass(frozen=True, slots=True)
class AssetMargin:
    """One margin asset of an account with the positions that are margined in it."""

    asset: str
    balance: Balance
    positions: tuple[PositionMargin, ...]

    def _sum(self, amounts: Iterable[Decimal]) -> Decimal:
        return sum(amounts, ZERO)

    @property
    def unrealized(self) -> Decimal:
        """Over all positions."""
        return self._sum(row.unrealized for row in self.positions)

    @property
    def margin_balance(self) -> Decimal:
        """Wallet and unrealised profit."""
        return self.balance.wallet + self.unrealized

    @property
    def maintenance(self) -> Decimal:
        """Over all positions."""
        return self._sum(row.maintenance for row in self.positions)

    @property
    def position_initial(self) -> Decimal:
        """Over all positions."""
        return self._sum(row.position_initial for row in self.positions)

    @property
    def open_order_initial(self) -> Decimal:
        """Over all symbols."""
        return self._sum(row.open_order_initial for row in self.positions)

    @property
    def initial(self) -> Decimal:
        """Positions and open orders."""
        return self.position_initial + self.open_order_initial

    @property
    def cross_wallet(self) -> Decimal:
        """The wallet less what isolated positions hold."""
        return self.balance.wallet - self._sum(row.position.isolated_wallet for row in self.positions)

    @property
    def cross_unrealized(self) -> Decimal:
        """Over cross positions."""
        return self._sum(row.unrealized for row in self.positions if not row.isolated)

    @property
    def _bound(self) -> Decimal:
        cross = self._sum(row.position_initial for row in self.positions if not row.isolated)
        return cross + self.open_order_initial

    @property
    def available(self) -> Decimal:
        """What new orders may use; never negative."""
        return max(ZERO, self.cross_wallet + self.cross_unrealized - self._bound)

    @property
    def max_withdraw(self) -> Decimal:
        """What may leave the account: unrealised profit may not."""
        return max(ZERO, self.cross_wallet + min(ZERO, self.cross_unrealized) - self._bound)

    def liquidation_price(self, row: PositionMargin) -> Decimal:
        """The mark price at which `row` would be liquidated if no other price moved; 0 if none would.

        (wallet - others' maintenance + others' unrealised + deduction - amount x entry)
        / (|amount| x maintenance rate - amount), with the isolated wallet and no others for an isolated position.
        """
        amount = row.position.amount
        if not amount:
            return ZERO
        bracket = row.spec.bracket(row.notional)
        if row.isolated:
            backing = row.position.isolated_wallet
        else:
            others = [other for other in self.positions if other.position != row.position and not other.isolated]
            backing = self.cross_wallet + self._sum(other.unrealized - other.maintenance for other in others)
        divisor = abs(amount) * bracket.maintenance_rate - amount
        price = (backing + bracket.deduction - amount * row.position.entry_price) / divisor
        return max(ZERO, price)


@dataclass(frozen=True, slots=True)
class AccountMargin:
    """The whole account. `assets` are in order of name, `positions` in the exchange's order of symbols."""

    account: Account
    assets: Mapping[str, AssetMargin]
    positions: tuple[PositionMargin, ...]

    def liquidation_price(self, row: PositionMargin) -> Decimal:
        """As `AssetMargin.liquidation_price`, of the asset that `row` is margined in."""
        return self.assets[row.spec.margin_asset].liquidation_price(row)


def account_margin(account: Account, specs: Mapping[str, SymbolSpec], marks: Mapping[str, Decimal]) -> AccountMargin:
    """Everything about `account` at these mark prices, for every listed symbol and every leg of its position mode."""
    exposure = _open_notionals(account)
    nothing = (ZERO, ZERO)
    rows = tuple(
        PositionMargin(
            account.position(symbol, side),
            spec,
            account.settings_for(symbol),
            marks[symbol],
            *exposure.get((symbol, side), nothing),
        )
        for symbol, spec in specs.items()
        for side in account.position_sides
    )
    names = sorted({spec.margin_asset for spec in specs.values()} | set(account.balances))
    assets = {
        name: AssetMargin(
            name,
            account.balances.get(name, Balance()),
            tuple(row for row in rows if row.spec.margin_asset == name and row.shown),
        )
        for name in names
    }
    return AccountMargin(account, assets, rows)


def _open_notionals(account: Account) -> dict[tuple[str, PositionSide], tuple[Decimal, Decimal]]:
    """(bids, asks) by symbol and leg; orders that can only reduce bind no margin."""
    result: dict[tuple[str, PositionSide], tuple[Decimal, Decimal]] = {}
    for order in account.open_orders.values():
        closes_leg = (order.position_side, order.side) in (
            (PositionSide.LONG, Side.SELL),
            (PositionSide.SHORT, Side.BUY),
        )
        if order.reduce_only or order.close_position or closes_leg:
            continue
        bids, asks = result.get((order.symbol, order.position_side), (ZERO, ZERO))
        value = order.remaining * order.price
        key = order.symbol, order.position_side
        result[key] = (bids + value, asks) if order.side is Side.BUY else (bids, asks + value)
    return result

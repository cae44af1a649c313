"""The state of the simulated exchange and every way in which it changes: pure, deterministic, without a network.

The same seed, clock and calls make the same state, keys and ids included. Everything a market, a trader by hand or the
exchange itself can do to an account is a method here; the HTTP calls and the control interface only translate.
"""

import random
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from accountsync.simulator.decimals import ZERO
from accountsync.simulator.fills import apply_fill
from accountsync.simulator.margin import AccountMargin, account_margin
from accountsync.simulator.markets import DEFAULT_SYMBOLS, SymbolSpec
from accountsync.simulator.model import (
    Account,
    ApiKey,
    Balance,
    Fill,
    MarginType,
    Order,
    OrderStatus,
    Permission,
    Position,
    PositionSide,
    Side,
    SymbolSettings,
)

DAY_MS = 86_400_000
UNFILLED_KEPT_MS = 3 * DAY_MS
ANY_ORDER_KEPT_MS = 90 * DAY_MS
KEY_LENGTH = 64
CLIENT_ID_LENGTH = 22
ALPHANUMERIC = string.ascii_letters + string.digits


class WorldError(ValueError):
    """An action that cannot be done to this world: it names the object and what was expected."""


class World:
    """Accounts, keys, orders, positions and marks.

    `seed` decides keys, secrets and the client order ids that the exchange makes up. `clock` gives Unix milliseconds;
    `advance_clock` adds to it.
    """

    def __init__(self, *, seed: int, clock: Callable[[], int], symbols: Iterable[SymbolSpec] = DEFAULT_SYMBOLS) -> None:
        self.specs: dict[str, SymbolSpec] = {spec.symbol: spec for spec in symbols}
        self.marks: dict[str, Decimal] = {name: spec.mark_price for name, spec in self.specs.items()}
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, ApiKey] = {}
        self._seed = seed
        self._clock = clock
        self._advanced_ms = 0
        self._keys_made = 0
        self._next_order_id = {name: spec.first_order_id for name, spec in self.specs.items()}
        self._next_trade_id = 1

    # the clock

    def now_ms(self) -> int:
        """Unix milliseconds on the exchange's clock."""
        return self._clock() + self._advanced_ms

    def advance_clock(self, milliseconds: int) -> None:
        """Let time pass at once; it never goes back."""
        if milliseconds < 0:
            raise WorldError(f"clock: cannot advance by {milliseconds} ms; time does not go back")
        self._advanced_ms += milliseconds

    # accounts and keys

    def create_account(
        self, name: str, *, wallet: Mapping[str, Decimal] | None = None, hedge_mode: bool = False
    ) -> Account:
        """Open an account with these amounts of each asset."""
        if name in self.accounts:
            raise WorldError(f"account {name!r} exists already")
        now = self.now_ms()
        balances = {asset: Balance(Decimal(amount), now) for asset, amount in (wallet or {}).items()}
        alias = self._text(f"alias:{name}", 4)
        account = self.accounts[name] = Account(name, alias, hedge_mode=hedge_mode, balances=balances)
        return account

    def account(self, name: str) -> Account:
        """Raises WorldError for a name that no account has."""
        try:
            return self.accounts[name]
        except KeyError:
            raise WorldError(f"account {name!r} does not exist") from None

    def create_key(
        self,
        account: Account,
        *,
        permissions: Iterable[str] = ("read",),
        api_key: str | None = None,
        secret: str | None = None,
    ) -> ApiKey:
        """A new key beside the account's others; made up from the seed unless given."""
        self._keys_made += 1
        made = f"{account.name}:{self._keys_made}"
        key = ApiKey(
            api_key or self._text(f"key:{made}", KEY_LENGTH),
            secret or self._text(f"secret:{made}", KEY_LENGTH),
            account.name,
            frozenset(Permission(item) for item in permissions),
        )
        if key.api_key in self.keys:
            raise WorldError(f"key {key.fingerprint} exists already")
        self.keys[key.api_key] = key
        return key

    def revoke_key(self, key: ApiKey | str) -> ApiKey:
        """From now on the key is unknown. `key`: the key, its text or its fingerprint."""
        wanted = key.api_key if isinstance(key, ApiKey) else key
        for known in self.keys.values():
            if wanted in (known.api_key, known.fingerprint):
                return self.keys.pop(known.api_key)
        raise WorldError("that key does not exist or was revoked before")

    def rotate_key(self, key: ApiKey) -> ApiKey:
        """Revoke `key` and make another with the same permissions."""
        self.revoke_key(key)
        return self.create_key(self.account(key.account), permissions=key.permissions)

    # the wallet

    def deposit(self, account: Account, asset: str, amount: Decimal) -> None:
        """Add to the wallet; a negative `amount` withdraws."""
        before = account.balances.get(asset, Balance())
        account.balances[asset] = Balance(before.wallet + amount, self.now_ms())

    def withdraw(self, account: Account, asset: str, amount: Decimal) -> None:
        """Take from the wallet, whatever is left."""
        self.deposit(account, asset, -amount)

    # positions and marks

    def set_mark_price(self, symbol: str, price: Decimal) -> None:
        """Unrealised profit, margins and liquidation prices follow at once."""
        self.marks[self.spec(symbol).symbol] = price

    def set_position(
        self,
        account: Account,
        symbol: str,
        amount: Decimal,
        *,
        entry_price: Decimal | None = None,
        position_side: str = PositionSide.BOTH,
        isolated_wallet: Decimal = ZERO,
    ) -> Position:
        """Put a position there as if it had always been; the wallet is left alone. `amount` is signed."""
        side = self._leg(account, PositionSide(position_side))
        price = entry_price or self.marks[self.spec(symbol).symbol]
        position = Position(
            symbol=symbol,
            position_side=side,
            amount=amount,
            entry_price=price if amount else ZERO,
            isolated_wallet=isolated_wallet,
            update_time=self.now_ms(),
        )
        account.positions[symbol, side] = position
        return position

    def set_leverage(self, account: Account, symbol: str, leverage: int) -> None:
        """Leverage of one symbol, 1 to its highest."""
        spec = self.spec(symbol)
        if not 1 <= leverage <= spec.max_leverage:
            raise WorldError(f"{symbol}: leverage {leverage} is not within 1 and {spec.max_leverage}")
        account.settings[symbol] = SymbolSettings(leverage, account.settings_for(symbol).margin_type)

    def set_margin_type(self, account: Account, symbol: str, margin_type: str) -> None:
        """`cross` or `isolated`, for a symbol without a position."""
        if any(account.position(self.spec(symbol).symbol, side).amount for side in account.position_sides):
            raise WorldError(f"{symbol}: the margin type cannot change while {account.name!r} holds a position")
        account.settings[symbol] = SymbolSettings(account.settings_for(symbol).leverage, MarginType(margin_type))

    def margin(self, account: Account) -> AccountMargin:
        """Everything that follows from positions, open orders and marks."""
        return account_margin(account, self.specs, self.marks)

    # orders

    def place_order(
        self,
        account: Account,
        *,
        symbol: str,
        side: str,
        price: Decimal,
        quantity: Decimal,
        client_order_id: str | None = None,
        position_side: str = PositionSide.BOTH,
        time_in_force: str = "GTC",
        reduce_only: bool = False,
    ) -> Order:
        """A limit order that rests in the book, whoever placed it."""
        spec = self.spec(symbol)
        leg = self._leg(account, PositionSide(position_side))
        if client_order_id and self._open_with_client_id(account, symbol, client_order_id):
            raise WorldError(f"{account.name!r} has an open {symbol} order with client id {client_order_id!r}")
        if quantity <= 0 or price <= 0:
            raise WorldError(f"{symbol}: an order needs a quantity and a price above 0, not {quantity} at {price}")
        order_id = self._next_order_id[spec.symbol]
        self._next_order_id[spec.symbol] += 1
        now = self.now_ms()
        order = Order(
            account=account.name,
            order_id=order_id,
            client_order_id=client_order_id or self._text(f"client:{symbol}:{order_id}", CLIENT_ID_LENGTH),
            symbol=spec.symbol,
            side=Side(side),
            position_side=leg,
            price=price,
            orig_qty=quantity,
            time_in_force=time_in_force,
            reduce_only=reduce_only,
            time=now,
            update_time=now,
        )
        account.client_ids[symbol, order.client_order_id] = order_id
        self._keep(account, order)
        return order

    def fill(
        self, order: Order, *, quantity: Decimal | None = None, price: Decimal | None = None, maker: bool = True
    ) -> Order:
        """Execute `quantity` (all that remains) at `price` (the order's own); position and wallet follow."""
        account, current = self._open_order(order)
        amount = current.remaining if quantity is None else quantity
        if not ZERO < amount <= current.remaining:
            raise WorldError(f"order {current.order_id}: cannot fill {amount}, {current.remaining} remains")
        at = current.price if price is None else price
        filled = replace(
            current,
            executed_qty=current.executed_qty + amount,
            cum_quote=current.cum_quote + amount * at,
            status=OrderStatus.FILLED if amount == current.remaining else OrderStatus.PARTIALLY_FILLED,
            update_time=self.now_ms(),
        )
        self._settle(account, filled, amount, at, maker=maker)
        return self._keep(account, filled)

    def cancel(self, order: Order) -> Order:
        """Take it off the book; what was filled stays filled."""
        return self._close(order, OrderStatus.CANCELED)

    def expire(self, order: Order) -> Order:
        """As `cancel`, by the exchange."""
        return self._close(order, OrderStatus.EXPIRED)

    def reject(self, order: Order) -> Order:
        """The matching engine would not have it after all."""
        return self._close(order, OrderStatus.REJECTED)

    def current(self, order: Order) -> Order:
        """The order as it is now."""
        return self.account(order.account).orders[order.ref]

    def find_order(
        self, account: Account, symbol: str, *, order_id: int | None = None, client_order_id: str | None = None
    ) -> Order | None:
        """The order as a query would find it: None for one that Binance has forgotten by now.

        Cancelled and expired orders without a fill are found for 3 days after they were made, all others for 90.
        """
        if order_id is None:
            order_id = account.client_ids.get((symbol, client_order_id or ""))
        order = account.orders.get((symbol, order_id)) if order_id is not None else None
        return order if order and not self._forgotten(order) else None

    def spec(self, symbol: str) -> SymbolSpec:
        """Raises WorldError for a symbol that is not listed."""
        try:
            return self.specs[symbol]
        except KeyError:
            raise WorldError(f"symbol {symbol!r} is not listed; there are {', '.join(self.specs)}") from None

    def _forgotten(self, order: Order) -> bool:
        age = self.now_ms() - order.time
        unfilled = order.status in (OrderStatus.CANCELED, OrderStatus.EXPIRED) and not order.executed_qty
        return age > (UNFILLED_KEPT_MS if unfilled else ANY_ORDER_KEPT_MS)

    def _settle(self, account: Account, order: Order, amount: Decimal, price: Decimal, *, maker: bool) -> None:
        spec = self.specs[order.symbol]
        fee = amount * price * (spec.maker_fee if maker else spec.taker_fee)
        effect = apply_fill(
            account.position(order.symbol, order.position_side),
            amount * order.side.sign,
            price,
            fee=fee,
            settings=account.settings_for(order.symbol),
            time=order.update_time,
        )
        account.positions[order.symbol, order.position_side] = effect.position
        self.deposit(account, spec.margin_asset, effect.realized - fee)
        account.fills.append(
            Fill(
                trade_id=self._next_trade_id,
                order=order.ref,
                side=order.side,
                position_side=order.position_side,
                quantity=amount,
                price=price,
                commission=fee,
                realized_pnl=effect.realized,
                maker=maker,
                time=order.update_time,
            )
        )
        self._next_trade_id += 1

    def _close(self, order: Order, status: OrderStatus) -> Order:
        account, current = self._open_order(order)
        return self._keep(account, replace(current, status=status, update_time=self.now_ms()))

    def _keep(self, account: Account, order: Order) -> Order:
        account.orders[order.ref] = order
        if order.status.is_open:
            account.open_orders[order.ref] = order
        else:
            account.open_orders.pop(order.ref, None)
        return order

    def _open_order(self, order: Order) -> tuple[Account, Order]:
        account = self.account(order.account)
        current = account.open_orders.get(order.ref)
        if current is None:
            raise WorldError(f"order {order.order_id} of {order.symbol} is not open")
        return account, current

    def _open_with_client_id(self, account: Account, symbol: str, client_order_id: str) -> bool:
        return (symbol, account.client_ids.get((symbol, client_order_id), -1)) in account.open_orders

    def _leg(self, account: Account, side: PositionSide) -> PositionSide:
        if side not in account.position_sides:
            expected = " or ".join(account.position_sides)
            raise WorldError(f"account {account.name!r}: position side {side} does not fit its mode; use {expected}")
        return side

    def _text(self, purpose: str, length: int) -> str:
        """Letters and digits that depend on the seed and the purpose only, not on what was made before."""
        source = random.Random(f"{self._seed}:{purpose}")  # noqa: S311 - test keys must be reproducible
        return "".join(source.choices(ALPHANUMERIC, k=length))

"""The state of the simulated exchange and every way in which it changes: pure, deterministic, without a network.

The same seed, clock and calls make the same state, keys and ids included. Everything a market, a trader by hand or the
exchange itself can do to an account is a method here; the HTTP calls and the control interface only translate.
"""

import random
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from accountsync.simulator import funding, liquidation, reducing, settling
from accountsync.simulator.algo_desk import AlgoDesk
from accountsync.simulator.amendments import AmendmentBook
from accountsync.simulator.book import Books
from accountsync.simulator.deadlines import Deadlines
from accountsync.simulator.decimals import ZERO
from accountsync.simulator.income import Income, IncomeType
from accountsync.simulator.margin import AccountMargin, account_margin
from accountsync.simulator.markets import DEFAULT_SYMBOLS, SymbolSpec
from accountsync.simulator.model import (
    Account,
    ApiKey,
    Balance,
    MarginType,
    Order,
    OrderStatus,
    Permission,
    Position,
    PositionSide,
    Side,
    SymbolSettings,
)
from accountsync.simulator.retention import forgotten
from accountsync.simulator.world_error import WorldError

KEY_LENGTH = 64
CLIENT_ID_LENGTH = 22
FIRST_TRAN_ID = 4_480_321_991_774_044_581  # beyond 2^53, as on the exchange
ALPHANUMERIC = string.ascii_letters + string.digits

__all__ = ["World", "WorldError"]


class World:
    """Accounts, keys, orders, positions and marks.

    `revision` rises with every change to an order, a countdown or a setting.
    `algos` keeps the conditional orders, `amendments` what was amended, `books` what others offer, and `deadlines` what
    happens by itself.
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
        self.algos = AlgoDesk(self, leg=self._leg, made_up=self._text)
        self.amendments = AmendmentBook()
        self.books = Books(self.specs, self.marks.__getitem__)
        self.deadlines = Deadlines(self)
        self.revision = 0
        self._next_tran_id = FIRST_TRAN_ID

    # the clock

    def now_ms(self) -> int:
        """Unix milliseconds on the exchange's clock."""
        return self._clock() + self._advanced_ms

    def advance_clock(self, milliseconds: int) -> None:
        """Let time pass at once; it never goes back."""
        if milliseconds < 0:
            raise WorldError(f"clock: cannot advance by {milliseconds} ms; time does not go back")
        self._advanced_ms += milliseconds
        self.deadlines.pass_by()

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
            self.now_ms(),
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
        self.book(account, IncomeType.TRANSFER, asset, amount)

    def withdraw(self, account: Account, asset: str, amount: Decimal) -> None:
        """Take from the wallet, whatever is left."""
        self.deposit(account, asset, -amount)

    def book(
        self,
        account: Account,
        income_type: IncomeType,
        asset: str,
        amount: Decimal,
        *,
        symbol: str = "",
        trade_id: int | None = None,
    ) -> None:
        """Change the wallet and write the row that says why; nothing is written of a change by 0."""
        now = self.now_ms()
        before = account.balances.get(asset, Balance())
        account.balances[asset] = Balance(before.wallet + amount, now)
        if not amount:
            return
        if trade_id is None:
            tran_id, self._next_tran_id = self._next_tran_id, self._next_tran_id + 1
        else:
            tran_id = trade_id
        account.incomes.append(
            Income(
                tran_id=tran_id,
                type=income_type,
                amount=amount,
                asset=asset,
                time=now,
                symbol=symbol,
                trade_id=trade_id,
            )
        )

    def pay_funding(self, symbol: str, rate: Decimal) -> list[tuple[Account, Income]]:
        """Every position pays `rate` of its value at the mark price, longs if it is positive, shorts if negative.

        Returns a row for each position. Time that passes pays nothing by itself.
        """
        with liquidation.watch(self, self.spec(symbol)):
            return funding.pay(self, self.spec(symbol), rate)

    # positions and marks

    def set_mark_price(self, symbol: str, price: Decimal) -> None:
        """Unrealised profit, margins and liquidation prices follow at once.

        Positions that it takes below their maintenance margin are liquidated.
        """
        with liquidation.watch(self, self.spec(symbol)):
            self.marks[symbol] = price
            self.books.refill(symbol)
            self.algos.on_mark(symbol)

    def liquidate(
        self, account: Account, symbol: str, position_side: str = PositionSide.BOTH, *, price: Decimal | None = None
    ) -> Order:
        """Close a position by force, whatever its margin, at `price` (the mark). Returns the order that did it."""
        return liquidation.liquidate(self, account, self._held(account, symbol, position_side), price)

    def deleverage(
        self,
        account: Account,
        symbol: str,
        position_side: str,
        quantity: Decimal,
        *,
        price: Decimal | None = None,
    ) -> Order:
        """Take `quantity` off a position for another's sake (ADL), at `price` (the mark) and without a fee."""
        position = self._held(account, symbol, position_side)
        if not ZERO < quantity <= abs(position.amount):
            raise WorldError(f"{symbol}: cannot deleverage {quantity}, {abs(position.amount)} is held")
        return liquidation.deleverage(self, account, position, quantity, price)

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
        self.revision += 1

    def set_margin_type(self, account: Account, symbol: str, margin_type: str) -> None:
        """`cross` or `isolated`, for a symbol without a position."""
        if any(account.position(self.spec(symbol).symbol, side).amount for side in account.position_sides):
            raise WorldError(f"{symbol}: the margin type cannot change while {account.name!r} holds a position")
        account.settings[symbol] = SymbolSettings(account.settings_for(symbol).leverage, MarginType(margin_type))
        self.revision += 1

    def set_hedge_mode(self, account: Account, *, hedge_mode: bool) -> None:
        """Two legs a symbol or one position, for an account that holds nothing."""
        if any(position.amount for position in account.positions.values()):
            raise WorldError(f"the position mode cannot change while {account.name!r} holds a position")
        account.hedge_mode = hedge_mode
        self.revision += 1

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
        self._check_new(account, symbol, client_order_id, quantity=quantity, price=price)
        draft = Order(
            account=account.name,
            order_id=0,
            client_order_id=client_order_id or "",
            symbol=spec.symbol,
            side=Side(side),
            position_side=leg,
            price=price,
            orig_qty=quantity,
            time_in_force=time_in_force,
            reduce_only=reduce_only,
            time=0,
            update_time=0,
        )
        return self.enter(account, draft)

    def execute(
        self,
        account: Account,
        *,
        symbol: str,
        side: str,
        quantity: Decimal | None = None,
        client_order_id: str | None = None,
        position_side: str = PositionSide.BOTH,
        reduce_only: bool = False,
        working_type: str = "CONTRACT_PRICE",
    ) -> Order:
        """A market order: filled whole at once, at the mark price. Without a quantity it closes what `side` closes.

        What can only reduce takes no more than is there; WorldError if nothing is.
        """
        spec, way = self.spec(symbol), Side(side)
        leg = self._leg(account, PositionSide(position_side))
        closable = reducing.closable(account, symbol, leg, way)
        closing = quantity is None
        if closing or reduce_only or way is leg.closing_side:
            quantity = closable if quantity is None else min(quantity, closable)
        mark = self.marks[spec.symbol]
        self._check_new(account, symbol, client_order_id, quantity=quantity or ZERO, price=mark)
        draft = Order(
            account=account.name,
            order_id=0,
            client_order_id=client_order_id or "",
            symbol=spec.symbol,
            side=way,
            position_side=leg,
            price=ZERO,
            orig_qty=quantity or ZERO,
            type="MARKET",
            orig_type="MARKET",
            reduce_only=reduce_only or closing,
            close_position=closing,
            working_type=working_type,
            time=0,
            update_time=0,
        )
        return self.fill(self.enter(account, draft), price=mark, maker=False)

    def amend(
        self,
        order: Order,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
        modify_id: int | None = None,
    ) -> Order:
        """Change what rests in the book; it keeps its id. A quantity of no more than is filled cancels it.

        WorldError if nothing would change.
        """
        account, current = self._open_order(order)
        after = replace(
            current,
            price=current.price if price is None else price,
            orig_qty=current.orig_qty if quantity is None else quantity,
            update_time=self.now_ms(),
        )
        self._check_amounts(current.symbol, after.orig_qty, after.price)
        if (after.price, after.orig_qty) == (current.price, current.orig_qty):
            raise WorldError(f"order {current.order_id}: no need to modify it")
        if after.orig_qty <= current.executed_qty:
            return self.cancel(current)
        self.amendments.record(current, after, modify_id)
        return self._keep(account, after)

    def replace(
        self,
        order: Order,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
        client_order_id: str | None = None,
    ) -> Order:
        """Cancel, and place anew what is not given otherwise: the price, what remains, and the client id.

        Both or neither; returns the new order.
        """
        account, current = self._open_order(order)
        fresh = replace(
            current,
            client_order_id=client_order_id or current.client_order_id,
            price=current.price if price is None else price,
            orig_qty=current.remaining if quantity is None else quantity,
            executed_qty=ZERO,
            cum_quote=ZERO,
            status=OrderStatus.NEW,
        )
        renamed = None if fresh.client_order_id == current.client_order_id else client_order_id
        self._check_new(account, current.symbol, renamed, quantity=fresh.orig_qty, price=fresh.price)
        self.cancel(current)
        return self.enter(account, fresh)

    def fill(
        self,
        order: Order,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        maker: bool = True,
        free: bool = False,
    ) -> Order:
        """Execute `quantity` (all that it can) at `price` (the order's own); position and wallet follow.

        What can only reduce takes no more than is there, and expires with nothing left. `free`: without a fee.
        """
        account, current = self._open_order(order)
        most = current.remaining
        if reducing.only_reduces(current):
            most = min(most, reducing.closable(account, current.symbol, current.position_side, current.side))
        amount = most if quantity is None else quantity
        if not ZERO < amount <= most:
            raise WorldError(f"order {current.order_id}: cannot fill {amount}, {most} can be")
        at = current.price if price is None else price
        filled = replace(
            current,
            executed_qty=current.executed_qty + amount,
            cum_quote=current.cum_quote + amount * at,
            status=OrderStatus.FILLED if amount == current.remaining else OrderStatus.PARTIALLY_FILLED,
            update_time=self.now_ms(),
        )
        trade_id, self._next_trade_id = self._next_trade_id, self._next_trade_id + 1
        settling.settle(self, account, filled, settling.Execution(amount, at, maker, free), trade_id)
        self._keep(account, filled)
        reducing.expire_useless(self, account, filled.symbol, filled.position_side)
        return self.current(filled)

    def cancel(self, order: Order) -> Order:
        """Take it off the book; what was filled stays filled."""
        return self.close(order, OrderStatus.CANCELED)

    def expire(self, order: Order) -> Order:
        """As `cancel`, by the exchange."""
        return self.close(order, OrderStatus.EXPIRED)

    def reject(self, order: Order) -> Order:
        """The matching engine would not have it after all."""
        return self.close(order, OrderStatus.REJECTED)

    def close(self, order: Order, status: OrderStatus, *, at: int | None = None) -> Order:
        """Take it off the book, `at` a moment that has passed by or now."""
        account, current = self._open_order(order)
        return self._keep(account, replace(current, status=status, update_time=self.now_ms() if at is None else at))

    def enter(self, account: Account, draft: Order) -> Order:
        """Put `draft` in the book under the symbol's next id, and under a made-up client id if it has none."""
        order_id, now = self._next_order_id[draft.symbol], self.now_ms()
        self._next_order_id[draft.symbol] += 1
        client_order_id = draft.client_order_id or self._text(f"client:{draft.symbol}:{order_id}", CLIENT_ID_LENGTH)
        account.client_ids[draft.symbol, client_order_id] = order_id
        entered = replace(draft, order_id=order_id, client_order_id=client_order_id, time=now, update_time=now)
        self.deadlines.watch(entered)
        return self._keep(account, entered)

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

    def remembered_orders(self, account: Account, symbol: str) -> list[Order]:
        """All orders of one symbol that `find_order` would find, by rising id."""
        found = (order for (name, _), order in sorted(account.orders.items()) if name == symbol)
        return [order for order in found if not self._forgotten(order)]

    def spec(self, symbol: str) -> SymbolSpec:
        """Raises WorldError for a symbol that is not listed."""
        try:
            return self.specs[symbol]
        except KeyError:
            raise WorldError(f"symbol {symbol!r} is not listed; there are {', '.join(self.specs)}") from None

    def _forgotten(self, order: Order) -> bool:
        unfilled = order.status in (OrderStatus.CANCELED, OrderStatus.EXPIRED) and not order.executed_qty
        return forgotten(self.now_ms() - order.time, ended_unfilled=unfilled)

    def _check_new(
        self, account: Account, symbol: str, client_order_id: str | None, *, quantity: Decimal, price: Decimal
    ) -> None:
        if client_order_id and self._open_with_client_id(account, symbol, client_order_id):
            raise WorldError(f"{account.name!r} has an open {symbol} order with client id {client_order_id!r}")
        self._check_amounts(symbol, quantity, price)

    def _check_amounts(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        if quantity <= 0 or price <= 0:
            raise WorldError(f"{symbol}: an order needs a quantity and a price above 0, not {quantity} at {price}")

    def _keep(self, account: Account, order: Order) -> Order:
        self.revision += 1
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

    def _held(self, account: Account, symbol: str, side: str) -> Position:
        leg = self._leg(account, PositionSide(side))
        position = account.position(self.spec(symbol).symbol, leg)
        if not position.amount:
            raise WorldError(f"{account.name!r} holds no {leg} position in {symbol}")
        return position

    def _leg(self, account: Account, side: PositionSide) -> PositionSide:
        if side not in account.position_sides:
            expected = " or ".join(account.position_sides)
            raise WorldError(f"account {account.name!r}: position side {side} does not fit its mode; use {expected}")
        return side

    def _text(self, purpose: str, length: int) -> str:
        """Letters and digits that depend on the seed and the purpose only, not on what was made before."""
        source = random.Random(f"{self._seed}:{purpose}")  # noqa: S311 - test keys must be reproducible
        return "".join(source.choices(ALPHANUMERIC, k=length))

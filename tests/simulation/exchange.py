"""An account on an exchange: what it holds, what it held before, and each fill and each booking that led there.

Nothing here fails or is late. Every change of a wallet is a booking; every position is what its fills made of it.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.support.fakes import BTC, ETH, START_MS, SYMBOLS

from accountsync.domain.account import Balance, Fill, Income, Order, OrderStatus, Position, PositionSide, Side

ZERO = Decimal(0)
FEE = Decimal("0.00037")
KEPT = 3_000
Key = tuple[str, str]
"""Symbol and `Order.ref`."""
Leg = tuple[str, PositionSide]


@dataclass(frozen=True, slots=True)
class Then:
    """The account at one time. `shares` and `wallets`: bot by bot, what of it is that bot's."""

    positions: tuple[Position, ...]
    orders: tuple[Order, ...]
    balances: tuple[Balance, ...]
    shares: tuple[dict[Leg, Decimal], ...]
    wallets: tuple[Decimal, ...]


@dataclass(slots=True)
class Account:
    """`now_ms`: the time of the change that is being made. `owners`: bot of each order, -1 for nobody's.

    `mark`: of every position; None: the price of its entry. `before`: the order whose place one took. `wallets`: bot by
    bot; what is nobody's is the first one's.
    """

    lists_flat: bool
    bots: int
    mark: Decimal | None = None
    now_ms: int = START_MS - 60_000
    orders: dict[Key, Order] = field(default_factory=dict)
    versions: dict[Key, list[Order]] = field(default_factory=dict)
    positions: dict[Leg, Position] = field(default_factory=dict)
    wallet: Decimal = Decimal(1000)
    traded: dict[str, list[Fill]] = field(default_factory=lambda: {BTC: [], ETH: []})
    booked: list[Income] = field(default_factory=list)
    owners: dict[Key, int] = field(default_factory=dict)
    legs: dict[Key, PositionSide] = field(default_factory=dict)
    before: dict[Key, Order] = field(default_factory=dict)
    by_client_id: dict[Key, list[Key]] = field(default_factory=dict)
    shares: list[dict[Leg, Decimal]] = field(default_factory=list)
    wallets: list[Decimal] = field(default_factory=list)
    _times: list[int] = field(default_factory=list)
    _past: list[Then] = field(default_factory=list)
    _ids: int = 0
    _fills: int = 0

    def __post_init__(self) -> None:
        self.shares = [{} for _ in range(self.bots)]
        self.wallets = [self.wallet / self.bots for _ in range(self.bots)]
        self.remember()

    # --- what it shows ------------------------------------------------------------------------------------------------

    def remember(self) -> None:
        """Keep what is held now; to be called after each change."""
        positions = tuple(row for row in self.positions.values() if row.quantity or self.lists_flat)
        now = Then(
            positions,
            tuple(self.orders.values()),
            (Balance("USDT", self.wallet),),
            tuple(dict(share) for share in self.shares),
            tuple(self.wallets),
        )
        self._times.append(self.now_ms)
        self._past.append(now)
        if len(self._times) > 2 * KEPT:
            del self._times[:KEPT], self._past[:KEPT]

    def at(self, ms: float) -> Then:
        """What was held at `ms`."""
        return self._past[max(0, bisect_right(self._times, ms) - 1)]

    def find(self, symbol: str, order_id: str, client_id: str, *, conditional: bool | None, at: float) -> Order | None:
        """An order as it was at `at`."""
        if order_id:
            kinds = ((False, order_id), (True, f"trigger:{order_id}"))
            keys = [(symbol, ref) for kind, ref in kinds if conditional in (None, kind)]
        else:
            keys = self.by_client_id.get((symbol, client_id), [])[::-1]
        for key in keys:
            known = [order for order in self.versions.get(key, ()) if (order.updated or 0) <= at]
            if known and conditional in (None, known[-1].conditional):
                return known[-1]
        return None

    @staticmethod
    def canonical(text: str) -> str:
        return text if text in SYMBOLS.values() else SYMBOLS[text]

    # --- what happens on it -------------------------------------------------------------------------------------------

    def place(
        self,
        symbol: str,
        *,
        side: Side = Side.BUY,
        quantity: Decimal = Decimal(1),
        price: Decimal | None = Decimal(100),
        client_id: str = "",
        leg: PositionSide = PositionSide.NET,
        owner: int = -1,
        trigger: Decimal | None = None,
        filled: Decimal = ZERO,
    ) -> Order:
        self._ids += 1
        order = Order(
            id=str(self._ids if trigger is None else 900_000 + self._ids),
            client_id=client_id,
            symbol=symbol,
            side=side,
            quantity=quantity,
            filled=filled,
            price=price,
            type="limit" if trigger is None else "stop",
            created=self.now_ms,
            updated=self.now_ms,
            conditional=trigger is not None,
            trigger_price=trigger,
        )
        key = (symbol, order.ref)
        self.owners[key], self.legs[key] = owner, leg
        self.by_client_id.setdefault((symbol, client_id), []).append(key)
        return self._put(order)

    def end(self, order: Order, status: OrderStatus = OrderStatus.CANCELED, *, successor: str = "") -> Order:
        """Take `order` off the open ones."""
        ended = replace(self.orders[order.symbol, order.ref], status=status, successor=successor, updated=self.now_ms)
        return self._put(ended)

    def amend(self, order: Order, *, price: Decimal | None) -> Order:
        """Another price under the same id."""
        return self._put(replace(self.orders[order.symbol, order.ref], price=price, updated=self.now_ms))

    def succeed(self, order: Order, *, price: Decimal | None, client_id: str) -> Order:
        """Another order in the place of `order`: what triggered, or an amendment under a new id."""
        key = (order.symbol, order.ref)
        new = self.place(
            order.symbol,
            side=order.side,
            quantity=order.quantity,
            price=price,
            client_id=client_id,
            leg=self.legs[key],
            owner=self.owners[key],
            filled=order.filled,
        )
        self.before[new.symbol, new.ref] = order
        status = OrderStatus.TRIGGERED if order.conditional else OrderStatus.CANCELED
        self.end(order, status, successor=new.id)
        return new

    def fill(self, order: Order, quantity: Decimal) -> Fill:
        """Trade `quantity` of `order`."""
        key = (order.symbol, order.ref)
        current = self.orders[key]
        filled = current.filled + quantity
        over = OrderStatus.FILLED if filled >= current.quantity else OrderStatus.OPEN
        self._put(replace(current, filled=filled, status=over, updated=self.now_ms))
        return self.trade(current, quantity, self.legs[key], self.owners[key])

    def trade(self, order: Order, quantity: Decimal, leg: PositionSide, owner: int) -> Fill:
        """A fill with all that follows: the position, the fee, the profit."""
        self._fills += 1
        price = order.price or Decimal(100)
        fill = Fill(f"{self._fills}", order.id, order.symbol, order.side, leg, quantity, price, self.now_ms)
        self.traded[order.symbol].append(fill)
        held = self.positions.get((order.symbol, leg))
        before = held.quantity if held else ZERO
        entry = held.entry_price if held and held.entry_price and before else price
        after = before + fill.change
        turned = before * after < 0
        self.hold(order.symbol, leg, after, owner, fill.change, entry_price=price if turned or not before else entry)
        if abs(after) < abs(before) or turned:
            closed = min(quantity, abs(before))
            long = before > 0 and leg is not PositionSide.SHORT
            self.book((price - entry) * (closed if long else -closed), "REALIZED_PNL", owner)
        self.book(-FEE * quantity * price, "COMMISSION", owner)
        return fill

    def hold(
        self, symbol: str, leg: PositionSide, quantity: Decimal, owner: int, change: Decimal, *, entry_price: Decimal
    ) -> None:
        """Set a position; `change` of it is `owner`'s."""
        self.positions[symbol, leg] = Position(
            symbol, leg, quantity, "cross", entry_price if quantity else None, self.mark or entry_price, self.now_ms
        )
        if owner >= 0:
            share = self.shares[owner]
            share[symbol, leg] = share.get((symbol, leg), ZERO) + change

    def force(self, symbol: str, leg: PositionSide, quantity: Decimal, kind: str, owner: int) -> Fill:
        """The exchange itself reduces a position."""
        held = self.positions[symbol, leg].quantity
        side = Side.SELL if (held > 0) != (leg is PositionSide.SHORT) else Side.BUY
        order = self.place(symbol, side=side, quantity=quantity, client_id=f"autoclose-{self._ids}", leg=leg)
        ended = replace(order, filled=quantity, status=OrderStatus.FILLED, forced=kind)
        self._put(ended)
        return self.trade(ended, quantity, leg, owner)

    def book(self, amount: Decimal, kind: str, owner: int = 0) -> None:
        """Change the wallet."""
        if amount:
            self.wallet += amount
            self.wallets[max(owner, 0)] += amount
            self.booked.append(Income("USDT", amount, self.now_ms, kind))

    def _put(self, order: Order) -> Order:
        key = (order.symbol, order.ref)
        self.versions.setdefault(key, []).append(order)
        if order.status is OrderStatus.OPEN:
            self.orders[key] = order
        else:
            self.orders.pop(key, None)
        return order

    def open_of(self, symbols: Iterable[str], owner: int) -> list[Order]:
        """The open orders of one bot."""
        owners = self.owners
        return [order for key, order in self.orders.items() if key[0] in symbols and owners[key] == owner]

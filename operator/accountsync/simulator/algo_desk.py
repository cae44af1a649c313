"""The exchange's desk for conditional orders: it keeps them, watches the mark price and makes their child orders.

The child goes into the ordinary book under the algo order's client id. A limit child rests there; a market child is
filled whole at the mark price. What the book refuses makes the algo order REJECTED.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from accountsync.simulator.algo import AlgoOrder, AlgoStatus, AlgoType
from accountsync.simulator.decimals import ZERO
from accountsync.simulator.model import Account, Order, PositionSide, Side
from accountsync.simulator.retention import forgotten
from accountsync.simulator.world_error import WorldError

if TYPE_CHECKING:
    from accountsync.simulator.world import World

FIRST_ALGO_ID = 4_000_000_000_000_001
CLIENT_ID_LENGTH = 22
CALLBACK_RATES = (Decimal("0.1"), Decimal(20))
WORKING_TYPES = ("CONTRACT_PRICE", "MARK_PRICE")


@dataclass(slots=True)
class AlgoBook:
    """One account's conditional orders; `client_ids` leads to the newest of each name."""

    every: dict[int, AlgoOrder] = field(default_factory=dict)
    open: dict[int, AlgoOrder] = field(default_factory=dict)
    client_ids: dict[str, int] = field(default_factory=dict)


class AlgoDesk:
    """All conditional orders of a world.

    `leg` checks that a position side fits the account's mode; `made_up` gives a text that depends on its purpose and
    the seed only.
    """

    def __init__(
        self,
        world: "World",
        leg: Callable[[Account, PositionSide], PositionSide],
        made_up: Callable[[str, int], str],
    ) -> None:
        self._world = world
        self._leg = leg
        self._made_up = made_up
        self._next_id = FIRST_ALGO_ID
        self._books: dict[str, AlgoBook] = defaultdict(AlgoBook)

    def place(
        self,
        account: Account,
        *,
        symbol: str,
        side: str,
        order_type: str,
        trigger_price: Decimal | None = None,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        position_side: str = PositionSide.BOTH,
        time_in_force: str = "GTC",
        working_type: str = "CONTRACT_PRICE",
        close_position: bool = False,
        reduce_only: bool = False,
        price_protect: bool = False,
        activate_price: Decimal | None = None,
        callback_rate: Decimal | None = None,
        client_algo_id: str | None = None,
    ) -> AlgoOrder:
        """A conditional order that waits. Raises WorldError for one that the exchange would not take.

        `price` belongs to STOP and TAKE_PROFIT; `callback_rate` (percent) and `activate_price` (the mark) to trailing
        stops, which have no `trigger_price`; `close_position` replaces the quantity of a market order.
        """
        spec, book, now = self._world.spec(symbol), self._books[account.name], self._world.now_ms()
        if client_algo_id and book.client_ids.get(client_algo_id) in book.open:
            raise WorldError(f"{account.name!r} has an open algo order with client id {client_algo_id!r}")
        mark = self._world.marks[spec.symbol]
        trailing = order_type == AlgoType.TRAILING_STOP_MARKET
        algo = AlgoOrder(
            account=account.name,
            algo_id=self._next_id,
            client_algo_id=client_algo_id or self._made_up(f"algo:{self._next_id}", CLIENT_ID_LENGTH),
            type=AlgoType(order_type),
            symbol=spec.symbol,
            side=Side(side),
            position_side=self._leg(account, PositionSide(position_side)),
            quantity=quantity or ZERO,
            trigger_price=trigger_price or ZERO,
            price=price or ZERO,
            create_time=now,
            update_time=now,
            time_in_force=time_in_force,
            working_type=working_type,
            close_position=close_position,
            reduce_only=reduce_only or close_position,
            price_protect=price_protect,
            activate_price=activate_price or (mark if trailing else ZERO),
            callback_rate=callback_rate or ZERO,
            extreme=mark if trailing else ZERO,
        )
        fault = _fault(algo, mark)
        if fault:
            raise WorldError(f"{symbol}: {order_type} {fault}")
        self._next_id += 1
        book.client_ids[algo.client_algo_id] = algo.algo_id
        return self._keep(algo.after_mark(mark))

    def cancel(self, algo: AlgoOrder) -> AlgoOrder:
        """It waits no more."""
        return self._end(algo, AlgoStatus.CANCELED)

    def expire(self, algo: AlgoOrder) -> AlgoOrder:
        """As `cancel`, by the exchange."""
        return self._end(algo, AlgoStatus.EXPIRED)

    def reject(self, algo: AlgoOrder) -> AlgoOrder:
        """As if it had been triggered and the book had refused its child."""
        return self._end(algo, AlgoStatus.REJECTED)

    def trigger(self, algo: AlgoOrder) -> AlgoOrder:
        """As if the mark price had crossed its trigger price: it leaves the open list, and its child is placed."""
        current, now = self._open(algo), self._world.now_ms()
        triggered = replace(current, status=AlgoStatus.TRIGGERED, trigger_time=now, update_time=now)
        try:
            child = self._place_child(triggered)
        except WorldError:
            return self._keep(replace(triggered, status=AlgoStatus.REJECTED))
        return self._keep(triggered.with_child(child))

    def on_mark(self, symbol: str) -> None:
        """Trigger what the symbol's new mark price crosses: account by account, the oldest first."""
        mark = self._world.marks[symbol]
        for book in self._books.values():
            for waiting in [algo for algo in book.open.values() if algo.symbol == symbol]:
                if self._keep(waiting.after_mark(mark)).crossed_by(mark):
                    self.trigger(waiting)

    def current(self, algo: AlgoOrder) -> AlgoOrder:
        """The algo order as it is now; its status follows its child's."""
        kept = self._books[algo.account].every[algo.algo_id]
        return kept.with_child(self._world.current(kept.child)) if kept.child else kept

    def find(
        self, account: Account, *, algo_id: int | None = None, client_algo_id: str | None = None
    ) -> AlgoOrder | None:
        """As a query would find it: None for one that Binance has forgotten by now."""
        book = self._books[account.name]
        number = book.client_ids.get(client_algo_id or "") if algo_id is None else algo_id
        kept = book.every.get(number) if number is not None else None
        return self._unless_forgotten(self.current(kept)) if kept else None

    def open_of(self, account: Account) -> list[AlgoOrder]:
        """Those that wait, oldest first."""
        return list(self._books[account.name].open.values())

    def remembered(self, account: Account, symbol: str) -> list[AlgoOrder]:
        """All of one symbol that a query would find, by rising id."""
        found = (self.current(algo) for algo in self._books[account.name].every.values() if algo.symbol == symbol)
        return [algo for algo in found if self._unless_forgotten(algo)]

    def _place_child(self, algo: AlgoOrder) -> Order:
        account = self._world.account(algo.account)
        if algo.type.makes_limit:
            return self._world.place_order(
                account,
                symbol=algo.symbol,
                side=algo.side,
                price=algo.price,
                quantity=algo.quantity,
                client_order_id=algo.client_algo_id,
                position_side=algo.position_side,
                time_in_force=algo.time_in_force,
                reduce_only=algo.reduce_only,
            )
        return self._world.execute(
            account,
            symbol=algo.symbol,
            side=algo.side,
            quantity=None if algo.close_position else algo.quantity,
            client_order_id=algo.client_algo_id,
            position_side=algo.position_side,
            reduce_only=algo.reduce_only,
            working_type=algo.working_type,
        )

    def _unless_forgotten(self, algo: AlgoOrder) -> AlgoOrder | None:
        age = self._world.now_ms() - algo.create_time
        return None if forgotten(age, ended_unfilled=algo.ended_unfilled) else algo

    def _end(self, algo: AlgoOrder, status: AlgoStatus) -> AlgoOrder:
        return self._keep(replace(self._open(algo), status=status, update_time=self._world.now_ms()))

    def _open(self, algo: AlgoOrder) -> AlgoOrder:
        current = self._books[algo.account].open.get(algo.algo_id)
        if current is None:
            raise WorldError(f"algo order {algo.algo_id} is not open")
        return current

    def _keep(self, algo: AlgoOrder) -> AlgoOrder:
        book = self._books[algo.account]
        self._world.revision += 1
        book.every[algo.algo_id] = algo
        if algo.is_open:
            book.open[algo.algo_id] = algo
        else:
            book.open.pop(algo.algo_id, None)
        return algo


def _fault(algo: AlgoOrder, mark: Decimal) -> str:
    """What the exchange would not accept about it; empty if nothing."""
    trailing = algo.type is AlgoType.TRAILING_STOP_MARKET
    low, high = CALLBACK_RATES
    lags = (algo.activate_price - mark) * algo.side.sign > 0
    rules = (
        (algo.working_type in WORKING_TYPES, f"has a working type of {' or '.join(WORKING_TYPES)}"),
        (trailing or algo.trigger_price > 0, "needs a trigger price above 0"),
        (not trailing or low <= algo.callback_rate <= high, f"needs a callback rate of {low} to {high} percent"),
        (not trailing or not lags, "would be active on the wrong side of the mark price"),
        (not trailing or not algo.trigger_price, "makes its own trigger price"),
        (algo.type.makes_limit == bool(algo.price > 0), "has a price above 0 if, and only if, it makes a limit order"),
        (algo.close_position != bool(algo.quantity), "has either a quantity or close_position"),
        (algo.quantity >= 0, "needs a quantity above 0"),
        (not algo.close_position or not (trailing or algo.type.makes_limit), "cannot close a position"),
        (trailing or not algo.crossed_by(mark), f"would be triggered at once by the mark price {mark}"),
    )
    return next((text for passed, text in rules if not passed), "")

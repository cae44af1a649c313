"""What happens by itself at a moment: countdowns that cancel a symbol's orders, and GTD orders that expire.

Nothing runs in the background: before each call and each control action, and after the clock was advanced, everything
that has become due happens, in the order of its moment and dated at it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from accountsync.simulator.model import Account, Order, OrderStatus

if TYPE_CHECKING:
    from accountsync.simulator.world import World

Due = tuple[int, OrderStatus, Order]


class Deadlines:
    """The countdowns of all accounts, and the look at what is due."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._countdowns: dict[tuple[str, str], int] = {}
        self._dated: list[Order] = []

    def watch(self, order: Order) -> None:
        """Let it expire at its date, if it has one."""
        if order.good_till_date:
            self._dated.append(order)

    def count_down(self, account: Account, symbol: str, milliseconds: int) -> None:
        """Cancel the symbol's open orders so long from now, unless this is called again before; 0 stops it."""
        key = account.name, symbol
        self._world.revision += 1
        if milliseconds:
            self._countdowns[key] = self._world.now_ms() + milliseconds
        else:
            self._countdowns.pop(key, None)

    def pass_by(self) -> None:
        """Let everything happen that is due by now."""
        now = self._world.now_ms()
        run_out = {key: moment for key, moment in self._countdowns.items() if moment <= now}
        due = [*self._cancellations(run_out), *self._expiries(now)]
        for moment, status, order in sorted(due, key=lambda one: one[0]):
            if self._world.current(order).status.is_open:
                self._world.close(order, status, at=moment)
        for key in run_out:
            del self._countdowns[key]

    def _cancellations(self, run_out: dict[tuple[str, str], int]) -> Iterable[Due]:
        for (name, symbol), moment in run_out.items():
            for order in self._world.account(name).open_orders_of(symbol):
                if order.time <= moment:
                    yield moment, OrderStatus.CANCELED, order

    def _expiries(self, now: int) -> Iterable[Due]:
        for order in [one for one in self._dated if one.good_till_date <= now]:
            self._dated.remove(order)
            yield order.good_till_date, OrderStatus.EXPIRED, order

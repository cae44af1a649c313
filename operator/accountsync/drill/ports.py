"""The ports of a drill: they say what they are told to say."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from accountsync.domain.account import AccountSnapshot, Fill, Income, Order
from accountsync.domain.expected import ExpectedState
from accountsync.domain.marks import Mark


@dataclass(slots=True)
class DrillExchange:
    """An exchange that answers with `shown`. `asked`: ids of the orders that it was asked for."""

    shown: AccountSnapshot
    asked: list[str] = field(default_factory=list)
    forgets_after_ms: int | None = None
    tells_fills: bool = False
    tells_income: bool = False

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:  # noqa: ARG002
        """What it was told to show."""
        return self.shown

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        """The order by its id, or by its client id where that is all there is."""
        self.asked.append(order_id or client_id)
        for order in self.shown.orders:
            named = order.id == order_id if order_id else order.client_id == client_id
            if named and order.symbol == symbol and conditional in (None, order.conditional):
                return order
        return None

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:  # noqa: ARG002
        """None: nothing is traded in a drill."""
        return ()

    async def income(self, since: int) -> tuple[Income, ...]:  # noqa: ARG002
        """None."""
        return ()

    async def mark(self, symbol: str) -> Mark | None:  # noqa: ARG002
        """None beyond what it shows."""
        return None

    def canonical_symbol(self, text: str) -> str:
        """The spelling as it is: drills use the unified one."""
        return text


@dataclass(slots=True)
class DrillBot:
    """A bot that tells `belief`."""

    belief: ExpectedState

    async def read(self) -> ExpectedState:
        """What it was told to believe."""
        return self.belief

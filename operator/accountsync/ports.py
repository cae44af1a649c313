"""The seams between the judgement and the world. Each has a real adapter and an in-memory fake that pass one suite.

Everything that touches a clock, a network or Kubernetes stands behind one of these.
"""

from collections.abc import Sequence
from typing import Protocol

from accountsync.domain.account import AccountSnapshot, Fill, Income, Order
from accountsync.domain.expected import ExpectedState
from accountsync.domain.marks import Mark


class Clock(Protocol):
    """Wall time is for people and for comparing with others' stamps; spans are always measured on `monotonic`."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class Exchange(Protocol):
    """One account on one exchange, read-only. All methods raise `ExchangeUnobserved` or `ConfigurationError`."""

    forgets_after_ms: int | None
    """The age, in ms, from which the exchange may deny an order that is open; None: it never does."""
    tells_fills: bool
    tells_income: bool

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        """Read the account, whole or only `symbols` (unified or native spelling).

        Parts that could not be read, or not to their end, are listed in `missing`.
        """
        ...

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        """Ask for one order by id; None only when the exchange itself says that it knows no such order.

        `conditional`: which of the two kinds; None: first an ordinary one, then a conditional one.
        """
        ...

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:
        """Every fill of `symbol` from `since` (exchange ms) on; only where `tells_fills`."""
        ...

    async def income(self, since: int) -> tuple[Income, ...]:
        """Every change of a wallet balance from `since` (exchange ms) on; only where `tells_income`."""
        ...

    async def mark(self, symbol: str) -> Mark | None:
        """The mark price of `symbol`, whether it is held or not, and exchange ms of it; None: it has none."""
        ...

    def canonical_symbol(self, text: str) -> str:
        """The unified spelling of `text`, which may be unified or the exchange's own.

        Raises KeyError for a symbol that the exchange does not list. Valid after the first `snapshot`.
        """
        ...


class BotState(Protocol):
    """Where a bot's belief is read. Raises `BeliefUnobserved` or `ConfigurationError`."""

    async def read(self) -> ExpectedState:
        """The bot's belief, with symbols in the bot's own spelling."""
        ...

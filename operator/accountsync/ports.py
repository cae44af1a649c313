"""The seams between the judgement and the world. Each has a real adapter and an in-memory fake that pass one suite.

Everything that touches a clock, a network or Kubernetes stands behind one of these.
"""

from collections.abc import Sequence
from typing import Protocol

from accountsync.domain.account import AccountSnapshot, Order
from accountsync.domain.expected import ExpectedState


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

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        """Read the account, whole or only `symbols` (unified or native spelling).

        A snapshot is returned only when every part of it was read: positions, open orders and balances.
        """
        ...

    async def find_order(self, *, symbol: str, order_id: str = "", client_id: str = "") -> Order | None:
        """Ask for one order by id; None only when the exchange itself says that it knows no such order."""
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

"""Several bots on one exchange account: which of them an object belongs to, and what they believe together.

In:  the other bots of the account (`Sibling`), each with the belief that counted last. Out: owners and sums.

Invariants: an order belongs to the bot with the longest prefix that its client id begins with; positions and balances
belong to all, and one Unknown belief makes their sum Unknown; what belongs to none is told by one bot, the one that
`leads`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from accountsync.domain.account import OrderStatus, PositionSide
from accountsync.domain.expected import ExpectedBalance, ExpectedPosition, ExpectedState
from accountsync.domain.finding import EXACT, ZERO


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another bot on the same exchange account. `belief` None: Unknown now; its symbols are the unified ones."""

    name: str
    prefix: str
    belief: ExpectedState | None


@dataclass(frozen=True, slots=True)
class Sharing:
    """The other bots, and whether this one tells of what belongs to none. Alone on its account, a bot leads."""

    siblings: tuple[Sibling, ...] = ()
    leads: bool = True

    def owner(self, client_id: str, prefix: str) -> Sibling | None:
        """The sibling whose order this is by its client id; None: it is this bot's (of `prefix`), or nobody's."""
        claims = [sibling for sibling in self.siblings if sibling.prefix and client_id.startswith(sibling.prefix)]
        longest = max(claims, key=lambda sibling: len(sibling.prefix), default=None)
        if longest is None or (prefix and client_id.startswith(prefix) and len(prefix) >= len(longest.prefix)):
            return None
        return longest

    def tracked(self, symbol: str, order_id: str, client_id: str) -> bool | None:
        """Whether a sibling tracks this order; None where one that may is Unknown."""
        if any(names(sibling.belief, symbol, order_id, client_id) for sibling in self.siblings if sibling.belief):
            return True
        known = all(sibling.belief and sibling.belief.orders is not None for sibling in self.siblings)
        return False if known else None

    def positions(self, own: ExpectedState) -> tuple[ExpectedPosition, ...] | None:
        """What all believe together; None: Unknown."""
        if not self.siblings:
            return own.positions
        rows: list[ExpectedPosition] = []
        for belief in self._all(own):
            if belief is None or belief.positions is None:
                return None
            rows += belief.positions
        total: dict[tuple[str, PositionSide], ExpectedPosition] = {}
        for row in rows:
            before = total.get((row.symbol, row.side))
            total[row.symbol, row.side] = replace(
                row, quantity=EXACT.add(row.quantity, before.quantity if before else ZERO)
            )
        return tuple(total.values())

    def balances(self, own: ExpectedState) -> tuple[ExpectedBalance, ...] | None:
        """What all believe together, of the assets that each of them publishes; None: Unknown."""
        if not self.siblings:
            return own.balances
        total: dict[str, ExpectedBalance] = {}
        counted: Counter[str] = Counter()
        for belief in self._all(own):
            if belief is None or belief.balances is None:
                return None
            for row in belief.balances:
                before = total.get(row.asset)
                total[row.asset] = replace(row, wallet=EXACT.add(row.wallet, before.wallet if before else ZERO))
                counted[row.asset] += 1
        return tuple(row for row in total.values() if counted[row.asset] == len(self.siblings) + 1)

    def tells_of(self, symbol: str, own: ExpectedState) -> bool:
        """Whether this bot tells of a position in `symbol`: it has a stake in it, or nobody has and it leads."""
        if not self.siblings or has_stake(own, symbol):
            return True
        others = [sibling.belief for sibling in self.siblings if sibling.belief is not None]
        return self.leads and not any(has_stake(belief, symbol) for belief in others)

    def as_of(self, own: int) -> int:
        """The oldest time for which a belief of this account is true."""
        return min([own, *(sibling.belief.as_of for sibling in self.siblings if sibling.belief)])

    def newest(self, own: int) -> int:
        """The newest such time."""
        return max([own, *(sibling.belief.as_of for sibling in self.siblings if sibling.belief)])

    def _all(self, own: ExpectedState) -> Iterable[ExpectedState | None]:
        return (own, *(sibling.belief for sibling in self.siblings))


def names(belief: ExpectedState, symbol: str, order_id: str, client_id: str) -> bool:
    """Whether `belief` speaks of this order, open or not."""
    return any(
        row.symbol == symbol and ((row.id and row.id == order_id) or (row.client_id and row.client_id == client_id))
        for row in belief.orders or ()
    )


def has_stake(belief: ExpectedState, symbol: str) -> bool:
    """Whether `belief` holds, or has an order, in `symbol`."""
    return any(row.symbol == symbol and row.quantity for row in belief.positions or ()) or any(
        row.symbol == symbol and row.status is OrderStatus.OPEN for row in belief.orders or ()
    )


ALONE = Sharing()

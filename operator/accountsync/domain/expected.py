"""What the bot believes of its account, and whether that belief counts now.

In:  a state source's reading of the bot. Out: `ExpectedState`, the right side of every comparison, or the reason
(`accept`) why this reading is Unknown.

Invariants: a section that the bot does not publish is None and is never judged; an empty one is a statement. `as_of`
is Unix milliseconds on the bot's clock: the moment for which the belief is true, not the moment it was sent.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from accountsync.domain.account import OrderStatus, PositionSide, Side


@dataclass(frozen=True, slots=True)
class ExpectedOrder:
    """An order that the bot tracks; it names the exchange's id, its own client id, or both.

    `created`: Unix ms of when the bot placed it, if it says so.
    """

    symbol: str
    id: str = ""
    client_id: str = ""
    side: Side | None = None
    quantity: Decimal | None = None
    filled: Decimal | None = None
    price: Decimal | None = None
    status: OrderStatus = OrderStatus.OPEN
    created: int | None = None


@dataclass(frozen=True, slots=True)
class ExpectedPosition:
    """Signed on NET; not negative on LONG and SHORT legs; base-asset units."""

    symbol: str
    side: PositionSide
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class ExpectedBalance:
    """Wallet balance of an asset, without unrealised profit."""

    asset: str
    wallet: Decimal


@dataclass(frozen=True, slots=True)
class ExpectedState:
    """One reading of a bot's belief. `boot_id` changes when the bot starts anew; empty: the bot has none."""

    as_of: int
    boot_id: str = ""
    ready: bool = True
    positions: tuple[ExpectedPosition, ...] | None = None
    orders: tuple[ExpectedOrder, ...] | None = None
    balances: tuple[ExpectedBalance, ...] | None = None

    @property
    def empty(self) -> bool:
        """No position and no active order in what it publishes."""
        return not any(position.quantity for position in self.positions or ()) and not any(
            order.status is OrderStatus.OPEN for order in self.orders or ()
        )


@dataclass(frozen=True, slots=True)
class BeliefMemory:
    """What must be remembered of earlier beliefs. `emptied_at`: as-of time since which it is empty; None: it is not."""

    as_of: int | None = None
    boot_id: str = ""
    emptied_at: int | None = None


class Doubt(Exception):  # noqa: N818 - it is no error to doubt a belief
    """A belief that does not count. `why` is one of: not_ready, stale, regressed, in_future, emptied."""

    def __init__(self, why: str, message: str, memory: BeliefMemory) -> None:
        super().__init__(message)
        self.why = why
        self.message = message
        self.memory = memory


FUTURE_ALLOWANCE_MS = 5_000


def accept(
    state: ExpectedState, memory: BeliefMemory, *, now: int, stale_after: int, account_empty: bool
) -> BeliefMemory:
    """Remember `state` as the belief that counts, or raise `Doubt` with what to remember instead.

    `now` is this process's clock and `stale_after` a span, both in ms. A belief that is empty while the account is not
    is doubted until it has been so for `stale_after` of one boot, so that a crash which wiped it confirms nothing, not
    even over a restart of ours; after that the bot means it.
    """
    if state.as_of > now + FUTURE_ALLOWANCE_MS:
        raise Doubt(
            "in_future",
            "the bot's state has an asOf in the future: compare the clocks (NTP) of bot and operator",
            memory,
        )
    if now - state.as_of > stale_after:
        raise Doubt(
            "stale",
            "the bot's state is older than spec.bot.staleAfter: is the bot still publishing?",
            memory,
        )
    if memory.as_of is not None and state.as_of < memory.as_of and state.boot_id == memory.boot_id:
        raise Doubt(
            "regressed",
            "the bot's state is older than one already read: do two writers publish it?",
            memory,
        )
    if not state.ready:
        raise Doubt("not_ready", "the bot has not said ready: true since it booted", memory)
    emptied_at = state.as_of if state.empty else None
    if state.empty and memory.emptied_at is not None and state.boot_id == memory.boot_id:
        emptied_at = memory.emptied_at
    fresh = replace(memory, as_of=state.as_of, boot_id=state.boot_id, emptied_at=emptied_at)
    if emptied_at is not None and not account_empty and state.as_of - emptied_at < stale_after:
        raise Doubt(
            "emptied",
            "the bot's state is empty and the account is not; it counts when it has been so for spec.bot.staleAfter",
            fresh,
        )
    return fresh

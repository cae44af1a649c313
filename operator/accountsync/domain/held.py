"""What is known of a bot's obedience: since when it is to obey, the orders by which it did not, and what to remember.

In:  orders, and what was read and judged. Out: whose an order is, and what tells it from others.

Invariants: what the exchange and our own actions placed is never the bot's; whose an order is must be known, by the
bot's prefix or by its own word.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from accountsync.domain.account import Order, Side
from accountsync.domain.detect import Evidence
from accountsync.domain.expected import ExpectedState
from accountsync.domain.finding import plain, sanitize
from accountsync.domain.past import placed
from accountsync.domain.policy import Policy
from accountsync.domain.sharing import Sharing, names

Key = tuple[str, str]
"""Symbol, and `Order.ref`, or a client id after `client:`."""
Trigger = tuple[str, str, Side, Decimal]
"""Symbol, `Order.ref`, side and quantity of a conditional order; 0: as much as there is to close."""


@dataclass(frozen=True, slots=True)
class Held:
    """Since when the bot can see that it is held, Unix ms on our clock. `halted`: and that exits stop too."""

    since: int
    halted: int | None = None


@dataclass(frozen=True, slots=True)
class Offence:
    """An order that the hold did not allow. `late_ms`: how long after the bot could know. `exit_too`: it may be one."""

    symbol: str
    ref: str
    client_id: str
    side: Side
    quantity: Decimal
    late_ms: int
    halted: bool = False

    @property
    def message(self) -> str:
        """What it is, for people."""
        why = "while exits are stopped too" if self.halted else "and it adds exposure"
        name = f"order {sanitize(self.ref)}, client id {sanitize(self.client_id) or 'none'}"
        what = f"{self.side} {plain(self.quantity)} {sanitize(self.symbol)} ({name})"
        return f"{what} was placed {self.late_ms / 1000:.1f} s after the bot could know of its hold, {why}"


@dataclass(frozen=True, slots=True)
class Suspect:
    """An order that may add exposure, as it was listed last. `seen`: exchange ms at which it was listed first."""

    order: Order
    seen: int


@dataclass(frozen=True, slots=True)
class Honour:
    """What is remembered while a hold stands.

    `since`: the `Held` that it is of. `told`: orders that were told of; `settled`: those that need no more
    judgement; `suspects`: those that can't be judged yet; `resting`: those of before, and `triggers`: those of them
    that may yet place another one. `known_to`: exchange ms up to which another process has looked. `last`: what was
    told last, for people; empty: nothing.
    """

    since: int | None = None
    told: frozenset[Key] = frozenset()
    settled: frozenset[Key] = frozenset()
    suspects: Mapping[Key, Suspect] = field(default_factory=dict)
    resting: frozenset[Key] = frozenset()
    triggers: frozenset[Trigger] = frozenset()
    known_to: int = 0
    last: str = ""


def names_of(order: Order) -> Iterable[Key]:
    """What it is known by."""
    yield order.symbol, order.ref
    if order.client_id:
        yield order.symbol, f"client:{order.client_id}"


def is_own(order: Order, evidence: Evidence) -> bool:
    """Whether it is known to be the bot's: by its prefix, or because the bot tracks it."""
    policy, sharing, expected = evidence.policy, evidence.background.sharing, evidence.expected
    if order.forced or not policy.acted.isdisjoint({placed(order.symbol, order.id), order.client_id}):
        return False
    if sharing.owner(order.client_id, policy.order_id_prefix) is not None:
        return False
    return _has_prefix(order, policy) or (expected is not None and _is_tracked(order, expected, sharing))


def _has_prefix(order: Order, policy: Policy) -> bool:
    return bool(policy.order_id_prefix) and order.client_id.startswith(policy.order_id_prefix)


def _is_tracked(order: Order, expected: ExpectedState, sharing: Sharing) -> bool:
    """Conditional orders may have ids of a space of their own: of those only a client id says so."""
    order_id = "" if order.conditional else order.id
    if not names(expected, order.symbol, order_id, order.client_id):
        return False
    return not sharing.siblings or sharing.tracked(order.symbol, order_id, order.client_id) is False

"""The matching engine: what an order takes of the book, and what becomes of the rest.

A market order takes what it can within PERCENT_PRICE; its rest expires, as that of an IOC order does. FOK is all or
nothing. A GTC or GTD order takes what crosses it and rests with the remainder; a GTX order that would take is refused.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from accountsync.simulator.book import Offer, takeable
from accountsync.simulator.decimals import ZERO
from accountsync.simulator.filters import percent_bound
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Order, OrderStatus
from accountsync.simulator.refusals import Refusal

if TYPE_CHECKING:
    from accountsync.simulator.world import World

UNRECORDED = "The order will not be recorded in the order history"


@dataclass(frozen=True, slots=True)
class Plan:
    """An order that passed the checks, and what it takes at once."""

    draft: Order
    takes: tuple[Offer, ...]

    @property
    def taken(self) -> Decimal:
        """How much it takes at once."""
        return sum((offer.quantity for offer in self.takes), ZERO)

    @property
    def immediate(self) -> bool:
        """Whether nothing of it ever rests."""
        return self.draft.type == "MARKET" or self.draft.time_in_force in ("IOC", "FOK")

    @property
    def worth(self) -> Decimal:
        """The notional that needs margin: a limit order's own, what a market order takes."""
        if self.draft.type == "MARKET":
            return sum((offer.quantity * offer.price for offer in self.takes), ZERO)
        return self.draft.orig_qty * self.draft.price

    def check(self) -> None:
        """Raises Refusal for an order that its own type forbids to be matched like this."""
        if self.draft.type == "MARKET" and not self.takes:
            text = "The counterparty's best price does not meet the PERCENT_PRICE filter limit"
            raise Refusal(-4131, text)
        if self.draft.time_in_force == "FOK" and self.taken < self.draft.orig_qty:
            text = "Due to the order could not be filled immediately, the FOK order has been rejected."
            raise Refusal(-5021, f"{text} {UNRECORDED}")
        if self.draft.time_in_force == "GTX" and self.takes:
            text = "Due to the order could not be executed as maker, the Post Only order will be rejected."
            raise Refusal(-5022, f"{text} {UNRECORDED}")


def plan(world: "World", spec: SymbolSpec, draft: Order) -> Plan:
    """What `draft` would take of the book as it is now."""
    bound = percent_bound(spec, draft.side, world.marks[spec.symbol])
    limit = bound if draft.type == "MARKET" else draft.price
    offers = world.books.offers(spec.symbol, draft.side)
    return Plan(draft, tuple(takeable(offers, draft.side, draft.orig_qty, limit)))


@dataclass(frozen=True, slots=True)
class Placed:
    """The order as it entered the book, and as it is once it was matched."""

    entered: Order
    final: Order
    immediate: bool


def match(world: "World", planned: Plan) -> Placed:
    """Carry it out."""
    entered = world.enter(world.account(planned.draft.account), planned.draft)
    final = entered
    for offer in planned.takes:
        world.books.take(entered.symbol, entered.side, offer)
        final = world.fill(final, quantity=offer.quantity, price=offer.price, maker=False)
    if planned.immediate and final.status.is_open:
        final = world.close(final, OrderStatus.EXPIRED)
    return Placed(entered, final, planned.immediate)

"""An order that was replaced is still the order: what took its place is found by client id or as its successor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count

import pytest
from tests.false_mismatches.desk import PREFIX, Desk
from tests.support.fakes import FakeExchange, ManualClock, tracked

from accountsync.domain.account import AccountSnapshot, Order, OrderStatus
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedOrder


class Replacements:
    """One order of the bot's that is cancelled and placed anew, again and again."""

    def __init__(self, desk: Desk, *, keeps_client_id: bool, tells_successor: bool) -> None:
        self.desk = desk
        self.keeps_client_id = keeps_client_id
        self.tells_successor = tells_successor
        self.number = count(1)
        self.order = desk.order(f"{PREFIX}quote")

    def __call__(self) -> None:
        self.cancel()
        self.place()

    def cancel(self) -> None:
        self.old = self.desk.exchange.end(self.order)

    def place(self) -> None:
        client_id = self.old.client_id if self.keeps_client_id else f"{PREFIX}quote{next(self.number)}"
        self.order = self.desk.order(client_id)
        if self.tells_successor:
            key = self.old.symbol, self.old.id
            self.desk.exchange.ended[key] = replace(self.old, successor=self.order.id)


KINDS = pytest.mark.parametrize(
    ("keeps_client_id", "tells_successor"), [(True, False), (True, True), (False, True)], ids=["client", "both", "next"]
)


@KINDS
async def test_a_replaced_order_is_neither_missing_nor_unexpected(keeps_client_id: bool, tells_successor: bool) -> None:
    """nautilus_trader #4288: the cancelled half of a replacement was taken for the end of the order.

    The strategy placed another, and two were live. Here the bot goes by the id before the last all the time.
    """
    desk = Desk()
    quote = Replacements(desk, keeps_client_id=keeps_client_id, tells_successor=tells_successor)
    await desk.stays_quiet(2)
    known: list[Order] = [quote.order]

    def change() -> None:
        known.append(quote.order)
        quote()
        believed = tracked(known[-1])
        desk.believe(orders=(tracked(desk.anchor), believed))

    await desk.stays_quiet(30, every=8.0, before=change)
    await desk.stays_quiet()
    assert known[-1].id != quote.order.id

    desk.exchange.end(quote.order)
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert finding.id == known[-1].id
    assert finding.observed == "canceled, filled 0 of 1"


@KINDS
async def test_two_live_orders_where_the_bot_has_one_are_found(keeps_client_id: bool, tells_successor: bool) -> None:
    """nautilus_trader #4288: the double exposure that followed there must not go unseen here."""
    desk = Desk()
    quote = Replacements(desk, keeps_client_id=keeps_client_id, tells_successor=tells_successor)
    await desk.stays_quiet(2)
    before = quote.order
    quote()
    desk.believe(orders=(tracked(desk.anchor), tracked(before)))
    await desk.stays_quiet()

    second = desk.order(quote.order.client_id)
    found = await desk.finds(Rule.UNEXPECTED_ORDER)
    live = {quote.order.id, second.id}
    assert {finding.id for finding in found} < live
    assert {finding.client_id for finding in found} == {second.client_id}


@dataclass
class HalfwayExchange(FakeExchange):
    """Its list is made between the two halves of a replacement."""

    first: Callable[[], object] = field(default=lambda: None)
    then: Callable[[], object] = field(default=lambda: None)

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        self.first()
        between = await super().snapshot(symbols)
        self.then()
        return between


@pytest.mark.parametrize("goes_by", ["id", "client id"])
@pytest.mark.parametrize("tells_successor", [False, True])
async def test_a_list_made_halfway_through_a_replacement_proves_nothing(goes_by: str, tells_successor: bool) -> None:
    """nautilus_trader #4288: every list shows neither the old order nor the new one, and the order is never gone."""
    halfway = HalfwayExchange(ManualClock())
    desk = Desk(halfway)
    quote = Replacements(desk, keeps_client_id=True, tells_successor=tells_successor)
    await desk.stays_quiet(2)
    halfway.first, halfway.then = quote.cancel, quote.place

    def believed() -> ExpectedOrder:
        row = tracked(quote.order)
        return row if goes_by == "id" else replace(row, id="")

    def learn() -> None:
        row = believed()
        desk.believe(orders=(tracked(desk.anchor), row))

    made = await desk.stays_quiet(20, every=8.0, before=learn)
    seen = [cycle.state.snapshot.orders for cycle in made if cycle.state.snapshot]
    assert [[order.id for order in orders] for orders in seen] == [[desk.anchor.id]] * 20

    halfway.first = halfway.then = lambda: None
    learn()
    await desk.stays_quiet()
    desk.exchange.end(quote.order)
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert finding.observed == "canceled, filled 0 of 1"


async def test_an_amended_order_is_followed_over_a_chain_of_successors() -> None:
    """nautilus_trader #4288: a conditional order that triggered, and whose child was amended, is one order."""
    desk = Desk()
    stop = desk.conditional(number="500")
    await desk.stays_quiet(2)
    believed = tracked(stop)
    child = desk.trigger(stop, rests=True)
    desk.believe(orders=(tracked(desk.anchor), replace(believed, price=None)))
    for turn in range(2):
        following = desk.order(f"{PREFIX}amended{turn}", side=child.side, price="90")
        ended = desk.exchange.end(child)
        desk.exchange.ended[ended.symbol, ended.id] = replace(ended, successor=following.id)
        child = following
        await desk.stays_quiet()

    desk.exchange.fill(child)
    found = await desk.finds(Rule.MISSING_ORDER)
    assert [(finding.id, finding.observed) for finding in found] == [(stop.id, "filled, filled 1 of 1")]


async def test_an_amended_price_is_a_divergence_only_if_the_bot_does_not_learn_of_it() -> None:
    """nautilus_trader #4288: an order in the middle of a change is no order that went wrong."""
    desk = Desk()
    order = desk.order()
    await desk.stays_quiet(2)
    for turn in range(20):
        before = desk.truth()
        desk.exchange.amend(order, price=Decimal(100 + turn % 2))
        desk.stick_to(before)
        await desk.stays_quiet(3, every=1.5)
        desk.belief = desk.truth
        await desk.stays_quiet(1, every=1.5)

    before = desk.truth()
    desk.exchange.amend(order, price=Decimal(140))
    desk.stick_to(before)
    (finding,) = await desk.finds(Rule.ORDER_DIVERGENCE)
    assert (finding.expected, finding.observed) == ("price 101", "price 140")
    desk.belief = desk.truth
    await desk.settles()
    assert desk.exchange.end(order, OrderStatus.CANCELED).status is OrderStatus.CANCELED
    await desk.stays_quiet()

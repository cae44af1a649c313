"""A reading that began before the belief was made is no witness against it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from tests.false_mismatches.desk import PREFIX, Desk
from tests.support.fakes import FakeExchange, ManualClock

from accountsync.domain.account import AccountSnapshot, Order
from accountsync.domain.catalogue import Rule


@dataclass
class EarlyExchange(FakeExchange):
    """Reads its account at once and answers late: `meanwhile` happens in between."""

    meanwhile: Callable[[], object] = field(default=lambda: None)

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        early = await super().snapshot(symbols)
        self.meanwhile()
        return early


class EarlyDesk(Desk):
    """The bot publishes when the reading is over, so that its belief is always the newer side."""

    def __init__(self, *, answers_after: float, tells_fills: bool = False) -> None:
        self.early = EarlyExchange(ManualClock(), tells_fills=tells_fills)
        super().__init__(self.early)
        self.early.meanwhile = self._answer
        self.answers_after = answers_after
        self.happens: Callable[[], object] = lambda: None

    def _answer(self) -> None:
        self.clock.advance(self.answers_after)
        self.happens()
        self.bot.state = self.belief()


@pytest.mark.parametrize("tells_fills", [False, True])
@pytest.mark.parametrize("answers_after", [0.5, 4.0, 9.0])
async def test_a_position_closed_while_it_was_read_is_not_missed_by_the_bot(
    answers_after: float, tells_fills: bool
) -> None:
    """nautilus_trader #4517: positions were copied when a check was prepared, and compared when the answer came.

    One that was closed in between was held against the newer side, and a synthetic sell opened a short.
    """
    desk = EarlyDesk(answers_after=answers_after, tells_fills=tells_fills)
    desk.happens = lambda: desk.trade("-5")
    made = await desk.stays_quiet(20, every=20, before=lambda: desk.trade("5"))
    assert all(cycle.complete for cycle in made)
    assert {str(row.quantity) for cycle in made if cycle.evidence for row in cycle.evidence.snapshot.positions} == {"5"}

    desk.happens = lambda: None
    desk.trade("5")
    desk.believe(positions=())
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH, every=20)
    assert (finding.expected, finding.observed) == ("0", "5")


@pytest.mark.parametrize("answers_after", [0.5, 4.0, 9.0])
async def test_a_position_opened_while_it_was_read_is_not_the_bots_invention(answers_after: float) -> None:
    """nautilus_trader #4517, the other way round: the early copy lacked what the newer side had."""
    desk = EarlyDesk(answers_after=answers_after)
    desk.happens = lambda: desk.trade("5")
    await desk.stays_quiet(20, every=20, before=lambda: desk.trade("-5"))

    desk.happens = lambda: None
    believed = desk.truth()
    desk.trade("-5")
    desk.stick_to(believed)
    held = [str(row.quantity) for row in believed.positions or ()]
    assert held == []
    desk.trade("3")
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH, every=20)
    assert (finding.expected, finding.observed) == ("0", "-2")


@pytest.mark.parametrize("answers_after", [0.5, 4.0, 9.0])
async def test_an_order_that_ended_while_it_was_read_is_not_unexpected(answers_after: float) -> None:
    """nautilus_trader #4517, for orders: the list still shows what the bot has just seen the end of."""
    desk = EarlyDesk(answers_after=answers_after)
    placed: list[Order] = []
    desk.happens = lambda: desk.exchange.end(placed[-1])
    await desk.stays_quiet(20, every=20, before=lambda: placed.append(desk.order(f"{PREFIX}{len(placed)}")))

    desk.happens = lambda: None
    left = desk.order(f"{PREFIX}left", quantity="2", price="50")
    desk.overlook(left)
    (finding,) = await desk.finds(Rule.UNEXPECTED_ORDER, every=20)
    assert (finding.id, finding.notional, finding.own) == (left.id, Decimal(100), True)


@pytest.mark.parametrize("answers_after", [0.5, 4.0, 9.0])
async def test_an_order_placed_while_the_list_was_read_is_not_missing(answers_after: float) -> None:
    """nautilus_trader #4517, for orders: the list lacks what the bot has just placed."""
    desk = EarlyDesk(answers_after=answers_after)
    placed: list[Order] = []

    def replace_it() -> None:
        if placed:
            desk.exchange.end(placed[-1])

    desk.happens = lambda: placed.append(desk.order(f"{PREFIX}{len(placed)}"))
    await desk.stays_quiet(20, every=20, before=replace_it)

    desk.happens = lambda: None
    believed = desk.truth()
    desk.exchange.end(placed[-1])
    desk.stick_to(believed)
    (finding,) = await desk.finds(Rule.MISSING_ORDER, every=20)
    assert (finding.id, finding.observed) == (placed[-1].id, "canceled, filled 0 of 1")

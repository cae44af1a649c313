"""A belief speaks of its own time: what happened on the exchange after it is no mistake of the bot's."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from tests.false_mismatches.desk import PREFIX, Desk
from tests.support.fakes import BTC, tracked

from accountsync.domain.account import Order
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedState
from accountsync.domain.holds import Source
from accountsync.errors import Reason

INTERVAL = 15.0


@dataclass
class Bustle:
    """Something happens on the account before each cycle: orders come, change, fill and go, and a position with them.

    `seen` holds what a bot would have believed after each.
    """

    desk: Desk
    seen: list[ExpectedState] = field(default_factory=list)
    turn: int = 0
    orders: list[Order] = field(default_factory=list)

    def __call__(self) -> None:
        self.turn += 1
        if self.turn % 3 == 1:
            self.orders.append(self.desk.order(f"{PREFIX}{self.turn}"))
        elif self.turn % 3 == 2:
            self.orders[-1] = self.desk.exchange.fill(self.orders[-1], "0.25")
        else:
            self.desk.exchange.end(self.orders.pop())
        self.seen.append(self.desk.truth())

    def before(self, steps: int) -> ExpectedState:
        return self.seen[max(0, len(self.seen) - 1 - steps)]


async def every_drift_is_found(desk: Desk, publish: Callable[[], ExpectedState]) -> None:
    """Each kind, one after another, with the belief that `publish` makes."""
    await desk.settles(every=INTERVAL)
    known = desk.order(f"{PREFIX}known", quantity="4")
    desk.belief = publish
    await desk.stays_quiet(8, every=INTERVAL)

    lost = desk.order(f"{PREFIX}lost")
    desk.belief = lambda: _without(publish(), lost)
    await desk.finds(Rule.UNEXPECTED_ORDER, every=INTERVAL, cycles=24)
    desk.exchange.end(lost)
    await desk.settles(every=INTERVAL, cycles=24)

    desk.exchange.end(known)
    kept = desk.truth().orders
    desk.belief = lambda: replace(publish(), orders=(*(kept or ()), tracked(known)))
    (missing,) = await desk.finds(Rule.MISSING_ORDER, every=INTERVAL, cycles=24)
    assert missing.observed == "canceled, filled 0 of 4"
    desk.belief = publish
    await desk.settles(every=INTERVAL, cycles=24)

    held = desk.truth().positions
    desk.trade("3")
    desk.belief = lambda: replace(publish(), positions=held)
    await desk.finds(Rule.POSITION_MISMATCH, every=INTERVAL, cycles=24)
    desk.belief = publish
    await desk.settles(every=INTERVAL, cycles=24)


def _without(state: ExpectedState, order: Order) -> ExpectedState:
    return replace(state, orders=tuple(row for row in state.orders or () if row.id != order.id))


async def test_a_belief_once_a_minute_is_held_against_no_cycle_in_between() -> None:
    """Four cycles see one belief: the account may change, and the belief may not, without either being wrong."""
    desk = Desk()
    bustle = Bustle(desk)
    published: list[ExpectedState] = []

    def once_a_minute() -> ExpectedState:
        if not published or desk.clock.now_ms() - published[-1].as_of >= 60_000:
            published.append(desk.truth())
        return published[-1]

    desk.belief = once_a_minute
    await desk.stays_quiet(80, every=INTERVAL, before=bustle)
    assert len(published) >= 20
    await every_drift_is_found(desk, once_a_minute)


async def test_one_belief_is_one_witness_however_many_snapshots_see_it() -> None:
    """The bot counts an order as gone when it asks for its end, and the exchange takes its time.

    The belief of that moment stands for a minute and is seen four times; the next one is right.
    """
    desk = Desk()
    await desk.stays_quiet(3)
    for turn in range(10):
        order = desk.order(f"{PREFIX}{turn}")
        await desk.stays_quiet(2, every=INTERVAL)
        desk.overlook(order)
        early = desk.belief()
        desk.belief = lambda state=early: state  # type: ignore[misc]
        made = await desk.stays_quiet(3, every=INTERVAL)
        assert [track.count for track in made[-1].state.tracks.values()] == [1]
        desk.exchange.end(order)
        desk.belief = desk.truth
        await desk.stays_quiet(1, every=INTERVAL)

    order = desk.order(f"{PREFIX}kept")
    desk.overlook(order)
    desk.clock.advance(60)
    (finding,) = await desk.finds(Rule.UNEXPECTED_ORDER, every=60)
    assert finding.id == order.id


@pytest.mark.parametrize("tells_fills", [False, True])
async def test_a_belief_that_lags_is_right_about_its_own_time(tells_fills: bool) -> None:
    """The bot publishes late, and says for when: three changes of the account lie between."""
    desk = Desk()
    desk.exchange.tells_fills = tells_fills
    bustle = Bustle(desk)
    bustle()
    desk.belief = lambda: bustle.before(3)
    await desk.stays_quiet(60, every=INTERVAL, before=bustle)

    late = [desk.truth()]

    def lagging() -> ExpectedState:
        late.append(desk.truth())
        return late[max(0, len(late) - 3)]

    desk.belief = lagging
    await every_drift_is_found(desk, lagging)


async def test_a_belief_that_froze_confirms_nothing_however_long_it_stands() -> None:
    """The publisher hangs while the bot trades on: its last belief is true of a time that is past."""
    desk = Desk()
    bustle = Bustle(desk)
    await desk.stays_quiet(4, every=INTERVAL, before=bustle)
    frozen = desk.truth()
    desk.belief = lambda: frozen
    made = await desk.stays_quiet(60, every=INTERVAL, before=bustle)
    assert made[-1].bot is not None
    assert made[-1].bot.reason is Reason.STATE_STALE
    desk.belief = desk.truth
    await every_drift_is_found(desk, desk.truth)


async def test_a_belief_that_a_crash_emptied_is_not_what_the_bot_means() -> None:
    """An empty belief beside an account with orders and a position is a bot that lost its memory, for a while."""
    desk = Desk()
    desk.exchange.hold(BTC, "2")
    orders = [desk.order(f"{PREFIX}{number}") for number in range(6)]
    await desk.stays_quiet(3)
    for _ in range(5):
        desk.believe(orders=(), positions=(), balances=())
        made = await desk.stays_quiet(3, every=INTERVAL)
        assert made[-1].bot is not None
        assert made[-1].bot.reason is Reason.STATE_EMPTIED
        desk.belief = desk.truth
        await desk.stays_quiet(2, every=INTERVAL)

    desk.believe(orders=(), positions=(), balances=())
    found = await desk.finds(
        Rule.POSITION_MISMATCH, *[Rule.UNEXPECTED_ORDER] * (len(orders) + 1), every=INTERVAL, cycles=20
    )
    assert {finding.id for finding in found[1:]} == {order.id for order in (*orders, desk.anchor)}
    desk.belief = desk.truth
    await desk.settles()


async def test_a_bot_that_has_just_booted_is_not_asked_what_it_does_not_know_yet() -> None:
    """`ready: false` after a boot, then a new bootId: first it knows little, then all, and never anything wrong."""
    desk = Desk()
    desk.exchange.hold(BTC, "2")
    orders = [desk.order(f"{PREFIX}{number}") for number in range(6)]
    await desk.stays_quiet(3)
    for boot in range(5):
        boot_id = f"boot-{boot}"
        for known in range(3):
            partly = tuple((desk.truth().orders or ())[:known])
            desk.believe(boot_id=boot_id, ready=False, orders=partly, positions=())
            (made,) = await desk.stays_quiet(1, every=INTERVAL)
            assert made.bot is not None
            assert made.bot.reason is Reason.BOT_NOT_READY
        desk.believe(boot_id=boot_id)
        before = await desk.stays_quiet(4, every=INTERVAL)
        assert Source.STARTUP not in before[-1].state.holds

    desk.exchange.end(orders[0])
    forgotten = orders[1]
    kept = tuple(row for row in desk.truth().orders or () if row.id != forgotten.id)
    desk.believe(boot_id="boot-last", orders=(*kept, tracked(orders[0])))
    found = await desk.finds(Rule.MISSING_ORDER, Rule.UNEXPECTED_ORDER, every=INTERVAL)
    assert [finding.id for finding in found] == [orders[0].id, forgotten.id]
    assert Source.POLICY in desk.state.holds

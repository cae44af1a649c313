"""A full reset carried out: once, by the plan that a person approved, and whatever happens in between."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.acting import ENFORCE, Killed, Rig, remedying
from tests.support.fakes import BTC, truth

from accountsync.act import desk
from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.plan import Phase
from accountsync.domain.policy import Limits, UnexpectedOrders, UnexpectedPositions
from accountsync.errors import OutcomeUnknown

NEVER = remedying(ENFORCE, orders=UnexpectedOrders.NEVER, positions=UnexpectedPositions.NEVER)


async def begun(rig: Rig | None = None, *, asked: str = "r1") -> Rig:
    """A bot with an entry, a stop and a position in each of two symbols, and a foreign order; a reset is asked for."""
    rig = rig or Rig(NEVER)
    exchange = rig.exchange
    rig.entry = exchange.place(BTC, client_id="bot_entry")  # type: ignore[attr-defined]
    rig.foreign = exchange.place(BTC, client_id="web_1")  # type: ignore[attr-defined]
    stop = exchange.place(BTC, client_id="bot_stop", side=Side.SELL, price="90")
    exchange.orders[BTC, stop.id] = replace(stop, conditional=True, reduce_only=True, trigger_price=Decimal(90))
    exchange.hold(BTC, "5")
    rig.bot.state = truth(exchange, rig.clock.now_ms())
    await rig.settle()
    rig.paused, rig.reset = True, asked
    return rig


def stage(rig: Rig) -> str:
    """Where the reset stands."""
    return str(rig.standing.stage) if rig.standing is not None else ""


def clear(rig: Rig) -> None:
    """The bot learns what is there now."""
    rig.bot.state = truth(rig.exchange, rig.clock.now_ms())


async def done(rig: Rig) -> None:
    await rig.until(lambda: rig.stored and rig.last.phase is Phase.PENDING and rig.last.message)
    rig.approve()
    await rig.reach(Phase.DONE)


async def test_it_cancels_and_closes_what_is_the_bots_once_and_leaves_the_rest() -> None:
    rig = await begun()
    await rig.until(lambda: rig.stored)
    await rig.cycles(60)
    assert rig.sent == [], "nothing of it goes alone"
    assert stage(rig) == "Planned"
    await done(rig)
    assert [row.client_id for row in rig.exchange.orders.values()] == ["web_1"]
    assert not any(row.quantity for row in rig.exchange.positions.values())
    assert rig.sent_once()
    assert len(rig.sent) == 5
    await rig.cycle()
    assert stage(rig) == "Flat"
    clear(rig)
    await rig.cycles(60)
    assert stage(rig) == "Clean"
    assert len(rig.stored) == 1


async def test_both_legs_of_a_hedged_account_are_closed_each_on_its_own_side() -> None:
    rig = Rig(NEVER)
    for leg, quantity in ((PositionSide.LONG, "5"), (PositionSide.SHORT, "2")):
        rig.exchange.hold(BTC, quantity, leg)
    rig.bot.state = truth(rig.exchange, rig.clock.now_ms())
    await rig.settle()
    rig.paused, rig.reset = True, "r1"
    await done(rig)
    assert not rig.exchange.held()
    orders = [what for what, _ in rig.trading.sent if not isinstance(what, str)]
    assert [(str(each.leg), str(each.side), each.quantity) for each in orders if each.symbol == BTC] == [
        ("long", "sell", Decimal(5)),
        ("short", "buy", Decimal(2)),
    ]


async def test_nothing_is_planned_while_the_bot_is_not_paused() -> None:
    rig = await begun()
    rig.paused = False
    await rig.cycles(60)
    assert rig.stored == []
    assert stage(rig) == "Waiting"


async def test_a_belief_that_is_out_of_reach_keeps_nothing_from_being_closed() -> None:
    rig = await begun()
    rig.bot.state = replace(rig.bot.state, ready=False)
    await done(rig)
    assert [row.client_id for row in rig.exchange.orders.values()] == ["web_1"]


async def test_a_bot_that_hangs_keeps_nothing_from_being_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "BELIEF_WAITS", 0.01)
    rig = await begun(Rig(replace(NEVER, timeout=3600.0)))
    await rig.until(lambda: rig.stored)
    rig.bot.script.extend([3000.0] * 100)
    rig.approve()
    async with asyncio.timeout(60):
        await rig.reach(Phase.DONE)
    assert [row.client_id for row in rig.exchange.orders.values()] == ["web_1"]
    assert not rig.exchange.held()
    assert stage(rig) == "Planned", "and told as such until then"


async def test_a_reading_that_is_always_too_old_by_the_time_it_is_acted_on_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = await begun()
    await rig.until(lambda: rig.stored)
    held = rig.trading.held

    async def slow(*asked: Any) -> Decimal:
        rig.clock.advance(11)
        return await held(*asked)

    monkeypatch.setattr(type(rig.trading), "held", lambda _, *asked: slow(*asked))
    rig.approve()
    await rig.until(lambda: rig.now.blocked)
    why = "nothing was sent: by then the account had been read 11 s before"
    assert why in rig.now.blocked
    await rig.reach(Phase.REFUSED)
    assert f"it could not go on in time; {why}" in rig.last.message
    assert rig.held == Decimal(5)


async def test_it_takes_the_place_of_a_plan_that_was_not_begun() -> None:
    rig = Rig(remedying(ENFORCE, orders=UnexpectedOrders.PLAN))
    await rig.lose()
    await rig.until(lambda: rig.stored)
    (before,) = rig.stored
    rig.paused, rig.reset = True, "r1"
    await done(rig)
    assert rig.plans.stored[before.name].phase is Phase.EXPIRED
    assert "full reset" in rig.plans.stored[before.name].message
    assert rig.last.reset == "r1"


@pytest.mark.parametrize("how", ["abandon", "resume"])
async def test_a_reset_that_is_given_up_sends_nothing(how: str) -> None:
    rig = await begun()
    await rig.until(lambda: rig.stored)
    rig.approve()
    if how == "abandon":
        rig.reset = ""
    else:
        rig.paused = False
    await rig.reach(Phase.EXPIRED)
    assert rig.sent == []


async def test_an_order_that_was_filled_meanwhile_stops_none_of_the_rest() -> None:
    rig = await begun()
    await rig.until(lambda: rig.stored)
    rig.exchange.end(rig.exchange.orders[BTC, rig.entry.id], OrderStatus.CANCELED)  # type: ignore[attr-defined]
    rig.approve()
    await rig.reach(Phase.REFUSED)
    assert [row.client_id for row in rig.exchange.orders.values()] == ["web_1"]
    assert len(rig.sent) == 4
    clear(rig)
    await rig.cycle()
    assert stage(rig) == "Clean"


async def test_a_position_that_grew_is_closed_as_far_as_was_approved_and_the_next_reset_has_the_rest() -> None:
    rig = await begun()
    await rig.until(lambda: rig.stored)
    rig.exchange.hold(BTC, "8")
    rig.approve()
    await rig.until(lambda: not rig.last.open)
    assert rig.held == Decimal(3)
    await rig.cycle()
    assert stage(rig) == "Left"
    sent = len(rig.sent)
    await rig.cycles(60)
    assert (len(rig.stored), len(rig.sent)) == (1, sent), "a reset that is over begins nothing"
    rig.reset = "r2"
    await done(rig)
    assert rig.held == 0


async def test_a_stop_stays_where_its_position_could_not_be_closed() -> None:
    rig = await begun()
    rig.trading.takes = Decimal(2)
    await rig.until(lambda: rig.stored)
    rig.approve()
    await rig.reach(Phase.REFUSED)
    assert rig.held == Decimal(3)
    assert "bot_stop" in [row.client_id for row in rig.exchange.orders.values()]


async def test_a_stop_goes_although_its_position_was_closed_by_something_else() -> None:
    rig = await begun()
    await rig.until(lambda: rig.stored)
    rig.exchange.hold(BTC, "0")
    rig.approve()
    await rig.reach(Phase.REFUSED)
    assert [row.client_id for row in rig.exchange.orders.values()] == ["web_1"]


async def test_over_a_limit_it_says_which_and_raises_no_hold_of_its_own() -> None:
    rig = await begun(Rig(remedying(NEVER, limits=Limits(2))))
    await rig.cycles(60)
    assert rig.stored == []
    assert stage(rig) == "Refused"
    assert rig.standing is not None
    assert "actionsPerHour is 2" in rig.standing.text
    assert [str(source) for source in rig.state.holds] == ["User"]


async def test_an_unknown_outcome_is_asked_for_and_never_sent_again() -> None:
    rig = await begun()
    await rig.until(lambda: rig.stored)
    rig.approve()
    rig.trading.script.extend([None, OutcomeUnknown("the answer was lost")])
    await rig.reach(Phase.DONE)
    assert rig.sent_once()
    assert not rig.exchange.held()


@pytest.mark.parametrize("blows_at", [*range(1, 130, 2)])
async def test_a_process_that_ends_anywhere_on_the_way_leaves_nothing_undone_and_does_nothing_twice(
    blows_at: int,
) -> None:
    rig = await begun()
    rig.fuse.passed, rig.fuse.blows_at = 0, blows_at
    for _ in range(60):
        try:
            await rig.cycle(5.0)
        except* Killed:
            rig.restart()
        rig.approve()
        if stage(rig) == "Left":  # it was about to be sent as the process ended: that never arrived
            rig.reset = "r2"
        if stage(rig) in {"Flat", "Clean"}:
            break
    assert rig.sent_once()
    assert len(rig.sent) == len(set(rig.sent)) == 5
    assert len({plan.reset for plan in rig.stored}) == len(rig.stored) <= 2
    assert [row.client_id for row in rig.exchange.orders.values()] == ["web_1"]
    assert not any(row.quantity for row in rig.exchange.positions.values())

"""What became of what was sent: asked for, verified, and accepted by a person where nobody can tell."""

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from tests.support.acting import HOUR, INTERVAL, Rig, remedying
from tests.support.fakes import BTC, FakePlans, tracked

from accountsync.domain.account import Part, Side
from accountsync.domain.holds import Signal, Source
from accountsync.domain.intents import IntentState
from accountsync.domain.plan import Phase, Plan
from accountsync.domain.policy import UnexpectedOrders
from accountsync.errors import BeliefUnobserved, OutcomeUnknown, PlansError, PlansUnavailable, Reason

DONE, EXPIRED, SENDING, UNKNOWN = IntentState.DONE, IntentState.EXPIRED, IntentState.SENDING, IntentState.UNKNOWN
LOST = OutcomeUnknown("the connection was reset")


@dataclass(slots=True)
class RacedPlans(FakePlans):
    """Another process stores `other` right after the plans were listed."""

    other: Plan | None = None

    async def all(self) -> tuple[Plan, ...]:
        kept = await FakePlans.all(self)
        if self.other is not None and not kept:
            self.put(self.other)
        return kept


async def unknown() -> Rig:
    """An account on which a Cancel was sent, and the exchange says nothing about any order."""
    rig = Rig()
    await rig.lose()
    rig.trading.loses = True
    await rig.send(LOST)
    rig.exchange.mute = True
    await rig.until(lambda: rig.states == [UNKNOWN])
    await rig.cycle()
    return rig


# --- asked for -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loses", [True, False])
async def test_a_cancel_without_an_answer_is_asked_for_once_no_copy_could_arrive(loses: bool) -> None:
    rig = Rig()
    order = await rig.lose()
    rig.trading.loses = loses
    await rig.send(LOST)
    (intent,) = rig.last.intents
    first = rig.last.name
    assert intent.state is SENDING
    while rig.plans.stored[first].intents[0].state is SENDING:
        before = rig.clock.now_ms()
        await rig.cycle(1)
    (now,) = rig.plans.stored[first].intents
    assert before + 1000 >= intent.settles_at
    assert now.state is (EXPIRED if loses else DONE)
    assert rig.sent == [order.id]


@pytest.mark.parametrize("loses", [True, False])
async def test_a_flatten_without_an_answer_is_found_by_its_client_id_or_never_arrived(loses: bool) -> None:
    rig = Rig()
    await rig.strand()
    rig.trading.loses = loses
    await rig.send(LOST)
    first = rig.last.name
    await rig.until(lambda: not rig.plans.stored[first].open)
    (intent,) = rig.plans.stored[first].intents
    assert intent.state is (EXPIRED if loses else DONE)
    assert rig.held == (5 if loses else 0)
    assert intent.filled == (None if loses else 5)
    assert len(rig.sent) == 1


async def test_after_partial_snapshots_nothing_never_arrived_while_a_copy_could_still_be_taken() -> None:
    rig = Rig()
    await rig.lose()
    rig.trading.loses = True
    await rig.send(LOST)
    first, (intent,) = rig.last.name, rig.last.intents
    rig.exchange.missing = frozenset({Part.CONDITIONAL})
    while rig.plans.stored[first].intents[0].state is SENDING:
        asked = len(rig.exchange.asked)
        await rig.cycle(0.5)
        if len(rig.exchange.asked) > asked:
            assert rig.clock.now_ms() >= intent.settles_at
    assert rig.clock.now_ms() >= intent.settles_at


async def test_while_the_exchange_can_not_be_asked_it_stays_unknown_and_is_asked_again() -> None:
    rig = await unknown()
    assert Source.UNKNOWN_OUTCOME in rig.state.holds
    assert rig.last.phase is Phase.UNKNOWN
    turns = await rig.cycles(HOUR)
    assert turns <= HOUR / INTERVAL
    assert rig.states == [UNKNOWN]
    rig.exchange.mute = False
    await rig.cycle()
    assert rig.stored[0].intents[0].state is EXPIRED
    await rig.cycles(2 * INTERVAL)
    assert Source.UNKNOWN_OUTCOME not in rig.state.holds
    assert Source.ACTION not in rig.state.holds
    assert len(rig.sent) == 1


async def test_after_a_restart_without_the_exchange_what_was_sending_becomes_unknown() -> None:
    rig = Rig()
    await rig.lose()
    rig.trading.loses = True
    await rig.send(LOST)
    rig.exchange.down = True
    rig.restart()
    turns = await rig.cycles(HOUR)
    assert rig.states == [UNKNOWN]
    assert rig.last.phase is Phase.UNKNOWN
    assert {Source.ACTION, Source.UNKNOWN_OUTCOME} <= rig.state.holds.keys()
    assert turns <= 2 * HOUR / INTERVAL, "an exchange that is down is not asked all the time"
    rig.exchange.down = False
    await rig.until(lambda: not rig.stored[0].open)
    assert rig.stored[0].intents[0].state is EXPIRED
    assert len(rig.sent) == 1


# --- a person goes on without knowing --------------------------------------------------------------------------------


@pytest.mark.parametrize("woken", [True, False], ids=["at once", "with the next reading"])
async def test_a_person_who_resumes_over_what_is_not_known_ends_the_plan_and_its_holds(woken: bool) -> None:
    rig = await unknown()
    await rig.cycle(resume=rig.digest(Source.UNKNOWN_OUTCOME), woken=woken)
    assert rig.stored[0].phase is Phase.EXPIRED
    await rig.cycle()
    assert not {Source.ACTION, Source.UNKNOWN_OUTCOME} & rig.state.holds.keys()
    assert sum(turn.why is Signal.OUTCOME_ACCEPTED for turn in rig.transitions) == 1
    assert sum(turn.source is Source.UNKNOWN_OUTCOME and turn.raised for turn in rig.transitions) == 1


async def test_it_counts_as_sent_although_a_person_went_on() -> None:
    rig = await unknown()
    await rig.cycle(resume=rig.digest(Source.UNKNOWN_OUTCOME))
    assert len(rig.now.past.left) == 1


async def test_another_plan_that_becomes_unknown_stops_the_bot_again() -> None:
    rig = await unknown()
    await rig.cycle(resume=rig.digest(Source.UNKNOWN_OUTCOME))
    rig.exchange.mute = False
    rig.exchange.place(BTC, client_id="bot_other")
    await rig.until(lambda: rig.last.open)
    rig.approve()
    await rig.send(LOST)
    rig.exchange.mute = True
    await rig.until(lambda: Source.UNKNOWN_OUTCOME in rig.state.holds)


# --- verified --------------------------------------------------------------------------------------------------------


async def test_what_was_done_is_verified_by_the_exchange_although_the_bot_is_dead() -> None:
    rig = Rig()
    await rig.lose()
    await rig.until(lambda: rig.sent)
    rig.bot.script.extend([BeliefUnobserved(Reason.BOT_REFUSED, "it is dead")] * 1000)
    reads = rig.exchange.snapshots
    await rig.cycles(HOUR)
    assert rig.last.phase is Phase.DONE
    assert Source.ACTION not in rig.state.holds
    assert rig.exchange.snapshots - reads < HOUR / INTERVAL + 20


async def test_what_the_exchange_never_shows_is_not_verified_and_the_account_is_not_read_all_the_time() -> None:
    rig = Rig()
    order = await rig.lose()
    await rig.reach(Phase.READY)
    await rig.until(lambda: rig.sent)
    rig.exchange.orders[BTC, order.id] = order  # it says that it cancelled, and lists it for ever
    reads = rig.exchange.snapshots
    await rig.cycles(HOUR / 6)
    assert rig.stored[0].phase is Phase.REFUSED
    assert "not verified" in rig.stored[0].message
    assert rig.exchange.snapshots - reads < HOUR / 6 / INTERVAL * 2


async def test_a_partial_snapshot_verifies_what_it_shows_only() -> None:
    rig = Rig()
    await rig.lose()
    await rig.until(lambda: rig.sent)
    rig.exchange.missing = frozenset({Part.ORDERS})
    await rig.cycle(2)
    assert rig.last.phase is Phase.RUNNING
    rig.exchange.missing = frozenset()
    await rig.reach(Phase.DONE)


async def test_a_flatten_that_was_not_filled_wholly_asks_a_person_next() -> None:
    rig = Rig()
    await rig.strand()
    rig.trading.takes = Decimal(0)
    await rig.until(lambda: rig.sent)
    await rig.cycles(HOUR / 6)
    assert len(rig.sent) == 1
    assert rig.last.phase is Phase.PENDING
    assert not rig.last.may_run
    assert "came to nothing" in rig.last.approval


async def test_what_our_own_actions_did_is_never_a_finding() -> None:
    rig = Rig()
    await rig.settle()
    placed = rig.exchange.place(BTC, client_id="bot_stop", side=Side.SELL, quantity="5", price="300")
    stop = rig.exchange.orders[BTC, placed.id] = replace(placed, reduce_only=True)
    rig.bot.state = replace(rig.bot.state, orders=(*(rig.bot.state.orders or ()), tracked(stop)))
    await rig.strand()
    await rig.reach(Phase.DONE)
    assert len(rig.sent) == 2
    for _ in range(8):
        await rig.cycle()
        assert not rig.state.tracks, "neither its fill nor the order that the bot still believes in"


# --- a stored plan that is gone --------------------------------------------------------------------------------------


async def test_a_plan_that_somebody_removes_while_its_outcome_is_unknown_is_stored_again_and_settled() -> None:
    rig = Rig()
    order = await rig.lose()
    rig.trading.loses = True
    await rig.send(LOST)
    (intent,) = rig.last.intents
    rig.plans.stored.clear()
    await rig.cycle(1)
    assert rig.intents == [intent]
    assert Source.ACTION in rig.state.holds
    assert len(rig.now.past.left) == 1
    await rig.until(lambda: not rig.stored[0].open)
    assert rig.states == [EXPIRED]
    assert rig.sent == [order.id]


async def test_an_approved_plan_is_stored_again_without_its_approval() -> None:
    rig = Rig(remedying(orders=UnexpectedOrders.PLAN))
    await rig.lose()
    await rig.until(lambda: rig.stored)
    rig.approve()
    await rig.send(LOST)
    assert rig.states == [SENDING]
    rig.plans.stored.clear()
    await rig.until(lambda: not rig.stored[0].open)
    assert rig.states == [DONE]
    assert len(rig.sent) == 1


async def test_the_rest_of_a_plan_that_somebody_removed_is_not_sent() -> None:
    rig = Rig()
    await rig.lose("bot_a")
    rig.exchange.place(BTC, client_id="bot_b")
    rig.trading.loses = True
    await rig.send(LOST)
    first = rig.last.name
    assert [intent.state for intent in rig.last.intents][1] is IntentState.PLANNED
    rig.plans.stored.clear()
    await rig.until(lambda: rig.plans.stored and not rig.plans.stored[first].open)
    assert [intent.state for intent in rig.plans.stored[first].intents] == [EXPIRED, EXPIRED]
    assert len(rig.sent) == 1


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("answers", [[PlansUnavailable("no")], [None, PlansUnavailable("no")]])
async def test_a_plan_that_could_not_be_stored_again_at_once_is_not_begun_anew(
    answers: list[PlansError | None], late: bool
) -> None:
    rig = Rig()
    await rig.lose()
    rig.trading.loses = True
    await rig.send(LOST)
    (intent,) = rig.last.intents
    rig.plans.stored.clear()
    rig.plans.late = late
    rig.plans.script.extend([None, *answers])
    await rig.cycle(1)
    rig.plans.script.clear()
    await rig.cycle(1)
    assert rig.intents == [intent]
    await rig.until(lambda: not rig.stored[0].open)
    assert len(rig.sent) == 1


async def test_a_plan_that_another_process_stored_again_meanwhile_is_taken_as_it_is() -> None:
    rig = Rig()
    await rig.lose()
    rig.trading.loses = True
    await rig.send(LOST)
    (intent,) = rig.last.intents
    rig.plans = RacedPlans(rig.clock, other=rig.last)
    await rig.cycle(1)
    assert rig.intents == [intent]
    assert rig.now.plan == rig.last
    assert rig.now.made is None


async def test_a_plan_that_lost_its_memory_while_it_was_stored_again_waits_for_a_person() -> None:
    rig = Rig()
    await rig.lose()
    rig.trading.loses = True
    await rig.send(LOST)
    rig.plans.stored.clear()
    rig.plans.script.extend([None, None, PlansUnavailable("no")])
    await rig.cycle(1)
    rig.restart()
    await rig.cycles(60)
    assert rig.last.phase is Phase.PENDING
    assert not rig.last.may_run
    assert len(rig.sent) == 1

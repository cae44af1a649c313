"""From a confirmed finding to the end of its plan: each kind of plan, and what keeps one from going on."""

from collections import deque
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from tests.support.acting import ENFORCE, HOUR, PAUSE, Owner, Rig, remedying
from tests.support.fakes import BTC, ETH

from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.expected import ExpectedPosition
from accountsync.domain.holds import Source
from accountsync.domain.intents import IntentState
from accountsync.domain.plan import ActionKind, Phase
from accountsync.domain.policy import Mode, UnexpectedOrders, UnexpectedPositions
from accountsync.errors import NotSent

DONE, EXPIRED, PLANNED = IntentState.DONE, IntentState.EXPIRED, IntentState.PLANNED
ASKS = remedying(orders=UnexpectedOrders.PLAN)


@dataclass(slots=True)
class Fading(Owner):
    """Sure of the account until the intent is written, and not again."""

    asked: int = 0

    def left(self) -> float:
        self.asked += 1
        return self.seconds if self.asked <= 2 else 0.0


# --- a plan of each kind ---------------------------------------------------------------------------------------------


async def test_a_lost_order_is_cancelled_and_the_bot_goes_on() -> None:
    rig = Rig()
    order = await rig.lose()
    await rig.reach(Phase.DONE)
    await rig.cycles(60)
    assert rig.sent == [order.id]
    assert rig.states == [DONE]
    assert (BTC, order.id) not in rig.exchange.orders
    assert Source.ACTION not in rig.state.holds
    assert not rig.state.tracks


async def test_nothing_is_sent_before_the_bot_had_time_to_see_the_hold() -> None:
    rig = Rig()
    await rig.lose()
    await rig.reach(Phase.READY)
    await rig.cycle(1)
    assert Source.ACTION in rig.state.holds
    held_at = rig.clock.monotonic()
    while not rig.sent:
        await rig.cycle(1)
        assert Source.ACTION in rig.state.holds
    assert rig.clock.monotonic() - held_at >= rig.policy.order_grace_ms / 1000


async def test_a_position_that_nobody_wants_is_flattened_and_its_stop_goes_after_it() -> None:
    rig = Rig()
    await rig.strand()
    stop = rig.exchange.place(BTC, client_id="bot_stop", side=Side.SELL, quantity="5", price="90")
    rig.exchange.orders[BTC, stop.id] = replace(stop, reduce_only=True)
    await rig.until(lambda: rig.stored)
    assert [action.kind for action in rig.last.actions] == [ActionKind.FLATTEN, ActionKind.CANCEL]
    await rig.until(lambda: rig.sent)
    assert len(rig.sent) == 1, "the stop stays as long as nobody has seen that the position is closed"
    await rig.reach(Phase.DONE)
    assert rig.states == [DONE, DONE]
    assert rig.sent[1:] == [stop.id]
    assert rig.held == 0
    assert rig.exchange.ended[BTC, stop.id].status is OrderStatus.CANCELED


async def test_the_stop_of_a_position_that_was_not_closed_stays() -> None:
    rig = Rig()
    await rig.strand()
    rig.trading.takes = Decimal(2)
    stop = rig.exchange.place(BTC, client_id="bot_stop", side=Side.SELL, quantity="5", price="90")
    rig.exchange.orders[BTC, stop.id] = replace(stop, reduce_only=True)
    await rig.until(lambda: rig.sent)
    await rig.until(lambda: not rig.stored[0].open)
    assert [intent.state for intent in rig.stored[0].intents] == [DONE, EXPIRED]
    assert (BTC, stop.id) in rig.exchange.orders


async def test_what_is_closed_is_no_more_than_what_is_there_by_then() -> None:
    rig = Rig()
    await rig.strand("5")
    await rig.reach(Phase.READY)
    rig.exchange.fill(rig.exchange.place(BTC, client_id="bot_exit", side=Side.SELL, quantity="2"))
    await rig.cycles(60)
    rig.approve()
    await rig.cycles(60)
    assert rig.held == 0
    assert sum(order.quantity for order, _ in rig.trading.sent if not isinstance(order, str)) == 3


async def test_a_wrong_belief_is_put_right_without_anything_being_sent_to_the_exchange() -> None:
    rig = Rig(PAUSE, repairs=True)
    await rig.settle()
    rig.exchange.hold(BTC, "5")
    plan = await rig.reach(Phase.DONE)
    await rig.cycles(60)
    assert [action.kind for action in plan.actions] == [ActionKind.REPAIR]
    assert {(row.symbol, row.side, row.quantity) for row in rig.bot.state.positions or ()} == {
        (ETH, PositionSide.NET, Decimal(3)),
        (BTC, PositionSide.NET, Decimal(5)),
    }
    assert not rig.state.tracks
    assert not rig.sent


async def test_a_repair_waits_for_nobody_although_a_cancel_beside_it_does() -> None:
    rig = Rig(ASKS, repairs=True)
    await rig.lose()
    rig.exchange.hold(ETH, "4")
    await rig.until(lambda: len(rig.stored) == 2)
    first, second = rig.stored
    assert [action.kind for action in first.actions] == [ActionKind.REPAIR]
    assert first.phase is Phase.DONE
    assert [action.kind for action in second.actions] == [ActionKind.CANCEL]
    assert second.phase is Phase.PENDING


# --- who has to agree ------------------------------------------------------------------------------------------------


async def test_what_needs_a_person_waits_and_goes_on_once_it_is_approved() -> None:
    rig = Rig(ASKS)
    order = await rig.lose()
    await rig.cycles(300)
    assert [plan.phase for plan in rig.stored] == [Phase.PENDING]
    assert Source.ACTION not in rig.state.holds, "the bot is not stopped for what may never be done"
    assert not rig.sent
    rig.approve()
    await rig.reach(Phase.DONE)
    assert rig.sent == [order.id]


async def test_an_approval_does_not_cover_a_reason_that_came_later() -> None:
    rig = Rig(ASKS)
    stop = await rig.lose("bot_stop", side=Side.SELL)
    rig.exchange.orders[BTC, stop.id] = replace(stop, reduce_only=True)
    await rig.until(lambda: rig.stored)
    rig.approve()
    rig.exchange.hold(BTC, "5")
    wanted = ExpectedPosition(BTC, PositionSide.NET, Decimal(5))
    rig.bot.state = replace(rig.bot.state, positions=(*(rig.bot.state.positions or ()), wanted))
    await rig.cycles(90)
    first = rig.stored[0]
    assert first.phase is Phase.EXPIRED
    assert "guards an open position" in first.message
    assert not rig.sent


async def test_the_same_reason_again_is_covered_although_its_words_differ() -> None:
    rig = Rig(remedying(positions=UnexpectedPositions.PLAN))
    await rig.strand()
    await rig.until(lambda: rig.stored)
    rig.approve()
    rig.exchange.marks[BTC] = Decimal(101)
    await rig.reach(Phase.DONE)
    assert rig.held == 0


async def test_nothing_approved_or_not_is_sent_where_approvals_are_not_protected() -> None:
    rig = Rig()
    rig.guarded = "no admission policy protects approvals"
    await rig.lose()
    await rig.cycles(300)
    assert not rig.sent
    assert rig.now.blocked == rig.guarded
    assert Source.ACTION not in rig.state.holds
    rig.guarded = ""
    await rig.reach(Phase.DONE)
    assert len(rig.sent) == 1


async def test_approvals_that_lose_their_protection_stop_a_plan_that_was_ready() -> None:
    rig = Rig()
    await rig.lose()
    await rig.reach(Phase.READY)
    rig.guarded = "no admission policy protects approvals"
    await rig.cycles(120)
    assert not rig.sent


async def test_a_repair_needs_no_protected_approvals() -> None:
    rig = Rig(PAUSE, repairs=True)
    rig.guarded = "no admission policy protects approvals"
    await rig.settle()
    rig.exchange.hold(BTC, "5")
    await rig.reach(Phase.DONE)


async def test_an_exchange_that_carries_out_late_requests_needs_a_person() -> None:
    rig = Rig()
    rig.expires_requests = False
    await rig.lose()
    await rig.cycles(120)
    assert [plan.phase for plan in rig.stored] == [Phase.PENDING]
    assert not rig.sent


# --- what keeps a plan from going on ---------------------------------------------------------------------------------


async def test_a_dry_run_shows_the_plan_once_and_does_nothing() -> None:
    rig = Rig(remedying(dry_run=True))
    await rig.lose()
    await rig.cycles(300)
    assert [plan.phase for plan in rig.stored] == [Phase.DRY_RUN]
    assert [told.state for told in rig.told] == [PLANNED]
    assert not rig.sent
    assert Source.ACTION not in rig.state.holds


async def test_a_dry_run_that_begins_late_ends_the_plan_that_was_ready() -> None:
    rig = Rig()
    await rig.lose()
    await rig.reach(Phase.READY)
    rig.policy = remedying(dry_run=True)
    await rig.cycles(120)
    assert rig.stored[0].phase is Phase.EXPIRED
    assert not rig.sent


async def test_a_plan_that_nobody_approved_in_time_ends_and_a_new_one_may_follow() -> None:
    rig = Rig(ASKS)
    await rig.lose()
    await rig.cycles(ASKS.remedies.expires_after + 120)
    assert [plan.phase for plan in rig.stored] == [Phase.EXPIRED, Phase.PENDING]
    assert rig.stored[0].message == "nobody approved it in time"
    rig.approve()
    await rig.reach(Phase.DONE)
    assert len(rig.sent) == 1


async def test_an_approval_of_a_plan_that_has_expired_does_nothing() -> None:
    rig = Rig(ASKS)
    await rig.lose()
    await rig.until(lambda: rig.stored)
    rig.clock.advance(ASKS.remedies.expires_after)
    rig.approve()
    await rig.cycle()
    assert rig.stored[0].phase is Phase.EXPIRED
    assert not rig.sent


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.PAUSE])
async def test_a_mode_that_was_lowered_ends_a_plan_of_which_nothing_was_sent(mode: Mode) -> None:
    rig = Rig()
    await rig.lose()
    await rig.reach(Phase.READY)
    rig.policy = replace(ENFORCE, mode=mode)
    await rig.cycles(60)
    assert [plan.phase for plan in rig.stored] == [Phase.EXPIRED]
    assert not rig.sent
    assert Source.ACTION not in rig.state.holds


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.PAUSE])
async def test_a_mode_that_was_lowered_in_the_middle_ends_the_rest_and_verifies_what_was_done(mode: Mode) -> None:
    rig = Rig()
    await rig.strand()
    stop = rig.exchange.place(BTC, client_id="bot_stop", side=Side.SELL, quantity="5", price="90")
    rig.exchange.orders[BTC, stop.id] = replace(stop, reduce_only=True)
    await rig.until(lambda: rig.sent)
    rig.policy = replace(ENFORCE, mode=mode)
    await rig.cycles(60)
    assert rig.states == [DONE, EXPIRED]
    assert not rig.last.open
    assert (BTC, stop.id) in rig.exchange.orders
    assert Source.ACTION not in rig.state.holds


async def test_what_was_set_right_meanwhile_is_not_done_any_more() -> None:
    rig = Rig()
    order = await rig.lose()
    await rig.reach(Phase.READY)
    rig.exchange.end(order)
    await rig.cycles(60)
    assert [plan.phase for plan in rig.stored] == [Phase.EXPIRED]
    assert "has changed" in rig.last.message
    assert not rig.sent


async def test_nothing_is_sent_by_who_does_not_own_the_account_for_certain() -> None:
    rig = Rig()
    await rig.lose()
    rig.owner.seconds = 0.0
    await rig.cycles(300)
    assert not rig.sent
    assert rig.states == [PLANNED]
    assert "not certain" in rig.now.blocked
    rig.owner.seconds = 15.0
    await rig.reach(Phase.DONE)
    assert len(rig.sent) == 1


async def test_what_is_sent_is_good_for_no_longer_than_the_claim_on_the_account() -> None:
    rig = Rig()
    await rig.lose()
    rig.owner.seconds = 2.5
    await rig.until(lambda: rig.sent)
    assert [stamp.recv_window for _, stamp in rig.trading.sent] == [2500]


async def test_a_claim_that_is_lost_while_the_request_is_made_keeps_it_from_leaving() -> None:
    rig = Rig()
    await rig.lose()
    await rig.reach(Phase.READY)
    rig.owner = Fading()
    await rig.until(lambda: rig.told)
    assert not rig.sent
    assert [(told.state, told.left) for told in rig.told] == [(EXPIRED, False)]


async def test_a_limit_refuses_and_one_resume_over_that_is_enough() -> None:
    limits = replace(ENFORCE.remedies.limits, notional_per_action=Decimal(50))
    rig = Rig(replace(remedying(limits=limits), pause_at=None))
    await rig.lose()
    await rig.until(lambda: Source.POLICY in rig.state.holds)
    assert "notionalPerAction" in rig.state.holds[Source.POLICY].message
    await rig.cycle(resume=rig.digest(Source.POLICY))
    await rig.cycles(HOUR / 4)
    assert not rig.state.holds
    assert not rig.stored
    assert not rig.sent


async def test_over_a_limit_what_grew_since_the_resume_stops_the_bot_again() -> None:
    limits = replace(ENFORCE.remedies.limits, notional_per_action=Decimal(50))
    rig = Rig(replace(remedying(limits=limits), pause_at=None))
    order = await rig.lose()
    await rig.until(lambda: Source.POLICY in rig.state.holds)
    await rig.cycle(resume=rig.digest(Source.POLICY))
    assert not rig.state.holds
    rig.exchange.amend(order, quantity=Decimal(2))
    await rig.cycles(60)
    assert Source.POLICY in rig.state.holds


async def test_nothing_is_done_in_observe_or_pause_but_repairs() -> None:
    for mode in (Mode.OBSERVE, Mode.PAUSE):
        rig = Rig(replace(ENFORCE, mode=mode))
        await rig.lose()
        await rig.cycles(120)
        assert not rig.stored
        assert not rig.sent


async def test_the_bot_stays_held_until_what_was_done_is_verified() -> None:
    rig = Rig()
    await rig.lose()
    await rig.until(lambda: rig.sent)
    rig.exchange.down = True
    await rig.cycle(5)
    assert rig.last.phase is Phase.RUNNING
    assert Source.ACTION in rig.state.holds
    rig.exchange.down = False
    await rig.reach(Phase.DONE)


async def test_a_request_that_did_not_leave_asks_a_person_next_time() -> None:
    rig = Rig()
    await rig.lose()
    plan = await rig.reach(Phase.READY)
    rig.trading.script = deque([NotSent("the connection could not be made")])
    await rig.until(lambda: not rig.plans.stored[plan.name].open)
    assert rig.plans.stored[plan.name].phase is Phase.REFUSED
    await rig.cycles(60)
    assert not rig.sent
    assert rig.last.phase is Phase.PENDING
    assert not rig.last.may_run

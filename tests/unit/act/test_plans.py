"""Stored plans: names that never repeat, repairs that are not repeated, and writes that fail or come too late."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.support.acting import HOUR, PAUSE, Rig, remedying
from tests.support.fakes import BTC, FakeRepairs

from accountsync.domain.expected import ExpectedState
from accountsync.domain.intents import IntentState
from accountsync.domain.plan import Phase, Repair
from accountsync.domain.policy import Limits
from accountsync.errors import OutcomeUnknown, PlanChanged, PlansError, PlansUnavailable, Refused

DAY = 24 * HOUR


@dataclass(slots=True)
class DeafRepairs(FakeRepairs):
    """The bot says yes, or `refuses`, and does not change; `times`: seconds at which it was told."""

    refuses: bool = False
    times: list[int] = field(default_factory=list)

    async def repair(self, repair_id: str, belief: ExpectedState, repairs: Sequence[Repair]) -> None:
        del repair_id, repairs
        self.times.append(belief.as_of // 1000)
        if self.refuses:
            raise Refused("not now")


# --- names -----------------------------------------------------------------------------------------------------------


async def test_client_ids_and_names_never_repeat_although_the_past_was_forgotten() -> None:
    rig = Rig()
    names, ids = Counter[str](), Counter[str]()
    for _ in range(3):
        await rig.strand()
        await rig.until(lambda: rig.stored and rig.last.phase is Phase.DONE)
        names.update(rig.plans.stored.keys())
        ids.update(intent.client_id for intent in rig.intents)
        rig.clock.advance(DAY + HOUR)
        await rig.settle()
        assert not rig.stored, "what is over for a day is removed"
    assert len(names) == len(ids) == 3
    assert set(ids.values()) == {1}
    assert len(rig.sent) == len(set(rig.sent)) == 3


async def test_client_ids_never_repeat_although_somebody_removed_all_plans_the_same_day() -> None:
    rig = Rig()
    for _ in range(3):
        await rig.strand()
        await rig.until(lambda: rig.stored and rig.last.phase is Phase.DONE)
        rig.plans.stored.clear()
        rig.restart()
        await rig.settle()
    assert len(rig.sent) == len(set(rig.sent)) == 3


async def test_a_plan_for_the_same_within_a_second_is_another_one() -> None:
    rig = Rig()
    order = await rig.lose()
    first = await rig.reach(Phase.READY)
    rig.exchange.end(order)
    await rig.cycle(0.2)
    assert rig.plans.stored[first.name].phase is Phase.EXPIRED
    rig.exchange.orders[order.symbol, order.id] = order
    await rig.until(lambda: len(rig.stored) == 2)
    assert rig.last.actions[0].key == first.actions[0].key
    assert rig.last.name != first.name
    await rig.reach(Phase.DONE)


async def test_an_ended_plan_of_the_same_name_gives_way() -> None:
    rig = Rig()
    await rig.lose()
    first = await rig.reach(Phase.READY)
    other = Rig()
    await other.lose()
    other.plans.put(replace(first, phase=Phase.REFUSED))
    await other.reach(Phase.DONE)
    assert other.plans.stored[first.name].phase is Phase.REFUSED
    assert len(other.sent) == 1


async def test_what_is_unknown_is_never_removed() -> None:
    rig = Rig()
    await rig.lose()
    rig.trading.loses = True
    await rig.send(OutcomeUnknown("the answer was lost"))
    rig.exchange.mute = True
    for _ in range(3):
        rig.clock.advance(DAY)
        await rig.settle()
    assert [intent.state for intent in rig.intents] == [IntentState.UNKNOWN]


# --- repairs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refuses", [True, False])
async def test_a_bot_that_does_not_follow_is_told_again_after_pauses_that_double(refuses: bool) -> None:
    rig = Rig(PAUSE, repairs=True)
    await rig.settle()
    deaf = DeafRepairs(rig.bot, refuses=refuses)
    rig.repairs = deaf
    rig.exchange.hold(BTC, "5")
    for _ in range(54):
        if len(deaf.times) <= 7:
            await rig.cycles(60)
    pauses = [after - before for before, after in zip(deaf.times, deaf.times[1:], strict=False)]
    assert 4 <= len(deaf.times) <= 7
    assert all(pause >= 60 * 2**number for number, pause in enumerate(pauses))


async def test_repairs_count_for_no_limit() -> None:
    limits = Limits(actions_per_hour=1)
    rig = Rig(remedying(limits=limits), repairs=True)
    await rig.settle()
    for symbol_quantity in ("4", "5", "6"):
        rig.exchange.hold("ETH/USDT:USDT", symbol_quantity)
        await rig.until(lambda: not rig.state.tracks or rig.now.course.refusal, 600)
        await rig.cycles(120)
    assert not rig.now.course.refusal
    assert not rig.now.past.left
    rig.exchange.place(BTC, client_id="bot_lost")
    await rig.until(lambda: rig.sent)


# --- writes that fail ------------------------------------------------------------------------------------------------


async def lost_order(rig: Rig) -> None:
    await rig.lose()


async def stranded(rig: Rig) -> None:
    await rig.strand()


async def wrong_belief(rig: Rig) -> None:
    await rig.settle()
    rig.exchange.hold("ETH/USDT:USDT", "4")


STORIES = [lost_order, stranded, wrong_belief]
Story = Callable[[Rig], Awaitable[None]]


async def faults(story: Story, at: int, trouble: PlansError | None, *, late: bool) -> Rig:
    """`story` to its end, with the `at`th call of the stored plans after its beginning in trouble."""
    rig = Rig(repairs=story is wrong_belief)
    await story(rig)
    rig.plans.late = late
    rig.plans.script.extend([*(None for _ in range(at)), trouble])
    for _ in range(40):
        await rig.cycle(5)
        rig.approve()
    return rig


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("late", [False, True], ids=["not done", "done, and the answer lost"])
@pytest.mark.parametrize("trouble", [PlanChanged("meanwhile"), PlansUnavailable("no answer")], ids=["changed", "out"])
async def test_a_write_that_fails_makes_nothing_be_sent_twice_and_nothing_be_lost(
    story: Story, trouble: PlansError, late: bool
) -> None:
    calls = 0
    while True:
        rig = await faults(story, calls, trouble, late=late)
        assert rig.sent_once(), (calls, rig.shown)
        assert not any(plan.open for plan in rig.stored), (calls, rig.shown)
        assert not rig.state.tracks, (calls, rig.shown)
        assert rig.held == 0
        if rig.plans.script:
            break  # it was over before
        calls += 1
    assert calls >= 4


async def test_nothing_leaves_while_nothing_can_be_stored() -> None:
    rig = Rig()
    await rig.lose()
    await rig.reach(Phase.READY)
    for _ in range(10):
        rig.plans.script.extend([None, PlansUnavailable("no answer"), PlansUnavailable("no answer")])
        await rig.cycle(5)
        rig.plans.script.clear()
    assert not rig.sent
    assert rig.now.blocked


async def test_nothing_is_begun_as_long_as_the_stored_plans_are_not_known() -> None:
    rig = Rig()
    rig.plans.script.extend([PlansUnavailable("no answer")] * 20)
    await rig.lose()
    for _ in range(10):
        await rig.cycle(5)
    assert not rig.stored
    assert rig.now.blocked == "no answer"

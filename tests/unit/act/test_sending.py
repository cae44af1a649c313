"""What leaves: once, written ahead, on a fresh snapshot, by the right key; and each answer to it."""

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from tests.support.acting import ENFORCE, HOUR, PAUSE, Rig, remedying
from tests.support.fakes import BTC, FakeBot, FakeTrading, ManualClock

from accountsync.domain.account import Order, PositionSide
from accountsync.domain.expected import ExpectedState
from accountsync.domain.holds import Source
from accountsync.domain.intents import IntentState
from accountsync.domain.plan import Phase
from accountsync.domain.policy import Limits
from accountsync.errors import ActionError, ConfigurationError, NotSent, OutcomeUnknown, Reason, Refused
from accountsync.ports import NewOrder, Stamp

DONE, EXPIRED, REFUSED = IntentState.DONE, IntentState.EXPIRED, IntentState.REFUSED
LIMITS = Limits(50, Decimal(10**6), Decimal(10**7))


@dataclass(slots=True)
class BehindClock:
    """`clock`, `ms` late."""

    clock: ManualClock
    ms: int

    def now_ms(self) -> int:
        return self.clock.now_ms() - self.ms

    def monotonic(self) -> float:
        return self.clock.monotonic()


@dataclass(slots=True)
class SlowBot(FakeBot):
    """It answers after `takes` seconds."""

    clock: ManualClock | None = None
    takes: float = 0.0

    async def read(self) -> ExpectedState:
        assert self.clock is not None
        self.clock.advance(self.takes)
        return await FakeBot.read(self)


@dataclass(slots=True)
class SlowTrading(FakeTrading):
    """Each action lasts `lasts` seconds; `ages`: of the newest snapshot, when one is asked for."""

    rig: Rig | None = None
    lasts: float = 0.0
    ages: list[float] | None = None

    async def cancel(self, *, symbol: str, order_id: str, conditional: bool, stamp: Stamp) -> None:
        self._note()
        await FakeTrading.cancel(self, symbol=symbol, order_id=order_id, conditional=conditional, stamp=stamp)
        self._pass()

    async def place(self, order: NewOrder, stamp: Stamp) -> Order:
        self._note()
        placed = await FakeTrading.place(self, order, stamp)
        self._pass()
        return placed

    def _note(self) -> None:
        assert self.rig is not None
        assert self.rig.state.snapshot is not None
        assert self.ages is not None
        self.ages.append((self.rig.clock.now_ms() - self.rig.state.snapshot.timestamp) / 1000)

    def _pass(self) -> None:
        assert self.rig is not None
        self.rig.clock.advance(self.lasts)


@dataclass(slots=True)
class OtherAccount(FakeTrading):
    """The key is of an account that holds nothing."""

    async def held(self, symbol: str, leg: PositionSide) -> Decimal:
        del symbol, leg
        return Decimal(0)


@dataclass(slots=True)
class BlindTrading(FakeTrading):
    """The key may not read positions, or the exchange does not answer."""

    async def held(self, symbol: str, leg: PositionSide) -> Decimal:
        del symbol, leg
        raise NotSent("the exchange did not tell the position")


# --- each answer to each kind of action ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "state", "arrived"),
    [
        (NotSent("the connection could not be made"), EXPIRED, 0),
        (Refused("the exchange said no"), EXPIRED, 1),
        (OutcomeUnknown("the answer was lost"), DONE, 1),
        (None, DONE, 1),
    ],
    ids=["not sent", "refused", "unknown", "done"],
)
async def test_a_cancel_ends_as_the_order_says(answer: ActionError | None, state: IntentState, arrived: int) -> None:
    rig = Rig()
    order = await rig.lose()
    first = (await rig.reach(Phase.READY)).name
    rig.trading.script.append(answer)
    await rig.until(lambda: not rig.plans.stored[first].open)
    assert [intent.state for intent in rig.plans.stored[first].intents] == [state]
    assert rig.sent == [order.id] * arrived
    assert ((BTC, order.id) in rig.exchange.orders) is (state is EXPIRED)


@pytest.mark.parametrize(
    ("answer", "state", "arrived"),
    [
        (NotSent("the connection could not be made"), EXPIRED, 0),
        (Refused("the margin does not suffice"), REFUSED, 1),
        (OutcomeUnknown("the answer was lost"), DONE, 1),
        (None, DONE, 1),
    ],
    ids=["not sent", "refused", "unknown", "done"],
)
async def test_a_flatten_ends_as_the_exchange_says(
    answer: ActionError | None, state: IntentState, arrived: int
) -> None:
    rig = Rig()
    await rig.strand()
    first = (await rig.reach(Phase.READY)).name
    rig.trading.script.append(answer)
    await rig.until(lambda: not rig.plans.stored[first].open)
    assert [intent.state for intent in rig.plans.stored[first].intents] == [state]
    assert len(rig.sent) == arrived
    assert rig.held == (0 if state is DONE else 5)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (NotSent("the connection could not be made"), EXPIRED),
        (Refused("the belief has changed"), REFUSED),
        (OutcomeUnknown("the answer was lost"), EXPIRED),
        (None, DONE),
    ],
    ids=["not sent", "refused", "unknown", "done"],
)
async def test_a_repair_ends_as_the_bot_says(answer: ActionError | None, state: IntentState) -> None:
    rig = Rig(PAUSE, repairs=True)
    await rig.settle()
    rig.exchange.hold(BTC, "5")
    assert rig.repairs is not None
    rig.repairs.script.append(answer)
    await rig.until(lambda: rig.stored and not rig.stored[0].open)
    assert [intent.state for intent in rig.stored[0].intents] == [state]
    assert Source.UNKNOWN_OUTCOME not in rig.state.holds
    await rig.cycles(300)
    assert not rig.state.tracks, "it is judged anew, and told again"


@pytest.mark.parametrize("answer", [NotSent("not made"), Refused("no")], ids=["not sent", "refused"])
async def test_what_failed_is_not_tried_alone_again_within_the_hour(answer: ActionError) -> None:
    rig = Rig()
    await rig.strand()
    await rig.reach(Phase.READY)
    rig.trading.script.append(answer)
    await rig.until(lambda: rig.told)
    arrived = len(rig.sent)
    await rig.cycles(600)
    assert len(rig.sent) == arrived
    assert rig.last.phase is Phase.PENDING
    assert "within the hour" in rig.last.approval


async def test_after_an_hour_it_is_tried_alone_again() -> None:
    rig = Rig()
    await rig.strand()
    await rig.reach(Phase.READY)
    rig.trading.script.append(Refused("no"))
    await rig.until(lambda: rig.told)
    await rig.cycles(HOUR * 1.5)
    assert rig.held == 0


async def test_nothing_more_is_sent_once_one_outcome_is_not_known() -> None:
    rig = Rig()
    await rig.lose("bot_a")
    rig.exchange.place(BTC, client_id="bot_b")
    plan = await rig.send(OutcomeUnknown("the answer was lost"))
    assert len(plan.actions) == 2
    (intent, rest) = plan.intents
    assert rest.state is IntentState.PLANNED
    while rig.clock.now_ms() + 1000 < intent.settles_at:
        await rig.cycle(1)
        assert len(rig.sent) == 1
    await rig.reach(Phase.DONE)
    assert len(rig.sent) == 2


# --- the key ---------------------------------------------------------------------------------------------------------


async def test_a_trade_key_that_can_not_be_read_makes_one_plan_and_then_one_that_asks_a_person() -> None:
    rig = Rig()
    await rig.lose()
    rig.locked = ConfigurationError(Reason.SECRET_NOT_LABELLED, "Secret exchange-trade is not labelled")
    await rig.cycles(HOUR * 0.9)
    alone = [plan for plan in rig.stored if not plan.approval]
    asking = [plan for plan in rig.stored if plan.approval]
    assert [plan.phase for plan in alone] == [Phase.REFUSED]
    assert "exchange-trade is not labelled" in alone[0].message
    assert len(asking) <= HOUR / ENFORCE.remedies.expires_after
    assert len(rig.told) == 1
    assert not rig.sent


async def test_what_never_left_counts_for_no_limit() -> None:
    rig = Rig()
    await rig.lose()
    rig.locked = ConfigurationError(Reason.SECRET_NOT_LABELLED, "Secret exchange-trade is not labelled")
    await rig.until(lambda: rig.told)
    await rig.cycle()
    assert not rig.now.past.left


async def test_a_trade_key_of_another_account_closes_nothing_and_says_so() -> None:
    rig = Rig()
    await rig.strand()
    rig.trading = OtherAccount(rig.exchange)
    await rig.cycles(60)
    assert not rig.sent
    assert "another account" in rig.now.blocked
    assert rig.held == 5
    rig.trading = FakeTrading(rig.exchange)
    await rig.reach(Phase.DONE)
    assert rig.held == 0


async def test_a_trade_key_that_sees_no_position_closes_nothing_and_says_so() -> None:
    rig = Rig()
    await rig.strand()
    rig.trading = BlindTrading(rig.exchange)
    await rig.cycles(60)
    assert not rig.sent
    assert rig.now.blocked == "the exchange did not tell the position"


async def test_the_key_is_forgotten_after_each_step() -> None:
    rig = Rig()
    await rig.lose()
    await rig.until(lambda: rig.sent)
    assert rig.trading.closed


# --- the time --------------------------------------------------------------------------------------------------------


async def test_nothing_is_sent_on_a_snapshot_older_than_ten_seconds() -> None:
    rig = Rig(remedying(limits=LIMITS))
    await rig.strand()
    for number in range(6):
        rig.exchange.place(BTC, client_id=f"bot_{number}", price="9")
    slow = SlowTrading(rig.exchange, rig=rig, lasts=4.0, ages=[])
    rig.trading = slow
    await rig.reach(Phase.DONE)
    assert slow.ages is not None
    assert len(slow.ages) == 7
    assert max(slow.ages) <= 10
    assert rig.held == 0


async def test_a_slow_bot_does_not_make_actions_late() -> None:
    rig = Rig()
    await rig.lose()
    rig.bot = SlowBot(rig.bot.state, clock=rig.clock, takes=6.0)
    await rig.until(lambda: rig.sent)
    (_, stamp) = rig.trading.sent[0]
    assert stamp.timestamp == rig.clock.now_ms()
    await rig.reach(Phase.DONE)
    assert rig.states == [DONE]


async def test_the_stamp_is_by_the_clock_of_the_exchange() -> None:
    rig = Rig()
    await rig.settle()
    rig.exchange.clock = BehindClock(rig.clock, 3000)
    rig.clock.advance(15)
    await rig.lose()
    await rig.until(lambda: rig.sent)
    ((_, stamp),) = rig.trading.sent
    assert stamp.timestamp == rig.clock.now_ms() - 3000


async def test_the_limits_of_an_hour_hold_over_all_plans() -> None:
    rig = Rig(remedying(limits=replace(LIMITS, actions_per_hour=1)))
    await rig.lose("bot_a")
    await rig.reach(Phase.DONE)
    rig.exchange.place(BTC, client_id="bot_b")
    await rig.cycles(120)
    assert len(rig.sent) == 1
    assert "actionsPerHour" in rig.now.course.refusal
    await rig.cycles(HOUR)
    assert len(rig.sent) == 2

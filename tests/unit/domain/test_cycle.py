"""One cycle over the ports: what fails, what is asked, what is remembered."""

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest
from tests.support.fakes import BTC, ETH, START_MS, FakeBot, FakeExchange, ManualClock, tracked, truth

from accountsync.cycle import Cycle, State, idle, run
from accountsync.domain.account import AccountSnapshot, Order, OrderStatus, PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.decide import Wishes
from accountsync.domain.expected import ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Source
from accountsync.domain.policy import Ignore, Mode, Policy, Watchdog
from accountsync.errors import AccountSyncError, BeliefUnobserved, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.inquire import MAX_QUESTIONS
from accountsync.observe import Failure

NET = PositionSide.NET
UNREACHABLE = ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, "no route", retry_after=7.0)
MUTE = BeliefUnobserved(Reason.BOT_UNREACHABLE, "no route")
NO_SECRET = ConfigurationError(Reason.SECRET_NOT_FOUND, "no such Secret")
HOUR = 3600.0


@dataclass
class Desk:
    """An account, its bot, and all that is remembered of them from cycle to cycle."""

    policy: Policy = field(default_factory=lambda: Policy(mode=Mode.PAUSE, confirmations=2, timeout=HOUR))
    clock: ManualClock = field(default_factory=ManualClock)
    state: State = field(default_factory=State)
    since: float = 1000.0

    def __post_init__(self) -> None:
        self.exchange = FakeExchange(self.clock)
        self.bot = FakeBot(ExpectedState(START_MS, positions=(), orders=(), balances=()))

    def learn(self, **sections: tuple[ExpectedOrder, ...] | tuple[ExpectedPosition, ...]) -> None:
        """The bot publishes the truth of now, but for `sections`."""
        self.bot.state = replace(truth(self.exchange, self.clock.now_ms()), **sections)  # type: ignore[arg-type]

    @property
    def orders(self) -> tuple[ExpectedOrder, ...]:
        """Those that the bot believes in."""
        return self.bot.state.orders or ()

    @property
    def positions(self) -> tuple[ExpectedPosition, ...]:
        return self.bot.state.positions or ()

    def refresh(self) -> None:
        """The bot publishes what it believed before, as of now."""
        self.bot.state = replace(self.bot.state, as_of=self.clock.now_ms())

    async def cycle(self, after: float = 0.0, wishes: Wishes | None = None) -> Cycle:
        self.clock.advance(after)
        if after:
            self.refresh()
        made = await run(
            self.state, self.policy, wishes or Wishes(), self.exchange, self.bot, self.clock, since=self.since
        )
        self.state = made.state
        return made

    async def until_confirmed(self, rule: Rule) -> Cycle:
        """At most four cycles, six seconds apart."""
        for _ in range(4):
            made = await self.cycle(6)
            if any(finding.rule is rule for finding in made.outcome.confirmed):
                return made
        raise AssertionError(f"{rule} was not confirmed: {dict(made.state.tracks)}")


@pytest.fixture
def desk() -> Desk:
    """A bot that knows its one order and its one position."""
    desk = Desk()
    desk.exchange.place(client_id="bot_1")
    desk.exchange.hold(BTC, "0.5")
    desk.learn()
    return desk


def orphan_of(cycle: Cycle) -> list[str]:
    return [track.finding.id for track in cycle.state.tracks.values() if track.finding.rule is Rule.UNEXPECTED_ORDER]


def unknown(symbol: str) -> ExpectedOrder:
    return ExpectedOrder(symbol, id="77")


# --- both sides ---------------------------------------------------------------------------------------------------


async def test_two_sides_that_agree_make_a_complete_cycle(desk: Desk) -> None:
    made = await desk.cycle()
    assert (made.accepted, made.complete, made.exchange, made.bot) == (True, True, None, None)
    assert made.state.tracks == {}
    assert (made.state.timestamp, made.state.good_at, made.state.judged_at) == (START_MS, 1000.0, 1000.0)
    assert desk.exchange.asked == []


async def test_an_exchange_that_fails_is_a_failure_and_nothing_moves(desk: Desk) -> None:
    before = (await desk.cycle()).state
    desk.exchange.script.append(UNREACHABLE)
    made = await desk.cycle(6)
    assert made.exchange == Failure(Reason.EXCHANGE_UNREACHABLE, "no route", permanent=False, retry_after=7.0)
    assert (made.bot, made.accepted, made.complete) == (None, False, False)
    assert made.state == before


async def test_a_bot_that_fails_leaves_the_snapshot_good_and_the_cycle_incomplete(desk: Desk) -> None:
    desk.bot.script.append(MUTE)
    made = await desk.cycle()
    assert made.bot == Failure(Reason.BOT_UNREACHABLE, "no route")
    assert (made.exchange, made.accepted, made.complete) == (None, True, False)
    assert made.state.judged_at is None


async def test_both_sides_may_fail_at_once(desk: Desk) -> None:
    desk.exchange.script.append(UNREACHABLE)
    desk.bot.script.append(MUTE)
    made = await desk.cycle()
    assert made.exchange is not None
    assert made.bot is not None
    assert not made.accepted
    assert made.state == State()


@pytest.mark.parametrize("side", ["exchange", "bot"])
async def test_a_fault_of_configuration_is_permanent(desk: Desk, side: str) -> None:
    script = desk.exchange.script if side == "exchange" else desk.bot.script
    script.append(NO_SECRET)
    made = await desk.cycle()
    assert (made.exchange if side == "exchange" else made.bot) == Failure(
        Reason.SECRET_NOT_FOUND, "no such Secret", permanent=True
    )


@pytest.mark.parametrize("slow", [{"exchange"}, {"bot"}, {"exchange", "bot"}])
async def test_a_side_that_does_not_answer_in_time_is_a_failure_of_its_own(desk: Desk, slow: set[str]) -> None:
    desk.policy = replace(desk.policy, timeout=0.02)
    if "exchange" in slow:
        desk.exchange.script.append(HOUR)
    if "bot" in slow:
        desk.bot.script.append(HOUR)
    made = await desk.cycle()
    assert (made.exchange.reason if made.exchange else None) == (
        Reason.EXCHANGE_TIMEOUT if "exchange" in slow else None
    )
    assert (made.bot.reason if made.bot else None) == (Reason.BOT_TIMEOUT if "bot" in slow else None)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("failure", [UNREACHABLE, MUTE])
async def test_a_side_that_fails_neither_shows_nor_clears_a_finding(desk: Desk, failure: AccountSyncError) -> None:
    desk.learn(positions=())
    await desk.until_confirmed(Rule.POSITION_MISMATCH)
    before = dict(desk.state.tracks)
    desk.learn()
    (desk.exchange.script if failure is UNREACHABLE else desk.bot.script).append(failure)
    made = await desk.cycle(6)
    assert made.state.tracks == before
    assert (made.outcome.confirmed, made.outcome.resolved) == ((), ())
    assert (await desk.cycle(6)).outcome.resolved


async def test_a_doubted_belief_is_a_failure_with_its_own_reason(desk: Desk) -> None:
    await desk.cycle()
    for fields, reason in (
        ({"ready": False}, Reason.BOT_NOT_READY),
        ({"as_of": START_MS - 1}, Reason.STATE_REGRESSED),
        ({"as_of": START_MS - 10**6}, Reason.STATE_STALE),
        ({"as_of": START_MS + 10**6}, Reason.STATE_IN_FUTURE),
        ({"positions": (), "orders": ()}, Reason.STATE_EMPTIED),
    ):
        desk.learn()
        desk.bot.state = replace(desk.bot.state, **fields)
        made = await desk.cycle()
        assert made.bot is not None
        assert (made.bot.reason, made.bot.permanent, made.complete) == (reason, False, False)


async def test_a_bot_that_boots_anew_is_held_until_it_is_judged(desk: Desk) -> None:
    await desk.cycle()
    desk.learn(positions=())
    desk.bot.state = replace(desk.bot.state, boot_id="another")
    assert set((await desk.cycle(6)).state.holds) == {Source.STARTUP}
    desk.learn()
    desk.bot.state = replace(desk.bot.state, boot_id="another")
    assert (await desk.cycle(6)).state.holds == {}


# --- snapshots that go back ---------------------------------------------------------------------------------------


async def test_a_snapshot_that_went_back_is_refused_and_nothing_else_moves(desk: Desk) -> None:
    desk.learn(positions=())
    await desk.until_confirmed(Rule.POSITION_MISMATCH)
    before = desk.state
    desk.clock.wall -= 1000
    desk.learn()
    made = await desk.cycle()
    assert [finding.rule for finding in made.outcome.confirmed] == [Rule.TIMESTAMP_REGRESSION]
    assert made.exchange is not None
    assert (made.exchange.reason, made.accepted, made.complete) == (Reason.SNAPSHOT_REFUSED, False, False)
    assert made.outcome.resolved == ()
    assert (made.state.timestamp, made.state.snapshot, made.state.good_at) == (
        before.timestamp,
        before.snapshot,
        before.good_at,
    )
    assert before.tracks.items() <= made.state.tracks.items()


async def test_the_next_good_snapshot_resolves_the_regression(desk: Desk) -> None:
    await desk.cycle()
    desk.clock.wall -= 1000
    await desk.cycle()
    desk.clock.wall += 2000
    desk.learn()
    made = await desk.cycle()
    assert [finding.rule for finding in made.outcome.resolved] == [Rule.TIMESTAMP_REGRESSION]
    assert made.accepted


async def test_a_snapshot_that_is_no_newer_is_judged_and_completes_nothing(desk: Desk) -> None:
    await desk.cycle()
    desk.clock.seconds += 6
    desk.exchange.place(client_id="other")
    made = await desk.cycle()
    assert (made.accepted, made.complete) == (True, False)
    assert (made.state.good_at, made.state.judged_at) == (1000.0, 1000.0)
    assert orphan_of(made) == ["2"]


async def test_an_object_that_went_back_unsettles_its_symbol_this_once(desk: Desk) -> None:
    desk.clock.advance(10)
    (key,) = desk.exchange.orders
    new = desk.exchange.orders[key]
    desk.exchange.orders[key] = replace(new, filled=Decimal("0.5"), updated=desk.clock.now_ms())
    desk.learn()
    await desk.cycle()
    desk.exchange.orders[key] = new
    made = await desk.cycle(6)
    assert made.state.tracks == {}
    assert made.state.snapshot is not None
    assert made.state.snapshot.unsettled == {BTC}
    assert (await desk.cycle(6)).state.tracks == {}, "it is still older than when it was last seen"


async def test_a_position_that_returns_older_than_its_absence_is_unknown_once(desk: Desk) -> None:
    await desk.cycle()
    held = dict(desk.exchange.positions)
    desk.exchange.positions.clear()
    desk.learn()
    await desk.cycle(6)
    desk.exchange.positions.update(held)
    assert (await desk.cycle(6)).state.tracks == {}
    made = await desk.cycle(6)
    assert [track.finding.rule for track in made.state.tracks.values()] == [Rule.POSITION_MISMATCH]


# --- asking for orders --------------------------------------------------------------------------------------------


async def test_a_tracked_order_that_the_list_lacks_is_asked_for(desk: Desk) -> None:
    order = desk.exchange.orders[BTC, "1"]
    desk.exchange.end(order)
    made = await desk.cycle(1)
    assert desk.exchange.asked == [(BTC, "1", "")]
    assert [track.finding.rule for track in made.state.tracks.values()] == [Rule.MISSING_ORDER]


async def test_a_terminal_answer_is_kept_while_it_is_tracked_and_is_asked_for_once(desk: Desk) -> None:
    desk.exchange.end(desk.exchange.orders[BTC, "1"])
    await desk.until_confirmed(Rule.MISSING_ORDER)
    assert desk.exchange.asked == [(BTC, "1", "")]
    assert len(desk.state.answers) == 1
    desk.learn()
    made = await desk.cycle()
    made = await desk.cycle(6)
    assert made.state.answers == {}


async def test_no_such_order_is_asked_anew_each_time(desk: Desk) -> None:
    desk.learn(orders=(*desk.orders, unknown(BTC)))
    await desk.until_confirmed(Rule.MISSING_ORDER)
    assert len(desk.exchange.asked) > 1
    assert desk.state.answers == {}


async def test_a_question_that_fails_leaves_its_order_unknown(desk: Desk) -> None:
    desk.exchange.end(desk.exchange.orders[BTC, "1"])
    desk.exchange.script.extend([None, UNREACHABLE])
    made = await desk.cycle()
    assert made.complete
    assert made.exchange is None
    assert made.state.tracks == {}


async def test_a_question_that_hangs_is_bounded_too(desk: Desk) -> None:
    desk.policy = replace(desk.policy, timeout=0.05)
    desk.exchange.end(desk.exchange.orders[BTC, "1"])
    desk.exchange.script.extend([None, HOUR])
    made = await desk.cycle()
    assert made.accepted
    assert made.state.tracks == {}
    assert len(asyncio.all_tasks()) == 1


async def test_what_other_questions_answered_counts_though_one_hangs(desk: Desk) -> None:
    desk.policy = replace(desk.policy, timeout=0.05)
    desk.learn(orders=(*desk.orders, unknown(BTC), unknown(ETH)))
    desk.exchange.script.extend([None, HOUR])
    made = await desk.cycle()
    assert [track.finding.rule for track in made.state.tracks.values()] == [Rule.MISSING_ORDER]


async def test_an_untracked_order_is_confirmed_only_on_the_exchanges_word(desk: Desk) -> None:
    desk.exchange.place(client_id="other")
    made = await desk.until_confirmed(Rule.UNEXPECTED_ORDER)
    assert [finding.id for finding in made.outcome.confirmed] == ["2"]
    assert desk.exchange.asked == [(BTC, "2", "")]


async def test_an_untracked_order_is_not_confirmed_while_its_question_fails(desk: Desk) -> None:
    desk.exchange.place(client_id="other")
    await desk.cycle(6)
    for _ in range(5):
        desk.exchange.script.extend([None, UNREACHABLE])
        made = await desk.cycle(6)
        desk.exchange.script.clear()
        assert not made.outcome.confirmed


async def test_an_order_that_left_the_list_is_resolved_only_on_the_exchanges_word(desk: Desk) -> None:
    other = desk.exchange.place(client_id="other")
    await desk.until_confirmed(Rule.UNEXPECTED_ORDER)
    row = desk.exchange.orders.pop((BTC, other.id))
    desk.exchange.script.extend([None, UNREACHABLE])
    assert not (await desk.cycle(6)).outcome.resolved
    desk.exchange.end(row)
    assert [finding.id for finding in (await desk.cycle(6)).outcome.resolved] == [other.id]


async def test_so_many_questions_are_asked_and_all_get_their_turn(desk: Desk) -> None:
    lost = tuple(ExpectedOrder(BTC, id=str(number)) for number in range(100, 100 + 2 * MAX_QUESTIONS))
    desk.learn(orders=(*desk.orders, *lost))
    told: set[str] = set()
    for _ in range(10):
        asked = len(desk.exchange.asked)
        made = await desk.cycle(6)
        assert len(desk.exchange.asked) - asked <= MAX_QUESTIONS
        told |= {finding.id for finding in made.outcome.confirmed}
    assert told == {order.id for order in lost}


# --- symbols ------------------------------------------------------------------------------------------------------


async def test_a_bot_may_write_symbols_as_the_exchange_does(desk: Desk) -> None:
    state = desk.bot.state
    desk.bot.state = replace(
        state,
        positions=tuple(replace(row, symbol="BTCUSDT") for row in desk.positions),
        orders=tuple(replace(row, symbol="BTCUSDT") for row in desk.orders),
    )
    made = await desk.cycle()
    assert (made.complete, made.state.tracks) == (True, {})


@pytest.mark.parametrize("section", ["positions", "orders"])
async def test_a_symbol_that_the_exchange_does_not_list_is_malformed(desk: Desk, section: str) -> None:
    if section == "positions":
        desk.learn(positions=(ExpectedPosition("NOPE", NET, Decimal(1)),))
    else:
        desk.learn(orders=(tracked(desk.exchange.orders[BTC, "1"]), unknown("NOPE")))
    made = await desk.cycle()
    assert made.bot is not None
    assert made.bot.reason is Reason.STATE_MALFORMED
    assert f"{section}[{0 if section == 'positions' else 1}].symbol" in made.bot.message
    assert "NOPE" not in made.bot.message
    assert (made.accepted, made.complete, made.state.belief.as_of) == (True, False, None)


async def test_a_flat_position_of_a_symbol_that_is_gone_is_dropped(desk: Desk) -> None:
    desk.learn(positions=(*desk.positions, ExpectedPosition("GONE", NET, Decimal("-0.0"))))
    made = await desk.cycle()
    assert (made.complete, made.bot, made.state.tracks) == (True, None, {})


async def test_one_position_in_two_spellings_is_malformed(desk: Desk) -> None:
    desk.learn(positions=(ExpectedPosition(BTC, NET, Decimal("0.5")), ExpectedPosition("BTCUSDT", NET, Decimal(0))))
    made = await desk.cycle()
    assert made.bot is not None
    assert made.bot.reason is Reason.STATE_MALFORMED
    assert "two spellings" in made.bot.message


async def test_two_legs_in_two_spellings_are_two_positions(desk: Desk) -> None:
    desk.exchange.positions.clear()
    desk.exchange.hold(BTC, "1", PositionSide.LONG)
    desk.exchange.hold(BTC, "2", PositionSide.SHORT)
    legs = (
        ExpectedPosition(BTC, PositionSide.LONG, Decimal(1)),
        ExpectedPosition("BTCUSDT", PositionSide.SHORT, Decimal(2)),
    )
    desk.learn(positions=legs)
    made = await desk.cycle()
    assert (made.complete, made.state.tracks) == (True, {})


async def test_the_scope_may_be_written_as_the_exchange_does(desk: Desk) -> None:
    desk.policy = replace(desk.policy, symbols=("ETHUSDT",))
    desk.exchange.place(ETH, client_id="other")
    made = await desk.cycle()
    assert made.complete
    assert [track.finding.symbol for track in made.state.tracks.values()] == [ETH]
    assert desk.exchange.asked == [], "the bot's order of the other symbol is none of ours"


async def test_a_scope_that_the_exchange_does_not_list_is_the_resources_fault(desk: Desk) -> None:
    desk.policy = replace(desk.policy, symbols=("NOPE",))
    made = await desk.cycle()
    assert made.exchange is not None
    assert (made.exchange.reason, made.exchange.permanent) == (Reason.UNKNOWN_SYMBOL, True)


async def test_a_scope_that_was_delisted_since_it_was_read_is_the_resources_fault(desk: Desk) -> None:
    class Delisting(FakeExchange):
        async def snapshot(self, symbols: object = ()) -> AccountSnapshot:
            del symbols
            return await super().snapshot()

    exchange = Delisting(desk.clock)
    policy = replace(desk.policy, symbols=("NOPE",))
    desk.bot.state = ExpectedState(START_MS, positions=(), orders=())
    made = await run(State(), policy, Wishes(), exchange, desk.bot, desk.clock, since=0)
    assert made.exchange is not None
    assert (made.exchange.reason, made.exchange.permanent) == (Reason.UNKNOWN_SYMBOL, True)
    assert not made.accepted


# --- ends of a cycle ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["reading", "asking"])
async def test_a_cancelled_cycle_leaves_no_task_behind(desk: Desk, where: str) -> None:
    if where == "reading":
        desk.exchange.script.append(HOUR)
        desk.bot.script.append(HOUR)
    else:
        desk.learn(orders=(*desk.orders, unknown(BTC), unknown(ETH)))
        desk.exchange.script.extend([None, HOUR, HOUR])
    before = asyncio.all_tasks()
    task = asyncio.create_task(desk.cycle())
    async with asyncio.timeout(10):
        while desk.exchange.script or desk.bot.script:  # noqa: ASYNC110 - an empty script is the only sign
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


async def test_a_fault_of_ours_is_not_taken_for_a_failure_of_a_side(desk: Desk) -> None:
    class Broken:
        async def read(self) -> ExpectedState:
            raise ZeroDivisionError

    before = asyncio.all_tasks()
    desk.exchange.script.append(HOUR)
    with pytest.raises(ExceptionGroup) as caught:
        await run(desk.state, desk.policy, Wishes(), desk.exchange, Broken(), desk.clock, since=0)
    assert caught.group_contains(ZeroDivisionError)
    assert asyncio.all_tasks() == before


# --- without a good snapshot --------------------------------------------------------------------------------------


async def failing(desk: Desk, after: float) -> set[Source]:
    desk.exchange.script.append(UNREACHABLE)
    return set((await desk.cycle(after)).state.holds)


async def test_an_account_without_a_good_snapshot_is_held_once_it_is_over_the_limit(desk: Desk) -> None:
    await desk.cycle()
    assert await failing(desk, desk.policy.stale_after) == set()
    assert await failing(desk, 0.001) == {Source.STALE}
    assert (await desk.cycle(1)).state.holds == {}


async def test_before_the_first_snapshot_it_is_aged_from_since(desk: Desk) -> None:
    desk.since = 1000.0 - desk.policy.stale_after
    assert await failing(desk, 0) == set()
    assert await failing(desk, 0.001) == {Source.STALE}


async def test_a_later_since_makes_an_old_snapshot_young(desk: Desk) -> None:
    await desk.cycle()
    desk.since = 1000.0 + HOUR
    assert await failing(desk, HOUR + desk.policy.stale_after) == set()
    assert await failing(desk, 0.001) == {Source.STALE}


async def test_a_jump_of_the_wall_clock_makes_nothing_stale(desk: Desk) -> None:
    await desk.cycle()
    desk.clock.wall += 10**9
    assert await failing(desk, 1) == set()


async def test_snapshots_that_are_no_newer_do_not_keep_the_account_fresh(desk: Desk) -> None:
    await desk.cycle()
    desk.clock.seconds += desk.policy.stale_after + 1
    assert set((await desk.cycle()).state.holds) == {Source.STALE}


async def test_an_observer_holds_nothing_when_it_is_stale(desk: Desk) -> None:
    desk.policy = replace(desk.policy, mode=Mode.OBSERVE)
    assert await failing(desk, HOUR) == set()


# --- holds --------------------------------------------------------------------------------------------------------


async def test_a_new_account_is_held_until_a_complete_cycle_found_it_clean(desk: Desk) -> None:
    desk.state = State(created=True)
    desk.bot.script.append(MUTE)
    assert set((await desk.cycle()).state.holds) == {Source.STARTUP}
    assert (await desk.cycle(6)).state.holds == {}


async def test_a_confirmed_mismatch_pauses_the_bot(desk: Desk) -> None:
    desk.learn(positions=())
    made = await desk.until_confirmed(Rule.POSITION_MISMATCH)
    assert set(made.state.holds) == {Source.POLICY}
    assert [transition.source for transition in made.decision.transitions] == [Source.POLICY]


async def test_an_idle_cycle_asks_nobody_and_follows_people(desk: Desk) -> None:
    made = idle(desk.state, desk.policy, Wishes(paused=True, pause_reason="lunch"), desk.clock)
    assert made.state.holds[Source.USER].message == "lunch"
    assert (desk.exchange.snapshots, made.accepted, made.complete) == (0, False, False)


async def test_a_divergence_is_confirmed_against_the_order_itself_and_not_against_a_stale_list(desk: Desk) -> None:
    """The list stays behind for good; asked by id, the exchange says what the bot believes."""

    class Lagging(FakeExchange):
        async def find_order(
            self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
        ) -> Order | None:
            found = await super().find_order(
                symbol=symbol, order_id=order_id, client_id=client_id, conditional=conditional
            )
            return None if found is None else replace(found, filled=Decimal("0.5"))

    desk.exchange = Lagging(desk.clock)
    order = desk.exchange.place(client_id="bot_1")
    desk.learn(orders=(replace(tracked(order), filled=Decimal("0.5")),))
    for _ in range(6):
        assert not (await desk.cycle(6)).outcome.confirmed
    assert desk.exchange.asked


@pytest.mark.parametrize("status", [OrderStatus.FILLED, OrderStatus.CANCELED])
async def test_a_terminal_belief_of_an_open_order_is_confirmed(desk: Desk, status: OrderStatus) -> None:
    desk.learn(orders=(replace(tracked(desk.exchange.orders[BTC, "1"]), status=status),))
    made = await desk.until_confirmed(Rule.ORDER_DIVERGENCE)
    assert made.outcome.confirmed[0].expected == f"status {status}"


class Ghosts(FakeExchange):
    """Lists orders that it denies when asked for them: those numbered below 5."""

    __slots__ = ()

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        found = await FakeExchange.find_order(
            self, symbol=symbol, order_id=order_id, client_id=client_id, conditional=conditional
        )
        return None if order_id < "5" else found


async def test_orders_that_cannot_be_proven_do_not_keep_others_from_their_turn() -> None:
    desk = Desk()
    desk.exchange = Ghosts(desk.clock)
    for number in range(41):
        desk.exchange.place(client_id=f"x{number}")
    desk.bot.state = ExpectedState(START_MS, orders=(ExpectedOrder(BTC, id="500"),))
    told: set[str] = set()
    for _ in range(20):
        told |= {finding.id for finding in (await desk.cycle(6)).outcome.confirmed}
    assert {"5", "6", "7", "8", "9", "500"} <= told


# --- what a difference is worth ------------------------------------------------------------------------------------


async def ghost(desk: Desk) -> Cycle:
    """The position was closed, and the bot believes in it."""
    desk.exchange.marks[BTC] = Decimal(60_000)
    await desk.cycle(6)
    desk.exchange.hold(BTC, "0")
    desk.exchange.marks.clear()  # exchanges tell the mark of what is held
    return await desk.until_confirmed(Rule.POSITION_MISMATCH)


class AnySymbol(FakeExchange):
    """Lists every symbol."""

    __slots__ = ()

    def canonical_symbol(self, text: str) -> str:
        return text


def the_position(cycle: Cycle) -> Finding:
    (found,) = [t.finding for t in cycle.state.tracks.values() if t.finding.rule is Rule.POSITION_MISMATCH]
    return found


async def test_a_position_that_was_closed_is_valued_at_its_mark_of_the_last_minute(desk: Desk) -> None:
    found = the_position(await ghost(desk))
    assert (found.notional, found.priced) == (Decimal(30_000), True)


async def test_a_mark_of_more_than_a_minute_ago_says_how_much_it_was_and_is_no_price(desk: Desk) -> None:
    await ghost(desk)
    for _ in range(3):
        found = the_position(await desk.cycle(61))
        assert (found.notional, found.priced) == (Decimal(30_000), False)


async def test_a_mark_that_grew_old_is_asked_for_as_long_as_the_ghost_stands(desk: Desk) -> None:
    await ghost(desk)
    desk.exchange.quotes[BTC] = Decimal(64_000)
    for after in (61, 3600):
        found = the_position(await desk.cycle(after))
        assert (found.notional, found.priced) == (Decimal(32_000), True)
    await desk.cycle(6)
    assert set(desk.exchange.quoted) == {BTC}
    assert len(desk.exchange.quoted) == 2, "the answer counts for a while"
    desk.learn()
    await desk.cycle(61)
    await desk.cycle(61)
    assert len(desk.exchange.quoted) == 2, "nothing differs"
    assert desk.state.marks == {}


async def test_a_question_for_a_mark_without_an_answer_fails_no_cycle(desk: Desk) -> None:
    await ghost(desk)
    desk.exchange.quotes[BTC] = Decimal(64_000)
    desk.exchange.script.extend([None, ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now")])
    made = await desk.cycle(61)
    assert (made.complete, made.exchange, desk.exchange.quoted) == (True, None, [BTC])
    assert (the_position(made).notional, the_position(made).priced) == (Decimal(30_000), False)
    assert the_position(await desk.cycle(6)).priced


async def test_a_difference_is_priced_when_it_is_first_seen(desk: Desk) -> None:
    desk.exchange.quotes[BTC] = Decimal(64_000)
    desk.exchange.hold(BTC, "0")
    found = the_position(await desk.cycle(6))
    assert (found.notional, found.priced, desk.exchange.quoted) == (Decimal(32_000), True, [BTC])


async def test_marks_are_asked_for_in_turn(desk: Desk) -> None:
    desk.exchange = AnySymbol(desk.clock)
    desk.bot.state = ExpectedState(
        START_MS, positions=tuple(ExpectedPosition(f"S{number}", NET, Decimal(1)) for number in range(50))
    )
    for turn in (1, 2, 3):
        await desk.cycle(6)
        assert len(desk.exchange.quoted) == turn * MAX_QUESTIONS
    assert len(set(desk.exchange.quoted)) == 50, "though none of them has one"


async def test_orders_are_valued_at_the_mark_as_the_position_that_they_lead_to(desk: Desk) -> None:
    desk.exchange.marks[BTC] = Decimal(60_000)
    desk.exchange.place(price="40000", quantity="0.25")
    made = await desk.until_confirmed(Rule.UNEXPECTED_ORDER)
    (found,) = [track.finding for track in made.state.tracks.values()]
    assert found.notional == Decimal(15_000)


async def test_without_a_mark_an_order_is_worth_its_own_price(desk: Desk) -> None:
    desk.exchange.place(price="40000", quantity="0.25")
    made = await desk.until_confirmed(Rule.UNEXPECTED_ORDER)
    (found,) = [track.finding for track in made.state.tracks.values()]
    assert (found.notional, found.priced) == (Decimal(10_000), True)


async def test_an_order_that_never_arrived_and_says_nothing_of_itself_has_no_price(desk: Desk) -> None:
    desk.learn(orders=(*truth(desk.exchange, 0).orders, unknown(BTC)))  # type: ignore[misc]
    made = await desk.until_confirmed(Rule.MISSING_ORDER)
    (found,) = [track.finding for track in made.state.tracks.values()]
    assert (found.notional, found.priced) == (Decimal(0), False)


async def test_the_watchdog_stops_a_bot_whose_ghost_has_no_price(desk: Desk) -> None:
    desk.policy = replace(desk.policy, pause_at=None, watchdog=Watchdog(Decimal(100_000), "USDT"))
    await ghost(desk)
    assert Source.WATCHDOG not in desk.state.holds, "30,000 of 100,000"
    made = await desk.cycle(61)
    assert made.state.holds[Source.WATCHDOG].message.startswith(
        f"there is only an old price for PositionMismatch {BTC}"
    )


async def test_what_people_ignore_is_at_nobodys_risk(desk: Desk) -> None:
    ignored = Ignore(Rule.POSITION_MISMATCH, until=START_MS + 86_400_000)
    watchdog = Watchdog(Decimal(1), "USDT")
    desk.policy = replace(desk.policy, pause_at=None, watchdog=watchdog, ignores=(ignored,))
    desk.exchange.marks[BTC] = Decimal(60_000)
    desk.exchange.hold(BTC, "0.7")
    for _ in range(5):
        await desk.cycle(6)
    assert Source.WATCHDOG not in desk.state.holds

"""A side that fails teaches nothing, whatever was remembered and however it fails."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fakes import BTC, ETH, START_MS, FakeBot, FakeExchange, ManualClock, truth

from accountsync.cycle import State, run
from accountsync.domain.account import AccountSnapshot, PositionSide
from accountsync.domain.catalogue import CATALOGUE
from accountsync.domain.decide import Wishes
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.holds import Source
from accountsync.domain.policy import Mode, Policy
from accountsync.errors import BeliefUnobserved, ConfigurationError, ExchangeUnobserved, Reason

POLICY = Policy(mode=Mode.PAUSE, timeout=0.001, order_id_prefix="grinder_")
EXCHANGE_FAILS = [
    ExchangeUnobserved(Reason.RATE_LIMITED, "too often", retry_after=60),
    ConfigurationError(Reason.SECRET_NOT_FOUND, "no Secret"),
    3600.0,
]
BOT_FAILS: list[BeliefUnobserved | float] = [BeliefUnobserved(Reason.BOT_UNREACHABLE, "no route"), 3600.0]
WRONG = ExpectedPosition(ETH, PositionSide.NET, Decimal(9))


class Account:
    """An account with an order, a position and a bot that may be wrong of both."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.exchange = FakeExchange(self.clock)
        self.order = self.exchange.place(client_id="grinder_1")
        self.exchange.hold(BTC, "1")
        self.bot = FakeBot(ExpectedState(START_MS))
        self.state = State()

    async def turn(self, *, wrong: bool, after: float) -> None:
        self.clock.advance(after)
        told = truth(self.exchange, self.clock.now_ms())
        self.bot.state = ExpectedState(told.as_of, "boot", positions=(WRONG,), orders=()) if wrong else told
        cycle = await run(self.state, POLICY, Wishes(), self.exchange, self.bot, self.clock, since=1000.0)
        self.state = cycle.state


@settings(deadline=None, max_examples=60)
@given(
    history=st.lists(st.tuples(st.booleans(), st.floats(0.5, 30)), max_size=5),
    exchange=st.none() | st.sampled_from(EXCHANGE_FAILS),
    bot=st.none() | st.sampled_from(BOT_FAILS),
    after=st.floats(0.5, 400),
)
def test_a_failure_changes_no_track_and_no_hold_but_stale(
    history: list[tuple[bool, float]],
    exchange: ExchangeUnobserved | ConfigurationError | float | None,
    bot: BeliefUnobserved | float | None,
    after: float,
) -> None:
    async def story() -> None:
        account = Account()
        for wrong, gap in history:
            await account.turn(wrong=wrong, after=gap)
        before = account.state
        if exchange is None and bot is None:
            return
        account.exchange.script.append(exchange)
        account.bot.script.append(bot)
        await account.turn(wrong=True, after=after)
        assert account.state.tracks == before.tracks
        assert account.state.acknowledged == before.acknowledged
        assert {**account.state.holds, Source.STALE: None} == {**before.holds, Source.STALE: None}
        assert account.state.judged_at == before.judged_at

    asyncio.run(story())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.5, 30), st.booleans()), max_size=12))
def test_only_complete_cycles_confirm_and_resolve_what_is_compared(moments: list[tuple[bool, float, bool]]) -> None:
    async def story() -> None:
        account = Account()
        for wrong, gap, mute in moments:
            before = account.state
            account.bot.script.append(BOT_FAILS[0] if mute else None)
            await account.turn(wrong=wrong, after=gap)
            now, then = (
                {
                    key
                    for key, track in state.tracks.items()
                    if track.confirmed and not CATALOGUE[track.finding.rule].at_once
                }
                for state in (account.state, before)
            )
            if mute:
                assert now == then
            if not wrong and not mute:
                assert not now

    asyncio.run(story())


class SlowExchange(FakeExchange):
    """Each reading takes nine seconds of the account's own clock."""

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        made = await FakeExchange.snapshot(self, symbols)
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(9)
        return made


@pytest.mark.parametrize(("after_the_reading", "counted"), [(4_999, 0), (5_000, 1)])
async def test_what_a_long_reading_saw_first_may_have_changed_at_its_end(after_the_reading: int, counted: int) -> None:
    clock = ManualClock()
    exchange = SlowExchange(clock)
    exchange.place(client_id="grinder_1")
    closed = replace(truth(exchange, START_MS), positions=(WRONG,))
    state = State()
    for as_of in (START_MS, START_MS + 9_000 + after_the_reading):
        bot = FakeBot(replace(closed, as_of=as_of))
        state = (await run(state, Policy(), Wishes(), exchange, bot, clock, since=1000.0)).state
        clock.advance(20)
    (track,) = state.tracks.values()
    assert track.count == counted


async def test_a_boot_that_begins_with_an_empty_belief_is_held_though_the_belief_is_doubted() -> None:
    account = Account()
    await account.turn(wrong=False, after=1)
    account.bot.state = ExpectedState(account.clock.now_ms(), "another boot", positions=(), orders=())
    cycle = await run(account.state, POLICY, Wishes(), account.exchange, account.bot, account.clock, since=1000.0)
    assert cycle.bot is not None
    assert cycle.bot.reason is Reason.STATE_EMPTIED
    assert Source.STARTUP in cycle.state.holds

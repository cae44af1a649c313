"""Cycles over an exchange that tells more than its lists, or less."""

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest
from tests.support.fakes import BTC, ETH, START_MS, FakeBot, FakeExchange, ManualClock, tracked, truth

from accountsync.cycle import INSIST_AFTER, Cycle, State, run
from accountsync.domain.account import Income, Order, Part, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.decide import Wishes
from accountsync.domain.expected import ExpectedOrder, ExpectedState
from accountsync.domain.policy import Ignore, Mode, Policy
from accountsync.errors import ExchangeUnobserved, Reason

NET = PositionSide.NET
POLICY = Policy(mode=Mode.PAUSE, order_id_prefix="bot_", timeout=3600.0)


@dataclass
class Desk:
    """A bot with one order and one position, on an exchange that tells fills and income."""

    policy: Policy = POLICY
    clock: ManualClock = field(default_factory=ManualClock)
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self.exchange = FakeExchange(self.clock, tells_fills=True, tells_income=True)
        self.order = self.exchange.place(client_id="bot_1")
        self.exchange.hold(BTC, "1")
        self.exchange.wallets["USDT"] = Decimal(100)
        self.bot = FakeBot(ExpectedState(START_MS))
        self.learn()

    def learn(self) -> None:
        """The bot publishes the truth of now."""
        self.bot.state = truth(self.exchange, self.clock.now_ms())

    async def cycle(self, after: float = 6.0) -> Cycle:
        """The bot says again what it said before."""
        self.clock.advance(after)
        self.bot.state = replace(self.bot.state, as_of=self.clock.now_ms())
        made = await run(self.state, self.policy, Wishes(), self.exchange, self.bot, self.clock, since=1000.0)
        self.state = made.state
        return made

    async def until(self, rule: Rule) -> Cycle:
        for _ in range(6):
            made = await self.cycle()
            if rule in {finding.rule for finding in made.outcome.confirmed}:
                return made
        raise AssertionError(f"{rule} was not confirmed: {dict(self.state.tracks)}")

    def traded_by_another(self, symbol: str = BTC, **fields: str) -> Order:
        """An order that the bot did not place is filled at once."""
        self.clock.advance(0.5)
        order = self.exchange.place(symbol, side=Side.SELL, client_id="web_1")
        ended = replace(self.exchange.fill(order), **fields)  # type: ignore[arg-type]
        self.exchange.ended[symbol, order.id] = ended
        return ended


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- snapshots that lack a part --------------------------------------------------------------------------------------


async def test_a_partial_snapshot_is_judged_and_completes_nothing(desk: Desk) -> None:
    good = await desk.cycle()
    desk.exchange.missing = frozenset({Part.BALANCES})
    desk.exchange.hold(BTC, "5")
    made = await desk.until(Rule.POSITION_MISMATCH)
    assert (made.accepted, made.complete) == (True, False)
    assert made.state.good_at == good.state.good_at
    assert made.state.judged_at == good.state.judged_at
    assert made.exchange is not None
    assert made.exchange.reason is Reason.SNAPSHOT_PARTIAL


@pytest.mark.parametrize("part", Part)
async def test_what_a_snapshot_lacks_is_neither_found_nor_resolved(desk: Desk, part: Part) -> None:
    await desk.cycle()
    before = desk.state
    desk.exchange.missing = frozenset({part})
    for _ in range(4):
        made = await desk.cycle()
        assert made.outcome.confirmed == ()
        assert made.state.tracks == before.tracks == {}


async def test_what_was_confirmed_stands_while_its_part_is_missing(desk: Desk) -> None:
    desk.exchange.hold(BTC, "5")
    await desk.until(Rule.POSITION_MISMATCH)
    desk.exchange.missing = frozenset({Part.POSITIONS})
    desk.learn()
    assert (await desk.cycle()).outcome.resolved == ()
    desk.exchange.missing = frozenset()
    assert [finding.rule for finding in (await desk.cycle()).outcome.resolved] == [Rule.POSITION_MISMATCH]


# --- fills -----------------------------------------------------------------------------------------------------------


async def test_a_foreign_fill_is_told_once_and_dealt_with_when_the_bot_has_its_position(desk: Desk) -> None:
    await desk.cycle()
    desk.traded_by_another()
    made = await desk.until(Rule.UNATTRIBUTED_FILL)
    assert [finding.fills for finding in made.outcome.confirmed if finding.rule is Rule.UNATTRIBUTED_FILL] == [("t1",)]
    assert made.state.fills is not None
    assert set(made.state.fills.pending) == {(BTC, "t1")}
    assert made.state.fills.watermark < desk.exchange.traded[0].time
    desk.learn()
    made = await desk.cycle()
    assert made.state.fills is not None
    assert made.state.fills.pending == {}
    again = [finding.rule for _ in range(3) for finding in (await desk.cycle()).outcome.confirmed]
    assert again == []
    assert desk.state.tracks == {}


async def test_a_liquidation_is_told_though_it_carries_no_name(desk: Desk) -> None:
    await desk.cycle()
    desk.traded_by_another(forced="liquidation", client_id="bot_autoclose")
    made = await desk.until(Rule.UNATTRIBUTED_FILL)
    told = [finding.observed for finding in made.outcome.confirmed if finding.rule is Rule.UNATTRIBUTED_FILL]
    assert told == ["sell 1 at 100 (liquidation)"]


async def test_a_fill_of_the_bots_own_is_never_told(desk: Desk) -> None:
    await desk.cycle()
    desk.exchange.fill(desk.order, "0.25")
    desk.learn()
    for _ in range(4):
        assert (await desk.cycle()).outcome.confirmed == ()
    assert desk.state.fills is not None
    assert desk.state.fills.pending == {}


async def test_a_restart_forgets_no_pending_fill(desk: Desk) -> None:
    await desk.cycle()
    desk.traded_by_another()
    await desk.cycle()
    log = desk.state.fills
    assert log is not None
    desk.state = State(timestamp=desk.state.timestamp, fills=replace(log, start=log.watermark, recent={}, pending={}))
    await desk.until(Rule.UNATTRIBUTED_FILL)


async def test_fills_that_are_not_told_keep_the_watermark(desk: Desk) -> None:
    await desk.cycle()
    assert desk.state.fills is not None
    before = desk.state.fills.watermark
    desk.traded_by_another()
    desk.exchange.script.extend([None, ExchangeUnobserved(Reason.RATE_LIMITED, "too often")])
    made = await desk.cycle()
    assert made.accepted
    assert made.state.fills is not None
    assert made.state.fills.unread == {BTC}
    assert made.state.fills.watermark == before
    await desk.until(Rule.UNATTRIBUTED_FILL)


# --- income ----------------------------------------------------------------------------------------------------------


async def test_income_that_the_bot_has_not_heard_of_is_no_finding(desk: Desk) -> None:
    """Its belief is read a moment before the snapshot, and in between funding is paid, every time."""
    for _ in range(6):
        desk.clock.advance(15)
        desk.learn()
        desk.clock.advance(1)
        desk.exchange.wallets["USDT"] += 3
        desk.exchange.booked.append(Income("USDT", Decimal(3), desk.clock.now_ms()))
        made = await run(desk.state, POLICY, Wishes(), desk.exchange, desk.bot, desk.clock, since=1000.0)
        desk.state = made.state
        assert made.outcome.confirmed == ()


async def test_a_balance_that_no_income_explains_is_confirmed_by_that(desk: Desk) -> None:
    await desk.cycle()
    desk.exchange.wallets["USDT"] += 3
    made = await desk.until(Rule.BALANCE_MISMATCH)
    assert made.outcome.confirmed[0].proven is True


async def test_without_an_answer_about_income_no_balance_is_confirmed(desk: Desk) -> None:
    await desk.cycle()
    desk.exchange.wallets["USDT"] += 3
    desk.exchange.script.extend([None, ExchangeUnobserved(Reason.RATE_LIMITED, "too often")] * 12)
    for _ in range(8):
        assert (await desk.cycle()).outcome.confirmed == ()


# --- busy symbols ----------------------------------------------------------------------------------------------------


async def test_a_symbol_that_never_settles_is_judged_order_by_order() -> None:
    desk = Desk()
    desk.exchange.tells_fills = False
    desk.exchange.latency = 0.01
    desk.exchange.place(client_id="bot_lost")

    async def churn() -> None:
        """Whenever the account is read, another order changes."""
        busy = desk.exchange.place(client_id="bot_2")
        for number in range(10_000):
            desk.clock.advance(0.001)
            desk.exchange.amend(busy, price=Decimal(50 + number % 7))
            await asyncio.sleep(0.001)

    busy = asyncio.create_task(churn())
    confirmed: list[tuple[int, str]] = []
    try:
        for number in range(INSIST_AFTER + 5):
            await asyncio.sleep(0)
            book = [tracked(row) for row in desk.exchange.orders.values() if row.client_id != "bot_lost"]
            desk.bot.state = replace(desk.bot.state, orders=tuple(replace(row, price=None) for row in book))
            made = await desk.cycle()
            assert BTC in made.state.unsettled
            confirmed += [(number, finding.client_id) for finding in made.outcome.confirmed]
    finally:
        busy.cancel()
    assert [name for _, name in confirmed] == ["bot_lost"]
    assert confirmed[0][0] >= INSIST_AFTER - 1


# --- what is told to siblings, and what people accept ----------------------------------------------------------------


async def test_a_belief_that_could_not_be_unified_does_not_take_the_place_of_one_that_was(desk: Desk) -> None:
    await desk.cycle()
    before = desk.state.believed
    assert before is not None
    desk.exchange.script.append(ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, "no route"))
    assert (await desk.cycle()).state.believed == before
    desk.bot.script.append(None)
    desk.bot.state = replace(desk.bot.state, orders=(ExpectedOrder("NOSUCH", id="1"),))
    assert (await desk.cycle()).state.believed is None


@pytest.mark.parametrize("name", ["id", "client_id"])
async def test_an_order_in_two_spellings_of_its_symbol_is_malformed(desk: Desk, name: str) -> None:
    rows = ExpectedOrder("BTCUSDT", **{name: "1"}), ExpectedOrder(BTC, **{name: "1"})  # type: ignore[arg-type]
    desk.bot.state = replace(desk.bot.state, orders=rows)
    made = await desk.cycle()
    assert made.bot is not None
    assert made.bot.reason is Reason.STATE_MALFORMED
    desk.bot.state = replace(desk.bot.state, orders=(rows[0], replace(rows[1], symbol=ETH)))
    assert (await desk.cycle()).bot is None


async def test_what_people_accept_is_told_after_its_end(desk: Desk) -> None:
    desk.exchange.hold(BTC, "5")
    until = desk.clock.now_ms() + 40_000
    desk.policy = replace(POLICY, ignores=(Ignore(Rule.POSITION_MISMATCH, until, "BTCUSDT"),))
    while desk.clock.now_ms() + 6_000 < until:
        assert (await desk.cycle()).outcome.confirmed == ()
    made = await desk.until(Rule.POSITION_MISMATCH)
    desk.policy = replace(POLICY, ignores=(Ignore(Rule.POSITION_MISMATCH, made.state.timestamp or 0, "BTCUSDT"),))
    assert (await desk.cycle()).outcome.resolved == ()
    assert desk.state.tracks, "its end is past"
    desk.policy = replace(POLICY, ignores=(Ignore(Rule.POSITION_MISMATCH, until + 10**9, "BTCUSDT"),))
    made = await desk.cycle()
    assert (made.outcome.resolved, made.state.tracks) == ((), {}), "accepted is not resolved"

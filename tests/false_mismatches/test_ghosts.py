"""A position that the exchange no longer lists is worth what it is: it neither stops a bot for nothing nor passes."""

from decimal import Decimal

import pytest
from tests.false_mismatches.desk import PREFIX, Desk, Line, lines, simulated
from tests.support.fakes import BTC

from accountsync.domain.account import PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedPosition
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Source
from accountsync.domain.policy import Watchdog
from accountsync.domain.watchdog import notional_at_risk
from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.report.canonical import decode, encode
from accountsync.report.evidence import Link, Record, mismatches, record_of
from accountsync.simulator import Fault

MARK = Decimal(60_000)
SILENT = ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now")
WATCHDOG = Watchdog(Decimal(10_000), "USDT")
"""It barks at more than 5,000 USDT."""
SMALL, LARGE = Decimal("0.002"), Decimal("0.2")


class Haunted(Desk):
    """The bot believes in a position of `quantity` that was closed, and its mark has left the lists with it."""

    def __init__(self, quantity: Decimal) -> None:
        super().__init__(pause_at=None, watchdog=WATCHDOG)
        self.quantity = quantity

    async def haunt(self) -> Finding:
        self.exchange.marks[BTC] = MARK
        self.exchange.hold(BTC, self.quantity)
        await self.stays_quiet(2)
        self.exchange.hold(BTC, "0")
        self.exchange.marks.clear()
        self.believe(positions=(ExpectedPosition(BTC, PositionSide.NET, self.quantity),))
        (finding,) = await self.finds(Rule.POSITION_MISMATCH, cycles=4)
        return finding

    @property
    def at_risk(self) -> Decimal:
        return notional_at_risk(track.finding for track in self.state.tracks.values() if track.confirmed)


async def test_a_small_ghost_is_priced_for_hours_and_stops_no_bot() -> None:
    desk = Haunted(SMALL)
    desk.exchange.quotes[BTC] = MARK
    await desk.haunt()
    for _ in range(300):
        await desk.cycle(30)
        assert (desk.at_risk, Source.WATCHDOG in desk.state.holds) == (SMALL * MARK, False)


async def test_a_ghost_that_grows_dear_while_it_stands_stops_the_bot() -> None:
    desk = Haunted(SMALL)
    desk.exchange.quotes[BTC] = MARK
    await desk.haunt()
    desk.exchange.quotes[BTC] = Decimal(3_000_000)
    await desk.cycle(61)
    assert desk.at_risk == Decimal(6_000)
    assert desk.state.holds[Source.WATCHDOG].message.startswith("mismatch notional 6000 USDT")


async def test_a_large_ghost_stays_at_risk_though_nobody_tells_its_mark() -> None:
    desk = Haunted(LARGE)
    await desk.haunt()
    for _ in range(20):
        await desk.cycle(30)
        assert desk.at_risk == LARGE * MARK
    assert desk.state.holds[Source.WATCHDOG].message.startswith("mismatch notional 12000 USDT")


async def test_one_question_without_an_answer_stops_no_bot_and_a_minute_of_them_does() -> None:
    desk = Haunted(SMALL)
    desk.exchange.quotes[BTC] = MARK
    await desk.haunt()
    asked = len(desk.exchange.quoted)

    async def unanswered() -> None:
        desk.exchange.script.extend([None, SILENT])
        await desk.cycle(15)

    while len(desk.exchange.quoted) == asked:
        await desk.cycle(15)
    await desk.cycle(15)
    await desk.cycle(15)
    for _ in range(2):
        await unanswered()
        assert (desk.at_risk, Source.WATCHDOG in desk.state.holds) == (SMALL * MARK, False)
    await unanswered()
    assert desk.at_risk == SMALL * MARK
    assert desk.state.holds[Source.WATCHDOG].message == (
        f"there is only an old price for PositionMismatch {BTC}: what it puts at risk is not known"
    )


@pytest.mark.parametrize("told", [True, False])
async def test_evidence_repeats_what_a_ghost_was_worth(told: bool) -> None:
    desk = Haunted(SMALL)
    await desk.haunt()
    if told:
        desk.exchange.quotes[BTC] = MARK + 1
    made = await desk.cycle(61)
    record = record_of("trading/grid", made, desk.clock.now_ms(), Link("x", 1, ""))
    again = decode(encode(record), Record)
    (row,) = mismatches(again, again.detect())
    assert row.notional == desk.at_risk == SMALL * (MARK + 1 if told else MARK)


# --- the real adapter ------------------------------------------------------------------------------------------------


async def closed(line: Line, quantity: Decimal) -> None:
    """A position was closed before anybody looked, and the bot goes on to believe in it."""
    line.act(lambda world, _: world.set_mark_price("BTCUSDT", MARK))
    line.order(f"{PREFIX}anchor", "ETHUSDT")
    line.act(lambda world, account: world.set_position(account, "BTCUSDT", quantity))
    believed = line.truth()
    line.act(lambda world, account: world.set_position(account, "BTCUSDT", Decimal(0)))
    line.stick_to(believed)
    await line.finds(Rule.POSITION_MISMATCH, cycles=30)


@pytest.mark.parametrize(("quantity", "stops"), [(SMALL, False), (LARGE, True)])
async def test_binance_tells_what_a_ghost_is_worth(quantity: Decimal, stops: bool) -> None:
    with simulated("grid") as running:
        async with lines(running, "grid", pause_at=None, watchdog=WATCHDOG) as (line,):
            await closed(line, quantity)
            (finding,) = [track.finding for track in line.state.tracks.values()]
            assert (finding.notional, finding.priced) == (quantity * MARK, True)
            assert (Source.WATCHDOG in line.state.holds) is stops
            assert len(running.call(lambda sim: sim.requests.select(path="/fapi/v1/premiumIndex"))) == 1


async def test_a_price_that_binance_does_not_tell_fails_no_cycle() -> None:
    with simulated("grid") as running:
        async with lines(running, "grid", pause_at=None, watchdog=WATCHDOG) as (line,):
            line.fault(Fault.http_error(503, path="*/premiumIndex"))
            await closed(line, SMALL)
            made = await line.cycle()
            assert (made.complete, made.exchange) == (True, None)
            assert line.state.holds[Source.WATCHDOG].message.startswith("there is no price for PositionMismatch")
            line.mend()
            await line.cycle()
            (finding,) = [track.finding for track in line.state.tracks.values()]
            assert (finding.notional, finding.priced) == (SMALL * MARK, True)

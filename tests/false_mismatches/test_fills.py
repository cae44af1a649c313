"""A fill is one fill, however often it is read, and it explains what it led to and nothing else."""

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from tests.false_mismatches.desk import PREFIX, Desk
from tests.support.fakes import BTC, FakeExchange, ManualClock

from accountsync.api import v1alpha1 as api
from accountsync.controller import status as written
from accountsync.domain.account import Fill, PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedPosition, ExpectedState

FOREIGN = "manual_1"


def restart(desk: Desk) -> None:
    """Another process goes on from what the status says."""
    status = api.TradingAccountStatus(
        observed_generation=1,
        findings=written.findings(desk.state),
        watermarks=written.watermarks(desk.state),
        holds=tuple(written.holds(desk.state)),
    )
    desk.state = written.restore(status, desk.clock.monotonic(), desk.clock.now_ms())


def teller(*, lists_flat: bool = True) -> Desk:
    return Desk(FakeExchange(ManualClock(), tells_fills=True, lists_flat=lists_flat))


def pending(desk: Desk) -> list[str]:
    return [fill.id for fill in desk.state.fills.pending.values()] if desk.state.fills else []


def recent(desk: Desk) -> list[str]:
    return [fill.id for fill in desk.state.fills.recent.get(BTC, ())] if desk.state.fills else []


def held(quantity: str) -> tuple[ExpectedPosition, ...]:
    return (ExpectedPosition(BTC, PositionSide.NET, Decimal(quantity)),)


async def test_an_own_fill_that_is_read_again_moves_no_position_twice() -> None:
    """nautilus_trader #3493: a fill was inferred from an order's report, the real one came, and both were counted.

    Lists of fills overlap here on purpose: each change of the position reads the last seconds again.
    """
    desk = teller()
    order = desk.order(quantity="100")
    await desk.stays_quiet(2)
    for _ in range(30):
        desk.exchange.fill(order, "0.5")
        await desk.stays_quiet(1, every=1.0)
    assert recent(desk) == [fill.id for fill in desk.exchange.traded]
    assert pending(desk) == []
    await desk.stays_quiet(4)

    desk.exchange.fill(order, "0.5")
    desk.believe(positions=held("16"))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("16", "15.5")


async def test_a_fill_is_not_counted_twice_over_a_restart() -> None:
    """nautilus_trader #3493: what was counted before must not be counted again by who comes after."""
    desk = teller()
    order = desk.order(quantity="100")
    await desk.stays_quiet(2)
    for turn in range(30):
        desk.exchange.fill(order, "0.5")
        await desk.stays_quiet(1, every=1.0)
        if turn % 4 == 3:
            restart(desk)
    await desk.stays_quiet(6)
    assert pending(desk) == []
    assert desk.state.fills is not None
    assert len(set(recent(desk))) == len(recent(desk))

    restart(desk)
    desk.exchange.fill(order, "0.5")
    desk.believe(positions=held("16"))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("16", "15.5")


@dataclass
class RepeatingExchange(FakeExchange):
    """Its pages overlap: each fill stands in the list twice."""

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:
        rows = await super().fills(symbol, since)
        return tuple(row for row in rows for _ in range(2))


async def test_a_fill_that_is_listed_twice_is_one_fill() -> None:
    """nautilus_trader #3493: two reports of one fill are still one fill, and a position that it never made is wrong."""
    desk = Desk(RepeatingExchange(ManualClock(), tells_fills=True, lists_flat=True))
    await desk.stays_quiet(2)
    desk.trade("2")
    await desk.stays_quiet(4)
    assert recent(desk) == ["t1"]

    believed = desk.truth()
    desk.trade("2")
    desk.stick_to(replace(believed, positions=held("0")))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH, every=2.0, cycles=20)
    assert (finding.expected, finding.observed) == ("0", "4")


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_foreign_fill_is_told_once(restarts: bool) -> None:
    """nautilus_trader #3493, for fills of others: told, taken over by the bot, and never told again."""
    desk = teller()
    await desk.stays_quiet(3)
    desk.trade("2", client_id=FOREIGN)
    desk.believe(positions=())
    found = await desk.finds(Rule.POSITION_MISMATCH, Rule.UNATTRIBUTED_FILL)
    assert [finding.id for finding in found] == ["net", "fill:t1"]
    if restarts:
        restart(desk)
        assert desk.standing == sorted([Rule.POSITION_MISMATCH, Rule.UNATTRIBUTED_FILL])
        await desk.stays_quiet(6)

    desk.belief = desk.truth
    await desk.settles()
    for turn in range(6):
        desk.trade("0.5", client_id=f"{PREFIX}{turn}")
        await desk.stays_quiet(2, every=1.0)
        if restarts:
            restart(desk)
    await desk.settles()

    desk.trade("1", client_id=FOREIGN)
    (second,) = await desk.finds(Rule.UNATTRIBUTED_FILL)
    assert second.id == "fill:t8"


@pytest.mark.parametrize("lists_flat", [False, True])
@pytest.mark.parametrize("tells_fills", [False, True])
async def test_the_stop_of_the_last_trade_does_not_explain_the_next(tells_fills: bool, lists_flat: bool) -> None:
    """freqtrade #13399: the fill of the previous trade's stop was attached to the trade that came after, reversed.

    Each turn a stop closes a long, and the bot goes short; the old fill is no reason for any size of the new trade.
    """
    desk = Desk(FakeExchange(ManualClock(), tells_fills=tells_fills, lists_flat=lists_flat))
    await desk.stays_quiet(2)
    for turn in range(5):
        desk.trade("1", client_id=f"{PREFIX}long{turn}")
        stop = desk.conditional(f"{PREFIX}stop{turn}", number=f"9{turn}")
        await desk.stays_quiet(3)
        desk.trigger(stop)
        await desk.stays_quiet(1, every=1.0)
        desk.trade("-1", client_id=f"{PREFIX}short{turn}")
        await desk.stays_quiet(3)
        desk.trade("1", client_id=f"{PREFIX}flat{turn}")
        await desk.stays_quiet(3)

    desk.trade("1", client_id=f"{PREFIX}long")
    stop = desk.conditional(f"{PREFIX}stop", number="99")
    await desk.stays_quiet(3)
    desk.trigger(stop)
    desk.clock.advance(1.0)
    desk.trade("-1", client_id=f"{PREFIX}short")
    desk.believe(positions=held("1"))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("1", "-1")
    desk.believe(positions=())
    await desk.cycle()
    assert desk.standing == [Rule.POSITION_MISMATCH]
    desk.belief = desk.truth
    await desk.settles()


@pytest.mark.parametrize("tells_fills", [False, True])
async def test_a_stop_that_filled_before_the_belief_is_no_excuse_for_it(tells_fills: bool) -> None:
    """freqtrade #13399: a fill explains a belief of before it, and none of long after it."""
    desk = Desk(FakeExchange(ManualClock(), tells_fills=tells_fills))
    desk.trade("1")
    stop = desk.conditional(number="77")
    await desk.stays_quiet(3)
    lagging = desk.truth()
    desk.trigger(stop)
    desk.belief = lambda: lagging
    await desk.stays_quiet(5, every=3.0)

    desk.stick_to(lagging)
    found = await desk.finds(Rule.POSITION_MISMATCH, Rule.MISSING_ORDER)
    assert [(finding.expected, finding.observed) for finding in found] == [
        ("1", "0"),
        ("open", "filled, filled 1 of 1"),
    ]


@pytest.mark.parametrize("tells_fills", [False, True])
async def test_a_position_that_turned_is_right_for_a_bot_that_is_on_its_way(tells_fills: bool) -> None:
    """freqtrade #13399: between the stop's fill and the reversed trade the bot may publish either side of it."""
    desk = Desk(FakeExchange(ManualClock(), tells_fills=tells_fills, lists_flat=True))
    desk.trade("1")
    await desk.stays_quiet(3)
    for turn in range(20):
        before = desk.truth()
        desk.trade("-2" if turn % 2 == 0 else "2", client_id=f"{PREFIX}{turn}")
        between = replace(before, as_of=desk.clock.now_ms() - 1)
        desk.belief = lambda state=between: state  # type: ignore[misc]
        await desk.stays_quiet(3, every=1.5)
        desk.belief = desk.truth
        await desk.stays_quiet(2, every=1.5)

    desk.trade("-2", client_id=f"{PREFIX}last")
    desk.believe(positions=held("1"))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("1", "-1")


async def test_a_position_that_never_rests_is_right_or_wrong_at_its_beliefs_time() -> None:
    """freqtrade #13399, nautilus_trader #3493: the fills of just then, each once, tell where the position stood.

    It changes before every reading. A bot that is three seconds late agrees; one that is off by ten does not.
    """
    desk = teller()
    desk.trade("1")
    late = [desk.truth()]

    def trade() -> None:
        late.append(desk.truth())
        desk.trade("1", client_id=f"{PREFIX}{len(late)}")

    desk.belief = lambda: late[-1]
    await desk.stays_quiet(40, every=3.0, before=trade)

    def off_by_ten() -> ExpectedState:
        state = late[-1]
        rows = tuple(replace(row, quantity=row.quantity - 10) for row in state.positions or ())
        return replace(desk.truth(), as_of=state.as_of, positions=rows)

    desk.belief = off_by_ten
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH, every=3.0, before=trade, cycles=20)
    assert Decimal(finding.observed) - Decimal(finding.expected) == Decimal(11)

"""Once the bot takes over what the exchange says, nothing is left of any difference."""

from dataclasses import replace

import pytest
from tests.false_mismatches.desk import PREFIX, Desk
from tests.false_mismatches.test_fills import held, restart
from tests.support.fakes import BTC, START_MS, FakeExchange, ManualClock, tracked

from accountsync.domain.account import Fill, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.holds import Source

DAY_MS = 86_400_000


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("lists_flat", [False, True])
@pytest.mark.parametrize("tells_fills", [False, True])
async def test_a_position_that_the_exchange_does_not_hold_resolves_when_the_bot_drops_it(
    tells_fills: bool, lists_flat: bool, restarts: bool
) -> None:
    """nautilus_trader #3622: against an exchange that held nothing the same fills were looked for, for ever.

    The difference is told once, stands as long as the bot insists, and is over when the bot agrees.
    """
    desk = Desk(FakeExchange(ManualClock(), tells_fills=tells_fills, lists_flat=lists_flat))
    desk.trade("411.04014423")
    await desk.stays_quiet()
    believed = desk.truth()
    desk.trade("-411.04014423", client_id=f"{PREFIX}out")
    desk.stick_to(believed)
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("411.04014423", "0")
    if restarts:
        restart(desk)
    await desk.stays_quiet(30)
    assert desk.standing == [Rule.POSITION_MISMATCH]

    desk.belief = desk.truth
    await desk.settles()
    assert not desk.state.fills or desk.state.fills.unread == frozenset()


@pytest.mark.parametrize("tells_fills", [False, True])
async def test_a_position_older_than_every_list_of_fills_agrees_and_resolves(tells_fills: bool) -> None:
    """nautilus_trader #3104: a position held for weeks was rebuilt from the fills that were still listed.

    They made up 75 where the exchange held -65, and the bot could not start.
    """
    exchange = FakeExchange(ManualClock(), tells_fills=tells_fills, lists_flat=True)
    desk = Desk(exchange)
    exchange.hold(BTC, "-65")
    key = BTC, PositionSide.NET
    exchange.positions[key] = replace(exchange.positions[key], updated=START_MS - 100 * DAY_MS)
    exchange.traded.append(
        Fill("t0", "o0", BTC, Side.BUY, PositionSide.NET, exchange.positions[key].quantity * -1, 1, START_MS - DAY_MS)  # type: ignore[arg-type]
    )
    made = await desk.stays_quiet(20)
    assert all(cycle.complete for cycle in made)

    desk.believe(positions=held("75"))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("75", "-65")
    restart(desk)
    await desk.stays_quiet()
    desk.belief = desk.truth
    await desk.settles()

    desk.trade("5", client_id=f"{PREFIX}less")
    await desk.settles()
    desk.believe(positions=held("-65"))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("-65", "-60")


@pytest.mark.parametrize("tells_fills", [False, True])
async def test_everything_at_once_resolves_when_the_bot_reads_the_exchange(tells_fills: bool) -> None:
    """nautilus_trader #3622, #3104: whatever differs, taking over the exchange's side is the way out."""
    desk = Desk(FakeExchange(ManualClock(), tells_fills=tells_fills))
    gone, kept = desk.order(f"{PREFIX}gone"), desk.order(f"{PREFIX}kept")
    desk.exchange.wallets["USDT"] = desk.exchange.wallets.get("USDT", gone.quantity * 1000)
    await desk.stays_quiet(3)
    believed = desk.truth()
    desk.exchange.end(gone)
    desk.exchange.amend(kept, quantity=kept.quantity + 1)
    desk.exchange.wallets["USDT"] -= 7
    desk.trade("2", client_id=f"{PREFIX}t")
    desk.order(f"{PREFIX}lost")
    desk.stick_to(believed)
    await desk.finds(
        Rule.MISSING_ORDER,
        Rule.ORDER_DIVERGENCE,
        Rule.BALANCE_MISMATCH,
        Rule.POSITION_MISMATCH,
        Rule.UNEXPECTED_ORDER,
    )
    assert Source.POLICY in desk.state.holds

    desk.belief = desk.truth
    await desk.settles()
    desk.stick_to(replace(desk.truth(), orders=(tracked(desk.anchor),)))
    found = await desk.finds(Rule.UNEXPECTED_ORDER, Rule.UNEXPECTED_ORDER)
    assert {finding.client_id for finding in found} == {f"{PREFIX}kept", f"{PREFIX}lost"}

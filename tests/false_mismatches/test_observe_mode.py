"""Looking changes nothing: not the exchange, not the bot's belief, and in mode Observe not the bot either."""

import contextlib
import urllib.error
import urllib.request
from decimal import Decimal

import pytest
from tests.false_mismatches.desk import PREFIX, Line, lines, simulated

from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedState
from accountsync.domain.holds import Source
from accountsync.domain.policy import Mode

ALL_KINDS = (Rule.UNEXPECTED_ORDER, Rule.MISSING_ORDER, Rule.ORDER_DIVERGENCE, Rule.POSITION_MISMATCH)


def contents(line: Line) -> str:
    """The whole account at the exchange, but for what time does to it."""
    return line.act(
        lambda _, account: repr(
            (account.orders, account.positions, account.balances, account.fills, account.incomes, account.open_orders)
        )
    )


def drift(line: Line) -> ExpectedState:
    """Every kind at once; gives what the bot goes on to believe."""
    line.act(lambda world, account: world.set_position(account, "ETHUSDT", Decimal("-1.5")))
    gone, changed = line.order(f"{PREFIX}gone"), line.order(f"{PREFIX}changed")
    believed = line.truth()
    line.act(lambda world, account: world.cancel(account.orders["BTCUSDT", int(gone)]))
    line.act(lambda world, account: world.amend(account.orders["BTCUSDT", int(changed)], price=Decimal(51_000)))
    line.act(lambda world, account: world.set_position(account, "ETHUSDT", Decimal(2)))
    line.order(f"{PREFIX}lost")
    return believed


@pytest.mark.parametrize("mode", Mode)
async def test_no_drift_makes_us_write_to_the_exchange_or_into_the_belief(mode: Mode) -> None:
    """nautilus_trader #4739: with the making of missing orders switched off, orders and fills were made all the same.

    Here the exchange's own journal tells of no write in either mode, and the belief that was read stays as it was.
    """
    with simulated("grid") as running:
        async with lines(running, "grid", mode=mode) as (line,):
            await line.stays_quiet(3)
            believed = drift(line)
            line.stick_to(believed)
            spoken, at_the_exchange = repr(believed), contents(line)
            await line.finds(*ALL_KINDS, cycles=30)
            assert line.requests(write=True) == []
            assert len(line.requests(write=False)) > 30
            assert {row.method for row in line.requests()} == {"GET"}
            assert repr(believed) == spoken
            assert contents(line) == at_the_exchange
            assert line.state.believed is not None
            told = line.state.believed
            assert [(row.id, row.quantity, row.price) for row in told.orders or ()] == [
                (row.id, row.quantity, row.price) for row in believed.orders or ()
            ]
            assert [row.quantity for row in told.positions or ()] == [row.quantity for row in believed.positions or ()]
            held = {source for source in line.state.holds if source is not Source.STARTUP}
            assert held == ({Source.POLICY} if mode is not Mode.OBSERVE else set())

            line.belief = line.truth
            await line.settles(cycles=30)
            assert line.requests(write=True) == []
            assert contents(line) == at_the_exchange


async def test_the_journal_would_tell_of_a_write() -> None:
    """nautilus_trader #4739: that there was none means something, since even one that is refused is noted."""
    with simulated("grid") as running:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(urllib.error.HTTPError):
            direct.open(urllib.request.Request(f"{running.url}/fapi/v1/order", method="POST"), timeout=5).close()
        assert [row.path for row in running.call(lambda sim: sim.requests.select(write=True))] == ["/fapi/v1/order"]

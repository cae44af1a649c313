"""What a key may do besides reading, where the exchange tells."""

import pytest
from tests.exchange.conftest import Connect

from accountsync.exchange import CcxtExchange, Venue, Venues
from accountsync.simulator import Account, Fault, Simulator

PATH = "*/apiRestrictions"


async def test_a_key_that_reads_has_no_other_right(account: Account, connect: Connect) -> None:
    exchange = connect(account)
    assert await exchange.excess_rights() == ()
    assert await exchange.may_trade() is False


async def test_a_key_that_trades_is_told_so(sim: Simulator, account: Account, venue: Venue) -> None:
    key = sim.world.create_key(account, permissions={"read", "trade"})
    exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret})
    assert await exchange.excess_rights() == ("trade",)
    assert await exchange.may_trade() is True


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("enableWithdrawals", "withdraw"),
        ("enableInternalTransfer", "withdraw"),
        ("enableSpotAndMarginTrading", "trade"),
        ("enableMargin", "trade"),
    ],
)
async def test_each_right_counts_as_what_it_lets_one_do(
    sim: Simulator, account: Account, connect: Connect, name: str, right: str
) -> None:
    sim.faults.add(Fault.unparsable_quantity(True, name=name, path=PATH))  # type: ignore[arg-type]
    exchange = connect(account)
    assert await exchange.excess_rights() == (right,)
    assert await exchange.may_trade() is (right == "trade")


async def test_an_answer_without_them_tells_nothing(sim: Simulator, account: Account, connect: Connect) -> None:
    sim.faults.add(Fault.unparsable_quantity("perhaps", name="enableFutures", path=PATH))
    exchange = connect(account)
    assert await exchange.excess_rights() is None
    assert await exchange.may_trade() is None


async def test_other_exchanges_do_not_tell(venues: Venues) -> None:
    assert await venues.get("okx").dialect.rights(None) is None

"""The mark price of a symbol, also of one that is not held."""

from decimal import Decimal
from typing import Any

import pytest
from tests.exchange.conftest import Connect

from accountsync.domain.marks import Mark
from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.exchange.binance import MARK_WEIGHT
from accountsync.exchange.unified import Unified
from accountsync.simulator import Account, Fault, Simulator

BTC, SPOT = "BTC/USDT:USDT", "BTC/USDT"
PATH = "/fapi/v1/premiumIndex"


@pytest.mark.usefixtures("within_a_minute")
async def test_binance_is_asked_for_one_symbol_at_the_weight_of_one(
    sim: Simulator, account: Account, connect: Connect
) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    used = exchange.venue.budget.used
    assert (await exchange.mark(BTC) or [None])[0] == sim.world.marks["BTCUSDT"]
    assert exchange.venue.budget.used - used == MARK_WEIGHT == 1
    (record,) = sim.requests.select(path=PATH)
    assert (record.account, record.weight) == ("", 1), "it takes no key"


async def test_what_the_budget_lacks_is_not_asked_for(sim: Simulator, account: Account, connect: Connect) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    exchange.venue.budget.limit = 1
    with pytest.raises(ExchangeUnobserved) as caught:
        await exchange.mark(BTC)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert sim.requests.select(path=PATH) == []


async def test_a_mark_of_zero_is_none(sim: Simulator, account: Account, connect: Connect) -> None:
    sim.faults.add(Fault.unparsable_quantity("0.00000000", path="*/premiumIndex", name="markPrice"))
    assert await connect(account).mark(BTC) is None


@pytest.mark.parametrize(("field", "value"), [("markPrice", "NaN"), ("time", None), ("symbol", "ETHUSDT")])
async def test_an_answer_that_is_no_mark_is_a_failure(
    sim: Simulator, account: Account, connect: Connect, field: str, value: str | None
) -> None:
    sim.faults.add(Fault.unparsable_quantity(value, path="*/premiumIndex", name=field))  # type: ignore[arg-type]
    with pytest.raises(ExchangeUnobserved) as caught:
        await connect(account).mark(BTC)
    assert caught.value.reason is Reason.EXCHANGE_MALFORMED


class Quoting:
    """A ccxt instance that answers for prices what it is told to. `asked`: by which calls."""

    id = "scripted"

    def __init__(self, *has: str, **row: Any) -> None:
        self.has = dict.fromkeys(has, True)
        self.row = {"symbol": BTC, "timestamp": 7, **row}
        self.asked: list[str] = []

    def market(self, symbol: str) -> dict[str, Any]:
        return {"contract": symbol == BTC}

    async def fetch_mark_price(self, symbol: str) -> Any:
        self.asked.append(f"mark price of {symbol}")
        return self.row

    async def fetch_ticker(self, symbol: str) -> Any:
        self.asked.append(f"ticker of {symbol}")
        return self.row


async def mark(client: Quoting, symbol: str = BTC) -> Mark | None:
    return await Unified().mark(client, symbol, 1000)


async def test_any_exchange_tells_its_mark_price_where_ccxt_can_ask_for_it() -> None:
    client = Quoting("fetchMarkPrice", "fetchTicker", markPrice=Decimal(9), last=Decimal(8))
    assert await mark(client) == (Decimal(9), 7)
    assert client.asked == [f"mark price of {BTC}"]


async def test_elsewhere_it_is_what_was_traded_last() -> None:
    client = Quoting("fetchTicker", markPrice=None, last=Decimal(8), timestamp=None)
    assert await mark(client) == (Decimal(8), 1000), "of the present, where no time is told"
    spot = Quoting("fetchMarkPrice", "fetchTicker", symbol=SPOT, last=Decimal(8))
    assert await mark(spot, SPOT) == (Decimal(8), 7)
    assert spot.asked == [f"ticker of {SPOT}"], "what is no contract has no mark price"


async def test_where_nothing_can_be_asked_there_is_no_mark() -> None:
    assert await mark(Quoting()) is None
    assert await mark(Quoting("fetchTicker", last=None)) is None


@pytest.mark.parametrize("row", [{"last": "dear"}, {"symbol": SPOT, "last": Decimal(8)}, {"timestamp": -1, "last": 8}])
async def test_a_ticker_that_is_none_is_a_failure(row: dict[str, Any]) -> None:
    with pytest.raises(ExchangeUnobserved):
        await mark(Quoting("fetchTicker", **row))

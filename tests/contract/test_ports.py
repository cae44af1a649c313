"""What the judgement expects of a port, asked of the in-memory stand-in and of the real adapter alike."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

import pytest
from aiohttp import web
from tests.support.fakes import BTC, ETH, START_MS, FakeBot, FakeExchange, ManualClock

from accountsync.bot.address import AddressPolicy
from accountsync.bot.configmap import ConfigMapState
from accountsync.bot.http import HttpState, open_session
from accountsync.clock import SystemClock
from accountsync.domain.account import Balance, Order, OrderStatus, Position, PositionSide, Side
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.errors import BeliefUnobserved, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import CcxtExchange, EndpointPolicy, Venues
from accountsync.ports import BotState, Clock, Exchange
from accountsync.simulator import Fault, Simulator
from accountsync.simulator import Side as Direction

CLIENT_ID = "contract_1"
NEVER = "contract_never"


# --- an exchange ------------------------------------------------------------------------------------------------------


class Market(Protocol):
    """An exchange behind the port, and what happens on it. All amounts are `2`, at 60000, of BTC."""

    @property
    def port(self) -> Exchange: ...

    def place(self, client_id: str) -> str:
        """Place an order to buy; its id."""
        ...

    def fill(self, order_id: str, quantity: Decimal) -> None: ...

    def cancel(self, order_id: str) -> None: ...

    def hold_short(self, quantity: Decimal) -> None:
        """A short position of ETH."""
        ...

    def fail(self) -> None:
        """Whatever is asked next fails."""
        ...

    def recover(self) -> None: ...


@dataclass
class FakeMarket:
    port: FakeExchange

    def place(self, client_id: str) -> str:
        return self.port.place(quantity="2", price="60000", client_id=client_id).id

    def fill(self, order_id: str, quantity: Decimal) -> None:
        self.port.fill(self.port.orders[BTC, order_id], quantity)

    def cancel(self, order_id: str) -> None:
        self.port.end(self.port.orders[BTC, order_id])

    def hold_short(self, quantity: Decimal) -> None:
        self.port.hold(ETH, -quantity)

    def fail(self) -> None:
        self.port.script.append(ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "down"))

    def recover(self) -> None:
        self.port.script.clear()


class SimulatedMarket:
    def __init__(self, sim: Simulator, venues: Venues) -> None:
        self.sim = sim
        self.account = sim.world.create_account("contract", wallet={"USDT": Decimal(1_000_000), "USDC": Decimal(0)})
        key = sim.world.create_key(self.account, permissions={"read"})
        venue = venues.get("binanceusdm", endpoint=sim.url)
        self.port = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret}, timeout=5.0)

    def place(self, client_id: str) -> str:
        order = self.sim.world.place_order(
            self.account,
            symbol="BTCUSDT",
            side=Direction.BUY,
            price=Decimal(60000),
            quantity=Decimal(2),
            client_order_id=client_id,
        )
        return str(order.order_id)

    def fill(self, order_id: str, quantity: Decimal) -> None:
        self.sim.world.fill(self.account.open_orders["BTCUSDT", int(order_id)], quantity=quantity)

    def cancel(self, order_id: str) -> None:
        self.sim.world.cancel(self.account.open_orders["BTCUSDT", int(order_id)])

    def hold_short(self, quantity: Decimal) -> None:
        self.sim.world.set_position(self.account, "ETHUSDT", -quantity)

    def fail(self) -> None:
        self.sim.faults.add(Fault.http_error(503))

    def recover(self) -> None:
        self.sim.faults.clear()


@pytest.fixture(params=["fake", "ccxt"])
async def market(request: pytest.FixtureRequest) -> AsyncIterator[Market]:
    if request.param == "fake":
        yield FakeMarket(FakeExchange(SystemClock(), wallets={"USDT": Decimal(1_000_000), "USDC": Decimal(0)}))
        return
    venues = Venues(endpoints=EndpointPolicy(["http://127.0.0.1:*"]))
    async with Simulator(seed=1) as sim:
        simulated = SimulatedMarket(sim, venues)
        yield simulated
        await simulated.port.close()
        await venues.close()


def timeless(order: Order | None) -> Order:
    assert order is not None
    return replace(order, created=None, updated=None)


def buy(order_id: str, client_id: str, **fields: Any) -> Order:
    usual: dict[str, Any] = {"quantity": Decimal(2), "filled": Decimal(0), "price": Decimal(60000)}
    return Order(id=order_id, client_id=client_id, symbol=BTC, side=Side.BUY, **(usual | fields))


async def test_an_account_without_orders_and_positions_has_none(market: Market) -> None:
    snapshot = await market.port.snapshot()
    assert (snapshot.orders, snapshot.positions, snapshot.unsettled) == ((), (), frozenset())
    assert snapshot.balances == (Balance("USDT", Decimal(1_000_000)),)


async def test_a_snapshot_holds_what_the_account_holds(market: Market) -> None:
    first, second = market.place(CLIENT_ID), market.place("contract_2")
    market.fill(first, Decimal("0.5"))
    market.hold_short(Decimal("1.5"))
    snapshot = await market.port.snapshot()
    assert {timeless(order) for order in snapshot.orders} == {
        buy(first, CLIENT_ID, filled=Decimal("0.5")),
        buy(second, "contract_2"),
    }
    assert {Position(row.symbol, row.side, row.quantity, row.margin_mode) for row in snapshot.positions} == {
        Position(BTC, PositionSide.NET, Decimal("0.5"), "cross"),
        Position(ETH, PositionSide.NET, Decimal("-1.5"), "cross"),
    }


async def test_what_changed_says_when_on_the_clock_of_the_snapshot(market: Market) -> None:
    market.place(CLIENT_ID)
    market.hold_short(Decimal(1))
    snapshot = await market.port.snapshot()
    times = [*(row.updated for row in snapshot.orders), *(row.updated for row in snapshot.positions)]
    assert len(times) == 2
    for updated in times:
        assert updated is not None
        assert updated <= snapshot.timestamp


async def test_snapshots_do_not_go_back(market: Market) -> None:
    stamps = [(await market.port.snapshot()).timestamp for _ in range(3)]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("spelling", ["BTCUSDT", BTC])
async def test_a_scope_leaves_other_symbols_out(market: Market, spelling: str) -> None:
    order_id = market.place(CLIENT_ID)
    market.fill(order_id, Decimal(1))
    market.hold_short(Decimal(1))
    snapshot = await market.port.snapshot([spelling])
    assert [row.symbol for row in snapshot.positions] == [BTC]
    assert [row.symbol for row in snapshot.orders] == [BTC]


async def test_a_scope_that_is_not_listed_is_a_fault_of_configuration(market: Market) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await market.port.snapshot(["NOPE"])
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL
    with pytest.raises(ConfigurationError):
        await market.port.find_order(symbol="NOPE", order_id="1")


@pytest.mark.parametrize("by", ["order_id", "client_id"])
@pytest.mark.parametrize("spelling", ["BTCUSDT", BTC])
async def test_an_open_order_is_found_as_it_is_listed(market: Market, by: str, spelling: str) -> None:
    order_id = market.place(CLIENT_ID)
    (listed,) = (await market.port.snapshot()).orders
    name = {"order_id": order_id, "client_id": CLIENT_ID}[by]
    assert await market.port.find_order(symbol=spelling, **{by: name}) == listed


@pytest.mark.parametrize("by", ["order_id", "client_id"])
async def test_a_filled_order_leaves_the_list_and_is_found(market: Market, by: str) -> None:
    order_id = market.place(CLIENT_ID)
    market.fill(order_id, Decimal(2))
    assert (await market.port.snapshot()).orders == ()
    name = {"order_id": order_id, "client_id": CLIENT_ID}[by]
    found = await market.port.find_order(symbol=BTC, **{by: name})
    assert timeless(found) == buy(order_id, CLIENT_ID, filled=Decimal(2), status=OrderStatus.FILLED)


@pytest.mark.parametrize("by", ["order_id", "client_id"])
async def test_a_canceled_order_leaves_the_list_and_is_found_with_what_it_filled(market: Market, by: str) -> None:
    order_id = market.place(CLIENT_ID)
    market.fill(order_id, Decimal("0.5"))
    market.cancel(order_id)
    assert (await market.port.snapshot()).orders == ()
    name = {"order_id": order_id, "client_id": CLIENT_ID}[by]
    found = await market.port.find_order(symbol=BTC, **{by: name})
    assert timeless(found) == buy(order_id, CLIENT_ID, filled=Decimal("0.5"), status=OrderStatus.CANCELED)


async def test_an_order_that_never_was_is_none(market: Market) -> None:
    order_id = market.place(CLIENT_ID)
    assert await market.port.find_order(symbol=BTC, order_id="987654321") is None
    assert await market.port.find_order(symbol=BTC, client_id=NEVER) is None
    assert await market.port.find_order(symbol=ETH, order_id=order_id) is None, "ids are counted up per symbol"


async def test_an_order_without_a_name_is_not_asked_for(market: Market) -> None:
    with pytest.raises(ValueError, match="by its id"):
        await market.port.find_order(symbol=BTC)


async def test_both_spellings_of_a_symbol_are_one(market: Market) -> None:
    await market.port.snapshot()
    assert market.port.canonical_symbol("BTCUSDT") == market.port.canonical_symbol(BTC) == BTC
    assert market.port.canonical_symbol("ETHUSDT") == ETH


@pytest.mark.parametrize("text", ["NOPE", "", "btcusdt ", "BTC/USDT:USDT:USDT"])
async def test_a_symbol_that_is_not_listed_is_a_key_error(market: Market, text: str) -> None:
    await market.port.snapshot()
    with pytest.raises(KeyError):
        market.port.canonical_symbol(text)


async def test_a_failure_is_never_an_empty_account(market: Market) -> None:
    market.place(CLIENT_ID)
    await market.port.snapshot()
    market.fail()
    with pytest.raises(ExchangeUnobserved):
        await market.port.snapshot()
    market.recover()
    assert len((await market.port.snapshot()).orders) == 1


async def test_a_failure_is_never_an_absence(market: Market) -> None:
    order_id = market.place(CLIENT_ID)
    await market.port.snapshot()
    market.fail()
    with pytest.raises(ExchangeUnobserved):
        await market.port.find_order(symbol=BTC, order_id=order_id)
    market.recover()
    assert await market.port.find_order(symbol=BTC, order_id=order_id) is not None


async def test_a_snapshot_is_not_changed_by_what_happens_later(market: Market) -> None:
    market.place(CLIENT_ID)
    snapshot = await market.port.snapshot()
    before = replace(snapshot, marks=dict(snapshot.marks))
    market.hold_short(Decimal(3))
    market.place("contract_2")
    assert len((await market.port.snapshot()).orders) == 2
    assert snapshot == before


# --- a bot's state ----------------------------------------------------------------------------------------------------

DOCUMENT = {
    "version": 1,
    "asOf": "2026-09-21T14:13:20Z",
    "bootId": "boot",
    "ready": True,
    "positions": [
        {"symbol": "BTCUSDT", "quantity": "-0.5"},
        {"symbol": "ETHUSDT", "side": "long", "quantity": "1.5"},
    ],
    "orders": [
        {
            "id": "42",
            "clientId": "bot_1",
            "symbol": "BTC/USDT:USDT",
            "side": "buy",
            "quantity": "2",
            "filled": "0.5",
            "price": "60000",
        }
    ],
    "balances": [{"asset": "USDT", "wallet": "1000.25"}],
}
BELIEF = ExpectedState(
    as_of=START_MS,
    boot_id="boot",
    ready=True,
    positions=(
        ExpectedPosition("BTCUSDT", PositionSide.NET, Decimal("-0.5")),
        ExpectedPosition("ETHUSDT", PositionSide.LONG, Decimal("1.5")),
    ),
    orders=(
        ExpectedOrder(
            symbol=BTC,
            id="42",
            client_id="bot_1",
            side=Side.BUY,
            quantity=Decimal(2),
            filled=Decimal("0.5"),
            price=Decimal(60000),
        ),
    ),
    balances=(ExpectedBalance("USDT", Decimal("1000.25")),),
)
SILENT = {"version": 1, "asOf": DOCUMENT["asOf"]}
EMPTY = SILENT | {"positions": [], "orders": [], "balances": []}


@dataclass
class Published:
    """A bot behind the port, and what it publishes; None: nothing."""

    port: BotState
    publish: Callable[[str | None], None]


@pytest.fixture(params=["http", "configmap"])
async def published(request: pytest.FixtureRequest) -> AsyncIterator[Published]:
    """A bot that publishes nothing yet."""
    text: list[str | None] = [None]

    def publish(new: str | None) -> None:
        text[0] = new

    if request.param == "configmap":

        async def read() -> Mapping[str, str] | None:
            return None if text[0] is None else {"state.json": text[0]}

        yield Published(ConfigMapState(read, namespace="trading", name="grid", key="state.json"), publish)
        return

    async def answer(request: web.Request) -> web.Response:
        del request
        return web.Response(status=404) if text[0] is None else web.Response(text=text[0])

    app = web.Application()
    app.router.add_get("/state", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    ((_, port),) = runner.addresses
    async with open_session(AddressPolicy(["http://127.0.0.1:*"])) as session:
        url = f"http://127.0.0.1:{port}/state"
        yield Published(HttpState(session, url, source="Service trading/grid", timeout=5), publish)
    await runner.cleanup()


async def test_a_belief_is_read_as_it_was_published(published: Published) -> None:
    published.publish(json.dumps(DOCUMENT))
    assert await published.port.read() == BELIEF


async def test_the_stand_in_says_the_same() -> None:
    stand_in: BotState = FakeBot(BELIEF)
    assert await stand_in.read() == BELIEF


async def test_a_section_that_is_not_there_is_none_and_an_empty_one_is_empty(published: Published) -> None:
    published.publish(json.dumps(SILENT))
    silent = await published.port.read()
    assert (silent.positions, silent.orders, silent.balances) == (None, None, None)
    published.publish(json.dumps(EMPTY))
    empty = await published.port.read()
    assert (empty.positions, empty.orders, empty.balances) == ((), (), ())


async def test_each_reading_is_a_new_one(published: Published) -> None:
    published.publish(json.dumps(DOCUMENT))
    first = await published.port.read()
    published.publish(json.dumps(DOCUMENT | {"asOf": "2026-09-21T14:13:21Z"}))
    second = await published.port.read()
    assert second == replace(first, as_of=first.as_of + 1000)


async def test_a_belief_that_is_not_there_is_unobserved(published: Published) -> None:
    with pytest.raises(BeliefUnobserved):
        await published.port.read()
    published.publish(json.dumps(DOCUMENT))
    assert await published.port.read() == BELIEF


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"version": 1}'])
async def test_a_belief_that_is_malformed_is_unobserved_and_never_empty(published: Published, text: str) -> None:
    published.publish(text)
    with pytest.raises(BeliefUnobserved) as caught:
        await published.port.read()
    assert caught.value.reason is Reason.STATE_MALFORMED


async def test_the_stand_in_fails_as_a_bot_does() -> None:
    bot = FakeBot(BELIEF)
    bot.script.append(BeliefUnobserved(Reason.BOT_UNREACHABLE, "down"))
    with pytest.raises(BeliefUnobserved):
        await bot.read()
    assert await bot.read() == BELIEF


# --- a clock ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_a_clock_tells_milliseconds_of_our_age_and_spans_that_never_shrink(clock: Clock) -> None:
    assert 1_700_000_000_000 < clock.now_ms() < 4_000_000_000_000
    spans = [clock.monotonic() for _ in range(100)]
    assert spans == sorted(spans)

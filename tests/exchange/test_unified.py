"""Any exchange: what ccxt's unified structures become."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from tests.exchange.conftest import Connect
from tests.exchange.test_failures import FAULTS, everything_about

from accountsync.domain.account import OrderStatus, Part, PositionSide
from accountsync.errors import AccountSyncError, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import CcxtExchange, Venue, library
from accountsync.exchange.numbers import decimal
from accountsync.exchange.unified import Unified
from accountsync.exchange.unified_rows import read_order, read_position
from accountsync.simulator import Account, Fault, Simulator

MARKETS = {
    "BTC/USDT": {"symbol": "BTC/USDT", "type": "spot", "contract": False, "contractSize": None},
    "BTC/USDT:USDT": {
        "symbol": "BTC/USDT:USDT",
        "type": "swap",
        "linear": True,
        "contract": True,
        "contractSize": Decimal("0.01"),
    },
}


class Scripted:
    """A ccxt instance that answers what it is told to."""

    id = "scripted"
    timeout = 10_000

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.markets = MARKETS
        self.options: dict[str, Any] = {"defaultType": "spot"}
        self.features: dict[str, Any] = {"spot": {"fetchOpenOrders": {"limit": 2}}}
        self.has = dict.fromkeys(("fetchOpenOrders", "fetchOrder", *answers.get("has", ())), True)

    def market(self, symbol: str) -> dict[str, Any]:
        return MARKETS[symbol]

    async def fetch_open_orders(self, symbol: str | None, since: None, limit: int | None, params: Any) -> Any:
        del symbol, since, limit
        answer = self.answers.get("triggers" if params.get("trigger") else "orders", [])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def fetch_positions(self, *_: Any) -> Any:
        return self.answers.get("positions", [])

    async def fetch_balance(self) -> Any:
        return self.answers.get("balance", {"total": {}})

    async def fetch_order(self, order_id: str | None, symbol: str, params: Any) -> Any:
        del order_id, symbol
        answer = self.answers.get("trigger" if params.get("trigger") else "order")
        if answer is None:
            raise library.errors().OrderNotFound
        return answer


ORDER: dict[str, Any] = {
    "id": "1",
    "clientOrderId": "c",
    "symbol": "BTC/USDT",
    "side": "buy",
    "amount": Decimal(2),
    "filled": Decimal(0),
    "price": Decimal(5),
    "status": "open",
    "type": "limit",
    "timestamp": 1000,
}
POSITION: dict[str, Any] = {
    "symbol": "BTC/USDT:USDT",
    "contracts": Decimal(5),
    "contractSize": Decimal("0.01"),
    "side": "short",
    "hedged": False,
    "marginMode": "cross",
    "timestamp": 1000,
}


def test_contracts_become_units_of_the_base_asset() -> None:
    position = read_position(Scripted(), POSITION, frozenset())
    assert (position.side, position.quantity) == (PositionSide.NET, Decimal("-0.05"))
    order = read_order(Scripted(), {**ORDER, "symbol": "BTC/USDT:USDT", "filled": Decimal(1)})
    assert (order.quantity, order.filled) == (Decimal("0.02"), Decimal("0.01"))


def test_a_hedged_short_is_a_leg() -> None:
    position = read_position(Scripted(), {**POSITION, "hedged": True}, frozenset())
    assert (position.side, position.quantity) == (PositionSide.SHORT, Decimal("0.05"))


async def test_a_long_beside_a_short_is_hedged_though_ccxt_does_not_know() -> None:
    rows = [{**POSITION, "hedged": None}, {**POSITION, "hedged": None, "side": "long"}]
    positions = await Unified().positions(Scripted(has=["fetchPositions"], positions=rows), [])
    assert {row.side for row in positions} == {PositionSide.LONG, PositionSide.SHORT}


@pytest.mark.parametrize("side", ["long", "short"])
def test_contracts_below_zero_stay_below_zero(side: str) -> None:
    position = read_position(Scripted(), {**POSITION, "contracts": Decimal(-5), "side": side}, frozenset())
    assert position.side is not PositionSide.NET
    assert position.quantity == Decimal("-0.05")


async def test_a_repeated_position_is_there_twice_and_a_flat_one_is_not() -> None:
    rows = [POSITION, POSITION, {**POSITION, "contracts": Decimal(0), "side": None}]
    assert len(await Unified().positions(Scripted(has=["fetchPositions"], positions=rows), [])) == 2


@pytest.mark.parametrize("value", [None, "abc", Decimal("NaN"), Decimal("Infinity"), float("inf"), Decimal("1e999")])
@pytest.mark.parametrize("field", ["amount", "filled", "contracts"])
async def test_a_quantity_that_is_none_is_refused(field: str, value: object) -> None:
    positions, orders = ([{**POSITION, field: value}], []) if field == "contracts" else ([], [{**ORDER, field: value}])
    with pytest.raises(ExchangeUnobserved) as caught:
        await Unified().snapshot(Scripted(has=["fetchPositions"], positions=positions, orders=orders), [], 1)
    assert caught.value.reason is Reason.EXCHANGE_MALFORMED


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("open", OrderStatus.OPEN),
        ("closed", OrderStatus.FILLED),
        ("canceled", OrderStatus.CANCELED),
        ("expired", OrderStatus.EXPIRED),
        ("rejected", OrderStatus.REJECTED),
        (None, OrderStatus.OPEN),
    ],
)
def test_statuses_have_one_spelling(status: str | None, expected: OrderStatus) -> None:
    assert read_order(Scripted(), {**ORDER, "status": status}).status is expected


def test_an_order_asked_for_must_have_a_status() -> None:
    with pytest.raises(ExchangeUnobserved):
        read_order(Scripted(), {**ORDER, "status": None}, listed=False)


@pytest.mark.parametrize("change", [{"type": "market"}, {"price": Decimal(0)}, {"price": None}])
def test_no_price_is_none(change: dict[str, Any]) -> None:
    assert read_order(Scripted(), {**ORDER, **change}).price is None


async def test_a_full_page_of_orders_is_no_whole_list() -> None:
    assert (await Unified().snapshot(Scripted(orders=[ORDER]), [], 1)).missing == frozenset()
    cut = await Unified().snapshot(Scripted(orders=[ORDER, {**ORDER, "id": "2"}]), [], 1)
    assert (cut.missing, len(cut.orders)) == (frozenset({Part.ORDERS}), 2)


@pytest.mark.parametrize("answer", [None, {}, {"total": None}, {"total": {"BTC": None}}, [], "html"])
async def test_balances_that_are_none_are_refused(answer: Any) -> None:
    with pytest.raises(ExchangeUnobserved):
        await Unified().balances(Scripted(balance=answer))


async def test_spot_without_positions_has_none() -> None:
    snapshot = await Unified().snapshot(
        Scripted(orders=[ORDER], balance={"total": {"BTC": Decimal(1), "ETH": Decimal(0)}}), [], 5000
    )
    assert (snapshot.timestamp, snapshot.positions, len(snapshot.orders)) == (5000, (), 1)
    assert [row.asset for row in snapshot.balances] == ["BTC"]


async def test_an_order_changed_after_the_reading_began_is_unsettled() -> None:
    late = {**ORDER, "lastUpdateTimestamp": 5001}
    assert (await Unified().snapshot(Scripted(orders=[late]), [], 5000)).unsettled == {"BTC/USDT"}


async def test_an_exchange_that_cannot_list_orders_is_the_specs_fault() -> None:
    client = Scripted()
    client.has = {}
    with pytest.raises(ConfigurationError):
        await Unified().orders(client, [])


async def test_an_answer_about_another_order_is_refused() -> None:
    with pytest.raises(ExchangeUnobserved, match="another order"):
        await Unified().find_order(Scripted(order=ORDER), "BTC/USDT", "2", "", None)


async def test_an_order_is_never_looked_for_in_a_list() -> None:
    client = Scripted(order=ORDER)
    client.has["fetchOrder"] = "emulated"  # type: ignore[assignment]
    with pytest.raises(ConfigurationError):
        await Unified().find_order(client, "BTC/USDT", "1", "", None)


async def test_both_ways_of_reading_agree(sim: Simulator, account: Account, venue: Venue) -> None:
    """The same account through ccxt's unified calls: Binance hides nothing on an ordinary day."""
    key = sim.world.create_key(account)
    exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret})
    own = await exchange.snapshot()
    venue.dialect = venue._wire.answers = Unified()
    unified = await exchange.snapshot()
    assert {(row.symbol, row.side, row.quantity) for row in unified.positions} == {
        (row.symbol, row.side, row.quantity) for row in own.positions
    }
    assert {(row.id, row.client_id, row.quantity, row.filled, row.price) for row in unified.orders} == {
        (row.id, row.client_id, row.quantity, row.filled, row.price) for row in own.orders
    }
    order = own.orders[0]
    found = await exchange.find_order(symbol=order.symbol, order_id=order.id)
    assert found is not None
    assert found.id == order.id
    assert await exchange.find_order(symbol=order.symbol, order_id="4711") is None
    sim.faults.add(Fault.http_error(503, path="*/openOrders"))
    with pytest.raises(ExchangeUnobserved):
        await exchange.snapshot()


@pytest.mark.parametrize("path", ["*/time", "*/positionRisk", "*/v3/account", "*/openOrders"])
@pytest.mark.parametrize("kind", sorted(FAULTS.keys() - {"overload as 400"}))  # ccxt knows it at Binance's own host
async def test_failures_have_the_same_reasons_through_ccxt(
    sim: Simulator, account: Account, venue: Venue, kind: str, path: str
) -> None:
    key = sim.world.create_key(account)
    exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret}, timeout=0.4)
    await exchange.snapshot()
    venue.dialect = venue._wire.answers = Unified()
    make, reason = FAULTS[kind]
    sim.faults.add(make(path))
    with pytest.raises(AccountSyncError) as caught:
        await exchange.snapshot()
    assert caught.value.reason is reason
    assert key.api_key not in everything_about(caught.value)
    assert "signature" not in everything_about(caught.value)


async def test_the_market_type_follows_the_scope(account: Account, connect: Connect) -> None:
    exchange = connect(account)
    await exchange.venue.ready()
    client = SimpleNamespace(
        market=exchange.venue._template.market,
        options={"defaultType": "spot"},
        id="x",
        has={},
        markets={},
        features={},
        timeout=10_000,
    )
    with pytest.raises(ConfigurationError):
        await Unified().snapshot(client, ["BTC/USDT:USDT"], 1)
    assert client.options["defaultType"] == "swap"


@pytest.mark.parametrize("text", ["1", "-1.5", "+2", "1e-8", "1E+3", 7, 0.1, Decimal("0.10"), "0", "1."])
def test_numbers_are_numbers(text: Any) -> None:
    assert decimal(text, "it") == Decimal(str(text))

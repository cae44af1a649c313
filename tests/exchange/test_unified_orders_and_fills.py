"""Conditional orders and fills of any exchange, and the units of contracts that are worth a fixed amount."""

from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import pytest
from tests.exchange.test_unified import MARKETS, ORDER, Scripted

from accountsync.domain.account import Fill, OrderStatus, Part, PositionSide, Side
from accountsync.errors import AccountSyncError, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import CcxtExchange, Venue, library
from accountsync.exchange.history import DAY_MS
from accountsync.exchange.unified import Unified
from accountsync.exchange.unified_rows import read_fill, read_order, read_position, steps
from accountsync.simulator import Account, Simulator

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
NOW = 1_790_000_000_000
TRIGGER = {**ORDER, "id": "9", "clientOrderId": "stop", "type": "market", "filled": None, "triggerPrice": Decimal(4)}
TRADE: dict[str, Any] = {
    "id": "1",
    "order": "7",
    "symbol": SWAP,
    "side": "sell",
    "amount": Decimal(5),
    "price": Decimal(60000),
    "timestamp": NOW,
    "info": {},
}


class Apart(Scripted):
    """An exchange that lists conditional orders by themselves."""

    def __init__(self, *, asks_for_one: bool = True, **answers: Any) -> None:
        super().__init__(**answers)
        self.features = {
            "spot": {"fetchOpenOrders": {"limit": 2, "trigger": True}, "fetchOrder": {"trigger": asks_for_one}}
        }


async def snapshot(client: Scripted, symbols: tuple[str, ...] = ()) -> Any:
    return await Unified().snapshot(client, symbols, 5000)


# --- conditional orders -------------------------------------------------------------------------------------


async def test_they_are_read_where_they_are_listed_apart() -> None:
    read = await snapshot(Apart(orders=[ORDER], triggers=[TRIGGER]))
    ordinary, conditional = read.orders
    assert (ordinary.id, ordinary.conditional, conditional.id, conditional.conditional) == ("1", False, "9", True)
    assert (conditional.filled, conditional.price, conditional.trigger_price) == (0, None, Decimal(4))
    assert read.missing == frozenset()
    assert len((await snapshot(Scripted(orders=[ORDER], triggers=[TRIGGER]))).orders) == 1, "elsewhere nobody asks"


async def test_one_that_is_in_both_lists_is_there_once() -> None:
    (order,) = (await snapshot(Apart(orders=[{**TRIGGER, "filled": Decimal(0)}], triggers=[TRIGGER]))).orders
    assert order.conditional


async def test_a_full_page_of_them_may_go_on() -> None:
    read = await snapshot(Apart(triggers=[TRIGGER, {**TRIGGER, "id": "10"}]))
    assert (read.missing, len(read.orders)) == (frozenset({Part.CONDITIONAL}), 2)


@pytest.mark.parametrize("name", ["NetworkError", "ExchangeNotAvailable", "RequestTimeout", "BadResponse"])
async def test_their_list_failing_alone_is_missing(name: str) -> None:
    read = await snapshot(Apart(orders=[ORDER], triggers=getattr(library.errors(), name)("upstream text")))
    assert (read.missing, len(read.orders)) == (frozenset({Part.CONDITIONAL}), 1)


@pytest.mark.parametrize("row", [{**TRIGGER, "amount": None}, {**TRIGGER, "side": None}, {**TRIGGER, "status": "?"}])
async def test_a_row_that_is_none_makes_them_missing(row: dict[str, Any]) -> None:
    assert (await snapshot(Apart(triggers=[row]))).missing == {Part.CONDITIONAL}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("RateLimitExceeded", Reason.RATE_LIMITED),
        ("AuthenticationError", Reason.CREDENTIALS_REJECTED),
        ("ArgumentsRequired", Reason.SPEC_INVALID),
    ],
)
async def test_what_concerns_the_whole_account_is_raised(name: str, reason: Reason) -> None:
    with pytest.raises(AccountSyncError) as caught:
        await snapshot(Apart(triggers=getattr(library.errors(), name)("upstream text")))
    assert caught.value.reason is reason
    assert "upstream" not in str(caught.value)


async def test_one_is_asked_for_behind_the_others() -> None:
    client = Apart(trigger={**TRIGGER, "status": "closed", "info": {"actualOrderId": "12"}})
    for conditional in (None, True):
        order = await Unified().find_order(client, SPOT, "9", "", conditional)
        assert (order.conditional, order.status, order.successor) == (True, OrderStatus.TRIGGERED, "12")
    with pytest.raises(library.errors().OrderNotFound):
        await Unified().find_order(client, SPOT, "9", "", conditional=False)


async def test_an_ordinary_order_is_found_first() -> None:
    client = Apart(order=ORDER, trigger={**TRIGGER, "id": "1"})
    assert not (await Unified().find_order(client, SPOT, "1", "", None)).conditional
    assert (await Unified().find_order(client, SPOT, "1", "", conditional=True)).conditional


async def test_where_all_orders_are_in_one_place_one_question_is_enough() -> None:
    for conditional in (None, False, True):
        assert (await Unified().find_order(Scripted(order=ORDER), SPOT, "1", "", conditional)).id == "1"
        with pytest.raises(library.errors().OrderNotFound):
            await Unified().find_order(Scripted(), SPOT, "1", "", conditional)


@pytest.mark.parametrize("conditional", [None, True])
async def test_what_cannot_be_asked_for_is_no_absence(conditional: bool | None) -> None:
    with pytest.raises(ExchangeUnobserved, match="cannot ask scripted for a conditional order"):
        await Unified().find_order(Apart(asks_for_one=False), SPOT, "1", "", conditional)


# --- fills --------------------------------------------------------------------------------------------------


class Traded(Scripted):
    """An exchange with trades, told oldest first; `asked`: since, limit and until of each call."""

    def __init__(self, times: list[int], **knows: Any) -> None:
        super().__init__(has=["fetchMyTrades"])
        self.trades = [{**TRADE, "id": str(number), "timestamp": time} for number, time in enumerate(times)]
        self.features = {"swap": {"linear": {"fetchMyTrades": knows}}}
        self.asked: list[tuple[int, int, int | None]] = []

    async def fetch_my_trades(self, symbol: str, since: int, limit: int, params: dict[str, int]) -> Any:
        assert symbol == SWAP
        until = params.get("until")
        self.asked.append((since, limit, until))
        told = [
            row for row in self.trades if since <= row["timestamp"] and (until is None or row["timestamp"] <= until)
        ]
        return told[:limit]


async def fills(client: Scripted, since: int = NOW - 1000) -> tuple[Fill, ...]:
    return await Unified().fills(client, SWAP, since, NOW, lambda _: nullcontext())


async def test_fills_are_in_units_of_the_base_asset() -> None:
    (fill,) = await fills(Traded([NOW], limit=100))
    assert fill == Fill("0", "7", SWAP, Side.SELL, PositionSide.NET, Decimal("0.05"), Decimal(60000), NOW)


async def test_fills_are_asked_for_page_by_page() -> None:
    client = Traded(list(range(NOW - 900, NOW, 100)), limit=4)
    assert [fill.id for fill in await fills(client)] == [str(number) for number in range(9)]
    assert {limit for _, limit, _ in client.asked} == {4}


async def test_fills_of_long_ago_are_asked_for_span_by_span() -> None:
    since = NOW - 20 * DAY_MS
    client = Traded(list(range(since, NOW, DAY_MS)), limit=100, untilDays=7)
    assert len(await fills(client, since)) == 20
    assert len(client.asked) == 3
    assert all(until is None or until - start < 7 * DAY_MS for start, _, until in client.asked)


async def test_fills_that_are_kept_no_more_are_not_told_in_part() -> None:
    with pytest.raises(ExchangeUnobserved, match="kept for 90 days"):
        await fills(Traded([], daysBack=90), NOW - 91 * DAY_MS)


@pytest.mark.parametrize("field", ["id", "order", "symbol", "side", "amount", "price", "timestamp"])
@pytest.mark.parametrize("value", [None, "", [], Decimal("NaN")])
def test_a_fill_that_is_none_is_refused(field: str, value: object) -> None:
    with pytest.raises(ExchangeUnobserved):
        read_fill(Scripted(), {**TRADE, field: value})


async def test_fills_of_another_symbol_are_refused() -> None:
    client = Traded([NOW])
    client.trades[0]["symbol"] = SPOT
    with pytest.raises(ExchangeUnobserved, match="another symbol"):
        await fills(client)


@pytest.mark.parametrize(
    ("info", "leg"),
    [
        ({"positionSide": "LONG"}, PositionSide.LONG),
        ({"posSide": "short"}, PositionSide.SHORT),
        ({"posSide": "net"}, PositionSide.NET),
        ({"positionSide": "BOTH"}, PositionSide.NET),
        ({}, PositionSide.NET),
        (None, PositionSide.NET),
    ],
)
def test_the_leg_is_what_the_exchange_names(info: object, leg: PositionSide) -> None:
    assert read_fill(Scripted(), {**TRADE, "info": info}).leg is leg


async def test_an_exchange_that_tells_no_fills_says_so() -> None:
    assert not Unified().tells_fills(Scripted())
    with pytest.raises(ConfigurationError):
        await fills(Scripted())
    with pytest.raises(ConfigurationError):
        await Unified().income(Scripted(), 0, NOW, lambda _: nullcontext())


# --- units --------------------------------------------------------------------------------------------------


def test_steps_are_in_units_of_the_base_asset() -> None:
    client = Scripted()
    client.precisionMode = 4  # type: ignore[attr-defined]
    client.markets = {
        SPOT: {**MARKETS[SPOT], "precision": {"amount": Decimal("0.00001")}},
        SWAP: {**MARKETS[SWAP], "precision": {"amount": Decimal(1)}},
        "ETH/USDT": {"precision": {"amount": None}},
        "XRP/USDT": {},
    }
    assert dict(steps(client)) == {SPOT: Decimal("0.00001"), SWAP: Decimal("0.01")}
    client.precisionMode = 3  # type: ignore[attr-defined]
    assert dict(steps(client)) == {}, "a number of digits is no step"


@pytest.mark.parametrize("zero", [Decimal("-0"), Decimal("-0.0"), "-0", -0.0])
async def test_a_negative_zero_is_flat(zero: object) -> None:
    row = {"symbol": SWAP, "contracts": zero, "contractSize": Decimal("0.01"), "side": "short", "hedged": False}
    assert await Unified().positions(Scripted(has=["fetchPositions"], positions=[row]), []) == []


def test_dust_is_not_flat() -> None:
    row = {"symbol": SWAP, "contracts": Decimal("0.00000001"), "side": "long", "hedged": False}
    assert read_position(Scripted(), row, frozenset()).quantity == Decimal("0.0000000001")


COIN_MARKET = {
    "symbol": "BTCUSD_PERP", "pair": "BTCUSD", "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
    "onboardDate": 1597042800000, "contractStatus": "TRADING", "contractSize": 100, "marginAsset": "BTC",
    "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000", "baseAsset": "BTC", "quoteAsset": "USD",
    "pricePrecision": 1, "quantityPrecision": 0, "baseAssetPrecision": 8, "quotePrecision": 8,
    "filters": [{"filterType": "LOT_SIZE", "minQty": "1", "maxQty": "1000000", "stepSize": "1"}],
}  # fmt: skip
COIN = "BTC/USD:BTC"
COIN_TRADE = {
    "symbol": "BTCUSD_PERP", "id": 6, "orderId": 28, "pair": "BTCUSD", "side": "SELL", "price": "8800", "qty": "3",
    "realizedPnl": "0", "marginAsset": "BTC", "baseQty": "0.03409090", "commission": "0.00000454",
    "commissionAsset": "BTC", "time": 1590743483586, "positionSide": "SHORT", "buyer": False, "maker": False,
}  # fmt: skip
COIN_ORDER = {
    "avgPrice": "0.0", "clientOrderId": "abc", "cumBase": "0", "executedQty": "1", "orderId": 1917641, "origQty": "4",
    "origType": "LIMIT", "price": "8900.5", "reduceOnly": False, "side": "SELL", "positionSide": "BOTH",
    "status": "PARTIALLY_FILLED", "symbol": "BTCUSD_PERP", "pair": "BTCUSD", "time": 1579276756075,
    "timeInForce": "GTC", "type": "LIMIT", "updateTime": 1579276756075,
}  # fmt: skip


@pytest.fixture(scope="module")
def coin_margined() -> Any:
    client = library.exchange_class("binancecoinm")({"number": Decimal})
    client.set_markets([client.parse_market(COIN_MARKET)])
    return client


def test_inverse_contracts_are_in_the_quote_currency(coin_margined: Any) -> None:
    market = coin_margined.market("BTCUSD_PERP")
    assert (market["symbol"], market["inverse"], market["contractSize"]) == (COIN, True, Decimal(100))
    order = read_order(coin_margined, coin_margined.parse_order(COIN_ORDER, market))
    assert (order.quantity, order.filled, order.price) == (Decimal(400), Decimal(100), Decimal("8900.5"))
    fill = read_fill(coin_margined, coin_margined.parse_trade(COIN_TRADE, market))
    assert (fill.symbol, fill.order_id, fill.leg) == (COIN, "28", PositionSide.SHORT)
    assert (fill.quantity, fill.price, fill.time) == (Decimal(300), Decimal(8800), 1590743483586)
    row = {"symbol": COIN, "contracts": Decimal(7), "contractSize": Decimal(100), "side": "short", "hedged": False}
    assert read_position(coin_margined, row, frozenset()).quantity == Decimal(-700)
    assert dict(steps(coin_margined)) == {COIN: Decimal(100)}


def test_both_kinds_of_orders_are_listed_apart_there(coin_margined: Any) -> None:
    assert coin_margined.features["swap"]["inverse"]["fetchOpenOrders"]["trigger"] is True


async def test_fills_come_through_ccxt_itself(coin_margined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def answer(params: dict[str, Any]) -> list[Any]:
        asked.append(params)
        return [COIN_TRADE]

    monkeypatch.setattr(coin_margined, "dapiPrivateGetUserTrades", answer)
    since = 1590743483586
    told = await Unified().fills(coin_margined, COIN, since, since + 1000, lambda _: nullcontext())
    assert [fill.quantity for fill in told] == [Decimal(300)]
    assert asked == [{"symbol": "BTCUSD_PERP", "startTime": since, "limit": 1000}]


async def test_both_ways_of_reading_conditional_orders_and_fills_agree(
    sim: Simulator, account: Account, venue: Venue
) -> None:
    key = sim.world.create_key(account)
    exchange = CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret})
    algo = sim.world.algos.place(
        account, symbol="BTCUSDT", side="SELL", order_type="STOP_MARKET", quantity=Decimal("0.004"),
        trigger_price=Decimal(1000), client_algo_id="stop_1",
    )  # fmt: skip
    since = sim.world.now_ms() - 60_000
    own, own_fills = await exchange.snapshot(), await exchange.fills("BTCUSDT", since)
    venue.dialect = venue._wire.answers = Unified()
    unified = await exchange.snapshot()
    assert {(row.ref, row.client_id, row.quantity, row.price, row.trigger_price) for row in unified.orders} == {
        (row.ref, row.client_id, row.quantity, row.price, row.trigger_price) for row in own.orders
    }
    assert (unified.missing, unified.steps) == (own.missing, own.steps)
    for spelling in ("BTCUSDT", SWAP):
        assert await exchange.fills(spelling, since) == own_fills
    found = await exchange.find_order(symbol=SWAP, order_id=str(algo.algo_id))
    assert found is not None
    assert found.conditional
    assert await exchange.find_order(symbol=SWAP, order_id="4711") is None

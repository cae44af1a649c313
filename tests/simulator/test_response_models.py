"""Every field of the published response models is in the answers with its type; what is not stands on one list."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.simulator import published_models as published
from tests.simulator.published_models import Model
from tests.simulator.support import Wire

from accountsync.simulator.limitations import LEFT_OUT, SIMPLIFIED

Pick = Callable[[Any], Any]
BTC = "symbol=BTCUSDT"


def whole(body: Any) -> Any:
    return body


def rows_of(name: str) -> Pick:
    return lambda body: body[name]


@pytest.fixture
async def traded(wire: Wire) -> Wire:
    world = wire.sim.world
    account = world.account("grid-btc")
    world.set_position(account, "BTCUSDT", Decimal("0.1"))
    for client_order_id in ("held", "gone", "amended"):
        world.place_order(
            account,
            symbol="BTCUSDT",
            side="BUY",
            price=Decimal(60_000),
            quantity=Decimal("0.01"),
            client_order_id=client_order_id,
        )
    amended = world.find_order(account, "BTCUSDT", client_order_id="amended")
    assert amended
    world.amend(amended, price=Decimal(61_000), modify_id=7)
    stops = [
        world.algos.place(
            account,
            symbol="BTCUSDT",
            side="SELL",
            order_type="STOP_MARKET",
            trigger_price=Decimal(50_000),
            quantity=Decimal("0.01"),
            client_algo_id=client_algo_id,
        )
        for client_algo_id in ("waiting", "triggered")
    ]
    world.algos.trigger(stops[1])
    world.pay_funding("BTCUSDT", Decimal("0.0001"))
    world.set_position(account, "ETHUSDT", Decimal(2))
    world.deleverage(account, "ETHUSDT", "BOTH", Decimal(1))
    return wire


CASES: list[tuple[str, str, str, Pick, Model]] = [
    ("time", "/fapi/v1/time", "", whole, published.TIME),
    ("exchangeInfo", "/fapi/v1/exchangeInfo", "", whole, published.EXCHANGE_INFO),
    ("exchangeInfo.rateLimits", "/fapi/v1/exchangeInfo", "", rows_of("rateLimits"), published.RATE_LIMIT),
    ("exchangeInfo.assets", "/fapi/v1/exchangeInfo", "", rows_of("assets"), published.ASSET_INFO),
    ("exchangeInfo.symbols", "/fapi/v1/exchangeInfo", "", rows_of("symbols"), published.CONTRACT),
    ("ticker/price", "/fapi/v1/ticker/price", "", whole, published.PRICE),
    ("ticker/price", "/fapi/v1/ticker/price", BTC, whole, published.PRICE),
    ("ticker/price", "/fapi/v2/ticker/price", "", whole, published.PRICE),
    ("ticker/24hr", "/fapi/v1/ticker/24hr", BTC, whole, published.DAY),
    ("depth", "/fapi/v1/depth", BTC, whole, published.DEPTH),
    ("bookTicker", "/fapi/v1/ticker/bookTicker", "", whole, published.BOOK_TICKER),
    ("bookTicker", "/fapi/v1/ticker/bookTicker", BTC, whole, published.BOOK_TICKER),
    ("premiumIndex", "/fapi/v1/premiumIndex", "", whole, published.PREMIUM_INDEX),
    ("premiumIndex", "/fapi/v1/premiumIndex", BTC, whole, published.PREMIUM_INDEX),
    ("leverageBracket", "/fapi/v1/leverageBracket", "", whole, published.BRACKETS),
    ("leverageBracket", "/fapi/v1/leverageBracket", BTC, whole, published.BRACKETS),
    ("leverageBracket", "/fapi/v1/leverageBracket", BTC, rows_of("brackets"), published.BRACKET),
    ("positionSide", "/fapi/v1/positionSide/dual", "", whole, published.POSITION_MODE),
    ("multiAssetsMargin", "/fapi/v1/multiAssetsMargin", "", whole, published.MULTI_ASSETS),
    ("accountConfig", "/fapi/v1/accountConfig", "", whole, published.ACCOUNT_CONFIG),
    ("symbolConfig", "/fapi/v1/symbolConfig", "", whole, published.SYMBOL_CONFIG),
    ("commissionRate", "/fapi/v1/commissionRate", BTC, whole, published.COMMISSION),
    ("order", "/fapi/v1/order", f"{BTC}&origClientOrderId=held", whole, published.ORDER),
    ("order", "/fapi/v1/openOrder", f"{BTC}&origClientOrderId=held", whole, published.ORDER),
    ("order", "/fapi/v1/openOrders", "", whole, published.ORDER),
    ("order", "/fapi/v1/allOrders", BTC, whole, published.LISTED_ORDER),
    ("orderAmendment", "/fapi/v1/orderAmendment", f"{BTC}&origClientOrderId=amended", whole, published.AMENDMENT),
    ("algoOrder", "/fapi/v1/algoOrder", "clientAlgoId=triggered", whole, published.ALGO_ORDER),
    ("algoOrders", "/fapi/v1/openAlgoOrders", "", whole, published.LISTED_ALGO_ORDER),
    ("algoOrders", "/fapi/v1/allAlgoOrders", BTC, whole, published.LISTED_ALGO_ORDER),
    ("userTrades", "/fapi/v1/userTrades", BTC, whole, published.TRADE),
    ("income", "/fapi/v1/income", "", whole, published.INCOME),
    ("forceOrders", "/fapi/v1/forceOrders", "", whole, published.FORCED_ORDER),
    ("account/apiRestrictions", "/sapi/v1/account/apiRestrictions", "", whole, published.KEY_PERMISSIONS),
    ("positionRisk", "/fapi/v2/positionRisk", "", whole, published.POSITION_RISK_V2),
    ("positionRisk", "/fapi/v3/positionRisk", "", whole, published.POSITION_RISK_V3),
    ("account", "/fapi/v2/account", "", whole, published.ACCOUNT_V2),
    ("account.assets", "/fapi/v2/account", "", rows_of("assets"), published.ACCOUNT_ASSET_V2),
    ("account.positions", "/fapi/v2/account", "", rows_of("positions"), published.ACCOUNT_POSITION_V2),
    ("account", "/fapi/v3/account", "", whole, published.ACCOUNT_V3),
    ("account.assets", "/fapi/v3/account", "", rows_of("assets"), published.ACCOUNT_ASSET),
    ("account.positions", "/fapi/v3/account", "", rows_of("positions"), published.ACCOUNT_POSITION_V3),
    ("balance", "/fapi/v2/balance", "", whole, published.BALANCE),
    ("balance", "/fapi/v3/balance", "", whole, published.BALANCE),
    ("capital/config/getall", "/sapi/v1/capital/config/getall", "", whole, published.COIN),
    ("margin/allPairs", "/sapi/v1/margin/allPairs", "", whole, published.MARGIN_PAIR),
]


def assert_complete(name: str, row: dict[str, Any], fields: Model) -> None:
    missing = {field for field in fields if field not in row}
    assert missing == {field for field in fields if (name, field) in LEFT_OUT}
    wrong = {field: row[field] for field, types in fields.items() if field in row and type(row[field]) not in types}
    assert not wrong


@pytest.mark.parametrize(("name", "path", "params", "pick", "fields"), CASES, ids=lambda value: str(value)[:40])
async def test_every_published_field_is_there(
    traded: Wire, name: str, path: str, params: str, pick: Pick, fields: Model
) -> None:
    found = pick((await traded.get(path, params)).json)
    rows = found if isinstance(found, list) else [found]
    assert rows
    for row in rows:
        assert_complete(name, row, fields)


async def test_every_network_of_a_coin(traded: Wire) -> None:
    for coin in (await traded.get("/sapi/v1/capital/config/getall")).json:
        for network in coin["networkList"]:
            assert_complete("network", network, published.NETWORK)


async def test_placing_and_cancelling(traded: Wire) -> None:
    order = f"{BTC}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.1&price=60000"
    placed = await traded.send("POST", "/fapi/v1/order", traded.signed(order))
    assert_complete("order", placed.json, published.PLACED)
    canceled = await traded.send("DELETE", "/fapi/v1/order", traded.signed(f"{BTC}&origClientOrderId=gone"))
    assert_complete("order", canceled.json, published.CANCELED)


async def test_trading(traded: Wire) -> None:
    async def answer(method: str, path: str, **params: object) -> Any:
        told = await traded.call(method, f"/fapi/v1/{path}", symbol="BTCUSDT", **params)
        assert told.status == 200
        return told.json

    stop = {"algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "triggerPrice": 60_000, "quantity": "0.1"}
    for told, fields in (
        (await answer("POST", "order", side="BUY", type="MARKET", quantity="0.01"), published.PLACED),
        ((await answer("DELETE", "batchOrders", origClientOrderIdList='["held"]'))[0], published.CANCELED),
        (await answer("DELETE", "allOpenOrders"), published.CANCELED_ALL),
        (await answer("POST", "countdownCancelAll", countdownTime=1000), published.COUNTDOWN),
        (await answer("POST", "algoOrder", **stop, clientAlgoId="stop"), published.PLACED_ALGO_ORDER),
        (await answer("DELETE", "algoOrder", clientAlgoId="stop"), published.CANCELED_ALGO_ORDER),
        (await answer("DELETE", "algoOpenOrders"), published.CANCELED_ALL),
    ):
        assert_complete("order" if "orderId" in told else "else", told, fields)


async def test_amending(traded: Wire) -> None:
    change = f"{BTC}&origClientOrderId=held&side=BUY&quantity=0.01&price=59000&modifyId=3"
    amended = await traded.send("PUT", "/fapi/v1/order", traded.signed(change))
    assert_complete("order", amended.json, published.MODIFIED)
    (row,) = (await traded.get("/fapi/v1/orderAmendment", f"{BTC}&origClientOrderId=held")).json
    assert_complete("amendment", row["amendment"], published.AMENDED)
    assert_complete("change", row["amendment"]["price"], published.CHANGED)
    assert_complete("change", row["amendment"]["origQty"], published.CHANGED)


async def test_filters_carry_published_fields_and_all_of_them_somewhere(traded: Wire) -> None:
    for contract in (await traded.get("/fapi/v1/exchangeInfo")).json["symbols"]:
        seen: set[str] = set()
        for row in contract["filters"]:
            assert {name: type(value) for name, value in row.items()}.items() <= {
                (name, types[0]) for name, types in published.FILTER.items()
            }
            seen |= set(row)
        assert seen == set(published.FILTER)


def test_the_lists_of_exceptions_name_calls_that_exist() -> None:
    calls = {name for name, *_ in CASES} | {"exchangeInfo.filters"}
    assert {call for call, _ in [*LEFT_OUT, *SIMPLIFIED]} <= calls

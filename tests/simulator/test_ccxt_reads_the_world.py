"""What unmodified ccxt makes of the simulator's answers is the simulator's own state, field by field."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.simulator.support import conditional

from accountsync.simulator import Account, ApiKey, Order, Position, Simulator
from accountsync.simulator.algo import AlgoOrder

BTC = "BTC/USDT:USDT"
Connect = Callable[..., Any]


def exact(value: str) -> Decimal:
    return Decimal(value)


@pytest.fixture
def exchange(connect: Connect, key: ApiKey) -> Any:
    return connect(key, number=Decimal)


def place(sim: Simulator, account: Account, **changes: Any) -> Order:
    order: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "price": exact("64000.10"), "quantity": exact("0.1")}
    return sim.world.place_order(account, **(order | changes))


async def test_without_keys_the_markets_load(connect: Connect, sim: Simulator) -> None:
    markets = await connect(number=Decimal).load_markets()
    for spec in sim.world.specs.values():
        market = markets[f"{spec.base}/USDT:USDT"]
        assert market["id"] == spec.symbol
        assert market["active"] is True
        assert market["linear"] is True
        assert market["contractSize"] == 1
        assert market["precision"]["price"] == spec.tick_size
        assert market["precision"]["amount"] == spec.step_size
        assert market["limits"]["amount"] == {"min": spec.step_size, "max": spec.max_quantity}
        assert market["limits"]["price"] == {"min": spec.tick_size, "max": spec.max_price}
        assert market["limits"]["cost"]["min"] == spec.min_notional
    assert len(markets) == len(sim.world.specs)


async def test_with_keys_the_markets_and_currencies_load(exchange: Any, sim: Simulator) -> None:
    await exchange.load_markets()
    assert {spec.base for spec in sim.world.specs.values()} <= set(exchange.currencies)
    assert {record.path for record in sim.requests} == {
        "/fapi/v1/exchangeInfo",
        "/sapi/v1/capital/config/getall",
        "/sapi/v1/margin/allPairs",
    }


async def test_the_time_is_the_exchanges(exchange: Any, sim: Simulator) -> None:
    before = sim.world.now_ms()
    told = await exchange.fetch_time()
    assert before <= told <= sim.world.now_ms()


def assert_same_order(parsed: dict[str, Any], order: Order, symbol: str = BTC) -> None:
    status = {"NEW": "open", "PARTIALLY_FILLED": "open", "FILLED": "closed", "CANCELED": "canceled"}
    status |= {"EXPIRED": "expired", "REJECTED": "rejected"}
    expected = {
        "id": str(order.order_id),
        "clientOrderId": order.client_order_id,
        "symbol": symbol,
        "type": "limit",
        "side": order.side.lower(),
        "price": order.price,
        "amount": order.orig_qty,
        "filled": order.executed_qty,
        "remaining": order.remaining,
        "cost": order.cum_quote,
        "average": order.average_price or None,
        "status": status[order.status],
        "timestamp": order.time,
        "lastUpdateTimestamp": order.update_time,
        "timeInForce": order.time_in_force,
        "reduceOnly": order.reduce_only,
        "triggerPrice": None,
    }
    assert {name: parsed[name] for name in expected} == expected


async def test_open_orders_of_all_symbols(exchange: Any, sim: Simulator, account: Account) -> None:
    whole = place(sim, account, client_order_id="web_1")
    part = sim.world.fill(place(sim, account, side="SELL", price=exact("66000.10")), quantity=exact("0.033"))
    other = place(sim, account, symbol="DOGEUSDT", price=exact("0.1"), quantity=exact("1000"), reduce_only=True)
    sim.world.cancel(place(sim, account))
    parsed = {row["id"]: row for row in await exchange.fetch_open_orders()}
    assert len(parsed) == 3
    assert_same_order(parsed[str(whole.order_id)], whole)
    assert_same_order(parsed[str(part.order_id)], part)
    assert_same_order(parsed[str(other.order_id)], other, "DOGE/USDT:USDT")


async def test_open_orders_of_one_symbol(exchange: Any, sim: Simulator, account: Account) -> None:
    place(sim, account)
    other = place(sim, account, symbol="DOGEUSDT", price=exact("0.1"), quantity=exact("1000"))
    (parsed,) = await exchange.fetch_open_orders("DOGE/USDT:USDT")
    assert_same_order(parsed, other, "DOGE/USDT:USDT")


async def test_ids_beyond_a_doubles_precision_survive(exchange: Any, sim: Simulator, account: Account) -> None:
    order = place(sim, account, symbol="ETHUSDT", price=exact("3000"), quantity=exact("1"))
    assert order.order_id > 2**53
    assert_same_order(await exchange.fetch_order(str(order.order_id), "ETH/USDT:USDT"), order, "ETH/USDT:USDT")


@pytest.mark.parametrize("action", ["cancel", "expire", "reject", "fill"])
async def test_an_order_in_every_end_state(exchange: Any, sim: Simulator, account: Account, action: str) -> None:
    order = getattr(sim.world, action)(place(sim, account))
    assert_same_order(await exchange.fetch_order(str(order.order_id), BTC), order)


async def test_an_order_by_its_client_id(exchange: Any, sim: Simulator, account: Account) -> None:
    order = place(sim, account, client_order_id="x-cvBPrNm9-mine")
    found = await exchange.fetch_order(None, BTC, {"origClientOrderId": "x-cvBPrNm9-mine"})
    assert_same_order(found, order)


def assert_same_algo(parsed: dict[str, Any], algo: AlgoOrder) -> None:
    status = {"NEW": "open", "TRIGGERED": "closed", "FINISHED": "closed", "CANCELED": "canceled"}
    status |= {"EXPIRED": "expired", "REJECTED": "rejected"}
    expected = {
        "id": str(algo.algo_id),
        "clientOrderId": algo.client_algo_id,
        "symbol": BTC,
        "type": "limit" if algo.type.makes_limit else "market",
        "side": algo.side.lower(),
        "price": float(algo.price) or None,
        "triggerPrice": float(algo.trigger_price),
        "takeProfitPrice": float(algo.trigger_price) if algo.type.takes_profit else None,
        "amount": float(algo.quantity),
        "status": status[algo.status],
        "timestamp": algo.create_time,
        "lastUpdateTimestamp": algo.update_time,
        "reduceOnly": algo.reduce_only,
    }
    assert {name: parsed[name] for name in expected} == expected


TRIGGER = {"trigger": True}


@pytest.fixture
def floating(connect: Connect, key: ApiKey) -> Any:
    """With floats: with Decimals ccxt loses the trigger price."""
    return connect(key)


async def test_conditional_orders(floating: Any, sim: Simulator, account: Account) -> None:
    assert await floating.fetch_open_orders(params=TRIGGER) == []
    stop = conditional(sim.world, account, client_algo_id="sl_1")
    profit = conditional(
        sim.world, account, order_type="TAKE_PROFIT", trigger_price="70000", price="70010", reduce_only=True
    )
    for symbol in (BTC, None):
        rows = {row["id"]: row for row in await floating.fetch_open_orders(symbol, params=TRIGGER)}
        assert len(rows) == 2
        assert_same_algo(rows[str(stop.algo_id)], stop)
        assert_same_algo(rows[str(profit.algo_id)], profit)
    assert await floating.fetch_open_orders(BTC) == []
    assert_same_algo(await floating.fetch_order(str(stop.algo_id), BTC, TRIGGER), stop)
    assert_same_algo(await floating.fetch_order(None, BTC, {**TRIGGER, "clientAlgoId": "sl_1"}), stop)


@pytest.mark.parametrize("action", ["cancel", "expire", "reject", "trigger"])
async def test_a_conditional_order_in_every_end_state(
    floating: Any, sim: Simulator, account: Account, action: str
) -> None:
    ended = getattr(sim.world.algos, action)(conditional(sim.world, account))
    assert_same_algo(await floating.fetch_order(str(ended.algo_id), BTC, TRIGGER), ended)
    (row,) = await floating.fetch_orders(BTC, params=TRIGGER)
    assert_same_algo(row, ended)


async def test_a_child_order_is_an_order_of_its_own(exchange: Any, sim: Simulator, account: Account) -> None:
    child = sim.world.algos.trigger(conditional(sim.world, account)).child
    assert child
    parsed = await exchange.fetch_order(str(child.order_id), BTC)
    assert (parsed["type"], parsed["status"], parsed["filled"]) == ("market", "closed", exact("0.1"))
    assert parsed["average"] == sim.world.marks["BTCUSDT"]


async def test_all_orders_of_a_symbol(exchange: Any, sim: Simulator, account: Account) -> None:
    filled, canceled, waiting = (place(sim, account) for _ in range(3))
    ended = [sim.world.fill(filled), sim.world.cancel(canceled), waiting]
    place(sim, account, symbol="ETHUSDT", price=exact("3000"))
    rows = await exchange.fetch_orders(BTC)
    for row, order in zip(rows, ended, strict=True):
        assert_same_order(row, order)
    (first,) = await exchange.fetch_orders(BTC, since=waiting.time - 1000, limit=1)
    assert_same_order(first, ended[0])


async def test_editing_an_order(connect: Connect, sim: Simulator, account: Account, trading_key: ApiKey) -> None:
    exchange = connect(trading_key, number=Decimal)
    order = place(sim, account, client_order_id="web_1")
    edited = await exchange.edit_order(str(order.order_id), BTC, "limit", "buy", exact("0.2"), exact("63000"))
    assert (edited["id"], edited["clientOrderId"]) == (str(order.order_id), "web_1")
    assert (edited["amount"], edited["price"], edited["status"]) == (exact("0.2"), exact("63000"), "open")
    current = sim.world.current(order)
    assert (current.orig_qty, current.price) == (exact("0.2"), exact("63000"))
    (row,) = await exchange.fapiPrivateGetOrderAmendment({"symbol": "BTCUSDT", "orderId": edited["id"]})
    assert row["amendment"]["origQty"] == {"before": "0.100", "after": "0.200"}


def assert_same_position(parsed: dict[str, Any], position: Position, sim: Simulator) -> None:
    mark = sim.world.marks[position.symbol]
    expected = {
        "contracts": abs(position.amount),
        "side": "long" if position.amount > 0 else "short",
        "hedged": position.position_side != "BOTH",
        "entryPrice": position.entry_price,
        "markPrice": mark,
        "notional": abs(position.amount) * mark,
        "unrealizedPnl": position.amount * (mark - position.entry_price),
        "timestamp": position.update_time,
    }
    assert {name: parsed[name] for name in expected} == expected


async def test_positions(exchange: Any, sim: Simulator, account: Account) -> None:
    long = sim.world.set_position(account, "BTCUSDT", exact("0.25"), entry_price=exact("64123.4"))
    short = sim.world.set_position(account, "SOLUSDT", exact("-12.5"), entry_price=exact("151.25"))
    sim.world.set_mark_price("SOLUSDT", exact("149.9"))
    parsed = {row["symbol"]: row for row in await exchange.fetch_positions()}
    assert set(parsed) == {BTC, "SOL/USDT:USDT"}
    assert_same_position(parsed[BTC], long, sim)
    assert_same_position(parsed["SOL/USDT:USDT"], short, sim)


async def test_margins_and_liquidation_price_of_a_position(
    exchange: Any, connect: Connect, sim: Simulator, account: Account, key: ApiKey
) -> None:
    sim.world.set_leverage(account, "BTCUSDT", 5)
    sim.world.set_position(account, "BTCUSDT", exact("0.5"), entry_price=exact("65000"))
    (parsed,) = await exchange.fetch_positions()
    (row,) = [row for row in sim.world.margin(account).positions if row.position.amount]
    assert parsed["initialMargin"] == row.initial == exact("6500")
    assert parsed["maintenanceMargin"] == row.maintenance == exact("130")
    assert parsed["maintenanceMarginPercentage"] == exact("0.004")
    assert parsed["marginMode"] == "cross"
    liquidation = sim.world.margin(account).liquidation_price(row)
    assert parsed["liquidationPrice"] == round(liquidation, 8) == exact("45180.72289157")
    # ccxt works backwards from the liquidation price to the money behind the position (with Decimals it cannot)
    (parsed,) = await connect(key).fetch_positions()
    assert parsed["collateral"] == pytest.approx(10_000)


async def test_both_versions_and_the_account_call_tell_the_same_position(
    exchange: Any, connect: Connect, sim: Simulator, account: Account, key: ApiKey
) -> None:
    position = sim.world.set_position(account, "BTCUSDT", exact("-0.3"), entry_price=exact("66000"))
    for params in ({"useV2": True}, {"useV2": False}):
        (parsed,) = [row for row in await exchange.fetch_positions(params=params) if row["contracts"]]
        assert_same_position(parsed, position, sim)
    # ccxt cannot parse this one with Decimals: it finds no precision
    (parsed,) = await connect(key).fetch_positions(params={"method": "account"})
    assert parsed["contracts"] == 0.3
    assert parsed["side"] == "short"
    assert parsed["unrealizedPnl"] == 300


async def test_hedge_legs(connect: Connect, sim: Simulator) -> None:
    account = sim.world.create_account("hedged", wallet={"USDT": exact("5000")}, hedge_mode=True)
    exchange = connect(sim.world.create_key(account), number=Decimal)
    long = sim.world.set_position(account, "BTCUSDT", exact("0.2"), position_side="LONG")
    short = sim.world.set_position(account, "BTCUSDT", exact("-0.1"), position_side="SHORT")
    legs = {row["side"]: row for row in await exchange.fetch_positions()}
    assert_same_position(legs["long"], long, sim)
    assert_same_position(legs["short"], short, sim)
    assert (await exchange.fetch_position_mode())["hedged"] is True


@pytest.mark.parametrize("version_2", [True, False])
async def test_balances(exchange: Any, sim: Simulator, account: Account, version_2: bool) -> None:
    sim.world.set_position(account, "BTCUSDT", exact("0.1"), entry_price=exact("64000"))
    place(sim, account, symbol="ETHUSDT", price=exact("3000"), quantity=exact("2"))
    usdt = sim.world.margin(account).assets["USDT"]
    parsed = await exchange.fetch_balance({"useV2": version_2})
    assert parsed["USDT"] == {"free": usdt.available, "used": usdt.initial, "total": usdt.margin_balance}
    assert usdt.margin_balance == 10_000 + 100
    assert usdt.initial == 6500 / 20 + 6000 / 20
    assert parsed["BNB"]["total"] == exact("0.5")
    assert "BTC" not in parsed  # never touched


@pytest.mark.parametrize("path", ["fapiPrivateV2GetBalance", "fapiPrivateV3GetBalance"])
async def test_the_balance_call_itself(exchange: Any, account: Account, path: str) -> None:
    rows = {row["asset"]: row for row in await getattr(exchange, path)()}
    assert exact(rows["USDT"]["balance"]) == account.balances["USDT"].wallet
    assert rows["USDT"]["accountAlias"] == account.alias


async def test_leverage_tiers(exchange: Any, sim: Simulator) -> None:
    tiers = await exchange.fetch_leverage_tiers()
    for spec in sim.world.specs.values():
        parsed = tiers[f"{spec.base}/USDT:USDT"]
        for tier, step in zip(parsed, spec.brackets, strict=True):
            assert tier["tier"] == step.number
            assert tier["minNotional"] == step.floor
            assert tier["maxNotional"] == step.cap
            assert tier["maintenanceMarginRate"] == step.maintenance_rate
            assert tier["maxLeverage"] == step.max_leverage


async def test_prices(exchange: Any, sim: Simulator) -> None:
    sim.world.set_mark_price("BTCUSDT", exact("70123.45"))
    marked = await exchange.fetch_mark_price(BTC)
    assert marked["markPrice"] == exact("70123.45")
    assert (await exchange.fetch_ticker(BTC))["last"] == exact("70123.45")
    assert (await exchange.fetch_last_prices())[BTC]["price"] == exact("70123.45")
    assert (await exchange.fetch_mark_prices())["DOGE/USDT:USDT"]["markPrice"] == exact("0.12")


async def test_leverage_margin_type_and_fees(exchange: Any, sim: Simulator, account: Account) -> None:
    sim.world.set_leverage(account, "BTCUSDT", 7)
    sim.world.set_margin_type(account, "BTCUSDT", "isolated")
    leverages = await exchange.fetch_leverages()
    assert leverages[BTC]["longLeverage"] == 7
    assert leverages[BTC]["marginMode"] == "isolated"
    fee = await exchange.fetch_trading_fee(BTC)
    assert (fee["maker"], fee["taker"]) == (exact("0.0002"), exact("0.0005"))


async def test_each_key_sees_its_own_account(connect: Connect, sim: Simulator, account: Account, key: ApiKey) -> None:
    other = sim.world.create_account("other", wallet={"USDT": exact("5")})
    place(sim, account)
    mine, second_key = connect(key), connect(sim.world.create_key(account))
    theirs = connect(sim.world.create_key(other))
    assert len(await mine.fetch_open_orders()) == 1
    assert len(await second_key.fetch_open_orders()) == 1
    assert await theirs.fetch_open_orders() == []

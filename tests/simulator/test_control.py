"""The control interface does over HTTP what `World` does in Python."""

from typing import Any

import pytest
from tests.simulator.support import START_MS, StillClock, Wire

from accountsync.simulator import Simulator


class Control:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def __call__(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        url = f"{self._wire.sim.control_url}/control{path}"
        async with self._wire.session.request(method, url, json=body) as response:
            answer = await response.json()
            assert response.status == status, answer
            return answer


@pytest.fixture
def control(wire: Wire) -> Control:
    return Control(wire)


ACCOUNT = {
    "name": "new",
    "wallet": {"USDT": "1000.5"},
    "keys": [{"permissions": ["read"]}],
    "positions": [{"symbol": "BTCUSDT", "amount": "0.1", "entry_price": 64000, "leverage": 10}],
    "orders": [{"symbol": "BTCUSDT", "side": "SELL", "price": "70000", "quantity": 0.1, "client_order_id": "web_1"}],
    "algo_orders": [
        {
            "symbol": "BTCUSDT",
            "side": "SELL",
            "order_type": "STOP_MARKET",
            "trigger_price": "60000",
            "close_position": True,
        }
    ],
}


async def test_an_account_with_everything_in_it(wire: Wire, control: Control, still_sim: Simulator) -> None:
    made = await control("POST", "/accounts", ACCOUNT)
    (given,) = made["keys"]
    key = still_sim.world.keys[given["api_key"]]
    assert (given["secret"], given["fingerprint"]) == (key.secret, key.fingerprint)
    asker = Wire(still_sim, wire.session, key)
    (position,) = (await asker.get("/fapi/v3/positionRisk")).json
    assert (position["positionAmt"], position["initialMargin"]) == ("0.100", "650.00000000")
    (order,) = (await asker.get("/fapi/v1/openOrders")).json
    assert (order["clientOrderId"], order["origQty"]) == ("web_1", "0.100")
    shown = await control("GET", "/accounts/new")
    assert shown["positions"] == [position]
    assert shown["openOrders"] == [order]
    (stop,) = (await asker.get("/fapi/v1/openAlgoOrders")).json
    assert (stop["closePosition"], stop["triggerPrice"]) == (True, "60000.00")
    assert shown["account"]["totalWalletBalance"] == "1000.50000000"


async def test_many_accounts_at_once(control: Control) -> None:
    made = await control("POST", "/accounts", [{"name": f"bot-{number}"} for number in range(500)])
    assert len(made) == 500
    assert len(await control("GET", "/accounts")) == 501


async def test_the_life_of_an_order(control: Control) -> None:
    order = {"symbol": "BTCUSDT", "side": "BUY", "price": "60000", "quantity": "1", "client_order_id": "web_7"}
    placed = await control("POST", "/accounts/grid-btc/orders", order)
    path = f"/accounts/grid-btc/orders/BTCUSDT/{placed['orderId']}"
    filled = await control("POST", f"{path}/fill", {"quantity": "0.4", "price": "59000"})
    assert (filled["status"], filled["executedQty"], filled["avgPrice"]) == ("PARTIALLY_FILLED", "0.400", "59000.00")
    assert (await control("POST", f"{path}/cancel"))["status"] == "CANCELED"
    refused = await control("POST", f"{path}/expire", status=409)
    assert "is not open" in refused["error"]


async def test_changing_an_order(control: Control) -> None:
    order = {"symbol": "BTCUSDT", "side": "BUY", "price": "60000", "quantity": "1", "client_order_id": "web_7"}
    placed = await control("POST", "/accounts/grid-btc/orders", order)
    path = f"/accounts/grid-btc/orders/BTCUSDT/{placed['orderId']}"
    amended = await control("POST", f"{path}/amend", {"price": "61000", "quantity": "0.5"})
    assert (amended["orderId"], amended["price"], amended["origQty"]) == (placed["orderId"], "61000.00", "0.500")
    unchanged = await control("POST", f"{path}/amend", {"price": "61000"}, status=409)
    assert "no need to modify" in unchanged["error"]
    fresh = await control("POST", f"{path}/replace", {"quantity": "0.25"})
    assert fresh["orderId"] == placed["orderId"] + 1
    assert (fresh["clientOrderId"], fresh["price"], fresh["origQty"]) == ("web_7", "61000.00", "0.250")
    renamed = await control(
        "POST", f"/accounts/grid-btc/orders/BTCUSDT/{fresh['orderId']}/replace", {"client_order_id": "web_8"}
    )
    assert (renamed["clientOrderId"], renamed["origQty"]) == ("web_8", "0.250")
    (listed,) = (await control("GET", "/accounts/grid-btc"))["openOrders"]
    assert listed == renamed


async def test_the_life_of_a_conditional_order(wire: Wire, control: Control) -> None:
    stop = {"symbol": "BTCUSDT", "side": "SELL", "order_type": "STOP_MARKET", "trigger_price": 60000, "quantity": 0.1}
    path = "/accounts/grid-btc/algo-orders"
    first, second, third = [
        await control("POST", path, {**stop, "client_algo_id": name}) for name in ("sl_1", "sl_2", "sl_3")
    ]
    assert (first["clientAlgoId"], first["algoStatus"], first["triggerPrice"]) == ("sl_1", "NEW", "60000.00")
    shown = (await control("GET", "/accounts/grid-btc"))["openAlgoOrders"]
    assert shown == (await wire.get("/fapi/v1/openAlgoOrders")).json
    assert (await control("POST", f"{path}/{first['algoId']}/cancel"))["algoStatus"] == "CANCELED"
    triggered = await control("POST", f"{path}/{second['algoId']}/trigger")
    assert (triggered["algoStatus"], triggered["actualQty"]) == ("FINISHED", "0.100")
    await control("PUT", "/marks", {"BTCUSDT": "59000"})
    (position,) = (await control("GET", "/accounts/grid-btc"))["positions"]
    assert position["positionAmt"] == "-0.200"
    late = await control("POST", f"{path}/{third['algoId']}/cancel", status=409)
    assert "is not open" in late["error"]


async def test_keys(wire: Wire, control: Control, still_sim: Simulator) -> None:
    made = await control("POST", "/accounts/grid-btc/keys", {"permissions": ["read", "trade"]})
    assert made["permissions"] == ["read", "trade"]
    asker = Wire(still_sim, wire.session, still_sim.world.keys[made["api_key"]])
    assert (await asker.get("/fapi/v3/balance")).status == 200
    await control("DELETE", f"/keys/{made['fingerprint']}")
    assert (await asker.get("/fapi/v3/balance")).code == -2015
    await control("DELETE", f"/keys/{made['api_key']}", status=409)


async def test_funding(control: Control) -> None:
    await control("POST", "/accounts/grid-btc/positions", {"symbol": "BTCUSDT", "amount": "-1"})
    (paid,) = await control("POST", "/funding", {"symbol": "BTCUSDT", "rate": "0.0001"})
    assert (paid["account"], paid["incomeType"], paid["income"]) == ("grid-btc", "FUNDING_FEE", "6.50000000")


async def test_closing_by_force(wire: Wire, control: Control) -> None:
    await control("POST", "/accounts/grid-btc/positions", {"symbol": "BTCUSDT", "amount": "1"})
    taken = {"symbol": "BTCUSDT", "quantity": "0.4", "price": "65001"}
    first = await control("POST", "/accounts/grid-btc/deleverage", taken)
    assert (first["clientOrderId"], first["executedQty"], first["avgPrice"]) == ("adl_autoclose", "0.400", "65001.00")
    second = await control("POST", "/accounts/grid-btc/liquidate", {"symbol": "BTCUSDT"})
    assert (second["timeInForce"], second["executedQty"]) == ("IOC", "0.600")
    assert (await wire.get("/fapi/v1/forceOrders")).json == [first, second]
    refused = await control("POST", "/accounts/grid-btc/liquidate", {"symbol": "BTCUSDT"}, status=409)
    assert "holds no BOTH position" in refused["error"]


async def test_wallet_position_marks_and_clock(control: Control) -> None:
    wallet = await control("POST", "/accounts/grid-btc/wallet", {"asset": "USDT", "amount": "-500"})
    assert wallet == {"asset": "USDT", "wallet": "9500"}
    await control("POST", "/accounts/grid-btc/positions", {"symbol": "BTCUSDT", "amount": "-1"})
    marks = await control("PUT", "/marks", {"BTCUSDT": "64000"})
    assert marks["BTCUSDT"] == "64000"
    (position,) = (await control("GET", "/accounts/grid-btc"))["positions"]
    assert position["unRealizedProfit"] == "1000.00000000"
    assert await control("POST", "/clock", {"advance_ms": 1500}) == {"time": START_MS + 1500}


async def test_books(wire: Wire, control: Control) -> None:
    before = (await control("GET", "/books"))["BTCUSDT"]
    assert before == {"levels": 20, "quantity": "1.538", "spacing": "0.10", "refills": True}
    books = await control("PUT", "/books", {"BTCUSDT": {"levels": 1, "quantity": 0.5}, "ETHUSDT": {"refills": False}})
    assert books["BTCUSDT"] == before | {"levels": 1, "quantity": "0.5"}
    assert books["ETHUSDT"]["refills"] is False
    told = (await wire.get("/fapi/v1/depth", "symbol=BTCUSDT")).json
    assert (told["bids"], told["asks"]) == ([["64999.90", "0.500"]], [["65000.10", "0.500"]])


async def test_what_is_due_happens_before_an_action(wire: Wire, control: Control, clock: StillClock) -> None:
    await wire.order(price="60000")
    await wire.call("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=1000)
    assert len((await control("GET", "/accounts/grid-btc"))["openOrders"]) == 1
    clock.now += 1000
    assert (await control("GET", "/accounts/grid-btc"))["openOrders"] == []


async def test_limits(wire: Wire, control: Control) -> None:
    assert (await control("GET", "/limits"))["weight_per_minute"] == 2400
    await control("PUT", "/limits", {"weight_per_minute": 1})
    assert (await wire.get("/fapi/v3/balance")).status == 429
    await control("PUT", "/limits", {"weight_per_minute": 100_000, "forgive": True})
    answer = await wire.get("/fapi/v3/balance")
    assert (answer.status, answer.used_weight) == (200, 5)


@pytest.mark.parametrize(
    ("kind", "options", "status"),
    [
        ("http_error", {"status": 502}, 502),
        ("maintenance", {}, 503),
        ("overloaded", {}, 503),
        ("latency", {"seconds": 0.001}, 200),
        ("truncated", {}, 200),
        ("stale", {"age": 5}, 200),
        ("duplicated", {"differ": {"balance": "1"}}, 200),
        ("negative_quantity", {}, 200),
        ("unparsable_quantity", {"text": "?"}, 200),
        ("clock_skew", {"milliseconds": 1000}, 200),
        ("reorder", {"seconds": 0.001, "together": 3}, 200),
    ],
)
async def test_faults(wire: Wire, control: Control, kind: str, options: dict[str, object], status: int) -> None:
    fault = {"kind": kind, "options": options, "path": "/fapi/v3/*", "account": "grid-btc", "times": 3}
    number = (await control("POST", "/faults", fault))["id"]
    assert (await wire.get("/fapi/v3/balance")).status == status
    (listed,) = await control("GET", "/faults")
    assert (listed["id"], listed["times"]) == (number, 3)
    assert listed["applied"] == (0 if kind == "negative_quantity" else 1)
    await control("DELETE", f"/faults/{number}")
    assert await control("GET", "/faults") == []


async def test_requests_and_counts(wire: Wire, control: Control) -> None:
    await wire.get("/fapi/v3/balance")
    await wire.send("POST", "/fapi/v1/order", wire.signed())
    (write,) = await control("GET", "/requests?write=true")
    assert (write["method"], write["account"], write["code"]) == ("POST", "grid-btc", -1102)
    assert len(await control("GET", "/requests?account=grid-btc&after=0")) == 2
    counts = await control("GET", "/requests/counts")
    one = {"account": "grid-btc", "method": "GET", "path": "/fapi/v3/balance", "write": False, "count": 1}
    assert one in counts
    assert (await control("GET", "/health"))["requests"] == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/accounts", {"name": "grid-btc"}, 409),
        ("POST", "/accounts", {"nam": "x"}, 422),
        ("POST", "/accounts", {"name": "x", "wallet": {"USDT": "much"}}, 422),
        ("GET", "/accounts/nobody", None, 409),
        ("POST", "/faults", {"kind": "earthquake"}, 422),
        ("POST", "/faults", {"kind": "latency", "options": {"hours": 1}}, 409),
        ("POST", "/accounts/grid-btc/orders/BTCUSDT/1/fill", None, 409),
        ("POST", "/accounts/grid-btc/orders/BTCUSDT/1/amend", {"price": "1"}, 409),
        ("POST", "/accounts/grid-btc/orders/BTCUSDT/1/replace", None, 409),
        ("POST", "/accounts/grid-btc/algo-orders", {"symbol": "BTCUSDT"}, 422),
        ("POST", "/accounts/grid-btc/algo-orders/1/trigger", None, 409),
        ("PUT", "/marks", {"NOPEUSDT": "1"}, 409),
        ("PUT", "/books", {"NOPEUSDT": {"levels": 1}}, 409),
        ("PUT", "/books", {"BTCUSDT": {"quantity": "0.0001"}}, 409),
        ("PUT", "/books", {"BTCUSDT": {"levels": -1}}, 422),
        ("POST", "/funding", {"symbol": "NOPEUSDT", "rate": "0.1"}, 409),
        ("POST", "/funding", {"symbol": "BTCUSDT"}, 422),
        ("POST", "/accounts/grid-btc/liquidate", {"symbol": "BTCUSDT", "position_side": "UP"}, 422),
        ("POST", "/accounts/grid-btc/deleverage", {"symbol": "BTCUSDT", "quantity": "1"}, 409),
        ("GET", "/requests?after=never", None, 422),
    ],
)
async def test_what_cannot_be_done_is_said(control: Control, method: str, path: str, body: object, status: int) -> None:
    assert (await control(method, path, body, status))["error"]

"""Key, permission, signature and timestamp are checked as published."""

import hashlib
import hmac
from decimal import Decimal

import pytest
from tests.simulator.support import START_MS, Wire

from accountsync.simulator import Account
from accountsync.simulator.refusals import Refusal
from accountsync.simulator.security import check_signature, parse_params

ACCOUNT = "/fapi/v3/account"


async def test_no_key(public: Wire) -> None:
    answer = await public.send("GET", ACCOUNT, f"timestamp={START_MS}")
    assert (answer.status, answer.code) == (401, -2014)


async def test_no_signature(wire: Wire) -> None:
    answer = await wire.send("GET", ACCOUNT, f"timestamp={START_MS}")
    assert (answer.status, answer.code) == (400, -1102)
    assert "'signature'" in answer.json["msg"]


async def test_no_timestamp(wire: Wire) -> None:
    assert wire.key
    digest = hmac.new(wire.key.secret.encode(), b"recvWindow=5000", hashlib.sha256).hexdigest()
    answer = await wire.send("GET", ACCOUNT, f"recvWindow=5000&signature={digest}")
    assert (answer.status, answer.code) == (400, -1102)
    assert "'timestamp'" in answer.json["msg"]


async def test_a_parameter_changed_after_signing(wire: Wire) -> None:
    query = wire.signed("symbol=BTCUSDT").replace("BTCUSDT", "ETHUSDT")
    answer = await wire.send("GET", "/fapi/v1/openOrders", query)
    assert (answer.status, answer.code) == (400, -1022)


async def test_the_order_of_parameters_is_the_signers_business(wire: Wire) -> None:
    assert (await wire.get("/fapi/v1/openOrders", "symbol=BTCUSDT&recvWindow=100")).status == 200
    assert (await wire.get("/fapi/v1/openOrders", "recvWindow=100&symbol=BTCUSDT")).status == 200


async def test_percent_encoding_is_signed_as_sent(wire: Wire, wire_account: Account) -> None:
    order = wire.sim.world.place_order(
        wire_account,
        symbol="BTCUSDT",
        side="BUY",
        price=Decimal(60_000),
        quantity=Decimal(1),
        client_order_id="a:b/c",
    )
    for spelling in ("a:b/c", "a%3Ab%2Fc", "a%3ab/c"):
        answer = await wire.get("/fapi/v1/order", f"symbol=BTCUSDT&origClientOrderId={spelling}")
        assert answer.json["orderId"] == order.order_id


async def test_a_signature_in_capitals(wire: Wire) -> None:
    query, _, digest = wire.signed().partition("signature=")
    assert (await wire.send("GET", ACCOUNT, f"{query}signature={digest.upper()}")).status == 200


async def test_query_string_and_body_are_signed_as_one(wire: Wire, wire_account: Account) -> None:
    assert wire.key
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
    body = f"quantity=1&price=9000&timestamp={START_MS}"
    digest = hmac.new(wire.key.secret.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
    answer = await wire.send("POST", "/fapi/v1/order", query, f"{body}&signature={digest}")
    assert answer.status == 200, answer.json
    (order,) = wire_account.open_orders.values()
    assert order.orig_qty == 1


def test_the_published_example_of_a_signature() -> None:
    """From "SIGNED Endpoint Examples for POST /fapi/v1/order"."""
    secret = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
    params = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
        "&recvWindow=5000&timestamp=1591702613943"
    )
    expected = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    query = f"{params}&signature={expected}"
    check_signature(secret, query, "", parse_params(query, ""))
    with pytest.raises(Refusal, match="-1022"):
        check_signature(secret, query, "&", parse_params(query, ""))


@pytest.mark.parametrize(
    ("offset", "window", "code"),
    [
        (0, "", 0),
        (999, "", 0),
        (1000, "", -1021),
        (-5000, "", 0),
        (-5001, "", -1021),
        (-5001, "recvWindow=6000", 0),
        (-60_000, "recvWindow=60000", 0),
        (-60_001, "recvWindow=60000", -1021),
        (0, "recvWindow=60001", -1131),
        (0, "recvWindow=soon", -1102),
    ],
)
async def test_the_window_of_time(wire: Wire, offset: int, window: str, code: int) -> None:
    answer = await wire.send("GET", ACCOUNT, wire.signed(window, timestamp=START_MS + offset))
    assert (answer.code if answer.status != 200 else 0) == code


async def test_a_key_that_may_only_trade_cannot_read(wire: Wire, wire_account: Account) -> None:
    key = wire.sim.world.create_key(wire_account, permissions={"trade"})
    answer = await Wire(wire.sim, wire.session, key).get(ACCOUNT)
    assert (answer.status, answer.code) == (401, -2015)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/fapi/v1/order"),
        ("PUT", "/fapi/v1/order"),
        ("DELETE", "/fapi/v1/order"),
        ("POST", "/fapi/v1/batchOrders"),
        ("DELETE", "/fapi/v1/allOpenOrders"),
        ("POST", "/fapi/v1/leverage"),
        ("POST", "/fapi/v1/algoOrder"),
    ],
)
async def test_a_read_only_key_writes_nothing(wire: Wire, wire_account: Account, method: str, path: str) -> None:
    key = wire.sim.world.create_key(wire_account, permissions={"read"})
    reader = Wire(wire.sim, wire.session, key)
    answer = await reader.send(method, path, reader.signed("symbol=BTCUSDT"))
    assert (answer.status, answer.code) == (401, -2015)
    assert wire.sim.requests[-1].write


async def test_missing_parameters(wire: Wire) -> None:
    answer = await wire.get("/fapi/v1/order")
    assert (answer.status, answer.code) == (400, -1102)
    assert "'symbol'" in answer.json["msg"]
    answer = await wire.get("/fapi/v1/order", "symbol=BTCUSDT")
    assert (answer.status, answer.code) == (400, -1102)
    assert "orderId" in answer.json["msg"]


async def test_a_parameter_sent_twice(wire: Wire) -> None:
    answer = await wire.get("/fapi/v1/openOrders", "symbol=BTCUSDT&symbol=ETHUSDT")
    assert (answer.status, answer.code) == (400, -1101)


async def test_a_path_that_does_not_exist(wire: Wire) -> None:
    answer = await wire.get("/fapi/v1/positionRisk")
    assert (answer.status, answer.json) == (
        404,
        {"code": -5000, "msg": "Path /fapi/v1/positionRisk, Method GET is invalid"},
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ("price=9000.01", -4014),
        ("quantity=0.0001", -1111),
        ("quantity=0.001", -4164),
        ("quantity=NaN", -1102),
        ("quantity=-1", -4003),
        ("price=99999999", -4002),
        ("type=STOP_MARKET", -4120),
        ("type=NOPE", -1116),
        ("side=HOLD", -1117),
        ("timeInForce=SOON", -1115),
        ("positionSide=LONG", -4061),
        ("newClientOrderId=not%20one", -4015),
        ("quantity=900", -2019),
    ],
)
async def test_orders_that_the_exchange_would_not_take(
    wire: Wire, wire_account: Account, changes: str, code: int
) -> None:
    params = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "9000"}
    params |= dict([changes.split("=")])
    query = wire.signed("symbol=BTCUSDT&" + "&".join(f"{name}={value}" for name, value in params.items()))
    answer = await wire.send("POST", "/fapi/v1/order", query)
    assert (answer.status, answer.code) == (400, code)
    assert not wire_account.orders

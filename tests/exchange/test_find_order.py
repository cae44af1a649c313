"""An order is absent only when the exchange says so about that order."""

from decimal import Decimal

import pytest
from tests.exchange.conftest import Connect

from accountsync.domain.account import OrderStatus
from accountsync.errors import ConfigurationError, ExchangeUnobserved, Reason
from accountsync.simulator import Account, Fault, Side, Simulator


@pytest.mark.parametrize("by", ["order_id", "client_id"])
async def test_an_order_is_found_by_either_id(account: Account, connect: Connect, by: str) -> None:
    exchange = connect(account)
    listed = await exchange.snapshot()
    for order in listed.orders:
        order_id, client_id = (order.id, "") if by == "order_id" else ("", order.client_id)
        found = await exchange.find_order(symbol=order.symbol, order_id=order_id, client_id=client_id)
        assert found == order


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("fill", OrderStatus.FILLED),
        ("cancel", OrderStatus.CANCELED),
        ("expire", OrderStatus.EXPIRED),
        ("reject", OrderStatus.REJECTED),
    ],
)
async def test_an_order_that_ended_says_how(sim: Simulator, connect: Connect, end: str, status: OrderStatus) -> None:
    account = sim.world.create_account("ended", wallet={"USDT": Decimal(10000)})
    order = sim.world.place_order(account, symbol="BTCUSDT", side=Side.BUY, price=Decimal(60000), quantity=Decimal(1))
    sim.world.fill(order, quantity=Decimal("0.25"))
    ended = getattr(sim.world, end)(sim.world.current(order))
    found = await connect(account).find_order(symbol="BTC/USDT:USDT", order_id=str(order.order_id))
    assert found is not None
    assert (found.status, found.quantity, found.filled) == (status, ended.orig_qty, ended.executed_qty)


@pytest.mark.parametrize("conditional", [None, False, True])
@pytest.mark.parametrize(("order_id", "client_id"), [("4711", ""), ("", "grinder_never")])
async def test_an_order_that_the_exchange_denies_is_none(
    account: Account, connect: Connect, order_id: str, client_id: str, conditional: bool | None
) -> None:
    exchange = connect(account)
    assert (
        await exchange.find_order(symbol="BTCUSDT", order_id=order_id, client_id=client_id, conditional=conditional)
        is None
    )


FAILURES = {
    "500": Fault.http_error(500, path="*/order"),
    "503 that denies": Fault.http_error(503, code=-2013, path="*/order"),
    "404 that denies": Fault.http_error(404, code=-2013, path="*/order"),
    "another refusal": Fault.http_error(400, code=-2011, path="*/order"),
    "no such symbol": Fault.http_error(400, code=-1121, path="*/order"),
    "reset": Fault.reset(path="*/order"),
    "hang": Fault.hang(path="*/order"),
    "truncated": Fault.truncated(path="*/order"),
    "another order": Fault.unparsable_quantity("1", path="*/order", name="orderId"),
    "another symbol": Fault.unparsable_quantity("ETHUSDT", path="*/order", name="symbol"),
    "no status": Fault.unparsable_quantity("", path="*/order", name="status"),
}


@pytest.mark.parametrize("kind", FAILURES)
async def test_no_failure_is_an_absence(sim: Simulator, account: Account, connect: Connect, kind: str) -> None:
    exchange = connect(account, timeout=0.4)
    order = (await exchange.snapshot(["BTCUSDT"])).orders[0]
    sim.faults.add(FAILURES[kind])
    with pytest.raises(ExchangeUnobserved):
        await exchange.find_order(symbol="BTCUSDT", order_id=order.id)


async def test_a_wrong_question_is_refused_before_it_is_sent(
    sim: Simulator, account: Account, connect: Connect
) -> None:
    exchange = connect(account)
    with pytest.raises(ValueError, match="by its id"):
        await exchange.find_order(symbol="BTCUSDT")
    with pytest.raises(ConfigurationError) as caught:
        await exchange.find_order(symbol="NOPE", order_id="1")
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL
    assert not [record for record in sim.requests if record.path.endswith("/order")]


async def test_nothing_it_sends_can_change_the_account(sim: Simulator, account: Account, connect: Connect) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    await exchange.find_order(symbol="BTCUSDT", order_id="1")
    assert {record.method for record in sim.requests} == {"GET"}

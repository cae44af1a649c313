"""Conditional orders are part of the account; their service failing alone is told of, and refuses nothing."""

import asyncio
from decimal import Decimal

import pytest
from tests.exchange.conftest import Connect
from tests.exchange.test_failures import FAULTS, failing

from accountsync.domain.account import OrderStatus, Part, Side
from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.simulator import Account, AlgoOrder, Fault, Simulator

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
LIST, ONE = "*/openAlgoOrders", "*/algoOrder"


def stop(sim: Simulator, account: Account, symbol: str = "BTCUSDT", client_id: str = "stop_1") -> AlgoOrder:
    """A stop to sell at a limit, below every price."""
    return sim.world.algos.place(
        account,
        symbol=symbol,
        side="SELL",
        order_type="STOP",
        quantity=Decimal("0.004"),
        trigger_price=Decimal(1000),
        price=Decimal(999),
        client_algo_id=client_id,
    )


async def test_they_stand_beside_the_others(sim: Simulator, account: Account, connect: Connect) -> None:
    algo = stop(sim, account)
    snapshot = await connect(account).snapshot()
    (order,) = (row for row in snapshot.orders if row.conditional)
    assert len(snapshot.orders) == 3
    assert (order.id, order.client_id, order.symbol) == (str(algo.algo_id), "stop_1", BTC)
    assert (order.side, order.quantity, order.filled) == (Side.SELL, Decimal("0.004"), Decimal(0))
    assert (order.trigger_price, order.price, order.type) == (Decimal(1000), Decimal(999), "stop")
    assert (order.created, order.updated) == (algo.create_time, algo.update_time)
    assert (snapshot.missing, snapshot.unsettled) == (frozenset(), frozenset())


@pytest.mark.parametrize("spelling", ["BTCUSDT", BTC])
async def test_a_scope_leaves_others_out_and_costs_less(
    sim: Simulator, account: Account, connect: Connect, spelling: str
) -> None:
    stop(sim, account)
    stop(sim, account, "ETHUSDT", "stop_2")
    snapshot = await connect(account).snapshot([spelling])
    assert [row.symbol for row in snapshot.orders if row.conditional] == [BTC]
    assert [record.weight for record in sim.requests if record.path.endswith("/openAlgoOrders")] == [1]


async def test_one_placed_while_the_account_was_read_is_unsettled(
    sim: Simulator, account: Account, connect: Connect
) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    sim.faults.add(Fault.latency(0.3, path="*/time"))
    reading = asyncio.create_task(exchange.snapshot())
    await asyncio.sleep(0.1)
    stop(sim, account)
    assert (await reading).unsettled == {BTC}


# --- by id --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conditional", [None, True])
@pytest.mark.parametrize("by", ["id", "client id"])
async def test_one_is_found_by_either_id(
    sim: Simulator, account: Account, connect: Connect, by: str, conditional: bool | None
) -> None:
    exchange = connect(account)
    algo = stop(sim, account)
    (listed,) = (row for row in (await exchange.snapshot()).orders if row.conditional)
    order_id, client_id = (str(algo.algo_id), "") if by == "id" else ("", "stop_1")
    found = await exchange.find_order(symbol=BTC, order_id=order_id, client_id=client_id, conditional=conditional)
    assert found == listed


async def test_an_ordinary_question_is_not_about_one(sim: Simulator, account: Account, connect: Connect) -> None:
    stop(sim, account)
    exchange = connect(account)
    assert await exchange.find_order(symbol=BTC, client_id="stop_1", conditional=False) is None
    assert not [record for record in sim.requests if record.path.endswith("/algoOrder")]


async def test_a_conditional_question_is_not_about_another(account: Account, connect: Connect, sim: Simulator) -> None:
    exchange = connect(account)
    assert await exchange.find_order(symbol=BTC, client_id="grinder_1", conditional=True) is None
    assert not [record for record in sim.requests if record.path.endswith("/order")]
    found = await exchange.find_order(symbol=BTC, client_id="grinder_1")
    assert found is not None
    assert not found.conditional


async def test_one_of_another_symbol_is_none_of_this(sim: Simulator, account: Account, connect: Connect) -> None:
    algo = stop(sim, account)
    exchange = connect(account)
    for order_id, client_id in ((str(algo.algo_id), ""), ("", "stop_1")):
        assert await exchange.find_order(symbol=ETH, order_id=order_id, client_id=client_id) is None


async def test_one_that_triggered_names_its_successor(sim: Simulator, account: Account, connect: Connect) -> None:
    exchange = connect(account)
    algo = sim.world.algos.trigger(stop(sim, account))
    found = await exchange.find_order(symbol=BTC, order_id=str(algo.algo_id))
    assert found is not None
    assert found.status is OrderStatus.TRIGGERED
    child = await exchange.find_order(symbol=BTC, order_id=found.successor, conditional=False)
    assert child is not None
    assert (child.status, child.side, child.price) == (OrderStatus.OPEN, Side.SELL, Decimal(999))
    assert child in (await exchange.snapshot()).orders


@pytest.mark.parametrize(
    ("end", "status"),
    [("cancel", OrderStatus.CANCELED), ("expire", OrderStatus.EXPIRED), ("reject", OrderStatus.REJECTED)],
)
async def test_one_that_ended_says_how(
    sim: Simulator, account: Account, connect: Connect, end: str, status: OrderStatus
) -> None:
    algo = getattr(sim.world.algos, end)(stop(sim, account))
    found = await connect(account).find_order(symbol=BTC, order_id=str(algo.algo_id), conditional=True)
    assert found is not None
    assert (found.status, found.successor) == (status, "")


@pytest.mark.parametrize(
    "fault",
    [
        Fault.http_error(503, path=ONE),
        Fault.http_error(503, code=-2013, path=ONE),
        Fault.reset(path=ONE),
        Fault.truncated(path=ONE),
        Fault.unparsable_quantity("1", path=ONE, name="algoId"),
        Fault.unparsable_quantity("LIMBO", path=ONE, name="algoStatus"),
    ],
)
async def test_no_failure_is_an_absence(sim: Simulator, account: Account, connect: Connect, fault: Fault) -> None:
    algo = stop(sim, account)
    exchange = connect(account)
    await exchange.snapshot()
    sim.faults.add(fault)
    for conditional in (None, True):
        with pytest.raises(ExchangeUnobserved):
            await exchange.find_order(symbol=BTC, order_id=str(algo.algo_id), conditional=conditional)


# --- their service fails alone ------------------------------------------------------------------------------

OF_ALL = {Reason.RATE_LIMITED, Reason.CREDENTIALS_REJECTED}


@pytest.mark.parametrize("kind", sorted(kind for kind, (_, reason) in FAULTS.items() if reason not in OF_ALL))
async def test_what_fails_alone_is_missing(sim: Simulator, account: Account, connect: Connect, kind: str) -> None:
    exchange = connect(account, timeout=1.6)
    stop(sim, account)
    await exchange.venue.ready()
    fault = sim.faults.add(FAULTS[kind][0](LIST))
    began = asyncio.get_running_loop().time()
    snapshot = await exchange.snapshot()
    assert asyncio.get_running_loop().time() - began < 1.5, "time is left for the rest of the cycle"
    assert (snapshot.missing, len(snapshot.orders)) == (frozenset({Part.CONDITIONAL}), 2)
    sim.faults.clear(fault)
    snapshot = await exchange.snapshot()
    assert (snapshot.missing, len(snapshot.orders)) == (frozenset(), 3)


@pytest.mark.parametrize("kind", sorted(kind for kind, (_, reason) in FAULTS.items() if reason in OF_ALL))
async def test_what_concerns_the_whole_account_is_raised(
    sim: Simulator, account: Account, connect: Connect, kind: str
) -> None:
    exchange = connect(account)
    await exchange.venue.ready()
    make, reason = FAULTS[kind]
    sim.faults.add(make(LIST))
    error = await failing(exchange.snapshot())
    assert error.reason is reason
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("quantity", "abc"), ("algoStatus", "LIMBO"), ("algoId", None), ("triggerPrice", "low"), ("updateTime", "now")],
)
async def test_a_row_that_is_none_makes_the_part_missing(
    sim: Simulator, account: Account, connect: Connect, field: str, value: object
) -> None:
    stop(sim, account)
    sim.faults.add(Fault.unparsable_quantity(value, path=LIST, name=field))  # type: ignore[arg-type]
    snapshot = await connect(account).snapshot()
    assert (snapshot.missing, len(snapshot.orders)) == (frozenset({Part.CONDITIONAL}), 2)


async def test_everything_failing_is_no_snapshot(sim: Simulator, account: Account, connect: Connect) -> None:
    exchange = connect(account)
    await exchange.venue.ready()
    sim.faults.add(Fault.http_error(503))
    assert (await failing(exchange.snapshot())).reason is Reason.EXCHANGE_UNAVAILABLE

"""What a snapshot says is what the simulated exchange holds, field by field, or it isn't there at all."""

import asyncio
from decimal import Decimal

import pytest
from tests.exchange.conftest import Connect

from accountsync.domain.account import Balance, Order, OrderStatus, Position, PositionSide, Side
from accountsync.errors import ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import Venue
from accountsync.simulator import Account, Fault, Simulator
from accountsync.simulator import Order as SimulatedOrder
from accountsync.simulator import PositionSide as Leg
from accountsync.simulator import Side as Direction

BTC = "BTC/USDT:USDT"
UNIFIED = {"BTCUSDT": BTC, "ETHUSDT": "ETH/USDT:USDT"}


def as_ours(order: SimulatedOrder) -> Order:
    return Order(
        id=str(order.order_id),
        client_id=order.client_order_id,
        symbol=UNIFIED[order.symbol],
        side=Side(order.side.lower()),
        quantity=order.orig_qty,
        filled=order.executed_qty,
        price=order.price,
        status=OrderStatus.OPEN,
        type="limit",
        reduce_only=order.reduce_only,
        created=order.time,
        updated=order.update_time,
    )


async def test_every_field_is_the_exchanges(sim: Simulator, account: Account, connect: Connect) -> None:
    before = sim.world.now_ms()
    snapshot = await connect(account).snapshot()
    assert sorted(snapshot.orders, key=lambda order: order.symbol) == sorted(
        (as_ours(order) for order in account.open_orders.values()), key=lambda order: order.symbol
    )
    assert set(snapshot.positions) == {
        Position(
            symbol=UNIFIED[position.symbol],
            side=PositionSide.NET,
            quantity=position.amount,
            margin_mode="cross",
            entry_price=position.entry_price,
            mark_price=sim.world.marks[position.symbol],
            updated=position.update_time,
        )
        for position in account.positions.values()
    }
    assert set(snapshot.balances) == {Balance(asset, row.wallet) for asset, row in account.balances.items()}
    assert before <= snapshot.timestamp <= sim.world.now_ms()
    assert dict(snapshot.marks) == {UNIFIED[native]: sim.world.marks[native] for native in UNIFIED}
    assert snapshot.unsettled == frozenset()


async def test_a_wallet_balance_leaves_unrealised_profit_out(
    sim: Simulator, account: Account, connect: Connect
) -> None:
    sim.world.set_mark_price("ETHUSDT", Decimal(100))
    snapshot = await connect(account).snapshot()
    assert Balance("USDT", account.balances["USDT"].wallet) in snapshot.balances


async def test_hedge_legs_are_counted_upwards(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("hedged", hedge_mode=True)
    sim.world.set_position(account, "BTCUSDT", Decimal(2), position_side=Leg.LONG)
    sim.world.set_position(account, "BTCUSDT", Decimal(-3), position_side=Leg.SHORT)
    snapshot = await connect(account).snapshot()
    assert {(row.symbol, row.side, row.quantity) for row in snapshot.positions} == {
        (BTC, PositionSide.LONG, Decimal(2)),
        (BTC, PositionSide.SHORT, Decimal(3)),
    }


async def test_a_flat_position_that_is_listed_stays_and_is_not_held(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("flat", wallet={"USDT": Decimal(10000)})
    sim.world.set_position(account, "BTCUSDT", Decimal(1))
    sim.world.set_position(account, "BTCUSDT", Decimal(0))
    closed = sim.world.now_ms()
    sim.world.place_order(account, symbol="BTCUSDT", side="BUY", price=Decimal(60000), quantity=Decimal("0.001"))
    snapshot = await connect(account).snapshot()
    (position,) = snapshot.positions
    assert (position.symbol, position.quantity, snapshot.held) == (BTC, Decimal(0), 0)
    assert position.updated is None or position.updated <= closed


async def test_an_empty_balance_is_left_out(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("flat", wallet={"USDT": Decimal(0)})
    assert (await connect(account).snapshot()).balances == ()


async def test_steps_are_the_markets_and_shared(account: Account, connect: Connect) -> None:
    one, other = await connect(account).snapshot(), await connect(account).snapshot()
    assert (one.steps[BTC], one.steps["ETH/USDT:USDT"]) == (Decimal("0.001"), Decimal("0.001"))
    assert one.steps is other.steps


@pytest.mark.parametrize("off", [-900, 3000])
async def test_a_clock_that_is_off_is_measured(sim: Simulator, account: Account, connect: Connect, off: int) -> None:
    exchange = connect(account)
    assert (await exchange.snapshot()).skew_ms == 0
    sim.faults.add(Fault.clock_skew(off))
    measured = (await exchange.snapshot()).skew_ms
    assert (measured > 0) == (off > 0)
    assert abs(off) - 500 < abs(measured) <= abs(off)


async def test_an_isolated_position_says_so(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("isolated", wallet={"USDT": Decimal(100)})
    sim.world.set_margin_type(account, "BTCUSDT", "isolated")
    sim.world.set_position(account, "BTCUSDT", Decimal("0.01"), isolated_wallet=Decimal(50))
    (position,) = (await connect(account).snapshot()).positions
    assert position.margin_mode == "isolated"


@pytest.mark.parametrize("spelling", ["BTCUSDT", "BTC/USDT:USDT"])
async def test_a_scope_leaves_other_symbols_out_and_costs_less(
    sim: Simulator, account: Account, connect: Connect, spelling: str
) -> None:
    snapshot = await connect(account).snapshot([spelling])
    assert {row.symbol for row in snapshot.orders} == {"BTC/USDT:USDT"}
    assert {row.symbol for row in snapshot.positions} == {"BTC/USDT:USDT"}
    assert [record.weight for record in sim.requests if record.path.endswith("/openOrders")] == [1]


async def test_whole_accounts_cost_five_calls(sim: Simulator, account: Account, connect: Connect) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    seen = len(sim.requests)
    await exchange.snapshot()
    assert sorted(record.path for record in list(sim.requests)[seen:]) == [
        "/fapi/v1/openAlgoOrders",
        "/fapi/v1/openOrders",
        "/fapi/v1/time",
        "/fapi/v3/account",
        "/fapi/v3/positionRisk",
    ]


async def test_an_unlisted_symbol_is_the_specs_fault(account: Account, connect: Connect) -> None:
    with pytest.raises(ConfigurationError, match="does not list NOPE") as caught:
        await connect(account).snapshot(["NOPE"])
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL


async def test_symbols_have_one_spelling(venue: Venue) -> None:
    with pytest.raises(RuntimeError):
        venue.canonical_symbol("BTCUSDT")
    await venue.ready()
    assert venue.canonical_symbol("BTCUSDT") == venue.canonical_symbol("BTC/USDT:USDT") == "BTC/USDT:USDT"
    for unlisted in ("", "NOPE", "BTC-240101-50000-C"):
        with pytest.raises(KeyError):
            venue.canonical_symbol(unlisted)


# --- corrupt content --------------------------------------------------------------------------------------


async def test_an_order_listed_twice_is_there_twice(sim: Simulator, account: Account, connect: Connect) -> None:
    sim.faults.add(Fault.duplicated(path="*/openOrders"))
    ids = [order.id for order in (await connect(account).snapshot()).orders]
    assert len(ids) == len(set(ids)) + 1


async def test_a_position_listed_twice_is_there_twice(sim: Simulator, account: Account, connect: Connect) -> None:
    sim.faults.add(Fault.duplicated(path="*/positionRisk", differ={"positionAmt": "7"}))
    snapshot = await connect(account).snapshot()
    assert len(snapshot.positions) == len({row.symbol for row in snapshot.positions}) + 1
    assert Decimal(7) in {row.quantity for row in snapshot.positions}


async def test_an_asset_listed_twice_is_refused(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("plain", wallet={"USDT": Decimal(1)})
    sim.faults.add(Fault.duplicated(path="*/account", differ={"walletBalance": "2"}))
    with pytest.raises(ExchangeUnobserved, match="USDT balance is listed twice"):
        await connect(account).snapshot()


async def test_negative_quantities_stay_negative(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("hedged", wallet={"USDT": Decimal(10000)}, hedge_mode=True)
    sim.world.set_position(account, "BTCUSDT", Decimal(2), position_side=Leg.LONG)
    sim.world.set_position(account, "ETHUSDT", Decimal(-3), position_side=Leg.SHORT)
    sim.world.place_order(
        account,
        symbol="BTCUSDT",
        side=Direction.BUY,
        price=Decimal(60000),
        quantity=Decimal(1),
        position_side=Leg.LONG,
    )
    sim.faults.add(Fault.negative_quantity())
    snapshot = await connect(account).snapshot()
    assert {row.quantity for row in snapshot.positions} == {Decimal(-2), Decimal(-3)}
    assert [order.quantity for order in snapshot.orders] == [Decimal(-1)]


@pytest.mark.parametrize("text", ["abc", "", "NaN", "Infinity", "1e999", "0.0.1", "1_000", "٣", None, True, [], {}])
@pytest.mark.parametrize(
    ("path", "field", "named"),
    [
        ("*/openOrders", "origQty", "origQty"),
        ("*/openOrders", "executedQty", "executedQty"),
        ("*/positionRisk", "positionAmt", "positionAmt"),
        ("*/account", "positionAmt", "positionAmt"),
    ],
)
async def test_a_quantity_that_is_none_refuses_the_snapshot(
    sim: Simulator, account: Account, connect: Connect, path: str, field: str, named: str, text: object
) -> None:
    sim.faults.add(Fault.unparsable_quantity(text, path=path, name=field))  # type: ignore[arg-type]
    with pytest.raises(ExchangeUnobserved, match=named) as caught:
        await connect(account).snapshot()
    assert caught.value.reason is Reason.EXCHANGE_MALFORMED


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("*/openOrders", "price", "cheap"),
        ("*/openOrders", "status", "LIMBO"),
        ("*/openOrders", "side", "HOLD"),
        ("*/openOrders", "orderId", None),
        ("*/openOrders", "symbol", 7.5),
        ("*/openOrders", "updateTime", "now"),
        ("*/positionRisk", "positionSide", "MIDDLE"),
        ("*/positionRisk", "markPrice", "NaN"),
        ("*/positionRisk", "symbol", ""),
        ("*/time", "serverTime", None),
        ("*/time", "serverTime", "soon"),
    ],
)
async def test_other_content_that_is_none_refuses_the_snapshot(
    sim: Simulator, account: Account, connect: Connect, path: str, field: str, value: object
) -> None:
    sim.faults.add(Fault.unparsable_quantity(value, path=path, name=field))  # type: ignore[arg-type]
    with pytest.raises(ExchangeUnobserved) as caught:
        await connect(account).snapshot()
    assert caught.value.reason is Reason.EXCHANGE_MALFORMED


# --- what changed meanwhile -------------------------------------------------------------------------------


async def test_positions_that_two_calls_tell_apart_are_unsettled(
    sim: Simulator, account: Account, connect: Connect
) -> None:
    sim.faults.add(Fault.unparsable_quantity("9", path="*/v3/account", name="positionAmt"))
    snapshot = await connect(account).snapshot()
    assert len(snapshot.unsettled) == 1


async def test_what_changed_after_the_reading_began_is_unsettled(
    sim: Simulator, account: Account, connect: Connect
) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    sim.faults.add(Fault.latency(0.3, path="*/time"))
    reading = asyncio.create_task(exchange.snapshot())
    await asyncio.sleep(0.1)
    sim.world.place_order(
        account, symbol="BTCUSDT", side=Direction.BUY, price=Decimal(60000), quantity=Decimal("0.001")
    )
    assert (await reading).unsettled == {"BTC/USDT:USDT"}


async def test_a_contract_newer_than_the_markets_keeps_its_name(
    sim: Simulator, account: Account, connect: Connect
) -> None:
    sim.faults.add(Fault.unparsable_quantity("NEWUSDT", path="*/openOrders", name="symbol"))
    snapshot = await connect(account).snapshot()
    assert "NEWUSDT" in {order.symbol for order in snapshot.orders}

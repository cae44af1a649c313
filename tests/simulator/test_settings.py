"""Leverage, margin type and position mode: what changes, what is refused, and what an unmodified ccxt makes of it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt.async_support as ccxt
import pytest
from tests.simulator.support import Wire, conditional

from accountsync.simulator import Account, ApiKey, World

BTC = "BTC/USDT:USDT"
D = Decimal
CALLS: list[tuple[str, dict[str, object]]] = [
    ("/fapi/v1/leverage", {"symbol": "BTCUSDT", "leverage": 5}),
    ("/fapi/v1/marginType", {"symbol": "BTCUSDT", "marginType": "ISOLATED"}),
    ("/fapi/v1/positionSide/dual", {"dualSidePosition": "true"}),
]


@pytest.fixture
def world(wire: Wire) -> World:
    return wire.sim.world


def resting(world: World, account: Account, symbol: str = "BTCUSDT") -> None:
    price = world.marks[symbol] * D("0.9")
    world.place_order(account, symbol=symbol, side="BUY", price=price, quantity=D("0.1"))


@pytest.mark.parametrize(("path", "params"), CALLS)
async def test_a_change_is_a_write_with_effect_that_weighs_one(
    wire: Wire, path: str, params: dict[str, object]
) -> None:
    assert (await wire.call("POST", path, **params)).used_weight == 1
    record = wire.sim.requests.select(path=path)[-1]
    assert (record.write, record.effect, record.status) == (True, True, 200)


@pytest.mark.parametrize(("path", "params"), CALLS)
async def test_a_key_that_may_only_read_changes_nothing(
    wire: Wire, wire_account: Account, path: str, params: dict[str, object]
) -> None:
    reading = Wire(wire.sim, wire.session, wire.sim.world.create_key(wire_account, permissions={"read"}))
    assert (await reading.call("POST", path, **params)).code == -2015
    assert (wire_account.settings, wire_account.hedge_mode) == ({}, False)


@pytest.mark.parametrize(
    ("leverage", "most"), [(125, "300000"), (100, "800000"), (76, "800000"), (75, "3000000"), (1, "2000000000")]
)
async def test_leverage_tells_the_largest_notional_that_it_allows(
    wire: Wire, wire_account: Account, leverage: int, most: str
) -> None:
    answer = await wire.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=leverage)
    assert answer.json == {"leverage": leverage, "maxNotionalValue": most, "symbol": "BTCUSDT"}
    assert wire_account.settings_for("BTCUSDT").leverage == leverage


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "BTCUSDT"}, -1102),
        ({"symbol": "BTCUSDT", "leverage": "2.5"}, -1102),
        ({"leverage": 5}, -1102),
        ({"symbol": "NOPEUSDT", "leverage": 5}, -1121),
        ({"symbol": "BTCUSDT", "leverage": 0}, -4028),
        ({"symbol": "BTCUSDT", "leverage": 126}, -4028),
    ],
)
async def test_leverage_that_cannot_be(wire: Wire, params: dict[str, object], code: int) -> None:
    assert (await wire.call("POST", "/fapi/v1/leverage", **params)).code == code


async def test_leverage_that_does_not_go_with_what_is_held(wire: Wire, world: World, wire_account: Account) -> None:
    world.set_position(wire_account, "BTCUSDT", D(5))  # 325,000 USDT at 20x
    assert (await wire.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=125)).code == -2027
    assert (await wire.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=10)).code == -2028
    assert (await wire.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=100)).status == 200


async def test_an_isolated_position_is_never_given_less_leverage(
    wire: Wire, world: World, wire_account: Account
) -> None:
    world.set_margin_type(wire_account, "BTCUSDT", "isolated")
    world.set_position(wire_account, "BTCUSDT", D("0.1"), isolated_wallet=D(325))
    assert (await wire.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=19)).code == -4161
    assert (await wire.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=20)).status == 200
    assert (await wire.call("POST", "/fapi/v1/leverage", symbol="ETHUSDT", leverage=1)).status == 200


async def test_a_margin_type_is_changed_once(wire: Wire, wire_account: Account) -> None:
    path, wanted = CALLS[1]
    assert (await wire.call("POST", path, **wanted)).json == {"code": 200, "msg": "success"}
    assert wire_account.settings_for("BTCUSDT").margin_type == "isolated"
    assert (await wire.call("POST", path, **wanted)).code == -4046
    assert (await wire.call("POST", path, **wanted | {"marginType": "CROSSED"})).status == 200
    assert (await wire.call("POST", path, **wanted | {"marginType": "both"})).code == -1130


async def test_a_margin_type_stays_beside_orders_and_positions_of_the_symbol(
    wire: Wire, world: World, wire_account: Account
) -> None:
    path, wanted = CALLS[1]
    world.set_position(wire_account, "BTCUSDT", D("0.1"))
    assert (await wire.call("POST", path, **wanted)).code == -4048
    stop = conditional(world, wire_account)
    assert (await wire.call("POST", path, **wanted)).code == -4047
    world.algos.cancel(stop)
    resting(world, wire_account, "ETHUSDT")
    world.set_position(wire_account, "BTCUSDT", D(0))
    assert (await wire.call("POST", path, **wanted)).status == 200


async def test_the_position_mode_is_of_the_whole_account(wire: Wire, world: World, wire_account: Account) -> None:
    path, wanted = CALLS[2]
    world.set_position(wire_account, "ETHUSDT", D(1))
    assert (await wire.call("POST", path, **wanted)).code == -4068
    resting(world, wire_account)
    assert (await wire.call("POST", path, **wanted)).code == -4067
    world.set_position(wire_account, "ETHUSDT", D(0))
    world.cancel(next(iter(wire_account.open_orders.values())))
    assert (await wire.call("POST", path, **wanted)).json == {"code": 200, "msg": "success"}
    assert (await wire.get(path)).json == {"dualSidePosition": True}
    assert (await wire.call("POST", path, **wanted)).code == -4059
    assert (await wire.call("POST", path)).code == -1102
    assert (await wire.call("POST", path, dualSidePosition="maybe")).code == -1130


async def test_ccxt_changes_them(connect: Callable[..., Any], trading_key: ApiKey, account: Account) -> None:
    exchange = connect(trading_key)
    await exchange.load_markets()
    assert (await exchange.set_leverage(7, BTC))["leverage"] == 7
    await exchange.set_margin_mode("isolated", BTC)
    with pytest.raises(ccxt.MarginModeAlreadySet):
        await exchange.set_margin_mode("isolated", BTC)
    with pytest.raises(ccxt.BadRequest):
        await exchange.set_leverage(100, "SOL/USDT:USDT")
    settings = account.settings_for("BTCUSDT")
    assert (settings.leverage, settings.margin_type) == (7, "isolated")
    await exchange.set_position_mode(hedged=True)
    assert account.hedge_mode
    assert (await exchange.fetch_position_mode(BTC))["hedged"] is True

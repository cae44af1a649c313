"""Conditional orders wait for the mark price, and then make an order of the ordinary kind."""

from decimal import Decimal
from typing import Any

import pytest
from tests.simulator.support import START_MS, StillClock, conditional

from accountsync.simulator import Account, OrderStatus, World, WorldError
from accountsync.simulator.algo import AlgoStatus


@pytest.fixture
def world(clock: StillClock) -> World:
    return World(seed=1, clock=clock)


@pytest.fixture
def account(world: World) -> Account:
    return world.create_account("grid-btc", wallet={"USDT": Decimal(100_000)})


@pytest.mark.parametrize(
    ("order_type", "side", "trigger", "just_before", "at"),
    [
        ("STOP_MARKET", "SELL", "60000", "60000.1", "60000"),
        ("STOP_MARKET", "BUY", "70000", "69999.9", "70000"),
        ("TAKE_PROFIT_MARKET", "SELL", "70000", "69999.9", "70000"),
        ("TAKE_PROFIT_MARKET", "BUY", "60000", "60000.1", "60000"),
    ],
)
@pytest.mark.parametrize("working_type", ["CONTRACT_PRICE", "MARK_PRICE"])
def test_a_market_order_is_made_and_filled_at_the_mark_that_triggers(
    world: World,
    account: Account,
    order_type: str,
    side: str,
    trigger: str,
    just_before: str,
    at: str,
    working_type: str,
) -> None:
    algo = conditional(
        world, account, order_type=order_type, side=side, trigger_price=trigger, working_type=working_type
    )
    world.set_mark_price("BTCUSDT", Decimal(just_before))
    assert world.algos.open_of(account) == [algo]
    world.set_mark_price("BTCUSDT", Decimal(at))
    assert world.algos.open_of(account) == []
    done = world.algos.current(algo)
    assert done.status is AlgoStatus.FINISHED
    assert done.trigger_time == START_MS
    assert done.child
    assert (done.child.type, done.child.status, done.child.client_order_id) == (
        "MARKET",
        OrderStatus.FILLED,
        algo.client_algo_id,
    )
    assert done.child.average_price == Decimal(at)
    assert account.position("BTCUSDT").amount == Decimal("0.1") * done.child.side.sign
    assert account.fills[-1].maker is False


def test_a_limit_order_is_made_and_rests(world: World, account: Account, clock: StillClock) -> None:
    algo = conditional(world, account, order_type="STOP", price="59900")
    clock.now += 5
    world.set_mark_price("BTCUSDT", Decimal(59_000))
    triggered = world.algos.current(algo)
    assert (triggered.status, triggered.trigger_time) == (AlgoStatus.TRIGGERED, START_MS + 5)
    (child,) = account.open_orders.values()
    assert triggered.child == child
    assert (child.price, child.orig_qty, child.type) == (Decimal(59_900), Decimal("0.1"), "LIMIT")
    part = world.fill(child, quantity=Decimal("0.04"))
    assert world.algos.current(algo).status is AlgoStatus.TRIGGERED
    clock.now += 5
    world.cancel(part)
    finished = world.algos.current(algo)
    assert (finished.status, finished.update_time) == (AlgoStatus.FINISHED, START_MS + 10)
    assert finished.child
    assert finished.child.executed_qty == Decimal("0.04")


@pytest.mark.parametrize(("held", "side", "trigger"), [("0.3", "SELL", "60000"), ("-0.3", "BUY", "70000")])
def test_closing_a_position_takes_what_is_there(
    world: World, account: Account, held: str, side: str, trigger: str
) -> None:
    algo = conditional(world, account, side=side, quantity=None, close_position=True, trigger_price=trigger)
    assert algo.quantity == 0
    assert algo.reduce_only
    world.set_position(account, "BTCUSDT", Decimal(held))
    world.set_mark_price("BTCUSDT", Decimal(trigger))
    assert account.position("BTCUSDT").amount == 0
    child = world.algos.current(algo).child
    assert child
    assert (child.orig_qty, child.close_position) == (Decimal("0.3"), True)


def test_what_only_reduces_takes_no_more_than_is_there(world: World, account: Account) -> None:
    algo = conditional(world, account, reduce_only=True)
    world.set_position(account, "BTCUSDT", Decimal("0.04"))
    world.algos.trigger(algo)
    assert account.position("BTCUSDT").amount == 0


def test_a_hedge_leg_is_closed_and_not_turned(world: World) -> None:
    account = world.create_account("hedged", wallet={"USDT": Decimal(100_000)}, hedge_mode=True)
    world.set_position(account, "BTCUSDT", Decimal("0.04"), position_side="LONG")
    world.set_position(account, "BTCUSDT", Decimal("-0.07"), position_side="SHORT")
    world.algos.trigger(conditional(world, account, position_side="LONG"))
    assert [position.amount for position in account.positions.values()] == [0, Decimal("-0.07")]


@pytest.mark.parametrize("changes", [{"reduce_only": True}, {"quantity": None, "close_position": True}])
def test_with_nothing_to_close_it_is_rejected(world: World, account: Account, changes: dict[str, Any]) -> None:
    algo = conditional(world, account, **changes)
    world.set_mark_price("BTCUSDT", Decimal(60_000))
    rejected = world.algos.current(algo)
    assert (rejected.status, rejected.child) == (AlgoStatus.REJECTED, None)
    assert not account.orders


def test_a_client_id_in_use_rejects_the_child(world: World, account: Account) -> None:
    world.place_order(
        account,
        symbol="BTCUSDT",
        side="BUY",
        price=Decimal(59_000),
        quantity=Decimal("0.1"),
        client_order_id="mine",
    )
    assert world.algos.trigger(conditional(world, account, client_algo_id="mine")).status is AlgoStatus.REJECTED


def test_a_trailing_stop_follows_the_best_price(world: World, account: Account) -> None:
    algo = conditional(
        world,
        account,
        order_type="TRAILING_STOP_MARKET",
        trigger_price=None,
        activate_price="66000",
        callback_rate="1",
    )
    for mark, trigger in (("65500", "0"), ("66000", "65340"), ("68000", "67320"), ("67400", "67320")):
        world.set_mark_price("BTCUSDT", Decimal(mark))
        (waiting,) = world.algos.open_of(account)
        assert waiting.trigger_price == Decimal(trigger)
    world.set_mark_price("BTCUSDT", Decimal(67_320))
    done = world.algos.current(algo)
    assert (done.status, done.trigger_price) == (AlgoStatus.FINISHED, Decimal(67_320))


def test_a_trailing_stop_that_buys_is_active_at_once(world: World, account: Account) -> None:
    wanted = {"order_type": "TRAILING_STOP_MARKET", "trigger_price": None, "callback_rate": "0.5", "side": "BUY"}
    assert conditional(world, account, **wanted).trigger_price == Decimal(65325)
    world.set_mark_price("BTCUSDT", Decimal(60_000))
    world.set_mark_price("BTCUSDT", Decimal(60_300))
    assert account.position("BTCUSDT").amount == Decimal("0.1")


@pytest.mark.parametrize(
    ("action", "status"),
    [("cancel", "CANCELED"), ("expire", "EXPIRED"), ("reject", "REJECTED"), ("trigger", "FINISHED")],
)
def test_every_end(world: World, account: Account, clock: StillClock, action: str, status: str) -> None:
    algo = conditional(world, account)
    clock.now += 7
    ended = getattr(world.algos, action)(algo)
    assert (ended.status, ended.update_time) == (status, START_MS + 7)
    assert world.algos.current(algo) == ended
    world.set_mark_price("BTCUSDT", Decimal(50_000))
    assert world.algos.current(algo) == ended
    with pytest.raises(WorldError, match="not open"):
        getattr(world.algos, action)(algo)


def test_other_symbols_and_accounts_wait_on(world: World, account: Account) -> None:
    other = world.create_account("other", wallet={"USDT": Decimal(100_000)})
    eth = conditional(world, account, symbol="ETHUSDT", trigger_price="3000")
    mine, theirs = conditional(world, account), conditional(world, other)
    world.set_mark_price("BTCUSDT", Decimal(60_000))
    assert world.algos.open_of(account) == [eth]
    assert [world.algos.current(algo).status for algo in (mine, theirs)] == [AlgoStatus.FINISHED] * 2


def test_a_stop_saves_a_position_from_liquidation(world: World, account: Account) -> None:
    unsaved = world.create_account("unsaved", wallet={"USDT": Decimal(100_000)})
    for holder in (account, unsaved):
        world.set_position(holder, "BTCUSDT", Decimal(10))
    conditional(world, account, quantity=None, close_position=True)
    world.set_mark_price("BTCUSDT", Decimal(55_200))
    assert [bool(holder.auto_closed) for holder in (account, unsaved)] == [False, True]
    assert account.position("BTCUSDT").amount == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"symbol": "NOPEUSDT"}, "not listed"),
        ({"trigger_price": None}, "trigger price"),
        ({"trigger_price": "70000"}, "at once"),
        ({"quantity": None}, "close_position"),
        ({"close_position": True}, "close_position"),
        ({"quantity": "-1"}, "quantity"),
        ({"price": "60000"}, "price"),
        ({"order_type": "STOP"}, "price"),
        ({"order_type": "STOP", "price": "1", "quantity": None, "close_position": True}, "cannot close"),
        ({"order_type": "TRAILING_STOP_MARKET", "callback_rate": "1"}, "its own trigger"),
        ({"order_type": "TRAILING_STOP_MARKET", "trigger_price": None}, "callback rate"),
        ({"order_type": "TRAILING_STOP_MARKET", "trigger_price": None, "callback_rate": "20.1"}, "callback rate"),
        (
            {
                "order_type": "TRAILING_STOP_MARKET",
                "trigger_price": None,
                "callback_rate": "1",
                "activate_price": "64999",
            },
            "wrong side",
        ),
        ({"position_side": "LONG"}, "position side"),
        ({"working_type": "LAST"}, "working type"),
        ({"client_algo_id": "taken"}, "taken"),
    ],
)
def test_what_the_exchange_would_not_take_is_said(
    world: World, account: Account, changes: dict[str, Any], text: str
) -> None:
    conditional(world, account, client_algo_id="taken")
    with pytest.raises(WorldError, match=text):
        conditional(world, account, **changes)
    assert len(world.algos.open_of(account)) == 1

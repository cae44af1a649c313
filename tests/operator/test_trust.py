"""Detection over HTTP, end to end: stops, liquidations, shared accounts, accepted findings, clocks, and the log."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from tests.support.running import Operator, until
from tests.support.stage import Body, HttpBot, Stage, belief, find_condition, open_account

from accountsync.simulator import Fault, Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]
SLOW = 45


def in_sync(status: Body) -> bool:
    return status.get("sync") == "InSync" and not status["paused"]


def handled(status: Body, request: str) -> bool:
    return status.get("lastHandledReconcileAt") == request


def rules(status: Body) -> dict[str, int]:
    counted: dict[str, int] = (status.get("findings") or {}).get("byRule") or {}
    return counted


def stop_loss(client_id: str) -> Callable[[Any, Any], Any]:
    def place(sim: Simulator, account: Any) -> Any:
        return sim.world.algos.place(
            account,
            symbol="BTCUSDT",
            side="SELL",
            order_type="STOP",
            trigger_price=Decimal(50_000),
            price=Decimal(49_900),
            quantity=Decimal("0.5"),
            client_algo_id=client_id,
        )

    return place


def test_a_stop_that_the_bot_lost_is_told_and_one_that_triggered_is_joined_with_its_child(
    exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    full = open_account(stage, exchange, bot, "stops")
    stage.await_status("stops", in_sync, "clean account")
    stop = exchange.call(lambda sim: stop_loss("grinder_stop")(sim, sim.world.account(full)))
    status = stage.await_status("stops", rules, "finding about the stop", SLOW)
    assert rules(status) == {"UnexpectedOrder": 1}
    (item,) = status["findings"]["items"]
    assert item["id"] == f"trigger:{stop.algo_id}"
    assert item["severity"] == "high"

    tracked = {"id": str(stop.algo_id), "clientId": "grinder_stop", "symbol": "BTCUSDT", "side": "sell"}
    bot.beliefs[f"/{full}"] = lambda: belief(positions=[("BTCUSDT", "0.5")], orders=[tracked])
    stage.await_status("stops", lambda s: s.get("sync") == "InSync", "the bot tracks its stop", SLOW)

    exchange.call(lambda sim: sim.world.algos.trigger(stop))
    child = exchange.call(lambda sim: sim.world.algos.current(stop).child)
    assert child is not None
    for turn in range(5):
        stage.annotate("stops", "requestedAt", f"turn-{turn}")
        stage.await_status("stops", partial(handled, request=f"turn-{turn}"), "cycle")
        assert rules(stage.status("stops")) == {}


def test_a_liquidation_is_told_as_what_it_is(exchange: SimulatorThread, bot: HttpBot, stage: Stage) -> None:
    full = open_account(stage, exchange, bot, "margin")
    stage.await_status("margin", in_sync, "clean account")
    exchange.call(lambda sim: sim.world.liquidate(sim.world.account(full), "BTCUSDT"))
    status = stage.await_status("margin", lambda s: "UnattributedFill" in rules(s), "liquidation", SLOW)
    stage.await_status("margin", lambda s: "PositionMismatch" in rules(s), "position that is gone", SLOW)
    assert status["paused"]
    fill = next(item for item in stage.status("margin")["findings"]["items"] if item["rule"] == "UnattributedFill")
    assert "liquidation" in fill["observed"]
    bot.beliefs[f"/{full}"] = belief
    stage.await_status("margin", lambda s: s.get("sync") == "InSync", "the bot learned of it", 90)


def test_bots_that_share_an_account_see_each_their_own(exchange: SimulatorThread, bot: HttpBot, stage: Stage) -> None:
    full = open_account(stage, exchange, bot, "left", **shared(stage, bot, "left_"))
    key = exchange.call(lambda sim: sim.world.create_key(sim.world.account(full), permissions=("read",)))
    stage.secret("right-read", {"apiKey": key.api_key, "secret": key.secret})
    stage.account("right", state={}, **shared(stage, bot, "right_", path="/right"))
    sides = {"left": "0.5", "right": "0.25"}

    def place(sim: Simulator) -> dict[str, Any]:
        account = sim.world.account(full)
        sim.world.set_position(account, "BTCUSDT", Decimal("0.75"), entry_price=Decimal(60_000))
        return {
            side: sim.world.place_order(
                account,
                symbol="BTCUSDT",
                side="BUY",
                price=Decimal(40_000),
                quantity=Decimal("0.01"),
                client_order_id=f"{side}_1",
            )
            for side in sides
        }

    orders = exchange.call(place)
    for side, path in (("left", full), ("right", "right")):
        row = {"id": str(orders[side].order_id), "clientId": f"{side}_1", "symbol": "BTCUSDT"}
        bot.beliefs[f"/{path}"] = lambda row=row, side=side: belief(positions=[("BTCUSDT", sides[side])], orders=[row])
    for side in sides:
        stage.await_status(side, in_sync, "a bot that agrees with the sum", SLOW)

    exchange.call(
        lambda sim: sim.world.place_order(
            sim.world.account(full), symbol="ETHUSDT", side="BUY", price=Decimal(1_000), quantity=Decimal("0.1")
        )
    )
    status = stage.await_status("left", rules, "the order of nobody", SLOW)
    assert rules(status) == {"UnexpectedOrder": 1}
    assert rules(stage.status("right")) == {}, "told once"
    exchange.call(lambda sim: sim.world.cancel(orders["right"]))
    status = stage.await_status("right", rules, "the order that right lost", SLOW)
    assert rules(status) == {"MissingOrder": 1}
    assert rules(stage.status("left")) == {"UnexpectedOrder": 1}


def shared(stage: Stage, bot: HttpBot, prefix: str, path: str = "") -> Body:
    url = f"{bot.url}{path or f'/{stage.namespace}-left'}"
    return {
        "exchange": {"id": "binanceusdm", "endpoint": stage.simulator_url, "sharedAccount": "desk"},
        "bot": {"state": {"http": {"url": url}}, "orderIdPrefix": prefix},
    }


def test_an_accepted_finding_counts_again_after_its_end(exchange: SimulatorThread, bot: HttpBot, stage: Stage) -> None:
    until_when = datetime.now(UTC) + timedelta(seconds=25)
    known = {"rule": "UnexpectedOrder", "symbol": "BTCUSDT", "until": until_when.isoformat(), "reason": "by hand"}
    full = open_account(stage, exchange, bot, "known", ignore=[known])
    exchange.call(
        lambda sim: sim.world.place_order(
            sim.world.account(full),
            symbol="BTCUSDT",
            side="BUY",
            price=Decimal(40_000),
            quantity=Decimal("0.01"),
            client_order_id="grinder_known",
        )
    )
    stage.await_status("known", in_sync, "an account whose finding is accepted")
    status = stage.await_status("known", rules, "the same finding after its end", 60)
    assert rules(status) == {"UnexpectedOrder": 1}
    assert datetime.now(UTC) >= until_when


def test_a_clock_that_is_apart_is_a_condition(exchange: SimulatorThread, bot: HttpBot, stage: Stage) -> None:
    open_account(stage, exchange, bot, "clock")
    stage.await_status("clock", in_sync, "clean account")
    assert stage.condition("clock", "ClockSkewed") == {}
    exchange.call(lambda sim: sim.faults.add(Fault.clock_skew(milliseconds=2_500, path="/fapi/v1/time")))
    status = stage.await_status("clock", lambda s: find_condition(s, "ClockSkewed"), "condition about the clocks")
    assert "ahead" in find_condition(status, "ClockSkewed")["message"]
    exchange.call(lambda sim: sim.faults.clear())
    stage.await_status("clock", lambda s: not find_condition(s, "ClockSkewed"), "end of the condition")


def test_without_the_conditional_orders_a_snapshot_is_partial_and_proves_no_absence(
    exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    full = open_account(stage, exchange, bot, "partial", staleAfter="5s")
    stage.await_status("partial", in_sync, "clean account")
    exchange.call(lambda sim: sim.faults.add(Fault.http_error(503, account=full, path="/fapi/v1/openAlgoOrders")))
    tracked = {"id": "77", "clientId": "grinder_stop", "symbol": "BTCUSDT"}
    bot.beliefs[f"/{full}"] = lambda: belief(positions=[("BTCUSDT", "0.5")], orders=[tracked])
    status = stage.await_status("partial", lambda s: s.get("pausedBy") == "Stale", "staleness of a partial snapshot")
    assert find_condition(status, "Ready")["reason"] == "SnapshotPartial"
    assert rules(status) == {}
    exchange.call(lambda sim: sim.faults.clear())
    status = stage.await_status("partial", rules, "the proof of absence", SLOW)
    assert rules(status) == {"MissingOrder": 1}


def test_the_log_has_the_lines_that_the_runbooks_grep_for(
    operator: Operator, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    full = open_account(stage, exchange, bot, "logged")
    stage.await_status("logged", in_sync, "clean account")
    tracked = {"clientId": "grinder_abc123", "symbol": "BTCUSDT", "quantity": "1"}
    bot.beliefs[f"/{full}"] = lambda: belief(positions=[("BTCUSDT", "0.05")], orders=[tracked])
    stage.await_status("logged", lambda s: len(rules(s)) == 2, "two findings", SLOW)

    def grep(*words: str) -> list[Body]:
        lines = [line for line in operator.lines if all(word in line for word in (stage.namespace, *words))]
        return [json.loads(line) for line in lines]

    until(lambda: grep("Reconciliation found 2 discrepancies (orders=1 positions=1 balances=0 repairs=0)"), "sums")
    (order,) = grep("RECONCILE_MISMATCH", "ORDER_MISSING")
    assert (order["type"], order["client_order_id"]) == ("stale_local_order", "grinder_abc123")
    (position,) = grep("position_mismatch")
    assert (position["local_qty"], position["exchange_qty"]) == ("0.05", "0.5")
    assert grep("ReconciliationLoop started")


def test_a_key_that_may_trade_is_pointed_out(exchange: SimulatorThread, bot: HttpBot, stage: Stage) -> None:
    full = open_account(stage, exchange, bot, "strong")
    status = stage.await_status("strong", in_sync, "clean account")
    assert find_condition(status, "CredentialsValid")["reason"] == "Accepted"
    key = exchange.call(lambda sim: sim.world.create_key(sim.world.account(full), permissions=("read", "trade")))
    stage.secret("strong-read", {"apiKey": key.api_key, "secret": key.secret})
    stage.await_status(
        "strong", lambda s: find_condition(s, "CredentialsValid")["reason"] == "ExcessRights", "word about the key"
    )
    assert stage.status("strong")["sync"] == "InSync"

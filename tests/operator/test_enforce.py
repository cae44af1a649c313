"""Mode Enforce, whole: findings become a plan, the plan is carried out, and the exchange shows it."""

from decimal import Decimal

import pytest
from tests.support.desk import Desk
from tests.support.running import Operator, until
from tests.support.stage import HttpBot, Stage, find_condition

from accountsync.simulator import Fault, Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]


def test_an_order_that_the_bot_lost_is_cancelled_alone_under_a_hold(
    stage: Stage, exchange: SimulatorThread, bot: HttpBot, operator: Operator
) -> None:
    desk = Desk(stage, exchange, bot, "alone")
    desk.open()
    lost = desk.place("grinder_lost", "BTCUSDT", "0.1", "50000")
    plan = desk.plan("Done")
    assert desk.open_orders() == [desk.tracked]
    (action,) = plan["spec"]["actions"]
    assert (action["type"], action["orderId"]) == ("Cancel", str(lost))
    (intent,) = plan["status"]["intents"]
    assert intent["state"] == "Done"
    status = stage.await_status(
        "alone", lambda s: s["sync"] == "InSync" and "Action" not in s["pausedBy"], "everything in order"
    )
    told = [entry["what"] for entry in status["history"]]
    assert told.index("raised Action") < told.index("lifted Action")
    assert not find_condition(status, "ApprovalsUnprotected")
    series = f'accountsync_actions_total{{account="alone",namespace="{stage.namespace}",outcome="done",type="Cancel"}}'
    metrics = operator.metrics()
    assert [value for name, value in metrics.items() if "accountsync_actions_total" in name and value] == [1.0], series


def test_a_position_that_nobody_expects_is_closed_when_a_person_says_so(
    stage: Stage, exchange: SimulatorThread, bot: HttpBot
) -> None:
    desk = Desk(stage, exchange, bot, "asked")
    desk.open()
    desk.hold("BTCUSDT", "0.25")
    plan = desk.plan("Pending")
    assert "every position" in plan["spec"]["approval"]
    assert desk.effects() == []
    stage.approve(plan)
    done = desk.plan("Done")
    assert done["metadata"]["name"] == plan["metadata"]["name"]
    (placed,) = desk.effects()
    assert placed.params["side"] == "SELL"
    assert (placed.params["reduceOnly"], placed.params["timeInForce"]) == ("true", "IOC")
    assert Decimal(placed.params["quantity"]) == Decimal("0.25")
    status = stage.await_status("asked", lambda s: s["sync"] == "InSync", "a flat account in which nothing is odd")
    assert status["findings"]["total"] == 0


def test_a_dry_run_shows_what_it_would_do_and_sends_nothing(
    stage: Stage, exchange: SimulatorThread, bot: HttpBot
) -> None:
    desk = Desk(stage, exchange, bot, "dry")
    desk.open(dryRun=True)
    desk.place("grinder_lost", "BTCUSDT", "0.1", "50000")
    desk.plan("DryRun")
    desk.another_cycle()
    desk.another_cycle()
    assert len([plan for plan in stage.plans if plan["spec"]["account"]["name"] == "dry"]) == 1
    assert desk.effects() == []


def test_over_a_limit_nothing_is_sent_and_the_bot_is_held(
    stage: Stage, exchange: SimulatorThread, bot: HttpBot
) -> None:
    desk = Desk(stage, exchange, bot, "limited")
    desk.open(pauseAt="never", limits={"notionalPerAction": "100", "notionalPerHour": "1000"})
    desk.place("grinder_lost", "BTCUSDT", "0.1", "50000")
    status = stage.await_status("limited", lambda s: s.get("pausedBy") == "Policy", "a Policy hold")
    assert "notionalPerAction is 100" in status["holds"][0]["message"]
    blocked = stage.await_status("limited", lambda s: find_condition(s, "RemediationBlocked"), "a word why")
    assert "notionalPerAction" in find_condition(blocked, "RemediationBlocked")["message"]
    stage.annotate("limited", "resume", blocked["holds"][0]["digest"])
    stage.await_status("limited", lambda s: not s["paused"], "a person resumes over it")
    assert stage.plans == [plan for plan in stage.plans if plan["spec"]["account"]["name"] != "limited"]
    assert desk.effects() == []


def test_an_approval_for_what_has_changed_does_nothing(stage: Stage, exchange: SimulatorThread, bot: HttpBot) -> None:
    desk = Desk(stage, exchange, bot, "changed")
    desk.open(unexpectedOrders="Plan")
    lost = desk.place("grinder_lost", "BTCUSDT", "0.1", "50000")
    plan = desk.plan("Pending")
    exchange.call(lambda sim: sim.world.cancel(sim.world.account(desk.full).open_orders["BTCUSDT", lost]))
    ended = desk.plan("Expired")
    assert "what it was for has changed" in ended["status"]["message"]
    stage.approve(plan)
    desk.another_cycle()
    assert desk.effects() == []


def test_a_key_that_may_not_trade_ends_the_plan_and_says_so(
    stage: Stage, exchange: SimulatorThread, bot: HttpBot
) -> None:
    desk = Desk(stage, exchange, bot, "weak")
    desk.open()
    key = exchange.call(lambda sim: sim.world.create_key(sim.world.account(desk.full), permissions=("read",)))
    stage.secret("weak-trade", {"apiKey": key.api_key, "secret": key.secret}, "exchange-trade")
    lost = desk.place("grinder_lost", "BTCUSDT", "0.1", "50000")
    plan = desk.plan("Refused")
    (intent,) = plan["status"]["intents"]
    assert intent["state"] in {"Refused", "Expired"}
    assert lost in desk.open_orders()
    again = desk.plan("Pending")
    assert "within the hour" in again["spec"]["approval"]


def test_what_the_exchange_will_not_say_holds_the_bot_until_it_does(
    stage: Stage, exchange: SimulatorThread, bot: HttpBot
) -> None:
    desk = Desk(stage, exchange, bot, "unknown")
    desk.open(unexpectedPositions="Plan")
    desk.hold("BTCUSDT", "0.25")
    plan = desk.plan("Pending")

    def break_it(sim: Simulator) -> None:
        sim.faults.add(
            Fault.unknown_outcome(executed=True, method="POST", path="/fapi/v1/order", account=desk.full, times=1)
        )
        sim.faults.add(Fault.http_error(503, method="GET", path="/fapi/v1/order", account=desk.full))

    exchange.call(break_it)
    stage.approve(plan)
    status = stage.await_status("unknown", lambda s: "UnknownOutcome" in s["pausedBy"], "an UnknownOutcome hold", 60)
    assert "nobody knows" in next(h for h in status["holds"] if h["source"] == "UnknownOutcome")["message"]
    assert desk.plan("Unknown")["metadata"]["name"] == plan["metadata"]["name"]
    exchange.call(lambda sim: sim.faults.clear())
    desk.plan("Done")
    stage.await_status(
        "unknown", lambda s: s["sync"] == "InSync" and not {"Action", "UnknownOutcome"} & set(s["pausedBy"].split(",")),
        "all is known again",
    )  # fmt: skip
    assert len(desk.effects()) == 1


def test_a_belief_is_repaired_and_the_exchange_is_left_alone(
    stage: Stage, exchange: SimulatorThread, bot: HttpBot, operator: Operator
) -> None:
    desk = Desk(stage, exchange, bot, "mended")
    desk.open(mode="Pause", repair=True, unexpectedOrders="Never", unexpectedPositions="Never", limits={})
    desk.place("grinder_lost", "BTCUSDT", "0.1", "50000")
    desk.hold("BTCUSDT", "0.25")
    desk.plan("Done")
    stage.await_status("mended", lambda s: s["sync"] == "InSync", "a bot that knows better")
    told = [row["type"] for message in bot.told.values() for row in message["repairs"]]
    assert {"missing_local_order", "position_mismatch"} <= set(told)
    assert desk.effects() == []
    assert any("Auto-repair" in line and "mended" in line for line in operator.lines)


def test_the_plans_of_an_account_go_with_it(stage: Stage, exchange: SimulatorThread, bot: HttpBot) -> None:
    desk = Desk(stage, exchange, bot, "gone")
    desk.open(unexpectedOrders="Plan")
    desk.place("grinder_lost", "BTCUSDT", "0.1", "50000")
    desk.plan("Pending")
    stage.api("DELETE", f"{stage.accounts}/gone")
    until(lambda: not stage.plans, "end of its plans", 20)

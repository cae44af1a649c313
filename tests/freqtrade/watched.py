"""The operator watches a real freqtrade that trades live: what goes wrong at the exchange, and what becomes of the bot.

It is run by `make test-freqtrade`, not by `make test`.
"""

import itertools
from decimal import Decimal
from typing import Any

import pytest
from tests.freqtrade.bot import PASSWORD, USERNAME, Body, Freqtrade
from tests.freqtrade.venue import Venue
from tests.support.running import Operator, until
from tests.support.stage import Stage, find_condition

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

NAME = "grid"
REQUESTS = itertools.count(1)


def watch(stage: Stage, venue: Venue, bot: Freqtrade, **spec: Any) -> Body:
    """Create the TradingAccount, and wait for the first complete judgement: all is well.

    Without orderIdPrefix: freqtrade leaves client ids to ccxt, so that none of them proves anything.
    """
    stage.secret(f"{NAME}-read", {"apiKey": venue.read_key.api_key, "secret": venue.read_key.secret})
    stage.secret(f"{NAME}-bot", {"username": USERNAME, "password": PASSWORD}, use="bot")
    source = {"freqtrade": {"url": bot.url, "secretRef": {"name": f"{NAME}-bot"}}}
    stage.account(NAME, **{"state": source, "bot": {"state": source}, **spec})
    return stage.await_status(NAME, lambda s: s.get("sync") == "InSync" and not s["paused"], "account in sync")


def await_cycles(stage: Stage, number: int = 3) -> Body:
    """The status once this many cycles, each begun after the one before had ended, are over."""
    for _ in range(number):
        asked = f"request-{next(REQUESTS)}"
        stage.annotate(NAME, "requestedAt", asked)
        status = stage.await_status(NAME, lambda s, asked=asked: s.get("lastHandledReconcileAt") == asked, "cycle")  # type: ignore[misc]
    return status


def rules(status: Body) -> set[str]:
    """Of the findings that stand."""
    return set(status["findings"].get("byRule", ()))


def mismatches(operator: Operator, stage: Stage) -> float:
    """How many findings were ever confirmed, of any rule."""
    own = {name: value for name, value in operator.metrics().items() if f'namespace="{stage.namespace}"' in name}
    return sum(value for name, value in own.items() if name.startswith("grinder_account_sync_mismatches_total"))


def test_a_liquidation_is_found_the_bot_paused_told_and_resumed(
    operator: Operator, stage: Stage, venue: Venue, bot: Freqtrade
) -> None:
    trade = bot.holding()
    status = watch(stage, venue, bot)
    assert find_condition(status, "BotReachable")["status"] == "True"
    until(lambda: bot.state == "running", "bot that trades again after its first judgement")
    assert mismatches(operator, stage) == 0
    writes = len(venue.writes)

    closed_by = venue.liquidate()
    stage.await_status(NAME, lambda s: "PositionMismatch" in rules(s), "finding")
    stage.await_status(NAME, lambda s: "Policy" in s.get("pausedBy", ""), "Policy hold")
    until(lambda: bot.state == "paused", "paused bot")
    until(lambda: bot.open_trades == [], "bot that has learnt of its liquidation")
    (told,) = bot.get("trades")["trades"]
    assert (told["trade_id"], told["exit_reason"]) == (trade["trade_id"], "sold_on_exchange")
    assert told["orders"][-1]["order_id"] == str(closed_by.order_id)

    status = stage.await_status(NAME, lambda s: s.get("sync") == "InSync" and s["paused"], "mended belief, still held")
    assert bot.state == "paused", "a person resumes, nobody else"
    stage.annotate(NAME, "resume", status["holds"][0]["digest"])
    stage.await_status(NAME, lambda s: not s["paused"], "resumed account")
    until(lambda: bot.state == "running", "resumed bot")
    assert len(venue.writes) == writes, "neither the operator nor the bot has sent anything to the exchange"


def test_observe_tells_of_a_liquidation_and_leaves_the_bot_alone(stage: Stage, venue: Venue, bot: Freqtrade) -> None:
    trade = bot.holding()
    watch(stage, venue, bot, mode="Observe")
    venue.liquidate()
    stage.await_status(NAME, lambda s: s.get("sync") == "OutOfSync", "finding")
    await_cycles(stage)
    assert (bot.state, [one["amount"] for one in bot.open_trades]) == ("running", [trade["amount"]])


def test_a_hold_outlives_a_restart_of_the_bot(stage: Stage, venue: Venue, bot: Freqtrade) -> None:
    watch(stage, venue, bot)
    stage.patch(NAME, {"spec": {"paused": True}})
    until(lambda: bot.state == "paused", "paused bot")
    bot.restart()
    until(lambda: bot.state == "paused", "bot that is paused again after its start")
    stage.patch(NAME, {"spec": {"paused": False}})
    stage.await_status(NAME, lambda s: not s["paused"], "account without a hold")
    until(lambda: bot.state == "running", "resumed bot")


@pytest.mark.parametrize(("call", "state"), [("pause", "paused"), ("stop", "stopped")])
def test_what_a_person_had_stopped_stays_as_it_was(
    stage: Stage, venue: Venue, bot: Freqtrade, call: str, state: str
) -> None:
    watch(stage, venue, bot, mode="Observe")
    bot.post(call)
    stage.patch(NAME, {"spec": {"paused": True}})
    stage.await_status(NAME, lambda s: s["paused"], "User hold")
    await_cycles(stage)
    assert bot.state == state
    stage.patch(NAME, {"spec": {"paused": False}})
    stage.await_status(NAME, lambda s: not s["paused"], "lifted User hold")
    await_cycles(stage)
    assert bot.state == state


def test_only_halt_stops_the_exits(stage: Stage, venue: Venue, bot: Freqtrade) -> None:
    bot.holding()
    watch(stage, venue, bot)
    stage.patch(NAME, {"spec": {"paused": True}})
    until(lambda: bot.state == "paused", "paused bot")
    stage.patch(NAME, {"spec": {"pauseLevel": "Halt"}})
    until(lambda: bot.state == "stopped", "stopped bot")
    stage.patch(NAME, {"spec": {"paused": False, "pauseLevel": "ReduceOnly"}})
    until(lambda: bot.state == "running", "resumed bot")


def test_a_held_bot_may_exit_and_that_is_no_finding(
    operator: Operator, stage: Stage, venue: Venue, bot: Freqtrade
) -> None:
    trade = bot.holding()
    watch(stage, venue, bot)
    stage.patch(NAME, {"spec": {"paused": True}})
    until(lambda: bot.state == "paused", "paused bot")
    bot.exit(trade["trade_id"])
    until(lambda: bot.open_trades == [], "exit while held")
    assert venue.position == 0
    status = await_cycles(stage)
    assert (status["sync"], mismatches(operator, stage)) == ("InSync", 0)


def test_a_cancelled_entry_is_no_finding_and_neither_is_a_partial_fill(
    operator: Operator, stage: Stage, venue: Venue, bot: Freqtrade
) -> None:
    watch(stage, venue, bot)
    until(lambda: bot.state == "running", "bot that trades")
    number = bot.enter(price=60_000)["trade_id"]
    await_cycles(stage)
    bot.ask("DELETE", f"trades/{number}/open-order")
    until(lambda: not venue.open_orders and not bot.open_trades, "entry that left no trace")
    await_cycles(stage)
    bot.enter(price=61_000)
    venue.fill(Decimal("0.010"))
    await_cycles(stage, 5)
    venue.fill()
    until(lambda: bot.open_trades[0]["amount"], "filled entry")
    status = await_cycles(stage, 5)
    assert (status["sync"], mismatches(operator, stage)) == ("InSync", 0)


def test_a_repair_may_be_left_to_a_person(stage: Stage, venue: Venue, bot: Freqtrade) -> None:
    trade = bot.holding()
    watch(stage, venue, bot, remediation={"mode": "Pause", "repairBotState": False})
    venue.liquidate()
    stage.await_status(NAME, lambda s: "Policy" in s.get("pausedBy", ""), "Policy hold")
    until(lambda: bot.state == "paused", "paused bot")
    status = await_cycles(stage)
    assert status["sync"] == "OutOfSync"
    assert [one["trade_id"] for one in bot.open_trades] == [trade["trade_id"]]
    bot.post(f"trades/{trade['trade_id']}/reload")
    status = stage.await_status(NAME, lambda s: s["sync"] == "InSync", "account in sync again")
    assert (status["paused"], bot.state) == (True, "paused")


def test_a_stop_order_is_known_and_its_trigger_is_no_finding(
    operator: Operator, stage: Stage, venue: Venue, protected_bot: Freqtrade
) -> None:
    protected_bot.holding()
    protected_bot.stop_order()
    watch(stage, venue, protected_bot)
    await_cycles(stage)
    venue.trigger_stop()
    until(lambda: protected_bot.open_trades == [], "trade that its stop has closed")
    status = await_cycles(stage, 5)
    assert (status["sync"], mismatches(operator, stage)) == ("InSync", 0)


def test_a_bot_that_is_gone_or_does_not_know_us_is_unknown_and_no_mismatch(
    operator: Operator, stage: Stage, venue: Venue, bot: Freqtrade
) -> None:
    bot.holding()
    watch(stage, venue, bot, mode="Observe")
    stage.secret(f"{NAME}-bot", {"username": USERNAME, "password": "wrong"}, use="bot")
    status = stage.await_status(NAME, lambda s: s["sync"] == "Unknown", "Unknown for a wrong password")
    reachable = find_condition(status, "BotReachable")
    assert reachable["status"] == "False"
    assert PASSWORD not in reachable["message"]
    stage.secret(f"{NAME}-bot", {"username": USERNAME, "password": PASSWORD}, use="bot")
    stage.await_status(NAME, lambda s: s["sync"] == "InSync", "account in sync again")
    bot.kill()
    stage.await_status(NAME, lambda s: s["sync"] == "Unknown", "Unknown for a dead bot")
    venue.liquidate()
    await_cycles(stage)
    assert mismatches(operator, stage) == 0
    bot.restart()
    until(lambda: bot.open_trades == [], "bot that looks at its wallet when it starts")
    stage.await_status(NAME, lambda s: s["sync"] == "InSync", "account in sync again")
    assert mismatches(operator, stage) == 0

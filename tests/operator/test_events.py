"""Events: of events.k8s.io, about the account, and one series for what happens again."""

from datetime import datetime

import pytest
from tests.support.running import until
from tests.support.stage import Body, HttpBot, Stage, find_condition, open_account

from accountsync.simulator import Fault, Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

AWAY, BACK = "ExchangeUnavailable", "ReadyAgain"


def outage(stage: Stage, exchange: SimulatorThread, name: str) -> None:
    """The exchange is away until the account says so, and then comes back."""

    def begin(sim: Simulator) -> int:
        key = next(key for key in sim.world.keys.values() if key.account == f"{stage.namespace}-{name}")
        return sim.faults.add(Fault.http_error(503, key=key.fingerprint))

    number = exchange.call(begin)
    stage.await_status(name, lambda s: find_condition(s, "Ready")["reason"] == AWAY, "outage")
    exchange.call(lambda sim: sim.faults.clear(number))
    stage.await_status(name, lambda s: find_condition(s, "Ready")["status"] == "True", "return")


def told(stage: Stage, name: str, reason: str, count: int) -> Body:
    """The one Event with this reason, once it was told `count` times."""

    def counted() -> list[Body]:
        found = [event for event in stage.events(name) if event["reason"] == reason]
        return found if sum(event.get("series", {}).get("count", 1) for event in found) >= count else []

    (event,) = until(counted, f"{reason}, told {count} times", 20)
    return event


def test_an_event_is_about_the_account_and_says_who_did_what(
    exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    open_account(stage, exchange, bot, "told")
    account = stage.get("told")
    event = told(stage, "told", "HoldRaised", 1)
    regarding = event["regarding"]
    assert regarding.pop("resourceVersion").isdigit()
    assert regarding == {
        "apiVersion": "accountsync.dev/v1alpha1",
        "kind": "TradingAccount",
        "namespace": stage.namespace,
        "name": "told",
        "uid": account["metadata"]["uid"],
    }
    assert (event["type"], event["action"]) == ("Warning", "Hold")
    assert event["note"].startswith("Startup hold raised: ")
    assert event["reportingController"] == "accountsync.dev/operator"
    assert event["reportingInstance"]
    assert event["metadata"]["namespace"] == stage.namespace
    assert event["metadata"]["name"].startswith("told.")
    assert told(stage, "told", "HoldLifted", 1)["type"] == "Normal"

    shown = stage.plane.kubectl("describe", "tradingaccount", "told", "--namespace", stage.namespace)
    assert "HoldRaised" in shown
    assert "Startup hold raised: " in shown


def test_what_happens_again_advances_a_series(exchange: SimulatorThread, bot: HttpBot, stage: Stage) -> None:
    open_account(stage, exchange, bot, "flapping")
    stage.await_status("flapping", lambda s: s.get("sync") == "InSync", "clean account")
    outage(stage, exchange, "flapping")
    first = told(stage, "flapping", AWAY, 1)
    assert "series" not in first
    assert (first["type"], told(stage, "flapping", BACK, 1)["type"]) == ("Warning", "Normal")

    outage(stage, exchange, "flapping")
    second = told(stage, "flapping", AWAY, 2)
    assert second["metadata"]["name"] == first["metadata"]["name"]
    assert second["series"]["count"] == 2
    moment = datetime.fromisoformat
    assert moment(second["series"]["lastObservedTime"]) > moment(second["eventTime"]) == moment(first["eventTime"])
    assert told(stage, "flapping", BACK, 2)["series"]["count"] == 2

    outage(stage, exchange, "flapping")
    assert told(stage, "flapping", AWAY, 3)["series"]["count"] == 3


def test_an_event_that_somebody_deleted_is_written_anew(exchange: SimulatorThread, bot: HttpBot, stage: Stage) -> None:
    open_account(stage, exchange, bot, "swept")
    stage.await_status("swept", lambda s: s.get("sync") == "InSync", "clean account")
    outage(stage, exchange, "swept")
    first = told(stage, "swept", AWAY, 1)
    told(stage, "swept", BACK, 1)
    stage.api("DELETE", f"/apis/events.k8s.io/v1/namespaces/{stage.namespace}/events")
    outage(stage, exchange, "swept")
    second = told(stage, "swept", AWAY, 1)
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert "series" not in second

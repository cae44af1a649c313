"""An account from its creation to its deletion, over HTTP state."""

from decimal import Decimal
from functools import partial

import pytest
from tests.support.running import Operator, until
from tests.support.stage import ApiError, HttpBot, Stage, find_condition, open_account

from accountsync.simulator import Fault, Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]


def test_an_account_is_created_judged_paused_resumed_and_deleted(
    operator: Operator, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    full = open_account(stage, exchange, bot, "one")
    status = stage.await_status("one", lambda s: s.get("sync") == "InSync" and not s["paused"], "clean account")
    assert find_condition(status, "Ready")["status"] == "True"
    assert find_condition(status, "CredentialsValid")["status"] == "True"
    assert find_condition(status, "BotReachable")["status"] == "True"
    assert [entry["what"] for entry in status["history"]] == ["raised Startup", "lifted Startup"]

    exchange.call(lambda sim: sim.world.set_position(sim.world.account(full), "BTCUSDT", Decimal("0.7")))
    status = stage.await_status("one", lambda s: s.get("pausedBy") == "Policy", "Policy hold")
    assert status["sync"] == "OutOfSync"
    assert status["findings"]["byRule"] == {"PositionMismatch": 1}
    assert status["findings"]["items"][0]["expected"] == "0.5"
    digest = status["holds"][0]["digest"]

    stage.annotate("one", "resume", "0000000000")
    refused = lambda: [e for e in stage.events("one") if e["reason"] == "ResumeRefused"]  # noqa: E731
    assert digest in until(refused, "ResumeRefused Event", 15)[0]["note"]
    assert stage.status("one")["paused"]

    stage.annotate("one", "resume", digest)
    status = stage.await_status("one", lambda s: not s["paused"], "resume over a known finding")
    assert status["sync"] == "OutOfSync"
    assert len(status["acknowledged"]) == 1

    stage.annotate("one", "requestedAt", "now-please")
    stage.await_status("one", lambda s: s.get("lastHandledReconcileAt") == "now-please", "echo of requestedAt")

    stage.api("DELETE", f"{stage.accounts}/one")
    with pytest.raises(ApiError, match="404"):
        stage.get("one")
    gone = lambda: not [name for name in operator.metrics() if f'namespace="{stage.namespace}"' in name]  # noqa: E731
    assert until(gone, "end of the account's series", 15)


def test_the_kill_switch_stops_and_resumes_in_every_mode(exchange: SimulatorThread, bot: HttpBot, stage: Stage) -> None:
    open_account(stage, exchange, bot, "two", mode="Observe")
    stage.await_status("two", lambda s: s.get("sync") == "InSync", "clean account")
    assert stage.status("two").get("holds", []) == []
    stage.patch("two", {"spec": {"paused": True, "pauseReason": "maintenance tonight"}})
    status = stage.await_status("two", lambda s: s["paused"], "User hold")
    assert (status["pausedBy"], status["holds"][0]["message"]) == ("User", "maintenance tonight")
    stage.patch("two", {"spec": {"paused": False}})
    stage.await_status("two", lambda s: not s["paused"], "lifted User hold")


def test_a_blind_operator_holds_the_bot_until_it_sees_again(
    exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    watching = open_account(stage, exchange, bot, "pausing", staleAfter="5s")
    observing = open_account(stage, exchange, bot, "observing", staleAfter="5s", mode="Observe")
    for name in ("pausing", "observing"):
        stage.await_status(name, lambda s: s.get("sync") == "InSync" and not s["paused"], "clean account")
    for account in (watching, observing):
        exchange.call(partial(break_exchange, account=account))
    status = stage.await_status("pausing", lambda s: s.get("pausedBy") == "Stale", "Stale hold")
    assert status["sync"] == "Unknown"
    assert find_condition(status, "Ready")["reason"] == "ExchangeUnavailable"
    stage.await_status("observing", lambda s: s.get("sync") == "Unknown", "Unknown")
    assert not stage.status("observing")["paused"]

    stage.patch("pausing", {"spec": {"suspend": True}})
    status = stage.await_status("pausing", lambda s: find_condition(s, "Ready")["reason"] == "Suspended", "suspended")
    assert status["pausedBy"] == "Stale", "what was held stays held"
    stage.patch("pausing", {"spec": {"suspend": False}})
    exchange.call(lambda sim: sim.faults.clear())
    stage.await_status("pausing", lambda s: s.get("sync") == "InSync" and not s["paused"], "lifted Stale hold")


def break_exchange(sim: Simulator, account: str) -> None:
    sim.faults.add(Fault.http_error(503, account=account))

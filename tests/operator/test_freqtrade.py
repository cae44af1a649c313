"""A freqtrade bot under a running operator: read, paused while a hold stands, and let go on.

The bot answers as the real one was recorded to; `make test-freqtrade` has the real one.
"""

from decimal import Decimal

import pytest
from tests.bot.freqtrades import PASSWORD, USERNAME, alive
from tests.support.running import until
from tests.support.stage import Stage

from accountsync.simulator import ApiKey, Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]


def test_a_bot_is_paused_and_let_go_on_in_observe_and_a_restart_under_the_hold_does_not_free_it(
    exchange: SimulatorThread, stage: Stage
) -> None:
    def create(sim: Simulator) -> ApiKey:
        account = sim.world.create_account(stage.namespace, wallet={"USDT": Decimal(10_000)})
        sim.world.set_position(account, "BTCUSDT", Decimal("0.031"), entry_price=Decimal(64_000))
        return sim.world.create_key(account, permissions=("read",))

    key = exchange.call(create)
    stage.secret("grid-read", {"apiKey": key.api_key, "secret": key.secret})
    stage.secret("grid-bot", {"username": USERNAME, "password": PASSWORD}, use="bot")
    with alive("entry-filled") as bot:
        state = {"freqtrade": {"url": bot.url, "secretRef": {"name": "grid-bot"}}}
        stage.account("grid", state=state, bot={"state": state}, mode="Observe")
        stage.await_status("grid", lambda s: s.get("sync") == "InSync", "account in sync")
        assert bot.told() == []

        stage.patch("grid", {"spec": {"paused": True}})
        until(lambda: bot.state == "paused", "paused bot")
        status = stage.await_status("grid", lambda s: "told" in s.get("stoppedBot", {}), "memory of the call")
        remembered = {"before": "running", "level": "ReduceOnly", "told": "ReduceOnly"}
        assert remembered.items() <= status["stoppedBot"].items()
        bot.tokens.clear()
        bot.state = "running"
        until(lambda: bot.state == "paused", "bot that is paused again after its restart")

        stage.patch("grid", {"spec": {"paused": False}})
        status = stage.await_status("grid", lambda s: not s["paused"] and "stoppedBot" not in s, "account let go")
        assert status["sync"] == "InSync"
        assert bot.told() == ["pause", "pause", "start"]
        assert stage.condition("grid", "BotReachable")["status"] == "True"

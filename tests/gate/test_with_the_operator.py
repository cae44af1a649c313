"""The real operator, the real gate and an exchange: a bot that only puts its state into the gate."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.gate.gates import GateProcess
from tests.support.controlplane import ControlPlane, free_port
from tests.support.running import Operator
from tests.support.stage import HttpBot, Stage, belief, open_account

from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster]


class PuttingBot:
    """Puts its belief into the gate, again and again."""

    def __init__(self, gate: GateProcess) -> None:
        self._gate = gate
        self.boot_id, self.quantity = "b1", "0.5"
        self._over = threading.Event()

    def put(self) -> None:
        state: Any = belief(positions=[("BTCUSDT", self.quantity)], boot_id=self.boot_id)
        assert self._gate.ask("/state", "PUT", json.dumps(state).encode())[0] == 204

    @contextmanager
    def running(self) -> Iterator[None]:
        def run() -> None:
            while not self._over.wait(0.2):
                self.put()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(10)


def test_the_gate_follows_what_the_operator_makes_of_the_state_that_the_bot_put_into_it(
    cluster: ControlPlane, kubeconfig: Path, stage: Stage, exchange: SimulatorThread, bot: HttpBot
) -> None:
    stage.simulator_url = exchange.url
    port = free_port()
    source = {"http": {"url": f"http://127.0.0.1:{port}/state"}}
    spec = {"state": source, "orderIdPrefix": "grinder_", "gate": {"failClosedAfter": "9s"}}
    full = open_account(stage, exchange, bot, "one", bot=spec)
    with (
        Operator(kubeconfig, f"--namespace={stage.namespace}"),
        GateProcess(cluster.kubeconfig, stage.namespace, "one", f"--listen=127.0.0.1:{port}") as gate,
    ):
        putting = PuttingBot(gate)
        with putting.running():
            gate.await_answer("open")
            putting.boot_id = "b2"
            putting.put()
            assert gate.ask()[0] == 423
            gate.await_answer("open")
            exchange.call(lambda sim: sim.world.set_position(sim.world.account(full), "BTCUSDT", Decimal("0.8")))
            (reason,) = gate.await_answer("DriftConfirmed")["reasons"]
            assert reason["source"] == "Policy"
            assert "the bot believes 0.5; the exchange says 0.8" in reason["message"]
    assert "NotReconciled" in gate.output

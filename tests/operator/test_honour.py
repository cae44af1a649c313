"""A held bot that goes on trading is told of, once, in every place where people look; one that leaves is not."""

import time
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.running import Operator, until
from tests.support.stage import HttpBot, Stage, open_account

from accountsync.simulator import Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster

CONDITION = "PauseNotHonoured"
TOLERATED = 2.5
"""Seconds: the allowance, what the clocks may differ, and a margin."""


class HeldBot:
    """An account whose bot is stopped by a person and told of that for longer than it may take to obey."""

    def __init__(self, stage: Stage, exchange: SimulatorThread, bot: HttpBot, name: str) -> None:
        self.stage, self.exchange, self.name = stage, exchange, name
        self.full = open_account(stage, exchange, bot, name, mode="Observe")  # what it places is no reason for a hold
        stage.patch(name, {"spec": {"bot": {"pauseAllowance": "1s"}}})

    def hold(self) -> None:
        self.stage.patch(self.name, {"spec": {"paused": True}})
        self.stage.await_status(self.name, lambda status: status.get("pausedBy") == "User", "hold")
        seen = time.monotonic()
        until(lambda: time.monotonic() - seen > TOLERATED, "end of what is tolerated")

    def place(self, client_id: str, side: str, *, reduce_only: bool = False) -> None:
        def order(sim: Simulator) -> None:
            sim.world.place_order(
                sim.world.account(self.full),
                symbol="BTCUSDT",
                side=side,
                price=Decimal(30_000 if side == "BUY" else 90_000),
                quantity=Decimal("0.1"),
                client_order_id=client_id,
                reduce_only=reduce_only,
            )

        self.exchange.call(order)

    def another_cycle(self) -> None:
        asked = f"again-{time.monotonic_ns()}"
        self.stage.annotate(self.name, "requestedAt", asked)
        self.stage.await_status(self.name, lambda s: s.get("lastHandledReconcileAt") == asked, "one more cycle")

    def counted(self, operator: Operator) -> float:
        labels = f'{{account="{self.name}",namespace="{self.stage.namespace}"}}'
        return operator.metrics()[f"accountsync_pause_not_honoured_total{labels}"]

    @property
    def told(self) -> list[str]:
        return [row["note"] for row in self.stage.events(self.name) if row["reason"] == CONDITION]


def test_an_opening_order_of_a_held_bot_is_told_once_and_an_exit_never(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    only = f"--namespace={stage.namespace}"
    held = HeldBot(stage, exchange, bot, "one")
    with Operator(kubeconfig, only) as operator:
        held.place("grinder_resting", "BUY")
        held.hold()
        held.place("grinder_exit", "SELL", reduce_only=True)
        held.place("by_hand", "BUY")
        held.another_cycle()
        assert held.counted(operator) == 0
        assert not stage.condition("one", CONDITION)

        held.place("grinder_more", "BUY")
        stage.await_status("one", lambda _: stage.condition("one", CONDITION), "word of the order")
        assert "grinder_more" in stage.condition("one", CONDITION)["message"]
        assert held.counted(operator) == 1
        until(lambda: held.told, "Event")
        operator.await_line(f'"{CONDITION}"')
        held.another_cycle()
        assert held.counted(operator) == 1
    with Operator(kubeconfig, only) as operator:
        held.another_cycle()
        assert held.counted(operator) == 0, "another process does not tell it anew"
        assert stage.condition("one", CONDITION), "and it stands while the hold does"
        held.place("grinder_again", "BUY")
        until(lambda: held.counted(operator) == 1, "word of another order")
        until(lambda: "grinder_again" in stage.condition("one", CONDITION)["message"], "word of it in the condition")
        until(lambda: len(held.told) > 1, "Event of it")
        assert [("grinder_more" in note, "grinder_again" in note) for note in held.told] == [
            (True, False),
            (False, True),
        ]
        stage.patch("one", {"spec": {"paused": False}})
        stage.await_status("one", lambda _: not stage.condition("one", CONDITION), "end of it with the hold")

"""The operator ends, by kill -9 or by being away, and what it held and told stays."""

from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.running import Operator, until
from tests.support.stage import HttpBot, Stage, open_account

from accountsync.simulator import Fault, Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster


def test_a_kill_in_the_middle_of_a_cycle_loses_no_hold_and_repeats_no_event(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    only = f"--namespace={stage.namespace}"
    with Operator(kubeconfig, only) as first:
        full = open_account(stage, exchange, bot, "killed")
        stage.await_status("killed", lambda s: s.get("sync") == "InSync", "clean account")
        exchange.call(lambda sim: sim.world.set_position(sim.world.account(full), "BTCUSDT", Decimal(1)))
        stage.await_status("killed", lambda s: s.get("pausedBy") == "Policy", "Policy hold")
        stage.patch("killed", {"spec": {"paused": True}})
        before = stage.await_status("killed", lambda s: s.get("pausedBy") == "Policy,User", "both holds")
        told = [row["reason"] for row in stage.events("killed")]

        # Its next cycle hangs in the middle of the exchange's answer, and dies there.
        hung = exchange.call(lambda sim: sim.faults.add(Fault.hang(path="/fapi/v1/openOrders", account=full)))
        until(lambda: exchange.call(lambda sim: hits(sim, hung)), "a cycle that hangs", 15)
        first.kill()
    exchange.call(lambda sim: sim.faults.clear())
    with Operator(kubeconfig, only) as second:
        stage.annotate("killed", "requestedAt", "after-the-kill")
        after = stage.await_status(
            "killed", lambda s: s.get("lastHandledReconcileAt") == "after-the-kill", "a cycle of the new process"
        )
        assert [(h["source"], h["since"], h.get("digest")) for h in after["holds"]] == [
            (h["source"], h["since"], h.get("digest")) for h in before["holds"]
        ]
        assert after["findings"]["items"][0]["firstSeen"] == before["findings"]["items"][0]["firstSeen"]
        assert after["history"] == before["history"]
        assert [row["reason"] for row in stage.events("killed")] == told
        digest = next(h["digest"] for h in after["holds"] if h["source"] == "Policy")
        stage.annotate("killed", "resume", digest)
        stage.await_status("killed", lambda s: s.get("pausedBy") == "User", "resume by the digest of before the kill")
        assert second.process.poll() is None


def hits(sim: Simulator, fault: int) -> int:
    return sum(row.applied for row in sim.faults if row.id == fault)


def test_an_account_deleted_while_the_operator_is_down_is_just_gone(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    only = f"--namespace={stage.namespace}"
    with Operator(kubeconfig, only):
        open_account(stage, exchange, bot, "gone")
        stage.await_status("gone", lambda s: s.get("sync") == "InSync", "clean account")
    assert stage.get("gone")["metadata"].get("finalizers") is None
    stage.api("DELETE", f"{stage.accounts}/gone")
    assert stage.api("GET", stage.accounts)["items"] == []

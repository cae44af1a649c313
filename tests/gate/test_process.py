"""The whole gate as a child process beside the real API server. The operator's part is played by the test."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from tests.gate.gates import GateProcess, Road, SignalledBot, events, gated, hold, kubeconfig_by, lift
from tests.support.controlplane import ControlPlane
from tests.support.running import ROOT, accountsync, until
from tests.support.stage import Stage

pytestmark = [pytest.mark.cluster]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


HEAVY = ("ccxt", "kopf", "kubernetes", "pydantic", "prometheus_client", "structlog", "orjson")


def test_it_opens_after_a_cycle_and_tells_a_hold_at_once_in_every_form(
    stage: Stage, tmp_path: Path, stack: ExitStack
) -> None:
    heart = gated(stage, "one")
    heart.cycle()
    script = tmp_path / "hook"
    script.write_text(f'#!/bin/sh\necho "$1 $ACCOUNTSYNC_GATE_LEVEL $ACCOUNTSYNC_GATE_REASONS" >> {tmp_path}/hooked\n')
    script.chmod(0o755)
    file, hooked = tmp_path / "gate", tmp_path / "hooked"
    bot = SignalledBot()
    stack.callback(bot.end)
    options = [f"--file={file}", "--file-says=content", f"--on-close={script} close", f"--on-open={script} open"]
    options += ["--signal=USR1", "--signal-open=SIGUSR2", f"--pid={bot.process.pid}"]
    with GateProcess(stage.plane.kubeconfig, stage.namespace, "one", *options) as gate:
        gate.await_answer("NotReconciled")
        assert file.read_text().startswith("closed ReduceOnly\n")
        with heart.beating():
            gate.await_answer("open")
            stream = events(gate.url, 50)
            assert '"open": true' in next(stream)[2]
            hold(stage, "one", level="Halt")
            told = next(event for event in stream if event[0] == "event: gate")
            (reason,) = json.loads(told[2].removeprefix("data: "))["reasons"]
            assert reason["message"] == "bot 0.5, exchange 0.8"
            assert (gate.ask("/gate")[0], gate.ask("/gate?for=reduce")[0]) == (423, 423)
            until(lambda: file.read_text().startswith("closed Halt\n"), "file that says Halt")
            lift(stage, "one")
            gate.await_answer("open")
            until(lambda: file.read_text().startswith("open\n"), "file that says open")
            until(lambda: hooked.read_text().endswith("open  \n"), "hook that says open")
            stage.patch("one", {"spec": {"paused": True, "pauseReason": "incident 42"}})
            gate.await_answer("PausedBySpec")
            assert gate.ask("/gate?for=reduce")[0] == 200
            stage.patch("one", {"spec": {"paused": False}})
            gate.await_answer("open")
    assert gate.process.returncode == 0
    assert [bot.line(), bot.line()] == ["SIGUSR1", "SIGUSR2"]
    assert file.read_text().startswith("closed ReduceOnly\n")
    assert hooked.read_text().startswith("close ReduceOnly Unknown\n")
    assert "close Halt DriftConfirmed" in hooked.read_text()
    assert hooked.read_text().endswith("close ReduceOnly GateEnding\n")
    stream.close()


def test_a_short_absence_of_the_api_server_stops_nobody_and_a_longer_one_lets_it_only_reduce(
    stage: Stage, cluster: ControlPlane, tmp_path: Path
) -> None:
    heart = gated(stage, "one", gate={"failClosedAfter": "5s"})
    with (
        Road(int(cluster.url.rpartition(":")[2])) as road,
        heart.beating(),
        GateProcess(kubeconfig_by(cluster, road, tmp_path), stage.namespace, "one") as gate,
    ):
        gate.await_answer("open")
        before = gate.ask()[1]["sequence"]
        road.stall()
        until(lambda: gate.metrics()["accountsync_gate_heartbeat_age_seconds"] > 1, "age of the heartbeat")
        road.go_on()
        until(lambda: gate.metrics()["accountsync_gate_heartbeat_age_seconds"] < 1, "heartbeat")
        road.cut()
        until(lambda: gate.metrics()["accountsync_gate_heartbeat_age_seconds"] < 0.4, "heartbeat")
        _, answer = gate.ask()
        assert (answer["open"], answer["sequence"]) == (True, before)
        road.stall()
        until(lambda: gate.ask()[0] == 423, "closed gate")
        assert gate.ask("/gate?for=reduce")[0] == 200
        assert gate.metrics()["accountsync_gate_open"] == 0
        road.go_on()
        gate.await_answer("open")


def test_an_operator_that_is_silent_closes_it_and_one_that_starts_anew_does_not(stage: Stage) -> None:
    heart = gated(stage, "one")
    with GateProcess(stage.plane.kubeconfig, stage.namespace, "one") as gate:
        with heart.beating():
            gate.await_answer("open")
            sequence = gate.ask()[1]["sequence"]
        heart.boot, heart.begun, heart.judged = "another", 0, 0
        heart.beat()
        assert gate.ask()[1]["sequence"] == sequence
        heart.delete()
        gate.await_answer("HeartbeatLost")
        heart.beat()
        gate.await_answer("open")


def test_an_account_deleted_while_paused_stays_closed_until_a_person_says_otherwise(stage: Stage) -> None:
    heart = gated(stage, "one")
    with GateProcess(stage.plane.kubeconfig, stage.namespace, "one") as gate, heart.beating():
        gate.await_answer("open")
        hold(stage, "one")
        gate.await_answer("DriftConfirmed")
        stage.api("DELETE", f"{stage.accounts}/one")
        gate.await_answer("AccountDeleted")
        run = subprocess.run(
            accountsync("gate", "override", "--for=30m", "--reason=moved to grid-2", f"--url={gate.url}", "--by=alice"),
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"the gate of {stage.namespace}/one is open until " in run.stdout
        assert gate.ask()[1]["overridden"]["by"] == "alice"
        assert gate.metrics()["accountsync_gate_overridden"] == 1
        assert "moved to grid-2" in gate.await_line("the gate is overridden")
        end = accountsync("gate", "override", "--end", f"--url={gate.url}")
        assert "is closed at ReduceOnly" in subprocess.run(end, capture_output=True, text=True, check=True).stdout
        again = subprocess.run(end, capture_output=True, text=True, check=False)
        assert (again.returncode, again.stderr) == (1, "Error: the gate refuses: the gate is not overridden\n")
        gated(stage, "one")
        gate.await_answer("open")


def test_a_bot_that_boots_closes_it_until_it_was_judged(stage: Stage) -> None:
    heart = gated(stage, "one")
    with GateProcess(stage.plane.kubeconfig, stage.namespace, "one") as gate:
        with heart.beating():
            gate.await_answer("open")
            assert gate.ask("/state", "PUT", b'{"bootId": "b1"}')[0] == 204
            assert gate.ask()[0] == 200
        assert gate.ask("/state", "PUT", b'{"bootId": "b2"}')[0] == 204
        assert gate.reasons() == ["NotReconciled"]
        assert gate.ask("/state")[1] == {"bootId": "b2"}
        with heart.beating():
            gate.await_answer("open")


def test_in_observe_it_stays_open_without_any_heartbeat(stage: Stage) -> None:
    gated(stage, "one", mode="Observe")
    with GateProcess(stage.plane.kubeconfig, stage.namespace, "one") as gate:
        answer = gate.await_answer("open")
        assert [row["reason"] for row in answer["wouldCloseReasons"]] == ["NotReconciled"]
        assert gate.metrics()["accountsync_gate_would_close"] == 1
        hold(stage, "one")
        gate.await_answer("DriftConfirmed")


def test_an_account_that_is_not_gated_and_one_that_is_not_there_are_told_apart(stage: Stage) -> None:
    with GateProcess(stage.plane.kubeconfig, stage.namespace, "one") as gate:
        until(lambda: "there is no TradingAccount" in gate.ask()[1]["reasons"][0]["message"], "answer")
        assert gate.ask("/readyz")[0] == 503
        stage.account("one", state={"configMap": {"name": "one-state"}})
        answer = gate.await_answer("NotGated")
        assert "spec.bot.gate" in answer["reasons"][0]["message"]
        assert gate.ask("/readyz")[0] == 200


def test_a_gate_that_was_killed_starts_closed(stage: Stage, tmp_path: Path) -> None:
    heart = gated(stage, "one")
    file = tmp_path / "closed"
    with heart.beating():
        with GateProcess(stage.plane.kubeconfig, stage.namespace, "one", f"--file={file}") as gate:
            gate.await_answer("open")
            until(lambda: not file.exists(), "file that is gone")
            gate.kill()
        with GateProcess(stage.plane.kubeconfig, stage.namespace, "one", f"--file={file}") as gate:
            assert file.exists()
            assert gate.ask("/state")[0] == 404
            gate.await_answer("open")
            until(lambda: not file.exists(), "file that is gone")


# --- its rights ------------------------------------------------------------------------------------------------------


def documented(kind: str) -> list[dict[str, object]]:
    """The documents of this kind in the example for tenants."""
    documents = yaml.safe_load_all((ROOT / "examples" / "gate" / "role.yaml").read_text())
    return [document for document in documents if document["kind"] == kind]


def bound(stage: Stage) -> Path:
    """A kubeconfig of the example's ServiceAccount, with the example's Role."""
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        (document,) = documented(kind)
        stage.plane.kubectl("apply", f"--namespace={stage.namespace}", "--filename=-", input=json.dumps(document))
    return stage.plane.kubeconfig_for_service_account(stage.namespace, "grid-btc")


def test_the_documented_role_is_enough_and_opens_no_other_account(stage: Stage) -> None:
    heart, other = gated(stage, "grid-btc"), gated(stage, "grid-eth")
    kubeconfig = bound(stage)
    with (
        heart.beating(),
        other.beating(),
        GateProcess(kubeconfig, stage.namespace, "grid-btc") as own,
        GateProcess(kubeconfig, stage.namespace, "grid-eth") as others,
    ):
        own.await_answer("open")
        until(lambda: "may not read" in others.ask()[1]["reasons"][0]["message"], "refusal")
        message = others.ask()[1]["reasons"][0]["message"]
        assert "tradingaccounts.accountsync.dev with resourceNames [grid-eth]" in message
        assert "resourceNames [accountsync-gate-grid-eth]" in others.await_line("leases.coordination.k8s.io")


def test_the_api_server_takes_the_examples_and_the_restricted_profile_their_pod(stage: Stage) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    stage.api.merge(f"/api/v1/namespaces/{stage.namespace}", {"metadata": {"labels": labels}})
    bound(stage)
    documents = [
        document
        for name in ("role", "deployment", "networkpolicy")
        for document in yaml.safe_load_all((ROOT / "examples" / "gate" / f"{name}.yaml").read_text())
    ]
    (deployment,) = (document for document in documents if document["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    # A Deployment only warns of what the profile forbids; a pod is refused.
    documents.append(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "trial", **template["metadata"]},
            "spec": template["spec"],
        }
    )
    told = stage.plane.kubectl(
        *("apply", "--dry-run=server", "--warnings-as-errors", f"--namespace={stage.namespace}", "--filename=-"),
        input=yaml.safe_dump_all(documents),
    )
    assert told.count("(server dry run)") == len(documents)


def test_nothing_heavy_is_loaded(stage: Stage) -> None:
    gated(stage, "one")
    watch = f"""
import runpy, signal, sys
def tell(*_):
    print("LOADED", *sorted(set(sys.modules) & set({HEAVY!r})), flush=True)
signal.signal(signal.SIGUSR2, tell)
sys.argv = ["accountsync", *sys.argv[1:]]
runpy.run_module("accountsync", run_name="__main__", alter_sys=True)
"""
    gate = GateProcess(stage.plane.kubeconfig, stage.namespace, "one")
    gate._command = [sys.executable, "-c", watch, *gate._command[1:]]
    with gate:
        gate.await_answer("NotReconciled")
        gate.process.send_signal(signal.SIGUSR2)
        assert gate.await_line("LOADED").split() == ["LOADED"]

"""The operator's heartbeats, seen by a real gate: they come while holds can be seen, and end with the operator."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.gate.gates import GateProcess
from tests.support.running import Operator, until
from tests.support.stage import HttpBot, Stage, open_account

from accountsync.gate.heartbeat import Beat
from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
UNWRITABLE = "test-unwritable"
POLICY = f"""
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {UNWRITABLE}}}
spec:
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: NAMESPACE}}}}
    resourceRules:
      - apiGroups: [accountsync.dev]
        apiVersions: [v1alpha1]
        operations: [UPDATE]
        resources: [tradingaccounts/status]
  validations:
    - expression: "!has(object.metadata.annotations) || !('{UNWRITABLE}' in object.metadata.annotations)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {UNWRITABLE}}}
spec: {{policyName: {UNWRITABLE}, validationActions: [Deny]}}
"""


class Leases:
    """The heartbeats of a namespace, each with how often it was seen to change."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._versions: dict[str, str] = {}
        self.changes: Counter[str] = Counter()

    def read(self) -> dict[str, Any]:
        found = self._stage.api("GET", LEASES.format(self._stage.namespace))["items"]
        leases = {row["metadata"]["name"].removeprefix("accountsync-gate-"): row for row in found}
        for name, lease in leases.items():
            version = lease["metadata"]["resourceVersion"]
            self.changes[name] += self._versions.get(name) != version
            self._versions[name] = version
        return leases

    def beat(self, name: str) -> Beat:
        return Beat.read(self.read().get(name, {}))

    def beats_alone(self, name: str, silent: set[str]) -> bool:
        """Whether it went on for more beats than a gate would wait for, and the `silent` ones had none meanwhile."""
        before = [self.changes[each] for each in silent]
        self.read()
        if [self.changes[each] for each in silent] != before:
            self.changes[name] = 0
        return self.changes[name] > 4


def gated(stage: Stage, exchange: SimulatorThread, bot: HttpBot, name: str, **spec: Any) -> None:
    open_account(stage, exchange, bot, name, **spec)
    stage.patch(name, {"spec": {"bot": {"gate": {"failClosedAfter": "3s"}}}})


def test_a_gate_follows_the_operator_through_an_unwritable_status_a_kill_and_a_restart(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    only, leases = f"--namespace={stage.namespace}", Leases(stage)
    stage.plane.kubectl("apply", "--filename=-", input=POLICY.replace("NAMESPACE", stage.namespace))
    for name in ("one", "unseen", "left"):
        gated(stage, exchange, bot, name)
    gated(stage, exchange, bot, "slow", interval="24h", staleAfter="72h")
    open_account(stage, exchange, bot, "ungated")
    with GateProcess(stage.plane.kubeconfig, stage.namespace, "one") as gate:
        with Operator(kubeconfig, only) as operator:
            gate.await_answer("open")
            stage.await_status("slow", lambda status: status.get("sync") == "InSync", "a judgement of the slow one")
            (owner,) = leases.read()["one"]["metadata"]["ownerReferences"]
            assert owner["uid"] == stage.get("one")["metadata"]["uid"]
            assert set(leases.read()) == {"one", "unseen", "left", "slow"}, "an account without a gate has no heartbeat"
            boots = {name: leases.beat(name).boot for name in ("one", "slow")}

            stage.patch("left", {"spec": {"bot": {"gate": None}}})
            stage.patch("unseen", {"metadata": {"annotations": {UNWRITABLE: "yes"}}, "spec": {"paused": True}})
            operator.await_line("the last report of the account could not be written")
            until(
                lambda: leases.beats_alone("one", {"unseen", "left"}), "silence where a hold can't be seen, or needn't"
            )
            stage.patch("unseen", {"metadata": {"annotations": {UNWRITABLE: None}}})
            stage.await_status("unseen", lambda status: status.get("paused"), "the hold", 90)
            told = leases.changes["unseen"]
            until(lambda: leases.read() and leases.changes["unseen"] > told, "heartbeat again")

            gate.await_answer("open")
            operator.kill()
            gate.await_answer("HeartbeatLost")
        with Operator(kubeconfig, only):
            gate.await_answer("open")
            until(lambda: leases.beat("slow").boot != boots["slow"], "heartbeat of the slow one")
            leases.changes.clear()
            until(lambda: leases.read() and leases.changes["slow"] > 2, "further ones")
            assert leases.beat("slow").begun == 0, "its first cycle is not due yet"
            assert leases.beat("one").boot != boots["one"]
    stage.plane.kubectl("delete", "--filename=-", input=POLICY)

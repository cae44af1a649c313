"""People with rights of their own, and the command line as they would type it."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.controlplane import ControlPlane
from tests.support.running import until
from tests.support.stage import Body, Stage, install

from accountsync.cli import main

NUMBERS = itertools.count(1)
STATE = {"http": {"url": "http://127.0.0.1:1/state"}}
Verbs = Sequence[str]
MakePerson = Callable[[Verbs], "Person"]


@dataclass(frozen=True)
class Person:
    """Somebody with a kubeconfig."""

    kubeconfig: Path
    name: str = "admin"

    def types(self, *arguments: str, answer: str | None = None) -> Result:
        """What `accountsync ARGUMENTS` does; a crash is a crash."""
        env = {"KUBECONFIG": str(self.kubeconfig)}
        return CliRunner(env=env).invoke(main, arguments, input=answer, catch_exceptions=False)


@pytest.fixture(scope="session")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    install(control_plane)
    return control_plane


@pytest.fixture
def stage(cluster: ControlPlane) -> Stage:
    """A namespace where no operator looks."""
    return Stage(cluster, f"cli{next(NUMBERS)}", "http://127.0.0.1:1")


@pytest.fixture
def admin(cluster: ControlPlane) -> Person:
    return Person(cluster.kubeconfig)


@pytest.fixture
def person(stage: Stage) -> MakePerson:
    """Makes somebody who may do these things with the tradingaccounts of the stage, and nothing else."""

    def make(verbs: Verbs) -> Person:
        name = f"person{next(NUMBERS)}"
        where = f"--namespace={stage.namespace}"
        plane = stage.plane
        plane.kubectl("create", "serviceaccount", name, where)
        kubeconfig = plane.kubeconfig_for_service_account(stage.namespace, name)
        user = f"system:serviceaccount:{stage.namespace}:{name}"
        if verbs:
            plane.kubectl("create", "role", name, where, f"--verb={','.join(verbs)}", "--resource=tradingaccounts")
            plane.kubectl("create", "rolebinding", name, where, f"--role={name}", f"--user={user}")
            asked = ("auth", "can-i", verbs[0], "tradingaccounts", where)
            until(lambda: plane.kubectl(*asked, check=False, kubeconfig=kubeconfig).strip() == "yes", "new right")
        return Person(kubeconfig, user)

    return make


def told(stage: Stage, name: str, status: Body) -> None:
    """Write a status as the operator would."""
    body = {"apiVersion": "accountsync.dev/v1alpha1", "kind": "TradingAccount", "metadata": {"name": name}}
    stage.api.apply(f"{stage.accounts}/{name}/status", {**body, "status": status})

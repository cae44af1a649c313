"""The operator does its work with the ServiceAccount, the rights and the environment that a release gives it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.controlplane import ControlPlane
from tests.support.helm import CHART, OLDEST, Helm, HelmError, environment
from tests.support.running import Operator, until
from tests.support.stage import GROUP, HttpBot, Stage, find_condition, open_account

from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster

NOT_CLUSTER_WIDE = (
    "--set=crds.enabled=false",
    "--set=rbac.aggregateRoles=false",
    "--set=admissionPolicy.enabled=false",
)
NETWORK = (
    "--set=networkPolicy.enabled=true",
    "--set=networkPolicy.apiServer.cidrs={10.0.0.1/32}",
    "--set=networkPolicy.apiServer.ports={6443}",
)
SUBJECT = "--serviceaccount=accountsync:accountsync"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module")
def plane(bare: ControlPlane, helm4: Helm) -> ControlPlane:
    """With a release for the whole cluster, as an administrator installs it."""
    helm4.install(bare.kubeconfig, {"rbac": {"secretNames": []}})
    until(lambda: bare.kubectl("get", "--raw", f"{GROUP}/tradingaccounts", check=False), "established CRD")
    return bare


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatorThread]:
    with SimulatorThread() as simulator:
        simulator.call(lambda sim: setattr(sim.limits, "weight_per_minute", 1_000_000))  # one minute for many operators
        yield simulator


@pytest.fixture(scope="module")
def bot() -> Iterator[HttpBot]:
    with HttpBot() as server:
        yield server


def closed_stage(plane: ControlPlane, namespace: str, exchange: SimulatorThread) -> Stage:
    """A namespace that has not let any operator in."""
    stage = Stage(plane, namespace, exchange.url)
    stage.api("DELETE", f"{RBAC}/namespaces/{namespace}/rolebindings/accountsync")
    return stage


def admin_of(plane: ControlPlane, namespace: str) -> Path:
    """Somebody with the role admin there. No controller fills that role here, so its parts are bound."""
    plane.kubectl("create", "serviceaccount", "people", f"-n{namespace}")
    parts = [f"system:aggregate-to-{role}" for role in ("view", "edit", "admin")]
    for role in (*parts, *(f"accountsync-{each}" for each in ("view", "edit", "admin"))):
        subject = f"--serviceaccount={namespace}:people"
        name = role.replace(":", "-")
        plane.kubectl("create", "rolebinding", name, f"--clusterrole={role}", subject, f"-n{namespace}")
    return plane.kubeconfig_for_service_account(namespace, "people")


def operator_of(plane: ControlPlane, namespace: str, name: str, artifacts: Path) -> Operator:
    """A process with the token and the environment that the pod of a release would have."""
    deployment = json.loads(plane.kubectl("get", f"deployment/{name}", f"-n{namespace}", "--output=json"))
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    env = {**environment(deployment), "GRINDER_ARTIFACT_DIR": str(artifacts)}
    # The options of Operator for simulator and bot stand for what allowedEndpoints and allowedBotUrls would say.
    return Operator(plane.kubeconfig_for_service_account(namespace, account), env=env)


def refusals(plane: ControlPlane, namespace: str, name: str) -> list[Any]:
    """What the API server refused to a release's ServiceAccount."""
    user = f"system:serviceaccount:{namespace}:{name}"
    events = [event for event in plane.audit_events() if event["user"]["username"] == user]
    assert events
    return [event for event in events if event.get("responseStatus", {}).get("code") in {401, 403}]


def await_in_sync(stage: Stage, name: str) -> None:
    stage.await_status(name, lambda status: status.get("sync") == "InSync", "clean account")


def test_for_the_whole_cluster_it_works_where_a_tenant_has_bound_the_role(
    plane: ControlPlane, exchange: SimulatorThread, bot: HttpBot, tmp_path: Path
) -> None:
    stage = closed_stage(plane, "desk", exchange)
    tenant = admin_of(plane, "desk")
    binding = ("create", "rolebinding", "accountsync", "-ndesk", "--clusterrole=accountsync-tenant", SUBJECT)
    plane.kubectl(*binding, kubeconfig=tenant)
    open_account(stage, exchange, bot, "watched")
    with operator_of(plane, "accountsync", "accountsync", tmp_path) as operator:
        await_in_sync(stage, "watched")
        assert "not watch" not in operator.output
    assert refusals(plane, "accountsync", "accountsync") == []
    stage.api("DELETE", stage.accounts)


def test_a_namespaces_own_admin_installs_it_and_it_keeps_to_that_namespace(
    plane: ControlPlane, helm: Helm, exchange: SimulatorThread, bot: HttpBot, tmp_path: Path
) -> None:
    namespace = f"own-{helm.version}"
    stage, other = closed_stage(plane, namespace, exchange), Stage(plane, f"other-{helm.version}", exchange.url)
    admin = admin_of(plane, namespace)
    watched = f"--set=watchNamespaces={{{namespace}}}"
    command = ("install", "accountsync", CHART, f"--namespace={namespace}", watched, *NOT_CLUSTER_WIDE, *NETWORK)
    with pytest.raises(HelmError, match="attempting to grant RBAC permissions not currently held"):
        helm(*command, kubeconfig=admin)
    helm("uninstall", "accountsync", f"--namespace={namespace}", kubeconfig=admin)

    parts = [f"-stemplates/{part}.yaml" for part in ("rbac", "leases", "admissionpolicy")]
    roles = helm("template", "accountsync", CHART, f"--namespace={namespace}", watched, OLDEST, *parts)
    plane.kubectl("apply", "--filename=-", input=roles)
    helm(*command, "--set=rbac.create=false", kubeconfig=admin)
    open_account(stage, exchange, bot, "own")
    open_account(other, exchange, bot, "other")
    with operator_of(plane, namespace, "accountsync", tmp_path):
        await_in_sync(stage, "own")
        assert other.status("other") == {}
    assert refusals(plane, namespace, "accountsync") == []
    for each in (stage, other):
        each.api("DELETE", each.accounts)


def test_with_secrets_by_name_it_reads_those_and_no_other_and_does_not_try_to_watch(
    plane: ControlPlane, helm: Helm, exchange: SimulatorThread, bot: HttpBot, tmp_path: Path
) -> None:
    namespace, release = f"named-{helm.version}", f"by-name-{helm.version}"
    stage = closed_stage(plane, namespace, exchange)
    values = {
        "fullnameOverride": release,
        "crds": {"enabled": False},
        "rbac": {"aggregateRoles": False, "tenantNamespaces": [namespace], "secretNames": ["listed-read"]},
    }
    helm.install(plane.kubeconfig, values, release=release, namespace=release)
    open_account(stage, exchange, bot, "listed")
    open_account(stage, exchange, bot, "unlisted")
    with operator_of(plane, release, release, tmp_path) as operator:
        await_in_sync(stage, "listed")
        stage.await_status(
            "unlisted",
            lambda status: find_condition(status, "CredentialsValid").get("reason") == "SecretForbidden",
            "refusal",
        )
        assert "not watch" not in operator.output
    refused = {(event["verb"], event["objectRef"].get("name")) for event in refusals(plane, release, release)}
    assert refused == {("get", "unlisted-read")}
    stage.api("DELETE", stage.accounts)


def test_a_tenant_can_open_one_secret_with_the_example(
    plane: ControlPlane, exchange: SimulatorThread, bot: HttpBot, tmp_path: Path
) -> None:
    stage = closed_stage(plane, "tenant", exchange)
    documents = list(yaml.safe_load_all((CHART / "examples" / "tenant-role.yaml").read_text()))
    tenant = admin_of(plane, "tenant")
    plane.kubectl("apply", "-n", "tenant", "--filename=-", input=yaml.safe_dump_all(documents), kubeconfig=tenant)
    open_account(stage, exchange, bot, "grid-btc")
    open_account(stage, exchange, bot, "other")
    with operator_of(plane, "accountsync", "accountsync", tmp_path):
        await_in_sync(stage, "grid-btc")
        stage.await_status(
            "other",
            lambda status: find_condition(status, "CredentialsValid").get("reason") == "SecretForbidden",
            "refusal",
        )
    stage.api("DELETE", stage.accounts)

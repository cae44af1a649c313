"""A release's life on a real API server: install, upgrade, roll back, uninstall, and what becomes of accounts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.support.controlplane import ControlPlane
from tests.support.helm import CHART, NAMESPACE, RELEASE, Document, Helm, HelmError
from tests.support.running import ROOT, until
from tests.support.stage import GROUP

from accountsync.api.v1alpha1 import TradingAccount

pytestmark = pytest.mark.cluster

CRD = "customresourcedefinition/tradingaccounts.accountsync.dev"
WANTED = {
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "networkPolicy": {"enabled": True, "cilium": {"enabled": True, "fqdns": ["fapi.binance.com"]}},
}
ACCOUNT = {
    "apiVersion": "accountsync.dev/v1alpha1",
    "kind": "TradingAccount",
    "metadata": {"name": "grid-btc", "namespace": "default"},
    "spec": {
        "exchange": {"id": "binanceusdm"},
        "credentials": {"read": {"secretRef": {"name": "grid-btc-read"}}},
        "bot": {"state": {"configMap": {"name": "grid-btc-state"}}},
    },
}


class Release:
    """The release `accountsync` on one control plane."""

    def __init__(self, helm: Helm, plane: ControlPlane) -> None:
        self.helm, self.plane = helm, plane

    def __call__(self, verb: str, *arguments: str | Path, values: object = None) -> str:
        namespace = f"--namespace={NAMESPACE}"
        return self.helm(verb, RELEASE, *arguments, namespace, kubeconfig=self.plane.kubeconfig, values=values)

    def get(self, what: str) -> Document:
        """An object; empty where there is none."""
        text = self.plane.kubectl("get", what, f"--namespace={NAMESPACE}", "--output=json", check=False)
        found: Document = json.loads(text or "{}")
        return found

    def columns(self) -> list[str]:
        return [column["name"] for column in self.get(CRD)["spec"]["versions"][0]["additionalPrinterColumns"]]

    def account(self) -> Document:
        text = self.plane.kubectl("get", "tradingaccount/grid-btc", "--namespace=default", "--output=json")
        found: Document = json.loads(text)
        return found

    def create_account(self) -> Document:
        until(lambda: self.plane.kubectl("get", "--raw", f"{GROUP}/tradingaccounts", check=False), "established CRD")
        self.plane.kubectl("create", "--filename=-", input=json.dumps(ACCOUNT))
        return self.account()


@pytest.fixture
def release(helm: Helm, bare: ControlPlane) -> Release:
    return Release(helm, bare)


def newer_chart(folder: Path) -> Path:
    """The chart with a CRD that has one more column."""
    chart = folder / "accountsync"
    shutil.copytree(CHART, chart)
    (path,) = (chart / "files" / "crds").glob("*_tradingaccounts.yaml")
    crd = yaml.safe_load(path.read_text())
    crd["spec"]["versions"][0]["additionalPrinterColumns"].append(
        {"name": "Mode", "type": "string", "jsonPath": ".spec.remediation.mode"}
    )
    path.write_text(yaml.safe_dump(crd))
    return chart


def test_a_release_from_install_to_uninstall_never_touches_accounts(release: Release, tmp_path: Path) -> None:
    release("install", CHART, "--create-namespace")
    assert release.get("deployment/accountsync")["spec"]["replicas"] == 1
    before = release.create_account()
    columns = release.columns()

    release("upgrade", newer_chart(tmp_path))
    assert release.columns() == [*columns, "Mode"]
    assert release.account() == before

    release("rollback", "1")
    assert release.columns() == columns
    assert release.account() == before

    release("upgrade", CHART, "--set=crds.enabled=false")
    assert release.columns() == columns

    release("uninstall")
    assert release.get("deployment/accountsync") == {}
    assert release.account() == before

    release("install", CHART, "--set=crds.keep=false")
    assert release.account() == before
    release("uninstall")
    until(lambda: not release.get(CRD), "CRD gone, and with it the accounts")


def test_where_the_prometheus_operator_is_missing_the_notes_say_what_was_left_out(release: Release) -> None:
    notes = release("install", CHART, "--create-namespace", values={**WANTED, "crds": {"keep": False}})
    assert "ServiceMonitor: this cluster does not know monitoring.coreos.com/v1" in notes
    assert "PrometheusRule: this cluster does not know monitoring.coreos.com/v1" in notes
    assert "CiliumNetworkPolicy: this cluster does not know cilium.io/v2" in notes
    assert "PodMonitor" not in notes
    assert release.get("deployment/accountsync")
    release("uninstall")
    until(lambda: not release.get(CRD), "end of the CRD")


def test_crds_that_were_applied_by_hand_are_taken_over_on_request(release: Release) -> None:
    release.plane.kubectl("apply", "--server-side", f"--filename={ROOT / 'crds'}")
    before = release.create_account()
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        release("install", CHART, "--create-namespace")
    values = {"crds": {"keep": False}}
    release("upgrade", CHART, "--install", "--create-namespace", "--take-ownership", values=values)
    assert release.account() == before
    release("uninstall")
    until(lambda: not release.get(CRD), "end of the CRD")


@pytest.fixture
def notes(helm: Helm, bare: ControlPlane) -> Callable[..., str]:
    def printed(**values: object) -> str:
        command = ("install", "noted", CHART, "--namespace=accountsync", "--dry-run=client")
        return helm(*command, kubeconfig=bare.kubeconfig, values=values).partition("\nNOTES:\n")[2]

    return printed


def test_the_notes_name_the_next_three_commands_and_how_a_tenant_lets_the_operator_in(
    notes: Callable[..., str],
) -> None:
    told = notes(fullnameOverride="accountsync")
    for command in (
        "kubectl create rolebinding accountsync -n trading --clusterrole=accountsync-tenant",
        "--serviceaccount=accountsync:accountsync",
        "kubectl label secret grid-btc-read -n trading accountsync.dev/use=exchange-read",
        "kubectl apply -n trading -f -",
        "kubectl get tradingaccounts -n trading",
    ):
        assert command in told
    assert "watches all namespaces" in told
    assert "Left out" not in told


def test_the_notes_say_which_namespaces_are_open_already(notes: Callable[..., str]) -> None:
    told = notes(rbac={"tenantNamespaces": ["desk", "lab"]})
    assert "lets the operator read Secrets and ConfigMaps in desk, lab." in told
    assert "-n NAMESPACE --clusterrole" in told


def test_the_notes_fit_the_values(notes: Callable[..., str]) -> None:
    told = notes(
        watchNamespaces=["desk"],
        rbac={"secretNames": ["one"], "configMapNames": ["two"]},
        crds={"enabled": False},
        syncEnabled=False,
        replicas=0,
        tests={"enabled": False},
    )
    assert "watches desk." in told
    assert "create rolebinding" not in told
    assert "helm test" not in told
    for sentence in (
        "Only these Secrets may be read: one",
        "Only these ConfigMaps may be read: two",
        "not part of this release",
        "replicas is 0",
        "syncEnabled",
    ):
        assert sentence in told


def test_the_account_in_the_notes_is_a_valid_one(notes: Callable[..., str]) -> None:
    """As far as the models of the CRD can tell."""
    _, _, rest = notes().partition("<<EOF\n")
    account = yaml.safe_load("\n".join(line[2:] for line in rest.partition("EOF")[0].splitlines()))
    account["metadata"] |= {"namespace": "trading", "uid": "u", "resourceVersion": "1", "generation": 1}
    assert TradingAccount.parse(account).spec.bot.order_id_prefix == "grinder_"

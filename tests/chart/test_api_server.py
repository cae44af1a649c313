"""A real API server accepts what the chart renders, and its admission finds the pods restricted enough."""

import json

import pytest
import yaml
from tests.support.controlplane import ControlPlane, ControlPlaneError
from tests.support.helm import CHART, MONITORING, NAMESPACE, Document, Helm, only
from tests.support.running import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.lint]

PEER = {"namespaceSelector": {"matchLabels": {"team": "desk"}}, "podSelector": {"matchLabels": {"app": "bot"}}}
EVERYTHING: Document = {
    "imagePullSecrets": [{"name": "pull"}],
    "rbac": {"tenantNamespaces": ["trading"], "secretNames": ["grid-btc-read"]},
    "gate": {
        "role": {"create": True, "namespace": "trading", "accounts": ["grid-btc"], "serviceAccounts": ["bot"]},
    },
    "serviceAccount": {"annotations": {"role": "r"}},
    "allowedEndpoints": ["https://a.example"],
    "evidence": {"enabled": True, "volume": {"persistentVolumeClaim": {"claimName": "evidence"}}},
    "extraEnv": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "token"}}}],
    "podDisruptionBudget": {"enabled": True},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    "networkPolicy": {
        "enabled": True,
        "metricsFrom": [PEER],
        "apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [443, 6443]},
        "exchanges": {"cidrs": ["203.0.113.0/24"]},
        "bots": [{**PEER, "ports": [8080]}],
        "databases": [PEER, {"ipBlock": {"cidr": "10.1.2.3/32"}, "ports": [6432]}],
    },
    "serviceMonitor": {"enabled": True, "interval": "15s"},
    "prometheusRule": {"enabled": True, "overrides": {"BeliefStale": {"for": "5m"}}},
    "dashboard": {"enabled": True},
    "kubeStateMetrics": {"enabled": True},
}
SETS: dict[str, Document] = {
    "defaults": {},
    "everything": EVERYTHING,
    "namespaced": {"watchNamespaces": ["trading"], "podMonitor": {"enabled": True}, "replicas": 0},
}


@pytest.fixture(scope="module")
def plane(monitored: ControlPlane) -> ControlPlane:
    install = list(yaml.safe_load_all((ROOT / "deploy" / "install.yaml").read_text()))
    first = [each for each in install if each["kind"] in {"Namespace", "ServiceAccount"}]
    assert [each["kind"] for each in first] == ["Namespace", "ServiceAccount"]
    monitored.kubectl("apply", "--filename=-", input=yaml.safe_dump_all(first))
    monitored.kubectl("create", "namespace", "trading")
    return monitored


def dry_run(plane: ControlPlane, documents: list[Document]) -> list[str]:
    """Create all of it, but keep nothing; an unknown field is an error. Gives what was accepted."""
    command = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--output=name")
    return plane.kubectl(*command, "--filename=-", input=yaml.safe_dump_all(documents)).splitlines()


@pytest.mark.parametrize("name", SETS)
def test_the_api_server_accepts_every_object(plane: ControlPlane, helm: Helm, name: str) -> None:
    documents = helm.template(SETS[name], apis=(MONITORING,))
    assert len(dry_run(plane, documents)) == len(documents) > 5


def test_an_object_that_is_wrong_would_be_noticed(plane: ControlPlane, helm4: Helm) -> None:
    documents = helm4.template()
    only(documents, "Deployment")["spec"]["replica"] = 1
    with pytest.raises(ControlPlaneError, match="replica"):
        dry_run(plane, documents)


def test_the_api_server_accepts_what_people_without_helm_apply(plane: ControlPlane) -> None:
    documents = list(yaml.safe_load_all((ROOT / "deploy" / "install.yaml").read_text()))
    assert documents[0]["kind"] == "Namespace"
    assert documents[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert len(dry_run(plane, documents)) == len(documents)


def test_both_pods_meet_the_restricted_pod_security_standard(plane: ControlPlane, helm: Helm) -> None:
    documents = helm.template(EVERYTHING, apis=(MONITORING,))
    template = only(documents, "Deployment")["spec"]["template"]
    operator = {"apiVersion": "v1", "kind": "Pod", **template}
    operator["metadata"] |= {"name": "operator", "namespace": NAMESPACE}
    drill = only(documents, "Pod")
    assert len(dry_run(plane, [operator, drill])) == 2
    for pod in (operator, drill):
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with pytest.raises(ControlPlaneError, match="violates PodSecurity"):
            dry_run(plane, [pod])


def test_the_example_for_tenants_is_accepted(plane: ControlPlane) -> None:
    documents = list(yaml.safe_load_all((CHART / "examples" / "tenant-role.yaml").read_text()))
    for each in documents:
        each["metadata"]["namespace"] = "trading"
    assert len(dry_run(plane, documents)) == 2


def test_the_network_policy_asks_the_cluster_where_its_api_server_is(plane: ControlPlane, helm: Helm) -> None:
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"]}, {"addresses": ["10.1.2.4"]}],
        "ports": [{"name": "https", "port": 16443, "protocol": "TCP"}],
    }
    plane.kubectl("apply", "--filename=-", input=json.dumps(endpoints))
    release = (
        "install",
        "asking",
        CHART,
        "--namespace=trading",
        "--dry-run=server",
        "--set=networkPolicy.enabled=true",
    )
    text = helm(*release, "--set=crds.enabled=false", kubeconfig=plane.kubeconfig)
    rendered = text.partition("MANIFEST:\n")[2].partition("\nNOTES:")[0]
    (policy,) = (
        each
        for each in yaml.safe_load_all(rendered)
        if each and each["kind"] == "NetworkPolicy" and "egress" in each["spec"]
    )
    (found,) = (each for each in policy["spec"]["egress"] if {"protocol": "TCP", "port": 16443} in each["ports"])
    assert [peer["ipBlock"]["cidr"] for peer in found["to"]] == ["10.1.2.3/32", "10.1.2.4/32"]

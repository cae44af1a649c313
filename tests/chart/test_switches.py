"""What each value changes in the rendering."""

import re
from typing import Any

import pytest
import yaml
from tests.support.helm import (
    CHART,
    CILIUM,
    MONITORING,
    OLDEST,
    Document,
    Helm,
    HelmError,
    environment,
    kinds,
    only,
    parsed,
)
from tests.support.running import ROOT
from tools import values as chart_values

from accountsync.controller.settings import Settings
from accountsync.gate.heartbeat import heartbeat_name

pytestmark = pytest.mark.lint

ALWAYS = {"ServiceAccount", "Service", "Deployment", "Pod", "Role", "RoleBinding"}
RBAC = {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
POLICY = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
CLUSTER_WIDE = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", *POLICY}
NO_CLUSTER_ADMIN = {
    "crds": {"enabled": False},
    "rbac": {"aggregateRoles": False},
    "admissionPolicy": {"enabled": False},
    "watchNamespaces": ["a", "b"],
}


def pod(documents: list[Document]) -> Document:
    spec: Document = only(documents, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(documents: list[Document]) -> Document:
    (found,) = pod(documents)["containers"]
    assert isinstance(found, dict)
    return found


def role_rules(documents: list[Document], kind: str, name: str) -> dict[str, Document]:
    return {rule["resources"][0]: rule for rule in only(documents, kind, name)["rules"]}


def test_lint_finds_nothing_to_say(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", OLDEST, CHART)


def test_by_default_there_is_the_operator_its_rights_and_the_crds(helm: Helm) -> None:
    assert kinds(helm.template()) == ALWAYS | CLUSTER_WIDE


def test_all_versions_of_helm_render_the_same(helm: Helm, helm4: Helm) -> None:
    values = {"prometheusRule": {"enabled": True}, "networkPolicy": {"enabled": True}, "dashboard": {"enabled": True}}
    assert helm.template(values, apis=(MONITORING,)) == helm4.template(values, apis=(MONITORING,))


@pytest.mark.parametrize(
    ("values", "apis", "kind"),
    [
        ({"podDisruptionBudget": {"enabled": True}}, (), "PodDisruptionBudget"),
        ({"networkPolicy": {"enabled": True}}, (), "NetworkPolicy"),
        (
            {"networkPolicy": {"enabled": True, "cilium": {"enabled": True, "fqdns": ["a.example"]}}},
            (CILIUM,),
            "CiliumNetworkPolicy",
        ),
        ({"serviceMonitor": {"enabled": True}}, (MONITORING,), "ServiceMonitor"),
        ({"podMonitor": {"enabled": True}}, (MONITORING,), "PodMonitor"),
        ({"prometheusRule": {"enabled": True}}, (MONITORING,), "PrometheusRule"),
        ({"dashboard": {"enabled": True}}, (), "ConfigMap"),
        ({"kubeStateMetrics": {"enabled": True}}, (), "ConfigMap"),
    ],
)
def test_what_is_switched_on_is_there_and_else_it_is_not(
    helm: Helm, values: Document, apis: tuple[str, ...], kind: str
) -> None:
    assert kind in kinds(helm.template(values, apis=apis))
    assert kind not in kinds(helm.template(apis=apis))
    if apis:
        assert kind not in kinds(helm.template(values))


@pytest.mark.parametrize(
    ("values", "gone"),
    [
        ({"crds": {"enabled": False}}, {"CustomResourceDefinition"}),
        ({"tests": {"enabled": False}}, {"Pod"}),
        ({"admissionPolicy": {"enabled": False}}, POLICY),
        ({"serviceAccount": {"create": False, "name": "given"}}, {"ServiceAccount"}),
        ({"rbac": {"create": False, "aggregateRoles": False}}, RBAC),
    ],
)
def test_what_is_switched_off_is_gone(helm: Helm, values: Document, gone: set[str]) -> None:
    assert kinds(helm.template(values)) == (ALWAYS | CLUSTER_WIDE) - gone


def test_the_crds_are_those_of_the_repository_and_outlive_the_release(helm: Helm) -> None:
    ours = {path.name: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))}
    for keep in (True, False):
        documents = helm.template({"crds": {"keep": keep}})
        rendered = [each for each in documents if each["kind"] == "CustomResourceDefinition"]
        assert [each["spec"] for each in rendered] == [each["spec"] for each in ours.values()]
        for each in rendered:
            policy = each["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
            assert policy == ("keep" if keep else None)
            assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "accountsync"


def test_there_is_no_crds_folder_which_helm_would_never_upgrade() -> None:
    assert not (CHART / "crds").exists()


def test_nobody_but_the_operator_is_given_a_status_or_makes_plans(helm: Helm) -> None:
    for values in ({}, {"watchNamespaces": ["a"]}):
        roles = [each for each in helm.template(values) if each["kind"] in {"ClusterRole", "Role"}]
        assert not [rule for role in roles for rule in role["rules"] if "*" in str(rule)]
        for able in (
            [role for role in roles if "/status" in str(role["rules"])],
            [role for role in roles if "create" in granted(role, "remediationplans")],
        ):
            assert [role["metadata"]["name"] for role in able] == ["accountsync"]
            assert "aggregate-to" not in str(able)


def granted(role: Document, resource: str) -> set[str]:
    return {verb for rule in role["rules"] if resource in rule["resources"] for verb in rule["verbs"]}


READS = {"get", "list", "watch"}
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@pytest.mark.parametrize(
    ("into", "accounts", "plans"),
    [
        ("view", READS, READS),
        ("edit", {*READS, *WRITES, "resume"}, READS),
        ("admin", {*READS, *WRITES, "resume", "enforce"}, {*READS, "update", "patch"}),
    ],
)
def test_people_have_what_the_roles_of_the_cluster_say(
    helm: Helm, into: str, accounts: set[str], plans: set[str]
) -> None:
    documents = helm.template()
    label = f"rbac.authorization.k8s.io/aggregate-to-{into}"
    aggregated = [each for each in documents if label in each["metadata"]["labels"]]
    rules = [rule for role in aggregated for rule in role["rules"]]
    assert {resource for rule in rules for resource in rule["resources"]} == {"tradingaccounts", "remediationplans"}
    whole = {"rules": rules}
    assert (granted(whole, "tradingaccounts"), granted(whole, "remediationplans")) == (accounts, plans)
    alone = only(documents, "ClusterRole", f"accountsync-{into}")
    assert (granted(alone, "tradingaccounts"), granted(alone, "remediationplans")) == (accounts, plans)


def test_whoever_only_approves_has_a_role_that_no_other_takes_in(helm: Helm) -> None:
    role = only(helm.template(), "ClusterRole", "accountsync-approver")
    assert role_rules([role], "ClusterRole", "accountsync-approver").keys() == {"remediationplans"}
    assert granted(role, "remediationplans") == {*READS, "update", "patch"}
    assert "aggregate-to" not in str(role["metadata"])


def test_the_policy_knows_the_operator_by_its_account_and_whom_else_the_values_name(helm: Helm) -> None:
    values = {"serviceAccount": {"create": False, "name": "given"}, "admissionPolicy": {"planCreators": ["backup"]}}
    rules = only(helm.template(values), "ValidatingAdmissionPolicy")["spec"]["validations"]
    wanted = '["system:serviceaccount:accountsync:given","backup"]'
    assert [rule["expression"] for rule in rules if wanted in rule["expression"]] != []


def test_for_the_whole_cluster_secrets_are_open_only_where_a_tenant_binds(helm: Helm) -> None:
    documents = helm.template({"rbac": {"tenantNamespaces": ["a", "b"]}})
    assert set(role_rules(documents, "ClusterRole", "accountsync")) == {
        "tradingaccounts",
        "tradingaccounts/status",
        "remediationplans",
        "remediationplans/status",
        "events",
    }
    tenant = role_rules(documents, "ClusterRole", "accountsync-tenant")
    assert {name: rule["verbs"] for name, rule in tenant.items()} == {
        "secrets": ["get", "watch"],
        "configmaps": ["get", "watch"],
        "leases": ["create", "patch"],
    }
    bindings = [
        each for each in documents if each["kind"] == "RoleBinding" and each["metadata"]["name"] == "accountsync"
    ]
    assert [each["metadata"]["namespace"] for each in bindings] == ["a", "b"]
    assert {each["roleRef"]["name"] for each in bindings} == {"accountsync-tenant"}
    assert only(documents, "ClusterRoleBinding")["roleRef"]["name"] == "accountsync"
    assert "ACCOUNTSYNC_NAMESPACES" not in environment(only(documents, "Deployment"))


def test_in_some_namespaces_only_nothing_is_cluster_wide(helm: Helm) -> None:
    documents = helm.template(NO_CLUSTER_ADMIN)
    assert kinds(documents) == ALWAYS
    assert all("namespace" in each["metadata"] for each in documents)
    roles = [each for each in documents if each["kind"] == "Role" and each["metadata"]["name"] == "accountsync"]
    assert [role["metadata"]["namespace"] for role in roles] == ["a", "b"]
    for role in roles:
        resources = [resource for rule in role["rules"] for resource in rule["resources"]]
        plans = ["remediationplans", "remediationplans/status"]
        tenants = ["secrets", "configmaps", "leases"]
        assert resources == ["tradingaccounts", "tradingaccounts/status", *plans, "events", *tenants]
    assert environment(only(documents, "Deployment"))["ACCOUNTSYNC_NAMESPACES"] == "a,b"


def test_namespaces_of_tenants_make_no_sense_beside_watched_namespaces(helm: Helm) -> None:
    with pytest.raises(HelmError, match=r"rbac\.tenantNamespaces"):
        helm.template({"watchNamespaces": ["a"], "rbac": {"tenantNamespaces": ["b"]}})


@pytest.mark.parametrize("where", [{}, {"watchNamespaces": ["a"]}], ids=["cluster", "namespace"])
def test_secrets_limited_by_name_can_be_read_and_not_watched(helm: Helm, where: Document) -> None:
    documents = helm.template({**where, "rbac": {"secretNames": ["one", "two"]}})
    role = ("Role", "accountsync") if where else ("ClusterRole", "accountsync-tenant")
    assert role_rules(documents, *role)["secrets"] == {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["one", "two"],
        "verbs": ["get"],
    }
    assert environment(only(documents, "Deployment"))["ACCOUNTSYNC_WATCH_SECRETS"] == "false"


@pytest.mark.parametrize("where", [{}, {"watchNamespaces": ["a"]}], ids=["cluster", "namespace"])
def test_configmaps_limited_by_name_can_be_read_and_not_watched(helm: Helm, where: Document) -> None:
    documents = helm.template({**where, "rbac": {"configMapNames": ["one", "two"]}})
    role = ("Role", "accountsync") if where else ("ClusterRole", "accountsync-tenant")
    rules = role_rules(documents, *role)
    assert rules["configmaps"] == {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["one", "two"],
        "verbs": ["get"],
    }
    assert rules["secrets"]["verbs"] == ["get", "watch"]
    variables = environment(only(documents, "Deployment"))
    assert (variables["ACCOUNTSYNC_WATCH_SECRETS"], variables["ACCOUNTSYNC_WATCH_CONFIGMAPS"]) == ("true", "false")


@pytest.mark.parametrize(
    "account", [{"create": False}, {"create": False, "name": "default"}, {"create": True, "name": "default"}], ids=str
)
def test_the_service_account_that_every_pod_has_is_never_given_rights(helm: Helm, account: Document) -> None:
    with pytest.raises(HelmError, match=r"serviceAccount\.name"):
        helm.template({"serviceAccount": account})


def test_a_service_account_that_exists_is_bound_by_its_name(helm: Helm) -> None:
    documents = helm.template({"serviceAccount": {"create": False, "name": "given"}})
    assert [subject["name"] for subject in only(documents, "ClusterRoleBinding")["subjects"]] == ["given"]
    assert pod(documents)["serviceAccountName"] == "given"


def test_what_is_not_watched_may_not_be_watched(helm: Helm) -> None:
    documents = helm.template({"watchSecrets": False, "watchConfigMaps": False})
    tenant = role_rules(documents, "ClusterRole", "accountsync-tenant")
    assert [tenant[name]["verbs"] for name in ("secrets", "configmaps")] == [["get"], ["get"]]
    variables = environment(only(documents, "Deployment"))
    assert (variables["ACCOUNTSYNC_WATCH_SECRETS"], variables["ACCOUNTSYNC_WATCH_CONFIGMAPS"]) == ("false", "false")


def test_the_example_for_a_tenant_grants_what_the_chart_grants_by_name(helm: Helm) -> None:
    role, binding = yaml.safe_load_all((CHART / "examples" / "tenant-role.yaml").read_text())
    names = {"secretNames": ["grid-btc-read"], "configMapNames": ["grid-btc-state"]}
    assert role["rules"] == only(helm.template({"rbac": names}), "ClusterRole", "accountsync-tenant")["rules"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "accountsync", "namespace": "accountsync"}]


def test_gates_may_read_their_accounts_and_heartbeats_and_nothing_else(helm: Helm) -> None:
    asked = {"namespace": "trading", "accounts": ["grid-btc", "grid-eth"], "serviceAccounts": ["bots"]}
    assert not [each for each in helm.template({"gate": {"role": asked}}) if "gate" in each["metadata"]["name"]]
    documents = helm.template({"gate": {"role": {**asked, "create": True}}})
    role, binding = (each for each in documents if each["metadata"]["name"] == "accountsync-gate")
    rules = role_rules([role], "Role", "accountsync-gate")
    assert {name: rule["resourceNames"] for name, rule in rules.items()} == {
        "tradingaccounts": asked["accounts"],
        "leases": [heartbeat_name(name) for name in asked["accounts"]],
    }
    assert {tuple(rule["verbs"]) for rule in rules.values()} == {("get", "list", "watch")}
    assert {each["metadata"]["namespace"] for each in (role, binding)} == {"trading"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "bots", "namespace": "trading"}]


def test_values_reach_the_operator_as_it_reads_them(helm: Helm) -> None:
    documents = helm.template(
        {
            "allowedEndpoints": ["https://a.example:8443", "http://127.0.0.1:*"],
            "allowedBotUrls": ["http://bot.example"],
            "syncEnabled": False,
            "evidence": {"enabled": True, "keep": 1_000_000, "maxBytes": 2**40},
            "logFormat": "text",
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        }
    )
    assert container(documents)["args"] == ["operator", "--log-format=text"]
    assert environment(only(documents, "Deployment")) == {
        "PYTHONUNBUFFERED": "1",
        "ACCOUNTSYNC_ALLOWED_ENDPOINTS": "https://a.example:8443,http://127.0.0.1:*",
        "ACCOUNTSYNC_ALLOWED_BOT_URLS": "http://bot.example",
        "ACCOUNTSYNC_WATCH_SECRETS": "true",
        "ACCOUNTSYNC_WATCH_CONFIGMAPS": "true",
        "GRINDER_ACCOUNT_SYNC_ENABLED": "false",
        "GRINDER_ACCOUNT_SYNC_EVIDENCE": "true",
        "GRINDER_ARTIFACT_DIR": "/artifacts",
        "ACCOUNTSYNC_EVIDENCE_KEEP": "1000000",
        "ACCOUNTSYNC_EVIDENCE_MAX_BYTES": "1099511627776",
        "HTTPS_PROXY": "http://proxy:3128",
    }


def test_the_operator_understands_what_it_is_given(helm4: Helm) -> None:
    documents = helm4.template(
        {
            "watchNamespaces": ["a", "b"],
            "allowedEndpoints": ["https://a.example:8443", "http://127.0.0.1:*"],
            "watchConfigMaps": False,
            "evidence": {"enabled": True, "maxBytes": 2**40},
        }
    )
    assert Settings.from_env(environment(only(documents, "Deployment"))) == Settings(
        namespaces=("a", "b"),
        allowed_endpoints=("https://a.example:8443", "http://127.0.0.1:*"),
        watch_configmaps=False,
        evidence=True,
        evidence_max_bytes=2**40,
        artifact_dir="/artifacts",
    )


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "accountsync:0.1.0"),
        ({"repository": "registry.example:5000/desk/sync", "tag": "7"}, "registry.example:5000/desk/sync:7"),
        ({"digest": "sha256:" + "a" * 64}, "accountsync:0.1.0@sha256:" + "a" * 64),
    ],
)
def test_the_image_is_the_one_asked_for(helm: Helm, image: Document, reference: str) -> None:
    values: Document = {"image": {**image, "pullPolicy": "Always"}, "imagePullSecrets": [{"name": "pull"}]}
    documents = helm.template(values)
    for spec in (pod(documents), only(documents, "Pod")["spec"]):
        assert spec["containers"][0]["image"] == reference
        assert spec["containers"][0]["imagePullPolicy"] == "Always"
        assert spec["imagePullSecrets"] == [{"name": "pull"}]


def test_evidence_has_room_that_grows_with_its_limit_or_a_volume_of_ones_own(helm: Helm) -> None:
    def volume(evidence: Document) -> Any:
        (found,) = (
            each for each in pod(helm.template({"evidence": evidence}))["volumes"] if each["name"] == "evidence"
        )
        return {key: value for key, value in found.items() if key != "name"}

    assert volume({}) == {"emptyDir": {"sizeLimit": str(2 * 256 * 2**20)}}
    assert volume({"maxBytes": 2**40}) == {"emptyDir": {"sizeLimit": str(2**41)}}
    claim = {"persistentVolumeClaim": {"claimName": "evidence"}}
    assert volume({"volume": claim}) == claim


@pytest.mark.parametrize("replicas", [0, 1, 3])
def test_there_may_be_any_number_of_replicas(helm: Helm, replicas: int) -> None:
    values: Document = {"replicas": replicas, "podDisruptionBudget": {"enabled": True}}
    documents = helm.template(values)
    assert only(documents, "Deployment")["spec"]["replicas"] == replicas
    assert only(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1, "a single one can be drained"


def test_an_upgrade_leaves_no_gap_but_where_only_one_pod_can_have_the_volume(helm: Helm) -> None:
    def rolling(evidence: Document) -> Any:
        strategy = only(helm.template({"evidence": evidence}), "Deployment")["spec"]["strategy"]
        assert strategy["type"] == "RollingUpdate"
        return strategy["rollingUpdate"]

    assert rolling({}) == {"maxSurge": 1, "maxUnavailable": 0}
    claim = {"persistentVolumeClaim": {"claimName": "evidence"}}
    assert rolling({"volume": claim}) == {"maxSurge": 0, "maxUnavailable": 1}


@pytest.mark.parametrize("where", [{}, {"watchNamespaces": ["a"]}], ids=["cluster", "namespace"])
def test_each_replica_has_a_lease_beside_it_under_the_name_of_its_pod(helm: Helm, where: Document) -> None:
    documents = helm.template(where)
    role, binding = (only(documents, kind, "accountsync-leases") for kind in ("Role", "RoleBinding"))
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "accountsync"
    assert binding["subjects"][0]["name"] == pod(documents)["serviceAccountName"]
    verbs = ["get", "list", "create", "update", "delete"]
    assert role["rules"] == [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs}]
    fields = {each["name"]: each.get("valueFrom") for each in container(documents)["env"]}
    assert fields["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert fields["POD_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


def test_probes_ask_the_operator_and_can_be_given_time(helm: Helm) -> None:
    found = container(helm.template({"probes": {"liveness": {"timeoutSeconds": 9}}}))
    paths = [found[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert [path["path"] for path in paths] == ["/livez", "/livez", "/readyz"], "only readiness may wait for a right"
    assert {path["port"] for path in paths} == {"metrics"}
    assert found["livenessProbe"]["timeoutSeconds"] == 9
    assert {"name": "metrics", "containerPort": 9090} in found["ports"]


def test_there_is_memory_to_live_on_and_no_limit_on_cpu(helm: Helm) -> None:
    assert container(helm.template())["resources"] == {
        "requests": {"cpu": "50m", "memory": "192Mi"},
        "limits": {"memory": "512Mi"},
    }


def test_what_the_scheduler_is_told_is_passed_on(helm: Helm) -> None:
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    own = {"matchLabels": {"mine": "yes"}}
    values = {
        "priorityClassName": "high",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "terminationGracePeriodSeconds": 7,
        "podLabels": {"team": "desk"},
        "podAnnotations": {"note": "x"},
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "topologySpreadConstraints": [spread, {**spread, "labelSelector": own}],
        "serviceAccount": {"automount": False, "name": "other", "annotations": {"role": "r"}},
    }
    documents = helm.template(values)
    spec = pod(documents)
    for name in ("priorityClassName", "nodeSelector", "tolerations", "affinity", "terminationGracePeriodSeconds"):
        assert spec[name] == values[name]
    ours, theirs = spec["topologySpreadConstraints"]
    assert ours["labelSelector"] == only(documents, "Deployment")["spec"]["selector"]
    assert theirs["labelSelector"] == own
    assert spec["volumes"][-1] == {"name": "ca", "configMap": {"name": "ca"}}
    assert container(documents)["volumeMounts"][-1] == {"name": "ca", "mountPath": "/ca"}
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("other", False)
    account = only(documents, "ServiceAccount")["metadata"]
    assert (account["name"], account["annotations"]) == ("other", {"role": "r"})
    template = only(documents, "Deployment")["spec"]["template"]["metadata"]
    assert template["labels"]["team"] == "desk"
    assert template["annotations"] == {"note": "x"}


def test_the_names_follow_the_release_or_the_override(helm: Helm) -> None:
    def deployment(*arguments: str, **values: str) -> str:
        text = helm("template", *arguments, CHART, OLDEST, values=values)
        name: str = only(parsed(text), "Deployment")["metadata"]["name"]
        return name

    assert deployment("accountsync") == "accountsync"
    assert deployment("desk") == "desk-accountsync"
    assert deployment("desk", nameOverride="sync") == "desk-sync"
    assert deployment("desk", fullnameOverride="x") == "x"


def test_every_object_says_whose_it_is_and_the_selectors_leave_out_the_test_pod(helm: Helm) -> None:
    documents = helm.template(
        {"networkPolicy": {"enabled": True}, "podDisruptionBudget": {"enabled": True}, "dashboard": {"enabled": True}}
    )
    for document in documents:
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert (labels["app.kubernetes.io/name"], labels["app.kubernetes.io/instance"]) == (
            "accountsync",
            "accountsync",
        )
    operator = only(documents, "NetworkPolicy", "accountsync")
    selectors = [
        only(documents, "Deployment")["spec"]["selector"]["matchLabels"],
        only(documents, "Service")["spec"]["selector"],
        operator["spec"]["podSelector"]["matchLabels"],
        only(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    running = only(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    drill = only(documents, "Pod")["metadata"]["labels"]
    alone = only(documents, "NetworkPolicy", "accountsync-drill")["spec"]
    assert alone["podSelector"]["matchLabels"].items() <= drill.items()
    assert alone.keys() == {"podSelector", "policyTypes"}
    for selector in selectors:
        assert selector.items() <= running.items()
        assert not selector.items() <= drill.items()


def test_helm_test_runs_the_drill_and_keeps_its_log(helm: Helm) -> None:
    drill = only(helm.template(), "Pod")
    assert drill["metadata"]["annotations"] == {
        "helm.sh/hook": "test",
        "helm.sh/hook-delete-policy": "before-hook-creation",
    }
    assert drill["spec"]["containers"][0]["args"] == ["drill"]
    assert drill["spec"]["automountServiceAccountToken"] is False


def test_every_value_is_used_by_a_template() -> None:
    templates = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))

    def used(path: str) -> object:
        """`.Values.a.b.c` somewhere, or what stands above it, and then `.c` on its own (inside of `with`)."""
        above, _, last = path.rpartition(".")
        return f".Values.{path}" in templates or (
            f".Values.{above.partition('.')[0]}" in templates and re.search(rf"\.{last}\b", templates)
        )

    found = chart_values.parsed((CHART / "values.yaml").read_text())
    assert [leaf.path for value in found for leaf in value.leaves() if not used(leaf.path)] == []

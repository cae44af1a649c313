"""The operator with less than the usual roles: in a few namespaces only, and with Secrets that are granted by name."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.running import Operator, until
from tests.support.stage import Body, HttpBot, Stage, belief, find_condition, open_account

from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
OWN: list[Body] = [
    {"apiGroups": ["accountsync.dev"], "resources": ["tradingaccounts"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["accountsync.dev"], "resources": ["tradingaccounts/status"], "verbs": ["patch"]},
    {
        "apiGroups": ["accountsync.dev"],
        "resources": ["remediationplans"],
        "verbs": ["get", "list", "watch", "create", "delete"],
    },
    {"apiGroups": ["accountsync.dev"], "resources": ["remediationplans/status"], "verbs": ["patch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
]
LEASES: Body = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "list", "create", "update", "delete"],
}
READ: list[Body] = [{"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get", "watch"]}]


def service_account(stage: Stage) -> str:
    """A ServiceAccount `operator` without any rights; its user name."""
    stage.api("POST", f"/api/v1/namespaces/{stage.namespace}/serviceaccounts", {"metadata": {"name": "operator"}})
    return f"system:serviceaccount:{stage.namespace}:operator"


def grant(stage: Stage, home: Stage, rules: Sequence[Mapping[str, object]]) -> None:
    """A Role in the stage's namespace for the ServiceAccount that `home` has."""
    roles = f"{RBAC}/namespaces/{stage.namespace}"
    stage.api("POST", f"{roles}/roles", {"metadata": {"name": "operator"}, "rules": rules})
    binding = {
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": home.namespace}],
    }
    stage.api("POST", f"{roles}/rolebindings", binding)


def asked(cluster: ControlPlane, user: str) -> set[tuple[str, str, str, int]]:
    """(verb, resource, namespace, HTTP status) of all requests of `user`."""
    found = set()
    for event in cluster.audit_events():
        if event["user"].get("username") == user and event["stage"] == "ResponseComplete":
            about = event.get("objectRef", {})
            status = event["responseStatus"]["code"]
            found.add((event["verb"], about.get("resource", ""), about.get("namespace", ""), status))
    return found


def test_roles_in_the_listed_namespaces_are_enough_and_one_that_lacks_its_role_is_named_and_harms_no_other(
    cluster: ControlPlane, exchange: SimulatorThread, bot: HttpBot
) -> None:
    home, other, closed = (Stage(cluster, f"roles-{name}", exchange.url) for name in ("home", "other", "closed"))
    user = service_account(home)
    grant(home, home, [*OWN, *READ, LEASES])
    grant(other, home, OWN + READ)
    for stage in (home, other, closed):
        open_account(stage, exchange, bot, "one")
    kubeconfig = cluster.kubeconfig_for_service_account(home.namespace, "operator")
    namespaces = {"ACCOUNTSYNC_NAMESPACES": " ".join(stage.namespace for stage in (home, other, closed))}
    with Operator(kubeconfig, env=namespaces) as operator:
        for stage in (home, other):
            stage.await_status("one", lambda s: s.get("sync") == "InSync", "account of a namespace with a Role")
            assert find_condition(stage.status("one"), "PermissionMissing") == {}
        operator.await_line("may not")
        said = [json.loads(line) for line in operator.lines if "may not" in line]
        assert [(line["namespace"], line["level"]) for line in said] == [(closed.namespace, "error")]
        where = f'in namespace "{closed.namespace}"'
        assert f"the operator may not list tradingaccounts, watch tradingaccounts {where}" in said[0]["event"]
        grant(closed, home, OWN + READ)
        closed.await_status("one", lambda s: s.get("sync") == "InSync", "account of the namespace that opened", 60)
        refused = {each for each in asked(cluster, user) if each[3] in {401, 403}}
        assert {each[:3] for each in refused} <= {
            (verb, "tradingaccounts", closed.namespace) for verb in ("list", "watch")
        }
        elsewhere = {each for each in asked(cluster, user) if each[1] and not each[2]}
        assert elsewhere == set(), "nothing of the whole cluster is asked for"
    for stage in (home, other, closed):
        stage.api("DELETE", stage.accounts)


def test_secrets_that_are_granted_by_name_are_read_by_name_and_nothing_else_is_tried(
    cluster: ControlPlane, exchange: SimulatorThread, bot: HttpBot
) -> None:
    stage = Stage(cluster, "roles-by-name", exchange.url)
    user = service_account(stage)
    named = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["one-read"]}
    grant(stage, stage, [*OWN, named, LEASES])
    open_account(stage, exchange, bot, "one")
    open_account(stage, exchange, bot, "two")
    kubeconfig = cluster.kubeconfig_for_service_account(stage.namespace, "operator")
    env = {"ACCOUNTSYNC_NAMESPACES": stage.namespace, "ACCOUNTSYNC_WATCH_SECRETS": "false"}
    with Operator(kubeconfig, env=env) as operator:
        stage.await_status("one", lambda s: s.get("sync") == "InSync", "account whose Secret is granted")
        refused = stage.await_status(
            "two", lambda s: find_condition(s, "CredentialsValid").get("reason") == "SecretForbidden", "refusal"
        )
        message = find_condition(refused, "CredentialsValid")["message"]
        assert 'the operator may not get secrets "two-read" in namespace "roles-by-name"' in message
        assert find_condition(refused, "Ready")["message"] == message
        assert {each[0] for each in asked(cluster, user) if each[1] == "secrets"} == {"get"}
        for name in ("one", "two"):
            assert find_condition(stage.status(name), "PermissionMissing") == {}
        assert not [line for line in operator.lines if "may not watch" in line]
    stage.api("DELETE", stage.accounts)


def test_a_running_operator_shows_what_the_alerts_compare(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    full = open_account(
        stage,
        exchange,
        bot,
        "one",
        state={"http": {"url": f"{bot.url}/{stage.namespace}-one"}},
        alerts={"mismatchNotional": "1000"},
        staleAfter="10s",
    )
    stage.patch("one", {"spec": {"bot": {"staleAfter": "4s"}}})
    labels = f'{{account="one",namespace="{stage.namespace}"}}'
    namespaced = f"--namespace={stage.namespace}"
    with Operator(kubeconfig, namespaced) as operator:

        def shown(name: str) -> float | None:
            return operator.metrics().get(f"accountsync_{name}{labels}")

        stage.await_status("one", lambda s: s.get("sync") == "InSync", "first judgement")
        assert (shown("credentials_valid"), shown("mismatch_notional_limit")) == (1, 1000)
        assert shown("belief_stale_after_seconds") == 4
        until(lambda: shown("judged_in_time") == 1, "judgement in time")
        until(lambda: (shown("belief_age_seconds") or 9) < 4, "young belief")
        old = json.dumps(belief(positions=[("BTCUSDT", "0.5")], age=1)).encode()
        bot.beliefs[f"/{full}"] = old  # the bot hangs: it tells the same all the time
        until(lambda: (shown("belief_age_seconds") or 0) > 4, "old belief")
        until(lambda: shown("judged_in_time") == 0, "judgement that is late")
        exchange.call(lambda sim: sim.world.keys.clear())
        until(lambda: shown("credentials_valid") == 0, "key that is refused")
        stage.patch("one", {"spec": {"suspend": True}})
        until(lambda: shown("belief_age_seconds") is shown("judged_in_time") is None, "end of the ages")
        assert shown("mismatch_notional_limit") == 1000
    with Operator(kubeconfig, namespaced) as operator:
        until(lambda: shown("credentials_valid") == 0, "what was known before the restart")
    stage.api("DELETE", stage.accounts)

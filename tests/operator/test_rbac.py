"""The operator's permissions: each that deploy/install.yaml grants is needed, and no other is there."""

import contextlib
import functools
import itertools
import json
import threading
import time
import urllib.error
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from tests.support.controlplane import ControlPlane
from tests.support.desk import Desk
from tests.support.running import Operator, until
from tests.support.stage import GROUP, Body, HttpBot, Stage, belief, find_condition, open_account, permissions

from accountsync.gate.heartbeat import Beat, heartbeat_name
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster]

RBAC, COORDINATION = "rbac.authorization.k8s.io", "/apis/coordination.k8s.io/v1"
CLUSTER, TENANT = "accountsync", "accountsync-tenant"
ROLES: dict[str, list[Body]] = {
    document["metadata"]["name"]: document["rules"]
    for document in permissions()
    if document["kind"] == "ClusterRole" and document["metadata"]["name"] in {CLUSTER, TENANT}
}
(LEASES,) = (each for each in permissions() if each["kind"] == "Role" and "lease" in each["metadata"]["name"])
"""Of the namespace of the operator; test_ownership.py takes its verbs away."""
SIDE_BY_SIDE = 5
BUSY_INTERVAL = 3
RARELY: Body = {"interval": "24h", "staleAfter": "72h"}
ACCOUNT_UID = "accountsync.dev/account-uid"
WINDOW = 9
FLAP_SECONDS = 3
LATE_SECRET = {"metadata": {"name": "late-read", "labels": {"accountsync.dev/use": "exchange-read"}}}


@dataclass(frozen=True, order=True)
class Grant:
    """One verb of one rule."""

    role: str
    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.role}: {self.verb} {self.resource}"


GRANTS = sorted(
    Grant(role, group, resource, verb)
    for role, rules in ROLES.items()
    for rule in rules
    for group, resource, verb in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
)


def without(grant: Grant) -> dict[str, list[Body]]:
    """The roles but for one verb."""
    roles: dict[str, list[Body]] = {role: [] for role in ROLES}
    for kept in GRANTS:
        if kept != grant:
            rule = {"apiGroups": [kept.group], "resources": [kept.resource], "verbs": [kept.verb]}
            roles[kept.role].append(rule)
    return roles


class AuditTail:
    """What the API server answered to whom since this object was made."""

    def __init__(self, plane: ControlPlane) -> None:
        self._log = plane.audit_log
        self._position = self._log.stat().st_size
        self._lock = threading.Lock()
        self._answers: dict[str, set[tuple[str, str, str, int]]] = {}

    def answers(self, user: str) -> set[tuple[str, str, str, int]]:
        """(verb, resource, namespace, HTTP status) of all requests of `user`."""
        with self._lock, self._log.open("rb") as log:
            log.seek(self._position)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                event = json.loads(line)
                if "dryRun=All" in event["requestURI"]:
                    continue  # how the operator learns what the admission policy refuses
                about = event.get("objectRef", {})
                resource = "/".join(filter(None, [about.get("resource", ""), about.get("subresource", "")]))
                status = event.get("responseStatus", {}).get("code", 0)
                answer = event["verb"], resource, about.get("namespace", ""), status
                self._answers.setdefault(event["user"]["username"], set()).add(answer)
            return set(self._answers.get(user, ()))


class Tenant:
    """A namespace with accounts of several kinds, whose bots and people are busy as long as the `with` block lasts."""

    def __init__(self, stage: Stage, exchange: SimulatorThread, bot: HttpBot, audit: AuditTail, user: str) -> None:
        self.stage, self.exchange, self.bot, self.audit, self.user = stage, exchange, bot, audit, user
        self._ended = threading.Event()
        self._lively = [threading.Thread(target=self._live), threading.Thread(target=self._edit)]
        self._open("steady", staleAfter="3s")
        self._open("asked", **RARELY)
        self._open("late", **RARELY)
        self._open("read", configmap=True)
        self._open("busy", configmap=True, interval=f"{BUSY_INTERVAL}s")
        self._gate("gated")
        self._lease("kept")
        self._gate("kept")
        self._open("flapping")
        self.bot.beliefs[f"/{stage.namespace}-flapping"] = self._flap
        self.acted = self._act_for("acted")
        self.approved = self._act_for("approved", unexpectedOrders="Plan", **RARELY)
        self.mislaid = self._act_for("mislaid", unexpectedOrders="Plan")
        self._asked = ""
        self._secret = f"/api/v1/namespaces/{stage.namespace}/secrets/late-read"
        self._late = stage.api("GET", self._secret)["data"]
        stage.api("DELETE", self._secret)
        stage.configmap("read-state", {"state.json": json.dumps(agreeing())})

    def _open(self, name: str, *, configmap: bool = False, **spec: Any) -> None:
        open_account(self.stage, self.exchange, self.bot, name, **spec)
        if configmap:
            source = {"http": None, "configMap": {"name": f"{name}-state"}}
            self.stage.patch(name, {"spec": {"bot": {"state": source, "staleAfter": "24h"}}})

    def _gate(self, name: str) -> None:
        self._open(name, **RARELY)
        self.stage.patch(name, {"spec": {"bot": {"gate": {"failClosedAfter": "30s"}}}})

    def _lease(self, name: str) -> None:
        path = f"{COORDINATION}/namespaces/{self.stage.namespace}/leases"
        self.stage.api("POST", path, {"metadata": {"name": heartbeat_name(name)}})

    def beat(self, name: str) -> Beat:
        """What the heartbeat of an account tells; that of no cycle where there is none."""
        leases = self.stage.api("GET", f"{COORDINATION}/namespaces/{self.stage.namespace}/leases")["items"]
        (found,) = [row for row in leases if row["metadata"]["name"] == heartbeat_name(name)] or [{}]
        return Beat.read(found)

    def _act_for(self, name: str, *, unexpectedOrders: str = "Cancel", **spec: Any) -> Desk:  # noqa: N803
        """An account in mode Enforce whose bot lost an order."""
        desk = Desk(self.stage, self.exchange, self.bot, name)
        desk.place("grinder_lost", "BTCUSDT", "0.1", "50000")
        desk.create(spec={"interval": "2s", **spec}, unexpectedOrders=unexpectedOrders)
        return desk

    def plans(self, name: str) -> list[Body]:
        return [plan for plan in self.stage.plans if plan["spec"]["account"]["name"] == name]

    def __enter__(self) -> Self:
        for thread in self._lively:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._lively:
            thread.join()

    def _flap(self) -> Any:
        return agreeing() if int(time.monotonic() / FLAP_SECONDS) % 2 else (500, b"")

    def _live(self) -> None:
        """A bot that publishes often and is not ready, a late Secret, and people who want something of the others."""
        todo = [self._bring_secret, self._ask, self._approve, self._mislay, self._remove]
        while not self._ended.wait(0.4):
            self.stage.configmap("busy-state", {"state.json": json.dumps(belief(ready=False))})
            todo = [done for done in todo if not done()]

    def _tried(self, name: str) -> bool:
        """Whether its first cycle has ended: without a trigger there is none for a day."""
        return self.stage.condition(name, "CredentialsValid").get("status") in {"True", "False"}

    def _ask(self) -> bool:
        return self._tried("asked") and bool(self.stage.annotate("asked", "requestedAt", "now"))

    def _bring_secret(self) -> bool:
        path = self._secret.rpartition("/")[0]
        return self._tried("late") and bool(self.stage.api("POST", path, LATE_SECRET | {"data": self._late}))

    def _approve(self) -> bool:
        """Have cycles until there is a plan that waits; after the approval nothing has the operator look at it."""
        rested = self.stage.status("approved").get("lastHandledReconcileAt", "") == self._asked
        if not rested or not self._tried("approved"):
            return False
        plans = self.plans("approved")
        if plans and plans[0].get("status", {}).get("message"):
            return bool(self.stage.approve(plans[0]))
        if not plans:
            self._asked = f"at-{time.monotonic_ns()}"
            self.stage.annotate("approved", "requestedAt", self._asked)
        return False

    def _mislay(self) -> bool:
        """Take the label off a plan, by which the operator finds it."""
        for plan in self.plans("mislaid"):
            path = f"{GROUP}/namespaces/{self.stage.namespace}/remediationplans/{plan['metadata']['name']}"
            return bool(self.stage.api.merge(path, {"metadata": {"labels": {ACCOUNT_UID: None}}}))
        return False

    def _remove(self) -> bool:
        """Delete an account of which a plan is done."""
        done = [plan for plan in self.plans("acted") if plan.get("status", {}).get("phase") == "Done"]
        return bool(done) and bool(self.stage.api("DELETE", f"{self.stage.accounts}/acted"))

    def _edit(self) -> None:
        """Somebody who annotates an account all the time, until the operator has lost a race against them."""
        for number in itertools.count():
            if self._ended.wait(0.05) or ("get", "tradingaccounts") in {a[:2] for a in self.audit.answers(self.user)}:
                return
            self.stage.annotate("steady", "edited", str(number))


@dataclass
class Watcher:
    """What can be seen from outside of the operator that looks after a tenant."""

    tenant: Tenant
    operator: Operator
    since: float
    runs: float

    def judged(self, name: str) -> bool:
        return self.tenant.stage.status(name).get("sync") == "InSync"

    def busy_runs(self) -> float:
        series = f'grinder_reconcile_runs_total{{account="busy",namespace="{self.tenant.stage.namespace}"}}'
        return self.operator.metrics().get(series, 0)

    def beats(self, name: str) -> bool:
        return bool(self.tenant.beat(name).boot)

    def retired(self) -> bool:
        """Whether the account that was acted for, and was deleted then, left nothing behind."""
        there = [row["metadata"]["name"] for row in self.tenant.stage.api("GET", self.tenant.stage.accounts)["items"]]
        return "acted" not in there and not self.tenant.plans("acted")

    def often(self) -> bool:
        """Whether cycles of the account whose belief always changes come oftener than the interval brings them."""
        elapsed = time.monotonic() - self.since
        return elapsed >= WINDOW and self.busy_runs() - self.runs >= 1.5 * elapsed / BUSY_INTERVAL


CHECKS: dict[str, Callable[[Watcher], object]] = {
    "accounts are judged": lambda seen: seen.judged("steady"),
    "people are followed": lambda seen: seen.tenant.stage.status("asked").get("lastHandledReconcileAt") == "now",
    "a status that lost a race is decided again": lambda seen: (
        ("get", "tradingaccounts", seen.tenant.stage.namespace, 200) in seen.tenant.audit.answers(seen.tenant.user)
    ),
    "Events are written": lambda seen: seen.tenant.stage.events("steady"),
    "a repeated Event advances its series": lambda seen: [
        event for event in seen.tenant.stage.events("flapping") if event.get("series", {}).get("count", 0) > 1
    ],
    "a Secret that appears is noticed": lambda seen: seen.judged("late"),
    "a belief in a ConfigMap is read": lambda seen: seen.judged("read"),
    "a changed belief is noticed": lambda seen: seen.often(),
    "an account that may be acted for is judged": lambda seen: (
        seen.tenant.stage.status("mislaid").get("sync") == "OutOfSync"
    ),
    "a plan is carried out": lambda seen: seen.tenant.acted.effects(),
    "an approval is noticed": lambda seen: seen.tenant.approved.effects(),
    "a plan that is there already is taken up": lambda seen: (
        ("get", "remediationplans", seen.tenant.stage.namespace, 200) in seen.tenant.audit.answers(seen.tenant.user)
    ),
    "plans go with their account": lambda seen: seen.retired(),
    "a gated account has a heartbeat": lambda seen: seen.beats("gated"),
    "a heartbeat that is there already goes on": lambda seen: seen.beats("kept"),
}
(
    JUDGED,
    FOLLOWED,
    RACE,
    EVENTS,
    SERIES,
    APPEARS,
    READ,
    NOTICED,
    LOST,
    ACTED,
    APPROVED,
    TAKEN,
    RETIRED,
    BEATS,
    BEATS_ON,
) = CHECKS
PLANS = {ACTED, APPROVED, TAKEN, RETIRED}
NEEDED: dict[tuple[str, str, str], tuple[set[str], set[str]]] = {
    # what fails without it, and what may or may not: the rest must go on
    (CLUSTER, "tradingaccounts", "list"): (set(CHECKS), set()),
    (CLUSTER, "tradingaccounts", "watch"): (set(CHECKS), set()),
    (CLUSTER, "tradingaccounts", "get"): ({RACE}, set()),
    (CLUSTER, "tradingaccounts/status", "patch"): (
        {JUDGED, FOLLOWED, RACE, APPEARS, READ, LOST, *PLANS},
        {SERIES, NOTICED, BEATS, BEATS_ON},
    ),
    (CLUSTER, "remediationplans", "list"): (PLANS, set()),
    (CLUSTER, "remediationplans", "create"): (PLANS, set()),
    (CLUSTER, "remediationplans", "watch"): ({APPROVED}, set()),
    (CLUSTER, "remediationplans", "get"): ({TAKEN}, set()),
    (CLUSTER, "remediationplans", "delete"): ({RETIRED}, set()),
    (CLUSTER, "remediationplans/status", "patch"): ({ACTED, APPROVED, RETIRED}, set()),
    (CLUSTER, "events", "create"): ({EVENTS, SERIES}, set()),
    (CLUSTER, "events", "patch"): ({SERIES}, set()),
    (TENANT, "secrets", "get"): ({JUDGED, APPEARS, READ, LOST, *PLANS}, {SERIES}),
    (TENANT, "secrets", "watch"): ({APPEARS}, set()),
    (TENANT, "configmaps", "get"): ({READ}, set()),
    (TENANT, "configmaps", "watch"): ({NOTICED}, set()),
    (TENANT, "leases", "create"): ({BEATS}, set()),
    (TENANT, "leases", "patch"): ({BEATS, BEATS_ON}, set()),
}


def agreeing() -> Body:
    return belief(positions=[("BTCUSDT", "0.5")])


def watch(tenant: Tenant, operator: Operator) -> Watcher:
    watcher = Watcher(tenant, operator, time.monotonic(), 0)
    with contextlib.suppress(TimeoutError):
        until(watcher.busy_runs, "first cycle", 6)
    watcher.since, watcher.runs = time.monotonic(), watcher.busy_runs()
    return watcher


def await_checks(watcher: Watcher, names: set[str]) -> None:
    for name, check in CHECKS.items():
        if name in names:
            until(functools.partial(check, watcher), f"sign that {name}", 180)
    until(lambda: time.monotonic() - watcher.since > WINDOW, "end of the window", 60)


def home(namespace: str) -> str:
    """Where an operator for this namespace has its own Lease, so that no right of there counts here."""
    return f"{namespace}-home"


def bind(stage: Stage, roles: Mapping[str, list[Body]]) -> str:
    """A ServiceAccount `operator` in the namespace, with `roles` as deploy/install.yaml binds them; its user name."""
    api, namespace = stage.api, stage.namespace
    api("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "operator"}})
    subjects = [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}]
    for role, rules in roles.items():
        name = f"{namespace}-{role}"
        api("POST", f"/apis/{RBAC}/v1/clusterroles", {"metadata": {"name": name}, "rules": rules})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": subjects,
        }
        scope = "clusterrolebindings" if role == CLUSTER else f"namespaces/{namespace}/rolebindings"
        api("POST", f"/apis/{RBAC}/v1/{scope}", binding)
    api("POST", "/api/v1/namespaces", {"metadata": {"name": home(namespace)}})
    roles_here = f"/apis/{RBAC}/v1/namespaces/{home(namespace)}"
    api("POST", f"{roles_here}/roles", {"metadata": {"name": "leases"}, "rules": LEASES["rules"]})
    binding = {"metadata": {"name": "leases"}, "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "leases"}}
    api("POST", f"{roles_here}/rolebindings", {**binding, "subjects": subjects})
    return f"system:serviceaccount:{namespace}:operator"


def test_every_granted_verb_has_a_check_that_needs_it() -> None:
    assert {(grant.role, grant.resource, grant.verb) for grant in GRANTS} == set(NEEDED)


def test_with_the_whole_role_all_works_and_nothing_is_refused(
    cluster: ControlPlane, kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot
) -> None:
    audit = AuditTail(cluster)
    stage = Stage(cluster, "rbac-whole", exchange.url)
    user = "system:serviceaccount:accountsync:accountsync"
    with Tenant(stage, exchange, bot, audit, user) as tenant, Operator(kubeconfig) as operator:
        await_checks(watch(tenant, operator), set(CHECKS))
        refused = [a for a in audit.answers(user) if a[3] in {401, 403} and a[2] in {"", stage.namespace}]
        assert refused == []
        assert not [line for line in operator.lines if "orbidden" in line and stage.namespace in line]
    stage.api("DELETE", stage.accounts)


def test_a_namespace_that_has_not_let_the_operator_in_is_told_so_and_harms_no_other(
    cluster: ControlPlane, kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot
) -> None:
    stage, closed = (Stage(cluster, f"rbac-{name}", exchange.url) for name in ("open", "closed"))
    bindings = f"/apis/{RBAC}/v1/namespaces/{closed.namespace}/rolebindings"
    binding = closed.api("GET", f"{bindings}/accountsync")
    closed.api("DELETE", f"{bindings}/accountsync")
    open_account(closed, exchange, bot, "two")
    open_account(stage, exchange, bot, "one")
    with Operator(kubeconfig) as operator:
        forbidden = closed.await_status(
            "two", lambda s: find_condition(s, "CredentialsValid").get("reason") == "SecretForbidden", "refusal"
        )
        message = find_condition(forbidden, "CredentialsValid")["message"]
        assert 'the operator may not get secrets "two-read" in namespace "rbac-closed"' in message
        assert "bind ClusterRole accountsync-tenant there" in message
        stage.await_status("one", lambda s: s.get("sync") == "InSync", "account of an open namespace")
        until(lambda: any("may not watch" in line for line in operator.lines), "log line about the watch")
        lacking = closed.await_status("two", lambda s: find_condition(s, "PermissionMissing"), "word of the watch")
        assert (
            'may not watch secrets in namespace "rbac-closed"'
            in find_condition(lacking, "PermissionMissing")["message"]
        )
        assert find_condition(stage.status("one"), "PermissionMissing") == {}
        fresh = {key: binding[key] for key in ("roleRef", "subjects")}
        closed.api("POST", bindings, {"metadata": {"name": "accountsync"}, **fresh})
        closed.await_status("two", lambda s: s.get("sync") == "InSync", "account of the namespace that opened")
        closed.await_status("two", lambda s: not find_condition(s, "PermissionMissing"), "word that it may watch", 90)
        warned = [line for line in operator.lines if "may not watch" in line and '"level": "warning"' in line]
        assert len([line for line in warned if "rbac-closed" in line]) == 1
    stage.api("DELETE", stage.accounts)
    closed.api("DELETE", closed.accounts)


Judgement = tuple[set[str], bool]
FOLLOWING = {"list", "watch"}
"""Verbs on TradingAccounts without which there is nothing to do."""
LASTING = [grant for grant in GRANTS if grant.resource != "tradingaccounts" or grant.verb not in FOLLOWING]


def said(tenant: Tenant, operator: Operator, text: str) -> bool:
    """Whether a condition of an account says so, or, where none can be written, the log."""
    if "tradingaccounts/status" in text:
        return any(text in json.loads(line).get("event", "") for line in operator.lines if line.startswith("{"))
    accounts = tenant.stage.api("GET", tenant.stage.accounts)["items"]
    rows = [row for account in accounts for row in account.get("status", {}).get("conditions", ())]
    of_plans = "remediationplans" in text
    return any(text in row["message"] for row in rows if row["type"] == "PermissionMissing" or not of_plans)


@contextlib.contextmanager
def plan_creators(cluster: ControlPlane, users: Collection[str]) -> Iterator[None]:
    """Operators besides the installed one that the admission policy lets make plans."""
    (policy,) = (each for each in permissions() if each["kind"] == "ValidatingAdmissionPolicy")
    text = yaml.safe_dump(policy, width=10_000)
    known = '"system:serviceaccount:accountsync:accountsync"'
    assert known in text
    cluster.kubectl("apply", "--filename=-", input=text.replace(known, ",".join([known, *map(json.dumps, users)])))
    yield
    cluster.kubectl("apply", "--filename=-", input=text)


@pytest.fixture(scope="module")
def judgements(
    cluster: ControlPlane, exchange: SimulatorThread, bot: HttpBot
) -> Iterator[Mapping[Grant, Future[Judgement]]]:
    audit = AuditTail(cluster)
    places = {grant: f"rbac-{number}" for number, grant in enumerate(LASTING)}
    users = [f"system:serviceaccount:{namespace}:operator" for namespace in places.values()]
    with plan_creators(cluster, users), ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            grant: pool.submit(judge, grant, namespace, cluster, exchange, bot, audit)
            for grant, namespace in places.items()
        }
        pool.shutdown(cancel_futures=True)


def judge(
    grant: Grant,
    namespace: str,
    cluster: ControlPlane,
    exchange: SimulatorThread,
    bot: HttpBot,
    audit: AuditTail,
) -> Judgement:
    """What has not worked without `grant`, once all that needs it not has; and whether the operator still runs."""
    fails, unclear = NEEDED[grant.role, grant.resource, grant.verb]
    stage = Stage(cluster, namespace, exchange.url)
    user = bind(stage, without(grant))
    kubeconfig = cluster.kubeconfig_for_service_account(namespace, "operator")
    with (
        Tenant(stage, exchange, bot, audit, user) as tenant,
        Operator(kubeconfig, f"--namespace={namespace}", env={"POD_NAMESPACE": home(namespace)}) as operator,
    ):
        watcher = watch(tenant, operator)
        await_checks(watcher, set(CHECKS) - fails - unclear)
        until(
            lambda: (grant.verb, grant.resource, namespace, 403) in audit.answers(user),
            f"refusal of {grant.verb} {grant.resource}",
            180,
        )
        word = f"the operator may not {grant.verb} {grant.resource} "
        until(lambda: said(tenant, operator, word), f"word that {word}", 180)
        silent = {name for name in fails if not CHECKS[name](watcher)}
        alive = operator.process.poll() is None
    stage.api("DELETE", stage.accounts)
    return silent, alive


@pytest.mark.parametrize("grant", LASTING, ids=str)
def test_without_a_verb_something_stops_and_the_rest_goes_on(
    judgements: Mapping[Grant, Future[Judgement]], grant: Grant
) -> None:
    silent, alive = judgements[grant].result(900)
    assert silent == NEEDED[grant.role, grant.resource, grant.verb][0]
    assert alive


@pytest.mark.parametrize("grant", [grant for grant in GRANTS if grant not in LASTING], ids=str)
def test_without_a_verb_on_accounts_it_waits_for_it_and_names_it(cluster: ControlPlane, grant: Grant) -> None:
    namespace = f"rbac-no-{grant.verb}"
    bind(Stage(cluster, namespace, "http://127.0.0.1:1"), without(grant))
    kubeconfig = cluster.kubeconfig_for_service_account(namespace, "operator")
    for options, label, where in (
        ([], "*", "the cluster"),
        ([f"--namespace={namespace}"], namespace, f'namespace "{namespace}"'),
    ):
        why = f"the operator may not {grant.verb} tradingaccounts in {where}: bind ClusterRole accountsync"
        with Operator(kubeconfig, *options, env={"POD_NAMESPACE": home(namespace)}) as operator:
            said = json.loads(operator.await_line("may not"))
            assert (said["level"], said["namespace"]) == ("error", label)
            assert said["event"].startswith(why)
            with pytest.raises(urllib.error.HTTPError) as refused:
                operator.get("/readyz")
            with refused.value as answer:
                assert (answer.code, answer.read().decode()) == (503, f"{why}\n")
            assert operator.get("/livez") == "ok\n"
            assert operator.metrics()[f'accountsync_namespace_followed{{namespace="{label}"}}'] == 0
        assert operator.process.returncode == 0, "told to stop, it stops"
        assert "Traceback" not in operator.output


STRANGE, OWN = "kube-system", "accountsync"
DENIED = [
    # group, resource, verbs, namespace (empty: the whole cluster)
    ("", "pods", "get list watch create delete", STRANGE),
    ("", "pods/exec", "create", STRANGE),
    ("apps", "deployments", "get list create patch", STRANGE),
    ("", "secrets", "get list watch", STRANGE),
    ("", "secrets", "get list watch", OWN),
    ("", "secrets", "get list watch", ""),
    ("", "secrets", "list create update patch delete deletecollection", "rbac-bound"),
    ("", "configmaps", "get list watch", STRANGE),
    ("", "configmaps", "list create update patch delete", "rbac-bound"),
    ("accountsync.dev", "tradingaccounts", "create update patch delete deletecollection", "rbac-bound"),
    ("accountsync.dev", "tradingaccounts", "enforce resume", "rbac-bound"),
    ("accountsync.dev", "remediationplans", "update patch deletecollection", "rbac-bound"),
    ("accountsync.dev", "remediationplans/status", "get update", "rbac-bound"),
    ("accountsync.dev", "remediationplans/finalizers", "update", "rbac-bound"),
    ("accountsync.dev", "tradingaccounts/status", "get update", "rbac-bound"),
    ("accountsync.dev", "tradingaccounts/finalizers", "update", "rbac-bound"),
    ("events.k8s.io", "events", "get list update delete", "rbac-bound"),
    ("", "events", "create patch", "rbac-bound"),
    ("", "nodes", "get list", ""),
    ("", "namespaces", "get list watch create", ""),
    ("", "serviceaccounts", "create impersonate", STRANGE),
    ("", "serviceaccounts/token", "create", OWN),
    ("", "users", "impersonate", ""),
    ("", "groups", "impersonate", ""),
    ("coordination.k8s.io", "leases", "watch patch deletecollection", OWN),
    ("coordination.k8s.io", "leases", "get list watch update delete deletecollection", "rbac-bound"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "get list watch create patch", ""),
    (RBAC, "rolebindings", "create", "rbac-bound"),
    (RBAC, "clusterrolebindings", "create", ""),
    (RBAC, "clusterroles", "create update bind escalate", ""),
    (RBAC, "roles", "create bind escalate", "rbac-bound"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "create", ""),
    ("*", "*", "*", ""),
]


def may(stage: Stage, group: str, resource: str, verb: str, namespace: str) -> bool:
    """As `kubectl auth can-i --as=system:serviceaccount:accountsync:accountsync` asks."""
    name, _, subresource = resource.partition("/")
    attributes = {"group": group, "resource": name, "subresource": subresource, "verb": verb, "namespace": namespace}
    review = stage.api(
        "POST",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {
            "spec": {
                "user": "system:serviceaccount:accountsync:accountsync",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:accountsync", "system:authenticated"],
                "resourceAttributes": attributes,
            }
        },
    )
    return bool(review["status"]["allowed"])


def test_the_operator_may_do_what_is_granted_and_nothing_else(cluster: ControlPlane) -> None:
    stage = Stage(cluster, "rbac-bound", "http://127.0.0.1:1")
    for grant in GRANTS:
        assert may(stage, grant.group, grant.resource, grant.verb, stage.namespace), grant
    allowed = [
        f"{verb} {resource} in {namespace or 'the cluster'}"
        for group, resource, verbs, namespace in DENIED
        for verb in verbs.split()
        if may(stage, group, resource, verb, namespace)
    ]
    assert allowed == []
    answer = cluster.kubectl(
        "auth", "can-i", "list", "secrets", "-A", "--as=system:serviceaccount:accountsync:accountsync", check=False
    )
    assert answer.strip() == "no"

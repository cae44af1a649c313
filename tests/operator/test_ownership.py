"""Several replicas on one API server: each account is one replica's, and changes hands without losing anything."""

import contextlib
import json
import os
import signal
import threading
import urllib.error
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.running import Operator, until
from tests.support.stage import ApiError, Body, HttpBot, Stage, open_account, permissions

from accountsync.domain.owning import owner
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster]

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
LEASE_SECONDS = 3
FOREVER = 300
"""Seconds of a Lease whose end no test sees."""
NAMES = [f"bot-{number:02}" for number in range(12)]
VERBS = {"get", "list", "create", "update", "delete"}


class Fleet:
    """A namespace with accounts, the replicas that look after it, and every owner that any account was seen with."""

    def __init__(self, stage: Stage, kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot) -> None:
        self.stage = stage
        self.seen: dict[str, dict[int, set[str]]] = {name: {} for name in NAMES}
        self.uids: dict[str, str] = {}
        self._kubeconfig = kubeconfig
        self._exchange = exchange
        self._stack = contextlib.ExitStack()
        self._ended = threading.Event()
        self._recorder = threading.Thread(target=self._record)
        for name in NAMES:
            open_account(stage, exchange, bot, name)

    def __enter__(self) -> Self:
        self.uids = {name: body["metadata"]["uid"] for name, body in self.accounts().items()}
        self._recorder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._recorder.join()
        self._stack.close()
        self.stage.api("DELETE", self.stage.accounts)

    def _record(self) -> None:
        while not self._ended.wait(0.02):
            for name, (holder, epoch) in self.owners().items():
                self.seen[name].setdefault(epoch, set()).add(holder)

    def add(self, identity: str, lease: int = LEASE_SECONDS) -> Operator:
        env = {"ACCOUNTSYNC_IDENTITY": identity, "ACCOUNTSYNC_LEASE_DURATION": f"{lease}s"}
        return self._stack.enter_context(Operator(self._kubeconfig, f"--namespace={self.stage.namespace}", env=env))

    def accounts(self) -> dict[str, Body]:
        return {body["metadata"]["name"]: body for body in self.stage.api("GET", self.stage.accounts)["items"]}

    def owners(self) -> dict[str, tuple[str, int]]:
        """Holder and epoch of each account that has one."""
        found = {name: body.get("status", {}).get("owner") for name, body in self.accounts().items()}
        return {name: (row["holder"], row["epoch"]) for name, row in found.items() if row}

    def shared_among(self, *identities: str) -> dict[str, tuple[str, int]]:
        """Wait until each account is the one's that the hash names; holder and epoch of each."""
        wanted = {name: owner(uid, identities) for name, uid in self.uids.items()}

        def shared() -> dict[str, tuple[str, int]] | None:
            now = self.owners()
            return now if {name: holder for name, (holder, _) in now.items()} == wanted else None

        return until(shared, f"accounts shared among {identities}; they are {self.owners()}", 40)

    def hold(self, name: str) -> list[Body]:
        """Let exchange and bot part, until the account is held."""
        full = f"{self.stage.namespace}-{name}"
        self._exchange.call(lambda sim: sim.world.set_position(sim.world.account(full), "BTCUSDT", Decimal(1)))
        status = self.stage.await_status(name, lambda s: s.get("pausedBy") == "Policy", "Policy hold")
        held: list[Body] = status["holds"]
        return held

    def check(self) -> None:
        """No epoch had two owners, and each was seen after the one before it."""
        for name, epochs in self.seen.items():
            assert all(len(holders) == 1 for holders in epochs.values()), (name, epochs)
            assert list(epochs) == sorted(epochs), (name, epochs)


def looked_after(operator: Operator, namespace: str) -> tuple[set[str], set[str]]:
    """Accounts that a replica runs cycles of, and those that it only knows of."""
    series = operator.metrics()
    end = f'",namespace="{namespace}"}}'

    def named(metric: str, value: float | None = None) -> set[str]:
        head = f'{metric}{{account="'
        found = {key: count for key, count in series.items() if key.startswith(head) and key.endswith(end)}
        return {
            key.removeprefix(head).removesuffix(end) for key, count in found.items() if value is None or count == value
        }

    assert named("grinder_reconcile_runs_total") == named("accountsync_account_owned", 1)
    return named("accountsync_account_owned", 1), named("accountsync_account_owned", 0)


@pytest.fixture
def fleet(kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage) -> Iterator[Fleet]:
    with Fleet(stage, kubeconfig, exchange, bot) as made:
        yield made


def test_two_replicas_share_the_accounts_and_a_third_takes_its_part_of_both(fleet: Fleet) -> None:
    a, b = fleet.add("a"), fleet.add("b")
    before = fleet.shared_among("a", "b")

    def apart() -> bool:
        (of_a, not_a), (of_b, not_b) = (looked_after(each, fleet.stage.namespace) for each in (a, b))
        return of_a | of_b == set(NAMES) and not of_a & of_b and (not_a, not_b) == (of_b, of_a)

    until(apart, "accounts of which each has cycles on one replica")
    assert {holder for holder, _ in before.values()} == {"a", "b"}
    fleet.add("c")
    after = fleet.shared_among("a", "b", "c")
    moved = {name for name in NAMES if after[name] != before[name]}
    assert {after[name][0] for name in moved} <= {"c"}
    assert all(after[name][1] == before[name][1] + 1 for name in moved)
    fleet.check()


def test_what_a_killed_replica_had_goes_to_the_other_with_all_its_holds(fleet: Fleet) -> None:
    a, _ = fleet.add("a"), fleet.add("b")
    before = fleet.shared_among("a", "b")
    its = [name for name in NAMES if before[name][0] == "a"]
    holds = fleet.hold(its[0])
    a.kill()
    after = fleet.shared_among("b")
    assert {name: epoch - before[name][1] for name, (_, epoch) in after.items()} == {
        name: 1 if name in its else 0 for name in NAMES
    }
    assert fleet.stage.status(its[0])["holds"] == holds
    fleet.check()


def test_a_replica_that_was_stopped_past_its_lease_writes_nothing_over_what_the_new_one_wrote(fleet: Fleet) -> None:
    a, _ = fleet.add("a"), fleet.add("b")
    before = fleet.shared_among("a", "b")
    its = [name for name in NAMES if before[name][0] == "a"]
    os.kill(a.process.pid, signal.SIGSTOP)
    try:
        taken = fleet.shared_among("b")
        holds = fleet.hold(its[0])
        said = len(a.lines)
    finally:
        os.kill(a.process.pid, signal.SIGCONT)
    back = fleet.shared_among("a", "b")
    assert all(back[name][1] > taken[name][1] for name in its), "as a takeover like every other"
    assert fleet.stage.status(its[0])["holds"] == holds
    handed_over = [json.loads(line)["account"] for line in a.lines[said:] if '"handed over"' in line]
    assert set(handed_over) == set(its)
    fleet.check()


def test_a_replica_that_is_told_to_stop_hands_over_before_its_lease_ends(fleet: Fleet) -> None:
    a, _ = fleet.add("a", lease=FOREVER), fleet.add("b", lease=LEASE_SECONDS)
    fleet.shared_among("a", "b")
    a.process.send_signal(signal.SIGTERM)
    fleet.shared_among("b")
    assert a.process.wait(20) == 0
    fleet.check()


def test_a_replica_that_starts_again_takes_up_its_own_accounts(fleet: Fleet) -> None:
    first = fleet.add("a", lease=FOREVER)
    before = fleet.shared_among("a")
    first.kill()
    fleet.add("a", lease=FOREVER)

    def again() -> bool:
        return fleet.owners() == {name: ("a", epoch + 1) for name, (_, epoch) in before.items()}

    until(again, "accounts of the new process")
    fleet.check()


def test_accounts_that_share_one_on_the_exchange_stay_together(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    where = {"id": "binanceusdm", "endpoint": stage.simulator_url, "sharedAccount": "desk"}
    names = [f"sibling-{number}" for number in range(8)]
    for name in names:
        open_account(stage, exchange, bot, name, exchange=where)

    def held_by(*identities: str) -> set[str] | None:
        rows = stage.api("GET", stage.accounts)["items"]
        holders = {row.get("status", {}).get("owner", {}).get("holder", "") for row in rows}
        return holders if len(holders) == 1 and holders <= set(identities) else None

    with contextlib.ExitStack() as stack:
        for identity in "abc":
            env = {"ACCOUNTSYNC_IDENTITY": identity, "ACCOUNTSYNC_LEASE_DURATION": f"{LEASE_SECONDS}s"}
            stack.enter_context(Operator(kubeconfig, f"--namespace={stage.namespace}", env=env))
        until(lambda: held_by(*"abc"), "one owner for all of them")
    stage.api("DELETE", stage.accounts)


# --- rights ----------------------------------------------------------------------------------------------------------


def lone_operator(stage: Stage, verbs: set[str]) -> None:
    """A ServiceAccount in the namespace that may do everything there, but with Leases only `verbs`."""
    stage.api("POST", f"/api/v1/namespaces/{stage.namespace}/serviceaccounts", {"metadata": {"name": "operator"}})
    rules = [rule for each in permissions() if each["kind"] == "ClusterRole" for rule in each.get("rules") or ()]
    grant(stage, "all", [rule for rule in rules if rule.get("resources") != ["leases"]])  # those are for heartbeats
    grant(stage, "leases", [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": sorted(verbs)}])


def grant(stage: Stage, name: str, rules: list[Body]) -> None:
    roles = f"{RBAC}/namespaces/{stage.namespace}"
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules}
    stage.api.apply(f"{roles}/roles/{name}", role)
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": stage.namespace}],
    }
    with contextlib.suppress(ApiError):  # it is there
        stage.api("POST", f"{roles}/rolebindings", binding)


def test_the_installed_role_has_the_verbs_that_these_tests_take_away() -> None:
    (role,) = (each for each in permissions() if each["kind"] == "Role" and "lease" in each["metadata"]["name"])
    (rule,) = role["rules"]
    assert (rule["resources"], set(rule["verbs"])) == (["leases"], VERBS)


@pytest.mark.parametrize("verb", ["create", "get", "list"])
def test_without_a_right_to_leases_nothing_is_owned_until_it_is_granted(
    cluster: ControlPlane, exchange: SimulatorThread, bot: HttpBot, stage: Stage, verb: str
) -> None:
    lone_operator(stage, VERBS - {verb})
    open_account(stage, exchange, bot, "one")
    kubeconfig = cluster.kubeconfig_for_service_account(stage.namespace, "operator")
    with Operator(kubeconfig, f"--namespace={stage.namespace}") as operator:
        why = f'the operator may not {verb} leases in namespace "{stage.namespace}": bind Role accountsync-leases'
        assert json.loads(operator.await_line("may not"))["event"] == why
        with pytest.raises(urllib.error.HTTPError) as refused:
            operator.get("/readyz")
        with refused.value as answer:
            assert (answer.code, answer.read().decode()) == (503, f"{why}\n")
        assert looked_after(operator, stage.namespace) == (set(), {"one"})
        grant(
            stage, "leases", [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": sorted(VERBS)}]
        )
        stage.await_status("one", lambda s: s.get("sync") == "InSync", "account of a replica that has its Lease")
        assert operator.get("/readyz") == "ok\n"
    stage.api("DELETE", stage.accounts)


def test_without_the_right_to_renew_it_goes_on_reading_and_names_it(
    cluster: ControlPlane, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    lone_operator(stage, VERBS - {"update"})
    full = open_account(stage, exchange, bot, "one")
    kubeconfig = cluster.kubeconfig_for_service_account(stage.namespace, "operator")
    env = {"ACCOUNTSYNC_LEASE_DURATION": f"{LEASE_SECONDS}s"}
    with Operator(kubeconfig, f"--namespace={stage.namespace}", env=env) as operator:
        operator.await_line("may not update leases")
        exchange.call(lambda sim: sim.world.set_position(sim.world.account(full), "BTCUSDT", Decimal(1)))
        stage.await_status("one", lambda s: s.get("sync") == "OutOfSync", "drift that came later")
    stage.api("DELETE", stage.accounts)


@pytest.mark.parametrize("verbs", [VERBS, VERBS - {"delete"}], ids=["all", "without delete"])
def test_its_lease_goes_with_it_where_it_may_delete_it(cluster: ControlPlane, stage: Stage, verbs: set[str]) -> None:
    lone_operator(stage, verbs)
    kubeconfig = cluster.kubeconfig_for_service_account(stage.namespace, "operator")
    leases = LEASES.format(stage.namespace)
    with Operator(kubeconfig, f"--namespace={stage.namespace}") as operator:
        until(lambda: stage.api("GET", leases)["items"], "Lease")
    assert operator.process.returncode == 0
    left = [row["metadata"]["name"] for row in stage.api("GET", leases)["items"]]
    assert left == ([] if "delete" in verbs else ["accountsync-accountsync-0"])

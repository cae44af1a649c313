"""The kill switch: it stops what it was told to stop, with no more rights than that takes, and says what it did not."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import STATE, MakePerson, Person, told
from tests.support.running import accountsync
from tests.support.stage import Stage

from accountsync.cli.account import Account
from accountsync.cli.cluster import Body, Cluster
from accountsync.cli.connection import Place
from accountsync.cli.doing import Outcome, for_each
from accountsync.cli.pause import _Switch
from accountsync.cli.selection import Target

pytestmark = pytest.mark.cluster


def spec(stage: Stage, name: str) -> tuple[bool, str]:
    found = stage.get(name)["spec"]
    return found["paused"], found.get("pauseReason", "")


def test_it_sets_the_switch_and_the_reason_and_nothing_else(stage: Stage, admin: Person) -> None:
    before = stage.account("one", state=STATE)["spec"]
    done = admin.types("pause", "one", "-n", stage.namespace, "--reason", "incident 42")
    assert (done.exit_code, done.stdout) == (0, f"{stage.namespace}/one  paused at ReduceOnly; it was running\n")
    assert stage.get("one")["spec"] == {**before, "paused": True, "pauseReason": "incident 42"}


def test_the_right_to_patch_is_enough_for_a_name(stage: Stage, person: MakePerson) -> None:
    stage.account("one", state=STATE)
    done = person(["patch"]).types("pause", "one", "-n", stage.namespace, "--reason", "incident 42")
    assert done.exit_code == 0
    assert "what it was before could not be read" in done.stdout
    assert spec(stage, "one") == (True, "incident 42")


def test_without_the_right_it_says_which_one_is_missing_and_where(stage: Stage, person: MakePerson) -> None:
    stage.account("one", state=STATE)
    done = person(["get", "list"]).types("pause", "--all", "-n", stage.namespace)
    assert done.exit_code == 1
    assert f"not allowed: patch tradingaccounts.accountsync.dev in namespace {stage.namespace}" in done.stdout
    assert done.stderr == f"FAILED: 1 of 1 account: {stage.namespace}/one\n"
    done = person([]).types("pause", "--all", "-n", stage.namespace)
    assert done.exit_code == 1
    assert f"not allowed: list tradingaccounts.accountsync.dev in namespace {stage.namespace}" in done.stderr
    assert spec(stage, "one") == (False, "")


def test_the_context_says_which_namespace_and_kubectl_finds_the_plugin(stage: Stage, person: MakePerson) -> None:
    stage.account("one", state=STATE)
    somebody = person(["get", "patch"])
    assert somebody.types("pause", "one").exit_code == 0
    plane = stage.plane
    scripts = Path(accountsync()[0]).parent
    env = {**os.environ, "KUBECONFIG": str(somebody.kubeconfig), "PATH": f"{scripts}{os.pathsep}{plane.env()['PATH']}"}
    command = [str(plane.programs.kubectl), "accountsync", "status", "one"]
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert shown.startswith(f"{stage.namespace}/one")
    assert "PAUSED" in shown


def test_what_was_paused_already_says_by_whom_and_keeps_its_reason(
    stage: Stage, admin: Person, person: MakePerson
) -> None:
    stage.account("one", state=STATE)
    first = person(["get", "patch"])
    first.types("pause", "one", "-n", stage.namespace, "--reason", "maintenance")
    again = admin.types("pause", "one", "-n", stage.namespace)
    assert f"was paused already by accountsync-cli {first.name} (20" in again.stdout
    assert '; the reason stays "maintenance"' in again.stdout
    hold = {"source": "User", "reason": "PausedBySpec", "message": "", "since": "2026-11-21T12:00:00Z"}
    told(stage, "one", {"paused": True, "holds": [hold]})
    more = admin.types("pause", "one", "-n", stage.namespace, "--reason", "incident 42")
    assert f"was paused already by accountsync-cli {first.name} (2026-11-21 12:00:00Z)" in more.stdout
    assert '; the reason was "maintenance" and is now "incident 42"' in more.stdout
    assert spec(stage, "one") == (True, "incident 42")


def test_what_the_operator_holds_already_is_told(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE)
    hold = {"source": "Stale", "reason": "SnapshotStale", "message": "blind", "since": "2026-11-21T12:00:00Z"}
    told(stage, "one", {"paused": True, "holds": [hold]})
    done = admin.types("pause", "one", "-n", stage.namespace)
    assert "paused at ReduceOnly; it was held by Stale since 2026-11-21 12:00:00Z: blind" in done.stdout


def test_a_level_is_stored_and_stays_until_another_is_given(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE)
    where = ("one", "-n", stage.namespace)
    assert "paused at Halt; it was running" in admin.types("pause", *where, "--level", "Halt").stdout
    assert stage.get("one")["spec"]["pauseLevel"] == "Halt"
    admin.types("resume", *where)
    assert "paused at Halt; it was" in admin.types("pause", *where).stdout
    again = admin.types("pause", *where, "--level", "ReduceOnly").stdout
    assert "; the level was Halt and is now ReduceOnly" in again


def test_all_goes_on_past_failures_and_names_them(stage: Stage, person: MakePerson) -> None:
    for name in ("good", "also-good"):
        stage.account(name, state=STATE)
    somebody = person(["get", "list", "patch"])
    done = somebody.types("pause", "good", "missing", "also-good", "-n", stage.namespace)
    assert done.exit_code == 1
    assert done.stderr == f"FAILED: 1 of 3 accounts: {stage.namespace}/missing\n"
    assert len(done.stdout.splitlines()) == 3
    assert spec(stage, "good")[0]
    assert spec(stage, "also-good")[0]


def test_all_is_one_namespace_and_all_namespaces_takes_a_selector_too(stage: Stage, admin: Person) -> None:
    other = Stage(stage.plane, f"{stage.namespace}-other", stage.simulator_url)
    for where in (stage, other):
        for name in ("a", "b"):
            where.account(name, state=STATE)
        where.patch("a", {"metadata": {"labels": {"desk": stage.namespace}}})
    assert admin.types("pause", "-l", f"desk={stage.namespace}", "-A").exit_code == 0
    assert [spec(where, name)[0] for where in (stage, other) for name in ("a", "b")] == [True, False, True, False]
    done = admin.types("pause", "--all", "-n", stage.namespace)
    assert (done.exit_code, done.stderr) == (0, "2 accounts paused\n")
    assert [spec(where, name)[0] for where in (stage, other) for name in ("a", "b")] == [True, True, True, False]


def test_pages_of_a_long_list_are_all_paused(stage: Stage, admin: Person) -> None:
    account = stage.account("a0", state=STATE)
    bare = {key: account[key] for key in ("apiVersion", "kind", "spec")}
    for number in range(1, 502):
        stage.api("POST", stage.accounts, {**bare, "metadata": {"name": f"a{number}"}})
    done = admin.types("pause", "--all", "-n", stage.namespace)
    assert (done.exit_code, done.stderr) == (0, "502 accounts paused\n")
    assert all(item["spec"]["paused"] for item in stage.api("GET", stage.accounts)["items"])


def test_all_are_paused_though_nobody_reads_what_is_printed(stage: Stage, admin: Person) -> None:
    names = [f"a{number}" for number in range(30)]
    for name in names:
        stage.account(name, state=STATE)
    reading, writing = os.pipe()
    os.close(reading)
    command = accountsync("pause", "--all", "-n", stage.namespace, f"--kubeconfig={admin.kubeconfig}")
    subprocess.run(command, stdout=writing, stderr=writing, check=False)
    os.close(writing)
    assert all(spec(stage, name)[0] for name in names)


class Odd(Cluster):
    """An API server that answers for one account with what is no object."""

    async def glance(self, namespace: str, name: str) -> Body | None:
        return await self.patch(namespace, name, {})

    async def patch(self, namespace: str, name: str, change: object) -> Body:  # noqa: ARG002
        return {} if name == "odd" else {"metadata": {"namespace": namespace, "name": name}, "spec": {"paused": True}}


async def test_an_answer_that_makes_no_sense_is_a_failure_of_that_account_alone() -> None:
    cluster = Odd(Place())
    targets = [Target("trading", "odd"), Target("trading", "well")]
    odd, well = await for_each(cluster, targets, _Switch(cluster, "", None, 0).throw)
    assert odd.failed
    assert "FAILED: unexpected KeyError" in odd.text
    assert not well.failed


def test_a_switch_that_matched_nothing_does_not_look_like_success(stage: Stage, admin: Person) -> None:
    nothing = admin.types("pause", "--all", "-n", stage.namespace)
    assert nothing.exit_code == 1
    assert f"there is no TradingAccount in namespace {stage.namespace}, so nothing was done" in nothing.stderr
    stage.account("grid-btc", state=STATE)
    nothing = admin.types("pause", "-l", "desk=none", "-n", stage.namespace)
    assert nothing.exit_code == 1
    assert "with labels desk=none" in nothing.stderr
    near = admin.types("pause", "grid-bct", "-n", stage.namespace)
    assert near.exit_code == 1
    assert f"there is no TradingAccount grid-bct in namespace {stage.namespace}; did you mean grid-btc?" in near.stdout
    assert not spec(stage, "grid-btc")[0]


def test_a_bad_selector_is_said_to_be_one(stage: Stage, admin: Person) -> None:
    done = admin.types("pause", "-l", "desk in (", "-n", stage.namespace)
    assert done.exit_code == 1
    assert "-l desk in (: HTTP 400 from the API server: unable to parse requirement" in done.stderr


def test_a_wait_tells_that_the_operator_is_away_and_that_the_bot_obeys_all_the_same(
    stage: Stage, admin: Person
) -> None:
    stage.account("one", state=STATE)
    done = admin.types("pause", "one", "-n", stage.namespace, "--wait", "0.1")
    assert done.exit_code == 1
    assert "is it running? The bot obeys spec.paused without it" in done.stdout
    assert spec(stage, "one")[0]


def test_a_wait_ends_when_the_status_shows_the_hold(stage: Stage, admin: Person) -> None:
    stage.account("one", state=STATE, paused=True)
    hold = {"source": "User", "reason": "PausedBySpec", "message": "", "since": "2026-11-21T12:00:00Z"}
    told(stage, "one", {"paused": True, "holds": [hold], "observedGeneration": 1})
    done = admin.types("pause", "--wait", "one", "-n", stage.namespace)
    assert done.exit_code == 0
    assert "the operator holds it too, since 2026-11-21 12:00:00Z" in done.stdout


class OfAnOlderCrd(Cluster):
    """An API server that drops spec.pauseLevel."""

    async def glance(self, namespace: str, name: str) -> Body | None:
        return {"metadata": {"namespace": namespace, "name": name}}

    async def patch(self, namespace: str, name: str, change: object) -> Body:
        assert change == {"spec": {"paused": True, "pauseLevel": "Halt"}}
        return {"metadata": {"namespace": namespace, "name": name}, "spec": {"paused": True}}


async def test_a_level_that_the_cluster_drops_is_a_failure_though_the_bot_is_paused() -> None:
    done: Outcome = await _Switch(OfAnOlderCrd(Place()), "", "Halt", 0).throw(Target("trading", "one"))
    assert done.failed
    assert "paused, but not at Halt" in done.text
    assert isinstance(done.after, Account)
    assert done.after.paused

"""The command line where the admission policy is in force: who lacks a verb is told which, and who has it acts."""

from collections.abc import Mapping

import pytest
from tests.cli.conftest import STATE, Person, told
from tests.cli.test_resume import FIRST, HOLD, held
from tests.support.controlplane import ControlPlane
from tests.support.people import people
from tests.support.stage import Stage

pytestmark = pytest.mark.cluster
Crowd = Mapping[str, Person]


@pytest.fixture(scope="module")
def desk(cluster: ControlPlane) -> Stage:
    return Stage(cluster, "verbs", "http://127.0.0.1:1")


@pytest.fixture(scope="module")
def crowd(desk: Stage) -> Crowd:
    where = desk.namespace
    return {
        name: Person(desk.plane.kubeconfig_for_service_account(where, name), person.user)
        for name, person in people(desk).items()
        if name != "operator"
    }


def test_resuming_names_whoever_does_it(desk: Stage, crowd: Crowd) -> None:
    desk.account("quoted", state=STATE)
    told(desk, "quoted", held(FIRST))
    done = crowd["editor"].types("resume", "quoted", "-n", "verbs", "--digest", HOLD.digest)
    assert f"wrote the digest {HOLD.digest}" in done.stdout
    notes = desk.get("quoted")["metadata"]["annotations"]
    assert notes["accountsync.dev/resume"] == HOLD.digest
    assert notes["accountsync.dev/resumed-by"] == crowd["editor"].name


def test_without_the_verb_resume_it_says_so_and_how_to_get_it(desk: Stage, crowd: Crowd) -> None:
    desk.account("held", state=STATE, paused=True)
    told(desk, "held", held(FIRST))
    writer = crowd["writer"]
    for options in ([], ["--digest", HOLD.digest], ["--seen", "--yes"]):
        done = writer.types("resume", "held", "-n", "verbs", *options)
        assert done.exit_code == 1
        assert (
            "FAILED: not allowed: letting a bot trade again takes the verb resume on tradingaccounts.accountsync.dev in"
            " namespace verbs. Who may grant it: kubectl create rolebinding NAME -n verbs"
            f" --user={writer.name} --clusterrole=accountsync-edit\n"
        ) in done.stdout
    assert desk.get("held")["spec"]["paused"]
    assert "annotations" not in desk.get("held")["metadata"]


def test_stopping_takes_no_verb_of_its_own(desk: Stage, crowd: Crowd) -> None:
    desk.account("running", state=STATE)
    assert crowd["writer"].types("pause", "running", "-n", "verbs").exit_code == 0
    assert crowd["viewer"].types("pause", "running", "-n", "verbs").exit_code == 1
    assert crowd["editor"].types("resume", "running", "-n", "verbs").exit_code == 0

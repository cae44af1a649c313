"""A process is killed, or stopped past its Lease, around what it sends: nothing is done twice, and nothing forgotten.

These are the most dangerous points; `make kill` has all of them.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.kill.ordeal import Ground, Ordeal, Outcome, endure
from tests.kill.points import How, Point, dangerous, on_the_way
from tests.kill.scenes import LostOrder, Position, Scene, WrongBelief
from tests.support.controlplane import ControlPlane
from tests.support.stage import HttpBot

from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster

SIDE_BY_SIDE = 4
ACTIONS: dict[type[Scene], str] = {
    Position: "Trading.place",
    LostOrder: "Trading.cancel",
    WrongBelief: "Repairs.repair",
}


@pytest.fixture(scope="module")
def ground(cluster: ControlPlane, kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot) -> Iterator[Ground]:
    with Ground(cluster, kubeconfig, exchange, bot) as made:
        yield made


@pytest.fixture(scope="module")
def outcomes(ground: Ground) -> list[Outcome]:
    def suffered(each: tuple[type[Scene], Point]) -> Outcome:
        return endure(ground, *each)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        recorded = list(pool.map(lambda kind: Ordeal(ground, kind, None).record(), ACTIONS))
        assert {call.method for calls in recorded for call in calls} <= on_the_way()
        ways = zip(ACTIONS.items(), recorded, strict=True)
        # A repair that nobody heard of is made again after a minute: `make kill` has the patience for that.
        return list(
            pool.map(
                suffered,
                [
                    (kind, point)
                    for (kind, action), calls in ways
                    for point in dangerous(calls, action, answered_only=kind is WrongBelief)
                ],
            )
        )


def test_wherever_it_is_killed_or_stopped_all_is_done_once_and_nothing_is_forgotten(outcomes: list[Outcome]) -> None:
    wrong = [f"{outcome.scene}, {outcome.point}: {said}" for outcome in outcomes for said in outcome.violations]
    assert not wrong, "\n".join(wrong)


def test_what_was_stopped_after_it_was_signed_is_refused_as_late(outcomes: list[Outcome]) -> None:
    stopped = [outcome for outcome in outcomes if outcome.point and outcome.point.how is How.STOP]
    assert [outcome.late for outcome in stopped] == [1] * len(stopped)
    assert stopped

"""The whole operator as a child process, with its own service account, against the real API server and simulator."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.running import Operator
from tests.support.stage import Stage

from accountsync.simulator.thread import SimulatorThread

NUMBERS = itertools.count(1)
MakeStage = Callable[[], Stage]


@pytest.fixture(scope="module")
def operator(kubeconfig: Path) -> Iterator[Operator]:
    with Operator(kubeconfig) as running:
        yield running


@pytest.fixture
def stage(cluster: ControlPlane, exchange: SimulatorThread) -> Stage:
    return Stage(cluster, f"t{next(NUMBERS)}", exchange.url)

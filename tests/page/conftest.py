"""Where the drift happens."""

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.stage import Stage

from accountsync.simulator.thread import SimulatorThread


@pytest.fixture
def stage(cluster: ControlPlane, exchange: SimulatorThread) -> Stage:
    return Stage(cluster, "page", exchange.url)

"""The operator's surroundings: cluster, exchange and bot."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.stage import HttpBot, Stage, install

from accountsync.simulator.thread import SimulatorThread


@pytest.fixture(scope="session")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    install(control_plane)
    return control_plane


@pytest.fixture(scope="session")
def kubeconfig(cluster: ControlPlane) -> Path:
    return cluster.kubeconfig_for_service_account("accountsync", "accountsync")


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatorThread]:
    with SimulatorThread() as simulator:
        simulator.call(lambda sim: setattr(sim.limits, "weight_per_minute", 1_000_000))
        yield simulator


@pytest.fixture(scope="module")
def bot() -> Iterator[HttpBot]:
    with HttpBot() as server:
        yield server


@pytest.fixture
def stage(cluster: ControlPlane, exchange: SimulatorThread) -> Stage:
    return Stage(cluster, "page", exchange.url)

"""Fixtures that several folders of tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.postgres import Postgres, PostgresFiles
from tests.support.stage import HttpBot, install

from accountsync.simulator.thread import SimulatorThread


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """One API server for the whole run: tests keep to namespaces of their own."""
    with ControlPlane() as running:
        yield running


@pytest.fixture(scope="session")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """The same, with what the operator needs there."""
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


@pytest.fixture(scope="session")
def postgres_files() -> Iterator[PostgresFiles]:
    files = PostgresFiles()
    try:
        yield files
    finally:
        files.close()


@pytest.fixture(scope="session")
def postgres(postgres_files: PostgresFiles) -> Iterator[Postgres]:
    """One database server for the whole run: tests keep to schemas of their own."""
    with Postgres(postgres_files, "shared") as server:
        yield server

"""The chart, with both versions of helm; and control planes of its own, since a release claims the CRDs for itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import tools
from tests.support.controlplane import ControlPlane
from tests.support.helm import Helm
from tests.support.running import until

MONITORING_KINDS = ("servicemonitors", "podmonitors", "prometheusrules")


@pytest.fixture(scope="session")
def helm_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("helm")


@pytest.fixture(scope="module", params=[3, 4], ids=["helm 3", "helm 4"])
def helm(request: pytest.FixtureRequest, helm_home: Path) -> Helm:
    """Of a module's scope, so that pytest does not start each module's control plane twice."""
    return Helm(request.param, helm_home)


@pytest.fixture(scope="session")
def helm4(helm_home: Path) -> Helm:
    """For what does not depend on helm's version."""
    return Helm(4, helm_home)


@pytest.fixture(scope="module")
def bare() -> Iterator[ControlPlane]:
    """A cluster that knows nothing but Kubernetes."""
    with ControlPlane() as running:
        yield running


@pytest.fixture(scope="module")
def monitored() -> Iterator[ControlPlane]:
    """A cluster that has the Prometheus operator's kinds."""
    folder = tools.find("monitoring-crds")
    files = [path for kind in MONITORING_KINDS for path in folder.glob(f"*_{kind}.yaml")]
    assert len(files) == len(MONITORING_KINDS)
    with ControlPlane() as running:
        running.kubectl("apply", "--server-side", *(f"--filename={path}" for path in files))
        for kind in MONITORING_KINDS:
            path = f"/apis/monitoring.coreos.com/v1/{kind}"
            until(lambda path=path: running.kubectl("get", "--raw", path, check=False), kind)  # type: ignore[misc]
        yield running

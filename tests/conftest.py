"""Fixtures that several folders of tests share."""

from collections.abc import Iterator

import pytest
from tests.support.controlplane import ControlPlane


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """One API server for the whole run: tests keep to namespaces of their own."""
    with ControlPlane() as running:
        yield running

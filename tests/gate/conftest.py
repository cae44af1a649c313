"""A namespace of its own for each test of a real gate."""

import itertools

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.stage import Stage

NUMBERS = itertools.count(1)


@pytest.fixture
def stage(cluster: ControlPlane) -> Stage:
    return Stage(cluster, f"gate-{next(NUMBERS)}", "http://127.0.0.1:9")

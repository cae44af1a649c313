"""A freqtrade of its own for each test, on an account of its own."""

import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.freqtrade.bot import Freqtrade
from tests.freqtrade.environment import freqtrade
from tests.freqtrade.venue import Venue
from tests.support.controlplane import ControlPlane
from tests.support.running import Operator
from tests.support.stage import Stage

from accountsync.simulator.thread import SimulatorThread

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def program() -> Path:
    return freqtrade()


@pytest.fixture
def venue(exchange: SimulatorThread) -> Venue:
    """An account with 10,000 USDT."""
    return Venue.open(exchange, f"freqtrade-{next(NUMBERS)}", Decimal(10_000))


@pytest.fixture
def bot(program: Path, tmp_path: Path, venue: Venue) -> Iterator[Freqtrade]:
    with Freqtrade(program, tmp_path, venue.url, venue.trade_key) as running:
        yield running


@pytest.fixture
def protected_bot(program: Path, tmp_path: Path, venue: Venue) -> Iterator[Freqtrade]:
    """With a stop-loss order at the exchange for each trade."""
    with Freqtrade(program, tmp_path, venue.url, venue.trade_key, stop_orders=True) as running:
        yield running


@pytest.fixture(scope="module")
def operator(kubeconfig: Path) -> Iterator[Operator]:
    with Operator(kubeconfig) as running:
        yield running


@pytest.fixture
def stage(cluster: ControlPlane, exchange: SimulatorThread) -> Stage:
    return Stage(cluster, f"ft{next(NUMBERS)}", exchange.url)

"""The demo's account, out of sync, and a Prometheus that has seen it drift."""

import contextlib
from collections.abc import Iterator

import pytest
from tests.alerts.rulebook import RULES
from tests.support.demo import NAME, NAMESPACE, Demo, started
from tests.support.monitoring import Prometheus
from tests.support.running import until

ENOUGH = """
  min(count_over_time(grinder_reconcile_runs_total{account="grid-btc"}[5m])) > 3
    and on () max(account:accountsync_judged_in_time:avg_30d)
"""


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """In sync until `prometheus` is asked for, and then not."""
    with contextlib.ExitStack() as stack:
        playing = started(stack)
        playing.clean()
        yield playing


@pytest.fixture(scope="session")
def prometheus(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Scrapes the demo's operator from before the drift until it has been found, and the bot is held."""
    limit = '{"spec": {"alerts": {"mismatchNotional": "1000"}}}'
    demo.plane.kubectl("patch", "ta", NAME, "-n", NAMESPACE, "--type=merge", f"--patch={limit}")
    target = {f"127.0.0.1:{demo.operator.port}": {"pod": "accountsync-0"}}
    with Prometheus(tmp_path_factory.mktemp("prometheus"), target, rules=[RULES]) as running:
        until(lambda: running.query('up{job="accountsync"} == 1'), "first scrape")
        demo.drift(skip=False)
        demo.pause()
        until(lambda: running.query(ENOUGH), "series of the account", 90)
        until(lambda: running.query('accountsync_paused{source="Policy"} == 1'), "scrape of the hold")
        yield running

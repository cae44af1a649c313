"""Drift reaches a person once: the real operator, Prometheus with the chart's rules, Alertmanager with the example's.

Only addresses, keys and waits are other than in life. `python -m tests.page --speed 1` takes the real waits.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.page.pace import bridging, overrides, routes, seconds
from tests.page.pager import PAGERDUTY, SLACK, Arrived, Pager
from tests.support import tools
from tests.support.monitoring import Alertmanager, Prometheus
from tests.support.running import ROOT, Operator, until
from tests.support.stage import HttpBot, Stage, open_account

from accountsync.simulator import Simulator
from accountsync.simulator.model import Order
from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster

SPEED = float(os.environ.get("ACCOUNTSYNC_PAGE_SPEED", "30"))
STEP = max(15 / SPEED, 0.5)
EXAMPLE = ROOT / "examples" / "alertmanager.yaml"
SPIKE, RECONCILE = "AccountSyncMismatchSpike", "ReconcileMismatchDetected"
PATIENCE = 60 + seconds("15m") / SPEED


@pytest.fixture
def pager() -> Iterator[Pager]:
    with Pager() as listening:
        yield listening


@pytest.fixture
def alertmanager(pager: Pager, tmp_path: Path) -> Iterator[Alertmanager]:
    folder = tmp_path / "alertmanager"
    folder.mkdir()
    (folder / "slack-webhook-url").write_text(pager.url + SLACK)
    (folder / "pagerduty-routing-key").write_text("routing-key-of-the-test")
    text = EXAMPLE.read_text()
    for there, here in (
        ("/etc/alertmanager/secrets", str(folder)),
        ("https://events.pagerduty.com/v2/enqueue", pager.url + PAGERDUTY),
    ):
        assert there in text
        text = text.replace(there, here)
    config = folder / "alertmanager.yaml"
    config.write_text(yaml.safe_dump(routes(yaml.safe_load(text), SPEED)))
    with Alertmanager(folder, config) as running:
        yield running


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The chart's PrometheusRule, as helm renders it, as a file of rules."""
    values = tmp_path / "values.yaml"
    values.write_text(
        yaml.safe_dump({"prometheusRule": {"enabled": True, "overrides": overrides(SPEED, (SPIKE, RECONCILE))}})
    )
    rendered = subprocess.run(
        [
            str(tools.find("helm3") / "helm"),
            *("template", "accountsync", str(ROOT / "charts" / "accountsync"), f"--values={values}"),
            "--namespace=accountsync",
            *("--api-versions=monitoring.coreos.com/v1", "--show-only=templates/prometheusrule.yaml"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    (rule,) = (document for document in yaml.safe_load_all(rendered) if document)
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [bridging(group, SPEED) for group in rule["spec"]["groups"]]}))
    return path


def test_drift_reaches_a_person_once_and_so_does_its_end(
    kubeconfig: Path,
    exchange: SimulatorThread,
    bot: HttpBot,
    stage: Stage,
    pager: Pager,
    alertmanager: Alertmanager,
    rules: Path,
    tmp_path: Path,
) -> None:
    only = f"--namespace={stage.namespace}"
    with Operator(kubeconfig, only) as operator:
        target = {f"127.0.0.1:{operator.port}": {"namespace": "accountsync", "pod": "accountsync-0"}}
        with Prometheus(
            tmp_path / "prometheus", target, rules=[rules], alertmanager=alertmanager.address, every=STEP
        ) as prometheus:
            full = open_account(stage, exchange, bot, "grid-btc", mode="Observe")
            stage.await_status("grid-btc", lambda s: s.get("sync") == "InSync", "clean account")
            scraped = lambda: prometheus.query('grinder_reconcile_runs_total{namespace="page", account="grid-btc"} > 1')  # noqa: E731
            until(scraped, "series of the account")
            nothing_for(pager, "4m", "the account is clean", since=0)
            assert prometheus.alerts() | prometheus.alerts("pending") == set()

            order = exchange.call(lambda sim: by_hand(sim, full))
            until(lambda: len(pager.arrived) >= 2, "page about the drift", PATIENCE)
            until(lambda: {SPIKE, RECONCILE} <= prometheus.alerts(), "both alerts", PATIENCE)
            assert until(alertmanager.inhibited, "inhibited alert", 10) == {RECONCILE}
            assert_told_of_drift(pager, operator.metrics())

            both_fire = time.monotonic()
            operator.kill()
            # By then the second alert's own wait is over, and each group was looked at again.
            with Operator(kubeconfig, only, f"--port={operator.port}"):
                nothing_for(pager, "6m", "the operator was killed while the alert stood", since=2)
                assert firing_throughout(prometheus, time.monotonic() - both_fire) == {SPIKE, RECONCILE}

                exchange.call(lambda sim: sim.world.cancel(order))
                until(lambda: len(pager.arrived) >= 4, "page about its end", PATIENCE)
                assert_told_of_end(pager)
                nothing_for(pager, "6m", "everything is over", since=4)
                assert prometheus.alerts() == set()


def by_hand(sim: Simulator, account: str) -> Order:
    """An order that looks like the bot's, and that the bot knows nothing of: it raises both alerts."""
    return sim.world.place_order(
        sim.world.account(account),
        symbol="BTCUSDT",
        side="BUY",
        price=Decimal(40_000),
        quantity=Decimal("0.5"),
        client_order_id="grinder_by_hand",
    )


def firing_throughout(prometheus: Prometheus, span: float) -> set[str]:
    """The alerts that never ceased to fire in the last `span` seconds."""
    fired = 'count by (alertname) (ALERTS{alertstate="firing"})'
    looks = f"[{span:.0f}s:{STEP * 1000:.0f}ms]"
    whole = f"count_over_time(({fired}){looks}) == scalar(count_over_time(vector(1){looks}))"
    return {row["metric"]["alertname"] for row in prometheus.query(whole)}


def nothing_for(pager: Pager, wait: str, why: str, *, since: int) -> None:
    """Nothing more than the first `since` pages arrives while `wait` passes, by this test's clock."""
    time.sleep(seconds(wait) / SPEED)
    assert pager.arrived[since:] == [], why


def sole(pager: Pager, path: str, fits: Callable[[Arrived], bool]) -> dict[str, Any]:
    found = [one.body for one in pager.of(path) if fits(one)]
    assert len(found) == 1, found
    return found[0]


def assert_told_of_drift(pager: Pager, metrics: dict[str, float]) -> None:
    assert [one.resolved for one in pager.arrived] == [False, False]
    runbook = f"https://accountsync.dev/runbooks/{SPIKE}"
    assert metrics['reconciliation_mismatch_total{account="grid-btc",namespace="page"}'] == 1

    message = sole(pager, SLACK, lambda one: not one.resolved)["attachments"][0]
    assert message["title"] == "FIRING page/grid-btc"
    assert message["title_link"] == runbook
    assert message["color"] == "danger"
    assert "page/grid-btc: bot and exchange differ (orphan_order)" in message["text"]
    assert "Findings of all rules that stand now: 1." in message["text"]
    assert "Notional at risk: 32.5k." in message["text"]
    assert f"<{runbook}|Runbook {SPIKE}>" in message["text"]

    event = sole(pager, PAGERDUTY, lambda one: not one.resolved)
    assert event["routing_key"] == "routing-key-of-the-test"
    assert event["event_action"] == "trigger"
    assert event["payload"]["summary"] == "page/grid-btc: bot and exchange differ (orphan_order)"
    assert event["payload"]["severity"] == "warning"
    assert event["payload"]["custom_details"]["account"] == "page/grid-btc"
    assert "Notional at risk: 32.5k." in event["payload"]["custom_details"]["what"]
    assert event["links"] == [{"href": runbook, "text": "Runbook"}]


def assert_told_of_end(pager: Pager) -> None:
    assert sole(pager, SLACK, lambda one: one.resolved)["attachments"][0]["color"] == "good"
    opened, closed = (one.body for one in pager.of(PAGERDUTY))
    assert (closed["event_action"], closed["dedup_key"]) == ("resolve", opened["dedup_key"])

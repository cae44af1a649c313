"""What must hold whatever happens: no write in Observe, and nothing believed of an exchange that lies about time."""

import hashlib
import hmac
import json
import time
import urllib.request
from decimal import Decimal

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.running import Operator
from tests.support.stage import HttpBot, Stage, find_condition, open_account

from accountsync.simulator import Fault
from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster


def signed_write(url: str, api_key: str, secret: str) -> None:
    """An order that this test itself sends with the account's key."""
    query = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.1&price=50000&newClientOrderId=test_1"
        f"&timestamp={time.time_ns() // 1_000_000}"
    )
    signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"{url}/fapi/v1/order?{query}&signature={signature}", method="POST", headers={"X-MBX-APIKEY": api_key}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=10) as response:
        assert json.loads(response.read())["status"] == "NEW"


def test_observe_sends_no_write_with_a_key_that_could_trade(
    operator: Operator, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    full = open_account(stage, exchange, bot, "observed", mode="Observe")
    key = exchange.call(lambda sim: sim.world.create_key(sim.world.account(full), permissions=("read", "trade")))
    stage.secret("observed-read", {"apiKey": key.api_key, "secret": key.secret})
    stage.await_status("observed", lambda s: s.get("sync") == "InSync", "clean account")
    signed_write(exchange.url, key.api_key, key.secret)
    exchange.call(lambda sim: sim.world.set_position(sim.world.account(full), "BTCUSDT", Decimal(1)))
    status = stage.await_status("observed", lambda s: s.get("findings", {}).get("total") == 2, "both findings")
    assert status["findings"]["byRule"] == {"PositionMismatch": 1, "UnexpectedOrder": 1}
    assert not status["paused"]

    requests = exchange.call(lambda sim: list(sim.requests.select(account=full)))
    reads = [row for row in requests if row.key == key.fingerprint and not row.write and row.signed]
    writes = [row for row in requests if row.write]
    assert len(reads) >= 6
    assert [row.params["newClientOrderId"] for row in writes] == ["test_1"]
    assert writes[0].status == 200, "the key could trade"
    assert operator.process.poll() is None


def test_an_exchange_that_lies_about_time_yields_unknown_and_nothing_else(
    cluster: ControlPlane, operator: Operator, bot: HttpBot
) -> None:
    with SimulatorThread() as liar:
        stage = Stage(cluster, "liar", liar.url)
        open_account(stage, liar, bot, "timed")
        stage.await_status("timed", lambda s: s.get("sync") == "InSync", "clean account")
        age = f'grinder_account_sync_last_ts{{account="timed",namespace="{stage.namespace}"}}'

        for skew in (60_000, -60_000):
            liar.call(lambda sim, skew=skew: sim.faults.add(Fault.clock_skew(skew)))  # type: ignore[misc]
            stage.await_status(
                "timed", lambda s: find_condition(s, "Ready").get("reason") == "ExchangeClockSkew", f"skew of {skew} ms"
            )
            liar.call(lambda sim: sim.faults.clear())
            stage.await_status("timed", lambda s: find_condition(s, "Ready").get("status") == "True", "healed")

        accepted = operator.metrics()[age]
        liar.call(lambda sim: sim.faults.add(Fault.stale(3600, path="/fapi/v1/time")))
        status = stage.await_status("timed", lambda s: s.get("findings", {}).get("total") == 1, "a finding")
        assert status["findings"]["byRule"] == {"TimestampRegression": 1}
        assert operator.metrics()[age] >= accepted, "last_ts never goes back"
        assert not status["paused"]
        liar.call(lambda sim: sim.faults.clear())
        stage.await_status("timed", lambda s: s.get("sync") == "InSync" and s["findings"]["total"] == 0, "healed")

        liar.call(lambda sim: setattr(sim.limits, "weight_per_minute", 10))
        status = stage.await_status(
            "timed", lambda s: find_condition(s, "Ready").get("reason") == "RateLimited", "back-off"
        )
        assert status["findings"]["total"] == 0
        refused = liar.call(lambda sim: [r.status for r in sim.requests if r.status in {429, 418}])
        assert 418 not in refused, "a ban means that we went on after the 429"

"""Five hundred accounts at 15 s whose orders change all the time while both sides agree."""

import os
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.controlplane import ControlPlane
from tests.support.running import Operator, until
from tests.support.stage import Body, HttpBot, Stage, belief

from accountsync.simulator import Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster

ACCOUNTS = 250
INTERVAL = 15
WINDOW = 60
HEARTBEAT = 40
OPERATOR = "system:serviceaccount:accountsync:accountsync"


class Bots:
    """All bots: each replaces its order every `INTERVAL` seconds, and believes what is so."""

    def __init__(self, exchange: SimulatorThread, names: list[str]) -> None:
        self._exchange = exchange
        self._names = names
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._trade, daemon=True)
        self.replaced = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _trade(self) -> None:
        while not self._stopped.is_set():
            for name in self._names:
                self._exchange.call(lambda sim, name=name: self._replace(sim, name))  # type: ignore[misc]
                self.replaced += 1
                if self._stopped.wait(INTERVAL / len(self._names)):
                    return

    def _replace(self, sim: Simulator, name: str) -> None:
        account = sim.world.account(name)
        for order in list(account.open_orders.values()):
            sim.world.cancel(order)
        sim.world.place_order(
            account,
            symbol="BTCUSDT",
            side="BUY",
            price=Decimal(50_000 + self.replaced % 100),
            quantity=Decimal("0.1"),
            client_order_id=f"grinder_{self.replaced}",
        )

    def belief(self, name: str) -> Body:
        def read(sim: Simulator) -> Body:
            orders = [
                {
                    "clientId": order.client_order_id,
                    "symbol": order.symbol,
                    "quantity": str(order.orig_qty),
                    "price": str(order.price),
                    "filled": "0",
                }
                for order in sim.world.account(name).open_orders.values()
            ]
            return belief(positions=[("BTCUSDT", "0.5")], orders=orders)

        return self._exchange.call(read)


def status_writes(cluster: ControlPlane, namespace: str, since: str) -> Counter[str]:
    """Writes of the operator, by account, that the API server's audit log holds."""
    counted: Counter[str] = Counter()
    for event in cluster.audit_events():
        about = event.get("objectRef", {})
        if (
            event["user"].get("username") == OPERATOR
            and about.get("namespace") == namespace
            and event["verb"] in {"patch", "update", "create", "delete"}
            and event["requestReceivedTimestamp"] >= since
        ):
            counted[f"{about['resource']}/{about.get('name')}"] += 1
    return counted


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MiB; zeros where there is no /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0, 0.0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return cpu, pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def runs(operator: Operator, namespace: str) -> dict[str, float]:
    return {
        name.split('account="')[1].split('"')[0]: value
        for name, value in operator.metrics().items()
        if name.startswith("grinder_reconcile_runs_total") and f'namespace="{namespace}"' in name
    }


def test_hundreds_of_accounts_cost_the_api_server_heartbeats_only(
    cluster: ControlPlane,
    kubeconfig: Path,
    exchange: SimulatorThread,
    bot: HttpBot,
    stage: Stage,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [f"load-{number:03}" for number in range(ACCOUNTS)]

    def create(sim: Simulator) -> dict[str, tuple[str, str]]:
        keys = {}
        for name in names:
            account = sim.world.create_account(name, wallet={"USDT": Decimal(10_000)})
            sim.world.set_position(account, "BTCUSDT", Decimal("0.5"), entry_price=Decimal(60_000))
            key = sim.world.create_key(account, permissions=("read",))
            keys[name] = (key.api_key, key.secret)
        return keys

    bots = Bots(exchange, names)
    for name, (api_key, secret) in exchange.call(create).items():
        stage.secret(f"{name}-read", {"apiKey": api_key, "secret": secret})
        bot.beliefs[f"/{name}"] = lambda name=name: bots.belief(name)
        state = {"http": {"url": f"{bot.url}/{name}"}}
        stage.account(name, state=state, interval=f"{INTERVAL}s", staleAfter=f"{3 * HEARTBEAT}s")
    bots.start()
    try:
        with Operator(kubeconfig, f"--namespace={stage.namespace}") as operator:
            in_sync = f"{stage.accounts}?fieldSelector=status.sync=InSync&limit=1000"
            until(
                lambda: trading(stage, in_sync) == ACCOUNTS,
                f"{ACCOUNTS} accounts in sync and past their Startup hold",
                120,
            )
            time.sleep(3)  # the Events of their start-up are written after the status

            began, since = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
            before, cpu_before = runs(operator, stage.namespace), usage(operator.process.pid)[0]
            replaced = bots.replaced
            time.sleep(WINDOW)
            after, (cpu_after, resident) = runs(operator, stage.namespace), usage(operator.process.pid)
            took = time.monotonic() - began
            writes = status_writes(cluster, stage.namespace, since)
            judged = [after[name] - before[name] for name in names]
            errors = {name: value for name, value in operator.metrics().items() if "errors_total" in name and value}
            still_in_sync = len(stage.api("GET", in_sync)["items"])

            moved = time.monotonic()
            exchange.call(lambda sim: sim.world.set_position(sim.world.account("load-123"), "BTCUSDT", Decimal(1)))
            stage.await_status("load-123", lambda s: s.get("pausedBy") == "Policy", "the one drift", 60)
            found = time.monotonic() - moved
        with Operator(kubeconfig, f"--namespace={stage.namespace}") as operator:
            until(lambda: sum(runs(operator, stage.namespace).values()) >= ACCOUNTS / 10, "first cycles", 30)
            at_once = sum(runs(operator, stage.namespace).values())
    finally:
        bots.stop()

    with capsys.disabled():
        print(
            f"\n{ACCOUNTS} accounts at 15 s for {took:.0f} s: {min(judged):.0f}-{max(judged):.0f} cycles each,"
            f" {sum(judged):.0f} in all; {bots.replaced - replaced} orders replaced;"
            f" {sum(writes.values())} writes to the API server; operator {100 * (cpu_after - cpu_before) / took:.0f} %"
            f" of a core, {resident:.0f} MiB; drift confirmed and held after {found:.0f} s; after a restart the first"
            f" {at_once:.0f} cycles ran while the others waited for their phase"
        )
    assert min(judged) >= 3
    assert at_once < ACCOUNTS / 2, "a restart is no burst"
    assert still_in_sync == ACCOUNTS
    assert not errors
    assert set(writes) <= {f"tradingaccounts/{name}" for name in names}, "nothing but status"
    assert len(writes) == ACCOUNTS, "each account had its heartbeat"
    assert max(writes.values()) <= -(-WINDOW // HEARTBEAT), "and nothing but heartbeats"
    assert {name for name, total in operator_findings(stage).items() if total} == {"load-123"}


def trading(stage: Stage, listing: str) -> int:
    """How many of the accounts listed may trade."""
    return sum(not item["status"]["paused"] for item in stage.api("GET", listing)["items"])


def operator_findings(stage: Stage) -> dict[str, int]:
    return {
        item["metadata"]["name"]: item["status"].get("findings", {}).get("total", 0)
        for item in stage.api("GET", f"{stage.accounts}?limit=1000")["items"]
    }

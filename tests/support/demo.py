"""`make demo`: the main job on real parts, turn by turn. Exit 0 only if each was read back from the API server.

KEEP=1 leaves everything running until Ctrl-C.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.assets import AssetsError
from tests.support.controlplane import ControlPlane, ControlPlaneError
from tests.support.running import ROOT, Operator, Program, Simulator, until
from tests.support.stage import install
from tests.support.story import NAME, NAMESPACE, Body, Story, TurnFailed

__all__ = ["NAME", "NAMESPACE", "Demo", "started"]

PORT, CONTROL_PORT = 8900, 8901
BELIEF = {
    "positions": [{"symbol": "BTCUSDT", "side": "net", "quantity": "0.5"}],
    "orders": [{"clientId": "grinder_1", "symbol": "BTCUSDT", "side": "buy", "price": "58000", "quantity": "0.1"}],
    "balances": [{"asset": "USDT", "wallet": "10000"}],
}
LOST = {"symbol": "BTCUSDT", "side": "BUY", "price": "57000", "quantity": "0.1", "client_order_id": "grinder_2"}
TRADE_KEY = {"api_key": "demo-trade-key", "secret": "demo-trade-secret", "permissions": ["read", "trade"]}


class Demo(Story):
    """The story."""

    def clean(self) -> None:
        self.turn("1. Clean: the bot believes what the exchange says")
        self.read_back("account in sync and free to trade", lambda s: s.get("sync") == "InSync" and not s.get("paused"))
        self.table()

    def drift(self, *, skip: bool) -> None:
        self.turn("2. Drift: somebody places an order by hand, and the position grows behind the bot's back")
        if skip:
            return
        control = self.simulator.control
        order = {"symbol": "BTCUSDT", "side": "SELL", "price": "64000", "quantity": "0.2", "client_order_id": "web_1"}
        control("POST", f"accounts/{NAME}/orders", order)
        control("POST", f"accounts/{NAME}/positions", {"symbol": "BTCUSDT", "amount": "0.8", "entry_price": "60000"})
        print("the exchange now holds 0.8 BTC and the order web_1; the bot believes in 0.5 BTC and its own grinder_1")

    def pause(self) -> str:
        self.turn("3. Found and paused")

        def found(status: dict[str, Any]) -> bool:
            rules = {finding["rule"] for finding in status.get("findings", {}).get("items", ())}
            paused = status.get("paused") and "Policy" in status.get("pausedBy", "")
            return bool(paused) and status["sync"] == "OutOfSync" and {"UnexpectedOrder", "PositionMismatch"} <= rules

        status = self.read_back("OutOfSync account, both findings and a Policy hold", found)
        self.table()
        for finding in status["findings"]["items"]:
            print(f"  {finding['severity']:8} {finding['rule']}: {finding['message']}")
        self.events({"UnexpectedOrder", "PositionMismatch", "HoldRaised"})
        self.metrics()
        return str(next(hold["digest"] for hold in status["holds"] if hold["source"] == "Policy"))

    def events(self, wanted: set[str]) -> None:
        def written() -> list[dict[str, Any]] | None:
            listed = json.loads(self.plane.kubectl("get", "events.events.k8s.io", "-n", NAMESPACE, "-o", "json"))
            rows = [row for row in listed["items"] if row["regarding"]["name"] == NAME]
            return rows if wanted <= {row["reason"] for row in rows} else None

        try:
            rows = until(written, f"Events {sorted(wanted)}", 10)
        except TimeoutError as error:
            raise TurnFailed(str(error)) from None
        print("Events:")
        for row in sorted(rows, key=lambda row: str(row["eventTime"])):
            if row["reason"] in wanted:
                print(f"  {row['type']:8} {row['reason']}: {row['note']}")

    def metrics(self) -> None:
        series = self.operator.metrics()
        wanted = [
            f'grinder_account_sync_mismatches_total{{account="{NAME}",namespace="{NAMESPACE}",rule="position_mismatch"}}',
            f'grinder_account_sync_mismatches_total{{account="{NAME}",namespace="{NAMESPACE}",rule="orphan_order"}}',
            f'accountsync_paused{{account="{NAME}",namespace="{NAMESPACE}",source="Policy"}}',
        ]
        print("Metrics (counters advance with each cycle that shows a finding):")
        for name in wanted:
            if not series.get(name):
                raise TurnFailed(f"the metric {name} is {series.get(name)}, and should be above 0")
            print(f"  {name} {series[name]:g}")

    def repair(self) -> None:
        self.turn("4. Repaired: the bot's belief is corrected")
        order = {"clientId": "web_1", "symbol": "BTCUSDT", "side": "sell", "price": "64000", "quantity": "0.2"}
        self.believe(
            {
                **BELIEF,
                "positions": [{"symbol": "BTCUSDT", "quantity": "0.8"}],
                "orders": [*BELIEF["orders"], order],
            }
        )
        self.read_back("account in sync, still held", lambda s: s.get("sync") == "InSync" and s.get("paused"))
        self.table()

    def resume(self, digest: str) -> None:
        self.turn("5. Resumed: a person lifts the hold, and quotes what they have seen")
        self.say("resume", NAME, "-n", NAMESPACE, "--digest", digest)
        self.read_back("account free to trade", lambda s: s.get("sync") == "InSync" and not s.get("paused"))
        self.table()
        for entry in self.account()["status"]["history"]:
            print(f"  {entry['time']} {entry['who']}: {entry['what']} ({entry.get('why', '')})")

    def enforce(self) -> None:
        self.turn("6. Enforce: the operator gets a key that may trade, and asks before it acts")
        self.simulator.control("POST", f"accounts/{NAME}/keys", TRADE_KEY)
        self.show("apply", "-f", "examples/enforce.yaml", input=example("enforce.yaml", self.simulator))
        generation = self.account()["metadata"]["generation"]

        def followed(status: Body) -> bool:
            standing = {condition["type"] for condition in status["conditions"]}
            seen = status.get("observedGeneration") == generation and status["sync"] == "InSync"
            return seen and "ApprovalsUnprotected" not in standing

        self.read_back("account in mode Enforce whose approvals are protected", followed)

    def planned(self) -> tuple[str, str]:
        """The name of the plan, and the id of the order that it cancels."""
        self.turn("7. Planned: the bot placed an order and lost it; a plan says what to do, and waits")
        order = self.simulator.control("POST", f"accounts/{NAME}/orders", LOST)
        order_id = str(order["orderId"])
        print(f"the exchange now holds order {order_id}, client id grinder_2, of which the bot knows nothing")

        def waits(plan: Body) -> bool:
            asked = [action.get("orderId") for action in plan["spec"]["actions"]]
            return asked == [order_id] and plan["status"].get("phase", "Pending") == "Pending"

        plan = self.plan(f"plan to cancel order {order_id}", waits)
        self.show("get", "rp", "-n", NAMESPACE)
        print(f"  it waits: {plan['spec']['approval']}")
        if self.written():
            raise TurnFailed("something was sent to the exchange that nobody approved")
        return str(plan["metadata"]["name"]), order_id

    def done(self, name: str, order_id: str, *, skip: bool) -> None:
        self.turn("8. Approved and done: once, verified by a fresh look, and in the exchange's own log")
        if not skip:
            self.say("approve", name, "-n", NAMESPACE, "--yes")
        self.plan(
            f"plan {name} that is Done",
            lambda plan: (plan["metadata"]["name"], plan["status"].get("phase")) == (name, "Done"),
        )
        self.show("get", "rp", "-n", NAMESPACE)
        self.read_back("account in sync again", lambda s: s["sync"] == "InSync" and "Action" not in s["pausedBy"])
        self.table()
        print("All that the exchange was ever asked to change on this account:")
        for row in self.written():
            asked = " ".join(f"{name}={row['params'].get(name, '')}" for name in ("symbol", "orderId", "recvWindow"))
            print(f"  {row['method']} {row['path']} {asked} -> {row['status']}")
        told = [(row["method"], row["params"].get("orderId"), row["effect"]) for row in self.written()]
        if told != [("DELETE", order_id, True)]:
            raise TurnFailed(f"expected one DELETE of order {order_id}, and nothing else: {told}")
        print("The Policy hold stays until a person resumes, as in 5.")

    def written(self) -> list[Body]:
        """The exchange's log of the requests that could change something."""
        rows: list[Body] = self.simulator.control("GET", f"requests?account={NAME}&write=true")
        return rows


def example(name: str, simulator: Simulator) -> str:
    """A file of examples/, with the simulator where it is now."""
    return (ROOT / "examples" / name).read_text().replace(f"http://127.0.0.1:{PORT}", simulator.url)


def free(port: int) -> int:
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-drift", action="store_true", help="leave the drift out: the demo must then fail")
    parser.add_argument("--skip-approval", action="store_true", help="approve nothing: the demo must then fail")
    parser.add_argument("--patience", type=float, default=45.0, help="seconds that each turn may take")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    began = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            demo = started(stack)
            demo.patience = options.patience
            demo.clean()
            demo.drift(skip=options.skip_drift)
            digest = demo.pause()
            demo.repair()
            demo.resume(digest)
            demo.enforce()
            demo.done(*demo.planned(), skip=options.skip_approval)
            print(f"\nEach turn was read back from the API server, in {time.monotonic() - began:.0f} s.")
            print("Next: README.md for an account of your own; docs/remediation.md before Enforce.")
            if os.environ.get("KEEP"):
                keep(demo)
    except TurnFailed as error:
        sys.exit(f"\nthe demo failed at this turn: {error}")
    except (AssetsError, ControlPlaneError, RuntimeError) as error:
        sys.exit(f"accountsync: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def started(stack: contextlib.ExitStack) -> Demo:
    print("starting etcd and kube-apiserver", flush=True)
    plane = stack.enter_context(ControlPlane())
    install(plane)
    print("starting the exchange simulator", flush=True)
    scenario = f"--scenario={ROOT / 'examples' / 'exchange.yaml'}"
    simulator = stack.enter_context(Simulator(scenario, port=free(PORT), control_port=free(CONTROL_PORT)))
    print("$ kubectl apply -f examples/account.yaml")
    print(plane.kubectl("apply", "-f", "-", input=example("account.yaml", simulator)).rstrip())
    binding = ("create", "rolebinding", "accountsync", "-n", NAMESPACE, "--clusterrole=accountsync-tenant")
    plane.kubectl(*binding, "--serviceaccount=accountsync:accountsync")
    print("starting the operator with its own service account, and a bot that publishes its belief", flush=True)
    kubeconfig = plane.kubeconfig_for_service_account("accountsync", "accountsync")
    operator = stack.enter_context(Operator(kubeconfig, f"--namespace={NAMESPACE}"))
    belief = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "belief.json"
    belief.write_text(json.dumps(BELIEF))
    bot = [sys.executable, str(ROOT / "examples" / "bot.py"), str(belief), f"--kubectl={plane.programs.kubectl}"]
    stack.enter_context(Program(bot, plane.env()))
    return Demo(plane, simulator, operator, belief)


def keep(demo: Demo) -> None:
    print("\nLeft running (Ctrl-C ends it):")
    print(f"  export KUBECONFIG={demo.plane.kubeconfig} PATH={demo.plane.programs.folder}:$PATH")
    print(f"  kubectl get ta -n {NAMESPACE} -w; .venv/bin/accountsync plans {NAME} -n {NAMESPACE}")
    print(f"  curl -s http://127.0.0.1:{demo.operator.port}/metrics | grep grinder_")
    print(f"  curl -s {demo.simulator.control.url}/control/accounts/{NAME}   # the exchange; POST …/orders acts on it")
    print(f"  edit {demo.belief}   # what the bot believes", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)
            demo.plane.check_alive()


if __name__ == "__main__":
    main()

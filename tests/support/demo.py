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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.assets import AssetsError
from tests.support.controlplane import ControlPlane, ControlPlaneError
from tests.support.running import ROOT, Operator, Program, Simulator, until
from tests.support.stage import install

NAMESPACE, NAME = "trading", "grid-btc"
PORT, CONTROL_PORT = 8900, 8901
BELIEF = {
    "positions": [{"symbol": "BTCUSDT", "side": "net", "quantity": "0.5"}],
    "orders": [{"clientId": "grinder_1", "symbol": "BTCUSDT", "side": "buy", "price": "58000", "quantity": "0.1"}],
    "balances": [{"asset": "USDT", "wallet": "10000"}],
}


class TurnFailed(Exception):  # noqa: N818 - what happened, in the words of the story
    """The API server did not show what this turn of the story should."""


class Demo:
    """The story. `patience`: seconds that each turn may take."""

    def __init__(self, plane: ControlPlane, simulator: Simulator, operator: Operator, belief: Path) -> None:
        self.plane = plane
        self.simulator = simulator
        self.operator = operator
        self.belief = belief
        self.patience = 45.0

    def turn(self, title: str) -> None:
        print(f"\n\033[1m── {title}\033[0m" if sys.stdout.isatty() else f"\n── {title}", flush=True)

    def account(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.plane.kubectl("get", "ta", NAME, "-n", NAMESPACE, "-o", "json"))
        return body

    def table(self) -> None:
        self.show("get", "tradingaccounts", "-n", NAMESPACE)

    def show(self, *arguments: str) -> None:
        print(f"$ kubectl {' '.join(arguments)}\n{self.plane.kubectl(*arguments).rstrip()}", flush=True)

    def read_back(self, what: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until the account on the API server is as told."""

        def fits() -> dict[str, Any] | None:
            self.plane.check_alive()
            for program in (self.simulator, self.operator):
                if program.process.poll() is not None:
                    raise TurnFailed(f"a program ended:\n{program.output[-2000:]}")
            status = self.account().get("status", {})
            return status if holds(status) else None

        try:
            return until(fits, what, self.patience)
        except TimeoutError as error:
            self.show("get", "ta", NAME, "-n", NAMESPACE, "-o", "yaml")
            raise TurnFailed(str(error)) from None

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
        self.show("annotate", "ta", NAME, "-n", NAMESPACE, f"accountsync.dev/resume={digest}")
        self.read_back("account free to trade", lambda s: s.get("sync") == "InSync" and not s.get("paused"))
        self.table()
        for entry in self.account()["status"]["history"]:
            print(f"  {entry['time']} {entry['who']}: {entry['what']} ({entry.get('why', '')})")

    def believe(self, belief: dict[str, Any]) -> None:
        fresh = self.belief.with_suffix(".new")
        fresh.write_text(json.dumps(belief))
        fresh.replace(self.belief)


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
            print(f"\nEach turn was read back from the API server, in {time.monotonic() - began:.0f} s.")
            print("Next: README.md for an account of your own; docs/state.md for how a bot tells its belief.")
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
    example = (ROOT / "examples" / "account.yaml").read_text().replace(f"http://127.0.0.1:{PORT}", simulator.url)
    print("$ kubectl apply -f examples/account.yaml")
    print(plane.kubectl("apply", "-f", "-", input=example).rstrip())
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
    print(f"  kubectl get ta -n {NAMESPACE} -w")
    print(f"  curl -s http://127.0.0.1:{demo.operator.port}/metrics | grep grinder_")
    print(f"  curl -s {demo.simulator.control.url}/control/accounts/{NAME}   # the exchange; POST …/orders acts on it")
    print(f"  edit {demo.belief}   # what the bot believes", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)
            demo.plane.check_alive()


if __name__ == "__main__":
    main()

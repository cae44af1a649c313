"""A toy bot that never trades: it tells what it believes, every two seconds, in a ConfigMap.

    python examples/bot.py belief.json --namespace trading --configmap grid-btc-state

`belief.json` holds positions, orders and balances as docs/state.md describes them; edit it and the bot believes
something else. Without the file, the bot believes what examples/account.yaml says. Needs kubectl and KUBECONFIG.
"""

import argparse
import contextlib
import json
import subprocess
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

BELIEF = {
    "positions": [{"symbol": "BTCUSDT", "side": "net", "quantity": "0.5"}],
    "orders": [
        {
            "clientId": "grinder_1",
            "symbol": "BTCUSDT",
            "side": "buy",
            "price": "58000",
            "quantity": "0.1",
            "filled": "0",
        }
    ],
    "balances": [{"asset": "USDT", "wallet": "10000"}],
}


def main() -> None:
    """Publish until interrupted."""
    parser = argparse.ArgumentParser(description="publish a bot's belief")
    parser.add_argument("belief", type=Path)
    parser.add_argument("--namespace", default="trading")
    parser.add_argument("--configmap", default="grid-btc-state")
    parser.add_argument("--kubectl", default="kubectl")
    options = parser.parse_args()
    boot_id = uuid.uuid4().hex[:8]
    belief = BELIEF
    print(
        f"publishing {options.belief if options.belief.exists() else 'the belief of examples/account.yaml'}", flush=True
    )
    while True:
        as_of = datetime.now(UTC).isoformat(timespec="milliseconds")  # before the belief is read: never claim too much
        try:
            belief = json.loads(options.belief.read_text()) if options.belief.exists() else belief
        except ValueError as error:
            print(f"{options.belief}: {error}; going on with the belief of before", flush=True)
        state = {"version": 1, "asOf": as_of, "bootId": boot_id, "ready": True, **belief}
        patch = json.dumps({"data": {"state.json": json.dumps(state)}})
        command = [options.kubectl, "patch", "configmap", options.configmap, "-n", options.namespace]
        subprocess.run([*command, "--type=merge", "-p", patch], check=False, stdout=subprocess.DEVNULL)  # noqa: S603
        time.sleep(2)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()

#!/usr/bin/env python3
"""Serves a bot's belief at GET /state, and takes repairs of it at POST /repair (docs/state.md).

The standard library is enough. Copy it into your bot, and call publish(). Repairs that were applied are remembered in
the file that REPAIRS names, so that one which arrives again after a restart changes nothing.
"""

import json
import os
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

Row = dict[str, Any]
KEYS = {"positions": ("symbol", "side"), "orders": ("symbol", "id", "clientId"), "balances": ("asset",)}
SECTION = {
    "missing_local_order": "orders",
    "stale_local_order": "orders",
    "position_mismatch": "positions",
    "balance_mismatch": "balances",
}


def now() -> str:
    """RFC 3339, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def mended(state: Row, repairs: list[Row]) -> Row:
    """`state` where each repair's row took the place of the bot's own, or stands as a new one.

    An adopted order is open; one that is stale keeps its row, with the status in which it ended.
    """
    for repair in repairs:
        section = SECTION[repair["type"]]
        told = {name: value for name, value in repair.items() if name != "type"}
        rows = state.get(section) or []
        own: Row = next((row for row in rows if _same(row, told, KEYS[section])), {})
        state = {**state, section: [*(row for row in rows if row is not own), {**own, **told}]}
    return state


def _same(own: Row, told: Row, keys: tuple[str, ...]) -> bool:
    own = {"side": "net", **own} if "side" in keys else own
    named = [key for key in keys if key in own and key in told]
    return len(named) > ("symbol" in keys) and all(own[key] == told[key] for key in named)


class Belief:
    """What the bot believes, since when, and the repairs that were made of it. `memory`: where their ids are kept."""

    def __init__(self, memory: Path) -> None:
        self.state: Row = {"version": 1, "asOf": now(), "bootId": str(uuid4()), "ready": False}
        self._changed = self.state["asOf"]
        self._memory = memory
        self._applied: list[str] = json.loads(memory.read_text()) if memory.exists() else []
        self._lock = threading.RLock()

    def publish(self, **sections: list[Row]) -> None:
        """Call it from your loop whenever you brought your belief up to date: asOf is the moment it is true for."""
        with self._lock:
            state = {**self.state, **sections, "asOf": now(), "ready": True}
            if any(state.get(section) != self.state.get(section) for section in KEYS):
                self._changed = state["asOf"]
            self.state = state  # replaced whole, so that a reader never sees half of it

    def repair(self, order: Row) -> tuple[int, Row]:
        """Status and answer. All of the repairs are applied, or none."""
        done = 200, {"applied": list(range(len(order["repairs"])))}
        with self._lock:
            if order["repairId"] in self._applied:
                return done
            asked = order["belief"]
            as_of, changed = (datetime.fromisoformat(text) for text in (asked["asOf"], self._changed))
            if asked.get("bootId") != self.state["bootId"] or as_of < changed:
                return 409, {"error": "this is no longer what I believe"}
            right = mended(self.state, order["repairs"])
            self._remember(order["repairId"])
            self.publish(**{section: right[section] for section in KEYS if section in right})
        return done

    def _remember(self, repair_id: str) -> None:
        self._applied = [*self._applied[-999:], repair_id]
        new = self._memory.with_suffix(".new")
        new.write_text(json.dumps(self._applied))
        new.replace(self._memory)


belief = Belief(Path(os.environ.get("REPAIRS", "repairs.json")))


class Handler(BaseHTTPRequestHandler):
    """Answers with the last belief; it never makes up a fresher asOf, so a stuck bot is seen to be stuck."""

    def do_GET(self) -> None:
        """Send the state."""
        self._answer(*((200, belief.state) if self.path == "/state" else (404, {})))

    def do_POST(self) -> None:
        """Take a repair."""
        if self.path != "/repair":
            self._answer(404, {})
            return
        self._answer(*belief.repair(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def _answer(self, status: int, answer: Row) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    grid = {"clientId": "grinder_1", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.1", "price": "58000"}
    belief.publish(positions=[{"symbol": "BTCUSDT", "quantity": "0.5"}], orders=[grid])
    print(f"serving on port {server.server_port}", flush=True)
    while True:  # your bot's loop: also when nothing changed, for as long as the bot knows that nothing did
        time.sleep(5)
        belief.publish()

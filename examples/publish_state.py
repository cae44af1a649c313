#!/usr/bin/env python3
"""Serves a bot's belief at GET /state: the standard library is enough. Copy it into your bot, and call publish()."""

import json
import os
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

state = {"version": 1, "asOf": datetime.now(UTC).isoformat(), "bootId": str(uuid4()), "ready": False}


def publish(positions: list[dict[str, str]], orders: list[dict[str, str]]) -> None:
    """Call it from your loop whenever you have brought your belief up to date: asOf is the moment it is true for."""
    global state  # noqa: PLW0603 - replaced whole, so that a reader never sees half of it
    state = {**state, "asOf": datetime.now(UTC).isoformat(), "ready": True, "positions": positions, "orders": orders}


class Handler(BaseHTTPRequestHandler):
    """Answers with the last belief; it never makes up a fresher asOf, so a stuck bot is seen to be stuck."""

    def do_GET(self) -> None:
        """Send the state."""
        found = self.path == "/state"
        body = json.dumps(state if found else {}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    order = {"clientId": "grinder_1", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.1", "price": "58000"}
    publish(positions=[{"symbol": "BTCUSDT", "quantity": "0.5"}], orders=[order])
    print(f"serving on port {server.server_port}", flush=True)
    while True:  # your bot's loop: also when nothing changed, for as long as the bot knows that nothing did
        time.sleep(5)
        publish(positions=[{"symbol": "BTCUSDT", "quantity": "0.5"}], orders=[order])

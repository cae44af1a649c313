"""Slack and PagerDuty on loopback: what Alertmanager posts is kept as it arrives."""

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

SLACK, PAGERDUTY = "/slack", "/pagerduty"


@dataclass(frozen=True, slots=True)
class Arrived:
    """One request."""

    path: str
    body: dict[str, Any]

    @property
    def resolved(self) -> bool:
        """Whether it says that something is over."""
        if self.path == PAGERDUTY:
            return bool(self.body["event_action"] == "resolve")
        return bool(self.body["attachments"][0]["title"].startswith("RESOLVED"))


class Pager:
    """Answers as both do, and keeps every body."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                pager.arrived.append(Arrived(self.path, body))
                status, answer = (202, b'{"status": "success"}') if self.path == PAGERDUTY else (200, b"ok")
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def of(self, path: str) -> list[Arrived]:
        """What arrived there, oldest first."""
        return [one for one in self.arrived if one.path == path]

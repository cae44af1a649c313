"""What the operator answers over HTTP.

/metrics for Prometheus, /livez and /readyz for the kubelet, /internal/health for people: how reconciliation goes.
"""

import asyncio
import json
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from accountsync.report.metrics import Metrics


class Server:
    """Serves on (host, port) from `start` to `stop`; `port` is the real one after `start`.

    `unready`: why the operator is not ready; empty: it is.
    """

    def __init__(self, metrics: Metrics, host: str, port: int, *, unready: Callable[[], str]) -> None:
        self._metrics = metrics
        self._host = host
        self.port = port
        self._unready = unready
        app = web.Application()
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/internal/health", self._health)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        addresses = self._runner.addresses
        self.port = addresses[0][1]

    async def stop(self) -> None:
        """Answer nothing any more."""
        await self._runner.cleanup()

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        text = await asyncio.to_thread(generate_latest, self._metrics.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = self._unready()
        return web.Response(status=503, text=f"{reason}\n") if reason else web.Response(text="ok\n")

    async def _health(self, _: web.Request) -> web.Response:
        document = self._metrics.health(self._unready())
        return web.json_response(document, dumps=lambda told: json.dumps(told, indent=1) + "\n")

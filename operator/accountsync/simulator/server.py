"""The exchange on a loopback port: HTTP in, `Exchange.respond`, HTTP out, and the faults of delivery."""

import asyncio
import socket
import struct
from dataclasses import replace

from aiohttp import web

from accountsync.simulator.exchange import Delivery, Exchange, WireRequest

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ExchangeServer:
    """Handles requests for one `Exchange`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._arriving: set[asyncio.Task[Delivery]] = set()

    def runner(self) -> web.ServerRunner:
        """A runner whose handlers are cancelled when their client leaves."""
        server = web.Server(self.handle, handler_cancellation=True, access_log=None)
        return web.ServerRunner(server, shutdown_timeout=0.1)

    def stop(self) -> None:
        """What has not arrived yet never will."""
        for arriving in self._arriving:
            arriving.cancel()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path, _, query = request.raw_path.partition("?")
        body = (await request.read()).decode("utf-8", "replace") if request.can_read_body else ""
        wire = WireRequest(
            method=request.method,
            path=path,
            query=query,
            body=body,
            api_key=request.headers.get("X-MBX-APIKEY", ""),
            peer=request.remote or "",
        )
        late_by = self._exchange.on_the_way(wire)
        if late_by:
            return await _deliver(request, await self._arriving_late(replace(wire, late_by=late_by)))
        return await _deliver(request, self._exchange.respond(wire))

    async def _arriving_late(self, wire: WireRequest) -> Delivery:
        """What was sent arrives, whether or not somebody still waits for the answer."""
        arriving = asyncio.create_task(self._answer_late(wire))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arriving.discard)
        return await asyncio.shield(arriving)

    async def _answer_late(self, wire: WireRequest) -> Delivery:
        for active in wire.late_by:
            seconds = active.fault.options["seconds"]
            if seconds is None:
                await active.cleared.wait()
            else:
                await asyncio.sleep(seconds)
        return self._exchange.respond(wire)


async def _deliver(request: web.BaseRequest, delivery: Delivery) -> web.StreamResponse:
    if delivery.latency:
        await asyncio.sleep(delivery.latency)
    if delivery.held_by:
        await delivery.held_by.cleared.wait()
    if delivery.reordering:
        async with delivery.reordering.turn():
            response = await _response(request, delivery)
            if not delivery.reset:
                await response.prepare(request)
                await response.write_eof()  # the next one's turn comes once this one has gone out
            return response
    return await _response(request, delivery)


async def _response(request: web.BaseRequest, delivery: Delivery) -> web.StreamResponse:
    response = web.Response(
        status=delivery.status,
        body=delivery.body,
        headers=delivery.headers,
        content_type="application/json",
        charset="utf-8",
    )
    if delivery.reset:
        if delivery.reset.fault.options["midway"]:
            await _send_half(request, delivery)
        _reset(request)
    return response


async def _send_half(request: web.BaseRequest, delivery: Delivery) -> None:
    """Promise the whole body and send half of it."""
    partial = web.StreamResponse(status=delivery.status, headers=delivery.headers)
    partial.content_type = "application/json"
    partial.content_length = len(delivery.body)
    await partial.prepare(request)
    await partial.write(delivery.body[: len(delivery.body) // 2])


def _reset(request: web.BaseRequest) -> None:
    """Close with a TCP reset instead of an orderly end."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()

"""The exchange on a loopback port: HTTP in, `Exchange.respond`, HTTP out, and the faults of delivery."""

import asyncio
import socket
import struct

from aiohttp import web

from accountsync.simulator.exchange import Delivery, Exchange, WireRequest

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ExchangeServer:
    """Handles requests for one `Exchange`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def runner(self) -> web.ServerRunner:
        """A runner whose handlers are cancelled when their client leaves."""
        server = web.Server(self.handle, handler_cancellation=True, access_log=None)
        return web.ServerRunner(server, shutdown_timeout=0.1)

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
        return await _deliver(request, self._exchange.respond(wire))


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

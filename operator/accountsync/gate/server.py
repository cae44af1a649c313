"""What the gate answers over HTTP.

    GET /gate           200 open, 423 closed; ?for=reduce: 200 under ReduceOnly as well
    GET /gate/events    the same as a stream: the answer at once, then each change
    PUT /state          the bot tells what it believes      GET /state    the operator reads it
    PUT /override       a person opens the gate             DELETE        and takes that back
    GET /metrics, /livez, /readyz

`/state` and `/override` ask who comes (trust.py); the others tell whoever reaches them.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from accountsync.gate import metrics
from accountsync.gate.account import seconds
from accountsync.gate.answer import Answer
from accountsync.gate.door import FIRST_ANSWER, Door, ends, is_own
from accountsync.gate.keeper import OVERRIDE_MAX, Keeper
from accountsync.gate.state import STATE_MAX, read_belief
from accountsync.gate.trust import UNAUTHORIZED, Caller, Trust

LOCKED: Final = 423
STREAMS_MAX: Final = 200
STREAMS_OF_OTHERS: Final = 50
"""Than the bot's pod, which always finds one left."""
IDLE: Final = 75.0
"""Seconds after which a connection on which nothing more is asked is closed."""
BACKLOG: Final = 64
"""Changes that wait for a slow reader; of more, the oldest are dropped."""
KEEP_ALIVE, KEEP_ALIVE_LEAST, KEEP_ALIVE_MOST = 3.0, 0.2, 60.0
WRITE_TIMEOUT: Final = 30.0
"""Seconds after which a reader that reads nothing is dropped."""
REASON_CAP: Final = 256
_JSON: Final = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_STREAM: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Server:
    """Serves on (host, port) from `start` to `stop`; `port` is the real one after `start`.

    `unready`: why the gate is not ready; empty: it is. `patience`: seconds, as `Door` takes them.
    """

    def __init__(
        self,
        keeper: Keeper,
        trust: Trust,
        host: str,
        port: int,
        *,
        unready: Callable[[], str],
        patience: float = FIRST_ANSWER,
    ) -> None:
        self._keeper, self._trust = keeper, trust
        self._host, self.port = host, port
        self._unready = unready
        self._streams: set[_Stream] = set()
        app = web.Application(client_max_size=STATE_MAX)
        app.router.add_get("/gate", self._gate)
        app.router.add_get("/gate/events", self._events)
        app.router.add_get("/state", self._state)
        app.router.add_put("/state", self._put_state)
        app.router.add_put("/override", self._put_override)
        app.router.add_delete("/override", self._delete_override)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.on_response_prepare.append(self._answers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0, keepalive_timeout=IDLE)
        self._patience = patience
        self._door: Door | None = None
        self._listener: asyncio.Server | None = None
        keeper.changed.append(self._changed)

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        await self._runner.setup()
        assert self._runner.server is not None
        self._door = Door(self._runner.server, self._patience)
        self._listener = await asyncio.get_running_loop().create_server(
            self._door.connection, self._host, self.port, backlog=128
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End the streams, which tell what is left to tell, and answer nothing any more."""
        for stream in self._streams:
            stream.end()
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _changed(self, _: Answer, document: bytes) -> None:
        for stream in self._streams:
            stream.put(self._keeper.sequence, document)

    async def _answers(self, request: web.Request, _: web.StreamResponse) -> None:
        assert self._door is not None
        self._door.answered(request.protocol)

    # --- the answer --------------------------------------------------------------------------------------------------

    async def _gate(self, request: web.Request) -> web.Response:
        wanted = request.query.get("for", "") if request.rel_url.raw_query_string else ""
        if wanted not in ("", "reduce"):
            return _refused(400, "for: expected reduce, or nothing")
        answer = self._keeper.answer
        passes = answer.may_reduce if wanted else answer.open
        return web.Response(body=self._keeper.json, status=200 if passes else LOCKED, headers=_JSON)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        try:
            every = float(request.query.get("every", KEEP_ALIVE))
        except ValueError:
            return _refused(400, "every: expected seconds between two signs of life")
        if not KEEP_ALIVE_LEAST <= every <= KEEP_ALIVE_MOST:
            return _refused(400, f"every: expected {KEEP_ALIVE_LEAST:g} to {KEEP_ALIVE_MOST:g} seconds")
        own = is_own(request.transport)
        most = STREAMS_MAX if own else STREAMS_OF_OTHERS
        if sum(own or not stream.own for stream in self._streams) >= most:
            return _refused(503, f"there are {most} streams already")
        response = web.StreamResponse(headers=_STREAM)
        await response.prepare(request)
        stream = _Stream(own=own)
        document = self._keeper.json
        stream.put(self._keeper.sequence, document)
        self._streams.add(stream)
        try:
            async for text in stream.texts(every):
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await response.write(text)
        except (ConnectionError, TimeoutError):
            pass  # it went away, or reads nothing
        finally:
            self._streams.discard(stream)
        return response

    # --- the bot's state ---------------------------------------------------------------------------------------------

    async def _state(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        belief = self._keeper.belief
        if belief is None:
            return _refused(404, "the bot has told no state since the gate started: PUT it to /state")
        return web.Response(body=belief.document, headers=_JSON)

    async def _put_state(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        try:
            belief = read_belief(await request.read())
        except web.HTTPRequestEntityTooLarge:
            return _refused(413, f"more than {STATE_MAX // 1024} KiB: open orders and positions only, no history")
        except ValueError as error:
            return _refused(400, str(error))
        self._keeper.believe(belief)
        return web.Response(status=204)

    # --- the override ------------------------------------------------------------------------------------------------

    async def _put_override(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        try:
            span, reason, by = _override(json.loads(await request.read()))
        except (ValueError, TypeError, RecursionError, web.HTTPRequestEntityTooLarge) as error:
            return _refused(400, str(error) if type(error) is ValueError else "expected a JSON object")
        self._keeper.override(span, reason, by)
        return web.Response(body=self._keeper.json, headers=_JSON)

    async def _delete_override(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        if not self._keeper.end_override():
            return _refused(404, "the gate is not overridden")
        return web.Response(body=self._keeper.json, headers=_JSON)

    def _refusal(self, request: web.Request) -> web.Response | None:
        headers = request.headers
        caller = Caller(*ends(request.transport), headers.get("Host", ""), headers.get("Authorization", ""))
        refusal = self._trust.refusal(caller)
        return refusal and _refused(*refusal)

    # --- for the machinery -------------------------------------------------------------------------------------------

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=metrics.rendered(self._keeper).encode(), headers={"Content-Type": metrics.CONTENT_TYPE}
        )

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        why = self._unready()
        return web.Response(status=503, text=f"{why}\n") if why else web.Response(text="ok\n")


class _Stream:
    """One reader of the events."""

    def __init__(self, *, own: bool) -> None:
        self.own = own
        """Whether it is the bot's pod's."""
        self._waiting: deque[bytes] = deque(maxlen=BACKLOG)
        self._news = asyncio.Event()
        self._ended = False

    def put(self, sequence: int, document: bytes) -> None:
        self._waiting.append(b"event: gate\nid: %d\ndata: %s\n\n" % (sequence, document))
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def texts(self, every: float) -> Any:
        """What to write, until it is ended: events, and a comment after `every` seconds without one."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._ended:
                return
            self._news.clear()
            try:
                async with asyncio.timeout(every):
                    await self._news.wait()
            except TimeoutError:
                yield b": alive\n\n"


def _override(document: Any) -> tuple[float, str, str]:
    """Seconds, reason and who. Raises ValueError that says what is wrong."""
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - a wrong document
    span, reason, by = (document.get(name, "") for name in ("for", "reason", "by"))
    if not all(isinstance(text, str) for text in (span, reason, by)):
        raise ValueError("for, reason, by: expected texts")
    try:
        length = seconds(span)
    except ValueError as error:
        raise ValueError(f"for: {error}") from None
    if not 0 < length <= OVERRIDE_MAX:
        raise ValueError(f"for: expected more than 0s and at most {OVERRIDE_MAX / 3600:g}h")
    if not reason.strip():
        raise ValueError("reason: expected why the gate is overridden, for the people who find it so")
    if len(reason) > REASON_CAP or len(by) > REASON_CAP:
        raise ValueError(f"reason, by: expected at most {REASON_CAP} characters")
    return length, reason, by


def _refused(status: int, why: str) -> web.Response:
    headers = dict(_JSON)
    if status == UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="accountsync gate"'
    return web.Response(body=json.dumps({"error": why}).encode(), status=status, headers=headers)

"""A bot on loopback that answers as freqtrade was recorded to answer, moment by moment, and misbehaves when told to.

It checks tokens as freqtrade does, and its calls change what it says as freqtrade's do. The recordings stand in
freqtrade/; `python -m tests.freqtrade.record` writes them anew.
"""

import asyncio
import base64
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from accountsync.bot.address import AddressPolicy
from accountsync.bot.freqtrade import FreqtradeApi
from accountsync.bot.freqtrade_belief import FreqtradeState
from accountsync.bot.http import open_session

RECORDED = Path(__file__).with_name("freqtrade")
MOMENTS = sorted(path.stem for path in RECORDED.glob("*.json") if path.stem != "refusals")
CLOSED = "trades?limit=50&offset=0&order_by_id=false"
USERNAME, PASSWORD = "accountsync", "hunter2-of-the-bot"
SOURCE = "Service trading/grid-btc"
LOGIN = "token/login"
STATES = {"start": "running", "pause": "paused", "stop": "stopped"}
Body = Any
Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


@cache
def _recorded(moment: str) -> str:
    return (RECORDED / f"{moment}.json").read_text()


def recorded(moment: str) -> dict[str, tuple[int, Body]]:
    """Path → status and body; a copy of one's own."""
    answers = json.loads(_recorded(moment))["answers"]
    return {path: (answer["status"], answer["body"]) for path, answer in answers.items()}


@dataclass
class Served:
    """A running bot. `faults`: path → what answers the next requests there in its place.

    `asked`: method and path of every request but those that sign in; `logins`: how many signed in; `reloaded`: what it
    believes after a reload; `seen`: path → the authorizations that came there; `lively`: its last pass is of now.
    """

    answers: dict[str, tuple[int, Body]]
    url: str = ""
    password: str = PASSWORD
    tokens: set[str] = field(default_factory=set)
    faults: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    asked: list[str] = field(default_factory=list)
    logins: int = 0
    reloaded: dict[str, tuple[int, Body]] | None = None
    seen: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lively: bool = False

    def become(self, moment: str) -> None:
        """Answer as at another moment."""
        self.answers = recorded(moment)

    @property
    def state(self) -> str:
        return str(self.answers["show_config"][1]["state"])

    @state.setter
    def state(self, state: str) -> None:
        self.answers["show_config"][1]["state"] = state
        if state == "stopped":
            self.answers["count"] = 502, {"error": "Error querying /api/v1/count: trader is not running"}

    def told(self) -> list[str]:
        """What it was told to do."""
        return [line.removeprefix("POST ") for line in self.asked if line.startswith("POST ")]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs.removeprefix("/api/v1/")
        authorization = request.headers.get("Authorization", "")
        self.seen[path].append(authorization)
        if self.faults[path]:
            return await self.faults[path].popleft()(request)
        if path == LOGIN:
            return self._login(authorization)
        self.asked.append(f"{request.method} {path}")
        if authorization.removeprefix("Bearer ") not in self.tokens:
            return answer(401, {"detail": "Could not validate credentials"})
        if request.method == "POST":
            return self._do(path)
        status, body = self.answers.get(path, (404, {"detail": "Not Found"}))
        if path == "health" and self.lively:
            body = {**body, "last_process": datetime.now(UTC).isoformat()}
        return answer(status, body)

    def _login(self, authorization: str) -> web.Response:
        pair = base64.b64encode(f"{USERNAME}:{self.password}".encode()).decode()
        if authorization != f"Basic {pair}":
            return answer(401, {"detail": "Incorrect username or password"})
        self.logins += 1
        token = f"token-{self.logins}"
        self.tokens.add(token)
        return answer(200, {"access_token": token, "refresh_token": "never-used"})

    def _do(self, path: str) -> web.Response:
        if path in STATES:
            self.state = STATES[path]
            return answer(200, {"status": "as told"})
        if path.endswith("/reload"):
            if self.reloaded is not None:
                self.answers = self.reloaded
            return answer(200, {})
        return answer(404, {"detail": "Not Found"})


def answer(status: int, body: Body) -> web.Response:
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")


def answers(status: int, body: Body = None, headers: Mapping[str, str] | None = None) -> Fault:
    async def fault(_: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    return fault


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def breaks(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)


@asynccontextmanager
async def served(moment: str = "fresh") -> AsyncIterator[Served]:
    """A running bot, as it was at `moment`."""
    bot = Served(recorded(moment))
    app = web.Application()
    app.router.add_route("*", "/api/v1/{path:.*}", bot.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    bot.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield bot
    finally:
        await runner.cleanup()


@contextmanager
def alive(moment: str) -> Iterator[Served]:
    """A bot in a thread of its own, for an operator in another process; its passes go on."""
    ready: Future[tuple[Served, Callable[[], object]]] = Future()

    async def serve() -> None:
        ends = asyncio.Event()
        async with served(moment) as bot:
            bot.lively = True
            ready.set_result((bot, partial(asyncio.get_running_loop().call_soon_threadsafe, ends.set)))
            await ends.wait()

    with ThreadPoolExecutor(1) as thread:
        serving = thread.submit(asyncio.run, serve())
        bot, end = ready.result(10)
        try:
            yield bot
        finally:
            end()
            serving.result(10)


@dataclass
class Signed:
    """The Secret, which can be changed, and an API that reads it."""

    api: FreqtradeApi
    secret: dict[str, str]

    @property
    def state(self) -> FreqtradeState:
        return FreqtradeState(self.api)


def signed(session: ClientSession, url: str, *, timeout: float = 30) -> Signed:
    secret = {"username": USERNAME, "password": PASSWORD}

    async def read() -> Mapping[str, str]:
        return secret

    api = FreqtradeApi(
        session, f"{url}/api/v1", source=SOURCE, timeout=timeout, secret=read, secret_name="grid-btc-bot"
    )
    return Signed(api, secret)


@asynccontextmanager
async def bot_at(moment: str = "fresh", *, patience: float = 30) -> AsyncIterator[tuple[Served, Signed]]:
    """A running bot, and the way to it."""
    async with served(moment) as bot, open_session(AddressPolicy(["http://127.0.0.1:*"])) as session:
        yield bot, signed(session, bot.url, timeout=patience)

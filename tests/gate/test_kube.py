"""Following one object over HTTP, whatever a server does: a small one on loopback that speaks as the API server."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from accountsync.clock import elapsed
from accountsync.gate import kube as module
from accountsync.gate.access import Access
from accountsync.gate.follow import followed
from accountsync.gate.keeper import Keeper
from accountsync.gate.kube import Following, Kube

PATH = "/apis/accountsync.dev/v1alpha1/namespaces/trading/tradingaccounts"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def thing(version: int) -> dict[str, Any]:
    return {"metadata": {"name": "grid-btc", "resourceVersion": str(version)}}


def event(kind: str, body: Any) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is polled is no event
            await asyncio.sleep(0.01)


async def at_once(_: float) -> None:
    await asyncio.sleep(0.01)


class Told:
    """A follower that writes down what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Any]] = []

    def read(self, body: Any, at: float) -> None:
        assert at <= elapsed()
        self._row("read", body)

    def changed(self, body: Any, at: float) -> None:  # noqa: ARG002
        self._row("changed", body)

    def deleted(self, body: Any, at: float) -> None:  # noqa: ARG002
        self._row("deleted", body)

    def heard(self, at: float) -> None:  # noqa: ARG002
        self._row("heard", None)

    def failed(self, why: str) -> None:
        self.rows.append(("failed", why))

    def _row(self, what: str, body: Any) -> None:
        self.rows.append((what, body and int(body["metadata"]["resourceVersion"])))

    async def until(self, *rows: tuple[str, Any]) -> None:
        """Until these are among what was told, in this order."""

        def told() -> bool:
            rest = iter(self.rows)
            return all(any(each == row for each in rest) for row in rows)

        await until(told)

    @property
    def failures(self) -> list[str]:
        return [why for what, why in self.rows if what == "failed"]


class Server:
    """Lists version `listed` of the object, and answers each watch by the next of `watches`; the last one stays."""

    def __init__(self, *watches: Answer, listed: int | None = 1) -> None:
        self.listed = listed
        self.watches = list(watches)
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self.over = asyncio.Event()
        self.hangs = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        self.tokens.append(request.headers.get("Authorization", ""))
        if "watch" in request.query:
            answer = self.watches.pop(0) if len(self.watches) > 1 else self.watches[0]
            return await answer(request)
        if self.hangs:
            self.hangs = False
            await self.over.wait()
        items = [] if self.listed is None else [thing(self.listed)]
        return web.json_response({"metadata": {"resourceVersion": str(self.listed or 7)}, "items": items})

    def sends(self, *parts: bytes, stays: bool = True) -> Answer:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for part in parts:
                await response.write(part)
                await asyncio.sleep(0)
            if stays:
                await self.over.wait()
            return response

        return answer

    @contextlib.asynccontextmanager
    async def followed(
        self,
        told: Told,
        silence: float = 30,
        patience: float = 10,
        sleep: Callable[[float], Awaitable[None]] = at_once,
        **access: Any,
    ) -> AsyncIterator[Following]:
        app = web.Application()
        app.router.add_get(PATH, self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        kube = Kube(Access(f"http://127.0.0.1:{runner.addresses[0][1]}", **access))
        following = Following(
            *(kube, PATH, "grid-btc", told),
            now=elapsed,
            silence=lambda: silence,
            patience=lambda: patience,
            sleep=sleep,
        )
        task = asyncio.create_task(following.run())
        try:
            yield following
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.over.set()
            await kube.close()
            await runner.cleanup()


def refuses(status: int) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="secret text of the server")

    return answer


async def test_it_watches_that_one_object_from_the_version_it_listed() -> None:
    told = Told()
    server = Server(listed=5)
    server.watches = [
        server.sends(event("MODIFIED", thing(6)), event("BOOKMARK", thing(9)), event("DELETED", thing(10)))
    ]
    async with server.followed(told):
        await told.until(("read", 5), ("changed", 6), ("heard", None), ("deleted", 10))
    listing, watch = server.asked[:2]
    assert listing == {"fieldSelector": "metadata.name=grid-btc"}
    assert (watch["fieldSelector"], watch["resourceVersion"]) == ("metadata.name=grid-btc", "5")


async def test_an_object_that_is_not_there_is_waited_for() -> None:
    told = Told()
    server = Server(listed=None)
    server.watches = [server.sends(event("ADDED", thing(8)))]
    async with server.followed(told):
        await told.until(("read", None), ("changed", 8))
    assert server.asked[1]["resourceVersion"] == "7"


async def test_events_may_come_in_any_pieces() -> None:
    told = Told()
    both = event("MODIFIED", thing(2)) + event("MODIFIED", thing(3))
    server = Server()
    server.watches = [server.sends(*(both[at : at + 7] for at in range(0, len(both), 7)))]
    async with server.followed(told):
        await told.until(("changed", 2), ("changed", 3))


@pytest.mark.parametrize("as_event", [True, False])
async def test_a_version_that_is_too_old_is_listed_anew_and_nobody_is_alarmed(as_event: bool) -> None:
    told = Told()
    server = Server()
    gone = server.sends(event("ERROR", {"kind": "Status", "code": 410})) if as_event else refuses(410)
    server.watches = [gone, server.sends(event("MODIFIED", thing(2)))]
    async with server.followed(told):
        await told.until(("read", 1), ("read", 1), ("changed", 2))
    assert not told.failures


async def test_a_watch_that_is_silent_for_too_long_is_no_failure_but_is_not_trusted() -> None:
    told = Told()
    server = Server()
    server.watches = [server.sends()]
    async with server.followed(told, silence=0.1):
        await told.until(("read", 1), ("read", 1), ("read", 1))
    assert not told.failures


async def test_a_listing_that_hangs_is_given_up_and_made_again() -> None:
    told = Told()
    server = Server()
    server.hangs = True
    server.watches = [server.sends()]
    async with server.followed(told, patience=0.2):
        await told.until(("failed", "tradingaccounts grid-btc: no answer from the API server in time"), ("read", 1))


@pytest.mark.parametrize("limit", [12.0, 60.0, 3600.0])
async def test_after_an_absence_of_half_the_time_both_are_read_before_the_gate_closes(limit: float) -> None:
    keeper = Keeper("trading", "grid-btc")
    gate = {"failClosedAfter": f"{limit:g}s"}
    keeper.account_is({"metadata": {"uid": "u1"}, "spec": {"bot": {"gate": gate}}}, elapsed())
    kube = Kube(Access("http://127.0.0.1:9"))
    account, heartbeat = followed(kube, keeper)
    for each, known_for in ((account, account._silence()), (heartbeat, limit / 3)):
        pause = min(module.LAST_PAUSE, each._silence() * module.PAUSE_SHARE)
        assert known_for + limit / 2 + each._patience() + pause <= limit
    await kube.close()


async def test_it_lists_anew_when_it_is_told_to() -> None:
    told = Told()
    server = Server()
    server.watches = [server.sends()]
    async with server.followed(told) as following:
        await told.until(("read", 1))
        server.listed = 2
        following.read_again()
        await told.until(("read", 1), ("read", 2))


async def test_a_server_that_ends_each_watch_at_once_is_not_asked_without_a_pause() -> None:
    waited: list[float] = []

    async def slept(span: float) -> None:
        waited.append(span)
        await asyncio.sleep(0)

    told = Told()
    server = Server()
    server.watches = [server.sends(stays=False)] * 5 + [refuses(500)] * 12 + [server.sends()]
    async with server.followed(told, silence=60, sleep=slept):
        await until(lambda: len(server.watches) == 1)
    assert len(waited) >= 17
    assert max(waited[:5]) <= module.FIRST_PAUSE
    assert module.LAST_PAUSE / 2 <= max(waited) <= module.LAST_PAUSE


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not know the gate's token"),
        (403, "bind a Role in its namespace that allows get, list and watch on tradingaccounts.accountsync.dev"),
        (404, "are the CRDs installed?"),
        (500, "answers with status 500"),
        (302, "answers with status 302"),
    ],
)
async def test_a_refusal_says_what_to_do_and_nothing_that_the_server_wrote(status: int, words: str) -> None:
    told = Told()
    server = Server(refuses(status))
    async with server.followed(told, token="secret-token"):
        await until(lambda: told.failures)
    assert words in told.failures[0]
    assert "secret" not in told.failures[0]


@pytest.mark.parametrize("text", [b"nonsense\n", b"[]\n", b"{}\n", b'{"type": "MODIFIED"}\n', b"5\n"])
async def test_nonsense_is_a_failure_and_what_follows_is_read(text: bytes) -> None:
    told = Told()
    server = Server()
    server.watches = [server.sends(text), server.sends(event("MODIFIED", thing(2)))]
    async with server.followed(told):
        await told.until(("read", 1), ("changed", 2))
    assert told.failures


async def test_a_line_without_an_end_is_not_collected_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_MAX", 1000)
    told = Told()
    server = Server()
    server.watches = [server.sends(b"x" * 2000), server.sends()]
    async with server.followed(told):
        await told.until(
            ("failed", "tradingaccounts grid-btc: the API server sends more than an object can have"), ("read", 1)
        )


async def test_a_token_that_is_rotated_is_used_with_the_next_request(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")
    told = Told()
    server = Server()
    server.watches = [server.sends()]
    async with server.followed(told, token_file=tmp_path / "token") as following:
        await told.until(("read", 1))
        (tmp_path / "token").write_text("two")
        following.read_again()
        await told.until(("read", 1), ("read", 1))
        (tmp_path / "token").unlink()
        following.read_again()
        path = tmp_path / "token"
        await told.until(("failed", f"tradingaccounts grid-btc: {path} can't be read: {_missing(path)}"))
    assert server.tokens[0] == "Bearer one"
    assert "Bearer two" in server.tokens


def _missing(path: Path) -> str:
    try:
        path.read_text()
    except OSError as error:
        return str(error)
    raise AssertionError(path)


async def test_a_server_that_is_not_there_is_told_once_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    kube = Kube(Access("http://127.0.0.1:9"))
    task = asyncio.create_task(Following(kube, PATH, "grid-btc", told, now=elapsed, silence=lambda: 1.0).run())
    await until(lambda: len(told.rows) > 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await kube.close()
    assert len([record for record in caplog.records if "can't be reached" in record.getMessage()]) == 1

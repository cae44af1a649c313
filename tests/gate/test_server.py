"""What a gate answers over HTTP, and what a bot in Python makes of it: real HTTP on loopback, no API server."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.gate.gates import Road

from accountsync.clock import ManualClock
from accountsync.gate import Gate, GateClosed, door, server
from accountsync.gate.answer import Why
from accountsync.gate.heartbeat import Beat
from accountsync.gate.keeper import Keeper
from accountsync.gate.metrics import rendered
from accountsync.gate.server import Server
from accountsync.gate.state import STATE_MAX
from accountsync.gate.trust import Token, Trust

TOKEN = "0123456789abcdef0123"


class Served:
    """A gate whose API server is the test."""

    def __init__(self, trust: Trust | None = None, patience: float = 10) -> None:
        self.clock = ManualClock(seconds=100.0)
        self.keeper = Keeper("trading", "grid-btc", now=self.clock.monotonic)
        self.server = Server(
            *(self.keeper, trust or Trust(), "127.0.0.1", 0), unready=lambda: self.keeper.unready, patience=patience
        )
        self.session = aiohttp.ClientSession()
        self.writers: list[asyncio.StreamWriter] = []
        self._version = 0

    async def start(self) -> None:
        await self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}"

    async def stop(self) -> None:
        await self.session.close()
        for each in self.writers:
            each.close()
            with contextlib.suppress(ConnectionError):
                await each.wait_closed()
        await self.server.stop()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = None if body is None else io.BytesIO(raw)
        async with self.session.request(method, self.url + path, data=data, headers=headers) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw[:1] == b"{" else raw.decode()

    def account(self, status: Any = None, **spec: Any) -> None:
        written = {"bot": {"gate": {}}, "remediation": {"mode": "Pause"}, **spec}
        body = {"metadata": {"uid": "u1"}, "spec": written, "status": status}
        self.keeper.account_is(body, self.clock.monotonic())

    def beat(self, begun: int, judged: int) -> None:
        self._version += 1
        notes = Beat("a1", begun, judged).annotations()
        metadata = {"resourceVersion": str(self._version), "annotations": notes, "ownerReferences": [{"uid": "u1"}]}
        self.keeper.heartbeat_changed({"metadata": metadata})

    def open(self) -> None:
        self.account()
        self.keeper.heartbeat_read(None, self.clock.monotonic())
        self.beat(1, 0)
        self.beat(1, 0)
        self.beat(2, 2)
        assert self.keeper.answer.open


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    gate = Served()
    await gate.start()
    yield gate
    await gate.stop()


async def until(holds: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is polled is no event
            await asyncio.sleep(0.01)
    assert holds(), what


async def test_it_answers_locked_while_closed_and_exits_pass_under_reduce_only(served: Served) -> None:
    status, answer = await served.ask("GET", "/gate")
    assert (status, answer["open"], answer["level"]) == (423, False, "ReduceOnly")
    assert answer["reasons"] == [{"reason": "Unknown", "message": "the TradingAccount was not read yet"}]
    assert (await served.ask("GET", "/gate?for=reduce"))[0] == 200
    served.account(paused=True, pauseLevel="Halt", pauseReason="incident 42")
    assert (await served.ask("GET", "/gate?for=reduce"))[0] == 423
    served.account()
    served.open()
    assert (await served.ask("GET", "/gate"))[0] == (await served.ask("GET", "/gate?for=reduce"))[0] == 200
    assert (await served.ask("GET", "/gate?for=entries"))[0] == 400


async def test_a_stream_tells_the_answer_at_once_then_each_change_and_in_between_that_it_lives(served: Served) -> None:
    async with served.session.get(f"{served.url}/gate/events?every=0.2") as response:
        assert response.headers["Content-Type"] == "text/event-stream"

        async def event() -> Any:
            lines: list[bytes] = []
            while (line := (await response.content.readline()).strip()) or not lines:
                if line and not line.startswith(b":"):
                    lines.append(line)
            assert lines[0] == b"event: gate"
            return json.loads(lines[2].removeprefix(b"data: "))

        assert (await event())["open"] is False
        served.open()
        assert [(await event())["reasons"][0]["reason"], (await event())["open"]] == ["NotReconciled", True]
        served.account(paused=True)
        served.account()
        assert [(await event())["open"], (await event())["open"]] == [False, True]
        assert (await response.content.readline()).startswith(b":")
    for query in ("every=0", "every=1e9", "every=x", "every=nan"):
        assert (await served.ask("GET", f"/gate/events?{query}"))[0] == 400


async def test_the_bot_puts_its_state_and_the_operator_reads_it_back_as_it_was(served: Served) -> None:
    status, answer = await served.ask("GET", "/state")
    assert status == 404
    assert "no state" in answer["error"]
    raw = b'{"version": 1,  "bootId": "b1", "positions": []}'
    assert await served.ask("PUT", "/state", raw) == (204, "")
    async with served.session.get(f"{served.url}/state") as response:
        assert (response.content_type, await response.read()) == ("application/json", raw)
    assert (await served.ask("PUT", "/state", b"[]"))[0] == 400
    assert (await served.ask("PUT", "/state", b"{%s}" % (b" " * (STATE_MAX - 1))))[0] == 413
    assert (await served.ask("GET", "/state"))[1]["bootId"] == "b1"
    assert (await served.ask("PUT", "/state", b"{%s}" % (b" " * (STATE_MAX - 2))))[0] == 204


async def test_a_state_of_another_boot_closes_it(served: Served) -> None:
    served.open()
    await served.ask("PUT", "/state", {"bootId": "b1"})
    assert (await served.ask("GET", "/gate"))[0] == 200
    await served.ask("PUT", "/state", {"bootId": "b2"})
    assert (await served.ask("GET", "/gate"))[1]["reasons"][0]["reason"] == Why.NOT_RECONCILED


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"for": "30m"}, "reason: expected why"),
        ({"for": "30m", "reason": "  "}, "reason: expected why"),
        ({"for": "25h", "reason": "x"}, "at most 24h"),
        ({"for": "0s", "reason": "x"}, "more than 0s"),
        ({"for": "soon", "reason": "x"}, "for: 'soon': expected a duration"),
        ({"for": 30, "reason": "x"}, "expected texts"),
        ({"for": "1h", "reason": "x" * 257}, "at most 256 characters"),
        ([], "expected a JSON object"),
        (b"{", "expected a JSON object"),
    ],
)
async def test_an_override_says_how_long_and_why(served: Served, body: Any, told: str) -> None:
    status, answer = await served.ask("PUT", "/override", body)
    assert status == 400
    assert told in answer["error"]
    assert served.keeper.answer.override is None


async def test_an_override_is_in_every_answer_and_in_the_metrics(served: Served) -> None:
    served.account(paused=True, pauseReason="incident 42")
    status, answer = await served.ask("PUT", "/override", {"for": "30m", "reason": "the pause is wrong", "by": "alice"})
    assert (status, answer["open"]) == (200, True)
    answer = (await served.ask("GET", "/gate"))[1]
    assert (answer["overridden"]["reason"], answer["overridden"]["by"]) == ("the pause is wrong", "alice")
    assert answer["wouldCloseReasons"][0]["message"] == "incident 42"
    assert 'accountsync_gate_overridden{namespace="trading",account="grid-btc"} 1' in rendered(served.keeper)
    assert (await served.ask("DELETE", "/override"))[1]["open"] is False
    assert (await served.ask("DELETE", "/override"))[0] == 404
    served.keeper.override(10, "x", "")
    served.clock.advance(10)
    assert (await served.ask("GET", "/gate"))[0] == 423


async def test_metrics_say_what_the_gate_says(served: Served) -> None:
    def metrics(text: str) -> dict[str, float]:
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name.partition("{")[0].removeprefix("accountsync_gate_"): float(value) for name, value in rows}

    found: dict[str, float] = {"open": 0, "overridden": 0, "would_close": 0, "heartbeat_age_seconds": 0}
    assert metrics((await served.ask("GET", "/metrics"))[1]) == found
    served.open()
    served.clock.advance(12.5)
    found |= {"open": 1, "heartbeat_age_seconds": 12.5}
    assert metrics((await served.ask("GET", "/metrics"))[1]) == found
    served.account(remediation={"mode": "Observe"}, bot={})
    assert metrics((await served.ask("GET", "/metrics"))[1])["would_close"] == 1


async def test_it_lives_at_once_and_is_ready_when_it_knows_its_account(served: Served) -> None:
    assert (await served.ask("GET", "/livez"))[0] == 200
    assert await served.ask("GET", "/readyz") == (503, "the TradingAccount was not read yet\n")
    served.account()
    assert (await served.ask("GET", "/readyz"))[0] == 200


async def test_what_a_web_page_sends_through_a_name_of_its_own_is_refused(served: Served) -> None:
    for method, path in (("PUT", "/state"), ("GET", "/state"), ("PUT", "/override"), ("DELETE", "/override")):
        assert (await served.ask(method, path, b"{}", Host="evil.example.com:8711"))[0] == 403
    assert (await served.ask("GET", "/gate", Host="grid-btc.trading.svc:8711"))[0] == 423


async def test_where_all_need_the_token_the_bot_does_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    served = Served(Trust(Token(tmp_path / "token"), everyone=True))
    await served.start()
    try:
        assert (await served.ask("PUT", "/state", b"{}"))[0] == 401
        assert (await served.ask("PUT", "/state", b"{}", Authorization=f"Bearer {TOKEN}"))[0] == 204
        assert (await served.ask("GET", "/state"))[0] == 401
        assert (await served.ask("GET", "/gate"))[0] == 423
        async with Gate(served.url, token=TOKEN) as gate:
            await gate.publish({"version": 1, "bootId": "b1"})
        assert served.keeper.belief is not None
        assert served.keeper.belief.boot_id == "b1"
    finally:
        await served.stop()


# --- too many --------------------------------------------------------------------------------------------------------


async def connected(served: Served, text: bytes) -> asyncio.StreamReader:
    """A connection on which `text` was sent. It is closed with the gate."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    served.writers.append(writer)
    writer.write(text)
    await writer.drain()
    return reader


WHOLE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
STREAM = b"GET /gate/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "half",
    [b"", b"GET /gate HTTP/1.1\r\nX: y", b"PUT /state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"],
)
async def test_a_connection_on_which_nothing_whole_is_asked_is_cut_and_another_stays(half: bytes) -> None:
    served = Served(patience=0.3)
    await served.start()
    try:
        good = await connected(served, WHOLE)
        assert (await good.readline()).startswith(b"HTTP/1.1 200")
        bad = await connected(served, half)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(bad.read(), 20) == b""
        await asyncio.wait_for(good.readuntil(b"ok\n"), 20)
        served.writers[0].write(WHOLE)
        assert (await asyncio.wait_for(good.readline(), 20)).startswith(b"HTTP/1.1 200")
    finally:
        await served.stop()


async def test_others_take_neither_the_bots_streams_nor_its_connections(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await (await connected(served, STREAM)).readline()).startswith(b"HTTP/1.1 200"), "one of the pod's own"
    for each in (server, door):
        monkeypatch.setattr(each, "is_own", lambda _: False)
    monkeypatch.setattr(door, "CONNECTIONS_MAX", server.STREAMS_OF_OTHERS + 1)
    for _ in range(server.STREAMS_OF_OTHERS):
        assert (await (await connected(served, STREAM)).readline()).startswith(b"HTTP/1.1 200")
    reader = await connected(served, STREAM)
    assert (await reader.readline()).startswith(b"HTTP/1.1 503")
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for((await connected(served, WHOLE)).read(), 20) == b""
    monkeypatch.undo()
    assert (await (await connected(served, STREAM)).readline()).startswith(b"HTTP/1.1 200")


# --- the helper ------------------------------------------------------------------------------------------------------


async def test_the_helper_is_closed_before_the_first_answer_and_says_the_gates_reasons_then(served: Served) -> None:
    async with Gate(served.url) as gate:
        assert [cause.reason for cause in gate.answer.causes] == [Why.UNKNOWN]
        with pytest.raises(GateClosed, match="has not answered yet"):
            gate.check()
        served.account(paused=True, pauseLevel="Halt", pauseReason="incident 42")
        await until(lambda: "incident 42" in str(gate.answer.causes), "answer")
        with pytest.raises(GateClosed, match="closed Halt: PausedBySpec: incident 42") as refused:
            gate.check(reduce=True)
        assert refused.value.answer.causes[0].source == "User"
        served.open()
        await asyncio.wait_for(gate.wait_open(), 20)
        gate.check()
        served.account(paused=True)
        await until(lambda: not gate.answer.open, "closed gate")
        gate.check(reduce=True)
    with pytest.raises(GateClosed, match="nobody listens"):
        gate.check()


async def test_the_helper_closes_after_a_silence_also_where_the_connection_still_stands(served: Served) -> None:
    served.open()
    clock = ManualClock(seconds=5.0)
    with Road(served.server.port) as road:
        async with Gate(f"http://127.0.0.1:{road.port}", fail_closed_after=1, now=clock.monotonic) as gate:
            await until(lambda: gate.answer.open, "open gate")
            road.stall()
            clock.advance(0.99)
            gate.check()
            clock.advance(0.01)
            with pytest.raises(GateClosed, match="nothing was heard of the gate"):
                gate.check()
            gate.check(reduce=True)
            road.go_on()
            await until(lambda: gate.answer.open, "open gate")


async def test_the_helper_comes_back_to_a_gate_that_starts_anew_and_an_end_closes_it(served: Served) -> None:
    served.open()
    async with Gate(served.url) as gate:
        await until(lambda: gate.answer.open, "open gate")
        served.keeper.end()
        await served.server.stop()
        await until(lambda: [cause.reason for cause in gate.answer.causes] == [Why.GATE_ENDING], "gate that has ended")
        keeper = Keeper("trading", "grid-btc")
        again = Server(keeper, Trust(), "127.0.0.1", served.server.port, unready=lambda: "")
        await again.start()
        await until(lambda: [cause.reason for cause in gate.answer.causes] == [Why.UNKNOWN], "answer of the new one")
        await again.stop()


async def test_a_helper_with_a_senseless_grace_is_refused() -> None:
    for span in (0, 0.5, 181, float("nan")):
        with pytest.raises(ValueError, match="fail_closed_after"):
            Gate(fail_closed_after=span)

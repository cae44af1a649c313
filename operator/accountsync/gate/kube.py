"""The API server over bare HTTP: one object at a time, listed and then watched.

In:  `Access`, a collection's path and an object's name. Out: `follow` calls a `Follower` with all that is learnt.

Invariants:
1. Each watch begins at the version of a listing just made, so that nothing is missed and what it brings is newer.
2. Silence is not trusted: after `silence` seconds without a line the object is listed anew.
3. A failure ends in another attempt, after a pause that grows up to a bound, with jitter; it never ends the gate.
4. No message holds a token, or what the server wrote.
"""

import asyncio
import json
import logging
import random
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol

import aiohttp

from accountsync.gate.access import Access, AccessError

CALL: Final = 10.0
"""Seconds for one listing, at most."""
WATCH: Final = 300
"""Seconds after which the server ends a watch."""
FIRST_PAUSE, LAST_PAUSE = 0.2, 10.0
PAUSE_SHARE: Final = 1 / 6
"""Of the silence that is borne, between two attempts: several fit into what is left then."""
BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one object; the API server stores none of this size."""
GONE: Final = 410
_OK: Final = 200
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 25_000))
"""Seconds and milliseconds: a peer that is gone is noticed, and an idle connection stays in the tables of a NAT."""
Body = Mapping[str, Any]
log = logging.getLogger("accountsync.gate")


class KubeError(Exception):
    """A call did not go well. `status`: its HTTP status, or that of the watch; 0: there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Follower(Protocol):
    """Who is told of an object. `at`: when the request was made, on the clock that `follow` was given."""

    def read(self, body: Body | None, at: float) -> None:
        """It was listed; None: there is none."""
        ...

    def changed(self, body: Body, at: float) -> None:
        """It was added or modified."""
        ...

    def deleted(self, body: Body, at: float) -> None:
        """It was deleted; `body`: as it was."""
        ...

    def heard(self, at: float) -> None:
        """The watch lives; nothing changed."""
        ...

    def failed(self, why: str) -> None:
        """It can't be had now."""
        ...


class Kube:
    """Calls to one API server. Close it at the end."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=8, socket_factory=_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "User-Agent": "accountsync-gate"},
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def listing(self, path: str, name: str, patience: float = CALL) -> tuple[Body | None, str]:
        """The object, and the version to watch from, within `patience` seconds. Raises KubeError, TimeoutError."""
        lines = self._lines(path, name, {}, aiohttp.ClientTimeout(total=patience))
        document = json.loads(b"".join([line async for line in lines]))
        items = document["items"]
        return (items[0] if items else None), str(document["metadata"]["resourceVersion"])

    async def watching(
        self, path: str, name: str, version: str, silence: float, patience: float = CALL
    ) -> AsyncGenerator[tuple[str, Body], None]:
        """Events from `version` on: (ADDED, MODIFIED, DELETED or BOOKMARK; object). Raises KubeError, TimeoutError."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(WATCH * random.uniform(0.8, 1.2))),  # noqa: S311 - gates shall not come at once
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience, sock_read=silence)
        async with aclosing(self._lines(path, name, query, timeout)) as lines:
            async for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise KubeError(int(event["object"].get("code") or 0), "the API server ended the watch")
                yield event["type"], event["object"]

    async def _lines(
        self, path: str, name: str, query: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> AsyncGenerator[bytes, None]:
        asking = self._session.get(
            self._access.url + path,
            params={"fieldSelector": f"metadata.name={name}", **query},
            headers=self._access.headers(),
            ssl=self._access.context() if self._access.url.startswith("https:") else True,
            server_hostname=self._access.server_name or None,
            timeout=limits,
            allow_redirects=False,
        )
        async with asking as response:
            if response.status != _OK:
                raise KubeError(response.status, f"the API server answers with status {response.status}")
            rest = bytearray()
            async for chunk in response.content.iter_any():
                rest += chunk
                if len(rest) > BYTES_MAX:
                    raise KubeError(0, "the API server sends more than an object can have")
                *lines, last = rest.split(b"\n") if b"\n" in chunk else [rest]
                rest = bytearray(last)
                for line in filter(None, lines):
                    yield bytes(line)
            if rest:
                yield bytes(rest)


class Following:
    """One object, followed by `run` until that is cancelled.

    `now`: seconds that count suspend; `silence`: as the invariants say; `patience`: seconds for one listing; `sleep`:
    between attempts.
    """

    def __init__(
        self,
        kube: Kube,
        path: str,
        name: str,
        follower: Follower,
        *,
        now: Callable[[], float],
        silence: Callable[[], float],
        patience: Callable[[], float] = lambda: CALL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kube, self._path, self._name, self._follower = kube, path, name, follower
        self._now, self._silence, self._patience, self._sleep = now, silence, patience, sleep
        self._again = asyncio.Event()
        self._failing = ""

    def read_again(self) -> None:
        """List it anew, now."""
        self._again.set()

    async def run(self) -> None:
        """List and watch, again and again."""
        pause = FIRST_PAUSE
        while True:
            self._again.clear()
            try:
                await self._watch_until_asked(await self._list())
                pause = FIRST_PAUSE
            except (
                KubeError,
                AccessError,
                aiohttp.ClientError,
                OSError,
                ValueError,
                LookupError,
                TypeError,
                AttributeError,
            ) as error:
                if getattr(error, "status", 0) != GONE:
                    self._fail(self._told(error))
                pause = min(pause * 2, LAST_PAUSE, max(FIRST_PAUSE, self._silence() * PAUSE_SHARE))
            if not self._again.is_set():
                await self._sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - gates shall not come at once

    async def _list(self) -> str:
        at = self._now()
        body, version = await self._kube.listing(self._path, self._name, self._patience())
        if self._failing:
            log.info("%s can be read again", self._what)
            self._failing = ""
        self._follower.read(body, at)
        return version

    async def _watch_until_asked(self, version: str) -> None:
        """Watch until the server ends it, nothing comes, or a listing is asked for."""
        watch, asked = asyncio.ensure_future(self._watch(version)), asyncio.ensure_future(self._again.wait())
        try:
            await asyncio.wait((watch, asked), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
        finally:
            for task in (watch, asked):
                task.cancel()
            await asyncio.gather(watch, asked, return_exceptions=True)

    async def _watch(self, version: str) -> None:
        try:
            watching = self._kube.watching(self._path, self._name, version, self._silence(), self._patience())
            async with aclosing(watching) as events:
                async for kind, body in events:
                    self._tell(kind, body)
        except TimeoutError:
            return  # silent for too long: what is there is listed anew

    def _tell(self, kind: str, body: Body) -> None:
        at = self._now()
        if kind == "DELETED":
            self._follower.deleted(body, at)
        elif kind in ("ADDED", "MODIFIED"):
            self._follower.changed(body, at)
        else:
            self._follower.heard(at)

    @property
    def _what(self) -> str:
        return f"{self._path.rpartition('/')[2]} {self._name}"

    def _fail(self, why: str) -> None:
        if why != self._failing:
            log.warning("%s", why)
        self._failing = why
        self._follower.failed(why)

    def _told(self, error: Exception) -> str:
        match getattr(error, "status", 0):
            case 401:
                return f"{self._what}: the API server does not know the gate's token or certificate"
            case 403:
                resource, group = self._path.rpartition("/")[2], self._path.split("/")[2]
                return (
                    f"the gate may not read {self._what}: bind a Role in its namespace that allows get, list and watch"
                    f" on {resource}.{group} with resourceNames [{self._name}] to the pod's ServiceAccount"
                )
            case 404:
                return f"{self._what}: the API server does not know this kind: are the CRDs installed?"
        if isinstance(error, (KubeError, AccessError)):
            return f"{self._what}: {error}"
        if isinstance(error, TimeoutError):
            return f"{self._what}: no answer from the API server in time"
        return f"{self._what}: the API server can't be reached ({type(error).__name__})"


def _socket(info: tuple[Any, ...]) -> socket.socket:
    family, kind, proto, *_ = info
    made = socket.socket(family, kind, proto)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made

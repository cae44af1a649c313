"""One request to the exchange: what leaves this process, and which answers are answers at all.

ccxt signs requests and names them; sending them is ours. Its own way of sending follows redirects with the key in the
headers, writes signed URLs into logs and exceptions, and takes an HTML page for an empty list of orders.
"""

import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
import certifi
import orjson
import yarl

from accountsync.errors import AccountSyncError, ExchangeUnobserved, Reason
from accountsync.exchange import library
from accountsync.exchange.budget import WeightBudget
from accountsync.exchange.endpoint import Origin
from accountsync.exchange.failures import failure
from accountsync.exchange.numbers import malformed
from accountsync.exchange.once import Once

LARGEST_BODY = 64 * 1024 * 1024
CONNECTIONS = 256
WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")
TEAPOT = 418
"""Binance's status for a banned address."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came. `exchange_ms`: the Date header, rounded down to its second, None without one."""

    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes
    exchange_ms: int | None
    retry_after: float | None
    weight_used: int | None


class Answers(Protocol):
    """What an exchange's answers mean beyond their content."""

    def refuse(self, status: int, payload: Any) -> bool:
        """Raise if the answer is a refusal; whether it is certain that it is none (else ccxt is asked as well)."""
        ...

    def weight_limit(self, payload: Any) -> int | None:
        """Request weight a minute, if this answer tells it."""
        ...


class Wire:
    """Connections to one venue, shared by its accounts: one session, one budget, no cookies, no redirects."""

    def __init__(
        self, exchange: str, budget: WeightBudget, answers: Answers, *, origin: Origin | None, trust_env: bool
    ) -> None:
        self.exchange = exchange
        self.budget = budget
        self.answers = answers
        self._origin = None if origin is None else yarl.URL(str(origin)).origin()
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: str | bytes | None,
        seconds: float,
        once: Once | None = None,
    ) -> Reply:
        """Send one request. Raises ExchangeUnobserved for whatever is no answer to it, and what `once` raises.

        With `once` it has a connection of its own: one that was used before may be closed by now, which is noticed
        only after sending.
        """
        target = yarl.URL(url, encoded=True)
        if self._origin is not None and target.origin() != self._origin:
            raise ExchangeUnobserved(
                Reason.EXCHANGE_REFUSED, f"ccxt would call {self.exchange} at another address than the given endpoint"
            )
        self.budget.check()
        content = body.encode() if isinstance(body, str) else body
        async with self._session_for(once) as session:
            reply = await self._answer(session, method, target, headers, content, seconds)
        if once is not None:
            once.answered(reply.status, reply.body)
        self.budget.observe(exchange_ms=reply.exchange_ms, used=reply.weight_used)
        self._require_service(reply)
        return reply

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _answer(
        self,
        session: aiohttp.ClientSession,
        method: str,
        target: yarl.URL,
        headers: dict[str, str],
        body: bytes | None,
        seconds: float,
    ) -> Reply:
        problem: AccountSyncError
        try:
            async with session.request(
                method,
                target,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=seconds, sock_read=seconds),
            ) as response:
                return _reply(response, await _bounded_body(response))
        except TimeoutError:
            problem = ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, f"{self.exchange} did not answer in {seconds:g} s")
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, aiohttp.http.HttpProcessingError):
            problem = malformed(f"{self.exchange} broke its answer off, or sent one that is no HTTP")
        except (aiohttp.ClientError, OSError):
            problem = ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, f"no connection to {self.exchange} came about")
        raise problem

    @asynccontextmanager
    async def _session_for(self, once: Once | None) -> AsyncIterator[aiohttp.ClientSession]:
        if once is None:
            if self._session is None:
                self._session = self._make_session(aiohttp.ClientRequest)
            yield self._session
        else:
            async with self._make_session(once.request_class()) as session:
                yield session

    def _make_session(self, request_class: type[aiohttp.ClientRequest]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_trust(), limit=CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),  # a jar would be shared by all accounts
            trust_env=self._trust_env,
            request_class=request_class,
        )

    def _require_service(self, reply: Reply) -> None:
        status = reply.status
        if status in (HTTPStatus.TOO_MANY_REQUESTS, TEAPOT):
            raise ExchangeUnobserved(
                Reason.RATE_LIMITED,
                f"{self.exchange} limited our rate (HTTP {status})",
                retry_after=self.budget.back_off(reply.retry_after),
            )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ExchangeUnobserved(
                Reason.EXCHANGE_UNAVAILABLE,
                f"{self.exchange} was not available (HTTP {status})",
                retry_after=reply.retry_after,
            )
        if status == HTTPStatus.REQUEST_TIMEOUT:
            raise ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, f"{self.exchange} timed out (HTTP {status})")
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise ExchangeUnobserved(
                Reason.EXCHANGE_REFUSED, f"{self.exchange} sent a redirect (HTTP {status}), which is not followed"
            )


class Client:
    """Laid over ccxt's class of an exchange: it keeps ccxt's signing and parsing, and replaces its sending."""

    wire: Wire
    once: Once | None = None
    id: str
    timeout: float
    timeout_on_exit = 0
    session = None
    socks_proxy_sessions = None

    def __del__(self) -> None:
        """Nothing to close: the connections are the venue's."""

    def set_last_request(self, request: Any) -> None:
        """Keep no signed request."""

    def sign(self, *args: Any, **kwargs: Any) -> Any:
        """Sign a request; credentials that cannot sign are wrong credentials."""
        try:
            return super().sign(*args, **kwargs)  # type: ignore[misc]
        except (library.errors().BaseError, LookupError, AttributeError):
            raise  # an address or a method that is missing, say in a sandbox
        except Exception:  # noqa: BLE001 - a PEM that is none, a base64 that is none: whatever the libraries raise
            problem = failure(Reason.CREDENTIALS_REJECTED, f"these credentials cannot sign a request to {self.id}")
        raise problem

    async def fetch(
        self, url: str, method: str = "GET", headers: dict[str, str] | None = None, body: str | bytes | None = None
    ) -> Any:
        """Send a request that ccxt has signed; the decoded JSON of its answer."""
        client: Any = self
        sent = client.prepare_request_headers(headers)
        if any(UNSENDABLE.search(value) for value in sent.values() if isinstance(value, str)):
            raise failure(
                Reason.CREDENTIALS_REJECTED,
                f"a credential for {self.id} holds a line break or another control character",
            )
        reply = await self.wire.send(method, url, sent, body, self.timeout / 1000, self.once)
        payload = decoded(reply.body)
        if not self.wire.answers.refuse(reply.status, payload):
            text = reply.body.decode("utf-8", "replace")
            client.last_response_headers = reply.headers
            text = client.on_rest_response(reply.status, reply.phrase, url, method, reply.headers, text, sent, body)
            client.handle_errors(reply.status, reply.phrase, url, method, reply.headers, text, payload, sent, body)
        if reply.status == HTTPStatus.UNAUTHORIZED:
            raise failure(Reason.CREDENTIALS_REJECTED, f"{self.id} rejected the credentials (HTTP {reply.status})")
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise failure(Reason.EXCHANGE_REFUSED, f"{self.id} refused (HTTP {reply.status})")
        if not isinstance(payload, dict | list):
            raise malformed(f"{self.id} answered no JSON")
        self.wire.budget.limit = self.wire.answers.weight_limit(payload) or self.wire.budget.limit
        return payload


def decoded(body: bytes) -> Any:
    """The content of a JSON body; None for what is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > LARGEST_BODY:
            raise malformed("the exchange's answer is larger than any that makes sense")
    return bytes(body)


def _reply(response: aiohttp.ClientResponse, body: bytes) -> Reply:
    used = response.headers.get(WEIGHT_HEADER, "")
    date = _seconds_of_date(response.headers.get("Date", ""))
    return Reply(
        status=response.status,
        phrase=response.reason or "",
        headers={name: ", ".join(response.headers.getall(name)) for name in response.headers},
        body=body,
        exchange_ms=None if date is None else int(date * 1000),
        retry_after=_retry_after(response.headers.get("Retry-After", ""), date),
        weight_used=int(used) if used.isascii() and used.isdigit() else None,
    )


def _seconds_of_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def _retry_after(text: str, now: float | None) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text[:10])
    date = _seconds_of_date(text)
    if date is None:
        return None
    return max(0.0, date - (time.time() if now is None else now))


def _trust() -> ssl.SSLContext:
    """Mozilla's roots, which ccxt uses, and those of the machine, where a proxy's or an in-house one may be."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    return context

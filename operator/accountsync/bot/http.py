"""A bot's belief, asked for over HTTP.

In:  a URL that `AddressPolicy` made. Out: `ExpectedState`, or why there is none; or the answer to what it was sent.

Invariants:
1. One GET, or one POST that is never tried again; no redirect is followed, no cookie kept, no proxy of the environment
   used.
2. At most MAX_STATE_BYTES are held, whatever the answer says of its length and however small it was compressed.
3. A message holds the source's description, a status code and words of our own: no URL, body, header or token.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver

from accountsync.bot.address import AddressPolicy, ForbiddenAddressError, guarded_connector
from accountsync.bot.state import MAX_STATE_BYTES, parse_state, too_large
from accountsync.domain.expected import ExpectedState
from accountsync.errors import (
    AccountSyncError,
    BeliefUnobserved,
    ConfigurationError,
    NotSent,
    OutcomeUnknown,
    Reason,
)

Secret = Mapping[str, str]
ReadSecret = Callable[[], Awaitable[Secret]]

SECRET_FIELD: Final = "spec.bot.state.http.secretRef"  # noqa: S105 - a field's name
_CHUNK: Final = 64 * 1024
_OK: Final = 200
_JSON: Final = {"Content-Type": "application/json"}
HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "accountsync"}


def open_session(policy: AddressPolicy, resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """The session that all bots share; close it when the operator ends. It keeps no cookies, which would mix them."""
    connector = guarded_connector(policy, resolver)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=HEADERS)


def authorization(secret: Secret, *, name: str) -> dict[str, str]:
    """The header for a Secret's `token`, or else for its `username` and `password`. `name`: the Secret's.

    A line break at the end is dropped, since files often have one. Raises ConfigurationError.
    """
    token = secret.get("token", "").rstrip("\r\n")
    if re.fullmatch(r"[!-~]+", token):
        return {"Authorization": f"Bearer {token}"}
    username, password = (secret.get(key, "").rstrip("\r\n") for key in ("username", "password"))
    if not token and username and password and ":" not in username and (username + password).isprintable():
        return {"Authorization": aiohttp.encode_basic_auth(username, password, encoding="utf-8")}
    raise ConfigurationError(
        Reason.SECRET_KEY_MISSING,
        f"Secret {name}: needs the key token (printable ASCII), or username (without a colon) and password, to sign in"
        " at the bot",
    )


class HttpState:
    """The belief that a bot serves at `url`. `source` describes it for people; `timeout` is in seconds, for all of it.

    `secret` reads the Secret called `secret_name` anew for every request, so that a rotated one counts at once.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        source: str,
        timeout: float,
        secret: ReadSecret | None = None,
        secret_name: str = "",
    ) -> None:
        self._session = session
        self.url = url
        self.source = source
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._secret = secret
        self._secret_name = secret_name

    async def read(self) -> ExpectedState:
        """Ask the bot. Raises BeliefUnobserved or ConfigurationError."""
        headers = await self._headers()
        try:
            raw = await self._get(headers)
        except (OSError, ValueError, aiohttp.ClientError) as error:
            raise self._failure(error) from None
        if raw is None:
            raise too_large(self.source)
        return parse_state(raw, source=self.source)

    async def post(self, url: str, document: bytes) -> tuple[int, bytes | None]:
        """Send a JSON `document` to `url`, which is another path of this bot's. Its status, and what it says with 200.

        The latter is None where it is over MAX_STATE_BYTES. Raises NotSent or OutcomeUnknown.
        """
        try:
            headers = await self._headers() | _JSON | {"Content-Length": str(len(document))}
        except AccountSyncError as error:
            raise NotSent(error.message, error.reason) from None
        began = False

        async def body() -> AsyncIterator[bytes]:
            nonlocal began
            began = True  # before this, there was nothing that the bot could have acted on
            yield document

        asking = self._session.post(url, data=body(), headers=headers, timeout=self._timeout, allow_redirects=False)
        try:
            async with asking as response:
                return response.status, await bounded(response) if response.status == _OK else b""
        except (OSError, ValueError, aiohttp.ClientError) as error:
            failure = self._failure(error)
            raise (OutcomeUnknown if began else NotSent)(failure.message, failure.reason) from None

    async def _headers(self) -> dict[str, str]:
        if self._secret is None:
            return dict(HEADERS)
        return HEADERS | authorization(await self._secret(), name=self._secret_name)

    async def _get(self, headers: Mapping[str, str]) -> bytes | None:
        asking = self._session.get(self.url, headers=headers, timeout=self._timeout, allow_redirects=False)
        async with asking as response:
            if response.status != _OK:
                raise BeliefUnobserved(Reason.BOT_REFUSED, f"{self.source}: {self.refusal(response.status)}")
            return await bounded(response)

    def refusal(self, status: int) -> str:
        """What a person may do about an answer with `status`."""
        match status:
            case 401 | 403 if self._secret is not None:
                return f"answered with status {status}: check the Secret named in {SECRET_FIELD}"
            case 401 | 403:
                return f"answered with status {status}: name a Secret in {SECRET_FIELD}"
            case 404:
                return f"answered with status {status}: check the path, which must serve the bot's state"
            case _ if 300 <= status < 400:  # noqa: PLR2004 - HTTP's own range
                return f"answered with status {status}: redirects are not followed, name the final address"
            case _:
                return f"answered with status {status}, expected {_OK}: see the bot's own log"

    def _failure(self, error: Exception) -> AccountSyncError:
        return failure(error, source=self.source, timeout=self._timeout)


def failure(error: Exception, *, source: str, timeout: aiohttp.ClientTimeout) -> AccountSyncError:
    """What a request's `error` means for a belief. `source`: who was asked, for people."""
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(inner, ForbiddenAddressError):
        return ConfigurationError(
            Reason.BOT_ADDRESS_NOT_ALLOWED,
            f"{source}: its name stands for a loopback, link-local, metadata or other special address, where"
            " no bot is asked",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return ConfigurationError(Reason.BOT_ADDRESS_NOT_ALLOWED, f"{source}: its address is no valid URL")
    if isinstance(error, TimeoutError):
        return BeliefUnobserved(
            Reason.BOT_TIMEOUT, f"{source}: gave no whole answer in {timeout.total:g} s: does the bot hang?"
        )
    return BeliefUnobserved(Reason.BOT_UNREACHABLE, f"{source}: {_trouble(error)}")


async def bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The body of `response`; None where it is over MAX_STATE_BYTES."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MAX_STATE_BYTES:
            response.close()
            return None
    return bytes(body)


_TROUBLES: Final = (
    (aiohttp.ClientConnectorDNSError, "its name is not found in DNS: check the Service's name"),
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted, or is for another name"),
    (aiohttp.ClientSSLError, "the TLS handshake failed: does it speak https there?"),
    (aiohttp.ClientConnectorError, "no connection: is the bot running, and does it listen on this port?"),
    (aiohttp.ClientPayloadError, "the answer ended early or is wrongly encoded: did the bot crash while answering?"),
    (aiohttp.ClientResponseError, "what it answers is not valid HTTP: check port and scheme"),
)
"""The first that fits."""


def _trouble(error: Exception) -> str:
    fitting = (text for kind, text in _TROUBLES if isinstance(error, kind))
    return next(fitting, "the connection broke: did the bot crash while answering?")

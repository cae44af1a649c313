"""A freqtrade bot's REST API: signed in to, asked, and told.

In:  the address that `AddressPolicy` made, and the Secret's `username` and `password`. Out: what freqtrade answers, as
plain data with decimals and no floats, or why there is no answer.

Invariants:
1. The password goes only to /token/login, and only as Basic authorization; everything else carries the access token
   that was given for it. A token that is refused is replaced once in a request.
2. No redirect is followed; at most MAX_STATE_BYTES of an answer are held.
3. A message holds the source's description, a status code and words of our own: no URL, token or answer.
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import aiohttp

from accountsync.bot.http import HEADERS, ReadSecret, bounded, failure
from accountsync.bot.state import MAX_STATE_BYTES
from accountsync.errors import (
    AccountSyncError,
    BeliefUnobserved,
    ConfigurationError,
    NotSent,
    OutcomeUnknown,
    Reason,
)

FIELD: Final = "spec.bot.state.freqtrade"
SECRET_FIELD: Final = f"{FIELD}.secretRef"
ROOT: Final = "/api/v1"
OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_MAX_DIGITS: Final = 400
"""Of a number in an answer: more would only cost time."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """An access token, and the authorization that it was given for."""

    basic: str
    token: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`said`: the JSON of an answer with status 200; None with any other."""

    status: int
    said: Any


class FreqtradeApi:
    """The API at `root`, which ends in /api/v1. `source` describes it for people; `timeout`: seconds, of each request.

    `secret` reads the Secret `secret_name` anew for every request, so that a rotated one counts at once. Keep the
    object: it remembers its access token.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        root: str,
        *,
        source: str,
        timeout: float,
        secret: ReadSecret,
        secret_name: str,
    ) -> None:
        self._session = session
        self._root = root
        self.source = source
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._secret = secret
        self._secret_name = secret_name
        self._pass: _Pass | None = None

    async def get(self, path: str) -> Any:
        """What freqtrade says at `path`, such as ``/status``. Raises BeliefUnobserved or ConfigurationError."""
        try:
            answer = await self._ask("GET", path)
        except (OSError, ValueError, aiohttp.ClientError) as error:
            raise failure(error, source=self.source, timeout=self._timeout) from None
        if answer.status != OK:
            raise self.refusal(answer.status, path)
        return answer.said

    async def post(self, path: str) -> Answer:
        """Tell freqtrade to do what `path` stands for, once. Raises NotSent or OutcomeUnknown."""
        try:
            await self._signed_in()
        except AccountSyncError as error:
            raise NotSent(error.message, error.reason) from None
        except (OSError, ValueError, aiohttp.ClientError) as error:
            known = failure(error, source=self.source, timeout=self._timeout)
            raise NotSent(known.message, known.reason) from None
        try:
            return await self._ask("POST", path)
        except AccountSyncError as error:
            raise OutcomeUnknown(error.message, error.reason) from None
        except (OSError, ValueError, aiohttp.ClientError) as error:
            known = failure(error, source=self.source, timeout=self._timeout)
            unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL)
            raise (NotSent if unsent else OutcomeUnknown)(known.message, known.reason) from None

    def refusal(self, status: int, path: str) -> BeliefUnobserved:
        """The error for an answer with `status`, with what a person may do about it."""
        source = f"{self.source}: freqtrade answered {ROOT}{path.partition('?')[0]} with status {status}"
        match status:
            case 401 | 403:
                return BeliefUnobserved(Reason.BOT_REFUSED, f"{source}: {self._advice}")
            case 404:
                advice = f"check {FIELD}, which must lead to freqtrade's api_server, and freqtrade's version"
                return BeliefUnobserved(Reason.BOT_REFUSED, f"{source}: {advice}")
            case 502 | 503:
                advice = "it is starting, ending or stopped, or in trouble: see its own log"
                return BeliefUnobserved(Reason.BOT_NOT_READY, f"{source}: {advice}")
            case _ if 300 <= status < 400:  # noqa: PLR2004 - HTTP's own range
                advice = "redirects are not followed, name the final address"
                return BeliefUnobserved(Reason.BOT_REFUSED, f"{source}: {advice}")
            case _:
                return BeliefUnobserved(Reason.BOT_REFUSED, f"{source}, expected {OK}: see its own log")

    @property
    def _advice(self) -> str:
        return (
            f"Secret {self._secret_name}, named in {SECRET_FIELD}, must hold the username and password of api_server"
            " in freqtrade's configuration"
        )

    # --- asking ------------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, path: str) -> Answer:
        """One request; a second one with a new token where the first one's was refused, so that nothing was done."""
        held = await self._signed_in()
        answer = await self._send(method, path, f"Bearer {held.token}")
        if answer.status != _UNAUTHORIZED:
            return answer
        if self._pass is held:
            self._pass = None
        held = await self._signed_in()
        return await self._send(method, path, f"Bearer {held.token}")

    async def _signed_in(self) -> _Pass:
        """The token for what the Secret holds now."""
        basic = await self._basic()
        if self._pass is None or self._pass.basic != basic:
            self._pass = _Pass(basic, await self._login(basic))
        return self._pass

    async def _login(self, basic: str) -> str:
        path = "/token/login"
        answer = await self._send("POST", path, basic)
        if answer.status != OK:
            raise self.refusal(answer.status, path)
        token = answer.said.get("access_token") if isinstance(answer.said, dict) else None
        if not isinstance(token, str) or re.fullmatch(r"[!-~]+", token) is None:
            raise self.malformed(path, "gave no access_token")
        return token

    async def _basic(self) -> str:
        secret = await self._secret()
        username, password = (secret.get(key, "").rstrip("\r\n") for key in ("username", "password"))
        if not username or not password or ":" in username or not (username + password).isprintable():
            raise ConfigurationError(
                Reason.SECRET_KEY_MISSING,
                f"{SECRET_FIELD}: Secret {self._secret_name}: needs the keys username (without a colon) and password,"
                " as they stand under api_server in freqtrade's configuration",
            )
        return aiohttp.encode_basic_auth(username, password, encoding="utf-8")

    async def _send(self, method: str, path: str, authorization: str) -> Answer:
        asking = self._session.request(
            method,
            f"{self._root}{path}",
            headers={**HEADERS, "Authorization": authorization},
            timeout=self._timeout,
            allow_redirects=False,
        )
        async with asking as response:
            if response.status != OK:
                return Answer(response.status, None)
            raw = await bounded(response)
        if raw is None:
            raise BeliefUnobserved(
                Reason.STATE_TOO_LARGE,
                f"{self.source}: what freqtrade answered to {ROOT}{path.partition('?')[0]} is over"
                f" {MAX_STATE_BYTES // 1024} KiB: it has more open trades, with more orders, than are read",
            )
        return Answer(OK, self._read(raw, path))

    def _read(self, raw: bytes, path: str) -> Any:
        """The JSON in `raw`, in which every number with a fraction or an exponent is the decimal that is written."""
        try:
            return json.loads(raw.decode(), parse_float=_decimal, parse_int=_integer, parse_constant=_constant)
        except (ValueError, RecursionError):
            raise self.malformed(path, "is no JSON that freqtrade writes") from None

    def malformed(self, path: str, why: str) -> BeliefUnobserved:
        """The error for an answer of another form than freqtrade's. `why` holds nothing of the answer."""
        said = f"what freqtrade answered to {ROOT}{path.partition('?')[0]} {why}: is it freqtrade, 2026.9 or newer?"
        return BeliefUnobserved(Reason.STATE_MALFORMED, f"{self.source}: {said}")


def _decimal(text: str) -> Decimal:
    """The shortest text of a float is what freqtrade writes: `0.1` is a tenth, and no binary neighbour of it."""
    if len(text) > _MAX_DIGITS:
        raise ValueError
    return Decimal(text)


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError
    return int(text)


def _constant(_: str) -> None:
    """NaN and Infinity: no amount, like the null that freqtrade writes for them."""

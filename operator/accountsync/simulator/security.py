"""Who may make a call: the key, its permission, the signature over what was sent, and the timestamp.

Source: "SIGNED endpoint security" and "Timing security" in Binance's USD-M futures documentation.
"""

import hashlib
import hmac
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import parse_qsl

from accountsync.simulator import refusals
from accountsync.simulator.model import ApiKey, Permission

DEFAULT_RECEIVE_WINDOW_MS = 5000
MAX_RECEIVE_WINDOW_MS = 60_000
MAX_AHEAD_MS = 1000
SIGNATURE = "signature"


class Security(StrEnum):
    """What a call asks of the caller: nothing, a key, or a signature of a key that may read or trade."""

    NONE = "NONE"
    MARKET_DATA = "MARKET_DATA"
    USER_DATA = "USER_DATA"
    TRADE = "TRADE"

    @property
    def signed(self) -> bool:
        """Whether the call must be signed."""
        return self in (Security.USER_DATA, Security.TRADE)

    @property
    def permission(self) -> Permission | None:
        """What the key must be allowed to do."""
        return {Security.USER_DATA: Permission.READ, Security.TRADE: Permission.TRADE}.get(self)


def parse_params(query: str, body: str) -> dict[str, str]:
    """The parameters of query string and body; the query string wins. Raises Refusal for one that is repeated."""
    return {**_parse_one(body), **_parse_one(query)}


def _parse_one(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    result = dict(pairs)
    if len(result) != len(pairs):
        raise refusals.repeated()
    return result


def check_key(security: Security, sent: str, key: ApiKey | None) -> None:
    """Raises Refusal: -2014 without a key, -2015 for one that is unknown or may not do this."""
    if security is Security.NONE:
        return
    if not sent:
        raise refusals.bad_key_format()
    if key is None or (security.permission and security.permission not in key.permissions):
        raise refusals.bad_key()


def check_signature(secret: str, query: str, body: str, params: Mapping[str, str]) -> None:
    """The HMAC-SHA256 of query string and body, exactly as sent and without the signature itself; hex in any case."""
    given = params.get(SIGNATURE)
    if not given:
        raise refusals.missing(SIGNATURE)
    payload = _without_signature(query) + _without_signature(body)
    expected = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), given.lower().encode()):
        raise refusals.bad_signature()


def check_time(params: Mapping[str, str], server_time_ms: int) -> None:
    """Refuse with -1021 unless timestamp < server time + 1000 and server time - timestamp <= recvWindow."""
    timestamp = _milliseconds(params, "timestamp")
    if timestamp is None:
        raise refusals.missing("timestamp")
    window = _milliseconds(params, "recvWindow")
    window = DEFAULT_RECEIVE_WINDOW_MS if window is None else window
    if window > MAX_RECEIVE_WINDOW_MS:
        raise refusals.bad_receive_window()
    if timestamp >= server_time_ms + MAX_AHEAD_MS:
        raise refusals.early()
    if server_time_ms - timestamp > window:
        raise refusals.late()


def _milliseconds(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise refusals.missing(name)
    return int(text)


def _without_signature(text: str) -> str:
    return "&".join(pair for pair in text.split("&") if not pair.startswith(f"{SIGNATURE}="))

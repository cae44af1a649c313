"""Which servers an account may be pointed at, and how every URL of an exchange is moved there.

An origin is a scheme, a host and a port. Only origins that the operator's allow-list names are taken, so whoever may
create an account cannot have its signed requests, or the operator's own network position, sent somewhere else.
"""

import re
from collections.abc import Sequence
from typing import Any

from accountsync.errors import ConfigurationError, Reason
from accountsync.origin import AllowList, InvalidOriginError, Origin, parse_origin

__all__ = ["EndpointPolicy", "Origin", "moved"]

URL_ORIGIN = re.compile(r"(?P<scheme>https?|wss?)://[^/?#]*", re.IGNORECASE)
MOVED_KEYS = ("api", "test", "demo")
"""The groups of ccxt's URLs to which requests go; the others are pages for people."""


class EndpointPolicy:
    """The operator's allow-list. Raises ValueError for an entry that is no origin; nothing is allowed by default."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self.allowed = AllowList(allowed, "the allowed exchange endpoints")

    def admit(self, endpoint: str) -> Origin:
        """The origin of `endpoint`, in whatever case. Raises ConfigurationError (EndpointNotAllowed)."""
        try:
            origin = parse_origin(endpoint.lower())
        except InvalidOriginError as problem:
            raise _not_allowed(f"spec.exchange.endpoint is wrong: {problem}") from None
        if origin not in self.allowed:
            raise _not_allowed(f"the endpoint {origin} is not in the operator's list of allowed exchange endpoints")
        return origin


def _not_allowed(message: str) -> ConfigurationError:
    return ConfigurationError(Reason.ENDPOINT_NOT_ALLOWED, message)


def moved(urls: dict[str, Any], origin: Origin) -> dict[str, Any]:
    """The `urls` of ccxt with every address to which requests go at `origin`; paths and templates within them stay."""
    return {key: _move(value, origin) if key in MOVED_KEYS else value for key, value in urls.items()}


def _move(value: Any, origin: Origin) -> Any:
    if isinstance(value, dict):
        return {key: _move(inner, origin) for key, inner in value.items()}
    if isinstance(value, list):
        return [_move(inner, origin) for inner in value]
    if isinstance(value, str):
        return URL_ORIGIN.sub(lambda found: _prefix(found["scheme"].lower(), origin), value, count=1)
    return value


def _prefix(scheme: str, origin: Origin) -> str:
    text = str(origin)
    return f"ws{text.removeprefix('http')}" if scheme.startswith("ws") else text

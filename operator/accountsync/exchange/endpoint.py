"""Which servers an account may be pointed at, and how every URL of an exchange is moved there.

An origin is a scheme, a host and a port. Only origins that the operator's allow-list names are taken, so whoever may
create an account cannot have its signed requests, or the operator's own network position, sent somewhere else.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accountsync.errors import ConfigurationError, Reason

DEFAULT_PORTS = {"http": 80, "https": 443}
LARGEST_PORT = 65_535
ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>\*|[0-9]{1,5}))?/?", re.ASCII
)
HOST_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
URL_ORIGIN = re.compile(r"(?P<scheme>https?|wss?)://[^/?#]*", re.IGNORECASE)
MOVED_KEYS = ("api", "test", "demo")
"""The groups of ccxt's URLs to which requests go; the others are pages for people."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port; port None stands for any, in an allow-list only."""

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        if self.port == DEFAULT_PORTS[self.scheme]:
            return f"{self.scheme}://{self.host}"
        return f"{self.scheme}://{self.host}:{'*' if self.port is None else self.port}"

    def covers(self, other: "Origin") -> bool:
        """Whether an allow-list entry stands for `other`."""
        return (self.scheme, self.host) == (other.scheme, other.host) and self.port in (None, other.port)


class InvalidOriginError(ValueError):
    """Not a bare origin. The message says why without repeating the text, which may hold a password."""


def parse_origin(text: str, *, any_port: bool = False) -> Origin:
    """``https://host``, ``http://host:port``; with `any_port` also ``http://host:*``. Raises InvalidOriginError."""
    found = ORIGIN.fullmatch(text.lower())
    if found is None:
        raise InvalidOriginError(
            "it must be an origin like https://fapi.example.com or http://127.0.0.1:8900:"
            " http or https, a host, perhaps a port, and nothing else"
        )
    host = _checked_host(found["host"])
    if found["port"] == "*":
        if not any_port:
            raise InvalidOriginError("its port must be a number")
        return Origin(found["scheme"], host, None)
    port = int(found["port"] or DEFAULT_PORTS[found["scheme"]])
    if not 0 < port <= LARGEST_PORT:
        raise InvalidOriginError(f"its port must be between 1 and {LARGEST_PORT}")
    return Origin(found["scheme"], host, port)


def _checked_host(host: str) -> str:
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            pass
    else:
        labels = host.split(".")
        if not labels[-1].isdigit():
            if all(HOST_LABEL.fullmatch(label) for label in labels):
                return host
        else:  # numbers like 127.1 or 0177.0.0.1 mean different addresses to different resolvers
            try:
                return str(ipaddress.IPv4Address(host))
            except ValueError:
                pass
    raise InvalidOriginError("its host must be a name, an IPv4 address or a bracketed IPv6 address")


class EndpointPolicy:
    """The operator's allow-list. Raises ValueError for an entry that is no origin; nothing is allowed by default."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self.allowed = tuple(self._entry(number, text) for number, text in enumerate(allowed, 1))

    @staticmethod
    def _entry(number: int, text: str) -> Origin:
        try:
            return parse_origin(text, any_port=True)
        except InvalidOriginError as problem:
            raise ValueError(f"entry {number} of the allowed exchange endpoints is wrong: {problem}") from None

    def admit(self, endpoint: str) -> Origin:
        """The origin of `endpoint`. Raises ConfigurationError (EndpointNotAllowed)."""
        problem = ""
        try:
            origin = parse_origin(endpoint)
        except InvalidOriginError as error:
            problem = str(error)
        if problem:
            raise ConfigurationError(Reason.ENDPOINT_NOT_ALLOWED, f"spec.exchange.endpoint is wrong: {problem}")
        if any(entry.covers(origin) for entry in self.allowed):
            return origin
        raise ConfigurationError(
            Reason.ENDPOINT_NOT_ALLOWED,
            f"the endpoint {origin} is not in the operator's list of allowed exchange endpoints",
        )


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

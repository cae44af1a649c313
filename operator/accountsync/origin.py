"""Origins of URLs, and an operator's allow-lists of them.

The grammar is narrow so that no two parsers differ over it: no userinfo, path, query, fragment or escape.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
DATABASE_PORTS: Final = {"postgres": 5432, "postgres+tls": 5432}
"""The schemes of databases on allow-lists: one with TLS only, and one that may do without."""
_PORTS: Final = DEFAULT_PORTS | DATABASE_PORTS
MAX_PORT: Final = 65535
LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
NAME: Final = rf"(?:{LABEL}\.)*(?![0-9]){LABEL}"
"""A name of DNS. 127.1 and 0x7f.1 are none: an address to some resolvers, a name to others."""
_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?|postgres(?:\+tls)?)://(?P<host>[a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}|\*))?/?"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port. `port` None: any, on an allow-list only. An IPv6 host stands without its brackets."""

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}".removesuffix(f":{_PORTS[self.scheme]}")

    @property
    def authority(self) -> str:
        """Host and port as a URL holds them, with the port even where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{'*' if self.port is None else self.port}"

    def covers(self, other: "Origin") -> bool:
        """Whether an allow-list entry for this origin lets `other` through."""
        return (self.scheme, self.host) == (other.scheme, other.host) and self.port in {None, other.port}


class InvalidOriginError(ValueError):
    """Not a bare origin. The message says why without repeating the text, which may hold a password."""


def parse_origin(text: str, *, any_port: bool = False, databases: bool = False) -> Origin:
    """``https://host``, ``http://host:port``; with `any_port` also ``http://host:*``. Raises InvalidOriginError.

    With `databases` also ``postgres://host`` and ``postgres+tls://host``.
    """
    found = _ORIGIN.fullmatch(text)
    if found is None or (found["scheme"] in DATABASE_PORTS and not databases):
        raise InvalidOriginError(
            "it must be an origin like https://fapi.example.com or http://127.0.0.1:8900:"
            " http or https, a host, perhaps a port, all in lower case, and nothing else"
        )
    scheme, host = found["scheme"], _normal_host(found["host"])
    if host is None:
        raise InvalidOriginError("its host must be a name, an IPv4 address or a bracketed IPv6 address")
    port = found["port"] or _PORTS[scheme]
    if port == "*" and any_port:
        return Origin(scheme, host, None)
    if port == "*" or not 1 <= int(port) <= MAX_PORT:
        raise InvalidOriginError(f"its port must be a number from 1 to {MAX_PORT}")
    return Origin(scheme, host, int(port))


def _normal_host(text: str) -> str | None:
    try:
        return str(IPv6Address(text[1:-1]) if text.startswith("[") else IPv4Address(text))
    except ValueError:
        return text if re.fullmatch(NAME, text) else None


class AllowList:
    """The origins that an operator allows. Raises ValueError, with `what` the list is, for an entry that is none.

    `databases`: whether entries may be databases.
    """

    def __init__(self, entries: Sequence[str], what: str, *, databases: bool = False) -> None:
        self._entries: list[Origin] = []
        for number, text in enumerate(entries, 1):
            try:
                self._entries.append(parse_origin(text, any_port=True, databases=databases))
            except InvalidOriginError as problem:
                raise ValueError(f"entry {number} of {what} is wrong: {problem}; :* is any port") from None

    def __contains__(self, origin: Origin) -> bool:
        return any(entry.covers(origin) for entry in self._entries)

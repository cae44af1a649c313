"""Where a bot may be asked for its state: checked when the address is made, and again whenever it is dialled.

In:  what spec.bot.state names. Out: a URL, or ConfigurationError(BotAddressNotAllowed).

Invariants:
1. A bot's URL is a Service of the account's own namespace, or its origin is on the operator's allow-list.
2. No connection is made to a link-local, metadata, multicast, unspecified or reserved address, whatever a name resolves
   to, nor to loopback unless the allow-list names the host.
3. No URL holds userinfo, a query, a fragment, an escape or a dot segment, so every parser reads it alike.
"""

import re
import socket
from collections.abc import Sequence
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from accountsync.errors import ConfigurationError, Reason
from accountsync.origin import (
    DATABASE_PORTS,
    DEFAULT_PORTS,
    LABEL,
    MAX_PORT,
    NAME,
    AllowList,
    InvalidOriginError,
    Origin,
    parse_origin,
)

ALLOW_LIST: Final = "the operator's allow-list of bot origins"

_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_MAX_URL: Final = 2048


class AddressPolicy:
    """Which addresses of bots are allowed.

    `allowed`: origins besides the account's own Services, such as ``https://bots.example.com`` or
    ``http://127.0.0.1:*`` (any port). `cluster_domain`: what follows a Service's namespace in its name; ``svc``, or
    ``svc.cluster.local`` for a cluster whose search domains don't have it. Raises ValueError for an entry that is no
    origin.
    """

    def __init__(self, allowed: Sequence[str] = (), cluster_domain: str = "svc") -> None:
        if re.fullmatch(NAME, cluster_domain) is None:
            raise ValueError(f"the cluster domain {cluster_domain!r} is no DNS name; use svc or svc.cluster.local")
        self._cluster_domain = cluster_domain
        self._allowed = AllowList(allowed, ALLOW_LIST, databases=True)

    def service(
        self,
        *,
        namespace: str,
        name: str,
        port: int,
        path: str = "/state",
        scheme: str = "http",
        field: str = "spec.bot.state.http.service",
    ) -> str:
        """The URL of a Service. `namespace` must be the account's own; `field` is named in errors."""
        for text, what in ((name, f"{field}.name"), (namespace, "the namespace")):
            if re.fullmatch(LABEL, text) is None:
                raise _not_allowed(f"{what} must be a DNS label: lower-case letters, digits and hyphens, at most 63")
        if scheme not in DEFAULT_PORTS:
            raise _not_allowed(f"{field}.scheme must be http or https")
        if not 1 <= port <= MAX_PORT:
            raise _not_allowed(f"{field}.port must be 1 to {MAX_PORT}")
        if not _plain_path(path):
            raise _not_allowed(f"{field}.path must start with / and hold no .., %, ?, # or spaces")
        return f"{scheme}://{name}.{namespace}.{self._cluster_domain}:{port}{path}"

    def url(self, url: str, *, field: str = "spec.bot.state.http.url") -> str:
        """`url`, in its normal spelling, if its origin is on the allow-list."""
        scheme, _, rest = url.partition("://")
        authority, _, path = rest.partition("/")
        try:
            origin: Origin | None = parse_origin(f"{scheme}://{authority}")
        except InvalidOriginError:
            origin = None
        if origin is None or len(url) > _MAX_URL or not _plain_path(f"/{path}"):
            raise _not_allowed(
                f"{field} must be http(s)://host[:port]/path, in lower case up to the path, without user, query, "
                "fragment, escapes or dot segments; credentials belong into the Secret"
            )
        if origin not in self._allowed:
            raise _not_allowed(
                f"{field} has an origin that is not on {ALLOW_LIST}: name a Service of the account's own namespace "
                "instead, or ask who runs the operator to allow it"
            )
        if _standing(origin.host) is _Standing.NEVER:
            raise _not_allowed(f"{field} is a link-local, metadata or other special address; no allow-list allows it")
        return f"{origin.scheme}://{origin.authority}/{path}"

    def beside(self, url: str, path: str, *, field: str = "spec.bot.state.http.repairPath") -> str:
        """Another path at the origin of a `url` that this policy made."""
        if not _plain_path(path):
            raise _not_allowed(f"{field} must start with / and hold no .., %, ?, # or spaces")
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}{path}"

    def database(self, host: str, port: int, *, namespace: str, field: str) -> tuple[bool, str]:
        """Whether the database at `host` and `port` may do without verified TLS, and the name to look it up by.

        Raises ConfigurationError where it may not be spoken to at all: it is neither a Service of `namespace`, the
        account's own, nor on the allow-list (as ``postgres+tls://host`` or, without TLS, ``postgres://host``).
        """
        plain, verified = (Origin(scheme, host, port) in self._allowed for scheme in ("postgres", "postgres+tls"))
        ends = {"", ".svc", ".svc.cluster.local", f".{self._cluster_domain}"}
        service = any(re.fullmatch(rf"{LABEL}{re.escape(f'.{namespace}{end}')}", host) for end in ends)
        if not (plain or verified or service):
            raise _not_allowed(
                f"{field}: its host is not on {ALLOW_LIST} and no Service of the account's own namespace, as"
                f" <service>.{namespace}.svc; ask who runs the operator to allow it as postgres+tls://<host>:<port>"
            )
        if _standing(host) is _Standing.NEVER:
            raise _not_allowed(f"{field}: a link-local, metadata or other special address; no allow-list allows it")
        short = service and host.count(".") == 1  # <service>.<namespace>, which outside the cluster may be anything
        return plain, f"{host}.{self._cluster_domain}" if short and not (plain or verified) else host

    def permits(self, host: str, port: int, address: str, *, database: bool = False) -> bool:
        """Whether a connection for `host` and `port` may go to the IP `address` that the name stands for."""
        standing = _standing(address)
        if standing is _Standing.LOOPBACK:
            schemes = DATABASE_PORTS if database else DEFAULT_PORTS
            return any(Origin(scheme, host, port) in self._allowed for scheme in schemes)
        return standing is _Standing.ORDINARY


class ForbiddenAddressError(OSError):
    """A bot's name stands for an address that no bot has. aiohttp carries it as the `os_error` of its own."""


class GuardedResolver(AbstractResolver):
    """Resolves names, and refuses one if any address that it stands for is forbidden (DNS rebinding)."""

    def __init__(self, policy: AddressPolicy, inner: AbstractResolver) -> None:
        self._policy = policy
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises ForbiddenAddressError, or OSError where there are none."""
        found = await self._inner.resolve(host, port, family)
        if not all(self._policy.permits(host, port, result["host"]) for result in found):
            raise ForbiddenAddressError
        return found

    async def close(self) -> None:
        """Close the resolver within."""
        await self._inner.close()


def guarded_connector(policy: AddressPolicy, resolver: AbstractResolver | None = None) -> aiohttp.TCPConnector:
    """A connector for bots' addresses only. It has no limit: a bot that hangs must not make another one wait."""
    inner = resolver or aiohttp.ThreadedResolver()
    return aiohttp.TCPConnector(resolver=GuardedResolver(policy, inner), socket_factory=_guarded_socket, limit=0)


def _guarded_socket(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """A socket for the address that is dialled now; it also sees the literal addresses, which no resolver sees."""
    family, kind, protocol, _, address = info
    if _standing(str(address[0])) is _Standing.NEVER:
        raise ForbiddenAddressError
    return socket.socket(family, kind, protocol)


class _Standing(Enum):
    ORDINARY = auto()
    LOOPBACK = auto()
    NEVER = auto()


_METADATA: Final = frozenset(
    ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
"""Metadata services outside the link-local range: Alibaba, Azure, Oracle; and over IPv6 AWS and Google."""
_THIS_NETWORK: Final = ip_network("0.0.0.0/8")
_NAT64: Final = ip_network("64:ff9b::/96")


def _standing(text: str) -> _Standing:
    """How the IP address `text` stands; a name is ordinary here, since its addresses are judged when it is dialled."""
    if (ip := _ip(text)) is None:
        return _Standing.ORDINARY
    if isinstance(ip, IPv6Address) and (inner := _embedded(ip)) is not None:
        ip = inner
    if ip.is_loopback:
        return _Standing.LOOPBACK
    special = ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved
    return _Standing.NEVER if special or ip in _THIS_NETWORK or ip in _METADATA else _Standing.ORDINARY


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, 6to4 or NAT64."""
    return ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in _NAT64 else None)


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _plain_path(path: str) -> bool:
    return len(path) <= _MAX_URL and _PATH.fullmatch(path) is not None and not {".", ".."}.intersection(path.split("/"))


def _not_allowed(message: str) -> ConfigurationError:
    return ConfigurationError(Reason.BOT_ADDRESS_NOT_ALLOWED, message)

"""Who may put something into the gate, or read the bot's state there.

In:  where a request comes from, and what it signs in with. Out: why it is refused, if it is.

Invariants:
1. Without a token, only this machine's own network namespace is believed: the bot's pod. The addresses are those of
   the connection; no header is believed.
2. A token is compared in constant time, and read anew once its file changes; nobody has one that can't be read.
"""

import hmac
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

UNAUTHORIZED, FORBIDDEN = 401, 403
TOKEN_LEAST: Final = 16
"""Characters."""


class TokenError(Exception):
    """The file holds no token."""


class Token:
    """What is in a file, as it is now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._token = b""

    def read(self) -> bytes:
        """The token. Raises TokenError."""
        try:
            found = self._path.stat()
            stamp = found.st_mtime_ns, found.st_ino, found.st_size
            if stamp != self._stamp:
                self._token, self._stamp = self._path.read_bytes().strip(), stamp
        except OSError as error:
            raise TokenError(f"the token's file {self._path} can't be read: {error.strerror}") from None
        if len(self._token) < TOKEN_LEAST:
            raise TokenError(f"the token's file {self._path} holds less than {TOKEN_LEAST} characters")
        return self._token


@dataclass(frozen=True, slots=True)
class Caller:
    """Of one request. `peer` and `own`: both ends of its connection; `host` and `authorization`: its headers."""

    peer: str
    own: str
    host: str = ""
    authorization: str = ""

    @property
    def local(self) -> bool:
        """Whether it comes from this network namespace, and not through a name that a web page could have chosen."""
        if not self.peer or not (is_loopback(self.peer) or self.peer == self.own):
            return False
        name = self.host.rpartition(":")[0] if self.host.rpartition(":")[2].isdecimal() else self.host
        return not name or name == "localhost" or _address(name.strip("[]")) is not None


class Trust:
    """`token`: None: nobody from elsewhere is believed. `everyone`: not even the bot's pod is without the token."""

    def __init__(self, token: Token | None = None, *, everyone: bool = False) -> None:
        self._token = token
        self._everyone = everyone

    def refusal(self, caller: Caller) -> tuple[int, str] | None:
        """The HTTP status and why, where the caller is refused."""
        if caller.local and not self._everyone:
            return None
        if self._token is None:
            return FORBIDDEN, "only the bot's own pod may do this: start the gate with --token-file for others"
        scheme, _, given = caller.authorization.partition(" ")
        try:
            known = self._token.read()
        except TokenError as error:
            return FORBIDDEN, f"nobody can sign in: {error}"
        told = given.strip().encode(errors="surrogateescape")  # a header's bytes need be no text
        if scheme.lower() == "bearer" and hmac.compare_digest(told, known):
            return None
        return UNAUTHORIZED, "sign in with the gate's token: Authorization: Bearer TOKEN"


def is_loopback(host: str) -> bool:
    """Whether `host`, an address or localhost, is of this machine alone."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(text: str) -> Any:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

"""The `dsn` entry of a Secret: what of it is taken, and what is refused.

In:  the text of a DSN, a URL or ``key=value`` pairs. Out: a `Target`, or ConfigurationError.

Invariants:
1. One host over TCP. Nothing in a DSN leads to a file, a service definition, a socket, or a setting of the server.
2. TLS with a verified name is the default, and only an origin that the operator allow-lists as ``postgres://`` may do
   with less, where its DSN says so.
3. No part of a DSN is in a message or in the `repr` of anything.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from accountsync.bot.address import AddressPolicy
from accountsync.errors import ConfigurationError, Reason
from accountsync.origin import MAX_PORT, InvalidOriginError, parse_origin

ENTRY: Final = "dsn"
CA_ENTRY: Final = "ca.crt"
VERIFIED: Final = "verify-full"
_TAKEN: Final = frozenset({"host", "port", "user", "password", "dbname", "sslmode", "application_name"})
_STRENGTHENED: Final = frozenset({"", "require", "verify-ca", VERIFIED})
_WEAK: Final = frozenset({"disable", "allow", "prefer"})
_ADVICE: Final = {
    "hostaddr": "the address is looked up and checked here",
    "options": "settings of the server are made here",
    "service": "there are no service files here",
    "passfile": "the password belongs into the DSN",
    "sslrootcert": f"put the certificates into the Secret's entry {CA_ENTRY}",
    "sslcert": "certificates of clients are not used",
    "sslkey": "certificates of clients are not used",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A database. `lookup` is the name whose address is dialled, `host` the one that its certificate must hold.

    `sslmode` is libpq's; `ca` PEM text, empty: the system's.
    """

    host: str = field(repr=False)
    port: int = field(repr=False)
    user: str = field(repr=False)
    password: str = field(repr=False)
    dbname: str = field(repr=False)
    lookup: str = field(repr=False)
    sslmode: str = VERIFIED
    application: str = field(default="accountsync", repr=False)
    ca: str = field(default="", repr=False)


def parse_dsn(text: str, *, ca: str = "", secret: str, namespace: str, policy: AddressPolicy) -> Target:
    """Read a DSN. `secret`: the Secret's name, for messages; `namespace`: the account's. Raises ConfigurationError."""
    where = f"Secret {secret}: {ENTRY}"
    given = _parts(text.strip(), where)
    host, port = _place(given, where)
    plain, lookup = policy.database(host, port, namespace=namespace, field=where)
    for name in ("user", "dbname"):
        if not given.get(name):
            raise _wrong(f"{where}: names no {name}")
    if any("\0" in value for value in given.values()):
        raise _wrong(f"{where}: holds a NUL character")
    return Target(
        host=host,
        port=port,
        user=given["user"],
        password=given.get("password", ""),
        dbname=given["dbname"],
        lookup=lookup,
        sslmode=_sslmode(given.get("sslmode", ""), where, plain=plain),
        application=given.get("application_name") or "accountsync",
        ca=_certificates(ca, secret),
    )


def named_origin(text: str) -> str:
    """The entry of an allow-list that lets through what a DSN names, for a person's own; empty: it names nothing."""
    try:
        host, port = _place(_parts(text.strip(), ENTRY), ENTRY)
    except ConfigurationError:
        return ""
    return f"postgres://{f'[{host}]' if ':' in host else host}:{port}"


def _parts(text: str, where: str) -> dict[str, str]:
    if not text:
        raise ConfigurationError(
            Reason.SECRET_KEY_MISSING, f"{where} is not there: expected postgresql://user:password@host:5432/database"
        )
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(text).items() if value is not None}
    except (ProgrammingError, ValueError):
        raise _wrong(
            f"{where} is no connection string of PostgreSQL, or has a parameter that PostgreSQL does not know:"
            " expected postgresql://user:password@host:5432/database, with special characters percent-encoded"
        ) from None
    for name in sorted(given.keys() - _TAKEN):  # libpq knows them all by now: a name is no text of a user
        advice = _ADVICE.get(name, f"only {', '.join(sorted(_TAKEN))} are taken")
        raise _wrong(f"{where}: the parameter {name} is not taken: {advice}")
    return given


def _place(given: dict[str, str], where: str) -> tuple[str, int]:
    host, port = given.get("host", "").lower(), given.get("port") or "5432"
    if not host or host.startswith(("/", "@")):
        raise _wrong(f"{where}: names no host; sockets of this machine are not used")
    if "," in host or "," in port:
        raise _wrong(f"{where}: names several hosts; name the one to which the bot writes")
    if re.fullmatch(r"[0-9]{1,5}", port) is None or not 1 <= int(port) <= MAX_PORT:
        raise _wrong(f"{where}: its port must be a number from 1 to {MAX_PORT}")
    try:
        origin = parse_origin(f"postgres://{f'[{host}]' if ':' in host else host}:{int(port)}", databases=True)
    except InvalidOriginError:
        raise _wrong(f"{where}: its host must be a name of DNS or an IP address") from None
    return origin.host, int(port)


def _sslmode(given: str, where: str, *, plain: bool) -> str:
    if given in _STRENGTHENED:
        return given if plain and given else VERIFIED
    if given in _WEAK and plain:
        return given
    raise _wrong(
        f"{where}: its sslmode is weaker than {VERIFIED}, or unknown: leave it out; only an origin that who runs the"
        " operator allows as postgres://<host>:<port> may do without verified TLS"
    )


def _certificates(text: str, secret: str) -> str:
    if text.strip() and "-----BEGIN CERTIFICATE-----" not in text:
        raise _wrong(f"Secret {secret}: {CA_ENTRY} holds no certificate: expected PEM")
    return text.strip()


def _wrong(message: str) -> ConfigurationError:
    return ConfigurationError(Reason.SECRET_KEY_MISSING, message)

"""What a failure of a database means, told in words of our own.

In:  an exception of psycopg, of a socket, or of ours. Out: the AccountSyncError of a reading, or the LedgerError of a
     run.

Invariant: of what the server said, only its SQLSTATE is used; of what libpq said, only which of our sentences fits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psycopg

from accountsync.bot.ledger.connecting import ForbiddenDatabaseError, NameNotFoundError
from accountsync.errors import (
    AccountSyncError,
    BeliefUnobserved,
    ConfigurationError,
    LedgerBusy,
    LedgerError,
    LedgerReadOnly,
    LedgerReason,
    LedgerRefused,
    LedgerUnavailable,
    LedgerUnreadable,
    Reason,
)


@dataclass(frozen=True, slots=True)
class Saying:
    """A reason, and what a person reads."""

    reason: Reason
    text: str


_BY_STATE: Final[Mapping[str, Saying]] = {
    "28": Saying(Reason.BOT_REFUSED, "the database does not let the DSN's user in: check user and password"),
    "3D000": Saying(Reason.STATE_NOT_FOUND, "there is no database of the DSN's dbname"),
    "3F": Saying(Reason.STATE_NOT_FOUND, "the schema does not exist: see spec.bot.state.postgres.schema"),
    "42501": Saying(Reason.STATE_FORBIDDEN, "the DSN's user lacks a privilege: see `accountsync ledger check`"),
    "42P01": Saying(Reason.STATE_NOT_FOUND, "a relation does not exist: see `accountsync ledger check`"),
    "42703": Saying(Reason.STATE_NOT_FOUND, "a column does not exist: see `accountsync ledger check`"),
    "42": Saying(Reason.STATE_MALFORMED, "a relation is not as documented: see `accountsync ledger check`"),
    "22": Saying(Reason.STATE_MALFORMED, "a row holds what its column cannot mean: see `accountsync ledger check`"),
    "53": Saying(Reason.BOT_REFUSED, "the database has no connection, memory or disk space left"),
    "57014": Saying(Reason.BOT_TIMEOUT, "the database took too long: are statistics and indexes up to date?"),
    "57P01": Saying(Reason.BOT_UNREACHABLE, "the database ended the connection"),
    "57P03": Saying(Reason.BOT_UNREACHABLE, "the database is starting or shutting down"),
    "57": Saying(Reason.BOT_UNREACHABLE, "the database ended the connection"),
    "25P03": Saying(Reason.BOT_TIMEOUT, "the database ended a transaction that was idle for too long"),
    "08": Saying(Reason.BOT_UNREACHABLE, "the connection to the database broke"),
    "40": Saying(Reason.BOT_TIMEOUT, "others write to the same rows"),
    "55P03": Saying(Reason.BOT_TIMEOUT, "others have locked the ledger's rows"),
}
"""By SQLSTATE, or by the class that it begins with."""

_BY_WORDS: Final = (
    ("does not match host name", "its certificate is for another name than the DSN's host"),
    ("certificate has expired", "its certificate is expired"),
    (
        "certificate verify failed",
        (
            "its certificate is not trusted: it is expired, or not of an authority in the Secret's ca.crt"
            " (without that entry: of the system's)"
        ),
    ),
    ("does not support SSL", "the server does not speak TLS: switch its ssl on"),
    ("root certificate file", "there is no authority to check its certificate by: give the Secret an entry ca.crt"),
    ("SSL", "the TLS handshake failed"),
    ("password authentication failed", _BY_STATE["28"]),
    ("no pg_hba.conf entry", _BY_STATE["28"]),
    ("no password supplied", _BY_STATE["28"]),
    ("authentication", _BY_STATE["28"]),
    ("database", _BY_STATE["57P03"]),
    ("too many", _BY_STATE["53"]),
    ("remaining connection slots", _BY_STATE["53"]),
)
"""libpq's own words, the first that fits: while connecting there is no SQLSTATE."""
_MISSING_DATABASE: Final = 'database "'
_READ_ONLY: Final = frozenset({"25006"})
_BUSY: Final = frozenset({"40001", "40P01", "55P03"})


def saying(error: BaseException) -> Saying:
    """What `error` means."""
    match error:
        case ForbiddenDatabaseError():
            return Saying(
                Reason.BOT_ADDRESS_NOT_ALLOWED,
                "its name stands for a loopback, link-local, metadata or other special address, where no bot's"
                " database is asked",
            )
        case NameNotFoundError():
            return Saying(Reason.BOT_UNREACHABLE, "the DSN's host is not found in DNS")
        case psycopg.errors.ConnectionTimeout() | TimeoutError():
            return Saying(Reason.BOT_TIMEOUT, "the database gave no answer in time")
        case psycopg.Error() if error.sqlstate:
            state = error.sqlstate
            default = Saying(Reason.BOT_REFUSED, f"the database refused, with SQLSTATE {state}")
            return _BY_STATE.get(state) or _BY_STATE.get(state[:2], default)
        case psycopg.Error():
            return _connecting(str(error))
        case _:
            return Saying(Reason.BOT_UNREACHABLE, "no connection to the database")


def _connecting(words: str) -> Saying:
    if "does not exist" in words:
        return _BY_STATE["3D000" if _MISSING_DATABASE in words else "28"]
    for word, meaning in _BY_WORDS:
        if word in words:
            return meaning if isinstance(meaning, Saying) else Saying(Reason.BOT_UNREACHABLE, meaning)
    return Saying(
        Reason.BOT_UNREACHABLE, "no connection to the database: does it run, and listen on the DSN's host and port?"
    )


def unobserved(error: BaseException, source: str) -> AccountSyncError:
    """The failure of a reading. `source` describes the ledger for people."""
    if isinstance(error, AccountSyncError):
        return error
    told = saying(error)
    kind = ConfigurationError if told.reason is Reason.BOT_ADDRESS_NOT_ALLOWED else BeliefUnobserved
    return kind(told.reason, f"{source}: {told.text}")


_REASONS: Final[Mapping[Reason, LedgerReason]] = {
    Reason.BOT_ADDRESS_NOT_ALLOWED: LedgerReason.ADDRESS,
    Reason.BOT_REFUSED: LedgerReason.REFUSED,
    Reason.BOT_TIMEOUT: LedgerReason.TIMEOUT,
    Reason.BOT_UNREACHABLE: LedgerReason.UNREACHABLE,
    Reason.STATE_NOT_FOUND: LedgerReason.NOT_FOUND,
    Reason.STATE_FORBIDDEN: LedgerReason.FORBIDDEN,
    Reason.STATE_MALFORMED: LedgerReason.MALFORMED,
    Reason.STATE_TOO_LARGE: LedgerReason.MALFORMED,
    Reason.SECRET_NOT_FOUND: LedgerReason.SECRET,
    Reason.SECRET_NOT_LABELLED: LedgerReason.SECRET,
    Reason.SECRET_KEY_MISSING: LedgerReason.SECRET,
    Reason.SECRET_FORBIDDEN: LedgerReason.SECRET,
}


def unread(error: BaseException, source: str) -> LedgerError:
    """The failure of a reading within a run."""
    if isinstance(error, LedgerError):
        return error
    told = unobserved(error, source)
    return LedgerUnreadable(_REASONS.get(told.reason, LedgerReason.UNREACHABLE), told.message)


def unwritten(error: BaseException, source: str) -> LedgerError:
    """The failure of a change, before it was committed: nothing of it counts."""
    if isinstance(error, LedgerError):
        return error
    state = getattr(error, "sqlstate", None) or ""
    if state in _READ_ONLY:
        return LedgerReadOnly(
            LedgerReason.READ_ONLY,
            f"{source}: the database takes no writes now: is it a standby, or did the primary fail over? Nothing was"
            " written",
        )
    if state in _BUSY:
        return LedgerBusy(
            LedgerReason.BUSY, f"{source}: others write to the same rows; nothing was written, the next run tries again"
        )
    told = unobserved(error, source)
    if state[:2] in {"23", "P0", "44", "27", "09", "0A", "55"} or state[:2] in {"42", "22", "3F", "39", "38"}:
        table = _known(getattr(error, "diag", None))
        return LedgerRefused(
            LedgerReason.FORBIDDEN if state == "42501" else LedgerReason.WRITE_REFUSED,
            f"{source}: the database refused the change{table}, with SQLSTATE {state}: {_why(state)}; all of it was"
            " rolled back",
        )
    return LedgerUnavailable(
        _REASONS.get(told.reason, LedgerReason.UNREACHABLE), f"{told.message}; nothing was written"
    )


_WHY: Final = {
    "23": "a constraint of one's own stands against it",
    "P0": "a trigger raised an error",
    "42501": "the DSN's user lacks a privilege, see `accountsync ledger check`",
    "42": "a relation is not as documented, see `accountsync ledger check`",
    "55": "a view cannot be written to, it needs INSTEAD OF triggers",
    "0A": "a view cannot be locked or written to",
}


def _why(state: str) -> str:
    return _WHY.get(state) or _WHY.get(state[:2], "see the database's own log")


def _known(diagnosis: psycopg.errors.Diagnostic | None) -> str:
    """The relation, where it is one of ours: another name is somebody's text."""
    name = diagnosis.table_name if diagnosis else None
    known = {"orders", "slices", "positions", "trade_history", "used_fills", "capital_ledger"}
    return f" of {name}" if name in known else ""

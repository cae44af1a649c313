"""Every way in which a cycle can fail to learn something, as one tree and one enum.

    AccountSyncError
    ├── ConfigurationError      the resource, or a Secret that it names, is wrong: a person must change it
    └── Unobserved              a side could not be read this time: its content is Unknown
        ├── ExchangeUnobserved  … the exchange
        └── BeliefUnobserved    … the bot's own state
    ActionError                 what should change something outside did not, or nobody knows
    ├── NotSent                 nothing left this process
    ├── Refused                 the other side said no: nothing happened
    └── OutcomeUnknown          it may have happened
    PlansError
    ├── PlansUnavailable        the API server did not answer, or would not
    └── PlanChanged             the stored plan is another one by now
    LedgerError                 a bot's ledger was not reconciled; but for the last, nothing of it was written
    ├── LedgerLockHeld          somebody else reconciles it now
    ├── LedgerUnreadable        it could not be read, or is not one that can be judged
    ├── LedgerUnavailable       the database was lost before anything counted
    ├── LedgerReadOnly          the database takes no writes now
    ├── LedgerBusy              others write to the same rows: the next run tries again
    ├── LedgerRefused           a constraint, trigger, privilege or rounding of the database is against it
    └── LedgerOutcomeUnknown    it was lost while committing, and could not be asked what became of it

Each AccountSyncError carries a `Reason`: a stable, CamelCase word for conditions and Events, whose `label` is the
metric label. Messages name the object and what to do; they never hold a secret, a response body or other upstream text.
"""

import re
from enum import StrEnum


class Reason(StrEnum):
    """Why something is not known. Fixed: nothing from outside ever becomes a reason."""

    # the resource
    UNKNOWN_EXCHANGE = "UnknownExchange"
    ENDPOINT_NOT_ALLOWED = "EndpointNotAllowed"
    UNKNOWN_SYMBOL = "UnknownSymbol"
    SPEC_INVALID = "SpecInvalid"
    # its Secrets
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, not a password
    SECRET_NOT_LABELLED = "SecretNotLabelled"  # noqa: S105
    SECRET_KEY_MISSING = "SecretKeyMissing"  # noqa: S105
    SECRET_FORBIDDEN = "SecretForbidden"  # noqa: S105
    CREDENTIALS_REJECTED = "CredentialsRejected"
    EXCESS_RIGHTS = "ExcessRights"
    # the exchange
    EXCHANGE_UNREACHABLE = "ExchangeUnreachable"
    EXCHANGE_TIMEOUT = "ExchangeTimeout"
    EXCHANGE_UNAVAILABLE = "ExchangeUnavailable"
    EXCHANGE_MALFORMED = "ExchangeMalformed"
    EXCHANGE_REFUSED = "ExchangeRefused"
    EXCHANGE_CLOCK_SKEW = "ExchangeClockSkew"
    RATE_LIMITED = "RateLimited"
    SNAPSHOT_REFUSED = "SnapshotRefused"
    SNAPSHOT_PARTIAL = "SnapshotPartial"
    # the bot
    BOT_ADDRESS_NOT_ALLOWED = "BotAddressNotAllowed"
    BOT_UNREACHABLE = "BotUnreachable"
    BOT_TIMEOUT = "BotTimeout"
    BOT_REFUSED = "BotRefused"
    BOT_NOT_READY = "BotNotReady"
    STATE_NOT_FOUND = "StateNotFound"
    STATE_FORBIDDEN = "StateForbidden"
    STATE_MALFORMED = "StateMalformed"
    STATE_TOO_LARGE = "StateTooLarge"
    STATE_IN_FUTURE = "StateInFuture"
    STATE_STALE = "StateStale"
    STATE_REGRESSED = "StateRegressed"
    STATE_EMPTIED = "StateEmptied"
    # ourselves
    API_SERVER_UNAVAILABLE = "ApiServerUnavailable"
    INTERNAL = "Internal"

    @property
    def label(self) -> str:
        """The metric label: snake_case, as Runbook 29 writes its labels."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.value).lower()


CREDENTIAL_REASONS = frozenset(
    {
        Reason.SECRET_NOT_FOUND,
        Reason.SECRET_NOT_LABELLED,
        Reason.SECRET_KEY_MISSING,
        Reason.SECRET_FORBIDDEN,
        Reason.CREDENTIALS_REJECTED,
        Reason.EXCESS_RIGHTS,
    }
)


class AccountSyncError(Exception):
    """Base of all expected failures. `reason` is stable; `message` is for a person."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ConfigurationError(AccountSyncError):
    """The resource or a Secret that it names is wrong; trying again without a change won't help."""


class Unobserved(AccountSyncError):  # noqa: N818 - the field's word: not seen, which is no error of ours
    """A side could not be read: no finding follows from it and none is cleared by it."""


class ExchangeUnobserved(Unobserved):
    """The exchange could not be read. `retry_after`: seconds the exchange asked us to stay away, if it did."""

    def __init__(self, reason: Reason, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class BeliefUnobserved(Unobserved):
    """The bot's belief could not be read, or is not one that counts."""


class ActionError(Exception):
    """An order or a repair that did not go as it should. `message` is for a person, without upstream text."""

    def __init__(self, message: str, reason: Reason = Reason.EXCHANGE_REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class NotSent(ActionError):  # noqa: N818 - the fact, not a fault
    """Nothing left this process."""


class Refused(ActionError):  # noqa: N818
    """The other side said no, and nothing happened."""


class OutcomeUnknown(ActionError):  # noqa: N818
    """It may have happened: only asking tells."""


class PlansError(Exception):
    """The stored plans could not be read or written."""


class PlansUnavailable(PlansError):  # noqa: N818
    """The API server did not answer, or would not, or something stored can't be read."""


class PlanChanged(PlansError):  # noqa: N818
    """The stored plan is another one by now: read it again, and decide again."""


class LedgerReason(StrEnum):
    """Why a ledger was not reconciled: the reason of a condition, and fixed like `Reason`."""

    LOCK_HELD = "LockHeld"
    UNREACHABLE = "DatabaseUnreachable"
    TIMEOUT = "DatabaseTimeout"
    REFUSED = "DatabaseRefused"
    ADDRESS = "AddressNotAllowed"
    SECRET = "SecretUnusable"  # noqa: S105 - a reason, not a password
    NOT_FOUND = "SchemaMissing"
    FORBIDDEN = "Forbidden"
    MALFORMED = "Malformed"
    READ_ONLY = "ReadOnly"
    BUSY = "Busy"
    WRITE_REFUSED = "WriteRefused"
    UNKNOWN_OUTCOME = "OutcomeUnknown"


class LedgerError(Exception):
    """A bot's ledger was not reconciled. `message` is for a person, without upstream text."""

    def __init__(self, reason: LedgerReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class LedgerLockHeld(LedgerError):  # noqa: N818 - the fact, not a fault
    """Somebody else reconciles this ledger now."""


class LedgerUnreadable(LedgerError):  # noqa: N818
    """It could not be read, or is not one that can be judged."""


class LedgerUnavailable(LedgerError):  # noqa: N818
    """The database was lost before anything counted: nothing was written."""


class LedgerReadOnly(LedgerError):  # noqa: N818
    """The database takes no writes now: a standby, or a primary that became read-only."""


class LedgerBusy(LedgerError):  # noqa: N818
    """Others write to the same rows; nothing was written, and the next run tries again."""


class LedgerRefused(LedgerError):  # noqa: N818
    """The database itself is against the change: rolled back."""


class LedgerOutcomeUnknown(LedgerError):  # noqa: N818
    """The connection was lost while committing: the event id tells at the next run."""

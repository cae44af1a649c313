"""Conditions by one table: what each says, and when.

In:  an `Outlook`, what is known of an account now, and the conditions that stand. Out: the conditions to write.

`Ready` says that the loop works; drift lives in `InSync`, because tools read Ready=False as in progress. Stalled,
Reconciling, ClockSkewed, PermissionMissing and those after it exist only while they are True, Reset only while a
person asks for one. Reset and Reconciling never stand together, nor do the two on plans: so a status has room for all.
A single failure of a side that may pass by itself changes nothing yet: `Failing` says how often in a row it failed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from accountsync.api.v1alpha1 import Condition, Sync
from accountsync.domain.standing import CONDITION, Stage, Standing
from accountsync.errors import CREDENTIAL_REASONS, Reason
from accountsync.observe import Failure

PATIENCE = 2
SKEW_MS = 1_000
PARTLY_JUDGED = (
    "PartlyJudged",
    (
        "for spec.staleAfter no cycle could judge the whole account: the exchange gives no word on an order that the"
        " bot tracks, or something changes in every reading"
    ),
)
WATCH_FORBIDDEN = "WatchForbidden"
ORDER_PLACED = "OrderPlaced"
LATE = "without it changes are noticed within a minute"
TEXT_MATTERS = CREDENTIAL_REASONS | {
    Reason.STATE_MALFORMED,
    Reason.STATE_NOT_FOUND,
    Reason.SPEC_INVALID,
    "Forbidden",
    WATCH_FORBIDDEN,
    ORDER_PLACED,
    "Quarantined",
}
"""Reasons under which another text is another mistake, so that it is written and told at once."""
SPEC_REASONS = frozenset(
    {
        Reason.UNKNOWN_EXCHANGE,
        Reason.ENDPOINT_NOT_ALLOWED,
        Reason.UNKNOWN_SYMBOL,
        Reason.SPEC_INVALID,
        Reason.BOT_ADDRESS_NOT_ALLOWED,
    }
)


@dataclass(frozen=True, slots=True)
class Failing:
    """A failure and how many cycles in a row it has lasted."""

    failure: Failure
    streak: int

    @property
    def counts(self) -> bool:
        """Whether it is worth telling a person."""
        return self.failure.permanent or self.streak >= PATIENCE


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of an account. `observed`: at least one cycle has run since this process knows the account.

    `untested`: its exchange, where that was never run. `missing`: what the operator may not do in its namespace, and
    `only_late`: all that does is to let it notice changes later.
    `withheld`: why the watchdog would stop the bot, but for the mode. `unprotected`: why approvals are not protected,
    where they matter; `blocked`: why nothing is done about what was found although something is due. `reset`: where the
    full reset stands that a person asked for. `ledger`: status, reason and message of how the last run over its ledger
    ended; None: it has none, or none ended yet. `disobeyed`: reason and message, where a bot that is stopped by calls
    could not be told to stop, or to go on. `not_honoured`: the order that the bot placed last in spite of its hold.
    """

    observed: bool = False
    disabled: bool = False
    suspended: bool = False
    invalid: Failure | None = None
    exchange: Failing | None = None
    bot: Failing | None = None
    sync: Sync = Sync.UNKNOWN
    drift: str = ""
    open: int = 0
    skew_ms: int = 0
    excess: tuple[str, ...] = ()
    partly: bool = False
    untested: str = ""
    missing: str = ""
    only_late: bool = False
    holds: Mapping[str, str] = field(default_factory=dict)
    withheld: str = ""
    unprotected: str = ""
    blocked: str = ""
    not_honoured: str = ""
    reset: Standing | None = None
    ledger: tuple[str, str, str] | None = None
    disobeyed: tuple[str, str] | None = None

    @property
    def reading(self) -> bool:
        """Whether both sides are read at all, so that one without a failure was read well."""
        return self.observed and not (self.suspended or self.disabled or self.invalid)


Verdict = tuple[str, str, str]
"""Status, reason, message."""


def _ready(outlook: Outlook) -> Verdict | None:
    if outlook.invalid is not None:
        return "False", outlook.invalid.reason, outlook.invalid.message
    if outlook.disabled:
        return "False", "SyncDisabled", "GRINDER_ACCOUNT_SYNC_ENABLED is false: the operator syncs no account"
    if outlook.suspended:
        return "True", "Suspended", "spec.suspend is true: nothing is read, and what was held stays held"
    failing = [side for side in (outlook.exchange, outlook.bot) if side is not None]
    for side in failing:
        if side.counts:
            return "False", side.failure.reason, side.failure.message
    if failing or not outlook.observed:
        return None  # a first failure: what stood stands
    return "True", "Synced", "the account is read and judged"


def _in_sync(outlook: Outlook) -> Verdict | None:
    if outlook.sync is Sync.IN_SYNC:
        return "True", "InSync", "exchange and bot agree"
    if outlook.sync is Sync.OUT_OF_SYNC:
        return "False", "DriftConfirmed", outlook.drift
    if not outlook.invalid and (outlook.disabled or outlook.suspended):
        return "Unknown", "SyncDisabled" if outlook.disabled else "Suspended", "nothing is judged"
    failing = [side.failure for side in (outlook.exchange, outlook.bot) if side is not None]
    failure = outlook.invalid or next(iter(failing), None)
    if failure is not None:
        return "Unknown", failure.reason, failure.message
    if outlook.open:
        waiting = "each counts only with a newer belief (its asOf must move on) and a newer snapshot"
        return "Unknown", "AwaitingConfirmation", f"{outlook.open} differences seen and not yet confirmed: {waiting}"
    return ("Unknown", *(PARTLY_JUDGED if outlook.partly else ("NotJudged", "no cycle has judged the account yet")))


def _paused(outlook: Outlook) -> Verdict | None:
    if not outlook.holds and outlook.withheld:
        return "False", "NoHold", f"the bot may trade; in mode Pause the Watchdog would stop it: {outlook.withheld}"
    if not outlook.holds:
        return "False", "NoHold", "the bot may trade"
    return "True", "Held", "; ".join(f"{source}: {message}" for source, message in outlook.holds.items())


def _credentials_valid(outlook: Outlook) -> Verdict | None:
    side = outlook.exchange
    if side is not None and side.failure.reason in CREDENTIAL_REASONS:
        return "False", side.failure.reason, side.failure.message
    if side is None and outlook.reading:
        if outlook.excess:
            may = " and ".join(outlook.excess)
            return "True", "ExcessRights", f"the exchange accepts the key, which may {may}: give one that only reads"
        return "True", "Accepted", "the exchange accepts the key"
    return None


def _bot_reachable(outlook: Outlook) -> Verdict | None:
    if outlook.disobeyed is not None:
        return "False", *outlook.disobeyed
    side = outlook.bot
    if side is not None:
        return ("False", side.failure.reason, side.failure.message) if side.counts else None
    if outlook.reading:
        return "True", "StateRead", "the bot's state is read and counts"
    return None


def _stalled(outlook: Outlook) -> Verdict | None:
    failures = [outlook.invalid, *(side.failure for side in (outlook.exchange, outlook.bot) if side)]
    for failure in failures:
        if failure is not None and failure.reason in SPEC_REASONS:
            return "True", failure.reason, failure.message
    return None


def _reconciling(outlook: Outlook) -> Verdict | None:
    if outlook.observed or outlook.disabled or outlook.suspended or outlook.invalid:
        return None
    return "True", "FirstCycle", "the first cycle has not ended yet"


def _clock_skewed(outlook: Outlook) -> Verdict | None:
    if abs(outlook.skew_ms) <= SKEW_MS:
        return None
    ahead = "ahead of" if outlook.skew_ms > 0 else "behind"
    apart = f"the exchange's clock is {abs(outlook.skew_ms) / 1000:.1f} s {ahead} the operator's"
    return "True", "ClocksApart", f"{apart}: a belief's time can't be compared well; check NTP on the node and the bot"


def _permission_missing(outlook: Outlook) -> Verdict | None:
    if not outlook.missing:
        return None
    if outlook.only_late:
        return "True", WATCH_FORBIDDEN, f"{outlook.missing}; {LATE}"
    return "True", "Forbidden", outlook.missing


def _exchange_untested(outlook: Outlook) -> Verdict | None:
    if not outlook.untested:
        return None
    how = f"{outlook.untested} is read through ccxt's unified calls, which were never run against it"
    return "True", "NeverRun", f"{how}: try it with remediation.mode Observe first"


def _approvals_unprotected(outlook: Outlook) -> Verdict | None:
    if not outlook.unprotected:
        return None
    return "True", "PolicyNotProven", f"plans are made, and nothing is done: {outlook.unprotected}"


def _remediation_blocked(outlook: Outlook) -> Verdict | None:
    if not outlook.blocked or outlook.unprotected:
        return None
    return "True", "Blocked", outlook.blocked


def _pause_not_honoured(outlook: Outlook) -> Verdict | None:
    if not outlook.not_honoured or not outlook.holds:
        return None
    return "True", ORDER_PLACED, outlook.not_honoured


def _reset(outlook: Outlook) -> Verdict | None:
    standing = outlook.reset
    if standing is None or not outlook.reading:
        return None
    return str(standing.stage is Stage.CLEAN), standing.stage, standing.message


def _ledger_reconciled(outlook: Outlook) -> Verdict | None:
    return outlook.ledger


def gist(condition: Condition) -> tuple[str, str, str]:
    """What of a condition is worth a write and an Event when it changes."""
    text = condition.message if condition.reason in TEXT_MATTERS and condition.type != "InSync" else ""
    if condition.type == CONDITION:
        text = condition.message.partition(": ")[0]  # which reset it speaks of
    return condition.status, condition.reason, text


TABLE: Sequence[tuple[str, bool, Callable[[Outlook], Verdict | None]]] = (
    # type, whether it stays when its rule says nothing, rule
    ("Ready", True, _ready),
    ("InSync", True, _in_sync),
    ("Paused", True, _paused),
    ("CredentialsValid", True, _credentials_valid),
    ("BotReachable", True, _bot_reachable),
    ("Stalled", False, _stalled),
    ("Reconciling", False, _reconciling),
    ("ClockSkewed", False, _clock_skewed),
    ("PermissionMissing", False, _permission_missing),
    ("ExchangeUntested", False, _exchange_untested),
    ("ApprovalsUnprotected", False, _approvals_unprotected),
    ("RemediationBlocked", False, _remediation_blocked),
    ("PauseNotHonoured", False, _pause_not_honoured),
    ("LedgerReconciled", False, _ledger_reconciled),
    (CONDITION, False, _reset),
)


def conditions(outlook: Outlook, standing: Sequence[Condition], *, generation: int, now: datetime) -> list[Condition]:
    """The conditions now. A condition keeps its transition time while its status stays."""
    before = {condition.type: condition for condition in standing}
    after = []
    for kind, lasting, rule in TABLE:
        old = before.get(kind)
        verdict = rule(outlook)
        if verdict is None and lasting:
            verdict = (old.status, old.reason, old.message) if old else ("Unknown", "NotJudged", "not known yet")
        if verdict is None:
            continue
        status, reason, message = verdict
        since = old.last_transition_time if old is not None and old.status == status else now
        after.append(
            Condition(
                type=kind,
                status=status,
                reason=str(reason),
                message=message,
                observed_generation=generation,
                last_transition_time=since,
            )
        )
    return after

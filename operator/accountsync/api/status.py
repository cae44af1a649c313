"""`status` of a TradingAccount: what the operator writes, and reads again after a restart.

Texts are cut to their caps (`accountsync.api.caps`) rather than refused. Names of a fixed set are read as plain text,
so that an older operator can read what a newer one wrote: a hold of an unknown source still stands.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidationError

from accountsync.api.caps import (
    ACKNOWLEDGED_CAP,
    CONDITION_MESSAGE_CAP,
    CONDITIONS_CAP,
    DIGEST_CAP,
    FILL_SYMBOLS_CAP,
    FINDINGS_CAP,
    HISTORY_CAP,
    HOLD_KEYS_CAP,
    HOLD_MESSAGE_CAP,
    HOLDER_CAP,
    HOLDS_CAP,
    ID_CAP,
    KEY_CAP,
    MESSAGE_CAP,
    PAUSED_BY_CAP,
    REASON_CAP,
    RULE_CAP,
    RULES_CAP,
    SYMBOL_CAP,
    TOKEN_CAP,
    VALUE_CAP,
    WHAT_CAP,
    WHO_CAP,
    WHY_CAP,
)
from accountsync.api.markers import ATOMIC_LIST, ATOMIC_MAP, INT32, INT64, Clipped, OneOf, Token, map_by
from accountsync.api.parts import StatusPart
from accountsync.api.quantities import Money, Time
from accountsync.domain.holds import Source
from accountsync.domain.policy import PauseLevel


class Severity(StrEnum):
    """How bad a finding is, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    WARNING = "warning"


class Sync(StrEnum):
    """Whether exchange and bot agree."""

    IN_SYNC = "InSync"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


HoldSource = Source
"""Who raised a hold; only the same one lifts it."""


class FindingState(StrEnum):
    """Seen once, or seen often and long enough to count."""

    OPEN = "Open"
    CONFIRMED = "Confirmed"


class ConditionStatus(StrEnum):
    """The status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Hold(StatusPart):
    """One reason why the bot is stopped."""

    source: Annotated[str, OneOf(HoldSource)]
    """Who raised it; only the same one lifts it."""

    reason: Annotated[str, Clipped(REASON_CAP)]
    """Why, in one word."""

    message: Annotated[str, Clipped(HOLD_MESSAGE_CAP)]
    """Why, for a person."""

    since: Time
    """When it was raised."""

    digest: Annotated[str, Field(max_length=DIGEST_CAP)] | None = None
    """What a resume must quote: it changes with every finding that joins the hold."""

    base: Annotated[str, Field(max_length=DIGEST_CAP)] | None = None
    """Digest over the keys that no longer fit into the list."""

    keys: Annotated[
        tuple[Annotated[str, Field(max_length=KEY_CAP)], ...], Field(max_length=HOLD_KEYS_CAP), ATOMIC_LIST
    ] = ()
    """Fingerprints of the findings gathered since the hold was raised, in order."""


class Acknowledged(StatusPart):
    """A finding that a person resumed over."""

    key: Annotated[str, Field(max_length=KEY_CAP)]
    """Fingerprint of the finding."""

    notional: Money | None = None
    """Its notional when it was acknowledged; a finding that grows by a quarter counts anew."""


class SnapshotSummary(StatusPart):
    """The last good reading of the account, refreshed with a heartbeat or a transition."""

    timestamp: Time
    """When it was taken, by the exchange's clock."""

    positions: Annotated[int, Field(ge=0), INT32]
    """Positions that are not flat."""

    open_orders: Annotated[int, Field(ge=0), INT32]
    """Open orders."""

    pending_notional: Money
    """Value of the open orders in the quote currency."""


class Watermarks(StatusPart):
    """How far each side has been read."""

    snapshot: Annotated[int, INT64] | None = None
    """Time of the newest accepted snapshot in Unix milliseconds; an older one is refused."""

    belief: Annotated[int, INT64] | None = None
    """The asOf of the last belief that counted, in Unix milliseconds, as of when the status was written."""

    fills: Annotated[int, INT64] | None = None
    """Exchange time, in Unix milliseconds, up to which every fill was attributed; reading goes on from there."""

    fill_symbols: Annotated[
        tuple[Annotated[str, Clipped(SYMBOL_CAP)], ...], Field(max_length=FILL_SYMBOLS_CAP), ATOMIC_LIST
    ] = ()
    """Symbols of which later fills are yet to be attributed."""

    boot_id: Annotated[str, Token(TOKEN_CAP)] | None = None
    """The bot's boot id when it was last judged."""


class Finding(StatusPart):
    """One difference between the exchange and the bot."""

    rule: Annotated[str, Clipped(RULE_CAP)]
    """Kind of finding, e.g. PositionMismatch."""

    severity: Annotated[str, OneOf(Severity)]
    """How bad it is."""

    symbol: Annotated[str, Clipped(SYMBOL_CAP)] = ""
    """The symbol or asset."""

    id: Annotated[str, Clipped(ID_CAP)] = ""
    """The order's id, or the side of the position."""

    state: Annotated[str, OneOf(FindingState)]
    """Open at first sight, Confirmed when it counts."""

    message: Annotated[str, Clipped(MESSAGE_CAP)] = ""
    """What is different, for a person."""

    expected: Annotated[str, Clipped(VALUE_CAP)] = ""
    """What the bot believes."""

    observed: Annotated[str, Clipped(VALUE_CAP)] = ""
    """What the exchange says."""

    notional: Money | None = None
    """Value at risk in the quote currency."""

    first_seen: Time
    """When it was first seen."""

    last_seen: Time
    """When it was last seen."""

    count: Annotated[int, Field(ge=0), INT32] = 0
    """How many times in a row it was seen."""


class WatchdogMemory(StatusPart):
    """What the watchdog has to remember."""

    last_auto_resume_time: Time | None = None
    """When its hold last ended by itself; the cooldown runs from then."""


class StoppedBot(StatusPart):
    """What is remembered of a bot that is stopped by calls."""

    before: Annotated[str, Clipped(REASON_CAP)]
    """What the bot did before it was stopped, in its own word: a resume has it do that again."""

    level: Annotated[str, OneOf(PauseLevel)] | None = None
    """How far it was asked to stop. A bot that is stopped further than that was stopped by a person, and stays so."""

    told: Annotated[str, OneOf(PauseLevel)] | None = None
    """How far it is known to have been told to stop. A bot that is stopped further may have been so by a person."""

    bot: Annotated[str, Field(max_length=DIGEST_CAP)] | None = None
    """A digest of the bot's address: none of this holds of a bot elsewhere."""


class Findings(StatusPart):
    """All differences in numbers, and the worst of them in full."""

    total: Annotated[int, Field(ge=0), INT32] = 0
    """How many there are."""

    confirmed: Annotated[int, Field(ge=0), INT32] = 0
    """How many of them count."""

    by_rule: Annotated[dict[str, Annotated[int, INT32]], Field(max_length=RULES_CAP)] = Field(default_factory=dict)
    """How many there are of each kind."""

    items: Annotated[tuple[Finding, ...], Field(max_length=FINDINGS_CAP), ATOMIC_LIST] = ()
    """The worst of them, worst first."""


class Transition(StatusPart):
    """Something that changed."""

    time: Time
    """When."""

    who: Annotated[str, Clipped(WHO_CAP)]
    """Who did it."""

    what: Annotated[str, Clipped(WHAT_CAP)]
    """What was done."""

    why: Annotated[str, Clipped(WHY_CAP)] = ""
    """Why."""


class Condition(StatusPart):
    """A standard Kubernetes condition."""

    type: Annotated[str, Field(max_length=REASON_CAP, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    """What it is about, e.g. Ready."""

    status: Annotated[str, OneOf(ConditionStatus)]
    """Whether it holds: True, False or Unknown."""

    reason: Annotated[str, Field(min_length=1), Clipped(REASON_CAP)]
    """Why, in one word."""

    message: Annotated[str, Clipped(CONDITION_MESSAGE_CAP)]
    """Why, for a person."""

    observed_generation: Annotated[int, Field(ge=0), INT64] | None = None
    """The generation of the resource that it was judged by."""

    last_transition_time: Time
    """When the status last changed."""


class Owner(StatusPart):
    """The replica that alone may act on the account."""

    holder: Annotated[str, Field(min_length=1), Token(HOLDER_CAP)]
    """Which replica: the name of its Lease without what all of them begin with."""

    epoch: Annotated[int, Field(ge=0), INT64]
    """How many times the account has changed hands."""


_NEVER_FORGOTTEN = frozenset({"holds", "paused"})


class TradingAccountStatus(StatusPart):
    """What the operator found. The operator writes it; changes by others are overwritten."""

    observed_generation: Annotated[int, Field(ge=0), INT64] | None = None
    """The generation of the resource that the status speaks of."""

    paused: bool = False
    """The bot obeys this, and spec.paused: true while any hold stands."""

    pause_level: Annotated[str, OneOf(PauseLevel)] | None = None
    """How far the bot stops: spec.pauseLevel, while any hold stands."""

    paused_by: Annotated[str, Clipped(PAUSED_BY_CAP)] = ""
    """The sources of the holds that stand."""

    holds: Annotated[tuple[Hold, ...], Field(max_length=HOLDS_CAP), map_by("source")] = ()
    """Why the bot is stopped."""

    acknowledged: Annotated[tuple[Acknowledged, ...], Field(max_length=ACKNOWLEDGED_CAP), ATOMIC_LIST] = ()
    """Findings that a person resumed over."""

    watchdog: Annotated[WatchdogMemory, ATOMIC_MAP] | None = None
    """What spec.watchdog has to remember between two holds."""

    stopped_bot: Annotated[StoppedBot, ATOMIC_MAP] | None = None
    """A bot that the operator stopped by a call, and has yet to let go on."""

    sync: Annotated[str, OneOf(Sync)] | None = None
    """Whether exchange and bot agree."""

    owner: Annotated[Owner, ATOMIC_MAP] | None = None
    """The replica that alone may act on the account; an action of an earlier owner is refused."""

    last_report_time: Time | None = None
    """When this status was last written, on a change and as a heartbeat."""

    last_handled_reconcile_at: Annotated[str, Token(TOKEN_CAP)] | None = None
    """The accountsync.dev/requestedAt annotation that was handled last."""

    last_handled_resume: Annotated[str, Token(TOKEN_CAP)] | None = None
    """The resume that was handled last."""

    snapshot: Annotated[SnapshotSummary, ATOMIC_MAP] | None = None
    """The last good reading of the account."""

    watermarks: Annotated[Watermarks, ATOMIC_MAP] | None = None
    """How far each side has been read."""

    findings: Annotated[Findings, ATOMIC_MAP] | None = None
    """The differences between exchange and bot."""

    history: Annotated[tuple[Transition, ...], Field(max_length=HISTORY_CAP), ATOMIC_LIST] = ()
    """What changed last."""

    conditions: Annotated[tuple[Condition, ...], Field(max_length=CONDITIONS_CAP), map_by("type")] = ()
    """Ready says that the account can be read and judged; InSync, whether exchange and bot agree."""


def readable(data: Any) -> Any:
    """`data`, a stored status, without the fields that cannot be read.

    What another version wrote must not stop the account; but a hold is never forgotten, so that one is left to fail.
    """
    if not isinstance(data, Mapping):
        return data
    try:
        return TradingAccountStatus.model_validate(data)
    except ValidationError as error:
        names = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
        if names & _NEVER_FORGOTTEN:
            return data
        return {name: value for name, value in data.items() if name not in names}

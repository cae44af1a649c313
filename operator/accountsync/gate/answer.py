"""Whether a bot may trade: one pure function of what the gate knows.

In:  `Facts`. Out: `Answer`.

Invariants:
1. What is not known opens nothing: no account, one that was not read for too long, none judged since the boot.
2. A pause, `spec.paused` or `status.paused`, closes in every mode and outlives the account; only an override, which a
   person asked for, opens over it.
3. More that speaks for closing never opens, and never lets a bot do more than before.
4. What is not a pause closes at ReduceOnly: exits and stops go on where only knowledge is missing.
5. In mode Observe everything else only says that it would close.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from accountsync.domain.policy import Mode, PauseLevel


class Why(StrEnum):
    """Why a gate is closed, where no hold of the account's status says it."""

    GATE_ENDING = "GateEnding"
    GATE_LOST = "GateLost"
    UNKNOWN = "Unknown"
    ACCOUNT_DELETED = "AccountDeleted"
    PAUSED = "Paused"
    NOT_GATED = "NotGated"
    NOT_RECONCILED = "NotReconciled"
    ACCOUNT_UNREAD = "AccountUnread"
    HEARTBEAT_LOST = "HeartbeatLost"


DEFAULT_FAIL_CLOSED_AFTER = 60.0
"""Seconds; for an account without spec.bot.gate."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason: a word, a sentence for people; for a hold also who raised it (`source`), and since when."""

    reason: str
    message: str
    source: str = ""
    since: str = ""

    def document(self) -> dict[str, str]:
        """As JSON, without what is empty."""
        rows = {"reason": self.reason, "message": self.message, "source": self.source, "since": self.since}
        return {name: text for name, text in rows.items() if text or name in ("reason", "message")}


@dataclass(frozen=True, slots=True)
class Account:
    """What counts of a TradingAccount, as it was read last.

    `holds` say why it is `paused`, and `level` how far. `fail_closed_after`: seconds; None: it has no spec.bot.gate.
    """

    mode: str
    paused: bool = False
    level: PauseLevel = PauseLevel.REDUCE_ONLY
    holds: tuple[Cause, ...] = ()
    fail_closed_after: float | None = DEFAULT_FAIL_CLOSED_AFTER


@dataclass(frozen=True, slots=True)
class Override:
    """A person lets the bot trade whatever stands. `until`: RFC 3339."""

    until: str
    reason: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a gate knows. `account`: as last seen, also after it was `deleted`; None: it was never seen.

    `reconciled`: a cycle that began after the gate started, and after the bot's newest boot, judged everything.
    `beat_age`, `account_age`: seconds since the heartbeat last changed, and since the account was last known to be as
    it is. `buried`: the level of the pause in which an account of this name was deleted, since when none was judged;
    None: there is no such thing. `trouble`: why the account can't be read, for people. `ending`: the gate is about to
    end.
    """

    account: Account | None = None
    deleted: bool = False
    reconciled: bool = False
    beat_age: float = 0.0
    account_age: float = 0.0
    buried: PauseLevel | None = None
    override: Override | None = None
    trouble: str = ""
    ending: bool = False

    @property
    def fail_closed_after(self) -> float:
        """Seconds without news after which nothing counts any more."""
        given = self.account.fail_closed_after if self.account else None
        return DEFAULT_FAIL_CLOSED_AFTER if given is None else given


@dataclass(frozen=True, slots=True)
class Answer:
    """`open`: the bot may trade. Otherwise `level` says how far it stops and `causes` say why.

    `would_close`: why it would be closed in another mode than Observe, or without the override.
    """

    open: bool
    level: PauseLevel | None = None
    causes: tuple[Cause, ...] = ()
    would_close: tuple[Cause, ...] = ()
    override: Override | None = None
    mode: str = ""

    @property
    def may_reduce(self) -> bool:
        """Whether exits and stops may go on."""
        return self.open or self.level is PauseLevel.REDUCE_ONLY

    @property
    def word(self) -> str:
        """`open`, `closed ReduceOnly` or `closed Halt`: what a file and a log say."""
        return "open" if self.open else f"closed {self.level}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        override = self.override
        return {
            "open": self.open,
            "level": self.level and str(self.level),
            "reasons": [cause.document() for cause in self.causes],
            "wouldClose": bool(self.would_close),
            "wouldCloseReasons": [cause.document() for cause in self.would_close],
            "overridden": override and {"until": override.until, "reason": override.reason, "by": override.by},
            "mode": self.mode,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Answer":
        """The answer that `document` writes down. Raises ValueError, KeyError, TypeError or AttributeError."""
        is_open, override = document["open"], document.get("overridden")
        if not isinstance(is_open, bool):
            raise TypeError("open: expected true or false")
        return cls(
            open=is_open,
            level=None if is_open else PauseLevel(document["level"]),
            causes=tuple(Cause(**row) for row in document["reasons"]),
            would_close=tuple(Cause(**row) for row in document["wouldCloseReasons"]),
            override=Override(**override) if override else None,
            mode=document["mode"],
        )


def closed(reason: Why, message: str, level: PauseLevel = PauseLevel.REDUCE_ONLY) -> Answer:
    """A closed gate for one reason."""
    return Answer(open=False, level=level, causes=(Cause(str(reason), message),))


def decide(facts: Facts) -> Answer:
    """The answer."""
    mode = facts.account.mode if facts.account else ""
    plain = replace(_plain(facts), mode=mode)
    if facts.ending:
        ending = closed(Why.GATE_ENDING, "the gate's process is ending", plain.level or PauseLevel.REDUCE_ONLY)
        return replace(ending, mode=mode)
    if facts.override:
        return Answer(open=True, would_close=plain.causes or plain.would_close, override=facts.override, mode=mode)
    return plain


def _plain(facts: Facts) -> Answer:
    """The answer of a gate that nobody overrides."""
    account, lost = facts.account, facts.beat_age >= facts.fail_closed_after
    if account is None:
        return closed(Why.UNKNOWN, facts.trouble or "the TradingAccount was not read yet")
    levels = {facts.buried, account.level if account.paused else None}
    level = PauseLevel.HALT if PauseLevel.HALT in levels else PauseLevel.REDUCE_ONLY
    if account.paused and not facts.deleted:
        return Answer(open=False, level=level, causes=account.holds or (_PAUSED,))
    if account.paused or facts.buried is not None:
        return closed(Why.ACCOUNT_DELETED, _DELETED_WHILE_PAUSED, level)
    cause = _missing(facts, lost=lost)
    if cause is None:
        return Answer(open=True)
    if account.mode == Mode.OBSERVE:
        return Answer(open=True, would_close=(cause,))
    return Answer(open=False, level=PauseLevel.REDUCE_ONLY, causes=(cause,))


def _missing(facts: Facts, *, lost: bool) -> Cause | None:
    """What is missing for an account that is not paused."""
    assert facts.account is not None
    after, trouble = f"{facts.fail_closed_after:g} s", f": {facts.trouble}" if facts.trouble else ""
    operator = trouble or (": is the operator running, and is the API server reachable?" if lost else "")
    if facts.deleted and lost:
        return Cause(Why.ACCOUNT_DELETED, "the TradingAccount was deleted, and nobody judges the bot any more")
    if facts.account.fail_closed_after is None:
        return Cause(Why.NOT_GATED, "the TradingAccount has no spec.bot.gate: set it, e.g. {failClosedAfter: 60s}")
    if not facts.reconciled:
        message = "no cycle that began since the start of bot or gate has judged everything yet"
        return Cause(Why.NOT_RECONCILED, f"{message}{operator}")
    if facts.account_age >= facts.fail_closed_after:
        return Cause(Why.ACCOUNT_UNREAD, f"the TradingAccount could not be read for {after}{trouble}")
    if lost:
        return Cause(Why.HEARTBEAT_LOST, f"no heartbeat of the operator for {after}{operator}")
    return None


_PAUSED = Cause(Why.PAUSED, "the account is paused, and its status does not say why")
_DELETED_WHILE_PAUSED = (
    "the TradingAccount was deleted while it was paused, and none of that name was judged since: create it again"
    " without a pause, or override the gate"
)

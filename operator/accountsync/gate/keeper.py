"""What the gate knows, and its answer, told to whoever listens.

In:  readings and changes of the account and of its heartbeat, the bot's state, a person's override; and time.
Out: the current `Answer` and its JSON, at once and from memory; each change to the listeners, in order.

Invariants:
1. The answer is never older than the last thing that was told, nor than the moment in which time alone changes it.
2. Ages are of a clock that counts suspend, on this machine alone; no time that another machine wrote is compared.
3. A heartbeat that was lost is found again by a change that arrives while it is watched, not by one that a new reading
   brings up: that may be as old as the silence.
4. A Lease counts only if it belongs to the very account that is followed: not to another one that had its name.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from accountsync.clock import elapsed
from accountsync.domain.policy import PauseLevel
from accountsync.gate.account import read_account
from accountsync.gate.answer import Account, Answer, Facts, Override, decide
from accountsync.gate.fence import Fence
from accountsync.gate.heartbeat import Beat

Body = Mapping[str, Any]
Listener = Callable[[Answer, bytes], None]
OVERRIDE_MAX: Final = 24 * 3600.0
"""Seconds."""
log = logging.getLogger("accountsync.gate")


@dataclass(frozen=True, slots=True)
class Belief:
    """What the bot said last, as it said it. `boot_id`: None where it gave none."""

    document: bytes
    boot_id: str | None


class Keeper:
    """The gate of one account. `now`: seconds that count suspend. Not thread-safe: all calls come from one loop."""

    def __init__(self, namespace: str, name: str, *, now: Callable[[], float] = elapsed) -> None:
        self.namespace = namespace
        self.name = name
        self.belief: Belief | None = None
        self.changed: list[Listener] = []
        self.wants_reading: Callable[[], None] = lambda: None
        """Is called where the heartbeat has to be read anew."""
        self._now = now
        self._uid = ""
        self._account: Account | None = None
        self._deleted = False
        self._buried: PauseLevel | None = None
        self._trouble: dict[str, str] = {}
        self._beat_at = self._account_at = self._fence_at = now()
        self._version: str | None = None
        self._fence = Fence()
        self._override: Override | None = None
        self._override_ends = 0.0
        self._ending = False
        self._due: float | None = None
        self._answer, self._json = Answer(open=False), b""
        self._sequence = 0
        self._tell()

    # --- what it says ------------------------------------------------------------------------------------------------

    @property
    def answer(self) -> Answer:
        """Now."""
        if self._due is not None and self._now() >= self._due:
            self.tick()
        return self._answer

    @property
    def json(self) -> bytes:
        """The answer as `GET /gate` gives it."""
        _ = self.answer
        return self._json

    @property
    def sequence(self) -> int:
        """Grows with each change of the answer."""
        return self._sequence

    @property
    def beat_age(self) -> float:
        """Seconds since the heartbeat last changed; since the start where it never did."""
        return self._now() - self._beat_at

    @property
    def fail_closed_after(self) -> float:
        """Seconds."""
        return self._facts().fail_closed_after

    @property
    def unready(self) -> str:
        """Why the account is not known; empty: it is."""
        if self._account is not None:
            return ""
        return self._trouble.get("account") or "the TradingAccount was not read yet"

    def tick(self) -> None:
        """Let time count."""
        if self._override and self._now() >= self._override_ends:
            log.warning("the override of the gate has ended", extra={"reason": self._override.reason})
            self._override = None
        self._tell()

    # --- the account -------------------------------------------------------------------------------------------------

    def account_is(self, body: Body, at: float) -> None:
        """The account was read by a request of `at`, or changed."""
        uid = str(body["metadata"].get("uid", ""))
        self._account_at, self._deleted = max(at, self._account_at), False
        self._trouble.pop("account", None)
        try:
            self._account = read_account(body)
        except ValueError as error:
            self._account = None
            self._trouble["account"] = str(error)
        if uid != self._uid:
            if self._uid:
                self._put_up_fence("another TradingAccount of this name")
            self._uid = uid
        self._tell()

    def account_is_gone(self, at: float, last: Body | None = None) -> None:
        """There is no such account. `last`: as it was when it was deleted, if that was told."""
        if last is not None:
            self.account_is(last, at)
        self._account_at = max(at, self._account_at)
        self._deleted = self._account is not None
        if self._account is not None and self._account.paused and self._buried is not PauseLevel.HALT:
            self._buried = self._account.level
        if not self._deleted:
            where = f"{self.namespace}/{self.name}"
            self._trouble["account"] = f"there is no TradingAccount {where}: check --namespace and --account"
        self._tell()

    def account_is_unchanged(self, at: float) -> None:
        """The watch is alive and brings nothing new."""
        self._account_at = max(at, self._account_at)

    def troubled(self, what: str, why: str) -> None:
        """`what` (account or heartbeat) can't be read."""
        self._trouble[what] = why
        self._tell()

    # --- the heartbeat -----------------------------------------------------------------------------------------------

    def heartbeat_read(self, body: Body | None, at: float) -> None:
        """The Lease was read by a request of `at`; None: there is none."""
        self._trouble.pop("heartbeat", None)
        version = "" if body is None else str(body["metadata"]["resourceVersion"])
        first, lost = self._version is None, self.beat_age >= self.fail_closed_after
        if body is not None:
            self._beat(body, version, counts=not first and not lost)
        if at >= self._fence_at:
            self._fence = self._fence.after_reading(version)
        self._version = version
        self._tell()

    def heartbeat_changed(self, body: Body) -> None:
        """The Lease changed while it was watched."""
        version = str(body["metadata"]["resourceVersion"])
        self._beat(body, version, counts=True)
        self._version = version
        self._tell()

    def _beat(self, body: Body, version: str, *, counts: bool) -> None:
        if version == self._version or not self._uid or _owner(body) != self._uid:
            return  # nothing new, or of another account, which may be gone
        if counts:
            self._beat_at = self._now()
        waiting = not self._fence.passed
        self._fence = self._fence.after(version, Beat.read(body))
        if waiting and self._fence.passed:
            log.info("a cycle that began since the start has judged everything")
            if not self._deleted:
                self._buried = None

    def _put_up_fence(self, why: str) -> None:
        log.warning("closed until a cycle that begins from now on has judged everything", extra={"why": why})
        self._fence, self._fence_at = Fence(), self._now()
        self.wants_reading()

    # --- the bot, and people -----------------------------------------------------------------------------------------

    def believe(self, belief: Belief) -> None:
        """The bot told what it believes."""
        before, self.belief = self.belief, belief
        if before is not None and before.boot_id != belief.boot_id:
            self._put_up_fence("the bot booted")
        self._tell()

    def override(self, span: float, reason: str, by: str) -> None:
        """Open for `span` seconds, whatever stands."""
        self._override_ends = self._now() + span
        until = datetime.fromtimestamp(datetime.now(UTC).timestamp() + span, UTC)
        self._override = Override(until.isoformat(timespec="seconds").replace("+00:00", "Z"), reason, by)
        log.warning("the gate is overridden", extra={"until": self._override.until, "reason": reason, "by": by})
        self._tell()

    def end_override(self) -> bool:
        """Let what stands count again. False: there was no override."""
        there, self._override = self._override is not None, None
        if there:
            log.warning("the override of the gate was taken back")
        self._tell()
        return there

    def end(self) -> None:
        """Close for good."""
        self._ending = True
        self._tell()

    # --- telling -----------------------------------------------------------------------------------------------------

    def _facts(self) -> Facts:
        now = self._now()
        return Facts(
            account=self._account,
            deleted=self._deleted,
            reconciled=self._fence.passed,
            beat_age=now - self._beat_at,
            account_age=now - self._account_at,
            buried=self._buried,
            override=self._override,
            trouble=self._trouble.get("account") or self._trouble.get("heartbeat", ""),
            ending=self._ending,
        )

    def _tell(self) -> None:
        facts = self._facts()
        answer = decide(facts)
        ends = [at + facts.fail_closed_after for at in (self._beat_at, self._account_at)]
        ends += [self._override_ends] if self._override else []
        self._due = min((end for end in ends if end > self._now()), default=None)
        if self._sequence and answer == self._answer:
            return
        word, self._answer = self._answer.word, answer
        self._sequence += 1
        document = {"namespace": self.namespace, "account": self.name, "sequence": self._sequence}
        self._json = json.dumps(document | answer.document()).encode()
        if answer.word != word or self._sequence == 1:
            told = {"answer": answer.word, "reasons": [cause.reason for cause in answer.causes]}
            log.info("the gate is %s", answer.word, extra=told)
        for listener in self.changed:
            listener(answer, self._json)


def _owner(body: Body) -> str:
    """The uid of the account to which a Lease belongs; empty: it does not say."""
    owners: Sequence[Body] = body["metadata"].get("ownerReferences") or ({},)
    return str(owners[0].get("uid") or "")

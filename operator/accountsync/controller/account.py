"""One account's loop: when a cycle is due, what it needs, and what is written of it.

Invariants: cycles of one account never overlap; a restart of the operator spreads first cycles over the interval; a
failure of one account, even a bug, never ends another's loop or its own; a hold is never forgotten.
"""

import asyncio
import hashlib
import time
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from math import inf
from typing import Any

import structlog

from accountsync.api import v1alpha1 as api
from accountsync.api.caps import token
from accountsync.controller import status as written
from accountsync.controller.conditions import Failing, Outlook, conditions
from accountsync.controller.heartbeats import Pulse
from accountsync.controller.kube import CONFLICT, FORBIDDEN, NOT_FOUND, KubeError
from accountsync.controller.ledger_keeper import LedgerKeeper
from accountsync.controller.ownership import Owner
from accountsync.controller.pausing import Pausing, address_of
from accountsync.controller.policy import policy_of, watchdog_of
from accountsync.controller.remedying import Remedying
from accountsync.controller.rights import STATUS
from accountsync.controller.sides import explained
from accountsync.controller.telling import RESUME, RESUMED_BY, summary, tell_all
from accountsync.controller.tools import Tools
from accountsync.controller.trouble import place_of
from accountsync.cycle import Cycle, State, idle, run
from accountsync.domain.catalogue import Rule
from accountsync.domain.decide import Decision, Wishes
from accountsync.domain.finding import Finding
from accountsync.domain.held import Held
from accountsync.domain.holds import Holds, Source
from accountsync.domain.policy import Policy
from accountsync.domain.sharing import Sharing
from accountsync.domain.stopping import wanted
from accountsync.errors import ConfigurationError, Reason
from accountsync.exchange.tested import untested
from accountsync.observe import Failure
from accountsync.ports import BotState, Exchange
from accountsync.report.ledger_series import LedgerSeries
from accountsync.report.lines import details
from accountsync.report.lines import summary as discrepancies
from accountsync.report.metrics import AccountSeries

REQUESTED_AT = f"{api.GROUP}/requestedAt"
RESET_ASKED = f"{api.GROUP}/reset"
HOUSEKEEPING = 60.0
MINIMUM_SPACING = 1.0
WRITE_TRIES = 3
log = structlog.get_logger()


class Trigger(StrEnum):
    """Why a loop wakes before its cycle is due."""

    PEOPLE = "people"
    BELIEF = "belief"
    SECRET = "secret"  # noqa: S105 - not a password
    PLAN = "plan"
    RIGHTS = "rights"


class Gone(Exception):  # noqa: N818 - no error: the account was deleted
    """The account is no longer there."""


class HandedOver(Exception):  # noqa: N818 - no error: another replica looks after it
    """The account is another's now."""


class AccountLoop:
    """Looks after one TradingAccount until it is ended, cancelled, or the object is gone or another's."""

    def __init__(self, body: Mapping[str, Any], tools: Tools, owner: Owner, *, fresh: bool) -> None:
        self.body = body
        self.owner = owner
        self.gone = False
        self._ended = False
        self._judged = body
        """The object that the present cycle speaks of; `body` may have moved on."""
        self._tools = tools
        self._fresh = fresh
        metadata = body["metadata"]
        self.uid: str = metadata["uid"]
        self.namespace: str = metadata["namespace"]
        self.name: str = metadata["name"]
        self._log = log.bind(namespace=self.namespace, account=self.name)
        self._triggers: set[Trigger] = set()
        self._wake = asyncio.Event()
        self._status = api.TradingAccountStatus()
        self._state = State()
        self._restored = False
        self._unwritten = False
        self._remedying = Remedying(tools, owner, self.namespace, self.name, self.uid)
        self._pausing = Pausing(tools.events, owner, self.namespace, self.name)
        self._keeper = LedgerKeeper(tools, owner, self.namespace, self.name)
        self._handled_resume = ""
        self._started = float("-inf")
        self._exchange_failing: Failing | None = None
        self._bot_failing: Failing | None = None
        self._observed = False
        self._excess: tuple[str, ...] = ()
        self._withheld = ""
        self._whole_at: float | None = None
        """When a cycle last judged the whole account, or, before the first that did, any of it."""
        self._written = ""
        self._summed_at = float("-inf")
        self._written_at = float("-inf")
        self._aged_from = self._unbelieved_from = tools.clock.monotonic()
        """From when on it has had no snapshot, and no belief."""
        self._believed: int | None = None
        """Unix ms of the as-of time of the last belief that counted."""
        self._told_unwritable = False
        self._held: Held | None = None
        """Since when the bot can see that it is held."""
        self._pulse = Pulse(self.namespace, self.name, self.uid, owner)
        self._beats = False
        """Whether it runs, so that its gate is told."""
        self._reports = 0
        """How many reports came to their end, written or not."""

    # --- what wakes it -----------------------------------------------------------------------------------------------

    def update(self, body: Mapping[str, Any]) -> None:
        """Take the object as the API server shows it now."""
        if _version(body) < _version(self.body):
            return
        before, self.body = self.body, body
        self.owner.see(body)
        self._tell_gate()
        if self.owner.lost:
            self.end()
        if _asked(before) != _asked(body):
            self.wake(Trigger.PEOPLE)

    def wake(self, trigger: Trigger) -> None:
        """Run a cycle soon. A changed belief matters only while something is to be confirmed, resolved or lifted."""
        if trigger is Trigger.PLAN:
            self._remedying.forget()
        waiting = self._state.tracks or {Source.STARTUP, Source.STALE} & self._state.holds.keys() or self._bot_failing
        if trigger is Trigger.BELIEF and not waiting:
            return
        self._triggers.add(trigger)
        self._wake.set()

    def end(self) -> None:
        """Finish the report that is being written, if one is, and begin nothing more."""
        self._ended = True
        self._wake.set()

    def _go_on(self) -> None:
        if self._ended:
            raise HandedOver

    def uses_secret(self, name: str) -> bool:
        """Whether the spec names this Secret of its namespace."""
        return name in self._named("secretRef")

    def uses_configmap(self, name: str) -> bool:
        """Whether the bot's state is in this ConfigMap of its namespace."""
        return name in self._named("configMap")

    @property
    def reads_configmap(self) -> bool:
        """Whether the bot's state is in a ConfigMap at all."""
        return bool(self._named("configMap"))

    @property
    def makes_plans(self) -> bool:
        """Whether the mode lets something be done about what is found."""
        remediation = (self.body.get("spec") or {}).get("remediation") or {}
        return remediation.get("mode") == api.Mode.ENFORCE

    @property
    def has_plans(self) -> bool:
        """Whether there may be plans of it."""
        return self._remedying.course.known

    def awaits_plan(self, name: str, version: str) -> bool:
        """Whether the plan `name` is open, and was another version when it was read."""
        return self._remedying.awaits(name, version)

    def _named(self, field: str) -> set[str]:
        def walk(node: Any) -> set[str]:
            if not isinstance(node, Mapping):
                return set()
            here = {node[field]["name"]} if isinstance(node.get(field), Mapping) and "name" in node[field] else set()
            return here.union(*(walk(value) for value in node.values()))

        return walk(self.body.get("spec", {}))

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Cycle until the account is gone."""
        self._log.info("ReconciliationLoop started")
        series = self._tools.metrics.open(self.uid, self.namespace, self.name)
        await self._guarded(series, self._begin(series))
        due = self._tools.clock.monotonic() if self._fresh else self._first_due()
        self._beats = True
        try:
            while True:
                self._pulse.due = due
                self._tell_gate()
                await self._sleep_until(due, series)
                triggers, self._triggers = self._triggers, set()
                async with self._tools.slots:
                    self._go_on()
                    began = self._tools.clock.monotonic()
                    if triggers == {Trigger.RIGHTS} and began < due:
                        await self._guarded(series, self._tell_rights(series))
                        continue
                    self._started = began
                    self._pulse.due = min(due, began)
                    await self._guarded(series, self._turn(series, triggers))
                due = self._next_due()
        except Gone:
            self.gone = True
            self._log.info("account is gone")
        except HandedOver:
            self._log.info("handed over", owner=self.owner.seen)
        finally:
            self._beats = False
            self._tell_gate()
            self._tools.metrics.forget(self.uid)
            self._tools.sides.forget(self.uid)
            if self._tools.evidence is not None:
                self._tools.evidence.forget(f"{self.namespace}/{self.name}")

    def _tell_gate(self) -> None:
        """Let the heartbeat go on, begin or end, as the spec says and while it runs."""
        heartbeats = self._tools.heartbeats
        if heartbeats is None:
            return
        self._pulse.fail_closed_after = _fail_closed_after(self.body) if self._beats else None
        heartbeats.follow(self._pulse)

    async def _begin(self, series: AccountSeries) -> None:
        """Let the series show what stood before a restart, so that no alert resolves before the first cycle."""
        account, _ = self._parsed(self.body)
        self._expect(series, account)
        series.since, series.belief_since = self._aged_from, self._unbelieved_from
        series.credentials_valid = _credentials_valid(self.body.get("status"))
        series.stand(self._state.tracks, self._state.holds)

    async def _sleep_until(self, due: float, series: AccountSeries) -> None:
        """Wait for the next cycle or a trigger; long intervals still count standing findings every minute."""
        while not self._ended and (left := self._wake_at(due) - self._tools.clock.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, HOUSEKEEPING)):
                    await self._wake.wait()
                self._wake.clear()
            except TimeoutError:
                series.recount(self._state.tracks, self._tools.clock.monotonic())

    def _wake_at(self, due: float) -> float:
        """Triggers come at most every second; a changed belief waits for longer, and for weight to spare."""
        if not self._triggers:
            return due
        spacing = MINIMUM_SPACING
        if self._triggers == {Trigger.BELIEF}:
            if not self._tools.sides.on_pace(self.uid):
                return due
            spacing = max(spacing, self._interval() / 3)
        return min(due, self._started + spacing)

    def _next_due(self) -> float:
        """The next tick of this account's own phase, so that accounts spread over the interval."""
        interval = self._interval()
        now = self._tools.clock.monotonic()
        wait = interval - (now - self._phase() * interval) % interval
        if self._unwritten:
            wait = min(wait, HOUSEKEEPING)
        if self._remedying.again is not None:
            wait = min(wait, max(self._remedying.again, self._started + MINIMUM_SPACING - now))
        return now + wait

    def _first_due(self) -> float:
        """After a restart: the next tick, or sooner, by its phase too, where the operator was away for long."""
        now, interval = self._tools.clock.monotonic(), self._interval()
        due = self._next_due()
        if now - self._aged_from <= 2 * interval:
            return due
        return min(due, now + self._phase() * min(interval, HOUSEKEEPING))

    def _phase(self) -> float:
        """A share of the interval that is this account's own, from 0 to 1."""
        return int(hashlib.sha256(self.uid.encode()).hexdigest()[:8], 16) / 2**32

    def _interval(self) -> float:
        try:
            return min(api.Duration(self.body["spec"]["interval"]).seconds, 86_400.0) or HOUSEKEEPING
        except (KeyError, TypeError, ValueError):
            return HOUSEKEEPING

    async def _guarded(self, series: AccountSeries, turn: Coroutine[Any, Any, None]) -> None:
        reports = self._reports
        try:
            await turn
        except (Gone, HandedOver, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - a bug in one cycle must not end the loop
            series.errors[Reason.INTERNAL.label] += 1
            self._pulse.reported = self._pulse.reported and self._reports > reports
            self._log.error("cycle failed", error=type(error).__name__, place=place_of(error))

    async def _turn(self, series: AccountSeries, triggers: set[Trigger]) -> None:
        tools = self._tools
        self._judged = self.body
        account, invalid = self._parsed(self._judged)
        policy = policy_of(account.spec) if account else Policy()
        self._expect(series, account)
        base = self._base(account, invalid)
        wishes = self._wishes(account, self._judged)
        if series.suspended:
            self._aged_from = self._unbelieved_from = tools.clock.monotonic()
        series.since, series.belief_since = self._aged_from, self._unbelieved_from
        if account is None or series.suspended:
            followed = self._follow(self._idle(policy, wishes), series, wishes)
            await self._report(followed, base, series, handled=True)
            await self._pause(account, policy, wishes, base, series)
            return
        if self._state.created or Trigger.PEOPLE in triggers:
            created = self._state.created
            followed = self._follow(self._idle(policy, wishes), series, wishes)
            if created or followed.decision.transitions or followed.decision.refusal:
                await self._report(followed, self._now(base, policy, account.spec), series, handled=False)
                await self._pause(account, policy, wishes, base, series)
            wishes = replace(wishes, resume="")
        started = time.perf_counter()
        exchange, bot = await tools.sides.of(account)
        policy = await self._remedying.recall(account, policy, (exchange, bot), self._state.holds)
        sharing = tools.shares.of(self.uid)
        self._pulse.begun += 1
        number = self._pulse.begun
        cycle = await run(
            self._state,
            policy,
            wishes,
            exchange,
            bot,
            tools.clock,
            since=self._aged_from,
            sharing=sharing,
            course=self._remedying.course,
            held=self._held,
            patience=self._remedying.patience,
        )
        tools.shares.believe(self.uid, cycle.state.believed, policy.belief_stale_after_ms)
        self._follow(cycle, series, wishes)
        tools.metrics.cycle_duration.observe(time.perf_counter() - started)
        self._learn(cycle, account, series)
        self._remedying.judge_reset(_annotation(self._judged, RESET_ASKED), cycle, policy, sharing)
        now = self._now(replace(base, observed=True), policy, account.spec)
        await self._report(cycle, now, series, handled=True)
        self._judged_for_gate(cycle, number)
        acts_first = self._remedying.resetting  # by a reading that gets old while a bot that hangs is called
        if not acts_first:
            await self._pause(account, policy, wishes, replace(base, observed=True), series)
        await self._act(cycle, account, policy, sharing, (exchange, bot), series)
        if acts_first:
            await self._pause(account, policy, wishes, replace(base, observed=True), series)
        if cycle.bot is not None and cycle.bot.reason is Reason.BOT_REFUSED:
            tools.sides.forget_bot_secret(account)
        if cycle.accepted:
            self._excess = await tools.sides.excess_rights(account)
        rejected = cycle.exchange is not None and cycle.exchange.reason is Reason.CREDENTIALS_REJECTED
        if rejected and await tools.sides.rotated(account):
            self.wake(Trigger.SECRET)

    async def _act(
        self,
        cycle: Cycle,
        account: api.TradingAccount,
        policy: Policy,
        sharing: Sharing,
        sides: tuple[Exchange, BotState],
        series: AccountSeries,
    ) -> None:
        """Do what is due, unless somebody changed their mind meanwhile."""
        if self._unwritten or _acted_by(self.body) != _acted_by(self._judged):
            return
        await self._remedying.act(cycle, policy, sharing, series, self.body)
        exchange, bot = sides
        if account.spec.bot.state.postgres is not None and (ledger := self._tools.sides.ledger(bot)) is not None:
            ledgers = exchange, ledger
            await self._keeper.reconcile(cycle, account, policy, sharing, ledgers, series, lambda: self.body)

    def _judged_for_gate(self, cycle: Cycle, number: int) -> None:
        """Tell the gate of the cycle of this `number` if it judged everything, now that its holds can be seen."""
        if not cycle.whole or self._unwritten:
            return
        self._pulse.judged = number
        if self._tools.heartbeats is not None:
            self._tools.heartbeats.hasten(self._pulse)

    async def _pause(
        self, account: api.TradingAccount | None, policy: Policy, wishes: Wishes, base: Outlook, series: AccountSeries
    ) -> None:
        """After a report: have a bot that is stopped by calls obey it."""
        if account is None or self._unwritten:
            return
        source = account.spec.bot.state.freqtrade
        if source is None:
            await self._pausing.forget(self.body)
            series.not_stopped = None
            return
        heard = replace(wishes, resume="")

        async def write() -> bool:
            followed = self._follow(self._idle(policy, heard), series, heard)
            outlook = base if series.suspended else self._now(base, policy, account.spec)
            await self._report(followed, outlook, series, handled=False)
            return not self._unwritten

        pauser = self._tools.sides.pauser(account)
        bot = address_of(source)
        await self._pausing.obey(bot, pauser, self._holds, self._pause_level(), write, series, lambda: self.body)
        series.not_stopped = self._pausing.not_stopped
        self._follow_holds()

    def _holds(self) -> Holds:
        """The holds, as long as they are ours to enforce."""
        if self.owner.lost:
            raise HandedOver
        return self._state.holds

    async def _tell_rights(self, series: AccountSeries) -> None:
        """Write what the operator may not do, without reading anything."""
        account, invalid = self._parsed(self.body)
        if not self._status.conditions:
            await self._tell_unwritable()
            return  # the first report tells the rest too
        self._judged = self.body
        policy = policy_of(account.spec) if account else Policy()
        wishes = self._wishes(account, self._judged)
        followed = self._follow(self._idle(policy, wishes), series, wishes)
        base = self._base(account, invalid)
        reads = account is not None and not series.suspended
        outlook = self._now(base, policy, account.spec) if account is not None and reads else base
        await self._report(followed, outlook, series, handled=False)

    def _idle(self, policy: Policy, wishes: Wishes) -> Cycle:
        return idle(self._state, policy, wishes, self._tools.clock, self._remedying.course)

    def _expect(self, series: AccountSeries, account: api.TradingAccount | None) -> None:
        """What the spec says of the account's series; they keep it while the spec is not valid."""
        off = not self._tools.settings.sync_enabled
        series.suspended = off or (account is not None and account.spec.suspend)
        if account is None:
            invalid_from = self._tools.clock.monotonic() if self._observed else self._aged_from
            self._pulse.judged_until = min(self._pulse.judged_until, invalid_from + series.stale_after)
            return
        self._pulse.judged_until = inf
        spec = account.spec
        series.stale_after = spec.stale_after.seconds
        series.belief_stale_after = spec.bot.stale_after.seconds
        series.patience = self._pulse.patience = spec.patience
        series.mismatch_limit = spec.alerts.mismatch_notional if spec.alerts else None
        watchdog = watchdog_of(spec)
        series.watchdog_limit = watchdog.limit if watchdog else None
        if spec.bot.state.postgres is None:
            series.ledger = None
        elif series.ledger is None:
            series.ledger = LedgerSeries()

    def _base(self, account: api.TradingAccount | None, invalid: Failure | None) -> Outlook:
        """What is known without reading anything."""
        return Outlook(
            disabled=not self._tools.settings.sync_enabled,
            suspended=account.spec.suspend if account else False,
            invalid=invalid,
            observed=self._observed,
            untested=account.spec.exchange.id if account and untested(account.spec.exchange.id) else "",
            missing=self._tools.rights.missing(self.namespace),
            only_late=self._tools.rights.only_late(self.namespace),
            ledger=self._ledger_verdict(account),
        )

    def _ledger_verdict(self, account: api.TradingAccount | None) -> tuple[str, str, str] | None:
        """How the last run over its ledger ended; before the first of this process, what its status says."""
        if account is not None and account.spec.bot.state.postgres is None:
            return None
        told = (row for row in self._status.conditions if row.type == "LedgerReconciled")
        return self._keeper.verdict or next(((row.status, row.reason, row.message) for row in told), None)

    def _learn(self, cycle: Cycle, account: api.TradingAccount, series: AccountSeries) -> None:
        """What `cycle` says of both sides, for conditions, metrics, evidence and the log."""
        tools = self._tools
        for finding in cycle.outcome.confirmed:
            track = cycle.state.tracks[finding.key]
            tools.metrics.detection_latency.observe((track.last_seen - track.first_seen) / 1000)
        self._observed = True
        failure = explained(cycle.exchange, account) if cycle.exchange is not None else None
        self._exchange_failing = _failing(self._exchange_failing, failure)
        self._bot_failing = _failing(self._bot_failing, cycle.bot)
        if cycle.whole or (cycle.complete and self._whole_at is None):
            self._whole_at = tools.clock.monotonic()
        series.record(cycle, tools.clock.monotonic(), tools.clock.now_ms())
        if cycle.believed_at is not None:
            as_of = tools.clock.now_ms() - round((tools.clock.monotonic() - cycle.believed_at) * 1000)
            self._believed = max(as_of, self._believed or as_of)
        if tools.evidence is not None and (account.spec.evidence or tools.settings.evidence):
            tools.evidence.offer(f"{self.namespace}/{self.name}", cycle)
        self._tell_log(cycle)

    def _tell_log(self, cycle: Cycle) -> None:
        """Each finding when it is confirmed, and the sums of all that stand, then and every minute."""
        for event, fields in details(cycle.outcome.confirmed):
            self._log.warning(event, **fields)
        now = self._tools.clock.monotonic()
        if cycle.outcome.confirmed or (cycle.outcome.shown and now - self._summed_at >= HOUSEKEEPING):
            self._log.warning(discrepancies(cycle.outcome.shown))
            self._summed_at = now
        for finding in cycle.outcome.resolved:
            self._log.info("Discrepancy resolved", rule=finding.rule.value, symbol=finding.symbol, id=finding.id)
        for offence in cycle.offences:
            self._log.warning("PauseNotHonoured", what=offence.message, symbol=offence.symbol, id=offence.ref)

    def _follow(self, cycle: Cycle, series: AccountSeries, wishes: Wishes) -> Cycle:
        """Make what `cycle` decided our own."""
        self._state = cycle.state
        self._handled_resume = wishes.resume or self._handled_resume
        series.stand(self._state.tracks, self._state.holds)
        series.turned(cycle.decision.transitions)
        self._remedying.heard(cycle.decision.transitions)
        self._withheld = cycle.decision.withheld
        return cycle

    # --- what is known -----------------------------------------------------------------------------------------------

    def _parsed(self, body: Mapping[str, Any]) -> tuple[api.TradingAccount | None, Failure | None]:
        """The object as models; on the first call also what its status remembers."""
        if not self._restored:
            self._status = api.parse_status(self.body)
            clock = self._tools.clock
            self._state = written.restore(self._status, clock.monotonic(), clock.now_ms())
            self._held = written.held(self._status)
            self._handled_resume = self._status.last_handled_resume or ""
            self._remedying.restore(self._status)
            self._pausing.restore(self._status)
            if self._is_called() and self._pausing.obeyed is None:
                self._held = None
            if self._status.observed_generation is not None:
                self._written = written.significant(self._status.dump())
            self._aged_from = self._tools.clock.monotonic() - self._unsynced_for()
            self._unbelieved_from = self._tools.clock.monotonic() - self._unbelieved_for()
            self._restored = True
        try:
            return api.TradingAccount.parse({**body, "status": {}}), None
        except ConfigurationError as error:
            return None, Failure.of(error)

    def _unsynced_for(self) -> float:
        """Seconds since the last good snapshot of before this process, or since the account was created."""
        watermarks = self._status.watermarks
        return self._gone_by(watermarks.snapshot if watermarks else None)

    def _unbelieved_for(self) -> float:
        """Seconds since the as-of time of the last belief that counted before this process, or as `_unsynced_for`."""
        watermarks = self._status.watermarks
        self._believed = watermarks.belief if watermarks else None
        if self._believed is None and watermarks is not None and watermarks.boot_id:
            return self._unsynced_for()  # a version wrote it that kept no time of a belief
        return self._gone_by(self._believed)

    def _gone_by(self, last: int | None) -> float:
        """Seconds since `last`, or since the account was created."""
        if last is None:
            last = written.milliseconds(datetime.fromisoformat(self.body["metadata"]["creationTimestamp"]))
        return max(0.0, (self._tools.clock.now_ms() - last) / 1000)

    def _wishes(self, account: api.TradingAccount | None, body: Mapping[str, Any]) -> Wishes:
        resume = _annotation(body, RESUME)
        spec = body.get("spec", {})
        return Wishes(
            paused=account.spec.paused if account else spec.get("paused") is True,
            pause_reason=account.spec.pause_reason if account else "",
            resume=resume if resume != self._handled_resume else "",
        )

    def _now(self, base: Outlook, policy: Policy, spec: api.TradingAccountSpec) -> Outlook:
        drift = [
            track.finding
            for track in self._state.tracks.values()
            if track.confirmed and track.finding.rule is not Rule.TIMESTAMP_REGRESSION
        ]
        return replace(
            base,
            exchange=self._exchange_failing,
            bot=self._bot_failing,
            open=sum(1 for track in self._state.tracks.values() if not track.confirmed),
            sync=self._sync(drift, spec.patience, partly=self._partly(policy)),
            partly=self._partly(policy),
            drift=summary(drift),
            unprotected=self._remedying.unprotected,
            blocked=self._remedying.blocked,
            reset=self._remedying.reset,
            excess=self._excess,
            skew_ms=self._state.snapshot.skew_ms if self._state.snapshot else 0,
        )

    def _partly(self, policy: Policy) -> bool:
        """Whether no cycle has judged the whole account for longer than it takes to be stale."""
        return self._whole_at is not None and self._tools.clock.monotonic() - self._whole_at > policy.stale_after

    def _sync(self, drift: list[Finding], patience: float, *, partly: bool) -> api.Sync:
        judged_at = self._state.judged_at
        sides = [side for side in (self._exchange_failing, self._bot_failing) if side is not None]
        if judged_at is None and self._status.sync and not any(side.counts for side in sides):
            return api.Sync(self._status.sync)  # of before a restart, until this process knows better
        late = judged_at is None or self._tools.clock.monotonic() - judged_at > patience
        if late or any(side.failure.permanent for side in sides):
            return api.Sync.UNKNOWN
        if drift:
            return api.Sync.OUT_OF_SYNC
        if partly:
            return api.Sync.UNKNOWN
        if all(track.confirmed for track in self._state.tracks.values()):
            return api.Sync.IN_SYNC
        # Differences that do not count yet: what was in sync is presumed so, and nothing else is.
        return api.Sync.IN_SYNC if self._status.sync == api.Sync.IN_SYNC else api.Sync.UNKNOWN

    # --- what is written ---------------------------------------------------------------------------------------------

    async def _report(self, cycle: Cycle, outlook: Outlook, series: AccountSeries, *, handled: bool) -> None:
        """Write the status where it is due, then tell people what changed."""
        before = self._status
        told = list(cycle.decision.transitions)
        refusal = cycle.decision.refusal
        for _ in range(WRITE_TRIES):
            if self.owner.lost:
                raise HandedOver
            status = self._composed(outlook, told, handled=handled)
            document = written.fitted(status.dump())
            series.credentials_valid = _credentials_valid(document)
            weighty = written.significant(document)
            now = self._tools.clock.monotonic()
            self._unwritten = False
            if weighty == self._written and now - self._written_at < self._heartbeat():
                self._pulse.reported = True
                break
            try:
                applied = await self._tools.kube.apply_status(
                    self.namespace, self.name, self.body["metadata"]["resourceVersion"], document
                )
            except KubeError as error:
                if error.status == NOT_FOUND:
                    raise Gone from None
                self._tools.metrics.status_writes.labels("conflict" if error.status == CONFLICT else "error").inc()
                if error.status == FORBIDDEN:
                    self._tools.rights.refused("patch", STATUS, self.namespace)
                if error.status != CONFLICT:
                    self._pulse.reported = False
                    self._log.warning("status not written", status=error.status)
                    await asyncio.sleep(0.5)
                    continue
                if (again := await self._decide_again()) is not None:
                    told += again.transitions
                    series.turned(again.transitions)
                    refusal = again.refusal or refusal
                continue
            self._tools.metrics.status_writes.labels("ok").inc()
            self._tools.rights.granted("patch", STATUS, self.namespace)
            self._told_unwritable, self._pulse.reported = False, True
            self._written, self._written_at, self._status = weighty, now, status
            self.body = applied
            self.owner.written()
            break
        else:
            self._unwritten, self._pulse.reported = True, False
            await self._tell_unwritable()
        self._reports += 1
        self._follow_holds()
        self._remedying.reported(self._state.holds, written=not self._unwritten)
        await tell_all(
            self._tools.events, self.body, cycle.outcome, told, self._state.holds, refusal, (before, self._status)
        )

    def _follow_holds(self) -> None:
        """After a report, or a call: since when the bot can see that it is held, and how far it is to stop."""
        level = self._pausing.obeyed if self._is_called() else self._status.pause_level
        if not self._state.holds or (self._is_called() and level is None):
            self._held = None
        elif not self._unwritten:
            now = self._tools.clock.now_ms()
            before = self._held or Held(now)
            halted = (before.halted or now) if level == api.PauseLevel.HALT else None
            self._held = replace(before, halted=halted)

    def _is_called(self) -> bool:
        """Whether the bot learns of its holds by calls only, and not from the status."""
        return (((self._judged.get("spec") or {}).get("bot") or {}).get("state") or {}).get("freqtrade") is not None

    async def _tell_unwritable(self) -> None:
        """Tell in an Event, once, that the status may not be written: no condition can."""
        missing = self._tools.rights.missing_for(self.namespace, STATUS)
        if missing and not self._told_unwritable:
            self._told_unwritable = True
            await self._tools.events.tell(
                self.body, reason="PermissionMissing", note=missing, warning=True, action="Sync"
            )

    async def _decide_again(self) -> Decision | None:
        """The object changed since it was read: read it, and follow what people ask for now."""
        try:
            body = await self._tools.kube.account(self.namespace, self.name)
        except KubeError as error:
            if error.status == NOT_FOUND:
                raise Gone from None
            if error.status == FORBIDDEN:
                self._tools.rights.refused("get", api.PLURAL, self.namespace)
            return None
        self._tools.rights.granted("get", api.PLURAL, self.namespace)
        if body["metadata"]["uid"] != self.uid:
            raise Gone
        self.update(body)
        account, _ = self._parsed(self.body)
        policy = policy_of(account.spec) if account else Policy()
        wishes = self._wishes(account, self.body)
        again = self._idle(policy, wishes)
        self._state, self._handled_resume = again.state, wishes.resume or self._handled_resume
        self._remedying.heard(again.decision.transitions)
        return again.decision

    def _composed(self, outlook: Outlook, told: list[Any], *, handled: bool) -> api.TradingAccountStatus:
        state = self._state
        now = written.moment(self._tools.clock.now_ms())
        generation = _generation(self._judged)
        held = {str(hold.source): hold.message for hold in state.holds.values()}
        outlook = replace(outlook, holds=held, withheld=self._withheld, disobeyed=self._pausing.disobeyed)
        outlook = replace(outlook, not_honoured=state.honour.last)
        requested = _annotation(self._judged, REQUESTED_AT)
        return api.TradingAccountStatus(
            observed_generation=generation,
            paused=bool(state.holds),
            pause_level=self._pause_level() if state.holds else None,
            owner=api.Owner(holder=self.owner.holder, epoch=self.owner.epoch),
            paused_by=",".join(sorted(state.holds)),
            holds=tuple(written.holds(state)),
            acknowledged=tuple(written.acknowledged(state)),
            watchdog=written.watchdog(state),
            stopped_bot=self._pausing.memory,
            sync=outlook.sync,
            last_report_time=now,
            last_handled_reconcile_at=requested if handled else self._status.last_handled_reconcile_at,
            last_handled_resume=self._handled_resume or None,
            snapshot=written.snapshot(state) or self._status.snapshot,
            watermarks=written.watermarks(state, self._believed),
            findings=written.findings(state),
            history=written.history(self._status.history, told, now, person=_annotation(self._judged, RESUMED_BY)),
            conditions=tuple(conditions(outlook, self._status.conditions, generation=generation, now=now)),
        )

    def _pause_level(self) -> api.PauseLevel:
        """As the spec says, valid elsewhere or not; less, for some holds of a bot that is stopped by calls."""
        level = (self._judged.get("spec") or {}).get("pauseLevel")
        asked = api.PauseLevel(level) if level in set(api.PauseLevel) else api.PauseLevel.REDUCE_ONLY
        return wanted(self._state.holds, asked) or asked if self._is_called() else asked

    def _heartbeat(self) -> float:
        try:
            return written.heartbeat_after(api.Duration(self.body["spec"]["staleAfter"]).seconds)
        except (KeyError, TypeError, ValueError):
            return written.heartbeat_after(300)


def _fail_closed_after(body: Mapping[str, Any]) -> float | None:
    """Seconds without a heartbeat after which its gate closes; None: it has no gate. The API server checked it."""
    gate = ((body.get("spec") or {}).get("bot") or {}).get("gate")
    if not isinstance(gate, Mapping):
        return None
    try:
        return api.Gate.model_validate(gate).fail_closed_after.seconds
    except ValueError:
        return api.Gate().fail_closed_after.seconds


def _asked(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """What people say through the object."""
    return (
        body["metadata"].get("generation"),
        _annotation(body, REQUESTED_AT),
        _annotation(body, RESUME),
        _annotation(body, RESET_ASKED),
    )


def _acted_by(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """What people say that an action goes by."""
    return _generation(body), _annotation(body, RESET_ASKED)


def _annotation(body: Mapping[str, Any], name: str) -> str:
    return token(str((body["metadata"].get("annotations") or {}).get(name, "")))


def _credentials_valid(status: Any) -> bool | None:
    """The condition CredentialsValid of a status as the API server shows it; None: not known."""
    rows = status.get("conditions") if isinstance(status, Mapping) else None
    found = [row for row in rows or () if isinstance(row, Mapping) and row.get("type") == "CredentialsValid"]
    return {"True": True, "False": False}.get(str(found[0].get("status"))) if found else None


def _generation(body: Mapping[str, Any]) -> int:
    return int(body["metadata"].get("generation", 0))


def _version(body: Mapping[str, Any]) -> int:
    """Resource versions of one resource are comparable numbers."""
    text = str(body["metadata"].get("resourceVersion", "0"))
    return int(text) if text.isdigit() else 0


def _failing(before: Failing | None, failure: Failure | None) -> Failing | None:
    if failure is None:
        return None
    return Failing(failure, before.streak + 1 if before is not None else 1)

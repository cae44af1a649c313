"""One account's loop: when it wakes, whose word is newest, and what people asked for meanwhile."""

import asyncio
import copy
import itertools
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest
from prometheus_client import generate_latest
from tests.support.fakes import START_MS, FakeBot, FakeExchange, ManualClock, truth
from tests.support.owning import sole_owner

from accountsync.api import v1alpha1 as api
from accountsync.controller import account, rights
from accountsync.controller.account import HOUSEKEEPING, REQUESTED_AT, AccountLoop, Trigger
from accountsync.controller.approvals import Approvals
from accountsync.controller.conditions import Failing
from accountsync.controller.events import SERIES_SECONDS, Events
from accountsync.controller.kube import CONFLICT, Kube, KubeError
from accountsync.controller.rights import Right, Rights
from accountsync.controller.settings import Settings
from accountsync.controller.shares import Shares
from accountsync.controller.sides import Sides
from accountsync.controller.telling import RESUME
from accountsync.controller.tools import Tools
from accountsync.cycle import State
from accountsync.domain.catalogue import Rule
from accountsync.domain.confirm import Track
from accountsync.domain.expected import ExpectedOrder
from accountsync.domain.finding import Finding
from accountsync.domain.holds import Hold, Signal, Source
from accountsync.errors import BeliefUnobserved, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.observe import Failure
from accountsync.report.metrics import AccountSeries, Metrics

Body = dict[str, Any]
TRACK = Track(Finding(Rule.MISSING_ORDER, "BTC/USDT:USDT", "1"), START_MS, START_MS, 0.0, 0, confirmed=True)
HOLD = Hold(Source.POLICY, Signal.DRIFT, "drift", START_MS, "0123456789", ("aaaa",))


async def nothing() -> None:
    """Nothing happens meanwhile."""


class FakeKube:
    """An API server with one account in it. `failures`: what the next calls raise; None lets one pass."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.statuses: list[Body] = []
        self.told: list[tuple[str, str]] = []
        self.on_apply: deque[Callable[[], int]] = deque()
        self.on_read: deque[int] = deque()
        self.grants = True

    def edit(self, *, annotations: Mapping[str, str] | None = None, **spec: Any) -> Body:
        """A person changes the account."""
        self.body = copy.deepcopy(self.body)
        metadata = self.body["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        metadata.setdefault("annotations", {}).update(annotations or {})
        if spec:
            self.body["spec"].update(spec)
            metadata["generation"] += 1
        return self.body

    async def apply_status(self, _namespace: str, _name: str, version: str, status: Body) -> Body:
        failure = self.on_apply.popleft()() if self.on_apply else 0
        if failure:
            raise KubeError(failure, "apply status")
        if version != self.body["metadata"]["resourceVersion"]:
            raise KubeError(CONFLICT, "apply status")
        self.edit()
        self.body["status"] = status
        self.statuses.append(status)
        return self.body

    async def account(self, _namespace: str, _name: str) -> Body:
        if self.on_read and (failure := self.on_read.popleft()):
            raise KubeError(failure, "read account")
        return self.body

    async def create_event(self, _namespace: str, body: Body) -> str:
        self.told.append((body["reason"], body["note"]))
        return "event"

    async def may(self, _verb: str, _group: str, _resource: str, _namespace: str) -> bool:
        return self.grants

    async def patch_event(self, _namespace: str, _name: str, _body: Body) -> None:
        pass


class FakeSides:
    """Both sides from memory. `meanwhile`: what happens while they are read."""

    def __init__(self, clock: ManualClock) -> None:
        self.exchange = FakeExchange(clock)
        self.clock = clock
        self.meanwhile: Callable[[], Awaitable[None]] = nothing
        self.agreeing = True
        self.spare = True
        self.bot = FakeBot(truth(self.exchange, START_MS))
        self.tells_fills, self.tells_income = self.exchange.tells_fills, self.exchange.tells_income
        self.forgets_after_ms = self.exchange.forgets_after_ms

    def on_pace(self, _uid: str) -> bool:
        return self.spare

    async def of(self, _account: api.TradingAccount) -> tuple["FakeSides", FakeBot]:
        if self.agreeing:
            self.bot.state = truth(self.exchange, self.clock.now_ms())
        self.bot.state = replace(self.bot.state, as_of=self.clock.now_ms())
        return self, self.bot

    async def snapshot(self, symbols: tuple[str, ...] = ()) -> Any:
        taken = await self.exchange.snapshot(symbols)
        await self.meanwhile()
        return taken

    async def find_order(self, **named: str) -> Any:
        return await self.exchange.find_order(**cast("Any", named))

    async def fills(self, symbol: str, since: int) -> Any:
        return await self.exchange.fills(symbol, since)

    async def income(self, since: int) -> Any:
        return await self.exchange.income(since)

    async def mark(self, symbol: str) -> Any:
        return await self.exchange.mark(symbol)

    def canonical_symbol(self, text: str) -> str:
        return self.exchange.canonical_symbol(text)

    async def rotated(self, _account: api.TradingAccount) -> bool:
        return False

    async def excess_rights(self, _account: api.TradingAccount) -> tuple[str, ...]:
        return ()

    def repairs(self, *_: Any) -> None:
        return None

    def forget(self, uid: str) -> None:
        pass

    def forget_bot_secret(self, account: api.TradingAccount) -> None:
        pass


def body(uid: str = "u-1", *, interval: str = "15s", version: str = "10") -> Body:
    return {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "metadata": {
            "name": "alpha",
            "namespace": "trading",
            "uid": uid,
            "generation": 1,
            "resourceVersion": version,
            "creationTimestamp": "2026-09-21T13:33:20Z",
            "annotations": {},
        },
        "spec": {
            "exchange": {"id": "binanceusdm"},
            "credentials": {"read": {"secretRef": {"name": "key"}}},
            "bot": {"state": {"configMap": {"name": "state"}}},
            "remediation": {"mode": "Pause"},
            "interval": interval,
        },
    }


class Stage:
    """A loop over fakes, moved by hand."""

    def __init__(self, account: Body | None = None) -> None:
        self.clock = ManualClock()
        self.kube = FakeKube(account or body())
        self.sides = FakeSides(self.clock)
        self.metrics = Metrics(self.clock)
        self.rights = Rights(self.kube)
        self.tools = Tools(
            settings=Settings(),
            kube=cast("Kube", self.kube),
            rights=self.rights,
            sides=cast("Sides", self.sides),
            events=Events(cast("Kube", self.kube), self.rights, self.clock),
            metrics=self.metrics,
            shares=Shares(self.clock),
            clock=self.clock,
            approvals=Approvals(cast("Kube", self.kube), self.clock),
            slots=asyncio.Semaphore(1),
        )
        self.loop = self.another()

    def another(self, account: Body | None = None) -> AccountLoop:
        found = account or self.kube.body
        return AccountLoop(found, self.tools, sole_owner(found), fresh=True)

    async def turn(self) -> None:
        """One cycle, 15 s after the last."""
        self.clock.advance(15)
        triggers, self.loop._triggers = self.loop._triggers, set()
        await self.loop._turn(self.metrics.open("u-1", "trading", "alpha"), triggers)

    async def drift(self, position: str = "5") -> None:
        """Exchange and bot part for long enough to be confirmed."""
        await self.turn()
        self.sides.agreeing = False
        self.sides.exchange.hold("BTC/USDT:USDT", position)
        for _ in range(5):
            await self.turn()
        assert Source.POLICY in self.loop._state.holds

    def edit(self, *, annotations: Mapping[str, str] | None = None, **spec: Any) -> None:
        """A person changes the account, and the watch says so."""
        self.loop.update(self.kube.edit(annotations=annotations, **spec))

    @property
    def status(self) -> Body:
        return self.kube.statuses[-1]

    @property
    def held(self) -> set[str]:
        return set(self.loop._state.holds)

    @property
    def digest(self) -> str:
        return self.loop._state.holds[Source.POLICY].digest

    def condition(self, kind: str) -> tuple[str, str] | None:
        """Its status and reason, as last written."""
        rows = [row for row in self.status["conditions"] if row["type"] == kind]
        return (rows[0]["status"], rows[0]["reason"]) if rows else None

    def told(self, reason: str) -> list[str]:
        return [note for found, note in self.kube.told if found == reason]


@pytest.fixture
def stage() -> Stage:
    return Stage()


# --- when a cycle is due -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", ["15s", "5m", "1h"])
@pytest.mark.parametrize("now", [0.0, 1000.0, 123_456.789])
def test_a_thousand_accounts_spread_evenly_over_the_interval(stage: Stage, interval: str, now: float) -> None:
    stage.clock.seconds = now
    seconds = api.Duration(interval).seconds
    waits = [stage.another(body(f"uid-{n}", interval=interval))._next_due() - now for n in range(1000)]
    assert all(0 < wait <= seconds for wait in waits)
    tenths = Counter(min(int(wait / seconds * 10), 9) for wait in waits)
    assert set(tenths) == set(range(10))
    assert all(60 <= number <= 140 for number in tenths.values())


def test_an_account_keeps_its_phase_over_restarts(stage: Stage) -> None:
    first = stage.loop._next_due()
    stage.clock.advance(150)
    assert stage.another()._next_due() - first == pytest.approx(150)


def test_each_tick_comes_one_interval_after_the_last(stage: Stage) -> None:
    ticks = []
    for _ in range(10):
        stage.clock.seconds = stage.loop._next_due() + 0.25  # cycles take time
        ticks.append(stage.clock.seconds)
    assert [late - early for early, late in itertools.pairwise(ticks)] == pytest.approx([15.0] * 9)


def test_an_unwritten_status_is_tried_again_within_a_minute(stage: Stage) -> None:
    for number in range(50):
        loop = stage.another(body(f"uid-{number}", interval="1h"))
        loop._unwritten = True
        assert loop._next_due() - stage.clock.monotonic() <= HOUSEKEEPING


def restarted(stage: Stage, uid: str, *, interval: str, away: float) -> AccountLoop:
    """The loop of an account whose last snapshot is `away` seconds old, before its first cycle."""
    stored = {"observedGeneration": 1, "watermarks": {"snapshot": stage.clock.now_ms() - int(away * 1000)}}
    loop = stage.another({**body(uid, interval=interval), "status": stored})
    loop._parsed(loop.body)
    return loop


@pytest.mark.parametrize("interval", ["20s", "5m", "24h"])
def test_after_a_long_outage_the_first_cycles_come_within_a_minute_and_spread(stage: Stage, interval: str) -> None:
    seconds = api.Duration(interval).seconds
    loops = [restarted(stage, f"uid-{n}", interval=interval, away=2 * seconds + 1) for n in range(300)]
    waits = [loop._first_due() - stage.clock.monotonic() for loop in loops]
    soon = min(seconds, 60)
    assert all(0 <= wait <= soon for wait in waits)
    assert {min(int(wait / soon * 3), 2) for wait in waits} == {0, 1, 2}


def test_after_a_short_outage_an_account_keeps_its_phase(stage: Stage) -> None:
    for number in range(20):
        loop = restarted(stage, f"uid-{number}", interval="1h", away=7200)
        assert loop._first_due() == loop._next_due()


@pytest.mark.parametrize("spec", [{}, {"interval": "soon"}, {"interval": 5}, {"interval": "0s"}, {"interval": None}])
def test_an_account_whose_interval_cannot_be_read_still_has_its_turns(stage: Stage, spec: Body) -> None:
    loop = stage.another({**body(), "spec": spec})
    assert 0 < loop._next_due() - stage.clock.monotonic() <= HOUSEKEEPING


# --- what wakes it -------------------------------------------------------------------------------------------------


def test_a_changed_belief_is_ignored_while_nothing_is_to_be_confirmed(stage: Stage) -> None:
    stage.loop.wake(Trigger.BELIEF)
    assert stage.loop._triggers == set()
    assert not stage.loop._wake.is_set()


@pytest.mark.parametrize("trigger", [Trigger.PEOPLE, Trigger.SECRET])
def test_people_and_secrets_always_wake_it(stage: Stage, trigger: Trigger) -> None:
    stage.loop.wake(trigger)
    assert stage.loop._triggers == {trigger}


@pytest.mark.parametrize("what", ["track", "hold", "bot"])
def test_a_changed_belief_matters_while_something_is_to_be_confirmed_lifted_or_repaired(
    stage: Stage, what: str
) -> None:
    if what == "track":
        stage.loop._state = State(tracks={TRACK.finding.key: TRACK})
    elif what == "hold":
        stage.loop._state = State(holds={Source.STARTUP: HOLD})
    else:
        stage.loop._bot_failing = Failing(Failure(Reason.BOT_TIMEOUT, "why"), 1)
    stage.loop.wake(Trigger.BELIEF)
    assert stage.loop._triggers == {Trigger.BELIEF}


@pytest.mark.parametrize(
    ("triggers", "spacing"),
    [
        ({Trigger.BELIEF}, 5.0),
        ({Trigger.PEOPLE}, 1.0),
        ({Trigger.SECRET}, 1.0),
        ({Trigger.BELIEF, Trigger.PEOPLE}, 1.0),
    ],
)
def test_triggers_keep_a_distance_and_a_belief_a_third_of_the_interval(
    stage: Stage, triggers: set[Trigger], spacing: float
) -> None:
    started = stage.loop._started = stage.clock.monotonic()
    stage.loop._triggers = triggers
    assert stage.loop._wake_at(started + 15) == started + spacing


def test_a_belief_takes_no_request_weight_from_cycles_that_are_due(stage: Stage) -> None:
    started = stage.loop._started = stage.clock.monotonic()
    stage.sides.spare = False
    stage.loop._triggers = {Trigger.BELIEF}
    assert stage.loop._wake_at(started + 15) == started + 15
    stage.loop._triggers = {Trigger.BELIEF, Trigger.PEOPLE}
    assert stage.loop._wake_at(started + 15) == started + 1


def test_no_trigger_puts_a_cycle_off(stage: Stage) -> None:
    started = stage.loop._started = stage.clock.monotonic()
    stage.loop._triggers = {Trigger.BELIEF}
    assert stage.loop._wake_at(started + 0.5) == started + 0.5


def test_without_a_trigger_it_sleeps_until_it_is_due(stage: Stage) -> None:
    assert stage.loop._wake_at(1234.0) == 1234.0


# --- whose word is newest ------------------------------------------------------------------------------------------


def version(number: str, *, generation: int = 1) -> Body:
    made = body(version=number)
    made["metadata"]["generation"] = generation
    return made


def test_an_older_version_never_replaces_a_newer_one(stage: Stage) -> None:
    stage.loop.update(version("9", generation=2))
    assert stage.loop.body["metadata"]["resourceVersion"] == "10"
    assert stage.loop._triggers == set()


def test_versions_are_compared_as_numbers(stage: Stage) -> None:
    stage.loop.update(version("100"))
    stage.loop.update(version("99"))
    assert stage.loop.body["metadata"]["resourceVersion"] == "100"


@pytest.mark.parametrize(
    "change",
    [{"generation": 2}, {"annotations": {RESUME: "x"}}, {"annotations": {REQUESTED_AT: "now"}}],
)
def test_what_people_say_wakes_it(stage: Stage, change: Body) -> None:
    newer = version("11")
    newer["metadata"].update(change)
    stage.loop.update(newer)
    assert stage.loop._triggers == {Trigger.PEOPLE}


def test_what_nobody_asked_does_not_wake_it(stage: Stage) -> None:
    newer = version("11")
    newer["metadata"]["annotations"] = {"other": "x"}
    newer["status"] = {"paused": True}
    stage.loop.update(newer)
    assert stage.loop.body is newer
    assert stage.loop._triggers == set()


def test_it_knows_the_secrets_and_configmaps_that_its_spec_names(stage: Stage) -> None:
    assert stage.loop.uses_secret("key")
    assert not stage.loop.uses_secret("state")
    assert stage.loop.uses_configmap("state")
    assert not stage.loop.uses_configmap("key")
    assert stage.loop.reads_configmap


# --- what people ask for -------------------------------------------------------------------------------------------


async def test_an_account_is_held_from_its_creation_until_it_is_judged_clean(stage: Stage) -> None:
    await stage.turn()
    first, *_, last = stage.kube.statuses
    assert first["pausedBy"] == "Startup"
    assert not last["paused"]


async def test_a_resume_lifts_the_hold_of_the_policy(stage: Stage) -> None:
    await stage.drift()
    stage.edit(annotations={RESUME: stage.digest})
    await stage.turn()
    assert stage.held == set()
    assert stage.status["lastHandledResume"] == stage.kube.body["metadata"]["annotations"][RESUME]


async def test_a_resume_is_handled_once(stage: Stage) -> None:
    await stage.drift()
    stage.edit(annotations={RESUME: "0123456789"})
    for _ in range(3):
        await stage.turn()
    assert len(stage.told("ResumeRefused")) == 1


async def test_a_resume_that_arrives_during_a_cycle_is_not_lost(stage: Stage) -> None:
    await stage.drift()

    async def resume() -> None:
        stage.sides.meanwhile = nothing
        stage.edit(annotations={RESUME: stage.digest})

    stage.sides.meanwhile = resume
    await stage.turn()
    await stage.turn()
    assert stage.told("ResumeRefused") == []
    assert stage.held == set()


async def test_a_request_that_arrives_during_a_cycle_is_not_said_to_be_handled_by_it(stage: Stage) -> None:
    await stage.turn()

    async def request() -> None:
        stage.sides.meanwhile = nothing
        stage.edit(annotations={REQUESTED_AT: "now"})

    stage.sides.meanwhile = request
    await stage.turn()
    assert stage.status.get("lastHandledReconcileAt", "") == ""
    await stage.turn()
    assert stage.status["lastHandledReconcileAt"] == "now"


async def test_a_person_pauses_while_a_status_is_written(stage: Stage) -> None:
    await stage.turn()

    def pause() -> int:
        stage.kube.edit(paused=True, pauseReason="maintenance")
        return CONFLICT

    stage.kube.on_apply.append(pause)
    stage.clock.advance(300)
    await stage.turn()
    assert stage.status["pausedBy"] == "User"


async def test_a_resume_refused_over_a_conflict_is_told(stage: Stage) -> None:
    await stage.drift()

    def resume() -> int:
        stage.kube.edit(annotations={RESUME: "0123456789"})
        return CONFLICT

    stage.kube.on_apply.append(resume)
    stage.clock.advance(300)
    await stage.turn()
    await stage.turn()
    assert len(stage.told("ResumeRefused")) == 1


async def test_a_conflict_that_cannot_be_read_tells_nothing_twice(stage: Stage) -> None:
    await stage.turn()
    stage.kube.on_apply.append(lambda: CONFLICT)
    stage.kube.on_read.append(500)
    stage.edit(paused=True)
    await stage.turn()
    raised = [entry["what"] for entry in stage.status["history"] if entry["what"] == "raised User"]
    assert raised == ["raised User"]


async def test_a_status_that_says_nothing_new_is_written_as_a_heartbeat_only(stage: Stage) -> None:
    await stage.turn()
    written = len(stage.kube.statuses)
    await stage.turn()
    assert len(stage.kube.statuses) == written
    stage.clock.advance(100)
    await stage.turn()
    assert len(stage.kube.statuses) == written + 1


async def test_another_process_goes_on_with_what_stood(stage: Stage) -> None:
    await stage.drift()
    digest = stage.digest
    stage.loop = stage.another()
    await stage.turn()
    assert stage.held == {"Policy"}
    assert stage.digest == digest
    (track,) = stage.loop._state.tracks.values()
    assert track.finding.notional >= Decimal(0)


async def test_a_resume_of_before_a_restart_does_not_cover_what_the_restart_finds(stage: Stage) -> None:
    await stage.drift()
    stage.kube.edit(annotations={RESUME: stage.digest})
    order = stage.sides.exchange.place()
    stage.sides.exchange.orders["again", order.id] = order  # listed twice: critical, and confirmed at first sight
    stage.loop = stage.another()
    await stage.turn()
    assert stage.held == {"Policy"}
    assert len(stage.told("ResumeRefused")) == 1


async def test_a_bug_in_one_cycle_is_counted_and_ends_nothing(stage: Stage) -> None:
    async def bug() -> None:
        raise ZeroDivisionError

    stage.sides.meanwhile = bug
    series = stage.metrics.open("u-1", "trading", "alpha")
    await stage.loop._guarded(series, stage.loop._turn(series, set()))
    assert series.errors["internal"] == 1


def test_a_changed_belief_costs_no_cycle_while_only_a_person_is_awaited(stage: Stage) -> None:
    stage.loop._state = State(holds={Source.POLICY: HOLD})
    stage.loop.wake(Trigger.BELIEF)
    assert stage.loop._triggers == set()


async def test_an_account_that_can_be_judged_in_part_only_is_not_said_to_be_in_sync(stage: Stage) -> None:
    """An order that the bot tracks, and of which the exchange gives no word."""

    async def silence(**_: str) -> None:
        raise ExchangeUnobserved(Reason.EXCHANGE_REFUSED, "no word")

    for _ in range(3):
        await stage.turn()
    assert stage.status["sync"] == "InSync"
    stage.sides.agreeing = False
    lost = ExpectedOrder("BTC/USDT:USDT", client_id="local-17")
    stage.sides.bot.state = replace(stage.sides.bot.state, orders=(lost,))
    answer, stage.sides.find_order = stage.sides.find_order, silence  # type: ignore[method-assign]
    for _ in range(20):  # 300 s
        await stage.turn()
    assert stage.status["sync"] == "InSync"
    await stage.turn()
    (said,) = [row for row in stage.status["conditions"] if row["type"] == "InSync"]
    assert (stage.status["sync"], said["status"], said["reason"]) == ("Unknown", "Unknown", "PartlyJudged")

    stage.sides.find_order = answer  # type: ignore[method-assign]
    for _ in range(4):
        await stage.turn()
    assert stage.status["sync"] == "OutOfSync"


# --- what the alerts compare, and what is missing ------------------------------------------------------------------


def series_of(stage: Stage) -> AccountSeries:
    return stage.metrics.open("u-1", "trading", "alpha")


async def test_the_specs_limits_are_shown(stage: Stage) -> None:
    spec = {"state": {"configMap": {"name": "state"}}, "staleAfter": "90s"}
    stage.edit(interval="20s", timeout="5s", alerts={"mismatchNotional": "250"}, bot=spec)
    await stage.turn()
    series = series_of(stage)
    assert (series.belief_stale_after, series.patience, series.mismatch_limit) == (90, 45, Decimal(250))
    stage.edit(alerts=None)
    await stage.turn()
    assert series.mismatch_limit is None


async def test_an_invalid_spec_is_not_judged_in_time_before_long(stage: Stage) -> None:
    await stage.turn()
    series = series_of(stage)
    assert series.judged_in_time(stage.clock.monotonic())
    stage.edit(interval="never")
    for _ in range(4):
        await stage.turn()
    assert series.judged_in_time(stage.clock.monotonic()) is False
    assert series.belief_age(stage.clock.monotonic()) == 60


async def test_a_new_account_with_an_invalid_spec_is_not_judged_in_time_either() -> None:
    stage = Stage(body())
    stage.edit(interval="never")
    for _ in range(4):
        await stage.turn()
    assert series_of(stage).judged_in_time(stage.clock.monotonic()) is False


async def test_what_is_known_of_the_credentials_follows_the_condition(stage: Stage) -> None:
    series = series_of(stage)
    assert series.credentials_valid is None
    await stage.turn()
    assert series.credentials_valid is True
    stage.sides.exchange.script += [ConfigurationError(Reason.CREDENTIALS_REJECTED, "no")] * 2
    await stage.turn()
    assert series.credentials_valid is False
    stage.edit(suspend=True)
    await stage.turn()
    assert series.credentials_valid is False, "nothing was read since"


@asynccontextmanager
async def before_its_first_cycle(stage: Stage) -> AsyncIterator[None]:
    """Another process looks after the account, and its first cycle has not come yet."""
    stage.metrics.forget("u-1")
    loop = stage.another()
    loop._fresh = False
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_after_a_restart_the_stored_status_speaks_until_the_first_cycle(stage: Stage) -> None:
    await stage.turn()
    stage.edit(suspend=True, alerts={"mismatchNotional": "7"})
    async with before_its_first_cycle(stage):
        text = shown(stage)
    assert "credentials_valid 1" in text
    assert "mismatch_notional_limit 7" in text
    assert not re.search(r"^\w+age_seconds ", text, re.MULTILINE), "it is suspended"


async def test_after_a_restart_drift_and_holds_stand_in_the_metrics_before_the_first_cycle(stage: Stage) -> None:
    await stage.drift()
    async with before_its_first_cycle(stage):
        series = series_of(stage)
    assert series.runs == 0
    assert series.standing.total() == 1
    assert series.held == {Source.POLICY}


def shown(stage: Stage) -> str:
    """Names and values of all series, without labels."""
    return re.sub(
        r"\{.*\}", "", re.sub(r"\.0$", "", generate_latest(stage.metrics.registry).decode(), flags=re.MULTILINE)
    )


async def test_an_exchange_that_was_never_run_is_told_of_in_a_condition_and_one_event(stage: Stage) -> None:
    stage.edit(exchange={"id": "bybit"})
    for _ in range(3):
        await stage.turn()
    assert stage.condition("ExchangeUntested") == ("True", "NeverRun")
    (note,) = stage.told("ExchangeUntested")
    assert "bybit" in note
    assert "Observe" in note


@pytest.mark.parametrize("exchange", ["binanceusdm", "binanceusdn"])
async def test_an_exchange_that_was_run_or_is_none_is_no_untested_one(stage: Stage, exchange: str) -> None:
    stage.edit(exchange={"id": exchange})
    await stage.turn()
    assert stage.condition("ExchangeUntested") is None
    assert stage.told("ExchangeUntested") == []


async def test_a_right_that_is_missing_is_told_without_reading_anything(stage: Stage) -> None:
    await stage.turn()
    runs = series_of(stage).runs
    stage.rights._missing.add(Right("watch", "secrets", "trading"))
    await stage.loop._tell_rights(series_of(stage))
    assert stage.condition("PermissionMissing") == ("True", "WatchForbidden")
    (note,) = stage.told("PermissionMissing")
    assert 'may not watch secrets in namespace "trading"' in note
    assert series_of(stage).runs == runs
    stage.rights._missing.clear()
    await stage.loop._tell_rights(series_of(stage))
    assert stage.condition("PermissionMissing") is None
    assert stage.condition("Ready") == ("True", "Synced")


async def test_a_right_of_another_namespace_is_none_of_its_business(stage: Stage) -> None:
    stage.rights._missing.add(Right("watch", "secrets", "other"))
    await stage.turn()
    assert stage.condition("PermissionMissing") is None


@pytest.mark.parametrize("suspended", [True, False])
async def test_a_missing_right_is_told_of_an_account_that_is_not_read(stage: Stage, suspended: bool) -> None:
    await stage.turn()
    stage.edit(**({"suspend": True} if suspended else {"interval": "never"}))
    await stage.turn()
    stage.rights._missing.add(Right("watch", "secrets", "trading"))
    await stage.loop._tell_rights(series_of(stage))
    assert stage.condition("PermissionMissing") == ("True", "WatchForbidden")
    assert stage.condition("Ready") == (("True", "Suspended") if suspended else ("False", "SpecInvalid"))


async def test_a_status_that_may_not_be_written_is_a_missing_right(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "SURE_AFTER", 0)
    stage.kube.grants = False
    stage.kube.on_apply.extend([lambda: 403] * 6)
    await stage.turn()
    await asyncio.sleep(0)
    assert stage.rights.missing("trading").startswith("the operator may not patch tradingaccounts/status in namespace")
    assert 'status_writes_total{result="error"} 6.0' in generate_latest(stage.metrics.registry).decode()
    await stage.turn()
    assert stage.rights.missing("trading") == "", "it was written"


# --- how old the belief is, over a restart --------------------------------------------------------------------------


async def belief_age_after_restart(stage: Stage, away: float) -> float | None:
    """What another process shows before its first cycle."""
    stage.clock.advance(away)
    async with before_its_first_cycle(stage):
        series = series_of(stage)
    return series.belief_age(stage.clock.monotonic())


async def silence(stage: Stage, turns: int) -> None:
    """The bot tells nothing, while the exchange is read; in the end the status is written."""

    async def dead(account: api.TradingAccount) -> Any:
        stage.sides.bot.script.append(BeliefUnobserved(Reason.BOT_TIMEOUT, "late"))
        return await FakeSides.of(stage.sides, account)

    stage.sides.of = dead  # type: ignore[method-assign, assignment]
    for _ in range(turns):
        await stage.turn()
    stage.edit(annotations={REQUESTED_AT: "now"})
    await stage.turn()
    assert stage.status["watermarks"]["snapshot"] == stage.clock.now_ms()


async def test_a_restart_makes_no_belief_younger(stage: Stage) -> None:
    await stage.turn()
    as_of = stage.clock.now_ms()
    await silence(stage, 20)
    assert stage.status["watermarks"]["belief"] == as_of
    before = series_of(stage).belief_age(stage.clock.monotonic())
    assert before == 21 * 15
    assert await belief_age_after_restart(stage, away=100) == before + 100


async def test_a_restart_makes_no_account_younger_whose_bot_never_told_anything(stage: Stage) -> None:
    stage.kube.body["metadata"]["creationTimestamp"] = "2026-09-21T14:13:20Z"
    await silence(stage, 20)
    assert "belief" not in stage.status["watermarks"]
    assert await belief_age_after_restart(stage, away=100) == 21 * 15 + 100


async def test_a_belief_that_a_version_kept_no_time_of_is_as_old_as_the_snapshot(stage: Stage) -> None:
    await stage.turn()
    assert stage.kube.body["status"]["watermarks"].pop("belief")
    stage.kube.body["status"]["watermarks"]["bootId"] = "b1"
    stage.kube.body["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    assert await belief_age_after_restart(stage, away=5) == 5


async def test_a_younger_belief_alone_is_no_reason_to_write(stage: Stage) -> None:
    for _ in range(3):
        await stage.turn()
    written = len(stage.kube.statuses)
    for _ in range(3):
        await stage.turn()
    assert len(stage.kube.statuses) == written


# --- a status that may not be written -------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
async def test_that_no_status_may_be_written_is_told_in_an_event_once(
    stage: Stage, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "WRITE_TRIES", 1)
    if known:
        await stage.turn()
    stage.rights._missing.add(Right("patch", "tradingaccounts/status", "trading"))
    stage.kube.on_apply.extend([lambda: 403] * 30)
    for _ in range(3):
        await stage.loop._tell_rights(series_of(stage))
    stage.edit(annotations={REQUESTED_AT: "now"})
    await stage.turn()
    (note,) = stage.told("PermissionMissing")
    assert note.startswith('the operator may not patch tradingaccounts/status in namespace "trading"')
    stage.rights._missing.clear()
    stage.kube.on_apply.clear()
    stage.clock.advance(SERIES_SECONDS)
    await stage.turn()
    stage.rights._missing.add(Right("patch", "tradingaccounts/status", "trading"))
    stage.kube.on_apply.extend([lambda: 403] * 30)
    await stage.loop._tell_rights(series_of(stage))
    assert len(stage.told("PermissionMissing")) == 2, "it is another time"


# --- the watchdog and the level --------------------------------------------------------------------------------------

WATCHDOG = {"allocatedCapital": "1000", "currency": "USDT", "autoResume": {"minPause": "60s", "cooldown": "10m"}}
ONLY_THE_WATCHDOG: dict[str, Any] = {"watchdog": WATCHDOG, "remediation": {"mode": "Pause", "pauseAt": "never"}}


@pytest.fixture
async def stopped(stage: Stage) -> Stage:
    """An account that the watchdog stopped over 700 of 1000 USDT."""
    stage.edit(**ONLY_THE_WATCHDOG)
    await stage.turn()
    stage.sides.agreeing = False
    stage.sides.exchange.hold("BTC/USDT:USDT", "7")
    stage.sides.exchange.marks["BTC/USDT:USDT"] = Decimal(100)
    await turns_until_held(stage)
    return stage


async def turns_until_held(stage: Stage) -> None:
    for _ in range(8):
        await stage.turn()
        if stage.held:
            break
    assert stage.held == {"Watchdog"}


async def test_the_watchdog_stops_a_bot_and_says_by_how_much_and_how_to_resume(stopped: Stage) -> None:
    (note,) = [note for note in stopped.told("HoldRaised") if note.startswith("Watchdog")]
    digest = stopped.status["holds"][0]["digest"]
    assert note == (
        "Watchdog hold raised: mismatch notional 700 USDT, more than 0.5 of 1000 USDT. To resume over it: kubectl"
        f" annotate --overwrite -n trading ta alpha accountsync.dev/resume={digest} accountsync.dev/resumed-by=YOU"
    )
    assert (stopped.status["paused"], stopped.status["pausedBy"]) == (True, "Watchdog")
    assert [(row["who"], row["what"]) for row in stopped.status["history"]][-1] == ("operator", "raised Watchdog")
    assert series_of(stopped).raised[Source.WATCHDOG] == 1
    assert series_of(stopped).watchdog_limit == 500


async def test_it_lets_the_bot_go_by_itself_also_after_a_restart_of_the_operator(stopped: Stage) -> None:
    stopped.sides.agreeing = True
    await stopped.turn()
    stopped.loop = stopped.another()
    for _ in range(2):
        await stopped.turn()
        assert stopped.held == {"Watchdog"}, "45 s"
    for _ in range(2):
        await stopped.turn()
    assert stopped.held == set()
    assert stopped.told("HoldLifted")[-1].startswith("Watchdog hold lifted: ")
    assert [(row["who"], row["what"]) for row in stopped.status["history"]][-1] == ("operator", "lifted Watchdog")
    assert stopped.status["watchdog"]["lastAutoResumeTime"]
    assert series_of(stopped).lifted[Source.WATCHDOG] == 1


async def test_the_cooldown_outlives_a_restart_of_the_operator(stopped: Stage) -> None:
    stopped.sides.agreeing = True
    for _ in range(6):
        await stopped.turn()
    assert stopped.held == set()
    stopped.loop = stopped.another()
    stopped.sides.agreeing = False
    stopped.sides.exchange.hold("BTC/USDT:USDT", "17")
    await turns_until_held(stopped)
    stopped.sides.agreeing = True
    for _ in range(20):
        await stopped.turn()
    assert stopped.held == {"Watchdog"}, "the cooldown has 10 minutes"
    for _ in range(20):
        await stopped.turn()
    assert stopped.held == set()


async def test_a_person_who_lifts_the_watchdogs_hold_is_in_the_history(stopped: Stage) -> None:
    stopped.edit(annotations={RESUME: stopped.status["holds"][0]["digest"]})
    await stopped.turn()
    assert stopped.held == set()
    assert [(row["who"], row["what"]) for row in stopped.status["history"]][-1] == ("person", "lifted Watchdog")
    assert "watchdog" not in stopped.status


async def test_in_observe_the_watchdog_only_says_what_it_would_do(stage: Stage) -> None:
    stage.edit(watchdog=WATCHDOG, remediation={"mode": "Observe"})
    await stage.turn()
    stage.sides.agreeing = False
    stage.sides.exchange.hold("BTC/USDT:USDT", "7")
    for _ in range(8):
        await stage.turn()
    (said,) = [row for row in stage.status["conditions"] if row["type"] == "Paused"]
    assert (said["status"], stage.status["paused"]) == ("False", False)
    assert "in mode Pause the Watchdog would stop it: there is no price for PositionMismatch" in said["message"]


async def test_the_status_tells_the_level_while_any_hold_stands(stage: Stage) -> None:
    await stage.turn()
    assert "pauseLevel" not in stage.status
    stage.edit(paused=True)
    await stage.turn()
    assert stage.status["pauseLevel"] == "ReduceOnly"
    stage.edit(pauseLevel="Halt")
    await stage.turn()
    assert stage.status["pauseLevel"] == "Halt"
    stage.edit(interval="never")
    await stage.turn()
    assert stage.status["pauseLevel"] == "Halt", "what is wrong elsewhere does not soften it"
    stage.edit(interval="15s", paused=False)
    await stage.turn()
    assert "pauseLevel" not in stage.status

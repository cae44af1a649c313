"""One account in memory, from its exchange to its stored plans, driven as its loop would."""

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from tests.support.fakes import BTC, ETH, FakeBot, FakeExchange, FakePlans, FakeRepairs, FakeTrading, ManualClock, truth

from accountsync.act import Desk, Remediation, Told, act, concerned, recall, stands
from accountsync.cycle import Cycle, State, idle, run
from accountsync.domain.account import Order
from accountsync.domain.decide import Wishes
from accountsync.domain.fills import FillLog
from accountsync.domain.holds import Signal, Source, Transition
from accountsync.domain.intents import Intent, IntentState
from accountsync.domain.plan import Phase, Plan
from accountsync.domain.policy import Limits, Mode, Policy, Remedies, UnexpectedOrders, UnexpectedPositions
from accountsync.domain.sharing import ALONE
from accountsync.domain.standing import ACTED, Asked, Standing
from accountsync.errors import ActionError, ConfigurationError, ExchangeUnobserved, Reason

INTERVAL: Final = 15.0
HOUR: Final = 3600.0
LIMITS: Final = Limits(10, Decimal(10**6), Decimal(10**7))
ENFORCE: Final = Policy(
    mode=Mode.ENFORCE,
    order_id_prefix="bot_",
    remedies=Remedies(orders=UnexpectedOrders.CANCEL, positions=UnexpectedPositions.FLATTEN, limits=LIMITS),
)
PAUSE: Final = Policy(mode=Mode.PAUSE, order_id_prefix="bot_")


def remedying(policy: Policy = ENFORCE, **fields: Any) -> Policy:
    return replace(policy, remedies=replace(policy.remedies, **fields))


class Killed(BaseException):
    """The process ended between two calls of its ports."""


@dataclass(slots=True)
class Fuse:
    """Counts the calls of all ports, once before and once after each; at the `blows_at`th the process ends."""

    passed: int = 0
    blows_at: int | None = None

    def touch(self) -> None:
        self.passed += 1
        if self.passed == self.blows_at:
            raise Killed


class Wired:
    """A port that touches the fuse before and after each call."""

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port, self._fuse = port, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse.touch()
            answer = await found(*args, **kwargs)
            self._fuse.touch()
            return answer

        return call


@dataclass(slots=True)
class Quiet(FakeExchange):
    """`mute`: it answers no question about an order; `down`: and no other either."""

    mute: bool = False
    down: bool = False

    async def snapshot(self, symbols: Any = ()) -> Any:
        self._require(not self.down)
        return await FakeExchange.snapshot(self, symbols)

    async def find_order(self, **asked: Any) -> Order | None:
        self._require(not self.mute and not self.down)
        return await FakeExchange.find_order(self, **asked)

    def _require(self, answers: bool) -> None:
        if not answers:
            raise ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, "the exchange did not answer")


@dataclass(slots=True)
class Owner:
    """A claim on the account, certain for `seconds`."""

    holder: str = "replica-a"
    epoch: int = 1
    seconds: float = 15.0

    def left(self) -> float:
        return self.seconds


class Rig:
    """An account whose bot holds 3 ETH and tracks an order, so that what is done is never all there is.

    `repairs`: the bot's state can be written to. `locked`: why the key that may trade can't be read. `guarded`: why
    approvals are not protected. `told` and `transitions` are of all cycles. `paused`: by a person; `reset`: the full
    reset that is asked for; `standing`: what the condition says of it.
    """

    def __init__(self, policy: Policy = ENFORCE, *, repairs: bool = False) -> None:
        self.policy = policy
        self.clock = ManualClock()
        self.fuse = Fuse()
        self.exchange = Quiet(self.clock, tells_fills=True)
        self.exchange.steps = {BTC: Decimal(1), ETH: Decimal(1)}
        self.exchange.marks = {BTC: Decimal(100), ETH: Decimal(10)}
        self.exchange.hold(ETH, "3")
        self.exchange.place(ETH, client_id="bot_keep", price="9")
        self.bot = FakeBot(truth(self.exchange, self.clock.now_ms()))
        self.trading = FakeTrading(self.exchange)
        self.repairs = FakeRepairs(self.bot) if repairs else None
        self.plans = FakePlans(self.clock)
        self.owner = Owner()
        self.locked: ConfigurationError | None = None
        self.guarded = ""
        self.expires_requests = True
        self.told: list[Told] = []
        self.transitions: list[Transition] = []
        self.state, self.now = State(), Remediation()
        self.held_at: float | None = None
        self.paused, self.reset = False, ""
        self.standing: Standing | None = None
        self._reported = self.state

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def cycle(self, seconds: float = INTERVAL, *, resume: str = "", woken: bool = True) -> Cycle:
        """One turn of the account's loop, `seconds` after the last, in which the bot has published its state anew.

        `resume`: the digest that a person quoted; `woken`: that is what the turn began for.
        """
        self.clock.advance(seconds)
        self.bot.state = replace(self.bot.state, as_of=self.clock.now_ms())
        wishes = Wishes(paused=self.paused, resume=resume)
        if resume and woken:
            self._follow(idle(self.state, self.policy, wishes, self.clock, self.now.course))
            wishes = replace(wishes, resume="")
        desk, policy = self.desk(), self.policy
        matters = self.now.plan is not None or concerned(policy, self.state.holds, writable=self.repairs is not None)
        self.now = await recall(self.now, desk) if matters else Remediation()
        policy = replace(policy, acted=self.now.past.acted)
        cycle = await run(
            self.state,
            policy,
            wishes,
            Wired(self.exchange, self.fuse),
            Wired(self.bot, self.fuse),
            self.clock,
            since=self.clock.monotonic(),
            course=self.now.course,
            patience=self.now.patience,
        )
        before = self.standing if self.standing is not None and self.standing.id == self.reset else None
        asked = Asked(self.reset, acted=before is not None and before.stage in ACTED)
        self.standing = stands(self.now, asked, cycle, policy, ALONE, now_ms=self.clock.now_ms())
        self._follow(cycle)
        if matters:
            held_for = None if self.held_at is None else self.clock.monotonic() - self.held_at
            self.now = await act(self.now, cycle, policy, desk, held_for=held_for, reset=asked)
            self.told += self.now.told
        return cycle

    async def cycles(self, seconds: float) -> int:
        """As many turns as the loop would take in so long; how many it took."""
        end, turns = self.clock.monotonic() + seconds, 0
        while self.clock.monotonic() < end:
            again = self.now.again
            await self.cycle(INTERVAL if again is None else min(INTERVAL, max(again, 1.0)))
            turns += 1
        return turns

    async def until(self, so: Callable[[], object], seconds: float = 300.0) -> None:
        """Turns of the loop, until it is so. It takes one at least."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            again = self.now.again
            await self.cycle(INTERVAL if again is None else min(INTERVAL, max(again, 1.0)))
            if so():
                return
        raise AssertionError(f"it did not come to that: {self.shown}")

    def restart(self) -> None:
        """Another process goes on from what was reported and stored; nothing else is left."""
        before, self.fuse = self._reported, Fuse()
        fills = None if before.fills is None else FillLog(start=before.fills.start)
        self.state = State(
            tracks=before.tracks,
            belief=before.belief,
            holds=before.holds,
            acknowledged=before.acknowledged,
            timestamp=before.timestamp,
            fills=fills,
        )
        self.now, self.held_at = Remediation(), None

    def _follow(self, cycle: Cycle) -> None:
        """What a cycle decided is made our own, and reported."""
        self.state = cycle.state
        self.transitions += cycle.decision.transitions
        if any(turn.why is Signal.OUTCOME_ACCEPTED for turn in cycle.decision.transitions):
            self.now = replace(self.now, course=replace(self.now.course, accepted=True))
        self.fuse.touch()
        self._reported = self.state
        if Source.ACTION not in self.state.holds:
            self.held_at = None
        elif self.held_at is None:
            self.held_at = self.clock.monotonic()

    def desk(self) -> Desk:
        async def trading() -> Any:
            if self.locked is not None:
                raise self.locked
            self.trading.closed = False
            return Wired(self.trading, self.fuse)

        return Desk(
            account="grid-btc",
            uid="uid",
            plans=Wired(self.plans, self.fuse),
            exchange=Wired(self.exchange, self.fuse),
            owner=self.owner,
            clock=self.clock,
            trading=trading,
            repairs=None if self.repairs is None else Wired(self.repairs, self.fuse),
            guarded=self.guarded,
            expires_requests=self.expires_requests,
        )

    # --- what happens ------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """The account is as the bot believes, and judged."""
        for _ in range(3):
            await self.cycle()

    async def lose(self, client_id: str = "bot_lost", **fields: Any) -> Order:
        """The bot loses track of an order of its own in BTC."""
        await self.settle()
        return self.exchange.place(BTC, client_id=client_id, **fields)

    async def strand(self, quantity: str = "5") -> None:
        """An order of the bot's is filled, and the bot knows of no position in BTC."""
        await self.settle()
        self.exchange.fill(self.exchange.place(BTC, client_id="bot_entry", quantity=quantity))

    async def reach(self, phase: Phase) -> Plan:
        """Turns until the newest plan is in `phase`."""
        await self.until(lambda: self.stored and self.stored[-1].phase is phase)
        return self.stored[-1]

    async def send(self, *answers: ActionError | None) -> Plan:
        """Turns until the next plan is under way; the exchange answers it so."""
        before = len(self.trading.sent)
        await self.reach(Phase.READY)
        self.trading.script.extend(answers)
        await self.until(lambda: len(self.trading.sent) > before or not self.trading.script)
        return self.stored[-1]

    def approve(self) -> None:
        """A person approves the plan that waits for one."""
        for plan in self.stored:
            if plan.open and not plan.may_run:
                self.plans.put(replace(plan, approved=True))

    # --- what is there -----------------------------------------------------------------------------------------------

    @property
    def stored(self) -> list[Plan]:
        """The plans, in the order in which they were made."""
        return list(self.plans.stored.values())

    @property
    def last(self) -> Plan:
        return self.stored[-1]

    @property
    def states(self) -> list[IntentState]:
        """Of the newest plan's intents."""
        return [intent.state for intent in self.last.intents]

    @property
    def intents(self) -> list[Intent]:
        """Of all plans."""
        return [intent for plan in self.stored for intent in plan.intents]

    @property
    def sent(self) -> list[str]:
        """What came to the exchange: the id of the order that was to be cancelled, the client id of one of ours."""
        return [what if isinstance(what, str) else what.client_id for what, _ in self.trading.sent]

    @property
    def held(self) -> Decimal:
        """The position in BTC."""
        return sum((row.quantity for (symbol, _), row in self.exchange.positions.items() if symbol == BTC), Decimal(0))

    @property
    def shown(self) -> list[str]:
        return [f"{p.name} {p.phase} {[str(i.state) for i in p.intents]} {p.message}" for p in self.stored]

    def digest(self, source: Source) -> str:
        """What a person quotes to lift this hold."""
        return self.state.holds[source].digest

    def sent_once(self) -> bool:
        """Whether all that came to the exchange was written down before, and came there once."""
        written = {intent.timestamp for intent in self.intents}
        came = Counter((what, stamp.timestamp) for what, (_, stamp) in zip(self.sent, self.trading.sent, strict=True))
        ours = Counter(what.client_id for what, _ in self.trading.sent if not isinstance(what, str))
        times = {timestamp for _, timestamp in came}
        return max([0, *came.values(), *ours.values()]) <= 1 and times <= written

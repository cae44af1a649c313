"""A bot's belief: all that happened on its account up to its `asOf`, and nothing after, but for the drift put into it.

It publishes late, at times not at all, loses its memory in a crash and boots anew. None of this is drift.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.simulation.exchange import ZERO, Account, Key, Leg, Then
from tests.simulation.nature import Nature
from tests.simulation.timeline import Timeline
from tests.support.fakes import START_MS

from accountsync.domain.account import Order, OrderStatus, PositionSide
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.plan import Repair, RepairKind
from accountsync.errors import BeliefUnobserved, Reason

STEPS_BACK = 3
"""So far back a bot may know the order whose place one took."""
LARGEST_SKEW_MS = 400


@dataclass(frozen=True, slots=True)
class Drift:
    """What makes a belief wrong.

    `forgotten`: orders that it lacks. `added`: orders that it has in addition. `altered`: order → what it believes of
    it instead. `offsets`: what it believes too much to be held. `wallet`: the same of the wallet.
    """

    forgotten: frozenset[Key] = frozenset()
    added: tuple[ExpectedOrder, ...] = ()
    altered: Mapping[Key, Mapping[str, object]] = field(default_factory=dict)
    offsets: Mapping[Leg, Decimal] = field(default_factory=dict)
    wallet: Decimal = ZERO


NO_DRIFT = Drift()


class Outdated(Exception):  # noqa: N818 - the bot's word
    """What it was told is about a belief that it no longer has."""


@dataclass(slots=True)
class Publication:
    """What a bot said at `at`; the words are made when somebody reads them."""

    at: float
    as_of: int
    boot_id: str
    ready: bool
    wiped: bool
    drift: Drift
    belief: ExpectedState | None = None


class Bot:
    """The `BotState` port of bot `number`. `calm`: it publishes often and nothing befalls it."""

    def __init__(
        self, number: int, account: Account, timeline: Timeline, dice: random.Random, nature: Nature, trouble: float
    ) -> None:
        self.number, self.account, self.timeline, self.dice, self.nature = number, account, timeline, dice, nature
        self.trouble = trouble
        self.boots = 1
        self.ready = True
        self.well = True
        self.calm = False
        self.skew_ms = nature.skew_ms
        self.drift = NO_DRIFT
        self.published: Publication | None = None
        self.wrong: list[str] = []
        self.repaired: Counter[str] = Counter()
        self._taken: set[str] = set()
        self._life = 0
        self._rows: dict[Key, tuple[Order, bool, tuple[ExpectedOrder, ...]]] = {}
        self._publish()
        if nature.skew_steps:
            self._step_clock()

    async def read(self) -> ExpectedState:
        """A bot that is asked answers with what it knows at some moment between question and answer."""
        loop = asyncio.get_running_loop()
        self.timeline.catch_up(loop.time())
        if self.dice.random() < self.trouble and not self.calm:
            await asyncio.sleep(self.dice.choice([0.0, 1.0]))
            raise BeliefUnobserved(Reason.BOT_UNREACHABLE, "no answer")
        if not (self.nature.live and self.well):
            if self.published is None:
                raise BeliefUnobserved(Reason.STATE_NOT_FOUND, "nothing was published yet")
            return self._told(self.published)
        latency = self.nature.latency
        if latency:
            await asyncio.sleep(self.dice.uniform(0, latency))
            self.timeline.catch_up(loop.time())
        belief = self._told(self._now())
        if latency:
            await asyncio.sleep(self.dice.uniform(0, latency))
        return belief

    # --- what it is told ----------------------------------------------------------------------------------------------

    def take(self, repair_id: str, belief: ExpectedState, repairs: Sequence[Repair]) -> None:
        """Put its belief right, once by one id, and not where it believes something else by now."""
        if repair_id in self._taken:
            return
        if not (self.well and self.ready) or belief.boot_id != f"boot-{self.boots}":
            raise Outdated("it booted since, or is not well")
        now = self._belief(self._now())
        drift = self.drift
        for repair in repairs:
            drift = self._repaired(drift, repair, belief, now)
        self._taken.add(repair_id)
        self.repaired.update(str(repair.kind) for repair in repairs)
        self.drift = drift

    def _repaired(self, drift: Drift, repair: Repair, belief: ExpectedState, now: ExpectedState) -> Drift:
        match repair.kind:
            case RepairKind.POSITION:
                leg = (repair.symbol, PositionSide(repair.id))
                if _held(belief, leg) != _held(now, leg):
                    raise Outdated("it traded since")
                share = self.account.shares[self.number].get(leg, ZERO)
                return replace(drift, offsets={**drift.offsets, leg: Decimal(repair.value) - share})
            case RepairKind.BALANCE:
                if belief.balances != now.balances:
                    raise Outdated("its wallet changed since")
                return replace(drift, wallet=Decimal(repair.value) - self.account.wallets[self.number])
        key = (repair.symbol, repair.order_id)
        mine = self.account.owners.get(key, self.account.owners.get((repair.symbol, f"trigger:{repair.order_id}")))
        if repair.kind is RepairKind.MISSING_ORDER:
            if mine != self.number:
                self.wrong.append(f"bot {self.number} was to adopt the order {repair.order_id}, which is not its own")
            keys = {key, (repair.symbol, f"trigger:{repair.order_id}")}
            altered = {known: changes for known, changes in drift.altered.items() if known not in keys}
            return replace(drift, forgotten=drift.forgotten - keys, altered=altered)
        if repair.value == OrderStatus.OPEN:
            self.wrong.append(f"bot {self.number} was told that a stale order is open")
        names = {name for name in (repair.order_id, repair.client_id) if name}
        kept = tuple(row for row in drift.added if not names & {row.id, row.client_id})
        if len(kept) == len(drift.added) and any(
            key[1].removeprefix("trigger:") in names for key in self.account.orders
        ):
            self.wrong.append(f"bot {self.number} was told that the order {repair.order_id} ended, and it is open")
        return replace(drift, added=kept)

    # --- its life -----------------------------------------------------------------------------------------------------

    def calm_down(self) -> None:
        """Whatever befell it is over."""
        self.calm = True
        self._life += 1
        self._recover()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        life = self._life

        def if_still_so() -> None:
            if life == self._life:
                act()

        self.timeline.later(seconds, if_still_so)

    def _publish(self) -> None:
        news = self._now()

        def appear() -> None:
            self.published = news
            gap = self.nature.calm_gap if self.calm else self.nature.publish_every
            if not self.calm and self.dice.random() < 0.02:
                self._misfortune()
            else:
                self._later(self.dice.uniform(0.5, 1.0) * gap, self._publish)

        lag = 0.2 if self.calm else self.nature.publish_lag
        self._later(self.dice.uniform(0, lag) if lag else 0.0, appear)

    def _misfortune(self) -> None:
        scale = self.nature.scale
        self.well = False
        if self.dice.random() < 0.5:  # frozen
            self._later(self.dice.uniform(5, 120) * scale, self._recover)
            return

        def boot() -> None:
            self.boots += 1
            self.ready = False
            self.published = self._now()
            self._later(self.dice.uniform(0, 30) * scale, self._recover)

        def linger() -> None:  # it goes on saying that there is nothing
            self.published = replace(self._now(), wiped=True)
            self._later(self.dice.uniform(0, 25) * scale, boot)

        self.published = replace(self._now(), wiped=True)
        self._later(self.dice.uniform(0, 25) * scale, linger)

    def _recover(self) -> None:
        self.ready = self.well = True
        self._publish()

    def _step_clock(self) -> None:
        """Its clock is put right, or wrong, by as much as is tolerated."""
        self.skew_ms = self.dice.randint(-LARGEST_SKEW_MS, LARGEST_SKEW_MS)
        self.timeline.later(self.dice.uniform(20, 400) * self.nature.scale, self._step_clock)

    # --- what it believes ---------------------------------------------------------------------------------------------

    def _now(self) -> Publication:
        at = self.timeline.now
        as_of = START_MS + int(at * 1000) + self.skew_ms
        return Publication(at, as_of, f"boot-{self.boots}", self.ready, wiped=False, drift=self.drift)

    def _told(self, said: Publication) -> ExpectedState:
        if said.belief is None:
            said.belief = self._belief(said)
        return said.belief

    def _belief(self, said: Publication) -> ExpectedState:
        state = ExpectedState(said.as_of, said.boot_id, ready=said.ready, positions=(), orders=(), balances=())
        if said.wiped:
            return state
        at_ms = START_MS + said.at * 1000
        then = self.account.at(at_ms - self.nature.late_ms)
        drift = said.drift
        held = dict(then.shares[self.number])
        for leg, offset in drift.offsets.items():
            held[leg] = held.get(leg, ZERO) + offset
        positions = tuple(ExpectedPosition(symbol, side, amount) for (symbol, side), amount in held.items() if amount)
        if not said.ready:  # half of its memory is back
            return replace(state, positions=positions)
        wallet = ExpectedBalance("USDT", then.wallets[self.number] + drift.wallet)
        return replace(state, positions=positions, orders=self._orders(then, at_ms, drift), balances=(wallet,))

    def _orders(self, then: Then, at_ms: float, drift: Drift) -> tuple[ExpectedOrder, ...]:
        rows: list[ExpectedOrder] = []
        for order in then.orders:
            key = (order.symbol, order.ref)
            if self.account.owners[key] != self.number or key in drift.forgotten:
                continue
            tracked = self._tracked(key, order, at_ms)
            if key in drift.altered:
                tracked = tuple(replace(row, **drift.altered[key]) for row in tracked)  # type: ignore[arg-type]
            rows += tracked
        return (*rows, *drift.added)

    def _tracked(self, key: Key, order: Order, at_ms: float) -> tuple[ExpectedOrder, ...]:
        learned = key not in self.account.before or at_ms >= (order.created or 0) + self.nature.learns_late_ms
        known = self._rows.get(key)
        if known is not None and known[0] is order and known[1] is learned:
            return known[2]
        rows = [self.named(order, order)]
        if key in self.account.before:
            first = self._first(key)
            by_first = self.named(order, first)
            match self.nature.tracks if learned else "first":
                case "first":
                    rows = [by_first]
                case "both" if by_first.client_id != rows[0].client_id:
                    rows.append(by_first)
                case "both" if by_first.id:  # no two records have the same name
                    rows.append(replace(by_first, client_id=""))
        self._rows[key] = (order, learned, tuple(rows))
        return tuple(rows)

    def _first(self, key: Key) -> Order:
        order = self.account.before[key]
        for _ in range(STEPS_BACK - 1):
            order = self.account.before.get((order.symbol, order.ref), order)
        return order

    def named(self, order: Order, by: Order) -> ExpectedOrder:
        """Its own record of `order`, under the ids of `by`."""
        names = self.nature.names if by.client_id else "id"
        return ExpectedOrder(
            symbol=order.symbol,
            id="" if names == "client" else by.id,
            client_id="" if names == "id" else by.client_id,
            side=order.side,
            quantity=order.quantity,
            filled=order.filled,
            price=order.price,
            status=order.status,
        )


def _held(belief: ExpectedState, leg: Leg) -> Decimal:
    return sum((row.quantity for row in belief.positions or () if (row.symbol, row.side) == leg), ZERO)

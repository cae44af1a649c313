"""Whether the bot obeys its hold: orders of its own that it placed although it could know better.

In:  since when the bot can see that it is held (`Held`), what was read and judged (`Evidence`), the snapshot before
it, what is remembered while the hold stands (`Honour`), and the fills that were asked for. Out: `Look`: the orders that
the hold does not allow, what to remember, and the orders behind fills, and the fills, to ask the exchange for.

A ReduceOnly hold allows what can only bring a position down, Halt nothing.

Invariants:
1. Only an order that is known to be the bot's own, and known to have been created later than it takes to obey, counts.
   What is older, and what grew out of it, is none; an order without a time is Unknown, and so none.
2. What may have been an exit when it was placed is taken for one: an open order is accused only where every fill since
   then is known. Until it is, nothing is said.
3. Each order is told once while it is remembered.
4. What the exchange and our own actions placed is never the bot's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property

from accountsync.domain.account import AccountSnapshot, Fill, Order, Part, PositionSide, Side
from accountsync.domain.detect import Evidence
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import EXACT, ZERO, Question
from accountsync.domain.held import Held, Honour, Key, Offence, Suspect, is_own, names_of

MARGIN_MS = 1_000
"""How far apart the two clocks may be beyond what the snapshot says."""
KEPT = 5_000
"""Orders remembered that were placed during a hold; of more, those that are nowhere to be seen are forgotten."""


Listed = tuple[int, tuple[Fill, ...]]
"""From which exchange ms on all fills of a symbol were asked for behind the snapshot, and those fills."""
NOTHING: Mapping[str, Listed] = {}


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the account shows.

    `questions`: orders behind fills, those of the newest fills first. `lists`: symbol → exchange ms from which on its
    fills are needed to judge an order, those that were missed longest first.
    """

    offences: tuple[Offence, ...] = ()
    memory: Honour = field(default_factory=Honour)
    questions: tuple[Question, ...] = ()
    lists: Mapping[str, int] = field(default_factory=dict)


def look(
    memory: Honour,
    held: Held | None,
    evidence: Evidence,
    before: AccountSnapshot | None,
    listed: Mapping[str, Listed] = NOTHING,
) -> Look:
    """Orders of the bot that its hold does not allow, of those that were not told yet. `listed`: by symbol."""
    if held is None:
        return Look()
    if memory.since != held.since:
        memory = Honour(held.since, told=memory.told)
    search = _Search(memory, held, evidence, before, listed)
    search.look_at_orders()
    search.look_at_fills()
    return search.result()


class _Search:
    """One look in the making."""

    def __init__(
        self,
        memory: Honour,
        held: Held,
        evidence: Evidence,
        before: AccountSnapshot | None,
        listed: Mapping[str, Listed],
    ) -> None:
        self._memory, self._held, self._evidence, self._before = memory, held, evidence, before
        self._told_fills = listed
        self._seen = evidence.snapshot
        self._fills = evidence.background.fills
        slack = evidence.policy.pause_allowance_ms + max(0, self._seen.skew_ms)
        self._held_from = max(held.since + slack + MARGIN_MS, memory.known_to)
        self._halted_from = None if held.halted is None else held.halted + slack + MARGIN_MS
        self._told, self._settled, self._triggers = set(memory.told), set(memory.settled), set(memory.triggers)
        self._suspects = {**memory.suspects}
        self._lists: dict[str, int] = {}
        self._newly_resting: set[Key] = set()
        self._offences: list[Offence] = []
        self._questions: list[Question] = []

    @cached_property
    def _listed(self) -> frozenset[Key]:
        return frozenset((order.symbol, order.ref) for order in self._seen.orders)

    def _rests(self, key: Key) -> bool:
        return key in self._memory.resting or key in self._newly_resting

    # --- open orders -------------------------------------------------------------------------------------------------

    def look_at_orders(self) -> None:
        """Those that are listed, and those that were while nobody could judge them."""
        for order in (*(self._before.orders if self._before else ()), *self._seen.orders):
            self._note_resting(order)
        for order in self._seen.orders:
            if self._is_open_question(order):
                key = (order.symbol, order.ref)
                first = self._suspects[key].seen if key in self._suspects else self._seen.timestamp
                self._suspects[key] = Suspect(order, first)
        for suspect in sorted(self._suspects.values(), key=lambda each: (each.seen, each.order.symbol, each.order.ref)):
            if self._is_open_question(suspect.order):
                self._judge(suspect.order, adds=self._adds(suspect))

    def _note_resting(self, order: Order) -> None:
        known = (order.symbol, order.ref) in self._memory.resting
        if not known and order.created is not None and order.created <= self._held_from:
            self._newly_resting.update(names_of(order))
            if order.conditional:
                self._triggers.add((order.symbol, order.ref, order.side, order.remaining))

    def _is_open_question(self, order: Order) -> bool:
        """Whether `order` is the bot's, was placed later than it may, and is not settled."""
        key = (order.symbol, order.ref)
        if key in self._told or key in self._settled or order.created is None or order.created <= self._held_from:
            return False
        if not is_own(order, self._evidence):
            return False
        if self._continues(order):
            self._settled.add(key)
            return False
        return True

    def _continues(self, order: Order) -> bool:
        """Whether it took the place of one of before: the child of one that triggered, or what amended it."""
        if any(self._rests(name) for name in names_of(order)):
            return True
        # One that was there while the trigger still waited is not its child.
        for trigger in () if (order.symbol, order.ref) in self._suspects else sorted(self._triggers):
            symbol, ref, side, quantity = trigger
            fits = (symbol, side) == (order.symbol, order.side) and quantity in (ZERO, order.quantity)
            if fits and not order.conditional and (symbol, ref) not in self._listed:
                self._triggers.discard(trigger)  # it left the list just so: one order may be its child
                return True
        return any(
            answer is not None
            and answer.symbol == order.symbol
            and answer.successor == order.id
            and (answer.created is None or answer.created <= self._held_from)
            for answer in self._evidence.answers.values()
        )

    def _judge(self, order: Order, *, adds: bool | None) -> None:
        """`adds`: whether it adds exposure; None: that can't be told yet."""
        assert order.created is not None, "an order without a time is no question"
        halted = self._halted_from is not None and order.created > self._halted_from
        if not halted and not order.reduce_only and adds is None:
            return
        key = (order.symbol, order.ref)
        if not halted and (order.reduce_only or not adds):
            self._settled.add(key)
            return
        since = self._held.halted if halted and self._held.halted is not None else self._held.since
        self._told.add(key)
        self._offences.append(
            Offence(
                order.symbol,
                order.ref,
                order.client_id,
                order.side,
                order.quantity,
                late_ms=order.created - since - self._seen.skew_ms,
                halted=halted and (order.reduce_only or not adds),
            )
        )

    def _adds(self, suspect: Suspect) -> bool | None:
        """Whether it can do anything but bring a position down; None: what it could have closed is not known yet."""
        order = suspect.order
        symbol, since = order.symbol, order.created or 0
        if Part.POSITIONS in self._seen.missing or symbol in self._seen.unsettled:
            return None
        if order.remaining <= self._most_to_close(symbol, order.side, since):
            return False
        if order.reduce_only or not self._is_in_step(suspect):
            return None
        begin, fills = self._told_fills.get(symbol, (None, ()))
        if begin is None or begin > since:
            self._lists[symbol] = min(since, self._lists.get(symbol, since))
            return None
        if any(fill.time > self._seen.timestamp for fill in fills):
            return None  # nobody knows whether the position that was read is of before it
        return True

    def _is_in_step(self, suspect: Suspect) -> bool:
        """Whether lists of fills tell by now all that led to the positions as they were when it was seen."""
        log, symbol, seen = self._fills, suspect.order.symbol, suspect.seen
        if log is None or symbol in log.unread or symbol in log.late:
            return False
        watched = min(seen, self._before.timestamp if self._before else seen)
        return watched + self._evidence.policy.order_grace_ms <= self._seen.timestamp

    def _most_to_close(self, symbol: str, side: Side, since: int) -> Decimal:
        """The most that an order on this `side` could have closed at any time from `since` on."""
        most = ZERO
        legs = {PositionSide.NET, PositionSide.SHORT if side is Side.BUY else PositionSide.LONG}
        for leg in legs:
            quantities = [_held(self._seen, symbol, leg), *([_held(self._before, symbol, leg)] if self._before else ())]
            for fills in (self._fills.recent.get(symbol, ()) if self._fills else (), self._asked_for(symbol)):
                quantities += _path(fills, leg, quantities[0], since)
            closable = [-each if leg is PositionSide.NET and side is Side.BUY else each for each in quantities]
            most = max(most, *closable)
        return most

    def _asked_for(self, symbol: str) -> tuple[Fill, ...]:
        return self._told_fills.get(symbol, (0, ()))[1]

    # --- fills -------------------------------------------------------------------------------------------------------

    def look_at_fills(self) -> None:
        """Orders that were filled before anybody could list them."""
        if self._fills is None:
            return
        newest: dict[Key, list[Fill]] = {}
        for symbol, rows in self._fills.recent.items():
            for fill in reversed(rows):
                if fill.time <= self._held_from:
                    break
                newest.setdefault((symbol, fill.order_id), []).append(fill)
        for key, fills in sorted(newest.items(), key=lambda item: -item[1][0].time):
            done = key in self._told or key in self._settled or self._rests(key) or key in self._listed
            if not done:
                self._look_behind(key, fills, self._fills)

    def _look_behind(self, key: Key, fills: list[Fill], log: FillLog) -> None:
        opened = [self._opened(fill, log) for fill in fills]
        halted = self._halted_from is not None and fills[0].time > self._halted_from
        if not halted and not any(opened):
            if None not in opened:
                self._settled.add(key)
            return
        question = Question(*key, conditional=False)
        answers = self._evidence.answers
        order = log.orders.get(key) or answers.get(question)
        if order is None:
            if question in answers:
                self._settled.add(key)  # the exchange knows of none: nobody can tell
            else:
                self._questions.append(question)
        elif order.created is None or order.created <= self._held_from or order.conditional:
            self._settled.add(key)
        elif self._is_open_question(order):
            self._judge(order, adds=any(opened))
        elif self._evidence.expected is not None or self._evidence.policy.order_id_prefix:
            self._settled.add(key)

    def _opened(self, fill: Fill, log: FillLog) -> bool | None:
        """Whether a fill moved its leg away from zero; None: that can't be told yet."""
        if fill.leg is not PositionSide.NET:
            return fill.change > 0
        leg = (fill.symbol, fill.leg)
        quantity = _held(self._seen, *leg)
        if fill.symbol in log.unread or fill.symbol in log.late or log.proven.get(leg, (0, None))[1] != quantity:
            return None
        for later in reversed(log.recent.get(fill.symbol, ())):
            if later.id == fill.id:
                break
            if later.leg is fill.leg:
                quantity = EXACT.subtract(quantity, later.change)
        return quantity * fill.change > 0

    # --- the end -----------------------------------------------------------------------------------------------------

    def result(self) -> Look:
        """What was found."""
        if len(self._told) + len(self._settled) + len(self._suspects) > KEPT:
            self._forget()
        last = self._memory.last
        if self._offences:
            newest = max(self._offences, key=lambda offence: offence.late_ms).message
            last = newest if len(self._offences) == 1 else f"{newest}; and {len(self._offences) - 1} more"
        memory = replace(
            self._memory,
            told=frozenset(self._told),
            settled=frozenset(self._settled),
            suspects={key: each for key, each in self._suspects.items() if key not in self._told | self._settled},
            resting=self._memory.resting.union(self._newly_resting) if self._newly_resting else self._memory.resting,
            triggers=frozenset(self._triggers),
            last=last,
        )
        return Look(tuple(self._offences), memory, tuple(self._questions), self._lists)

    def _forget(self) -> None:
        visible = {name for order in self._seen.orders for name in names_of(order)}
        for rows in (self._fills.recent if self._fills else {}).values():
            visible.update((fill.symbol, fill.order_id) for fill in rows)
        for known in (self._told, self._settled):
            known.intersection_update(visible)
        self._suspects = {key: suspect for key, suspect in self._suspects.items() if key in visible}


def _held(snapshot: AccountSnapshot, symbol: str, leg: PositionSide) -> Decimal:
    """Signed on NET."""
    return sum((row.quantity for row in snapshot.positions if (row.symbol, row.side) == (symbol, leg)), ZERO)


def _path(fills: tuple[Fill, ...], leg: PositionSide, quantity: Decimal, since: int) -> list[Decimal]:
    """What the leg was before each of `fills`, oldest first, from `since` on."""
    path = []
    for fill in reversed(fills):
        if fill.time < since:
            break
        if fill.leg is leg:
            quantity = EXACT.subtract(quantity, fill.change)
            path.append(quantity)
    return path

"""What was traded lately: the fills that no order of the bot explains, and where a position stood at the belief's time.

In:  the fills of the symbols whose positions changed, read behind each snapshot. Out: `FillLog`, remembered between
cycles, and findings for the fills that are foreign.

Invariants:
1. A fill is told of once: it stays in `pending` until an order of the bot explains it, or until its finding was
   confirmed and the bot has taken the position into its account.
2. `watermark` never passes a pending fill, so that a restart forgets none; nothing before it is ever read again.
3. A path of positions is told only where every fill of it was read: they add up to the position.
"""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from decimal import Decimal

from accountsync.domain.account import AccountSnapshot, Fill, Order, Position, PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.draft import Draft
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.finding import EXACT, FILLS, Detection, Finding, Question, plain, sanitize
from accountsync.domain.past import placed
from accountsync.domain.sharing import names

KEPT = 500
"""Fills kept of one symbol, besides the pending ones."""
PENDING_KEPT = 2_000
"""Pending fills of all symbols: each may cost a question about its order."""
OVERLAP_MS = 5_000
"""Lists of fills may lag behind positions: so much is read again."""
DENIED_FOR_MS = 3_600_000
"""A fill whose order the exchange denies is Unknown for so long; then nobody will ever tell whose it was."""
SAME_CHANGE_MS = 10
"""A position's update time and that of the fill behind it may differ by so much."""

_OF_SOMEBODY = "order "
"""How a finding names the order of a fill, where it was not the exchange that placed it."""

Leg = tuple[str, PositionSide]
FillKey = tuple[str, str]
"""Symbol and id."""
Sight = tuple[int, int, Decimal]
"""When a position was seen, when it had changed last, both in exchange ms, and its quantity."""


@dataclass(frozen=True, slots=True)
class FillLog:
    """`start`: exchange ms from which fills are read.

    `read_to`: symbol → until when its fills are known, where that is later than `start`. `recent`: symbol → its fills,
    oldest first. `cut`: symbol → time of the last one that was dropped from `recent`. `pending`: those that are not
    dealt with; `orders`: what is known of the orders behind them from lists. `unread`: symbols whose positions changed,
    and whose fills were not told yet. `late`: symbols whose positions left the list, so that nothing says whether all
    of their fills were told → until which exchange ms they are read again. `seen_to`: time of the last snapshot.
    `tried`: symbol → time of the snapshot behind which its fills were last asked for, told or not.
    `observed`: leg → how it was seen lately, from the newest sight that is the grace old on. `proven`: leg → when it
    changed and what it is, where the fills since that sight lead there. `foreign`: those of `recent` that are
    dealt with, though nobody showed that they were the bot's.
    """

    start: int
    read_to: Mapping[str, int] = field(default_factory=dict)
    recent: Mapping[str, tuple[Fill, ...]] = field(default_factory=dict)
    cut: Mapping[str, int] = field(default_factory=dict)
    pending: Mapping[FillKey, Fill] = field(default_factory=dict)
    orders: Mapping[tuple[str, str], Order] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
    late: Mapping[str, int] = field(default_factory=dict)
    seen_to: int = 0
    tried: Mapping[str, int] = field(default_factory=dict)
    observed: Mapping[Leg, tuple[Sight, ...]] = field(default_factory=dict)
    proven: Mapping[Leg, tuple[int, Decimal]] = field(default_factory=dict)
    foreign: frozenset[FillKey] = frozenset()

    @property
    def unfinished(self) -> frozenset[str]:
        """Symbols of which fills are yet to be read or to be attributed."""
        return self.unread.union(self.late, (symbol for symbol, _ in self.pending))

    @property
    def watermark(self) -> int:
        """Everything at or before it is dealt with, on the exchange's clock."""
        known = [self.read_to.get(symbol, self.start) for symbol in self.unread] or [self.seen_to]
        return max(self.start, min([*known, *(fill.time - 1 for fill in self.pending.values())]))

    def since(self, symbol: str) -> int:
        """From when to read the fills of `symbol`."""
        return max(self.start + 1, self.read_to.get(symbol, self.start) - OVERLAP_MS)

    def noticing(self, symbols: Iterable[str], snapshot: AccountSnapshot) -> "FillLog":
        """The log after a snapshot in which the positions of `symbols` changed."""
        symbols = frozenset(symbols)
        settled = symbols - self.unread - self.late.keys()
        begun = {symbol: max(self.seen_to, self.read_to.get(symbol, 0)) for symbol in settled if self.seen_to}
        return replace(
            self,
            read_to={**self.read_to, **begun},
            unread=self.unread | symbols,
            seen_to=max(self.seen_to, snapshot.timestamp),
        )

    def reading(self, symbol: str, rows: Iterable[Fill], snapshot: AccountSnapshot, grace_ms: int) -> "FillLog":
        """The log after the fills of `symbol` were read, behind `snapshot`."""
        before = self.recent.get(symbol, ())
        known = {fill.id for fill in before}
        begin = max(self.start + 1, self.cut.get(symbol, 0))
        new = {fill.id: fill for fill in rows if fill.time >= begin and fill.id not in known}
        fresh = [*new.values()]
        fills = tuple(sorted((*before, *fresh), key=lambda fill: (fill.time, len(fill.id), fill.id)))
        changed = max((row.updated or 0 for row in snapshot.positions if row.symbol == symbol), default=0)
        late = {**self.late}
        if symbol in self.unread and not (changed and fresh):
            late[symbol] = snapshot.timestamp + grace_ms
        elif late.get(symbol, snapshot.timestamp) <= snapshot.timestamp:
            late.pop(symbol, None)
        last = fills[-1].time if fills else 0
        behind = changed > last + SAME_CHANGE_MS and snapshot.timestamp < changed + grace_ms
        dropped = fills[:-KEPT]
        waiting = {**self.pending, **{(symbol, fill.id): fill for fill in fresh}}
        pending = _latest(waiting)
        forgotten = self.foreign.union(waiting.keys() - pending.keys()).difference((symbol, row.id) for row in dropped)
        return replace(
            self,
            read_to={**self.read_to, symbol: max(last, self.read_to.get(symbol, self.start))},
            recent={**self.recent, symbol: fills[-KEPT:]},
            cut={**self.cut, symbol: dropped[-1].time} if dropped else self.cut,
            pending=pending,
            foreign=forgotten,
            unread=self.unread if behind else self.unread - {symbol},
            late=late,
        )

    def recognising(self, orders: Iterable[Order]) -> "FillLog":
        """The log with those of `orders` that are behind its pending fills, so that nobody has to be asked for them."""
        if not self.pending:
            return replace(self, orders={}) if self.orders else self
        wanted = {(fill.symbol, fill.order_id) for fill in self.pending.values()}
        seen = {(order.symbol, order.id): order for order in orders if not order.conditional}
        known = {**self.orders, **seen}
        return replace(self, orders={key: known[key] for key in wanted & known.keys()})

    def observing(self, snapshot: AccountSnapshot, grace_ms: int) -> "FillLog":
        """The log after the positions of `snapshot` were held against the fills since they were seen the grace ago."""
        now = {(row.symbol, row.side): (row.updated or snapshot.timestamp, row.quantity) for row in snapshot.positions}
        observed: dict[Leg, tuple[Sight, ...]] = {}
        proven: dict[Leg, tuple[int, Decimal]] = {}
        for leg in now.keys() | self.observed.keys():
            updated, quantity = now.get(leg, (snapshot.timestamp, Decimal(0)))
            sights = (*self.observed.get(leg, ()), (snapshot.timestamp, updated, quantity))
            old = sum(1 for seen_at, _, _ in sights if seen_at <= snapshot.timestamp - grace_ms)
            observed[leg] = sights[max(0, old - 1) :]
            if old and self._adds_up(leg, observed[leg][0], updated, quantity):
                proven[leg] = (updated, quantity)
        return replace(self, observed=observed, proven=proven)

    def _adds_up(self, leg: Leg, sight: Sight, updated: int, quantity: Decimal) -> bool:
        _, since, total = sight
        for fill in self.recent.get(leg[0], ()):
            if fill.leg is leg[1] and since < fill.time <= updated:
                total = EXACT.add(total, fill.change)
        return total == quantity

    def without(self, keys: AbstractSet[FillKey], foreign: AbstractSet[FillKey] = frozenset()) -> "FillLog":
        """The log with these fills dealt with; `foreign`: those of them that may not have been the bot's."""
        if keys.isdisjoint(self.pending):
            return self
        pending = {key: fill for key, fill in self.pending.items() if key not in keys}
        return replace(self, pending=pending, foreign=self.foreign.union(foreign & self.pending.keys()))

    def last(self, symbol: str) -> int | None:
        """When `symbol` was traded last; None: not since the log began."""
        fills = self.recent.get(symbol)
        return fills[-1].time if fills else None

    def path(self, row: Position, since: int) -> frozenset[Decimal] | None:
        """Every quantity that the leg of `row` had from `since` (ms) to its last change; None: that isn't known."""
        if row.updated is None or row.symbol in self.unread:
            return None
        if since <= max(self.start, self.cut.get(row.symbol, 0)):
            return None
        if self.proven.get((row.symbol, row.side)) != (row.updated, row.quantity):
            return None  # fills are lacking, or it has just begun
        fills = [fill for fill in self.recent.get(row.symbol, ()) if fill.leg is row.side and fill.time >= since]
        if not fills or fills[-1].time > row.updated or row.updated - fills[-1].time > SAME_CHANGE_MS:
            return None  # the list of positions, or that of fills, is behind the other
        quantity = row.quantity
        path = {quantity}
        for fill in reversed(fills):
            quantity -= fill.change
            path.add(quantity)
        return frozenset(path)


def _latest(pending: Mapping[FillKey, Fill]) -> Mapping[FillKey, Fill]:
    """As many as can be attributed one day; of more than that, the oldest are given up."""
    if len(pending) <= PENDING_KEPT:
        return pending
    oldest_first = sorted(pending.items(), key=lambda item: (item[1].time, item[0]))
    return dict(oldest_first[-PENDING_KEPT:])


def changed_symbols(before: AccountSnapshot | None, now: AccountSnapshot, log: FillLog) -> set[str]:
    """Symbols whose positions are not what they were; without a `before`: not since the log began."""
    if before is None:
        return {row.symbol for row in now.positions if (row.updated or 0) > log.start}
    moved = {leg[0] for leg, _ in _legs(before) ^ _legs(now)}
    # One that was flat at both readings, and not in between: where flat ones are listed, their time tells.
    flat = {row.symbol for row in now.positions if not row.quantity and (row.updated or 0) > before.timestamp}
    return moved | flat


def untimed_symbols(now: AccountSnapshot, believed: Iterable[ExpectedPosition]) -> set[str]:
    """Symbols of legs that the bots believe to hold and that are not listed.

    A position that was closed leaves no row, and so no time; it may even have come and gone since it was missed.
    """
    sides: dict[str, set[PositionSide]] = {}
    for row in now.positions:
        sides.setdefault(row.symbol, set()).add(row.side)
    return {row.symbol for row in believed if row.quantity and not _is_among(row.side, sides.get(row.symbol, set()))}


def _is_among(side: PositionSide, listed: AbstractSet[PositionSide]) -> bool:
    """Whether a leg is listed; where one side speaks of the net position, any row is about it."""
    return side in listed or PositionSide.NET in listed or (side is PositionSide.NET and bool(listed))


def _legs(snapshot: AccountSnapshot) -> set[tuple[tuple[str, ...], tuple[Decimal, int | None]]]:
    return {
        ((row.symbol, row.side, row.margin_mode), (row.quantity, row.updated))
        for row in snapshot.positions
        if row.quantity
    }


def judge_fills(log: FillLog, expected: ExpectedState | None, draft: Draft) -> None:
    """Findings for the foreign ones of the pending fills, and questions about orders that are not known."""
    draft.unknown.update((symbol, FILLS) for symbol in log.unread)
    for key, fill in log.pending.items():
        name = f"fill:{fill.id}"
        question = Question(fill.symbol, fill.order_id, conditional=False)
        order = log.orders.get((fill.symbol, fill.order_id)) or draft.answers.get(question)
        names_of_ours = {placed(fill.symbol, fill.order_id), order.client_id if order else ""}
        if not draft.policy.acted.isdisjoint(names_of_ours):
            draft.explained.add(key)
            continue
        if order is None and expected is not None and names(expected, fill.symbol, fill.order_id, ""):
            draft.explained.add(key)
            continue
        if order is None and question in draft.answers and draft.snapshot.timestamp - fill.time > DENIED_FOR_MS:
            draft.explained.add(key)  # nobody can tell any more
            draft.given_up.add(key)
            continue
        if order is None:
            if question not in draft.answers:
                draft.ask(question)
            draft.doubt(fill.symbol, name)
            continue
        foreign = _is_foreign(fill, order, expected, draft)
        if foreign is None:
            draft.doubt(fill.symbol, name)
        elif not foreign:
            draft.explained.add(key)
        else:
            named = f"{_OF_SOMEBODY}{sanitize(order.id)}, client id {sanitize(order.client_id) or 'none'}"
            draft.add(
                Rule.UNATTRIBUTED_FILL,
                fill.symbol,
                name,
                expected="none",
                observed=f"{fill.side} {plain(fill.quantity)} at {plain(fill.price)} ({order.forced or named})",
                quantity=fill.quantity,
                price=fill.price,
                changed=fill.time,
                fills=(fill.id,),
                client_id=order.client_id,
            )


def _is_foreign(fill: Fill, order: Order, expected: ExpectedState | None, draft: Draft) -> bool | None:
    """None: that can't be told now. Without a prefix only what the exchange itself did is foreign for certain."""
    prefix, sharing = draft.policy.order_id_prefix, draft.sharing
    client_id = order.client_id
    ours = not prefix or client_id.startswith(prefix) or sharing.owner(client_id, prefix) is not None
    if ours and not order.forced:
        return False
    if expected is None:
        return None
    if names(expected, fill.symbol, fill.order_id, client_id) or _is_child(fill, expected, draft):
        return False
    if sharing.siblings:
        tracked = sharing.tracked(fill.symbol, fill.order_id, client_id)
        if tracked is not False:
            return None if tracked is None else False
        return sharing.leads
    return True


def forced(finding: Finding) -> bool:
    """Whether an UnattributedFill is of an order that the exchange itself placed, say to liquidate."""
    return f"({_OF_SOMEBODY}" not in finding.observed


def _is_child(fill: Fill, expected: ExpectedState, draft: Draft) -> bool:
    """Whether its order took the place of a conditional one that the bot tracks: the exchange gave it another id."""
    parents = (order for order in draft.answers.values() if order is not None and order.successor == fill.order_id)
    return any(order.symbol == fill.symbol and names(expected, order.symbol, order.id, "") for order in parents)


def accepted(log: FillLog, confirmed: Collection[str], detection: Detection) -> set[FillKey]:
    """The pending fills that people were told of, or accept, and whose symbols agree again. `confirmed`: keys."""
    apart = {finding.symbol for finding in detection.findings if finding.rule is Rule.POSITION_MISMATCH}
    told = {
        finding.key: finding.symbol
        for finding in (*detection.findings, *detection.ignored)
        if finding.rule is Rule.UNATTRIBUTED_FILL
        and finding.symbol not in apart
        and (finding.key in confirmed or finding in detection.ignored)
    }
    agreed = {
        symbol
        for symbol in told.values()
        if Rule.POSITION_MISMATCH in detection.unjudged or detection.judged(Finding(Rule.POSITION_MISMATCH, symbol, ""))
    }
    keys = {
        f"{Rule.UNATTRIBUTED_FILL}|{symbol}|{sanitize(f'fill:{id_}')}": (symbol, id_) for symbol, id_ in log.pending
    }
    return {keys[key] for key, symbol in told.items() if symbol in agreed and key in keys}

"""The parity heartbeat: what the ledger holds open in a symbol where the exchange holds nothing.

In:  the ledger's open slices as a stream, a snapshot, what the siblings believe, what earlier looks saw (`Memory`).
Out: the ghosts, which of them are confirmed, and, from a second pass over the stream, the slices behind those.

Invariants (ledger runbook, "automated parity heartbeat"):
1. A ghost is a position: on a shared account the bots' virtual quantities are summed before they are compared, and one
   Unknown belief makes all of it Unknown; where a ledger's own part comes to nothing, it has no ghost. In hedge mode
   each leg is a position of its own, which no sibling offsets.
2. What the exchange still holds a part of is no ghost: that is a PositionMismatch, for people. Less than a step is
   nothing.
3. Each confirmation takes a newer snapshot and a newer belief, of at least the grace after the exchange's last change,
   and a reading of at least the grace after the first belief that counted. A slice that was opened since that is
   Unknown. Unknown neither advances nor resets; one clean look resets.
4. Memory is in the number of positions, and of slices of confirmed ghosts.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from accountsync.domain.account import AccountSnapshot, Part, Position, PositionSide
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.finding import EXACT, ZERO
from accountsync.domain.ledger import NoGo, Slice, SliceSide, Tally
from accountsync.domain.policy import Parity
from accountsync.domain.sharing import Sharing

REASONS_KEPT = 50
LEG = {SliceSide.LONG: PositionSide.LONG, SliceSide.SHORT: PositionSide.SHORT}
GhostKey = tuple[str, PositionSide]
"""Symbol and position: NET, or a leg of hedge mode."""


@dataclass(frozen=True, slots=True)
class Open:
    """What the ledger holds open on one side of a symbol, or on both.

    `quantity`: signed. `slices`: how many. `gross`: of all together, and `largest`: of one; both without a sign.
    `youngest`: Unix ms of when the last of them was opened.
    """

    quantity: Decimal = ZERO
    slices: int = 0
    gross: Decimal = ZERO
    largest: Decimal = ZERO
    youngest: int = 0

    def __add__(self, other: "Open") -> "Open":
        """Both together."""
        return Open(
            EXACT.add(self.quantity, other.quantity),
            self.slices + other.slices,
            EXACT.add(self.gross, other.gross),
            max(self.largest, other.largest),
            max(self.youngest, other.youngest),
        )


Virtual = Mapping[GhostKey, Open]
"""The LONG and the SHORT side of each symbol → what is open there."""


@dataclass(frozen=True, slots=True)
class Ghost:
    """A virtual position without a real one. `quantity`: of all bots, signed on NET; `open`: this ledger's part of it.

    `mark`: a price of the last minute; None: there is none.
    """

    symbol: str
    leg: PositionSide
    quantity: Decimal
    open: Open
    mark: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """A ghost over time. `witness`: as-of time of the first belief that counted; -1: none did."""

    ghost: Ghost
    count: int = 0
    as_of: int = -1
    timestamp: int = -1
    witness: int = -1


Memory = Mapping[GhostKey, Sight]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw. `confirmed` may be closed now, where fills prove it; `unknown` could not be judged.

    `memory`: for the next look. `blind`: nothing at all was judged.
    """

    memory: Memory = field(default_factory=dict)
    confirmed: frozenset[GhostKey] = frozenset()
    unknown: frozenset[GhostKey] = frozenset()
    blind: bool = False


def tally_up(slices: Iterable[Slice]) -> Virtual:
    """The first pass: what is open, symbol by symbol and side by side."""
    total: dict[GhostKey, Open] = {}
    nothing = Open()
    for row in slices:
        if row.quantity:
            key = (row.symbol, LEG[row.side])
            total[key] = total.get(key, nothing) + Open(row.signed, 1, row.quantity, row.quantity, row.opened)
    return total


def look(
    virtual: Virtual,
    snapshot: AccountSnapshot | None,
    as_of: int,
    sharing: Sharing,
    terms: Parity,
    memory: Memory,
    *,
    grace_ms: int,
    traded: Mapping[str, int] | None = None,
) -> Look:
    """Hold the ledger against the exchange. `snapshot` None: it was refused, or there is none.

    `as_of`: of the ledger, Unix ms. `traded`: symbol → exchange ms of the last fill that is known of it.
    """
    theirs = sharing.positions(ExpectedState(as_of, positions=()))
    if snapshot is None or Part.POSITIONS in snapshot.missing or theirs is None:
        return Look(memory, blind=True)
    as_of = sharing.as_of(as_of)
    after: dict[GhostKey, Sight] = {}
    confirmed, unknown = set(), set()
    for ghost, rows in _suspects(virtual, snapshot, theirs):
        key = (ghost.symbol, ghost.leg)
        last = (traded or {}).get(ghost.symbol, 0)
        changed = max([last, *(row.updated or 0 for row in snapshot.positions if row.symbol == ghost.symbol)])
        young = ghost.open.youngest + grace_ms > snapshot.timestamp
        if ghost.symbol in snapshot.unsettled or young or as_of < changed + grace_ms:
            unknown.add(key)
            if key in memory:
                after[key] = memory[key]
        elif all(_tradable(each, ghost.symbol, snapshot) for each in (ghost.quantity, ghost.open.quantity)) and not any(
            _tradable(row.quantity, row.symbol, snapshot) for row in rows
        ):
            sight = after[key] = _seen(memory.get(key), ghost, as_of, snapshot.timestamp)
            if sight.count >= terms.confirmations and sight.witness + grace_ms <= snapshot.timestamp:
                confirmed.add(key)
    return Look(after, frozenset(confirmed), frozenset(unknown))


def collect(slices: Iterable[Slice], keys: Collection[GhostKey]) -> dict[GhostKey, tuple[Slice, ...]]:
    """The second pass: the slices of the ghosts named by `keys`, and of nothing else."""
    found: dict[GhostKey, list[Slice]] = {key: [] for key in keys}
    for row in slices:
        for leg in (PositionSide.NET, LEG[row.side]):
            rows = found.get((row.symbol, leg))
            if rows is not None and row.quantity:
                rows.append(row)
    return {key: tuple(rows) for key, rows in found.items()}


def reckoned(seen: Look, no_go: Mapping[str, NoGo], closed: int) -> Tally:
    """The numbers of a run. `no_go`: trade id → why it stays open, of all confirmed ghosts. `closed`: how many were.

    A ghost without a price is counted, and not valued: the watchdog has a rule of its own for that.
    """
    ghosts = [sight.ghost for sight in seen.memory.values()]
    kept = sorted(no_go)[:REASONS_KEPT]
    return Tally(
        ghosts=sum(ghost.open.slices for ghost in ghosts),
        quarantined=len(no_go),
        auto_closed=closed,
        max_notional=max((ghost.open.largest * (ghost.mark or ZERO) for ghost in ghosts), default=ZERO),
        total_notional=sum((ghost.open.gross * (ghost.mark or ZERO) for ghost in ghosts), ZERO),
        no_go={trade_id: no_go[trade_id] for trade_id in kept},
    )


def _seen(before: Sight | None, ghost: Ghost, as_of: int, timestamp: int) -> Sight:
    if before is None:
        return Sight(ghost, 1, as_of, timestamp, as_of)
    if as_of <= before.as_of or timestamp <= before.timestamp:
        return replace(before, ghost=ghost)
    return Sight(ghost, before.count + 1, as_of, timestamp, before.witness)


def _suspects(
    virtual: Virtual, snapshot: AccountSnapshot, theirs: Iterable[ExpectedPosition]
) -> Iterator[tuple[Ghost, list[Position]]]:
    """Each virtual position that this ledger has a part of, and the exchange's rows about it."""
    siblings: dict[GhostKey, Decimal] = {(row.symbol, row.side): row.quantity for row in theirs}
    listed: dict[str, list[Position]] = {}
    for row in snapshot.positions:
        listed.setdefault(row.symbol, []).append(row)
    by_default = _hedged(snapshot.positions)
    nothing = Open()
    for symbol in sorted({symbol for symbol, _ in virtual}):
        rows = listed.get(symbol, [])
        mark = snapshot.marks.get(symbol) or next((row.mark_price for row in rows if row.mark_price), None)
        long, short = (virtual.get((symbol, leg), nothing) for leg in (PositionSide.LONG, PositionSide.SHORT))
        if _hedged(rows) if rows else by_default:
            for leg, part in ((PositionSide.LONG, long), (PositionSide.SHORT, short)):
                if part.slices:
                    quantity = EXACT.add(abs(part.quantity), siblings.get((symbol, leg), ZERO))
                    yield Ghost(symbol, leg, quantity, part, mark), [row for row in rows if row.side is leg]
        else:
            net = long + short
            quantity = net.quantity
            for leg in PositionSide:
                amount = siblings.get((symbol, leg), ZERO)
                quantity = EXACT.add(quantity, -amount if leg is PositionSide.SHORT else amount)
            yield Ghost(symbol, PositionSide.NET, quantity, net, mark), rows


def _hedged(rows: Collection[Position]) -> bool:
    """Whether these are legs. Where nothing tells, both sides are taken together: then what offsets is no ghost."""
    return any(row.side is not PositionSide.NET for row in rows)


def _tradable(quantity: Decimal, symbol: str, snapshot: AccountSnapshot) -> bool:
    """Whether `quantity` is something: less than a step can't be traded, and is dust."""
    step = snapshot.steps.get(symbol)
    return bool(quantity) and (step is None or abs(quantity) >= step)

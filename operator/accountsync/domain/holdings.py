"""Compare positions and wallet balances with what the bot believes of them."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from accountsync.domain.account import Income, Position, PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.draft import Draft
from accountsync.domain.expected import ExpectedBalance, ExpectedPosition, ExpectedState
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import EXACT, POSITIONS, ZERO, plain, sanitize
from accountsync.domain.policy import DEFAULT_BALANCE_TOLERANCE

MOST_SUMS = 4096
Legs = dict[PositionSide, Decimal]


def compare_positions(
    own: ExpectedState,
    believed: Iterable[ExpectedPosition],
    as_of: int,
    log: FillLog | None,
    past: ExpectedState | None,
    draft: Draft,
) -> None:
    """Differences of quantity, leg by leg. `believed`: of all bots on the account; `as_of`: the oldest of their times.

    `own` is what this bot believes, to tell which symbols are its to report. `past`: its newest belief that is at least
    the grace older than the reading, so that no list is behind it.
    """
    believed = tuple(believed)
    if totals(believed) == totals(draft.snapshot.positions):
        return
    with localcontext(EXACT):
        for leg in _legs(draft.snapshot.positions, believed):
            if leg.difference and not _tolerated(leg.symbol, leg.difference, draft):
                _judge_leg(leg, own, as_of, log, past, draft)


@dataclass(frozen=True, slots=True)
class _Leg:
    """A position with both sides' quantities; `rows` are those that the exchange lists of its symbol."""

    symbol: str
    side: PositionSide
    believes: Decimal
    holds: Decimal
    rows: list[Position]

    @property
    def difference(self) -> Decimal:
        return self.holds - self.believes


def _legs(positions: Iterable[Position], believed: Iterable[ExpectedPosition]) -> Iterator[_Leg]:
    held: dict[str, list[Position]] = {}
    for position in positions:
        held.setdefault(position.symbol, []).append(position)
    wanted: dict[str, Legs] = {}
    for belief in believed:
        wanted.setdefault(belief.symbol, {})[belief.side] = belief.quantity
    for symbol in sorted(held.keys() | wanted.keys()):
        rows = held.get(symbol, [])
        actual: Legs = {}
        for row in rows:  # the same side may be held in both margin modes
            actual[row.side] = actual.get(row.side, ZERO) + row.quantity
        expected = wanted.get(symbol, {})
        if PositionSide.NET in actual or PositionSide.NET in expected:
            actual, expected = _net(actual), _net(expected)
        for side in sorted(actual.keys() | expected.keys()):
            yield _Leg(symbol, side, expected.get(side, ZERO), actual.get(side, ZERO), rows)


def totals(positions: Iterable[Position | ExpectedPosition]) -> dict[tuple[str, PositionSide], Decimal]:
    """The quantity of each leg that is not flat, in all margin modes together."""
    total: dict[tuple[str, PositionSide], Decimal] = {}
    for row in positions:
        if row.quantity:
            total[row.symbol, row.side] = EXACT.add(total.get((row.symbol, row.side), ZERO), row.quantity)
    return total


def _net(legs: Mapping[PositionSide, Decimal]) -> Legs:
    """Both sides in one-way terms: a short leg counts against a long one."""
    if not legs:
        return {}
    total = sum((-amount if side is PositionSide.SHORT else amount for side, amount in legs.items()), ZERO)
    return {PositionSide.NET: total}


def _tolerated(symbol: str, difference: Decimal, draft: Draft) -> bool:
    """What is less than a step can't be traded: it is dust."""
    step = draft.snapshot.steps.get(symbol)
    return abs(difference) <= draft.policy.position_tolerance or (step is not None and abs(difference) < step)


def _judge_leg(
    leg: _Leg, own: ExpectedState, as_of: int, log: FillLog | None, past: ExpectedState | None, draft: Draft
) -> None:
    symbol, side = leg.symbol, leg.side
    if not draft.sharing.tells_of(symbol, own):
        return
    path = _path(leg, as_of, log, draft)
    if path is not None and any(_tolerated(symbol, quantity - leg.believes, draft) for quantity in path):
        draft.unknown.add((symbol, POSITIONS))  # so it was around the belief's time: the bot may be on its way
        return
    proven = path is not None and past is not None and _was_wrong(leg, past, log, draft)
    netted = side is PositionSide.NET
    times = [row.updated for row in leg.rows if (netted or row.side is side) and row.updated is not None]
    # A leg that was closed may have left the list, and its time with it: then only the last fill tells when.
    untimed = log is not None and not times and (symbol in log.unread or symbol in log.late)
    if not proven and (untimed or not draft.positions_settled(symbol)):
        draft.unknown.add((symbol, POSITIONS))
        return
    rows = sorted(leg.rows, key=lambda row: (row.side is not side, row.side, row.margin_mode))
    prices = (row.mark_price or row.entry_price for row in rows)
    traded = log.last(symbol) if log else None
    draft.add(
        Rule.POSITION_MISMATCH,
        symbol,
        side,
        expected=plain(leg.believes),
        observed=plain(leg.holds),
        quantity=leg.difference,
        price=next(filter(None, prices), None),
        changed=max([*times, *([traded] if traded is not None else [])], default=None),
        proven=proven or None,
    )


def _was_wrong(leg: _Leg, past: ExpectedState, log: FillLog | None, draft: Draft) -> bool:
    """Whether the leg never held, around the time of `past`, what that says."""
    if past.positions is None:
        return False
    path = _path(leg, past.as_of, log, draft)
    legs = {row.side: row.quantity for row in past.positions if row.symbol == leg.symbol}
    believed = (_net(legs) if leg.side is PositionSide.NET else legs).get(leg.side, ZERO)
    return path is not None and not any(_tolerated(leg.symbol, quantity - believed, draft) for quantity in path)


def _path(leg: _Leg, as_of: int, log: FillLog | None, draft: Draft) -> frozenset[Decimal] | None:
    """What the leg held from the grace before the belief's time on, where the fills tell that."""
    if log is None or len(leg.rows) != 1 or leg.rows[0].side is not leg.side or draft.sharing.siblings:
        return None
    if (leg.symbol, POSITIONS) in draft.unsettled:
        return None  # corrupt
    return log.path(leg.rows[0], as_of - draft.policy.order_grace_ms)


def compare_balances(
    believed: Iterable[ExpectedBalance],
    as_of: tuple[int, int],
    income: tuple[Income, ...] | None,
    draft: Draft,
    *,
    provable: bool,
) -> None:
    """Differences of wallet balances that the known `income` since the belief's time does not explain.

    `as_of`: the oldest and the newest time of what is believed together. `provable`: income can be asked for, so that
    without it nothing is proven.
    """
    wallets = {balance.asset: balance.wallet for balance in draft.snapshot.balances}
    for belief in believed:
        actual = wallets.get(belief.asset, ZERO)
        if actual == belief.wallet:
            continue
        rows = [row for row in income or () if row.asset == belief.asset]
        with localcontext(EXACT):
            if _balances(actual - belief.wallet, belief.asset, rows, as_of, draft):
                continue
        draft.add(
            Rule.BALANCE_MISMATCH,
            sanitize(belief.asset),
            "wallet",
            expected=plain(belief.wallet),
            observed=plain(actual),
            proven=income is not None if provable else None,
        )


def _balances(difference: Decimal, asset: str, rows: list[Income], as_of: tuple[int, int], draft: Draft) -> bool:
    """Whether `difference` is tolerated, or made up by income."""
    tolerance = draft.policy.balance_tolerances.get(asset, DEFAULT_BALANCE_TOLERANCE)
    return abs(difference) <= tolerance or _explained(difference, tolerance, rows, as_of, draft)


def _explained(
    difference: Decimal, tolerance: Decimal, rows: list[Income], as_of: tuple[int, int], draft: Draft
) -> bool:
    """Whether a run of income from the belief's time to the snapshot's makes up `difference`.

    Where the run begins and ends is uncertain by the grace: clocks differ, and income is booked late. Of several bots
    each knows its own income until its own time, so that between those times any of it may be known already.
    """
    grace = draft.policy.order_grace_ms
    ordered = sorted(rows, key=lambda row: (row.time, row.amount))
    sums = [ZERO]
    for row in ordered:
        sums.append(sums[-1] + row.amount)
    times = [row.time for row in ordered]
    first, last = bisect_left(times, as_of[0] - grace), bisect_left(times, as_of[1] + grace)
    first_end = bisect_left(times, draft.snapshot.timestamp - grace)
    if as_of[0] == as_of[1]:
        begins = sorted(sums[first : last + 1])
    else:
        reachable = {sums[first]}
        for row in ordered[first:last]:
            reachable |= {total + row.amount for total in reachable}
            if len(reachable) > MOST_SUMS:
                return True  # too much went on to tell
        begins = sorted(reachable)
    for end in range(first_end, len(sums)):
        target = sums[end] - difference
        near = bisect_left(begins, target - tolerance)
        if near < len(begins) and begins[near] <= target + tolerance:
            return True
    return False

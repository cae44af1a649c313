"""Which slices of a confirmed ghost the exchange's fills prove to be closed, and why the others stay open.

In:  the slices of one ghost, the fills of its symbol with what the ledger knows of the orders behind them, the gates.
Out: a `SyntheticExit` or a `NoGo` for each slice, whatever the order of slices and fills.

Invariants (ledger runbook, "EXIT backfill safety gates"):
1. A fill is used whole, for one slice, once; it is never split. A slice is closed whole, by fills that add up to what
   it holds open, exactly.
2. Strong attribution comes first. Where a mark leads to several slices, all of them are closed together, by all of the
   fills that lead there, or none is.
3. Heuristics are for fills that bear no mark and slices that no mark leads to, where the policy wants them and no other
   bot trades on the account.
4. Fills that are not all known prove nothing.
5. What is closed here was closed by one look: judging what is left, by the same fills, closes nothing more.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal

from accountsync.domain.account import Fill, Side
from accountsync.domain.attribution import LEGS, Leads, by_time
from accountsync.domain.finding import EXACT, ZERO
from accountsync.domain.ledger import Attribution, Evidence, NoGo, Slice, SyntheticExit
from accountsync.domain.policy import Parity

AVERAGE = Context(prec=34)
"""An average may have no end."""
MOST_TRIED = 5_000
"""Steps of the search for a way to share fills out among slices."""
MOST_SHARED = 200
"""Fills that are shared out among slices."""
STRENGTH = (
    Attribution.TRADE_ID,
    Attribution.CLIENT_ORDER_ID,
    Attribution.SUB_TAG,
    Attribution.QTY_UNIQUE,
    Attribution.SINGLE_OPEN_TRADE,
)
"""Strongest first."""
Shares = dict[str, list[Evidence]]
"""Trade id → the fills that closed its slice."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """`no_go`: trade id → why its slice stays open. Each slice is in one of both."""

    exits: tuple[SyntheticExit, ...] = ()
    no_go: Mapping[str, NoGo] = field(default_factory=dict)


def backfill(
    profile: str, slices: Sequence[Slice], rows: Iterable[Evidence] | None, terms: Parity, *, shared: bool = False
) -> Judgement:
    """Judge `slices`, all that are open of one confirmed ghost. `rows` None: the fills are not known, or not all.

    `shared`: other bots trade on the account.
    """
    known = {row.trade_id: row for row in sorted(slices, key=_oldest_first)}
    untagged = {each.trade_id for each in slices if terms.require_attribution and not each.sub_tag}
    quarantined = dict.fromkeys(untagged, NoGo.NO_SUB_TAG)
    if rows is None:
        return Judgement((), dict.fromkeys(known, NoGo.FILLS_UNKNOWN) | quarantined)
    case = _Case(known, rows, terms, frozenset(untagged))
    guesses = terms.heuristics and not terms.strong_only and not shared
    while case.close(guesses=guesses):
        continue
    exits = (
        _exit(profile, known[trade], shares, how)
        for trade, (shares, how) in case.closed.items()
        if trade not in untagged
    )
    left = {trade: case.why(known[trade], may_guess=not shared) for trade in known if trade not in case.closed}
    return Judgement(tuple(sorted(exits, key=lambda row: (row.at, row.event_id))), left | quarantined)


class _Case:
    """The slices that are still open, and the fills that are still free. `never`: those that are not for guessing."""

    def __init__(
        self, slices: Mapping[str, Slice], rows: Iterable[Evidence], terms: Parity, never: frozenset[str]
    ) -> None:
        self.closed: dict[str, tuple[list[Evidence], Attribution]] = {}
        self._open = dict(slices)
        self._terms, self._never = terms, never
        entries = {row.entry_client_id for row in slices.values() if row.entry_client_id}
        each = {row.fill.id: row for row in sorted(rows, key=lambda row: row.used)}
        symbols = {row.symbol for row in slices.values()}
        usable = (
            row for row in each.values() if row.fill.symbol in symbols and not row.used and row.client_id not in entries
        )
        told = sorted(usable, key=lambda row: by_time(row.fill))
        self._free = [row for row in told if not row.doubted]
        self._doubted = [row for row in told if row.doubted]
        self._look()

    def close(self, *, guesses: bool) -> bool:
        """Close what can be closed now; False: nothing."""
        shares = self._alone() or self._together()
        by_guess: dict[str, Attribution] = {}
        if not shares and guesses:
            shares, by_guess = self._guesses
        gone: set[str] = set()
        for trade, share in shares.items():
            how = by_guess.get(trade) or max((self._how[row.fill.id] for row in share), key=STRENGTH.index)
            self.closed[trade] = (share, how)
            del self._open[trade]
            gone.update(row.fill.id for row in share)
        self._free = [row for row in self._free if row.fill.id not in gone]
        self._look()
        return bool(shares)

    def why(self, each: Slice, *, may_guess: bool) -> NoGo:
        """Why this one stays open."""
        if any(each.trade_id in self._leads.of(row)[1] for row in self._doubted):
            return NoGo.FILLS_MAYBE_BOOKED
        if each.trade_id in self._led:
            own = (row for row in self._free if each.trade_id in self._trades[row.fill.id])
            alone = all(len(self._trades[row.fill.id]) == 1 for row in own)
            return NoGo.FILLS_DO_NOT_ADD_UP if alone else NoGo.AMBIGUOUS
        last = max((self._last.get((each.side.exit, leg), -1) for leg in LEGS[each.side]), default=-1)
        if last < 0:
            return NoGo.NO_FILLS
        if last < each.opened - self._terms.fill_grace_ms:
            return NoGo.FILLS_TOO_OLD
        if each.sub_tag in self._tags and self._leads.crowded(each.sub_tag):
            return NoGo.AMBIGUOUS
        return NoGo.HEURISTIC_ONLY if may_guess and each.trade_id in self._guesses[0] else NoGo.FILLS_UNATTRIBUTED

    def _look(self) -> None:
        self._leads = Leads(self._open.values(), self._terms.fill_grace_ms)
        leads = {row.fill.id: self._leads.of(row) for row in self._free}
        self._how = {id_: how for id_, (how, _) in leads.items()}
        self._trades = {id_: trades for id_, (_, trades) in leads.items()}
        self._led = frozenset().union(*self._trades.values())
        self._tags = {row.sub_tag for row in self._free}
        self._last = {(row.fill.side, row.fill.leg): row.fill.time for row in self._free}
        self._guesses = self._guessed()

    def _alone(self) -> Shares:
        """The slices that the fills which lead to nothing else close; what a sub_tag adds to enough is another's."""
        own: Shares = {}
        named: Shares = {}
        for row in self._free:
            if len(self._trades[row.fill.id]) == 1:
                trade = min(self._trades[row.fill.id])
                own.setdefault(trade, []).append(row)
                if self._how[row.fill.id] is not Attribution.SUB_TAG:
                    named.setdefault(trade, []).append(row)
        return {
            trade: share
            for shares in (own, named)
            for trade, share in shares.items()
            if _total(share) == self._open[trade].quantity
        }

    def _together(self) -> Shares:
        """The slices that share marks, where all the fills that lead to them close all of them."""
        groups = self._groups()
        leading: dict[frozenset[str], list[Evidence]] = {}
        for row in self._free:
            for trade in sorted(self._trades[row.fill.id])[:1]:
                leading.setdefault(groups[trade], []).append(row)
        shares: Shares = {}
        for group, rows in leading.items():
            members = sorted((self._open[trade] for trade in group), key=_oldest_first)
            if len(members) > 1 and _total(rows) == sum((each.quantity for each in members), ZERO):
                shares |= _shared_out(members, rows, self._trades) or {}
        return shares

    def _groups(self) -> dict[str, frozenset[str]]:
        """Each slice that some fill leads to, with all others that one of its fills leads to as well, and so on."""
        groups: dict[str, frozenset[str]] = {}
        for trades in self._trades.values():
            joined = trades.union(*(groups.get(trade, trades) for trade in trades))
            groups |= dict.fromkeys(joined, joined)
        return groups

    def _guessed(self) -> tuple[Shares, dict[str, Attribution]]:
        """What explains a slice that no mark leads to, and admits no other guess."""
        unmarked: dict[tuple[Side, Decimal], list[Evidence]] = {}
        for row in self._free:
            if not (row.trade_id or row.sub_tag or self._trades[row.fill.id]):
                unmarked.setdefault((row.fill.side, row.fill.quantity), []).append(row)
        twins = Counter((each.side, each.quantity) for each in self._open.values())
        shares: Shares = {}
        how: dict[str, Attribution] = {}
        for trade, each in self._open.items():
            if trade in self._never or trade in self._led:
                continue
            exact = [
                row for row in unmarked.get((each.side.exit, each.quantity), ()) if self._leads.fits(each, row.fill)
            ]
            if len(self._open) == 1:
                rows = (row for some in unmarked.values() for row in some if self._leads.fits(each, row.fill))
                fitting = sorted(rows, key=lambda row: by_time(row.fill))
                if fitting and _total(fitting) == each.quantity:
                    shares[trade], how[trade] = fitting, Attribution.SINGLE_OPEN_TRADE
                    continue
            if len(exact) == 1 and twins[each.side, each.quantity] == 1:
                shares[trade], how[trade] = exact, Attribution.QTY_UNIQUE
        return shares, how


def _shared_out(
    members: Sequence[Slice], rows: Sequence[Evidence], trades: Mapping[str, frozenset[str]]
) -> Shares | None:
    """Each fill to one of `members`, so that all of them are closed; None: there is no such way, or it is too far."""
    left = {each.trade_id: each.quantity for each in members}
    shares: Shares = {each.trade_id: [] for each in members}
    tried = 0

    def place(number: int) -> bool:
        nonlocal tried
        tried += 1
        if number == len(rows) or tried > MOST_TRIED:
            return number == len(rows)
        row = rows[number]
        for trade, rest in left.items():
            if trade in trades[row.fill.id] and row.fill.quantity <= rest:
                left[trade] = EXACT.subtract(rest, row.fill.quantity)
                shares[trade].append(row)
                if place(number + 1):
                    return True
                left[trade] = rest
                shares[trade].pop()
        return False

    return shares if len(rows) <= MOST_SHARED and place(0) else None


def _oldest_first(each: Slice) -> tuple[int, str]:
    return each.opened, each.trade_id


def _total(rows: Iterable[Evidence]) -> Decimal:
    total = ZERO
    for row in rows:
        total = EXACT.add(total, row.fill.quantity)
    return total


def _exit(profile: str, each: Slice, share: Iterable[Evidence], how: Attribution) -> SyntheticExit:
    fills = tuple(row.fill for row in share)
    return SyntheticExit(
        event_id=event_id("exit", profile, each.trade_id, *sorted(fill.id for fill in fills)),
        slice=each,
        price=average(fills),
        fills=fills,
        attribution=how,
        at=max(fill.time for fill in fills),
    )


def average(fills: Iterable[Fill]) -> Decimal:
    """The price of `fills` together."""
    value = quantity = ZERO
    for fill in fills:
        value = EXACT.add(value, EXACT.multiply(fill.quantity, fill.price))
        quantity = EXACT.add(quantity, fill.quantity)
    return AVERAGE.divide(value, quantity)


def event_id(kind: str, *parts: str) -> str:
    """The name of a change of the ledger: the same change has the same name, whoever makes it and however often."""
    return f"accountsync-{kind}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"

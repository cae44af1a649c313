"""The lifecycle-safe handlers: what a confirmed difference of an order brings into the ledger.

In:  a finding, the ledger's row of that order, the order as the exchange proves it, the slices that it may change, its
fills. Out: a `Correction`, or a `Refusal`, which stays with people.

A `missing_in_db` of the ledger runbook is an UnexpectedOrder here, a `missing_from_exchange` a MissingOrder, and a
`mismatch` an OrderDivergence.

Invariants:
1. A slice changes by the fills of a correction, and by nothing else; they are exactly what the ledger lacks. Fills that
   a synthetic exit has accounted for put the order's row right, and no slice. What the history holds already, the slice
   may have too.
2. The ledger is never taken back: it does not know of more than the exchange did, and no slice goes below zero.
3. An order is adopted only where its client id is one that the ledger itself made for an open slice. What is filled of
   it already is the next finding's.
4. The same correction has the same event id, so that it is written once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum

from accountsync.domain.account import Fill, Order, OrderStatus
from accountsync.domain.attribution import LEGS, by_time, stem
from accountsync.domain.backfill import average, event_id
from accountsync.domain.catalogue import Rule
from accountsync.domain.finding import EXACT, ZERO, Answers, Finding, plain, sanitize
from accountsync.domain.ledger import Booked, Correction, Handler, LedgerOrder, Purpose, Slice

HANDLED = frozenset({Rule.UNEXPECTED_ORDER, Rule.MISSING_ORDER, Rule.ORDER_DIVERGENCE})
LONGEST_CHAIN = 4
"""An order that triggered, and whose child was amended three times."""
CANCELLED = frozenset({OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED})


class Refusal(StrEnum):
    """Why a difference is not brought into the ledger. Each has a text for people in `WHY`."""

    NOT_HANDLED = "NotHandled"
    NO_ROW = "NoRow"
    NOT_PROVEN = "NotProven"
    AGREES = "Agrees"
    ANOTHER_ORDER = "AnotherOrder"
    LEDGER_AHEAD = "LedgerAhead"
    NO_TRADE = "NoTrade"
    NO_SLICE = "NoSlice"
    BELOW_ZERO = "BelowZero"
    FILLS_UNKNOWN = "FillsUnknown"
    FILLS_DO_NOT_ADD_UP = "FillsDoNotAddUp"
    NOT_OWN = "NotOwn"
    UNATTRIBUTED = "Unattributed"
    ALREADY_BOOKED = "AlreadyBooked"
    ANOTHER_SYMBOL = "AnotherSymbol"
    POSITION_UNKNOWN = "PositionUnknown"
    AWAY_FROM_POSITION = "AwayFromPosition"


WHY: Mapping[Refusal, str] = {
    Refusal.NOT_HANDLED: "no lifecycle handler deals with such a difference",
    Refusal.NO_ROW: "the ledger has no row of this order",
    Refusal.NOT_PROVEN: "the exchange does not say what became of the order",
    Refusal.AGREES: "nothing differs that a handler may change: look at quantity, price and side",
    Refusal.ANOTHER_ORDER: "the exchange's order has another symbol or side than the ledger's row",
    Refusal.LEDGER_AHEAD: "the ledger holds more filled, or a later status, than the exchange ever did",
    Refusal.NO_TRADE: "the ledger's row names no trade_id, so that no slice can be found for its fills",
    Refusal.NO_SLICE: "the trade of the ledger's row has no open slice that these fills could close",
    Refusal.BELOW_ZERO: "the fills are more than the slice holds open",
    Refusal.FILLS_UNKNOWN: "the exchange did not tell the fills of the order, or not all of them",
    Refusal.FILLS_DO_NOT_ADD_UP: "the fills of the order do not add up to what the ledger lacks",
    Refusal.NOT_OWN: "the order's client id does not begin with spec.bot.orderIdPrefix",
    Refusal.UNATTRIBUTED: "the order's client id leads to no single open slice of the ledger",
    Refusal.ALREADY_BOOKED: "the ledger's history holds more of the order than its row: its slice may have the fills",
    Refusal.ANOTHER_SYMBOL: "the trade of the ledger's row is open in another symbol",
    Refusal.POSITION_UNKNOWN: "the position of its symbol is not known for certain now: the next run judges it again",
    Refusal.AWAY_FROM_POSITION: "its fills would take the open slices away from the exchange's position, or past it",
}


def row_of(finding: Finding, rows: Iterable[LedgerOrder]) -> LedgerOrder | None:
    """The ledger's row of the order that `finding` is about: by the exchange's id, else by the client order id."""
    named: LedgerOrder | None = None
    for row in rows:
        if row.symbol != finding.symbol:
            continue
        if row.exchange_id and sanitize(row.exchange_id) == finding.id.removeprefix("trigger:"):
            return row
        if row.client_id and sanitize(row.client_id) in {finding.id, finding.client_id}:
            named = row if named is None or row.status is OrderStatus.OPEN else named
    return named


def found_for(finding: Finding, row: LedgerOrder | None, answers: Answers, listed: Iterable[Order]) -> Order | None:
    """The order as the exchange proves it: listed as open, or its answer about it; what succeeded it in its place.

    None: it does not say. `answers` and `listed`: of the cycle that showed `finding`.
    """
    known = {order.id: order for order in listed if order.symbol == finding.symbol}
    by_ref = {order.ref: order for order in known.values()}
    told: dict[str, Order] = {}
    by_client_id: dict[str, Order] = {}
    for question, answer in answers.items():
        if answer is not None and answer.symbol == finding.symbol:
            told[answer.id] = answer
            if question.client_id:
                by_client_id[question.client_id] = answer
    ids = [finding.id.removeprefix("trigger:"), *([row.exchange_id] if row and row.exchange_id else [])]
    order = by_ref.get(finding.id) or next((told[id_] for id_ in ids if id_ in told), None)
    if order is None and row is not None and row.client_id and not row.exchange_id:
        order = by_client_id.get(row.client_id)
    for _ in range(LONGEST_CHAIN):
        if order is None or order.status is not OrderStatus.TRIGGERED:
            return order
        order = told.get(order.successor) or known.get(order.successor)
    return None


def correction(
    finding: Finding,
    row: LedgerOrder | None,
    found: Order | None,
    slices: Sequence[Slice],
    fills: Iterable[Fill] | None,
    *,
    profile: str,
    used: Collection[str] = frozenset(),
    booked: Iterable[Booked] = (),
    prefix: str = "",
) -> Correction | Refusal:
    """What to bring into the ledger of `finding`, which is confirmed, or why nothing.

    `row` and `found`: as `row_of` and `found_for` gave them. `slices`: all open ones of the symbol, and those of its
    trade in any other. `fills`: of the symbol, since the order was made; None: not known. `used`: ids of those that the
    ledger has accounted for by ours. `booked`: what its history holds of the order, by any of its names.
    """
    if finding.rule not in HANDLED:
        return Refusal.NOT_HANDLED
    if row is None and finding.rule is not Rule.UNEXPECTED_ORDER:
        return Refusal.NO_ROW
    if found is None:
        return Refusal.NOT_PROVEN
    return (
        _adoption(found, slices, profile, prefix)
        if row is None
        else _lifecycle(row, found, slices, fills, profile, used, booked)
    )


def _lifecycle(
    row: LedgerOrder,
    found: Order,
    slices: Sequence[Slice],
    fills: Iterable[Fill] | None,
    profile: str,
    used: Collection[str],
    booked: Iterable[Booked],
) -> Correction | Refusal:
    refused = _incomparable(row, found)
    if refused is not None:
        return refused
    lacking = EXACT.subtract(found.filled, row.filled)
    behind = _behind(found, lacking, fills, used) if lacking else ()
    if isinstance(behind, Refusal):
        return behind
    if not behind:
        return _put(row, found, behind, profile)
    if _sum_of(each.quantity for each in booked if each.purpose is row.purpose) > row.filled:
        return Refusal.ALREADY_BOOKED
    own = next((each for each in slices if each.trade_id == row.trade_id), None)
    refused = _unfit(row, behind, own)
    return refused or replace(_put(row, found, behind, profile), slice_version=own.version if own else "")


def _incomparable(row: LedgerOrder, found: Order) -> Refusal | None:
    if (found.symbol, found.side) != (row.symbol, row.side):
        return Refusal.ANOTHER_ORDER
    if found.filled < row.filled or (row.status is not OrderStatus.OPEN and found.status is not row.status):
        return Refusal.LEDGER_AHEAD
    return Refusal.AGREES if (found.filled, found.status) == (row.filled, row.status) else None


def _put(row: LedgerOrder, found: Order, behind: tuple[Fill, ...], profile: str) -> Correction:
    handler = Handler.ENTRY_FILL if row.purpose is Purpose.ENTRY else Handler.EXIT_FILL
    if found.status in CANCELLED:
        handler = Handler.CANCEL
    ids = sorted(fill.id for fill in behind)
    return Correction(
        handler=handler,
        event_id=event_id(handler, profile, row.key, found.id, plain(found.filled), found.status, *ids),
        order=row,
        filled=found.filled,
        status=found.status,
        price=average(behind) if behind else None,
        fills=behind,
        at=max([fill.time for fill in behind], default=found.updated or found.created or 0),
        exchange_id=found.id,
    )


def _behind(
    found: Order, lacking: Decimal, fills: Iterable[Fill] | None, used: Collection[str]
) -> tuple[Fill, ...] | Refusal:
    """The fills that make up what the ledger lacks, without those that a synthetic exit accounted for."""
    if fills is None:
        return Refusal.FILLS_UNKNOWN
    own = {fill.id: fill for fill in fills if (fill.symbol, fill.order_id) == (found.symbol, found.id)}
    rest = sorted((fill for fill in own.values() if fill.side is found.side), key=by_time)
    if _sum(rest) != found.filled:
        return Refusal.FILLS_DO_NOT_ADD_UP
    # A bot accounts for fills as they come: those that it has are the earliest.
    accounted = EXACT.subtract(found.filled, lacking)
    while rest and accounted > 0:
        accounted = EXACT.subtract(accounted, rest.pop(0).quantity)
    return Refusal.FILLS_DO_NOT_ADD_UP if accounted else tuple(fill for fill in rest if fill.id not in used)


def _unfit(row: LedgerOrder, behind: Sequence[Fill], own: Slice | None) -> Refusal | None:
    """Why these fills cannot change the slice of `row`, which is `own`; None: they can."""
    if not row.trade_id:
        return Refusal.NO_TRADE
    if own is None:
        return None if row.purpose is Purpose.ENTRY else Refusal.NO_SLICE
    if own.symbol != row.symbol:
        return Refusal.ANOTHER_SYMBOL
    exits = own.side.exit is row.side
    if exits is not (row.purpose is Purpose.EXIT) or any(fill.leg not in LEGS[own.side] for fill in behind):
        return Refusal.ANOTHER_ORDER
    return Refusal.BELOW_ZERO if exits and _sum(behind) > own.quantity else None


def _adoption(found: Order, slices: Sequence[Slice], profile: str, prefix: str) -> Correction | Refusal:
    if not prefix or not found.client_id.startswith(prefix):
        return Refusal.NOT_OWN
    if found.status is not OrderStatus.OPEN or found.conditional:
        return Refusal.NOT_PROVEN
    here = [each for each in slices if each.symbol == found.symbol]
    made_from = stem(found.client_id)
    entries = [each for each in here if each.entry_client_id == found.client_id]
    exits = [each for each in here if made_from and made_from in {each.entry_client_id, each.trade_id}]
    candidates = [each for each in exits if each.side.exit is found.side]
    purpose = Purpose.EXIT
    if entries:
        candidates, purpose = [each for each in entries if each.side.exit is not found.side], Purpose.ENTRY
    if len(candidates) != 1 or len(entries) + len(exits) != 1:
        return Refusal.UNATTRIBUTED
    (owner,) = candidates
    row = LedgerOrder(
        key=event_id("order", profile, found.symbol, found.id),
        symbol=found.symbol,
        side=found.side,
        purpose=purpose,
        quantity=found.quantity,
        filled=ZERO,
        status=OrderStatus.OPEN,
        client_id=found.client_id,
        exchange_id=found.id,
        trade_id=owner.trade_id,
        sub_tag=owner.sub_tag,
        price=found.price,
        created=found.created,
    )
    name = event_id(Handler.ADOPT, profile, found.symbol, found.id)
    return Correction(Handler.ADOPT, name, row, ZERO, OrderStatus.OPEN, at=found.created or 0, exchange_id=found.id)


def _sum(fills: Iterable[Fill]) -> Decimal:
    return _sum_of(fill.quantity for fill in fills)


def _sum_of(quantities: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for quantity in quantities:
        total = EXACT.add(total, quantity)
    return total

"""What a bot is told of its own belief, by the desync runbook.

In:  a finding and the `Scene` around it. Out: a `Repair`, or None where nothing is proven, or somebody else's.

Invariants:
1. The bot is told what the exchange says now, and of an order that ended only how the exchange proved it to have.
2. An order is adopted only if it is the bot's own, or the bot speaks of it already.
3. A bot whose repair takes up every order of a symbol is told nothing of one in which somebody else's is open, or is
   known to have filled: it would cancel or replace what a person placed.
4. Where several bots share an account, nobody can tell whose a position or a balance is: then none is repaired.
"""

from collections.abc import Iterable
from decimal import Decimal

from accountsync.domain.account import OrderStatus, Part, PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.ending import proven_end
from accountsync.domain.expected import ExpectedOrder
from accountsync.domain.fills import forced
from accountsync.domain.finding import EXACT, ZERO, Finding, plain, sanitize
from accountsync.domain.plan import Repair, RepairKind
from accountsync.domain.policy import DEFAULT_BALANCE_TOLERANCE
from accountsync.domain.scene import Scene

REPAIRED = (
    Rule.UNEXPECTED_ORDER,
    Rule.MISSING_ORDER,
    Rule.ORDER_DIVERGENCE,
    Rule.POSITION_MISMATCH,
    Rule.BALANCE_MISMATCH,
)
MOST_REPAIRS = 100
"""More are left for the next plan."""


def repairs(findings: Iterable[Finding], scene: Scene) -> tuple[tuple[Finding, Repair], ...]:
    """What the bot is told about `findings`, with the finding that each is for."""
    made = ((finding, repair(finding, scene)) for finding in findings)
    return tuple((finding, one) for finding, one in made if one is not None)[:MOST_REPAIRS]


def in_the_way(symbol: str, scene: Scene) -> str:
    """What of somebody else's a bot that adopts would take up in `symbol` by a repair; empty: nothing that is known."""
    if not scene.adopts:
        return ""
    for order in scene.snapshot.orders:
        if order.symbol == symbol and order.status is OrderStatus.OPEN and not scene.tracks_order(order):
            return f"order {sanitize(order.ref)} is open, which the bot does not speak of"
    for track in scene.tracks.values():
        finding = track.finding
        if finding.rule is Rule.UNATTRIBUTED_FILL and finding.symbol == symbol and not forced(finding):
            return f"{finding.id} is of an order that is not the bot's"
    return ""


def repair(finding: Finding, scene: Scene) -> Repair | None:
    """What the bot is told about `finding`; None: nothing."""
    match finding.rule:
        case Rule.UNEXPECTED_ORDER | Rule.ORDER_DIVERGENCE:
            return _adoption(finding, scene)
        case Rule.MISSING_ORDER:
            return _ending(finding, scene)
        case Rule.POSITION_MISMATCH:
            return _position(finding, scene)
        case Rule.BALANCE_MISMATCH:
            return _balance(finding, scene)
        case _:
            return None


def _adoption(finding: Finding, scene: Scene) -> Repair | None:
    """An open order that the bot should know of, or know better."""
    order = scene.order(finding)
    if order is None:
        return None
    known = finding.rule is Rule.ORDER_DIVERGENCE and scene.tracks_order(order)
    new = finding.rule is Rule.UNEXPECTED_ORDER and not scene.tracks_order(order) and scene.own(order)
    if not known and not new:
        return None
    return Repair(
        RepairKind.MISSING_ORDER,
        order.symbol,
        order.ref,
        order.status,
        order_id=order.id,
        client_id=order.client_id,
        side=order.side,
        quantity=order.quantity,
        filled=order.filled,
        price=order.price,
    )


def _ending(finding: Finding, scene: Scene) -> Repair | None:
    """An order that the bot believes open, and of which the exchange said how it ended."""
    end = proven_end(finding)
    row = _believed_order(finding, scene)
    if end is None or row is None or row.status is not OrderStatus.OPEN:
        return None
    status, filled, quantity = end
    return Repair(
        RepairKind.STALE_ORDER,
        row.symbol,
        row.id or row.client_id,
        status,
        order_id=row.id,
        client_id=row.client_id,
        side=row.side or "",
        quantity=quantity,
        filled=filled,
        price=row.price,
    )


def _believed_order(finding: Finding, scene: Scene) -> ExpectedOrder | None:
    rows = (row for row in scene.expected.orders or () if row.symbol == finding.symbol)
    return next((row for row in rows if sanitize(row.id or row.client_id) == finding.id), None)


def _position(finding: Finding, scene: Scene) -> Repair | None:
    snapshot, symbol = scene.snapshot, finding.symbol
    if scene.sharing.siblings or scene.expected.positions is None:
        return None
    if symbol in snapshot.unsettled or Part.POSITIONS in snapshot.missing:
        return None
    holds = _quantity(finding, ((row.symbol, row.side, row.quantity) for row in snapshot.positions))
    believes = _quantity(finding, ((row.symbol, row.side, row.quantity) for row in scene.expected.positions))
    if holds == believes:
        return None
    return Repair(RepairKind.POSITION, symbol, finding.id, plain(holds))


def _quantity(finding: Finding, rows: Iterable[tuple[str, PositionSide, Decimal]]) -> Decimal:
    """That of the leg that `finding` is about; a net position is both legs together."""
    total = ZERO
    for symbol, side, quantity in rows:
        if symbol != finding.symbol or finding.id not in {side, PositionSide.NET}:
            continue
        signed = -quantity if finding.id == PositionSide.NET and side is PositionSide.SHORT else quantity
        total = EXACT.add(total, signed)
    return total


def _balance(finding: Finding, scene: Scene) -> Repair | None:
    if scene.sharing.siblings or Part.BALANCES in scene.snapshot.missing:
        return None
    for row in scene.expected.balances or ():
        if sanitize(row.asset) == finding.symbol:
            wallet = next((each.wallet for each in scene.snapshot.balances if each.asset == row.asset), ZERO)
            if abs(EXACT.subtract(wallet, row.wallet)) > DEFAULT_BALANCE_TOLERANCE:
                return Repair(RepairKind.BALANCE, row.asset, finding.id, plain(wallet))
    return None

"""Which positions are to be closed, how, and when a person has to be asked first.

In:  a `Scene`. Out: Flatten actions, and which orders they leave over.

Invariants:
1. Only a leg of which all bots of the account believe that it is flat, and never more of it than the exchange lists.
2. Alone only where every fill since the leg was flat is known and the bot's own; else a person has to be asked.
3. A quantity is a multiple of the step; what is left below it is said.
4. A limit is within the slippage of a mark of the last minute. It is not rounded to the tick here: whoever sends it
   rounds towards the mark, so that it stays within.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal, localcontext

from accountsync.domain.account import Order, Position, PositionSide, Side
from accountsync.domain.cancel import closing_side, unexpected_finding
from accountsync.domain.catalogue import Rule
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import EXACT, ZERO, Finding, plain
from accountsync.domain.plan import Action, ActionKind
from accountsync.domain.policy import FlattenBy, UnexpectedPositions
from accountsync.domain.scene import Scene, Sketch


@dataclass(frozen=True, slots=True)
class Closing:
    """A Flatten, and the orders that are to be cancelled after it; both are for `finding`."""

    action: Action
    finding: Finding
    leftovers: tuple[Order, ...]

    def also_for(self, finding: Finding) -> "Closing":
        """The same, for one more finding."""
        findings = tuple(sorted((*self.action.findings, finding.key)))
        return replace(self, action=replace(self.action, findings=findings))


def close_unexpected(scene: Scene, sketch: Sketch) -> list[Closing]:
    """What closes the positions that no bot believes in, as far as the policy says so."""
    if scene.policy.remedies.positions is UnexpectedPositions.NEVER:
        return []
    closings: dict[tuple[str, PositionSide], Closing] = {}
    for finding in scene.findings(Rule.POSITION_MISMATCH):
        rows = _rows(scene, finding)
        if not rows or not _is_unwanted(scene, finding):
            continue
        if len(rows) > 1:
            sketch.refuse(f"{finding.symbol} stands in {len(rows)} positions: which to close can't be told", finding)
            continue
        leg = (rows[0].symbol, rows[0].side)
        if leg in closings:  # where one side speaks of the net position, two findings may be about one leg
            closings[leg] = closings[leg].also_for(finding)
            continue
        action = close_leg(scene, sketch, finding, rows[0])
        if action is not None:
            sketch.approvals += _reasons_to_ask(scene, rows[0])
            once = {order.ref: order for order in _leftovers(scene, rows[0])}  # a page may list one twice
            closings[leg] = Closing(action, finding, tuple(once.values()))
    return list(closings.values())


def floored(quantity: Decimal, step: Decimal) -> Decimal:
    """The size of `quantity` in whole steps."""
    with localcontext(EXACT):
        return (abs(quantity) / step).to_integral_value(ROUND_FLOOR) * step


def _rows(scene: Scene, finding: Finding) -> list[Position]:
    """The positions that `finding` is about; where one side speaks of the net position, those of both legs."""
    return [
        row
        for row in scene.snapshot.positions
        if row.symbol == finding.symbol and row.quantity and finding.id in {row.side, PositionSide.NET}
    ]


def _is_unwanted(scene: Scene, finding: Finding) -> bool:
    believed = scene.believed()
    return believed is not None and not any(
        row.quantity
        for row in believed
        if row.symbol == finding.symbol and (finding.id in {row.side, PositionSide.NET} or row.side is PositionSide.NET)
    )


def close_leg(scene: Scene, sketch: Sketch, finding: Finding, row: Position) -> Action | None:
    """The action that closes `row`, for `finding`; None where it is less than a step, or where that is refused."""
    remedies, symbol = scene.policy.remedies, row.symbol
    step, mark = scene.snapshot.steps.get(symbol), scene.mark(symbol, row)
    if not step or (row.side is not PositionSide.NET and row.quantity < ZERO):
        what = "its quantity is below zero" if step else "its quantity step is not known"
        sketch.refuse(f"the {row.side} position of {symbol} can't be closed: {what}", finding)
        return None
    with localcontext(EXACT):
        quantity = floored(row.quantity, step)
        residue = abs(row.quantity) - quantity
        if residue:
            below = f"{plain(residue)} of the {row.side} position of {symbol} is below the step of {plain(step)}"
            sketch.residue.append(below)
        if not quantity:
            return None
        if mark is None:
            why = "there is no mark price of the last minute to take a limit from"
            sketch.refuse(f"the {row.side} position of {symbol} can't be closed: {why}", finding)
            return None
        side = closing_side(row)
        bound = mark * (1 + (remedies.max_slippage if side is Side.BUY else -remedies.max_slippage))
        notional = quantity * max(mark, bound)
    return Action(
        ActionKind.FLATTEN,
        symbol=symbol,
        leg=row.side,
        side=side,
        quantity=quantity,
        price=bound if remedies.flatten_by is FlattenBy.LIMIT else None,
        notional=notional,
        findings=(finding.key,),
        why=finding.message,
    )


def _reasons_to_ask(scene: Scene, row: Position) -> Iterator[str]:
    """Why a person has to agree to closing `row`."""
    name = f"the {row.side} position of {row.symbol}"
    if scene.policy.remedies.positions is UnexpectedPositions.PLAN:
        yield "spec.remediation.unexpectedPositions is Plan"
    if scene.sharing.siblings:
        yield f"other bots trade on this account: nobody can tell whose {name} is"
    if row.symbol in scene.snapshot.unsettled:
        yield f"{name} changed while it was read"
    if not scene.policy.order_id_prefix:
        yield f"spec.bot.orderIdPrefix is empty: nothing proves whose {name} is"
    if scene.stands(Rule.UNATTRIBUTED_FILL, row.symbol):
        yield f"a fill of {row.symbol} is explained by no order of the bot"
    unproven = _unproven(row, scene.fills, scene.snapshot.timestamp)
    if unproven:
        yield f"{name} is not proven to be the bot's own: {unproven}"


def _unproven(row: Position, log: FillLog | None, timestamp: int) -> str:
    """Why the fills since `row` was flat are not all known to be the bot's own."""
    if log is None:
        return "the exchange tells no fills"
    if row.symbol in log.unfinished:
        return "fills are still to be read or attributed"
    if log.proven.get((row.symbol, row.side)) != (row.updated or timestamp, row.quantity):
        return "its fills do not add up to it"
    quantity = row.quantity
    for fill in reversed(log.recent.get(row.symbol, ())):
        if fill.leg is not row.side:
            continue
        if (row.symbol, fill.id) in log.foreign:
            return "a fill was nobody's"
        quantity = EXACT.subtract(quantity, fill.change)
        if not quantity or (quantity > ZERO) != (row.quantity > ZERO):
            return ""
    return "not all fills since it was flat are known"


def _leftovers(scene: Scene, row: Position) -> Iterator[Order]:
    """The bot's orders that could only close `row`, or that would open a position once it is closed.

    On a hedged account a conditional order that is not reduce-only may be meant for the other leg; and what the bot
    knows of, and is not reduce-only, may be its next entry.
    """
    for order in sorted(scene.snapshot.orders, key=lambda order: order.ref):
        if order.symbol != row.symbol or order.side is not closing_side(row) or not scene.may_cancel(order):
            continue
        stray = order.conditional and row.side is PositionSide.NET and not scene.tracks_order(order)
        if (order.reduce_only or stray) and not scene.accepted(unexpected_finding(order)):
            yield order

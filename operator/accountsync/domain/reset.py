"""A full reset: all that is the bot's on the exchange is cancelled and closed, once a person agrees to each step.

In:  the account as it was read, the belief where there is one, the policy, and which reset a person asked for.
Out: a `Proposal` for the one plan of that reset.

Invariants:
1. Nothing of it goes alone: whatever a proposal holds, it names a reason for which a person has to approve it.
2. Only orders of the bot's own are cancelled; where other bots trade on the account, no position is touched.
3. A position is closed by no more than the exchange lists, in whole steps, on the side that makes it smaller.
4. The limits hold here too; over one of them nothing is done.
5. One reset makes one plan: its name follows from the reset alone.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from accountsync.domain.account import AccountSnapshot, Order, OrderStatus, Position
from accountsync.domain.cancel import cancelling, closing_side, guards, unexpected_finding
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedOrder, ExpectedState
from accountsync.domain.finding import ZERO, Finding
from accountsync.domain.flatten import close_leg
from accountsync.domain.past import Past
from accountsync.domain.plan import NAME_LENGTH, RESET, Action, ActionKind, Proposal
from accountsync.domain.policy import Policy
from accountsync.domain.propose import MOST_ACTIONS, over_limits
from accountsync.domain.scene import Scene, Sketch
from accountsync.domain.sharing import ALONE, Sharing

EVERYTHING = "a full reset cancels and closes everything of the bot's"
"""Why a person has to agree, always."""
SHARED = "other bots trade on this account: nobody can tell whose its positions are, so they stay open"
UNBELIEVED = ExpectedState(as_of=0)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of the account now. `believed`: the bot's belief in unified symbols; None: Unknown."""

    snapshot: AccountSnapshot
    believed: ExpectedState | None
    policy: Policy
    sharing: Sharing = ALONE

    @property
    def blind(self) -> str:
        """Why nobody can tell which orders are the bot's; empty: one can."""
        if not self.policy.order_id_prefix and (self.believed is None or self.believed.orders is None):
            return (
                "spec.bot.orderIdPrefix is empty, and the bot's belief is not known: nothing says whose the orders are"
            )
        if any(sibling.belief is None or sibling.belief.orders is None for sibling in self.sharing.siblings):
            return "the belief of another bot of the account is not known: nobody can tell whose the orders are"
        return ""

    def scene(self, past: Past, now_ms: int) -> Scene:
        """The same without any finding."""
        believed = self.believed or UNBELIEVED
        return Scene({}, self.snapshot, believed, self.policy, past, None, self.sharing, {}, now_ms)

    @property
    def orders(self) -> list[Order]:
        """The open orders of the bot's own, each once."""
        scene = self.scene(Past(), 0)
        found = {
            (row.symbol, row.ref): row
            for row in self.snapshot.orders
            if row.status is OrderStatus.OPEN and scene.is_bots(row)
        }
        return [found[key] for key in sorted(found)]

    @property
    def positions(self) -> list[Position]:
        """The positions to close: all of a step or more, unless other bots trade here."""
        if self.sharing.siblings:
            return []
        steps = self.snapshot.steps
        rows = [row for row in self.snapshot.positions if row.quantity]
        rows = [row for row in rows if abs(row.quantity) >= steps.get(row.symbol, ZERO)]
        return sorted(rows, key=lambda row: (row.symbol, row.side))

    @property
    def flat(self) -> bool:
        """Whether nothing of the bot's is left on the exchange."""
        return not self.blind and not self.orders and not self.positions

    @property
    def mistaken(self) -> str:
        """What the bot believes in all the same, where nothing is left; empty: in nothing."""
        if self.believed is None:
            return "what the bot believes is not known"
        listed = [row for row in self.snapshot.orders if row.status is OrderStatus.OPEN]
        orders = sum(
            row.status is OrderStatus.OPEN and not any(_is_named(row, order) for order in listed)
            for row in self.believed.orders or ()
        )
        rows, steps = () if self.sharing.siblings else self.believed.positions or (), self.snapshot.steps
        positions = sum(1 for row in rows if row.quantity and abs(row.quantity) >= steps.get(row.symbol, ZERO))
        return f"the bot still believes in {counted(orders, positions)}" if orders or positions else ""


def reset_key(asked: str) -> str:
    """What stands for a finding in the actions of the reset `asked`."""
    return f"{RESET}{asked}"


def reset_name(account: str, uid: str, asked: str) -> str:
    """The name of the plan for the reset `asked`, whatever is in it: creating it is the claim."""
    digest = hashlib.sha256("\n".join([uid, reset_key(asked)]).encode()).hexdigest()[:NAME_LENGTH]
    return f"{account[:200]}-{digest}"


def due(asked: str, sight: Sight, past: Past, *, now_ms: int, only: Collection[str] | None = None) -> Proposal:
    """What the reset `asked` cancels and closes. `only`: keys of the actions that a plan has left; None: all there is.

    Entries are cancelled first, then each position is closed, and then what guarded it is cancelled.
    """
    if sight.blind:
        return Proposal(refusal=sight.blind)
    scene, sketch = sight.scene(past, now_ms), Sketch()
    key = reset_key(asked)
    waiting = list(sight.orders)
    closings: list[tuple[Action | None, list[Action]]] = []
    for row in sight.positions:
        guarding = [order for order in waiting if order.symbol == row.symbol and _guards(order, row, sight.snapshot)]
        waiting = [order for order in waiting if order not in guarding]
        finding = Finding(Rule.POSITION_MISMATCH, row.symbol, row.side)
        if sum((each.symbol, each.side) == (row.symbol, row.side) for each in sight.snapshot.positions) > 1:
            sketch.refuse(
                f"the {row.side} position of {row.symbol} is listed twice: which one holds can't be told", finding
            )
            continue
        asked_for = _is_asked_for(Action(ActionKind.FLATTEN, row.symbol, leg=row.side), only)
        flatten = close_leg(scene, sketch, finding, row) if asked_for else None
        closings.append((_of_reset(flatten, key), _cancels(guarding, scene, sketch, key, only)))
    actions = _cancels(waiting, scene, sketch, key, only)
    for flatten, cancels in closings:
        after = len(actions) if flatten is not None else None
        actions += [flatten] if flatten is not None else []
        actions += [replace(cancel, after=after) for cancel in cancels]
    whole, actions = len(actions), actions[:MOST_ACTIONS]
    over = over_limits(actions, past, sight.policy.remedies.limits)
    refusals = [*sketch.refusals, *filter(None, [over])]
    if refusals:
        return Proposal(refusal="; ".join(dict.fromkeys(refusals)), residue=tuple(sketch.residue))
    approval = "; ".join([EVERYTHING, *_caveats(sight, whole)]) if actions else ""
    return Proposal(tuple(actions), approval, residue=tuple(sketch.residue))


def _is_named(row: ExpectedOrder, order: Order) -> bool:
    """Whether the bot speaks of `order`; one that is nobody's business here may well be open."""
    same = bool(row.id and row.id == order.id) or bool(row.client_id and row.client_id == order.client_id)
    return same and row.symbol == order.symbol


def _guards(order: Order, row: Position, snapshot: AccountSnapshot) -> bool:
    return order.side is closing_side(row) and guards(order, snapshot)


def _cancels(
    orders: Iterable[Order], scene: Scene, sketch: Sketch, key: str, only: Collection[str] | None
) -> list[Action]:
    made = (
        cancelling(order, scene, sketch, unexpected_finding(order))
        for order in orders
        if _is_asked_for(Action(ActionKind.CANCEL, order.symbol, order.id), only)
    )
    return [action for each in made if (action := _of_reset(each, key)) is not None]


def _is_asked_for(action: Action, only: Collection[str] | None) -> bool:
    return only is None or action.key in only


def _of_reset(action: Action | None, key: str) -> Action | None:
    """The action as part of the reset of `key`."""
    return None if action is None else replace(action, findings=(key,), why="a person asked for a full reset")


def _caveats(sight: Sight, whole: int) -> Iterable[str]:
    if whole > MOST_ACTIONS:
        yield f"it holds the first {MOST_ACTIONS} of {whole} actions: the rest takes another reset"
    if sight.sharing.siblings:
        yield SHARED
    if not sight.policy.order_id_prefix:
        yield "spec.bot.orderIdPrefix is empty: nothing proves whose the positions are"


def counted(orders: int, positions: int) -> str:
    """How much there is, in words."""
    return f"{orders} open order{'' if orders == 1 else 's'} and {positions} position{'' if positions == 1 else 's'}"

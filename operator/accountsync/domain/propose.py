"""What is to be done now about the confirmed findings of an account: everything at once, or nothing.

In:  tracks, both sides and the policy of a complete cycle, and what was done before (`Past`). Out: a `Proposal`.

Invariants:
1. Nothing for a finding that is not confirmed, or that people accepted; nothing at all in Observe; nothing on the
   exchange but in Enforce.
2. One finding has one remedy: what is cancelled or closed is not repaired.
3. All that is sent within any hour, approved or not, stays within the limits; over one of them nothing is done.
4. What would cancel every order of the account, or close every position, waits for a person, as does what failed
   within the last hour.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from accountsync.domain.account import AccountSnapshot, OrderStatus
from accountsync.domain.cancel import cancel_unexpected, cancelling
from accountsync.domain.confirm import Tracks
from accountsync.domain.expected import ExpectedState
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import ZERO, plain
from accountsync.domain.flatten import close_unexpected
from accountsync.domain.past import Past
from accountsync.domain.plan import Action, ActionKind, Proposal
from accountsync.domain.policy import Limits, Mode, Policy
from accountsync.domain.repair import REPAIRED, in_the_way, repairs
from accountsync.domain.scene import Scene, Sketch
from accountsync.domain.sharing import ALONE, Sharing

MOST_ACTIONS = 50
"""Of one plan: more would not fit into a stored one."""


def propose(
    tracks: Tracks,
    snapshot: AccountSnapshot,
    expected: ExpectedState,
    policy: Policy,
    past: Past,
    *,
    fills: FillLog | None,
    now_ms: int,
    writable: bool,
    adopts: bool = False,
    acknowledged: Mapping[str, Decimal] | None = None,
    sharing: Sharing = ALONE,
) -> Proposal:
    """What is to be done about `tracks`.

    `snapshot`, `expected` and `fills` are of the cycle that made them, in unified symbols. `writable`: the bot's state
    can be written to; `adopts`: as of `Scene`. `acknowledged`: fingerprint of each finding that a person resumed over →
    its notional then.
    """
    if policy.mode is Mode.OBSERVE or snapshot.missing:
        return Proposal()
    scene = Scene(tracks, snapshot, expected, policy, past, fills, sharing, acknowledged or {}, now_ms, adopts)
    sketch = Sketch()
    if policy.mode is Mode.ENFORCE:
        _act_on_exchange(scene, sketch)
    if policy.remedies.repair and writable:
        _repair(scene, sketch)
    again = dict.fromkeys(
        f"{action.title}: it came to nothing, or not to all, within the hour"
        for action in sketch.actions
        if action.trades and action.key in past.failed
    )
    orders = [action for action in sketch.actions if action.trades]
    over = over_limits(orders, past, policy.remedies.limits)
    if over:
        sketch.refusals.append(over)
        sketch.refused += sketch.dealt_with
    residue, withheld = tuple(sketch.residue), "; ".join(sketch.withheld)
    if sketch.refusals:
        refused = tuple(sorted(set(sketch.refused)))
        refusal = "; ".join(dict.fromkeys(sketch.refusals))
        return Proposal(refusal=refusal, refused=refused, residue=residue, withheld=withheld)
    approval = "; ".join(dict.fromkeys([*sketch.approvals, *again]))
    return Proposal(tuple(sketch.actions), approval, residue=residue, withheld=withheld)


def still_wanted(actions: Iterable[Action], proposal: Proposal) -> str:
    """Why `actions`, of a plan, are not all what would be done now; empty: they are."""
    now = {action.key: action for action in proposal.actions}
    for action in actions:
        same = now.get(action.key)
        if same is None:
            return f"what it was for has changed: {action.title} is not called for any more"
        if same.side is not action.side:
            return f"what it was for has changed: {action.title} would take the other side by now"
        if action.repairs and not still_due(action, same):
            return "what it was for has changed: the bot's belief is wrong in other things by now"
    return ""


def still_due(planned: Action, now: Action) -> Action | None:
    """The Repair `now`, as far as `planned` has it too; None: nothing of it."""
    about = {row.about for row in planned.repairs}
    rows = tuple(row for row in now.repairs if row.about in about)
    return replace(planned, repairs=rows) if rows else None


def _act_on_exchange(scene: Scene, sketch: Sketch) -> None:
    """Cancels first, so that nothing opens again what is closed; then each Flatten and what it leaves over."""
    closings = close_unexpected(scene, sketch)
    cancel_unexpected(scene, sketch, [order for closing in closings for order in closing.leftovers])
    for closing in closings:
        index = len(sketch.actions)
        sketch.actions.append(closing.action)
        for order in closing.leftovers:
            action = cancelling(order, scene, sketch, closing.finding, after=index)
            if action is not None:
                sketch.actions.append(action)
    _ask_before_everything(scene.snapshot, sketch)


def _ask_before_everything(snapshot: AccountSnapshot, sketch: Sketch) -> None:
    """However right each action may be: a belief that was wiped looks like this."""
    cancels = {(row.symbol, row.order_id, row.conditional) for row in sketch.actions if row.kind is ActionKind.CANCEL}
    closes = {(row.symbol, row.leg) for row in sketch.actions if row.kind is ActionKind.FLATTEN}
    orders = {(row.symbol, row.id, row.conditional) for row in snapshot.orders if row.status is OrderStatus.OPEN}
    legs = {
        (row.symbol, row.side)
        for row in snapshot.positions
        if row.quantity and abs(row.quantity) >= snapshot.steps.get(row.symbol, ZERO)
    }
    if cancels and orders <= cancels:
        sketch.approvals.append("it would cancel every open order of the account")
    if closes and legs <= closes:
        sketch.approvals.append("it would close every position of the account")


def _repair(scene: Scene, sketch: Sketch) -> None:
    """One action for all that is wrong in the belief and has no other remedy."""
    due = [finding for finding in scene.findings(*REPAIRED) if finding.key not in sketch.dealt_with]
    proven = repairs(due, scene)
    others = {symbol: in_the_way(symbol, scene) for symbol in sorted({repair.symbol for _, repair in proven})}
    sketch.withheld += [
        f"{symbol}: the bot's belief is not repaired, since that would have the bot take up what it finds there: {why};"
        " a person has to end or accept that first, or to mend the belief"
        for symbol, why in others.items()
        if why
    ]
    made = [(finding, repair) for finding, repair in proven if not others[repair.symbol]]
    if made:
        sketch.actions.append(
            Action(
                ActionKind.REPAIR,
                repairs=tuple(repair for _, repair in made),
                findings=tuple(sorted(finding.key for finding, _ in made)),
                why=made[0][0].message + (f", and {len(made) - 1} more" if len(made) > 1 else ""),
            )
        )


def over_limits(actions: Sequence[Action], past: Past, limits: Limits) -> str:
    """The limit that `actions` on the exchange would break, and what they would take; empty: none."""
    if not actions:
        return ""
    name = "spec.remediation.limits"
    worst = max(actions, key=lambda action: action.notional)
    sent, total = sum(notional for _, notional in past.left), sum(action.notional for action in actions)
    if len(actions) > MOST_ACTIONS:
        return f"{len(actions)} actions are due, and a plan holds at most {MOST_ACTIONS}"
    if len(past.left) + len(actions) > limits.actions_per_hour:
        return (
            f"{name}.actionsPerHour is {limits.actions_per_hour}: {len(past.left)} were sent within the hour,"
            f" and {len(actions)} more are due"
        )
    if limits.notional_per_action is not None and worst.notional > limits.notional_per_action:
        return (
            f"{name}.notionalPerAction is {plain(limits.notional_per_action)}: to {worst.title} is worth"
            f" {plain(worst.notional)}"
        )
    if limits.notional_per_hour is not None and sent + total > limits.notional_per_hour:
        return (
            f"{name}.notionalPerHour is {plain(limits.notional_per_hour)}: {plain(Decimal(sent))} was sent within the"
            f" hour, and {plain(Decimal(total))} more is due"
        )
    return ""

"""Where a full reset stands: what the operator made of it, told as a condition for the command line to go by.

In:  which reset a person asked for, the stored plans, and the account as it was read.
Out: `Standing`; and of a plan of a reset, whether it may go on (`lost`).

Invariants: a reset for which a plan was made, or of which it was said what is left, never gets another plan; nothing is
said to be flat by a reading from before the plan's last action, nor without one of this very cycle.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from accountsync.domain.plan import Action, Plan, Proposal
from accountsync.domain.policy import Mode, Policy
from accountsync.domain.reset import SHARED, Sight, counted

CONDITION = "Reset"
"""The type of the condition that tells where a reset stands, as long as one is asked for."""


class Stage(StrEnum):
    """Where a reset stands, for the condition that tells of it."""

    WAITING = "Waiting"
    REFUSED = "Refused"
    DUE = "Due"
    PLANNED = "Planned"
    UNREAD = "Unread"
    LEFT = "Left"
    FLAT = "Flat"
    CLEAN = "Clean"


OVER = frozenset({Stage.LEFT, Stage.FLAT, Stage.CLEAN})
"""The operator is done with it, and has just read what is there now."""
ACTED = OVER | {Stage.UNREAD}
"""The operator is done with it: it makes no plan for this reset any more."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the reset `id` stands, and why, for people."""

    id: str
    stage: Stage
    text: str

    @property
    def message(self) -> str:
        """What the condition says."""
        return f"{self.id}: {self.text}"

    @classmethod
    def of(cls, reason: str, message: str) -> "Standing | None":
        """What a stored condition says; None: it can't be read."""
        name, colon, text = message.partition(": ")
        return cls(name, Stage(reason), text) if colon and reason in set(Stage) else None


@dataclass(frozen=True, slots=True)
class Asked:
    """The reset that a person asks for; an empty `id`: none. `acted`: the operator is done with it."""

    id: str = ""
    acted: bool = False


NO_RESET = Asked()

Said = tuple[Stage, str]


def standing(
    asked: Asked,
    plans: Iterable[Plan] | None,
    sight: Sight | None,
    policy: Policy,
    proposal: Proposal,
    *,
    held: bool,
) -> Standing:
    """Where the reset stands now.

    `plans`: those stored; None: they are not known. `sight`: None: the account could not be read whole. `proposal`:
    what `due` says. `held`: the hold of a person stands.
    """
    plan = next((plan for plan in plans or () if plan.reset == asked.id), None)
    acted = asked.acted or plan is not None
    said = _without_looking(plan, policy, acted=acted, known=plans is not None, held=held)
    if said is None and (sight is None or not _is_after(plan, sight)):
        said = Stage.WAITING, "the account could not be read whole since"
    if said is None:
        assert sight is not None, "or it was said that it could not be read"
        said = _looking(sight, proposal, acted=acted)
    stage, text = said
    if stage is Stage.WAITING and asked.acted:  # a word of its own, so that a restart does not forget that it is over
        stage = Stage.UNREAD
    return Standing(asked.id, stage, text)


def lost(plan: Plan, asked: Asked, proposal: Proposal | None, left: Mapping[str, Action], *, held: bool) -> str:
    """Why what is left of the plan of a reset is not to be done any more; empty: it is.

    `left`: the actions of it that were not begun, by their keys; `proposal`: what `due` says of them, None: not known.
    """
    if asked.id != plan.reset:
        return "the reset was abandoned, or another one was asked for"
    if not held:
        return "spec.paused is not true any more: a reset goes on only while it is"
    if proposal is None or not left:
        return ""
    there = {action.key for action in proposal.actions}
    return proposal.refusal or ("" if there & left.keys() else "nothing that it was for is there any more")


def _without_looking(plan: Plan | None, policy: Policy, *, acted: bool, known: bool, held: bool) -> Said | None:
    said: Said | None = None
    if policy.mode is not Mode.ENFORCE:
        said = Stage.REFUSED, f"spec.remediation.mode is {policy.mode}: a reset takes Enforce"
    elif policy.remedies.dry_run:
        said = Stage.REFUSED, "spec.remediation.dryRun is true: nothing would be done"
    elif not known:
        said = Stage.WAITING, "the plans of the account can't be read"
    elif plan is not None and plan.open:
        said = Stage.PLANNED, f"plan {plan.name}: {plan.summary}"
    elif not held and not acted:
        said = Stage.WAITING, "spec.paused is not true: set it first"
    return said


def _is_after(plan: Plan | None, sight: Sight) -> bool:
    """Whether the account was read after the plan's last action."""
    return plan is None or plan.executed is None or sight.snapshot.timestamp > plan.executed


def _looking(sight: Sight, proposal: Proposal, *, acted: bool) -> Said:
    if sight.blind:
        return Stage.WAITING, sight.blind
    if sight.flat:
        mistaken = sight.mistaken
        shared = [SHARED] if sight.sharing.siblings else []
        parts = ["nothing of the bot's is left on the exchange", mistaken or "the bot believes so", *proposal.residue]
        return Stage.FLAT if mistaken else Stage.CLEAN, "; ".join([*parts, *shared])
    there = f"{counted(len(sight.orders), len(sight.positions))} of the bot's"
    if acted:
        return Stage.LEFT, f"still there: {there}"
    return (Stage.REFUSED, proposal.refusal) if proposal.refusal else (Stage.DUE, f"there: {there}")

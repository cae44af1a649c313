"""How far the remediation of an account is, and what its holds hear of that.

In:  the stored plans of the account, as far as they are known. Out: signals for the table of holds.

Invariants: as long as the plans are not known, nothing is raised or lifted by them. The Action hold stands from before
the first action is sent until its plan has ended, which takes a snapshot of after the last one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from accountsync.domain.holds import Signal
from accountsync.domain.intents import IntentState
from accountsync.domain.plan import Phase, Plan

UNDER_WAY = frozenset({Phase.READY, Phase.RUNNING, Phase.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Course:
    """`known`: the plans were read. `plan`: the one of them that is open.

    `refusal`: why what is due may not be done, and `refused`: keys of the findings that this is about. `accepted`: a
    person resumed without knowing what became of an action.
    """

    known: bool = False
    plan: Plan | None = None
    refusal: str = ""
    refused: tuple[str, ...] = ()
    accepted: bool = False

    def heard(self) -> Mapping[Signal, str]:
        """What the holds hear."""
        if not self.known:
            return {}
        heard = {}
        plan = self.plan
        doubtful = [] if plan is None else _doubtful(plan)
        if plan is not None and doubtful and not self.accepted:
            heard[Signal.OUTCOME_UNKNOWN] = f"plan {plan.name}: nobody knows what became of {', '.join(doubtful)}"
        else:
            heard[Signal.OUTCOME_KNOWN] = "it is known what became of every action"
        if plan is not None and plan.phase in UNDER_WAY and plan.trades:
            heard[Signal.ACTION_STARTED] = f"plan {plan.name}: {plan.summary}"
        else:
            heard[Signal.ACTION_VERIFIED] = "no action is under way any more"
        if self.refusal:
            heard[Signal.REFUSED_TO_ACT] = self.refusal
        return heard


def _doubtful(plan: Plan) -> list[str]:
    return [
        action.title
        for action, intent in zip(plan.actions, plan.intents, strict=True)
        if intent.state is IntentState.UNKNOWN and action.trades
    ]

"""Where the full reset of an account stands, as people are told it: judged anew after each cycle, before the report."""

from accountsync.act.desk import Remediation
from accountsync.act.work import seen
from accountsync.cycle import Cycle
from accountsync.domain.holds import Source
from accountsync.domain.plan import Proposal
from accountsync.domain.policy import Policy
from accountsync.domain.reset import Sight, due
from accountsync.domain.sharing import Sharing
from accountsync.domain.standing import Asked, Standing, standing


def stands(
    now: Remediation,
    asked: Asked,
    cycle: Cycle,
    policy: Policy,
    sharing: Sharing,
    *,
    now_ms: int,
) -> Standing | None:
    """Where the reset stands after `cycle`; None: nobody asks for one."""
    if not asked.id:
        return None
    snapshot = seen(cycle)
    sight = None if snapshot is None else Sight(snapshot, cycle.state.believed, policy, sharing)
    return standing(
        asked,
        now.kept if now.course.known else None,
        sight,
        policy,
        Proposal() if sight is None else due(asked.id, sight, now.past, now_ms=now_ms),
        held=Source.USER in cycle.state.holds,
    )

"""A plan from its making to its end: what is due now, and what has to be waited for."""

from dataclasses import replace

from accountsync.act.desk import Desk, Remediation, Told
from accountsync.act.send import execute
from accountsync.act.settle import settle
from accountsync.act.work import Work
from accountsync.cycle import Cycle
from accountsync.domain.holds import Source
from accountsync.domain.intents import Intent, IntentState
from accountsync.domain.past import HOUR_MS, past
from accountsync.domain.plan import Action, Phase, Plan, Proposal, plan_name
from accountsync.domain.policy import Mode, Policy
from accountsync.domain.reset import reset_name
from accountsync.domain.sharing import ALONE, Sharing
from accountsync.domain.standing import NO_RESET, Asked
from accountsync.errors import PlanChanged, PlansError, PlansUnavailable

REPAIR_AGAIN_MS = 60_000
"""After a repair of the same; twice as long after each further one of the hour."""
DAY_MS = 24 * HOUR_MS
NAMES_TRIED = 5
LATE = "the exchange would carry out a request that comes late"
REMOVED = "somebody removed it while nobody knew what became of it"
"""Why a plan that is stored again needs a person for what is left of it."""


async def recall(before: Remediation, desk: Desk) -> Remediation:
    """Read the stored plans, where they may have changed: as long as one is open, and until they were read once."""
    before = replace(before, told=(), made=None, again=None)
    now = desk.clock.now_ms()
    if before.course.known and before.plan is None:
        return replace(before, past=past(before.kept, now))
    try:
        kept = await _stored(before.plan, desk)
    except PlansError as error:
        return replace(before, blocked=str(error))
    return replace(before, course=replace(before.course, known=True)).with_plans(kept, now)


async def _stored(known: Plan | None, desk: Desk) -> tuple[Plan, ...]:
    """All plans; one that somebody removed while nobody knew what became of it is stored again."""
    kept = await desk.plans.all()
    if known is None or not known.unsettled:
        return kept
    again = next((plan for plan in kept if plan.name == known.name), None)
    if again is None:  # not born approved, and of no process without this memory may it go on alone
        again = await desk.plans.create(replace(known, approved=False, approval=known.approval or REMOVED))
    if not again.started:
        again = await desk.plans.write(replace(known, version=again.version))
    return (*(plan for plan in kept if plan.name != known.name), again)


async def act(
    before: Remediation,
    cycle: Cycle,
    policy: Policy,
    desk: Desk,
    *,
    held_for: float | None = None,
    sharing: Sharing = ALONE,
    reset: Asked = NO_RESET,
) -> Remediation:
    """The next step after `cycle`.

    `held_for`: seconds since the bot can see the Action hold; None: it can't. `reset`: the full reset that a person
    asks for.
    """
    if not before.course.known:
        return before
    work = Work(before, cycle, policy, desk, held_for, sharing, reset)
    try:
        await _step(work)
    except PlanChanged:
        work.wait(0.0)
    except PlansUnavailable as error:
        work.block(str(error))
    else:
        return work.now
    return replace(work.now, course=replace(work.now.course, known=False))


async def _step(work: Work) -> None:
    plan = work.now.plan
    if plan is None:
        await _begin(work)
    elif plan.started:
        rest = await settle(work, plan)
        if rest is not None:
            await execute(work, rest)
    else:
        await _wait(work, plan)
    await work.forget_old()


async def _begin(work: Work) -> None:
    """Make a plan of what is due; a full reset comes first."""
    whole = work.reset_due() if work.resets else None
    if whole is not None and whole.actions:
        await _begin_reset(work, whole)
        return
    proposal = work.proposal
    if proposal is None:
        return
    course = replace(work.now.course, refusal=proposal.refusal, refused=proposal.refused)
    work.now = replace(work.now, course=course, blocked=proposal.refusal or proposal.withheld)
    due = _due(work, proposal)
    if not due.actions or _was_shown(work, due):
        return
    plan = await _created(work, due)
    if plan is None:
        return
    work.take(plan)
    work.now = replace(work.now, made=plan)
    if plan.dry_run:
        plan = await work.write(replace(plan, phase=Phase.DRY_RUN, message="not done: spec.remediation.dryRun"))
        for action in plan.actions:
            work.tell(Told(plan.name, action, IntentState.PLANNED, "dry run"))
    elif not plan.may_run:
        await work.write(replace(plan, message="waits for a person"))
    else:
        await _wait(work, plan)


async def _begin_reset(work: Work, due: Proposal) -> None:
    """The one plan of a full reset: it waits for a person."""
    desk, now = work.desk, work.desk.clock.now_ms()
    plan = await desk.plans.create(
        Plan(
            reset_name(desk.account, desk.uid, work.reset.id),
            due.actions,
            created=now,
            expires=now + int(work.policy.remedies.expires_after * 1000),
            approval="; ".join([due.approval, *([] if desk.expires_requests else [LATE])]),
            intents=tuple(Intent() for _ in due.actions),
        )
    )
    if not plan.open:
        raise PlanChanged(f"plan {plan.name} was made and ended meanwhile")  # by who took over: read anew
    work.take(plan)
    work.now = replace(work.now, made=plan)
    await work.write(replace(plan, message="waits for a person"))
    work.wait(0.0)  # whoever asked for it waits for the word that it is planned


def _due(work: Work, proposal: Proposal) -> Proposal:
    """What of `proposal` to begin with: a repair goes alone and first, so that it waits for nobody's approval."""
    repairs = tuple(action for action in proposal.actions if not action.trades)
    rest = tuple(action for action in proposal.actions if action.trades)
    if repairs and not _repaired_lately(work, repairs[0]):
        return replace(proposal, actions=repairs, approval="")
    return replace(proposal, actions=rest)


async def _created(work: Work, due: Proposal) -> Plan | None:
    """The stored plan; None where there is none that is new. What ended under the same name gives way to the next."""
    desk, remedies = work.desk, work.policy.remedies
    now = desk.clock.now_ms()
    trades = any(action.trades for action in due.actions)
    late = LATE if trades and not desk.expires_requests else ""
    ordinal = max((plan.created for plan in work.now.kept), default=now // DAY_MS)
    for bump in range(NAMES_TRIED):
        plan = await desk.plans.create(
            Plan(
                plan_name(desk.account, desk.uid, due, ordinal + bump),
                due.actions,
                created=now,
                expires=now + int(remedies.expires_after * 1000),
                approval=due.approval or late,
                dry_run=remedies.dry_run,
                intents=tuple(Intent() for _ in due.actions),
            )
        )
        if plan.open:
            return plan
        if all(kept.name != plan.name for kept in work.now.kept):
            raise PlanChanged(f"plan {plan.name} was made and ended meanwhile")  # by who took over: judge anew
    return None


def _was_shown(work: Work, proposal: Proposal) -> bool:
    """Whether a dry run showed the very same lately."""
    keys = {action.key for action in proposal.actions}
    now = work.desk.clock.now_ms()
    shown = [plan for plan in work.now.kept if plan.phase is Phase.DRY_RUN and plan.expires > now]
    return work.policy.remedies.dry_run and any({action.key for action in plan.actions} == keys for plan in shown)


def _repaired_lately(work: Work, repair: Action) -> bool:
    """Whether the bot was told some of this before, and may not have come to it yet."""
    now = work.desk.clock.now_ms()
    rows = {row.about for row in repair.repairs}
    told = [
        plan.created
        for plan in work.now.kept
        if now - plan.created < HOUR_MS and any(rows & {row.about for row in action.repairs} for action in plan.actions)
    ]
    return bool(told) and now < max(told) + REPAIR_AGAIN_MS * 2 ** (len(told) - 1)


async def _wait(work: Work, plan: Plan) -> None:
    """A plan of which nothing was sent: it goes on, waits, or has lost its ground."""
    over = _over(work, plan)
    if over:
        await work.end(plan, Phase.EXPIRED, over)
    elif not plan.may_run:
        return
    elif plan.trades and work.desk.guarded:
        work.block(work.desk.guarded)
    elif plan.trades and plan.phase is Phase.PENDING:
        await work.write(replace(plan, phase=Phase.READY, message="waits until the bot obeys"))
        work.wait(0.0)  # the next decision raises the Action hold
    elif not plan.trades or _obeyed(work):
        await execute(work, plan)


def _over(work: Work, plan: Plan) -> str:
    """Why nothing will come of a plan of which nothing was sent."""
    if work.resets and not plan.reset:
        return "a person asked for a full reset instead"
    if work.desk.clock.now_ms() >= plan.expires:
        late = "; ".join(filter(None, ["it could not be begun in time", work.blocked_before]))
        return late if plan.may_run else "nobody approved it in time"
    if work.policy.mode is Mode.OBSERVE or (plan.trades and work.policy.mode is not Mode.ENFORCE):
        return f"spec.remediation.mode is {work.policy.mode}"
    if work.policy.remedies.dry_run or plan.dry_run:
        return "spec.remediation.dryRun is true"
    return work.lost(plan)


def _obeyed(work: Work) -> bool:
    """Whether the Action hold has stood for the time that the bot has to learn of it."""
    if work.held_for is None or Source.ACTION not in work.cycle.state.holds:
        return False
    left = work.policy.order_grace_ms / 1000 - work.held_for
    if left > 0:
        work.wait(left)
    return left <= 0

"""What people are told in Events: findings, holds, a refused resume, and what stopped or began to work."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from accountsync.api.v1alpha1 import GROUP, TradingAccountStatus
from accountsync.controller.conditions import WATCH_FORBIDDEN, gist
from accountsync.controller.events import Events
from accountsync.domain.confirm import Outcome
from accountsync.domain.finding import Finding, worst_first
from accountsync.domain.holds import BY_PERSON, Hold, Holds, Source, Transition

RESUME, RESUMED_BY = f"{GROUP}/resume", f"{GROUP}/resumed-by"
TOLD_CONDITIONS = ("CredentialsValid", "BotReachable", "Ready", "LedgerReconciled")
WARNINGS = ("PermissionMissing", "ExchangeUntested", "ApprovalsUnprotected", "RemediationBlocked", "PauseNotHonoured")
"""Conditions that are bad while they are there."""


async def tell_all(
    events: Events,
    about: Mapping[str, Any],
    outcome: Outcome,
    transitions: Sequence[Transition],
    holds: Holds,
    refusal: str,
    statuses: tuple[TradingAccountStatus, TradingAccountStatus],
) -> None:
    """Write the Events of one report. `about`: the account's body; `statuses`: before and after."""
    tell = partial(events.tell, about)
    for rule in sorted({finding.rule for finding in outcome.confirmed}):
        found = [finding for finding in outcome.confirmed if finding.rule is rule]
        await tell(reason=rule, note=_worst(found)[1], warning=True, action="Compare")
    if outcome.resolved:
        await tell(reason="DriftResolved", note=summary(outcome.resolved), warning=False, action="Compare")
    for transition in transitions:
        await tell(
            reason="HoldRaised" if transition.raised else "HoldLifted",
            note=_of_hold(transition, holds, about["metadata"]),
            warning=transition.raised,
            action="Hold",
        )
    for source in _widened(statuses, transitions, holds):
        note = f"more findings joined the {source} hold"
        await tell(
            reason="HoldWidened",
            note=_with_command(note, holds[source], about["metadata"]),
            warning=True,
            action="Hold",
        )
    if refusal:
        await tell(reason="ResumeRefused", note=refusal, warning=True, action="Resume")
    for reason, note, bad in _of_conditions(*statuses):
        await tell(reason=reason, note=note, warning=bad, action="Sync")


def summary(findings: Collection[Finding]) -> str:
    """The worst finding in a sentence, and how many more there are; empty for none."""
    return ": ".join(_worst(findings)) if findings else ""


def _worst(findings: Collection[Finding]) -> tuple[str, str]:
    worst = sorted(findings, key=worst_first)
    more = f"; and {len(worst) - 1} more" if len(worst) > 1 else ""
    return worst[0].rule, f"{worst[0].message}{more}"


def _of_hold(transition: Transition, holds: Holds, metadata: Mapping[str, Any]) -> str:
    note = f"{transition.source} hold {'raised' if transition.raised else 'lifted'}: {transition.message}"
    hold = holds.get(transition.source)
    return _with_command(note, hold, metadata) if transition.raised and hold is not None else note


def _with_command(note: str, hold: Hold, metadata: Mapping[str, Any]) -> str:
    """The note, with what a person may do about the hold."""
    if not hold.digest:
        return note
    account = f"-n {metadata['namespace']} ta {metadata['name']}"
    return f"{note}. To resume over it: kubectl annotate --overwrite {account} {RESUME}={hold.digest} {RESUMED_BY}=YOU"


def _widened(
    statuses: tuple[TradingAccountStatus, TradingAccountStatus], transitions: Sequence[Transition], holds: Holds
) -> list[Source]:
    """The holds that stood before and gathered more, so that an older digest is not enough."""
    turned = {transition.source for transition in transitions}
    before, after = ({held.source: held.digest for held in status.holds} for status in statuses)
    return [
        source
        for source in BY_PERSON
        if source in holds and source not in turned and before.get(source) != after.get(source)
    ]


def _of_conditions(before: TradingAccountStatus, after: TradingAccountStatus) -> list[tuple[str, str, bool]]:
    """(reason, note, whether it is bad) of each condition that turned; one reason is said once."""
    old = {condition.type: condition for condition in before.conditions}
    new = {condition.type: condition for condition in after.conditions}
    told: dict[str, tuple[str, str, bool]] = {}
    for kind in TOLD_CONDITIONS:
        was, now = old.get(kind), new.get(kind)
        if now is None or (was is not None and gist(was) == gist(now)):
            continue
        if now.status == "False":
            told.setdefault(now.reason, (now.reason, now.message, True))
        elif now.status == "True" and was is not None and was.status == "False":
            told[f"{kind}Again"] = (f"{kind}Again", now.message, False)
    for kind in WARNINGS:
        was, now = old.get(kind), new.get(kind)
        if now is not None and (was is None or gist(was) != gist(now)):
            told[kind] = (kind, now.message, now.reason != WATCH_FORBIDDEN)
    return list(told.values())

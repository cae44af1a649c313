"""Plans as objects of the API server, and back.

In:  a plan. Out: the spec and the status of its RemediationPlan; and the other way round.

Invariants: what says what is done, and what was sent, comes back as it went out. Only texts for people are cut, and
findings beyond the first 50 of an action, and fractions of money beyond the eighth place.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from accountsync.api import v1alpha1 as api
from accountsync.api.caps import PLAN_FINDINGS_CAP
from accountsync.api.quantities import money, plain
from accountsync.controller.status import milliseconds, moment
from accountsync.domain.finding import EXACT
from accountsync.domain.intents import Intent
from accountsync.domain.plan import Action, Plan, Repair
from accountsync.errors import ConfigurationError, Reason


def plan_of(body: Mapping[str, Any]) -> Plan:
    """The plan that an object of the API server holds. Raises ConfigurationError for one that can't be read."""
    stored = api.RemediationPlan.parse(body)
    spec, status = stored.spec, stored.status
    if stored.metadata.creation_timestamp is None:
        raise ConfigurationError(Reason.SPEC_INVALID, "metadata.creationTimestamp: is required")
    if status.intents and len(status.intents) != len(spec.actions):
        raise ConfigurationError(Reason.SPEC_INVALID, "status.intents: expected one for each of spec.actions")
    return Plan(
        name=stored.metadata.name,
        actions=tuple(_action(action) for action in spec.actions),
        created=milliseconds(stored.metadata.creation_timestamp),
        expires=milliseconds(spec.expires),
        approval=spec.approval,
        approved=spec.approved,
        dry_run=spec.dry_run,
        intents=tuple(_intent(intent) for intent in status.intents),
        phase=status.phase,
        executed=status.executed,
        message=status.message,
        version=stored.metadata.resource_version,
    )


def plan_spec(plan: Plan, account: str, uid: str, summary: str, reason: str) -> dict[str, Any]:
    """The spec of the object for `plan`: of the TradingAccount `account`; `summary` says what, `reason` why.

    Raises ConfigurationError for a plan that the API server would refuse: more than 50 actions or 100 repairs, an id of
    more than 128 characters, a symbol of more than 64, a quantity to close below zero.
    """
    findings = sorted({key for action in plan.actions for key in action.findings})
    written = {
        "account": {"name": account, "uid": uid},
        "approved": plan.approved,
        "approval": plan.approval,
        "dryRun": plan.dry_run,
        "expires": moment(plan.expires),
        "summary": summary,
        "reason": reason,
        "notional": money(sum((action.notional for action in plan.actions), Decimal(0))),
        "findings": findings[:PLAN_FINDINGS_CAP],
        "actions": [_written_action(action) for action in plan.actions],
    }
    return api.parse_plan_spec(written).dump()


def plan_status(plan: Plan) -> dict[str, Any]:
    """The whole status of the object for `plan`. It can always be written: something may have been sent already."""
    return api.RemediationPlanStatus(
        phase=plan.phase,
        message=plan.message,
        executed=plan.executed,
        intents=tuple(_written_intent(intent) for intent in plan.intents),
    ).dump()


def _action(stored: api.PlannedAction) -> Action:
    return Action(
        kind=stored.type,
        symbol=stored.symbol,
        order_id=stored.order_id,
        client_id=stored.client_order_id,
        conditional=stored.conditional,
        leg=stored.position_side,
        side=stored.side,
        quantity=stored.quantity,
        price=stored.price,
        repairs=tuple(_repair(repair) for repair in stored.repairs),
        notional=stored.notional,
        findings=stored.findings,
        after=stored.after,
        why=stored.why,
    )


def _written_action(action: Action) -> dict[str, Any]:
    return {
        "type": action.kind,
        "symbol": action.symbol,
        "orderId": action.order_id,
        "clientOrderId": action.client_id,
        "conditional": action.conditional,
        "positionSide": action.leg,
        "side": action.side,
        "quantity": _text(action.quantity),
        "price": _text(action.price),
        "repairs": [_written_repair(repair) for repair in action.repairs],
        "notional": money(action.notional),
        "findings": action.findings[:PLAN_FINDINGS_CAP],
        "after": action.after,
        "why": action.why,
    }


def _repair(stored: api.PlannedRepair) -> Repair:
    return Repair(
        kind=stored.type,
        symbol=stored.symbol,
        id=stored.id,
        value=stored.value,
        order_id=stored.order_id,
        client_id=stored.client_order_id,
        side=stored.side,
        quantity=stored.quantity,
        filled=stored.filled,
        price=stored.price,
    )


def _written_repair(repair: Repair) -> dict[str, Any]:
    return {
        "type": repair.kind,
        "symbol": repair.symbol,
        "id": repair.id,
        "value": repair.value,
        "orderId": repair.order_id,
        "clientOrderId": repair.client_id,
        "side": repair.side,
        "quantity": _text(repair.quantity),
        "filled": _text(repair.filled),
        "price": _text(repair.price),
    }


def _intent(stored: api.PlanIntent) -> Intent:
    return Intent(
        state=stored.state,
        client_id=stored.client_order_id,
        timestamp=stored.timestamp,
        recv_window=stored.recv_window,
        holder=stored.holder,
        epoch=stored.epoch,
        order_id=stored.order_id,
        filled=stored.filled,
        message=stored.message,
        at=stored.at,
    )


def _written_intent(intent: Intent) -> api.PlanIntent:
    return api.PlanIntent(
        state=intent.state,
        client_order_id=intent.client_id,
        timestamp=intent.timestamp,
        recv_window=intent.recv_window,
        holder=intent.holder,
        epoch=intent.epoch,
        order_id=intent.order_id,
        filled=None if intent.filled is None else _trimmed(intent.filled),
        message=intent.message,
        at=intent.at,
    )


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(_trimmed(number))


def _trimmed(number: Decimal) -> Decimal:
    """`number` without the zeros at its end, which would make it too long."""
    return number.normalize(EXACT) if number else Decimal(0)

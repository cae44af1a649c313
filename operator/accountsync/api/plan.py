"""`RemediationPlan`: what is to be done about an account's findings, what a person says to it, and what became of it.

Numbers, ids and symbols of the spec say what is done: they are refused, never cut. Texts for people are cut.
"""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from accountsync.api.caps import (
    FINDING_KEY_CAP,
    HOLDER_CAP,
    INTENT_MESSAGE_CAP,
    ORDER_ID_CAP,
    PLAN_ACTIONS_CAP,
    PLAN_FINDINGS_CAP,
    PLAN_REPAIRS_CAP,
    PLAN_TEXT_CAP,
    REPAIR_VALUE_CAP,
)
from accountsync.api.markers import ATOMIC_LIST, INT32, INT64, Clipped, Rule, Token
from accountsync.api.parts import FieldRuleError, Part, StatusPart
from accountsync.api.quantities import Exact, Money, SignedExact, Time
from accountsync.api.texts import ObjectName
from accountsync.domain.account import PositionSide, Side
from accountsync.domain.intents import IntentState
from accountsync.domain.plan import ActionKind, Phase, RepairKind

_FIXED = Rule("self == oldSelf", "cannot be changed: a person approves exactly what a plan says; another is made anew")

_Symbol = Annotated[str, Field(max_length=64)]
_OrderId = Annotated[str, Field(max_length=ORDER_ID_CAP)]
_Keys = Annotated[tuple[Annotated[str, Token(FINDING_KEY_CAP)], ...], Field(max_length=PLAN_FINDINGS_CAP), ATOMIC_LIST]
_Text = Annotated[str, Clipped(PLAN_TEXT_CAP)]


class PlannedRepair(Part):
    """One thing that the bot is told."""

    type: RepairKind
    """What of its belief is put right."""

    symbol: _Symbol = ""
    """The symbol or asset."""

    id: _OrderId = ""
    """The order's id, or the side of the position."""

    value: Annotated[str, Field(max_length=REPAIR_VALUE_CAP)] = ""
    """The quantity or balance, or the state of the order."""

    order_id: _OrderId = ""
    """The exchange's id of an order."""

    client_order_id: _OrderId = ""
    """Its client order id."""

    side: Annotated[str, Field(max_length=8)] = ""
    """Its side: buy or sell."""

    quantity: SignedExact | None = None
    """Its quantity, in units of the base asset."""

    filled: SignedExact | None = None
    """How much of it is filled."""

    price: SignedExact | None = None
    """Its price."""


_COMPLETE = (
    "expected what the type needs: Cancel an orderId; Flatten a positionSide, side and quantity; Repair at least one "
    "of repairs, and nobody else any"
)


class PlannedAction(Part):
    """One step of a plan; everything that is sent follows from it."""

    crd_rules = (
        Rule(
            "(self.type == 'Repair') == (size(self.repairs) > 0) && (self.type != 'Cancel' || self.orderId != '') && "
            "(self.type != 'Flatten' || (has(self.positionSide) && has(self.side) && has(self.quantity)))",
            _COMPLETE,
        ),
    )

    type: ActionKind
    """Cancel one order, Flatten one position, or Repair what the bot believes."""

    symbol: _Symbol = ""
    """The symbol."""

    order_id: _OrderId = ""
    """The exchange's id of the order to cancel."""

    client_order_id: _OrderId = ""
    """Its client order id."""

    conditional: bool = False
    """Whether it is a conditional order, say a stop."""

    position_side: PositionSide | None = None
    """The position to close: net in one-way mode, long or short in hedge mode."""

    side: Side | None = None
    """The side of the order that closes it."""

    quantity: Exact | None = None
    """The most that the order may close, in units of the base asset."""

    price: Exact | None = None
    """The limit of the order. Left out: a market order."""

    repairs: Annotated[tuple[PlannedRepair, ...], Field(max_length=PLAN_REPAIRS_CAP), ATOMIC_LIST] = ()
    """What the bot is told."""

    notional: Money = Decimal(0)
    """Value in the quote currency."""

    findings: _Keys = ()
    """Keys of the findings that it is for, the first 50."""

    after: Annotated[int, Field(ge=0, le=PLAN_ACTIONS_CAP - 1), INT32] | None = None
    """Index of the Flatten that has to have closed its position before this is done."""

    why: _Text = ""
    """Why, for a person."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        flatten = None not in (self.position_side, self.side, self.quantity)
        if (
            (self.type is ActionKind.REPAIR) != bool(self.repairs)
            or (self.type is ActionKind.CANCEL and not self.order_id)
            or (self.type is ActionKind.FLATTEN and not flatten)
        ):
            raise ValueError(_COMPLETE)
        return self


class PlannedAccount(Part):
    """The account of a plan."""

    name: ObjectName
    """Name of the TradingAccount, in the same namespace."""

    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """Its uid: another account of the same name has nothing to do with this plan."""


_APPROVED = (
    "an approval cannot be taken back, since what it allowed may be on its way: to stop what is left, set the "
    "account's remediation.mode to Pause"
)
_AFTER = "expected after to be the index of a Flatten of this plan"
_REPAIRS = f"expected at most {PLAN_REPAIRS_CAP} repairs in all actions together"


class RemediationPlanSpec(Part):
    """What is to be done. Only approved can be changed, and only to true."""

    crd_rules = (
        Rule(
            "self.actions.all(a, !has(a.after) || "
            "(a.after < size(self.actions) && self.actions[a.after].type == 'Flatten'))",
            _AFTER,
            field=".actions",
        ),
        Rule(
            f"self.actions.map(a, size(a.repairs)).sum() <= {PLAN_REPAIRS_CAP}",
            _REPAIRS,
            field=".actions",
        ),
    )

    account: Annotated[PlannedAccount, _FIXED]
    """The account that it is for."""

    approved: Annotated[bool, Rule("self || !oldSelf", _APPROVED)] = False
    """Whether a person allows it. It can't be taken back."""

    approval: Annotated[_Text, _FIXED] = ""
    """Why a person must approve it. Empty: it goes on alone."""

    dry_run: Annotated[bool, _FIXED] = False
    """Whether it only shows what would have been done."""

    expires: Annotated[Time, _FIXED]
    """When it is no longer waited for. It then does nothing, approved or not."""

    summary: Annotated[_Text, _FIXED] = ""
    """What it does, for a person."""

    reason: Annotated[_Text, _FIXED] = ""
    """Why, for a person."""

    notional: Annotated[Money, _FIXED] = Decimal(0)
    """Value of all its actions, in the quote currency."""

    findings: Annotated[_Keys, _FIXED] = ()
    """Keys of the findings that it is for, the first 50."""

    actions: Annotated[tuple[PlannedAction, ...], Field(min_length=1, max_length=PLAN_ACTIONS_CAP), ATOMIC_LIST, _FIXED]
    """What is done, in this order."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if sum(len(action.repairs) for action in self.actions) > PLAN_REPAIRS_CAP:
            raise FieldRuleError(f"actions: {_REPAIRS}")
        kinds = dict(enumerate(action.type for action in self.actions))
        if any(
            action.after is not None and kinds.get(action.after) is not ActionKind.FLATTEN for action in self.actions
        ):
            raise FieldRuleError(f"actions: {_AFTER}")
        return self


class PlanIntent(StatusPart):
    """What is known of one action, in the order of spec.actions."""

    state: IntentState
    """Planned: not sent. Sending: written down before it left, and not heard of since. Unknown: the exchange does not
    say. Expired: it never arrived."""

    client_order_id: Annotated[str, Field(max_length=64)] = ""
    """Client order id of the order that it places."""

    timestamp: Annotated[int, Field(ge=0), INT64] | None = None
    """When it was sent, in Unix milliseconds by the exchange's clock."""

    recv_window: Annotated[int, Field(ge=0), INT32] | None = None
    """Milliseconds after which the exchange refuses it."""

    holder: Annotated[str, Token(HOLDER_CAP)] = ""
    """The replica that sent it."""

    epoch: Annotated[int, Field(ge=0), INT64] = 0
    """The epoch of that replica's ownership."""

    order_id: Annotated[str, Token(ORDER_ID_CAP)] = ""
    """The exchange's id of the order that it placed or cancelled."""

    filled: SignedExact | None = None
    """How much was filled, in units of the base asset."""

    message: Annotated[str, Clipped(INTENT_MESSAGE_CAP)] = ""
    """What became of it, for a person."""

    at: Annotated[int, Field(ge=0), INT64] | None = None
    """When its state last changed, in Unix milliseconds."""


class RemediationPlanStatus(StatusPart):
    """What became of it. The operator writes it before and after everything that it sends."""

    phase: Phase = Phase.PENDING
    """Pending waits for a person, Ready for the bot to stand still. Unknown: the exchange does not say what became of
    an action. Done, Refused, Expired and DryRun are final."""

    message: Annotated[str, Clipped(PLAN_TEXT_CAP)] = ""
    """Where it stands, for a person."""

    executed: Annotated[int, Field(ge=0), INT64] | None = None
    """Unix milliseconds by the exchange's clock: only a reading of the account after it shows what came of the plan."""

    intents: Annotated[tuple[PlanIntent, ...], Field(max_length=PLAN_ACTIONS_CAP), ATOMIC_LIST] = ()
    """What is known of each action, in the order of spec.actions."""

"""`spec.remediation` of a TradingAccount: what may be done about a difference, and within which bounds."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.functional_validators import AfterValidator

from accountsync.api.markers import DEFAULT_EMPTY, INT32, SET, Matches, Rule, Schema, map_by
from accountsync.api.parts import FieldRuleError, Part
from accountsync.api.quantities import Amount, Duration, is_duration
from accountsync.domain.catalogue import Rule as RuleName
from accountsync.domain.policy import FlattenBy, Mode, UnexpectedOrders, UnexpectedPositions


class PauseAt(StrEnum):
    """The mildest finding that stops the bot."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    NEVER = "never"


_INSTEAD = "to have nothing done, set unexpectedOrders and unexpectedPositions to Never, or the mode to Pause"
_SOME_NOTIONAL = f'expected a decimal number of more than zero in quotes, such as "1000"; {_INSTEAD}'
_SOME_ACTIONS = f"expected a number from 1 to 100; {_INSTEAD}"
_MAX_ACTIONS = 100


def _some_notional(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError(_SOME_NOTIONAL)
    return value


def _some_actions(value: int) -> int:
    if not 1 <= value <= _MAX_ACTIONS:
        raise ValueError(_SOME_ACTIONS)
    return value


_Notional = Annotated[Amount, AfterValidator(_some_notional), Rule("self.matches('[1-9]')", _SOME_NOTIONAL)]


class Limits(Part):
    """The most that is sent to the exchange, approved or not. Over a limit nothing is sent, and the bot is held."""

    actions_per_hour: Annotated[
        int,
        AfterValidator(_some_actions),
        Schema((("minimum", 1), ("maximum", _MAX_ACTIONS))),
        INT32,
        Rule(f"self >= 1 && self <= {_MAX_ACTIONS}", _SOME_ACTIONS),
    ] = 10
    """Orders placed or cancelled within any hour, from 1 to 100."""

    notional_per_action: _Notional | None = None
    """Value of one of them, in the quote currency. Needed where anything may go on alone."""

    notional_per_hour: _Notional | None = None
    """Value of all of them within any hour, in the quote currency. Needed where anything may go on alone."""


class Threshold(Part):
    """What a finding of one kind has to come to before anything is done about it. It stops the bot all the same."""

    rule: RuleName
    """Kind of finding, e.g. UnexpectedOrder."""

    count: Annotated[int, Field(ge=0, le=1000), INT32] = 0
    """How many times in a row it must have been seen."""

    notional: Amount = Decimal(0)
    """Value at risk that it must have reached, in the quote currency."""

    age: Duration = Duration("0s")
    """Time that must have passed since it was first seen."""


_SLIPPAGE = 'expected a part of the price of more than 0 and at most 0.1 in quotes, such as "0.005" for half a percent'
_MAX_SLIPPAGE = Decimal("0.1")


def _bounded(value: Decimal) -> Decimal:
    if not 0 < value <= _MAX_SLIPPAGE:
        raise ValueError(_SLIPPAGE)
    return value


_EXPIRY = "expected a duration from 1m to 24h"
_MIN_EXPIRY, _MAX_EXPIRY = 60, 24 * 3600


def _waits(value: Duration) -> Duration:
    if not _MIN_EXPIRY <= value.seconds <= _MAX_EXPIRY:
        raise ValueError(_EXPIRY)
    return value


_BOUNDS = (
    "set notionalPerAction and notionalPerHour: with unexpectedOrders Cancel or unexpectedPositions Flatten the "
    "operator goes on alone, and these bound what it may do"
)


class Remediation(Part):
    """What the operator may do about a difference."""

    crd_rules = (
        Rule(
            # has(): the rule also runs on the default itself, an object in which nothing is filled in
            rule="(!(has(self.unexpectedOrders) && self.unexpectedOrders == 'Cancel') && "
            "!(has(self.unexpectedPositions) && self.unexpectedPositions == 'Flatten')) || "
            "(has(self.limits.notionalPerAction) && has(self.limits.notionalPerHour))",
            message=_BOUNDS,
            field=".limits",
        ),
    )

    mode: Mode = Mode.OBSERVE
    """Observe tells, and stops nothing. Pause also stops the bot, and puts its belief right. Enforce also acts on the
    exchange, as far as unexpectedOrders and unexpectedPositions say. Nothing is ever written to an exchange in Observe
    or Pause."""

    pause_at: PauseAt = PauseAt.HIGH
    """The mildest severity of a confirmed finding that stops the bot in modes Pause and Enforce."""

    dry_run: bool = False
    """Make the plans and say what they would do, and do nothing of it."""

    repair_bot_state: bool = True
    """Put the bot's belief right in modes Pause and Enforce, where its state source can be written to: see
    bot.state.http.repairPath."""

    unexpected_orders: UnexpectedOrders = UnexpectedOrders.NEVER
    """What becomes of orders of the bot's that it does not track, in mode Enforce only. Plan: a RemediationPlan cancels
    them once a person approves it. Cancel: it goes on alone, within the limits; cancelling everything, or an order that
    guards a position, still needs a person. Both need bot.orderIdPrefix, and credentials.trade."""

    unexpected_positions: UnexpectedPositions = UnexpectedPositions.NEVER
    """What becomes of positions where the bot expects none, in mode Enforce only. Plan: a RemediationPlan closes them
    once a person approves it. Flatten: it goes on alone, within the limits, where the bot's own fills explain the
    position; closing everything still needs a person. Both need credentials.trade."""

    order_id_prefixes: Annotated[
        tuple[
            Annotated[
                str,
                Field(max_length=36),
                Matches(
                    r"^[.A-Z:/a-z0-9_-]{1,36}$",
                    "expected the beginning of client order ids: 1 to 36 letters, digits and . : / _ -",
                ),
            ],
            ...,
        ],
        Field(max_length=10),
        SET,
    ] = ()
    """How the client order ids of further orders begin that may be cancelled like the bot's, say of a tool that is no
    longer used."""

    flatten_by: FlattenBy = FlattenBy.LIMIT
    """The order that closes a position, always reduce-only. Limit: at a price within maxSlippage, and what is not
    filled at once is gone. Market: at any price."""

    max_slippage: Annotated[
        Amount,
        AfterValidator(_bounded),
        Rule(r"self.matches(r'^0+(\.(0[0-9]*|10*))?$') && self.matches('[1-9]')", _SLIPPAGE),
    ] = Decimal("0.005")
    """How far from the mark price the limit of such an order may be, as a part of the price: at most 0.1."""

    plan_expiry: Annotated[
        Duration,
        AfterValidator(_waits),
        Rule(
            rule=f"!{is_duration('self')} || (duration(self) >= duration('1m') && duration(self) <= duration('24h'))",
            message=_EXPIRY,
        ),
    ] = Duration("15m")
    """Time for which a plan waits for a person, from 1m to 24h. Then it expires, and a new one is made of what is there
    by then."""

    limits: Annotated[Limits, DEFAULT_EMPTY] = Field(default_factory=Limits)
    """The most that is sent to the exchange, approved or not."""

    thresholds: Annotated[tuple[Threshold, ...], Field(max_length=len(RuleName)), map_by("rule")] = ()
    """What findings have to come to before anything is done about them, by kind. A kind that is not listed: to be
    confirmed."""

    @model_validator(mode="after")
    def _alone_only_within_bounds(self) -> Self:
        alone = (
            self.unexpected_orders is UnexpectedOrders.CANCEL
            or self.unexpected_positions is UnexpectedPositions.FLATTEN
        )
        if alone and (self.limits.notional_per_action is None or self.limits.notional_per_hour is None):
            raise FieldRuleError(f"limits: {_BOUNDS}")
        return self

    @property
    def acts(self) -> bool:
        """Whether anything of it is ever sent to the exchange."""
        wanted = (self.unexpected_orders, self.unexpected_positions)
        return self.mode is Mode.ENFORCE and wanted != (UnexpectedOrders.NEVER, UnexpectedPositions.NEVER)

"""accountsync.dev/v1alpha1: the models, and the source of the CustomResourceDefinitions.

In:  an object of the API server. Out: `TradingAccount` or `RemediationPlan`, or `ConfigurationError` that says which
field to change.

The API server checks first, by the schema and the CEL rules that stand beside each field. The same is checked here,
because an object that an older CRD let in is still stored. Descriptions are what `kubectl explain` shows.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError
from pydantic.functional_validators import BeforeValidator
from pydantic_core import ErrorDetails

from accountsync.api.parts import FieldRuleError, Part
from accountsync.api.plan import (
    PlanIntent,
    PlannedAccount,
    PlannedAction,
    PlannedRepair,
    RemediationPlanSpec,
    RemediationPlanStatus,
)
from accountsync.api.quantities import Duration, Time
from accountsync.api.remediation import Limits, PauseAt, Remediation, Threshold
from accountsync.api.sources import (
    ConfigMapState,
    FreqtradeState,
    HttpState,
    Parity,
    PostgresState,
    Scheme,
    SecretRef,
    ServiceAddress,
    ServiceOrigin,
    StateSource,
)
from accountsync.api.spec import (
    Alerts,
    AutoResume,
    BalanceTolerance,
    Bot,
    Credential,
    Credentials,
    ExcessRights,
    Exchange,
    Gate,
    Tolerances,
    TradingAccountSpec,
    Watchdog,
)
from accountsync.api.status import (
    Acknowledged,
    Condition,
    ConditionStatus,
    Finding,
    Findings,
    FindingState,
    Hold,
    HoldSource,
    Owner,
    Severity,
    SnapshotSummary,
    StoppedBot,
    Sync,
    TradingAccountStatus,
    Transition,
    WatchdogMemory,
    Watermarks,
    readable,
)
from accountsync.domain.policy import FlattenBy, Mode, PauseLevel, UnexpectedOrders, UnexpectedPositions
from accountsync.errors import ConfigurationError, Reason

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLAN_KIND",
    "PLAN_PLURAL",
    "PLURAL",
    "VERSION",
    "Acknowledged",
    "Alerts",
    "AutoResume",
    "BalanceTolerance",
    "Bot",
    "Condition",
    "ConditionStatus",
    "ConfigMapState",
    "Credential",
    "Credentials",
    "Duration",
    "ExcessRights",
    "Exchange",
    "Finding",
    "FindingState",
    "Findings",
    "FlattenBy",
    "FreqtradeState",
    "Gate",
    "Hold",
    "HoldSource",
    "HttpState",
    "Limits",
    "Metadata",
    "Mode",
    "Owner",
    "Parity",
    "PauseAt",
    "PauseLevel",
    "PlanIntent",
    "PlannedAccount",
    "PlannedAction",
    "PlannedRepair",
    "PostgresState",
    "Remediation",
    "RemediationPlan",
    "RemediationPlanSpec",
    "RemediationPlanStatus",
    "Scheme",
    "SecretRef",
    "ServiceAddress",
    "ServiceOrigin",
    "Severity",
    "SnapshotSummary",
    "StateSource",
    "StoppedBot",
    "Sync",
    "Threshold",
    "Tolerances",
    "TradingAccount",
    "TradingAccountSpec",
    "TradingAccountStatus",
    "Transition",
    "UnexpectedOrders",
    "UnexpectedPositions",
    "Watchdog",
    "WatchdogMemory",
    "Watermarks",
    "parse_plan_spec",
    "parse_status",
]

GROUP = "accountsync.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "TradingAccount"
PLURAL = "tradingaccounts"
PLAN_KIND = "RemediationPlan"
PLAN_PLURAL = "remediationplans"


class Metadata(Part):
    """The part of an object's metadata that is used."""

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


def _sentence(detail: ErrorDetails, root: tuple[str, ...]) -> str:
    path = ".".join(str(step) for step in (*root, *detail["loc"]))
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, FieldRuleError):
        return f"{path}.{cause}"
    if isinstance(cause, ValueError):
        return f"{path}: {cause}"
    if detail["type"] == "missing":
        return f"{path}: is required"
    return f"{path}: {detail['msg'].replace('Input should be', 'expected')}"


class TradingAccount(Part):
    """An exchange account and the bot that trades on it, which is stopped when its belief and the account part."""

    metadata: Metadata
    spec: TradingAccountSpec
    """What is watched, how often, and what may be done about a difference."""

    status: Annotated[TradingAccountStatus, BeforeValidator(readable)] = Field(default_factory=TradingAccountStatus)
    """What the operator found."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API server.

        Raises ConfigurationError that names each field to change, without the values found there.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise _configuration_error(error, ()) from None


class RemediationPlan(Part):
    """What is to be done about an account's findings. It goes on alone, or once a person sets spec.approved."""

    metadata: Metadata
    spec: RemediationPlanSpec
    """What is to be done. Only approved can be changed, and only to true."""

    status: RemediationPlanStatus = Field(default_factory=RemediationPlanStatus)
    """What became of it."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API server. Raises ConfigurationError: what can't be read is not guessed at."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise _configuration_error(error, ()) from None


def parse_status(body: Mapping[str, Any]) -> TradingAccountStatus:
    """Read only the status of an object, e.g. of one whose spec is not valid. Raises ConfigurationError."""
    try:
        return TradingAccountStatus.model_validate(readable(body.get("status") or {}))
    except ValidationError as error:
        raise _configuration_error(error, ("status",)) from None


def parse_plan_spec(spec: Mapping[str, Any]) -> RemediationPlanSpec:
    """Read the spec of a plan that is yet to be stored. Raises ConfigurationError where it would be refused."""
    try:
        return RemediationPlanSpec.model_validate(spec)
    except ValidationError as error:
        raise _configuration_error(error, ("spec",)) from None


def _configuration_error(error: ValidationError, root: tuple[str, ...]) -> ConfigurationError:
    return ConfigurationError(Reason.SPEC_INVALID, "; ".join(_sentence(detail, root) for detail in error.errors()))

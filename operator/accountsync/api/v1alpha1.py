"""`TradingAccount` of accountsync.dev/v1alpha1: the models, and the source of its CustomResourceDefinition.

In:  an object of the API server. Out: `TradingAccount`, or `ConfigurationError` that says which field to change.

The API server checks first, by the schema and the CEL rules that stand beside each field. The same is checked here,
because an object that an older CRD let in is still stored. Descriptions are what `kubectl explain` shows.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError
from pydantic.functional_validators import BeforeValidator
from pydantic_core import ErrorDetails

from accountsync.api.parts import FieldRuleError, Part
from accountsync.api.quantities import Duration, Time
from accountsync.api.spec import (
    Alerts,
    AutoResume,
    BalanceTolerance,
    Bot,
    ConfigMapState,
    Credential,
    Credentials,
    Exchange,
    HttpState,
    PauseAt,
    Remediation,
    Scheme,
    SecretRef,
    ServiceAddress,
    StateSource,
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
    Severity,
    SnapshotSummary,
    Sync,
    TradingAccountStatus,
    Transition,
    WatchdogMemory,
    Watermarks,
    readable,
)
from accountsync.domain.policy import Mode, PauseLevel
from accountsync.errors import ConfigurationError, Reason

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
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
    "Exchange",
    "Finding",
    "FindingState",
    "Findings",
    "Hold",
    "HoldSource",
    "HttpState",
    "Metadata",
    "Mode",
    "PauseAt",
    "PauseLevel",
    "Remediation",
    "Scheme",
    "SecretRef",
    "ServiceAddress",
    "Severity",
    "SnapshotSummary",
    "StateSource",
    "Sync",
    "Tolerances",
    "TradingAccount",
    "TradingAccountSpec",
    "TradingAccountStatus",
    "Transition",
    "Watchdog",
    "WatchdogMemory",
    "Watermarks",
    "parse_status",
]

GROUP = "accountsync.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "TradingAccount"
PLURAL = "tradingaccounts"


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


def parse_status(body: Mapping[str, Any]) -> TradingAccountStatus:
    """Read only the status of an object, e.g. of one whose spec is not valid. Raises ConfigurationError."""
    try:
        return TradingAccountStatus.model_validate(readable(body.get("status") or {}))
    except ValidationError as error:
        raise _configuration_error(error, ("status",)) from None


def _configuration_error(error: ValidationError, root: tuple[str, ...]) -> ConfigurationError:
    return ConfigurationError(Reason.SPEC_INVALID, "; ".join(_sentence(detail, root) for detail in error.errors()))

"""The one catalogue of findings: a row a kind, with the name that each runbook uses for it.

Metrics, alerts, logs, docs and messages take every name from here. Adding a finding is one row and one function that
detects it.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """Ordered: a higher one is worse."""

    WARNING = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """The lower-case word that the resource uses."""
        return self.name.lower()


class Rule(StrEnum):
    """Kinds of findings, by our own names."""

    DUPLICATE_KEY = "DuplicateKey"
    NEGATIVE_QUANTITY = "NegativeQuantity"
    TIMESTAMP_REGRESSION = "TimestampRegression"
    UNEXPECTED_ORDER = "UnexpectedOrder"
    MISSING_ORDER = "MissingOrder"
    ORDER_DIVERGENCE = "OrderDivergence"
    POSITION_MISMATCH = "PositionMismatch"
    BALANCE_MISMATCH = "BalanceMismatch"
    UNATTRIBUTED_FILL = "UnattributedFill"


class Subject(StrEnum):
    """What a finding is about."""

    SNAPSHOT = "snapshot"
    ORDER = "order"
    POSITION = "position"
    BALANCE = "balance"
    FILL = "fill"


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of finding. `at_once`: needs neither grace nor a second look. Empty dialect name: it has none.

    `message` is filled with the finding's symbol, id, expected and observed. `tolerance`: what is accepted unless the
    resource says otherwise. `unless_own`: severity where the object is not the bot's own. `account_sync` is the rule
    label of Runbook 29 (our name in snake_case where it has none), `reconcile` the type of Runbook 11, `desync` and
    `ledger` the names of those runbooks.
    """

    rule: Rule
    subject: Subject
    severity: Severity
    meaning: str
    message: str
    account_sync: str
    tolerance: str = "none"
    reconcile: str = ""
    desync: str = ""
    ledger: str = ""
    at_once: bool = False
    unless_own: Severity | None = None

    @property
    def runbook(self) -> str:
        """Anchor of its section in docs/findings.md."""
        return self.rule.value.lower()


CATALOGUE = {
    row.rule: row
    for row in (
        Row(
            Rule.DUPLICATE_KEY,
            Subject.SNAPSHOT,
            Severity.CRITICAL,
            "two positions share symbol, side and margin mode, or two orders share an id",
            message="{id} of {symbol} is listed twice",
            account_sync="duplicate_key",
            at_once=True,
        ),
        Row(
            Rule.NEGATIVE_QUANTITY,
            Subject.SNAPSHOT,
            Severity.CRITICAL,
            "a quantity is below zero where the exchange's format says that it cannot be",
            message="{id} of {symbol} has the quantity {observed}",
            account_sync="negative_qty",
            at_once=True,
        ),
        Row(
            Rule.TIMESTAMP_REGRESSION,
            Subject.SNAPSHOT,
            Severity.WARNING,
            "the snapshot is older than one already accepted, and was refused",
            message="the exchange answered with a snapshot of {observed}, where {expected} was due; it was refused",
            account_sync="ts_regression",
            at_once=True,
        ),
        Row(
            Rule.UNEXPECTED_ORDER,
            Subject.ORDER,
            Severity.HIGH,
            "an order on the exchange that the bot does not track",
            message="the bot does not track the open order {id} of {symbol}: {observed}",
            account_sync="orphan_order",
            reconcile="ORDER_EXISTS_UNEXPECTED",
            desync="missing_local_order",
            ledger="missing_in_db",
            unless_own=Severity.WARNING,
        ),
        Row(
            Rule.MISSING_ORDER,
            Subject.ORDER,
            Severity.HIGH,
            "the bot tracks an active order that the exchange proves gone",
            message="the bot tracks order {id} of {symbol} as open; on the exchange it is {observed}",
            account_sync="missing_order",
            reconcile="ORDER_MISSING_ON_EXCHANGE",
            desync="stale_local_order",
            ledger="missing_from_exchange",
        ),
        Row(
            Rule.ORDER_DIVERGENCE,
            Subject.ORDER,
            Severity.MEDIUM,
            "bot and exchange both know the order, but not its side, status, quantity, filled quantity or price",
            message="order {id} of {symbol}: the bot believes {expected}; the exchange says {observed}",
            account_sync="order_divergence",
            tolerance="less than the exchange's quantity step",
            reconcile="ORDER_STATUS_DIVERGENCE",
            ledger="mismatch",
        ),
        Row(
            Rule.POSITION_MISMATCH,
            Subject.POSITION,
            Severity.HIGH,
            "the position's quantity differs beyond the tolerance",
            message="the {id} position of {symbol}: the bot believes {expected}; the exchange says {observed}",
            account_sync="position_mismatch",
            tolerance="less than the exchange's quantity step; spec.tolerances.position",
            reconcile="POSITION_NONZERO_UNEXPECTED",
            desync="position_mismatch",
            ledger="ghost",
        ),
        Row(
            Rule.BALANCE_MISMATCH,
            Subject.BALANCE,
            Severity.MEDIUM,
            "the wallet balance of an asset differs beyond its tolerance, after the income since the belief's time",
            message="the {symbol} balance: the bot believes {expected}; the exchange says {observed}",
            account_sync="balance_mismatch",
            tolerance="0.01 of the asset; spec.tolerances.balances",
            desync="balance_mismatch",
        ),
        Row(
            Rule.UNATTRIBUTED_FILL,
            Subject.FILL,
            Severity.HIGH,
            "a fill that no order of the bot explains: a liquidation, auto-deleveraging, another tool",
            message="{id} of {symbol} is explained by no order of the bot: {observed}",
            account_sync="unattributed_fill",
            ledger="unknown fill",
        ),
    )
}

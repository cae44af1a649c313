"""The one catalogue of findings: a row a kind, with the name that each runbook uses for it.

Metrics, alerts, docs and messages take every name from here. Adding a finding is one row and one function in
`detect.py`.
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


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of finding. `at_once`: needs neither grace nor a second look. Empty dialect name: it has none.

    `account_sync` is the rule label of Runbook 29 (our name in snake_case where it has none), `reconcile` the type of
    Runbook 11, `desync` and `ledger` the names of those runbooks.
    """

    rule: Rule
    severity: Severity
    meaning: str
    account_sync: str
    reconcile: str = ""
    desync: str = ""
    ledger: str = ""
    at_once: bool = False


CATALOGUE = {
    row.rule: row
    for row in (
        Row(
            Rule.DUPLICATE_KEY,
            Severity.CRITICAL,
            "two positions share symbol, side and margin mode, or two orders share an id",
            account_sync="duplicate_key",
            at_once=True,
        ),
        Row(
            Rule.NEGATIVE_QUANTITY,
            Severity.CRITICAL,
            "a quantity is below zero where the exchange's format says that it cannot be",
            account_sync="negative_qty",
            at_once=True,
        ),
        Row(
            Rule.TIMESTAMP_REGRESSION,
            Severity.WARNING,
            "the snapshot is older than one already accepted, and was refused",
            account_sync="ts_regression",
            at_once=True,
        ),
        Row(
            Rule.UNEXPECTED_ORDER,
            Severity.HIGH,
            "an order on the exchange that the bot does not track",
            account_sync="orphan_order",
            reconcile="ORDER_EXISTS_UNEXPECTED",
            desync="missing_local_order",
            ledger="missing_in_db",
        ),
        Row(
            Rule.MISSING_ORDER,
            Severity.HIGH,
            "the bot tracks an active order that the exchange proves gone",
            account_sync="missing_order",
            reconcile="ORDER_MISSING_ON_EXCHANGE",
            desync="stale_local_order",
            ledger="missing_from_exchange",
        ),
        Row(
            Rule.ORDER_DIVERGENCE,
            Severity.MEDIUM,
            "bot and exchange both know the order, but not its status, quantity, filled quantity or price",
            account_sync="order_divergence",
            reconcile="ORDER_STATUS_DIVERGENCE",
            ledger="mismatch",
        ),
        Row(
            Rule.POSITION_MISMATCH,
            Severity.HIGH,
            "the position's quantity differs beyond the tolerance",
            account_sync="position_mismatch",
            reconcile="POSITION_NONZERO_UNEXPECTED",
            desync="position_mismatch",
            ledger="ghost",
        ),
        Row(
            Rule.BALANCE_MISMATCH,
            Severity.MEDIUM,
            "the wallet balance of an asset differs beyond its tolerance",
            account_sync="balance_mismatch",
            desync="balance_mismatch",
        ),
    )
}

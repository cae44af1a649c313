"""How an order ended, in the words of a finding, and back.

In:  the exchange's answer about an order that the bot tracks and the list lacks. Out: `Finding.observed` of it.

Invariant: `proven_end` gives back what `described_end` was told, so that a track carries the proof with it.
"""

from decimal import Decimal

from accountsync.domain.account import Order, OrderStatus
from accountsync.domain.finding import Finding, plain

UNKNOWN = "unknown to the exchange"


def described_end(answer: Order | None) -> str:
    """What a MissingOrder observed. `answer` None: the exchange knows no such order."""
    if answer is None:
        return UNKNOWN
    return f"{answer.status}, filled {plain(answer.filled)} of {plain(answer.quantity)}"


def proven_end(finding: Finding) -> tuple[OrderStatus, Decimal, Decimal] | None:
    """How the order of a MissingOrder ended: state, filled, quantity; None: the exchange does not know."""
    if finding.observed == UNKNOWN:
        return None
    status, _, amounts = finding.observed.partition(", filled ")
    filled, _, quantity = amounts.partition(" of ")
    return OrderStatus(status), Decimal(filled), Decimal(quantity)

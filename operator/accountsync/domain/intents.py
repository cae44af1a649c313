"""What is sent to an exchange or a bot, and what is known of it: written down before anything leaves.

In:  an intent and what was learned of it. Out: the intent as it is now.

Invariants:
1. An intent is sent at most once: it goes from Planned to Sending, that is written down, and only then it leaves. It
   never goes back.
2. Its client id, its time and how long the exchange may take it are fixed when it becomes Sending: a copy of it that
   was held up is refused by the exchange.
3. Sending and Unknown end only by what the exchange itself says of it: not before the exchange would refuse it.
   What the exchange then does not know never arrived, and is Expired.
4. `TABLE` is the only place that says what may follow what; `turned` is the only function that changes a state.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum


class IntentState(StrEnum):
    """Where an intent stands. All but Planned, Sending and Unknown are final."""

    PLANNED = "Planned"
    SENDING = "Sending"
    DONE = "Done"
    REFUSED = "Refused"
    UNKNOWN = "Unknown"
    EXPIRED = "Expired"


TABLE = {
    IntentState.PLANNED: (IntentState.SENDING, IntentState.EXPIRED),
    IntentState.SENDING: (IntentState.DONE, IntentState.REFUSED, IntentState.UNKNOWN, IntentState.EXPIRED),
    IntentState.UNKNOWN: (IntentState.DONE, IntentState.REFUSED, IntentState.EXPIRED),
    IntentState.DONE: (),
    IntentState.REFUSED: (),
    IntentState.EXPIRED: (),
}
UNSETTLED = frozenset({IntentState.SENDING, IntentState.UNKNOWN})
"""It may have left, and nobody knows what became of it."""
SETTLED = frozenset({IntentState.DONE, IntentState.REFUSED, IntentState.EXPIRED})
"""It is known what became of it."""
MAX_RECV_WINDOW_MS = 5_000
SETTLE_MS = 2_000
"""An exchange may tell of an order so much later than it took it."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One action on its way. Times are Unix ms: `timestamp` by the exchange's clock, `at` by ours.

    `client_id`: of the order that it places; `order_id`: of the order that it placed or cancelled, by the exchange.
    `recv_window`: ms after `timestamp` from which the exchange refuses it. `holder`, `epoch`: who sent it. `filled`:
    base-asset units. `at`: when it last turned.
    """

    state: IntentState = IntentState.PLANNED
    client_id: str = ""
    timestamp: int | None = None
    recv_window: int | None = None
    holder: str = ""
    epoch: int = 0
    order_id: str = ""
    filled: Decimal | None = None
    message: str = ""
    at: int | None = None

    @property
    def settles_at(self) -> int:
        """Exchange ms from which on the exchange's word about it is final."""
        return (self.timestamp or 0) + (self.recv_window or 0) + SETTLE_MS


class IllegalTurn(Exception):  # noqa: N818 - the field's word for it; it is a bug
    """An intent can't go there from where it stands."""


def turned(
    intent: Intent,
    to: IntentState,
    *,
    at: int,
    message: str = "",
    order_id: str = "",
    filled: Decimal | None = None,
) -> Intent:
    """The intent after it turned. Raises IllegalTurn for what `TABLE` does not list."""
    if to not in TABLE[intent.state]:
        raise IllegalTurn(f"{intent.state} does not become {to}")
    return replace(
        intent,
        state=to,
        at=at,
        message=message or intent.message,
        order_id=order_id or intent.order_id,
        filled=intent.filled if filled is None else filled,
    )


def sending(intent: Intent, *, timestamp: int, recv_window: int, holder: str, epoch: int, at: int) -> Intent:
    """The intent as it is written down before it leaves."""
    fixed = turned(intent, IntentState.SENDING, at=at)
    return replace(fixed, timestamp=timestamp, recv_window=recv_window, holder=holder, epoch=epoch)

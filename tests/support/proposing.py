"""Proposals for tests: about what detection finds in two sides, as if it had been confirmed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from tests.support.rows import BTC, NOW, account, belief, fill, order

from accountsync.domain.account import AccountSnapshot, Balance, Fill, Order, Position, PositionSide
from accountsync.domain.confirm import Track, Tracks
from accountsync.domain.detect import Background, detect
from accountsync.domain.expected import ExpectedState
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Answers, Finding
from accountsync.domain.past import Past
from accountsync.domain.plan import Proposal
from accountsync.domain.policy import Mode, Policy, Remedies, UnexpectedOrders, UnexpectedPositions
from accountsync.domain.propose import propose
from accountsync.domain.sharing import ALONE, Sharing

ALL: Final = Remedies(orders=UnexpectedOrders.CANCEL, positions=UnexpectedPositions.FLATTEN)
POLICY: Final = Policy(mode=Mode.ENFORCE, order_id_prefix="bot_", remedies=ALL)
STEPS: Final = {BTC: Decimal("0.01"), "ETH/USDT:USDT": Decimal("0.1")}
NOTHING: Final = belief()
CLEAN: Final = Past()


def own(id_: str = "1", **fields: Any) -> Order:
    """An order of the bot's."""
    return order(id_, **({"client_id": f"bot_{id_}"} | fields))


def leg(quantity: str, side: PositionSide = PositionSide.NET, symbol: str = BTC, **fields: Any) -> Position:
    """A position with a mark of 100."""
    usual: dict[str, Any] = {"mark_price": Decimal(100), "updated": NOW - 60_000}
    return Position(symbol, side, Decimal(quantity), **(usual | fields))


def others(*rows: Order | Position | Balance, **fields: Any) -> AccountSnapshot:
    """`rows` in an account that holds more than them, so that they are not everything."""
    more = (order("900", "SOL/USDT:USDT"), leg("1", symbol="SOL/USDT:USDT"))
    return account(*rows, *more, **({"steps": STEPS} | fields))


def tracked(findings: Iterable[Finding], **fields: Any) -> Tracks:
    """Confirmed a minute after they were first seen, but for `fields`."""
    usual: dict[str, Any] = {
        "first_seen": NOW - 60_000,
        "last_seen": NOW,
        "since": 0.0,
        "changed": NOW - 60_000,
        "count": 2,
        "confirmed": True,
    }
    return {row.key: Track(row, **(usual | fields)) for row in findings}


def known(row: Position, *rows: Fill) -> FillLog:
    """A log that read `rows`, or one fill of all of `row`, and in which all is the bot's own."""
    rows = rows or (fill("1", at=-60_000, bought=str(row.quantity), leg=row.side),)
    made = FillLog(NOW - 90_000).reading(row.symbol, rows, account(), 5_000)
    proven = {(row.symbol, row.side): (row.updated or NOW, row.quantity)}
    return replace(made.without(set(made.pending)), proven=proven)


def proposed(
    snapshot: AccountSnapshot,
    expected: ExpectedState = NOTHING,
    policy: Policy = POLICY,
    *,
    past: Past = CLEAN,
    fills: FillLog | None = None,
    answers: Answers | None = None,
    sharing: Sharing = ALONE,
    acknowledged: Mapping[str, Decimal] | None = None,
    writable: bool = False,
    adopts: bool = False,
    found: Iterable[Finding] | None = None,
    **track: Any,
) -> Proposal:
    """What is proposed about all that differs in BTC and ETH.

    `found`: what stands instead, say of an earlier cycle. `track`: fields of the tracks.
    """
    if found is None:
        found = detect(snapshot, expected, policy, answers, Background(sharing, fills)).findings
    return propose(
        tracked((row for row in found if not row.symbol.startswith("SOL")), **track),
        snapshot,
        expected,
        policy,
        past,
        fills=fills,
        now_ms=NOW,
        writable=writable,
        adopts=adopts,
        acknowledged=acknowledged,
        sharing=sharing,
    )

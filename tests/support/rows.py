"""Rows of both sides, for tests: each is usual but for what the test says of it."""

from decimal import Decimal
from typing import Any, Final

from accountsync.domain.account import AccountSnapshot, Balance, Fill, Order, Position, PositionSide, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.finding import Detection, Finding

BTC: Final = "BTC/USDT:USDT"
ETH: Final = "ETH/USDT:USDT"
NOW: Final = 1_790_000_000_000


def order(id_: str = "1", symbol: str = BTC, **fields: Any) -> Order:
    usual: dict[str, Any] = {
        "client_id": f"c-{id_}",
        "side": Side.BUY,
        "quantity": Decimal(2),
        "filled": Decimal(0),
        "price": Decimal(100),
    }
    return Order(id=id_, symbol=symbol, **(usual | fields))


def believed(row: Order, **fields: Any) -> ExpectedOrder:
    """What a bot believes that knows `row`, but for `fields`."""
    usual: dict[str, Any] = {
        "symbol": row.symbol,
        "id": row.id,
        "client_id": row.client_id,
        "side": row.side,
        "quantity": row.quantity,
        "filled": row.filled,
        "price": row.price,
        "status": row.status,
    }
    return ExpectedOrder(**(usual | fields))


def fill(id_: str = "t1", symbol: str = BTC, *, at: int = 0, bought: str = "1", **fields: Any) -> Fill:
    """`at`: ms after NOW. `bought`: below zero it was sold."""
    quantity = Decimal(bought)
    usual: dict[str, Any] = {
        "order_id": "1",
        "side": Side.BUY if quantity > 0 else Side.SELL,
        "leg": PositionSide.NET,
        "quantity": abs(quantity),
        "price": Decimal(100),
        "time": NOW + at,
    }
    return Fill(id=id_, symbol=symbol, **(usual | fields))


def account(*rows: Order | Position | Balance, timestamp: int = NOW, **fields: Any) -> AccountSnapshot:
    return AccountSnapshot(
        timestamp,
        positions=tuple(row for row in rows if isinstance(row, Position)),
        orders=tuple(row for row in rows if isinstance(row, Order)),
        balances=tuple(row for row in rows if isinstance(row, Balance)),
        **fields,
    )


def belief(*rows: ExpectedOrder | ExpectedPosition | ExpectedBalance, as_of: int = NOW) -> ExpectedState:
    """All three sections are published."""
    return ExpectedState(
        as_of,
        positions=tuple(row for row in rows if isinstance(row, ExpectedPosition)),
        orders=tuple(row for row in rows if isinstance(row, ExpectedOrder)),
        balances=tuple(row for row in rows if isinstance(row, ExpectedBalance)),
    )


def rules(detection: Detection) -> list[Rule]:
    return [finding.rule for finding in detection.findings]


def only(detection: Detection) -> Finding:
    (finding,) = detection.findings
    return finding

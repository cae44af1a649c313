"""Rows of a ledger, for tests: each is usual but for what the test says of it."""

from decimal import Decimal
from typing import Any

from tests.support.rows import BTC, NOW, fill

from accountsync.domain.account import OrderStatus, Side
from accountsync.domain.ledger import Evidence, LedgerOrder, Purpose, Slice, SliceSide

HOUR = 3_600_000
OPENED = NOW - HOUR


def slice_(trade: str = "t1", quantity: str = "1", symbol: str = BTC, **fields: Any) -> Slice:
    """Below zero it is a short one. Its entry was `e-<trade>`, and its sub_tag is `tag-<trade>`."""
    amount = Decimal(quantity)
    usual: dict[str, Any] = {
        "side": SliceSide.LONG if amount > 0 else SliceSide.SHORT,
        "quantity": abs(amount),
        "opened": OPENED,
        "sub_tag": f"tag-{trade}",
        "entry_client_id": f"e-{trade}",
        "entry_price": Decimal(90),
    }
    return Slice(trade_id=trade, symbol=symbol, **(usual | fields))


def proof(id_: str = "f1", sold: str = "1", at: int = 0, **fields: Any) -> Evidence:
    """A fill that sold so much, and `fields` of what is known of it; `at`: ms after NOW. Below zero it bought."""
    of_fill = {name: fields.pop(name) for name in ("symbol", "leg", "price", "order_id") if name in fields}
    return Evidence(fill(id_, at=at, bought=str(-Decimal(sold)), **of_fill), **fields)


def row(key: str = "r1", **fields: Any) -> LedgerOrder:
    """An open exit of trade t1, of 2, with the exchange's id 1."""
    usual: dict[str, Any] = {
        "symbol": BTC,
        "side": Side.SELL,
        "purpose": Purpose.EXIT,
        "quantity": Decimal(2),
        "filled": Decimal(0),
        "status": OrderStatus.OPEN,
        "client_id": "c-1",
        "exchange_id": "1",
        "trade_id": "t1",
        "sub_tag": "tag-t1",
    }
    return LedgerOrder(key=key, **(usual | fields))

"""An account and a belief of it, of any size, in all the forms that are compared."""

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from accountsync.domain.account import AccountSnapshot, Balance, Order, Position, PositionSide, Side
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.finding import Answers, Question, question_about

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
SYMBOLS = {"BTCUSDT": "BTC/USDT:USDT", "ETHUSDT": "ETH/USDT:USDT", "SOLUSDT": "SOL/USDT:USDT"}
NATIVE = {unified: native for native, unified in SYMBOLS.items()}
ONE_IN = 100
"""Of so many orders one differs, unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Book:
    """Both sides. `answers`: what the exchange said of the orders that it no longer lists."""

    snapshot: AccountSnapshot
    belief: ExpectedState
    answers: Answers


def book(orders: int, *, differing: bool, one_in: int = ONE_IN) -> Book:
    """Both sides equal or, of each `one_in` orders, the first: filled in part, unknown to the bot, gone, in turn."""
    unified = tuple(SYMBOLS.values())
    listed: list[Order] = []
    believed: list[ExpectedOrder] = []
    answers: dict[Question, Order | None] = {}
    for number in range(orders):
        order = _order(number, unified[number % len(unified)])
        belief = _tracked(order)
        turn, within = divmod(number, one_in)
        kind = turn % 3 if differing and within == 0 else None
        if kind == 0:
            belief = replace(belief, filled=Decimal("0.001"))
        if kind != 1:
            believed.append(belief)
        if kind != 2:
            listed.append(order)
        else:
            answers[question_about(belief)] = None
    return Book(*_sides(unified, listed, believed), answers)


def _sides(
    symbols: tuple[str, ...], listed: list[Order], believed: list[ExpectedOrder]
) -> tuple[AccountSnapshot, ExpectedState]:
    positions = tuple(
        Position(
            symbol, PositionSide.NET, Decimal("0.5"), "cross", Decimal(60_000), Decimal(61_000), START_MS - HOUR_MS
        )
        for symbol in symbols
    )
    snapshot = AccountSnapshot(START_MS, positions, tuple(listed), (Balance("USDT", Decimal(10_000)),))
    state = ExpectedState(
        as_of=START_MS,
        boot_id="boot",
        positions=tuple(ExpectedPosition(row.symbol, row.side, row.quantity) for row in positions),
        orders=tuple(believed),
        balances=(ExpectedBalance("USDT", Decimal(10_000)),),
    )
    return snapshot, state


def in_native_symbols(belief: ExpectedState) -> ExpectedState:
    """As a bot says it."""
    return replace(
        belief,
        positions=tuple(replace(row, symbol=NATIVE[row.symbol]) for row in belief.positions or ()),
        orders=tuple(replace(row, symbol=NATIVE[row.symbol]) for row in belief.orders or ()),
    )


def document(belief: ExpectedState) -> bytes:
    """`belief` as a bot publishes it."""
    return json.dumps(
        {
            "version": 1,
            "asOf": "2026-11-21T11:00:00.123Z",
            "bootId": belief.boot_id,
            "ready": belief.ready,
            "positions": [
                {"symbol": row.symbol, "side": row.side, "quantity": str(row.quantity)}
                for row in belief.positions or ()
            ],
            "orders": [
                {
                    "id": row.id,
                    "clientId": row.client_id,
                    "symbol": row.symbol,
                    "side": row.side,
                    "quantity": str(row.quantity),
                    "filled": str(row.filled),
                    "price": str(row.price),
                    "status": row.status,
                }
                for row in belief.orders or ()
            ],
            "balances": [{"asset": row.asset, "wallet": str(row.wallet)} for row in belief.balances or ()],
        }
    ).encode()


def as_dicts(rows: tuple[Order, ...] | tuple[ExpectedOrder, ...]) -> list[dict[str, Any]]:
    """What a script would hold: plain dicts, with the numbers already exact."""
    names = ("symbol", "id", "side", "quantity", "filled", "price", "status")
    return [{name: getattr(row, name) for name in names} for row in rows]


def _order(number: int, symbol: str) -> Order:
    return Order(
        id=f"{number:010}",
        client_id=f"grinder_{number:010}",
        symbol=symbol,
        side=Side.SELL if number % 2 else Side.BUY,
        quantity=Decimal("0.010"),
        filled=Decimal(0),
        price=Decimal(50_000 + number % 20_000),
        created=START_MS - HOUR_MS,
        updated=START_MS - HOUR_MS,
    )


def _tracked(order: Order) -> ExpectedOrder:
    return ExpectedOrder(
        symbol=order.symbol,
        id=order.id,
        client_id=order.client_id,
        side=order.side,
        quantity=Decimal(str(order.quantity)),
        filled=Decimal(str(order.filled)),
        price=Decimal(str(order.price)),
        status=order.status,
    )

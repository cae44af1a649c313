"""A ledger with a few rows, and the changes that tests make to it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from tests.support.memory_ledger import Tables
from tests.support.postgres import ROLE, Postgres

from accountsync.bot.http import Secret
from accountsync.bot.ledger.pool import Pools
from accountsync.bot.ledger.postgres import PostgresLedger
from accountsync.domain.account import Fill, OrderStatus, PositionSide, Side
from accountsync.domain.ledger import (
    Attribution,
    Correction,
    Handler,
    LedgerOrder,
    Purpose,
    Slice,
    SliceSide,
    SyntheticExit,
)

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
SPELLED = {"BTCUSDT": BTC, "ETHUSDT": ETH}
PROFILE = "grid"
SOURCE = "ledger of profile grid"
OPENED = 1_700_000_000_000
AT = OPENED + 60_000


def canonical(symbol: str) -> str:
    return SPELLED.get(symbol) or {BTC: BTC, ETH: ETH}[symbol]


def nothing() -> None:
    """A fence that is open."""


LONG = Slice("t1", "BTCUSDT", SliceSide.LONG, Decimal("0.5"), OPENED, "alpha", "c-1", Decimal(60_000))
SHORT = Slice("t2", "ETHUSDT", SliceSide.SHORT, Decimal(3), OPENED, "beta", "c-2", Decimal(4_000))
UNTAGGED = Slice("t3", "BTCUSDT", SliceSide.LONG, Decimal("0.25"), OPENED, entry_price=Decimal(50_000))
ENTRY = LedgerOrder(
    "o1", "BTCUSDT", Side.BUY, Purpose.ENTRY, Decimal(2), Decimal(0), OrderStatus.OPEN, "c-9", "9", "t9", "alpha",
    Decimal(50_000), OPENED,
)  # fmt: skip
EXIT = LedgerOrder(
    "o2", "ETHUSDT", Side.BUY, Purpose.EXIT, Decimal(3), Decimal(0), OrderStatus.OPEN, "c-8", "", "t2", "beta",
    Decimal(3_900), OPENED,
)  # fmt: skip
CLOSED = LedgerOrder(
    "o3", "BTCUSDT", Side.BUY, Purpose.ENTRY, Decimal("0.5"), Decimal("0.5"), OrderStatus.FILLED, "c-1", "1", "t1",
    "alpha", Decimal(60_000), OPENED,
)  # fmt: skip


def tables() -> Tables:
    return Tables(
        slices={row.trade_id: row for row in (LONG, SHORT, UNTAGGED)},
        orders={row.key: row for row in (ENTRY, EXIT, CLOSED)},
        used_fills={("BTCUSDT", "f-0"): "e-0"},
        positions={"BTCUSDT": Decimal("0.75"), "ETHUSDT": Decimal(-3)},
    )


def fill(number: int, symbol: str, side: Side, quantity: str, price: int, order: str = "77") -> Fill:
    return Fill(f"f-{number}", order, symbol, side, PositionSide.NET, Decimal(quantity), Decimal(price), AT + number)


def exit_of(row: Slice, *fills: Fill, event: str = "x-1", price: int = 61_000) -> SyntheticExit:
    return SyntheticExit(event, row, Decimal(price), fills, Attribution.SUB_TAG, AT)


def correction(
    handler: Handler, order: LedgerOrder, filled: str, status: OrderStatus, *fills: Fill, event: str = "k-1"
) -> Correction:
    price = fills[0].price if fills else None
    return Correction(handler, event, order, Decimal(filled), status, price, fills, AT)


def documented_sql(mark: str) -> str:
    """The block of docs/ledger.md that begins with this comment."""
    text = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```sql\n-- {mark}\n(.*?)```", text, re.DOTALL)
    return str(block)


@dataclass
class Desk:
    """A schema of a database with the rows above."""

    postgres: Postgres
    schema: str

    @classmethod
    def opened(cls, postgres: Postgres, *, bare: bool = False, filled: bool = True) -> "Desk":
        desk = cls(postgres, postgres.schema(bare=bare))
        if filled:
            desk.fill(tables())
        return desk

    @classmethod
    def of_views(cls, postgres: Postgres) -> "Desk":
        """The example of the documentation: views of a layout that is the bot's own."""
        desk = cls(postgres, postgres.schema())
        theirs = f"{desk.schema}_theirs"
        desk.run(f"CREATE SCHEMA {theirs}; GRANT USAGE ON SCHEMA {theirs} TO {ROLE}")
        for mark in ("their tables", "their views"):
            text = documented_sql(mark).replace("accountsync_operator", ROLE).replace("public.", f"{theirs}.")
            desk.run(text.replace("accountsync.", f"{desk.schema}."))
        desk.fill(tables())
        return desk

    def run(self, text: str, *values: object) -> list[tuple[object, ...]]:
        """Statements of a superuser, with the schema first in the search path."""
        return self.postgres.run(text, *values, path=self.schema)

    def fill(self, rows: Tables) -> None:
        for each in rows.slices.values():
            self.run(
                "INSERT INTO slices VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'open', to_timestamp(%s), NULL, now())",
                PROFILE, each.trade_id, each.sub_tag or None, each.symbol, each.side.value,
                each.entry_client_id or None, each.quantity, each.entry_price, each.opened // 1000,
            )  # fmt: skip
        for row in rows.orders.values():
            self.run(
                "INSERT INTO orders"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s), now())",
                PROFILE, row.key, row.symbol, row.client_id or None, row.exchange_id or None, row.trade_id or None,
                row.sub_tag or None, row.side.value, row.purpose.value, row.quantity, row.filled, row.price,
                row.status.value, (row.created or 0) // 1000,
            )  # fmt: skip
        for (symbol, fill_id), event in rows.used_fills.items():
            self.run("INSERT INTO used_fills VALUES (%s, %s, %s, %s)", PROFILE, symbol, fill_id, event)
        for symbol, quantity in rows.positions.items():
            self.run("INSERT INTO positions VALUES (%s, %s, 'net', %s, now())", PROFILE, symbol, quantity)
        self.run("INSERT INTO capital_ledger VALUES (%s, 200000, 154500, 0, now())", PROFILE)

    def ledger(
        self,
        pools: Pools,
        *,
        dsn: Callable[[], str] | None = None,
        ca: str = "",
        timeout: float = 10,
        namespace: str = "trading",
        profile: str = PROFILE,
    ) -> PostgresLedger:
        async def secret() -> Secret:
            return {"dsn": dsn() if dsn else self.postgres.dsn(), "ca.crt": ca}

        return PostgresLedger(
            pools,
            secret,
            secret_name="grid-db",
            namespace=namespace,
            profile=profile,
            schema=self.schema,
            source=SOURCE,
            timeout=timeout,
        )

    def stored(self) -> dict[str, list[tuple[object, ...]]]:
        """Everything in it but the times of changes, to be compared."""
        columns = {
            "slices": "trade_id, quantity, entry_price, status, closed_at",
            "orders": "order_key, symbol, filled, status, exchange_order_id",
            "positions": "symbol, side, quantity",
            "trade_history": "event_id, kind, trade_id, quantity, price, synthetic, reason, exchange_order_id",
            "used_fills": "symbol, fill_id, event_id",
            "capital_ledger": "reserved, realised_pnl",
        }
        return {name: self.run(f"SELECT {what} FROM {name} ORDER BY 1, 2") for name, what in columns.items()}

"""A bot with a ledger in PostgreSQL and an account on the exchange, and what may go wrong between the two."""

import json
from decimal import Decimal
from typing import Any

from tests.support.postgres import Postgres
from tests.support.running import Operator, until
from tests.support.stage import Body, Stage

from accountsync.bot.ledger.keys import Lock, lock_key
from accountsync.simulator import ApiKey, Simulator
from accountsync.simulator.thread import SimulatorThread

PARITY = {"confirmations": 3, "fillGrace": "1m"}


class LedgerDesk:
    """One account, which holds 1 ETH and, as trade T1, 0.5 BTC, bought at 60000; its ledger knows both.

    Its profile is its name; a schema may hold several.
    """

    def __init__(self, stage: Stage, exchange: SimulatorThread, postgres: Postgres, schema: str, name: str) -> None:
        self.stage, self.exchange, self.postgres = stage, exchange, postgres
        self.schema, self.name = schema, name
        self.full = f"{stage.namespace}-{name}"

    def open(self, *, mode: str = "Pause", tag: str | None = "grid", **spec: Any) -> None:
        """Create everything. `tag`: the sub_tag of T1; `spec`: fields besides the usual ones."""

        def create(sim: Simulator) -> ApiKey:
            account = sim.world.create_account(self.full, wallet={"USDT": Decimal(100_000)})
            sim.world.set_position(account, "ETHUSDT", Decimal(1))
            sim.world.set_position(account, "BTCUSDT", Decimal("0.5"), entry_price=Decimal(60_000))
            return sim.world.create_key(account, permissions=("read",))

        key = self.exchange.call(create)
        self.write("INSERT INTO {s}.capital_ledger (profile, allocated, reserved) VALUES (%s, 100000, 32500)")
        for trade, symbol, quantity, price, sub_tag in (
            ("KEPT", "ETHUSDT", "1", 2_500, "grid"),
            ("T1", "BTCUSDT", "0.5", 60_000, tag),
        ):
            self.write(
                "INSERT INTO {s}.slices (profile, trade_id, sub_tag, symbol, side, entry_client_order_id, quantity,"
                " entry_price, opened_at) VALUES (%s, %s, %s, %s, 'long', %s, %s, %s, now() - interval '1 minute')",
                trade, sub_tag, symbol, f"grinder_{trade}", quantity, price,
            )  # fmt: skip
        self.stage.secret(f"{self.name}-read", {"apiKey": key.api_key, "secret": key.secret})
        self.stage.secret(f"{self.name}-ledger", {"dsn": self.postgres.dsn()}, "bot")
        parity = {**PARITY, **spec.pop("parity", {})}
        source = {"secretRef": {"name": f"{self.name}-ledger"}, "profile": self.name, "schema": self.schema}
        self.stage.account(
            self.name,
            state={},
            mode=mode,
            **{"bot": {"state": {"postgres": {**source, "parity": parity}}, "orderIdPrefix": "grinder_"}, **spec},
        )

    def miss_a_fill(self, *, tracked: bool) -> None:
        """T1 is sold on the exchange; `tracked`: by an order that the ledger has a row of. The ledger hears nothing."""

        def sell(sim: Simulator) -> int:
            account = sim.world.account(self.full)
            order = sim.world.place_order(
                account,
                symbol="BTCUSDT",
                side="SELL",
                quantity=Decimal("0.5"),
                price=Decimal(61_000),
                client_order_id="grinder_T1-exit",
            )
            return order.order_id

        order_id = self.exchange.call(sell)
        if tracked:
            self.write(
                "INSERT INTO {s}.orders (profile, order_key, symbol, client_order_id, exchange_order_id, trade_id,"
                " sub_tag, side, purpose, quantity, price) VALUES (%s, 'K1', 'BTCUSDT', 'grinder_T1-exit', %s, 'T1',"
                " 'grid', 'sell', 'exit', 0.5, 61000)",
                str(order_id),
            )
        self.exchange.call(
            lambda sim: sim.world.fill(
                next(o for o in sim.world.account(self.full).open_orders.values() if o.order_id == order_id)
            )
        )

    # --- what is there -----------------------------------------------------------------------------------------------

    def write(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """A statement about this profile; `{s}` stands for the schema, and the profile is the first value."""
        return [tuple(row) for row in self.postgres.run(text.replace("{s}", self.schema), self.name, *values)]

    read = write

    @property
    def slice(self) -> tuple[Any, ...]:
        """Status and open quantity of T1."""
        (row,) = self.read("SELECT status, quantity FROM {s}.slices WHERE profile = %s AND trade_id = 'T1'")
        return row

    @property
    def history(self) -> list[tuple[Any, ...]]:
        """Kind, trade, quantity and whether it is synthetic, of each event."""
        return self.read(
            "SELECT kind, trade_id, quantity, synthetic FROM {s}.trade_history WHERE profile = %s ORDER BY at"
        )

    @property
    def capital(self) -> tuple[Any, ...]:
        """Reserved, and realised profit."""
        (row,) = self.read("SELECT reserved, realised_pnl FROM {s}.capital_ledger WHERE profile = %s")
        return row

    def health(self, operator: Operator) -> Body:
        accounts: dict[str, Body] = json.loads(operator.get("/internal/health"))["accounts"]
        return accounts.get(f"{self.stage.namespace}/{self.name}", {})

    def gauge(self, operator: Operator, name: str) -> float | None:
        return operator.metrics().get(f'{name}{{account="{self.name}",namespace="{self.stage.namespace}"}}')

    def await_health(self, operator: Operator, what: str, **fields: object) -> Body:
        """Until these fields of its health, without their common prefix, have these values."""

        def fits() -> Body | None:
            told = self.health(operator)
            return told if all(told.get(f"reconciliation{name}") == value for name, value in fields.items()) else None

        try:
            return until(fits, what, 30)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.health(operator)} {self.stage.status(self.name)}") from None

    def lock_key(self) -> int:
        """What a reconciliation of this profile locks."""
        return lock_key(Lock.RUN, self.schema, self.name)

"""An account on the exchange that the operator may act on, with the bot that lost something of it."""

import time
from decimal import Decimal
from typing import Any

from tests.support.running import until
from tests.support.stage import Body, HttpBot, Stage, belief

from accountsync.simulator import ApiKey, Simulator
from accountsync.simulator.journal import RequestRecord
from accountsync.simulator.thread import SimulatorThread

LIMITS = {"notionalPerAction": "100000", "notionalPerHour": "500000"}
ENFORCE = {"mode": "Enforce", "unexpectedOrders": "Cancel", "unexpectedPositions": "Flatten", "limits": LIMITS}


class Desk:
    """An account on the exchange whose bot tracks one order of ETH, with a key to read and one to trade."""

    def __init__(self, stage: Stage, exchange: SimulatorThread, bot: HttpBot, name: str) -> None:
        self.stage, self.exchange, self.bot, self.name = stage, exchange, bot, name
        self.full = f"{stage.namespace}-{name}"
        self.tracked = self.place("grinder_tracked", "ETHUSDT", "1", "2500", create=True)
        self.positions: list[tuple[str, str]] = []

        def keys(sim: Simulator) -> tuple[ApiKey, ApiKey]:
            account = sim.world.account(self.full)
            read = sim.world.create_key(account, permissions=("read",))
            return read, sim.world.create_key(account, permissions=("read", "trade"))

        read, trade = exchange.call(keys)
        stage.secret(f"{name}-read", {"apiKey": read.api_key, "secret": read.secret})
        stage.secret(f"{name}-trade", {"apiKey": trade.api_key, "secret": trade.secret}, "exchange-trade")
        bot.beliefs[f"/{self.full}"] = self.belief

    def belief(self) -> Body:
        order = {"symbol": "ETHUSDT", "id": str(self.tracked), "side": "buy", "quantity": "1", "price": "2500"}
        return belief(positions=self.positions, orders=[order])

    def open(self, *, repair: bool = False, **remediation: Any) -> None:
        """Create it, and wait until it was found in order."""
        self.create(repair=repair, **remediation)
        self.stage.await_status(self.name, lambda s: s.get("sync") == "InSync" and not s["paused"], "a clean start")

    def create(self, *, repair: bool = False, spec: Body | None = None, **remediation: Any) -> None:
        """The TradingAccount; `spec` replaces some of its fields."""
        http = {"url": f"{self.bot.url}/{self.full}", **({"repairPath": f"/repair/{self.full}"} if repair else {})}
        name = self.name
        keys = {role: {"secretRef": {"name": f"{name}-{role}"}} for role in ("read", "trade")}
        self.stage.account(
            name,
            state={"http": http},
            credentials=keys,
            bot={"state": {"http": http}, "orderIdPrefix": "grinder_"},
            remediation={**ENFORCE, **remediation},
            **(spec or {}),
        )

    def place(self, client_id: str, symbol: str, quantity: str, price: str, *, create: bool = False) -> int:
        def placed(sim: Simulator) -> int:
            if create:
                account = sim.world.create_account(self.full, wallet={"USDT": Decimal(100_000)})
            else:
                account = sim.world.account(self.full)
            order = sim.world.place_order(
                account,
                symbol=symbol,
                side="BUY",
                quantity=Decimal(quantity),
                price=Decimal(price),
                client_order_id=client_id,
            )
            return int(order.order_id)

        return self.exchange.call(placed)

    def hold(self, symbol: str, amount: str) -> None:
        """A position appears that the bot knows nothing of."""
        self.exchange.call(lambda sim: sim.world.set_position(sim.world.account(self.full), symbol, Decimal(amount)))

    def effects(self) -> list[RequestRecord]:
        """The requests by API that changed something."""
        return self.exchange.call(lambda sim: [row for row in sim.requests if row.account == self.full and row.effect])

    def open_orders(self) -> list[int]:
        return self.exchange.call(
            lambda sim: [order.order_id for order in sim.world.account(self.full).open_orders.values()]
        )

    def another_cycle(self) -> None:
        self.asked = f"again-{time.monotonic_ns()}"
        self.stage.annotate(self.name, "requestedAt", self.asked)
        self.stage.await_status(self.name, lambda s: s.get("lastHandledReconcileAt") == self.asked, "one more cycle")

    def plan(self, phase: str, timeout: float = 40) -> Body:
        def found() -> Body | None:
            plans = [plan for plan in self.stage.plans if plan["spec"]["account"]["name"] == self.name]
            return next((plan for plan in plans if plan.get("status", {}).get("phase") == phase), None)

        try:
            return until(found, f"plan in phase {phase}", timeout)
        except TimeoutError as error:
            plans = [(each["metadata"]["name"], each.get("status")) for each in self.stage.plans]
            raise AssertionError(f"{error}: {plans} {self.stage.status(self.name)}") from None

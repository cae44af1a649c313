"""What is wrong on an account, how it is put right, and what must never come of it, whoever is killed on the way."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import ClassVar

from tests.support.stage import Body, HttpBot, Stage, belief

from accountsync.simulator import ApiKey, Fault, Simulator
from accountsync.simulator.journal import RequestRecord
from accountsync.simulator.thread import SimulatorThread

LIMITS = {"actionsPerHour": 20, "notionalPerAction": "100000", "notionalPerHour": "500000"}
LATE = -1021
"""The exchange's code for a request that comes after its time."""
BTC, ETH = "BTCUSDT", "ETHUSDT"


class Scene(ABC):
    """An account whose bot holds 1 ETH and tracks an order, so that nothing that is done is all there is."""

    name: str
    remediation: ClassVar[Body]
    repair = False
    since = ""
    """The call from which on it is another way than that of the other scenes."""

    def __init__(self, stage: Stage, exchange: SimulatorThread, bot: HttpBot) -> None:
        self.stage, self._exchange, self._bot = stage, exchange, bot
        self.full = f"{stage.namespace}-bot"

    def open(self) -> None:
        """The account, in order, and the TradingAccount `bot`."""

        def create(sim: Simulator) -> tuple[ApiKey, ApiKey]:
            account = sim.world.create_account(self.full, wallet={"USDT": Decimal(100_000)})
            sim.world.set_position(account, ETH, Decimal(1))
            self.tracked = self._order(sim, "grinder_tracked", ETH, "1", "2500")
            read = sim.world.create_key(account, permissions=("read",))
            return read, sim.world.create_key(account, permissions=("read", "trade"))

        for role, key in zip(("read", "trade"), self._exchange.call(create), strict=True):
            self.stage.secret(f"bot-{role}", {"apiKey": key.api_key, "secret": key.secret}, f"exchange-{role}")
        self._bot.beliefs[f"/{self.full}"] = self._belief
        http = {"url": f"{self._bot.url}/{self.full}"}
        if self.repair:
            http["repairPath"] = f"/repair/{self.full}"
        self.stage.account(
            "bot",
            state={"http": http},
            credentials={role: {"secretRef": {"name": f"bot-{role}"}} for role in ("read", "trade")},
            bot={"state": {"http": http}, "orderIdPrefix": "grinder_"},
            tolerances={"orderGrace": "0s"},
            remediation={"limits": LIMITS, **self.remediation},
        )

    def _belief(self) -> Body:
        order = {"symbol": ETH, "id": str(self.tracked), "side": "buy", "quantity": "1", "price": "2500"}
        return belief(positions=[(ETH, "1")], orders=[order])

    def _order(self, sim: Simulator, client_id: str, symbol: str, quantity: str, price: str) -> int:
        order = sim.world.place_order(
            sim.world.account(self.full),
            symbol=symbol,
            side="BUY",
            quantity=Decimal(quantity),
            price=Decimal(price),
            client_order_id=client_id,
        )
        return order.order_id

    def drift(self) -> None:
        """Let it go wrong."""
        self._exchange.call(self._drift)

    @abstractmethod
    def _drift(self, sim: Simulator) -> None: ...

    def healed(self) -> bool:
        """Whether it is as it should be again."""
        return self._exchange.call(self._healed)

    @abstractmethod
    def _healed(self, sim: Simulator) -> bool: ...

    def writes(self) -> list[RequestRecord]:
        """Every request that could change the account, oldest first."""
        return self._exchange.call(lambda sim: sim.requests.select(account=self.full, write=True))

    def placed(self) -> list[RequestRecord]:
        """Those that placed an order."""
        return [record for record in self.writes() if record.effect and record.method == "POST"]

    def late(self) -> int:
        """How many came after their time and were refused for it."""
        return sum(record.code == LATE for record in self.writes())

    def violations(self, plans: list[Body]) -> Iterator[str]:
        """What must not be. `plans`: the stored ones."""
        if not self.healed():
            yield "forgotten: it was never put right"
        for plan in plans:
            states = {intent["state"] for intent in plan.get("status", {}).get("intents", ())}
            if states & {"Sending", "Unknown"}:
                yield f"plan {plan['metadata']['name']} ended without knowing what became of it"
        for what, count in Counter(_named(record) for record in self.writes() if record.effect).items():
            if count > 1:
                yield f"{what} took effect {count} times"
        for record in self.writes():
            if not record.effect and record.code != LATE and not record.faults:
                yield f"{_named(record)} was sent in vain: HTTP {record.status}, code {record.code}"
        known = _done(plans)
        for record in self.writes():
            if record.effect and _about(record) not in known:
                yield f"{_named(record)} took effect, and no plan knows of it"
        yield from _unasked(plans)
        yield from self._exchange.call(self._wrong)

    def _wrong(self, sim: Simulator) -> list[str]:
        """What is not as it should be on the exchange."""
        account = sim.world.account(self.full)
        found = [] if any(ref[1] == self.tracked for ref in account.open_orders) else ["the tracked order is gone"]
        if account.position(ETH).amount != 1:
            found.append(f"the position in ETH is {account.position(ETH).amount}")
        return found


class LostOrder(Scene):
    """The bot lost an order of its own: it is cancelled."""

    name = "cancel"
    remediation: ClassVar[Body] = {"mode": "Enforce", "unexpectedOrders": "Cancel"}

    def _drift(self, sim: Simulator) -> None:
        self._lost = self._order(sim, "grinder_lost", BTC, "0.1", "50000")

    def _healed(self, sim: Simulator) -> bool:
        return all(ref[1] != self._lost for ref in sim.world.account(self.full).open_orders)

    def _wrong(self, sim: Simulator) -> list[str]:
        return [*super()._wrong(sim), *(["an order was placed"] if self.placed_any(sim) else [])]

    def placed_any(self, sim: Simulator) -> bool:
        return bool(sim.requests.select(account=self.full, method="POST", effect=True))


class Position(Scene):
    """The bot lost a position of its own and the stop that guards it: one is closed, then the other cancelled."""

    name = "flatten, and its stop"
    remediation: ClassVar[Body] = {"mode": "Enforce", "unexpectedPositions": "Flatten"}
    size = Decimal("0.1")

    def _drift(self, sim: Simulator) -> None:
        account = sim.world.account(self.full)
        sim.world.execute(account, symbol=BTC, side="BUY", quantity=self.size, client_order_id="grinder_in")
        sim.world.algos.place(
            account,
            symbol=BTC,
            side="SELL",
            order_type="STOP_MARKET",
            trigger_price=Decimal(40_000),
            quantity=self.size,
            reduce_only=True,
            client_algo_id="grinder_stop",
        )

    def _healed(self, sim: Simulator) -> bool:
        account = sim.world.account(self.full)
        return not account.position(BTC).amount and not sim.world.algos.open_of(account)

    def _wrong(self, sim: Simulator) -> list[str]:
        account = sim.world.account(self.full)
        ours = [order for order in account.orders.values() if order.client_order_id.startswith("acsync-")]
        closed = sum((order.executed_qty for order in ours), Decimal(0))
        found = super()._wrong(sim)
        if closed != self.size:
            found.append(f"{closed} of {self.size} were closed, by {len(ours)} orders")
        return found


class LostAnswer(Position):
    """The same without a stop; the exchange takes the order, and its answer is lost: it has to be asked for."""

    name = "flatten, answer lost"
    since = "Trading.place"

    def _drift(self, sim: Simulator) -> None:
        account = sim.world.account(self.full)
        sim.faults.add(Fault.reset(account=self.full, method="POST", path="/fapi/v1/order", times=1))
        sim.world.execute(account, symbol=BTC, side="BUY", quantity=self.size, client_order_id="grinder_in")


class WrongBelief(Scene):
    """The bot does not know of a position, and nobody wants it closed: the bot is told."""

    name = "repair"
    remediation: ClassVar[Body] = {"mode": "Pause", "repairBotState": True}
    repair = True

    def _drift(self, sim: Simulator) -> None:
        sim.world.set_position(sim.world.account(self.full), BTC, Decimal("0.5"))

    def healed(self) -> bool:
        believed = self._bot.beliefs[f"/{self.full}"]()
        return any(row["symbol"].startswith("BTC") and row["quantity"] == "0.5" for row in believed["positions"])

    def _healed(self, sim: Simulator) -> bool:
        raise NotImplementedError

    def violations(self, plans: list[Body]) -> Iterator[str]:
        yield from super().violations(plans)
        ids = {intent.get("clientOrderId") for plan in plans for intent in plan.get("status", {}).get("intents", ())}
        told = len(ids & self._bot.told.keys())
        if told != 1:
            yield f"the bot was told {told} times"
        if self.writes():
            yield "something was written to the exchange"


SCENES: tuple[type[Scene], ...] = (LostOrder, Position, LostAnswer, WrongBelief)


def _named(record: RequestRecord) -> str:
    return f"{record.method} {record.path} {_about(record)}"


def _about(record: RequestRecord) -> str:
    """The name of the order that is placed, or the id of that which is cancelled."""
    return record.client_id or record.params.get("orderId") or record.params.get("algoId") or ""


def _done(plans: list[Body]) -> set[str]:
    """The same, of everything that the plans say was done."""
    found: set[str] = set()
    for plan in plans:
        for action, intent in zip(plan["spec"]["actions"], plan.get("status", {}).get("intents", ()), strict=False):
            if intent["state"] == "Done":
                found |= {intent.get("clientOrderId", ""), action.get("orderId", "")}
    return found - {""}


def asked(plan: Body) -> str:
    """Why a person has to agree to it; empty: nobody has to."""
    return str(plan["spec"].get("approval", ""))


def _unasked(plans: list[Body]) -> Iterator[str]:
    """Whoever repeats on the exchange what may have been sent has to ask first."""
    tried: set[str] = set()
    for plan in sorted(plans, key=lambda plan: plan["metadata"]["creationTimestamp"]):
        intents = plan.get("status", {}).get("intents", ())
        for action, intent in zip(plan["spec"]["actions"], intents, strict=False):
            if action["type"] == "Repair" or not intent.get("timestamp"):
                continue
            what = f"{action['type']} {action['symbol']} {action.get('orderId', '')}"
            if what in tried and not asked(plan):
                yield f"{what} was tried again without asking"
            if intent["state"] in ("Expired", "Refused"):
                tried.add(what)

"""Each fault of the exchange, one by one: no drift is invented, and none that stands is forgotten."""

import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest
from tests.support.running import Operator, until
from tests.support.stage import Body, HttpBot, Stage, belief, open_account

from accountsync.simulator import Fault, Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

# The rule that a fault is itself: corrupt data is what DuplicateKey and NegativeQuantity are for, and an answer from
# the past is a TimestampRegression. It must raise that one, and nothing else.
FAULTS: dict[str, tuple[Callable[[str], list[Fault]], str]] = {
    "latency beyond the deadline": (lambda key: [Fault.latency(3, key=key)], ""),
    "HTTP 500": (lambda key: [Fault.http_error(500, key=key)], ""),
    "HTTP 503 on open orders": (lambda key: [Fault.http_error(503, path="/fapi/v1/openOrders", key=key)], ""),
    "HTTP 504 on positions": (lambda key: [Fault.http_error(504, path="*/positionRisk", key=key)], ""),
    "HTTP 502 on the account": (lambda key: [Fault.http_error(502, path="*/account", key=key)], ""),
    "HTTP 503 on an order": (lambda key: [Fault.http_error(503, path="/fapi/v1/order", key=key)], ""),
    "maintenance": (lambda key: [Fault.maintenance(key=key)], ""),
    "overloaded": (lambda key: [Fault.overloaded(key=key)], ""),
    "hang": (lambda key: [Fault.hang(key=key)], ""),
    "reset": (lambda key: [Fault.reset(key=key)], ""),
    "reset midway": (lambda key: [Fault.reset(midway=True, key=key)], ""),
    "truncated JSON": (lambda key: [Fault.truncated(key=key)], ""),
    "truncated open orders": (lambda key: [Fault.truncated(path="/fapi/v1/openOrders", key=key)], ""),
    "unparsable quantity of an order": (
        lambda key: [Fault.unparsable_quantity(path="/fapi/v1/openOrders", key=key)],
        "",
    ),
    "unparsable quantity of a position": (lambda key: [Fault.unparsable_quantity(path="*/positionRisk", key=key)], ""),
    "stale open orders": (lambda key: [Fault.stale(3600, path="/fapi/v1/openOrders", key=key)], ""),
    "stale positions": (lambda key: [Fault.stale(3600, path="*/positionRisk", key=key)], ""),
    "stale account": (lambda key: [Fault.stale(3600, path="*/account", key=key)], ""),
    "negative quantity of an order": (
        lambda key: [Fault.negative_quantity(path="/fapi/v1/openOrders", key=key)],
        "NegativeQuantity",
    ),
    "duplicated orders": (lambda key: [Fault.duplicated(path="/fapi/v1/openOrders", key=key)], "DuplicateKey"),
    "duplicated positions": (lambda key: [Fault.duplicated(path="*/positionRisk", key=key)], "DuplicateKey"),
}


class Account:
    """One account for one fault: the bot follows the exchange but for one order that it does not track."""

    def __init__(self, stage: Stage, exchange: SimulatorThread, bot: HttpBot, name: str) -> None:
        self.stage, self.exchange, self.bot, self.name = stage, exchange, bot, name
        self.full = open_account(stage, exchange, bot, name)
        self.truth = {"position": Decimal("0.5"), "price": Decimal(50_000)}
        self.fingerprint = exchange.call(self._open)
        bot.beliefs[f"/{self.full}"] = self._belief

    def _open(self, sim: Simulator) -> str:
        account = sim.world.account(self.full)
        for client_id, price in (("grinder_1", 50_000), ("web_1", 49_000)):
            sim.world.place_order(
                account,
                symbol="BTCUSDT",
                side="BUY",
                price=Decimal(price),
                quantity=Decimal("0.1"),
                client_order_id=client_id,
            )
        return next(key.fingerprint for key in sim.world.keys.values() if key.account == self.full)

    def _belief(self) -> Body:
        own = {"clientId": "grinder_1", "symbol": "BTCUSDT", "quantity": "0.1", "price": "50000", "filled": "0"}
        position = [("BTCUSDT", str(self.truth["position"]))]
        return belief(positions=position, orders=[own] if self.truth["price"] else [])

    def trade(self, sim: Simulator) -> None:
        """The bot's order fills: what was true before is now stale, and the bot knows the new truth at once."""
        account = sim.world.account(self.full)
        order = next(o for o in account.open_orders.values() if o.client_order_id == "grinder_1")
        sim.world.fill(order)
        self.truth = {"position": Decimal("0.6"), "price": Decimal(0)}

    def has_run(self, operator: Operator, cycles: float) -> bool:
        return self.cycles(operator) >= cycles

    def cycles(self, operator: Operator) -> float:
        name = f'grinder_reconcile_runs_total{{account="{self.name}",namespace="{self.stage.namespace}"}}'
        return operator.metrics()[name]


def add(sim: Simulator, fault: Fault) -> None:
    sim.faults.add(fault)


def rules(status: Body) -> set[str]:
    return {finding["rule"] for finding in status.get("findings", {}).get("items", ())}


def test_a_fault_neither_invents_drift_nor_forgets_any(
    operator: Operator, exchange: SimulatorThread, bot: HttpBot, stage: Stage
) -> None:
    accounts = {title: Account(stage, exchange, bot, f"f{number}") for number, title in enumerate(FAULTS)}
    for account in accounts.values():
        stage.await_status(account.name, lambda s: rules(s) == {"UnexpectedOrder"}, "the one true finding", 60)

    for title, account in accounts.items():
        for fault in FAULTS[title][0](account.fingerprint):
            exchange.call(partial(add, fault=fault))
    time.sleep(2)  # a cycle of every account under its fault, before the truth moves on
    for account in accounts.values():
        exchange.call(account.trade)
    began = {title: account.cycles(operator) for title, account in accounts.items()}
    for title, account in accounts.items():
        until(partial(account.has_run, operator, began[title] + 5), f"cycles: {title}", 60)

    wrong = {}
    for title, account in accounts.items():
        found, allowed = rules(stage.status(account.name)), {FAULTS[title][1]} - {""}
        if found != {"UnexpectedOrder"} | allowed:
            wrong[title] = found, [f["message"] for f in stage.status(account.name)["findings"]["items"]]
    assert not wrong

    exchange.call(lambda sim: sim.faults.clear())
    for title, account in accounts.items():
        healed = stage.await_status(
            account.name,
            lambda s: s.get("sync") == "OutOfSync" and rules(s) == {"UnexpectedOrder"},
            f"healed: {title}",
            60,
        )
        assert healed["paused"] == bool(FAULTS[title][1]), title  # corrupt data is critical: a person must look

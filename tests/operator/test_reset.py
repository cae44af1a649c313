"""A full reset, from the command line to the exchange and back, whoever is killed on the way."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.cli.conftest import Person
from tests.support.controlplane import ControlPlane
from tests.support.desk import Desk
from tests.support.running import Operator, Program, accountsync, until
from tests.support.stage import Body, HttpBot, Stage, belief, find_condition

from accountsync.cli import doing, resetting
from accountsync.simulator import Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster

RESET = "accountsync.dev/reset"
QUICK = {"ACCOUNTSYNC_LEASE_DURATION": "3s"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command looks more often than it would for a person."""
    for module in (doing, resetting):
        monkeypatch.setattr(module, "LOOK_EVERY", 0.1)


@pytest.fixture(scope="module")
def operator(kubeconfig: Path) -> Iterator[Operator]:
    """One whose Lease runs out soon after it was killed."""
    with Operator(kubeconfig, env=QUICK) as running:
        yield running


class Grid(Desk):
    """A bot with an entry, a stop and two positions, all of which it knows; and an order of somebody else."""

    def __init__(self, stage: Stage, exchange: SimulatorThread, bot: HttpBot, name: str) -> None:
        super().__init__(stage, exchange, bot, name)
        self.foreign = self.place("web_1", "ETHUSDT", "1", "2400")
        self.stop = exchange.call(self._place_stop)
        self.positions = [("BTCUSDT", "0.5"), ("ETHUSDT", "-2")]
        for symbol, quantity in self.positions:
            self.hold(symbol, quantity)

    def _place_stop(self, sim: Simulator) -> int:
        account = sim.world.account(self.full)
        stop = sim.world.algos.place(
            account,
            symbol="BTCUSDT",
            side="SELL",
            order_type="STOP_MARKET",
            trigger_price=Decimal(40_000),
            quantity=Decimal("0.5"),
            reduce_only=True,
            client_algo_id="grinder_stop",
        )
        return int(stop.algo_id)

    def belief(self) -> Body:
        stop = {"symbol": "BTCUSDT", "id": str(self.stop), "side": "sell", "quantity": "0.5"}
        entry = {"symbol": "ETHUSDT", "id": str(self.tracked), "side": "buy", "quantity": "1", "price": "2500"}
        return belief(positions=self.positions, orders=[entry, stop])

    def begin(self) -> None:
        self.create(repair=True, unexpectedOrders="Never", unexpectedPositions="Never")
        self.stage.patch(self.name, {"spec": {"bot": {"staleAfter": "1s"}}})
        self.stage.await_status(
            self.name, lambda s: s.get("sync") == "OutOfSync" and not s["paused"], "a bot that runs"
        )

    def require_flat(self) -> None:
        """Only the order of somebody else is left, and nothing was asked of the exchange twice."""
        assert self.open_orders() == [self.foreign]
        left = self.exchange.call(lambda sim: sim.world.algos.open_of(sim.world.account(self.full)))
        assert left == []
        held = self.exchange.call(lambda sim: [row.amount for row in sim.world.account(self.full).positions.values()])
        assert not any(held)
        asked = [(row.method, row.path, row.params.get("symbol")) for row in self.effects()]
        assert Counter(asked) == Counter(
            [
                ("DELETE", "/fapi/v1/order", "ETHUSDT"),
                ("DELETE", "/fapi/v1/algoOrder", asked[-1][2] if asked[-1][1].endswith("algoOrder") else None),
                ("POST", "/fapi/v1/order", "BTCUSDT"),
                ("POST", "/fapi/v1/order", "ETHUSDT"),
            ]
        )


def test_whoever_is_killed_on_the_way_it_cancels_closes_and_clears_once_and_lets_the_bot_go(
    stage: Stage,
    exchange: SimulatorThread,
    bot: HttpBot,
    operator: Operator,
    cluster: ControlPlane,
    kubeconfig: Path,
) -> None:
    grid = Grid(stage, exchange, bot, "grid")
    grid.begin()
    admin, where = Person(cluster.kubeconfig), ("grid", "-n", stage.namespace)
    shown = admin.types("reset", *where, "--dry-run")
    assert shown.exit_code == 0
    assert "2 positions, 3 open orders" in shown.stdout
    assert not stage.get("grid")["spec"].get("paused")
    with Program(accountsync("reset", *where, "--yes"), {"KUBECONFIG": str(cluster.kubeconfig)}) as reset:
        until(lambda: "3/6 cancel" in reset.output, "a plan that is shown")
        reset.kill()
    (plan,) = stage.plans
    if not plan["spec"]["approved"]:
        stage.approve(plan)
    asked = stage.get("grid")["metadata"]["annotations"][RESET]
    until(lambda: stage.plans[-1]["status"]["phase"] != "Pending", "a plan under way")
    operator.kill()
    shown = admin.types("reset", *where, "--dry-run")
    assert f"reset {asked} is under way: " in shown.stdout
    assert "3. Cancel BTC/USDT:USDT conditional order" in shown.stdout
    with Operator(kubeconfig, env=QUICK):
        for _ in range(2):
            done = admin.types("reset", *where, "--yes", "--resume", "--wait", "60")
            assert f"goes on with reset {asked}" in done.stdout
            if done.exit_code == 0:
                break  # what was about to be sent as the operator was killed takes another reset
        assert done.exit_code == 0, done.output
        for words in ("the bot believes so", "left alone", "the bot runs"):
            assert words in done.stdout
        grid.require_flat()
        account = stage.get("grid")
        assert not account["spec"]["paused"]
        assert RESET not in account["metadata"].get("annotations", {})
        assert {plan["status"]["phase"] for plan in stage.plans if plan["spec"].get("approval")} <= {"Done", "Refused"}
        stage.await_status("grid", lambda s: not find_condition(s, "Reset"), "an end of the condition")

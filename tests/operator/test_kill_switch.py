"""The kill switch and the resume, typed by a person with the right to edit accounts, against a running operator."""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from tests.cli.conftest import Person
from tests.support.running import Operator, until
from tests.support.stage import HttpBot, Stage, open_account

from accountsync.simulator import Simulator
from accountsync.simulator.thread import SimulatorThread

pytestmark = pytest.mark.cluster


@pytest.fixture
def running(kubeconfig: Path, stage: Stage) -> Iterator[None]:
    """An operator for this test's namespace, so that the others have none."""
    with Operator(kubeconfig, f"--namespace={stage.namespace}"):
        yield


@pytest.fixture
def trader(stage: Stage) -> Person:
    """May get, list and patch tradingaccounts and let bots trade again, and has no right to their status."""
    where, plane = f"--namespace={stage.namespace}", stage.plane
    plane.kubectl("create", "serviceaccount", "trader", where)
    plane.kubectl("create", "role", "trader", where, "--verb=get,list,patch,resume", "--resource=tradingaccounts")
    subject = f"--serviceaccount={stage.namespace}:trader"
    plane.kubectl("create", "rolebinding", "trader", where, "--role=trader", subject)
    kubeconfig = plane.kubeconfig_for_service_account(stage.namespace, "trader")
    asked = ("auth", "can-i", "patch", "tradingaccounts", where)
    until(lambda: plane.kubectl(*asked, check=False, kubeconfig=kubeconfig).strip() == "yes", "new right")
    status = ("auth", "can-i", "patch", "tradingaccounts", "--subresource=status", where)
    assert plane.kubectl(*status, check=False, kubeconfig=kubeconfig).strip() == "no"
    return Person(kubeconfig, "trader")


def move(sim: Simulator, account: str, symbol: str, amount: str) -> None:
    sim.world.set_position(sim.world.account(account), symbol, Decimal(amount), entry_price=Decimal(3_000))


@pytest.mark.usefixtures("running")
def test_pause_resume_and_reconcile_as_a_person_types_them(
    exchange: SimulatorThread, bot: HttpBot, stage: Stage, trader: Person
) -> None:
    open_account(stage, exchange, bot, "one")
    stage.await_status("one", lambda s: s.get("sync") == "InSync" and not s["paused"], "clean account")

    paused = trader.types("pause", "one", "--reason", "incident 42", "--wait")
    assert paused.exit_code == 0, paused.output
    assert "the operator holds it too" in paused.stdout
    status = stage.status("one")
    assert (status["pausedBy"], status["holds"][0]["message"]) == ("User", "incident 42")

    done = trader.types("reconcile", "one", "--wait")
    assert done.exit_code == 0, done.output
    assert "InSync, 0 findings" in done.stdout

    resumed = trader.types("resume", "one", "--wait")
    assert resumed.exit_code == 0, resumed.output
    assert resumed.stdout.splitlines()[-1].endswith("the bot runs")
    assert not stage.status("one")["paused"]


@pytest.mark.usefixtures("running")
def test_a_policy_hold_is_lifted_by_what_was_seen_and_by_nothing_older(
    exchange: SimulatorThread, bot: HttpBot, stage: Stage, trader: Person
) -> None:
    full = open_account(stage, exchange, bot, "two")
    stage.await_status("two", lambda s: s.get("sync") == "InSync" and not s["paused"], "clean account")
    exchange.call(partial(move, account=full, symbol="BTCUSDT", amount="1"))
    seen = stage.await_status("two", lambda s: s.get("pausedBy") == "Policy", "Policy hold")["holds"][0]["digest"]
    assert seen in trader.types("status", "two").stdout
    exchange.call(partial(move, account=full, symbol="ETHUSDT", amount="2"))
    stage.await_status("two", lambda s: s["holds"][0]["digest"] != seen, "wider hold")

    refused = trader.types("resume", "two", "--digest", seen)
    assert refused.exit_code == 1
    assert "REFUSED: the Policy hold stands for more" in refused.stdout
    assert "PositionMismatch ETH/USDT:USDT" in refused.stdout
    assert stage.status("two")["paused"]

    trader.types("pause", "two", "--reason", "looking at it", "--wait")
    lifted = trader.types("resume", "two", "--seen", "--yes", "--wait")
    assert lifted.exit_code == 0, lifted.output
    assert "lifted the Policy hold; STILL HELD by User" in lifted.stdout, "the kill switch is another's to lift"
    status = stage.status("two")
    assert status["pausedBy"] == "User"
    assert len(status["acknowledged"]) == 2
    assert "the bot runs" in trader.types("resume", "two", "--wait").stdout


def test_the_kill_switch_works_while_the_operator_is_down(
    kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot, stage: Stage, trader: Person
) -> None:
    open_account(stage, exchange, bot, "three")
    paused = trader.types("pause", "--all", "--reason", "incident 42")
    assert paused.exit_code == 0, paused.output
    assert stage.get("three")["spec"]["paused"]
    assert "status" not in stage.get("three")
    with Operator(kubeconfig, f"--namespace={stage.namespace}"):
        stage.await_status("three", lambda s: "User" in s.get("pausedBy", ""), "hold of before it started")

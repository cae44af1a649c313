"""The ways to run it: command line, scenario file, thread."""

import json
import os
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.running import Program, accountsync

from accountsync.cli.simulate import simulate
from accountsync.simulator import Simulator
from accountsync.simulator.scenario import ScenarioError, apply_scenario, load_scenario
from accountsync.simulator.thread import SimulatorThread

SCENARIO = """
marks: {BTCUSDT: "64000"}
books: {BTCUSDT: {levels: 5, spacing: "10", refills: false}}
accounts:
  - name: grid-btc
    wallet: {USDT: "10000"}
    keys: [{permissions: [read]}, {permissions: [read, trade], api_key: mine, secret: hush}]
    positions: [{symbol: BTCUSDT, amount: "0.5", entry_price: 63000.1, leverage: 10}]
    orders: [{symbol: BTCUSDT, side: BUY, price: "60000", quantity: 0.1, client_order_id: web_1}]
faults: [{kind: latency, path: /fapi/v1/openOrders, options: {seconds: 0.2}}]
"""


def test_a_scenario(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO)
    sim = Simulator(seed=1)
    keys = apply_scenario(sim, load_scenario(file))
    account = sim.world.account("grid-btc")
    assert [key.account for key in keys] == ["grid-btc", "grid-btc"]
    assert sim.world.keys["mine"].secret == "hush"
    assert str(account.position("BTCUSDT").entry_price) == "63000.1"
    assert [order.client_order_id for order in account.open_orders.values()] == ["web_1"]
    assert len(list(sim.faults)) == 1
    depth = sim.world.books.depth("BTCUSDT")
    assert (depth.levels, str(depth.spacing), str(depth.quantity), depth.refills) == (5, "10", "1.538", False)


def test_json_is_a_scenario_too(tmp_path: Path) -> None:
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps({"accounts": [{"name": "a"}]}))
    assert load_scenario(file).accounts[0].name == "a"


@pytest.mark.parametrize("text", ["accounts: [{nam: x}]", "accounts: [", "marks: {BTCUSDT: dear}"])
def test_a_scenario_that_cannot_be_read_says_where(tmp_path: Path, text: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=str(file)):
        load_scenario(file)


def test_only_loopback() -> None:
    with pytest.raises(ValueError, match="loopback"):
        Simulator(host="0.0.0.0")
    result = CliRunner().invoke(simulate, ["--host", "192.0.2.1"])
    assert result.exit_code == 1
    assert "loopback" in result.output
    with pytest.raises(ValueError, match="loopback"):
        Simulator(control_host="0.0.0.0")


def test_an_exposed_exchange_answers_by_any_name_and_its_control_interface_may_stay_on_loopback() -> None:
    command = ("simulate", "--expose", "--host=0.0.0.0", "--control-host=127.0.0.1", "--port=0", "--control-port=0")
    with Program(accountsync(*command, "--account=alpha")) as program:
        addresses = json.loads(program.await_line('"exchange"'))
        assert addresses["exchange"].startswith("http://0.0.0.0:")
        assert addresses["control"].startswith("http://127.0.0.1:")
        port = addresses["exchange"].rpartition(":")[2]
        for url in (f"http://127.0.0.1:{port}/fapi/v1/time", f"{addresses['control']}/control/accounts"):
            request = urllib.request.Request(url, headers={"Host": "exchange.trading.svc:8900"})
            with urllib.request.urlopen(request) as response:
                assert json.load(response)


def get(url: str) -> object:
    with urllib.request.urlopen(url) as response:
        return json.load(response)


def test_in_a_thread() -> None:
    with SimulatorThread(seed=1) as running:
        account = running.call(lambda sim: sim.world.create_account("a"))
        assert account.name == "a"
        assert get(f"{running.url}/fapi/v1/ping") == {}
        assert get(f"{running.control_url}/control/accounts") == ["a"]
        with pytest.raises(ValueError, match="exists already"):
            running.call(lambda sim: sim.world.create_account("a"))


def test_a_port_that_is_taken() -> None:
    with SimulatorThread(seed=1) as running:
        port = int(running.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"), SimulatorThread(seed=1, port=port):
            pass


@pytest.mark.parametrize("in_file", [False, True])
def test_the_command(tmp_path: Path, in_file: bool) -> None:
    keys_out = tmp_path / "keys.json"
    command = [sys.executable, "-c", "from accountsync.cli.simulate import simulate; simulate()"]
    command += ["--port", "0", "--control-port", "0", "--account", "a"]
    command += ["--keys-out", str(keys_out)] if in_file else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": ""}) as process:
        assert process.stdout
        urls = json.loads(process.stdout.readline())
        assert get(f"{urls['control']}/control/accounts") == ["a"]
        if in_file:
            (key,) = json.loads(keys_out.read_text())
            assert stat.S_IMODE(keys_out.stat().st_mode) == 0o600
        else:
            key = json.loads(process.stdout.readline())
        assert (key["account"], key["permissions"]) == ("a", ["read"])
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""
    assert process.returncode == 0

"""What a simulator starts with, from a YAML or JSON file.

    marks: {BTCUSDT: "64000"}
    books: {BTCUSDT: {levels: 5, quantity: "0.5", spacing: "10", refills: false}}
    accounts:
      - name: grid-btc
        wallet: {USDT: "10000"}
        keys: [{permissions: [read]}]          # api_key and secret are made up from the seed unless given
        positions: [{symbol: BTCUSDT, amount: "0.5", entry_price: "63000", leverage: 10}]
        orders: [{symbol: BTCUSDT, side: BUY, price: "60000", quantity: "0.1", client_order_id: web_1}]
    faults: [{kind: latency, path: /fapi/v1/openOrders, options: {seconds: 0.2}}]

All fields: `specs.py`.
"""

from pathlib import Path

import yaml
from pydantic import ValidationError

from accountsync.simulator.model import ApiKey
from accountsync.simulator.simulator import Simulator
from accountsync.simulator.specs import Scenario


class ScenarioError(ValueError):
    """The file cannot be read as a scenario; the message names the file, the place and what was expected."""


def load_scenario(path: Path) -> Scenario:
    """Read a file. Raises ScenarioError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Scenario.model_validate(content or {})
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: not YAML: {error}") from None
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ScenarioError(f"{path}: {places}") from None


def apply_scenario(simulator: Simulator, scenario: Scenario) -> list[ApiKey]:
    """Bring the simulator to where the scenario starts; returns all keys. Raises WorldError."""
    for symbol, price in scenario.marks.items():
        simulator.world.set_mark_price(symbol, price)
    for symbol, depth in scenario.books.items():
        depth.put(simulator.world, symbol)
    keys = [key for spec in scenario.accounts for key in spec.create(simulator.world)[1]]
    for fault in scenario.faults:
        simulator.faults.add(fault.fault())
    return keys

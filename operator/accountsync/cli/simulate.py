"""`accountsync simulate`: run the exchange simulator in the foreground."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import click

from accountsync.simulator import Simulator, WorldError
from accountsync.simulator.model import ApiKey
from accountsync.simulator.scenario import ScenarioError, apply_scenario, load_scenario
from accountsync.simulator.specs import AccountSpec, KeySpec, Scenario

DEFAULT_WALLET = Decimal(10_000)
OWNER_ONLY = 0o600


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address, or any with --expose.")
@click.option("--control-host", default="", help="The same for the control interface.  [default: as --host]")
@click.option(
    "--expose",
    is_flag=True,
    help="Let the addresses be any, e.g. 0.0.0.0 in a pod. Whoever reaches the control interface commands the exchange:"
    " it asks for no password.",
)
@click.option("--port", default=8900, show_default=True, help="Port of the exchange; 0 takes a free one.")
@click.option("--control-port", default=8901, show_default=True, help="Port of the control interface.")
@click.option("--seed", default=1, show_default=True, help="Decides made-up keys and ids, and what faults hit.")
@click.option("--scenario", type=click.Path(path_type=Path), help="YAML or JSON: accounts, keys, orders, faults.")
@click.option("--account", "accounts", multiple=True, help="An account with 10,000 USDT and a read-only key.")
@click.option("--keys-out", type=click.Path(path_type=Path), help="Write the keys there instead of printing them.")
@click.option("--weight-limit", type=int, help="Request weight a minute for one address.")
def simulate(
    *,
    host: str,
    control_host: str,
    expose: bool,
    port: int,
    control_port: int,
    seed: int,
    scenario: Path | None,
    accounts: tuple[str, ...],
    keys_out: Path | None,
    weight_limit: int | None,
) -> None:
    """Run a simulated Binance USD-M futures exchange until interrupted, on loopback unless it is exposed.

    The first lines of output are the two addresses and the keys, one JSON object a line. The keys open nothing but
    this simulator.
    """
    try:
        simulator = Simulator(
            seed=seed, host=host, port=port, control_port=control_port, control_host=control_host, exposed=expose
        )
        start = load_scenario(scenario) if scenario else Scenario()
        start = start.model_copy(update={"accounts": (*start.accounts, *map(_plain_account, accounts))})
        keys = apply_scenario(simulator, start)
    except (ScenarioError, WorldError, ValueError, TypeError) as error:
        raise click.ClickException(str(error)) from None
    if weight_limit is not None:
        simulator.limits.weight_per_minute = weight_limit
    try:
        asyncio.run(_serve(simulator, keys, keys_out))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}: {error.strerror or error}") from None


def _plain_account(name: str) -> AccountSpec:
    return AccountSpec(name=name, wallet={"USDT": DEFAULT_WALLET}, keys=(KeySpec(),))


async def _serve(simulator: Simulator, keys: Iterable[ApiKey], keys_out: Path | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with simulator:
        _say({"exchange": simulator.url, "control": simulator.control_url})
        rows = [_key_row(key) for key in keys]
        if keys_out:
            _write_keys(keys_out, rows)
        else:
            for row in rows:
                _say(row)
        await stopped.wait()


def _key_row(key: ApiKey) -> dict[str, object]:
    return {
        "account": key.account,
        "api_key": key.api_key,
        "secret": key.secret,
        "permissions": sorted(key.permissions),
    }


def _write_keys(path: Path, rows: list[dict[str, object]]) -> None:
    """Readable by the owner only from the first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=2)


def _say(row: dict[str, object]) -> None:
    click.echo(json.dumps(row))
    sys.stdout.flush()

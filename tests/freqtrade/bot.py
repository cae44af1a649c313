"""The real freqtrade as a child process that trades on the simulator for real: live mode, futures, isolated, one-way.

Its only strategy enters and exits when it is told to over its REST API, and holds in between.
"""

import base64
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.running import Program, until

from accountsync.simulator import ApiKey

Body = dict[str, Any]
OK = 200
PAIR = "BTC/USDT:USDT"
USERNAME, PASSWORD = "accountsync", "only-on-loopback"
JWT_SECRET = "only-on-loopback-0123456789-0123456789"
STRATEGY = """from freqtrade.strategy import IStrategy


class Hold(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "5m"
    can_short = True
    stoploss = -0.99
    use_exit_signal = False

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
"""


def configuration(folder: Path, exchange: str, key: ApiKey, port: int, *, stop_orders: bool) -> Body:
    """What a user writes into config.json, but for the exchange's address and a loop of a second."""
    beside_us = {
        name: f"{exchange}/{path}"
        for name, path in {
            **{f"fapi{kind}": "fapi/v1" for kind in ("Public", "Private")},
            **{f"fapi{kind}V{version}": f"fapi/v{version}" for kind in ("Public", "Private") for version in (2, 3)},
            "fapiData": "futures/data",
            "sapi": "sapi/v1",
            "public": "api/v3",
            "private": "api/v3",
            "dapiPublic": "dapi/v1",
        }.items()
    }
    price = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
    return {
        "bot_name": "accountsync",
        "dry_run": False,
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "stake_currency": "USDT",
        "stake_amount": 1000,
        "max_open_trades": 3,
        "initial_state": "running",
        "force_entry_enable": True,
        "unfilledtimeout": {"entry": 60, "exit": 60, "unit": "minutes"},
        "entry_pricing": price,
        "exit_pricing": price,
        "order_types": {
            "entry": "limit",
            "exit": "limit",
            "stoploss": "market",
            "stoploss_on_exchange": stop_orders,
            "stoploss_on_exchange_interval": 1,
        },
        "exchange": {
            "name": "binance",
            "key": key.api_key,
            "secret": key.secret,
            "enable_ws": False,
            "ccxt_config": {
                "enableRateLimit": False,
                "urls": {"api": beside_us},
                "options": {"fetchMarkets": {"types": ["linear"]}},
            },
            "pair_whitelist": [PAIR, "ETH/USDT:USDT"],
        },
        "pairlists": [{"method": "StaticPairList"}],
        "api_server": {
            "enabled": True,
            "listen_ip_address": "127.0.0.1",
            "listen_port": port,
            "verbosity": "error",
            "jwt_secret_key": JWT_SECRET,
            "username": USERNAME,
            "password": PASSWORD,
        },
        "internals": {"process_throttle_secs": 1},
        "strategy": "Hold",
        "strategy_path": str(folder),
        "user_data_dir": str(folder),
        "db_url": f"sqlite:///{folder / 'trades.sqlite'}",
    }


@dataclass(frozen=True, slots=True)
class Answer:
    """What freqtrade answered; `body` is text where it is no JSON."""

    status: int
    body: Any


class Freqtrade:
    """One bot with its database in `folder`; runs while it is entered, and can be started anew in between.

    `program`: the freqtrade to run; `exchange`: the simulator's URL; `key` may trade there. With `stop_orders`, a
    stop-loss order waits at the exchange for each trade.
    """

    def __init__(self, program: Path, folder: Path, exchange: str, key: ApiKey, *, stop_orders: bool = False) -> None:
        self._command = [str(program), "trade", "--config", str(folder / "config.json")]
        self.url = f"http://127.0.0.1:{_free_port()}"
        port = int(self.url.rsplit(":", 1)[1])
        (folder / "hold.py").write_text(STRATEGY, encoding="utf-8")
        config = configuration(folder, exchange, key, port, stop_orders=stop_orders)
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.__exit__(kind, error, trace)

    def restart(self, ready: Callable[[Body], object] = itemgetter("last_process")) -> None:
        """End it, and start it with the same database; `ready` is asked about its /health."""
        self._program.__exit__(None, None, None)
        self._start(ready)

    def kill(self) -> None:
        """kill -9."""
        self._program.kill()

    def _start(self, ready: Callable[[Body], object] = itemgetter("last_process")) -> None:
        direct = {"NO_PROXY": "*", "no_proxy": "*"}
        self._program = Program(self._command, direct)
        self._program.__enter__()
        try:
            until(lambda: self._answers(ready), "freqtrade that is ready", 90)
        except BaseException:
            self._program.__exit__(None, None, None)
            raise

    def _answers(self, ready: Callable[[Body], object]) -> bool:
        if self._program.process.poll() is not None:
            raise RuntimeError(f"freqtrade ended with {self._program.process.returncode}:\n{self.output[-3000:]}")
        try:
            health = self.ask("GET", "health")
        except OSError:
            return False
        return health.status == OK and bool(ready(health.body))

    @property
    def output(self) -> str:
        """All that it has logged since it was started."""
        return self._program.output

    def ask(
        self, method: str, path: str, body: object = None, *, password: str = PASSWORD, headers: Mapping[str, str] = {}
    ) -> Answer:
        """One call of the REST API, whatever it answers; `path` is what follows /api/v1/."""
        basic = base64.b64encode(f"{USERNAME}:{password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {basic}", "Content-Type": "application/json", **headers},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=30) as response:
                return Answer(response.status, _parsed(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _parsed(error.read()))

    def get(self, path: str) -> Any:
        """What it answers with 200."""
        return self._ok("GET", path, None)

    def post(self, path: str, body: object = None) -> Any:
        """The same of a POST."""
        return self._ok("POST", path, body)

    def _ok(self, method: str, path: str, body: object) -> Any:
        answer = self.ask(method, path, body)
        assert answer.status == OK, f"{method} {path}: {answer}"
        return answer.body

    @property
    def state(self) -> str:
        """running, paused or stopped."""
        return str(self.get("show_config")["state"])

    @property
    def open_trades(self) -> list[Body]:
        """The trades that it believes to be open."""
        rows: list[Body] = self.get("status")
        return rows

    def enter(self, side: str = "long", *, price: float | None = None, pair: str = PAIR) -> Body:
        """Open a trade of 1000 USDT at leverage 2: at the market, or by a limit order at `price`."""
        order: Body = {"ordertype": "market"} if price is None else {"ordertype": "limit", "price": price}
        trade: Body = self.post("forceenter", {"pair": pair, "side": side, "stakeamount": 1000, "leverage": 2, **order})
        return trade

    def exit(self, trade_id: int, *, price: float | None = None) -> None:
        """Close a trade: at the market, or by a limit order at `price`."""
        order: Body = {"ordertype": "market"} if price is None else {"ordertype": "limit", "price": price}
        self.post("forceexit", {"tradeid": str(trade_id), **order})

    def stop_order(self) -> Body:
        """The stop-loss order of its first trade, once it has placed one that waits."""
        return until(self._waiting_stop, "stop-loss order")

    def _waiting_stop(self) -> Body | None:
        rows = (row for trade in self.open_trades for row in trade["orders"])
        return next((row for row in rows if row["ft_order_side"] == "stoploss" and row["is_open"]), None)

    def holding(self, side: str = "long") -> Body:
        """Open a trade at the market, and wait until it believes so."""
        self.enter(side)
        return until(self._filled, "filled trade")

    def _filled(self) -> Body | None:
        return next((trade for trade in self.open_trades if trade["amount"]), None)

    def await_loops(self, number: int = 2) -> None:
        """Until it has been through its loop `number` times more: whatever it would notice by itself, it has."""
        for _ in range(number):
            before = self.get("health")["last_process"]
            until(lambda before=before: self.get("health")["last_process"] != before, "next loop of freqtrade")  # type: ignore[misc]


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])

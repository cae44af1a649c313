"""The real operator, with a wire before and after each call of its ports: where it touches one, it ends or stops.

`lay` is the one place where the operator's parts are replaced, each by a subclass or a stand-in that passes every call
on.
"""

import asyncio
import inspect
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from tests.kill.points import FIRST, KEY, OWNED, STATUS, Call, How, Point, watched

from accountsync.api.v1alpha1 import TradingAccount
from accountsync.cli.operator import configure_logs
from accountsync.controller import handlers, manager, operator, remedying
from accountsync.controller.kube import Kube
from accountsync.controller.ownership import Owner
from accountsync.controller.plan_store import KubePlans
from accountsync.controller.settings import Settings
from accountsync.controller.sides import Sides
from accountsync.exchange import library
from accountsync.ports import BotState, Exchange, Repairs, Trading

library.exchange_class("binanceusdm")  # it takes a second, and all victims are forked from one process that has it
SIGNALS = {How.KILL: signal.SIGKILL, How.STOP: signal.SIGSTOP, How.RACE: signal.SIGSTOP}
WATCHED = watched()


@dataclass(frozen=True)
class Orders:
    """`trace`: where each call is noted. `point`: where it ends; None: nowhere."""

    env: Mapping[str, str]
    trace: Path
    log: Path
    point: Point | None = None


class Wire:
    """Counts calls from the making of the first plan on, and notes each, before and after."""

    def __init__(self, trace: Path, point: Point | None) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._point = point
        self._begun = False
        self._counts: Counter[str] = Counter()

    @contextmanager
    def around(self, method: str) -> Iterator[None]:
        self._begun = self._begun or method == FIRST
        if not self._begun:
            yield
            return
        self._counts[method] += 1
        number = self._counts[method]
        self._touch(Call(method, number, "before"))
        try:
            yield
        finally:
            self._touch(Call(method, number, "after"))

    def _touch(self, call: Call) -> None:
        os.write(self._trace, f"{call.method} {call.number} {call.when}\n".encode())
        if self._point is not None and call == self._point.call:
            os.kill(os.getpid(), SIGNALS[self._point.how])


class Wired:
    """Stands for what is behind a port."""

    def __init__(self, wire: Wire, port: str, real: Any) -> None:
        self._wire, self._port, self.real = wire, port, real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        method = f"{self._port}.{name}"
        if method not in WATCHED:
            return found
        assert inspect.iscoroutinefunction(found)

        async def called(*positional: Any, **named: Any) -> Any:
            with self._wire.around(method):
                return await found(*positional, **named)

        return called


def lay(wire: Wire) -> None:
    """From now on an operator is made of parts that touch `wire`."""

    class WiredSides(Sides):
        async def of(self, account: TradingAccount) -> tuple[Exchange, BotState]:
            exchange, bot = await super().of(account)
            return Wired(wire, "Exchange", exchange), Wired(wire, "BotState", bot)

        async def trading(self, account: TradingAccount) -> Trading:
            with wire.around(KEY):
                real = await super().trading(account)
            return Wired(wire, "Trading", real)

        def repairs(self, account: TradingAccount, exchange: Exchange, bot: BotState) -> Repairs | None:
            assert isinstance(exchange, Wired)
            assert isinstance(bot, Wired)
            real = super().repairs(account, exchange.real, bot.real)
            return real and Wired(wire, "Repairs", real)

    class WiredKube(Kube):
        async def apply_status(self, *positional: Any, **named: Any) -> dict[str, Any]:
            with wire.around(STATUS):
                return await super().apply_status(*positional, **named)

    class WiredOwner(Owner):
        def left(self) -> float:
            with wire.around(OWNED):
                return super().left()

    def plans(*recipe: Any) -> Any:
        return Wired(wire, "Plans", KubePlans(*recipe))

    parts = ((operator, WiredSides), (operator, WiredKube), (manager, WiredOwner))
    for module, part in parts:
        setattr(module, part.__bases__[0].__name__, part)
    vars(remedying)[KubePlans.__name__] = plans


def run(orders: Orders) -> None:
    """Be an operator until the point is reached, or somebody ends it."""
    with orders.log.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(orders.env)
    threading.Thread(target=_end_with_its_owner, daemon=True).start()
    lay(Wire(orders.trace, orders.point))
    configure_logs("json")
    asyncio.run(handlers.serve(*handlers.prepared(Settings.from_env())))


def _end_with_its_owner() -> None:
    owner = multiprocessing.parent_process()
    assert owner is not None
    connection.wait([owner.sentinel])
    os._exit(1)

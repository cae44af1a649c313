"""One account, one point: a process is killed or stopped there, another one goes on, and nothing may be wrong then."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.kill import victim
from tests.kill.points import Call, How, Point, calls, way
from tests.kill.scenes import Scene, asked
from tests.support.controlplane import ControlPlane
from tests.support.stage import ApiError, Body, HttpBot, Stage

from accountsync.simulator.thread import SimulatorThread

LEASE = "3s"
PATIENCE = 150.0
"""Seconds until something counts as forgotten: a repair that failed waits for one minute."""
AWAKE = 4.0
"""Seconds for a process that was stopped to do what it was about to."""
TRIES = 3
"""A call that was there once is not always there again: cycles differ."""


class NotReachedError(RuntimeError):
    """The plan came to its end without the call."""


@dataclass
class Outcome:
    """What came of a point. `placed`: orders that took effect; `late`: requests that the exchange refused as late."""

    scene: str
    point: Point | None
    placed: int = 0
    late: int = 0
    approvals: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


class Ground:
    """Where it happens: a cluster, an exchange, bots, and a process that has all imported, to fork victims from."""

    def __init__(self, plane: ControlPlane, kubeconfig: Path, exchange: SimulatorThread, bot: HttpBot) -> None:
        self.plane, self.exchange, self.bot = plane, exchange, bot
        bot._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who asked was killed
        self._kubeconfig = kubeconfig
        self._numbers = itertools.count(1)
        self._context = multiprocessing.get_context("forkserver")

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="accountsync-kill-")))
        before = os.environ.get("KUBECONFIG")
        os.environ["KUBECONFIG"] = str(self._kubeconfig)  # the client looks at it when it is imported
        self._context.set_forkserver_preload([victim.__name__, __name__])
        forkserver.ensure_running()
        if before is None:
            del os.environ["KUBECONFIG"]
        else:
            os.environ["KUBECONFIG"] = before
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def stage(self) -> Stage:
        return Stage(self.plane, f"kill-{next(self._numbers)}", self.exchange.url)

    @contextlib.contextmanager
    def victim(self, namespace: str, replica: str, point: Point | None) -> Iterator["Victim"]:
        env = {
            "KUBECONFIG": str(self._kubeconfig),
            "ACCOUNTSYNC_NAMESPACES": namespace,
            "ACCOUNTSYNC_IDENTITY": f"{namespace}-{replica}",
            "ACCOUNTSYNC_LEASE_DURATION": LEASE,
            "ACCOUNTSYNC_HOST": "127.0.0.1",
            "ACCOUNTSYNC_PORT": "0",
            "ACCOUNTSYNC_ALLOWED_ENDPOINTS": "http://127.0.0.1:*",
            "ACCOUNTSYNC_ALLOWED_BOT_URLS": "http://127.0.0.1:*",
        }
        name = f"{namespace}-{replica}-{time.monotonic_ns()}"
        orders = victim.Orders(env, self.folder / f"{name}.trace", self.folder / f"{name}.log", point)
        process = self._context.Process(target=victim.run, args=(orders,), name=name)
        process.start()
        try:
            yield Victim(process, orders)
        finally:
            process.kill()
            process.join()


@dataclass(frozen=True)
class Victim:
    """A running operator."""

    process: BaseProcess
    orders: victim.Orders

    def recorded(self) -> list[Call]:
        trace = self.orders.trace
        return calls(trace.read_text().splitlines()) if trace.exists() else []

    @property
    def is_there(self) -> bool:
        """Whether it has come to its point."""
        point = self.orders.point
        if point is None:
            return False
        if point.how is How.KILL:
            return self.process.exitcode == -signal.SIGKILL
        return point.call in self.recorded()

    def check_alive(self) -> None:
        if self.process.exitcode is not None:
            raise RuntimeError(f"an operator ended by itself ({self.process.exitcode}):\n{self.log_end()}")

    def log_end(self) -> str:
        return self.orders.log.read_text(errors="replace")[-3000:]

    def go_on(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGCONT)


class Ordeal:
    """One account from its beginning to its end."""

    def __init__(self, ground: Ground, kind: type[Scene], point: Point | None) -> None:
        self._ground = ground
        self._stage = ground.stage()
        self.scene = kind(self._stage, ground.exchange, ground.bot)
        self._point = point
        self._approved: set[str] = set()
        self._plans: list[Body] = []
        self.outcome = Outcome(self.scene.name, point)

    def record(self) -> list[Call]:
        """The calls of a run that nothing happens to."""
        self.scene.open()
        with self._ground.victim(self._stage.namespace, "a", None) as first:
            self._until(self._calm, first)
            self.scene.drift()
            self._until(lambda: self._over() and self._calm(), first)
            self._judge()
            time.sleep(1.0)
            return way(first.recorded())

    def suffer(self) -> None:
        """The point is reached, and what comes of it."""
        assert self._point is not None
        self.scene.open()
        with self._ground.victim(self._stage.namespace, "a", self._point) as first:
            self._until(self._calm, first)
            self.scene.drift()
            end = time.monotonic() + PATIENCE
            while not first.is_there:
                if (self._over() and self._calm()) or time.monotonic() > end:
                    time.sleep(2.0)
                    if not first.is_there:
                        raise NotReachedError
                self._step()
            if self._point.how is How.KILL:
                self._recover("a")
            else:
                self._take_over(first)
        self._judge()

    def _recover(self, replica: str) -> None:
        with self._ground.victim(self._stage.namespace, replica, None) as second:
            self._until(lambda: self._over() and self._calm(), second)

    def _take_over(self, first: Victim) -> None:
        before = self._epoch()
        with self._ground.victim(self._stage.namespace, "b", None) as second:
            self._until(lambda: self._epoch() > before, second)
            if self._point is not None and self._point.how is How.STOP:
                self._until(lambda: self._over() and self._calm(), second)
            first.go_on()
            end = time.monotonic() + AWAKE
            while time.monotonic() < end:
                self._step()
            first.check_alive()
            self._until(lambda: self._over() and self._calm(), second)

    def _epoch(self) -> int:
        return int(self._stage.status("bot").get("owner", {}).get("epoch", 0))

    def _calm(self) -> bool:
        """Whether nothing differs, and nothing is under way."""
        status = self._stage.status("bot")
        held = set(status.get("pausedBy", "").split(","))
        return status.get("sync") == "InSync" and not held & {"Startup", "Action", "UnknownOutcome"}

    def _over(self) -> bool:
        """Whether there was a plan, each has ended, and it is as it should be."""
        ended = [plan.get("status", {}).get("phase") in ("Done", "Refused", "Expired") for plan in self._plans]
        return bool(ended) and all(ended) and self.scene.healed()

    def _step(self) -> None:
        """Look at the plans, and approve what asks, as a person would."""
        time.sleep(0.25)
        self._plans = self._stage.plans
        for plan in self._plans:
            phase = plan.get("status", {}).get("phase", "Pending")
            if phase == "Pending" and asked(plan) and plan["metadata"]["name"] not in self._approved:
                with contextlib.suppress(ApiError):
                    self._stage.approve(plan)
                    self._approved.add(plan["metadata"]["name"])

    def _until(self, holds: object, looked_after_by: Victim) -> None:
        assert callable(holds)
        end = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > end:
                plans = [(asked(plan), plan["spec"]["summary"], plan.get("status")) for plan in self._plans]
                told = f"plans {plans}; status {self._stage.status('bot')}\n{looked_after_by.log_end()}"
                raise TimeoutError(f"after {PATIENCE:.0f} s it is not in order: {told}")
            if looked_after_by.process.exitcode != -signal.SIGKILL:
                looked_after_by.check_alive()
            self._step()

    def _judge(self) -> None:
        self._plans = self._stage.plans
        outcome = self.outcome
        outcome.placed, outcome.late = len(self.scene.placed()), self.scene.late()
        outcome.approvals = len(self._approved)
        outcome.violations += self.scene.violations(self._plans)


def endure(ground: Ground, kind: type[Scene], point: Point) -> Outcome:
    """A point, tried again where the call does not come."""
    began = time.monotonic()
    for _ in range(TRIES):
        ordeal = Ordeal(ground, kind, point)
        outcome = ordeal.outcome
        try:
            ordeal.suffer()
        except NotReachedError:
            outcome.violations.append("the call never came")
            continue
        except Exception as error:  # noqa: BLE001 - the other points go on
            outcome.violations.append(f"{type(error).__name__}: {error}")
        break
    outcome.seconds = time.monotonic() - began
    return outcome

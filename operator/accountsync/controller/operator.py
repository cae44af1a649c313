"""The running operator: its parts put together, started and stopped in order."""

import asyncio
import gc

import structlog

from accountsync.clock import SystemClock
from accountsync.controller.account import Tools
from accountsync.controller.events import Events
from accountsync.controller.kube import Kube
from accountsync.controller.manager import Manager
from accountsync.controller.server import Server
from accountsync.controller.settings import Settings
from accountsync.controller.sides import Sides
from accountsync.report.metrics import Metrics

log = structlog.get_logger()


class Operator:
    """Everything between kopf's events and the API server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        clock = SystemClock()
        self._kube = Kube()
        self._sides = Sides(settings, self._kube, clock)
        self.metrics = Metrics(clock)
        self.metrics.budgets = self._sides.budgets
        self.ready = False
        self.server = Server(self.metrics, settings.host, settings.port, ready=lambda: self.ready)
        self._events = Events(self._kube, clock)
        self._clock = clock
        self.manager: Manager | None = None

    async def start(self) -> None:
        """Connect and serve. Raises where the cluster can't be reached or the port is taken."""
        await self._kube.__aenter__()
        self.manager = Manager(
            Tools(
                settings=self.settings,
                kube=self._kube,
                sides=self._sides,
                events=self._events,
                metrics=self.metrics,
                clock=self._clock,
                slots=asyncio.Semaphore(self.settings.max_concurrent),
            )
        )
        await self.server.start()
        self.ready = True
        gc.freeze()  # what start-up made stays: later collections need not walk it
        log.info("operator started", port=self.server.port, sync_enabled=self.settings.sync_enabled)

    async def stop(self) -> None:
        """Stop in the opposite order."""
        self.ready = False
        if self.manager is not None:
            await self.manager.close()
        await self.server.stop()
        await self._sides.close()
        await self._kube.__aexit__(None, None, None)

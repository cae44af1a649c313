"""The running operator: its parts put together, started and stopped in order."""

import asyncio
import gc
from pathlib import Path

import structlog

from accountsync.clock import SystemClock
from accountsync.controller.account import Tools
from accountsync.controller.events import Events
from accountsync.controller.kube import Kube, NoClusterError
from accountsync.controller.manager import Manager
from accountsync.controller.rights import Rights
from accountsync.controller.server import Server
from accountsync.controller.settings import Settings
from accountsync.controller.shares import Shares
from accountsync.controller.sides import Sides
from accountsync.report.evidence_recorder import Recorder
from accountsync.report.evidence_store import Store
from accountsync.report.metrics import Metrics

log = structlog.get_logger()


class StartError(Exception):
    """The operator can't start, and trying again won't help. The message says what to do."""


class Operator:
    """Everything between kopf's events and the API server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        clock = SystemClock()
        self.kube = Kube()
        self._sides = Sides(settings, self.kube, clock)
        self.metrics = Metrics(clock)
        self.metrics.budgets = self._sides.budgets
        self.ready = False
        self.problem = ""
        """Why it did not start."""
        self.server = Server(self.metrics, settings.host, settings.port, ready=lambda: self.ready)
        self._rights = Rights(self.kube)
        self._events = Events(self.kube, self._rights, clock)
        self._clock = clock
        folder = Path(settings.artifact_dir) / "account_sync"
        store = Store(folder, keep=settings.evidence_keep, max_bytes=settings.evidence_max_bytes)
        self._evidence = Recorder(store, clock, self.metrics.registry)
        self.manager: Manager | None = None

    async def start(self) -> None:
        """Connect and serve. Raises StartError where no cluster is named or the port can't be had."""
        try:
            await self._connect()
        except (NoClusterError, StartError) as error:
            self.problem = str(error)
            raise StartError(self.problem) from None

    async def _connect(self) -> None:
        await self.kube.__aenter__()
        self.manager = Manager(
            Tools(
                settings=self.settings,
                kube=self.kube,
                rights=self._rights,
                sides=self._sides,
                events=self._events,
                metrics=self.metrics,
                clock=self._clock,
                shares=Shares(self._clock),
                slots=asyncio.Semaphore(self.settings.max_concurrent),
                evidence=self._evidence,
            )
        )
        try:
            await self.server.start()
        except OSError as error:
            where = f"{self.settings.host}:{self.settings.port}"
            raise StartError(
                f"cannot serve on {where} ({error.strerror or 'address refused'}): choose another with --port or"
                " ACCOUNTSYNC_PORT, --host or ACCOUNTSYNC_HOST"
            ) from None
        if self.settings.evidence:
            self._evidence.start()
        self.ready = True
        gc.freeze()  # what start-up made stays: later collections need not walk it
        log.info("operator started", port=self.server.port, sync_enabled=self.settings.sync_enabled)

    async def stop(self) -> None:
        """Stop in the opposite order."""
        self.ready = False
        if self.manager is not None:
            await self.manager.close()
        await self._rights.close()
        await self._evidence.close()
        await self.server.stop()
        await self._sides.close()
        await self.kube.__aexit__(None, None, None)

"""The running operator: its parts put together, started and stopped in order."""

import asyncio
import gc
from collections.abc import Mapping
from pathlib import Path

import structlog

from accountsync.clock import SystemClock, elapsed
from accountsync.controller.approvals import Approvals
from accountsync.controller.events import Events
from accountsync.controller.heartbeats import Heartbeats
from accountsync.controller.kube import Kube, NoClusterError
from accountsync.controller.manager import Manager
from accountsync.controller.ownership import Own, Replica, identified
from accountsync.controller.reach import Reach
from accountsync.controller.rights import Rights
from accountsync.controller.server import Server
from accountsync.controller.settings import Settings
from accountsync.controller.shares import Shares
from accountsync.controller.sides import Sides
from accountsync.controller.tools import Tools
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
        self.metrics.followed = self._followed
        self.started = False
        self.reach: Reach | None = None
        """What is followed now; None where it is not known: under `kopf run`."""
        self.kopf_stops = asyncio.Event()
        """Set: the present run of kopf ends."""
        self.server = Server(self.metrics, settings.host, settings.port, unready=lambda: self.unready)
        self._rights = Rights(self.kube)
        self._events = Events(self.kube, self._rights, clock)
        self._clock = clock
        folder = Path(settings.artifact_dir) / "account_sync"
        store = Store(folder, keep=settings.evidence_keep, max_bytes=settings.evidence_max_bytes)
        self._evidence = Recorder(store, clock, self.metrics.registry)
        self.manager: Manager | None = None
        self._replica: Replica | None = None
        self._heartbeats = Heartbeats(self.kube, self._rights, clock)
        self._renewing: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def unready(self) -> str:
        """Why it looks after nothing; empty: it does."""
        if not self.started or self._replica is None:
            return "not started yet"
        return (self.reach.reason if self.reach is not None else "") or self._replica.reason

    def _followed(self) -> Mapping[str, bool]:
        """Each namespace to follow, `*` for all of them, and whether it is."""
        followed = self.reach.followed if self.reach is not None else {}
        return {namespace or "*": is_open for namespace, is_open in followed.items()}

    async def start(self) -> None:
        """Connect and serve. Raises StartError where no cluster is named or the port can't be had."""
        try:
            await self.kube.__aenter__()
        except NoClusterError as error:
            raise StartError(str(error)) from None
        self._replica = await self._among_replicas()
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
                approvals=Approvals(self.kube, self._clock),
                slots=asyncio.Semaphore(self.settings.max_concurrent),
                evidence=self._evidence,
                heartbeats=self._heartbeats,
            ),
            self._replica,
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
        self._renewing = asyncio.create_task(self._replica.run(), name="renewal of the Lease")
        self._beating = asyncio.create_task(self._heartbeats.run(), name="heartbeats for gates")
        self.started = True
        gc.freeze()  # what start-up made stays: later collections need not walk it
        log.info("operator started", port=self.server.port, sync_enabled=self.settings.sync_enabled)

    async def _among_replicas(self) -> Replica:
        settings = self.settings
        own = Own(
            identity=identified(settings.identity),
            namespace=settings.own_namespace or await self.kube.namespace(),
            duration=settings.lease_duration,
            follows=frozenset(settings.namespaces),
        )
        return Replica(own, self.kube, self._rights, elapsed)

    async def _leave(self) -> None:
        """Let the other replicas have the accounts at once."""
        if self._renewing is not None and self._replica is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
            await self._replica.release()

    async def stop(self) -> None:
        """Stop in the opposite order."""
        self.started = False
        if self.manager is not None:
            await self.manager.close()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await self._leave()
        await self._rights.close()
        await self._evidence.close()
        await self.server.stop()
        await self._sides.close()
        await self.kube.__aexit__(None, None, None)

"""When a cycle leaves a bundle of evidence, and who writes it: a thread of its own, never the loop.

A bundle is written when what the account shows is not what its last bundle shows, when a finding was confirmed or
resolved, and otherwise at most once in `AT_MOST_EVERY`. A failure is logged and counted, and tried again with the next
cycle; nothing of it reaches the account's loop.
"""

import asyncio
import queue
import threading
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter

from accountsync.cycle import Cycle
from accountsync.ports import Clock
from accountsync.report.canonical import CanonicalError
from accountsync.report.evidence import bundle, record_of
from accountsync.report.evidence_store import Store

AT_MOST_EVERY = 60.0
"""Seconds between two bundles of an account that show the same."""
PARTING = 5.0
"""Seconds that the end of the process waits for the bundle that is being written."""
RESULTS = ("written", "failed", "dropped")
log = structlog.get_logger()


@dataclass(slots=True)
class Account:
    """What is remembered of one account. `shown`: a hash of what its last bundle shows. `busy`: a cycle of it waits."""

    name: str
    busy: bool = False
    shown: int | None = None
    written_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Job:
    """A cycle to be looked at: `at` in Unix ms, `monotonic` in seconds."""

    account: Account
    cycle: Cycle
    at: int
    monotonic: float


class Recorder:
    """Takes cycles from the loops and has bundles of them written. Its methods are for the loop's thread.

    `accountsync_evidence_bundles_total` counts by result: written; failed; dropped, because the account's cycle before
    was still waiting for the disk.
    """

    def __init__(self, store: Store, clock: Clock, registry: CollectorRegistry) -> None:
        self._store = store
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._trouble = ""
        """The failure of the last attempt; empty: it went well."""
        self.bundles = Counter(
            "accountsync_evidence_bundles_total", "Bundles of evidence, by result.", ["result"], registry=registry
        )
        for result in RESULTS:
            self.bundles.labels(result)

    def start(self) -> None:
        """Start the thread, which first sweeps what a dead process left half done."""
        if self._thread is None:
            # A daemon, because a disk that hangs must not keep the process from ending; no kill harms a bundle.
            self._thread = threading.Thread(target=self._work, name="evidence", daemon=True)
            self._thread.start()

    def offer(self, account: str, cycle: Cycle) -> None:
        """Have `cycle` of `account` (namespace/name) looked at, if it judged a snapshot. Never waits, never raises."""
        if cycle.evidence is None:
            return
        known = self._accounts.setdefault(account, Account(account))
        if known.busy:
            self.bundles.labels("dropped").inc()
            return
        known.busy = True
        self._jobs.put(Job(known, cycle, self._clock.now_ms(), self._clock.monotonic()))
        self.start()

    def forget(self, account: str) -> None:
        """The account is gone."""
        self._accounts.pop(account, None)

    async def close(self) -> None:
        """Let what waits be written, for at most PARTING seconds."""
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join, PARTING)

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._store.sweep()
        except OSError as error:
            self._tell(_described(error))
        while (job := self._jobs.get()) is not None:
            try:
                self._look_at(job)
            except Exception as error:  # noqa: BLE001 - evidence is never worth an operator
                self.bundles.labels("failed").inc()
                self._tell(_described(error))
            finally:
                job.account.busy = False

    def _look_at(self, job: Job) -> None:
        account, cycle = job.account, job.cycle
        shows = _shown(cycle)
        turned = shows != account.shown or cycle.outcome.confirmed or cycle.outcome.resolved
        if not turned and job.monotonic - account.written_at < AT_MOST_EVERY:
            return
        self._store.write(job.at, lambda link: bundle(record_of(account.name, cycle, job.at, link)))
        account.shown, account.written_at = shows, job.monotonic
        self.bundles.labels("written").inc()
        self._tell("")

    def _tell(self, trouble: str) -> None:
        """Log what changed: a full disk is one line, not one a cycle."""
        if trouble and trouble != self._trouble:
            log.error("evidence not written", folder=str(self._store.folder), error=trouble)
        elif self._trouble and not trouble:
            log.info("evidence is written again", folder=str(self._store.folder))
        self._trouble = trouble


def _shown(cycle: Cycle) -> int:
    """A hash of the findings that stand. It holds within this process only."""
    return hash(
        frozenset(
            (key, track.confirmed, track.finding.expected, track.finding.observed)
            for key, track in cycle.state.tracks.items()
        )
    )


def _described(error: Exception) -> str:
    """An unknown error's text may hold what must not be logged; of these we know what it is."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if isinstance(error, CanonicalError) else type(error).__name__

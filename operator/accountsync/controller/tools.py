"""What the loops of all accounts share."""

import asyncio
from dataclasses import dataclass

from accountsync.controller.approvals import Approvals
from accountsync.controller.events import Events
from accountsync.controller.heartbeats import Heartbeats
from accountsync.controller.kube import Kube
from accountsync.controller.rights import Rights
from accountsync.controller.settings import Settings
from accountsync.controller.shares import Shares
from accountsync.controller.sides import Sides
from accountsync.ports import Clock
from accountsync.report.evidence_recorder import Recorder
from accountsync.report.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Tools:
    """One of each."""

    settings: Settings
    kube: Kube
    rights: Rights
    sides: Sides
    events: Events
    metrics: Metrics
    clock: Clock
    shares: Shares
    approvals: Approvals
    slots: asyncio.Semaphore
    evidence: Recorder | None = None
    heartbeats: Heartbeats | None = None

"""The largest status that the writer lets through, stored by a real server-side apply."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.api.accounts import FULL, Cluster
from tests.support.controlplane import ControlPlane

from accountsync.api import caps
from accountsync.api.v1alpha1 import (
    Acknowledged,
    Condition,
    Finding,
    Findings,
    FindingState,
    Hold,
    HoldSource,
    Owner,
    PauseLevel,
    Severity,
    SnapshotSummary,
    Sync,
    TradingAccountStatus,
    Transition,
    WatchdogMemory,
    Watermarks,
)
from accountsync.controller.status import fitted
from accountsync.domain.holds import BY_PERSON

pytestmark = pytest.mark.cluster

LIMIT = 32 * 1024
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LARGE = Decimal("-123456789012345.67")
COUNT = 2**31 - 1
LONG = "x" * 5000
CONDITIONS = ("Ready", "InSync", "Paused", "CredentialsValid", "BotReachable", "Reconciling", "Stalled")
RULES = (
    "DuplicateKey",
    "NegativeQuantity",
    "TimestampRegression",
    "UnexpectedOrder",
    "MissingOrder",
    "OrderDivergence",
    "PositionMismatch",
    "BalanceMismatch",
    "UnattributedFill",
)


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Cluster:
    return Cluster(control_plane, "crd-status-size")


def key(number: int) -> str:
    return f"{number:0{caps.KEY_CAP}x}"


def largest_status() -> TradingAccountStatus:
    """Every list full, every text far over its cap. Holds that a digest lifts gather keys, but for UnknownOutcome."""
    gathered = tuple(key(number) for number in range(caps.HOLD_KEYS_CAP))
    return TradingAccountStatus(
        observed_generation=2**63 - 1,
        paused=True,
        paused_by=",".join(HoldSource),
        holds=tuple(
            Hold(
                source=source,
                reason=LONG,
                message=LONG,
                since=NOW,
                digest="d" * caps.DIGEST_CAP if source in BY_PERSON else None,
                base="b" * caps.DIGEST_CAP if source in BY_PERSON else None,
                keys=gathered if source in (HoldSource.POLICY, HoldSource.WATCHDOG) else (),
            )
            for source in HoldSource
        ),
        acknowledged=tuple(Acknowledged(key=key(number), notional=LARGE) for number in range(caps.ACKNOWLEDGED_CAP)),
        pause_level=PauseLevel.REDUCE_ONLY,
        watchdog=WatchdogMemory(last_auto_resume_time=NOW),
        sync=Sync.OUT_OF_SYNC,
        owner=Owner(holder=LONG, epoch=2**63 - 1),
        last_report_time=NOW,
        last_handled_reconcile_at=LONG,
        last_handled_resume=LONG,
        snapshot=SnapshotSummary(timestamp=NOW, positions=COUNT, open_orders=COUNT, pending_notional=LARGE),
        watermarks=Watermarks(snapshot=2**63 - 1, boot_id=LONG),
        findings=Findings(
            total=COUNT,
            confirmed=COUNT,
            by_rule=dict.fromkeys(RULES, COUNT),
            items=tuple(
                Finding(
                    rule=LONG,
                    severity=Severity.CRITICAL,
                    symbol=LONG,
                    id=LONG,
                    state=FindingState.CONFIRMED,
                    message=LONG,
                    expected=LONG,
                    observed=LONG,
                    notional=LARGE,
                    first_seen=NOW,
                    last_seen=NOW,
                    count=COUNT,
                )
                for _ in range(caps.FINDINGS_CAP)
            ),
        ),
        history=tuple(Transition(time=NOW, who=LONG, what=LONG, why=LONG) for _ in range(caps.HISTORY_CAP)),
        conditions=tuple(
            Condition(
                type=kind,
                status="Unknown",
                reason=LONG,
                message=LONG,
                observed_generation=2**63 - 1,
                last_transition_time=NOW,
            )
            for kind in CONDITIONS
        ),
    )


def size(thing: object) -> int:
    return len(json.dumps(thing, separators=(",", ":"), ensure_ascii=False).encode())


def test_the_largest_status_stays_under_32_kib_with_its_managed_fields(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=cluster.body("largest", FULL))
    status = fitted(largest_status().dump())
    assert len(status["findings"]["items"]) >= 20
    cluster.apply_status("largest", status)
    stored = cluster.get("largest", "--show-managed-fields")
    assert stored["status"] == status
    managed = stored["metadata"]["managedFields"]
    sizes = {name: size(value) for name, value in status.items()}
    assert size(status) + size(managed) < LIMIT, (size(status), size(managed), sizes)


def test_text_of_several_bytes_a_character_is_no_larger() -> None:
    for text in ("币安人生" * 1000, "🚀" * 1000, "é" * 1000):
        assert size(Transition(time=NOW, who=text, what=text, why=text).dump()) <= size(
            Transition(time=NOW, who=LONG, what=LONG, why=LONG).dump()
        )

"""What one bundle of evidence says: the files of a cycle, all made from one record.

In:  a `Cycle` that judged a good snapshot, and the bundle's place in its chain. Out: the bytes of six files.

    account_snapshot.json   the snapshot, and under "evidence" all else that the judgement was made of
    positions.json          its positions
    open_orders.json        its open orders
    mismatches.json         what differs, worst first; [] if nothing does
    summary.txt             the same for people
    sha256sums.txt          SHA-256 of the five above, as `sha256sum -c` reads it

Invariants: every file but the first follows from the first alone, so that a judgement can be repeated (`replay`);
equal records give equal bytes. Only plain data of the domain is written: no key, no header, no error's text.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from accountsync import __version__
from accountsync.cycle import Cycle
from accountsync.domain.account import AccountSnapshot, Order, Position
from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.confirm import Track, Tracks
from accountsync.domain.detect import Background, Evidence
from accountsync.domain.expected import ExpectedState
from accountsync.domain.finding import Answers, Detection, Finding, plain, worst_first
from accountsync.domain.policy import Policy
from accountsync.errors import Reason
from accountsync.report.canonical import encode

SNAPSHOT, POSITIONS, ORDERS = "account_snapshot.json", "positions.json", "open_orders.json"
MISMATCHES, SUMMARY, SUMS = "mismatches.json", "summary.txt", "sha256sums.txt"
FILES = (SNAPSHOT, MISMATCHES, ORDERS, POSITIONS, SUMMARY)
"""All that sha256sums.txt lists, in its order."""
FORMAT = "1"
MOST_LINES = 50
"""Mismatches, and things not judged, that a summary names."""


@dataclass(frozen=True, slots=True)
class Link:
    """A bundle's place in the chain of its folder.

    `sequence` counts from 1. `previous`: SHA-256 of the sha256sums.txt of the bundle before it; empty: it is the first.
    """

    name: str
    sequence: int
    previous: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a snapshot was judged with.

    `at`: Unix ms of the judgement. `belief_failure`: why there is no `expected`. `tracks` and `resolved`: what the
    cycle made of its differences.
    """

    account: str
    at: int
    chain: Link
    versions: Mapping[str, str]
    expected: ExpectedState | None
    belief_failure: Reason | None
    policy: Policy
    answers: Answers
    background: Background
    tracks: Tracks
    resolved: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(AccountSnapshot):
    """A snapshot together with all that its judgement can be repeated from: the content of account_snapshot.json."""

    evidence: Context

    def detect(self) -> Detection:
        """The differences, found anew."""
        told = self.evidence
        return Evidence(self, told.expected, told.policy, told.answers, told.background).detect()


class Standing(StrEnum):
    """What became of a difference. UNPROVEN: the exchange did not answer for it; IGNORED: people accept it."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    UNPROVEN = "unproven"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One row of mismatches.json: a finding, as the catalogue and the cycle see it.

    `names`: what each dialect calls the rule, where it has a name for it. `first_seen` None: no cycle tracks it.
    """

    rule: Rule
    names: Mapping[str, str]
    severity: str
    state: Standing
    key: str
    symbol: str
    id: str
    client_id: str
    expected: str
    observed: str
    message: str
    notional: Decimal
    fills: tuple[str, ...]
    own: bool
    proven: bool | None
    changed: int | None
    first_seen: int | None


def record_of(account: str, cycle: Cycle, at: int, chain: Link) -> Record:
    """The record of a cycle that judged a snapshot (`cycle.evidence` is there), at Unix ms `at`."""
    judged = cycle.evidence
    if judged is None:
        raise ValueError("a cycle that judged no snapshot has no evidence")
    context = Context(
        account=account,
        at=at,
        chain=chain,
        versions={"accountsync": __version__, "format": FORMAT},
        expected=judged.expected,
        belief_failure=cycle.bot.reason if cycle.bot else None,
        policy=judged.policy,
        answers=judged.answers,
        background=judged.background,
        tracks=cycle.state.tracks,
        resolved=cycle.outcome.resolved,
    )
    return Record(**{row.name: getattr(judged.snapshot, row.name) for row in fields(AccountSnapshot)}, evidence=context)


def bundle(record: Record) -> dict[str, bytes]:
    """The six files, by name. Raises CanonicalError for a record that can't be written."""
    detection = record.detect()
    rows = mismatches(record, detection)
    files = {
        SNAPSHOT: encode(record),
        MISMATCHES: encode(rows, tuple[Mismatch, ...]),
        ORDERS: encode(record.orders, tuple[Order, ...]),
        POSITIONS: encode(record.positions, tuple[Position, ...]),
        SUMMARY: summary(record, detection, rows).encode(errors="replace"),
    }
    return {**files, SUMS: "".join(f"{sha256(files[name])}  {name}\n" for name in FILES).encode()}


def sha256(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def mismatches(record: Record, detection: Detection) -> tuple[Mismatch, ...]:
    """The rows of mismatches.json, worst first. `detection`: that of `record`."""
    told = record.evidence
    ignored = frozenset(finding.key for finding in detection.ignoring(told.policy.ignores, told.at).ignored)
    return tuple(
        _mismatch(finding, told.tracks.get(finding.key), accepted=finding.key in ignored)
        for finding in sorted(detection.findings, key=worst_first)
    )


def _mismatch(finding: Finding, track: Track | None, *, accepted: bool) -> Mismatch:
    row = CATALOGUE[finding.rule]
    names = {
        "accountSync": row.account_sync,
        "reconcile": finding.reconcile,
        "desync": row.desync,
        "ledger": finding.ledger,
    }
    if accepted:
        state = Standing.IGNORED
    elif track is None:
        state = Standing.UNPROVEN
    else:
        state = Standing.CONFIRMED if track.confirmed else Standing.OPEN
    return Mismatch(
        rule=finding.rule,
        names={dialect: name for dialect, name in names.items() if name},
        severity=finding.severity.word,
        state=state,
        key=finding.key,
        symbol=finding.symbol,
        id=finding.id,
        client_id=finding.client_id,
        expected=finding.expected,
        observed=finding.observed,
        message=finding.message,
        notional=finding.notional,
        fills=finding.fills,
        own=finding.own,
        proven=finding.proven,
        changed=finding.changed,
        first_seen=track.first_seen if track else None,
    )


# --- for people ------------------------------------------------------------------------------------------------------


def summary(record: Record, detection: Detection, rows: tuple[Mismatch, ...]) -> str:
    """The text of summary.txt: a block of "name: value" lines, then a line for each mismatch. Times are UTC."""
    told = record.evidence
    confirmed = sum(row.state is Standing.CONFIRMED for row in rows)
    shown = {finding.key for finding in detection.findings}
    doubted = [f"{symbol} {what}" for symbol, what in sorted(detection.unknown)]
    holds = f"positions {record.held}, open orders {len(record.orders)}"
    lines = [
        f"account:    {told.account}",
        f"bundle:     {told.chain.name}, number {told.chain.sequence} of its chain",
        f"judged:     {_time(told.at)} by accountsync {told.versions['accountsync']}",
        f"snapshot:   {_time(record.timestamp)}, {holds}, pending notional {plain(record.pending_notional)}",
        f"belief:     {_belief(told)}",
        f"mismatches: {len(rows)}, of which confirmed {confirmed}",
        f"previous:   {told.chain.previous or 'none'}",
        *_first(f"not read:   {part}" for part in sorted(record.missing)),
        *_first(f"not judged: {text}" for text in [*doubted, *sorted(detection.unjudged)]),
        *_first(f"resolved:   {finding.key}" for finding in sorted(told.resolved, key=worst_first)),
        *_first(f"confirmed:  {key}, not shown now" for key in sorted(_standing(told) - shown)),
        *_first(f"{row.state} {row.severity} {row.names['accountSync']}: {row.message}" for row in rows),
    ]
    return "".join(f"{_printable(line)}\n" for line in lines)


def _belief(told: Context) -> str:
    if told.expected is None:
        return f"Unknown ({told.belief_failure or 'not told'})"
    return f"{_time(told.expected.as_of)}, boot {told.expected.boot_id or 'not told'}"


def _standing(told: Context) -> set[str]:
    return {key for key, track in told.tracks.items() if track.confirmed}


def _first(lines: Iterable[str]) -> list[str]:
    """Not more than a person reads."""
    listed = list(lines)
    rest = len(listed) - MOST_LINES
    return [*listed[:MOST_LINES], f"… and {rest} more of these"] if rest > 0 else listed


def _time(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"  # the exchange's word, beyond any calendar


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in line)

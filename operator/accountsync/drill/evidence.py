"""A drill's artifacts: what was proven, in files that can be checked with `sha256sum -c`.

Only the folder's name holds the wall time: two runs of one version leave the same bytes.
Raises OSError where a folder or file can't be written.
"""

import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from accountsync.drill.record import Played, results

SUMS = "sha256sums.txt"
UNLOGGED = frozenset({"e"})
"""Its one cycle proves nothing by itself: the metrics are the evidence."""


def new_folder(root: Path) -> Path:
    """A folder of its own for this run, named by the second in UTC in which it began."""
    parent = root / "account_sync_fire_drill"
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = parent / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            folder.mkdir()
        except FileExistsError:
            time.sleep(0.1)  # another run has this second
        else:
            return folder


def write(folder: Path, played: Sequence[Played]) -> str:
    """Write all artifacts; the sha256 of the file of sums."""
    files = {}
    for each in played:
        if each.letter not in UNLOGGED:
            files[f"drill_{each.letter}_log.txt"] = _text([*each.log, *each.record.lines, each.record.marker])
        files[f"drill_{each.letter}_metrics.txt"] = each.metrics
    sums = {name: _sha256(text) for name, text in files.items()}
    files["summary.txt"] = _summary(played, sums)
    sums["summary.txt"] = _sha256(files["summary.txt"])
    files[SUMS] = _listed(sums)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return _sha256(files[SUMS])


def _summary(played: Sequence[Played], sums: dict[str, str]) -> str:
    """The block to paste where evidence is asked for."""
    proven = [each.record.marker or f"{each.record.name}: not proven" for each in played]
    failures = [line for each in played for line in each.record.lines if line.startswith("FAIL")]
    head = _text(["account sync fire drill", *proven, *failures, results(played), f"check: sha256sum -c {SUMS}"])
    return head + _listed(sums)


def _listed(sums: dict[str, str]) -> str:
    """As sha256sum writes and reads it."""
    return _text([f"{digest}  {name}" for name, digest in sorted(sums.items())])


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines if line)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

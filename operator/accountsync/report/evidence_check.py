"""Whether a bundle of evidence is what was written, and whether its judgement holds.

In:  a folder: one bundle, or one of bundles. Out: a `Verdict`, or `NotEvidenceError` where there is nothing to check.

`verify` finds a changed byte, a missing or an added file, and a bundle that is missing, renamed or put elsewhere in its
chain. The chain is a plain hash chain: who can write the folder can write it all anew, so keep the newest hash
(`.chain.json`) elsewhere if that matters. `replay` needs nothing but the files.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from accountsync import __version__
from accountsync.report.canonical import CanonicalError, decode
from accountsync.report.evidence import FILES, MISMATCHES, ORDERS, POSITIONS, SNAPSHOT, SUMS, Record, bundle, sha256
from accountsync.report.evidence_store import (
    CHAIN,
    LEFTOVERS,
    Chain,
    Kept,
    bundles,
    follow,
    in_order,
    locked,
    noted_chain,
    read,
)

LINES = re.compile("".join(rf"([0-9a-f]{{64}})  {re.escape(name)}\n" for name in FILES).encode())
"""The whole of a sha256sums.txt."""
REPEATED = (MISMATCHES, ORDERS, POSITIONS)
"""What a replay compares. A summary is prose, which other versions may word otherwise."""


class NotEvidenceError(Exception):
    """There is nothing that could be checked. The message says what was expected."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`checked`: how many bundles. `problems`: a line each, that begins with the file. `note`: what was not checked."""

    checked: int
    problems: tuple[str, ...]
    note: str = ""


def verify(folder: Path) -> Verdict:
    """Whether nothing was changed. Raises NotEvidenceError, OSError."""
    if _is_bundle(folder):
        return Verdict(1, tuple(_changed(folder)), "one bundle alone: its place in the chain was not checked")
    with locked(folder, shared=True):
        paths = bundles(folder)
        if not paths and not (folder / CHAIN).exists():
            raise NotEvidenceError(_expectation(folder))
        problems = [*_strangers(folder)]
        for path in paths:
            problems += (f"{path.name}/{problem}" for problem in _changed(path))
        kept = in_order(found for path in paths if (found := read(path)))
        problems += _broken_links(kept)
        try:
            noted = noted_chain(folder)
        except CanonicalError as error:
            return Verdict(len(paths), (*problems, f"{CHAIN}: {error}"))
        if noted is None:
            note = f"without {CHAIN}, bundles that are missing at either end can't be noticed"
            return Verdict(len(paths), tuple(problems), note)
        return Verdict(len(paths), (*problems, *_cut_off(kept, noted)))


def replay(folder: Path) -> Verdict:
    """Whether the same is found again. Raises NotEvidenceError, also where a file can't be read; OSError."""
    if _is_bundle(folder):
        return Verdict(1, tuple(_differences(folder)))
    paths = bundles(folder)
    if not paths:
        raise NotEvidenceError(_expectation(folder))
    problems: list[str] = []
    gone = 0
    for path in paths:
        try:
            problems += (f"{path.name}/{problem}" for problem in _differences(path))
        except NotEvidenceError:
            if path.exists():
                raise
            gone += 1  # a running operator has removed it meanwhile, as the oldest
    return Verdict(len(paths) - gone, tuple(problems))


def _is_bundle(folder: Path) -> bool:
    return any((folder / name).exists() for name in (SNAPSHOT, SUMS))


def _expectation(folder: Path) -> str:
    return f"{folder} holds no evidence: expected a bundle (with {SNAPSHOT}) or a folder of bundles (account_sync)"


# --- one bundle ------------------------------------------------------------------------------------------------------


def _changed(path: Path) -> Iterator[str]:
    """What is not as sha256sums.txt says."""
    present = {entry.name: entry for entry in path.iterdir()}
    for name in sorted(present.keys() - {*FILES, SUMS}):
        yield f"{name}: an added file; expected only {', '.join((*FILES, SUMS))}"
    contents: dict[str, bytes] = {}
    for name in (*FILES, SUMS):
        if name not in present:
            yield f"{name}: it is missing"
        elif present[name].is_symlink() or not present[name].is_file():
            yield f"{name}: expected a regular file"
        else:
            contents[name] = present[name].read_bytes()
    if SUMS not in contents:
        return
    digests = LINES.fullmatch(contents[SUMS])
    if digests is None:
        yield f"{SUMS}: expected a line '<64 hex digits>  <file>' for each of {', '.join(FILES)}, in this order"
        return
    for name, digest in zip(FILES, digests.groups(), strict=True):
        expected = digest.decode()
        if name in contents and (actual := sha256(contents[name])) != expected:
            yield f"{name}: its sha256 is {actual}, expected {expected} by {SUMS}"


# --- the chain -------------------------------------------------------------------------------------------------------


def _strangers(folder: Path) -> Iterator[str]:
    known = {CHAIN, *(path.name for path in bundles(folder))}
    for path in sorted(folder.iterdir()):
        if path.name not in known and not path.name.startswith(LEFTOVERS):
            yield f"{path.name}: not a bundle; expected only folders named like 20261121T110000Z"


def _broken_links(kept: list[Kept]) -> Iterator[str]:
    for found in kept:
        if found.name != found.link.name:
            yield f"{found.name}: it was renamed: expected {found.link.name} by its {SNAPSHOT}"
    if kept and kept[0].link.sequence == 1 and kept[0].link.previous:
        yield f"{kept[0].name}/{SNAPSHOT}: the first of a chain names a previous one; expected none"
    for before, after in pairwise(kept):
        wanted, sequence = before.link.sequence + 1, after.link.sequence
        if sequence < wanted:
            yield f"{after.name}: number {sequence} of the chain stands twice; expected only {before.name}"
        elif sequence > wanted:
            yield _missing(wanted, sequence - 1, f"between {before.name} and {after.name}")
        elif after.link.previous != before.sums:
            yield (
                f"{after.name}/{SNAPSHOT}: evidence.chain.previous is {after.link.previous or 'empty'}, expected"
                f" {before.sums}, the sha256 of {before.name}/{SUMS}"
            )


def _cut_off(kept: list[Kept], noted: Chain) -> Iterator[str]:
    """What the ends of the chain lack of what the note says."""
    numbers = {found.link.sequence: found for found in kept}
    first, last = min(numbers, default=noted.newest + 1), max(numbers, default=noted.oldest - 1)
    if first > noted.oldest:
        yield _missing(noted.oldest, min(first - 1, noted.newest), f"expected as the oldest by {CHAIN}")
    if kept and last < noted.newest:
        yield _missing(last + 1, noted.newest, f"expected as the newest by {CHAIN}")
    newest = numbers.get(noted.newest)
    if newest is not None and newest.sums != noted.sums:
        yield f"{newest.name}/{SUMS}: its sha256 is {newest.sums}, expected {noted.sums} by {CHAIN}"
    end, _ = follow(kept, noted.newest, noted.sums)
    for found in kept:
        if found.link.sequence > end:
            yield f"{found.name}: number {found.link.sequence} was added; expected the chain to end at {end} by {CHAIN}"


def _missing(first: int, last: int, where: str) -> str:
    which = f"number {first} is" if first == last else f"numbers {first} to {last} are"
    return f"chain: {which} missing or unreadable, {where}"


# --- the judgement again ---------------------------------------------------------------------------------------------


def _differences(path: Path) -> Iterator[str]:
    """What another detection, from the record alone, makes otherwise."""
    try:
        record = decode(_bytes(path, SNAPSHOT), Record)
    except CanonicalError as error:
        raise NotEvidenceError(f"{path / SNAPSHOT} can't be replayed by accountsync {__version__}: {error}") from None
    made = bundle(record)
    for name in REPEATED:
        data = _bytes(path, name)
        if data == made[name]:
            continue
        lines = []
        if name == MISMATCHES:
            lines = [*_unlike(_rows(path / name, data), _rows(path / name, made[name]))]
        for line in lines or [f"not what {SNAPSHOT} says; expected the same rows, in the same order and canonical"]:
            yield f"{name}: {line}"


def _bytes(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise NotEvidenceError(f"{path} is no whole bundle: expected {name} in it") from None


def _rows(path: Path, data: bytes) -> dict[str, Any]:
    """Rows by their key."""
    try:
        return {row["key"]: row for row in orjson.loads(data)}
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise NotEvidenceError(f"{path}: expected a JSON array of mismatches: {error}") from None


def _unlike(told: dict[str, Any], again: dict[str, Any]) -> Iterator[str]:
    for key in sorted(told.keys() | again.keys()):
        if key not in again:
            yield f"{key}: in the file, and not found again"
        elif key not in told:
            yield f"{key}: found again, and not in the file"
        else:
            row, expected = told[key], again[key]
            for field in sorted(row.keys() | expected.keys()):
                if row.get(field) != expected.get(field):
                    yield f"{key}: {field} is {_json(row.get(field))}, expected {_json(expected.get(field))}"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()

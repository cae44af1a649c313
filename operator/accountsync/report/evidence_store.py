"""Bundles of evidence on disk: whole or not there at all, chained to one another, and not more than were asked for.

    <folder>/20261121T110000Z/      a bundle, named for the second of its judgement
    <folder>/20261121T110000Z-2/    the next one of that second
    <folder>/.chain.json            which of the chain are kept, and the hash of the newest

Invariants:
1. A folder has one chain, whoever writes: writing happens under a lock of the folder, and a bundle names its own
   place and the SHA-256 of the sha256sums.txt before it.
2. A bundle is written beside its place, synced and renamed; it leaves the same way. So a kill at any moment leaves
   only whole bundles, and hidden leftovers that the next writer sweeps.
3. `.chain.json` follows the newest bundle and goes before the removal of old ones: what a kill between leaves is a
   bundle that goes on where the note ends, or bundles that are older than it says.
4. Only what reads as a bundle is ever removed, the oldest first, and never the newest.
"""

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import structlog

from accountsync.report.canonical import CanonicalError, codec, decode, encode
from accountsync.report.evidence import SNAPSHOT, SUMS, Link, sha256

NAME = re.compile(r"(?P<stamp>\d{8}T\d{6}Z)(-(?P<number>[2-9]|[1-9]\d+))?", re.ASCII)
CHAIN = ".chain.json"
WRITING, REMOVING = ".writing-", ".removing-"
LEFTOVERS = (WRITING, REMOVING)
PATIENCE = 10.0
"""Seconds to wait for another process that has the folder locked."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """A bundle in the folder; `link` tells its name too. `sums`: SHA-256 of its sha256sums.txt. `size` in bytes."""

    name: str
    link: Link
    sums: str
    size: int


@dataclass(frozen=True, slots=True)
class Chain:
    """The content of `.chain.json`: sequence numbers of the ends of what is kept, and the newest one's `Kept.sums`."""

    oldest: int
    newest: int
    sums: str


class Store:
    """The bundles of one folder. `keep`: how many at most; `max_bytes`: how much at most, by the files' lengths."""

    def __init__(self, folder: Path, *, keep: int = 1000, max_bytes: int = 256 * 2**20) -> None:
        self.folder = folder
        self._keep = max(1, keep)
        self._max_bytes = max_bytes
        self._known: dict[str, Kept] = {}

    def write(self, at: int, compose: Callable[[Link], Mapping[str, bytes]]) -> Link:
        """Write the bundle that `compose` makes for its place in the chain; `at` (Unix ms) names it.

        Raises OSError (TimeoutError where another process holds the folder), and whatever `compose` raises.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            sweep(self.folder)
            kept = self._kept()
            noted = _noted(self.folder)
            newest, sums = _end(noted, kept)
            link = Link(_free_name(self.folder, at), newest + 1, sums)
            files = compose(link)
            self._publish(link.name, files)
            written = Kept(link.name, link, sha256(files[SUMS]), sum(map(len, files.values())))
            self._known[link.name] = written
            kept.append(written)
            old = self._beyond_limits(kept)
            # What somebody else took away does not move the beginning.
            before = noted.oldest if noted is not None else kept[0].link.sequence
            oldest = old[-1].link.sequence + 1 if old else before
            _replace(self.folder, CHAIN, encode(Chain(oldest, link.sequence, written.sums)))
            self._remove(old)
        return link

    def sweep(self) -> None:
        """Remove what a dead process left half done. Raises OSError."""
        if self.folder.is_dir():
            with locked(self.folder):
                sweep(self.folder)

    def _kept(self) -> list[Kept]:
        """The bundles there are, oldest first; each is read once. What can't be read is none."""
        names = [path.name for path in bundles(self.folder)]
        self._known = {name: found for name in names if (found := self._known.get(name) or read(self.folder / name))}
        return in_order(self._known.values())

    def _publish(self, name: str, files: Mapping[str, bytes]) -> None:
        draft = self.folder / f"{WRITING}{name}"
        draft.mkdir()
        try:
            for file, data in files.items():
                _write(draft / file, data)
            _sync(draft)
            draft.rename(self.folder / name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _sync(self.folder)

    def _beyond_limits(self, kept: list[Kept]) -> list[Kept]:
        """The oldest ones that are too many or too much."""
        size = sum(found.size for found in kept)
        count = 0
        while count < len(kept) - 1 and (len(kept) - count > self._keep or size > self._max_bytes):
            size -= kept[count].size
            count += 1
        return kept[:count]

    def _remove(self, old: list[Kept]) -> None:
        """The bundle that is written stays written, whatever happens here; what is left is tried again next time."""
        for found in old:
            gone = self.folder / f"{REMOVING}{found.name}"
            try:
                (self.folder / found.name).rename(gone)
                shutil.rmtree(gone)
            except OSError as error:
                log.warning("evidence: an old bundle can't be removed", bundle=found.name, error=error.strerror)


# --- what readers share ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the folder's lock; it ends with the process. Raises TimeoutError after PATIENCE, OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"another process has locked {folder}") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def bundles(folder: Path) -> list[Path]:
    """All folders that are named as a bundle, by name."""
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name) and _is_folder(path))


def read(path: Path) -> Kept | None:
    """The bundle at `path`; None: it can't be read as one."""
    try:
        size = sum(entry.stat().st_size for entry in os.scandir(path))
        return Kept(path.name, link_of((path / SNAPSHOT).read_bytes()), sha256((path / SUMS).read_bytes()), size)
    except (OSError, CanonicalError):
        return None


def in_order(found: Iterable[Kept]) -> list[Kept]:
    """By their place in the chain, oldest first."""
    return sorted(found, key=lambda kept: (kept.link.sequence, kept.name))


def follow(kept: Iterable[Kept], sequence: int, sums: str) -> tuple[int, str]:
    """The end of the chain that goes on after `sequence` and `sums`."""
    after = {(found.link.sequence, found.link.previous): found for found in kept}
    while (found := after.get((sequence + 1, sums))) is not None:
        sequence, sums = found.link.sequence, found.sums
    return sequence, sums


def _noted(folder: Path) -> Chain | None:
    """What a writer goes by."""
    try:
        return noted_chain(folder)
    except CanonicalError as error:
        log.warning("evidence: the note of the chain is broken: the bundles are followed", error=str(error))
        return None


def _end(noted: Chain | None, kept: list[Kept]) -> tuple[int, str]:
    """Sequence number and hash of the newest bundle, even where it was taken away."""
    if noted is not None:
        return follow(kept, noted.newest, noted.sums)
    return (kept[-1].link.sequence, kept[-1].sums) if kept else (0, "")


def sweep(folder: Path) -> None:
    """Remove what was left half done. Only under the lock: then nobody is at work on it."""
    for path in folder.iterdir():
        if not path.name.startswith(LEFTOVERS):
            continue
        if _is_folder(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def link_of(snapshot: bytes) -> Link:
    """The chain's link in an account_snapshot.json, whatever else is in it. Raises CanonicalError."""
    try:
        told = orjson.loads(snapshot)["evidence"]["chain"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        raise CanonicalError("expected JSON with evidence.chain in it") from None
    link: Link = codec(Link).load(told)
    return link


def noted_chain(folder: Path) -> Chain | None:
    """What `.chain.json` says; None: there is none. Raises CanonicalError."""
    try:
        data = (folder / CHAIN).read_bytes()
    except FileNotFoundError:
        return None
    return decode(data, Chain)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _free_name(folder: Path, at: int) -> str:
    stamp = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    named = [found for path in folder.iterdir() if (found := NAME.fullmatch(path.name)) and found["stamp"] == stamp]
    return f"{stamp}-{max(int(found['number'] or 1) for found in named) + 1}" if named else stamp


def _replace(folder: Path, name: str, data: bytes) -> None:
    draft = folder / f"{WRITING}{name}"
    _write(draft, data)
    draft.replace(folder / name)
    _sync(folder)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

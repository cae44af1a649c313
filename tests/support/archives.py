"""Release archives as their projects publish them, taken only with a checksum that is written down here.

envtest.sha512 holds the checksums of the publisher's own index (envtest-releases.yaml in
https://github.com/kubernetes-sigs/controller-tools); archives.sha256 those that the Helm, Prometheus and
Alertmanager projects publish beside their releases. An archive whose checksum is not there is not even asked
for, and nothing is unpacked before its checksum matched.
"""

import hashlib
import shutil
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CHECKSUMS = Path(__file__).with_name("archives.sha256")
TIMEOUT = 4.0
"""Seconds to connect, and to wait for more bytes."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Where a project publishes its releases, and which programs to take out of one."""

    base_url: str
    path: str
    """Below base_url, with {version} and {host}."""
    programs: tuple[str, ...]
    checksums: Path = CHECKSUMS
    """Its suffix names the kind of checksum."""

    def provide(self, version: str, host: str, folder: Path) -> None:
        """Put the programs of `version` for `host` (linux-amd64, ...) into `folder`.

        Raises RuntimeError when there is no such archive, it cannot be reached, or it is not the published one.
        """
        url = f"{self.base_url}/{self.path.format(version=version, host=host)}"
        name = url.rpartition("/")[2]
        expected = known(self.checksums).get(name)
        if expected is None:
            raise RuntimeError(f"{self.checksums.name} has no checksum for {name}")
        archive = folder.parent / name
        actual = _download(url, archive, self.checksums.suffix.removeprefix("."))
        if actual != expected:
            raise RuntimeError(f"refused {url}: its checksum is {actual[:16]}…, expected {expected[:16]}…")
        _unpack(archive, self.programs, folder)
        archive.unlink()


def known(checksums: Path) -> dict[str, str]:
    """The checksum of each archive, by its file name."""
    pairs = (line.split() for line in checksums.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def _download(url: str, archive: Path, kind: str) -> str:
    digest = hashlib.new(kind)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, archive.open("wb") as file:
            while block := response.read(1 << 20):
                digest.update(block)
                file.write(block)
    except urllib.error.HTTPError as error:
        with error:
            raise RuntimeError(f"{url} answered {error.code}") from None
    except OSError as error:
        raise RuntimeError(f"{url} could not be fetched: {getattr(error, 'reason', error)}") from error
    return digest.hexdigest()


def _unpack(archive: Path, programs: tuple[str, ...], folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            source = tar.extractfile(member) if member.isfile() and name in programs else None
            if source is None:
                continue
            with source, (folder / name).open("wb") as file:
                shutil.copyfileobj(source, file)
            (folder / name).chmod(0o755)

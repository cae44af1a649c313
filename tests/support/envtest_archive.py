"""The envtest archives that the controller-tools project publishes: etcd, kube-apiserver and kubectl.

envtest.sha512 lists the archives we take, with the checksums of the publisher's own index
(envtest-releases.yaml in https://github.com/kubernetes-sigs/controller-tools). Nothing else is downloaded,
and nothing is unpacked before its checksum matched.
"""

import hashlib
import shutil
import tarfile
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath

BASE_URL = "https://github.com/kubernetes-sigs/controller-tools/releases/download"
CHECKSUMS = Path(__file__).with_name("envtest.sha512")
PROGRAMS = ("etcd", "kube-apiserver", "kubectl")
TIMEOUT = 4.0
"""Seconds to connect, and to wait for more bytes."""


def provide(version: str, host: str, folder: Path, *, base_url: str = BASE_URL, checksums: Path = CHECKSUMS) -> None:
    """Put the programs of `version` for `host` (linux-amd64, ...) into `folder`.

    Raises RuntimeError when there is no such archive, it cannot be reached, or it is not the published one.
    """
    name = f"envtest-v{version}-{host}.tar.gz"
    expected = known(checksums).get(name)
    if expected is None:
        raise RuntimeError(f"{checksums.name} has no checksum for {name}")
    archive = folder / name
    url = f"{base_url}/envtest-v{version}/{name}"
    actual = _download(url, archive)
    if actual != expected:
        raise RuntimeError(f"refused {url}: its SHA-512 is {actual[:16]}…, expected {expected[:16]}…")
    _unpack(archive, folder)
    archive.unlink()


def known(checksums: Path = CHECKSUMS) -> dict[str, str]:
    """The SHA-512 of each archive, by its file name."""
    pairs = (line.split() for line in checksums.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def _download(url: str, archive: Path) -> str:
    digest = hashlib.sha512()
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


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            source = tar.extractfile(member) if member.isfile() and name in PROGRAMS else None
            if source is None:
                continue
            with source, (folder / name).open("wb") as file:
                shutil.copyfileobj(source, file)
            (folder / name).chmod(0o755)

"""Finds etcd, kube-apiserver and kubectl for a real control plane: `python -m tests.support.assets`.

In this order, and the first that has all three wins:

1. the folder that KUBEBUILDER_ASSETS names (if it is set, nothing else is tried);
2. the cache, $XDG_CACHE_HOME/accountsync/k8s/VERSION-OS-ARCH (by default under ~/.cache);
3. the official envtest archive, refused unless its SHA-512 is the one in envtest.sha512;
4. a build from source with Go (see go_build.py).

3 and 4 fill the cache: in a folder beside it, under a lock, renamed into place when complete, so that an
interrupted run leaves nothing half usable. ACCOUNTSYNC_K8S_VERSION chooses another Kubernetes version.
"""

import contextlib
import fcntl
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import envtest_archive, go_build
from tests.support.progress import say

DEFAULT_VERSION = "1.36.2"
PROGRAMS = envtest_archive.PROGRAMS
PLATFORMS = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

Provider = Callable[[str, str, Path], None]
"""Puts the programs of (version, platform) into a folder; OSError or RuntimeError says why it cannot."""


class AssetsError(RuntimeError):
    """The programs are nowhere and could not be had; the message lists what was tried and why it failed."""


@dataclass(frozen=True, slots=True)
class Assets:
    """Where the three programs are."""

    folder: Path

    @property
    def etcd(self) -> Path:
        """The etcd server."""
        return self.folder / "etcd"

    @property
    def kube_apiserver(self) -> Path:
        """The Kubernetes API server."""
        return self.folder / "kube-apiserver"

    @property
    def kubectl(self) -> Path:
        """The kubectl of the same version."""
        return self.folder / "kubectl"


PROVIDERS: Mapping[str, Provider] = {
    "the official envtest archive": envtest_archive.provide,
    "a build from source with Go": go_build.provide,
}


def find(environ: Mapping[str, str] = os.environ, providers: Mapping[str, Provider] = PROVIDERS) -> Assets:
    """The programs, fetched or built if need be, which can take minutes.

    Raises AssetsError.
    """
    if named := environ.get("KUBEBUILDER_ASSETS"):
        return _named(Path(named))
    version, host = _version(environ), _host()
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accountsync" / "k8s"
    target = cache / f"{version}-{host}"
    if not _missing(target):
        return Assets(target)
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / f"{target.name}.lock"):
        if _missing(target):  # or else another run has filled it meanwhile
            _fill(target, version, host, providers)
    return Assets(target)


def _named(folder: Path) -> Assets:
    if missing := _missing(folder):
        raise AssetsError(
            f"KUBEBUILDER_ASSETS is {folder}, which has no executable {', '.join(missing)}: "
            "name a folder with all three, or unset it"
        )
    return Assets(folder)


def _version(environ: Mapping[str, str]) -> str:
    wanted = environ.get("ACCOUNTSYNC_K8S_VERSION") or DEFAULT_VERSION
    version = wanted.removeprefix("v")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise AssetsError(f"ACCOUNTSYNC_K8S_VERSION is {wanted!r}, expected something like {DEFAULT_VERSION}")
    return version


def _host() -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    if system not in {"linux", "darwin"} or machine not in PLATFORMS:
        raise AssetsError(
            f"there is no control plane for {system} on {machine}: Linux and macOS on amd64 or arm64 have one"
        )
    return f"{system}-{PLATFORMS[machine]}"


def _missing(folder: Path) -> Sequence[str]:
    return [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]


def _fill(target: Path, version: str, host: str, providers: Mapping[str, Provider]) -> None:
    for left in target.parent.glob(f".{target.name}.*"):  # of a run that was killed: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    failures = []
    for name, provide in providers.items():
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            programs = work / "programs"
            programs.mkdir()
            provide(version, host, programs)
            if missing := _missing(programs):
                raise RuntimeError(f"it has no {', '.join(missing)}")  # noqa: TRY301
            shutil.rmtree(target, ignore_errors=True)  # incomplete, or we would not be here
            programs.rename(target)
        except (OSError, RuntimeError) as error:
            failures.append(f"{name}: {error}")
            say(f"not {name}: {error}")
        else:
            say(f"Kubernetes {version} is in {target}, from {name}")
            return
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise AssetsError(
        f"Kubernetes {version} for {host} could not be had:\n"
        + "\n".join(f"  - {failure}" for failure in failures)
        + "\nSet KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl, or mend one of these."
    )


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is fetching or building the control plane: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Print where the programs are, after fetching or building them if need be."""
    try:
        assets = find()
    except AssetsError as error:
        sys.exit(f"accountsync: {error}")
    for path in (assets.etcd, assets.kube_apiserver, assets.kubectl):
        print(path)


if __name__ == "__main__":
    main()

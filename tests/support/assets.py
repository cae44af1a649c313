"""Finds etcd, kube-apiserver and kubectl for a real control plane: `python -m tests.support.assets`.

KUBEBUILDER_ASSETS may name a folder that has them. Otherwise they come from the cache, which is filled from the
official envtest archive or by a build from source with Go (see cache.py, archives.py and go_build.py).
ACCOUNTSYNC_K8S_VERSION chooses another Kubernetes version. A cold build of all three takes 3 to 7 minutes on
two cores, and about 4 GB of disk while it lasts.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support import cache, go_build
from tests.support.archives import Archive

DEFAULT_VERSION = "1.36.2"
PROGRAMS = ("etcd", "kube-apiserver", "kubectl")
ARCHIVE = Archive(
    "https://github.com/kubernetes-sigs/controller-tools/releases/download",
    "envtest-v{version}/envtest-v{version}-{host}.tar.gz",
    PROGRAMS,
    Path(__file__).with_name("envtest.sha512"),
)

AssetsError = cache.AssetsError


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


def _build(version: str, host: str, folder: Path) -> None:
    go_build.ETCD.provide(version, host, folder)
    go_build.CONTROL_PLANE.provide(version, host, folder)


PROVIDERS: Mapping[str, cache.Provider] = {
    "the official envtest archive": ARCHIVE.provide,
    "a build from source with Go": _build,
}


def find(environ: Mapping[str, str] = os.environ, providers: Mapping[str, cache.Provider] = PROVIDERS) -> Assets:
    """The programs, fetched or built if need be, which can take minutes.

    Raises AssetsError.
    """
    return Assets(*cache.find(tool(environ, providers), environ=environ))


def tool(environ: Mapping[str, str] = os.environ, providers: Mapping[str, cache.Provider] = PROVIDERS) -> cache.Tool:
    """The three programs as one tool of the cache."""
    return cache.Tool(
        name="k8s",
        version=version(environ),
        programs=dict(zip(PROGRAMS, ("--version", "--version", "version --client"), strict=True)),
        fits=r"\bv?\d+\.\d+\.\d+",
        providers=providers,
        named_by="KUBEBUILDER_ASSETS",
    )


def version(environ: Mapping[str, str] = os.environ) -> str:
    """The Kubernetes version that tests run against."""
    wanted = environ.get("ACCOUNTSYNC_K8S_VERSION") or DEFAULT_VERSION
    chosen = wanted.removeprefix("v")
    if not re.fullmatch(r"\d+\.\d+\.\d+", chosen):
        raise AssetsError(f"ACCOUNTSYNC_K8S_VERSION is {wanted!r}, expected something like {DEFAULT_VERSION}")
    return chosen


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

"""Finds the third-party programs that tests use: `python -m tests.support.tools [NAME ...]` fetches and prints.

cache.py says where a tool is looked for; ACCOUNTSYNC_TOOLS_HELM3 and so on name a folder of one's own. A version
here is the one that is fetched or built. Debian's package of Prometheus may be older (Debian 12 has 2.42), so tests
must not ask more of it than that. Built from source they have no web pages, and
Prometheus finds no targets but static ones, files, HTTP and Kubernetes. For kube-score and the node's programs
no published archive is taken, since no checksum of one could be vouched for here.
"""

import functools
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.support import assets
from tests.support.archives import Archive
from tests.support.cache import AssetsError, Provider, Tool
from tests.support.cache import find as find_in_cache
from tests.support.debian import Package
from tests.support.go_build import NODE, GoBuild, GoFiles

BY_ARCHIVE = "the official release archive"
BY_DEBIAN = "Debian's package"
BY_GO = "a build from source with Go"

PROMETHEUS = r"2\.(?:4[2-9]|[5-9]\d|\d{3,})|(?:[3-9]|[1-9]\d+)\.\d+"
"""2.42, which has keep_firing_for, and newer."""
ALERTMANAGER = r"0\.(?:2[5-9]|[3-9]\d|\d{3,})|[1-9]\d*\.\d+"
"""0.25 and newer."""
KUBERNETES_MINOR_OF_HELM = "37"
"""Of Helm's client-go. Its release builds have Helm 3 render charts for that version; Helm 4 finds it by itself."""


def _helm(major: int, version: str, stamps: tuple[str, ...] = ()) -> Tool:
    module = f"helm.sh/helm/v{major}"
    stamped = tuple(f"{module}/{stamp}" for stamp in ("internal/version.version=v{version}", *stamps))
    providers: dict[str, Provider] = {
        BY_ARCHIVE: Archive("https://get.helm.sh", "helm-v{version}-{host}.tar.gz", ("helm",)).provide,
        BY_GO: GoBuild("helm", (f"{module}/cmd/helm",), 2 << 10, stamped).provide,
    }
    return Tool(f"helm{major}", version, {"helm": "version --short"}, rf"^v{major}\.", providers, any_on_path=True)


def _of_prometheus(
    name: str,
    version: str,
    programs: tuple[str, ...],
    versions: str,
    debian: Package | None = None,
    tags: str = "",
    added: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Tool:
    module = f"github.com/prometheus/{name}"
    path = f"{name}/releases/download/v{{version}}/{name}-{{version}}.{{host}}.tar.gz"
    packages = tuple(f"{module}/cmd/{program}" for program in programs)
    stamps = ("github.com/prometheus/common/version.Version={version}",)
    providers: dict[str, Provider] = {
        BY_ARCHIVE: Archive("https://github.com/prometheus", path, programs).provide,
        **({BY_DEBIAN: debian.provide} if debian else {}),
        BY_GO: GoBuild(name, packages, 4 << 10, stamps, tags, added=added).provide,
    }
    fits = rf"^(?:{'|'.join(programs)}), version (?:{versions})\."
    return Tool(name, version, dict.fromkeys(programs, "--version"), fits, providers, any_on_path=True)


_RENDERS = ("k8sVersionMajor=1", f"k8sVersionMinor={KUBERNETES_MINOR_OF_HELM}")
_TOOLS = (
    _helm(
        3, "3.22.0", tuple(f"pkg/{package}.{value}" for package in ("chartutil", "lint/rules") for value in _RENDERS)
    ),
    _helm(4, "4.3.0"),
    Tool(
        "kube-score",
        "1.20.0",
        {"kube-score": "version"},
        r"^kube-score version: 1\.",
        {
            BY_GO: GoBuild(
                "kube-score", ("github.com/zegl/kube-score/cmd/kube-score",), 1 << 10, ("main.version={version}",)
            ).provide
        },
        any_on_path=True,
    ),
    _of_prometheus(
        "prometheus",
        "3.15.0",
        ("prometheus", "promtool"),
        PROMETHEUS,
        Package("prometheus", {"prometheus": "usr/bin/prometheus", "promtool": "usr/bin/promtool"}),
        tags="remove_all_sd,enable_kubernetes_sd",  # the clouds' clients are most of what there is to compile
    ),
    # Debian's Alertmanager starts only where it is installed: it wants its templates under /usr/share.
    _of_prometheus(
        "alertmanager",
        "0.34.1",
        ("alertmanager", "amtool"),
        ALERTMANAGER,
        added={
            "github.com/prometheus/alertmanager": {"ui/app/dist/index.html": "<!doctype html><title>No pages</title>\n"}
        },
    ),
    Tool(
        "monitoring-crds",
        "0.85.0",
        {f"monitoring.coreos.com_{kind}.yaml": "" for kind in ("servicemonitors", "podmonitors", "prometheusrules")},
        "",
        {
            "the operator's Go module": GoFiles(
                "monitoring-crds",
                "github.com/prometheus-operator/prometheus-operator",
                "example/prometheus-operator-crd",
            ).provide
        },
    ),
)


def tools() -> dict[str, Tool]:
    """Every tool by its name, at the versions that the environment asks for."""
    node = Tool(
        "node",
        assets.version(),
        dict.fromkeys(("kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler"), "--version"),
        r"^Kubernetes v1\.",
        {BY_GO: NODE.provide},
        systems=("linux",),
    )
    return {tool.name: tool for tool in (*_TOOLS, node, assets.tool())}


@functools.cache
def find(name: str) -> Path:
    """The folder of a tool's programs, fetched or built if need be, which can take minutes.

    Raises AssetsError.
    """
    return find_in_cache(tools()[name])[0]


def main(names: list[str]) -> None:
    """Print where the programs are, after fetching or building them if need be."""
    known = tools()
    here = [name for name, tool in known.items() if platform.system().lower() in tool.systems]
    if unknown := set(names) - set(known):
        sys.exit(f"accountsync: there is no tool {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    try:
        chosen = [known[name] for name in names or here]
        for tool, folder in zip(chosen, find_in_cache(*chosen), strict=True):
            for program in tool.programs:
                print(folder / program)
    except AssetsError as error:
        sys.exit(f"accountsync: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])

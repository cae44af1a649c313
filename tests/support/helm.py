"""The real helm, 3 or 4, on the chart of this repository."""

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support import tools
from tests.support.running import ROOT

CHART = ROOT / "charts" / "accountsync"
RELEASE = NAMESPACE = "accountsync"
MONITORING, CILIUM = "monitoring.coreos.com/v1", "cilium.io/v2"
OLDEST = "--kube-version=1.31.0"
Document = dict[str, Any]


class HelmError(RuntimeError):
    """helm refused; the message is what it said."""


@dataclass(frozen=True)
class Helm:
    """One version of helm. `home` is where it keeps its cache and settings."""

    version: int
    home: Path

    def __call__(self, *arguments: str | Path, kubeconfig: Path | None = None, values: object = None) -> str:
        """What it prints. `values` are given as a file. Raises HelmError."""
        folders = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        command: list[str | Path] = [tools.find(f"helm{self.version}") / "helm", *arguments]
        if values is not None:
            command += ["--values", "-"]
        ran = subprocess.run(
            command,
            env={**os.environ, **folders, "KUBECONFIG": str(kubeconfig or "/dev/null")},
            input=None if values is None else yaml.safe_dump(values),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if ran.returncode:
            raise HelmError(f"{ran.stderr}{ran.stdout}")
        return ran.stdout

    def template(
        self, values: object = None, *arguments: str, apis: tuple[str, ...] = (), chart: Path = CHART
    ) -> list[Document]:
        """The chart rendered, for a cluster that also has `apis`."""
        have = [f"--api-versions={api}" for api in apis]
        command = ("template", RELEASE, str(chart), f"--namespace={NAMESPACE}", OLDEST, *have, *arguments)
        return parsed(_rendered(self, command, json.dumps(values or {})))

    def install(
        self,
        kubeconfig: Path,
        values: object = None,
        *,
        release: str = RELEASE,
        namespace: str = NAMESPACE,
        create_namespace: bool = True,
    ) -> str:
        """A release, without waiting for pods, which never come where there are no nodes. Gives the notes."""
        options = [f"--namespace={namespace}", *(["--create-namespace"] if create_namespace else [])]
        return self("install", release, CHART, *options, kubeconfig=kubeconfig, values=values or {})


@functools.lru_cache(maxsize=200)
def _rendered(helm: Helm, command: tuple[str, ...], values: str) -> str:
    """Many tests look at the same rendering."""
    return helm(*command, values=json.loads(values))


def parsed(text: str) -> list[Document]:
    """The documents that are not empty."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def only(documents: list[Document], kind: str, name: str = "") -> Document:
    """The one document of this kind, and name where one is given."""
    (found,) = (each for each in documents if each["kind"] == kind and name in {"", each["metadata"]["name"]})
    return found


def kinds(documents: list[Document]) -> set[str]:
    """Which kinds there are."""
    return {document["kind"] for document in documents}


def environment(deployment: Document) -> dict[str, str]:
    """The variables of the operator's container, but for those that only a pod has."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}

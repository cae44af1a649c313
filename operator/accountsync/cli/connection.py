"""Where the cluster is: --kubeconfig, else KUBECONFIG, else ~/.kube/config, else the pod. As kubectl does."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accountsync.cli.texts import printable

AT_ONCE = 20
"""Calls side by side."""
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ClusterError(Exception):
    """A call did not go well. `status`: its HTTP status, 0 where there was no answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cluster is, as options say it; empty: as kubectl finds it."""

    kubeconfig: str = ""
    context: str = ""


async def connected(place: Place) -> tuple[Any, str]:
    """The client, and the namespace that it speaks of where nobody says another."""
    from kubernetes.aio import client, config  # noqa: PLC0415 - takes half a second to import

    configuration = client.Configuration()
    configuration.connection_pool_maxsize = AT_ONCE
    files = place.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    if _exist(files):
        try:
            loader = await config.load_kube_config(
                files, place.context or None, client_configuration=configuration, persist_config=False
            )
            namespace = loader.current_context["context"].get("namespace")
        except Exception as error:  # noqa: BLE001 - what is wrong with a file comes in many types
            raise ClusterError(0, f"the kubeconfig {files} can't be used: {printable(str(error))}") from None
    elif place.kubeconfig or place.context:
        raise ClusterError(0, f"no cluster: there is no kubeconfig {files}")
    else:
        try:
            config.load_incluster_config(client_configuration=configuration)
            namespace = _own_namespace()
        except (config.ConfigException, OSError):
            raise ClusterError(
                0,
                f"no cluster: there is no kubeconfig {files}, and this is no pod: set KUBECONFIG or give --kubeconfig",
            ) from None
    return client.ApiClient(configuration), namespace or "default"


def _exist(files: str) -> bool:
    return any(Path(each).expanduser().exists() for each in files.split(os.pathsep) if each)


def _own_namespace() -> str:
    return OWN_NAMESPACE.read_text(encoding="utf-8").strip()

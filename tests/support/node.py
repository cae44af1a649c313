"""A real Kubernetes node on this machine: control plane, controllers, scheduler, kubelet, kube-proxy, containerd.

    python -m tests.support.node [--image ARCHIVE]... -- COMMAND [ARGUMENT ...]

runs COMMAND with KUBECONFIG and kubectl in namespaces of its own (see node_namespace.py), where nothing outlives it.
Needs Linux, root, and what `problems` asks for. There is no cluster DNS, no storage class and no load balancer, and
nothing enforces NetworkPolicies. The node's pods reach each other, Services and the API server, and nothing else.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import assets, guard, node_config, node_namespace, tools
from tests.support.cache import AssetsError
from tests.support.controlplane import ControlPlane, ControlPlaneError
from tests.support.node_config import ADDRESS, BRIDGE, NAME, PODS
from tests.support.progress import say
from tests.support.running import until

# Where the program is, and the Debian package that has it.
PACKAGES = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "mount": "mount",
}
PLUGIN_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
PLUGINS = ("bridge", "host-local", "loopback")
APISERVER = (
    "--allow-privileged=true",
    "--endpoint-reconciler-type=lease",
    "--kubelet-preferred-address-types=InternalIP",
)


def problems() -> list[str]:
    """Why no node can run here; empty if one can."""
    if platform.system() != "Linux":
        return ["a node needs Linux"]
    found = [] if os.geteuid() == 0 else ["a node needs root: it makes namespaces, mounts and network interfaces"]
    missing = {package for program, package in PACKAGES.items() if not shutil.which(program)}
    if _plugins() is None:
        missing.add("containernetworking-plugins")
    if missing:
        found.append(f"missing programs; in Debian's words: apt-get install {' '.join(sorted(missing))}")
    return found


def _plugins() -> Path | None:
    return next((path for path in PLUGIN_FOLDERS if all((path / name).exists() for name in PLUGINS)), None)


def fetch() -> None:
    """Have the node's programs here, fetched or built if need be: inside of the namespaces there is no network."""
    assets.find()
    tools.find("node")


class Node:
    """From `with` on Ready, with the images of `archives` (OCI or Docker, one must be `node_config.PAUSE`).

    Only inside `node_namespace.run`, which is also what ends the containers.
    """

    def __init__(self, archives: Sequence[Path]) -> None:
        self._archives = archives
        self._programs = tools.find("node")
        self._guards: dict[str, subprocess.Popen[bytes]] = {}
        self.plane = ControlPlane(
            address=ADDRESS, audit=False, apiserver_arguments=APISERVER, programs=assets.find(), ports=lambda: 6443
        )

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._guards)):
            guard.stop(self._guards.pop(name))
        self.plane.stop()

    def log(self, name: str, lines: int = 40) -> str:
        """The end of what a program of the node printed."""
        path = self.plane.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def check_alive(self) -> None:
        """Raise ControlPlaneError if a program of the node has ended."""
        self.plane.check_alive()
        for name, process in self._guards.items():
            if process.poll() is not None:
                raise ControlPlaneError(f"{name} ended with status {process.returncode}:\n{self.log(name)}")

    def _start(self) -> None:
        for command in (
            ("ip", "link", "add", BRIDGE, "type", "bridge"),
            ("ip", "address", "add", f"{ADDRESS}/{PODS.rpartition('/')[2]}", "dev", BRIDGE),
            ("ip", "link", "set", BRIDGE, "up"),
            ("ip", "route", "add", "default", "dev", BRIDGE),  # so that a Service's address has a way to the filter
        ):
            subprocess.run(command, check=True)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self.plane.start()
        folder, kubeconfig = self.plane.folder, self.plane.kubeconfig
        self._write(folder)
        self._run("containerd", "containerd", f"--config={folder}/containerd.toml")
        self._run(
            "kube-controller-manager",
            *(f"{self._programs}/kube-controller-manager", f"--kubeconfig={kubeconfig}", "--leader-elect=false"),
            *(
                f"--root-ca-file={self.plane.ca_file}",
                f"--service-account-private-key-file={folder}/service-accounts.key",
            ),
        )
        self._run(
            "kube-scheduler", f"{self._programs}/kube-scheduler", f"--kubeconfig={kubeconfig}", "--leader-elect=false"
        )
        until(self._containerd_answers, "answer from containerd")
        for archive in self._archives:
            self._ctr("images", "import", str(archive))
        self._run(
            "kubelet",
            *(f"{self._programs}/kubelet", f"--config={folder}/kubelet.yaml", f"--kubeconfig={kubeconfig}"),
            *(f"--root-dir={folder}/kubelet", f"--cert-dir={folder}/kubelet-tls"),
            *(f"--hostname-override={NAME}", f"--node-ip={ADDRESS}"),
        )
        self._run("kube-proxy", f"{self._programs}/kube-proxy", f"--config={folder}/kube-proxy.yaml")
        until(self._ready, "Ready node", 120)

    def _write(self, folder: Path) -> None:
        plugins = _plugins()
        assert plugins is not None
        (folder / "containerd.toml").write_text(node_config.containerd(folder, plugins))
        (folder / "cni").mkdir()
        (folder / "cni" / "accountsync.conflist").write_text(node_config.network(folder))
        (folder / "kubelet.yaml").write_text(node_config.kubelet(folder))
        (folder / "kube-proxy.yaml").write_text(node_config.kube_proxy(self.plane.kubeconfig))
        (folder / "resolv.conf").write_text("")

    def _run(self, name: str, *command: str) -> None:
        folder = self.plane.folder
        with (folder / f"{name}.log").open("wb") as log:
            self._guards[name] = guard.start(list(command), folder=folder, output=log)

    def _ctr(self, *arguments: str) -> str:
        command = ["ctr", f"--address={node_config.socket(self.plane.folder)}", "--namespace=k8s.io", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise ControlPlaneError(f"ctr {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def _containerd_answers(self) -> bool:
        self.check_alive()
        try:
            self._ctr("version")
        except ControlPlaneError:
            return False
        return True

    def _ready(self) -> bool:
        self.check_alive()
        nodes = json.loads(self.plane.kubectl("get", "nodes", "-o", "json"))["items"]
        conditions = {row["type"]: row["status"] for node in nodes for row in node["status"].get("conditions", ())}
        accounts = self.plane.kubectl("get", "serviceaccounts", "-n", "default", "-o", "name")
        return conditions.get("Ready") == "True" and "serviceaccount/default" in accounts


def main() -> None:
    """Outside of the namespaces, and then again inside."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", action="append", default=[], type=Path, help="an archive to load; may be repeated")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if not options.inside:
        if found := problems():
            sys.exit("accountsync: " + "\naccountsync: ".join(found))
        fetch()
        folder = node_namespace.make_folder()
        sys.exit(node_namespace.run([sys.executable, "-m", "tests.support.node", "--inside", *sys.argv[1:]], folder))
    try:
        with Node(options.image) as node:
            say("the node is ready")
            ended = subprocess.run(options.command, env={**os.environ, **node.plane.env()}, check=False)
    except (ControlPlaneError, AssetsError, TimeoutError) as error:
        sys.exit(f"accountsync: {error}")
    sys.exit(ended.returncode)


if __name__ == "__main__":
    main()

"""A real Kubernetes control plane without nodes: etcd and kube-apiserver on loopback, ready in seconds.

TLS, RBAC, ServiceAccount tokens, CRDs with CEL and ValidatingAdmissionPolicies are the real ones. There is no
controller manager: ownerReferences are not collected, aggregated ClusterRoles are not filled, namespaces get
no `default` ServiceAccount and stay Terminating when deleted.

`python -m tests.support.controlplane` runs one with the CRDs of this repository until Ctrl-C.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import assets, credentials, guard
from tests.support.progress import say

CRDS = Path(__file__).parents[2] / "crds"
START_TIMEOUT = 120.0
ATTEMPTS = 5
TAKEN = "address already in use"
BOOTSTRAPPED = (
    "/readyz",
    "/api/v1/namespaces/default",
    "/api/v1/namespaces/kube-system",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/view",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/cluster-admin",
)
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ControlPlaneError(RuntimeError):
    """The control plane did not start, or kubectl failed; the message carries what the program said."""


class _PortTakenError(ControlPlaneError):
    """Someone took our port between the moment we found it free and the moment the program bound it."""


class ControlPlane:
    """etcd and kube-apiserver of one's own, from `start` to `stop`, or as a context manager.

    Everything is in `folder`, a temporary folder of mode 0700. Both programs and the folder are gone after
    `stop`, and also after this process was killed (see guard.py). With `audit`, each request is logged at
    Metadata level to `audit_log`; read it with `audit_events`. `address` is one of this machine's, by which pods of a
    node reach it too (see node.py).
    """

    programs: assets.Assets
    """etcd, kube-apiserver and kubectl."""
    folder: Path
    """The temporary folder."""
    kubeconfig: Path
    """Of an administrator (group system:masters)."""
    url: str
    """https://ADDRESS:PORT."""
    ca_file: Path
    """The certificate authority that vouches for `url`, and for nothing else."""
    admin_token: str
    """The administrator's bearer token."""
    audit_log: Path
    """JSON lines, one a request; only with `audit`."""

    def __init__(
        self,
        *,
        audit: bool = True,
        programs: assets.Assets | None = None,
        apiserver_arguments: Sequence[str] = (),
        ports: Callable[[], int] | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.audit = audit
        self._given = programs
        self.apiserver_arguments = apiserver_arguments
        self.ports = ports or free_port
        self.address = address
        self._guards: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start both programs and wait until the API server has its bootstrap objects.

        Raises ControlPlaneError with the end of the failed program's log, or AssetsError.
        """
        assert not self._guards, "this control plane runs already"
        self.programs = self._given or assets.find()
        self.folder = Path(tempfile.mkdtemp(prefix="accountsync-k8s-"))
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self.audit_log = self.folder / "audit.log"
        self.ca_file = self.folder / "ca.crt"
        self.admin_token = secrets.token_urlsafe(32)
        try:
            self._write_inputs()
            etcd_url = self._start_etcd()
            self._start_apiserver(etcd_url)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill both programs and remove the folder. What they held was only ever for tests."""
        for name in reversed(list(self._guards)):
            guard.stop(self._guards.pop(name))
        shutil.rmtree(self.folder, ignore_errors=True)

    def check_alive(self) -> None:
        """Raise ControlPlaneError if a program has ended."""
        for name, process in self._guards.items():
            if process.poll() is not None:
                raise ControlPlaneError(f"{name} ended with status {process.returncode}:\n{self._log_end(name)}")

    def env(self) -> dict[str, str]:
        """The environment in which kubectl, and every other client, finds this control plane."""
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.folder / "kubectl-cache"),
            "PATH": f"{self.programs.folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        check: bool = True,
        kubeconfig: Path | None = None,
    ) -> str:
        """What the real kubectl prints on standard output, by default as the administrator.

        Raises ControlPlaneError with its standard error, unless `check` is off.
        """
        result = subprocess.run(
            [self.programs.kubectl, "--kubeconfig", kubeconfig or self.kubeconfig, *arguments],
            input=input,
            env={**os.environ, **self.env()},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check and result.returncode:
            raise ControlPlaneError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def kubeconfig_for_service_account(self, namespace: str, name: str, duration: str = "1h") -> Path:
        """A kubeconfig with nothing but a fresh token (TokenRequest) of an existing ServiceAccount."""
        token = self.kubectl("create", "token", "--namespace", namespace, name, "--duration", duration)
        path = self.folder / f"{namespace}.{name}.{secrets.token_hex(4)}.kubeconfig"
        self._write_kubeconfig(path, f"{namespace}/{name}", token.strip(), namespace)
        return path

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """The audit log so far, oldest first: `user.username`, `verb`, `objectRef.resource`, ..."""
        with self.audit_log.open() as lines:
            for line in lines:
                if line.endswith("\n"):  # the last may be half written
                    yield json.loads(line)

    def _write_inputs(self) -> None:
        self._write("tokens.csv", f'{self.admin_token},admin,admin,"system:masters"\n')
        self._write("service-accounts.key", credentials.private_key())
        self._write("audit-policy.yaml", json.dumps(AUDIT_POLICY))

    def _start_etcd(self) -> str:
        url = f"unix://{self.folder}/etcd.sock"
        self._run(
            "etcd",
            [
                f"{self.programs.etcd}",
                f"--data-dir={self.folder}/etcd",
                f"--listen-client-urls={url}",
                "--advertise-client-urls=http://127.0.0.1:1",  # required, read by nobody: the API server has the socket
                "--listen-peer-urls=http://127.0.0.1:0",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        )
        return url

    def _start_apiserver(self, etcd_url: str) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            port = self.ports()
            self.url = f"https://{self.address}:{port}"
            self._run("kube-apiserver", self._apiserver_command(etcd_url, port))
            try:
                self._await_ready()
            except _PortTakenError:
                guard.stop(self._guards.pop("kube-apiserver"))  # has ended, so the folder stays
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def _apiserver_command(self, etcd_url: str, port: int) -> list[str]:
        folder = self.folder
        audit = [
            f"--audit-policy-file={folder}/audit-policy.yaml",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=10000",  # MB: never rotated
        ]
        return [
            f"{self.programs.kube_apiserver}",
            f"--etcd-servers={etcd_url}",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            f"--secure-port={port}",
            f"--cert-dir={folder}/tls",  # the API server makes its own certificate there
            f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder}/service-accounts.key",
            f"--service-account-signing-key-file={folder}/service-accounts.key",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",  # no Endpoints on a loopback address
            # Priority and fairness stays on, with room for several hundred clients at once.
            "--max-requests-inflight=3000",
            "--max-mutating-requests-inflight=1000",
            *(audit if self.audit else []),
            *self.apiserver_arguments,
        ]

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._guards[name] = guard.start(command, folder=self.folder, output=log)

    def _await_ready(self) -> None:
        self.ca_file.unlink(missing_ok=True)  # of an attempt on another port: the kubeconfig goes with it
        deadline = time.monotonic() + START_TIMEOUT
        pending = list(BOOTSTRAPPED)
        problem: object = "no answer yet"
        while pending:
            self._check_port()
            self.check_alive()
            if time.monotonic() > deadline:
                end = self._log_end("kube-apiserver")
                raise ControlPlaneError(f"not ready after {START_TIMEOUT:.0f} s ({pending[0]}: {problem}):\n{end}")
            try:
                self._get(pending[0])
                pending.pop(0)
            except OSError as error:
                problem = error
                time.sleep(0.05)

    def _get(self, path: str) -> None:
        if not self.ca_file.exists():
            self._take_ca()
        context = ssl.create_default_context(cafile=str(self.ca_file))
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.admin_token}"})
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            direct.open(request, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
            raise OSError(f"HTTP status {error.code}") from None

    def _take_ca(self) -> None:
        chain = (self.folder / "tls" / "apiserver.crt").read_text()
        end = "-----END CERTIFICATE-----\n"
        if chain.count(end) < 2:
            raise OSError("its certificate is being written")
        self._write("ca.crt", chain.split(end)[1] + end)
        self._write_kubeconfig(self.kubeconfig, "admin", self.admin_token, "default")

    def _check_port(self) -> None:
        process = self._guards["kube-apiserver"]
        if process.poll() is not None and TAKEN in (end := self._log_end("kube-apiserver")):
            raise _PortTakenError(f"kube-apiserver found no free port in {ATTEMPTS} attempts:\n{end}")

    def _log_end(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def _write_kubeconfig(self, path: Path, user: str, token: str, namespace: str) -> None:
        text = credentials.kubeconfig(
            url=self.url, ca=self.ca_file.read_bytes(), user=user, token=token, namespace=namespace
        )
        self._write(path.name, text)

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


def free_port() -> int:
    """A TCP port on loopback that nobody holds right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Run a control plane with this repository's CRDs until a signal."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    plane = ControlPlane()
    try:
        with plane:
            crds = sorted(CRDS.glob("*.yaml"))
            if crds:
                plane.kubectl("apply", "--server-side", *(f"--filename={path}" for path in crds))
            env = plane.env()
            print(f"export KUBECONFIG={env['KUBECONFIG']}")
            print(f"export PATH={plane.programs.folder}:$PATH", flush=True)
            say(f"Kubernetes on {plane.url} with {len(crds)} CRDs; Ctrl-C ends it and removes its data")
            while True:
                time.sleep(1)
                plane.check_alive()
    except KeyboardInterrupt:
        say("the control plane is gone")
    except (ControlPlaneError, assets.AssetsError) as error:
        sys.exit(f"accountsync: {error}")


if __name__ == "__main__":
    main()

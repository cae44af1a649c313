"""Where the API server is and how to sign in there: the pod's service account, or a kubeconfig.

In:  the path of a kubeconfig, or nothing. Out: `Access`, or AccessError, which says what is wrong with which file.

Tokens are read anew for each request and certificates when their files change, since both are replaced in place.
"""

import base64
import binascii
import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOME: Final = "~/.kube/config"


class AccessError(Exception):
    """There is no way to the API server."""


@dataclass(slots=True)
class Access:
    """`url`: the API server's, without a closing slash. The fields that follow are as a kubeconfig has them.

    Of a pair of a file and data, the data counts.
    """

    url: str
    namespace: str = ""
    token: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    ca_data: bytes = b""
    certificate_file: Path | None = None
    certificate_data: bytes = b""
    key_file: Path | None = None
    key_data: bytes = b""
    verify: bool = True
    server_name: str = ""
    _made: tuple[tuple[int, ...], ssl.SSLContext] | None = field(default=None, repr=False)

    def headers(self) -> dict[str, str]:
        """What a request signs in with. Raises AccessError."""
        token = self.token
        if self.token_file is not None:
            token = _text(self.token_file).strip()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def context(self) -> ssl.SSLContext:
        """For TLS; the same one until a file changes. Raises AccessError."""
        files = [path for path in (self.ca_file, self.certificate_file, self.key_file) if path]
        try:
            stamps = tuple(path.stat().st_mtime_ns for path in files)
            if self._made is None or self._made[0] != stamps:
                self._made = stamps, self._context()
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise AccessError(f"the certificates of the API server's access can't be used: {error}") from None
        return self._made[1]

    def _context(self) -> ssl.SSLContext:
        data = self.ca_data.decode("ascii") or None
        context = ssl.create_default_context(cafile=self.ca_file if self.ca_file and not data else None, cadata=data)
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with _as_file(self.certificate_data, self.certificate_file) as certificate:
            if certificate is not None:
                with _as_file(self.key_data, self.key_file) as key:
                    context.load_cert_chain(certificate, key)
        return context


def find(kubeconfig: str = "") -> Access:
    """The way that `kubeconfig` says, else the pod's, else what KUBECONFIG or the home folder says. AccessError."""
    if kubeconfig:
        return from_kubeconfig(Path(kubeconfig))
    if "KUBERNETES_SERVICE_HOST" in os.environ and (SERVICE_ACCOUNT / "token").exists():
        return in_cluster(os.environ, SERVICE_ACCOUNT)
    for text in os.environ.get("KUBECONFIG", HOME).split(os.pathsep):
        path = Path(text).expanduser()
        if text and path.exists():
            return from_kubeconfig(path)
    raise AccessError("no cluster: this is no pod with a service account's token; set KUBECONFIG or give --kubeconfig")


def in_cluster(env: Mapping[str, str], folder: Path) -> Access:
    """The way of a pod whose service account is mounted at `folder`. Raises AccessError."""
    host, port = env["KUBERNETES_SERVICE_HOST"], env.get("KUBERNETES_SERVICE_PORT", "443")
    return Access(
        url=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=own_namespace(folder),
        token_file=folder / "token",
        ca_file=folder / "ca.crt",
    )


def own_namespace(folder: Path = SERVICE_ACCOUNT) -> str:
    """The pod's; empty: this is no pod."""
    try:
        return (folder / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def from_kubeconfig(path: Path) -> Access:
    """The way of the current context. Raises AccessError."""
    import yaml  # noqa: PLC0415 - a pod needs none

    try:
        document = yaml.safe_load(_text(path))
        context = _named(document, "context", document.get("current-context", ""))
        cluster = _named(document, "cluster", context["cluster"])
        user = _named(document, "user", context.get("user", "")) if context.get("user") else {}
        return _access(path.resolve().parent, context, cluster, user)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, binascii.Error, StopIteration) as error:
        kind = type(error).__name__
        raise AccessError(f"the kubeconfig {path} can't be used ({kind}): has it a current context?") from None


def _access(folder: Path, context: Mapping[str, Any], cluster: Mapping[str, Any], user: Mapping[str, Any]) -> Access:
    if not user.keys().isdisjoint({"exec", "auth-provider"}):
        raise AccessError(
            "the kubeconfig's user signs in through another program (exec, auth-provider), which the gate does not"
            " start: give it a kubeconfig with a token, tokenFile or client certificate"
        )

    def file(part: Mapping[str, Any], name: str) -> Path | None:
        return folder / part[name] if part.get(name) else None

    def data(part: Mapping[str, Any], name: str) -> bytes:
        return base64.b64decode("".join((part.get(f"{name}-data") or "").split()), validate=True)

    return Access(
        url=str(cluster["server"]).rstrip("/"),
        namespace=str(context.get("namespace", "")),
        token=str(user.get("token", "")),
        token_file=file(user, "tokenFile"),
        ca_file=file(cluster, "certificate-authority"),
        ca_data=data(cluster, "certificate-authority"),
        certificate_file=file(user, "client-certificate"),
        certificate_data=data(user, "client-certificate"),
        key_file=file(user, "client-key"),
        key_data=data(user, "client-key"),
        verify=not cluster.get("insecure-skip-tls-verify", False),
        server_name=str(cluster.get("tls-server-name", "")),
    )


def _named(document: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(row for row in document[f"{kind}s"] if row["name"] == name)[kind]
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f"{path} can't be read: {error}") from None


@contextlib.contextmanager
def _as_file(data: bytes, path: Path | None) -> Iterator[Path | None]:
    """`path`, or `data` as a file that only the owner reads, for as long as it takes to load it."""
    if not data:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="accountsync-gate-") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)

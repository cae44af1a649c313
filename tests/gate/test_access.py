"""How the gate finds and trusts the API server."""

import base64
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.support.controlplane import ControlPlane

from accountsync.gate.access import Access, AccessError, find, from_kubeconfig, in_cluster, own_namespace


def written(path: Path, cluster: Any = None, user: Any = None, **document: Any) -> Path:
    whole = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "trading"}}],
        "clusters": [{"name": "k", "cluster": cluster or {"server": "https://127.0.0.1:6443/"}}],
        "users": [{"name": "u", "user": user or {"token": "t0"}}],
        **document,
    }
    path.write_text(json.dumps(whole))
    return path


def test_a_kubeconfig_is_read_as_kubectl_reads_it(tmp_path: Path) -> None:
    access = from_kubeconfig(written(tmp_path / "config"))
    assert (access.url, access.namespace) == ("https://127.0.0.1:6443", "trading")
    assert access.headers() == {"Authorization": "Bearer t0"}


def test_files_are_found_beside_the_kubeconfig_and_a_token_is_read_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    access = from_kubeconfig(written(tmp_path / "config", user={"tokenFile": "token"}))
    assert access.headers() == {"Authorization": "Bearer one"}
    (tmp_path / "token").write_text("two")
    assert access.headers() == {"Authorization": "Bearer two"}
    (tmp_path / "token").unlink()
    with pytest.raises(AccessError, match="token can't be read"):
        access.headers()


@pytest.mark.cluster
def test_certificates_are_taken_as_files_or_as_data_and_anew_when_they_change(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    ca = control_plane.ca_file.read_bytes()
    (tmp_path / "ca.crt").write_bytes(ca)
    certificate = control_plane.folder / "tls" / "apiserver.crt"
    key = control_plane.folder / "tls" / "apiserver.key"
    as_files = {"client-certificate": str(certificate), "client-key": str(key)}
    as_data = {f"{name}-data": base64.b64encode(Path(path).read_bytes()).decode() for name, path in as_files.items()}
    for cluster, user in (
        ({"server": "https://x", "certificate-authority": "ca.crt"}, as_files),
        ({"server": "https://x", "certificate-authority-data": base64.b64encode(ca).decode()}, as_data),
    ):
        access = from_kubeconfig(written(tmp_path / "config", cluster, user))
        context = access.context()
        assert len(context.get_ca_certs()) == 1
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert access.context() is context
    by_file = Access("https://x", ca_file=tmp_path / "ca.crt")
    before = by_file.context()
    (tmp_path / "ca.crt").write_bytes(ca + ca)
    assert by_file.context() is not before
    (tmp_path / "ca.crt").write_text("nothing")
    with pytest.raises(AccessError, match="certificates of the API server's access"):
        by_file.context()


@pytest.mark.parametrize(
    ("cluster", "user", "document", "told"),
    [
        (None, {"exec": {"command": "aws"}}, {}, "which the gate does not start"),
        (None, None, {"current-context": "d"}, "has it a current context"),
        (None, None, {"clusters": []}, "can't be used"),
        ({"server": "https://x", "certificate-authority-data": "?"}, None, {}, "can't be used"),
    ],
)
def test_a_kubeconfig_that_is_no_use_is_named_with_its_file(
    tmp_path: Path, cluster: Any, user: Any, document: dict[str, Any], told: str
) -> None:
    with pytest.raises(AccessError, match=told):
        from_kubeconfig(written(tmp_path / "config", cluster, user, **document))


def test_a_pod_is_told_by_its_service_account(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("pod")
    (tmp_path / "namespace").write_text("trading\n")
    access = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}, tmp_path)
    assert (access.url, access.namespace) == ("https://[fd00::1]:6443", "trading")
    assert access.headers() == {"Authorization": "Bearer pod"}
    assert own_namespace(tmp_path / "none") == ""


def test_without_any_of_these_there_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(AccessError, match="set KUBECONFIG or give --kubeconfig"):
        find()
    path = written(tmp_path / "config")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{path}")
    assert find().namespace == find(str(path)).namespace == "trading"

"""The programs that tests take from elsewhere: refused archives, Debian's packages, pinned versions, real output."""

import hashlib
import http.server
import io
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.support import assets, debian, go_build, tools
from tests.support.archives import CHECKSUMS, Archive, known
from tests.support.go_build import MODULES

VERSION = assets.DEFAULT_VERSION
NAME = "toolbox-1.2.3-linux-amd64.tar.gz"
PLATFORMS = [f"{system}-{machine}" for system in ("linux", "darwin") for machine in ("amd64", "arm64")]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """An archive that a loopback server publishes."""
    path = tmp_path / "server" / "v1.2.3" / NAME
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as tar:
        for name in ("saw", "hammer", "README"):
            member = tarfile.TarInfo(f"toolbox/bin/{name}")
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    return path


@pytest.fixture
def archive(published: Path, tmp_path: Path) -> Iterator[Archive]:
    """Where the published archive is, with the checksum that holds for it."""
    checksums = tmp_path / "toolbox.sha256"
    checksums.write_text(f"{hashlib.sha256(published.read_bytes()).hexdigest()}  {NAME}\n")
    handler = partial(QuietHandler, directory=str(tmp_path / "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield Archive(url, "v{version}/toolbox-{version}-{host}.tar.gz", ("saw", "hammer"), checksums)
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a provider puts programs."""
    path = tmp_path / "work" / "programs"
    path.mkdir(parents=True)
    return path


def test_a_published_archive_is_unpacked(archive: Archive, folder: Path) -> None:
    archive.provide("1.2.3", "linux-amd64", folder)

    assert sorted(path.name for path in folder.iterdir()) == ["hammer", "saw"]
    assert (folder / "saw").read_text() == "saw"


def test_a_tampered_archive_is_refused_and_nothing_is_unpacked(archive: Archive, published: Path, folder: Path) -> None:
    with published.open("ab") as file:
        file.write(b"\0")

    with pytest.raises(RuntimeError, match=r"refused http.*its checksum is"):
        archive.provide("1.2.3", "linux-amd64", folder)

    assert list(folder.iterdir()) == []


def test_an_archive_without_a_known_checksum_is_not_even_asked_for(archive: Archive, folder: Path) -> None:
    with pytest.raises(RuntimeError, match=r"toolbox\.sha256 has no checksum for toolbox-1\.2\.4-linux-amd64"):
        replace(archive, base_url="http://127.0.0.1:1").provide("1.2.4", "linux-amd64", folder)


def test_an_unreachable_publisher_is_named(archive: Archive, folder: Path) -> None:
    with pytest.raises(RuntimeError, match=r"http://127\.0\.0\.1:1/.* could not be fetched"):
        replace(archive, base_url="http://127.0.0.1:1").provide("1.2.3", "linux-amd64", folder)


def test_an_archive_that_is_not_there_is_named(archive: Archive, published: Path, folder: Path) -> None:
    published.unlink()

    with pytest.raises(RuntimeError, match="answered 404"):
        archive.provide("1.2.3", "linux-amd64", folder)


@pytest.fixture
def debian_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository on disk with the package "toolbox", the only one that apt-get knows, and not yet in its lists."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("this machine has no apt-get")
    repository, contents = tmp_path / "repository", tmp_path / "contents"
    repository.mkdir()
    (contents / "DEBIAN").mkdir(parents=True)
    control = "Package: toolbox\nVersion: 0.9\nArchitecture: all\nMaintainer: nobody\nDescription: tools\n"
    (contents / "DEBIAN" / "control").write_text(control)
    (contents / "usr" / "bin").mkdir(parents=True)
    (contents / "usr" / "bin" / "debian-saw").touch(mode=0o755)
    package = repository / "toolbox.deb"
    subprocess.run(["dpkg-deb", "--build", contents, package], check=True, capture_output=True)
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    index = f"{control}Filename: ./toolbox.deb\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
    (repository / "Packages").write_text(index)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    folders = {"Etc::SourceList": "sources.list", "Etc::SourceParts": "none", "State::Lists": "lists"}
    settings = (f'Dir::{name} "{tmp_path / path}";\n' for name, path in folders.items())
    (tmp_path / "apt.conf").write_text("".join(settings))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))


@pytest.mark.usefixtures("debian_repository")
def test_a_debian_package_is_unpacked_even_where_apt_get_has_no_lists_yet(folder: Path) -> None:
    debian.Package("toolbox", {"saw": "usr/bin/debian-saw"}).provide("1.2.3", "linux-amd64", folder)

    assert [path.name for path in folder.iterdir()] == ["saw"]
    assert os.access(folder / "saw", os.X_OK)


@pytest.mark.usefixtures("debian_repository")
def test_a_package_that_debian_does_not_have_is_named(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="Unable to locate package workbench"):
        debian.Package("workbench", {}).provide("1.2.3", "linux-amd64", folder)


def test_a_machine_without_apt_get_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(RuntimeError, match="no apt-get"):
        debian.Package("prometheus", {}).provide("1.2.3", "linux-amd64", folder)


def test_the_control_plane_is_where_kubebuilder_assets_says(tmp_path: Path) -> None:
    for name in assets.PROGRAMS:
        (tmp_path / name).touch(mode=0o755)

    found = assets.find({"KUBEBUILDER_ASSETS": str(tmp_path)}, {})

    assert [found.etcd, found.kube_apiserver, found.kubectl] == [tmp_path / name for name in assets.PROGRAMS]


def test_another_kubernetes_version_may_be_asked_for() -> None:
    assert assets.tool({"ACCOUNTSYNC_K8S_VERSION": "v1.35.0"}).version == "1.35.0"


def test_a_version_that_is_none_is_an_error() -> None:
    with pytest.raises(assets.AssetsError, match="'latest', expected something like"):
        assets.find({"ACCOUNTSYNC_K8S_VERSION": "latest"})


def test_every_published_archive_is_pinned_for_every_platform() -> None:
    version = {name: tool.version for name, tool in tools.tools().items()}
    expected = {f"envtest-v{VERSION}-{host}.tar.gz" for host in PLATFORMS}
    expected |= {f"helm-v{version[name]}-{host}.tar.gz" for name in ("helm3", "helm4") for host in PLATFORMS}
    names = ("prometheus", "alertmanager")
    expected |= {f"{name}-{version[name]}.{host}.tar.gz" for name in names for host in PLATFORMS}

    assert expected <= set(known(assets.ARCHIVE.checksums)) | set(known(CHECKSUMS))


@pytest.mark.parametrize(
    ("name", "module", "required"),
    [
        ("k8s", "k8s", "k8s.io/kubernetes v{0}"),
        ("node", "k8s", "k8s.io/kubernetes v{0}"),
        ("helm3", "helm", "helm.sh/helm/v3 v{0}"),
        ("helm4", "helm", "helm.sh/helm/v4 v{0}"),
        ("kube-score", "kube-score", "github.com/zegl/kube-score v{0}"),
        ("prometheus", "prometheus", "github.com/prometheus/prometheus v{1}"),
        ("alertmanager", "alertmanager", "github.com/prometheus/alertmanager v{0}"),
        ("monitoring-crds", "monitoring-crds", "github.com/prometheus-operator/prometheus-operator v{0}"),
    ],
)
def test_what_go_builds_is_the_version_of_the_archives(name: str, module: str, required: str) -> None:
    version = tools.tools()[name].version
    major, minor, patch = map(int, version.split("."))
    as_module = f"0.{major}{minor:02}.{patch}"  # how Prometheus numbers its Go module

    lines = (MODULES / module / "go.mod").read_text().replace("require ", "").splitlines()

    assert required.format(version, as_module) in {line.strip().removesuffix(" // indirect") for line in lines}


def test_helm_3_renders_for_the_kubernetes_of_its_client() -> None:
    client = re.search(r"k8s\.io/client-go v0\.(\d+)\.", (MODULES / "helm" / "go.mod").read_text())

    assert client is not None
    assert client[1] == tools.KUBERNETES_MINOR_OF_HELM


def test_the_committed_go_module_asks_for_what_a_generated_one_would() -> None:
    committed = (MODULES / "k8s" / "go.mod").read_text()
    staged = [line.split()[0] for line in committed.splitlines() if " => " in line]
    theirs = "go 1.26.0\n\ngodebug default=go1.26\n\nreplace (\n"
    theirs += "".join(f"\t{name} => ./staging/src/{name}\n" for name in staged) + ")\n"

    generated = go_build.module_for(VERSION, theirs)

    assert set(generated.splitlines()) <= {*committed.splitlines(), f"require k8s.io/kubernetes v{VERSION}"}


@pytest.mark.parametrize("name", ["helm3", "helm4", "kube-score", "prometheus", "alertmanager", "k8s"])
def test_the_programs_that_were_found_tell_a_fitting_version(name: str) -> None:
    tool, folder = tools.tools()[name], tools.find(name)

    for program, arguments in tool.programs.items():
        command = [str(folder / program), *arguments.split()]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        assert re.search(tool.fits, told.stdout + told.stderr), program


def test_the_operators_crds_are_those_of_the_kinds_we_write() -> None:
    folder = tools.find("monitoring-crds")

    for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"):
        text = (folder / f"monitoring.coreos.com_{kind.lower()}s.yaml").read_text()
        assert re.search(rf"^    kind: {kind}$", text, re.MULTILINE)

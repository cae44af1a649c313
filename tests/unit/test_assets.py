"""The finder of etcd, kube-apiserver and kubectl: its order, and what it refuses."""

import hashlib
import http.server
import io
import platform
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support import assets, envtest_archive, go_build

HOST = f"{platform.system().lower()}-{assets.PLATFORMS[platform.machine().lower()]}"
VERSION = assets.DEFAULT_VERSION
ARCHIVE = f"envtest-v{VERSION}-{HOST}.tar.gz"


def put_programs(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or assets.PROGRAMS:
        (folder / name).touch(mode=0o755)
    return folder


def provide_programs(_version: str, _host: str, folder: Path) -> None:
    put_programs(folder)


def provide_nothing(_version: str, _host: str, _folder: Path) -> None:
    raise RuntimeError("this machine has none")


def must_not_be_asked(_version: str, _host: str, _folder: Path) -> None:
    pytest.fail("the finder went further than it had to")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path)}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "accountsync" / "k8s"


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A loopback server with an archive as it is published: its URL, and the archive's path."""
    root = tmp_path / "server"
    path = root / f"envtest-v{VERSION}" / ARCHIVE
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as tar:
        for name in (*assets.PROGRAMS, "README"):
            member = tarfile.TarInfo(f"controller-tools/envtest/{name}")
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    handler = partial(QuietHandler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", path
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def checksums(published: tuple[str, Path], tmp_path: Path) -> Path:
    """The list of checksums that holds for the published archive."""
    path = tmp_path / "envtest.sha512"
    path.write_text(f"{hashlib.sha512(published[1].read_bytes()).hexdigest()}  {ARCHIVE}\n")
    return path


def test_the_named_folder_comes_before_the_cache(environ: dict[str, str], cache: Path, tmp_path: Path) -> None:
    put_programs(cache / f"{VERSION}-{HOST}")
    named = put_programs(tmp_path / "named")

    found = assets.find({**environ, "KUBEBUILDER_ASSETS": str(named)}, {"provider": must_not_be_asked})

    assert [found.etcd, found.kube_apiserver, found.kubectl] == [named / name for name in assets.PROGRAMS]


def test_an_incomplete_named_folder_is_an_error_that_names_what_it_lacks(
    environ: dict[str, str], cache: Path, tmp_path: Path
) -> None:
    put_programs(cache / f"{VERSION}-{HOST}")
    named = put_programs(tmp_path / "named", "etcd")

    with pytest.raises(assets.AssetsError, match=r"named.*no executable kube-apiserver, kubectl"):
        assets.find({**environ, "KUBEBUILDER_ASSETS": str(named)}, {"provider": must_not_be_asked})


def test_the_cache_comes_before_every_provider(environ: dict[str, str], cache: Path) -> None:
    cached = put_programs(cache / f"{VERSION}-{HOST}")

    assert assets.find(environ, {"provider": must_not_be_asked}).folder == cached


def test_another_version_has_a_cache_of_its_own(environ: dict[str, str], cache: Path) -> None:
    put_programs(cache / f"{VERSION}-{HOST}")

    found = assets.find({**environ, "ACCOUNTSYNC_K8S_VERSION": "v1.35.0"}, {"provider": provide_programs})

    assert found.folder == cache / f"1.35.0-{HOST}"


def test_a_version_that_is_none_is_an_error(environ: dict[str, str]) -> None:
    with pytest.raises(assets.AssetsError, match="'latest', expected something like"):
        assets.find({**environ, "ACCOUNTSYNC_K8S_VERSION": "latest"}, {"provider": must_not_be_asked})


def test_the_next_provider_is_asked_only_when_the_one_before_could_not(environ: dict[str, str]) -> None:
    providers = {"first": provide_nothing, "second": provide_programs, "third": must_not_be_asked}

    assert (assets.find(environ, providers).folder / "kubectl").exists()


def test_when_no_provider_can_the_error_says_why_for_each(environ: dict[str, str], cache: Path) -> None:
    def provide_some(_version: str, _host: str, folder: Path) -> None:
        put_programs(folder, "etcd", "kubectl")

    with pytest.raises(assets.AssetsError) as caught:
        assets.find(environ, {"an archive": provide_nothing, "a build": provide_some})

    assert "an archive: this machine has none" in str(caught.value)
    assert "a build: it has no kube-apiserver" in str(caught.value)
    assert [path.name for path in cache.iterdir()] == [f"{VERSION}-{HOST}.lock"]


def test_what_a_killed_run_left_is_removed_and_not_used(environ: dict[str, str], cache: Path) -> None:
    left = put_programs(cache / f".{VERSION}-{HOST}.abcdef" / "programs").parent
    put_programs(cache / f"{VERSION}-{HOST}", "etcd")

    found = assets.find(environ, {"provider": provide_programs})

    assert not left.exists()
    assert (found.folder / "kube-apiserver").exists()


def test_runs_at_the_same_time_fill_the_cache_once(environ: dict[str, str]) -> None:
    asked = []
    both = threading.Barrier(2)

    def provide(version: str, host: str, folder: Path) -> None:
        asked.append(version)
        provide_programs(version, host, folder)

    def run() -> None:
        both.wait()
        assets.find(environ, {"provider": provide})

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert asked == [VERSION]


def test_the_published_archive_is_unpacked(published: tuple[str, Path], checksums: Path, tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()

    envtest_archive.provide(VERSION, HOST, folder, base_url=published[0], checksums=checksums)

    assert sorted(path.name for path in folder.iterdir()) == sorted(assets.PROGRAMS)
    assert (folder / "kubectl").read_text() == "kubectl"


def test_a_tampered_archive_is_refused_and_leaves_nothing(
    published: tuple[str, Path], checksums: Path, environ: dict[str, str], cache: Path
) -> None:
    with published[1].open("ab") as file:
        file.write(b"\0")
    provide = partial(envtest_archive.provide, base_url=published[0], checksums=checksums)

    with pytest.raises(assets.AssetsError, match=r"refused http.*SHA-512"):
        assets.find(environ, {"archive": provide})

    assert [path.name for path in cache.iterdir()] == [f"{VERSION}-{HOST}.lock"]


def test_an_archive_without_a_known_checksum_is_not_even_asked_for(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"no checksum for envtest-v1\.0\.0"):
        envtest_archive.provide("1.0.0", HOST, tmp_path, base_url="http://127.0.0.1:1")


def test_an_unreachable_publisher_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"http://127\.0\.0\.1:1/.* could not be fetched"):
        envtest_archive.provide(VERSION, HOST, tmp_path, base_url="http://127.0.0.1:1")


def test_an_archive_that_is_not_there_is_named(published: tuple[str, Path], tmp_path: Path) -> None:
    published[1].unlink()

    with pytest.raises(RuntimeError, match="answered 404"):
        envtest_archive.provide(VERSION, HOST, tmp_path, base_url=published[0])


def test_the_default_version_is_pinned_for_every_platform_and_for_go() -> None:
    platforms = [f"{system}-{machine}" for system in ("linux", "darwin") for machine in ("amd64", "arm64")]

    assert go_build.pinned() == VERSION
    assert {f"envtest-v{VERSION}-{name}.tar.gz" for name in platforms} <= set(envtest_archive.known())


def test_the_committed_go_module_asks_for_what_a_generated_one_would() -> None:
    committed = (go_build.MODULES / "k8s" / "go.mod").read_text()
    staged = [line.split()[0] for line in committed.splitlines() if " => " in line]
    theirs = "go 1.26.0\n\ngodebug default=go1.26\n\nreplace (\n"
    theirs += "".join(f"\t{name} => ./staging/src/{name}\n" for name in staged) + ")\n"

    generated = go_build.module_for(VERSION, theirs)

    assert set(generated.splitlines()) <= {*committed.splitlines(), f"require k8s.io/kubernetes v{VERSION}"}

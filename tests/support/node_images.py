"""Container images for a cluster that reaches no registry: `python -m tests.support.node_images ARCHIVE`.

The bases are Debian with its own Python, made once with debootstrap and kept in $XDG_CACHE_HOME/accountsync/images (by
default under ~/.cache); the project's image is built on them with buildah from the repository's Dockerfile. Needs root.
How pip gets at packages on this machine (its configuration files and PIP_* variables) it is told in the build stages
too: they start from a base that has it, and nothing of it is in the image.
"""

import ast
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support.node_config import PAUSE
from tests.support.progress import say

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
BASE = f"localhost/accountsync-base:{SUITE}-1"
BUILD_BASE = f"localhost/accountsync-build-base:{SUITE}-1"
DEPENDENCIES = "dependencies"
KEPT = f"localhost/accountsync-{DEPENDENCIES}:{SUITE}"
PACKAGES = {"buildah": "buildah", "debootstrap": "debootstrap", "unshare": "util-linux"}
# Of no use to a program that runs.
SPARE = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/locale", "usr/share/man")
PIP_FILES = ("cert", "client-cert")
PIP_WAYS = (
    "index-url",
    "extra-index-url",
    "find-links",
    "trusted-host",
    "proxy",
    "default-timeout",
    "timeout",
    "retries",
)


class ImageError(RuntimeError):
    """An image could not be made; the message carries what the program said."""


def problems() -> list[str]:
    """Why no image can be built here; empty if one can."""
    found = [] if os.geteuid() == 0 else ["building images without Docker needs root"]
    if missing := sorted(package for program, package in PACKAGES.items() if not shutil.which(program)):
        found.append(f"missing programs; in Debian's words: apt-get install {' '.join(missing)}")
    return found


class Images:
    """A store of images of our own, in the cache: the machine's own store is left alone. One user at a time."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.folder = cache / "accountsync" / "images"

    def build(self, tag: str, labels: Mapping[str, str]) -> None:
        """The image of this checkout as `tag`; `labels` are the Dockerfile's VERSION and REVISION."""
        with self._lock():
            self._buildah("rm", "--all")  # what a run that was killed was working on
            self._make_bases()
            arguments = {"BASE": BASE, "BUILD_BASE": self._base_that_knows_pip(), **labels}
            # The stage with the dependencies is tagged, so that it stays when what older builds left is pruned.
            for goal in ((f"--target={DEPENDENCIES}", f"--tag={KEPT}"), (f"--tag={tag}",)):
                self._buildah(
                    *("build", "--quiet", "--format=docker", "--layers", "--isolation=chroot", "--network=host", *goal),
                    *(f"--build-arg={name}={value}" for name, value in arguments.items()),
                    *("--file=Dockerfile", "."),
                )
            self._buildah("rmi", "--prune", "--force")

    def save(self, tag: str, archive: Path) -> None:
        """Write the image as an archive that containerd, Docker and kind load."""
        archive.unlink(missing_ok=True)
        with self._lock():
            self._buildah("push", "--quiet", tag, f"docker-archive:{archive}:{tag}")

    def save_pause(self, archive: Path) -> None:
        """The image that holds a pod's namespaces: the base, asleep."""
        with self._lock():
            self._make_bases()
        self.save(PAUSE, archive)

    def inspect(self, tag: str) -> dict[str, Any]:
        """The image's id, its size without compression, and its labels."""
        whole = json.loads(self._buildah("inspect", "--type=image", tag))
        listed = self._buildah("images", "--format={{.Size}}", tag).strip()
        return {"id": whole["FromImageID"], "size": listed, "labels": whole["Docker"]["config"]["Labels"]}

    def _make_bases(self) -> None:
        if not self._has(BASE):
            say("making the base image with debootstrap (once, about a minute)")
            self._make_base()
        if not self._has(BUILD_BASE):
            install = "apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-pip python3-venv"
            with self._container(BASE) as name:
                self._buildah("run", "--isolation=chroot", "--network=host", name, "--", "sh", "-c", f"{install} >&2")
                self._buildah("commit", "--quiet", name, BUILD_BASE)
        if not self._has(PAUSE):
            with self._container(BASE) as name:
                self._buildah("config", '--entrypoint=["/bin/sleep", "infinity"]', "--cmd=", name)
                self._buildah("commit", "--quiet", name, PAUSE)

    def _base_that_knows_pip(self) -> str:
        files, conf = pip_files(_call(sys.executable, "-m", "pip", "config", "list"))
        content = {**{place: path.read_bytes() for place, path in files.items()}, "/etc/pip.conf": conf.encode()}
        tag = f"{BUILD_BASE}-{hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()[:12]}"
        if not self._has(tag):
            with self._container(BUILD_BASE) as name, tempfile.TemporaryDirectory() as folder:
                for place, text in content.items():
                    (copy := Path(folder, "file")).write_bytes(text)
                    self._buildah("copy", "--quiet", name, str(copy), place)
                self._buildah("commit", "--quiet", name, tag)
        return tag

    def _make_base(self) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".debian-") as work:
            tree = Path(work) / "tree"
            # It mounts things into the tree: in namespaces that end with it, whatever ends it.
            own = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
            _call(*own, "debootstrap", "--variant=minbase", "--include=ca-certificates,python3", SUITE, str(tree))
            for spare in SPARE:
                shutil.rmtree(tree / spare, ignore_errors=True)
                (tree / spare).mkdir(parents=True)
            with self._container("scratch") as name:
                self._buildah("add", "--quiet", name, str(tree), "/")
                self._buildah("commit", "--quiet", name, BASE)

    def _has(self, tag: str) -> bool:
        try:
            self._buildah("inspect", "--type=image", "--format={{.FromImageID}}", tag)
        except ImageError:
            return False
        return True

    @contextlib.contextmanager
    def _container(self, image: str) -> Iterator[str]:
        name = self._buildah("from", "--pull-never", image).strip()
        try:
            yield name
        finally:
            self._buildah("rm", name)

    def _buildah(self, *arguments: str) -> str:
        store = (f"--root={self.folder}/store", f"--runroot={self.folder}/run")
        return _call("buildah", *store, *arguments)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def pip_files(listed: str) -> tuple[dict[str, Path], str]:
    """From what `pip config list` prints: the files that it needs, by their place in the image, and its pip.conf."""
    options: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):  # which wins
        name, _, value = line.partition("=")
        options[name.rpartition(".")[2]] = ast.literal_eval(value)
    files = {f"/etc/pip.{name}": Path(options[name]) for name in PIP_FILES if name in options}
    told = {name: f"/etc/pip.{name}" for name in PIP_FILES if name in options}
    for name in PIP_WAYS:
        words = [word for word in options.get(name, "").split() if name != "find-links" or "://" in word]
        if words:  # a folder of this machine's is left out: the index has the same wheels
            told[name] = "\n    ".join(words)
    return files, "[global]\n" + "".join(f"{name} = {value}\n" for name, value in told.items())


def _call(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if result.returncode:
        said = "\n".join((result.stdout + result.stderr).splitlines()[-20:])
        raise ImageError(f"{' '.join(command[:4])} …: {said}")
    return result.stdout


def main() -> None:
    """Build the image of this checkout and write it as an archive."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if found := problems():
        sys.exit("accountsync: " + "\naccountsync: ".join(found))
    images = Images()
    images.build("localhost/accountsync:dev", {})
    images.save("localhost/accountsync:dev", Path(sys.argv[1]))


if __name__ == "__main__":
    main()

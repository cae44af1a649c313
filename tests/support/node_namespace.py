"""Runs a command in network, mount, process, IPC and cgroup namespaces of its own, so that nothing of it is left.

    run(["some", "program"], make_folder())

The command is the only child of the namespace's first process: when either ends, the kernel kills all that was started
in there, however detached it is, and takes down the mounts, the network interfaces and the packet filter's rules.
Inside, /run, /var/lib and /var/log are empty and its own, and the machine's kernel settings can't be written.
A guard (see guard.py) does the same when the caller is killed; then only empty control groups stay, until the next run.
Only Linux, and only as root.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support import guard

PREFIX = "accountsync-node-"
CGROUPS = Path("/sys/fs/cgroup")
PRIVATE_FOLDERS = ("/run", "/var/lib", "/var/log")
READ_ONLY = ("/proc/sys/kernel", "/proc/sys/vm")
# The kubelet insists on writing these of the whole machine: it gets files of the same names to write.
SHAM = (
    *("kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys", "kernel/panic", "kernel/panic_on_oops"),
    *("vm/overcommit_memory", "vm/panic_on_oom"),
)
UNSHARE = (
    *("unshare", "--net", "--mount", "--pid", "--ipc", "--cgroup", "--fork"),
    *("--kill-child", "--mount-proc", "--propagation=private"),
)


def make_folder() -> Path:
    """A new temporary folder, whose name is also that of the control groups."""
    return Path(tempfile.mkdtemp(prefix=PREFIX))


def run(command: Sequence[str], folder: Path) -> int:
    """The exit status of `command`. `folder` is its TMPDIR, and is removed afterwards. 130 after a signal."""
    _remove_what_killed_runs_left()
    stages = [sys.executable, "-m", __spec__.name]
    child = guard.start(
        [*stages, "outside", folder.name, *UNSHARE, *stages, "inside", *command],
        folder=folder,
        output=sys.stdout.buffer,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
        cwd=Path(__file__).parents[2],
    )
    try:
        with _signals_raise():
            return child.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        guard.stop(child)
        shutil.rmtree(folder, ignore_errors=True)
        _remove_cgroups(folder.name)


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def outside(name: str, command: list[str]) -> None:
    """Move into control groups called `name`, which the namespace will see as its roots, and become `command`."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group, and then nobody may enter
            if (group / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())
        (group / "cgroup.procs").write_text(str(os.getpid()))
    os.execvp(command[0], command)


def inside(command: list[str]) -> int:
    """As the first process of the namespace: lay it out, run `command`, and bury the orphans meanwhile."""
    assert os.getpid() == 1, "this is for the first process of a PID namespace"
    folder = Path(os.environ["TMPDIR"])
    (spare := folder / "cgroup").mkdir()
    for hierarchy in _hierarchies():  # its part takes the place of the whole
        _call("mount", "--bind", str(hierarchy / folder.name), str(spare))
        _call("umount", str(hierarchy))
        _call("mount", "--move", str(spare), str(hierarchy))
    for path in READ_ONLY:
        _call("mount", "--bind", path, path)
        _call("mount", "-o", "remount,bind,ro", path)
    for name in SHAM:
        real, sham = Path("/proc/sys", name), folder / name.replace("/", ".")
        sham.write_text(real.read_text())
        _call("mount", "--bind", str(sham), str(real))
    for path in PRIVATE_FOLDERS:
        _call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
    _call("ip", "link", "set", "lo", "up")
    child = os.posix_spawnp(command[0], command, os.environ)
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status)


def _hierarchies() -> list[Path]:
    """Of cgroup v1. In v2 the groups of a killed container stay below /sys/fs/cgroup until the next start."""
    rows = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(row[1]) for row in rows if row[2] == "cgroup" and CGROUPS in Path(row[1]).parents]


def _remove_what_killed_runs_left() -> None:
    for hierarchy in _hierarchies():
        for group in hierarchy.glob(f"{PREFIX}*"):
            if not any(path.read_text() for path in group.rglob("cgroup.procs")):
                _remove_cgroups(group.name)


def _remove_cgroups(name: str) -> None:
    deadline = time.monotonic() + 10
    for hierarchy in _hierarchies():
        while (group := hierarchy / name).exists() and time.monotonic() < deadline:
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):  # what was killed takes a moment to leave
                    Path(folder).rmdir()
            time.sleep(0.05)


def _call(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["outside", name, *command]:
            outside(name, command)
        case ["inside", *command]:
            sys.exit(inside(command))
        case _:
            sys.exit(__doc__)

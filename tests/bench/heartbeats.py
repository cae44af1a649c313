"""`make bench-heartbeat`: what heartbeats cost the operator, kube-apiserver and etcd, beside bare Lease PUTs.

Both write as many Leases in the same rhythm for the same time, from this process. CPU times are those that the kernel
keeps of each process. Nothing is asserted.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.aio.config import kube_config
from tests.bench.measure import note, title
from tests.support.controlplane import ControlPlane

from accountsync.clock import SystemClock
from accountsync.controller.heartbeats import AT_ONCE, Heartbeats, Pulse, lease
from accountsync.controller.kube import Kube
from accountsync.controller.rights import Rights
from accountsync.gate.heartbeat import heartbeat_name

NAMESPACE = "default"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Claim:
    """An account that is nobody else's."""

    holder: str = "bench-0"
    stands: bool = True


class Counting:
    """Passes the calls on, and counts those that succeeded."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.writes = 0

    async def patch_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        stored = await self._kube.patch_lease(namespace, name, body)
        self.writes += 1
        return stored

    async def write_lease(self, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        stored = await self._kube.write_lease(namespace, name, body)
        self.writes += 1
        return stored


def cpu(pid: int) -> float:
    """Seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def processes(plane: ControlPlane) -> dict[str, int]:
    """The control plane's programs, found below this process by their names."""
    found = {}
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            program, *arguments = command.read_text(encoding="utf-8", errors="replace").split("\0")
            name = Path(program).name
            if name in {"etcd", "kube-apiserver"} and any(plane.folder.name in each for each in arguments):
                found[name] = int(command.parent.name)
    return found


async def measured(name: str, plane: ControlPlane, seconds: float, writes: Callable[[], int]) -> None:
    """What everybody uses while something goes on for so long."""
    who = {"this process": os.getpid(), **processes(plane)}
    before, written = {each: cpu(pid) for each, pid in who.items()}, writes()
    began = time.monotonic()
    await asyncio.sleep(seconds)
    took, done = time.monotonic() - began, writes() - written
    used = {each: cpu(pid) - before[each] for each, pid in who.items()}
    note(
        f"{name:16} {done / took:7.0f} writes a second; CPU of "
        + ", ".join(
            f"{each} {share / took:6.1%} ({1000 * share / max(done, 1):.2f} ms a write)" for each, share in used.items()
        )
    )


async def ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def heartbeats(plane: ControlPlane, kube: Kube, pulses: list[Pulse], seconds: float) -> None:
    """Ours."""
    rights = Rights(kube)
    counting = Counting(kube)
    beats = Heartbeats(counting, rights, SystemClock())
    running = asyncio.create_task(beats.run())
    began = time.monotonic()
    for pulse in pulses:
        beats.follow(pulse)
    while counting.writes < len(pulses):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.1)
    note(f"the first beat of all {len(pulses)}: {time.monotonic() - began:.1f} s after the start")
    await measured("heartbeats", plane, seconds, lambda: counting.writes)
    await ended(running)
    await rights.close()


async def puts(plane: ControlPlane, kube: Kube, pulses: list[Pulse], seconds: float, period: float) -> None:
    """The baseline: the same Leases, each put as it is known to be, by as many tasks as there are writes in flight."""
    stored: dict[str, Mapping[str, Any]] = {}
    writes = 0

    async def put(worker: int) -> None:
        nonlocal writes
        mine = pulses[worker::AT_ONCE]
        began = time.monotonic()
        for number in range(10**9):
            pulse = mine[number % len(mine)]
            await asyncio.sleep(max(0.0, began + number * period / len(mine) - time.monotonic()))
            name = heartbeat_name(pulse.name)
            body = lease(pulse)
            body["metadata"]["name"] = name
            found = stored.get(name) or await kube.lease(NAMESPACE, name)
            body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            stored[name] = await kube.write_lease(NAMESPACE, name, body)
            writes += 1

    running: Awaitable[Any] = asyncio.gather(*(put(worker) for worker in range(AT_ONCE)))
    task = asyncio.ensure_future(running)
    while len(stored) < len(pulses):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.1)
    await measured("bare PUTs", plane, seconds, lambda: writes)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def run(accounts: int, after: float, seconds: float) -> None:
    """Both, one after the other."""
    with ControlPlane(audit=False) as plane:
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(plane.kubeconfig)  # KUBECONFIG was read at the import
        pulses = [
            Pulse(NAMESPACE, f"account-{number:05}", f"uid-{number}", Claim(), after) for number in range(accounts)
        ]
        title(f"heartbeats of {accounts} accounts, failClosedAfter {after:g} s, {seconds:g} s each")
        async with Kube() as kube:
            await heartbeats(plane, kube, pulses, seconds)
            await puts(plane, kube, pulses, seconds, pulses[0].period)


def main() -> None:
    """As the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=5_000)
    parser.add_argument("--fail-closed-after", type=float, default=60.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=30.0, help="for which each is measured")
    options = parser.parse_args()
    asyncio.run(run(options.accounts, options.fail_closed_after, options.seconds))


if __name__ == "__main__":
    main()

"""`make bench-gate`: how soon a pause is at the bot, what an answer costs, and how large the process is then.

A pause: spec.paused, set through the real API server by a merge patch; from before that request until the gate's
stream of events says closed. Beside it, in the same run and of the same change: a bare watch of the account, which is
as soon as anybody can know. An answer: GET /gate over one connection, and over several, beside a handler of aiohttp
that returns a constant. Measured, never asserted.
"""

import argparse
import asyncio
import http.client
import itertools
import json
import os
import queue
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.bench.measure import NAME_WIDTH, Figure, beside, note, size, span, title
from tests.gate.gates import GateProcess, events, gated
from tests.support.controlplane import ControlPlane
from tests.support.running import Program, until
from tests.support.stage import Stage, install

PAUSES, ANSWERS, REPETITIONS, CONNECTIONS = 1000, 4000, 5, 8
BOTH = ("one connection", f"{CONNECTIONS} connections")
TICKS = os.sysconf("SC_CLK_TCK")


class Changes:
    """What a stream says, with the time at which it came: True for paused or closed."""

    def __init__(self, source: Iterator[bool]) -> None:
        self._seen: queue.SimpleQueue[tuple[float, bool]] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(source,), daemon=True).start()

    def _read(self, source: Iterator[bool]) -> None:
        with suppress(OSError):  # its end
            for said in source:
                self._seen.put((time.perf_counter(), said))

    def when(self, wanted: bool) -> float:
        """The time of the first one that says so."""
        while True:
            at, said = self._seen.get(timeout=30)
            if said is wanted:
                return at


class Plane:
    """One connection to the API server, kept."""

    def __init__(self, plane: ControlPlane) -> None:
        context = ssl.create_default_context(cafile=str(plane.ca_file))
        host, port = plane.url.removeprefix("https://").split(":")
        self.connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
        self.headers = {"Authorization": f"Bearer {plane.admin_token}", "Content-Type": "application/merge-patch+json"}

    def patch(self, path: str, body: object) -> None:
        self.connection.request("PATCH", path, json.dumps(body), self.headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}: {text[:300]!r}")

    def watched(self, path: str) -> Iterator[bool]:
        """spec.paused, with each change of the object."""
        query = "?watch=true&fieldSelector=metadata.name%3Done&timeoutSeconds=3600"
        self.connection.request("GET", path + query, headers=self.headers)
        response = self.connection.getresponse()
        while line := response.readline():
            yield bool(json.loads(line)["object"]["spec"].get("paused", False))


def pauses(stage: Stage, gate: GateProcess, count: int) -> None:
    title(f"From a pause to the bot: {count:,} merge patches of spec.paused, one after the other")
    writer, bare = Plane(stage.plane), Changes(Plane(stage.plane).watched(stage.accounts))
    told = Changes(
        '"open": false' in lines[2] for lines in events(gate.url, -1, "?every=60") if lines[0] == "event: gate"
    )
    path = f"{stage.accounts}/one"
    found: dict[str, list[float]] = {"gate": [], "watch": [], "patch": []}
    for paused in itertools.islice(itertools.cycle((True, False)), 2 * count):
        began = time.perf_counter()
        writer.patch(path, {"spec": {"paused": paused}})
        answered = time.perf_counter()
        at, seen = told.when(paused), bare.when(paused)
        if paused:
            for name, when in (("gate", at), ("watch", seen), ("patch", answered)):
                found[name].append(when - began)
    names = {
        "gate": "the gate's stream says closed",
        "watch": "a bare watch has the change",
        "patch": "the patch is answered",
    }
    for name, taken in found.items():
        _quantiles(names[name], taken)
    _quantiles(
        "the gate after the bare watch",
        [ours - theirs for ours, theirs in zip(found["gate"], found["watch"], strict=True)],
    )


def _quantiles(name: str, taken: Sequence[float]) -> None:
    cuts = statistics.quantiles(taken, n=100)
    rows = {"p50": cuts[49], "p99": cuts[98], "most": max(taken)}
    note(f"{name:{NAME_WIDTH}}" + "  ".join(f"{what} {value * 1e3:7.2f} ms" for what, value in rows.items()))


# --- answers ---------------------------------------------------------------------------------------------------------


def answers(gate: GateProcess, plain: Program, plain_port: int, count: int) -> None:
    title(f"GET /gate from memory, {count:,} a repetition, beside an aiohttp handler that returns a constant")
    servers = {"GET /gate": (gate.port, gate.process.pid), "a constant": (plain_port, plain.process.pid)}
    walls: dict[tuple[str, str], list[float]] = {}
    latencies: dict[str, list[float]] = {name: [] for name in servers}
    costs: dict[str, list[float]] = {name: [] for name in servers}
    for repetition in range(REPETITIONS):
        for name in servers if repetition % 2 else reversed(list(servers)):
            port, pid = servers[name]
            before = _cpu(pid)
            for how, connections in zip(BOTH, (1, CONNECTIONS), strict=True):
                began = time.perf_counter()
                taken = asyncio.run(_ask(port, connections, count // connections))
                walls.setdefault((name, how), []).append((time.perf_counter() - began) / len(taken))
                if connections == 1:
                    latencies[name] += taken
            costs[name].append((_cpu(pid) - before) / (2 * count))
    ours, theirs = servers
    for how in BOTH:
        figures = [Figure(name, tuple(1 / each for each in walls[name, how])) for name in servers]
        beside(f"answers a second, {how}", figures[0], [figures[1]], lambda value: f"{value:,.0f}")
    beside(
        "CPU time of the server for an answer",
        Figure(ours, tuple(costs[ours])),
        [Figure(theirs, tuple(costs[theirs]))],
        span,
    )
    print("  latency over one connection")
    for name, taken in latencies.items():
        _quantiles(name, taken)


async def _ask(port: int, connections: int, count: int) -> list[float]:
    taken: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            began = time.perf_counter()
            writer.write(b"GET /gate HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            taken.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return taken


def _cpu(pid: int) -> float:
    """Seconds of CPU time of another process, as far as this system tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


# --- memory ----------------------------------------------------------------------------------------------------------


def memory(gate: GateProcess, plain: Program) -> None:
    title("Memory of the process after all that")
    for name, pid in (
        ("the gate", gate.process.pid),
        ("the constant's process: aiohttp and nothing else", plain.process.pid),
    ):
        try:
            rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        except OSError:
            note("not to be had on this system")
            return
        resident, most = (int(rows[field].split()[0]) * 1024 for field in ("VmRSS", "VmHWM"))
        note(f"{name:{NAME_WIDTH}} resident {size(resident)}, at most {size(most)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="measure the gate")
    parser.add_argument("--pauses", type=int, default=PAUSES)
    parser.add_argument("--answers", type=int, default=ANSWERS)
    options = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, which the API server, the gates and what measures them share; wall time")
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(audit=False))
        install(plane)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = Stage(plane, "bench", "http://127.0.0.1:9")
        heart = gated(stage, "one", gate={"failClosedAfter": "1h"})
        gate = stack.enter_context(GateProcess(plane.kubeconfig, "bench", "one", f"--file={folder / 'closed'}"))
        with heart.beating():
            until(lambda: gate.ask()[0] == 200, "open gate")
        plain = stack.enter_context(Program([sys.executable, "-m", "tests.bench.constant"]))
        port = int(json.loads(plain.await_line("port"))["port"])
        pauses(stage, gate, options.pauses)
        answers(gate, plain, port, options.answers)
        memory(gate, plain)


if __name__ == "__main__":
    main()

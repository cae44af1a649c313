"""A gate as a child process, an account and its heartbeat on the real API server, and a road between that can stall."""

import contextlib
import http.client
import itertools
import json
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.controlplane import ControlPlane
from tests.support.running import Program, accountsync, until
from tests.support.stage import GROUP, Api, ApiError, Body, Stage

from accountsync.gate.heartbeat import LABELS, Beat, heartbeat_name

LEASES = "/apis/coordination.k8s.io/v1/namespaces"
NUMBERS = itertools.count(1)


class GateProcess(Program):
    """`accountsync gate` for one account, on a free port unless `options` say another."""

    def __init__(
        self, kubeconfig: Path, namespace: str, account: str, *options: str, env: Mapping[str, str] | None = None
    ) -> None:
        where = ("--listen=127.0.0.1:0", f"--account={account}", f"--namespace={namespace}")
        super().__init__(accountsync("gate", *where, *options), {"KUBECONFIG": str(kubeconfig), **(env or {})})

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.port = int(json.loads(self.await_line('"gate started"'))["port"])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def ask(
        self, path: str = "/gate", method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, Any]:
        """Status, and JSON or text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(raw) if is_json and raw else raw.decode()

    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.ask()[1]["reasons"]]

    def await_answer(self, what: str, timeout: float = 60) -> Body:
        """Until it is `open`, or closed for the reason `what`."""

        def fits() -> Body | None:
            _, answer = self.ask()
            found = answer["open"] if what == "open" else what in [row["reason"] for row in answer["reasons"]]
            return answer if found else None

        try:
            return until(fits, f"gate that says {what}", timeout)
        except TimeoutError as error:
            raise AssertionError(f"{error}; it says {self.ask()} and logged:\n{self.output[-2000:]}") from None

    def metrics(self) -> dict[str, float]:
        rows = (row.rsplit(" ", 1) for row in self.ask("/metrics")[1].splitlines() if not row.startswith("#"))
        return {name.partition("{")[0]: float(value) for name, value in rows}


class Heart:
    """The heartbeat of an account, beaten by hand. `boot`, `begun` and `judged` are what the next beat says."""

    def __init__(self, api: Api, namespace: str, account: str) -> None:
        self._api = api
        self._name = heartbeat_name(account)
        self._path = f"{LEASES}/{namespace}/leases"
        self.boot, self.begun, self.judged = secrets.token_hex(4), 0, 0
        self._account = f"{GROUP}/namespaces/{namespace}/tradingaccounts/{account}"
        self._uid = ""
        self._there = False

    def beat(self) -> None:
        with contextlib.suppress(ApiError):  # there is none now: it beats on for the one that was
            self._uid = self._api("GET", self._account)["metadata"]["uid"]
        notes = {**Beat(self.boot, self.begun, self.judged).annotations(), "test/beat": str(next(NUMBERS))}
        owner = {"apiVersion": "accountsync.dev/v1alpha1", "kind": "TradingAccount", "name": "any", "uid": self._uid}
        metadata = {"name": self._name, "labels": dict(LABELS), "annotations": notes, "ownerReferences": [owner]}
        if self._there:
            self._api.merge(f"{self._path}/{self._name}", {"metadata": metadata})
        else:
            self._api("POST", self._path, {"metadata": metadata, "spec": {"holderIdentity": "test"}})
        self._there = True

    def cycle(self) -> None:
        """One that judged everything, told by a beat."""
        self.begun += 1
        self.judged = self.begun
        self.beat()

    def delete(self) -> None:
        self._api("DELETE", f"{self._path}/{self._name}")
        self._there = False

    @contextlib.contextmanager
    def beating(self, period: float = 0.1) -> Iterator[None]:
        """A cycle and its beat every `period` seconds."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(period):
                self.cycle()

        self.cycle()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(10)


def gated(stage: Stage, name: str, *, mode: str = "Pause", gate: Body | None = None, **spec: Any) -> Heart:
    """An account that is gated, and its heart, which does not beat yet."""
    bot = {"state": {"configMap": {"name": f"{name}-state"}}, "gate": gate or {"failClosedAfter": "3s"}}
    stage.account(name, state={}, mode=mode, bot=bot, **spec)
    return Heart(stage.api, stage.namespace, name)


def hold(stage: Stage, name: str, *, level: str = "ReduceOnly") -> None:
    """A Policy hold, as the operator writes it."""
    row = {"source": "Policy", "reason": "DriftConfirmed", "message": "bot 0.5, exchange 0.8", "since": TIME}
    status(stage, name, {"paused": True, "pauseLevel": level, "holds": [row]})


def lift(stage: Stage, name: str) -> None:
    """No hold any more."""
    status(stage, name, {"paused": False, "pauseLevel": None, "holds": []})


def status(stage: Stage, name: str, written: Body) -> None:
    stage.api.merge(f"{stage.accounts}/{name}/status", {"status": written})


TIME = "2026-11-21T11:00:00Z"


SIGNALLED = """
import signal, sys, time
def told(number, frame):
    print(signal.Signals(number).name, flush=True)
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, told)
print("ready", flush=True)
while True:
    time.sleep(60)
"""


class SignalledBot:
    """A process that says which signals it gets."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SIGNALLED], stdout=subprocess.PIPE, text=True)
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Road:
    """A TCP road to `port`, at `self.port`; `stall` keeps all that travels on it, `close` cuts it."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._free = threading.Event()
        self._free.set()
        self._over = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        self._free.clear()

    def go_on(self) -> None:
        self._free.set()

    def cut(self) -> None:
        """All connections that there are."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self.go_on()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._free.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def kubeconfig_by(plane: ControlPlane, road: Road, folder: Path) -> Path:
    """The administrator's, by that road."""
    path = folder / "road.kubeconfig"
    path.write_text(plane.kubeconfig.read_text().replace(plane.url, f"https://127.0.0.1:{road.port}"))
    return path


def events(url: str, count: int, query: str = "", timeout: float = 20) -> Generator[Sequence[str], None, None]:
    """The first `count` events and comments of the stream, each as its lines, as they come."""
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        connection.request("GET", f"/gate/events{query}")
        response = connection.getresponse()
        lines: list[str] = []
        while count:
            raw = response.readline()
            if not raw:
                return
            text = raw.decode().strip("\r\n")
            if text:
                lines.append(text)
            elif lines:
                yield lines
                lines, count = [], count - 1
    finally:
        connection.close()

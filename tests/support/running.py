"""Our own programs as child processes: started, spoken to, ended by id."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


class Program:
    """A child process whose output is kept. Ends with the `with` block; `kill` is kill -9."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._command = list(command)
        self._env = {**os.environ, **(env or {})}
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            env=self._env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):
            self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def await_line(self, text: str, timeout: float = 60) -> str:
        def found() -> str | None:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self._command[:4]} ended with {self.process.returncode}:\n{self.output[-3000:]}")
            return next((line for line in self.lines if text in line), None)

        return until(found, f"{text!r} in the output of {self._command[:4]}", timeout)


def until(found: Callable[[], T | None], what: str, timeout: float = 60) -> T:
    """Poll until `found` gives something. Raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout:.0f} s there is still no {what}")
        time.sleep(0.1)


def accountsync(*arguments: str) -> list[str]:
    """The command line of this checkout."""
    return [str(Path(sys.executable).with_name("accountsync")), *arguments]


class Control:
    """The simulator's control interface."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/control/{path}", method=method, data=None if body is None else json.dumps(body).encode()
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=10) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:300]!r}") from None


class Simulator(Program):
    """`accountsync simulate` on free ports, or on those given."""

    def __init__(self, *options: str, port: int = 0, control_port: int = 0) -> None:
        ports = (f"--port={port}", f"--control-port={control_port}")
        super().__init__(accountsync("simulate", *ports, *options))

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            addresses = json.loads(self.await_line('"exchange"'))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.url: str = addresses["exchange"]
        self.control = Control(addresses["control"])
        return self


class Operator(Program):
    """`accountsync operator` on a free port, talking to the cluster of `kubeconfig`.

    Always of one identity, as a pod that starts anew, unless `env` names another: so it need not wait for the end of
    the Lease that one left which was killed.
    """

    def __init__(self, kubeconfig: Path, *options: str, env: Mapping[str, str] | None = None) -> None:
        command = accountsync("operator", "--host=127.0.0.1", "--port=0", "--allow-endpoint=http://127.0.0.1:*")
        super().__init__(
            [*command, "--allow-bot-url=http://127.0.0.1:*", *options],
            {"KUBECONFIG": str(kubeconfig), "POD_NAME": "accountsync-0", **(env or {})},
        )

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.port = int(json.loads(self.await_line('"operator started"'))["port"])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def get(self, path: str) -> str:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            return str(response.read().decode())

    def metrics(self) -> dict[str, float]:
        """Each series by its text, e.g. `name{label="value"}`."""
        rows = (line.rsplit(" ", 1) for line in self.get("/metrics").splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in rows}

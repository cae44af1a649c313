"""A simulator in a thread of its own, for programs that have no event loop to spare.

with SimulatorThread(seed=1) as running:
    account = running.call(lambda sim: sim.world.create_account("grid-btc"))
    ...  # point a process at running.url
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from accountsync.simulator.simulator import Simulator

T = TypeVar("T")
START_SECONDS = 30


class SimulatorThread:
    """Takes what `Simulator` takes. Only `call` may touch the simulator: it runs on the simulator's own loop."""

    def __init__(self, **arguments: Any) -> None:
        self._simulator = Simulator(**arguments)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    @property
    def url(self) -> str:
        """Scheme, host and port of the exchange."""
        return self._simulator.url

    @property
    def control_url(self) -> str:
        """Scheme, host and port of the control interface."""
        return self._simulator.control_url

    def call(self, action: Callable[[Simulator], T]) -> T:
        """Run `action` between two requests and return what it returns."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(action(self._simulator))
            except BaseException as error:  # noqa: BLE001 - it is raised where it belongs: in the caller
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._await(self._simulator.start())
        except OSError:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._await(self._simulator.stop())
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

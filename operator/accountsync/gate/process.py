"""The gate's process: its parts put together, from the first `closed` to the last.

In:  `Settings`. Out: nothing, once SIGTERM or SIGINT came; SettingsError, AccessError or OSError where it can't start.

Invariants:
1. The file says closed before anything else is done, options that are wrong included, and when the process has ended.
2. A part that fails unexpectedly ends the process, with the gate closed: half a gate is none.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator

from accountsync.gate.access import find, own_namespace
from accountsync.gate.answer import Facts, decide
from accountsync.gate.follow import followed
from accountsync.gate.keeper import Keeper
from accountsync.gate.kube import Kube
from accountsync.gate.outlets import FileOutlet, HookOutlet, OutletError, SignalOutlet, Telling
from accountsync.gate.server import Server
from accountsync.gate.settings import Settings, SettingsError
from accountsync.gate.trust import Token, Trust

TICK = 0.25
"""Seconds between two looks at the clock: it counts suspend, which the event loop's timers don't."""
PARTING = 5.0
"""Seconds that are given to the last answer."""
log = logging.getLogger("accountsync.gate")


async def serve(settings: Settings) -> None:
    """Run a gate until a signal ends it."""
    file = _closed_file(settings)
    settings.checked()
    access = find(settings.kubeconfig)
    namespace = settings.namespace or access.namespace or own_namespace()
    if not namespace:
        raise SettingsError("--namespace: expected the namespace of the TradingAccount")
    keeper = Keeper(namespace, settings.account)
    tellings = _tellings(settings, keeper, file)
    trust = Trust(Token(settings.token_file) if settings.token_file else None, everyone=settings.token_for_all)
    server = Server(keeper, trust, *settings.address, unready=lambda: _unready(keeper, tellings))
    kube = Kube(access)
    try:
        await server.start()
        await _run(keeper, kube, tellings, server.port)
    finally:
        await _part(keeper, tellings)
        await server.stop()
        await kube.close()


async def _run(keeper: Keeper, kube: Kube, tellings: list[Telling], port: int) -> None:
    async with _told_to_end() as ended, asyncio.TaskGroup() as group:
        parts = [each.run() for each in followed(kube, keeper)]
        parts += [each.run() for each in tellings]
        tasks = [group.create_task(part) for part in (*parts, _tick(keeper))]
        log.info(
            "gate started",
            extra={"namespace": keeper.namespace, "account": keeper.name, "port": port, "pid": os.getpid()},
        )
        await ended.wait()
        for task in tasks:
            task.cancel()
    log.info("gate ends")


def _closed_file(settings: Settings) -> FileOutlet | None:
    """The file, which says closed already."""
    if settings.file is None:
        return None
    file = FileOutlet(settings.file.absolute(), settings.file_says)
    try:
        file.write(decide(Facts()))
    except OutletError as error:
        raise SettingsError(f"--file: {error}") from None
    return file


def _tellings(settings: Settings, keeper: Keeper, file: FileOutlet | None) -> list[Telling]:
    tellings = [] if file is None else [Telling(file)]
    closing, opening = settings.signals
    if closing is not None:
        signalled = SignalOutlet(on_close=closing, on_open=opening, pid=settings.pid, pid_file=settings.pid_file)
        tellings.append(Telling(signalled))
    on_close, on_open = settings.commands
    if on_close or on_open:
        hook = HookOutlet(on_close=on_close, on_open=on_open, timeout=settings.seconds_for_hooks)
        tellings.append(Telling(hook))
    for telling in tellings:
        telling.hear(keeper.answer, keeper.json)
        keeper.changed.append(telling.hear)
    return tellings


async def _tick(keeper: Keeper) -> None:
    while True:
        await asyncio.sleep(TICK)
        keeper.tick()


async def _part(keeper: Keeper, tellings: list[Telling]) -> None:
    """Say closed in every way, once more."""
    keeper.end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PARTING):
            await asyncio.gather(*(telling.tell() for telling in tellings))


def _unready(keeper: Keeper, tellings: list[Telling]) -> str:
    return keeper.unready or next((telling.trouble for telling in tellings if telling.trouble), "")


@contextlib.asynccontextmanager
async def _told_to_end() -> AsyncIterator[asyncio.Event]:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)

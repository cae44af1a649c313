"""Answers that overtake each other: the last to arrive tells the oldest story."""

import asyncio
from decimal import Decimal
from typing import Any

import orjson
import pytest
from tests.simulator.support import Wire

from accountsync.simulator import Account, Fault

BALANCE, LONG, SHORT = "/fapi/v3/balance", 30.0, 0.05


class Asker:
    """Asks once more for each deposit, and keeps the order in which the answers come."""

    def __init__(self, wire: Wire, account: Account) -> None:
        self._wire = wire
        self._account = account
        self.came: list[int] = []

    async def ask(self, path: str = BALANCE) -> "asyncio.Task[None]":
        """The deposit comes first, and the next one only after this request has arrived."""
        world, requests = self._wire.sim.world, self._wire.sim.requests
        world.deposit(self._account, "USDT", Decimal(1))
        before = requests.total
        task = asyncio.create_task(self._keep(path))
        while requests.total == before:  # noqa: ASYNC110 - the log is not an event, and need not be
            await asyncio.sleep(0)
        return task

    async def _keep(self, path: str) -> None:
        (row,) = (await self._wire.get(path)).json
        self.came.append(int(Decimal(row["balance"])) - 10_000)


@pytest.fixture
def asker(wire: Wire, wire_account: Account) -> Asker:
    return Asker(wire, wire_account)


async def ask(asker: Asker, times: int) -> list[int]:
    await asyncio.gather(*[await asker.ask() for _ in range(times)])
    return asker.came


async def test_two_at_a_time(wire: Wire, asker: Asker) -> None:
    wire.sim.faults.add(Fault.reorder(LONG))
    assert await ask(asker, times=4) == [2, 1, 4, 3]
    assert [record.faults for record in wire.sim.requests] == [("reorder",)] * 4


async def test_as_many_together_as_it_says(wire: Wire, asker: Asker) -> None:
    wire.sim.faults.add(Fault.reorder(LONG, together=4))
    assert await ask(asker, times=4) == [4, 3, 2, 1]


async def test_it_does_not_wait_for_ever(wire: Wire, asker: Asker) -> None:
    wire.sim.faults.add(Fault.reorder(SHORT, together=10))
    assert await ask(asker, times=3) == [3, 2, 1]
    assert await ask(asker, times=1) == [3, 2, 1, 4]


async def test_so_many_answers_and_no_more(wire: Wire, asker: Asker) -> None:
    wire.sim.faults.add(Fault.reorder(LONG, times=2))
    assert await ask(asker, times=2) == [2, 1]
    assert await ask(asker, times=1) == [2, 1, 3]


async def test_others_are_not_held(wire: Wire, asker: Asker) -> None:
    fault = wire.sim.faults.add(Fault.reorder(LONG, path=BALANCE))
    held = await asker.ask()
    await asyncio.wait_for(await asker.ask("/fapi/v2/balance"), 5)
    assert not held.done()
    wire.sim.faults.clear(fault)
    await asyncio.wait_for(held, 5)
    assert asker.came == [2, 1]


async def test_who_leaves_holds_nobody_up(wire: Wire, asker: Asker) -> None:
    wire.sim.faults.add(Fault.reorder(LONG, together=3))
    first, second = await asker.ask(), await asker.ask()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    while len(_waiting(wire)) > 1:  # noqa: ASYNC110 - until the server knows
        await asyncio.sleep(0)
    await asyncio.gather(first, await asker.ask(), await asker.ask())
    assert asker.came == [4, 3, 1]


def _waiting(wire: Wire) -> list[Any]:
    (active,) = wire.sim.faults
    assert active.reordering
    return active.reordering.waiting


async def test_it_goes_with_other_faults(wire: Wire, asker: Asker) -> None:
    wire.sim.faults.add(Fault.reorder(LONG))
    wire.sim.faults.add(Fault.truncated(times=1))
    first, second = await asker.ask(), await asker.ask()
    await second
    with pytest.raises(orjson.JSONDecodeError):
        await first
    assert asker.came == [2]

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import HttpState, open_session
from accountsync.bot.repairs import HttpRepairs
from accountsync.domain.account import PositionSide
from accountsync.domain.expected import ExpectedPosition
from accountsync.domain.plan import Repair, RepairKind
from accountsync.errors import BeliefUnobserved, Reason, Refused

EXAMPLE = Path(__file__).parents[2] / "examples" / "publish_state.py"


POLICY = AddressPolicy(["http://127.0.0.1:*"])
RESIZE = Repair(RepairKind.POSITION, "BTCUSDT", "net", "0.7")


@asynccontextmanager
async def example(folder: Path) -> AsyncIterator[str]:
    """The running example's origin. What it has to remember is in `folder`."""
    environment = os.environ | {"PORT": "0", "REPAIRS": str(folder / "repairs.json")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLE, stdout=PIPE, stderr=DEVNULL, env=environment
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int((await process.stdout.readline()).split()[-1])}"
    finally:
        process.kill()
        await process.communicate()


async def test_the_example_publishes_a_belief_that_is_read(tmp_path: Path) -> None:
    async with example(tmp_path) as origin, open_session(POLICY) as session:
        url = POLICY.url(f"{origin}/state")
        first = await HttpState(session, url, source="the example", timeout=30).read()
        again = await HttpState(session, url, source="the example", timeout=30).read()
        elsewhere = HttpState(session, f"{url}/other", source="the example", timeout=30)
        with pytest.raises(BeliefUnobserved) as refusal:
            await elsewhere.read()
    assert first.ready
    assert first.positions == (ExpectedPosition("BTCUSDT", PositionSide.NET, Decimal("0.5")),)
    assert [row.client_id for row in first.orders or ()] == ["grinder_1"]
    assert first.balances is None
    assert again == first, "asOf is the time of the belief, not of the answer"
    assert refusal.value.reason is Reason.BOT_REFUSED


async def test_the_example_applies_a_repair_once_even_over_a_restart(tmp_path: Path) -> None:
    async with example(tmp_path) as origin, open_session(POLICY) as session:
        state = HttpState(session, f"{origin}/state", source="the example", timeout=30)
        port = HttpRepairs(state, f"{origin}/repair", canonical=str)
        judged = await state.read()
        await port.repair("r-1", judged, [RESIZE])
        assert [row.quantity for row in (await state.read()).positions or ()] == [Decimal("0.7")]
    async with example(tmp_path) as origin, open_session(POLICY) as session:
        state = HttpState(session, f"{origin}/state", source="the example", timeout=30)
        port = HttpRepairs(state, f"{origin}/repair", canonical=str)
        before = await state.read()
        await port.repair("r-1", judged, [RESIZE])
        assert await state.read() == before, "though it answered that it is done"
        with pytest.raises(Refused):
            await port.repair("r-2", judged, [RESIZE])

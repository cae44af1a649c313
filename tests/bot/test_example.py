import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from decimal import Decimal
from pathlib import Path

import pytest

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import HttpState, open_session
from accountsync.domain.account import PositionSide
from accountsync.domain.expected import ExpectedPosition
from accountsync.errors import BeliefUnobserved, Reason

EXAMPLE = Path(__file__).parents[2] / "examples" / "publish_state.py"


async def test_the_example_publishes_a_belief_that_is_read() -> None:
    policy = AddressPolicy(["http://127.0.0.1:*"])
    environment = os.environ | {"PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLE, stdout=PIPE, stderr=DEVNULL, env=environment
    )
    try:
        assert process.stdout is not None
        port = int((await process.stdout.readline()).split()[-1])
        async with open_session(policy) as session:
            url = policy.url(f"http://127.0.0.1:{port}/state")
            first = await HttpState(session, url, source="the example", timeout=30).read()
            again = await HttpState(session, url, source="the example", timeout=30).read()
            elsewhere = HttpState(session, f"{url}/other", source="the example", timeout=30)
            with pytest.raises(BeliefUnobserved) as refusal:
                await elsewhere.read()
    finally:
        process.kill()
        await process.communicate()
    assert first.ready
    assert first.positions == (ExpectedPosition("BTCUSDT", PositionSide.NET, Decimal("0.5")),)
    assert [row.client_id for row in first.orders or ()] == ["grinder_1"]
    assert first.balances is None
    assert again == first, "asOf is the time of the belief, not of the answer"
    assert refusal.value.reason is Reason.BOT_REFUSED

"""What every `Repairs` must do: one suite for the fake in memory, for a bot over HTTP and for the example bot."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.fakes import BTC, ETH, START_MS, SYMBOLS, FakeBot, FakeRepairs
from tests.support.stage import HttpBot, belief

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import HttpState, open_session
from accountsync.bot.repairs import HttpRepairs
from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.plan import Repair, RepairKind
from accountsync.errors import Refused
from accountsync.ports import BotState, Repairs

EXAMPLE = Path(__file__).parents[2] / "examples" / "publish_state.py"
GRID = ExpectedOrder(BTC, "", "grinder_1", Side.BUY, Decimal("0.1"), price=Decimal(58_000))
HELD = ExpectedPosition(BTC, PositionSide.NET, Decimal("0.5"))
ADOPTED = ExpectedOrder(ETH, "7", "grinder_7", Side.SELL, Decimal(2), Decimal("0.5"), Decimal("4000.1"))

ADOPT = Repair(
    RepairKind.MISSING_ORDER, ETH, "7", "open", "7", "grinder_7", "sell", Decimal(2), Decimal("0.5"), Decimal("4000.1")
)
CLOSE = Repair(RepairKind.STALE_ORDER, BTC, "grinder_1", "canceled", "42", "grinder_1", filled=Decimal("0.04"))
RESIZE = Repair(RepairKind.POSITION, BTC, "net", "0.54")
SHORT = Repair(RepairKind.POSITION, ETH, "short", "3")
PAY = Repair(RepairKind.BALANCE, "USDT", "wallet", "9876.00000001")


@dataclass
class Rig:
    """A bot that holds 0.5 BTC and has one order, and its write side."""

    bot: BotState
    repairs: Repairs

    async def believed(self) -> ExpectedState:
        """In unified words, as a cycle has it."""
        told = await self.bot.read()
        return replace(
            told,
            positions=tuple(replace(row, symbol=SYMBOLS.get(row.symbol, row.symbol)) for row in told.positions or ()),
            orders=tuple(replace(row, symbol=SYMBOLS.get(row.symbol, row.symbol)) for row in told.orders or ()),
        )


def canonical(symbol: str) -> str:
    return symbol if symbol in SYMBOLS.values() else SYMBOLS[symbol]


@asynccontextmanager
async def over_http(origin: str, path: str, repair_path: str) -> AsyncIterator[Rig]:
    policy = AddressPolicy(["http://127.0.0.1:*"])
    async with open_session(policy) as session:
        url = policy.url(origin + path)
        state = HttpState(session, url, source="Service trading/grid", timeout=5)
        yield Rig(state, HttpRepairs(state, policy.beside(url, repair_path), canonical=canonical))


@pytest.fixture(params=["fake", "http", "example"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    match request.param:
        case "fake":
            bot = FakeBot(ExpectedState(START_MS, "b1", positions=(HELD,), orders=(GRID,)))
            yield Rig(bot, FakeRepairs(bot))
        case "http":
            order = {"clientId": "grinder_1", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.1", "price": "58000"}
            with HttpBot() as served:
                served.beliefs["/a"] = lambda: belief(positions=[("BTCUSDT", "0.5")], orders=[order])
                async with over_http(served.url, "/a", "/repair/a") as running:
                    yield running
        case _:
            environment = os.environ | {"PORT": "0", "REPAIRS": str(tmp_path / "repairs.json")}
            process = await asyncio.create_subprocess_exec(
                sys.executable, EXAMPLE, stdout=PIPE, stderr=DEVNULL, env=environment
            )
            try:
                assert process.stdout is not None
                port = int((await process.stdout.readline()).split()[-1])
                async with over_http(f"http://127.0.0.1:{port}", "/state", "/repair") as running:
                    yield running
            finally:
                process.kill()
                await process.communicate()


async def test_each_kind_of_repair_puts_its_own_row_right_and_no_other(rig: Rig) -> None:
    before = await rig.believed()
    await rig.repairs.repair("r-1", before, [ADOPT])
    after = await rig.believed()
    assert after.orders == (GRID, ADOPTED)
    assert (after.positions, after.balances) == (before.positions, before.balances)
    await rig.repairs.repair("r-2", after, [CLOSE, RESIZE, SHORT, PAY])
    final = await rig.believed()
    closed = replace(GRID, id="42", status=OrderStatus.CANCELED, filled=Decimal("0.04"))
    assert final.orders == (ADOPTED, closed), "an order that is known by one name gets the other, and keeps its price"
    assert final.positions == (
        replace(HELD, quantity=Decimal("0.54")),
        ExpectedPosition(ETH, PositionSide.SHORT, Decimal(3)),
    )
    assert final.balances == (ExpectedBalance("USDT", Decimal("9876.00000001")),)
    assert final.boot_id == before.boot_id
    assert final.as_of > before.as_of


async def test_the_same_repair_again_changes_nothing_though_the_belief_moved_on(rig: Rig) -> None:
    judged = await rig.believed()
    await rig.repairs.repair("r-1", judged, [RESIZE])
    await rig.repairs.repair("r-2", await rig.believed(), [replace(RESIZE, value="0.6")])
    await rig.repairs.repair("r-1", judged, [RESIZE])
    assert (await rig.believed()).positions == (replace(HELD, quantity=Decimal("0.6")),)


async def test_a_belief_that_changed_since_is_left_alone(rig: Rig) -> None:
    judged = await rig.believed()
    await rig.repairs.repair("r-1", judged, [RESIZE])
    with pytest.raises(Refused, match="has changed since"):
        await rig.repairs.repair("r-2", replace(judged, as_of=judged.as_of - 1), [ADOPT])
    assert (await rig.believed()).orders == (GRID,)


async def test_a_belief_of_another_boot_is_left_alone(rig: Rig) -> None:
    judged = await rig.believed()
    with pytest.raises(Refused, match="has changed since"):
        await rig.repairs.repair("r-1", replace(judged, boot_id="earlier"), [RESIZE])
    assert (await rig.believed()).positions == (HELD,)

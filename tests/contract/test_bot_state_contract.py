"""What every `BotState` must do: one suite for the fake in memory, for a bot over HTTP and for a ConfigMap."""

import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from tests.support.fakes import BTC, START_MS, FakeBot

from accountsync.bot.address import AddressPolicy
from accountsync.bot.configmap import ConfigMapState
from accountsync.bot.http import HttpState, open_session
from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.errors import BeliefUnobserved, Reason
from accountsync.ports import BotState

FULL = ExpectedState(
    as_of=START_MS + 123,
    boot_id="boot-1",
    ready=False,
    positions=(
        ExpectedPosition(BTC, PositionSide.NET, Decimal("-0.00000001")),
        ExpectedPosition("ETHUSDT", PositionSide.LONG, Decimal(3)),
    ),
    orders=(
        ExpectedOrder(BTC, "1", "grinder_1", Side.BUY, Decimal(2), Decimal("0.5"), Decimal(100), OrderStatus.OPEN),
        ExpectedOrder(BTC, client_id="grinder_2", status=OrderStatus.FILLED),
    ),
    balances=(ExpectedBalance("USDT", Decimal("1000.01")),),
)
NOTHING_PUBLISHED = ExpectedState(as_of=START_MS)
ALL_EMPTY = ExpectedState(as_of=START_MS, boot_id="b", positions=(), orders=(), balances=())


TEXTS = [
    (
        """{
            "version": 1, "asOf": "2026-09-21T14:13:20Z", "bootId": "boot", "ready": true,
            "positions": [
                {"symbol": "BTCUSDT", "quantity": "-0.5"},
                {"symbol": "ETHUSDT", "side": "long", "quantity": "1.5"}
            ],
            "orders": [{
                "id": "42", "clientId": "bot_1", "symbol": "BTC/USDT:USDT", "side": "buy",
                "quantity": "2", "filled": "0.5", "price": "60000"
            }],
            "balances": [{"asset": "USDT", "wallet": "1000.25"}]
        }""",
        ExpectedState(
            as_of=START_MS,
            boot_id="boot",
            positions=(
                ExpectedPosition("BTCUSDT", PositionSide.NET, Decimal("-0.5")),
                ExpectedPosition("ETHUSDT", PositionSide.LONG, Decimal("1.5")),
            ),
            orders=(ExpectedOrder(BTC, "42", "bot_1", Side.BUY, Decimal(2), Decimal("0.5"), Decimal(60000)),),
            balances=(ExpectedBalance("USDT", Decimal("1000.25")),),
        ),
    ),
    ('{"version": 1, "asOf": "2026-09-21T14:13:20Z"}', ExpectedState(as_of=START_MS)),
    (
        '{"version": 1, "asOf": "2026-09-21T14:13:20Z", "positions": [], "orders": [], "balances": []}',
        ExpectedState(as_of=START_MS, positions=(), orders=(), balances=()),
    ),
]


class Rig(Protocol):
    """A bot, and the means to let it publish."""

    @property
    def bot(self) -> BotState: ...

    def publish(self, state: ExpectedState) -> None: ...
    def publish_text(self, text: str) -> bool:
        """What no bot should publish; False: it has no text to publish."""
        ...

    def fall_silent(self) -> Reason:
        """The belief can no longer be read; gives the reason to expect."""
        ...


class FakeRig:
    def __init__(self) -> None:
        self.bot = FakeBot(NOTHING_PUBLISHED)

    def publish(self, state: ExpectedState) -> None:
        self.bot.state = state

    def publish_text(self, text: str) -> bool:
        del text
        return False

    def fall_silent(self) -> Reason:
        self.bot.script.append(BeliefUnobserved(Reason.BOT_UNREACHABLE, "gone"))
        return Reason.BOT_UNREACHABLE


class ConfigMapRig:
    def __init__(self) -> None:
        self._data: dict[str, str] | None = {}
        self.bot = ConfigMapState(self._read, namespace="trading", name="grid-state", key="state.json")

    async def _read(self) -> Mapping[str, str] | None:
        return self._data

    def publish(self, state: ExpectedState) -> None:
        self.publish_text(json.dumps(document(state)))

    def publish_text(self, text: str) -> bool:
        self._data = {"state.json": text}
        return True

    def fall_silent(self) -> Reason:
        self._data = None
        return Reason.STATE_NOT_FOUND


class HttpRig:
    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.body: str | None = None
        self._missing = 404
        url = f"http://127.0.0.1:{port}/state"
        self.bot = HttpState(session, url, source="Service trading/grid", timeout=5)

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self._missing) if self.body is None else web.Response(text=self.body)

    def publish(self, state: ExpectedState) -> None:
        self.body = json.dumps(document(state))

    def publish_text(self, text: str) -> bool:
        self.body = text
        return True

    def fall_silent(self) -> Reason:
        self.body, self._missing = None, 500
        return Reason.BOT_REFUSED


def document(state: ExpectedState) -> dict[str, Any]:
    """`state` in the published format."""
    made: dict[str, Any] = {
        "version": 1,
        "asOf": datetime.fromtimestamp(state.as_of / 1000, UTC).isoformat(timespec="milliseconds"),
        "ready": state.ready,
    }
    if state.boot_id:
        made["bootId"] = state.boot_id
    if state.positions is not None:
        made["positions"] = [
            {"symbol": row.symbol, "side": row.side, "quantity": format(row.quantity, "f")} for row in state.positions
        ]
    if state.orders is not None:
        made["orders"] = [_order(row) for row in state.orders]
    if state.balances is not None:
        made["balances"] = [{"asset": row.asset, "wallet": str(row.wallet)} for row in state.balances]
    return made


def _order(row: ExpectedOrder) -> dict[str, str]:
    fields = {
        "symbol": row.symbol,
        "id": row.id,
        "clientId": row.client_id,
        "side": row.side,
        "quantity": row.quantity,
        "filled": row.filled,
        "price": row.price,
        "status": row.status,
    }
    return {name: str(value) for name, value in fields.items() if value not in {None, ""}}


@pytest.fixture(params=["fake", "configmap", "http"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        yield FakeRig()
        return
    if request.param == "configmap":
        yield ConfigMapRig()
        return
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with open_session(AddressPolicy(["http://127.0.0.1:*"])) as session:
            running = HttpRig(session, listening.getsockname()[1])
            app = web.Application()
            app.router.add_get("/state", running.answer)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.SockSite(runner, listening).start()
            yield running
            await runner.cleanup()


@pytest.mark.parametrize("state", [FULL, NOTHING_PUBLISHED, ALL_EMPTY], ids=["full", "no sections", "empty sections"])
async def test_a_belief_is_read_as_it_was_published(rig: Rig, state: ExpectedState) -> None:
    rig.publish(state)
    assert await rig.bot.read() == state


async def test_each_reading_is_of_the_belief_of_now(rig: Rig) -> None:
    rig.publish(FULL)
    await rig.bot.read()
    rig.publish(ALL_EMPTY)
    assert await rig.bot.read() == ALL_EMPTY
    rig.publish(replace(ALL_EMPTY, as_of=ALL_EMPTY.as_of + 1000))
    assert await rig.bot.read() == replace(ALL_EMPTY, as_of=ALL_EMPTY.as_of + 1000)


async def test_a_belief_that_cannot_be_read_is_unknown_and_not_empty(rig: Rig) -> None:
    rig.publish(FULL)
    await rig.bot.read()
    reason = rig.fall_silent()
    with pytest.raises(BeliefUnobserved) as caught:
        await rig.bot.read()
    assert caught.value.reason is reason
    rig.publish(FULL)
    assert await rig.bot.read() == FULL, "and it comes back"


@pytest.mark.parametrize(("text", "state"), TEXTS, ids=["full", "no sections", "empty sections"])
async def test_a_text_means_what_it_says(rig: Rig, text: str, state: ExpectedState) -> None:
    if not rig.publish_text(text):
        rig.publish(state)
    assert await rig.bot.read() == state


async def test_a_belief_that_was_never_published_is_unknown(rig: Rig) -> None:
    if isinstance(rig, FakeRig):
        rig.fall_silent()
    with pytest.raises(BeliefUnobserved):
        await rig.bot.read()
    rig.publish(FULL)
    assert await rig.bot.read() == FULL


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"version": 1}'])
async def test_a_belief_that_is_malformed_is_unknown_and_never_empty(rig: Rig, text: str) -> None:
    if not rig.publish_text(text):
        return
    with pytest.raises(BeliefUnobserved) as caught:
        await rig.bot.read()
    assert caught.value.reason is Reason.STATE_MALFORMED

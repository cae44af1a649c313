"""While the exchange cannot be heard nothing is known of it, and nothing is concluded from that."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from tests.false_mismatches.desk import HASTY, MANY, PATIENT, PREFIX, Desk, Line, lines, simulated
from tests.support.fakes import ETH, FakeExchange, ManualClock

from accountsync.domain.account import AccountSnapshot, Order, Side
from accountsync.domain.catalogue import Rule
from accountsync.domain.holds import Source
from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.simulator import Fault

NO_NAME = ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, "the name does not resolve")
SIX = 6


def six_sells(desk: Desk) -> list[Order]:
    return [desk.order(f"{PREFIX}{number}", side=Side.SELL, quantity="0.0001") for number in range(SIX)]


async def test_six_live_orders_survive_an_outage_of_everything() -> None:
    """hummingbot #8457: while no name resolved, six live orders were given up; they filled and left a short behind.

    Here the outage lasts an hour, and then the orders are as live as before.
    """
    desk = Desk(FakeExchange(ManualClock()))
    six_sells(desk)
    await desk.stays_quiet(3)
    for _ in range(2):
        desk.exchange.script.extend([NO_NAME] * 600)
        made = await desk.stays_quiet(600)
        assert {cycle.exchange.reason for cycle in made if cycle.exchange} == {Reason.EXCHANGE_UNREACHABLE}
        assert not any(cycle.accepted for cycle in made)
        assert Source.STALE in desk.state.holds
        made = await desk.stays_quiet()
        assert all(cycle.complete for cycle in made)
        assert Source.STALE not in desk.state.holds


async def test_six_orders_that_filled_in_the_outage_and_their_short_are_found() -> None:
    """hummingbot #8457: the short that was left behind is told once the exchange is back."""
    desk = Desk(FakeExchange(ManualClock()))
    orders = six_sells(desk)
    await desk.stays_quiet(3)
    believed = desk.truth()
    desk.stick_to(believed)
    desk.exchange.script.extend([NO_NAME] * 50)
    for order in orders:
        desk.exchange.fill(order)
    await desk.stays_quiet(50)
    assert dict(desk.state.tracks) == {}

    short, *missing = await desk.finds(Rule.POSITION_MISMATCH, *[Rule.MISSING_ORDER] * SIX)
    assert (short.expected, short.observed) == ("0", "-0.0006")
    assert {finding.id for finding in missing} == {order.id for order in orders}
    assert {finding.observed for finding in missing} == {"filled, filled 0.0001 of 0.0001"}


@dataclass
class CachedExchange(FakeExchange):
    """Its list of orders may be one of the past. `mute`: and no question about an order is answered."""

    cached: tuple[Order, ...] | None = None
    mute: bool = False

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        now = await super().snapshot(symbols)
        return now if self.cached is None else replace(now, orders=self.cached)

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        if self.mute:
            raise NO_NAME
        return await super().find_order(symbol=symbol, order_id=order_id, client_id=client_id, conditional=conditional)


@pytest.mark.parametrize("mute", [False, True])
async def test_a_list_of_the_past_proves_neither_that_orders_are_there_nor_that_they_are_gone(mute: bool) -> None:
    """hummingbot #8457: only the exchange's word on an order counts, and while there is none nothing is said.

    The list shows six orders that have ended, and lacks the six that took their place.
    """
    exchange = CachedExchange(ManualClock())
    desk = Desk(exchange)
    old = six_sells(desk)
    await desk.stays_quiet(3)
    exchange.cached = tuple(exchange.orders.values())
    exchange.mute = mute
    for order in old:
        exchange.end(order)
    fresh = [desk.order(f"{PREFIX}fresh{number}", symbol=ETH) for number in range(SIX)]
    made = await desk.stays_quiet(30)
    assert all(cycle.complete for cycle in made)

    exchange.cached, exchange.mute = None, False
    await desk.stays_quiet(4)
    desk.overlook(fresh[0])
    (finding,) = await desk.finds(Rule.UNEXPECTED_ORDER)
    assert finding.id == fresh[0].id


BREAKDOWNS: dict[str, Callable[..., Fault]] = {
    "500": partial(Fault.http_error, 500),
    "502": partial(Fault.http_error, 502),
    "503": Fault.maintenance,
    "504": partial(Fault.http_error, 504),
    "overloaded": Fault.overloaded,
    "reset": Fault.reset,
    "cut off": Fault.truncated,
    "silence": Fault.hang,
    "404 of a proxy": partial(Fault.http_error, 404, code=0, message="not found"),
}


async def with_six(line: Line) -> list[str]:
    """One reading before there are any orders, so that a list from the past is an empty one."""
    line.order(f"{PREFIX}anchor", "ETHUSDT")
    await line.stays_quiet(3)
    return [line.order(f"{PREFIX}{number}", side="SELL", quantity="0.001") for number in range(SIX)]


async def then_all_is_found(line: Line, ids: list[str]) -> None:
    """The six fill, the bot does not notice, and is told so."""
    line.mend()
    await line.stays_quiet(4)
    believed = line.truth()
    line.act(
        lambda world, account: [world.fill(order) for order in [*account.open_orders.values()] if order.side == "SELL"]
    )
    line.stick_to(believed)
    short, *missing = await line.finds(Rule.POSITION_MISMATCH, *[Rule.MISSING_ORDER] * SIX, cycles=30)
    assert (short.expected, short.observed) == ("0", "-0.006")
    assert {finding.id for finding in missing} == set(ids)


@pytest.mark.parametrize("breakdown", BREAKDOWNS)
async def test_a_list_that_lacks_live_orders_is_no_absence_while_no_question_is_answered(breakdown: str) -> None:
    """hummingbot #8457: the failure of a question about an order was counted as 'not found'."""
    with simulated("grid") as running:
        async with lines(running, "grid", patience=HASTY if breakdown == "silence" else PATIENT) as (line,):
            ids = await with_six(line)
            line.fault(Fault.stale(3600, path="/fapi/v1/openOrders"))
            made = await line.stays_quiet(4)
            assert made[-1].state.snapshot is not None
            assert {order.id for order in made[-1].state.snapshot.orders}.isdisjoint(ids)
            line.fault(BREAKDOWNS[breakdown](path="/fapi/v1/order"))
            asked = len(line.requests("/fapi/v1/order"))
            made = await line.stays_quiet(5)
            assert all(cycle.accepted for cycle in made)
            assert len(line.requests("/fapi/v1/order")) >= asked + SIX
            await then_all_is_found(line, ids)


@pytest.mark.parametrize("path", ["*", "/fapi/v1/openOrders"])
@pytest.mark.parametrize("breakdown", BREAKDOWNS)
async def test_a_list_that_cannot_be_read_is_no_empty_list(breakdown: str, path: str) -> None:
    """hummingbot #8457: six live orders and a failing list of orders are six live orders."""
    with simulated("grid") as running:
        async with lines(running, "grid", patience=HASTY if breakdown == "silence" else PATIENT) as (line,):
            ids = await with_six(line)
            await line.stays_quiet(2)
            line.fault(BREAKDOWNS[breakdown](path=path))
            made = await line.stays_quiet(5)
            assert not any(cycle.accepted for cycle in made)
            assert dict(line.state.tracks) == {}
            await then_all_is_found(line, ids)


async def test_a_refused_connection_is_no_empty_account() -> None:
    """hummingbot #8457: nobody listens any more, and then the same account is back."""
    with simulated("grid") as running:
        async with lines(running, "grid") as (line,):
            ids = await with_six(line)
            believed = line.truth()
            line.stick_to(believed)
            await line.stays_quiet(2)
            running._await(running._simulator.stop())
            made = await line.stays_quiet(MANY)
            assert {cycle.exchange.reason for cycle in made if cycle.exchange} == {Reason.EXCHANGE_UNREACHABLE}
            assert not any(cycle.accepted for cycle in made)
            running._await(running._simulator.start())
            line.belief = line.truth
            await then_all_is_found(line, ids)


async def test_a_name_that_does_not_resolve_is_no_empty_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """hummingbot #8457: the outage was one of DNS, and came and went."""
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with simulated("grid") as running:
        async with lines(running, "grid", url=running.url.replace("127.0.0.1", "localhost")) as (line,):
            ids = await with_six(line)
            await line.stays_quiet(2)
            for _ in range(3):
                monkeypatch.setattr(loop, "getaddrinfo", fail)
                await line.exchange.venue._wire.close()
                made = await line.stays_quiet(5)
                assert {cycle.exchange.reason for cycle in made if cycle.exchange} == {Reason.EXCHANGE_UNREACHABLE}
                assert not any(cycle.accepted for cycle in made)
                monkeypatch.setattr(loop, "getaddrinfo", resolve)
                made = await line.stays_quiet(2)
                assert all(cycle.complete for cycle in made)
            await then_all_is_found(line, ids)

"""Conditional orders are part of the account: a stop that waits is there, and a triggered one lives on in its child."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.false_mismatches.desk import PREFIX, Desk, Line, lines, simulated
from tests.support.fakes import BTC, FakeExchange, ManualClock, tracked

from accountsync.domain.account import Order, OrderStatus
from accountsync.domain.catalogue import Rule
from accountsync.simulator import AlgoOrder, Fault

ORDINARY = "500"


def protected(*, tells_fills: bool = False, number: str = "") -> tuple[Desk, Order]:
    """A long with a stop under it, both known to the bot."""
    desk = Desk(FakeExchange(ManualClock(), tells_fills=tells_fills))
    desk.trade("1")
    return desk, desk.conditional(number=number)


@pytest.mark.parametrize("goes_by", ["id", "client id", "both"])
async def test_a_stop_that_waits_is_no_missing_order(goes_by: str) -> None:
    """OpenAlice #90: conditional orders were not listed, so protected positions were called naked again and again.

    Stops were placed a second and a third time on the strength of it.
    """
    desk, stop = protected()
    row = tracked(stop)
    if goes_by == "id":
        row = replace(row, client_id="")
    if goes_by == "client id":
        row = replace(row, id="")
    desk.believe(orders=(tracked(desk.anchor), row))
    made = await desk.stays_quiet(20)
    assert all(cycle.complete for cycle in made)

    desk.finish(stop)
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert (finding.id, finding.observed) == (row.id or row.client_id, "canceled, filled 0 of 1")


async def test_a_stop_that_the_bot_does_not_know_is_found() -> None:
    """OpenAlice #90: a stop that nobody sees is one more order that will trade."""
    desk, stop = protected()
    await desk.stays_quiet()
    desk.overlook(stop)
    twice = desk.conditional("by-hand", trigger="80")
    desk.overlook(stop, twice)
    found = await desk.finds(Rule.UNEXPECTED_ORDER, Rule.UNEXPECTED_ORDER)
    assert {(finding.id, finding.own) for finding in found} == {(stop.ref, True), (twice.ref, False)}
    assert all("is touched" in finding.observed for finding in found)

    desk.finish(twice)
    desk.overlook(stop)
    await desk.stays_quiet()
    assert desk.standing == [Rule.UNEXPECTED_ORDER]
    desk.belief = desk.truth
    await desk.settles()


@pytest.mark.parametrize("tells_fills", [False, True])
async def test_a_stop_that_triggered_is_joined_with_its_child(tells_fills: bool) -> None:
    """OpenAlice #90: the order that a triggered stop left in the book is the stop, and no order of a stranger's."""
    desk, stop = protected(tells_fills=tells_fills)
    await desk.stays_quiet(2)
    child = desk.trigger(stop, rests=True)
    for order_id in (stop.id, child.id):
        for client_id in (stop.client_id, ""):
            row = replace(tracked(child), id=order_id, client_id=client_id)
            desk.believe(orders=(tracked(desk.anchor), row))
            await desk.stays_quiet()
    row = replace(tracked(stop), price=None)
    desk.believe(orders=(tracked(desk.anchor), row))
    await desk.stays_quiet()

    desk.exchange.fill(child)
    desk.believe(orders=(tracked(desk.anchor), row))
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert (finding.id, finding.observed) == (stop.id, "filled, filled 1 of 1")
    desk.belief = desk.truth
    await desk.settles()


@pytest.mark.parametrize("tells_fills", [False, True])
async def test_a_stop_that_triggers_while_the_bot_lags_accuses_nobody(tells_fills: bool) -> None:
    """OpenAlice #90: between the trigger and the bot's knowledge of it stop, child and position all differ."""
    desk = Desk(FakeExchange(ManualClock(), tells_fills=tells_fills))
    for turn in range(10):
        desk.trade("1", client_id=f"{PREFIX}in{turn}")
        stop = desk.conditional(f"{PREFIX}stop{turn}", number=f"7{turn}")
        await desk.stays_quiet(2)
        before = desk.truth()
        desk.trigger(stop)
        desk.stick_to(before)
        await desk.stays_quiet(3, every=1.5)
        desk.belief = desk.truth
        await desk.stays_quiet(2)

    desk.trade("1", client_id=f"{PREFIX}in")
    stop = desk.conditional(f"{PREFIX}stop", number="79")
    await desk.stays_quiet(2)
    before = desk.truth()
    desk.trigger(stop)
    desk.stick_to(before)
    found = await desk.finds(Rule.MISSING_ORDER, Rule.POSITION_MISMATCH)
    assert [finding.id for finding in found] == ["79", "net"]


async def test_a_stop_and_an_ordinary_order_of_one_id_are_two_orders() -> None:
    """OpenAlice #90: conditional orders have ids of a space of their own."""
    desk, stop = protected(number=ORDINARY)
    plain = replace(desk.anchor, id=ORDINARY, symbol=BTC, client_id=f"{PREFIX}plain")
    desk.exchange.orders[BTC, ORDINARY] = plain
    desk.believe(
        orders=(tracked(desk.anchor), tracked(plain), replace(tracked(stop), id="")),
    )
    await desk.stays_quiet()

    desk.finish(stop)
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert finding.id == stop.client_id
    desk.believe(orders=(tracked(desk.anchor), tracked(plain)))
    await desk.settles()

    desk.exchange.end(plain)
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert (finding.id, finding.client_id) == (ORDINARY, plain.client_id)


@pytest.mark.parametrize("status", [OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED])
async def test_a_stop_that_ended_without_a_child_is_missing(status: OrderStatus) -> None:
    """OpenAlice #90: the position is naked when its stop is gone, and only then."""
    desk, stop = protected()
    await desk.stays_quiet()
    before = desk.truth()
    desk.finish(stop, status)
    desk.stick_to(before)
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert (finding.id, finding.observed) == (stop.id, f"{status}, filled 0 of 1")


def stop_under(line: Line, client_id: str = f"{PREFIX}stop", *, kind: str = "STOP_MARKET") -> AlgoOrder:
    """A stop at the exchange that sells a hundredth."""
    return line.act(
        lambda world, account: world.algos.place(
            account,
            symbol="BTCUSDT",
            side="SELL",
            order_type=kind,
            trigger_price=Decimal(40_000),
            price=Decimal(90_000) if kind == "STOP" else None,
            quantity=Decimal("0.010"),
            reduce_only=True,
            client_algo_id=client_id,
        )
    )


async def test_the_exchanges_conditional_orders_are_read() -> None:
    """OpenAlice #90: the list of open orders does not hold them; they are asked for where they are kept."""
    with simulated("grid") as running:
        async with lines(running, "grid") as (line,):
            line.act(lambda world, account: world.set_position(account, "BTCUSDT", Decimal("0.010")))
            stop = stop_under(line)
            line.order(f"{PREFIX}plain")
            made = await line.stays_quiet()
            assert all(cycle.complete for cycle in made)
            seen = line.state.snapshot
            assert seen is not None
            assert [order.id for order in seen.orders if order.conditional] == [str(stop.algo_id)]

            twice = stop_under(line, f"{PREFIX}twice")
            line.overlook(f"{PREFIX}twice")
            (finding,) = await line.finds(Rule.UNEXPECTED_ORDER, cycles=30)
            assert (finding.id, finding.client_id) == (f"trigger:{twice.algo_id}", f"{PREFIX}twice")

            line.act(lambda world, _: world.algos.cancel(twice))
            await line.settles()
            believed = line.truth()
            line.act(lambda world, _: world.algos.cancel(stop))
            line.stick_to(believed)
            (finding,) = await line.finds(Rule.MISSING_ORDER, cycles=30)
            assert (finding.id, finding.observed) == (str(stop.algo_id), "canceled, filled 0 of 0.01")


async def test_the_child_of_a_triggered_stop_is_found_at_the_exchange() -> None:
    """OpenAlice #90: a stop that triggers leaves its list, and the order that it becomes stands in the other."""
    with simulated("grid") as running:
        async with lines(running, "grid") as (line,):
            line.act(lambda world, account: world.set_position(account, "BTCUSDT", Decimal("0.010")))
            stop = stop_under(line, kind="STOP")
            line.order(f"{PREFIX}plain")
            await line.stays_quiet(3)
            believed = line.truth()
            child = line.act(lambda world, _: world.algos.trigger(stop)).child
            assert child is not None
            for order_id, client_id in ((stop.algo_id, stop.client_algo_id), (stop.algo_id, ""), (child.order_id, "")):
                rows = [
                    row if row.client_id != stop.client_algo_id else replace(row, id=str(order_id), client_id=client_id)
                    for row in believed.orders or ()
                ]
                line.stick_to(replace(believed, orders=tuple(rows)))
                await line.stays_quiet(5)

            line.act(lambda world, _: world.fill(child))
            line.stick_to(believed)
            found = await line.finds(Rule.MISSING_ORDER, Rule.POSITION_MISMATCH, cycles=30)
            assert [finding.id for finding in found] == [str(stop.algo_id), "net"]
            assert found[0].observed == "filled, filled 0.01 of 0.01"


async def test_conditional_orders_that_cannot_be_read_are_not_gone() -> None:
    """OpenAlice #90: a list that fails is no position without its stop."""
    with simulated("grid") as running:
        async with lines(running, "grid") as (line,):
            line.act(lambda world, account: world.set_position(account, "BTCUSDT", Decimal("0.010")))
            stop = stop_under(line)
            line.order(f"{PREFIX}plain")
            await line.stays_quiet(3)
            for fault in (Fault.http_error(503, path="*lgo*"), Fault.truncated(path="*lgo*")):
                line.fault(fault)
                made = await line.stays_quiet(5)
                assert not any(cycle.complete for cycle in made)
                line.mend()
                await line.stays_quiet(2)

            believed = line.truth()
            line.act(lambda world, _: world.algos.expire(stop))
            line.stick_to(believed)
            (finding,) = await line.finds(Rule.MISSING_ORDER, cycles=30)
            assert finding.id == str(stop.algo_id)

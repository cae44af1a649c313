"""What every `Ledger` must do: one suite for the fake in memory and for PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

import pytest
from tests.ledger.desk import (
    AT,
    BTC,
    CLOSED,
    ENTRY,
    ETH,
    LONG,
    OPENED,
    PROFILE,
    SHORT,
    UNTAGGED,
    Desk,
    canonical,
    correction,
    exit_of,
    fill,
    nothing,
    tables,
)
from tests.support.memory_ledger import Event, MemoryLedger
from tests.support.postgres import Postgres

from accountsync.bot.ledger.pool import Pools
from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.expected import ExpectedPosition
from accountsync.domain.ledger import Booked, Handler, LedgerOrder, Purpose, Slice, SliceSide, Written
from accountsync.errors import LedgerLockHeld
from accountsync.ports import BotState, Ledger, LockedLedger


class Both(BotState, Ledger, Protocol):
    pass


@dataclass
class Rig:
    """A ledger with three slices and three orders, and a view of its books."""

    ledger: Both
    books: Callable[[], tuple[dict[str, Decimal], Decimal, Decimal]]
    booked: Callable[[Event], None]

    @asynccontextmanager
    async def run(self) -> AsyncIterator[LockedLedger]:
        async with self.ledger.locked(canonical) as held:
            yield held

    async def slices(self) -> dict[str, Slice]:
        async with self.run() as held:
            return {row.trade_id: row async for batch in held.slices() for row in batch}

    async def order(self, key: str, exchange: str = "", client: str = "", symbol: str = BTC) -> LedgerOrder:
        async with self.run() as held:
            return next(row for row in await held.orders([(symbol, exchange, client)]) if row.key == key)


@pytest.fixture(params=["memory", "postgres", "views"])
async def rig(request: pytest.FixtureRequest, pools: Pools) -> Rig:
    if request.param == "memory":
        memory = MemoryLedger(lambda: AT, tables())

        def remembered() -> tuple[dict[str, Decimal], Decimal, Decimal]:
            return memory.tables.positions, memory.tables.reserved, memory.tables.realised

        return Rig(memory, remembered, lambda event: memory.tables.history.update({event.event_id: event}))
    postgres: Postgres = request.getfixturevalue("postgres")
    desk = Desk.opened(postgres) if request.param == "postgres" else Desk.of_views(postgres)

    def stored() -> tuple[dict[str, Decimal], Decimal, Decimal]:
        positions = {
            str(symbol): Decimal(str(held)) for symbol, held in desk.run("SELECT symbol, quantity FROM positions")
        }
        ((reserved, realised),) = desk.run("SELECT reserved, realised_pnl FROM capital_ledger")
        return positions, Decimal(str(reserved)), Decimal(str(realised))

    def booked(event: Event) -> None:
        desk.run(
            "INSERT INTO trade_history VALUES (%s, %s, %s, NULL, %s, %s, %s, %s, %s, %s, %s, '', now())",
            PROFILE, event.event_id, event.trade_id, event.symbol, event.kind, event.quantity, event.price,
            event.client_id or None, event.exchange_id or None, event.synthetic,
        )  # fmt: skip

    return Rig(desk.ledger(pools), stored, booked)


async def test_the_belief_is_the_open_orders_and_the_sum_of_the_open_slices_of_each_symbol(rig: Rig) -> None:
    belief = await rig.ledger.read()
    assert belief.positions == (
        ExpectedPosition("BTCUSDT", PositionSide.NET, Decimal("0.75")),
        ExpectedPosition("ETHUSDT", PositionSide.NET, Decimal(-3)),
    )
    assert belief.orders is not None
    assert [(row.symbol, row.id, row.client_id, row.side, row.status) for row in belief.orders] == [
        ("BTCUSDT", "9", "c-9", Side.BUY, OrderStatus.OPEN),
        ("ETHUSDT", "", "c-8", Side.BUY, OrderStatus.OPEN),
    ]
    assert belief.ready


async def test_slices_and_orders_are_told_in_unified_symbols(rig: Rig) -> None:
    slices = await rig.slices()
    assert {key: replace(row, version="") for key, row in slices.items()} == {
        "t1": replace(LONG, symbol=BTC),
        "t2": replace(SHORT, symbol=ETH),
        "t3": replace(UNTAGGED, symbol=BTC),
    }
    assert len({row.version for row in slices.values()}) == 3
    async with rig.run() as held:
        only = {row.trade_id async for batch in held.slices([ETH]) for row in batch}
        assert only == {"t2"}
        assert [batch async for batch in held.slices([])] == []
        asked = await held.orders([(BTC, "9", ""), (BTC, "", "c-1"), (ETH, "1", ""), (ETH, "", "unheard-of")])
    assert {row.key: replace(row, version="") for row in asked} == {
        "o1": replace(ENTRY, symbol=BTC),
        "o3": replace(CLOSED, symbol=BTC),
    }


async def test_it_tells_which_fills_are_used_and_what_is_booked_of_orders_each_row_once(rig: Rig) -> None:
    rig.booked(Event("own-1", "EXIT", "ETHUSDT", Decimal(1), Decimal(3_900), "t2", "55", "c-8"))
    rig.booked(Event("own-2", "EXIT", "ETHUSDT", Decimal("0.5"), Decimal(3_900), "t2", "", "c-8"))
    rig.booked(Event("own-3", "ENTRY", "ETHUSDT", Decimal(2), Decimal(3_900), "t2", "55"))
    rig.booked(Event("ours", "EXIT", "ETHUSDT", Decimal(1), Decimal(3_900), "t2", "55", synthetic=True))
    rig.booked(Event("over", "CANCEL", "ETHUSDT", Decimal(0), None, "t2", "55"))
    async with rig.run() as held:
        assert await held.used([(BTC, "f-0"), (ETH, "f-0"), (BTC, "f-1")]) == {(BTC, "f-0")}
        assert set(await held.booked([(ETH, "55", "c-8")])) == {
            Booked(ETH, "55", "c-8", Purpose.EXIT, Decimal(1), trade_id="t2"),
            Booked(ETH, "", "c-8", Purpose.EXIT, Decimal("0.5"), trade_id="t2"),
            Booked(ETH, "55", "", Purpose.ENTRY, Decimal(2), trade_id="t2"),
        }
        assert {row.quantity for row in await held.booked([(ETH, "", "c-8")])} == {Decimal(1), Decimal("0.5")}
        assert await held.booked([(BTC, "55", "c-8"), (ETH, "c-8", "55")]) == ()
        assert await held.written({"own-1", "ours", "unheard-of"}) == {"own-1", "ours"}


async def test_it_tells_the_orders_of_trades_whatever_became_of_them(rig: Rig) -> None:
    async with rig.run() as held:
        asked = await held.trade_orders([(BTC, "t1"), (BTC, "t9"), (BTC, "t2"), (ETH, "unheard-of")])
    assert {row.key for row in asked} == {"o1", "o3"}


async def test_an_exit_closes_the_slice_and_puts_the_books_right_once(rig: Rig) -> None:
    ghost = (await rig.slices())["t1"]
    wanted = exit_of(ghost, fill(1, BTC, Side.SELL, "0.2", 61_000), fill(2, BTC, Side.SELL, "0.3", 61_000))
    async with rig.run() as held:
        assert await held.close(wanted, nothing) is Written.APPLIED
        assert await held.close(wanted, nothing) is Written.ALREADY
        assert await held.used([(BTC, "f-1"), (BTC, "f-2")]) == {(BTC, "f-1"), (BTC, "f-2")}
        assert await held.booked([(BTC, "77", "")]) == (), "synthetic exits are not the bot's own"
    assert set(await rig.slices()) == {"t2", "t3"}
    positions, reserved, realised = rig.books()
    assert positions == {"BTCUSDT": Decimal("0.25"), "ETHUSDT": Decimal(-3)}
    assert reserved == 3 * 4_000 + Decimal("0.25") * 50_000 + 2 * 50_000
    assert realised == 500


async def test_an_exit_of_a_slice_that_is_another_by_now_writes_nothing(rig: Rig) -> None:
    ghost = (await rig.slices())["t1"]
    before = rig.books()
    async with rig.run() as held:
        old = exit_of(replace(ghost, version="older"), fill(1, BTC, Side.SELL, "0.5", 61_000))
        assert await held.close(old, nothing) is Written.CHANGED
        gone = exit_of(replace(ghost, trade_id="t99"), fill(1, BTC, Side.SELL, "0.5", 61_000))
        assert await held.close(gone, nothing) is Written.CHANGED
        stale = exit_of(ghost, fill(0, BTC, Side.SELL, "0.5", 61_000))
        assert await held.close(stale, nothing) is Written.CHANGED, "the fill proves something else already"
        assert await held.used([(BTC, "f-1")]) == frozenset()
    assert (await rig.slices())["t1"] == ghost
    assert rig.books() == before


async def test_what_the_fence_raises_passes_through_and_nothing_is_written(rig: Rig) -> None:
    class FencedError(Exception):
        pass

    def fence() -> None:
        raise FencedError

    before = await rig.slices()
    async with rig.run() as held:
        with pytest.raises(FencedError):
            await held.close(exit_of(before["t1"], fill(1, BTC, Side.SELL, "0.5", 61_000)), fence)
        assert (
            await held.close(exit_of(before["t1"], fill(1, BTC, Side.SELL, "0.5", 61_000)), nothing) is Written.APPLIED
        )


async def test_a_correction_changes_no_slice_but_the_one_that_was_judged(rig: Rig) -> None:
    order = await rig.order("o2", client="c-8", symbol=ETH)
    judged = (await rig.slices())["t2"].version
    part = correction(Handler.EXIT_FILL, order, "1", OrderStatus.OPEN, fill(1, ETH, Side.BUY, "1", 3_900))
    before = rig.books()
    async with rig.run() as held:
        for version in ("older", ""):
            assert await held.correct(replace(part, slice_version=version), nothing) is Written.CHANGED
        assert rig.books() == before
        assert await held.correct(replace(part, slice_version=judged), nothing) is Written.APPLIED


async def test_an_entry_opens_no_slice_where_the_trade_had_one_and_never_a_closed_one_again(rig: Rig) -> None:
    ghost = (await rig.slices())["t1"]
    entry = LedgerOrder(
        "o4", BTC, Side.BUY, Purpose.ENTRY, Decimal(1), Decimal(0), OrderStatus.OPEN, "c-4", "4", "t1", "alpha",
    )  # fmt: skip
    async with rig.run() as held:
        assert await held.correct(correction(Handler.ADOPT, entry, "0", OrderStatus.OPEN), nothing) is Written.APPLIED
    row = await rig.order("o4", exchange="4")
    filled = fill(9, BTC, Side.BUY, "1", 50_000, order="4")
    wanted = correction(Handler.ENTRY_FILL, row, "1", OrderStatus.FILLED, filled, event="k-2")
    async with rig.run() as held:
        assert await held.correct(wanted, nothing) is Written.CHANGED, "one appeared since"
        closing = exit_of(ghost, fill(1, BTC, Side.SELL, "0.5", 61_000))
        assert await held.close(closing, nothing) is Written.APPLIED
        for version in ("", ghost.version):
            assert await held.correct(replace(wanted, slice_version=version), nothing) is Written.CHANGED
    assert "t1" not in await rig.slices()


async def test_an_entry_fill_opens_its_slice_and_the_next_one_makes_it_grow(rig: Rig) -> None:
    first = await rig.order("o1", exchange="9")
    async with rig.run() as held:
        wanted = correction(Handler.ENTRY_FILL, first, "0.5", OrderStatus.OPEN, fill(1, BTC, Side.BUY, "0.5", 50_000))
        assert await held.correct(wanted, nothing) is Written.APPLIED
        assert await held.correct(wanted, nothing) is Written.ALREADY
    opened = (await rig.slices())["t9"]
    assert (opened.side, opened.quantity, opened.entry_price) == (SliceSide.LONG, Decimal("0.5"), Decimal(50_000))
    assert (opened.sub_tag, opened.entry_client_id, opened.symbol) == ("alpha", "c-9", BTC)
    second = await rig.order("o1", exchange="9")
    first_part = opened.version
    assert (second.filled, second.status) == (Decimal("0.5"), OrderStatus.OPEN)
    async with rig.run() as held:
        rest = correction(
            Handler.ENTRY_FILL, second, "2", OrderStatus.FILLED, fill(2, BTC, Side.BUY, "1.5", 52_000), event="k-2"
        )
        assert await held.correct(replace(rest, slice_version=first_part), nothing) is Written.APPLIED
    grown = (await rig.slices())["t9"]
    assert (grown.quantity, grown.entry_price) == (Decimal(2), Decimal(51_500))
    positions, reserved, _ = rig.books()
    assert positions["BTCUSDT"] == Decimal("2.75")
    assert reserved == Decimal("0.5") * 60_000 + 3 * 4_000 + Decimal("0.25") * 50_000 + 2 * 51_500
    assert (await rig.order("o1", exchange="9")).status is OrderStatus.FILLED


async def test_exit_fills_shrink_the_slice_until_it_is_closed(rig: Rig) -> None:
    order = await rig.order("o2", client="c-8", symbol=ETH)
    whole = (await rig.slices())["t2"].version
    async with rig.run() as held:
        part = correction(
            Handler.EXIT_FILL, order, "1", OrderStatus.OPEN, fill(1, ETH, Side.BUY, "1", 3_900, order="55")
        )
        assert await held.correct(replace(part, slice_version=whole), nothing) is Written.APPLIED
    left = (await rig.slices())["t2"]
    assert left.quantity == 2
    order = await rig.order("o2", exchange="55", symbol=ETH)
    assert order.exchange_id == "55", "the ledger had no id of the exchange"
    async with rig.run() as held:
        rest = correction(
            Handler.EXIT_FILL, order, "3", OrderStatus.FILLED, fill(2, ETH, Side.BUY, "2", 3_900), event="k-2"
        )
        assert await held.correct(replace(rest, slice_version=left.version), nothing) is Written.APPLIED
        told = await held.booked([(ETH, "55", "")])
        assert (sum(row.quantity for row in told), {row.ours for row in told}) == (3, {True})
    assert "t2" not in await rig.slices()
    positions, _, realised = rig.books()
    assert positions["ETHUSDT"] == 0
    assert realised == 300


async def test_a_quantity_never_falls_below_zero(rig: Rig) -> None:
    order = await rig.order("o2", client="c-8", symbol=ETH)
    before = rig.books()
    judged = (await rig.slices())["t2"].version
    async with rig.run() as held:
        more = correction(Handler.EXIT_FILL, order, "4", OrderStatus.FILLED, fill(1, ETH, Side.BUY, "4", 3_900))
        assert await held.correct(replace(more, slice_version=judged), nothing) is Written.CHANGED
    assert (await rig.slices())["t2"].quantity == 3
    assert await rig.order("o2", client="c-8", symbol=ETH) == order
    assert rig.books() == before


async def test_without_fills_only_the_order_is_put_right(rig: Rig) -> None:
    order = await rig.order("o2", client="c-8", symbol=ETH)
    before = await rig.slices()
    async with rig.run() as held:
        wanted = correction(Handler.EXIT_FILL, order, "3", OrderStatus.FILLED)
        assert await held.correct(wanted, nothing) is Written.APPLIED
        assert await held.correct(wanted, nothing) is Written.ALREADY
    after = await rig.order("o2", client="c-8", symbol=ETH)
    assert (after.filled, after.status) == (Decimal(3), OrderStatus.FILLED)
    assert await rig.slices() == before


async def test_a_cancelled_order_first_gets_what_it_filled(rig: Rig) -> None:
    order = await rig.order("o1", exchange="9")
    async with rig.run() as held:
        wanted = correction(Handler.CANCEL, order, "0.5", OrderStatus.CANCELED, fill(1, BTC, Side.BUY, "0.5", 50_000))
        assert await held.correct(wanted, nothing) is Written.APPLIED
        assert await held.correct(wanted, nothing) is Written.ALREADY
    assert (await rig.slices())["t9"].quantity == Decimal("0.5")
    _, reserved, _ = rig.books()
    assert reserved == Decimal("0.5") * 60_000 + 3 * 4_000 + Decimal("0.25") * 50_000 + Decimal("0.5") * 50_000
    assert (await rig.order("o1", exchange="9")).status is OrderStatus.CANCELED


async def test_a_correction_of_an_order_that_is_another_by_now_writes_nothing(rig: Rig) -> None:
    order = await rig.order("o1", exchange="9")
    async with rig.run() as held:
        older = replace(order, version="older")
        assert (
            await held.correct(correction(Handler.CANCEL, older, "0", OrderStatus.CANCELED), nothing) is Written.CHANGED
        )
        gone = replace(order, key="o99")
        assert (
            await held.correct(correction(Handler.CANCEL, gone, "0", OrderStatus.CANCELED), nothing) is Written.CHANGED
        )
    assert await rig.order("o1", exchange="9") == order


async def test_an_adopted_order_is_spelled_as_the_ledger_spells_its_symbol(rig: Rig) -> None:
    order = LedgerOrder(
        "adopted:31", BTC, Side.SELL, Purpose.EXIT, Decimal("0.5"), Decimal(0), OrderStatus.OPEN, "c-31", "31", "t1",
        "alpha", Decimal(62_000), OPENED,
    )  # fmt: skip
    wanted = correction(Handler.ADOPT, order, "0", OrderStatus.OPEN)
    async with rig.run() as held:
        assert await held.correct(wanted, nothing) is Written.APPLIED
        assert await held.correct(wanted, nothing) is Written.ALREADY
        again = correction(Handler.ADOPT, replace(order, key="other"), "0", OrderStatus.OPEN, event="k-2")
        assert await held.correct(again, nothing) is Written.CHANGED, "the exchange's id is known by now"
    believed = (await rig.ledger.read()).orders or ()
    assert [row.symbol for row in believed if row.client_id == "c-31"] == ["BTCUSDT"]
    assert replace(await rig.order("adopted:31", exchange="31"), version="") == order


async def test_two_runs_at_a_time_are_refused_at_once_and_one_after_the_other_are_not(rig: Rig) -> None:
    async with rig.run():
        with pytest.raises(LedgerLockHeld, match="lock"):
            async with rig.run():
                pass
    async with rig.run() as held:
        assert [batch async for batch in held.slices()]

"""Fills and income come whole, from the moment that was asked for, or not at all."""

import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.exchange.conftest import Connect

from accountsync.domain.account import Fill, Income, PositionSide, Side
from accountsync.errors import ConfigurationError, ExchangeUnobserved, Reason
from accountsync.exchange import binance_history
from accountsync.exchange.history import DAY_MS, MOST_ANSWERS, in_order, whole
from accountsync.simulator import Account, Fault, Order, Simulator

BTC = "BTC/USDT:USDT"
ROWS = 4


class Past:
    """Rows at `times`, told `ROWS` at a time at most, of the end that `newest` says."""

    def __init__(self, times: list[int], *, newest: bool, includes_end: bool) -> None:
        self.rows = [{"id": number, "time": time} for number, time in enumerate(sorted(times))]
        self.newest = newest
        self.includes_end = includes_end
        self.asked: list[tuple[int, int | None]] = []

    async def __call__(self, start: int, end: int | None) -> list[Any]:
        self.asked.append((start, end))
        within = [row for row in self.rows if start <= row["time"] and self._before(row["time"], end)]
        return within[-ROWS:] if self.newest else within[:ROWS]

    def _before(self, time: int, end: int | None) -> bool:
        return end is None or time < end or (self.includes_end and time == end)


def row_time(row: Any) -> int:
    return int(row["time"])


def no_crowd(times: list[int]) -> bool:
    """Whether no moment, with the next one, fills an answer."""
    return all(sum(time in (one, one + 1) for time in times) < ROWS for one in times)


@given(
    times=st.lists(st.integers(0, 100) | st.integers(0, 1_000_000), max_size=12).filter(no_crowd),
    since=st.integers(0, 1_000_000),
    span=st.sampled_from([None, 300_000, 999_983]),
    newest=st.booleans(),
    includes_end=st.booleans(),
)
async def test_all_rows_come_whichever_the_exchange_keeps(
    times: list[int], since: int, span: int | None, newest: bool, includes_end: bool
) -> None:
    past = Past(times, newest=newest, includes_end=includes_end)
    rows = await whole(past, row_time, since, 1_000_000, rows=ROWS, span_ms=span, what="it")
    assert {row["id"] for row in rows} == {row["id"] for row in past.rows if row["time"] >= since}
    assert all(span is None or end is None or end - start < span for start, end in past.asked)


async def test_more_than_can_be_told_is_nothing() -> None:
    past = Past(list(range(0, 1_000_000, 1000)), newest=False, includes_end=True)
    with pytest.raises(ExchangeUnobserved, match="more of it than") as caught:
        await whole(past, row_time, 0, 1_000_000, rows=ROWS, span_ms=None, what="it")
    assert caught.value.reason is Reason.EXCHANGE_MALFORMED
    assert len(past.asked) == MOST_ANSWERS


async def test_a_moment_that_fills_an_answer_is_nothing() -> None:
    past = Past([500] * ROWS, newest=False, includes_end=True)
    with pytest.raises(ExchangeUnobserved, match="one moment"):
        await whole(past, row_time, 0, 1000, rows=ROWS, span_ms=None, what="it")


async def test_too_many_spans_are_not_begun() -> None:
    past = Past([], newest=False, includes_end=True)
    with pytest.raises(ExchangeUnobserved):
        await whole(past, row_time, 0, 1000 * (MOST_ANSWERS + 1), rows=ROWS, span_ms=1000, what="it")
    assert past.asked == []


def fill(number: int, time: int, quantity: str = "1") -> Fill:
    return Fill(str(number), "7", BTC, Side.BUY, PositionSide.NET, Decimal(quantity), Decimal(5), time)


def test_fills_are_in_order_and_each_once() -> None:
    told = in_order([fill(10, 5), fill(9, 5), fill(11, 4), fill(10, 5), fill(8, 3)], since=4)
    assert [row.id for row in told] == ["11", "9", "10"]
    with pytest.raises(ExchangeUnobserved, match="in two ways"):
        in_order([fill(1, 5), fill(1, 5, "2")], since=0)


# --- on the simulated exchange ------------------------------------------------------------------------------


PAST_MS = 80 * DAY_MS


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """An exchange whose clock stands at long ago, until `present` lets the time pass."""
    async with Simulator(seed=1, clock=lambda: wall_ms() - PAST_MS) as simulator:
        yield simulator


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def present(sim: Simulator) -> None:
    sim.world.advance_clock(wall_ms() - sim.world.now_ms())


@pytest.fixture
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binance_history, "ROWS", ROWS)


def traded(sim: Simulator, account: Account, parts: int, *, apart_ms: int = 0, **more: Any) -> Order:
    """An order to buy BTC, filled in `parts`."""
    order = sim.world.place_order(
        account,
        symbol="BTCUSDT",
        side="BUY",
        price=Decimal(60_000),
        quantity=Decimal("0.001") * parts,
        **more,
    )
    for _ in range(parts):
        sim.world.advance_clock(apart_ms)
        order = sim.world.fill(order, quantity=Decimal("0.001"))
    return order


async def test_a_fill_is_as_it_was(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("hedged", wallet={"USDT": Decimal(10_000)}, hedge_mode=True)
    began = sim.world.now_ms()
    order = traded(sim, account, 1, position_side="LONG")
    present(sim)
    (told,) = await connect(account).fills("BTCUSDT", began)
    assert told == Fill(
        id=told.id,
        order_id=str(order.order_id),
        symbol=BTC,
        side=Side.BUY,
        leg=PositionSide.LONG,
        quantity=Decimal("0.001"),
        price=Decimal(60_000),
        time=order.update_time,
    )


@pytest.mark.usefixtures("_short_pages")
@pytest.mark.parametrize("count", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
async def test_fills_are_all_there(sim: Simulator, connect: Connect, count: int) -> None:
    account = sim.world.create_account("busy", wallet={"USDT": Decimal(10_000)})
    sim.world.advance_clock(79 * DAY_MS)
    traded(sim, account, 2, apart_ms=1000)
    sim.world.advance_clock(1000)
    since = sim.world.now_ms()
    if count:
        traded(sim, account, count, apart_ms=1000)
    present(sim)
    told = await connect(account).fills(BTC, since)
    assert [int(row.id) for row in told] == list(range(3, count + 3))


async def test_fills_of_weeks_are_asked_for_by_the_week(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("slow", wallet={"USDT": Decimal(10_000)})
    sim.world.advance_clock(60 * DAY_MS)
    since = sim.world.now_ms()
    traded(sim, account, 9, apart_ms=2 * DAY_MS)
    present(sim)
    told = await connect(account).fills(BTC, since)
    assert len(told) == 9
    assert len([record for record in sim.requests if record.path.endswith("/userTrades")]) == 3


@pytest.mark.parametrize("kind", ["fills", "income"])
async def test_what_is_kept_no_more_is_not_told_in_part(
    sim: Simulator, account: Account, connect: Connect, kind: str
) -> None:
    exchange = connect(account)
    present(sim)
    since = sim.world.now_ms() - 91 * DAY_MS
    with pytest.raises(ExchangeUnobserved, match="kept for 90 days") as caught:
        await (exchange.fills(BTC, since) if kind == "fills" else exchange.income(since))
    assert caught.value.reason is Reason.EXCHANGE_REFUSED
    since = sim.world.now_ms() - 89 * DAY_MS
    assert await (exchange.fills(BTC, since) if kind == "fills" else exchange.income(since))


@pytest.mark.usefixtures("_short_pages")
async def test_income_is_all_there(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("paid", wallet={"USDT": Decimal(10_000)})
    sim.world.advance_clock(79 * DAY_MS)
    since = sim.world.now_ms()
    for amount in range(1, 2 * ROWS + 1):
        sim.world.advance_clock(1000)
        sim.world.deposit(account, "USDT", Decimal(amount))
    present(sim)
    told = await connect(account).income(since)
    assert [row.amount for row in told] == [Decimal(amount) for amount in range(1, 2 * ROWS + 1)]
    assert {(row.asset, row.kind) for row in told} == {("USDT", "TRANSFER")}
    assert [row.time for row in told] == sorted(row.time for row in told)


async def test_income_explains_a_wallet(sim: Simulator, connect: Connect) -> None:
    account = sim.world.create_account("grid", wallet={"USDT": Decimal(10_000)})
    since, before = sim.world.now_ms(), account.balances["USDT"].wallet
    traded(sim, account, 2)
    sim.world.pay_funding("BTCUSDT", Decimal("0.0001"))
    sim.world.withdraw(account, "USDT", Decimal(7))
    present(sim)
    told = await connect(account).income(since)
    assert all(isinstance(row, Income) for row in told)
    assert sum(row.amount for row in told) == account.balances["USDT"].wallet - before
    assert {"COMMISSION", "FUNDING_FEE", "TRANSFER"} <= {row.kind for row in told}


CALLS = {"fills": "*/userTrades", "income": "*/income"}


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("fault", ["503", "truncated", "not a number", "refused"])
async def test_a_failure_is_no_empty_list(
    sim: Simulator, account: Account, connect: Connect, kind: str, fault: str
) -> None:
    exchange = connect(account)
    since = sim.world.now_ms()
    traded(sim, account, 1)
    present(sim)
    path = CALLS[kind]
    sim.faults.add(
        {
            "503": Fault.http_error(503, path=path),
            "truncated": Fault.truncated(path=path),
            "not a number": Fault.unparsable_quantity("x", path=path, name="qty" if kind == "fills" else "income"),
            "refused": Fault.http_error(400, code=-1130, path=path),
        }[fault]
    )
    with pytest.raises(ExchangeUnobserved):
        await (exchange.fills(BTC, since) if kind == "fills" else exchange.income(since))


async def test_a_row_told_twice_counts_once(sim: Simulator, account: Account, connect: Connect) -> None:
    exchange = connect(account)
    since = sim.world.now_ms()
    traded(sim, account, 1)
    present(sim)
    fills, income = await exchange.fills(BTC, since), await exchange.income(since)
    sim.faults.add(Fault.duplicated(path="*/userTrades"))
    sim.faults.add(Fault.duplicated(path="*/income"))
    assert await exchange.fills(BTC, since) == fills
    assert await exchange.income(since) == income


async def test_fills_of_another_symbol_are_refused(sim: Simulator, account: Account, connect: Connect) -> None:
    since = sim.world.now_ms()
    traded(sim, account, 1)
    present(sim)
    sim.faults.add(Fault.unparsable_quantity("ETHUSDT", path="*/userTrades", name="symbol"))
    with pytest.raises(ExchangeUnobserved, match="another symbol"):
        await connect(account).fills(BTC, since)


async def test_a_symbol_that_is_not_listed_is_the_specs_fault(account: Account, connect: Connect) -> None:
    with pytest.raises(ConfigurationError):
        await connect(account).fills("NOPE", 0)


@pytest.mark.usefixtures("within_a_minute")
async def test_each_answer_is_paid_for(sim: Simulator, account: Account, connect: Connect) -> None:
    present(sim)
    exchange = connect(account)
    await exchange.snapshot()
    used, since = exchange.venue.budget.used, sim.world.now_ms() - 1000
    await exchange.fills(BTC, since)
    assert exchange.venue.budget.used == used + 5
    await exchange.income(since)
    assert exchange.venue.budget.used == used + 35
    exchange.venue.budget.limit = 1
    with pytest.raises(ExchangeUnobserved) as caught:
        await exchange.income(since)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after


async def test_what_binance_tells(account: Account, connect: Connect) -> None:
    exchange = connect(account)
    assert (exchange.tells_fills, exchange.tells_income) == (True, True)
    assert exchange.forgets_after_ms == 90 * DAY_MS

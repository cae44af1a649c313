"""What an exchange no longer lists or remembers is not gone for that, and 'not found' is not always 'cancelled'."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from tests.false_mismatches.desk import PREFIX, Desk, Line, lines, simulated
from tests.support.fakes import START_MS, FakeExchange, ManualClock, tracked

from accountsync.domain.account import AccountSnapshot, Order, Part
from accountsync.domain.catalogue import Rule
from accountsync.errors import AccountSyncError, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.simulator.simulator import wall_clock_ms

DAY_MS = 86_400_000
REMEMBERS_MS = 90 * DAY_MS
OLD_MS = 100 * DAY_MS


@dataclass
class ForgetfulExchange(FakeExchange):
    """Denies orders that were made too long ago, open or not. `cut`: its list leaves those out, and says so."""

    cut: bool = False

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        whole = await super().snapshot(symbols)
        if not self.cut:
            return whole
        young = tuple(order for order in whole.orders if not self._forgotten(order))
        return replace(whole, orders=young, missing=frozenset({Part.ORDERS}))

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        order = await super().find_order(symbol=symbol, order_id=order_id, client_id=client_id, conditional=conditional)
        return None if order is None or self._forgotten(order) else order

    def _forgotten(self, order: Order) -> bool:
        limit = self.forgets_after_ms
        return limit is not None and order.created is not None and self.clock.now_ms() - order.created > limit


def forgetful(*, cut: bool = False) -> tuple[Desk, ForgetfulExchange]:
    exchange = ForgetfulExchange(ManualClock(), forgets_after_ms=REMEMBERS_MS, cut=cut)
    return Desk(exchange), exchange


def aged(desk: Desk, order: Order, age_ms: int = OLD_MS) -> Order:
    """The same order, placed long ago."""
    old = replace(order, created=START_MS - age_ms, updated=START_MS - age_ms)
    desk.exchange.orders[old.symbol, old.ref] = old
    return old


def remember_ages(desk: Desk) -> None:
    """The bot publishes when each order was placed, as docs/state.md asks."""

    def belief() -> object:
        state = desk.truth()
        created = {order.id: order.created for order in desk.exchange.orders.values()}
        return replace(state, orders=tuple(replace(row, created=created.get(row.id)) for row in state.orders or ()))

    desk.belief = belief  # type: ignore[assignment]


async def test_an_order_of_a_hundred_days_ago_that_is_open_agrees() -> None:
    """nautilus_trader #4847: open orders older than a look-back window fell out of the check without a word."""
    desk, _ = forgetful()
    old = aged(desk, desk.order())
    remember_ages(desk)
    made = await desk.stays_quiet(20)
    assert all(cycle.complete for cycle in made)
    assert made[-1].state.snapshot is not None
    assert old.id in {order.id for order in made[-1].state.snapshot.orders}

    desk.exchange.amend(old, quantity=old.quantity + 3)
    believed = tracked(old)
    desk.believe(orders=(tracked(desk.anchor), replace(believed, created=old.created)))
    (finding,) = await desk.finds(Rule.ORDER_DIVERGENCE)
    assert (finding.id, finding.expected, finding.observed) == (old.id, "quantity 1", "quantity 4")


async def test_an_unknown_order_of_a_hundred_days_ago_is_found_though_it_cannot_be_asked_for() -> None:
    """nautilus_trader #4847: what is listed as open is open, though the exchange answers no question about it."""
    desk, _ = forgetful()
    old = aged(desk, desk.order())
    remember_ages(desk)
    await desk.stays_quiet()
    desk.overlook(old)
    (finding,) = await desk.finds(Rule.UNEXPECTED_ORDER)
    assert finding.id == old.id


async def test_a_list_that_was_cut_off_shows_no_absence() -> None:
    """nautilus_trader #4847: orders beyond a window or a page are not among those listed, and are open all the same."""
    desk, exchange = forgetful(cut=True)
    old = [aged(desk, desk.order(f"{PREFIX}{number}")) for number in range(3)]
    young = desk.order(f"{PREFIX}young")
    remember_ages(desk)
    made = await desk.stays_quiet(30)
    assert {cycle.exchange.reason for cycle in made if cycle.exchange} == {Reason.SNAPSHOT_PARTIAL}
    assert not any(cycle.complete for cycle in made)

    exchange.cut = False
    await desk.stays_quiet()
    assert [finding.id for finding in desk.told] == []
    desk.exchange.end(young)
    believed = tuple(replace(tracked(order), created=order.created) for order in (desk.anchor, *old, young))
    desk.believe(orders=believed)
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert finding.id == young.id


async def test_an_old_order_that_the_exchange_denies_is_not_cancelled() -> None:
    """freqtrade: at the start of the bot an order that is 'not found' is always taken as cancelled.

    The exchange keeps no order for ever: its denial of an old one says nothing, not even while its list lacks it too.
    """
    desk, exchange = forgetful()
    old = aged(desk, desk.order())
    believed = replace(tracked(old), created=old.created)
    del exchange.orders[old.symbol, old.id]
    exchange.ended[old.symbol, old.id] = old
    desk.believe(orders=(tracked(desk.anchor), believed))
    await desk.stays_quiet(30)
    assert exchange.asked.count((old.symbol, old.id, "")) >= 20

    young = aged(desk, desk.order(f"{PREFIX}young"), age_ms=REMEMBERS_MS - DAY_MS)
    del exchange.orders[young.symbol, young.id]
    desk.believe(orders=(tracked(desk.anchor), believed, replace(tracked(young), created=young.created)))
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert (finding.id, finding.observed) == (young.id, "unknown to the exchange")


FAILURES: list[AccountSyncError] = [
    ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "HTTP 503"),
    ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, "no answer"),
    ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, "no route"),
    ExchangeUnobserved(Reason.EXCHANGE_MALFORMED, "no JSON"),
    ExchangeUnobserved(Reason.RATE_LIMITED, "HTTP 429"),
    ConfigurationError(Reason.CREDENTIALS_REJECTED, "HTTP 401"),
]


@dataclass
class MuteExchange(FakeExchange):
    """Lists its orders, and fails when it is asked for one."""

    failure: AccountSyncError | None = None

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        if self.failure is not None:
            raise self.failure
        return await super().find_order(symbol=symbol, order_id=order_id, client_id=client_id, conditional=conditional)


@pytest.mark.parametrize("failure", FAILURES, ids=[failure.reason.value for failure in FAILURES])
async def test_no_answer_about_an_order_is_no_denial(failure: AccountSyncError) -> None:
    """freqtrade, hummingbot #8457: a question that failed was taken as the answer 'there is no such order'."""
    exchange = MuteExchange(ManualClock(), failure=failure)
    desk = Desk(exchange)
    order = desk.order()
    await desk.stays_quiet(2)
    believed = desk.truth()
    del exchange.orders[order.symbol, order.id]
    desk.stick_to(believed)
    await desk.stays_quiet(30)

    exchange.failure = None
    (finding,) = await desk.finds(Rule.MISSING_ORDER)
    assert (finding.id, finding.observed) == (order.id, "unknown to the exchange")


class ShiftedClock:
    """The exchange's clock, which begins in the past and is then put to the present."""

    def __init__(self, behind_ms: int) -> None:
        self.behind_ms = behind_ms

    def __call__(self) -> int:
        return wall_clock_ms() - self.behind_ms


async def at_home(line: Line) -> None:
    """Both sides agree, cycle by cycle, though the exchange answers no question about its oldest orders."""
    made = await line.stays_quiet(5)
    assert all(cycle.complete for cycle in made)


async def test_an_order_of_a_hundred_days_ago_is_read_from_the_exchange() -> None:
    """nautilus_trader #4847: the whole list of open orders is read, with no window and no page that leaves any out."""
    clock = ShiftedClock(OLD_MS)
    with simulated("grid", clock=clock) as running:
        async with lines(running, "grid") as (line,):
            old = line.order(f"{PREFIX}old")
            line.act(
                lambda world, account: world.algos.place(
                    account,
                    symbol="BTCUSDT",
                    side="SELL",
                    order_type="STOP_MARKET",
                    trigger_price=Decimal(1000),
                    quantity=Decimal("0.01"),
                    client_algo_id=f"{PREFIX}stop",
                )
            )
            many = [line.order(f"{PREFIX}{number}", "ETHUSDT") for number in range(600)]
            clock.behind_ms = 0
            young = line.order(f"{PREFIX}young")
            await at_home(line)
            seen = line.state.snapshot
            assert seen is not None
            assert len(seen.orders) == 603
            assert {old, young, many[0], many[-1]} < {order.id for order in seen.orders}

            believed = line.truth()
            line.act(lambda world, account: world.cancel(account.orders["BTCUSDT", int(young)]))
            line.stick_to(believed)
            (finding,) = await line.finds(Rule.MISSING_ORDER, cycles=30)
            assert finding.id == young


async def test_an_unknown_order_of_a_hundred_days_ago_is_found_at_the_exchange() -> None:
    """nautilus_trader #4847: an order that the exchange lists and will not answer for is still there."""
    clock = ShiftedClock(OLD_MS)
    with simulated("grid", clock=clock) as running:
        async with lines(running, "grid") as (line,):
            old = line.order(f"{PREFIX}old")
            clock.behind_ms = 0
            line.order(f"{PREFIX}young")
            await at_home(line)
            line.overlook(f"{PREFIX}old")
            (finding,) = await line.finds(Rule.UNEXPECTED_ORDER, cycles=30)
            assert finding.id == old


async def test_the_exchange_denies_what_it_has_forgotten_and_that_proves_nothing() -> None:
    """freqtrade: a start after a long rest finds old orders 'not found'; they were not therefore cancelled."""
    clock = ShiftedClock(OLD_MS)
    with simulated("grid", clock=clock) as running:
        async with lines(running, "grid") as (line,):
            old = line.order(f"{PREFIX}old")
            believed = line.truth()
            clock.behind_ms = 0
            line.order(f"{PREFIX}young")
            line.act(lambda world, account: world.cancel(account.orders["BTCUSDT", int(old)]))
            line.belief = lambda: replace(line.truth(), orders=(*(believed.orders or ()), *(line.truth().orders or ())))
            await line.stays_quiet(10)
            assert {row.code for row in line.requests("/fapi/v1/order")} == {-2013}

            never = replace((believed.orders or ())[0], id="", client_id=f"{PREFIX}never", created=clock())
            line.belief = lambda: replace(line.truth(), orders=(*(line.truth().orders or ()), never))
            (finding,) = await line.finds(Rule.MISSING_ORDER, cycles=30)
            assert (finding.id, finding.observed) == (f"{PREFIX}never", "unknown to the exchange")

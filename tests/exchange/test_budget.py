"""The budget never spends past its share, whatever the exchange and the clocks do."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.exchange.conftest import Connect

from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.exchange import CcxtExchange, Venue, WeightBudget
from accountsync.simulator import Account, Fault, Simulator

MINUTE = 60_000


@dataclass
class HandClock:
    now: int = 1_000 * MINUTE
    seconds: float = 50.0

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.now += int(seconds * 1000)
        self.seconds += seconds


def spend(budget: WeightBudget, weight: int) -> None:
    with budget.reserve(weight):
        pass


def test_it_stops_at_four_fifths() -> None:
    budget = WeightBudget("x", HandClock(), limit=100)
    spend(budget, 80)
    with pytest.raises(ExchangeUnobserved) as caught:
        spend(budget, 1)
    assert caught.value.reason is Reason.RATE_LIMITED
    assert budget.used == 80


def test_what_is_on_its_way_counts() -> None:
    budget = WeightBudget("x", HandClock(), limit=100)
    with budget.reserve(50), budget.reserve(30):
        assert budget.used == 80
        with pytest.raises(ExchangeUnobserved):
            spend(budget, 1)
    assert budget.used == 80


def test_the_next_minute_is_a_new_one() -> None:
    clock = HandClock()
    budget = WeightBudget("x", clock, limit=100)
    spend(budget, 80)
    clock.pass_(45)
    with pytest.raises(ExchangeUnobserved) as caught:
        spend(budget, 1)
    assert caught.value.retry_after == 15
    clock.pass_(15)
    assert budget.used == 0
    spend(budget, 80)


def test_it_is_on_pace_while_the_share_used_is_no_more_than_the_share_of_the_minute_gone() -> None:
    clock = HandClock()
    budget = WeightBudget("x", clock, limit=100)
    assert budget.on_pace
    spend(budget, 30)
    assert not budget.on_pace
    clock.pass_(29)
    assert not budget.on_pace
    clock.pass_(1)
    assert budget.on_pace
    spend(budget, 1)
    assert not budget.on_pace
    clock.pass_(30)
    assert budget.on_pace


def test_without_a_known_limit_there_is_no_pace_to_keep() -> None:
    budget = WeightBudget("x", HandClock())
    spend(budget, 10_000)
    assert budget.on_pace


def test_the_larger_of_report_and_own_count_holds() -> None:
    clock = HandClock()
    budget = WeightBudget("x", clock, limit=100)
    spend(budget, 10)
    budget.observe(exchange_ms=clock.now, used=70)
    assert budget.used == 70
    spend(budget, 10)
    budget.observe(exchange_ms=clock.now, used=5)
    assert budget.used == 70


def test_a_report_of_the_minute_before_does_not_count() -> None:
    clock = HandClock()
    budget = WeightBudget("x", clock, limit=100)
    clock.pass_(61)
    assert budget.used == 0
    budget.observe(exchange_ms=clock.now - 2000, used=79)
    assert budget.used == 0


def test_the_minute_is_the_exchanges() -> None:
    clock = HandClock()
    budget = WeightBudget("x", clock, limit=100)
    spend(budget, 80)
    budget.observe(exchange_ms=clock.now - 30_000)  # our clock is half a minute ahead
    clock.pass_(59)
    with pytest.raises(ExchangeUnobserved):
        spend(budget, 80)
    clock.pass_(31)
    spend(budget, 80)


def test_a_clock_that_was_hours_ahead_is_forgiven() -> None:
    clock = HandClock()
    budget = WeightBudget("x", clock, limit=100)
    budget.observe(exchange_ms=clock.now - 100 * MINUTE, used=80)
    assert budget.used == 80
    clock.pass_(61)
    assert budget.used == 0


def test_staying_away_is_measured_on_a_clock_that_never_jumps() -> None:
    clock = HandClock()
    budget = WeightBudget("x", clock)
    assert budget.back_off(10) == 10
    clock.now += 1_000_000
    with pytest.raises(ExchangeUnobserved) as caught:
        budget.check()
    assert caught.value.retry_after == 10
    clock.pass_(10)
    budget.check()


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    budget = WeightBudget("x", HandClock())
    budget.back_off(100)
    assert budget.back_off(1) == 100


def test_an_absurd_pause_is_cut_to_the_longest_ban() -> None:
    assert WeightBudget("x", HandClock()).back_off(1e12) == 3 * 24 * 3600


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 40)), max_size=60))
def test_no_minute_is_overspent(steps: list[tuple[int, float]]) -> None:
    clock = HandClock()
    budget = WeightBudget("x", clock, limit=100)
    spent: dict[int, int] = {}
    for weight, pause in steps:
        clock.pass_(pause)
        try:
            spend(budget, weight)
        except ExchangeUnobserved:
            continue
        spent[clock.now // MINUTE] = spent.get(clock.now // MINUTE, 0) + weight
    assert all(total <= 80 for total in spent.values())


@pytest.mark.usefixtures("within_a_minute")
async def test_the_exchange_counts_what_we_count(
    sim: Simulator, account: Account, venue: Venue, connect: Connect
) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    await exchange.find_order(symbol="BTCUSDT", order_id="1")
    assert venue.budget.used >= sum(record.weight for record in sim.requests) >= 93
    assert venue.budget.limit == 2400


@pytest.mark.usefixtures("within_a_minute")
async def test_the_limit_is_the_one_that_the_exchange_tells(
    sim: Simulator, account: Account, venue: Venue, connect: Connect
) -> None:
    sim.limits.weight_per_minute = 150  # a whole reading weighs 91, of one symbol 13; four fifths are 120
    exchange = connect(account)
    await exchange.snapshot()
    assert venue.budget.limit == 150
    await exchange.snapshot(["BTCUSDT"])
    await exchange.snapshot(["BTCUSDT"])
    with pytest.raises(ExchangeUnobserved) as caught:
        await exchange.snapshot()
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 61
    assert {record.status for record in sim.requests} == {200}


@pytest.mark.usefixtures("within_a_minute")
async def test_others_on_the_same_address_are_seen(
    sim: Simulator, account: Account, venue: Venue, connect: Connect
) -> None:
    exchange = connect(account)
    await exchange.snapshot()
    sim.limiter.charge("127.0.0.1", next(iter(sim.limiter._usage))[1], 1500, sim.world.now_ms())
    await exchange.snapshot(["BTCUSDT"])
    assert venue.budget.used >= 1500


async def test_after_a_429_nobody_sends(sim: Simulator, account: Account, venue: Venue) -> None:
    exchanges = []
    for _ in range(2):
        key = sim.world.create_key(account)
        exchanges.append(CcxtExchange(venue, {"apiKey": key.api_key, "secret": key.secret}))
    await exchanges[0].snapshot()
    sim.faults.add(Fault.http_error(429, code=-1003, path="*/time", times=1))
    for exchange in exchanges:
        sent = len(sim.requests)
        with pytest.raises(ExchangeUnobserved) as caught:
            await exchange.snapshot()
        assert caught.value.reason is Reason.RATE_LIMITED
        assert len(sim.requests) - sent == (1 if exchange is exchanges[0] else 0)

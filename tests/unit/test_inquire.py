"""What is asked beyond the snapshot: bounded, and nobody waits for ever."""

from dataclasses import dataclass, field

from tests.support.fakes import FakeExchange
from tests.support.rows import BTC, ETH, NOW, account

from accountsync.clock import SystemClock
from accountsync.domain.account import Fill
from accountsync.domain.fills import FillLog
from accountsync.domain.finding import Question
from accountsync.errors import ExchangeUnobserved, Reason
from accountsync.inquire import MAX_LISTS_OF_FILLS, _in_turn, read_fills


@dataclass(slots=True)
class Listing(FakeExchange):
    """Tells nothing of half of its symbols, and no fill of the others."""

    lists: list[str] = field(default_factory=list)

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:
        self.lists.append(symbol)
        if int(symbol[1:]) % 2:
            raise ExchangeUnobserved(Reason.EXCHANGE_MALFORMED, f"too many since {since}")
        return ()


async def test_no_symbol_waits_for_ever_for_its_fills() -> None:
    """Some lists are wanted again and again, and some never answer."""
    exchange = Listing(SystemClock())
    log = FillLog(NOW)
    symbols = {f"S{number}" for number in range(3 * MAX_LISTS_OF_FILLS)}
    for turn in range(4):
        snapshot = account(timestamp=NOW + turn)
        log = await read_fills(log.noticing(symbols, snapshot), set(), snapshot, 5_000, exchange, float("inf"))
        assert len(exchange.lists) == (turn + 1) * MAX_LISTS_OF_FILLS
    assert set(exchange.lists) == symbols


def test_a_busy_symbol_keeps_no_other_waiting_for_an_answer() -> None:
    busy = [Question(BTC, str(number)) for number in range(50)]
    assert list(_in_turn([*busy, Question(ETH, "1")], {}))[:2] == [busy[0], Question(ETH, "1")]
    asked = {busy[0]: 1.0, Question(ETH, "1"): 2.0}
    assert list(_in_turn([*busy[:2], Question(ETH, "1")], asked)) == [busy[1], busy[0], Question(ETH, "1")]

"""The pure part: detection alone, and a whole cycle over ports that cost nothing."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any
from unittest import mock

from tests.bench.book import START_MS, SYMBOLS, as_dicts, book, document, in_native_symbols
from tests.bench.measure import Contestant, beside, measured, note, span, times, title

from accountsync import cycle
from accountsync.bot.state import parse_state
from accountsync.cycle import Cycle, State
from accountsync.domain import detect as judge
from accountsync.domain.account import AccountSnapshot, Fill, Income, Order
from accountsync.domain.decide import Wishes
from accountsync.domain.detect import detect
from accountsync.domain.expected import ExpectedState
from accountsync.domain.marks import Mark
from accountsync.domain.policy import Mode, Policy

POLICY = Policy(mode=Mode.PAUSE, order_id_prefix="grinder_")
COMPARED = ("status", "side", "quantity", "filled", "price")
STEP_MS = 15_000
WARM_UP = 5


def naive(listed: list[dict[str, Any]], believed: list[dict[str, Any]]) -> list[str]:
    """What a straightforward script does: no proof of absence, nothing doubted, no client ids, orders only."""
    theirs = {(row["symbol"], row["id"]): row for row in listed}
    ours = {(row["symbol"], row["id"]): row for row in believed}
    differences = []
    for key in sorted(theirs.keys() | ours.keys()):
        if key not in ours:
            differences.append(f"{key} is not known to the bot: {theirs[key]['quantity']} at {theirs[key]['price']}")
        elif key not in theirs:
            differences.append(f"{key} is gone from the exchange")
        else:
            one, other = ours[key], theirs[key]
            wrong = [name for name in COMPARED if one[name] != other[name]]
            if wrong:
                differences.append(f"{key} differs in {', '.join(wrong)}")
    return differences


def detection() -> None:
    title("Detection: domain.detect.detect beside a comparison of plain dicts by key (orders only, no proofs)")
    for orders, repetitions in ((10, 9), (1_000, 9), (100_000, 3)):
        for differing in (False, True):
            both = book(orders, differing=differing)
            listed, believed = as_dicts(both.snapshot.orders), as_dicts(both.belief.orders or ())
            found = len(detect(both.snapshot, both.belief, POLICY, both.answers).findings)
            if found != len(naive(listed, believed)):
                raise RuntimeError("the two do not find the same, so their speeds say nothing")

            def ours(loops: int, both: Any = both) -> None:
                for _ in range(loops):
                    detect(both.snapshot, both.belief, POLICY, both.answers)

            def theirs(loops: int, listed: Any = listed, believed: Any = believed) -> None:
                for _ in range(loops):
                    naive(listed, believed)

            figure, baseline = measured(
                Contestant("detect", ours), Contestant("dicts by key", theirs), repetitions=repetitions
            )
            sides = f"{found:,} differing" if differing else "both sides equal"
            beside(f"{orders:,} orders, {sides}", figure, [baseline], span)
            note(f"= {span(figure.median / orders)} an order; dicts {span(baseline.median / orders)}")


# --- a whole cycle ---------------------------------------------------------------------------------------------------


class SteppingClock:
    """Moves on by an interval when told to."""

    def __init__(self) -> None:
        self.wall, self.seconds = START_MS, 1000.0

    def now_ms(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def step(self) -> None:
        self.wall += STEP_MS
        self.seconds += STEP_MS / 1000


class Account:
    """Both ports: the same rows each time, stamped anew."""

    forgets_after_ms: int | None = None
    tells_fills = False
    tells_income = False

    def __init__(self, clock: SteppingClock, snapshot: AccountSnapshot, belief: ExpectedState) -> None:
        self._clock = clock
        self._snapshot = snapshot
        self._belief = in_native_symbols(belief)
        self._symbols = {**SYMBOLS, **{unified: unified for unified in SYMBOLS.values()}}

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:  # noqa: ARG002
        return replace(self._snapshot, timestamp=self._clock.wall)

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:
        raise NotImplementedError(symbol, since)

    async def income(self, since: int) -> tuple[Income, ...]:
        raise NotImplementedError(since)

    async def mark(self, symbol: str) -> Mark | None:  # noqa: ARG002
        return Decimal(100), self._clock.wall

    async def find_order(
        self,
        *,
        symbol: str,
        order_id: str = "",
        client_id: str = "",
        conditional: bool | None = None,  # noqa: ARG002
    ) -> Order | None:
        rows = (row for row in self._snapshot.orders if row.symbol == symbol)
        return next((row for row in rows if row.id == order_id or (client_id and row.client_id == client_id)), None)

    def canonical_symbol(self, text: str) -> str:
        return self._symbols[text]

    async def read(self) -> ExpectedState:
        return replace(self._belief, as_of=self._clock.wall)


class Line:
    """An account whose cycles follow one another."""

    def __init__(self, orders: int, *, standing: bool) -> None:
        both = book(orders, differing=standing)
        self._clock = SteppingClock()
        self._account = Account(self._clock, both.snapshot, both.belief)
        self._state = State()
        self.document = document(in_native_symbols(both.belief))

    async def one(self) -> Cycle:
        self._clock.step()
        account = self._account
        result = await cycle.run(self._state, POLICY, Wishes(), account, account, self._clock, since=0.0)
        self._state = result.state
        return result

    async def many(self, loops: int) -> None:
        for _ in range(loops):
            await self.one()

    async def judgements(self) -> list[Callable[[], Any]]:
        """The calls of detect, confirm and decide that one cycle makes, to be made again."""
        calls: list[Callable[[], Any]] = []

        def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                calls.append(lambda: function(*args, **kwargs))
                return function(*args, **kwargs)

            return call

        with ExitStack() as patches:
            for module, name in ((judge, "detect"), (cycle, "confirm"), (cycle, "decide")):
                patches.enter_context(mock.patch.object(module, name, recorded(getattr(module, name))))
            await self.one()
        return calls


def whole_cycle() -> None:
    title("One cycle: cycle.run over ports in memory, beside its judgement alone and the parsing of the bot's JSON")
    with asyncio.Runner() as runner:
        for orders, standing in ((10, False), (10, True)):
            line = Line(orders, standing=standing)
            runner.run(line.many(WARM_UP))
            last = runner.run(line.one())
            if not last.complete or bool(last.outcome.shown) != standing:
                raise RuntimeError("the cycle that is to be measured is not the one that was meant")
            calls = runner.run(line.judgements())

            def run(loops: int, line: Line = line) -> None:
                runner.run(line.many(loops))

            def judge(loops: int, calls: list[Callable[[], Any]] = calls) -> None:
                for _ in range(loops):
                    for call in calls:
                        call()

            def parse(loops: int, raw: bytes = line.document) -> None:
                for _ in range(loops):
                    parse_state(raw, source="the bot")

            whole, judgement, parsing = measured(
                Contestant("cycle.run", run),
                Contestant("its detect, confirm and decide alone", judge),
                Contestant(f"parse_state of {len(line.document)} bytes of JSON alone", parse),
            )
            found = "one finding standing" if standing else "both sides equal"
            beside(f"{orders} orders, 3 positions, {found}", whole, [judgement, parsing], span)
            share = judgement.over(whole)
            note(
                f"= {1 / whole.median:,.0f} cycles a second on one core; judgement {share.median:.0%} of a cycle;"
                f" judgement / parsing {times(judgement.over(parsing).median)}"
            )

"""The exchange as it is seen: late, at times failing, and at times of the past; within the limits that are promised.

What is promised: a list, or an answer about one order, is never older than the grace; lists of fills and of income are
at most two seconds behind; a part that was not read is named as missing.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from tests.simulation.exchange import Account
from tests.simulation.nature import Nature
from tests.simulation.timeline import Timeline
from tests.support.fakes import BTC, ETH, START_MS

from accountsync.domain.account import AccountSnapshot, Fill, Income, Order, Part
from accountsync.domain.marks import Mark
from accountsync.errors import ExchangeUnobserved, Reason

Row = TypeVar("Row", Fill, Income)
STALE_LIST_MS = 4_000
"""How far behind the account a list may be: less than the grace."""
STALE_ANSWER_MS = 2_000
STALE_SNAPSHOT_MS = 60_000
STEPS = {BTC: Decimal("0.001"), ETH: Decimal("0.001")}
MARKS = {BTC: Decimal(100), ETH: Decimal(100)}


class Port:
    """The `Exchange` port of an account. `trouble` is the chance of a fault a call; `served` counts the faults.

    `corrupt`: changes each snapshot on its way. `shown`: time of the snapshot that was answered last.
    """

    forgets_after_ms: int | None = None

    def __init__(self, account: Account, timeline: Timeline, dice: random.Random, nature: Nature) -> None:
        self.account, self.timeline, self.dice, self.nature = account, timeline, dice, nature
        self.tells_fills, self.tells_income = nature.tells_fills, nature.tells_income
        self.trouble = 0.0
        self.served: Counter[str] = Counter()
        self.shown: int | None = None
        self.corrupt = ""
        self._hidden: tuple[tuple[str, str], float] | None = None
        self._last: AccountSnapshot | None = None
        self._stuck_until = 0.0

    # --- the port -----------------------------------------------------------------------------------------------------

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:  # noqa: ARG002
        self.shown = None
        stuck = self.trouble and self._catch_up() < self._stuck_until
        well = self.dice.random() >= self.trouble and not stuck
        snapshot = await self._read() if well else await self._read_in_trouble()
        if self.corrupt:
            snapshot = self._corrupted(snapshot)
        self.shown, self._last = snapshot.timestamp, snapshot
        return snapshot

    async def find_order(
        self, *, symbol: str, order_id: str = "", client_id: str = "", conditional: bool | None = None
    ) -> Order | None:
        await self._lag()
        age = 0.0
        if self.dice.random() < self.trouble:
            if self.dice.random() < 0.5:
                self.served["no answer about an order"] += 1
                raise ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now")
            self.served["old answer about an order"] += 1
            age = self.dice.uniform(0, STALE_ANSWER_MS)
        now = self._catch_up()
        return self.account.find(symbol, order_id, client_id, conditional=conditional, at=now - age)

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:
        until = await self._history_until("fills")
        rows = self.account.traded[symbol]
        return tuple(row for row in _later(rows, since) if row.time <= until)

    async def income(self, since: int) -> tuple[Income, ...]:
        until = await self._history_until("income")
        return tuple(row for row in _later(self.account.booked, since) if row.time <= until)

    async def mark(self, symbol: str) -> Mark | None:
        await self._lag()
        if self.trouble and self.dice.random() < 0.5:
            self.served["no answer about a price"] += 1
            raise ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now")
        return (MARKS[symbol], self._catch_up()) if self.nature.quotes else None

    def canonical_symbol(self, text: str) -> str:
        return self.account.canonical(text)

    # --- how it is read -----------------------------------------------------------------------------------------------

    def _catch_up(self) -> int:
        seconds = asyncio.get_running_loop().time()
        self.timeline.catch_up(seconds)
        return START_MS + int(seconds * 1000)

    async def _lag(self) -> None:
        if self.nature.latency:
            await asyncio.sleep(self.nature.latency)

    async def _read(self, positions_age: float = 0.0, orders_age: float = 0.0) -> AccountSnapshot:
        timestamp = self._catch_up()
        await self._lag()
        first = self.account.at(self._catch_up() - positions_age)
        await self._lag()
        second = self.account.at(self._catch_up() - orders_age)
        orders = second.orders
        if self._hidden is not None:
            if self._hidden[1] < timestamp or not self.trouble:
                self._hidden = None
            else:
                orders = tuple(row for row in orders if (row.symbol, row.ref) != self._hidden[0])
        changed = {row.symbol for row in first.positions if (row.updated or 0) > timestamp}
        changed.update(row.symbol for row in orders if (row.updated or 0) > timestamp)
        return AccountSnapshot(
            timestamp,
            first.positions,
            orders,
            second.balances,
            frozenset(changed),
            steps=STEPS,
            marks=MARKS if self.nature.marks else {},
        )

    def _again(self, snapshot: AccountSnapshot) -> AccountSnapshot:
        self.served["same snapshot again"] += 1
        return snapshot

    async def _read_in_trouble(self) -> AccountSnapshot:  # noqa: PLR0911 - a list
        if self._last is not None and self._catch_up() < self._stuck_until:
            return self._again(self._last)
        match self.dice.randrange(9):
            case 0:
                self.served["no connection"] += 1
                await asyncio.sleep(self.dice.uniform(0, 3))
                raise ExchangeUnobserved(Reason.EXCHANGE_UNREACHABLE, "no connection")
            case 1:
                self.served["never answers"] += 1
                await asyncio.sleep(36_000)
                raise AssertionError("nobody waits that long")
            case 2:
                self.served["slow"] += 1
                await asyncio.sleep(self.dice.uniform(0, 3))
                return await self._read()
            case 3:
                self.served["snapshot of the past"] += 1
                return self._of_the_past(await self._read(), self.dice.uniform(0, STALE_SNAPSHOT_MS))
            case 4:
                self.served["positions of the past"] += 1
                return await self._read(positions_age=self.dice.uniform(0, STALE_LIST_MS))
            case 5:
                self.served["orders of the past"] += 1
                return await self._read(orders_age=self.dice.uniform(0, STALE_LIST_MS))
            case 6:
                self.served["part missing"] += 1
                return _without(await self._read(), self.dice.choice(list(Part)))
            case 7 if self._last is not None:
                self._stuck_until = self._catch_up() + self.dice.uniform(0, 8) * 1000 * self.nature.interval
                return self._again(self._last)
            case _:
                self._hide()
                return await self._read()

    def _hide(self) -> None:
        """From now on, for some cycles, the lists lack one order."""
        self._catch_up()
        if self.account.orders and self._hidden is None:
            self.served["order hidden"] += 1
            key = self.dice.choice(list(self.account.orders))
            until = self._catch_up() + self.dice.uniform(2, 8) * 1000 * max(self.nature.interval, 5)
            self._hidden = (key, until)

    def _of_the_past(self, now: AccountSnapshot, age: float) -> AccountSnapshot:
        timestamp = max(START_MS, now.timestamp - int(age))
        then = self.account.at(timestamp)
        return replace(
            now,
            timestamp=timestamp,
            positions=then.positions,
            orders=then.orders,
            balances=then.balances,
            unsettled=frozenset(),
            missing=frozenset(),
        )

    def _corrupted(self, snapshot: AccountSnapshot) -> AccountSnapshot:
        if self.corrupt == "twice":
            return replace(snapshot, orders=(*snapshot.orders, *snapshot.orders[:1]))
        return replace(
            snapshot,
            orders=(*snapshot.orders[1:], *(replace(row, quantity=Decimal(-1)) for row in snapshot.orders[:1])),
        )

    async def _history_until(self, kind: str) -> int:
        await self._lag()
        if self.dice.random() < self.trouble:
            self.served[f"no {kind}"] += 1
            raise ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now")
        return self._catch_up() - int(self.dice.uniform(0, self.nature.lag_ms))


def _without(snapshot: AccountSnapshot, part: Part) -> AccountSnapshot:
    match part:
        case Part.POSITIONS:
            snapshot = replace(snapshot, positions=())
        case Part.BALANCES:
            snapshot = replace(snapshot, balances=())
        case _:
            wanted = part is Part.ORDERS
            snapshot = replace(snapshot, orders=tuple(row for row in snapshot.orders if row.conditional is wanted))
    return replace(snapshot, missing=frozenset({part}))


def _later(rows: list[Row], since: int) -> list[Row]:
    """The rows from `since` on, looking from the end."""
    index = len(rows)
    while index and rows[index - 1].time >= since:
        index -= 1
    return rows[index:]

"""Mark prices: what a difference is worth. Exchanges list the mark of what is held; others have to be asked for.

A mark of the last minute is a price. An older one only says about how much it was.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal

from accountsync.domain.account import AccountSnapshot

Mark = tuple[Decimal, int]
"""A mark price, and exchange ms of when it was so."""
Marks = Mapping[str, Mark]
"""Symbol → its mark price and the time of that."""
MARK_COUNTS_MS = 60_000
"""An older mark is no price."""
MARK_ASKED_AFTER_MS = MARK_COUNTS_MS // 2
"""An older mark is asked for again, so that one question without an answer takes no price away."""


def with_known_marks(snapshot: AccountSnapshot, until: int, before: Marks) -> tuple[AccountSnapshot, Marks]:
    """The snapshot with the marks that count at `until`, exchange ms, also of earlier readings; and all that are known.

    A position that was closed takes its mark with it out of the lists.
    """
    own = {row.symbol: row.mark_price for row in snapshot.positions if row.mark_price} | dict(snapshot.marks)
    marks = newest(before, {symbol: (price, snapshot.timestamp) for symbol, price in own.items()})
    positions = snapshot.positions
    if until - snapshot.timestamp > MARK_COUNTS_MS:
        positions = tuple(replace(row, mark_price=None) for row in positions)
    return replace(snapshot, positions=positions, marks=recent(marks, until)), marks


def newest(marks: Marks, told: Marks) -> dict[str, Mark]:
    """Both, and of a symbol in both the later mark; of two of one time the one that was `told`."""
    return {**marks, **{symbol: mark for symbol, mark in told.items() if mark[1] >= marks.get(symbol, mark)[1]}}


def recent(marks: Marks, until: int) -> dict[str, Decimal]:
    """Those that are prices at `until`, exchange ms."""
    return {symbol: price for symbol, (price, at) in marks.items() if until - at <= MARK_COUNTS_MS}


def old(marks: Marks, until: int) -> dict[str, Decimal]:
    """Those that are no prices any more."""
    return {symbol: price for symbol, (price, at) in marks.items() if until - at > MARK_COUNTS_MS}


def lacking(symbols: Collection[str], marks: Marks, until: int) -> list[str]:
    """Those of `symbols` that are to be asked for."""
    return sorted(symbol for symbol in symbols if symbol not in marks or until - marks[symbol][1] > MARK_ASKED_AFTER_MS)


def worth_keeping(marks: Marks, until: int, standing: Collection[str]) -> dict[str, Mark]:
    """Those that are prices, and the last known ones of the symbols in which differences are `standing`."""
    counting = recent(marks, until)
    return {symbol: mark for symbol, mark in marks.items() if symbol in counting or symbol in standing}

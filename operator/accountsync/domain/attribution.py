"""Whose a fill is: what the ledger knows of the order behind it, and which open slices that leads to.

In:  the exchange's fills of one symbol, the ledger's orders of it. Out: `Evidence`, and the slices that each leads to.

Invariants:
1. Only the ledger's own marks are strong: the trade id or sub_tag that it wrote to the order, or a client order id that
   it made. The strongest mark of a fill decides; a fill that bears one of another trade is nobody else's.
2. A fill is evidence only on the exit side and leg of a slice, no earlier than its opening but for the grace, and if
   nothing has accounted for it. A fill of an entry, or of a sibling's order, is none.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from accountsync.domain.account import Fill, PositionSide
from accountsync.domain.accounting import Named, Rows, spent
from accountsync.domain.ledger import Attribution, Booked, Evidence, LedgerOrder, Purpose, Slice, SliceSide
from accountsync.domain.sharing import ALONE, Sharing

EXIT_WORD = re.compile(r"[-_.:](?:exit|close|stop|sl|tp|x)[0-9]{0,4}\Z", re.IGNORECASE)
"""What the client order id of an exit adds to that of its entry, or to its trade id."""
MOST_TAGGED = 64
"""Open slices that may share one sub_tag; among more of them it singles none out."""
LEGS = {
    SliceSide.LONG: frozenset({PositionSide.NET, PositionSide.LONG}),
    SliceSide.SHORT: frozenset({PositionSide.NET, PositionSide.SHORT}),
}
NOBODY: frozenset[str] = frozenset()


def evidence(
    fills: Iterable[Fill],
    orders: Sequence[LedgerOrder],
    *,
    client_ids: Mapping[str, str],
    used: Collection[str],
    booked: Sequence[Booked],
    slices: Sequence[Slice] = (),
    sharing: Sharing = ALONE,
    prefix: str = "",
) -> list[Evidence]:
    """The fills of one symbol that may be exits, with what the ledger knows of them. `orders`: its own of that symbol.

    `client_ids`: the exchange's order id → the client order id. `used`: ids of the fills that corrections and synthetic
    exits accounted for. `booked`: what the history holds of `orders` and of what is behind the fills. `slices`: those
    that are to be closed, of whose trades `orders` are all. `sharing` and `prefix`: whose orders are a sibling's.
    """
    rows = Rows(orders)
    trades = {name: each.trade_id for each in slices for name in (each.entry_client_id, each.trade_id) if name}
    exits: list[Named] = []
    for fill in sorted(fills, key=by_time):
        row = rows.of(fill.order_id, client_ids.get(fill.order_id, ""))
        client_id = client_ids.get(fill.order_id, "") or (row.client_id if row else "")
        entry = row is not None and row.purpose is Purpose.ENTRY
        if not entry and (row is not None or sharing.owner(client_id, prefix) is None):
            trade = row.trade_id if row is not None and row.trade_id else trades.get(stem(client_id), "")
            exits.append(Named(fill, row, client_id, trade))
    taken, doubted = spent(exits, orders, slices, used=used, booked=booked)
    return [
        Evidence(
            fill=each.fill,
            client_id=each.client_id,
            trade_id=each.row.trade_id if each.row else "",
            sub_tag=each.row.sub_tag if each.row else "",
            used=each.fill.id in taken,
            doubted=each.fill.id in doubted,
        )
        for each in exits
    ]


def by_time(fill: Fill) -> tuple[int, int, str]:
    """Sorts fills: oldest first, and of one moment by ids, which exchanges count up."""
    return fill.time, len(fill.id), fill.id


def stem(client_id: str) -> str:
    """What the ledger made the client order id of an exit from: that of the entry or the trade id; empty: nothing."""
    word = EXIT_WORD.search(client_id)
    return client_id[: word.start()] if word else ""


class Leads:
    """Which of the open `slices` a fill leads to. `grace_ms`: how much older than its slice a fill may be."""

    def __init__(self, slices: Iterable[Slice], grace_ms: int) -> None:
        self._grace_ms = grace_ms
        self._by_trade: dict[str, Slice] = {}
        self._by_stem: dict[str, set[str]] = {}
        self._by_tag: dict[str, set[str]] = {}
        for row in slices:
            self._by_trade[row.trade_id] = row
            for name in (row.trade_id, row.entry_client_id):
                self._by_stem.setdefault(name, set()).add(row.trade_id)
            self._by_tag.setdefault(row.sub_tag, set()).add(row.trade_id)

    def of(self, row: Evidence) -> tuple[Attribution, frozenset[str]]:
        """The trade ids of the slices that this fill may have closed, by its strongest mark."""
        if row.trade_id:
            return Attribution.TRADE_ID, self._fitting({row.trade_id}, row.fill)
        named = stem(row.client_id)
        made = self._fitting(self._by_stem.get(named, ()), row.fill) if named else NOBODY
        if made:
            return Attribution.CLIENT_ORDER_ID, made
        tagged = self._by_tag.get(row.sub_tag, ()) if row.sub_tag else ()
        if len(tagged) > MOST_TAGGED:
            return Attribution.SUB_TAG, NOBODY
        return Attribution.SUB_TAG, self._fitting(tagged, row.fill)

    def crowded(self, tag: str) -> bool:
        """Whether too many open slices share this sub_tag for it to single any of them out."""
        return len(self._by_tag.get(tag, ())) > MOST_TAGGED

    def fits(self, each: Slice, fill: Fill) -> bool:
        """Whether `fill` is of the exit side and leg of this slice, and in time."""
        return is_exit(each, fill) and fill.time >= each.opened - self._grace_ms

    def _fitting(self, trades: Iterable[str], fill: Fill) -> frozenset[str]:
        known = (self._by_trade[trade] for trade in trades if trade in self._by_trade)
        return frozenset(each.trade_id for each in known if self.fits(each, fill))


def is_exit(each: Slice, fill: Fill) -> bool:
    """Whether a fill like this closes what `each` holds open."""
    return fill.symbol == each.symbol and fill.side is each.side.exit and fill.leg in LEGS[each.side]

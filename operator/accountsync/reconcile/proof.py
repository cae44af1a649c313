"""What a run asks of the exchange and of the ledger before it changes anything: fills, and whose they are.

Invariants: so many questions a run, those that waited longest first; what was refused, not told in time or is one too
many is None, and proves nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from accountsync.domain.account import Fill
from accountsync.domain.attribution import evidence
from accountsync.domain.ledger import Evidence, LedgerOrder, Slice
from accountsync.domain.sharing import Sharing
from accountsync.errors import AccountSyncError
from accountsync.ports import Exchange, LockedLedger

MAX_LISTS_OF_FILLS = 5
MAX_QUESTIONS = 20
WINDOW_MS = 7 * 86_400_000
"""The longest span that is asked for at once on Binance; older fills prove nothing here."""
KEPT = 2_000


class Proof:
    """The questions of one run. `client_ids`: as in `Book`; `now_ms`: the exchange's clock.

    `sharing` and `prefix`: whose orders are another bot's.
    """

    def __init__(
        self,
        exchange: Exchange,
        client_ids: Mapping[tuple[str, str], str],
        now_ms: int,
        *,
        sharing: Sharing,
        prefix: str,
    ) -> None:
        self.client_ids = dict(client_ids)
        self.asked: set[str] = set()
        """Symbols whose fills were asked for."""
        self._exchange = exchange
        self._now_ms = now_ms
        self._sharing, self._prefix = sharing, prefix
        self._questions = MAX_QUESTIONS
        self._told: dict[str, tuple[int, tuple[Fill, ...] | None]] = {}

    async def fills(self, symbol: str, since: int | None) -> tuple[Fill, ...] | None:
        """The fills of `symbol` from `since` (ms) on, as far as they are kept; None: they are not known now."""
        since = max(since or 0, self._now_ms - WINDOW_MS)
        told = self._told.get(symbol)
        if told is not None and told[0] <= since:
            return told[1]
        if not self._exchange.tells_fills or len(self._told) >= MAX_LISTS_OF_FILLS:
            return None
        self.asked.add(symbol)
        try:
            rows: tuple[Fill, ...] | None = await self._exchange.fills(symbol, since)
        except AccountSyncError:
            rows = None
        self._told[symbol] = since, rows
        return rows

    async def of(
        self, symbol: str, slices: Sequence[Slice], ledger: LockedLedger, *, grace_ms: int
    ) -> list[Evidence] | None:
        """All that speaks for the end of `slices`, which are of `symbol`; None: it is not known, or not all of it."""
        told = await self.fills(symbol, min((row.opened for row in slices), default=0) - grace_ms)
        if told is None:
            return None
        closing = {row.side.exit for row in slices}
        fills = [fill for fill in told if fill.side in closing]
        used = {fill_id for _, fill_id in await ledger.used([(symbol, fill.id) for fill in fills])}
        order_ids = list(dict.fromkeys(fill.order_id for fill in fills))
        rows = {row.key: row for row in await ledger.orders([(symbol, order_id, "") for order_id in order_ids])}
        free = {fill.order_id for fill in fills if fill.id not in used}
        client_ids = await self._names(symbol, free, rows.values())
        if client_ids is None:
            return None
        named = [(symbol, "", client_id) for client_id in client_ids.values() if client_id]
        rows |= {row.key: row for row in (await ledger.orders(named) if named else ())}
        trades = [(symbol, row.trade_id) for row in slices]
        rows |= {row.key: row for row in (await ledger.trade_orders(trades) if fills else ())}
        refs = {(symbol, order_id, client_ids.get(order_id, "")) for order_id in order_ids}
        refs |= {(symbol, row.exchange_id, row.client_id) for row in rows.values()}
        return evidence(
            fills,
            tuple(rows.values()),
            client_ids=client_ids,
            used=used,
            booked=await ledger.booked(sorted(refs)) if refs else (),
            slices=slices,
            sharing=self._sharing,
            prefix=self._prefix,
        )

    async def _names(self, symbol: str, order_ids: Iterable[str], rows: Iterable[LedgerOrder]) -> dict[str, str] | None:
        """The exchange's order id → the client order id, empty where it has none; None: not all are known."""
        known = {row.exchange_id: row.client_id for row in rows if row.exchange_id and row.client_id}
        names: dict[str, str] = {}
        for order_id in sorted(order_ids):
            name = known.get(order_id) or self.client_ids.get((symbol, order_id))
            if name is None:
                if not self._questions:
                    return None
                self._questions -= 1
                try:
                    order = await self._exchange.find_order(symbol=symbol, order_id=order_id, conditional=False)
                except AccountSyncError:
                    return None
                name = order.client_id if order is not None else ""
                self.client_ids[symbol, order_id] = name
            names[order_id] = name
        return names

    def kept(self, symbols: Collection[str] = ()) -> dict[tuple[str, str], str]:
        """What is worth remembering of the client ids: all of `symbols`, whose ghosts wait for them, and the newest."""
        names = list(self.client_ids.items())
        return dict(
            name for number, name in enumerate(names, KEPT - len(names)) if number >= 0 or name[0][0] in symbols
        )

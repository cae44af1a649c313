"""Has a freqtrade bot look at its trades anew: the one repair that its API has.

In:  what of a belief is wrong. Out: nothing, or an `ActionError` that says what is known.

/trades/{id}/reload has freqtrade ask the exchange for all orders of the trade's pair since it was opened. It corrects
those that it knows, takes up those that it does not (as a liquidation's), and closes the trade where they closed the
position. It answers 200, too, where that failed or changed nothing; so the belief is read again.

Invariants:
1. Nothing is told to a bot that started anew, or believes something else of the pair, since it was judged.
2. Only trades of the pairs in question are reloaded. A repair of another kind is refused where none is of this one.
3. Whoever calls it has made sure that no order of somebody else's is open in the pair: freqtrade would take it up, and
   later cancel or replace it.
4. A repair counts as done only where the bot then believes what it should.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from accountsync.bot.freqtrade import OK, FreqtradeApi
from accountsync.bot.freqtrade_belief import FreqtradeState, Reading
from accountsync.domain.account import OrderStatus
from accountsync.domain.expected import ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.plan import Repair, RepairKind
from accountsync.errors import AccountSyncError, NotSent, OutcomeUnknown, Reason, Refused

RELOADED = frozenset({RepairKind.POSITION, RepairKind.STALE_ORDER})


class FreqtradeRepairs:
    """The write side of `state`. `canonical`: the unified spelling of a symbol, as `Exchange` gives it."""

    adopts = True

    def __init__(self, state: FreqtradeState, *, canonical: Callable[[str], str]) -> None:
        self._state = state
        self._canonical = canonical

    @property
    def _api(self) -> FreqtradeApi:
        return self._state.api

    async def repair(self, repair_id: str, belief: ExpectedState, repairs: Sequence[Repair]) -> None:  # noqa: ARG002
        """Reload the trades that `repairs` are about. Raises NotSent, Refused or OutcomeUnknown."""
        due = [repair for repair in repairs if repair.kind in RELOADED]
        if not due:
            raise self._refused(
                "can only be told to look at its trades anew, which adopts no order and changes no balance"
            )
        pairs = {repair.symbol for repair in due}
        try:
            now = await self._state.reading()
        except AccountSyncError as error:
            raise NotSent(error.message, error.reason) from None
        if now.belief.boot_id != belief.boot_id or self._about(now.belief, pairs) != self._about(belief, pairs):
            raise self._refused("believes something else, or was started anew, since it was judged")
        trades = [trade.trade_id for trade in now.trades if self._spelled(trade.pair) in pairs]
        if not trades:
            raise self._refused("has no open trade that it could look at anew")
        for trade in trades:
            await self._reload(trade)
        try:
            after = await self._state.reading()
        except AccountSyncError as error:
            raise OutcomeUnknown(error.message, error.reason) from None
        if not all(self._is_so(repair, after) for repair in due):
            raise self._refused(
                "looked at its trades anew, and believes the same or still something else: a person has to end the"
                " trade (docs/freqtrade.md)"
            )

    async def _reload(self, trade: int) -> None:
        path = f"/trades/{trade}/reload"
        answer = await self._api.post(path)
        if answer.status not in {OK, 404, 502}:  # the last two, too, where the trade is gone by now: the belief tells
            refusal = self._api.refusal(answer.status, path)
            raise OutcomeUnknown(refusal.message, refusal.reason)

    def _is_so(self, repair: Repair, after: Reading) -> bool:
        held, rows = self._about(after.belief, {repair.symbol})
        if repair.kind is RepairKind.POSITION:
            return sum((row.quantity for row in held), Decimal(0)) == Decimal(repair.value)
        return not any(row.id == repair.order_id and row.status is OrderStatus.OPEN for row in rows)

    def _about(
        self, belief: ExpectedState, pairs: set[str]
    ) -> tuple[tuple[ExpectedPosition, ...], tuple[ExpectedOrder, ...]]:
        """What `belief` says of `pairs`: positions that are not flat, and open orders, in unified words."""
        held = ((self._spelled(row.symbol), row) for row in belief.positions or () if row.quantity)
        rows = ((self._spelled(row.symbol), row) for row in belief.orders or () if row.status is OrderStatus.OPEN)
        return (
            tuple(replace(row, symbol=symbol) for symbol, row in sorted(held, key=_by_symbol) if symbol in pairs),
            tuple(replace(row, symbol=symbol) for symbol, row in sorted(rows, key=_by_id) if symbol in pairs),
        )

    def _spelled(self, symbol: str) -> str:
        try:
            return self._canonical(symbol)
        except KeyError:
            return symbol

    def _refused(self, why: str) -> Refused:
        return Refused(f"{self._api.source}: freqtrade {why}", Reason.BOT_REFUSED)


def _by_symbol(row: tuple[str, ExpectedPosition]) -> str:
    return row[0]


def _by_id(row: tuple[str, ExpectedOrder]) -> tuple[str, str]:
    return row[0], row[1].id

"""What a freqtrade bot believes of its account.

In:  a `FreqtradeApi`. Out: `ExpectedState`, or why there is none.

freqtrade learns of its orders in passes: each asks the exchange for every open order, writes what it learnt into the
bot's database, and ends by setting /health.last_process. That time is the belief's `as_of`. It is read before
anything else, so what is read after it is of that pass or a later one; a difference counts only for what the exchange
did before `as_of`, so that this errs on the quiet side. A pass that takes long may have asked for an order early in it:
then one belief lacks what happened since, and the next one, of a pass that began later, does not. Therefore a finding
needs two beliefs (spec.tolerances.confirmations, at least 2).

A pass says that freqtrade went through its loop, and not that the exchange answered it. Where it fails to ask for an
order, freqtrade logs that and goes on, so `last_process` advances although nothing was learnt. Only a trade that holds
something needs a price, without which the pass is given up. What tells, at last, is a trade without a price in
/status; but a price is kept for up to five minutes. What the exchange did in that time may be found and confirmed
although freqtrade would have learnt of it (docs/freqtrade.md).

Invariants:
1. A bot that is stopped, runs dry, is between two states, or has made no pass since it was started, has no belief.
2. The list of open trades is believed only where a second answer, read after it, gives the same number of them:
   freqtrade answers `[]` where it fails, too. The two are read again once, since a trade may just have begun or ended.
3. A position is the sum of what the orders of its open trades filled, in decimals. A trade's own `amount` is 0 until
   the whole entry filled, and it rounds.
4. Orders go by the exchange's id; freqtrade tells no client id. A stop-loss order at the exchange goes by the id of the
   conditional order.
5. While freqtrade gets no price of an open trade, nothing is believed: the exchange does not answer it.
6. No balance is published: freqtrade keeps wallets for up to an hour, so they are of no known time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from accountsync.bot.fields import STATUSES
from accountsync.bot.freqtrade import FreqtradeApi
from accountsync.bot.freqtrade_rows import Config, Count, Health, OrderRow, Said, TradePage, TradeRow
from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.expected import ExpectedOrder, ExpectedPosition, ExpectedState
from accountsync.domain.finding import EXACT
from accountsync.errors import BeliefUnobserved, Reason

PAGE: Final = 50
MOST_PAGES: Final = 4
RECENT: Final = timedelta(hours=1)
"""So long after its trade closed, an order is still told of: fills may be attributed late."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TRADES: Final = TypeAdapter(tuple[TradeRow, ...])
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reading:
    """A belief, and the open trades that it was made of."""

    belief: ExpectedState
    trades: tuple[TradeRow, ...]


class FreqtradeState:
    """The belief behind `api`, which it leaves open."""

    def __init__(self, api: FreqtradeApi) -> None:
        self.api = api

    async def read(self) -> ExpectedState:
        """Ask freqtrade. Raises BeliefUnobserved or ConfigurationError."""
        return (await self.reading()).belief

    async def reading(self) -> Reading:
        """The belief, and what it was made of. Raises BeliefUnobserved or ConfigurationError."""
        last_process, boot_id = await self._last_pass()
        await self._check_activity()
        trades = await self._open_trades()
        closed = await self._closed_trades(last_process - RECENT)
        belief = ExpectedState(
            as_of=(last_process - _EPOCH) // timedelta(milliseconds=1),
            boot_id=boot_id,
            positions=positions(trades),
            orders=tuple(_unique(orders((*trades, *closed)))),
        )
        return Reading(belief, trades)

    async def _last_pass(self) -> tuple[datetime, str]:
        """When the last pass ended, and what tells this start of the bot from others."""
        path = "/health"
        health = self._checked(Health, await self.api.get(path), path)
        done, begun = health.last_process, health.bot_startup
        if done is None or begun is None or done < begun:
            raise self._not_ready("has made no pass over its trades since it was started")
        return done, str(health.bot_startup_ts or (begun - _EPOCH) // timedelta(seconds=1))

    async def _check_activity(self) -> None:
        path = "/show_config"
        config = self._checked(Config, await self.api.get(path), path)
        if config.dry_run:
            raise self._not_ready("runs dry (dry_run: true): its trades are none of the exchange's")
        if config.trading_mode not in {None, "futures"}:
            raise self._not_ready("does not trade futures (trading_mode): only futures can be compared")
        if config.state == "stopped":
            raise self._not_ready(
                "is stopped, so that it learns nothing of what becomes of its orders: start or pause it"
            )
        if config.state not in {"running", "paused"}:
            raise self._not_ready("is between two states: it is starting, ending, or loading its configuration")

    async def _open_trades(self) -> tuple[TradeRow, ...]:
        for _ in range(2):
            trades = self._trades(await self.api.get("/status"))
            count = self._checked(Count, await self.api.get("/count"), "/count")
            if count.current == len(trades):
                self._check_prices(trades)
                return trades
        raise BeliefUnobserved(
            Reason.BOT_NOT_READY,
            f"{self.api.source}: freqtrade lists other open trades at /api/v1/status than it counts at /api/v1/count:"
            " it lists none where it fails; see its own log",
        )

    def _check_prices(self, trades: Iterable[TradeRow]) -> None:
        """The one sign in its answers that the exchange does not answer freqtrade; the last pass does not tell."""
        if any(trade.current_rate is None for trade in trades):
            raise self._not_ready(
                "gets no price of an open trade from the exchange, so that what it believes of its orders may be old:"
                " see its own log"
            )

    async def _closed_trades(self, since: datetime) -> tuple[TradeRow, ...]:
        """Those that closed lately, so that what their orders filled is known to be the bot's."""
        limit = (since - _EPOCH) // timedelta(milliseconds=1)
        found: list[TradeRow] = []
        for page in range(MOST_PAGES):
            path = f"/trades?limit={PAGE}&offset={page * PAGE}&order_by_id=false"
            rows = self._checked(TradePage, await self.api.get(path), path).trades
            recent = [row for row in rows if row.close_timestamp is not None and row.close_timestamp >= limit]
            found += recent
            if len(rows) < PAGE or len(recent) < len(rows):
                break
        return tuple(found)

    def _trades(self, said: Said) -> tuple[TradeRow, ...]:
        path = "/status"
        try:
            trades = _TRADES.validate_python(said)
        except ValidationError as error:
            raise self.api.malformed(path, _lacking(error)) from None
        if not all(trade.is_open for trade in trades):
            raise self.api.malformed(path, "lists a trade that is not open")
        return trades

    def _checked(self, model: type[Model], said: Said, path: str) -> Model:
        try:
            return model.model_validate(said)
        except ValidationError as error:
            raise self.api.malformed(path, _lacking(error)) from None

    def _not_ready(self, why: str) -> BeliefUnobserved:
        return BeliefUnobserved(Reason.BOT_NOT_READY, f"{self.api.source}: freqtrade {why}")


def _lacking(error: ValidationError) -> str:
    """Where an answer is not of the known form: the names of fields, which are ours."""
    location = error.errors(include_url=False, include_input=False)[0]["loc"]
    names = [str(step) for step in location if isinstance(step, str)]
    return f"lacks a usable {names[-1]}" if names else "is not of the known form"


# --- what the rows say -----------------------------------------------------------------------------------------------


def positions(trades: Iterable[TradeRow]) -> tuple[ExpectedPosition, ...]:
    """The net position of each pair: what entries filled less what exits and stop-losses did."""
    held: dict[str, Decimal] = {}
    for trade in trades:
        total = held.get(trade.pair, Decimal(0))
        for order in trade.orders:
            filled = order.filled or Decimal(0)
            buys = side_of(order, trade) is Side.BUY
            total = EXACT.add(total, filled) if buys else EXACT.subtract(total, filled)
        held[trade.pair] = total
    return tuple(ExpectedPosition(pair, PositionSide.NET, held[pair]) for pair in sorted(held))


def orders(trades: Iterable[TradeRow]) -> Iterator[ExpectedOrder]:
    """All orders of `trades`, those that are over too: what they filled is the bot's own."""
    for trade in trades:
        for row in trade.orders:
            yield ExpectedOrder(
                symbol=trade.pair,
                id=row.order_id,
                side=side_of(row, trade),
                quantity=row.amount,
                filled=row.filled,
                price=_price(row),
                status=_status(row),
                created=row.order_timestamp,
            )


def side_of(order: OrderRow, trade: TradeRow) -> Side:
    """A stop-loss closes its trade."""
    if order.ft_order_side == "stoploss":
        return Side.BUY if trade.is_short else Side.SELL
    return Side(order.ft_order_side)


def _price(order: OrderRow) -> Decimal | None:
    """The limit; not known once it filled in part, since freqtrade then tells the average, nor of a stop-loss."""
    told = order.order_type == "limit" and not order.filled and order.ft_order_side != "stoploss"
    return order.safe_price if told else None


def _status(order: OrderRow) -> OrderStatus:
    if order.is_open:
        return OrderStatus.OPEN
    status = STATUSES.get((order.status or "").lower(), OrderStatus.CANCELED)
    return OrderStatus.CANCELED if status is OrderStatus.OPEN else status


def _unique(rows: Iterable[ExpectedOrder]) -> Iterator[ExpectedOrder]:
    """The first of each id: a trade that closed while it was read stands in both lists."""
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if (row.symbol, row.id) not in seen:
            seen.add((row.symbol, row.id))
            yield row

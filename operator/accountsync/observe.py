"""What a cycle reads of both sides, made comparable: bounded in time, in one spelling, and never older than before."""

import asyncio
import math
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from accountsync.api.caps import token
from accountsync.domain.account import AccountSnapshot, Part
from accountsync.domain.expected import ExpectedState
from accountsync.domain.policy import Policy
from accountsync.errors import AccountSyncError, BeliefUnobserved, ConfigurationError, ExchangeUnobserved, Reason
from accountsync.ports import BotState, Clock, Exchange

T = TypeVar("T")
ObjectKey = tuple[str, str, str]
"""Kind, symbol, and what tells it from others of that kind and symbol."""
ORDER, POSITION = "order", "position"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a side is Unknown. `permanent`: it stays so until a person changes something."""

    reason: Reason
    message: str
    permanent: bool = False
    retry_after: float | None = None

    @classmethod
    def of(cls, error: AccountSyncError) -> "Failure":
        """The failure that `error` speaks of."""
        retry_after = error.retry_after if isinstance(error, ExchangeUnobserved) else None
        return cls(error.reason, error.message, isinstance(error, ConfigurationError), retry_after)


async def read_both(
    exchange: Exchange,
    bot: BotState,
    policy: Policy,
    deadline: float,
    clock: Clock,
    *,
    patience: float = math.inf,
) -> tuple[AccountSnapshot | Failure, int, ExpectedState | Failure]:
    """The snapshot, how many ms it took, and the belief; read side by side until `deadline` of the event loop.

    `patience`: for how many seconds at most the belief is waited for once the snapshot is there.
    """
    loop, last = asyncio.get_running_loop(), asyncio.timeout_at(deadline)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_snapshot(exchange, policy, deadline, clock))
        believing = group.create_task(_belief(bot, policy, last))
        await asyncio.wait([reading])
        if math.isfinite(patience) and not believing.done() and not last.expired():
            last.reschedule(min(deadline, loop.time() + patience))
    return *reading.result(), believing.result()


async def _snapshot(
    exchange: Exchange, policy: Policy, deadline: float, clock: Clock
) -> tuple[AccountSnapshot | Failure, int]:
    began = clock.monotonic()
    late = ExchangeUnobserved(Reason.EXCHANGE_TIMEOUT, f"the exchange did not answer within {policy.timeout:g} s")
    snapshot = await _bounded(exchange.snapshot(policy.symbols), asyncio.timeout_at(deadline), late)
    return snapshot, math.ceil((clock.monotonic() - began) * 1000)


async def _belief(bot: BotState, policy: Policy, until: asyncio.Timeout) -> ExpectedState | Failure:
    late = BeliefUnobserved(Reason.BOT_TIMEOUT, f"the bot's state did not arrive within {policy.timeout:g} s")
    return await _bounded(bot.read(), until, late)


async def _bounded(reading: Awaitable[T], until: asyncio.Timeout, late: AccountSyncError) -> T | Failure:
    try:
        async with until:
            return await reading
    except TimeoutError:
        return Failure.of(late)
    except AccountSyncError as error:
        return Failure.of(error)


def in_unified_words(expected: ExpectedState, exchange: Exchange) -> ExpectedState:
    """The belief with the exchange's unified symbols. A flat position in a symbol that is gone is dropped.

    Raises BeliefUnobserved for a symbol that the exchange does not list.
    """

    def listed(symbol: str) -> bool:
        try:
            exchange.canonical_symbol(symbol)
        except KeyError:
            return False
        return True

    def canonical(symbol: str, section: str, index: int) -> str:
        try:
            return exchange.canonical_symbol(symbol)
        except KeyError:
            raise BeliefUnobserved(
                Reason.STATE_MALFORMED,
                f"the bot's state, {section}[{index}].symbol: the exchange lists no such symbol; expected its own or"
                " ccxt's spelling, e.g. BTCUSDT or BTC/USDT:USDT",
            ) from None

    positions, orders = expected.positions, expected.orders
    if positions is not None:
        positions = tuple(
            row if (symbol := canonical(row.symbol, "positions", index)) == row.symbol else replace(row, symbol=symbol)
            for index, row in enumerate(positions)
            if row.quantity or listed(row.symbol)
        )
        if len({(row.symbol, row.side) for row in positions}) < len(positions):
            raise BeliefUnobserved(
                Reason.STATE_MALFORMED,
                "the bot's state, positions: one position stands in two spellings of its symbol: keep one",
            )
    if orders is not None:
        orders = tuple(
            row if (symbol := canonical(row.symbol, "orders", index)) == row.symbol else replace(row, symbol=symbol)
            for index, row in enumerate(orders)
        )
        ids = [(row.symbol, row.id) for row in orders if row.id]
        names = [(row.symbol, row.client_id) for row in orders if row.client_id]
        if len(set(ids)) < len(ids) or len(set(names)) < len(names):
            raise BeliefUnobserved(
                Reason.STATE_MALFORMED,
                "the bot's state, orders: one order stands in two spellings of its symbol: keep one",
            )
    return replace(expected, boot_id=token(expected.boot_id), positions=positions, orders=orders)


def in_exchange_terms(policy: Policy, exchange: Exchange) -> Policy:
    """The policy with unified symbols. Raises ConfigurationError for one that the exchange does not list."""

    def unified(symbol: str) -> str:
        try:
            return exchange.canonical_symbol(symbol)
        except KeyError:
            return symbol  # an asset, or nothing that a finding is about

    try:
        symbols = tuple(exchange.canonical_symbol(symbol) for symbol in policy.symbols)
    except KeyError:
        raise ConfigurationError(
            Reason.UNKNOWN_SYMBOL, "spec.exchange.symbols names a symbol that the exchange does not list"
        ) from None
    ignores = tuple(replace(ignore, symbol=unified(ignore.symbol)) for ignore in policy.ignores)
    return replace(policy, symbols=symbols, ignores=ignores, forgets_after_ms=exchange.forgets_after_ms)


def unsettle_regressed(
    snapshot: AccountSnapshot, until: int, updates: Mapping[ObjectKey, int], gone: Mapping[ObjectKey, int]
) -> tuple[AccountSnapshot, dict[ObjectKey, int], dict[ObjectKey, int]]:
    """One object older than when it was last seen: its symbol is Unknown this time.

    So it is, once, where a position is back that was gone, and is older than the reading that lacked it: one of the
    two lists was of the past. Also what to remember as `updates` and `gone`.
    """
    now = _updates(snapshot)
    older = {key for key, updated in now.items() if updated < updates.get(key, updated)}
    older |= {key for key, updated in now.items() if updated < gone.get(key, updated)}
    latest = {key: max(min(updated, until), updates.get(key, 0)) for key, updated in now.items()}
    if Part.POSITIONS in snapshot.missing:
        latest |= {key: updated for key, updated in updates.items() if key[0] == POSITION}
    left = {key: snapshot.timestamp for key in updates if key not in latest and key[0] == POSITION}
    still_gone = {key: since for key, since in ({**left, **gone}).items() if key not in now}
    unsettled = snapshot.unsettled.union(symbol for _, symbol, _ in older)
    return replace(snapshot, unsettled=unsettled), latest, still_gone


def _updates(snapshot: AccountSnapshot) -> dict[ObjectKey, int]:
    orders = {(ORDER, order.symbol, order.ref): order.updated for order in snapshot.orders}
    positions = {(POSITION, row.symbol, f"{row.side}/{row.margin_mode}"): row.updated for row in snapshot.positions}
    return {key: updated for key, updated in (orders | positions).items() if updated is not None}

"""What happens to a ledger: an order that the exchange proved to be otherwise, and an exit that it lacks.

In:  an open `Change`, and what was judged. Out: rows changed in its transaction, or ChangedError or LedgerError, after
     which it has to be rolled back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Final

from accountsync.bot.ledger.booked import Id
from accountsync.bot.ledger.change import Change, ChangedError, moment, rounded
from accountsync.bot.ledger.rows import ACTIVE, OPEN, text
from accountsync.domain.account import Fill, Side
from accountsync.domain.ledger import Correction, Handler, Purpose, SliceSide, SyntheticExit

_SHUT: Final = (
    "UPDATE {slices} SET quantity = %(quantity)s, entry_price = %(price)s, status = %(status)s, closed_at = %(closed)s,"
    " updated_at = now() WHERE profile::text = %(profile)s AND trade_id::text = %(trade)s"
    " RETURNING quantity::numeric, entry_price::numeric"
)
_OPENED: Final = (
    "INSERT INTO {slices} (profile, trade_id, sub_tag, symbol, side, entry_client_order_id, quantity, entry_price,"
    " status, opened_at, updated_at) VALUES (%(profile)s, %(trade)s, %(sub_tag)s, %(symbol)s, %(side)s, %(client)s,"
    " %(quantity)s, %(price)s, 'open', %(at)s, now()) RETURNING quantity::numeric, entry_price::numeric"
)
_CORRECTED: Final = (
    "UPDATE {orders} SET filled = %(filled)s, status = %(status)s, exchange_order_id = %(exchange)s, updated_at = now()"
    " WHERE profile::text = %(profile)s AND order_key::text = %(key)s RETURNING filled::numeric"
)
_ADOPTED: Final = (
    "INSERT INTO {orders} (profile, order_key, symbol, client_order_id, exchange_order_id, trade_id, sub_tag, side,"
    " purpose, quantity, filled, price, status, created_at, updated_at) VALUES (%(profile)s, %(key)s, %(symbol)s,"
    " %(client)s, %(exchange)s, %(trade)s, %(sub_tag)s, %(side)s, %(purpose)s, %(quantity)s, %(filled)s, %(price)s,"
    " %(status)s, %(created)s, now()) RETURNING quantity::numeric, filled::numeric"
)
_KNOWN: Final = (
    f"SELECT {text('symbol')} FROM {{orders}} WHERE profile::text = %(profile)s AND (order_key::text = %(key)s"
    f" OR exchange_order_id::text = %(exchange)s OR (client_order_id::text = %(client)s AND {ACTIVE})) LIMIT 1000"
)
_SPELLINGS: Final = (
    f"SELECT {text('symbol')} FROM {{positions}} WHERE profile::text = %(profile)s"
    f" UNION SELECT {text('symbol')} FROM {{orders}} WHERE profile::text = %(profile)s AND {ACTIVE}"
    f" UNION SELECT {text('symbol')} FROM {{slices}} WHERE profile::text = %(profile)s AND {OPEN} LIMIT 10000"
)


async def exit_synthetically(change: Change, synthetic: SyntheticExit, seen: Mapping[Id, Decimal]) -> None:
    """Close the slice whole. `seen`: what the bot had booked of the orders behind the fills when it was judged."""
    if await change.booked_otherwise(seen):
        raise ChangedError  # a fill that the bot accounts for proves nothing else
    judged = synthetic.slice
    row = await change.slice(judged.trade_id)
    symbol, quantity, price, version = row[2], row[5], row[6], row[-1]
    if version != judged.version or quantity != judged.quantity:
        raise ChangedError
    stored = await change.one(
        _SHUT,
        "slices",
        trade=judged.trade_id,
        quantity=Decimal(0),
        price=price,
        status="closed",
        closed=moment(synthetic.at),
    )
    change.exact("slices", stored, (Decimal(0), price))
    orders = {fill.order_id for fill in synthetic.fills}
    await change.book(
        event_id=synthetic.event_id,
        kind="EXIT",
        symbol=symbol,
        quantity=judged.quantity,
        price=synthetic.price,
        reason=f"parity: {synthetic.attribution}",
        at=synthetic.at,
        trade_id=judged.trade_id,
        sub_tag=judged.sub_tag,
        exchange_id=orders.pop() if len(orders) == 1 else "",
        synthetic=True,
    )
    await change.use(symbol, synthetic.fills, synthetic.event_id)
    await change.recompute_position(symbol)
    await change.recompute_capital(rounded(synthetic.realised) or Decimal(0))


async def correct(change: Change, correction: Correction) -> None:
    """Bring the order, and with the fills its slice, to what the exchange proved."""
    if correction.handler is Handler.ADOPT:
        await _adopt(change, correction)
        return
    order = correction.order
    row = await change.order(order.key)
    symbol = row[1]
    if row[-1] != order.version:
        raise ChangedError
    by_fills = next((fill.order_id for fill in correction.fills), "")
    exchange_id = order.exchange_id or correction.exchange_id or by_fills
    stored = await change.one(
        _CORRECTED,
        "orders",
        key=order.key,
        filled=correction.filled,
        status=correction.status.value,
        exchange=exchange_id or None,
    )
    change.exact("orders", stored, (correction.filled,))
    canceling = correction.handler is Handler.CANCEL
    realised = Decimal(0)
    if correction.fills or not canceling:
        event_id = f"{correction.event_id}:fill" if canceling else correction.event_id
        realised = await _filled(change, correction, symbol, event_id, exchange_id)
    if canceling:
        await change.book(
            event_id=correction.event_id,
            kind="CANCEL",
            symbol=symbol,
            quantity=Decimal(0),
            price=None,
            reason=correction.handler,
            at=correction.at,
            trade_id=order.trade_id,
            sub_tag=order.sub_tag,
            client_id=order.client_id,
            exchange_id=exchange_id,
        )
    await change.recompute_capital(realised)


async def _filled(change: Change, correction: Correction, symbol: str, event_id: str, exchange_id: str) -> Decimal:
    """Let the order's slice have the fills; the profit that this realised."""
    order = correction.order
    quantity = _total(correction.fills)
    trade_id, realised = order.trade_id, Decimal(0)
    if correction.fills:
        if order.purpose is Purpose.ENTRY:
            trade_id = await _grow(change, correction, symbol, quantity)
        else:
            realised = await _shrink(change, correction, quantity)
    await change.book(
        event_id=event_id,
        kind=order.purpose.name,
        symbol=symbol,
        quantity=quantity,
        price=correction.price,
        reason=correction.handler,
        at=correction.at,
        trade_id=trade_id,
        sub_tag=order.sub_tag,
        client_id=order.client_id,
        exchange_id=exchange_id,
    )
    if correction.fills:
        await change.use(symbol, correction.fills, event_id)
        await change.recompute_position(symbol)
    return realised


@dataclass(frozen=True, slots=True)
class _Held:
    quantity: Decimal
    price: Decimal | None


async def _grow(change: Change, correction: Correction, symbol: str, quantity: Decimal) -> str:
    """An entry filled: its slice opens or grows. The trade's id."""
    order = correction.order
    side = SliceSide.LONG if order.side is Side.BUY else SliceSide.SHORT
    if not order.trade_id:
        raise change.refused("an entry order without a trade_id cannot open a slice: the bot has to name its trade")
    found = await change.slices_of(order.trade_id)
    _refuse_another(change, correction, found)
    if found and (found[0][3] != side.value or found[0][7] != "open"):
        raise ChangedError
    held = _Held(found[0][5], found[0][6]) if found else _Held(Decimal(0), None)
    price = rounded(_average(held, quantity, correction.price))
    values = {"trade": order.trade_id, "quantity": held.quantity + quantity, "price": price}
    if found:
        stored = await change.one(_SHUT, "slices", status="open", closed=None, **values)
    else:
        stored = await change.one(
            _OPENED,
            "slices",
            sub_tag=order.sub_tag or None,
            symbol=symbol,
            side=side.value,
            client=order.client_id or None,
            at=moment(min((fill.time for fill in correction.fills), default=correction.at)),
            **values,
        )
    change.exact("slices", stored, (held.quantity + quantity, price))
    return order.trade_id


async def _shrink(change: Change, correction: Correction, quantity: Decimal) -> Decimal:
    """An exit filled: its slice shrinks, and is closed when nothing is left. The profit."""
    order = correction.order
    row = await change.slice(order.trade_id)
    _refuse_another(change, correction, [row])
    side, left, price = row[3], row[5] - quantity, row[6]
    if left < 0 or SliceSide(side).exit is not order.side:
        raise ChangedError
    stored = await change.one(
        _SHUT,
        "slices",
        trade=order.trade_id,
        quantity=left,
        price=price,
        status="open" if left else "closed",
        closed=None if left else moment(correction.at),
    )
    change.exact("slices", stored, (left, price))
    if price is None or correction.price is None:
        return Decimal(0)
    with localcontext(prec=64):
        gain = (correction.price - price) * quantity
    return rounded(gain if side == "long" else -gain) or Decimal(0)


def _refuse_another(change: Change, correction: Correction, found: Sequence[tuple[Any, ...]]) -> None:
    """A slice that is not the one which was judged: another version or symbol, or there where none was."""
    if [row[-1] for row in found] != [each for each in [correction.slice_version] if each]:
        raise ChangedError
    if any(change.unified(row[2]) != correction.order.symbol for row in found):
        raise ChangedError


async def _adopt(change: Change, correction: Correction) -> None:
    """Make the row of an order that the ledger lacks. What it filled comes by a correction of its own."""
    order = correction.order
    known = await change.rows(_KNOWN, key=order.key, exchange=order.exchange_id or None, client=order.client_id or None)
    if any(change.unified(row[0]) == order.symbol for row in known):
        raise ChangedError
    spellings = [row[0] for row in await change.rows(_SPELLINGS) if change.unified(row[0]) == order.symbol]
    symbol = min(spellings, default=order.symbol)
    stored = await change.one(
        _ADOPTED,
        "orders",
        key=order.key,
        symbol=symbol,
        client=order.client_id or None,
        exchange=order.exchange_id or None,
        trade=order.trade_id or None,
        sub_tag=order.sub_tag or None,
        side=order.side.value,
        purpose=order.purpose.value,
        quantity=order.quantity,
        filled=correction.filled,
        price=order.price,
        status=correction.status.value,
        created=moment(correction.at if order.created is None else order.created),
    )
    change.exact("orders", stored, (order.quantity, correction.filled))
    await change.book(
        event_id=correction.event_id,
        kind=order.purpose.name,
        symbol=symbol,
        quantity=Decimal(0),
        price=None,
        reason=correction.handler,
        at=correction.at,
        trade_id=order.trade_id,
        sub_tag=order.sub_tag,
        client_id=order.client_id,
        exchange_id=order.exchange_id,
    )
    await change.recompute_capital(Decimal(0))


def _average(held: _Held, quantity: Decimal, price: Decimal | None) -> Decimal | None:
    if price is None or not held.quantity:
        return price
    if held.price is None:
        return None
    with localcontext(prec=64):
        return (held.quantity * held.price + quantity * price) / (held.quantity + quantity)


def _total(fills: tuple[Fill, ...]) -> Decimal:
    with localcontext(prec=64):
        return sum((fill.quantity for fill in fills), Decimal(0))

"""Documents that a bot may publish: good, bad, and any that hypothesis can think of."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.expected import ExpectedBalance, ExpectedOrder, ExpectedPosition, ExpectedState

AS_OF = "2026-11-21T11:00:00.123Z"
AS_OF_MS = int(datetime(2026, 11, 21, 11, 0, 0, 123_000, tzinfo=UTC).timestamp() * 1000)


def document(**fields: Any) -> dict[str, Any]:
    return {"version": 1, "asOf": AS_OF} | fields


def position(**fields: Any) -> dict[str, Any]:
    return document(positions=[{"symbol": "BTCUSDT", "quantity": "1"} | fields])


def order(**fields: Any) -> dict[str, Any]:
    return document(orders=[{"id": "1", "symbol": "BTCUSDT"} | fields])


TEXTS_THAT_ARE_NO_DECIMAL = [
    "",
    " ",
    "1,5",
    "0x1",
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "sNaN",
    "1e999999",
    "1e100",
    "1_000",
    "+1",
    ".5",
    "5.",
    "--1",
    "1 ",
    "1\n",
    "٣",
    "1" * 41,
    "½",
]


BAD_DOCUMENTS: list[tuple[Any, str, str]] = [
    # the document as a whole
    (b"", "the document", "is empty"),
    (b" \n", "the document", "is empty"),
    (b"\xff\xfe", "the document", "is not UTF-8: see byte 0"),
    (b'{"version": 1, "asOf": "\xe9"}', "the document", "is not UTF-8"),
    (json.dumps(document()).encode("utf-16"), "the document", "is not UTF-8"),
    (b"{", "the document", "is not JSON: see line 1, column 2"),
    (b"<html>", "the document", "is not JSON"),
    (b"{} {}", "the document", "is not JSON"),
    (b"[" * 500_000, "the document", "nested too deeply"),
    (b'{"positions":' * 50_000, "the document", "nested too deeply"),
    (b"[]", "the document", "must be an object"),
    (b"null", "the document", "must be an object"),
    (b'"state"', "the document", "must be an object"),
    (b"1.5", "the document", "must be an object"),
    (b'{"version": 1, "version": 1}', "the document", "same field twice"),
    (document(**{f"field{number}": 1 for number in range(40)}), "the document", "more than 32 fields"),
    (document(postions=[]), "the document", "did you mean positions?"),
    (document(as_of=AS_OF), "the document", "did you mean asOf?"),
    (document(boot_id="x"), "the document", "did you mean bootId?"),
    (document(zzz=1), "the document", "unknown field. It may have version, asOf"),
    # version
    ({"asOf": AS_OF}, "version", "is required"),
    (document(version=2, somethingNew=True), "version", "this operator knows, as a number: 1"),
    (document(version=0), "version", "1"),
    (document(version="1"), "version", "as a number: 1"),
    (document(version=True), "version", "as a number: 1"),
    (document(version=1.0), "version", "as a number: 1"),
    (document(version=None), "version", "as a number: 1"),
    # asOf
    ({"version": 1}, "asOf", "is required"),
    (document(asOf=None), "asOf", "RFC 3339"),
    (document(asOf=1795258800123), "asOf", "RFC 3339"),
    (document(asOf="2026-11-21T11:00:00"), "asOf", "with its zone"),
    (document(asOf="2026-11-21 11:00:00Z"), "asOf", "RFC 3339"),
    (document(asOf="2026-02-30T11:00:00Z"), "asOf", "calendar"),
    (document(asOf="0000-01-01T00:00:00Z"), "asOf", "calendar"),
    (document(asOf="2026-11-21T24:00:00Z"), "asOf", "RFC 3339"),
    (document(asOf=AS_OF + "\n"), "asOf", "RFC 3339"),
    # bootId, ready
    (document(bootId=""), "bootId", "must not be empty"),
    (document(bootId=7), "bootId", "must be a text"),
    (document(bootId="x" * 129), "bootId", "at most 128"),
    (document(bootId="a\u0000b"), "bootId", "control characters"),
    (b'{"version": 1, "asOf": "2026-11-21T11:00:00Z", "bootId": "\\ud800"}', "bootId", "Unicode"),
    (document(ready=None), "ready", "true or false"),
    (document(ready="true"), "ready", "true or false"),
    (document(ready=1), "ready", "true or false"),
    # sections
    (document(positions={}), "positions", "must be a list"),
    (document(orders="none"), "orders", "must be a list"),
    (document(balances=0), "balances", "must be a list"),
    (document(positions=[[]]), "positions[0]", "must be an object"),
    (document(orders=[None]), "orders[0]", "must be an object"),
    # positions
    (position(symbol=None), "positions[0].symbol", "must be a text"),
    (position(symbol=""), "positions[0].symbol", "must not be empty"),
    (position(symbol="BTC USDT"), "positions[0].symbol", "no spaces"),
    (position(symbol="B" * 65), "positions[0].symbol", "at most 64"),
    (document(positions=[{"quantity": "1"}]), "positions[0].symbol", "is required"),
    (document(positions=[{"symbol": "X"}]), "positions[0].quantity", "is required"),
    (position(quantity=None), "positions[0].quantity", "must be a decimal"),
    (position(quantity=True), "positions[0].quantity", "must be a decimal"),
    (position(side="both"), "positions[0].side", "'net', 'long' or 'short'"),
    (position(side=None), "positions[0].side", "'net', 'long' or 'short'"),
    (position(side="long", quantity="-0.1"), "positions[0].quantity", "must not be negative"),
    (position(side="short", quantity=-1), "positions[0].quantity", "must not be negative"),
    (position(qty="1"), "positions[0]", "unknown field"),
    (
        document(positions=[{"symbol": "X", "quantity": "1"}, {"symbol": "X", "quantity": "1", "side": "net"}]),
        "positions[1]",
        "repeats positions[0]",
    ),
    (
        b'{"version":1,"asOf":"2026-11-21T11:00:00Z","positions":[{"symbol":"X","quantity":"1","quantity":"2"}]}',
        "positions[0]",
        "same field twice",
    ),
    # orders
    (document(orders=[{"symbol": "X"}]), "orders[0]", "needs an id or a clientId"),
    (order(id=None), "orders[0]", "needs an id or a clientId"),
    (order(id=42), "orders[0].id", "must be a text"),
    (order(id=""), "orders[0].id", "must not be empty"),
    (order(clientId="x" * 129), "orders[0].clientId", "at most 128"),
    (order(client_id="x"), "orders[0]", "did you mean clientId?"),
    (order(side="long"), "orders[0].side", "'buy' or 'sell'"),
    (order(quantity="-1"), "orders[0].quantity", "must not be negative"),
    (order(filled=-1), "orders[0].filled", "must not be negative"),
    (order(status="lost"), "orders[0].status", "one of open, triggered, filled, canceled, expired, rejected"),
    (order(status=None), "orders[0].status", "one of open"),
    (order(status="open\n"), "orders[0].status", "one of open"),
    (document(orders=[{"id": "1", "symbol": "X"}, {"id": "1", "symbol": "X"}]), "orders[1].id", "repeats orders[0].id"),
    (
        document(orders=[{"id": "1", "clientId": "c", "symbol": "X"}, {"clientId": "c", "symbol": "X"}]),
        "orders[1].clientId",
        "repeats orders[0].clientId",
    ),
    # balances
    (document(balances=[{"wallet": "1"}]), "balances[0].asset", "is required"),
    (document(balances=[{"asset": "X", "wallet": "1"}] * 2), "balances[1]", "repeats balances[0]"),
]


AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12)
SIZES = AMOUNTS.map(abs)
NAMES = st.text(st.characters(min_codepoint=0x21, exclude_characters="\x7f", exclude_categories=["Cs"]), min_size=1)
SYMBOLS = NAMES.filter(lambda name: len(name) <= 64)


@st.composite
def beliefs(draw: st.DrawFn) -> ExpectedState:
    legs = st.builds(ExpectedPosition, SYMBOLS, st.sampled_from([PositionSide.LONG, PositionSide.SHORT]), SIZES)
    net = st.builds(ExpectedPosition, SYMBOLS, st.just(PositionSide.NET), AMOUNTS)
    orders = st.builds(
        ExpectedOrder,
        symbol=SYMBOLS,
        id=SYMBOLS,
        client_id=SYMBOLS,
        side=st.none() | st.sampled_from(Side),
        quantity=st.none() | SIZES,
        filled=st.none() | SIZES,
        price=st.none() | AMOUNTS,
        status=st.sampled_from(OrderStatus),
    )
    by_position = (lambda row: (row.symbol, row.side),)
    by_id = (lambda row: row.id, lambda row: row.client_id)
    balances = st.lists(st.builds(ExpectedBalance, SYMBOLS, AMOUNTS), unique_by=(lambda row: row.asset,), max_size=3)
    return ExpectedState(
        as_of=draw(st.integers(0, 10**13)),
        boot_id=draw(st.just("") | SYMBOLS),
        ready=draw(st.booleans()),
        positions=draw(st.none() | st.lists(legs | net, unique_by=by_position, max_size=3).map(tuple)),
        orders=draw(st.none() | st.lists(orders, unique_by=by_id, max_size=3).map(tuple)),
        balances=draw(st.none() | balances.map(tuple)),
    )


def text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def published(state: ExpectedState) -> dict[str, Any]:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + state.as_of * (datetime.resolution * 1000)
    return {
        "version": 1,
        "asOf": moment.isoformat(),
        "bootId": state.boot_id or None,
        "ready": state.ready,
        "positions": None
        if state.positions is None
        else [{"symbol": row.symbol, "side": row.side, "quantity": text(row.quantity)} for row in state.positions],
        "orders": None
        if state.orders is None
        else [
            {
                "id": row.id,
                "clientId": row.client_id,
                "symbol": row.symbol,
                "side": row.side,
                "quantity": text(row.quantity),
                "filled": text(row.filled),
                "price": text(row.price),
                "status": row.status,
            }
            for row in state.orders
        ],
        "balances": None
        if state.balances is None
        else [{"asset": row.asset, "wallet": text(row.wallet)} for row in state.balances],
    }

"""Calls about what others offer: the book with its levels, and the best price on each side."""

from typing import Any

from accountsync.simulator.book import Offer
from accountsync.simulator.call import Call
from accountsync.simulator.decimals import ZERO, fixed
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Side
from accountsync.simulator.refusals import Refusal

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
DEFAULT_LIMIT = 500
NOTHING = Offer(ZERO, ZERO)


def depth(call: Call) -> object:
    """Bids and asks, the best first: Refusal -4021 for a number of levels that the exchange does not give."""
    spec, asked = call.required_symbol, call.integer("limit")
    limit = DEFAULT_LIMIT if asked is None else asked
    if limit not in DEPTH_LIMITS:
        raise Refusal(-4021, f"'{limit}' is not valid depth limit.")
    levels = {
        name: [
            [fixed(offer.price, spec.price_places), fixed(offer.quantity, spec.quantity_places)]
            for offer in call.world.books.offers(spec.symbol, side)[:limit]
        ]
        for name, side in (("bids", Side.SELL), ("asks", Side.BUY))
    }
    return {"lastUpdateId": call.now_ms, "E": call.now_ms, "T": call.now_ms, **levels}


def book_ticker(call: Call) -> object:
    """One symbol's best bid and ask, or all in a list; 0 for a side that is empty."""
    rows = [_best(call, spec) for spec in call.symbols]
    return rows[0] if call.symbol else rows


def _best(call: Call, spec: SymbolSpec) -> dict[str, Any]:
    bid, ask = (next(iter(call.world.books.offers(spec.symbol, side)), NOTHING) for side in (Side.SELL, Side.BUY))
    return {
        "symbol": spec.symbol,
        "bidPrice": fixed(bid.price, spec.price_places),
        "bidQty": fixed(bid.quantity, spec.quantity_places),
        "askPrice": fixed(ask.price, spec.price_places),
        "askQty": fixed(ask.quantity, spec.quantity_places),
        "time": call.now_ms,
        "lastUpdateId": call.now_ms,
    }

"""What is known after a request: that it was refused, or that nobody knows; and no failure tells a secret."""

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from tests.exchange.test_failures import everything_about, standing_in
from tests.exchange.test_trading import BTC, D, Trade, closing, hedged, holder, sent, stamped, trade

from accountsync.domain.account import PositionSide, Side
from accountsync.errors import ActionError, NotSent, OutcomeUnknown, Reason, Refused
from accountsync.exchange import CcxtTrading, Venues
from accountsync.simulator import Account, Fault, Simulator

__all__ = ["hedged", "holder", "trade"]

ANSWERS: dict[str, tuple[Callable[..., Fault], type[ActionError], Reason]] = {
    "unknown": (lambda **on: Fault.unknown_outcome(executed=True, **on), OutcomeUnknown, Reason.EXCHANGE_UNAVAILABLE),
    "500": (lambda **on: Fault.http_error(500, **on), OutcomeUnknown, Reason.EXCHANGE_UNAVAILABLE),
    "503": (lambda **on: Fault.http_error(503, executed=True, **on), OutcomeUnknown, Reason.EXCHANGE_UNAVAILABLE),
    "504": (lambda **on: Fault.http_error(504, **on), OutcomeUnknown, Reason.EXCHANGE_UNAVAILABLE),
    "408": (lambda **on: Fault.http_error(408, code=-1007, **on), OutcomeUnknown, Reason.EXCHANGE_TIMEOUT),
    "-1006": (lambda **on: Fault.http_error(400, code=-1006, **on), OutcomeUnknown, Reason.EXCHANGE_UNAVAILABLE),
    "-1007": (lambda **on: Fault.http_error(400, code=-1007, **on), OutcomeUnknown, Reason.EXCHANGE_TIMEOUT),
    "taken id": (lambda **on: Fault.http_error(400, code=-4116, **on), OutcomeUnknown, Reason.EXCHANGE_REFUSED),
    "500 that denies": (
        lambda **on: Fault.http_error(500, code=-2022, executed=True, **on),
        OutcomeUnknown,
        Reason.EXCHANGE_UNAVAILABLE,
    ),
    "200 that denies": (
        lambda **on: Fault.http_error(200, code=-2022, executed=True, **on),
        OutcomeUnknown,
        Reason.EXCHANGE_REFUSED,
    ),
    "firewall": (lambda **on: Fault.http_error(403, code=0, **on), OutcomeUnknown, Reason.EXCHANGE_REFUSED),
    "hang": (Fault.hang, OutcomeUnknown, Reason.EXCHANGE_TIMEOUT),
    "reset": (Fault.reset, OutcomeUnknown, Reason.EXCHANGE_UNREACHABLE),
    "truncated": (Fault.truncated, OutcomeUnknown, Reason.EXCHANGE_MALFORMED),
    "no symbol": (
        lambda **on: Fault.unparsable_quantity(name="symbol", text="", **on),
        OutcomeUnknown,
        Reason.EXCHANGE_MALFORMED,
    ),
    "maintenance": (Fault.maintenance, Refused, Reason.EXCHANGE_UNAVAILABLE),
    "overloaded": (Fault.overloaded, Refused, Reason.EXCHANGE_UNAVAILABLE),
    "too many": (lambda **on: Fault.http_error(429, code=-1003, **on), Refused, Reason.RATE_LIMITED),
    "banned": (lambda **on: Fault.http_error(418, code=-1003, **on), Refused, Reason.RATE_LIMITED),
    "too many as 400": (lambda **on: Fault.http_error(400, code=-1003, **on), Refused, Reason.RATE_LIMITED),
    "any other code": (lambda **on: Fault.http_error(400, code=-4999, **on), Refused, Reason.EXCHANGE_REFUSED),
}


async def failing(call: Any) -> ActionError:
    with pytest.raises(ActionError) as caught:
        await call
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize("verb", ["POST", "DELETE"])
@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_answer_is_a_refusal_or_nobody_knows(
    sim: Simulator, holder: Account, trade: Trade, kind: str, verb: str
) -> None:
    make, outcome, reason = ANSWERS[kind]
    trading = trade(holder, timeout=0.5)
    await trading.venue.ready()
    sim.faults.add(make(method=verb))
    order_id = str(next(iter(holder.open_orders.values())).order_id)
    error = await failing(
        trading.place(closing(), stamped())
        if verb == "POST"
        else trading.cancel(symbol=BTC, order_id=order_id, conditional=False, stamp=stamped())
    )
    assert (type(error), error.reason) == (outcome, reason)
    (record,) = sent(sim)
    assert record.method == verb
    if outcome is Refused:
        assert not record.effect
    assert bool(trading.venue.budget.away_for) == (reason is Reason.RATE_LIMITED)


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("make", [Fault.hang, Fault.reset, Fault.unknown_outcome])
@pytest.mark.parametrize("verb", ["POST", "DELETE"])
async def test_an_outcome_that_is_not_known_is_told_so_whatever_it_was(
    sim: Simulator, holder: Account, trade: Trade, verb: str, make: Callable[..., Fault], executed: bool
) -> None:
    """Not even aiohttp, which repeats a DELETE by itself, sends it twice."""
    trading = trade(holder, timeout=0.5)
    await trading.venue.ready()
    sim.faults.add(make(method=verb, executed=executed))
    order_id = str(next(iter(holder.open_orders.values())).order_id)
    call = (
        trading.place(closing(), stamped())
        if verb == "POST"
        else trading.cancel(symbol=BTC, order_id=order_id, conditional=False, stamp=stamped())
    )
    assert isinstance(await failing(call), OutcomeUnknown)
    (record,) = sent(sim)
    assert record.effect is executed


async def test_a_connection_lost_midway_leaves_nobody_knowing(sim: Simulator, holder: Account, trade: Trade) -> None:
    trading = trade(holder)
    await trading.venue.ready()
    sim.faults.add(Fault.reset(midway=True, method="POST"))
    assert isinstance(await failing(trading.place(closing(), stamped())), OutcomeUnknown)
    assert len(sent(sim)) == 1


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        (closing("0.4", side=Side.BUY, price="66000"), -2022, "nothing left to reduce"),
        (closing("0.1", leg=PositionSide.LONG), -4061, "position mode"),
        (closing("120000", price=None), -4005, "quantity is not within"),
        (closing("0.4", price="50000"), -4024, "price is too far"),
    ],
)
async def test_the_exchange_says_no_in_words_of_ours(
    sim: Simulator, holder: Account, trade: Trade, order: Any, code: int, words: str
) -> None:
    error = await failing(trade(holder).place(order, stamped()))
    assert isinstance(error, Refused)
    assert words in error.message
    assert f"code {code}" in error.message
    (record,) = sent(sim)
    assert (record.code, record.effect) == (code, False)


async def test_a_leg_is_never_closed_twice_over(hedged: Account, trade: Trade) -> None:
    error = await failing(trade(hedged).place(closing("0.5", leg=PositionSide.LONG), stamped()))
    assert isinstance(error, Refused)
    assert "nothing left to reduce" in error.message


@pytest.mark.parametrize("conditional", [False, True])
async def test_an_order_that_is_not_open_has_to_be_asked_for(
    sim: Simulator, holder: Account, trade: Trade, conditional: bool
) -> None:
    error = await failing(trade(holder).cancel(symbol=BTC, order_id="999", conditional=conditional, stamp=stamped()))
    assert isinstance(error, Refused)
    assert "only asking for it tells" in error.message
    assert sent(sim)[0].code == -2011


@pytest.mark.parametrize("permissions", [{"read"}, set()])
async def test_a_key_without_the_right_to_trade_is_told_apart(
    holder: Account, trade: Trade, permissions: set[str]
) -> None:
    error = await failing(trade(holder, permissions=permissions).place(closing(), stamped()))
    assert isinstance(error, Refused)
    assert error.reason is Reason.CREDENTIALS_REJECTED
    assert "must be enabled for futures" in error.message
    assert holder.position("BTCUSDT").amount == D("0.4")


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (-1022, Reason.CREDENTIALS_REJECTED, "trade key"),
        (-2014, Reason.CREDENTIALS_REJECTED, "trade key"),
        (-2010, Reason.EXCHANGE_REFUSED, "rejected"),
        (-2013, Reason.EXCHANGE_REFUSED, "only asking for it tells"),
        (-2018, Reason.EXCHANGE_REFUSED, "margin"),
        (-2019, Reason.EXCHANGE_REFUSED, "margin"),
        (-2021, Reason.EXCHANGE_REFUSED, "trigger at once"),
        (-4003, Reason.EXCHANGE_REFUSED, "quantity"),
        (-4131, Reason.EXCHANGE_REFUSED, "too far from the market"),
        (-4164, Reason.EXCHANGE_REFUSED, "minimum"),
        (-1121, Reason.UNKNOWN_SYMBOL, "not traded any more"),
        (-1008, Reason.EXCHANGE_UNAVAILABLE, "overloaded"),
    ],
)
async def test_codes_have_their_reasons(
    sim: Simulator, holder: Account, trade: Trade, code: int, reason: Reason, words: str
) -> None:
    trading = trade(holder)
    await trading.venue.ready()
    sim.faults.add(Fault.http_error(400, code=code, method="POST"))
    error = await failing(trading.place(closing(), stamped()))
    assert (type(error), error.reason) == (Refused, reason)
    assert words in error.message


# --- answers that are none ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["<html>fine</html>", "", "null", "[]", "{}", '{"orderId": 1}', '{"code": "200"}'])
async def test_an_answer_that_is_no_order_proves_nothing(sim: Simulator, venues: Venues, body: str) -> None:
    async with standing_in(sim, lambda: web.Response(text=body, content_type="application/json")) as url:
        trading = CcxtTrading(venues.get("binanceusdm", endpoint=url), {"apiKey": "k", "secret": "s"})
        for conditional in (False, True):
            call = trading.cancel(symbol=BTC, order_id="1", conditional=conditional, stamp=stamped())
            assert isinstance(await failing(call), OutcomeUnknown)
        await venues.close()


async def test_an_answer_about_another_order_proves_nothing(sim: Simulator, holder: Account, trade: Trade) -> None:
    trading = trade(holder)
    await trading.venue.ready()
    sim.faults.add(Fault.unparsable_quantity("somebody_else", name="clientOrderId", method="POST"))
    assert isinstance(await failing(trading.place(closing(), stamped())), OutcomeUnknown)


@pytest.mark.parametrize("status", [301, 307, 308])
async def test_a_redirect_is_neither_followed_nor_believed(sim: Simulator, venues: Venues, status: int) -> None:
    redirect = lambda: web.Response(status=status, headers={"Location": f"{sim.url}/fapi/v1/order"})  # noqa: E731
    async with standing_in(sim, redirect) as url:
        trading = CcxtTrading(venues.get("binanceusdm", endpoint=url), {"apiKey": "k", "secret": "s"})
        error = await failing(trading.cancel(symbol=BTC, order_id="1", conditional=False, stamp=stamped()))
        await venues.close()
    assert isinstance(error, OutcomeUnknown)
    assert sent(sim) == []


# --- secrets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*ANSWERS, "fence"])
async def test_no_failure_tells_a_secret(
    sim: Simulator, holder: Account, trade: Trade, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    trading = trade(holder, timeout=0.5)
    key = list(sim.world.keys.values())[-1]
    await trading.venue.ready()

    def lost() -> None:
        raise NotSent("not ours")

    if kind != "fence":
        sim.faults.add(ANSWERS[kind][0](path="*rder"))
    check = lost if kind == "fence" else lambda: None
    for call in (
        trading.place(closing(), stamped(check)),
        trading.cancel(symbol=BTC, order_id="1", conditional=True, stamp=stamped(check)),
    ):
        text = everything_about(await failing(call))
        assert not re.search(r"signature|timestamp=|https?://|X-MBX|error occured|msg", text)
        assert key.api_key not in text
        assert key.secret not in text
    for record in caplog.records:
        assert key.api_key not in record.getMessage()
        assert "signature" not in record.getMessage()
    shown = repr(trading) + str(trading)
    assert key.api_key not in shown
    assert key.secret not in shown

"""What freqtrade's recorded answers say of its belief, and that no fault makes them say anything else."""

import asyncio
import copy
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.bot.freqtrades import (
    CLOSED,
    LOGIN,
    MOMENTS,
    Fault,
    Served,
    Signed,
    answers,
    bot_at,
    breaks,
    recorded,
)

from accountsync.bot.freqtrade_belief import PAGE
from accountsync.domain.account import OrderStatus, PositionSide, Side
from accountsync.domain.expected import BeliefMemory, Doubt, ExpectedOrder, ExpectedPosition, ExpectedState, accept
from accountsync.errors import AccountSyncError, BeliefUnobserved, Reason

PAIR = "BTC/USDT:USDT"
OPEN, FILLED = OrderStatus.OPEN, OrderStatus.FILLED


@pytest.fixture
async def rig() -> AsyncIterator[tuple[Served, Signed]]:
    async with bot_at("exit-open") as running:
        yield running


async def doubt(known: Signed) -> AccountSyncError:
    with pytest.raises(BeliefUnobserved) as caught:
        await known.state.read()
    return caught.value


def trade(bot: Served, index: int = 0) -> Any:
    return bot.answers["status"][1][index]


def held(quantity: str) -> tuple[ExpectedPosition, ...]:
    return (ExpectedPosition(PAIR, PositionSide.NET, Decimal(quantity)),)


# --- each recorded moment --------------------------------------------------------------------------------------------

BOUGHT = (Side.BUY, "0.031", "0.031", None, FILLED)
SOLD_SHORT = (Side.SELL, "0.03", "0.03", None, FILLED)
BELIEFS: dict[str, tuple[tuple[ExpectedPosition, ...], list[tuple[Side, str, str, str | None, OrderStatus]]]] = {
    "fresh": ((), []),
    "entry-open": (held("0"), [(Side.BUY, "0.031", "0", "64000", OPEN)]),
    "entry-partly-filled": (held("0.01"), [(Side.BUY, "0.031", "0.01", None, OPEN)]),
    "entry-filled": (held("0.031"), [BOUGHT]),
    "exit-open": (held("0.031"), [BOUGHT, (Side.SELL, "0.031", "0", "66000", OPEN)]),
    "closed": ((), [BOUGHT, (Side.SELL, "0.031", "0.031", None, FILLED)]),
    "short": (held("-0.03"), [SOLD_SHORT]),
    "paused": (held("-0.03"), [SOLD_SHORT]),
    "liquidated": (held("-0.03"), [SOLD_SHORT]),
    "reloaded": ((), [SOLD_SHORT, (Side.BUY, "0.03", "0.03", None, FILLED)]),
    "stop-order": (held("0.03"), [(Side.BUY, "0.03", "0.03", None, FILLED), (Side.SELL, "0.03", "0", None, OPEN)]),
}


@pytest.mark.parametrize("moment", BELIEFS)
async def test_a_recorded_moment_is_read_as_what_it_was(moment: str) -> None:
    positions, orders = BELIEFS[moment]
    async with bot_at(moment) as (bot, known):
        belief = await known.state.read()
    health = bot.answers["health"][1]
    assert belief.as_of // 1000 == health["last_process_ts"]
    assert (belief.boot_id, belief.ready) == (str(health["bot_startup_ts"]), True)
    assert belief.positions == positions
    assert [(row.side, row.quantity, row.filled, row.price, row.status) for row in belief.orders or ()] == [
        (side, Decimal(quantity), Decimal(filled), price if price is None else Decimal(price), status)
        for side, quantity, filled, price, status in orders
    ]
    assert all(row.symbol == PAIR and row.id and not row.client_id and row.created for row in belief.orders or ())
    assert belief.balances is None, "freqtrade's wallets are of no known time"


@pytest.mark.parametrize(("moment", "why"), [("starting", "no pass"), ("stopped", "is stopped")])
async def test_a_bot_that_learns_nothing_has_no_belief(moment: str, why: str) -> None:
    async with bot_at(moment) as (_, known):
        error = await doubt(known)
    assert error.reason is Reason.BOT_NOT_READY
    assert why in error.message


def test_every_recorded_moment_is_read_above() -> None:
    assert set(MOMENTS) == {*BELIEFS, "starting", "stopped"}


# --- what a belief is made of ----------------------------------------------------------------------------------------


async def test_what_orders_filled_is_added_up_as_it_is_written_and_not_as_floats(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    entry, _ = trade(bot)["orders"]
    filled = [0.1, 0.2, 1e-08]
    trade(bot)["orders"] = [
        {**entry, "order_id": str(number), "amount": amount, "filled": amount} for number, amount in enumerate(filled)
    ]
    assert (await known.state.read()).positions == held("0.30000001")
    assert sum(filled) != 0.30000001


async def test_exits_and_stop_losses_of_either_side_close_what_entries_opened(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    entry, leave = trade(bot)["orders"]
    stop = {**leave, "order_id": "9", "ft_order_side": "stoploss", "filled": 0.001, "is_open": False}
    trade(bot)["orders"] = [{**entry, "filled": 0.031}, {**leave, "filled": 0.01}, stop]
    assert (await known.state.read()).positions == held("0.02")
    trade(bot)["is_short"] = True
    short = [{**entry, "ft_order_side": "sell"}, {**leave, "ft_order_side": "buy", "filled": 0.01}, stop]
    trade(bot)["orders"] = short
    belief = await known.state.read()
    assert belief.positions == held("-0.02")
    assert [row.side for row in belief.orders or ()] == [Side.SELL, Side.BUY, Side.BUY]


async def test_an_order_that_is_over_counts_as_what_it_filled(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    _, leave = trade(bot)["orders"]
    leave.update(status="canceled", is_open=False, filled=0.005)
    belief = await known.state.read()
    assert belief.positions == held("0.026")
    assert (belief.orders or ())[1].status is OrderStatus.CANCELED


@pytest.mark.parametrize(
    ("told", "status"),
    [("closed", FILLED), ("expired", OrderStatus.EXPIRED), ("rejected", OrderStatus.REJECTED), (None, "canceled")],
)
async def test_an_order_ended_as_freqtrade_says(rig: tuple[Served, Signed], told: str | None, status: str) -> None:
    bot, known = rig
    trade(bot)["orders"][1].update(status=told, is_open=False)
    assert ((await known.state.read()).orders or ())[1].status == status


async def test_a_fill_that_freqtrade_does_not_tell_is_not_made_up(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    trade(bot)["orders"][1]["filled"] = None
    belief = await known.state.read()
    assert (belief.positions, (belief.orders or ())[1].filled) == (held("0.031"), None)


async def test_an_unfilled_entry_that_was_cancelled_leaves_nothing() -> None:
    async with bot_at("entry-open") as (bot, known):
        bot.answers["status"] = 200, []
        bot.answers["count"] = 200, {"current": 0, "max": 3, "total_stake": 0.0}
        belief = await known.state.read()
    assert (belief.positions, belief.orders) == ((), ())


async def test_two_pairs_are_two_positions(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    other = copy.deepcopy(trade(bot)) | {"trade_id": 7, "pair": "ETH/USDT:USDT"}
    bot.answers["status"][1].append(other)
    bot.answers["count"][1]["current"] = 2
    belief = await known.state.read()
    assert [row.symbol for row in belief.positions or ()] == [PAIR, "ETH/USDT:USDT"]
    assert len({(row.symbol, row.id) for row in belief.orders or ()}) == 4


async def test_orders_of_trades_that_closed_lately_are_told_of_and_older_ones_are_not_read() -> None:
    async with bot_at("closed") as (bot, known):
        (last,) = bot.answers[CLOSED][1]["trades"]
        page = [_closed(last, number, timedelta(minutes=number)) for number in range(PAGE)]
        bot.answers[CLOSED] = 200, {"trades": page}
        older = [_closed(last, PAGE + number, timedelta(minutes=58 + number)) for number in range(5)]
        bot.answers[CLOSED.replace("offset=0", f"offset={PAGE}")] = 200, {"trades": older}
        belief = await known.state.read()
    ids = {row.id for row in belief.orders or ()}
    assert {f"{PAGE - 1}/0", f"{PAGE}/0"} <= ids
    assert f"{PAGE + 4}/0" not in ids, "it closed more than an hour before the belief"
    assert belief.positions == ()


def _closed(row: Any, number: int, before: timedelta) -> Any:
    ended = row["close_timestamp"] - before // timedelta(milliseconds=1)
    orders = [{**order, "order_id": f"{number}/{index}"} for index, order in enumerate(row["orders"])]
    return {**row, "trade_id": number, "close_timestamp": ended, "orders": orders}


async def test_a_trade_that_closes_while_it_is_read_is_told_of_once(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    bot.answers[CLOSED] = recorded("closed")[CLOSED]
    belief = await known.state.read()
    assert len(belief.orders or ()) == 2


# --- freshness -------------------------------------------------------------------------------------------------------


def moment_of(bot: Served) -> datetime:
    return datetime.fromisoformat(bot.answers["health"][1]["last_process"])


async def test_the_belief_never_claims_a_later_time_than_its_last_pass(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    belief = await known.state.read()
    passed = moment_of(bot) - datetime.fromtimestamp(belief.as_of / 1000, UTC)
    assert timedelta(0) <= passed < timedelta(milliseconds=1)
    assert bot.asked[0] == "GET health", "what is read after it may be newer than it claims, and is never older"


async def test_a_bot_that_hangs_answers_and_its_belief_grows_old(rig: tuple[Served, Signed]) -> None:
    _, known = rig
    belief = await known.state.read()
    with pytest.raises(Doubt) as caught:
        accept(belief, BeliefMemory(), now=belief.as_of + 60_001, stale_after=60_000, account_empty=False)
    assert caught.value.why == "stale"


async def test_a_restarted_bot_is_another_boot_and_has_no_belief_before_its_first_pass(
    rig: tuple[Served, Signed],
) -> None:
    bot, known = rig
    before = await known.state.read()
    health = bot.answers["health"][1]
    started = moment_of(bot) + timedelta(seconds=30)
    bot.tokens.clear()
    health.update(bot_startup=started.isoformat(), bot_startup_ts=int(started.timestamp()))
    assert (await doubt(known)).reason is Reason.BOT_NOT_READY
    health.update(last_process=None, last_process_ts=None)
    assert (await doubt(known)).reason is Reason.BOT_NOT_READY
    health.update(last_process=(started + timedelta(seconds=2)).isoformat())
    after = await known.state.read()
    assert after.boot_id != before.boot_id
    assert after.positions == before.positions


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dry_run": True}, "runs dry"),
        ({"trading_mode": "spot"}, "futures"),
        ({"state": "reload_config"}, "between two states"),
        ({"state": ""}, "between two states"),
    ],
)
async def test_a_bot_whose_trades_are_not_the_exchanges_has_no_belief(
    rig: tuple[Served, Signed], changes: dict[str, object], why: str
) -> None:
    bot, known = rig
    bot.answers["show_config"][1].update(changes)
    error = await doubt(known)
    assert error.reason is Reason.BOT_NOT_READY
    assert why in error.message


# --- what is not believed --------------------------------------------------------------------------------------------


async def test_no_trades_are_not_believed_where_trades_are_counted(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    bot.answers["status"] = 200, []
    error = await doubt(known)
    assert error.reason is Reason.BOT_NOT_READY
    assert "/api/v1/count" in error.message


async def test_a_bot_that_gets_no_price_from_the_exchange_has_no_belief(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    bot.answers["status"][1][0]["current_rate"] = None
    error = await doubt(known)
    assert error.reason is Reason.BOT_NOT_READY
    assert "gets no price of an open trade" in error.message


async def test_a_trade_that_begins_between_two_answers_is_read_again(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    bot.faults["status"].append(answers(200, []))
    assert (await known.state.read()).positions == held("0.031")
    assert bot.asked.count("GET count") == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("order_id", 17),
        ("order_id", ""),
        ("ft_order_side", "hold"),
        ("is_open", "yes"),
        ("amount", "0.031"),
        ("amount", None),
        ("amount", True),
        ("filled", -0.001),
        ("filled", 1e300),
        ("filled", 1e-300),
        ("safe_price", "high"),
    ],
)
async def test_an_order_of_another_form_is_no_belief_and_its_field_is_named(
    rig: tuple[Served, Signed], field: str, value: object
) -> None:
    bot, known = rig
    trade(bot)["orders"][1][field] = value
    error = await doubt(known)
    assert error.reason is Reason.STATE_MALFORMED
    assert f"lacks a usable {field}" in error.message
    assert "high" not in error.message


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("status", {"error": "no"}),
        ("status", [None]),
        ("status", [{"trade_id": 1}]),
        ("count", []),
        ("count", {"current": "1"}),
        ("health", {"last_process": "yesterday", "bot_startup": None}),
        ("health", {"last_process": "2026-11-22T00:10:25"}),
        ("show_config", {"state": "running"}),
        (CLOSED, {"trades": [{"trade_id": 1}]}),
        (CLOSED, []),
    ],
)
async def test_an_answer_of_another_form_is_no_belief(rig: tuple[Served, Signed], path: str, body: object) -> None:
    bot, known = rig
    bot.answers[path] = 200, body
    assert (await doubt(known)).reason is Reason.STATE_MALFORMED


async def test_a_closed_trade_among_the_open_ones_is_no_belief(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    trade(bot)["is_open"] = False
    assert (await doubt(known)).reason is Reason.STATE_MALFORMED


# --- whatever goes wrong ---------------------------------------------------------------------------------------------

FAULTS: dict[str, Fault] = {
    "401": answers(401, {"detail": "Could not validate credentials"}),
    "nothing": answers(200, []),
    "an empty object": answers(200, {}),
    "null": answers(200, None),
    "half": answers(200, '[{"trade_id": 1, "pair'),
    "500": answers(500, "Internal Server Error"),
    "502": answers(502, {"error": "Error querying"}),
    "a break": breaks,
    "none counted": answers(200, {"current": 0, "trades": []}),
    "no pass": answers(200, {"last_process": None, "bot_startup": None}),
}
PATHS = ["health", "show_config", "status", "count", LOGIN]
"""All but that of closed trades, of which a belief is not made."""
TRUTH: dict[str, ExpectedState] = {}


async def truth(moment: str) -> ExpectedState:
    if moment not in TRUTH:
        async with bot_at(moment) as (_, known):
            TRUTH[moment] = await known.state.read()
    return TRUTH[moment]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("times", [1, 2])
async def test_no_single_fault_makes_a_belief_that_is_not_the_bots(path: str, times: int) -> None:
    async with bot_at() as (bot, known):
        for moment in ("exit-open", "entry-partly-filled", "closed"):
            bot.become(moment)
            for kind, fault in FAULTS.items():
                bot.faults.clear()
                bot.faults[path].extend([fault] * times)
                try:
                    belief = await known.state.read()
                except AccountSyncError:
                    continue
                assert belief == await truth(moment), (moment, kind)


@st.composite
def troubles(draw: st.DrawFn) -> list[tuple[str, list[tuple[str, str]]]]:
    """Moments, and before each reading what goes wrong at which paths, in order; a path may fail twice in a row."""
    fault = st.tuples(st.sampled_from(PATHS), st.sampled_from(sorted(FAULTS)))
    moments = st.sampled_from(sorted(BELIEFS))
    return draw(st.lists(st.tuples(moments, st.lists(fault, max_size=2)), min_size=1, max_size=4))


async def _live_through(story: list[tuple[str, list[tuple[str, str]]]]) -> None:
    async with bot_at() as (bot, known):
        for moment, faults in story:
            bot.become(moment)
            bot.faults.clear()
            for path, kind in faults:
                bot.faults[path].append(FAULTS[kind])
            if ("count", "none counted") in faults and ("status", "nothing") in faults:
                continue  # two lies that agree: then nobody can tell
            try:
                belief = await known.state.read()
            except AccountSyncError:
                continue
            assert belief == await truth(moment), faults


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(troubles())
def test_no_fault_makes_a_belief_that_is_not_the_bots(story: list[tuple[str, list[tuple[str, str]]]]) -> None:
    asyncio.run(_live_through(story))


def _lost(rows: tuple[ExpectedOrder, ...] | None) -> list[str]:
    return [row.id for row in rows or () if row.status is OPEN]


@pytest.mark.parametrize("kind", sorted(FAULTS))
async def test_what_goes_wrong_about_closed_trades_loses_no_open_order(rig: tuple[Served, Signed], kind: str) -> None:
    bot, known = rig
    bot.faults[CLOSED].extend([FAULTS[kind]] * 2)
    try:
        belief = await known.state.read()
    except AccountSyncError:
        return
    expected = await truth("exit-open")
    assert (belief.positions, _lost(belief.orders)) == (expected.positions, _lost(expected.orders))

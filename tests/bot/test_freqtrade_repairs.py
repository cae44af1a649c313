"""How a freqtrade bot is had to look at its trades anew, and what is said where that does not help."""

import copy
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
from tests.bot.freqtrades import Served, Signed, answers, bot_at, breaks, recorded

from accountsync.bot.freqtrade_repairs import FreqtradeRepairs
from accountsync.domain.expected import ExpectedState
from accountsync.domain.plan import Repair, RepairKind
from accountsync.errors import NotSent, OutcomeUnknown, Reason, Refused

PAIR = "BTC/USDT:USDT"
FLAT = Repair(RepairKind.POSITION, PAIR, "net", "0")
RELOAD = "trades/2/reload"
Rig = tuple[Served, Signed, FreqtradeRepairs, ExpectedState]


def canonical(symbol: str) -> str:
    return {"BTCUSDT": PAIR, PAIR: PAIR}[symbol]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A bot that was liquidated and does not know it; a reload tells it."""
    async with bot_at("liquidated") as (bot, known):
        bot.reloaded = recorded("reloaded")
        bot.answers["status"][1][0]["trade_id"] = 2
        yield bot, known, FreqtradeRepairs(known.state, canonical=canonical), await known.state.read()


async def test_a_liquidated_position_is_gone_from_the_belief_after_a_reload(rig: Rig) -> None:
    bot, known, repairs, judged = rig
    await repairs.repair("r-1", judged, [FLAT])
    assert bot.told() == [RELOAD]
    assert (await known.state.read()).positions == ()


async def test_an_order_that_ended_is_over_in_the_belief_after_a_reload() -> None:
    async with bot_at("exit-open") as (bot, known):
        judged = await known.state.read()
        bot.reloaded = recorded("closed")
        stale = Repair(RepairKind.STALE_ORDER, PAIR, "712000000002", "filled", order_id="712000000002")
        await FreqtradeRepairs(known.state, canonical=canonical).repair("r-1", judged, [stale])
        assert len(bot.told()) == 1


async def test_a_newer_pass_that_changed_nothing_is_the_same_belief(rig: Rig) -> None:
    bot, _, repairs, judged = rig
    await repairs.repair("r-1", replace(judged, as_of=judged.as_of - 5_000), [FLAT])
    assert bot.told() == [RELOAD]


async def test_nothing_is_told_to_a_bot_that_believes_something_else_by_now(rig: Rig) -> None:
    bot, _, repairs, judged = rig
    trade = bot.answers["status"][1][0]
    trade["orders"][0]["filled"] = 0.02
    with pytest.raises(Refused, match="believes something else"):
        await repairs.repair("r-1", judged, [FLAT])
    assert bot.told() == []


async def test_nothing_is_told_to_a_bot_that_was_started_anew(rig: Rig) -> None:
    bot, _, repairs, judged = rig
    with pytest.raises(Refused, match="started anew"):
        await repairs.repair("r-1", replace(judged, boot_id="before"), [FLAT])
    assert bot.told() == []


async def test_the_same_repair_again_tells_nothing(rig: Rig) -> None:
    bot, _, repairs, judged = rig
    await repairs.repair("r-1", judged, [FLAT])
    with pytest.raises(Refused):
        await repairs.repair("r-1", judged, [FLAT])
    assert bot.told() == [RELOAD]


async def test_other_pairs_are_left_alone_whatever_became_of_them(rig: Rig) -> None:
    bot, _, repairs, judged = rig
    status, count = bot.answers["status"][1], bot.answers["count"][1]
    status.append(copy.deepcopy(status[0]) | {"trade_id": 3, "pair": "ETH/USDT:USDT"})
    count["current"] = 2
    await repairs.repair("r-1", judged, [FLAT])
    assert bot.told() == [RELOAD]


@pytest.mark.parametrize(
    "repair",
    [
        Repair(RepairKind.MISSING_ORDER, PAIR, "9", "open", order_id="9", side="buy", quantity=Decimal(1)),
        Repair(RepairKind.BALANCE, "USDT", "wallet", "1"),
    ],
)
async def test_what_freqtrade_has_no_call_for_is_refused(rig: Rig, repair: Repair) -> None:
    bot, _, repairs, judged = rig
    with pytest.raises(Refused, match="adopts no order and changes no balance"):
        await repairs.repair("r-1", judged, [repair])
    assert bot.told() == []


async def test_a_pair_without_a_trade_cannot_be_reloaded() -> None:
    async with bot_at("fresh") as (bot, known):
        judged = await known.state.read()
        with pytest.raises(Refused, match="no open trade"):
            await FreqtradeRepairs(known.state, canonical=canonical).repair("r-1", judged, [replace(FLAT, value="1")])
        assert bot.told() == []


async def test_a_reload_that_changes_nothing_is_not_taken_for_one_that_helped(rig: Rig) -> None:
    bot, _, repairs, judged = rig
    bot.reloaded = None
    with pytest.raises(Refused, match=r"a person has to end the trade \(docs/freqtrade.md\)") as caught:
        await repairs.repair("r-1", judged, [FLAT])
    assert caught.value.reason is Reason.BOT_REFUSED
    assert bot.told() == [RELOAD]


async def test_a_trade_that_the_reload_removed_is_answered_with_502_and_done(rig: Rig) -> None:
    bot, _, repairs, judged = rig

    async def removed(_: object) -> object:
        bot.become("reloaded")
        return await answers(502, {"error": "no active trade"})(_)  # type: ignore[arg-type]

    bot.faults[RELOAD].append(removed)  # type: ignore[arg-type]
    await repairs.repair("r-1", judged, [FLAT])


@pytest.mark.parametrize("fault", [breaks, answers(500), answers(429)])
async def test_an_answer_that_is_lost_is_an_unknown_outcome(rig: Rig, fault: object) -> None:
    bot, _, repairs, judged = rig
    bot.faults[RELOAD].append(fault)  # type: ignore[arg-type]
    with pytest.raises(OutcomeUnknown):
        await repairs.repair("r-1", judged, [FLAT])
    assert len(bot.seen[RELOAD]) == 1


async def test_a_bot_that_cannot_be_read_first_is_told_nothing(rig: Rig) -> None:
    bot, _, repairs, judged = rig
    bot.faults["health"].extend([answers(502)] * 2)
    with pytest.raises(NotSent):
        await repairs.repair("r-1", judged, [FLAT])
    assert bot.told() == []


async def test_a_bot_that_cannot_be_read_afterwards_leaves_the_outcome_unknown(rig: Rig) -> None:
    bot, _, repairs, judged = rig
    bot.reloaded = {**recorded("reloaded"), "health": (502, {})}
    with pytest.raises(OutcomeUnknown):
        await repairs.repair("r-1", judged, [FLAT])

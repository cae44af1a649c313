"""Quantities are exact from both sides to the status: no float, no number of places, no rounding of ours."""

import json
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from tests.api.accounts import MINIMAL
from tests.false_mismatches.desk import Desk, lines, simulated
from tests.support.fakes import BTC, ETH, tracked

from accountsync.api import v1alpha1 as api
from accountsync.bot.state import parse_state
from accountsync.controller import status as written
from accountsync.domain.account import PositionSide
from accountsync.domain.catalogue import Rule
from accountsync.domain.expected import ExpectedPosition, ExpectedState
from accountsync.domain.sharing import Sharing, Sibling
from accountsync.exchange.binance_rows import read_position
from accountsync.simulator import DEFAULT_SYMBOLS

LOT = Decimal("0.000000000000000001")
"""The smallest there is of a token with 18 places."""
QUANTITY = Decimal("123456789.123456789012345678")
MANY = Decimal("12345678901234.123456789012345678")
ONE_LOT_MORE = Decimal("12345678901234.123456789012345679")
"""Of more digits than arithmetic keeps unless it is told to."""


def published(position: str, *, filled: str = "0", number: str = "") -> ExpectedState:
    """A bot's document, as it is read."""
    order: dict[str, Any] = {
        "id": number,
        "symbol": "BTCUSDT",
        "side": "buy",
        "quantity": str(QUANTITY),
        "filled": filled,
        "price": "0.000000000000000003",
    }
    document = {
        "version": 1,
        "asOf": "2026-09-21T14:13:20.000Z",
        "bootId": "boot",
        "positions": [{"symbol": "BTCUSDT", "quantity": position}],
        "orders": [order] if number else [],
        "balances": [{"asset": "USDT", "wallet": "0.333333333333333333"}],
    }
    return parse_state(json.dumps(document).encode(), source="the bot's state")


def exact() -> Desk:
    desk = Desk(balance_tolerances={"USDT": Decimal(0)})
    desk.exchange.end(desk.anchor)
    desk.exchange.hold(BTC, QUANTITY)
    desk.exchange.wallets["USDT"] = Decimal("0.333333333333333333")
    return desk


async def test_eighteen_places_agree_on_both_sides() -> None:
    """hummingbot: amounts were stored with six decimals, so that smaller lots never agreed with the exchange again."""
    desk = exact()
    order = desk.order(quantity=QUANTITY, price="0.000000000000000003")
    desk.exchange.orders[BTC, order.id] = replace(order, filled=LOT)
    desk.stick_to(published(str(QUANTITY), filled=f"{LOT:f}", number=order.id))
    made = await desk.stays_quiet(20)
    assert all(cycle.complete for cycle in made)


async def test_one_lot_of_eighteen_places_is_a_difference_and_is_told_exactly() -> None:
    """hummingbot: what is lost behind the sixth decimal would not be seen either."""
    desk = exact()
    order = desk.order(quantity=QUANTITY, price="0.000000000000000003")
    desk.stick_to(published(str(QUANTITY + LOT), filled=f"{LOT:f}", number=order.id))
    desk.exchange.wallets["USDT"] += LOT
    found = await desk.finds(Rule.POSITION_MISMATCH, Rule.ORDER_DIVERGENCE, Rule.BALANCE_MISMATCH)
    assert [(finding.expected, finding.observed) for finding in found] == [
        ("123456789.123456789012345679", "123456789.123456789012345678"),
        ("filled 0.000000000000000001", "filled 0"),
        ("0.333333333333333333", "0.333333333333333334"),
    ]
    told = json.loads(written.findings(desk.state).model_dump_json(by_alias=True))
    assert {(row["expected"], row["observed"]) for row in told["items"]} == {
        (finding.expected, finding.observed) for finding in found
    }


@pytest.mark.parametrize("leg", PositionSide)
async def test_an_amount_of_more_digits_than_a_context_keeps_is_exact(leg: PositionSide) -> None:
    """hummingbot: trillions of a token with 18 places have more digits than arithmetic keeps unless it is told to."""
    desk = Desk()
    desk.exchange.hold(BTC, MANY, leg)
    await desk.stays_quiet()
    desk.believe(positions=(ExpectedPosition(BTC, leg, ONE_LOT_MORE),))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == (f"{ONE_LOT_MORE}", f"{MANY}")


@pytest.mark.parametrize("leg", PositionSide)
async def test_what_two_bots_believe_together_is_exact(leg: PositionSide) -> None:
    """hummingbot: the sum of two beliefs has as many places as both of them."""
    desk = Desk()
    desk.exchange.hold(BTC, MANY, leg)
    parts = [Decimal(12345678901233), Decimal("1.123456789012345678")]
    desk.believe(positions=(ExpectedPosition(BTC, leg, parts[0]),))

    def share(own: Decimal) -> None:
        desk.sharing = lambda: Sharing(
            (
                Sibling(
                    "other",
                    "other_",
                    ExpectedState(
                        desk.clock.now_ms(), positions=(ExpectedPosition(BTC, leg, own),), orders=(), balances=()
                    ),
                ),
            )
        )

    share(parts[1])
    made = await desk.stays_quiet()
    assert all(cycle.complete for cycle in made)
    desk.exchange.hold(ETH, "1", leg)
    (elsewhere,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (elsewhere.symbol, elsewhere.expected, elsewhere.observed) == (ETH, "0", "1")
    share(parts[1] + LOT)
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == (f"{ONE_LOT_MORE}", f"{MANY}")


async def test_less_than_a_step_is_dust_and_a_step_is_a_difference() -> None:
    """hummingbot: what cannot be traded cannot be put right, and would mismatch for ever."""
    desk = Desk()
    desk.exchange.steps[BTC] = Decimal("0.001")
    order = desk.order(quantity="2")
    desk.exchange.orders[BTC, order.id] = replace(order, filled=Decimal("0.5004"))
    desk.exchange.hold(BTC, "0.5004")
    rows = (tracked(desk.anchor), replace(tracked(order), filled=Decimal("0.5")))

    def held(quantity: str) -> None:
        desk.believe(orders=rows, positions=(ExpectedPosition(BTC, PositionSide.NET, Decimal(quantity)),))

    for quantity in ("0.5", "0.4995", "0.501", "0.5013", "0.499400000000000001"):
        held(quantity)
        await desk.stays_quiet()

    held("0.4994")
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("0.4994", "0.5004")


async def test_a_bot_that_rounds_is_covered_by_the_tolerance_of_its_spec() -> None:
    """hummingbot: a bot that keeps six decimals agrees where its resource allows for that, and no further."""
    bare = api.TradingAccount.model_validate(
        {
            "apiVersion": f"{api.GROUP}/v1alpha1",
            "kind": "TradingAccount",
            "metadata": {"name": "rounds", "namespace": "trading", "uid": "u"},
            "spec": {**MINIMAL, "tolerances": {"position": "0.000001"}},
        }
    )
    assert bare.spec.tolerances.position == Decimal("0.000001")
    desk = Desk(position_tolerance=bare.spec.tolerances.position)
    strict = Desk()
    for each in (desk, strict):
        each.exchange.hold(BTC, QUANTITY)
        rounded = QUANTITY.quantize(Decimal("0.000001"))
        each.believe(positions=tuple(replace(row, quantity=rounded) for row in each.truth().positions or ()))
    await desk.stays_quiet(20)
    (finding,) = await strict.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("123456789.123457", "123456789.123456789012345678")

    further = QUANTITY + Decimal("0.000001000000000001")
    desk.believe(positions=tuple(replace(row, quantity=further) for row in desk.truth().positions or ()))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert finding.expected == "123456789.123457789012345679"


@pytest.mark.parametrize("text", ["1e-18", "0.000000000000000001", "1.0e-18", "0.0000000000000000010000"])
async def test_one_amount_has_many_spellings(text: str) -> None:
    """hummingbot: amounts differ by what they are, and not by how many places they are written with."""
    desk = Desk()
    desk.exchange.end(desk.anchor)
    desk.exchange.hold(BTC, LOT)
    desk.exchange.wallets["USDT"] = Decimal("0.333333333333333333")
    desk.stick_to(published(text))
    await desk.stays_quiet()
    desk.stick_to(published("0.000000000000000002"))
    (finding,) = await desk.finds(Rule.POSITION_MISMATCH)
    assert (finding.expected, finding.observed) == ("0.000000000000000002", "0.000000000000000001")


async def test_eighteen_places_come_through_the_adapter() -> None:
    """hummingbot: from the exchange's own text to the finding no place is lost."""
    fine = replace(DEFAULT_SYMBOLS[0], quantity_places=18, step_size=10 * LOT)
    with simulated("grid", symbols=(fine,)) as running:
        async with lines(running, "grid") as (line,):
            line.act(lambda world, account: world.set_position(account, "BTCUSDT", QUANTITY))
            line.order("grinder_1", quantity=str(QUANTITY))
            made = await line.stays_quiet()
            assert all(cycle.complete for cycle in made)
            seen = made[-1].state.snapshot
            assert seen is not None
            assert [row.quantity for row in seen.positions] == [QUANTITY]
            assert [row.quantity for row in seen.orders] == [QUANTITY]

            step = seen.steps[BTC]
            assert step == 10 * LOT
            believed = line.truth()
            nearly = tuple(replace(row, quantity=QUANTITY + step - LOT) for row in believed.positions or ())
            line.stick_to(replace(believed, positions=nearly))
            await line.stays_quiet()
            off = tuple(replace(row, quantity=QUANTITY + step) for row in believed.positions or ())
            line.stick_to(replace(believed, positions=off))
            (finding,) = await line.finds(Rule.POSITION_MISMATCH, cycles=30)
            assert (finding.expected, finding.observed) == (f"{QUANTITY + step}", f"{QUANTITY}")


@pytest.mark.parametrize("side", ["LONG", "SHORT"])
def test_a_sign_that_is_turned_round_on_the_way_rounds_nothing(side: str) -> None:
    """hummingbot: as many digits come out of a row of the exchange's as went into it."""
    client = SimpleNamespace(id="binanceusdm", markets={}, markets_by_id={"BTCUSDT": [{"symbol": BTC}]})
    amount = f"-{MANY}" if side == "SHORT" else f"{MANY}"
    row = {"symbol": "BTCUSDT", "positionSide": side, "positionAmt": amount, "isolatedMargin": "0"}
    assert read_position(client, row).quantity == MANY
